"""The waiting room at its edges: what makes requests leave their partition, and what ends a wait that nothing else would."""

import collections
import itertools
import subprocess
import time

import pytest

from kit import messages, topics, wait
from epki.v1 import certificate_event_pb2 as events
from epki.v1 import common_pb2, internal_pb2

ISSUED, REJECTED = events.RESULT_ISSUED, events.RESULT_REJECTED
ORDER_ISSUED = 4  # the CA's OrderStatus
# Only a budget makes anything leave here; a pending order is asked for late, so that nothing moves meanwhile.
SETTINGS = {"kafka": {"partition_items": 40, "partition_bytes": 1048576},
            "redis": {"timeout_ms": 15000},  # it is stopped for a moment, and nobody is to take it for gone
            "time": {"hold_max_ms": 600000, "poll_first_ms": 20000, "poll_max_ms": 20000}}


def inflight(system):
    """What epki.inflight ever held, oldest first, by request: the records, None for a tombstone."""
    found = collections.defaultdict(list)
    for record in topics.read_topic(system.ca["KAFKA_BOOTSTRAP"], topics.INFLIGHT):
        value = record.value() and internal_pb2.InflightRecord.FromString(record.value())
        found[record.key().split(b"\0")[0].decode()].append(value)
    return found


def left(system, sent):
    """Those of the sent requests that left for the waiting room."""
    found = inflight(system)
    return {request for request in sent
            if any(r and r.kind == internal_pb2.INFLIGHT_KIND_WAITING for r in found[request])}


# --- a quarter of the budget ---

def ask_pending(system, partition, count, **facts):
    """Requests whose orders wait at the CA; each has said so when this returns."""
    sent = {}
    for index in range(count):
        request = messages.name("room")
        subject = messages.subject(f"Person {request}", **facts)
        sent[request] = system.send(messages.enroll(request, subject=subject), partition=partition)
    for request in sent:
        system.results.progress(request, events.RESULT_PENDING)
    return sent


def finish(system, sent):
    """Whoever adopts the partitions looks at once for what has been issued meanwhile."""
    for request in sent:
        [order_id] = system.orders_of(f"Person {request}")
        wait.until(lambda at=order_id: system.ca.control("GET", f"/orders/{at}")["status"] == ORDER_ISSUED, 60, "issued")
    for running in system.running():
        running.kill()
    for _ in range(2):
        system.workers.start()
    for request, placed in sent.items():
        assert system.results.answer_to(placed, 60).result == ISSUED
        assert len(system.orders_of(f"Person {request}")) == 1


def test_quarter_of_the_budget_leaves_oldest_first(system):
    """Ten of forty items are a quarter, as are five records of 60 kB of 1 MiB; one less may stay."""
    bulky = {"attributes": [common_pb2.Attribute(name=f"a{i}", value="x" * 1000) for i in range(60)]}
    crowds = [(0, {}, 9), (1, bulky, 4)]
    system.ca.settings(async_issue_ms=8000)
    system.ca.fault("pending", count=-1)
    sent, oldest = {}, set()
    for partition, facts, stay in crowds:
        early = ask_pending(system, partition, stay, **facts)
        oldest.update(list(early)[:2])
        sent.update(early)
    assert not left(system, sent)
    for partition, facts, _ in crowds:
        sent.update(ask_pending(system, partition, 2, **facts))
    wait.until(lambda: left(system, sent) >= oldest, 30, "the oldest have left", pause=0.5)
    system.ca.clear_faults()
    finish(system, sent)
    assert left(system, sent) == oldest


# --- waits that nothing else would end ---

@pytest.mark.parametrize("count", [2, 3])
def test_renewals_that_name_each_other_are_refused(system, count):
    """All are claimed before any of them asks for its target, so that each finds one that is not answered."""
    names = [messages.name("ring") for _ in range(count)]
    pid = str(system.ca.pid("redis"))
    subprocess.run(["kill", "-STOP", pid], check=True)
    try:
        placed = [system.send(messages.renew(name, messages.by_request(names[index - 1])))
                  for index, name in enumerate(names)]
        for name in names:
            wait.until(lambda at=name: any(w.log(request_id=at, state="claim") for w in system.running()), 10, "a claim")
    finally:
        subprocess.run(["kill", "-CONT", pid], check=True)
    answers = [system.results.answer_to(p, 40) for p in placed]
    assert all(e.result == REJECTED and e.failure.advice for e in answers)
    problems = {e.failure.problem for e in answers}
    assert "target-awaits-this" in problems and problems <= {"target-awaits-this", "target-has-no-certificate"}


