"""How what became of an order is found out: at once, in parts, only after the quiet period; and what a lost key costs."""

import pytest
import redis

from kit import keys, messages, wait
from kit.stack import decided
from epki.v1 import certificate_event_pb2 as events
from epki.v1 import common_pb2

ISSUED = events.RESULT_ISSUED
ORDER = "OrderAndIssueCertificate"
QUIET_S = 5  # of the settings for local stacks: 2500 + 500 + 1000 + 500 + 500 ms


@pytest.fixture(scope="module", autouse=True)
def accepted(system):
    """The account is tested by one query before the first order: that is behind us here."""
    assert system.issue(messages.enroll(messages.name())).result == ISSUED


@pytest.fixture
def cap(system):
    """Sets how many orders a list shows at most."""
    yield lambda most: system.ca.settings(cap=most)
    system.ca.settings(cap=500)


def lost(system, cn, fault, **fields):
    system.ca.fault(fault, cn=cn, count=1)
    return system.send(messages.enroll(messages.name(), cn=cn, **fields))


def calls(system, cn, operation):
    return system.ca.journal(cn=cn, operation=operation)


# --- lists of orders ---

def test_found_by_the_first_list_that_shows_it(system):
    """"Found" waits for nothing: one look, and the answer."""
    placed = lost(system, "Found Once", "accept_then_drop")  # issued when the reply was due
    event = system.results.answer_to(placed, 40)
    assert event.result == ISSUED and event.attempts == 1
    assert len(calls(system, "Found Once", "GetOrders")) == 1 and len(calls(system, "Found Once", ORDER)) == 1


def test_not_found_counts_only_after_the_quiet_period(system):
    """By the CA's own clock between the two orders; the last word is a list of the whole profile."""
    placed = lost(system, "Not Found", "close_before_record")
    event = system.results.answer_to(placed, 60)
    assert event.result == ISSUED and event.attempts == 2
    first, second = calls(system, "Not Found", ORDER)
    assert decided(second) - decided(first) >= QUIET_S
    between = [e for e in system.ca.journal(operation="GetOrders") if first["seq"] < e["seq"] < second["seq"]]
    assert {e["cn"] for e in between} == {"Not Found", ""} and between[-1]["cn"] == ""
    assert decided(between[-1]) - decided(first) >= QUIET_S


def test_order_behind_a_list_that_is_cut_off_is_found_in_parts(system, cap):
    """Six orders of one name stand before the lost one, and a list shows two: the time is halved until it is shown."""
    for _ in range(6):
        assert system.issue(messages.enroll(messages.name(), cn="Cut Off")).result == ISSUED
    cap(2)
    placed = lost(system, "Cut Off", "close_after_record")
    event = system.results.answer_to(placed, 60)
    assert event.result == ISSUED and event.attempts == 1
    assert list(system.orders_of("Cut Off"))[-1] == event.certificate.order_id
    assert len(system.orders_of("Cut Off")) == 7 and len(calls(system, "Cut Off", "GetOrders")) > 10


def test_nothing_is_found_in_a_profile_whose_list_is_cut_off(system, cap):
    """The profile's list is asked for in parts as well, and "none" needs all of them."""
    cap(2)
    placed = lost(system, "Many Others", "close_before_record")
    event = system.results.answer_to(placed, 90)
    assert event.result == ISSUED and event.attempts == 2
    first, second = calls(system, "Many Others", ORDER)
    parts = [e for e in system.ca.journal(operation="GetOrders", cn="") if first["seq"] < e["seq"] < second["seq"]]
    assert len(parts) > 10


def test_list_that_cannot_be_made_whole_proves_nothing(system, cap):
    """More orders in one second than a list shows: never "none", however long it takes, until the list is whole."""
    crowd = system.publisher.send_many([(messages.enroll(messages.name("same")), f"s{i}", None) for i in range(20)])
    assert all(system.results.answer_to(c, 60).result == ISSUED for c in crowd)
    cap(1)
    placed = lost(system, "Torn List", "close_before_record")
    [first] = system.ca.await_journal(cn="Torn List", operation=ORDER)

    def searches_after_quiet():
        return [e for e in calls(system, "Torn List", "GetOrders") if decided(e) > decided(first) + 2 * QUIET_S]

    wait.until(lambda: len(searches_after_quiet()) >= 2, 60, "another look after the quiet period")
    assert calls(system, "Torn List", ORDER) == [first] and system.results.answers(placed=placed) == []
    cap(500)
    event = system.results.answer_to(placed, 60)
    assert event.result == ISSUED and event.attempts == 2 and len(system.orders_of("Torn List")) == 1


# --- keys that are lost ---

def lose_wrapped(client, request):
    assert client.delete(f"epki:v1:wrapped:{request}") == 1


def lose_everything(client, _):
    client.flushall()


@pytest.mark.parametrize("lose", [lose_wrapped, lose_everything])
def test_order_whose_key_is_lost_is_cancelled_and_placed_anew(system, lose):
    """Its worker dies with the order in the air, and Redis loses the wrapped key: nobody could use the certificate."""
    client = redis.Redis(port=int(system.ca["REDIS_URL"].rsplit(":", 1)[1]), socket_timeout=5)
    cn = f"Lost Key {lose.__name__}"
    system.ca.fault("hold_reply", cn=cn, count=1)
    choice = common_pb2.WorkerKey(type="KEY_TYPE_EC_P256", recipient_certificate=system.recipient.der)
    message = messages.enroll(messages.name(), cn=cn, worker_key=choice)
    placed = system.send(message)
    [first] = system.ca.await_journal(cn=cn, recorded=True)
    [victim] = [w for w in system.running() if w.log(request_id=message.request_id)]
    victim.kill()
    lose(client, message.request_id)
    system.workers.start()
    event = system.results.answer_to(placed, 90)
    key, certificate, _ = system.recipient.open_pkcs12(event.certificate)
    assert event.result == ISSUED and event.attempts == 2
    assert "key was lost" in event.note and first["order_id"] in event.note
    [told] = wait.until(lambda: system.results.told_of(message.request_id), 20, "the word of the cancelled order")
    assert (told.type, told.problem, told.order_id) == ("compensated", "key-lost", first["order_id"])
    assert keys.spki_sha256(key.public_key()) == keys.spki_sha256(certificate.public_key()) != first["spki_sha256"]
    assert sorted(system.orders_of(cn)) == sorted([first["order_id"], event.certificate.order_id])
    assert "cancel" in str(system.ca.control("GET", f"/orders/{first['order_id']}")).lower()
    assert "cancel" not in str(system.ca.control("GET", f"/orders/{event.certificate.order_id}")).lower()
    assert len(system.results.answers(message.request_id)) == 1
