"""First starts of a deployment, those that did not get through, and starts beside what a crashed worker left."""

import pytest
import redis
from confluent_kafka import Consumer, Producer, TopicPartition

from kit import cases, messages, topics, wait
from epki.v1 import certificate_event_pb2 as events

WORKERS = 0  # each test starts its own
GROUPS = True  # each with a Redis of its own, which nobody should do but here
ENROLL = topics.TOPIC_OF["EnrollmentRequest"]


def deployment(system, group, database, **redis_settings):
    """Settings of a deployment of its own, and what is in its Redis."""
    url = f"{system.ca['REDIS_URL']}/{database}"
    return {"kafka": {"group": group}, "redis": {"url": url, **redis_settings}}, redis.Redis.from_url(url)


@pytest.fixture
def member(system):
    """Of a group, whose first commits are refused while it is there."""
    consumer = Consumer({"bootstrap.servers": system.ca["KAFKA_BOOTSTRAP"], "group.id": "refused", **topics.QUIET})
    consumer.subscribe([ENROLL])
    wait.until(lambda: consumer.poll(0.1) or consumer.assignment(), 30, "a member")
    yield consumer
    consumer.close()


def test_a_bootstrap_that_failed_is_repeated(system, member):
    change, store = deployment(system, "refused", 1)
    done = system.workers.command("bootstrap", change=change)
    assert done.returncode == 1 and "Stop all workers first" in done.stderr, done.stderr
    assert store.keys("*") == []
    member.close()
    done = system.workers.command("bootstrap", change=change)
    assert done.returncode == 0, done.stderr
    assert store.get("epki:v1:canary")
    done = system.workers.command("bootstrap", change=change)
    assert done.returncode == 1 and "the group has its commits" in done.stderr


def test_redis_of_another_deployment_is_left_alone(system):
    """Nothing is begun in Kafka either."""
    change, store = deployment(system, "other", 2)
    store.set("epki:v1:request:somebody", "1")
    for _ in range(2):
        done = system.workers.command("bootstrap", change=change)
        assert done.returncode == 1 and "Redis already holds keys" in done.stderr, done.stderr
    assert [key.decode() for key in store.keys("*")] == ["epki:v1:request:somebody"]


def test_a_bootstrap_that_ends_between_kafka_and_redis(system):
    """The workers write the canary that is missing."""
    password = system.workers.directory / "halfway"
    password.write_text("halfway")
    password.chmod(0o600)
    change, store = deployment(system, "halfway", 3)
    store.acl_setuser("halfway", enabled=True, passwords=["+halfway"], keys=["*"], channels=["*"],
                      categories=["+@all"], commands=["-eval", "-evalsha"])
    shut = deployment(system, "halfway", 3, user="halfway", password_file=str(password))[0]
    done = system.workers.command("bootstrap", change=shut)
    assert done.returncode == 0 and "the canary is missing" in done.stdout and "eval" in done.stderr, done.stderr
    assert store.keys("*") == []
    worker = system.workers.start(change=change)
    assert system.issue(messages.enroll(messages.name())).result == events.RESULT_ISSUED
    assert store.get("epki:v1:canary")
    assert worker.terminate(40) == 0


def test_a_transaction_left_open_holds_up_its_partition_only(system):
    """It has a minute: the worker starts beside it, works on the other partitions, and waits for its end at this one."""
    consumer = Consumer({"bootstrap.servers": system.ca["KAFKA_BOOTSTRAP"], "group.id": cases.GROUP, **topics.QUIET})
    producer = Producer({"bootstrap.servers": system.ca["KAFKA_BOOTSTRAP"], "transactional.id": "crashed",
                         "transaction.timeout.ms": 60000, **topics.QUIET})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.send_offsets_to_transaction([TopicPartition(ENROLL, 0, 0)], consumer.consumer_group_metadata(), 30)
    consumer.close()
    worker = system.workers.start()
    held = system.send(messages.enroll(messages.name()), partition=0)
    assert system.issue(messages.enroll(messages.name()), partition=1).result == events.RESULT_ISSUED
    assert not system.results.answers(placed=held)
    producer.abort_transaction(30)
    assert system.results.answer_to(held, 40).result == events.RESULT_ISSUED
    assert worker.terminate(40) == 0


def test_kafka_s_password_comes_from_a_file(system):
    """Brokers that ask for one, by SASL. The settings name the file, and show nothing of what is in it."""
    secret = system.workers.directory / "secret.properties"
    change = {"kafka": {"bootstrap": system.ca["KAFKA_SASL"], "group": "sasl", "properties_file": str(secret),
                        "properties": {"security.protocol": "sasl_plaintext", "sasl.mechanism": "PLAIN"}},
              "redis": {"url": f"{system.ca['REDIS_URL']}/4"}}
    secret.write_text("sasl.username=worker\nsasl.password=another\n")
    done = system.workers.command("check", change=change)
    assert done.returncode == 1 and "uthentication" in done.stderr and "another" not in done.stderr, done.stderr
    secret.write_text("# its user\nsasl.username=worker\nsasl.password=worker's\nacks=0\n")
    done = system.workers.command("run", change=change)
    assert done.returncode == 2 and "acks: this property must keep the worker's own value" in done.stderr, done.stderr
    secret.write_text("# its user\nsasl.username=worker\nsasl.password=worker's\n")
    done = system.workers.command("bootstrap", change=change)
    assert done.returncode == 0, done.stderr
    done = system.workers.command("check", change=change)
    assert done.returncode == 0 and "kafka: reached" in done.stdout, done.stderr
    worker = system.workers.start(change=change)
    assert system.issue(messages.enroll(messages.name())).result == events.RESULT_ISSUED
    assert worker.terminate(40) == 0
