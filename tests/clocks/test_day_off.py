"""A worker whose wall clock is a day off beside one that is right. Both order, adopt each other's work, look for orders and
rebuild Redis; what they say of requests is the same."""

import time

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from kit import cases, clocks, messages, topics, wait
from epki.v1 import certificate_event_pb2 as events
from epki.v1 import common_pb2

OFF = pytest.mark.parametrize("off", [clocks.DAY, -clocks.DAY], ids=["ahead", "behind"])
ORDER = "OrderAndIssueCertificate"


def pair(system, off):
    """A worker whose clock is off, and one that is right."""
    wrong, right = system.only(off, 0)
    system.accepted()
    return wrong, right


def answered(worker, made):
    """How many of these cases' requests a worker answered."""
    ids = {sent.message.request_id for case in made for sent in case.sent}
    return len({line["request_id"] for line in worker.log(state="answered") if line.get("request_id") in ids})


@OFF
def test_both_keep_the_promises(system, off):
    wrong, right = pair(system, off)
    made = system.one_of_each("a") + system.one_of_each("b")
    system.send_all(made)
    system.check_all(made)
    assert answered(wrong, made) > 0 and answered(right, made) > 0


@OFF
@pytest.mark.parametrize("capped", [False, True], ids=["one-list", "in-parts"])
def test_adopts_from_one_that_is_right(system, off, capped):
    """An order in the air; its worker dies. A list that is cut off is asked for in parts of time, by the CA's clock."""
    right, = system.only(0)
    cn = f"Off {messages.name()}"
    system.accepted()
    before = [system.issue(messages.enroll(messages.name(), cn=cn)) for _ in range(4 if capped else 0)]
    system.ca.fault("hold_reply", cn=cn, count=1)
    placed = system.send(messages.enroll(messages.name(), cn=cn))
    system.ca.await_journal(cn=cn, recorded=True, count=len(before) + 1)
    system.ca.settings(cap=2 if capped else 500)
    right.kill()
    wrong, = system.only(off)
    event = system.results.answer_to(placed, 60)
    system.ca.settings(cap=500)
    assert event.result == events.RESULT_ISSUED
    assert len(system.orders_of(cn)) == len(before) + 1
    lists = system.ca.journal(operation="GetOrders", cn=cn)
    assert len(lists) > 5 if capped else len(lists) >= 1
    assert wrong.log(state="reconcile", request_id=event.request_id)


@OFF
def test_orders_again_only_when_none_is_there(system, off):
    """The one that is off sends an order that never arrives, and dies; whoever is right says "none", after the quiet
    period. Then the same the other way round."""
    for first, second in ((off, 0), (0, off)):
        victim, = system.only(first)
        case = cases.Case(system, "csr", messages.name("none"))
        system.ca.fault("close_before_record", cn=f"Person {case.request}", count=1)
        case.send(partition=2)
        system.ca.await_journal(cn=f"Person {case.request}", operation=ORDER)
        victim.kill()
        system.only(second)
        assert case.check(timeout=120, lost_tokens=1).attempts >= 2
        assert len(system.ca.journal(cn=f"Person {case.request}", operation=ORDER)) == 2


@OFF
def test_rebuilds_redis(system, off):
    """What one that is right answered, one that is off restores, and repeats; and what it restored holds for another."""
    system.only(0)
    made = [cases.Case(system, kind, messages.name(f"rebuilt-{kind}")) for kind in ("csr", "worker-key")]
    system.send_all(made, twins=False)
    system.check_all(made)
    wrong, = system.only(off)
    cases.store(system).flushall()
    wrong.await_log(msg="redis rebuilt", timeout=60)
    cases.fill_bucket(system)
    twins = [system.send(case.sent[0].message, key="elsewhere") for case in made]
    for case, twin in zip(made, twins):
        again, first = system.results.answer_to(twin, 60), case.answer()
        assert again.HasField("duplicate_of") and again.certificate.serial == first.certificate.serial
        assert list(system.orders_of(case.sent[0].cn)) == [first.certificate.order_id]
    keys = [f"epki:v1:request:{case.request}" for case in made]
    kept = [cases.store(system).pttl(key) / 86400000 for key in keys]
    assert all(393 < days < 398 for days in kept), kept  # a year and thirty days, and the day


@OFF
def test_deadline_and_recipient_are_judged_by_the_cas_clock(system, off):
    """A deadline an hour from now has not passed, one of an hour ago has, and a recipient's certificate that begins today
    is valid, whatever the worker believes: before it has heard GlobalSign, too."""
    system.only(off)
    now = int(time.time() * 1000)
    choice = common_pb2.WorkerKey(type="KEY_TYPE_EC_P256", recipient_certificate=system.recipient.der)
    soon = system.send(messages.enroll(messages.name("soon"), deadline_ms=now + 3600000, worker_key=choice))
    late = system.send(messages.enroll(messages.name("late"), deadline_ms=now - 3600000))
    assert system.results.answer_to(soon, 40).result == events.RESULT_ISSUED
    rejected = system.results.answer_to(late, 40)
    assert rejected.result == events.RESULT_REJECTED and rejected.failure.problem == "deadline-passed"
    assert not system.orders_of(f"Person {rejected.request_id}")
    cases.await_all_done(system, 30)


def test_clock_outside_the_cas_tls_certificate_is_named(system):
    """It cannot connect: `check` says why."""
    far = clocks.Clocks(system.ca.directory / "far", wall=-30 * clocks.DAY)
    done = system.workers.command("check", clocks=far)
    assert done.returncode == 1 and "certificate is not yet valid" in done.stdout + done.stderr
    assert system.workers.command("check").returncode == 0


def offsets_are_set_by_hand(system):
    """To where the enrolment topic begins, once no worker is a member any more."""
    system.tells_again = True
    admin = AdminClient({"bootstrap.servers": system.ca["KAFKA_BOOTSTRAP"], **topics.QUIET})
    wait.until(lambda: not admin.describe_consumer_groups([cases.GROUP])[cases.GROUP].result(10).members, 30, "no member")
    places = [TopicPartition(topics.TOPIC_OF["EnrollmentRequest"], p, 0) for p in range(4)]
    done = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(cases.GROUP, places)])
    assert not any(place.error for place in done[cases.GROUP].result(30).topic_partitions)


def test_offsets_are_lost_again_after_a_clock_was_ahead(system):
    """Epochs begin by the wall clock where commits were lost: those of one that is right are far below those under which
    orders were placed before. They are the owner's all the same, who finds each order and answers it."""
    system.only()
    offsets_are_set_by_hand(system)
    wrong, = system.only(clocks.DAY)
    system.accepted()
    made = [cases.Case(system, "csr", messages.name("ahead")) for _ in range(3)]
    held = system.ca.fault("hold_reply", count=len(made))
    system.send_all(made, twins=False)
    wait.until(lambda: system.ca.fault_hits(held) == len(made), 30, "orders in the air")
    wrong.kill()
    offsets_are_set_by_hand(system)
    right, = system.only(0)
    system.check_all(made, 60)
    raised = {"msg": "epoch raised above those of a lost time"}
    assert right.log(**raised) and not wrong.log(**raised)
