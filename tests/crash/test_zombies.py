"""Workers that stop past their session at each place of an order and wake when another has finished their work; and
one that lives on without its partitions. None of them orders or answers again, but for the one place that nothing in
the worker can guard: between the send gate and the first byte. There it is measured what it takes."""

import signal
import time

import pytest

from kit import BUILD, cases, messages, wait
from kit.crashing import adoptions

# Open transactions outlast a session by far: a zombie may still commit one.
SETTINGS = {"kafka": {"transaction_ms": 6000}}

# (where it stops, kind of request, attempts that the adopter's answer tells of, tokens that it may hold)
PLACES = [
    ("intent-produced", "csr", 1, 1),        # before the offsets of an intent are sent
    ("intent-sent", "worker-key", 1, 1),     # between them and EndTxn, beyond the transaction's time
    ("intent-committed", "renewal", 2, 1),   # after the intent, before the gate
    ("gate-reached", "csr", 2, 1),
    ("reply-begun", "worker-key", 1, 0),     # after sending
    ("reply-read", "renewal", 1, 0),
    ("answer-produced", "csr", 1, 0),        # with an answer on its way
    ("answer-sent", "revocation", 1, 0),
    ("answer-committed", "worker-key", 1, 0),
]


def finished(system, case, zombie):
    """The other worker has adopted the zombie's work and ended it. Returns the answer."""
    system.adopted(case, zombie)
    first, _ = (system.results.answer_to(sent.placed, 60) for sent in case.sent)
    return first


def wake(zombie):
    zombie.signal(signal.SIGCONT)


def woken(zombie, before):
    """It is back: a member with partitions, which it adopted anew."""
    wait.until(lambda: adoptions(zombie) > before, 40, f"{zombie.instance} among the living")


@pytest.mark.parametrize("point,kind,attempts,held", PLACES, ids=[f"{p}-{k}" for p, k, *_ in PLACES])
def test_stops_and_wakes_when_all_is_done(system, point, kind, attempts, held):
    case = cases.Case(system, kind, messages.name(point))
    system.tell(point, "stop")
    case.send(partition=0)
    zombie = system.stopped(point)
    before = adoptions(zombie)
    event = finished(system, case, zombie)
    wake(zombie)
    woken(zombie, before)
    assert case.check(lost_tokens=held) == event
    assert event.attempts == attempts


def test_commits_its_intent_though_its_session_is_over(system):
    """Its offsets were sent while it was a member. The adopter had to wait for them, and looks for an order that the
    zombie's own gate refuses."""
    case = cases.Case(system, "csr", messages.name("late"))
    system.tell("intent-sent", "stop")
    case.send(partition=1)
    zombie = system.stopped("intent-sent")
    adopter, before = system.other(zombie), adoptions(zombie)
    had, buried = adoptions(adopter), len(zombie.log(msg="the producer is made anew"))
    wait.until(lambda: adoptions(adopter) > had, 30, "adoptions of what is not pending")
    wake(zombie)
    event = case.check(lost_tokens=1)
    woken(zombie, before)
    too_late = len(zombie.log(msg="the producer is made anew")) > buried
    assert event.attempts == (1 if too_late else 2)


def test_answer_of_a_deposed_worker_comes_by_the_mailbox(system):
    """The CA answers no query: only the zombie knows of the order, may not publish it, and says it to Redis."""
    case = cases.Case(system, "worker-key", messages.name("mailbox"))
    system.tell("reply-begun", "stop")
    case.send(partition=2)
    zombie = system.stopped("reply-begun")
    before = adoptions(zombie)
    system.ca.fault("http_503", operation="GetOrders", retry_after_s=1)
    adopter = system.other(zombie)
    wait.until(lambda: adopter.log(request_id=case.request, state="reconcile"), 30, "the adopter looks for the order")
    wake(zombie)
    event = case.answer()
    assert event.attempts == 1
    assert all(e["result"] != "ok" for e in system.ca.journal(operation="GetOrders", cn=case.sent[0].cn))
    system.ca.clear_faults()
    woken(zombie, before)
    case.check()


def test_key_in_the_mailbox_reaches_who_adopts_after_the_next(system):
    """The first adopter stops before it looks there, the next one is the zombie itself. GlobalSign made the key, so there
    is no other copy: its order must not be taken for one whose key is lost."""
    case = cases.Case(system, "globalsign-key", messages.name("mailbox"))
    system.tell("reply-read", "stop")
    case.send(partition=2)
    zombie = system.stopped("reply-read")
    before = adoptions(zombie)
    system.ca.fault("http_503", operation="GetOrders", retry_after_s=1)
    adopter = system.other(zombie)
    wait.until(lambda: adopter.log(request_id=case.request, state="reconcile"), 30, "the adopter looks for the order")
    adopter.signal(signal.SIGSTOP)
    wake(zombie)
    event = case.answer()
    assert event.attempts == 1
    woken(zombie, before)
    adopter.signal(signal.SIGCONT)
    system.ca.clear_faults()
    case.check()


