"""The load: enrolments with every key choice, renewals, revocations, duplicates, conflicts and what must be refused, by a
seed, published at a steady pace whatever is broken."""

import collections
import random
import threading
import time
import typing
import zlib

from confluent_kafka import Producer

from kit import messages, topics
from epki.v1 import certificate_event_pb2, common_pb2, enrollment_pb2, revocation_pb2

ANSWERED = topics.ANSWERS
WITH_CERTIFICATE = (certificate_event_pb2.RESULT_ISSUED, certificate_event_pb2.RESULT_RENEWED)
REASONS = tuple(range(6))
SHARED_KEYS = 40  # record keys that several requests have in common
# RSA keys take seconds of a busy machine: some, to have them all.
KEY_TYPES = ("KEY_TYPE_EC_P256",) * 12 + ("KEY_TYPE_EC_P384",) * 2 + ("KEY_TYPE_RSA_2048",) * 2 + ("KEY_TYPE_RSA_3072",)
MANY = 1000  # of so many requests fewer are enough
MIX = (("csr", 46), ("worker", 16), ("smime", 5), ("renew", 9), ("renew_new_key", 3), ("revoke", 5), ("revoke_serial", 3),
       ("revoke_order", 3), ("remove", 2), ("revoke_at_once", 2), ("revoke_never", 1), ("duplicate", 5), ("conflict", 2),
       ("bad", 2), ("bulk", 3), ("deadline", 1))
THEIRS = (("theirs", 6), ("theirs_twice", 1), ("renew_theirs", 1))  # keys that GlobalSign makes
RECENT, KNOWN = 60, 2000  # so much of what was sent and issued is spoken of again


class Issued(typing.NamedTuple):
    request_id: str
    setting: str
    issuer: str
    serial: str
    order_id: str


class Answers:
    """What a read_committed reader has seen so far."""

    def __init__(self):
        self.lock = threading.Lock()
        self.sources, self.issued = set(), collections.deque(maxlen=KNOWN)
        self.first = set()  # request ids that have an answer of their own
        self.theirs = collections.deque(maxlen=KNOWN)  # issued for keys of GlobalSign's, to names that are theirs alone

    def on_event(self, event):
        if event.result not in ANSWERED:
            return
        with self.lock:
            self.sources.add((event.source.topic, event.source.partition, event.source.offset))
            if topics.is_first(event):
                self.first.add(event.request_id)
            if event.result in WITH_CERTIFICATE and not event.HasField("duplicate_of"):
                certificate = event.certificate
                own = self.theirs if event.request_id.startswith("theirs") else self.issued
                own.append(Issued(event.request_id, event.setting, certificate.issuer, certificate.serial,
                                  certificate.order_id))


