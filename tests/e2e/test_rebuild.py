"""Redis is lost and rebuilt: with much in the topics, and from the start where it takes too long."""

import subprocess
import time

import pytest
import redis
from confluent_kafka import Consumer, Producer, TopicPartition, OFFSET_BEGINNING

from kit import clocks, messages, topics, wait
from epki.v1 import certificate_event_pb2, common_pb2, internal_pb2

STATES, STOPS, STALE_STOPS = 20000, 20000, 500
DAY_MS = 86400000
SETTINGS = {"redis": {"timeout_ms": 500}}  # of one command: far less than all of them take


@pytest.fixture
def client(system):
    return redis.Redis(port=int(system.ca["REDIS_URL"].rsplit(":", 1)[1]), socket_timeout=5)


def restart(system, count, **how):
    for running in system.running():
        assert running.terminate(40) == 0
    return [system.workers.start(**how) for _ in range(count)]


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


def test_rebuilt_with_much_in_the_topics(system, client):
    first = system.issue(messages.enroll(messages.name(), cn="Rebuild"))
    producer = Producer({"bootstrap.servers": system.ca["KAFKA_BOOTSTRAP"], "linger.ms": 20, **topics.QUIET})
    now_ms = int(time.time() * 1000)
    fill(producer, topics.STATE, states(state_of(system, first.request_id)))
    fill(producer, topics.INFLIGHT, stops(STOPS, "stop", now_ms - 10 * DAY_MS))
    fill(producer, topics.INFLIGHT, stops(STALE_STOPS, "stale", now_ms - 31 * DAY_MS))
    old = client.get("epki:v1:canary")
    client.flushall()
    # Where Redis gets no time to run for so long as a command may take, it is begun again.
    wait.until(lambda: client.get("epki:v1:canary") not in (None, old), 180, "a rebuilt Redis")
    [done] = wait.until(lambda: [e for w in system.running() for e in w.log(msg="redis rebuilt")], 5, "the word of it")
    print(f"rebuilt {done['restored']} records in {done['duration_ms']} ms")
    assert done["restored"] >= STATES + STOPS
    assert client.exists(*[f"epki:v1:request:many-{i}" for i in range(STATES)]) == STATES
    assert client.exists(*[f"epki:v1:stop:stop-{i}" for i in range(STOPS)]) == STOPS
    # What remains of the horizon, and nothing of what is beyond it.
    assert 19 * DAY_MS < client.pttl("epki:v1:stop:stop-7") <= 20 * DAY_MS
    assert not client.exists(*[f"epki:v1:stop:stale-{i}" for i in range(STALE_STOPS)])


def test_rebuild_that_outlasts_the_tombstones_starts_over(system, client, tmp_path):
    """What it read no longer fits together when tombstones may be gone: nothing is ordered on the strength of it."""
    ahead = clocks.Clocks(tmp_path / "ahead")
    message = messages.enroll(messages.name(), cn="Late Rebuild")
    first = system.issue(message)
    [worker] = restart(system, 1, clocks=ahead)
    assert system.issue(messages.enroll(messages.name())).result == certificate_event_pb2.RESULT_ISSUED
    old, broker = client.get("epki:v1:canary"), str(system.ca.pid("kafka-1"))
    subprocess.run(["kill", "-STOP", broker], check=True)  # the topics cannot be read for a while
    try:
        client.flushall()
        worker.await_log(msg="rebuilding redis from the topics", timeout=30)
        ahead.set(boot=12 * 3600 + 60)  # half of delete.retention.ms, and a bit
        late = worker.await_log(msg="the rebuild takes longer than tombstones stay: it starts over", timeout=30)
        assert late["level"] == "error" and late["limit_ms"] == 12 * 3600 * 1000 and late["advice"]
        worker.await_log(msg="rebuild given up")
        assert client.get("epki:v1:canary") is None and not worker.log(msg="redis rebuilt")
    finally:
        subprocess.run(["kill", "-CONT", broker], check=True)
    again, fresh = system.send(message, key="elsewhere"), system.send(messages.enroll(messages.name(), cn="After It"))
    event = system.results.answer_to(again, 60)
    assert event.HasField("duplicate_of") and event.certificate.serial == first.certificate.serial
    assert system.results.answer_to(fresh, 60).result == certificate_event_pb2.RESULT_ISSUED
    assert len(system.orders_of("Late Rebuild")) == len(system.orders_of("After It")) == 1
    assert client.get("epki:v1:canary") not in (None, old)
    rebuilt = worker.log(msg="redis rebuilt")
    assert len(rebuilt) == 1 and rebuilt[0]["duration_ms"] < 60000 and rebuilt[0]["restored"] >= 2
    restart(system, 2)
