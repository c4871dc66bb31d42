"""A stack for each test file, whose workers pass failpoints. EPKI_WORKER is a worker built with them."""

import pathlib
import signal

import pytest

pytest.register_assert_rewrite("kit.cases")

from kit import BUILD, cases, messages, wait
from kit.system import System, own_port
from epki.v1 import certificate_event_pb2 as events

KILLED = 137


class Crashing(System):
    """Workers that are all alike: each looks into one directory for what it is to do where."""

    def __init__(self, name, workers, change):
        super().__init__(BUILD / "crash" / name, own_port(), **dict(change, accounts={"main": cases.RATE}))
        self.told = self.ca.directory / "failpoints"
        self.told.mkdir()
        self.count = workers
        self.begin(0)
        cases.fill_bucket(self)
        self.complete()
        # The account is tested by one query before the first order: that is behind us from here on.
        assert self.issue(messages.enroll(messages.name())).result == events.RESULT_ISSUED

    def start(self, **how):
        return self.workers.start(failpoints=f"@{self.told}", **how)

    def complete(self):
        """As many workers as there should be."""
        while len(self.running()) < self.count:
            self.start()

    def tell(self, point, action):
        """The next worker that comes to this point does this."""
        plan = self.told / "plan"
        plan.write_text(action)
        plan.rename(self.told / point)

    def struck(self, point, request=None, timeout=30):
        """The worker that did what it was told."""
        wait.until(lambda: not (self.told / point).exists(), timeout, f"a worker at {point}")

        def look():
            lines = [(line["ts"], number) for number, w in enumerate(self.workers.workers)
                     for line in w.log(msg="failpoint", name=point) if request in (None, line.get("request_id"))]
            return self.workers.workers[max(lines)[1]] if lines else None
        return wait.until(look, timeout, f"the worker at {point}")

    def died(self, point, timeout=30):
        """The worker that died there, as it was told."""
        victim = self.struck(point, timeout=timeout)
        assert victim.await_end(timeout) == KILLED
        return victim

    def adopted(self, case, former, timeout=60):
        """Another worker has adopted the case's partition after this one."""
        def look():
            return [w for w in self.running() if w is not former and epoch(w, case) > epoch(former, case)]
        return wait.until(look, timeout, f"an adopter after {former.instance}")[0]


def epoch(worker, case):
    """The last epoch in which a worker owned the case's partition."""
    where = dict(msg="partition adopted", topic=case.topic, partition=case.sent[0].placed.partition)
    return max((line["epoch"] for line in worker.log(**where)), default=-1)


@pytest.fixture(scope="module")
def system(request):
    module = request.module
    made = Crashing(pathlib.Path(module.__file__).stem, getattr(module, "WORKERS", 2), getattr(module, "SETTINGS", {}))
    try:
        yield made
    finally:
        made.end()


@pytest.fixture(autouse=True)
def clean_faults(request):
    """No fault, pause, plan or odd switch outlives its test, and the workers are complete again."""
    yield
    if "system" in request.fixturenames:
        made = request.getfixturevalue("system")
        for plan in made.told.iterdir():
            plan.unlink()
        for worker in made.running():
            worker.signal(signal.SIGCONT)
        made.calm()
        made.complete()
