"""A storm of rebalances: a worker comes or goes every two seconds, for a minute, or for as many seconds as EPKI_STORM_S
says, while requests come in."""

import os
import signal
import time

from kit import cases, wait
from kit.crowd import Crowd

STORM_S = int(os.environ.get("EPKI_STORM_S", "60"))
EVERY_S, MOST, EACH = 2, 3, 8
SETTINGS = {"time": {"drain_ms": 3000}}


def come_or_go(system, left):
    """One more as long as there are few; else the eldest leaves, with whatever it has in the air."""
    staying = [worker for worker in system.running() if worker not in left]
    if len(staying) < MOST:
        system.start(ready=False)
    else:
        left.append(staying[0])
        staying[0].signal(signal.SIGTERM)


def test_storm_of_rebalances(system):
    crowd, left, end = Crowd(system, "storm"), [], time.monotonic() + STORM_S
    while time.monotonic() < end:
        began = time.monotonic()
        come_or_go(system, left)
        crowd.send(EACH)
        cases.fill_bucket(system)  # nobody counts tokens here, and a long storm would take them all
        time.sleep(max(0.0, EVERY_S - (time.monotonic() - began)))
    codes = [leaver.await_end(60) for leaver in left]
    assert all(code == 0 or leaver.left_unheard() for code, leaver in zip(codes, left)), codes
    system.complete()
    crowd.check(180)
    moved = sum(len(w.log(msg="partition revoked")) + len(w.log(msg="partition lost")) for w in system.workers.workers)
    assert len(left) >= 3 and moved > 5 * len(left), f"{moved} partitions moved, {len(left)} workers left"
    wait.until(lambda: all(w.is_ready() for w in system.running()), 60, "all ready")
