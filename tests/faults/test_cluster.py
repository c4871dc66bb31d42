"""Three brokers, each taken away in the middle of transactions: first the coordinator of the group, then that of a
worker's transactions, then the last."""

import signal

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

import coordinators
from kit import servers, topics, wait
from kit.crowd import Crowd

BROKERS = 3
HOW = {"killed": signal.SIGKILL, "ended": signal.SIGTERM}


@pytest.fixture(scope="module")
def brokers(system):
    made = {number: servers.Server(system.ca, f"kafka-{number}") for number in (1, 2, 3)}
    yield made
    for broker in made.values():
        back(broker)


def partitions(admin):
    """Of all topics, those of the coordinators too; none while the broker that was asked hangs."""
    try:
        return [p for topic in admin.list_topics(timeout=10).topics.values() for p in topic.partitions.values()]
    except KafkaException:
        return []


def in_sync(admin):
    """The next broker may go."""
    found = partitions(admin)
    return found and all(len(p.isrs) == BROKERS and p.leader > 0 for p in found)


def await_in_sync(admin):
    wait.until(lambda: in_sync(admin), 120, "all replicas in sync", pause=0.3)


def said(system, message):
    return [line for worker in system.running() for line in worker.log(msg=message)]


def in_the_middle_of_answers(system, crowd, count):
    """So many more orders, and a worker has a transaction open that answers some."""
    crowd.send(count)
    system.tell("answer-sent", "delay:1000")
    system.struck("answer-sent", timeout=90)


def done_without(admin, number):
    """Others lead what this one led."""
    found = partitions(admin)
    return found and all(p.leader not in (number, -1) for p in found)


def away(admin, broker, number, how):
    """One that hangs is done without after nine seconds in which it said nothing."""
    if how == "hung":
        broker.send(signal.SIGSTOP)
        wait.until(lambda: done_without(admin, number), 90, "other leaders", pause=0.3)
    else:
        broker.end(HOW[how])


def back(broker):
    broker.send(signal.SIGCONT)
    broker.start()


@pytest.mark.parametrize("how,victims", [("killed", 3), ("ended", 1), ("hung", 1)])
def test_brokers_go_one_after_the_other(system, admin, brokers, how, victims):
    """The coordinator of the group first, then that of a worker's transactions, then the last."""
    crowd, gone = Crowd(system, how), []
    while len(gone) < victims:
        await_in_sync(admin)
        wanted = [coordinators.of_group(admin), coordinators.of_transactions(system, admin, system.running()[0])]
        victim = next(number for number in [*wanted, *brokers] if number not in gone)
        gone.append(victim)
        in_the_middle_of_answers(system, crowd, 25)
        away(admin, brokers[victim], victim, how)
        crowd.send(15)  # two of three are enough
        wait.until(lambda: len(crowd.answered()) == len(crowd.placed), 180, "answers without the broker")
        back(brokers[victim])
    await_in_sync(admin)
    crowd.check()
    assert all(worker.running() for worker in system.workers.workers)


def set_min_insync(admin, topic, count):
    """While a broker is away it may be that one which is asked for the controller: then another is, the next time."""
    entry = ConfigEntry("min.insync.replicas", str(count), incremental_operation=AlterConfigOpType.SET)
    topic = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])

    def is_set():
        try:
            [done] = admin.incremental_alter_configs([topic]).values()
            done.result()
        except KafkaException:
            return False
        return True
    wait.until(is_set, 120, f"min.insync.replicas {count}", pause=0.5)


def test_a_partition_that_takes_no_record(system, admin, brokers):
    """Too few replicas of it are left, and Kafka says nothing: what goes with it waits for a while, and no longer."""
    await_in_sync(admin)
    coordinating = [coordinators.of_group(admin),
                    *[coordinators.of_transactions(system, admin, worker) for worker in system.running()]]
    victim = next((number for number in brokers if number not in coordinating), 3)
    set_min_insync(admin, topics.DEAD, BROKERS)
    brokers[victim].end(signal.SIGKILL)
    wait.until(lambda: done_without(admin, victim), 90, "other leaders", pause=0.3)
    letters = [system.send(b"\xff", topic=topics.TOPIC_OF["EnrollmentRequest"], partition=n) for n in range(4)]
    wait.until(lambda: said(system, "a record was not taken"), 90, "a letter that is not taken")
    crowd = Crowd(system, "mute").send(15)
    wait.until(lambda: len(crowd.answered()) == len(crowd.placed), 180, "answers beside the letters")
    assert all(line["topic"] == topics.DEAD for line in said(system, "a partition takes no record"))
    set_min_insync(admin, topics.DEAD, BROKERS - 1)
    for placed in letters:
        system.results.record_from(topics.DEAD, placed, 180)
    back(brokers[victim])
    await_in_sync(admin)
    crowd.check()
