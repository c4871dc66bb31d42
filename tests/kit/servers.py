"""Single servers of a stack taken away and brought back, as the stack started them: brokers, Redis, the simulator."""

import os
import pathlib
import signal
import subprocess

from kit import wait


def began(pid):
    """When a process started, as the stack's pid files have it; "": there is none, or it ended and nobody has buried
    it."""
    try:
        words = pathlib.Path(f"/proc/{pid}/stat").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if words[2] == "Z" else words[21]


class Server:
    """One of kafka-1 to kafka-3, redis, simulator."""

    def __init__(self, stack, name):
        self.name, self.directory = name, stack.directory
        self.pid = stack.pid(name)
        self.began = began(self.pid)
        self.command = pathlib.Path(f"/proc/{self.pid}/cmdline").read_bytes().split(b"\0")[:-1]
        self.child = None  # once it was we who started it

    def running(self):
        if self.child is not None:
            return self.child.poll() is None
        return began(self.pid) == self.began

    def send(self, number):
        if self.running():
            os.kill(self.pid, number)

    def end(self, how=signal.SIGTERM, timeout=30):
        """Ends it and waits for that; a stopped one dies of SIGKILL only."""
        self.send(how)
        wait.until(lambda: not self.running(), timeout, f"the end of {self.name}")

    def start(self):
        """The same command again; `stack down` knows it as its own."""
        if self.running():
            return
        with open(self.directory / f"{self.name}.log", "ab") as log:
            self.child = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                          start_new_session=True)
        self.pid, self.began = self.child.pid, began(self.child.pid)
        (self.directory / f"{self.name}.pid").write_text(f"{self.pid} {self.began}\n")
