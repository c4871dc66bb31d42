"""A worker dies at a crash point and is started again as it was, with nobody else there. What Redis knows of the
request in between is what the crash point says."""

import pytest

from kit import cases, messages, wait
from kit.crashing import adoptions
from parking import GONE, Parking
from epki.v1 import certificate_event_pb2 as events

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
    (5, "gate-reached", "csr", "calling", 2, 1),
    (6, "gate-passed", "worker-key", "calling", 2, 1),
    (6, "gate-passed", "globalsign-key", "calling", 2, 1),
    (7, "reply-begun", "csr", "calling", 1, 0),
    (7, "reply-begun", "revocation", "claimed", 1, 0),
    (8, "reply-read", "renewal", "calling", 1, 0),
    (8, "outcome-sent", "worker-key", "calling", 1, 0),
    (9, "answer-begun", "csr", "outcome", 1, 0),
    (9, "answer-begun", "globalsign-key", "outcome", 1, 0),
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


@pytest.mark.parametrize("point,recorded,attempts,lost", [("gate-passed", [False], 3, 1),
                                                          ("reply-read", [False, True], 2, 0)])
def test_dies_in_its_second_attempt(system, point, recorded, attempts, lost):
    """The first came to nothing. What was counted before is not begun anew by who comes next."""
    case = cases.Case(system, "csr", messages.name(point))
    system.ca.fault("close_before_record", cn=f"Person {case.request}", count=1)
    system.tell(point, f"die@2/{case.request}")
    case.send(partition=3)
    victim = system.died(point, timeout=60)
    calls = system.ca.journal(operation="OrderAndIssueCertificate", cn=case.sent[0].cn)
    assert [call["recorded"] for call in calls] == recorded
    assert cases.store(system).hget(f"epki:v1:request:{case.request}", "st") == "calling"
    system.start(instance=victim.instance)
    assert case.check(lost_tokens=lost).attempts == attempts


@pytest.mark.parametrize("point", ["adoption-begun", "adoption-sent", "adoption-committed"])
def test_dies_again_while_it_adopts(system, point):
    """Crash point 18: the order is placed, its worker dies, and once more as it is started again."""
    case = cases.Case(system, "worker-key", messages.name(point))
    system.ca.fault("hold_reply", cn=f"Person {case.request}", count=1)
    case.send(partition=0)
    system.ca.await_journal(cn=f"Person {case.request}", recorded=True)
    victim, = system.running()
    victim.kill()
    system.tell(point, "die")
    system.start(instance=victim.instance, ready=False)
    system.died(point)
    system.start(instance=victim.instance)
    assert case.check().attempts == 1


@pytest.mark.parametrize("point", [None, "reply-read"], ids=["in-the-air", "reply-read"])
def test_deposed_worker_dies_with_its_call_in_flight(system, point):
    """Crash point 14, and nobody else was there: it had lost its membership, and is its own adopter. The CA answers no
    query before it is dead."""
    case = cases.Case(system, "renewal", messages.name("deposed"))
    system.ca.fault("hold_reply", cn=f"Person {case.request}", count=1)
    sent = case.send(partition=2)
    system.ca.await_journal(cn=sent.cn, recorded=True)
    zombie, = system.running()
    before = adoptions(zombie)
    system.ca.fault("http_503", operation="GetOrders", retry_after_s=1)
    system.stop_past_session(zombie)
    wait.until(lambda: adoptions(zombie) > before and zombie.log(request_id=case.request, state="reconcile"), 40,
               "the partition adopted anew")
    system.die_with_reply(case, zombie, point)
    assert cases.store(system).hget(f"epki:v1:request:{case.request}", "st") in ("calling", "unknown")
    case.send_twin((sent.placed.partition + 1) % 4)
    system.ca.clear_faults()
    system.start(instance=zombie.instance)
    assert case.check(lost_tokens=1).attempts == 1


@pytest.mark.parametrize("point,kind", [("intent-sent", "csr"), ("answer-sent", "worker-key")])
def test_dies_while_the_broker_fails(system, point, kind):
    """Crash point 16: it is the coordinator of the group and of the transaction, too."""
    case = cases.Case(system, kind, messages.name(point))
    victim = system.die_while_broker_fails(case, point)
    system.start(instance=victim.instance)
    assert case.check(timeout=120, lost_tokens=1).attempts == 1


@pytest.mark.parametrize("point", ["leaving", "answer-produced"])
def test_dies_when_a_request_leaves_its_partition(system, nobody, point):
    change = {"time": {"hold_max_ms": 4000}}
    victim = system.start(instance="leaver", change=change)
    system.ca.settings(licences=0)
    case = cases.Case(system, "csr", messages.name(point))
    system.tell(point, f"die/{case.request}")
    case.send(partition=0)
    assert victim is system.died(point, timeout=60)
    system.start(instance="leaver", change=change)
    system.results.progress(case.request, events.RESULT_WAITING, 60)
    system.ca.settings(licences=100000)
    case.check(timeout=90, in_order=False)  # what waits in the room does not hold its key


def test_dies_while_it_parks(system, nobody):
    """Before it says so, and again with the parked record on its way."""
    system.start(instance="parker")
    parking = Parking(system)
    for point in ("parking", "answer-sent"):
        system.tell(point, f"die/{parking.request}")
        system.start(instance="parker", change=GONE, ready=False)
        system.died(point, timeout=60)
    system.start(instance="parker", change=GONE)
    parking.check()
