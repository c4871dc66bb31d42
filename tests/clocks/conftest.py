"""A stack for each test file, and workers whose clocks, turns and time on the processor a test decides on. EPKI_WORKER is
a worker built with failpoints."""

import pathlib

import pytest

pytest.register_assert_rewrite("kit.cases")

from kit import BUILD, cases, clocks, messages, wait
from kit.points import Pointed
from kit.system import own_port
from epki.v1 import certificate_event_pb2 as events

PARTITIONS = 4


class Timed(Pointed):
    """Each worker has clocks of its own."""

    def __init__(self, name):
        super().__init__(BUILD / "clocks" / name, own_port(), accounts={"main": cases.RATE},
                         kafka={"transaction_ms": 6000})  # on a busy machine, too
        self.begin(0)
        cases.fill_bucket(self)

    def start(self, wall=0, **how):
        own = clocks.Clocks(self.ca.directory / f"clocks-{self.workers.count + 1}", wall=wall)
        return super().start(clocks=own, **how)

    def accepted(self):
        """The account is tested by one query before the first order: that is behind us from here on."""
        assert self.issue(messages.enroll(messages.name())).result == events.RESULT_ISSUED
        return self

    def only(self, *walls):
        """No worker but these, each with its wall clock so many seconds ahead."""
        for worker in self.running():
            assert worker.terminate(40) == 0
        return [self.start(wall=wall) for wall in walls]

    def one_of_each(self, name):
        """A case of each kind."""
        return [cases.Case(self, kind, messages.name(f"{name}-{kind}")) for kind in cases.KINDS]

    def send_all(self, made, twins=True):
        """In partitions that follow each other; and every event again elsewhere."""
        for number, case in enumerate(made):
            case.send(partition=number % PARTITIONS)
        for number, case in enumerate(made if twins else []):
            case.send_twin((number + 1) % PARTITIONS)

    def check_all(self, made, timeout=90, lost_tokens=0):
        """Everything is answered; then orders, answers, offsets and tokens are counted. Returns the first answers."""
        for case in made:
            for placed in [sent.placed for sent in case.sent] + case.twins:
                self.results.answer_to(placed, timeout)
        cases.await_all_done(self, timeout)
        return [case.check(timeout, lost_tokens) for case in made]

    def holder(self, request):
        """The worker that has the request."""
        return wait.until(lambda: next((w for w in self.running() if w.log(request_id=request)), None), 20, request)


@pytest.fixture(scope="module")
def system(request):
    made = Timed(pathlib.Path(request.module.__file__).stem)
    try:
        yield made
    finally:
        made.end()


@pytest.fixture(autouse=True)
def clean_faults(request):
    """No fault, plan, stopped process or stepped clock outlives its test."""
    yield
    if "system" in request.fixturenames:
        made = request.getfixturevalue("system")
        made.forget()
        made.wake()
        made.calm()
