"""Schedules that once broke a promise: each stays here."""

import subprocess
import time

import pytest

from kit import keys, messages, topics, wait
from epki.v1 import certificate_event_pb2 as events
from epki.v1 import common_pb2, internal_pb2

ISSUED, REJECTED, REVOKED = events.RESULT_ISSUED, events.RESULT_REJECTED, events.RESULT_REVOKED
SETTINGS = {"time": {"hold_max_ms": 4000, "poll_max_ms": 1500}}


@pytest.fixture(autouse=True)
def two_workers(system):
    """The account is accepted, and two workers run, whatever the test before did to them."""
    while len(system.running()) < 2:
        system.workers.start()
    system.ca.settings(licences=100000, async_issue_ms=2000)
    assert system.issue(messages.enroll(messages.name())).result == ISSUED


def send(system, cn, **fields):
    request = messages.name()
    return request, system.send(messages.enroll(request, cn=cn, **fields))


def inflight(system, request):
    """Key's topic and kind of every record that epki.inflight ever held for a request."""
    found = []
    for record in topics.read_topic(system.ca["KAFKA_BOOTSTRAP"], topics.INFLIGHT):
        if record.key().startswith(request.encode() + b"\0"):
            kind = record.value() and internal_pb2.InflightRecord.FromString(record.value()).kind
            found.append((record.key().split(b"\0")[1].decode(), kind))
    return found


def resumes(system, request):
    return [r for r in topics.read_topic(system.ca["KAFKA_BOOTSTRAP"], topics.RESUME) if r.key() == request.encode()]


def resume_again(system, request, value=None):
    """What the room said last about a request, or this, said again; to the partition whose owner knows the request."""
    last = resumes(system, request)[-1]
    system.send(value or last.value(), topic=topics.RESUME, key=request, partition=last.partition())


def test_second_resume_of_what_the_first_ordered_orders_nothing(system):
    system.ca.settings(licences=0, async_issue_ms=20000)
    request, placed = send(system, "Twice Resumed")
    system.results.progress(request, events.RESULT_WAITING, 40)
    system.ca.fault("pending", cn="Twice Resumed", count=5)
    system.ca.settings(licences=100000)
    system.ca.await_journal(cn="Twice Resumed", recorded=True, timeout=40)
    resume_again(system, request)
    event = system.results.answer_to(placed, 90)
    assert event.result == ISSUED and len(system.orders_of("Twice Resumed")) == 1


def test_order_in_the_air_outlives_its_deadline(system):
    """Every adopter once died of it: the rule that is broken now must not keep it from being found."""
    system.ca.fault("hold_reply", cn="Deadline Air", count=1)
    request, placed = send(system, "Deadline Air", deadline_ms=int(time.time() * 1000) + 6000)
    system.ca.await_journal(cn="Deadline Air", recorded=True)
    for victim in system.running():
        victim.kill()
    time.sleep(6)
    for _ in range(2):
        system.workers.start()
    event = system.results.answer_to(placed, 40)
    assert event.result == ISSUED and len(system.orders_of("Deadline Air")) == 1


def test_worker_made_key_is_made_again_after_the_waiting_room(system):
    fault = system.ca.fault("address_refused", operation="*")
    first, first_placed = send(system, "Zero Paused")
    system.results.progress(first, events.RESULT_HELD)
    choice = common_pb2.WorkerKey(type="KEY_TYPE_EC_P256", recipient_certificate=system.recipient.der)
    request, placed = send(system, "Room Key", worker_key=choice)
    system.results.progress(request, events.RESULT_WAITING, 40)
    system.ca.control("DELETE", f"/faults/{fault}")
    assert system.results.answer_to(first_placed, 60).result == ISSUED
    event = system.results.answer_to(placed, 60)
    key, certificate, _ = system.recipient.open_pkcs12(event.certificate)
    assert keys.spki_sha256(key.public_key()) == keys.spki_sha256(certificate.public_key())
    assert len(system.orders_of("Room Key")) == 1


def test_revocation_of_an_answer_that_redis_never_heard_of(system):
    """The answer commits while Redis is stuck, and its worker dies: the topics still know."""
    system.ca.fault("slow", cn="Done Lost", delay_ms=2500)
    request, placed = send(system, "Done Lost")
    system.ca.await_journal(cn="Done Lost", recorded=True)
    pid = str(system.ca.pid("redis"))
    subprocess.run(["kill", "-STOP", pid], check=True)
    try:
        assert system.results.answer_to(placed, 30).result == ISSUED
        for victim in system.running():
            victim.kill()
    finally:
        subprocess.run(["kill", "-CONT", pid], check=True)
    for _ in range(2):
        system.workers.start()
    event = system.issue(messages.revoke(messages.name("revoke"), messages.by_request(request)))
    assert event.result == REVOKED and event.target_request_id == request


def test_query_that_lags_is_no_proof_that_an_order_is_unknown(system):
    request, _ = send(system, "Late Revocation")
    assert system.results.answer(request).result == ISSUED
    system.ca.fault("late_view", operation="GetOrderByOrderId", count=1, delay_ms=60000)
    event = system.issue(messages.revoke(messages.name("revoke"), messages.by_request(request)))
    assert event.result == REVOKED


def test_misfit_is_cancelled_though_its_query_lags(system):
    system.ca.fault("wrong_name", cn="Late Undo", count=1)
    system.ca.fault("late_view", operation="GetOrderByOrderId", count=1, delay_ms=60000)
    _, placed = send(system, "Late Undo")
    event = system.results.answer_to(placed, 40)
    [order_id] = system.orders_of("Late Undo")
    assert event.result == REJECTED and system.ca.journal(operation="Cancel", order_id=order_id)


