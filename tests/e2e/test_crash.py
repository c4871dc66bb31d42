"""Workers that die, stop, leave or join with orders in the air. The journal and the topics are counted afterwards."""

import signal
import time

import pytest

from kit import keys, messages, wait
from epki.v1 import certificate_event_pb2 as events
from epki.v1 import common_pb2, revocation_pb2

ISSUED = events.RESULT_ISSUED


@pytest.fixture(scope="module", autouse=True)
def accepted(system):
    """The account is tested by one query before the first order: that is behind us here."""
    assert system.issue(messages.enroll(messages.name())).result == ISSUED


def start(system, cn, **fields):
    request = messages.name()
    return request, system.send(messages.enroll(request, cn=cn, **fields))


def holder_of(system, request):
    """The worker that took the request up."""
    def look():
        return next((w for w in system.running() if w.log(request_id=request)), None)
    return wait.until(look, 20, f"a worker that has {request}")


def replace(system, victim):
    """Another worker in the place of one that died, and the group settled again."""
    system.workers.start()
    assert not victim.running()


def one_answer_one_order(system, placed, cn, timeout=60):
    event = system.results.answer_to(placed, timeout)
    assert event.result == ISSUED
    assert list(system.orders_of(cn)) == [event.certificate.order_id]
    return event


def test_killed_after_the_intent_before_anything_was_sent(system):
    system.ca.fault("tls_stall", operation="*", count=200)
    request, placed = start(system, "Killed Unsent")
    victim = holder_of(system, request)
    victim.await_log(request_id=request, state="order")
    victim.kill()
    system.ca.clear_faults()
    system.ca.control("POST", "/release", {})
    event = one_answer_one_order(system, placed, "Killed Unsent")
    assert event.attempts == 2  # the adopter could not know that nothing was sent
    replace(system, victim)


def test_killed_after_the_order_was_recorded(system):
    system.ca.fault("hold_reply", cn="Killed Recorded", count=1)
    request, placed = start(system, "Killed Recorded")
    system.ca.await_journal(cn="Killed Recorded", recorded=True)
    victim = holder_of(system, request)
    victim.kill()
    event = one_answer_one_order(system, placed, "Killed Recorded")
    assert event.attempts == 1
    replace(system, victim)


def test_killed_with_a_worker_made_key(system):
    """The key survives its maker: the certificate that the CA issued for it is delivered, and opens."""
    system.ca.fault("hold_reply", cn="Killed Keymaker", count=1)
    choice = common_pb2.WorkerKey(type="KEY_TYPE_EC_P256", recipient_certificate=system.recipient.der)
    request, placed = start(system, "Killed Keymaker", worker_key=choice)
    system.ca.await_journal(cn="Killed Keymaker", recorded=True)
    victim = holder_of(system, request)
    victim.kill()
    event = one_answer_one_order(system, placed, "Killed Keymaker")
    key, certificate, _ = system.recipient.open_pkcs12(event.certificate)
    assert keys.spki_sha256(key.public_key()) == keys.spki_sha256(certificate.public_key())
    replace(system, victim)


def test_killed_while_a_duplicate_waits_on_another_partition(system):
    system.ca.fault("hold_reply", cn="Killed Twice", count=1)
    request = messages.name()
    message = messages.enroll(request, cn="Killed Twice")
    first = system.send(message, partition=0)
    system.ca.await_journal(cn="Killed Twice", recorded=True)
    second = system.send(message, partition=1)
    victim = holder_of(system, request)
    time.sleep(0.5)
    victim.kill()
    event = one_answer_one_order(system, first, "Killed Twice")
    again = system.results.answer_to(second, 60)
    assert again.certificate.serial == event.certificate.serial
    assert event.HasField("duplicate_of") != again.HasField("duplicate_of")
    replace(system, victim)


