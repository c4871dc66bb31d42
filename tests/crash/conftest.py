"""A stack for each test file, whose workers pass failpoints. EPKI_WORKER is a worker built with them."""

import pathlib

import pytest

from kit import BUILD, cases, messages, wait
from kit.system import System, own_port
from epki.v1 import certificate_event_pb2 as events

KILLED = 137


class Crashing(System):
    def __init__(self, name, workers, change):
        settings = dict(change, accounts={"main": cases.RATE})
        super().__init__(BUILD / "crash" / name, own_port(), **settings)
        self.begin(0)
        cases.fill_bucket(self)
        self.armed = None  # the worker that waits for its end, and what it is to do
        for _ in range(workers):
            self.workers.start()
        if workers:
            self.accept()

    def accept(self):
        """The account is tested by one query before the first order: that is behind us from here on."""
        assert self.issue(messages.enroll(messages.name())).result == events.RESULT_ISSUED

    def owned(self, worker, topic):
        """A partition of this topic that a worker has adopted."""
        def look():
            return [line["partition"] for line in worker.log(msg="partition adopted") if line["topic"] == topic]
        return wait.until(look, 30, f"a partition of {topic} for {worker.instance}")[0]


@pytest.fixture(scope="module")
def system(request):
    module = request.module
    made = Crashing(pathlib.Path(module.__file__).stem, getattr(module, "WORKERS", 1), getattr(module, "SETTINGS", {}))
    try:
        yield made
    finally:
        made.end()


@pytest.fixture(autouse=True)
def clean_faults(request):
    """No fault, pause or odd switch outlives its test."""
    yield
    if "system" in request.fixturenames:
        request.getfixturevalue("system").calm()
