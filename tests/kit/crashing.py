"""A system whose workers pass failpoints, for cases: complete again after each, and its accounts heard of."""

from kit import cases, messages, wait
from kit.points import Pointed
from kit.system import own_port
from epki.v1 import certificate_event_pb2 as events


class Crashing(Pointed):
    """As many workers as a test says, on what every case needs."""

    def __init__(self, directory, workers, change, brokers=1):
        super().__init__(directory, own_port(), brokers, **dict(change, accounts={"main": cases.RATE}))
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

    def mend(self):
        """No plan, pause or fault outlives a test, and the workers are complete again."""
        self.forget()
        self.wake()
        self.calm()
        self.complete()

    def complete(self):
        """As many workers as there should be."""
        while len(self.running()) < self.count:
            self.start()

    def adopted(self, case, former, timeout=60):
        """Another worker has adopted the case's partition after this one."""
        def look():
            return [w for w in self.running() if w is not former and epoch(w, case) > epoch(former, case)]
        return wait.until(look, timeout, f"an adopter after {former.instance}")[0]


def epoch(worker, case):
    """The last epoch in which a worker owned the case's partition."""
    where = dict(msg="partition adopted", topic=case.topic, partition=case.sent[0].placed.partition)
    return max((line["epoch"] for line in worker.log(**where)), default=-1)
