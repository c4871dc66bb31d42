"""A worker dies at a crash point and is started again as it was, with nobody else there. What Redis knows of the
request in between is what the crash point says."""

import pytest

from kit import cases, messages

WORKERS = 1

# (crash point, where it dies, kind of request, state of the request in Redis then, attempts, tokens that die with it)
POINTS = [
    (1, "request-decoded", "renewal", None, 1, 0),
    (1, "request-decoded", "revocation", None, 1, 0),
    (2, "request-claimed", "csr", "claimed", 1, 0),
    (2, "intent-begun", "worker-key", "claimed", 1, 1),
    (3, "intent-produced", "csr", "claimed", 1, 1),
    (3, "intent-sent", "renewal", "claimed", 1, 1),
    (4, "intent-committed", "worker-key", "claimed", 2, 1),
    (5, "intent-known", "csr", "claimed", 2, 1),
    (5, "calling-known", "renewal", "calling", 2, 1),
    (6, "gate-passed", "worker-key", "calling", 2, 1),
    (7, "reply-begun", "csr", "calling", 1, 0),
    (7, "reply-begun", "revocation", "claimed", 1, 0),
    (8, "reply-read", "renewal", "calling", 1, 0),
    (8, "outcome-sent", "worker-key", "calling", 1, 0),
    (9, "answer-begun", "csr", "outcome", 1, 0),
    (10, "answer-produced", "worker-key", "outcome", 1, 0),
    (11, "answer-sent", "revocation", "claimed", 1, 0),
    (12, "answer-committed", "renewal", "outcome", 1, 0),
    (13, "answer-known", "worker-key", "outcome", 1, 0),
]


@pytest.mark.parametrize("number,point,kind,state,attempts,lost", POINTS,
                         ids=[f"{n}-{p}-{k}" for n, p, k, *_ in POINTS])
def test_dies_and_is_started_again(system, number, point, kind, state, attempts, lost):
    case = cases.Case(system, kind, messages.name(point))
    system.tell(point, "die")
    sent = case.send(partition=number % 4)
    victim = system.died(point)
    assert not system.running()
    assert cases.store(system).hget(f"epki:v1:request:{case.request}", "st") == state
    case.send_twin((sent.placed.partition + 1) % 4)
    queries = len(system.ca.journal(operation="GetOrders", cn=sent.cn))
    system.start(instance=victim.instance)
    event = case.check(lost_tokens=lost)
    assert event.attempts == attempts
    if state in ("outcome", None):  # what is known, or was never begun, is not asked for
        assert len(system.ca.journal(operation="GetOrders", cn=sent.cn)) == queries
