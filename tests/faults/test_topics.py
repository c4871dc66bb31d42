"""A request topic is deleted and made again under the workers, or gets more partitions."""

import time

from confluent_kafka.admin import NewPartitions, NewTopic

import coordinators
from kit import topics, wait
from kit.crowd import Crowd

BULK = topics.BULK


def known(admin):
    return admin.list_topics(timeout=10).topics


def delete(admin, topic):
    admin.delete_topics([topic])[topic].result(30)
    wait.until(lambda: topic not in known(admin), 30, f"{topic} deleted")


def make(admin, topic, partitions=4):
    new = NewTopic(topic, partitions, 1, config={"max.message.bytes": "1048588"})

    def made():
        try:
            admin.create_topics([new])[topic].result(30)
        except Exception as error:  # the old one's logs are still being renamed
            return "already exists" in str(error)
        return True
    wait.until(made, 30, f"{topic} made")
    wait.until(lambda: topic in known(admin) and all(p.leader > 0 for p in known(admin)[topic].partitions.values()),
               30, f"{topic} led")
    time.sleep(2)  # the broker may acknowledge what still goes to the old log, and is lost with it: seen once


def stop_all(system):
    for worker in system.running():
        assert worker.terminate(40) == 0


def left_alone(system):
    """The partitions of which some worker has said that their topic is unknown."""
    lines = system.log(msg="partition is left alone", problem="topic-unknown", topic=BULK)
    return {line["partition"] for line in lines}


def test_request_topic_is_deleted_and_made_again(system, admin):
    """Under running workers, with requests that nobody has answered yet in it: the new log is soon longer than the old
    one was, and whoever read on there would pass its first requests over. It is left alone until somebody says where to
    begin; other topics go on."""
    system.answers_once = False  # the new log's offsets are the old one's again
    before = Crowd(system, "before").send(20, BULK)
    before.check()
    delete(admin, BULK)
    wait.until(lambda: left_alone(system) == set(range(4)), 60, "all its partitions left alone")
    told = wait.until(lambda: [w for w in system.running() if w.metric("epki_partitions_left_alone") > 0], 30, "told")
    ready = told[0].get("/readyz")
    assert ready.status_code == 200 and "left alone" in ready.text
    make(admin, BULK)
    after = Crowd(system, "after").send(60, BULK)
    other = Crowd(system, "other").send(10)
    wait.until(lambda: len(other.answered()) == 10, 60, "other topics")
    assert not after.ordered()
    stop_all(system)
    coordinators.reset(admin, BULK)
    system.complete()
    after.check()


def test_partitions_are_added(system, admin):
    """Nobody has said that nothing is lost there: new partitions wait for a bootstrap."""
    admin.create_partitions([NewPartitions(BULK, 6)])[BULK].result(30)
    wait.until(lambda: len(known(admin)[BULK].partitions) == 6, 30, "six partitions")
    system.publisher = topics.Publisher(system.ca["KAFKA_BOOTSTRAP"])  # the other one knows of four
    crowd = Crowd(system, "added").send(6, BULK, partition=5)
    refusing = system.start(ready=False)
    assert refusing.await_end(60) == 1
    [line] = refusing.log(msg="cannot start")
    assert line["problem"] == "offsets-lost" and "bootstrap" in line["advice"]
    other = Crowd(system, "beside").send(10)  # who runs already goes on
    wait.until(lambda: len(other.answered()) == 10, 60, "other topics")
    assert not crowd.ordered()
    stop_all(system)
    system.workers.bootstrap()
    system.complete()
    crowd.check()
