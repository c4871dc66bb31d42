"""Which broker coordinates what, and which transactional ids there are."""

import struct

from kit import cases, topics

TRANSACTIONS = "__transaction_state"


def of_group(admin):
    return admin.describe_consumer_groups([cases.GROUP], request_timeout=60)[cases.GROUP].result(90).coordinator.id


def java_hash(text):
    """String.hashCode(), as a broker counts it."""
    value = 0
    for letter in text:
        value = (31 * value + ord(letter)) & 0xffffffff
    return value - (1 << 32) if value >= 1 << 31 else value


def of_transactions(system, admin, worker):
    """The coordinator of the transactions of a worker: the leader of the partition of its id."""
    partitions = admin.list_topics(TRANSACTIONS, timeout=30).topics[TRANSACTIONS].partitions
    return partitions[abs(java_hash(id_of(system, worker))) % len(partitions)].leader


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
