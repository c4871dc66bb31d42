"""A worker dies at a crash point, beside another that adopts what it had."""

import pytest

from kit import cases, messages
from parking import GONE, Parking
from epki.v1 import certificate_event_pb2

# (crash point, where it dies, kind of request, attempts that the answer tells of, tokens that die with it)
POINTS = [
    (1, "request-decoded", "csr", 1, 0),
    (2, "request-claimed", "worker-key", 1, 0),
    (2, "intent-begun", "csr", 1, 1),
    (3, "intent-produced", "renewal", 1, 1),
    (3, "intent-sent", "worker-key", 1, 1),
    (4, "intent-committed", "csr", 2, 1),
    (5, "intent-known", "renewal", 2, 1),
    (5, "calling-known", "worker-key", 2, 1),
    (5, "gate-reached", "csr", 2, 1),
    (6, "gate-passed", "csr", 2, 1),
    (7, "reply-begun", "renewal", 1, 0),
    (8, "reply-read", "worker-key", 1, 0),
    (8, "outcome-sent", "csr", 1, 0),
    (9, "answer-begun", "renewal", 1, 0),
    (10, "answer-produced", "globalsign-key", 1, 0),
    (10, "answer-produced", "revocation", 1, 0),
    (11, "answer-sent", "worker-key", 1, 0),
    (12, "answer-committed", "revocation", 1, 0),
    (12, "answer-committed", "globalsign-key", 1, 0),
    (13, "answer-known", "csr", 1, 0),
]


@pytest.mark.parametrize("number,point,kind,attempts,lost", POINTS, ids=[f"{n}-{p}-{k}" for n, p, k, *_ in POINTS])
def test_dies_beside_another(system, number, point, kind, attempts, lost):
    case = cases.Case(system, kind, messages.name(point))
    system.tell(point, "die")
    sent = case.send(partition=number % 4)
    victim = system.died(point)
    survivor, = system.running()
    case.send_twin((sent.placed.partition + 1) % 4)
    event = case.check(lost_tokens=lost)
    assert event.attempts == attempts
    assert system.adopted(case, victim) is survivor


@pytest.mark.parametrize("point", ["parking", "answer-produced", "answer-sent", "answer-committed"])
def test_dies_while_it_parks(system, nobody, point):
    """Crash point 17: the record is parked and done, or neither."""
    system.start()
    parking = Parking(system)
    system.tell(point, f"die/{parking.request}")
    pair = [system.start(change=GONE, ready=False) for _ in range(2)]
    victim = system.died(point, timeout=60)
    survivor, = [worker for worker in pair if worker is not victim]
    parking.check()
    assert system.adopted(parking, victim) is survivor


def test_certificate_of_a_worker_that_died_before_redis_heard_is_known_by_its_serial(system):
    """Whoever read the answer may name it."""
    case = cases.Case(system, "csr", messages.name("named"))
    system.tell("answer-committed", "die")
    case.send(partition=1)
    system.died("answer-committed")
    certificate = case.answer().certificate
    target = messages.by_serial(certificate.issuer, certificate.serial)
    renewed = system.issue(messages.renew(messages.name(), target))
    assert renewed.result == certificate_event_pb2.RESULT_RENEWED
    assert renewed.replaces_order_id == certificate.order_id
    orders = [certificate.order_id, renewed.certificate.order_id]
    assert sorted(system.orders_of(case.sent[0].cn)) == sorted(orders)
    system.complete()
