"""Answers that are too large for Kafka: what can be had elsewhere is left out, and the answer says so."""

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from cryptography import x509

from kit import keys, messages, topics, wait
from epki.v1 import certificate_event_pb2 as events
from epki.v1 import internal_pb2, revocation_pb2

ISSUED, REVOKED = events.RESULT_ISSUED, events.RESULT_REVOKED
LABELS, CONTEXT = ["l" * 100 + str(i) for i in range(40)], b"c" * 4000
LIMIT = 6000  # bytes of a record: labels and context alone are more
WORKERS = 1


@pytest.fixture
def limit(system):
    """Makes a topic take small records only, as an operator might."""
    admin = AdminClient({"bootstrap.servers": system.ca["KAFKA_BOOTSTRAP"], **topics.QUIET})
    limited = []

    def alter(topic, operation):
        entry = ConfigEntry("max.message.bytes", str(LIMIT), incremental_operation=operation)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        for future in admin.incremental_alter_configs([resource]).values():
            future.result()
        await_size(topic, (lambda size: size == LIMIT) if operation == AlterConfigOpType.SET else lambda s: s > LIMIT)

    def await_size(topic, fits):
        resource = ConfigResource(ResourceType.TOPIC, topic)
        wait.until(lambda: fits(int(admin.describe_configs([resource])[resource].result()["max.message.bytes"].value)),
                   20, f"the new limit of {topic}")

    def of(topic):
        limited.append(topic)
        alter(topic, AlterConfigOpType.SET)

    def lift():
        while limited:
            alter(limited.pop(), AlterConfigOpType.DELETE)

    of.lift = lift
    yield of
    lift()


def state_of(system, request):
    last = None
    for record in topics.read_topic(system.ca["KAFKA_BOOTSTRAP"], topics.STATE):
        if record.key() == request.encode():
            last = internal_pb2.CertificateState.FromString(record.value())
    return last


def large(request, key):
    return messages.enroll(request, csr=keys.csr_pem(key), labels=LABELS, context=CONTEXT)


def is_reduced(event, *how):
    assert not event.labels and not event.context and not event.certificate.chain
    for word in ("context", "labels", "chain_file", "too large", *how):
        assert word in event.note, event.note
    return True


def test_event_that_is_too_large_says_what_was_left_out_and_how_to_get_it(system, limit):
    request, key = messages.name("large"), keys.new_key()
    limit(topics.EVENTS)
    placed = system.send(large(request, key))
    event = system.results.answer_to(placed, 40)
    certificate = x509.load_der_x509_certificate(event.certificate.der)
    assert event.result == ISSUED and is_reduced(event, "max.message.bytes", "again")
    assert keys.spki_sha256(certificate.public_key()) == keys.spki_sha256(key.public_key())
    assert len(system.orders_of(f"Person {request}")) == 1
    state = state_of(system, request)
    assert list(state.first.labels) == LABELS and state.first.context == CONTEXT and state.first.certificate.chain
    limit.lift()  # as the note says: raise the limit, send it again
    again = system.issue(large(request, key))
    assert again.HasField("duplicate_of") and again.certificate.der == event.certificate.der
    assert list(again.labels) == LABELS and again.context == CONTEXT and again.certificate.chain and not again.note
    assert len(system.orders_of(f"Person {request}")) == 1


def test_state_that_is_too_large_is_reduced_as_well(system, limit):
    request, key = messages.name("large"), keys.new_key()
    limit(topics.EVENTS)
    limit(topics.STATE)
    placed = system.send(large(request, key))
    event = system.results.answer_to(placed, 40)
    state = state_of(system, request)
    assert event.result == ISSUED and is_reduced(event, "again") and is_reduced(state.first)
    assert state.first.certificate.der == event.certificate.der
    other = system.issue(messages.enroll(messages.name()))  # and nobody else was kept waiting
    assert other.result == ISSUED and not other.note
    again = system.issue(large(request, key))
    assert again.HasField("duplicate_of") and again.certificate.der == event.certificate.der


def test_state_of_a_revoked_certificate_shrinks_to_fit(system, limit):
    """Issued while records could be large, revoked when they cannot: the status is what must be kept."""
    request, key = messages.name("large"), keys.new_key()
    issued = system.issue(large(request, key))
    assert issued.result == ISSUED and not issued.note
    limit(topics.STATE)
    event = system.issue(messages.revoke(messages.name("revoke"), messages.by_request(request),
                                         reason=revocation_pb2.REVOCATION_REASON_SUPERSEDED))
    state = state_of(system, request)
    assert event.result == REVOKED and event.certificate.serial == issued.certificate.serial
    assert state.status == internal_pb2.CERTIFICATE_STATUS_REVOKED and is_reduced(state.first)
    assert state.first.certificate.der == issued.certificate.der
