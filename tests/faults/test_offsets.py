"""The group's offsets reset, replaced or deleted, while workers run and while none does."""

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

import coordinators
from kit import cases, messages, topics, wait
from kit.crowd import Crowd
from epki.v1 import certificate_event_pb2 as events

ENROLL, REVOKE = topics.TOPIC_OF["EnrollmentRequest"], topics.TOPIC_OF["RevocationRequest"]
TOPICS = (ENROLL, topics.BULK, REVOKE)
PARTITIONS = 4


def ends(system):
    """Where each partition of the enrolment topic ends."""
    consumer = Consumer({"bootstrap.servers": system.ca["KAFKA_BOOTSTRAP"], "group.id": "looks", **topics.QUIET})
    try:
        return [consumer.get_watermark_offsets(TopicPartition(ENROLL, p), timeout=10)[1] for p in range(PARTITIONS)]
    finally:
        consumer.close()


def empty(admin):
    """No worker is a member any more, the killed ones neither."""
    return not admin.describe_consumer_groups([cases.GROUP])[cases.GROUP].result(10).members


def nobodys_commit(system, offsets):
    """A commit that names no member: the broker takes it though the partitions have owners."""
    consumer = Consumer({"bootstrap.servers": system.ca["KAFKA_BOOTSTRAP"], "group.id": cases.GROUP, **topics.QUIET})
    producer = Producer({"bootstrap.servers": system.ca["KAFKA_BOOTSTRAP"], "transactional.id": messages.name("nobody"),
                         **topics.QUIET})
    try:
        producer.init_transactions(30)
        producer.begin_transaction()
        places = [TopicPartition(ENROLL, p, offset) for p, offset in enumerate(offsets)]
        producer.send_offsets_to_transaction(places, consumer.consumer_group_metadata(), 30)
        producer.commit_transaction(30)
    finally:
        consumer.close()


# --- while workers run ---

def test_tools_are_refused_while_workers_run(system, admin):
    crowd = Crowd(system, "tools").hold(12)
    with pytest.raises(KafkaException) as refused:
        coordinators.reset(admin, ENROLL)
    assert refused.value.args[0].code() == KafkaError.UNKNOWN_MEMBER_ID
    with pytest.raises(KafkaException) as refused:
        admin.delete_consumer_groups([cases.GROUP])[cases.GROUP].result(30)
    assert refused.value.args[0].code() == KafkaError.NON_EMPTY_GROUP
    system.ca.control("POST", "/release", {})
    crowd.check()


@pytest.mark.parametrize("where", ["beginning", "end"])
def test_commit_is_replaced_under_running_workers(system, admin, where):
    """The owners' next commits replace it again, with all that they know."""
    done = Crowd(system, "done").send(8)
    done.check()
    crowd = Crowd(system, "replaced").hold(12)
    nobodys_commit(system, [0] * PARTITIONS if where == "beginning" else ends(system))
    crowd.send(8)
    system.ca.control("POST", "/release", {})
    crowd.check()
    done.check()


# --- while none runs ---

class Ended:
    """Revocations, each of a certificate of its own."""

    def __init__(self, system, requests):
        self.system, self.issued = system, [system.results.answer(request) for request in requests]
        self.placed = {}  # order id: where its revocation stands

    def send(self, count):
        for _ in range(count):
            event = self.issued[len(self.placed)]
            message = messages.revoke(messages.name("ended"), messages.by_request(event.request_id))
            self.placed[event.certificate.order_id] = self.system.send(message)
        return self

    def hold(self, count):
        """So many more, of which the CA tells nobody that it has done them."""
        self.system.ca.fault("hold_reply", operation="Revoke", count=count)
        self.send(count)
        wait.until(lambda: all(map(self.revocations, self.placed)), 60, "revocations at the CA")

    def revocations(self, order_id):
        return self.system.ca.journal(operation="Revoke", order_id=order_id)

    def check(self, timeout=90):
        """Each was done once and answered once."""
        for order_id, placed in self.placed.items():
            assert self.system.results.answer_to(placed, timeout).result == events.RESULT_REVOKED
            assert len(self.revocations(order_id)) == 1
        cases.await_all_done(self.system, timeout)
        for placed in self.placed.values():
            assert len(self.system.results.answers(placed=placed)) == 1


def left_behind(system, admin):
    """Of each kind: requests that were answered, requests with calls in the air whose workers were killed, and requests
    that nobody has read."""
    crowd, bulk = Crowd(system, "left").send(8), Crowd(system, "bulk").send(4, topics.BULK)
    crowd.check()
    bulk.check()
    ended = Ended(system, crowd.placed).send(2)
    ended.check()
    ended.hold(3)
    crowd.hold(12)
    bulk.hold(4, topics.BULK)
    for worker in system.running():
        worker.kill()
    system.calm()
    wait.until(lambda: empty(admin), 30, "no member")
    return crowd.send(8), bulk.send(4, topics.BULK), ended.send(3)


def test_offsets_are_reset_to_the_beginning(system, admin):
    left = left_behind(system, admin)
    for topic in TOPICS:
        coordinators.reset(admin, topic)
    system.complete()

    def doubted():
        lines = [line for worker in system.running()
                 for line in worker.log(msg="foreign commit: what is open may have been started")]
        return {(line["topic"], line["partition"]) for line in lines}
    wait.until(lambda: doubted() == {(topic, p) for topic in TOPICS for p in range(PARTITIONS)}, 60, "doubts of each")
    for one in left:
        one.check(120)


def test_group_is_deleted(system, admin):
    """No worker starts, for nobody can say by himself whether this is a beginning. By the operator's word everything is
    looked at again, and nothing done again; Redis, which is whole, is left as it is."""
    left = left_behind(system, admin)
    admin.delete_consumer_groups([cases.GROUP])[cases.GROUP].result(30)
    refused = system.workers.command("run")
    assert refused.returncode != 0 and "offsets-lost" in refused.stderr
    canary = cases.store(system).get("epki:v1:canary")
    done = system.workers.command("bootstrap")
    assert done.returncode == 0 and "again" in done.stdout, done.stderr
    system.complete()
    for one in left:
        one.check(120)
    assert system.issue(messages.enroll(messages.name())).result == events.RESULT_ISSUED
    assert canary and cases.store(system).get("epki:v1:canary") == canary
