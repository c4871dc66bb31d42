"""A system whose workers pass failpoints, for cases: complete again after each, and its accounts heard of."""

import signal

from confluent_kafka.admin import AdminClient

from kit import cases, messages, topics, wait
from kit.points import KILLED, Pointed
from kit.system import own_port
from epki.v1 import certificate_event_pb2 as events

BROKER_PORT = 10  # from the stack's first


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

    def holder(self, case):
        """The worker that has the request."""
        return wait.until(lambda: next((w for w in self.running() if w.log(request_id=case.request)), None), 20, "it")

    def other(self, worker):
        return next(w for w in self.running() if w is not worker)

    def alone(self):
        """All but one are told to leave."""
        while len(self.running()) > 1:
            assert self.running()[0].terminate(40) == 0
        return self.running()[0]

    def restart_broker(self, meanwhile=None):
        """It is killed, and is back; what is to happen while it is away happens then."""
        self.ca.restart("kafka-1", self.ca.base_port + BROKER_PORT, meanwhile=meanwhile)

    def die_while_broker_fails(self, case, point):
        """Its worker dies at this point while the broker is away; returns that."""
        self.tell(point, f"die:2000/{case.request}")
        case.send(partition=1)
        victim = self.struck(point)
        self.restart_broker(lambda: victim.process.wait(10))
        assert victim.process.poll() == KILLED
        return victim

    def stop_past_session(self, worker):
        """It lost its membership meanwhile: the group has no member but those that run."""
        admin = AdminClient({"bootstrap.servers": self.ca["KAFKA_BOOTSTRAP"], **topics.QUIET})
        worker.signal(signal.SIGSTOP)
        try:
            wait.until(lambda: len(admin.describe_consumer_groups([cases.GROUP])[cases.GROUP].result(10).members)
                       < len(self.running()), 60, f"the end of the session of {worker.instance}")
        finally:
            worker.signal(signal.SIGCONT)

    def die_with_reply(self, case, worker, point=None):
        """While the CA holds back its reply to the case's order; or at this point, when it does so no longer."""
        if point is not None:
            self.tell(point, f"die/{case.request}")
        else:
            worker.kill()
        self.ca.control("POST", "/release", {})
        assert point is None or self.died(point) is worker

    def adopted(self, case, former, timeout=60):
        """Another worker has adopted the case's partition after this one."""
        def look():
            return [w for w in self.running() if w is not former and epoch(w, case) > epoch(former, case)]
        return wait.until(look, timeout, f"an adopter after {former.instance}")[0]


def adoptions(worker):
    return len(worker.log(msg="partition adopted", logger="kafka"))


def epoch(worker, case):
    """The last epoch in which a worker owned the case's partition."""
    where = dict(msg="partition adopted", topic=case.topic, partition=case.sent[0].placed.partition)
    return max((line["epoch"] for line in worker.log(**where)), default=-1)
