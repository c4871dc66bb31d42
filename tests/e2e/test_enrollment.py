"""Enrolments from event to certificate: key choices, the contract's headers, duplicates, order of keys, bad input."""

import base64
import struct
import time

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from kit import keys, messages, topics
from epki.v1 import certificate_event_pb2, common_pb2

ISSUED = certificate_event_pb2.RESULT_ISSUED
REJECTED = certificate_event_pb2.RESULT_REJECTED


def certificate_of(event):
    return x509.load_der_x509_certificate(event.certificate.der)


def cn_of(request_id):
    return f"Person {request_id}"


def test_csr_is_issued_a_certificate_that_fits(system):
    key, request = keys.new_key(), messages.name()
    event = system.issue(messages.enroll(request, csr=keys.csr_pem(key), labels=["a", "b"], context=b"\x00\xffopaque"))
    certificate = certificate_of(event)
    assert event.result == ISSUED and event.request_id == request and event.setting == "vpn"
    assert list(event.labels) == ["a", "b"] and event.context == b"\x00\xffopaque" and event.test
    assert keys.spki_sha256(certificate.public_key()) == keys.spki_sha256(key.public_key())
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == cn_of(request)
    usage = certificate.extensions.get_extension_for_oid(ExtensionOID.EXTENDED_KEY_USAGE).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    issuer = x509.load_der_x509_certificate(event.certificate.chain[0])
    certificate.verify_directly_issued_by(issuer)
    assert int(event.certificate.serial, 16) == certificate.serial_number
    assert event.attempts == 1 and event.received_ms <= event.ordered_ms <= event.answered_ms
    [(order_id, entry)] = system.orders_of(cn_of(request)).items()
    assert event.certificate.order_id == order_id
    assert entry["spki_sha256"] == keys.spki_sha256(key.public_key())


@pytest.mark.parametrize("key_type,bits,curve", [
    ("KEY_TYPE_RSA_2048", 2048, None), ("KEY_TYPE_RSA_3072", 3072, None),
    ("KEY_TYPE_EC_P256", 256, "secp256r1"), ("KEY_TYPE_EC_P384", 384, "secp384r1")])
def test_worker_made_key_leaves_only_sealed(system, key_type, bits, curve):
    for form in ("PKCS12_FORMAT_MODERN", "PKCS12_FORMAT_APPLE"):
        choice = common_pb2.WorkerKey(type=key_type, format=form, recipient_certificate=system.recipient.der)
        event = system.issue(messages.enroll(messages.name(), worker_key=choice))
        key, certificate, chain = system.recipient.open_pkcs12(event.certificate)
        assert key.key_size == bits and getattr(getattr(key, "curve", None), "name", None) == curve
        assert certificate == certificate_of(event) and len(chain) >= 1
        assert keys.spki_sha256(key.public_key()) == keys.spki_sha256(certificate.public_key())


def test_recipient_that_the_setting_does_not_list_is_refused(system):
    stranger = keys.Recipient("stranger")
    choice = common_pb2.WorkerKey(recipient_certificate=stranger.der)
    request = messages.name()
    event = system.issue(messages.enroll(request, worker_key=choice))
    assert event.result == REJECTED and event.failure.field.startswith("key.worker_key.recipient")
    assert not system.orders_of(cn_of(request))


def test_mail_certificate_carries_the_address(system):
    request = messages.name()
    person = messages.subject(cn_of(request), email="person@example.com")
    event = system.issue(messages.enroll(request, setting="smime", subject=person))
    certificate = certificate_of(event)
    usage = certificate.extensions.get_extension_for_oid(ExtensionOID.EXTENDED_KEY_USAGE).value
    names = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    assert ExtendedKeyUsageOID.EMAIL_PROTECTION in usage
    assert names.get_values_for_type(x509.RFC822Name) == ["person@example.com"]


