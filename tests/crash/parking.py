"""An order in the air whose setting is gone when its worker has died: a person has to decide; and the next of its key."""

from kit import cases, messages, topics
from epki.v1 import certificate_event_pb2 as events

GONE = {"settings": {"smime": {"name": "no-smime"}}}
PARTITION = 1


class Parking:
    def __init__(self, system):
        """Places the order, and its worker dies."""
        self.system, self.request, self.behind = system, messages.name("park"), messages.name("behind")
        self.topic, self.email = topics.TOPIC_OF["EnrollmentRequest"], f"{self.request}@example.com"
        self.tokens = cases.Tokens(system)
        subject = messages.subject("Park Person", email=self.email)
        system.tell("reply-read", f"die/{self.request}")
        self.sent = [self.send(messages.enroll(self.request, setting="smime", subject=subject)),
                     self.send(messages.enroll(self.behind))]
        self.victim = system.died("reply-read")

    def send(self, message):
        placed = self.system.send(message, key=f"key of {self.request}", partition=PARTITION)
        return cases.Sent(message, placed, "")

    def check(self):
        """It is parked once, was ordered once and has no answer; what is behind it waited for that, and has one."""
        parked, behind = (sent.placed for sent in self.sent)
        self.system.results.record_from(topics.PARKED, parked, 60)
        event = self.system.results.answer_to(behind, 60)
        assert event.result == events.RESULT_ISSUED
        cases.await_all_done(self.system)
        records = topics.read_topic(self.system.ca["KAFKA_BOOTSTRAP"], topics.PARKED)
        assert [topics.source_headers(record) for record in records].count(parked) == 1
        assert self.system.results.answers(placed=parked) == []
        assert len(self.system.ca.orders(email=self.email, recorded=True)) == 1
        assert list(self.system.orders_of(f"Person {self.behind}")) == [event.certificate.order_id]
        assert len(self.system.results.answers(placed=behind)) == 1
        self._check_order()
        self.tokens.check()

    def _check_order(self):
        """No worker took up what is behind before one had parked what is before it."""
        ended = [line["ts"] for committed in (dict(msg="move", state="answered"),
                                              dict(msg="failpoint", name="answer-committed"))
                 for line in self.system.log(request_id=self.request, **committed)]
        begun = [line["ts"] for line in self.system.log(msg="move", request_id=self.behind, state="claim")]
        assert ended and begun and min(begun) >= min(ended), (ended, begun)
