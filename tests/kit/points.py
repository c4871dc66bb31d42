"""A system whose workers pass failpoints, and what one of them did at one. EPKI_WORKER is a worker built with them."""

from kit import wait
from kit.system import System

KILLED = 137


def tell(directory, point, action):
    """The next worker that looks into this directory and comes to this point does this."""
    plan = directory / "plan"
    plan.write_text(action)
    plan.rename(directory / point)


class Pointed(System):
    """Workers that are all alike: each looks into one directory for what it is to do where."""

    def __init__(self, directory, port, brokers=1, **change):
        super().__init__(directory, port, brokers, **change)
        self.told = self.ca.directory / "failpoints"
        self.told.mkdir()
        self.struck_before = {}

    def start(self, **how):
        return self.workers.start(failpoints=f"@{self.told}", **how)

    def tell(self, point, action):
        """The next worker that comes to this point does this."""
        self.struck_before[point] = len(self.strikes(point))
        tell(self.told, point, action)

    def forget(self):
        """No plan outlives a test."""
        for plan in self.told.iterdir():
            plan.unlink()

    def strikes(self, point, request=None):
        """(time, number of the worker) of each time that one did something there; with one request, or with any."""
        return [(line["ts"], number) for number, worker in enumerate(self.workers.workers)
                for line in worker.log(msg="failpoint", name=point) if request in (None, line.get("request_id"))]

    def struck(self, point, request=None, timeout=30):
        """The worker that did what it was told."""
        wait.until(lambda: len(self.strikes(point)) > self.struck_before[point], timeout, f"a worker at {point}")
        strikes = wait.until(lambda: self.strikes(point, request), timeout, f"the worker at {point}")
        return self.workers.workers[max(strikes)[1]]

    def died(self, point, timeout=30):
        """The worker that died there, as it was told."""
        victim = self.struck(point, timeout=timeout)
        assert victim.await_end(timeout) == KILLED
        return victim

    def stopped(self, point, timeout=30):
        """The worker that stopped there, as it was told."""
        zombie = self.struck(point, timeout=timeout)
        wait.until(zombie.is_stopped, 20, f"{zombie.instance} stopped")
        return zombie
