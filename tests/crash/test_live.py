"""Workers that live through it: the answer to EndTxn is lost, a transaction is aborted by one stale partition, the
broker fails within one. And workers that die in the midst of that, while they adopt what another left, or as they put a
request aside."""

import pytest

from kit import cases, messages, topics, wait
from kit.crashing import adoptions
from epki.v1 import certificate_event_pb2 as events

SETTINGS = {"time": {"hold_max_ms": 4000}, "kafka": {"flush_ms": 500}}


# --- a step fails, and nobody dies ---

@pytest.mark.parametrize("point,kind,attempts", [
    ("request-claimed", "renewal", 1), ("intent-begun", "csr", 1), ("intent-produced", "globalsign-key", 1),
    ("calling-known", "worker-key", 2), ("gate-reached", "csr", 2), ("answer-begun", "revocation", 1)])
def test_step_that_fails_is_done_again(system, point, kind, attempts):
    """Redis does not answer, a transaction is aborted, or the gate refuses: nothing left the worker. Beyond its intent
    that is another attempt."""
    case = cases.Case(system, kind, messages.name(point))
    system.tell(point, f"fail/{case.request}")
    sent = case.send(partition=2)
    worker = system.struck(point)
    case.send_twin((sent.placed.partition + 1) % 4)
    assert case.check().attempts == attempts and worker.running()


# --- crash point 4 and 12, and nobody dies ---

@pytest.mark.parametrize("point,kind", [
    ("intent-sent", "csr"), ("intent-committed", "worker-key"), ("intent-committed", "renewal"),
    ("answer-produced", "renewal"), ("answer-sent", "csr"), ("answer-committed", "worker-key"),
    ("answer-committed", "revocation")])
def test_answer_of_the_broker_is_lost(system, point, kind):
    """The worker asks the committed maps before it does anything again."""
    case = cases.Case(system, kind, messages.name(point))
    system.tell(point, f"fail/{case.request}")
    sent = case.send(partition=0)
    worker = system.struck(point)
    case.send_twin((sent.placed.partition + 1) % 4)
    assert case.check().attempts == 1 and worker.running()
    if point.endswith("committed"):
        outcomes = worker.log(msg="the outcome of a transaction was read from the maps")
        assert outcomes and outcomes[-1]["outcome"] == "committed"


# --- crash point 15, and who lives on without its partitions ---

