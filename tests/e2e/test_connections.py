"""Which calls go out on connections of their own, and which on kept ones: the simulator counts handshakes."""

import pytest

from kit import messages
from epki.v1 import certificate_event_pb2 as events

ORDER = "OrderAndIssueCertificate"
COUNT = 8
WORKERS = 1  # one after the other, by one worker: nobody else needs a connection


@pytest.fixture(scope="module")
def issued(system):
    """Orders, and what they took: calls, handshakes and those of them that resumed a session."""
    assert system.issue(messages.enroll(messages.name())).result == events.RESULT_ISSUED  # the first tests the account
    with_them = Taken(system)
    requests = [messages.name() for _ in range(COUNT)]
    for request in requests:
        assert system.issue(messages.enroll(request)).result == events.RESULT_ISSUED
    return requests, with_them.by_now()


class Taken:
    def __init__(self, system):
        self.system, self.before = system, self.count(system)

    @staticmethod
    def count(system):
        connections = system.ca.control("GET", "/state?orders=0")["connections"]
        return len(system.ca.journal()), connections["handshakes"], connections["resumed"]

    def by_now(self):
        return [now - then for now, then in zip(self.count(self.system), self.before)]


def test_orders_go_out_on_fresh_connections_that_resume_a_session(issued):
    _, (calls, handshakes, resumed) = issued
    assert (calls, handshakes) == (COUNT, COUNT)
    assert resumed == COUNT


def test_queries_and_revocations_share_a_kept_connection(system, issued):
    requests, _ = issued
    taken = Taken(system)
    for request in requests:
        event = system.issue(messages.revoke(messages.name("revoke"), messages.by_request(request)))
        assert event.result == events.RESULT_REVOKED
    calls, handshakes, _ = taken.by_now()
    asked = system.ca.journal(operation="GetOrderByOrderId")
    assert len(asked) >= COUNT and len(system.ca.journal(operation="Revoke")) == COUNT and calls >= 2 * COUNT
    assert handshakes <= 1
