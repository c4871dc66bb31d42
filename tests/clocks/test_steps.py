"""The wall clock steps by an hour, both ways, while everything is under way: nothing that orders, waits, fences or answers
goes by it."""

import signal
import time

import pytest

from kit import cases, clocks, messages, wait
from kit.stack import decided
from epki.v1 import certificate_event_pb2 as events

SESSION_S, QUIET_S = 1.5, 5  # of the settings for local stacks
STEPS = pytest.mark.parametrize("step", [clocks.HOUR, -clocks.HOUR], ids=["ahead", "back"])


@pytest.fixture(scope="module", autouse=True)
def workers(system):
    system.only(0, 0)
    system.accepted()


def step_all(system, seconds):
    for worker in system.running():
        worker.clocks.set(wall=worker.clocks.wall + seconds)


@STEPS
def test_step_with_orders_in_the_air(system, step):
    """Every kind of request; the first replies are held until the clocks have stepped."""
    made = system.one_of_each("step")
    held = system.ca.fault("hold_reply", count=3)
    system.send_all(made)
    wait.until(lambda: system.ca.fault_hits(held) == 3, 30, "three held replies")
    step_all(system, step)
    system.ca.control("POST", "/release", {})
    began = time.monotonic()
    system.check_all(made)
    while time.monotonic() < began + 2 * SESSION_S:  # and they are still members
        assert system.issue(messages.enroll(messages.name("after"))).result == events.RESULT_ISSUED


@STEPS
def test_quiet_period_is_not_the_wall_clocks(system, step):
    """An order that never arrived: "not there" counts only after the quiet period, which no step ends or prolongs."""
    case = cases.Case(system, "csr", messages.name("quiet"))
    cn = f"Person {case.request}"
    system.ca.fault("close_before_record", cn=cn, count=1)
    case.send(partition=0)
    system.ca.await_journal(cn=cn, operation="GetOrders")
    step_all(system, step)
    assert case.check(120).attempts >= 2
    first, second = system.ca.journal(cn=cn, operation="OrderAndIssueCertificate")
    assert decided(second) - decided(first) >= QUIET_S


@STEPS
def test_worker_dies_after_a_step_of_the_other(system, step):
    """Its orders are found by a worker whose clock tells another time than when they were placed."""
    case = cases.Case(system, "worker-key", messages.name("dies"))
    cn = f"Person {case.request}"
    system.ca.fault("hold_reply", cn=cn, count=1)
    case.send(partition=1)
    system.ca.await_journal(cn=cn, recorded=True)
    victim = system.holder(case.request)
    adopter, = (w for w in system.running() if w is not victim)
    adopter.clocks.set(wall=adopter.clocks.wall + step)
    victim.kill()
    case.check(120, 1)
    system.start(wall=0)


@STEPS
def test_drains_through_a_step(system, step):
    """It leaves in an orderly way, whatever the hour."""
    leaver, = system.only(0)
    system.tell("reply-read", "delay:500")
    placed = system.send(messages.enroll(messages.name("drain")))
    system.struck("reply-read")
    leaver.signal(signal.SIGTERM)
    leaver.clocks.set(wall=step)
    assert leaver.await_end(30) == 0
    system.only(0, 0)
    event = system.results.answer_to(placed, 60)
    assert event.result == events.RESULT_ISSUED and len(system.orders_of(f"Person {event.request_id}")) == 1
