"""The waiting room at its edges: what makes requests leave their partition, and what ends a wait that nothing else would."""

import collections
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


@pytest.mark.parametrize("partition, facts, stay", [
    (0, {}, 9),  # ten of forty items are a quarter
    (1, {"attributes": [common_pb2.Attribute(name=f"a{i}", value="x" * 1000) for i in range(60)]}, 4),  # five of 60 kB
], ids=["items", "bytes"])
def test_quarter_of_the_budget_leaves_oldest_first(system, partition, facts, stay):
    system.ca.settings(async_issue_ms=8000)
    system.ca.fault("pending", count=-1)
    sent = ask_pending(system, partition, stay, **facts)
    assert not left(system, sent)
    oldest = set(list(sent)[:2])
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


def test_wait_for_a_target_ends_with_the_deadline(system):
    system.ca.settings(async_issue_ms=8000)
    target = messages.name("room")
    system.ca.fault("pending", cn=f"Person {target}", count=1)
    placed = system.send(messages.enroll(target, cn=f"Person {target}"))
    system.results.progress(target, events.RESULT_PENDING)
    renewal = system.issue(messages.renew(messages.name("renew"), messages.by_request(target),
                                          deadline_ms=int(time.time() * 1000) + 3000))
    assert renewal.result == REJECTED and renewal.failure.failure_class == events.FAILURE_CLASS_EXPIRED
    assert not system.results.answers(placed=placed)
    finish(system, {target: placed})
