"""A storm of rebalances: a worker comes or goes every two seconds, for a minute, or for as many seconds as EPKI_STORM_S
says, while requests come in."""

import os
import signal
import time

from kit import wait
from kit.crowd import Crowd

STORM_S = int(os.environ.get("EPKI_STORM_S", "60"))
EVERY_S, MOST, EACH = 2, 4, 8
SETTINGS = {"time": {"drain_ms": 3000}}


def come_or_go(system, turn):
    """Returns who was told to leave: the eldest, with whatever it has in the air."""
    if turn % 2 == 0 and len(system.running()) < MOST:
        system.start(ready=False)
        return []
    leaver = system.running()[0]
    leaver.signal(signal.SIGTERM)
    return [leaver]


def test_storm_of_rebalances(system):
    crowd, left, turn, end = Crowd(system, "storm"), [], 0, time.monotonic() + STORM_S
    while time.monotonic() < end:
        began = time.monotonic()
        left += come_or_go(system, turn)
        crowd.send(EACH)
        turn += 1
        time.sleep(max(0.0, EVERY_S - (time.monotonic() - began)))
    codes = [leaver.await_end(60) for leaver in left]
    assert set(codes) <= {0, -signal.SIGTERM}, codes  # the latter: it was told before it could hear
    system.complete()
    crowd.check(180)
    moved = sum(len(w.log(msg="partition revoked")) + len(w.log(msg="partition lost")) for w in system.workers.workers)
    assert len(left) >= 3 and moved > 20 * len(left), f"{moved} partitions moved, {len(left)} workers left"
    wait.until(lambda: all(w.is_ready() for w in system.running()), 60, "all ready")