def held_orders(system):
    """An order in the air for every partition of three topics."""
    made = [cases.Case(system, kind, messages.name("stale"), topic) for _ in range(4) for kind, topic in (
        ("csr", topics.TOPIC_OF["EnrollmentRequest"]), ("csr", topics.BULK), ("renewal", None))]
    system.ca.fault("hold_reply", count=len(made))
    for number, case in enumerate(made):
        case.send(partition=number // 3)
    for case in made:
        system.ca.await_journal(cn=case.sent[0].cn, recorded=True)
    return made


def stale_abort(system):
    """Answers of twelve partitions wait in one transaction when a second worker takes some of them. Returns the cases,
    the first worker, while its transaction still waits, and the second."""
    alone = system.alone()
    held = held_orders(system)
    system.tell("answer-begun", "delay:3000")
    first = system.send(messages.enroll(messages.name("stale-first")))
    system.struck("answer-begun")  # the others' answers gather behind this one
    system.ca.control("POST", "/release", {})
    system.tell("answer-begun", "delay:10000")
    system.struck("answer-begun", timeout=40)
    taker = system.start()
    assert system.results.answer_to(first, 60).result == events.RESULT_ISSUED
    return held, alone, taker


def taken(held, taker):
    """Cases whose partition the second worker takes: it is given all of them at once, and adopts one after another."""
    wait.until(lambda: adoptions(taker), 40, "what the second worker takes")
    got = {(line["topic"], line["partition"]) for line in taker.log(msg="partition assigned")}
    return [case for case in held if (case.topic, case.sent[0].placed.partition) in got]


def test_abort_for_one_stale_partition_loses_no_answer_of_another(system):
    """The first lives on with answers in its memory. What is still its own it publishes again, the rest is its new
    owner's; nothing is published by both."""
    before = system.alone().metric("epki_fenced_commits_total")
    held, alone, taker = stale_abort(system)
    wait.until(lambda: alone.metric("epki_fenced_commits_total") > before, 40, "the refused transaction")
    for case in held:
        assert case.check(timeout=90, lost_tokens=2).attempts == 1
    assert 0 < len(taken(held, taker)) < len(held)
    assert system.issue(messages.enroll(messages.name())).result == events.RESULT_ISSUED


@pytest.mark.parametrize("again", [False, True], ids=["beside", "again"])
def test_dies_when_one_stale_partition_has_aborted_the_others(system, again):
    """With the others' answers in its memory, as it begins to publish them again. The second worker is there to adopt
    them, or has died as well, and the first is started again."""
    held, alone, taker = stale_abort(system)
    moved = taken(held, taker)
    kept = [case for case in held if case not in moved]
    assert moved and kept
    system.tell("answer-begun", f"die/{kept[0].request}")
    assert system.died("answer-begun", timeout=60) is alone
    assert not any(system.results.answers(placed=case.sent[0].placed) for case in kept)
    if again:
        taker.kill()
    last = system.start(instance=alone.instance) if again else taker
    for case in held:
        assert case.check(timeout=90, lost_tokens=2).attempts == 1
        assert system.adopted(case, taker if again else alone) is last


# --- crash point 16 ---

@pytest.mark.parametrize("point,kind", [("intent-sent", "worker-key"), ("answer-sent", "renewal")])
def test_broker_fails_within_a_transaction(system, point, kind):
    """It is the coordinator of the group and of the transaction, too."""
    case = cases.Case(system, kind, messages.name(point))
    system.tell(point, f"delay:1000/{case.request}")
    case.send(partition=1)
    system.struck(point)
    system.restart_broker()
    event = case.check(timeout=120, lost_tokens=2)
    assert event.attempts == 1 or point == "intent-sent"


@pytest.mark.parametrize("point,kind", [("intent-sent", "worker-key"), ("answer-sent", "renewal")])
def test_dies_while_the_broker_fails(system, point, kind):
    """The coordinator that is back has to end what nobody goes on with, and another worker adopts."""
    case = cases.Case(system, kind, messages.name(point))
    victim = system.die_while_broker_fails(case, point)
    survivor, = system.running()
    assert case.check(timeout=120, lost_tokens=2).attempts == 1
    assert system.adopted(case, victim) is survivor


# --- crash point 18 ---

@pytest.mark.parametrize("point", ["adoption-begun", "adoption-sent", "adoption-committed"])
def test_adopter_dies_as_well(system, point):
    """The order is placed, its worker dies, and so does the next within its adoption."""
    case = cases.Case(system, "csr", messages.name(point))
    system.ca.fault("hold_reply", cn=f"Person {case.request}", count=1)
    case.send(partition=2)
    system.ca.await_journal(cn=f"Person {case.request}", recorded=True)
    victim = system.holder(case)
    system.tell(point, "die")
    victim.kill()
    adopter = system.died(point, timeout=60)
    assert adopter is not victim
    system.complete()
    # Two come in place of two: whom the second takes the partition from may have asked for the order, and have let go.
    event = case.check(lost_tokens=1)
    assert event.attempts == 1
    last = system.adopted(case, victim)
    assert last not in (victim, adopter)


@pytest.mark.parametrize("point", ["adoption-begun", "adoption-sent", "adoption-committed"])
def test_adoption_that_fails_is_done_again(system, point):
    """It is aborted, or its answer is lost."""
    case = cases.Case(system, "worker-key", messages.name(point))
    system.ca.fault("hold_reply", cn=f"Person {case.request}", count=1)
    case.send(partition=3)
    system.ca.await_journal(cn=f"Person {case.request}", recorded=True)
    victim = system.holder(case)
    system.tell(point, "fail")
    victim.kill()
    adopter = system.struck(point, timeout=60)
    assert case.check().attempts == 1 and adopter.running()


# --- crash point 17 ---

@pytest.mark.parametrize("point", ["leaving", "answer-sent", "answer-committed"])
def test_dies_when_a_request_leaves_its_partition(system, point):
    system.ca.settings(licences=0)
    case = cases.Case(system, "csr", messages.name(point))
    system.tell(point, f"die/{case.request}")
    case.send(partition=0)
    system.died(point, timeout=60)
    system.results.progress(case.request, events.RESULT_WAITING, 60)
    system.complete()
    system.ca.settings(licences=100000)
    case.check(timeout=90, in_order=False)  # what waits in the room does not hold its key


@pytest.mark.parametrize("point", ["parking", "answer-sent", "answer-committed"])
def test_dies_with_a_dead_letter(system, point):
    """The next of its key is ordered when the letter is there, and costs what it costs."""
    tokens, behind = cases.Tokens(system), messages.enroll(messages.name("behind"))
    system.tell(point, "die")
    placed, after = (system.send(message, topic=topics.TOPIC_OF["EnrollmentRequest"], key="poison", partition=2)
                     for message in (b"not protobuf", behind))
    victim = system.died(point)
    assert not victim.log(request_id=behind.request_id)
    system.results.record_from(topics.DEAD, placed, 60)
    event = system.results.answer_to(after, 60)
    assert event.result == events.RESULT_ISSUED
    assert list(system.orders_of(f"Person {behind.request_id}")) == [event.certificate.order_id]
    cases.await_all_done(system)
    letters = topics.read_topic(system.ca["KAFKA_BOOTSTRAP"], topics.DEAD)
    assert [topics.source_headers(letter) for letter in letters].count(placed) == 1
    tokens.check()
