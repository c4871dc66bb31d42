"""Reads topics from their beginning to their end, with kafka-python and the official protobuf runtime."""

import sys
import time

from kafka import KafkaConsumer, TopicPartition

from chaos.auditor.facts import Answer, Event, Letter, Place
from epki.v1 import account_event_pb2, certificate_event_pb2

REQUESTS = ("epki.enrollment.requests", "epki.enrollment.bulk.requests", "epki.renewal.requests",
            "epki.revocation.requests")
EVENTS, ACCOUNT = "epki.certificate.events", "epki.account.events"
LETTERS = {"epki.parked": "parked", "epki.dead-letters": "dead"}
POLL_RECORDS = 5000


class Unfinished(Exception):
    """A topic whose end does not become readable: a transaction is open, or a broker is away."""


class Reader:
    def __init__(self, bootstrap, patience_s=60):
        self.bootstrap, self.patience_s = bootstrap.split(","), patience_s

    def consumer(self, level):
        return KafkaConsumer(bootstrap_servers=self.bootstrap, isolation_level=level, enable_auto_commit=False,
                             group_id=None, auto_offset_reset="earliest", check_crcs=True,
                             max_poll_records=POLL_RECORDS)

    def ends(self, topic):
        """Where each partition ends, open transactions included."""
        reader = self.consumer("read_uncommitted")
        try:
            found = reader.partitions_for_topic(topic)
            if not found:
                raise Unfinished(f"no topic {topic}")
            return reader.end_offsets([TopicPartition(topic, number) for number in sorted(found)])
        finally:
            reader.close()

    def read(self, topic):
        """Every committed record of a topic, each partition in its order. The end is the log's own, not that of the
        last stable record: what an open transaction hides would otherwise be missed without a word."""
        wanted = self.ends(topic)
        reader = self.consumer("read_committed")
        give_up = time.monotonic() + self.patience_s
        try:
            reader.assign(list(wanted))
            reader.seek_to_beginning()
            behind = [part for part, end in wanted.items() if end > 0]
            while behind:
                for batch in reader.poll(timeout_ms=500).values():
                    yield from batch
                    give_up = time.monotonic() + self.patience_s
                behind = [part for part in behind if reader.position(part) < wanted[part]]
                if behind and time.monotonic() > give_up:
                    raise Unfinished(f"{topic}: not read to the end of partitions {[p.partition for p in behind]}")
        finally:
            reader.close()

    def events(self, topics=REQUESTS):
        return [Event(place_of(r), r.key or b"", r.value, r.timestamp) for topic in topics for r in self.read(topic)]

    def answers(self, topic=EVENTS):
        return [Answer(place_of(r), r.key or b"", r.timestamp, answer_of(r.value)) for r in self.read(topic)]

    def letters(self, topics=LETTERS):
        return [letter_of(kind, r) for topic, kind in topics.items() for r in self.read(topic)]

    def notices(self, topic=ACCOUNT):
        return [account_event_pb2.AccountEvent.FromString(r.value) for r in self.read(topic)]


def place_of(record):
    return Place(sys.intern(record.topic), record.partition, record.offset)


def answer_of(value):
    """Without what is large and not judged: chains, and what was sealed, of which one byte tells that it is there."""
    message = certificate_event_pb2.CertificateEvent.FromString(value)
    if message.HasField("certificate"):
        certificate = message.certificate
        del certificate.chain[:]
        certificate.sealed_pkcs12, certificate.sealed_pin = certificate.sealed_pkcs12[:1], certificate.sealed_pin[:1]
    # Anew: a message keeps the memory of what was taken out of it.
    return certificate_event_pb2.CertificateEvent.FromString(message.SerializeToString())


def letter_of(kind, record):
    headers = {name: value.decode() for name, value in record.headers}
    source = Place(headers["__connect.errors.topic"], int(headers["__connect.errors.partition"]),
                   int(headers["__connect.errors.offset"]))
    return Letter(kind, place_of(record), source, record.timestamp,
                  headers["__connect.errors.exception.class.name"])
