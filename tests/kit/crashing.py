"""A system whose workers pass failpoints, told from outside what to do where. They are of a build that has them."""

import signal

from kit import cases, messages, wait
from kit.system import System, own_port
from epki.v1 import certificate_event_pb2 as events

KILLED = 137


class Crashing(System):
    """Workers that are all alike: each looks into one directory for what it is to do where."""

    def __init__(self, directory, workers, change, brokers=1):
        super().__init__(directory, own_port(), brokers, **dict(change, accounts={"main": cases.RATE}))
        self.told = self.ca.directory / "failpoints"
        self.told.mkdir()
        self.count = workers
        try:
            self.begin(0)
            cases.fill_bucket(self)
            self.complete()
            # The account is tested by one query before the first order: that is behind us from here on.
            assert self.issue(messages.enroll(messages.name())).result == events.RESULT_ISSUED
        except BaseException:
            self.end()
            raise

    def start(self, **how):
        return self.workers.start(failpoints=f"@{self.told}", **how)

    def mend(self):
        """No plan, pause or fault outlives a test, and the workers are complete again."""
        for plan in self.told.iterdir():
            plan.unlink()
        for worker in self.running():
            worker.signal(signal.SIGCONT)
        self.calm()
        self.complete()

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
