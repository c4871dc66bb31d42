"""Three brokers, each taken away in the middle of transactions: first the coordinator of the group, then that of a
worker's transactions, then the last."""

import signal

import pytest
from confluent_kafka.admin import AdminClient

import coordinators
from kit import servers, topics, wait
from kit.crowd import Crowd

BROKERS = 3
HOW = {"killed": signal.SIGKILL, "ended": signal.SIGTERM, "hung": signal.SIGSTOP}


@pytest.fixture(scope="module")
def admin(system):
    return AdminClient({"bootstrap.servers": system.ca["KAFKA_BOOTSTRAP"], **topics.QUIET})


@pytest.fixture(scope="module")
def brokers(system):
    made = {number: servers.Server(system.ca, f"kafka-{number}") for number in (1, 2, 3)}
    yield made
    for broker in made.values():
        broker.send(signal.SIGCONT)
        broker.start()


def in_sync(admin):
    """Every replica of every partition, those of the coordinators too: the next broker may go."""
    described = admin.list_topics(timeout=30).topics.values()
    return all(len(p.isrs) == BROKERS and p.leader > 0 for topic in described for p in topic.partitions.values())


def await_in_sync(admin):
    wait.until(lambda: in_sync(admin), 120, "all replicas in sync", pause=0.3)


def in_the_middle_of_answers(system, crowd, count):
    """So many more orders, and a worker with a transaction open that answers some."""
    crowd.send(count)
    system.tell("answer-sent", "delay:1000")
    return system.struck("answer-sent", timeout=60)


def still_leads(admin, number):
    described = admin.list_topics(timeout=30).topics.values()
    return any(p.leader in (number, -1) for topic in described for p in topic.partitions.values())


def away(admin, broker, number, how):
    """One that hangs is done without after nine seconds in which it said nothing."""
    if how == "hung":
        broker.send(signal.SIGSTOP)
        wait.until(lambda: not still_leads(admin, number), 60, "other leaders", pause=0.3)
    else:
        broker.end(HOW[how])


def back(broker):
    broker.send(signal.SIGCONT)
    broker.start()


@pytest.mark.parametrize("how,victims", [("killed", 3), ("ended", 3), ("hung", 1)])
def test_brokers_go_one_after_the_other(system, admin, brokers, how, victims):
    """The coordinator of the group first, then that of a worker's transactions, then the last."""
    crowd, gone = Crowd(system, how), []
    while len(gone) < victims:
        await_in_sync(admin)
        worker = in_the_middle_of_answers(system, crowd, 25)
        wanted = [coordinators.of_group(admin), coordinators.of_transactions(system, admin, worker), *brokers]
        victim = next(number for number in wanted if number not in gone)
        gone.append(victim)
        away(admin, brokers[victim], victim, how)
        crowd.send(15)  # two of three are enough
        wait.until(lambda: len(crowd.answered()) == len(crowd.placed), 120, "answers without the broker")
        back(brokers[victim])
    await_in_sync(admin)
    crowd.check()
    assert all(worker.running() for worker in system.workers.workers)