class Load:
    def __init__(self, bootstrap, seed, recipient, answers, letters, mix=MIX + THEIRS, shared_keys=SHARED_KEYS,
                 settings=("vpn",)):
        """letters: where what became a dead letter or a parked record stands, as far as is known. settings: the equals of
        vpn, each with a profile of its own."""
        self.rng = random.Random(f"load {seed}")
        self.recipient, self.answers, self.letters = recipient, answers, letters
        self.producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 5,
                                  "delivery.timeout.ms": 300000, "acks": "all", **topics.QUIET})
        self.placed, self.failed, self.sent = set(), [], collections.deque(maxlen=RECENT)
        self.published, self.shared_keys, self.settings = 0, shared_keys, settings
        self.makers = [name for name, weight in mix for _ in range(weight)]

    # --- publishing ---

    def publish(self, message, key=None, topic=None):
        key = key or self.record_key(message.request_id)
        topic = topic or topics.TOPIC_OF[type(message).__name__]
        if isinstance(message, enrollment_pb2.EnrollmentRequest) and message.setting == "vpn":
            message.setting = self.settings[zlib.crc32(message.subject.last_name.encode()) % len(self.settings)]
        self.producer.produce(topic, message.SerializeToString(), key=key, on_delivery=self._delivered)
        self.producer.poll(0)
        self.published += 1
        self.sent.append((message, key, topic))

    def _delivered(self, error, record):
        if error is not None:
            self.failed.append(str(error))
        else:
            self.placed.add((record.topic(), record.partition(), record.offset()))

    def record_key(self, request_id):
        if self.rng.random() < 0.4:
            return f"user-{self.rng.randrange(self.shared_keys)}/vpn"
        return request_id

    def run(self, count, due, stop):
        """Publishes what comes of `count` draws; due(done) says how many more it is time for."""
        done = 0
        while done < count and not stop.is_set():
            for _ in range(min(due(done), count - done)):
                getattr(self, f"make_{self.rng.choice(self.makers)}")()
                done += 1
            self.producer.poll(0.05)
        if self.producer.flush(310) or self.failed:
            raise RuntimeError(f"not published: {self.failed[:3]}")

    def steadily(self, count, seconds):
        """Whatever is broken."""
        begun = time.monotonic()
        return lambda done: int((time.monotonic() - begun) / seconds * count) + 1 - done

    def within(self, window):
        """As soon as fewer than so many are unanswered."""
        return lambda done: window - self.unanswered_count()

    def unanswered_count(self):
        return self.published - len(self.answers.sources) - len(self.letters)

    def unanswered(self):
        """Events without an answer or letter."""
        with self.answers.lock:
            return self.placed - self.answers.sources - self.letters

    def any_issued(self, issued):
        with self.answers.lock:
            return self.rng.choice(issued) if issued else None

    def names(self):
        """Common names of the latest enrolments. Not where GlobalSign makes the key: if the worker's own order was lost
        before it arrived, the portal's would be the only one of that name, and nobody could tell that it is not its
        own."""
        recent = [message for message, _, topic in list(self.sent)[-20:]
                  if topic == topics.TOPIC_OF["EnrollmentRequest"] and not message.key.HasField("globalsign_key")]
        return [f"{m.subject.first_name} {m.subject.last_name}" for m in recent if len(m.subject.last_name) < 50]

    # --- what is published ---

    def worker_key(self):
        types = KEY_TYPES if self.published < MANY else KEY_TYPES[:12] * 20 + KEY_TYPES
        return common_pb2.WorkerKey(type=self.rng.choice(types), recipient_certificate=self.recipient.der,
                                    format=self.rng.choice((0, 1, 2)))

    def make_csr(self):
        self.publish(messages.enroll(messages.name("csr")))

    def make_bulk(self):
        self.publish(messages.enroll(messages.name("bulk")), topic=topics.BULK)

    def make_deadline(self):
        late = int(time.time() * 1000) + self.rng.choice((2000, 600000))
        self.publish(messages.enroll(messages.name("deadline"), deadline_ms=late))

    def make_worker(self):
        self.publish(messages.enroll(messages.name("worker"), worker_key=self.worker_key()))

    def make_smime(self):
        request = messages.name("smime")
        person = messages.subject(f"Mail {request}", email=f"{request}@example.com")
        self.publish(messages.enroll(request, setting="smime", subject=person))

    def _on_issued(self, make, certificates=None, otherwise=None):
        """Something about a certificate, of these or of any; while there is none another enrolment, by a CSR."""
        issued = self.any_issued(self.answers.issued if certificates is None else certificates)
        if issued is None:
            (otherwise or self.make_csr)()
        else:
            self.publish(make(issued))

    def their_key(self):
        return common_pb2.GlobalSignKey(recipient_certificate=self.recipient.der, format=self.rng.choice((0, 1, 2)))

    def make_theirs(self):
        self.publish(messages.enroll(messages.name("theirs"), globalsign_key=self.their_key()))

    def make_theirs_twice(self):
        """One person for two devices at the same time: where both replies are lost nobody can say whose is which."""
        person = f"Person {messages.name('two')}"
        for _ in range(2):
            self.publish(messages.enroll(messages.name("theirs"), cn=person, globalsign_key=self.their_key()))

    def make_renew_theirs(self):
        self._on_issued(lambda e: messages.renew(messages.name("theirs"), messages.by_request(e.request_id),
                                                 setting=e.setting, globalsign_key=self.their_key()),
                        self.answers.theirs, self.make_theirs)

    def make_renew(self):
        self._on_issued(lambda e: messages.renew(messages.name("renew"), messages.by_request(e.request_id),
                                                 setting=e.setting))

    def make_renew_new_key(self):
        self._on_issued(lambda e: messages.renew(
            messages.name("renewkey"), messages.by_serial(e.issuer, e.serial),
            setting=e.setting, worker_key=self.worker_key()))

    def make_revoke(self):
        """Now and then one whose key GlobalSign made."""
        now_and_then = self.answers.theirs and self.rng.random() < 0.1
        self._on_issued(lambda e: messages.revoke(messages.name("revoke"), messages.by_request(e.request_id),
                                                  reason=self.rng.choice(REASONS)),
                        self.answers.theirs if now_and_then else None)

    def make_revoke_serial(self):
        self._on_issued(lambda e: messages.revoke(messages.name("revserial"), messages.by_serial(e.issuer, e.serial),
                                                  reason=self.rng.choice(REASONS)))

    def make_revoke_order(self):
        self._on_issued(lambda e: messages.revoke(messages.name("revorder"), messages.by_order(
            e.setting, e.order_id)))

    def make_remove(self):
        self._on_issued(lambda e: messages.revoke(messages.name("remove"), messages.by_request(e.request_id),
                                                  removal=revocation_pb2.REMOVAL_REMOVE))

    def make_revoke_at_once(self):
        """A revocation that may stop its enrolment, meet it in the air, or come after it."""
        request = messages.name("ended")
        pair = [messages.enroll(request), messages.revoke(messages.name("atonce"), messages.by_request(request))]
        for message in pair if self.rng.random() < 0.7 else reversed(pair):
            self.publish(message)

    def make_revoke_never(self):
        self.publish(messages.revoke(messages.name("never"), messages.by_request(messages.name("nobody"))))

    def make_duplicate(self):
        if not self.sent:
            return self.make_csr()
        message, key, topic = self.rng.choice(self.sent)
        return self.publish(message, key=key if self.rng.random() < 0.5 else f"other-{key}", topic=topic)

    def make_conflict(self):
        if not self.sent:
            return self.make_csr()
        message = self.rng.choice(self.sent)[0]
        return self.publish(messages.enroll(message.request_id, cn=f"Conflict {messages.name('with')}"))

    def make_bad(self):
        request = messages.name("bad")
        self.publish(self.rng.choice((
            messages.enroll(request, csr="-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n"),
            messages.enroll(request, setting="unheard-of"),
            messages.renew(request, messages.by_request(messages.name("nobody"))),
            messages.enroll("not an id"))))
