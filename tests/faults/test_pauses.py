"""A worker stopped for less than its session, at each place of an order: nobody takes its partitions, and it goes on."""

import signal
import time

import pytest

from kit import cases, messages, wait

SESSION_S, PAUSE_S = 15, 2.5  # a loop that stood still for two seconds sends nothing that it had meant to send
SETTINGS = {"kafka": {"session_ms": SESSION_S * 1000, "transaction_ms": 10000}}

# (where it stops, kind of request, tokens that it may hold)
PLACES = [
    ("request-claimed", "csr", 1),
    ("intent-produced", "worker-key", 1),
    ("intent-sent", "renewal", 1),
    ("intent-known", "csr", 1),
    ("gate-reached", "worker-key", 1),
    ("gate-passed", "csr", 1),
    ("reply-read", "renewal", 0),
    ("answer-sent", "revocation", 0),
    ("answer-committed", "worker-key", 0),
]


def adoptions(system):
    return sum(len(worker.log(msg="partition adopted")) for worker in system.running())


@pytest.mark.parametrize("point,kind,held", PLACES, ids=[f"{p}-{k}" for p, k, _ in PLACES])
def test_stopped_for_less_than_its_session(system, point, kind, held):
    case = cases.Case(system, kind, messages.name(point))
    before = adoptions(system)
    system.tell(point, f"stop/{case.request}")
    case.send(partition=0)
    sleeper = system.struck(point)
    began = time.monotonic()
    wait.until(sleeper.is_stopped, 20, f"{sleeper.instance} stopped")
    time.sleep(PAUSE_S)
    sleeper.signal(signal.SIGCONT)
    assert time.monotonic() - began < SESSION_S / 2  # or its session may have ended
    case.check(lost_tokens=held)
    assert adoptions(system) == before
