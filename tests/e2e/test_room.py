"""The waiting room at its edges: what makes requests leave their partition, and what ends a wait that nothing else would."""

import collections

import pytest

from kit import messages, topics, wait
from epki.v1 import certificate_event_pb2 as events
from epki.v1 import common_pb2, internal_pb2

ISSUED = events.RESULT_ISSUED
ORDER_ISSUED = 4  # the CA's OrderStatus
# Only a budget makes anything leave here; a pending order is asked for late, so that nothing moves meanwhile.
SETTINGS = {"kafka": {"partition_items": 40, "partition_bytes": 1048576},
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
