"""Workers that live through it: the answer to EndTxn is lost, a transaction is aborted by one stale partition, the
broker fails within one. And workers that die while they adopt what another left, or put a request aside."""

import pytest

from kit import cases, messages, topics, wait
from epki.v1 import certificate_event_pb2 as events

SETTINGS = {"time": {"hold_max_ms": 4000}}
BROKER_PORT = 10  # from the stack's first


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
    """An order in the air for every partition of three topics. (CN, where the request stands, result)"""
    base = [system.issue(messages.enroll(messages.name("stale-base"))) for _ in range(4)]
    system.ca.fault("hold_reply", count=12)
    sent = []
    for number in range(4):
        for topic in (topics.TOPIC_OF["EnrollmentRequest"], topics.BULK, topics.TOPIC_OF["RenewalRequest"]):
            cn = f"Person {messages.name('stale')}"
            message, result = messages.enroll(messages.name("stale"), cn=cn), events.RESULT_ISSUED
            if topic == topics.TOPIC_OF["RenewalRequest"]:
                message = messages.renew(messages.name("stale"), messages.by_request(base[number].request_id),
                                         subject=messages.subject(cn))
                result = events.RESULT_RENEWED
            sent.append((cn, system.send(message, topic=topic, partition=number), result))
    for cn, _, _ in sent:
        system.ca.await_journal(cn=cn, recorded=True)
    return sent


def test_abort_for_one_stale_partition_loses_no_answer_of_another(system):
    """Answers of twelve partitions wait in one transaction when a second worker takes some of them: the first lives on
    with answers in its memory. What is still its own it publishes again, the rest is its new owner's; nothing is
    published by both."""
    while len(system.running()) > 1:
        assert system.running()[0].terminate(40) == 0
    alone, = system.running()
    sent = held_orders(system)
    system.tell("answer-begun", "delay:3000")
    first = system.send(messages.enroll(messages.name("stale-first")))
    system.struck("answer-begun")  # the others' answers gather behind this one
    system.ca.control("POST", "/release", {})
    system.tell("answer-begun", "delay:6000")
    before = alone.metric("epki_fenced_commits_total")
    system.struck("answer-begun", timeout=40)
    taker = system.start()
    assert system.results.answer_to(first, 60).result == events.RESULT_ISSUED
    wait.until(lambda: alone.metric("epki_fenced_commits_total") > before, 40, "the refused transaction")
    for cn, placed, result in sent:
        event = system.results.answer_to(placed, 90)
        assert event.result == result and list(system.orders_of(cn)) == [event.certificate.order_id]
    taken = {(line["topic"], line["partition"]) for line in taker.log(msg="partition adopted")}
    moved = [placed for _, placed, _ in sent if (placed.topic, placed.partition) in taken]
    assert 0 < len(moved) < len(sent)
    cases.await_all_done(system)
    assert system.issue(messages.enroll(messages.name())).result == events.RESULT_ISSUED
    assert all(len(system.results.answers(placed=placed)) == 1 for _, placed, _ in sent)


# --- crash point 16 ---

@pytest.mark.parametrize("point,kind", [("intent-sent", "worker-key"), ("answer-sent", "renewal")])
def test_broker_fails_within_a_transaction(system, point, kind):
    """It is the coordinator of the group and of the transaction, too."""
    case = cases.Case(system, kind, messages.name(point))
    system.tell(point, f"delay:1000/{case.request}")
    case.send(partition=1)
    system.struck(point)
    system.ca.restart("kafka-1", system.ca.base_port + BROKER_PORT)
    event = case.check(timeout=120, lost_tokens=2)
    assert event.attempts == 1 or point == "intent-sent"


# --- crash point 18 ---

@pytest.mark.parametrize("point", ["adoption-begun", "adoption-sent", "adoption-committed"])
def test_adopter_dies_as_well(system, point):
    """The order is placed, its worker dies, and so does the next within its adoption."""
    case = cases.Case(system, "csr", messages.name(point))
    system.ca.fault("hold_reply", cn=f"Person {case.request}", count=1)
    case.send(partition=2)
    system.ca.await_journal(cn=f"Person {case.request}", recorded=True)
    victim = holder(system, case)
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
    victim = holder(system, case)
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


def test_dies_with_a_dead_letter(system):
    system.tell("parking", "die")
    placed = system.send(b"not protobuf", topic=topics.TOPIC_OF["EnrollmentRequest"], key="poison", partition=2)
    system.died("parking")
    system.results.record_from(topics.DEAD, placed, 60)
    cases.await_all_done(system)
    letters = topics.read_topic(system.ca["KAFKA_BOOTSTRAP"], topics.DEAD)
    assert [topics.source_headers(letter) for letter in letters].count(placed) == 1


def holder(system, case):
    """The worker that has the request."""
    return wait.until(lambda: next((w for w in system.running() if w.log(request_id=case.request)), None), 20, "it")
