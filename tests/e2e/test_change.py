"""Renewals and revocations: every kind of target, links, what comes too early, too late or twice."""

import time

import requests
from cryptography import x509

from kit import keys, messages, topics, wait
from epki.v1 import certificate_event_pb2 as events
from epki.v1 import common_pb2, internal_pb2, revocation_pb2

ISSUED, RENEWED, REJECTED = events.RESULT_ISSUED, events.RESULT_RENEWED, events.RESULT_REJECTED
REVOKED, REMOVED = events.RESULT_REVOKED, events.RESULT_REMOVED


def cn_of(request_id):
    return f"Person {request_id}"


def enrolled(system, **fields):
    request = messages.name()
    event = system.issue(messages.enroll(request, **fields))
    assert event.result == ISSUED
    return request, event


def order_status(system, order_id):
    return system.ca.control("GET", f"/orders/{order_id}")


def on_crl(system, event):
    """Whether the certificate appears on the CA's CRL; a revocation takes the CA a moment."""
    serial = int(event.certificate.serial, 16)
    return wait.until(lambda: serial in crl_serials(system), 15, f"serial {serial:x} on the CRL")


def crl_serials(system):
    der = requests.get(system.ca["EPKI_CONTROL_URL"] + "/crl", timeout=10).content
    return {entry.serial_number for entry in x509.load_der_x509_crl(der)}


# --- renewal ---

def test_renewal_is_a_new_order_with_a_new_key_linked_to_the_old(system):
    request, first = enrolled(system)
    key, again = keys.new_key(), messages.name("renew")
    event = system.issue(messages.renew(again, messages.by_request(request), csr=keys.csr_pem(key)))
    assert event.result == RENEWED and event.replaces_request_id == request
    assert event.replaces_serial == first.certificate.serial
    assert event.replaces_order_id == first.certificate.order_id
    new = x509.load_der_x509_certificate(event.certificate.der)
    old = x509.load_der_x509_certificate(first.certificate.der)
    assert new.subject == old.subject and new.serial_number != old.serial_number
    assert keys.spki_sha256(new.public_key()) == keys.spki_sha256(key.public_key())
    assert len(system.orders_of(cn_of(request))) == 2
    assert old.serial_number not in crl_serials(system)


def test_renewal_by_serial_and_by_order(system):
    request, first = enrolled(system)
    by_serial = system.issue(messages.renew(messages.name("renew"), messages.by_serial(
        first.certificate.issuer, first.certificate.serial)))
    by_order = system.issue(messages.renew(messages.name("renew"), messages.by_order(
        "vpn", first.certificate.order_id)))
    assert by_serial.result == by_order.result == RENEWED
    assert by_serial.replaces_request_id == by_order.replaces_request_id == request


def test_renewal_with_a_worker_made_key_and_new_facts(system):
    request, _ = enrolled(system)
    choice = common_pb2.WorkerKey(type="KEY_TYPE_EC_P256", recipient_certificate=system.recipient.der)
    event = system.issue(messages.renew(messages.name("renew"), messages.by_request(request), worker_key=choice,
                                        subject=messages.subject("New Name")))
    key, certificate, _ = system.recipient.open_pkcs12(event.certificate)
    assert "CN=New Name" in certificate.subject.rfc4514_string()
    assert keys.spki_sha256(key.public_key()) == keys.spki_sha256(certificate.public_key())


def test_renewal_waits_for_its_enrolment(system):
    system.ca.fault("slow", cn="Slow Enrolment", delay_ms=2500)
    request = messages.name()
    system.send(messages.enroll(request, cn="Slow Enrolment"))
    system.ca.await_journal(cn="Slow Enrolment")
    event = system.issue(messages.renew(messages.name("renew"), messages.by_request(request)))
    first = system.results.answer(request)
    assert event.result == RENEWED and event.ordered_ms >= first.answered_ms


def test_renewal_of_what_was_never_issued_is_refused(system):
    event = system.issue(messages.renew(messages.name("renew"), messages.by_request("never-seen")))
    assert event.result == REJECTED and event.failure.field == "target.request_id"


def test_duplicate_of_a_renewal_gets_the_same_certificate(system):
    request, _ = enrolled(system)
    message = messages.renew(messages.name("renew"), messages.by_request(request))
    first, second = system.issue(message), system.issue(message)
    assert second.HasField("duplicate_of") and first.certificate.serial == second.certificate.serial
    assert len(system.orders_of(cn_of(request))) == 2


# --- revocation ---

def test_revocation_by_each_target_keeps_its_reason(system):
    reason = revocation_pb2.REVOCATION_REASON_KEY_COMPROMISE
    for kind in ("request", "serial", "order"):
        request, first = enrolled(system)
        target = {"request": messages.by_request(request),
                  "serial": messages.by_serial(first.certificate.issuer, first.certificate.serial),
                  "order": messages.by_order("vpn", first.certificate.order_id)}[kind]
        event = system.issue(messages.revoke(messages.name("revoke"), target, reason=reason))
        assert event.result == REVOKED and event.revocation_reason == reason
        assert event.target_request_id == request and event.certificate.serial == first.certificate.serial
        assert on_crl(system, first)


