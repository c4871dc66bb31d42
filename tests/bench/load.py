"""The load: requests made beforehand, published on time, and every answer as a read_committed reader gets it."""

import dataclasses
import time

from confluent_kafka import Consumer, Producer, TopicPartition, OFFSET_END

from kit import messages, topics
from epki.v1 import certificate_event_pb2, common_pb2

IN = topics.TOPIC_OF["EnrollmentRequest"]


def requests(count, key, recipient):
    """(request id, bytes) of new enrolments; making keys and CSRs must not disturb what is measured."""
    choice = None
    if key == "worker":
        choice = common_pb2.WorkerKey(type="KEY_TYPE_EC_P256", recipient_certificate=recipient.der)
    made = (messages.enroll(messages.name("bench"), worker_key=choice) for _ in range(count))
    return [(message.request_id, message.SerializeToString()) for message in made]


@dataclasses.dataclass
class Answer:
    request_id: str
    source: tuple
    result: int
    received: float  # seconds since 1970, as all of these: read by the worker
    answered: float  # the worker has the answer
    published: float  # the request was put into Kafka
    seen: float  # a read_committed reader has the answer


class Load:
    """Publishes what is due and takes answers in; both from pump(), on the caller's thread."""

    def __init__(self, bootstrap, partitions):
        self.partitions = partitions
        self.producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, **topics.QUIET,
                                  "queue.buffering.max.messages": 1000000})
        self.consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench", "enable.auto.commit": False,
                                  "isolation.level": "read_committed", "fetch.wait.max.ms": 50, **topics.QUIET})
        known = self.consumer.list_topics(topics.EVENTS, timeout=10).topics[topics.EVENTS].partitions
        self.consumer.assign([TopicPartition(topics.EVENTS, p, OFFSET_END) for p in known])
        self.published_at, self.answers, self.count = {}, [], 0

    def plan(self, made, rate, outstanding=None):
        """Publishes `rate` a second from now on; after the first `outstanding`, whenever fewer than so many are
        unanswered."""
        self.made, self.next, self.begun, self.rate, self.outstanding = made, 0, time.time(), rate, outstanding

    def withdraw(self):
        """Nothing more of the plan is published; says how much was left."""
        left = len(self.made) - self.next
        self.made = self.made[:self.next]
        return left

    def due(self):
        """How many of the plan may be out by now."""
        paced = int((time.time() - self.begun) * self.rate) + 1
        if self.outstanding is None or paced < self.outstanding:
            return paced
        return self.next + self.outstanding - (self.count - len(self.answers))

    def pump(self, seconds=0.02):
        for request_id, raw in self.made[self.next:max(self.next, self.due())]:
            self.published_at[request_id] = time.time()
            self.producer.produce(IN, raw, key=request_id, partition=self.count % self.partitions)
            self.count += 1
            self.next += 1
        self.producer.poll(0)
        for record in self.consumer.consume(1000, seconds):
            if record.error() is None:
                self._take(record)

    def _take(self, record):
        event = certificate_event_pb2.CertificateEvent.FromString(record.value())
        if event.result in topics.ANSWERS:
            source = (event.source.topic, event.source.partition, event.source.offset)
            self.answers.append(Answer(event.request_id, source, event.result, event.received_ms / 1000,
                                       event.answered_ms / 1000, self.published_at[event.request_id], time.time()))

    def close(self):
        self.consumer.close()