@pytest.mark.parametrize("point", [None, "reply-read"], ids=["in-the-air", "reply-read"])
def test_deposed_worker_dies_with_its_call_in_flight(system, point):
    """Crash point 14, and nobody says anything to Redis: the CA answers no query before it is dead, so that only a query
    can tell its adopter."""
    case = cases.Case(system, "worker-key", messages.name("deposed"))
    system.ca.fault("hold_reply", cn=f"Person {case.request}", count=1)
    sent = case.send(partition=2)
    system.ca.await_journal(cn=sent.cn, recorded=True)
    zombie = system.holder(case)
    adopter, before = system.other(zombie), adoptions(zombie)
    system.ca.fault("http_503", operation="GetOrders", retry_after_s=1)
    zombie.signal(signal.SIGSTOP)
    wait.until(lambda: adopter.log(request_id=case.request, state="reconcile"), 30, "the adopter looks for the order")
    wake(zombie)
    woken(zombie, before)
    system.die_with_reply(case, zombie, point)
    case.send_twin((sent.placed.partition + 1) % 4)
    system.ca.clear_faults()
    assert case.check(lost_tokens=1).attempts == 1
    assert system.adopted(case, zombie) is adopter


# --- the one that is left ---

def late_order(system, kind_of_wake, idle_ms):
    """Stops between gate and first byte. Returns what came of it, and how long the pause was in seconds."""
    case = cases.Case(system, "csr", messages.name("residual"))
    system.ca.settings(idle_ms=idle_ms)
    system.tell("gate-passed", "stop")
    case.send(partition=3)
    zombie = system.stopped("gate-passed")
    began, before = time.monotonic(), adoptions(zombie)
    kind_of_wake(system, case, zombie)
    pause = time.monotonic() - began
    wake(zombie)
    woken(zombie, before)
    return case, pause


def when_looked_for(system, case, zombie):
    """The adopter looks, and the CA says nothing yet: the quiet period is not over."""
    system.ca.fault("http_503", operation="GetOrders", retry_after_s=1)
    wait.until(lambda: system.other(zombie).log(request_id=case.request, state="reconcile"), 30, "reconciling")


def when_ordered_again(system, case, zombie):
    system.ca.await_journal(cn=case.sent[0].cn, recorded=True, timeout=60)
    case.answer()


@pytest.fixture(scope="module")
def table():
    lines = []
    yield lines
    head = "pause between send gate and first byte | the CA closes an idle connection after | orders"
    (BUILD / "reports").mkdir(exist_ok=True)
    (BUILD / "reports" / "residual.txt").write_text("\n".join([head, *lines]) + "\n")


def note(table, pause, idle_ms, orders):
    table.append(f"{pause:.1f} s | {idle_ms / 1000:.0f} s | {orders}")


def test_late_order_within_the_quiet_period_is_found(system, table):
    case, pause = late_order(system, when_looked_for, 60000)
    system.ca.await_journal(cn=case.sent[0].cn, recorded=True)
    system.ca.clear_faults()
    case.check()
    assert case.answer().attempts == 1
    note(table, pause, 60000, 1)


def test_late_order_on_a_connection_that_the_ca_closed_is_none(system, table):
    case, pause = late_order(system, when_ordered_again, 1000)
    system.ca.settings(idle_ms=60000)
    case.check(lost_tokens=1)
    assert case.answer().attempts == 2 and pause > 1
    note(table, pause, 1000, 1)


def test_late_order_beyond_the_quiet_period_is_a_surplus(system, table):
    """What a worker cannot exclude. There is one answer all the same, and a worker that compares the CA's orders with the
    answers finds the other order, says so, and cancels it."""
    case, pause = late_order(system, when_ordered_again, 60000)
    event, cn = case.answer(), case.sent[0].cn
    orders = system.ca.await_journal(cn=cn, recorded=True, count=2)
    assert len({order["order_id"] for order in orders}) == 2
    assert event.certificate.order_id == orders[0]["order_id"]
    assert len({order["spki_sha256"] for order in orders}) == 1  # that is what it can be known by
    assert len(system.results.answers(placed=case.sent[0].placed)) == 1
    cases.await_all_done(system, 30)
    note(table, pause, 60000, 2)
    surplus = orders[1]["order_id"]
    system.start(change={"time": {"surplus_interval_ms": 1000, "surplus_window_ms": 3600000}})
    system.ca.await_journal(operation="Cancel", order_id=surplus, result="ok", timeout=40)
    wait.until(lambda: [e for e in list(system.results.account_events) if e.type == "surplus"], 20, "the report")
    assert {(e.order_id, e.request_id) for e in system.results.account_events if e.type == "surplus"} == {
        (surplus, case.request)}
    assert system.ca.control("GET", f"/orders/{event.certificate.order_id}")["status"] == 4
