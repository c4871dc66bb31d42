"""What cannot be decoded: its bytes go on unchanged, with the story in the headers, and nobody else waits for it."""

import struct
import time

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from kit import messages, topics, wait
from epki.v1 import certificate_event_pb2 as events
from epki.v1 import enrollment_pb2

ISSUED, REJECTED = events.RESULT_ISSUED, events.RESULT_REJECTED
ENROLL, RENEW, REVOKE = (topics.TOPIC_OF[f"{kind}Request"] for kind in ("Enrollment", "Renewal", "Revocation"))
HOUR_MS = 3600000
CONNECT = "__connect.errors."


def raw(**fields):
    return enrollment_pb2.EnrollmentRequest(**fields).SerializeToString()


def framed(indexes, payload):
    return b"\0" + struct.pack(">I", 42) + indexes + payload


GOOD = raw(request_id="good", setting="vpn")
POISON = {
    "null": (None, "tombstone"), "empty": (b"", "request-id"),
    "noise": (b"\xff" * 40, "malformed"), "text": (b"not protobuf", "malformed"),
    "no UTF-8": (b"\x0a\x03\xff\xfe\xfd", "text-utf8"),
    "cut off": (GOOD[:-1], "malformed"), "no id": (raw(setting="vpn"), "request-id"),
    "space in id": (raw(request_id="sp ace"), "request-id"), "id too long": (raw(request_id="r" * 129), "request-id"),
    "too large": (raw(request_id="large", context=b"x" * 262144), "record-size"),
    "frame cut off": (b"\0\0\0\0\x2a", "frame"), "frame with an endless list": (framed(b"\x80" * 6, GOOD), "frame"),
    "frame with a list cut off": (framed(b"\x02", b""), "frame"),
    "frame of the second message": (framed(b"\x02\x02", GOOD), "frame-message"),
    "frame of a nested message": (framed(b"\x04\x00\x00", GOOD), "frame-message"),
    "frame around noise": (framed(b"\0", b"\xff" * 40), "malformed"),
}


def letter_about(system, placed, sent_headers):
    """The dead letter, with the record's own headers first as they were sent, and ours as text by name."""
    letter = system.results.record_from(topics.DEAD, placed)
    headers = letter.headers()
    assert headers[:len(sent_headers)] == sent_headers
    ours = headers[len(sent_headers):]
    assert len({name for name, _ in ours}) == len(ours)
    return letter, {name: value.decode() for name, value in ours}


def test_time_that_only_the_dead_letters_topic_refuses(system):
    """The record matters more than its time: the broker gives it another.
    First of all: nothing younger was read."""
    admin = AdminClient({"bootstrap.servers": system.ca["KAFKA_BOOTSTRAP"], **topics.QUIET})
    name, topic = "message.timestamp.before.max.ms", ConfigResource(ConfigResource.Type.TOPIC, topics.DEAD)

    def stands():
        return admin.describe_configs([topic])[topic].result(20)[name].value == str(HOUR_MS)

    def alter(operation):
        entry = ConfigEntry(name, str(HOUR_MS), incremental_operation=operation)
        resource = ConfigResource(ConfigResource.Type.TOPIC, topics.DEAD, incremental_configs=[entry])
        for future in admin.incremental_alter_configs([resource]).values():
            future.result(20)
        wait.until(lambda: stands() == (operation == AlterConfigOpType.SET), 20, "the broker heard of it")

    alter(AlterConfigOpType.SET)
    try:
        began = int(time.time() * 1000)
        placed = system.send(b"\xff", topic=ENROLL, key="old", timestamp_ms=began - 2 * HOUR_MS)
        letter, _ = letter_about(system, placed, [])
        assert letter.value() == b"\xff" and letter.timestamp()[1] >= began
    finally:
        alter(AlterConfigOpType.DELETE)


@pytest.mark.parametrize("poison,problem", POISON.values(), ids=POISON.keys())
def test_record_goes_on_unchanged_with_its_story(system, poison, problem):
    began = int(time.time() * 1000)
    written = began - 5 * HOUR_MS
    headers = [("origin", b"test"), ("origin", b"twice"), ("none", None), ("blank", b""), ("bytes", b"\x00\xff")]
    placed = system.send(poison, topic=ENROLL, key=b"poison\xff", partition=0, headers=headers, timestamp_ms=written)
    letter, ours = letter_about(system, placed, headers)
    assert letter.value() == poison and letter.key() == b"poison\xff"
    assert letter.timestamp() == (TIMESTAMP_CREATE_TIME, written)
    assert began <= int(ours.pop("x-first-seen")) <= time.time() * 1000
    assert ours.pop("x-worker") in {w.instance for w in system.running()}
    message = ours.pop(CONNECT + "exception.message")
    assert 0 < len(message) <= 1024
    assert ours == {
        CONNECT + "topic": ENROLL, CONNECT + "partition": "0", CONNECT + "offset": str(placed.offset),
        CONNECT + "stage": "decode", CONNECT + "exception.class.name": problem,
        "x-state": "poison", "x-attempt": "0", "x-group": "epki-worker"}  # no request id: it could not be read
    after = system.issue(messages.enroll(messages.name()), key="poison", partition=0)
    assert after.result == ISSUED and system.results.answers(placed=placed) == []
    assert len([r for r in system.results.records[topics.DEAD] if topics.source_headers(r) == placed]) == 1


@pytest.mark.parametrize("topic", [REVOKE, RENEW, topics.BULK])
def test_every_lane_has_its_dead_letters(system, topic):
    poison = GOOD if topic == REVOKE else b"\xff" * 40  # the name of a setting is no target
    placed = system.send(poison, topic=topic, key="poison")
    letter, ours = letter_about(system, placed, [])
    assert letter.value() == poison and ours[CONNECT + "topic"] == topic
    assert ours[CONNECT + "exception.class.name"] == "malformed" and ours["x-state"] == "poison"


def test_record_without_key_and_with_many_headers(system):
    headers = [(f"h{i}", str(i).encode() * 40) for i in range(300)]
    placed = system.send(b"\xff", topic=ENROLL, key=None, partition=1, headers=headers)
    letter, ours = letter_about(system, placed, headers)
    assert letter.key() is None and ours["x-state"] == "poison"


@pytest.mark.parametrize("topic", [ENROLL, RENEW])
def test_request_in_another_kind_of_topic_is_answered(system, topic):
    """Its id can be read, so it is no dead letter: whoever sent it gets an answer."""
    request = messages.name("astray")
    placed = system.send(messages.revoke(request, messages.by_request("nobody")), topic=topic)
    event = system.results.answer_to(placed)
    assert event.result == REJECTED and event.request_id == request
    assert event.failure.failure_class == events.FAILURE_CLASS_INVALID and event.failure.field and event.failure.advice
