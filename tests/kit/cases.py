"""Requests that something happens to, each with what must have come of it in the end, whatever it was."""

import dataclasses

import redis
from confluent_kafka import KafkaException

from kit import keys, messages, topics, wait
from epki.v1 import certificate_event_pb2 as events
from epki.v1 import common_pb2

GROUP = "epki-worker"
REQUESTS = (*topics.TOPIC_OF.values(), topics.BULK)
KINDS = {"csr": events.RESULT_ISSUED, "worker-key": events.RESULT_ISSUED,
         "globalsign-key": events.RESULT_ISSUED, "renewal": events.RESULT_RENEWED,
         "revocation": events.RESULT_REVOKED}
CALL_US = 10_000_000  # a token comes back so slowly that what was spent can be counted
RATE = {"rate_per_minute": 60_000_000 // CALL_US, "burst": 2000}


@dataclasses.dataclass
class Sent:
    message: object
    placed: topics.Placed
    cn: str  # of its own orders; "" where it makes none


class Tokens:
    """What calls to the CA have cost since now."""

    def __init__(self, system):
        self.system = system
        self.spent, self.calls = spent(system), len(system.ca.journal())

    def unused(self):
        return spent(self.system) - self.spent - (len(self.system.ca.journal()) - self.calls)

    def check(self, lost=0):
        """Every call to the CA was paid for, and at most those tokens are gone that a dead worker held. A call under
        way, another case's say, is paid for before it is in the journal."""
        try:
            wait.until(lambda: 0 <= self.unused() <= lost, 10, "the end of what is under way")
        except TimeoutError:
            assert 0 <= self.unused() <= lost, "tokens that no call was made for, or calls without one"


class Case:
    """A request of some kind, the next of its key behind it, and what it is about. Enrolments may be the bulk topic's."""

    def __init__(self, system, kind, request, topic=topics.TOPIC_OF["EnrollmentRequest"]):
        self.system, self.kind, self.request, self.topic = system, kind, request, topic
        self.key, self.sent, self.twins = f"key of {request}", [], []
        self.base = None
        if kind in ("renewal", "revocation"):
            self.topic = topics.TOPIC_OF["RenewalRequest" if kind == "renewal" else "RevocationRequest"]
            self.base = system.issue(messages.enroll(f"{request}-base"))
        self.tokens = Tokens(system)

    def message(self, request):
        cn = f"Person {request}"
        if self.kind == "revocation":
            return messages.revoke(request, messages.by_request(self.base.request_id)), ""
        choice = {}
        if self.kind == "worker-key":
            choice["worker_key"] = common_pb2.WorkerKey(type="KEY_TYPE_EC_P256",
                                                        recipient_certificate=self.system.recipient.der)
        if self.kind == "globalsign-key":
            choice["globalsign_key"] = common_pb2.GlobalSignKey(recipient_certificate=self.system.recipient.der)
        if self.kind == "renewal":
            return messages.renew(request, messages.by_request(self.base.request_id),
                                  subject=messages.subject(cn), **choice), cn
        return messages.enroll(request, cn=cn, **choice), cn

    def send(self, partition):
        """The request, and the next one of the same key."""
        for request in (self.request, f"{self.request}-next"):
            message, cn = self.message(request)
            placed = self.system.send(message, topic=self.topic, key=self.key, partition=partition)
            self.sent.append(Sent(message, placed, cn))
        return self.sent[0]

    def send_twin(self, partition):
        """The same event again, elsewhere."""
        self.twins.append(self.system.send(self.sent[0].message, topic=self.topic, key=f"not {self.key}",
                                           partition=partition))

    def answer(self, timeout=60):
        return self.system.results.answer_to(self.sent[0].placed, timeout)

    # --- what must be so in the end ---

    def check(self, timeout=60, lost_tokens=0, in_order=True):
        """Orders, answers, their order, offsets and tokens. Returns the answer to the request."""
        first, behind = (self.system.results.answer_to(s.placed, timeout) for s in self.sent)
        assert first.result == behind.result == KINDS[self.kind], (first, behind)
        self._check_orders(first, behind)
        if in_order:
            self._check_order_of_answers()
        self._check_twins(first, timeout)
        await_all_done(self.system, timeout)
        self.tokens.check(lost_tokens)
        for one in self.sent:
            assert len(self.system.results.answers(placed=one.placed)) == 1
        return first

    def _check_orders(self, *answers):
        for sent, event in zip(self.sent, answers):
            if sent.cn:
                assert list(self.system.orders_of(sent.cn)) == [event.certificate.order_id]
            if event.certificate.sealed_pkcs12:
                key, certificate, _ = self.system.recipient.open_pkcs12(event.certificate)
                assert keys.spki_sha256(key.public_key()) == keys.spki_sha256(certificate.public_key())
        if self.kind == "revocation":
            status = self.system.ca.control("GET", f"/orders/{self.base.certificate.order_id}")
            assert "revoked" in str(status).lower()

    def _check_order_of_answers(self):
        places = []
        for sent in self.sent:
            for record in self.system.results.records[topics.EVENTS]:
                event = events.CertificateEvent.FromString(record.value())
                if event.result in topics.ANSWERS and sent.placed.is_source(event.source):
                    places.append((record.partition(), record.offset()))
        assert len(places) == 2 and places[0][0] == places[1][0] and places[0][1] < places[1][1], places

    def _check_twins(self, first, timeout):
        for placed in self.twins:
            again = self.system.results.answer_to(placed, timeout)
            assert again.result == first.result and again.certificate.serial == first.certificate.serial
            assert again.HasField("duplicate_of") != first.HasField("duplicate_of")


def await_all_done(system, timeout=60):
    """No offset of any topic is left undone. While leaders are elected nobody knows."""
    def look():
        try:
            return not topics.undone(system.ca["KAFKA_BOOTSTRAP"], GROUP, REQUESTS)
        except KafkaException:
            return False
    wait.until(look, timeout, "every offset done", pause=0.2)


def store(system):
    return redis.Redis(port=int(system.ca["REDIS_URL"].rsplit(":", 1)[1]), socket_timeout=5, decode_responses=True)


def fill_bucket(system):
    """Tokens that do not come back by themselves while a test runs: the bucket is never full."""
    now = store(system).time()[0] * 1_000_000
    store(system).hset("epki:v1:limit:main", mapping={"i": CALL_US, "s": now + 200 * CALL_US})


def spent(system):
    """Tokens taken so far and not given back, by the shared bucket: the time at which it will be full."""
    return int(store(system).hget("epki:v1:limit:main", "s")) // CALL_US
