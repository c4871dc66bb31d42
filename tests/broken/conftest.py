"""Each test plays a schedule twice: with every protection, and without one. What came of it is the word of the auditor,
who knows nothing of schedules or protections. The tests of a file share a stack, each with workers of its own."""

import collections
import dataclasses
import pathlib
import re
import subprocess

import pytest

from kit import BUILD, TOP, cases, messages, topics, wait
from kit.points import Pointed
from kit.system import own_port

# Far longer than anything takes here: on a machine that is busy with other things no time limit must come between a
# schedule and its end.
SETTINGS = {"kafka": {"session_ms": 60000, "transaction_ms": 60000}, "redis": {"timeout_ms": 10000},
            "time": {"send_window_ms": 60000, "margin_ms": 60000},
            "accounts": {"main": {"connect_ms": 20000, "order_ms": 90000, "query_ms": 60000}}}
WRONG = ("parked", "lost", "double-answers", "double-orders", "compensated", "unexplained")


@dataclasses.dataclass
class Asked:
    """A request that something happens to."""
    message: object
    placed: topics.Placed

    @property
    def id(self):
        return self.message.request_id

    @property
    def cn(self):
        return f"Person {self.id}"

    def is_named(self, line):
        """Whether a finding names it, or where it stands."""
        place = f"{self.placed.topic}/{self.placed.partition}/{self.placed.offset}"
        return not {self.id, place}.isdisjoint(re.split("[:, ]+", line))


@dataclasses.dataclass
class Verdict:
    """What the auditor said."""
    code: int
    text: str

    @property
    def wrong(self):
        words = self.text.splitlines()[-1].split()
        counts = dict(zip(words[::2], map(int, words[1::2])))
        return collections.Counter({name: counts[name] for name in WRONG if counts[name]})

    def findings(self, name):
        """What is wrong of what its last line counts under this name."""
        return [line for line in self.text.splitlines() if line.startswith(f"WRONG: {name.removesuffix('s')}: ")]


class Stage(Pointed):
    answers_once = False  # what goes without a protection may do anything

    def __init__(self, name):
        super().__init__(BUILD / "broken" / name, own_port(), **SETTINGS)
        self.without, self.wrong = None, collections.Counter()
        self.begin(0)
        self.ca.settings(idle_ms=3600000)

    def start(self, **how):
        return super().start(without=self.without, **how)

    def start_mortal(self, transaction_ms=6000):
        """One whose partitions are soon another's when it dies or stands still, whatever transaction it leaves open."""
        return self.start(change={"kafka": {"session_ms": 1500, "transaction_ms": transaction_ms}})

    # --- what schedules are made of ---

    def ask(self, partition=0, key=None):
        message = messages.enroll(messages.name(self.without or "whole"))
        return Asked(message, self.send(message, key=key, partition=partition))

    def ask_renewal(self, base, partition):
        request = messages.name(self.without or "whole")
        message = messages.renew(request, messages.by_request(base.id), subject=messages.subject(f"Person {request}"))
        return Asked(message, self.send(message, partition=partition))

    def again(self, asked, partition=1):
        """The same event elsewhere."""
        return Asked(asked.message, self.send(asked.message, key="elsewhere", partition=partition))

    def answered(self, asked, timeout=90):
        wait.until(lambda: self.results.answers(placed=asked.placed), timeout, f"an answer to {asked.id}")

    def ordered(self, asked, count=1):
        """The CA has recorded so many orders for it."""
        wait.until(lambda: len(self.orders_of(asked.cn)) >= count, 90, f"order {count} of {asked.id}")

    def ordered_or_missed(self, asked):
        """Whether it was ordered, or twice looked for by its name in vain."""
        looks = self.ca.journal(operation="GetOrders", cn=asked.cn, result="ok")
        return self.orders_of(asked.cn) or len(looks) >= 2

    def all_done(self):
        """Kafka knows of no offset that is not done."""
        cases.await_all_done(self, 90)

    # --- playing them ---

    def play(self, schedule, without=None):
        """Returns the request that it was about, the verdict once nobody is at work any more, and what has gone wrong by
        it that had not before."""
        self.without = without
        asked = schedule(self)
        self.calm()
        codes = self.workers.stop()
        assert without or all(code == 0 for code in codes), codes
        verdict, before = self.audit(), self.wrong
        self.wrong = verdict.wrong
        assert verdict.code == (1 if self.wrong else 0), verdict.text
        return asked, verdict, {name: n - before[name] for name, n in self.wrong.items() if n != before[name]}

    def audit(self):
        command = [TOP / "tests/chaos/audit", "--bootstrap", self.ca["KAFKA_BOOTSTRAP"], "--epki",
                   pathlib.Path(self.ca["EPKI_JOURNAL"]).parent, "--settings", self.workers.write()]
        done = subprocess.run(command, capture_output=True, text=True)
        (self.ca.directory / f"audit-without-{self.without or 'nothing'}.txt").write_text(done.stdout + done.stderr)
        assert done.stdout, done.stderr
        return Verdict(done.returncode, done.stdout)

    def prove(self, schedule, without, **wrong):
        """Nothing goes wrong with the protection, and without it exactly this does."""
        wrong = {name.replace("_", "-"): count for name, count in wrong.items()}
        _, verdict, found = self.play(schedule)
        assert found == {}, verdict.text
        asked, verdict, found = self.play(schedule, without)
        assert found == wrong, verdict.text
        for name in wrong:
            assert any(asked.is_named(line) for line in verdict.findings(name)), verdict.text


@pytest.fixture(scope="module")
def stage(request):
    made = Stage(pathlib.Path(request.module.__file__).stem)
    try:
        yield made
    finally:
        made.calm()
        made.end()


@pytest.fixture(autouse=True)
def clean(request):
    """No worker, fault or plan outlives its test."""
    yield
    if "stage" in request.fixturenames:
        stage = request.getfixturevalue("stage")
        stage.calm()
        stage.workers.stop()
        stage.forget()