def test_result_record_carries_cloudevents_and_trace(system):
    request = messages.name()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    placed = system.send(messages.enroll(request), key="device-7",
                         headers=[("traceparent", trace.encode()), ("tracestate", b"a=b")])
    event = system.results.answer_to(placed)
    record = next(r for r in system.results.records[topics.EVENTS]
                  if certificate_event_pb2.CertificateEvent.FromString(r.value()).event_id == event.event_id)
    headers = {name: value.decode() for name, value in record.headers()}
    assert record.key() == b"device-7"
    assert headers["ce_specversion"] == "1.0" and headers["ce_id"] == event.event_id
    assert headers["ce_type"] and headers["ce_source"] and headers["ce_time"].endswith("Z")
    assert headers["ce_subject"] == request and headers["content-type"] == "application/protobuf"
    assert headers["traceparent"] == trace and headers["tracestate"] == "a=b"


def test_confluent_framing_is_told_from_raw(system):
    message = messages.enroll(messages.name())
    framed = b"\x00" + struct.pack(">I", 42) + b"\x00" + message.SerializeToString()
    assert system.issue(framed, topic=topics.TOPIC_OF["EnrollmentRequest"], key="framed").result == ISSUED


def test_bulk_topic_issues_too(system):
    assert system.issue(messages.enroll(messages.name()), topic=topics.BULK).result == ISSUED


# --- duplicates ---

def test_duplicates_get_the_first_answer(system):
    request = messages.name()
    message = messages.enroll(request)
    first = system.send(message, partition=0)
    beside = system.send(message, partition=0)
    elsewhere = system.send(message, partition=1)
    issued = system.results.answer_to(first)
    far = system.send(message, partition=2)
    answers = [system.results.answer_to(placed) for placed in (first, beside, elsewhere, far)]
    original = [a for a in answers if not a.HasField("duplicate_of")]
    assert len(original) == 1 and {a.certificate.serial for a in answers} == {issued.certificate.serial}
    assert all(a.result == ISSUED and a.duplicate_of == original[0].source for a in answers if a is not original[0])
    assert len({a.event_id for a in answers}) == 4
    assert len(system.orders_of(cn_of(request))) == 1


def others_between(system, partition, count=300):
    """So many other records there, which spend nothing, and are answered."""
    late = [messages.enroll(messages.name("between"), deadline_ms=1) for _ in range(count)]
    for placed in system.publisher.send_many([(message, None, None) for message in late], partition):
        assert system.results.answer_to(placed).result == REJECTED


def test_duplicates_far_behind_on_the_same_partition(system):
    """One comes while the first is in the air, with hundreds passed in between, and one long after its answer. Their keys
    differ, so nothing but the request id holds them back."""
    request = messages.name()
    message = messages.enroll(request)
    system.ca.fault("hold_reply", cn=cn_of(request), count=1)
    first = system.send(message, partition=1)
    system.ca.await_journal(cn=cn_of(request), recorded=True)
    others_between(system, 1)
    far = system.send(message, partition=1, key="far")
    others_between(system, 1, 10)
    assert not system.results.answers(request)
    system.ca.control("POST", "/release", {})
    answers = [system.results.answer_to(placed) for placed in (first, far)]
    others_between(system, 1)
    answers.append(system.results.answer_to(system.send(message, partition=1, key="farther")))
    assert [a.result for a in answers] == [ISSUED] * 3 and answers[0].attempts == 1
    assert answers[0].certificate.der and len({a.certificate.serial for a in answers}) == 1
    assert not answers[0].HasField("duplicate_of")
    assert all(a.duplicate_of == answers[0].source for a in answers[1:])
    assert len(system.orders_of(cn_of(request))) == 1


def test_same_id_with_other_content_is_a_conflict(system):
    request = messages.name()
    assert system.issue(messages.enroll(request)).result == ISSUED
    other = system.issue(messages.enroll(request, cn="Somebody Else"))
    assert other.result == REJECTED
    assert other.failure.failure_class == certificate_event_pb2.FAILURE_CLASS_CONFLICT
    assert not system.orders_of("Somebody Else")


def test_labels_context_and_deadline_do_not_make_another_request(system):
    request, csr = messages.name(), keys.csr_pem(keys.new_key())
    assert system.issue(messages.enroll(request, csr=csr, labels=["x"])).result == ISSUED
    again = system.issue(messages.enroll(request, csr=csr, labels=["y"], context=b"2", deadline_ms=1))
    assert again.result == ISSUED and again.HasField("duplicate_of") and list(again.labels) == ["y"]


