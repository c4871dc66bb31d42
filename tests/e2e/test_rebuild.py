"""Redis is lost with much in the topics: it is rebuilt in one go, whatever there is of either kind."""

import time

import redis
from confluent_kafka import Consumer, Producer, TopicPartition, OFFSET_BEGINNING

from kit import messages, topics, wait
from epki.v1 import common_pb2, internal_pb2

STATES, STOPS, STALE_STOPS = 20000, 20000, 500
DAY_MS = 86400000
SETTINGS = {"redis": {"timeout_ms": 500}}  # of one command: all of them at once take longer


def state_of(system, request_id):
    """The state record of an answered request."""
    consumer = Consumer({"bootstrap.servers": system.ca["KAFKA_BOOTSTRAP"], "group.id": "rebuild", **topics.QUIET})
    count = len(consumer.list_topics(topics.STATE, 10).topics[topics.STATE].partitions)
    consumer.assign([TopicPartition(topics.STATE, n, OFFSET_BEGINNING) for n in range(count)])
    try:
        def find():
            record = consumer.poll(1)
            if record is None or record.error() or record.value() is None:
                return None
            state = internal_pb2.CertificateState.FromString(record.value())
            return state if state.request_id == request_id else None
        return wait.until(find, 20, "a state record")
    finally:
        consumer.close()


def states(template):
    for index in range(STATES):
        state = internal_pb2.CertificateState.FromString(template.SerializeToString())
        state.request_id = state.first.request_id = f"many-{index}"
        state.source.offset = 1000000 + index
        state.first.certificate.order_id = f"MANY{index}"
        state.first.certificate.serial = f"{index:032x}"
        del state.keys[:]
        state.keys.append(index.to_bytes(32, "big"))
        yield state.request_id.encode(), state.SerializeToString()


def stops(count, name, since_ms):
    for index in range(count):
        record = internal_pb2.InflightRecord(
            kind=internal_pb2.INFLIGHT_KIND_STOP, request_id=f"{name}-{index}", digest=bytes(32), since_ms=since_ms,
            operation=common_pb2.OPERATION_REVOKE)
        for source in (record.source, record.by):
            source.topic, source.partition, source.offset = "epki.revocation.requests", 0, 1000000 + index
        key = b"\0".join([record.request_id.encode(), record.source.topic.encode(), b"0",
                          str(record.source.offset).encode()])
        yield key, record.SerializeToString()


def fill(producer, topic, records):
    for key, value in records:
        while True:
            try:
                producer.produce(topic, value, key=key)
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(60) == 0


def test_rebuilt_in_one_go(system):
    client = redis.Redis(port=int(system.ca["REDIS_URL"].rsplit(":", 1)[1]), socket_timeout=5)
    first = system.issue(messages.enroll(messages.name(), cn="Rebuild"))
    producer = Producer({"bootstrap.servers": system.ca["KAFKA_BOOTSTRAP"], "linger.ms": 20, **topics.QUIET})
    now_ms = int(time.time() * 1000)
    fill(producer, topics.STATE, states(state_of(system, first.request_id)))
    fill(producer, topics.INFLIGHT, stops(STOPS, "stop", now_ms - 10 * DAY_MS))
    fill(producer, topics.INFLIGHT, stops(STALE_STOPS, "stale", now_ms - 31 * DAY_MS))
    old = client.get("epki:v1:canary")
    client.flushall()
    wait.until(lambda: client.get("epki:v1:canary") not in (None, old), 60, "a rebuilt Redis")
    done = wait.until(lambda: [e for w in system.running() for e in w.log(msg="redis rebuilt")], 5, "the word of it")
    print(f"rebuilt {done[0]['restored']} records in {done[0]['duration_ms']} ms")
    assert len(done) == 1 and done[0]["restored"] >= STATES + STOPS
    assert not [e for w in system.running() for e in w.log(msg="rebuild given up")]
    assert client.exists(*[f"epki:v1:request:many-{i}" for i in range(STATES)]) == STATES
    assert client.exists(*[f"epki:v1:stop:stop-{i}" for i in range(STOPS)]) == STOPS
    # What remains of the horizon, and nothing of what is beyond it.
    assert 19 * DAY_MS < client.pttl("epki:v1:stop:stop-7") <= 20 * DAY_MS
    assert not client.exists(*[f"epki:v1:stop:stale-{i}" for i in range(STALE_STOPS)])
