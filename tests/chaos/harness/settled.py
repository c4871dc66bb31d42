"""What must be left once everything is answered: no offset undone, nothing of any request in the air, and a state record
for each answer."""

from confluent_kafka import KafkaException

from kit import cases, topics, wait
from epki.v1 import internal_pb2

STAYS = (internal_pb2.INFLIGHT_KIND_PARKED, internal_pb2.INFLIGHT_KIND_STOP)


def last_values(records):
    """{key: value} of a compacted topic, as it would be once it is compacted."""
    values = {}
    for record in records:
        values[record.partition(), record.key()] = record.value()
    return {key: value for (_, key), value in values.items() if value is not None}


def in_the_air(inflight):
    """What the values of epki.inflight say of requests that are not finished."""
    found = map(internal_pb2.InflightRecord.FromString, inflight.values())
    return [f"{internal_pb2.InflightKind.Name(one.kind)} of {one.request_id}" for one in found if one.kind not in STAYS]


def unknown(states, answered):
    """Request ids that were answered, and of which epki.certificate.state does not tell."""
    return sorted(request_id for request_id in answered if request_id.encode() not in states)


class Settled:
    """Looks until there is nothing left, or for as long as it may take."""

    def __init__(self, bootstrap, answered):
        self.bootstrap, self.answered = bootstrap, answered
        self.left = []

    def look(self):
        try:
            undone = topics.undone(self.bootstrap, cases.GROUP, (*cases.REQUESTS, topics.RESUME))
        except KafkaException as error:  # while leaders are elected nobody knows
            undone = [str(error)]
        self.left = [f"offsets that are not done: {one}" for one in undone]
        if self.left:  # what is committed with them is not there yet either
            return False
        self.left = in_the_air(last_values(topics.read_topic(self.bootstrap, topics.INFLIGHT, timeout=120)))
        states = last_values(topics.read_topic(self.bootstrap, topics.STATE, timeout=300))
        self.left += [f"no state record of {request_id}" for request_id in unknown(states, self.answered)]
        return not self.left

    def await_all(self, timeout):
        """Returns what is left all the same."""
        try:
            wait.until(self.look, timeout, "everything settled", pause=2)
        except TimeoutError:
            pass
        return self.left
