"""Publishing requests, and what a read_committed reader sees of the results."""

import collections
import dataclasses
import threading

from kafka.partitioner.default import murmur2
from confluent_kafka import Consumer, Producer, TopicPartition, OFFSET_BEGINNING

from kit import wait
from epki.v1 import account_event_pb2, certificate_event_pb2

TOPIC_OF = {"EnrollmentRequest": "epki.enrollment.requests", "RenewalRequest": "epki.renewal.requests",
            "RevocationRequest": "epki.revocation.requests", "ResumeRequest": "epki.resume"}
BULK = "epki.enrollment.bulk.requests"
EVENTS, STATE, ACCOUNT = "epki.certificate.events", "epki.certificate.state", "epki.account.events"
PARKED, DEAD, INFLIGHT, RESUME = "epki.parked", "epki.dead-letters", "epki.inflight", "epki.resume"
QUIET = {"log_level": 2}  # brokers come and go here; what matters is said by the tests
ANSWERS = (certificate_event_pb2.RESULT_ISSUED, certificate_event_pb2.RESULT_RENEWED,
           certificate_event_pb2.RESULT_REVOKED, certificate_event_pb2.RESULT_REMOVED,
           certificate_event_pb2.RESULT_REJECTED)


def partition_of(key, partitions):
    """Where a record of this key goes, by the default of Java's producer and of the workers."""
    return (murmur2(key.encode()) & 0x7fffffff) % partitions


@dataclasses.dataclass
class Placed:
    """Where a published record stands."""
    topic: str
    partition: int
    offset: int

    def is_source(self, source):
        return (source.topic, source.partition, source.offset) == (self.topic, self.partition, self.offset)


class Publisher:
    def __init__(self, bootstrap):
        self.producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "message.max.bytes": 1500000,
                                  "enable.idempotence": True,
                                  "partitioner": "murmur2_random", **QUIET})

    def send(self, message, key=None, topic=None, partition=-1, headers=None, timestamp_ms=0):
        """Publishes a request message, or raw bytes to a topic; returns where it stands. Time 0 is now."""
        raw = message if isinstance(message, (bytes, type(None))) else message.SerializeToString()
        if topic is None:
            topic = TOPIC_OF[type(message).__name__]
        placed = []
        self.producer.produce(topic, raw, key=key if key is not None else getattr(message, "request_id", None),
                              partition=partition, headers=headers or [], timestamp=timestamp_ms,
                              on_delivery=lambda error, record: placed.append(error or record))
        if self.producer.flush(20) or not hasattr(placed[0], "offset"):
            raise RuntimeError(f"not published: {placed}")
        return Placed(placed[0].topic(), placed[0].partition(), placed[0].offset())

    def send_many(self, messages, partition=-1):
        """(message, key, topic) triples, without waiting for each; returns where each stands."""
        placed = [None] * len(messages)

        def keep(index):
            def on_delivery(error, record):
                if error is not None:
                    raise RuntimeError(str(error))
                placed[index] = Placed(record.topic(), record.partition(), record.offset())
            return on_delivery

        for index, (message, key, topic) in enumerate(messages):
            self.producer.produce(topic or TOPIC_OF[type(message).__name__], message.SerializeToString(), key=key,
                                  partition=partition, on_delivery=keep(index))
            self.producer.poll(0)
        if self.producer.flush(180):  # a broker that hangs is missed late
            raise RuntimeError("not published")
        return placed


