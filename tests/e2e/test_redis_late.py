"""Redis away or wiped just when an order in the air changes hands: nothing is cancelled, parked or refused for that."""

import signal
import subprocess

import pytest
import redis

from kit import keys, messages, wait
from epki.v1 import certificate_event_pb2 as events
from epki.v1 import common_pb2

ISSUED = events.RESULT_ISSUED
SETTINGS = {"time": {"send_window_ms": 2000, "tcp_ms": 500, "processing_ms": 500, "visibility_ms": 200, "margin_ms": 100},
            "accounts": {"main": {"connect_ms": 900}}}


@pytest.fixture(scope="module")
def client(system):
    return redis.Redis(port=int(system.ca["REDIS_URL"].rsplit(":", 1)[1]), socket_timeout=5)


@pytest.fixture(autouse=True)
def two_workers(system):
    while len(system.running()) < 2:
        system.workers.start()
    assert system.issue(messages.enroll(messages.name())).result == ISSUED


def signal_redis(system, number):
    subprocess.run(["kill", f"-{int(number)}", str(system.ca.pid("redis"))], check=True)


def in_the_air(system, cn, worker_key):
    """An order that the CA has, whose reply never comes: (request id, where it stands, the worker that waits)."""
    system.ca.fault("hold_reply", cn=cn, count=1)
    request = messages.name()
    choice = common_pb2.WorkerKey(type="KEY_TYPE_EC_P256", recipient_certificate=system.recipient.der)
    placed = system.send(messages.enroll(request, cn=cn, worker_key=choice if worker_key else None))
    system.ca.await_journal(cn=cn, recorded=True)
    return request, placed, next(w for w in system.running() if w.log(request_id=request, state="order"))


def test_order_that_never_arrived_waits_for_redis_as_long_as_it_takes(system):
    system.ca.fault("close_before_record", cn="Redis Late", count=1)
    request = messages.name()
    placed = system.send(messages.enroll(request, cn="Redis Late"))
    system.ca.await_journal(cn="Redis Late")
    signal_redis(system, signal.SIGSTOP)
    try:
        wait.until(lambda: sum(len(w.log(request_id=request, state="claim")) for w in system.running()) >= 8, 90,
                   "seven claims without an answer")
    finally:
        signal_redis(system, signal.SIGCONT)
    event = system.results.answer_to(placed, 60)
    assert event.result == ISSUED and len(system.orders_of("Redis Late")) == 1
