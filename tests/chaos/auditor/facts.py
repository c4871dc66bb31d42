"""What was read, as plain data. Times are milliseconds since 1970 by the clock of whoever wrote them."""

import collections
import dataclasses
import typing


class Place(typing.NamedTuple):
    """Where a record stands in Kafka."""
    topic: str
    partition: int
    offset: int

    def __str__(self):
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """A record of a request topic."""
    place: Place
    key: bytes
    value: bytes
    time_ms: int


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """A record of epki.certificate.events: terminal, or progress."""
    place: Place
    key: bytes
    time_ms: int
    message: typing.Any  # CertificateEvent

    @property
    def source(self):
        return place_of(self.message.source)

    @property
    def first(self):
        """Where the first event with this request id stands, if this one says that it is a duplicate."""
        return place_of(self.message.duplicate_of) if self.message.HasField("duplicate_of") else None


@dataclasses.dataclass(frozen=True)
class Letter:
    """A dead letter or a parked record."""
    kind: str  # "dead", "parked"
    place: Place
    source: Place
    time_ms: int
    problem: str


class Names(typing.NamedTuple):
    """What an order takes from its request beside the key."""
    profile: str
    cn: str  # "": of a target that nobody knows; then the address is not known either
    email: str


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """A line of the simulator's journal."""
    time_ms: int
    seq: int
    operation: str
    profile: str
    cn: str
    email: str
    order_id: str
    spki: str
    result: str
    code: int
    fault: str
    recorded: bool

    @property
    def names(self):
        return Names(self.profile, self.cn, self.email)


@dataclasses.dataclass(frozen=True)
class Change:
    """A line of the simulator's control journal: its state after call number `after`."""
    after: int
    profiles: dict  # state by id


@dataclasses.dataclass(frozen=True)
class Deed:
    """What the harness did to workers and servers. Only this explains a key that nobody has any more."""
    time_ms: int
    kind: str
    what: str


@dataclasses.dataclass
class History:
    events: list
    answers: list  # terminal and progress, as they stand
    letters: list = dataclasses.field(default_factory=list)
    notices: list = dataclasses.field(default_factory=list)  # AccountEvent messages
    calls: list = dataclasses.field(default_factory=list)  # orders and what ends them; queries are only counted
    faults: collections.Counter = dataclasses.field(default_factory=collections.Counter)  # of all calls
    changes: list = dataclasses.field(default_factory=list)
    deeds: list = dataclasses.field(default_factory=list)
    settings: dict = dataclasses.field(default_factory=dict)
    hold_ms: int = 900000  # a request that waits for longer leaves its place in line


def place_of(source):
    return Place(source.topic, source.partition, source.offset)