# --- records that nobody's answer takes away ---

ENROLLMENT_LANE, RENEWAL_LANE = 2, 3
DAY_MS = 86400000
_offsets = itertools.count()


def now_ms():
    return int(time.time() * 1000)


def place(system, record):
    """Writes an in-flight record where the workers would, and returns it."""
    source = record.source
    key = b"\0".join(str(part).encode() for part in (record.request_id, source.topic, source.partition, source.offset))
    partition = topics.partition_of(record.request_id, system.ca.partitions)
    record.digest = record.digest or bytes(32)
    system.send(record.SerializeToString(), topic=topics.INFLIGHT, key=key, partition=partition)
    return record


def source_of(topic):
    """A place in a topic where nothing stands."""
    return common_pb2.Source(topic=topic, partition=0, offset=1000000 + next(_offsets))


def test_waiting_record_that_cannot_be_decoded_is_one_dead_letter(system):
    record = place(system, internal_pb2.InflightRecord(
        kind=internal_pb2.INFLIGHT_KIND_WAITING, request_id=messages.name("room"), lane=ENROLLMENT_LANE,
        operation=common_pb2.OPERATION_ENROLL, source=source_of("epki.enrollment.requests"), since_ms=now_ms(),
        record_key=b"k", record_value=b"\xff\xff no request"))
    source = topics.Placed(record.source.topic, record.source.partition, record.source.offset)
    letter = system.results.record_from(topics.DEAD, source)
    assert letter.value() == record.record_value and letter.key() == record.record_key
    assert inflight(system)[record.request_id][-1] is None
    resume = internal_pb2.ResumeRequest(action=internal_pb2.RESUME_ACTION_RETRY, request_id=record.request_id,
                                        source=record.source, waiting_offset=-1)
    system.send(resume.SerializeToString(), topic=topics.RESUME, key=record.request_id,
                partition=topics.partition_of(record.request_id, system.ca.partitions))
    wait.until(lambda: [e for w in system.running() for e in w.log(request_id=record.request_id,
                                                                   why="it no longer waits")], 30, "the second resume")
    assert len([r for r in system.results.records[topics.DEAD] if topics.source_headers(r) == source]) == 1


def test_stop_past_its_horizon_is_removed(system):
    def stop(age_days):
        source = source_of("epki.revocation.requests")
        return place(system, internal_pb2.InflightRecord(
            kind=internal_pb2.INFLIGHT_KIND_STOP, request_id=messages.name("never"), source=source, by=source,
            operation=common_pb2.OPERATION_REVOKE, since_ms=now_ms() - age_days * DAY_MS)).request_id

    young, old = stop(29), stop(31)
    wait.until(lambda: inflight(system)[old][-1] is None, 30, "the tombstone", pause=0.5)
    assert inflight(system)[young][-1].kind == internal_pb2.INFLIGHT_KIND_STOP


def test_wait_for_a_target_ends_with_the_deadline_or_at_the_horizon(system):
    """One renewal has a deadline; one is in the room for longer than duplicates are told apart. Their target waits."""
    system.ca.settings(async_issue_ms=8000)
    target = messages.name("room")
    system.ca.fault("pending", cn=f"Person {target}", count=1)
    placed = system.send(messages.enroll(target))
    system.results.progress(target, events.RESULT_PENDING)
    hasty = system.send(messages.renew(messages.name("renew"), messages.by_request(target),
                                       deadline_ms=now_ms() + 3000))
    message = messages.renew(messages.name("renew"), messages.by_request(target))
    record = place(system, internal_pb2.InflightRecord(
        kind=internal_pb2.INFLIGHT_KIND_WAITING, request_id=message.request_id, lane=RENEWAL_LANE,
        operation=common_pb2.OPERATION_RENEW, source=source_of("epki.renewal.requests"),
        since_ms=now_ms() - 31 * DAY_MS, record_value=message.SerializeToString()))
    late = system.results.answer(message.request_id, 40)
    assert late.result == REJECTED and late.failure.problem == "awaited-too-long" and late.failure.advice
    assert late.source == record.source and inflight(system)[message.request_id][-1] is None
    expired = system.results.answer_to(hasty, 40)
    assert expired.result == REJECTED and expired.failure.failure_class == events.FAILURE_CLASS_EXPIRED
    assert not system.results.answers(placed=placed)
    finish(system, {target: placed})