def test_lost_reply_beside_an_older_order_with_the_same_key(system):
    csr = keys.csr_pem(keys.new_key())
    _, first = send(system, "Same Key", csr=csr)
    older = system.results.answer_to(first, 30)
    system.ca.fault("close_after_record", cn="Same Key", count=1)
    _, second = send(system, "Same Key", csr=csr)
    event = system.results.answer_to(second, 60)
    assert event.result == ISSUED and event.certificate.order_id != older.certificate.order_id
    assert len(system.orders_of("Same Key")) == 2


def test_duplicate_of_one_that_left_twice_waits_with_it(system):
    system.ca.settings(async_issue_ms=25000)
    system.ca.fault("pending", cn="Dup Waits", count=5)
    request = messages.name()
    message = messages.enroll(request, cn="Dup Waits")
    placed = system.send(message, partition=0)
    wait.until(lambda: ("epki.resume", None) in inflight(system, request), 60, "left twice", pause=1)
    again = system.send(message, partition=1)
    event, duplicate = system.results.answer_to(placed, 90), system.results.answer_to(again, 90)
    assert event.result == ISSUED and duplicate.certificate.serial == event.certificate.serial
    assert duplicate.HasField("duplicate_of") and len(system.orders_of("Dup Waits")) == 1


def test_request_that_names_itself_is_refused(system):
    request = messages.name("self")
    for message in (messages.renew(request, messages.by_request(request)),
                    messages.revoke(request + "r", messages.by_request(request + "r"))):
        event = system.issue(message)
        assert event.result == REJECTED and event.failure.problem == "target-itself"


def test_crowd_of_unknown_orders_is_looked_for_together(system):
    """Forty lost replies at once cost a few passes over the profile, not forty queries each round."""
    for index in range(40):
        system.ca.fault("close_after_record", cn=f"Crowd {index}", count=1)
    batch = [(messages.enroll(messages.name("crowd"), cn=f"Crowd {i}"), f"c{i}", None) for i in range(40)]
    before = len(system.ca.journal(operation="GetOrders"))
    for index, placed in enumerate(system.publisher.send_many(batch)):
        event = system.results.answer_to(placed, 60)
        assert event.result == ISSUED and event.attempts == 1
        assert list(system.orders_of(f"Crowd {index}")) == [event.certificate.order_id]
    assert len(system.ca.journal(operation="GetOrders")) - before <= 60


def test_paused_account_is_left_alone_while_redis_is_away(system):
    first = system.issue(messages.enroll(messages.name()))
    fault = system.ca.fault("address_refused", operation="*")
    paused = len(system.results.account_events)
    _, placed = send(system, "Paused Alone")
    wait.until(lambda: any(e.type == "paused" for e in system.results.account_events[paused:]), 30, "the pause")
    for partition in range(system.ca.partitions):  # who has nothing to ask for does not ask whether it may
        system.send(messages.revoke(messages.name("revoke"), messages.by_order("vpn", first.certificate.order_id)),
                    partition=partition)
    wait.until(lambda: all(w.metric("epki_account_paused") == 1 for w in system.running()), 30, "a pause everywhere")
    pid = str(system.ca.pid("redis"))
    subprocess.run(["kill", "-STOP", pid], check=True)
    try:
        time.sleep(3)
        before = len(system.ca.journal())
        revocations = [system.send(messages.revoke(messages.name("revoke"), messages.by_order(
            "vpn", first.certificate.order_id))) for _ in range(5)]
        time.sleep(8)
        assert len(system.ca.journal()) - before <= 1
    finally:
        subprocess.run(["kill", "-CONT", pid], check=True)
        system.ca.control("DELETE", f"/faults/{fault}")
    assert system.results.answer_to(placed, 60).result == ISSUED
    assert all(system.results.answer_to(r, 60).result == REVOKED for r in revocations)


def test_orders_that_vanish_are_counted_over_owners_and_the_waiting_room(system):
    """Two vanish under one owner; another tries, is without a licence, and leaves for the room; three more vanish: enough."""
    cn = "Vanishing Orders"
    system.ca.fault("close_before_record", cn=cn, count=2)
    system.ca.fault("licences_out", cn=cn, count=1)
    system.ca.fault("close_before_record", cn=cn, count=3)
    request, placed = send(system, cn)
    calls = {"cn": cn, "operation": "OrderAndIssueCertificate"}
    system.ca.await_journal(count=2, timeout=40, **calls)
    for victim in system.running():
        victim.kill()
    for _ in range(2):
        system.workers.start()
    system.results.progress(request, events.RESULT_WAITING, 60)
    letter = system.results.record_from(topics.PARKED, placed, 90)
    assert ("__connect.errors.exception.class.name", b"orders-fail-again-and-again") in letter.headers()
    assert len(system.ca.journal(**calls)) == 6 and not system.orders_of(cn)

    # People say: once more. That begins with a clean record.
    system.ca.fault("close_before_record", cn=cn, count=1)
    again = internal_pb2.ResumeRequest(action="RESUME_ACTION_RETRY", request_id=request, waiting_offset=-1)
    again.source.topic, again.source.partition, again.source.offset = placed.topic, placed.partition, placed.offset

    def asked_again():  # more than once does no harm; before the owner has read the parked record it does nothing
        resume_again(system, request, again.SerializeToString())
        return len(system.ca.journal(**calls)) > 6

    wait.until(asked_again, 30, "an order that people asked for", pause=1)
    assert system.results.answer_to(placed, 60).result == ISSUED
    assert len(system.ca.journal(**calls)) == 8 and len(system.orders_of(cn)) == 1