def test_stopped_past_its_session_and_woken(system):
    """A zombie wakes with an answer in its hands: its partition has a new owner by then, and there is one answer."""
    system.ca.fault("hold_reply", cn="Zombie Person", count=1)
    request, placed = start(system, "Zombie Person")
    system.ca.await_journal(cn="Zombie Person", recorded=True)
    zombie = holder_of(system, request)
    zombie.signal(signal.SIGSTOP)
    time.sleep(3.5)
    system.ca.control("POST", "/release", {})
    time.sleep(0.5)
    zombie.signal(signal.SIGCONT)
    one_answer_one_order(system, placed, "Zombie Person")
    time.sleep(2)
    assert len(system.results.answers(placed=placed)) == 1
    zombie.await_ready()
    assert system.issue(messages.enroll(messages.name())).result == ISSUED


def test_rebalance_with_work_in_flight(system):
    """Workers join and leave while 120 orders are in the air."""
    system.ca.settings(order_min_ms=1500, order_max_ms=2500)
    try:
        batch = [(messages.enroll(messages.name("reb"), cn=f"Rebalance {i}"), f"r{i}", None) for i in range(120)]
        placed = system.publisher.send_many(batch)
        wait.until(lambda: len(system.ca.journal(operation="OrderAndIssueCertificate")) > 20, 20, "orders in the air")
        joined = system.workers.start()
        leaver = system.running()[0]
        assert leaver.terminate(40) == 0
        for index, where in enumerate(placed):
            one_answer_one_order(system, where, f"Rebalance {index}", 90)
        assert joined.terminate(40) == 0
    finally:
        system.ca.settings(order_min_ms=200, order_max_ms=400)
        while len(system.running()) < 2:
            system.workers.start()


def test_drain_answers_what_it_can_and_leaves_the_rest_to_the_adopter(system):
    system.ca.fault("slow", cn="Drain Quick", delay_ms=1500)
    system.ca.fault("hold_reply", cn="Drain Held", count=1)
    quick, quick_placed = start(system, "Drain Quick")
    held, held_placed = start(system, "Drain Held")
    system.ca.await_journal(cn="Drain Held", recorded=True)
    system.ca.await_journal(cn="Drain Quick", recorded=True)
    both = {holder_of(system, quick), holder_of(system, held)}
    for leaver in both:
        leaver.signal(signal.SIGTERM)
    assert all(leaver.await_end(30) == 0 for leaver in both)
    event = system.results.answer_to(quick_placed, 5)
    assert event.result == ISSUED and event.attempts == 1
    for _ in both:
        system.workers.start()
    one_answer_one_order(system, held_placed, "Drain Held")


@pytest.mark.parametrize("operation", ["Revoke", "Cancel"])
def test_revocation_whose_reply_is_lost_on_a_kept_connection(system, operation):
    """It is one: whoever would make another does not get through its handshake before the call is there."""
    request, where = messages.name(), {"partition": 0}
    assert system.issue(messages.enroll(request)).result == ISSUED
    for _ in range(3):  # connections for queries and revocations are kept: these leave its worker some
        other = messages.name()
        system.issue(messages.enroll(other))
        system.issue(messages.revoke(messages.name("warm"), messages.by_request(other)), **where)
    fault = system.ca.fault("close_after_record", operation=operation, count=1)
    system.ca.fault("tls_stall", operation="*", count=200)
    made = system.ca.control("GET", "/state?orders=0")["connections"]["handshakes"]
    removal = revocation_pb2.REMOVAL_REMOVE if operation == "Cancel" else revocation_pb2.REMOVAL_REVOKE
    placed = system.send(messages.revoke(messages.name("revoke"), messages.by_request(request), removal=removal), **where)
    system.ca.await_journal(operation=operation, fault="close_after_record")
    assert system.ca.control("GET", "/state?orders=0")["connections"]["handshakes"] == made
    assert system.ca.fault_hits(fault) in (1, None)
    system.calm()
    event = system.results.answer_to(placed)
    assert event.result == (events.RESULT_REMOVED if operation == "Cancel" else events.RESULT_REVOKED)
