"""Clocks of a single worker, ahead of the machine's or behind, and stepped while it runs.

A library of our own, preloaded: what Debian packages (libfaketime) does not know cnd_timedwait, in which librdkafka
waits for a point of wall time, and does not move the end of a wait that has begun.
"""

import fcntl
import os
import struct
import subprocess

from kit import BUILD, TOP

LIBRARY, SOURCE = BUILD / "tests" / "clocks.so", TOP / "tests" / "support" / "clocks.c"
HOUR, DAY = 3600, 86400


def library():
    LIBRARY.parent.mkdir(parents=True, exist_ok=True)
    with open(LIBRARY.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not LIBRARY.exists() or LIBRARY.stat().st_mtime < SOURCE.stat().st_mtime:
            subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-D_GNU_SOURCE", "-o", LIBRARY, SOURCE], check=True)
    return LIBRARY


class Clocks:
    """How many seconds a worker's boot time, which it waits by, and its wall clock are ahead of the machine's."""

    def __init__(self, file, boot=0, wall=0):
        self.file = file
        self.boot, self.wall = boot, wall
        self.file.write_bytes(struct.pack("=qq", boot, wall))
        self.environment = {"LD_PRELOAD": str(library()), "CLOCKS_AHEAD": str(file)}

    def set(self, boot=None, wall=None):
        """At once, also for what waits."""
        self.boot = self.boot if boot is None else boot
        self.wall = self.wall if wall is None else wall
        fd = os.open(self.file, os.O_WRONLY)
        try:
            os.pwrite(fd, struct.pack("=qq", self.boot, self.wall), 0)
        finally:
            os.close(fd)