def test_removal_gives_the_licence_back(system):
    request, first = enrolled(system)
    event = system.issue(messages.revoke(messages.name("remove"), messages.by_request(request),
                                         removal=revocation_pb2.REMOVAL_REMOVE))
    assert event.result == REMOVED
    assert "cancel" in str(order_status(system, first.certificate.order_id)).lower()


def test_already_revoked_is_success(system):
    request, first = enrolled(system)
    one = system.issue(messages.revoke(messages.name("revoke"), messages.by_request(request)))
    two = system.issue(messages.revoke(messages.name("revoke"), messages.by_order("vpn", first.certificate.order_id)))
    assert one.result == two.result == REVOKED
    assert len(system.ca.journal(operation="Revoke", order_id=first.certificate.order_id)) <= 1


def test_state_topic_carries_the_present_status(system):
    request, _ = enrolled(system)
    system.issue(messages.revoke(messages.name("revoke"), messages.by_request(request)))
    last = {}
    for record in topics.read_topic(system.ca["KAFKA_BOOTSTRAP"], topics.STATE):
        last[record.key()] = internal_pb2.CertificateState.FromString(record.value())
    state = last[request.encode()]
    assert state.status == internal_pb2.CERTIFICATE_STATUS_REVOKED and state.first.result == ISSUED
    assert state.version > 0


def test_revocation_overtakes_an_enrolment_in_the_air(system):
    system.ca.fault("slow", cn="Overtaken Air", delay_ms=2500)
    request = messages.name()
    enrolment = system.send(messages.enroll(request, cn="Overtaken Air"))
    system.ca.await_journal(cn="Overtaken Air")
    revocation = system.send(messages.revoke(messages.name("revoke"), messages.by_request(request)))
    ended, issued = system.results.answer_to(revocation), system.results.answer_to(enrolment)
    assert issued.result == ISSUED and ended.result == REVOKED
    assert ended.answered_ms >= issued.answered_ms
    assert on_crl(system, issued)


def test_revocation_before_its_enrolment_stops_it(system):
    request = messages.name()
    revocation = system.send(messages.revoke(messages.name("revoke"), messages.by_request(request)))
    assert system.results.answer_to(revocation, 40).result == REMOVED
    event = system.issue(messages.enroll(request))
    assert event.result == REJECTED and event.failure.failure_class == events.FAILURE_CLASS_STOPPED
    assert not system.orders_of(cn_of(request))


def test_enrolment_that_appears_while_its_revocation_waits_is_stopped_or_revoked(system):
    request = messages.name()
    revocation = system.send(messages.revoke(messages.name("revoke"), messages.by_request(request)))
    system.results.progress(messages_request(system, revocation), events.RESULT_WAITING)
    issued = system.issue(messages.enroll(request))
    ended = system.results.answer_to(revocation, 40)
    assert issued.result == ISSUED and ended.result == REVOKED


def messages_request(system, placed):
    """The request id of what was published there, once something of it is seen."""
    return wait.until(lambda: next((e.request_id for e in list(system.results.events)
                                    if placed.is_source(e.source)), None), 20, f"news of {placed}")


def test_hold_is_refused_and_unknown_targets_are_named(system):
    request, _ = enrolled(system)
    held = system.issue(messages.revoke(messages.name("revoke"), messages.by_request(request),
                                        reason=revocation_pb2.REVOCATION_REASON_CERTIFICATE_HOLD))
    unknown_serial = system.issue(messages.revoke(messages.name("revoke"), messages.by_serial("CN=Nobody", "abcd")))
    unknown_order = system.issue(messages.revoke(messages.name("revoke"), messages.by_order("vpn", "CEPS00000000")))
    unknown_setting = system.issue(messages.revoke(messages.name("revoke"), messages.by_order("none", "CEPS0")))
    none = system.issue(messages.revoke(messages.name("revoke"), None))
    for event, field in ((held, "reason"), (unknown_serial, "target.serial"), (unknown_order, "target"),
                         (unknown_setting, "target"), (none, "target")):
        assert event.result == REJECTED and event.failure.field.startswith(field), event.failure
        assert event.failure.advice


def test_revocations_pass_a_crowd_of_orders(system):
    request, _ = enrolled(system)
    system.ca.settings(order_min_ms=1500, order_max_ms=2000)
    try:
        crowd = system.publisher.send_many([(messages.enroll(messages.name("crowd")), f"k{i}", None)
                                            for i in range(150)])
        began = time.monotonic()
        event = system.issue(messages.revoke(messages.name("revoke"), messages.by_request(request)))
        took = time.monotonic() - began
        assert event.result == REVOKED
        for placed in crowd:
            assert system.results.answer_to(placed, 60).result == ISSUED
        assert took < (time.monotonic() - began) / 3
    finally:
        system.ca.settings(order_min_ms=200, order_max_ms=400)
