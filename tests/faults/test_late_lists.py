"""The CA's lists show an order 60 s late, and time.visibility_ms says so: what is not to be seen is not ordered again until
then, and what was never placed is."""

import pytest
from confluent_kafka.admin import AdminClient

from around import ORDER
from kit import cases, messages, topics, wait
from kit.stack import decided
from epki.v1 import certificate_event_pb2 as events

LAG_MS, VISIBILITY_MS = 60000, 62000
SETTINGS = {"time": {"visibility_ms": VISIBILITY_MS}}  # and so a quiet period of 66.5 s
LOST, LEFT, REFUSED = "Late Lost", "Late Left", "Late Refused"


def order(system, cn, fault, partition):
    """Its reply never comes, for this reason."""
    system.ca.fault(fault, cn=cn, count=1)
    request = messages.name("late")
    placed = system.send(messages.enroll(request, cn=cn), partition=partition)
    system.ca.await_journal(cn=cn, operation=ORDER)
    return request, placed


def shared_out(system):
    """The group has two members, and every partition one of them."""
    admin = AdminClient({"bootstrap.servers": system.ca["KAFKA_BOOTSTRAP"], **topics.QUIET})
    members = admin.describe_consumer_groups([cases.GROUP])[cases.GROUP].result(10).members
    return len(members) == 2 and sum(len(m.assignment.topic_partitions) for m in members) == 4 * len(cases.REQUESTS)


@pytest.fixture(scope="module")
def placed(system):
    """All of them wait together. The one whose worker dies comes first: nobody else dies with it, and no partition moves
    while the others order."""
    system.ca.settings(view_lag_ms=LAG_MS)
    request, left = order(system, LEFT, "hold_reply", 0)
    [victim] = [worker for worker in system.running() if worker.log(request_id=request)]
    victim.kill()
    system.complete()
    wait.until(lambda: shared_out(system), 60, "two members with every partition")
    yield {LEFT: left, LOST: order(system, LOST, "close_after_record", 1)[1],
           REFUSED: order(system, REFUSED, "close_before_record", 2)[1]}
    system.ca.settings(view_lag_ms=0)


def looks(system, cn, since, until_s):
    """Lists that were asked for so many seconds after that call at most."""
    return [e for e in system.ca.journal(operation="GetOrders", cn=cn) if 0 <= decided(e) - decided(since) < until_s]


@pytest.mark.parametrize("cn", [LOST, LEFT])
def test_order_that_shows_late_is_found(system, placed, cn):
    event = system.results.answer_to(placed[cn], 150)
    assert event.result == events.RESULT_ISSUED and event.attempts == 1 and event.certificate.der
    [call] = system.ca.journal(cn=cn, operation=ORDER)
    assert list(system.orders_of(cn)) == [event.certificate.order_id] == [call["order_id"]]
    assert event.answered_ms / 1000 - decided(call) > LAG_MS / 1000 - 0.5
    assert len(looks(system, cn, call, LAG_MS / 1000 - 0.5)) >= 5  # and it was not there


def test_order_that_was_never_placed_is_after_the_quiet_period(system, placed):
    event = system.results.answer_to(placed[REFUSED], 150)
    assert event.result == events.RESULT_ISSUED and event.attempts == 2
    first, second = system.ca.journal(cn=REFUSED, operation=ORDER)
    assert list(system.orders_of(REFUSED)) == [event.certificate.order_id] == [second["order_id"]]
    assert decided(second) - decided(first) > VISIBILITY_MS / 1000
    assert len(looks(system, REFUSED, first, LAG_MS / 1000)) >= 5
