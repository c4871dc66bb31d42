"""One running system under test: a stack, workers, a publisher and a read_committed reader."""

import os
import signal

from kit import keys, stack, topics, worker

FIRST_PORT = int(os.environ.get("EPKI_TEST_PORT", "24000"))


def own_port():
    """Files that run side by side get ports of their own."""
    number = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return FIRST_PORT + 40 * int(number)


class System:
    """What a test starts, and what it does with it."""

    answers_once = True  # no test here makes them answer anything twice
    tells_again = False  # the group's offsets were lost: then duplicates and conflicts may be told again

    def __init__(self, directory, port, brokers=1, **change):
        self.ca = stack.Stack(directory, port, brokers=brokers)
        if directory.exists():
            self.ca.down()  # of a run that was cut off
        stack.clear(directory)
        self.ca.up()
        self.recipient = keys.Recipient()
        self.workers = worker.Deployment(self.ca, self.recipient, **change)
        self.publisher = self.results = None

    def begin(self, workers=2):
        self.ca.settings(order_min_ms=200, order_max_ms=400, query_ms=50, change_ms=50)
        self.workers.bootstrap()
        for _ in range(workers):
            self.workers.start()
        self.publisher = topics.Publisher(self.ca["KAFKA_BOOTSTRAP"])
        self.results = topics.Results(self.ca["KAFKA_BOOTSTRAP"])
        return self

    def end(self):
        try:
            codes = self.workers.stop()
            assert not self.workers.reports(), "\n".join(self.workers.reports())
            assert all(code == 0 for code in codes), f"workers drained with {codes}"
            if self.results is not None and self.answers_once:
                self.check_answers()
        finally:
            if self.results is not None:
                self.results.close()
            self.ca.down()

    def check_answers(self):
        """Nothing was answered twice: whatever a test looked at, and when."""
        records = topics.read_topic(self.ca["KAFKA_BOOTSTRAP"], topics.EVENTS, timeout=60)
        found = topics.terminal(records, self.tells_again)
        twice = {source: count for source, count in found.items() if count > 1}
        assert not twice, f"answered more than once: {twice}"

    def calm(self):
        """No fault, no held answer."""
        if self.ca.env:
            self.ca.clear_faults()
            self.ca.control("POST", "/release", {})

    def wake(self):
        """No worker is stopped."""
        for one in self.running():
            one.signal(signal.SIGCONT)

    def log(self, **match):
        """Lines of all workers' logs, of those that ended as well."""
        return [line for one in self.workers.workers for line in one.log(**match)]

    def send(self, message, **how):
        return self.publisher.send(message, **how)

    def issue(self, message, **how):
        """Publishes an order and returns its answer."""
        return self.results.answer_to(self.send(message, **how), 40)

    def orders_of(self, cn):
        """The CA's recorded orders of a common name, by order id."""
        return self.ca.orders(cn=cn, recorded=True)

    def running(self):
        return [w for w in self.workers.workers if w.running()]
