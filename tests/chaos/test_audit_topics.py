"""The auditor's command on a real broker: histories written to the topics as workers would write them, by transactions,
some of them aborted or left open."""

import dataclasses
import json
import datetime
import os
import subprocess

import pytest
import yaml
from confluent_kafka import Producer

from chaos.story import PROFILE, Story
from kit import BUILD, TOP, stack

PORT = int(os.environ.get("EPKI_TEST_PORT", "26400"))
WRONG = "parked {parked} lost {lost} double-answers {double} orders {orders} double-orders 0 compensated 0 unexplained 0"


@pytest.fixture(scope="module")
def broker():
    made = stack.Stack(BUILD / "chaos" / "audit", PORT, partitions=2)
    if made.directory.exists():
        made.down()  # of a run that was cut off
        subprocess.run(["rm", "-rf", made.directory], check=True)
    made.up()
    yield made
    made.down()


def iso(time_ms):
    return datetime.datetime.fromtimestamp(time_ms / 1000, datetime.timezone.utc).isoformat(timespec="milliseconds")


class Written:
    """Writes a story where the auditor reads it; may be told again to write what has come to it since."""

    def __init__(self, broker, directory, story):
        self.story, self.directory, self.bootstrap = story, directory, broker["KAFKA_BOOTSTRAP"]
        self.events = self.answers = self.letters = 0
        self.plain = Producer({"bootstrap.servers": self.bootstrap, "log_level": 2})
        setting = {"name": "vpn", "profile": PROFILE, "keys": ["csr", "worker"], "cn": "${first_name} ${last_name}"}
        (directory / "settings.yaml").write_text(yaml.safe_dump({"settings": [setting]}))
        (directory / "deeds.jsonl").write_text("")

    def producer(self):
        made = Producer({"bootstrap.servers": self.bootstrap, "transactional.id": f"story-{os.urandom(4).hex()}",
                         "transaction.timeout.ms": 60000, "log_level": 2})
        made.init_transactions(30)
        made.begin_transaction()
        return made

    def write(self):
        history = self.story.history
        for event in history.events[self.events:]:
            self.plain.produce(event.place.topic, event.value, event.key, partition=0, timestamp=event.time_ms)
        assert self.plain.flush(20) == 0
        producer = self.producer()
        self.put_answers(producer, history.answers[self.answers:])
        for letter in history.letters[self.letters:]:
            headers = {"topic": letter.source.topic, "partition": letter.source.partition,
                       "offset": letter.source.offset, "exception.class.name": letter.problem}
            producer.produce(letter.place.topic, b"", b"k", partition=0, timestamp=letter.time_ms,
                             headers=[(f"__connect.errors.{n}", str(v)) for n, v in headers.items()])
        producer.commit_transaction(30)
        self.events, self.answers = len(history.events), len(history.answers)
        self.letters = len(history.letters)
        self.write_journals()

    def put_answers(self, producer, answers):
        for answer in answers:
            producer.produce(answer.place.topic, answer.message.SerializeToString(), answer.key, partition=0,
                             timestamp=answer.time_ms)
        producer.flush(20)

    def write_journals(self):
        calls = []
        for call in self.story.history.calls:
            line = dataclasses.asdict(call)
            line.update(time=iso(line.pop("time_ms")), spki_sha256=line.pop("spki"))
            calls.append(json.dumps(line))
        changes = [json.dumps({"after": change.after, "settings": {},
                               "profiles": [{"id": i, "state": s} for i, s in change.profiles.items()]})
                   for change in self.story.history.changes]
        (self.directory / "journal.jsonl").write_text("".join(f"{line}\n" for line in calls))
        (self.directory / "control.jsonl").write_text("".join(f"{line}\n" for line in changes))

    def audit(self, *more):
        done = subprocess.run([TOP / "tests/chaos/audit", "--bootstrap", self.bootstrap, "--epki", self.directory,
                               "--settings", self.directory / "settings.yaml", "--deeds",
                               self.directory / "deeds.jsonl", *more], capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout.splitlines(), done.stderr


def test_committed_answers_count_and_nothing_else(broker, tmp_path):
    story = Story()
    first = story.issued("one")
    story.repeat(story.again(first), first)
    story.revoked("revoke-one", first)
    written = Written(broker, tmp_path, story)
    written.write()
    aborted = written.producer()
    written.put_answers(aborted, story.history.answers)  # each answered twice, were it committed
    aborted.abort_transaction(30)
    code, lines, error = written.audit()
    assert code == 0, error
    assert lines[-1] == ("requests 2 events 3 answered 3 parked 0 lost 0 double-answers 0 orders 1 double-orders 0 "
                         "compensated 0 unexplained 0")

    # An open transaction hides what comes behind it: then nothing is said at all.
    hanging = written.producer()
    written.put_answers(hanging, story.history.answers)
    code, lines, error = written.audit("--patience", "2")
    assert code == 2 and not lines and "epki.certificate.events: not read to the end" in error
    hanging.abort_transaction(30)

    # Doctored: one answer twice, one event lost, one parked.
    twice = story.issued("twice")
    story.answer(twice, "issued")
    story.order(story.enroll("silent"))
    story.letter("parked", story.enroll("hard"))
    written.write()
    code, lines, error = written.audit()
    assert code == 1, error
    assert lines[-1].endswith(WRONG.format(parked=1, lost=1, double=1, orders=3)), lines
    assert any("no answer to silent" in line for line in lines) and any("hard: because" in line for line in lines)


def test_what_cannot_be_read_is_no_verdict(broker, tmp_path):
    written = Written(broker, tmp_path, Story())
    written.write_journals()
    (tmp_path / "journal.jsonl").write_text('{"seq": 1, "operation"')
    code, lines, error = written.audit()
    assert code == 2 and not lines and "torn" in error
