"""Which broker coordinates what, which transactional ids there are, and the group's offsets set by a tool."""

import struct

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition

from kit import cases, topics

OFFSETS, TRANSACTIONS = "__consumer_offsets", "__transaction_state"


def java_hash(text):
    """String.hashCode(), as a broker counts it."""
    value = 0
    for letter in text:
        value = (31 * value + ord(letter)) & 0xffffffff
    return value - (1 << 32) if value >= 1 << 31 else value


def leader(admin, topic, name):
    """Who leads the partition that this name falls into: it is the name's coordinator."""
    partitions = admin.list_topics(topic, timeout=60).topics[topic].partitions
    return partitions[abs(java_hash(name)) % len(partitions)].leader


def reset(admin, topic, partitions=4):
    """To the beginning of the topic, as kafka-consumer-groups --reset-offsets does."""
    places = [TopicPartition(topic, p, 0) for p in range(partitions)]
    done = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(cases.GROUP, places)])
    for place in done[cases.GROUP].result(30).topic_partitions:
        if place.error:
            raise KafkaException(place.error)


def of_group(admin):
    return leader(admin, OFFSETS, cases.GROUP)


def of_transactions(system, admin, worker):
    """Of this worker's present transactional id."""
    return leader(admin, TRANSACTIONS, id_of(system, worker))


def transactional_ids(system):
    """Every id that the coordinators ever heard of, oldest first; from their own topic."""
    found = {}
    for record in topics.read_topic(system.ca["KAFKA_BOOTSTRAP"], TRANSACTIONS, committed=False):
        version, length = struct.unpack(">hh", record.key()[:4])
        assert version == 0
        name = record.key()[4:4 + length].decode()
        found.setdefault(name, record.timestamp()[1])
    return sorted(found, key=found.get)


def id_of(system, worker):
    """The id that a worker uses now: its youngest."""
    return [one for one in transactional_ids(system) if f".{worker.instance}." in one][-1]


def other_id_of(system, worker, known):
    """Its present id, unless that is still the known one."""
    now = id_of(system, worker)
    return now if now != known else None
