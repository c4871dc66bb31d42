"""What is parked: why, what stands of it in the waiting room, and what people decide of it."""

from kit import messages, topics
from epki.v1 import internal_pb2


def reason_of(record):
    """Of a parked record, or a dead letter."""
    return dict(record.headers())["__connect.errors.exception.class.name"].decode()


def standing(system, request_id, placed):
    """What epki.inflight holds now of an event, None if nothing."""
    key = b"\0".join(str(part).encode() for part in (request_id, placed.topic, placed.partition, placed.offset))
    last = None
    for record in topics.read_topic(system.ca["KAFKA_BOOTSTRAP"], topics.INFLIGHT):
        if record.key() == key:
            last = record if record.value() else None
    return last


def decide(system, request_id, placed, action):
    """As an operator would: the PARKED record says where, and which of it is meant."""
    record = standing(system, request_id, placed)
    assert internal_pb2.InflightRecord.FromString(record.value()).kind == internal_pb2.INFLIGHT_KIND_PARKED
    return system.send(messages.resume(request_id, placed, action, record.offset()), partition=record.partition())