class Results:
    """Follows result topics from their beginning on a thread of its own, as any consumer would see them."""

    def __init__(self, bootstrap, topics=(EVENTS, ACCOUNT, PARKED, DEAD), on_event=None, on_record=None):
        """With on_record nothing is kept here: it gets each record that is no event."""
        self.on_record = on_record
        self.records = collections.defaultdict(list)
        self.events = []
        self.account_events = []
        self.on_event = on_event
        self._ready = threading.Condition()
        self._stop = threading.Event()
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "results", "enable.auto.commit": False,
                                   "isolation.level": "read_committed", "auto.offset.reset": "earliest",
                                   "fetch.wait.max.ms": 50, **QUIET})
        known = self._consumer.list_topics(timeout=10).topics
        self._consumer.assign([TopicPartition(t, p, OFFSET_BEGINNING) for t in topics for p in known[t].partitions])
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self):
        while not self._stop.is_set():
            record = self._consumer.poll(0.1)
            if record is None or record.error():
                continue
            event = None
            if record.topic() == EVENTS:
                event = certificate_event_pb2.CertificateEvent.FromString(record.value())
            if self.on_record is None:
                self._keep(record, event)
            elif event is None:
                self.on_record(record)
            if event is not None and self.on_event is not None:
                self.on_event(event)

    def _keep(self, record, event):
        with self._ready:
            self.records[record.topic()].append(record)
            if event is not None:
                self.events.append(event)
            if record.topic() == ACCOUNT:
                self.account_events.append(account_event_pb2.AccountEvent.FromString(record.value()))
            self._ready.notify_all()

    def close(self):
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def _wait(self, look, timeout, what):
        with self._ready:
            if not self._ready.wait_for(lambda: bool(look()), timeout * wait.PATIENCE):
                raise TimeoutError(f"{what}: not within {timeout * wait.PATIENCE:g} s")
            return look()

    def answers(self, request_id=None, placed=None):
        """Terminal events, of a request id or of one source record."""
        return [e for e in list(self.events) if e.result in ANSWERS
                and (request_id is None or e.request_id == request_id)
                and (placed is None or placed.is_source(e.source))]

    def answer(self, request_id, timeout=30, count=1):
        """The count-th answer of a request id."""
        return self._wait(lambda: self.answers(request_id)[count - 1:], timeout, f"answer {count} of {request_id}")[0]

    def answer_to(self, placed, timeout=30):
        """The one answer to a source record."""
        found = self._wait(lambda: self.answers(placed=placed), timeout, f"answer to {placed}")
        if len(found) != 1:
            raise AssertionError(f"{len(found)} answers to {placed}")
        return found[0]

    def progress(self, request_id, result, timeout=30):
        return self._wait(lambda: [e for e in list(self.events) if e.request_id == request_id and e.result == result],
                          timeout, f"progress {result} of {request_id}")[0]

    def record_from(self, topic, placed, timeout=30):
        """The record of a dead-letter or parked topic that tells of this source."""
        def look():
            return [r for r in list(self.records[topic]) if source_headers(r) == placed]
        return self._wait(look, timeout, f"{topic} about {placed}")[0]

    def told_of(self, request_id):
        """What the account's topic says of a request, each once: who takes it over may say it again."""
        said = {(e.type, e.problem, e.order_id): e for e in list(self.account_events) if e.request_id == request_id}
        return list(said.values())

    def account_event(self, event_type, timeout=30):
        return self._wait(lambda: [e for e in list(self.account_events) if e.type == event_type], timeout,
                          f"account event {event_type}")[0]


def is_first(event):
    """The answer to a request, and not to an event that repeats it, or its id."""
    return not event.HasField("duplicate_of") and event.failure.problem != "request-id-conflict"


def terminal(records, only_first=False):
    """How often each source record was answered: {(topic, partition, offset): count}, of records of EVENTS."""
    found = collections.Counter()
    for record in records:
        event = certificate_event_pb2.CertificateEvent.FromString(record.value())
        if event.result in ANSWERS and (is_first(event) or not only_first):
            found[event.source.topic, event.source.partition, event.source.offset] += 1
    return found


def source_headers(record):
    """Where a dead letter or parked record came from, by its headers."""
    found = dict(record.headers() or [])
    try:
        return Placed(found["__connect.errors.topic"].decode(), int(found["__connect.errors.partition"]),
                      int(found["__connect.errors.offset"]))
    except KeyError:
        return None


def read_topic(bootstrap, topic, committed=True, timeout=20):
    """Every record of a topic up to its present end."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "enable.auto.commit": False,
                         "isolation.level": "read_committed" if committed else "read_uncommitted",
                         "auto.offset.reset": "earliest", "enable.partition.eof": True, **QUIET})
    partitions = list(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in partitions])
    records, open_ends = [], set(partitions)

    def step():
        record = consumer.poll(0.2)
        if record is None:
            return False
        if record.error():
            open_ends.discard(record.partition())
        else:
            records.append(record)
        return not open_ends

    try:
        wait.until(step, timeout, f"the end of {topic}", pause=0)
    finally:
        consumer.close()
    return records


def undone(bootstrap, group, topics):
    """(topic, partition, committed, end) of every partition that has offsets which are not done: the base that the
    workers commit is the first of those. It asks as nobody: it joins no group."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False, **QUIET})
    try:
        known = consumer.list_topics(timeout=10).topics
        asked = [TopicPartition(t, p) for t in topics for p in known[t].partitions]
        left = []
        for at in consumer.committed(asked, timeout=10):
            _, end = consumer.get_watermark_offsets(TopicPartition(at.topic, at.partition), timeout=10)
            if at.offset != end and not (at.offset < 0 and end == 0):
                left.append((at.topic, at.partition, at.offset, end))
        return left
    finally:
        consumer.close()