def test_requests_with_one_public_key_are_ordered_one_after_the_other(system):
    csr = keys.csr_pem(keys.new_key())
    first, second = messages.name(), messages.name()
    placed = [system.send(messages.enroll(first, csr=csr)),
              system.send(messages.enroll(second, csr=csr, cn=cn_of(first)))]
    early, late = sorted((system.results.answer_to(p) for p in placed), key=lambda e: e.ordered_ms)
    assert early.result == late.result == ISSUED
    assert late.ordered_ms >= early.answered_ms and early.certificate.order_id != late.certificate.order_id
    assert len(system.orders_of(cn_of(first))) == 2


# --- order of keys ---

def test_one_key_in_order_other_keys_do_not_wait(system):
    slow = system.ca.fault("slow", cn="Slow One", delay_ms=8000)
    held = system.send(messages.enroll(messages.name(), cn="Slow One"), key="k1", partition=3)
    behind = system.send(messages.enroll(messages.name()), key="k1", partition=3)
    system.results.answer_to(system.send(messages.enroll(messages.name()), key="k2", partition=3))
    assert system.results.answers(placed=held) == system.results.answers(placed=behind) == []
    late, later = system.results.answer_to(held), system.results.answer_to(behind)
    assert later.ordered_ms >= late.answered_ms and system.ca.fault_hits(slow) == 1


def test_deadline_that_has_passed_spends_nothing(system):
    request = messages.name()
    event = system.issue(messages.enroll(request, deadline_ms=int(time.time() * 1000) - 1000))
    assert event.result == REJECTED
    assert event.failure.failure_class == certificate_event_pb2.FAILURE_CLASS_EXPIRED
    assert not system.orders_of(cn_of(request))


# --- bad input ---

def attributes(count, value="v"):
    return [common_pb2.Attribute(name=f"a{i}", value=value) for i in range(count)]


@pytest.mark.parametrize("change,field", [
    ({"setting": "nobody"}, "setting"),
    ({"csr": "no csr at all"}, "csr"),
    ({"csr": "A" * 4001}, "key.csr"),
    ({"labels": ["x"] * 65}, "labels"),
    ({"labels": ["x" * 129]}, "labels"),
    ({"subject": messages.subject("Many Facts", attributes=attributes(65))}, "subject.attributes"),
    ({"subject": messages.subject("Long Fact", attributes=attributes(1, "x" * 1025))}, "subject.attributes.value"),
    ({"context": b"x" * 4097}, "context"),
    ({"subject": messages.subject("A", email="nobody")}, "last_name"),
    ({"subject": messages.subject("Long " + "x" * 257)}, "subject.last_name"),
    ({"setting": "smime", "subject": messages.subject("No Mail")}, "email"),
    ({"setting": "smime", "subject": messages.subject("Other Domain", email="a@elsewhere.org")}, "email"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_bad_request_is_answered_with_field_and_rule(system, change, field):
    request = messages.name("bad")
    event = system.issue(messages.enroll(request, **change))
    assert event.result == REJECTED and event.failure.failure_class == certificate_event_pb2.FAILURE_CLASS_INVALID
    assert field in event.failure.field, event.failure
    assert event.failure.problem and event.failure.cause and event.failure.advice
    assert not system.orders_of(cn_of(request))


def test_csr_with_a_broken_signature_is_refused(system):
    pem = keys.csr_pem(keys.new_key())
    der = bytearray(x509.load_pem_x509_csr(pem.encode()).public_bytes(keys.serialization.Encoding.DER))
    der[-4] ^= 1
    body = base64.encodebytes(bytes(der)).decode()
    event = system.issue(messages.enroll(messages.name(), csr="-----BEGIN CERTIFICATE REQUEST-----\n" + body +
                                         "-----END CERTIFICATE REQUEST-----\n"))
    assert event.result == REJECTED and event.failure.problem == "csr-signature"
