"""Mass work yields: whatever is bulk, by its topic or by its hint, keeps nobody else waiting."""

import pytest

from kit import messages, topics, wait
from epki.v1 import certificate_event_pb2 as events
from epki.v1 import common_pb2

ISSUED = events.RESULT_ISSUED
ORDER = "OrderAndIssueCertificate"
CROWD = 150
WORKERS = 0  # each test starts one with a limit of its own
# Either lets about twelve orders a second through: the crowd alone keeps it busy for as many seconds.
LIMITS = {"slots": {"orders_in_flight": 10}, "rate": {"rate_per_minute": 720, "burst": 12}}


@pytest.fixture
def limited(system, request):
    limit, lane = request.param
    system.ca.settings(order_min_ms=800, order_max_ms=800)
    worker = system.workers.start(change={"accounts": {"main": LIMITS[limit]}})
    assert system.issue(messages.enroll(messages.name())).result == ISSUED
    yield f"{lane} under {limit}", lane
    assert worker.terminate(60) == 0


def send_many(system, prefix, count, lane=None):
    hint = common_pb2.LANE_HINT_BULK if lane == "hint" else common_pb2.LANE_HINT_UNSPECIFIED
    topic = topics.BULK if lane == "topic" else None
    return system.publisher.send_many([
        (messages.enroll(messages.name("lane"), cn=f"{prefix} {i}", lane=hint), f"{prefix}/{i}", topic)
        for i in range(count)])


def orders(system, prefix):
    """The CA's sequence numbers of the orders whose names begin so."""
    return [e["seq"] for e in system.ca.journal(operation=ORDER) if e["cn"].startswith(prefix + " ")]


@pytest.mark.parametrize("limited", [("slots", "topic"), ("slots", "hint"), ("rate", "hint")], indirect=True,
                         ids="-".join)
def test_bulk_keeps_nobody_waiting(system, limited):
    """Mass work has taken all there is when people come: they pass whatever of it is not in the air yet."""
    name, lane = limited
    bulk, people = f"Bulk {name}", f"People {name}"
    crowd = send_many(system, bulk, CROWD, lane)
    wait.until(lambda: orders(system, bulk), 40, "the first orders of mass work")
    for placed in send_many(system, people, 10):
        assert system.results.answer_to(placed, 60).result == ISSUED
    last = max(orders(system, people))
    passed = CROWD - sum(seq < last for seq in orders(system, bulk))
    assert passed >= CROWD // 2, f"only {passed} of {CROWD} orders of mass work yielded"
    for placed in crowd:
        assert system.results.answer_to(placed, 90).result == ISSUED
    assert len(orders(system, bulk)) == CROWD
