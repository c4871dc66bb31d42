"""A worker stopped for less than its session, at each place of an order: nobody takes its partitions, and it goes on."""

import signal
import time

import pytest

from kit import cases, messages

SESSION_S, PAUSE_S = 15, 2.5  # a loop that stood still for two seconds sends nothing that it had meant to send
SETTINGS = {"kafka": {"session_ms": SESSION_S * 1000, "transaction_ms": 10000}}

# (where it stops, kind of request)
PLACES = [
    ("request-claimed", "csr"),
    ("intent-produced", "worker-key"),
    ("intent-sent", "renewal"),
    ("intent-known", "csr"),
    ("gate-reached", "worker-key"),
    ("gate-passed", "csr"),
    ("reply-read", "renewal"),
    ("answer-sent", "revocation"),
    ("answer-committed", "worker-key"),
]


def adoptions(system):
    return len(system.log(msg="partition adopted", logger="kafka"))


@pytest.mark.parametrize("point,kind", PLACES, ids=[f"{p}-{k}" for p, k in PLACES])
def test_stopped_for_less_than_its_session(system, point, kind):
    case = cases.Case(system, kind, messages.name(point))
    before = adoptions(system)
    system.tell(point, f"stop/{case.request}")
    case.send(partition=0)
    sleeper = system.stopped(point)
    began = time.monotonic()
    time.sleep(PAUSE_S)
    sleeper.signal(signal.SIGCONT)
    assert time.monotonic() - began < SESSION_S / 2  # or its session may have ended
    case.check()
    assert adoptions(system) == before
