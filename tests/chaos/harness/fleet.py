"""The workers. As an orchestrator would, it starts another where one ended; a worker that ends by itself is a failure of
the run, unless it could not start: what it needs for that is broken here."""

import signal

from kit import points, wait, worker

GATE = "gate-passed"
DRAIN_S = 60 * wait.PATIENCE
IN_FLIGHT = 40  # of one worker: more handshakes at once than this machine makes in time would all be in vain


class Fleet:
    def __init__(self, deployment, wanted, deed, told=None):
        """told: the directory that tells workers with failpoints what to do where."""
        self.deployment, self.base, self.wanted, self.deed = deployment, wanted, wanted, deed
        self.told = told
        self.stopped, self.killed, self.draining, self.ended = set(), set(), set(), set()
        self.crashed = []

    def running(self):
        """Those that work: not stopped, not leaving."""
        return [w for w in self.deployment.workers if w.running() and w not in self.stopped and w not in self.draining]

    def pick(self, draw):
        found = self.running()
        return found[int(draw * len(found))] if found else None

    def start(self):
        made = self.deployment.start(ready=False, failpoints=self.told and f"@{self.told}")
        self.deed("worker-start", made.instance)

    def kill(self, draw):
        victim = self.pick(draw)
        if victim is not None:
            self.killed.add(victim)
            self.deed("worker-kill", victim.instance)
            victim.kill()

    def stop(self, draw):
        victim = self.pick(draw)
        if victim is not None:
            self.stopped.add(victim)
            self.deed("worker-stop", victim.instance)
            victim.signal(signal.SIGSTOP)

    def wake(self):
        for victim in list(self.stopped):
            self.deed("worker-wake", victim.instance)
            victim.signal(signal.SIGCONT)
            self.stopped.discard(victim)

    def lull(self):
        """The next worker with an order of which no byte has left stops there."""
        self.deed("worker-sleep", "")
        points.tell(self.told, GATE, "stop")

    def wake_sleepers(self):
        (self.told / GATE).unlink(missing_ok=True)
        for one in self.deployment.workers:
            if one not in self.stopped and one.running() and one.is_stopped():
                self.deed("worker-wake", one.instance)
                one.signal(signal.SIGCONT)

    def add(self):
        self.wanted += 1
        self.deed("worker-add", "")
        self.start()

    def remove(self, draw):
        self.wanted -= 1
        victim = self.pick(draw)
        if victim is not None:
            self.draining.add(victim)
            self.deed("worker-remove", victim.instance)
            victim.signal(signal.SIGTERM)

    def restore(self):
        self.wanted = self.base

    def look(self):
        """Notes who ended, and starts what is missing."""
        for one in self.deployment.workers:
            if not one.running() and one not in self.ended:
                self.ended.add(one)
                self._note_end(one, one.process.returncode)
        alive = len([w for w in self.deployment.workers if w.running() and w not in self.draining])
        for _ in range(max(0, self.wanted - alive)):
            self.start()

    def _note_end(self, one, code):
        if one in self.killed or one in self.draining and (code == 0 or one.left_unheard()):
            return
        self.deed("worker-ended", f"{one.instance} with {code}")
        if code != 1 or one.log(logger="cli", msg="running"):
            self.crashed.append(f"{one.instance} ended with {code}; see {one.log_path}")

    def settle(self, timeout=60):
        """Everybody awake, as many as at the start, all ready."""
        self.wake()
        self.restore()
        self.look()
        for one in self.running():
            self._await_ready(one, timeout)

    def _await_ready(self, one, timeout):
        try:
            one.await_ready(timeout)
        except RuntimeError:  # it ended; look() starts another
            self.look()

    def drain(self):
        """Ends all; returns what was not a clean end."""
        running = [w for w in self.deployment.workers if w.running()]
        for one in running:
            one.signal(signal.SIGCONT)
            one.signal(signal.SIGTERM)
        return self.crashed + [f"{one.instance} {end}" for one, end in zip(running, map(end_of, running)) if end]


def end_of(one):
    """What was not clean about the end of a worker that drains; there is an audit all the same."""
    try:
        code = one.await_end(DRAIN_S)
    except TimeoutError:
        return f"did not end within {DRAIN_S:g} s, and was killed; see {one.log_path}"
    return f"drained with {code}" if code != 0 else ""


def deployment_of(stack, recipient, redis_port, api_port, in_flight=IN_FLIGHT, **change):
    """Workers that reach Redis and the CA through proxies."""
    url = stack["EPKI_URL"].replace(stack["EPKI_URL"].split("/")[2], f"localhost:{api_port}")
    redis = {**change.pop("redis", {}), "url": f"redis://127.0.0.1:{redis_port}"}
    account = {"url": url, "orders_in_flight": in_flight}
    return worker.Deployment(stack, recipient, redis=redis, accounts={"main": account}, **change)
