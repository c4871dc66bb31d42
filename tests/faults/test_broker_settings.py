"""What a broker's and a topic's settings can do: offset metadata that must be shorter than our maps, and a request topic
that is compacted and written to by transactions, some of which are aborted."""

import contextlib
import signal

from confluent_kafka import Producer
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

from kit import messages, topics, wait
from kit.crowd import Crowd
from epki.v1 import certificate_event_pb2 as events

BULK = topics.BULK
BROKER_PORT = 10  # from the stack's first


@contextlib.contextmanager
def restarted_with(system, *lines):
    """The one broker has these settings as well for a while."""
    path = system.ca.directory / "broker-1.properties"
    settings = path.read_text()

    def restart(*lines):
        path.write_text(settings + "".join(f"{line}\n" for line in lines))
        system.ca.restart("kafka-1", system.ca.base_port + BROKER_PORT, signal.SIGTERM, 90)
    restart(*lines)
    try:
        yield
    finally:
        restart()


def test_maps_that_the_broker_does_not_take(system):
    """Its limit has been lowered under the workers. What is too much for it waits until there is less, and comes whole:
    no answer is made smaller for it, and neither is one that only its place in the map keeps back."""
    with restarted_with(system, "offset.metadata.max.bytes=64"):
        system.ca.fault("hold_reply", count=1000)
        crowd = Crowd(system, "long").send(80, partition=0)
        wrong = messages.enroll(messages.name("wrong"), setting="no such", context=b"to be repeated")
        placed = system.send(wrong, partition=0)
        wait.until(lambda: system.log(msg="the broker takes no map as long as this"), 120, "a refusal")
        wait.until(lambda: system.log(msg="Kafka refuses an answer"), 120, "the refusal of an answer")
        crowd.await_ordered(5, 120)
        assert len(crowd.ordered()) < 80 and not crowd.answered()
        system.ca.clear_faults()
        system.ca.control("POST", "/release", {})
        crowd.check(180)
        answer = system.results.answer_to(placed, 60)
        assert answer.result == events.RESULT_REJECTED and answer.context == b"to be repeated"


# --- topics ---

def configure(admin, topic, **values):
    entries = [ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
               for name, value in values.items()]
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=entries)
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(30)


class Transactions:
    """A publisher whose requests come by transactions."""

    def __init__(self, system, crowd):
        self.crowd, self.never = crowd, []
        self.producer = Producer({"bootstrap.servers": system.ca["KAFKA_BOOTSTRAP"],
                                  "transactional.id": messages.name("publisher"), **topics.QUIET})
        self.producer.init_transactions(30)

    def send(self, requests, key=None, commit=True, counts=True):
        """counts: each of these requests is to be answered."""
        placed = {}
        self.producer.begin_transaction()
        for request in requests:
            def on_delivery(_error, record, request=request):
                placed[request] = topics.Placed(record.topic(), record.partition(), record.offset())
            self.producer.produce(BULK, messages.enroll(request).SerializeToString(), key=key or f"key of {request}",
                                  partition=0, on_delivery=on_delivery)
        self.producer.flush(30)
        if commit:
            self.producer.commit_transaction(30)
        else:
            self.producer.abort_transaction(30)
        if commit and counts:
            self.crowd.placed.update(placed)
        else:
            self.never += requests


def names(prefix, count):
    return [messages.name(prefix) for _ in range(count)]


def nothing_ordered(system, requests):
    return not any(system.ca.orders(cn=f"Person {request}") for request in requests)


def test_aborted_transactions_of_publishers(system):
    """They come and go under running workers; what follows them is read on."""
    crowd = Crowd(system, "transaction")
    by_transactions = Transactions(system, crowd)
    for turn in range(6):
        by_transactions.send(names("transaction", 3), commit=turn % 2 == 0)
    crowd.check()  # an abort is the last: the base has passed its marker
    assert nothing_ordered(system, by_transactions.never)


def test_gaps_of_compaction(system, admin):
    """Of several requests of one key the log keeps the last. Nobody has read the others, and there are markers, aborted
    records and gaps in between."""
    for worker in system.running():
        assert worker.terminate(40) == 0
    with restarted_with(system, "log.cleaner.backoff.ms=300"):
        configure(admin, BULK, cleanup_policy="compact", segment_ms="500", min_cleanable_dirty_ratio="0.01",
                  delete_retention_ms="100")
        crowd = Crowd(system, "compacted")
        by_transactions = Transactions(system, crowd)
        for turn in range(5):
            by_transactions.send(names("superseded", 4), key=f"key {turn}", counts=False)
            by_transactions.send(names("compacted", 2))
            by_transactions.send(names("aborted", 3), commit=False)
            by_transactions.send(names("compacted", 1), key=f"key {turn}")

        def compacted():  # with each record the segment before may be rolled, and is cleaned
            by_transactions.send(names("compacted", 1))
            keys = [record.key() for record in topics.read_topic(system.ca["KAFKA_BOOTSTRAP"], BULK)]
            return len(keys) == len(set(keys))
        wait.until(compacted, 60, "the cleaner", pause=1)
        system.complete()
        crowd.check(120)
        assert nothing_ordered(system, by_transactions.never)
        configure(admin, BULK, cleanup_policy="delete", segment_ms="604800000")


def test_read_uncommitted_does_not_start(system):
    change = {"kafka": {"properties": {"isolation.level": "read_uncommitted"}}}
    refused = system.workers.command("run", change=change)
    assert refused.returncode == 2 and "isolation.level" in refused.stdout + refused.stderr
