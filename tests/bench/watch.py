"""What processes use, from /proc: CPU, memory, the busiest thread, and what the rest of the machine does."""

import os
import pathlib
import time

TICK = 1 / os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count()


def cpu_of(stat):
    """Seconds of user and system time in a line of /proc/PID/stat."""
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK


def process_cpu(pid):
    return cpu_of(pathlib.Path(f"/proc/{pid}/stat").read_text())


def thread_cpu(pid):
    """Seconds by thread: (id, name)."""
    found = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            stat = (task / "stat").read_text()
        except FileNotFoundError:
            continue
        found[task.name, stat[stat.index("(") + 1:stat.rindex(")")]] = cpu_of(stat)
    return found


def peak_memory_mb(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmHWM")


def machine_cpu():
    """(busy, idle) seconds of all cores."""
    fields = [int(f) * TICK for f in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return sum(fields) - idle, idle


class Watch:
    """Shares of a core between start() and stop(), and what was in flight at the CA meanwhile."""

    def __init__(self, worker, pids):
        self.worker, self.pids = worker, pids
        self.flying, self.next_look, self.watching = [], 0, False

    def _now(self):
        return {"time": time.time(), "machine": machine_cpu(), "threads": thread_cpu(self.worker.process.pid),
                "cpu": {name: process_cpu(pid) for name, pid in self.pids.items()},
                "tokens": self.worker.metric("epki_rate_tokens_total", result="wait"),
                "calls": self.worker.metric("epki_ca_call_duration_seconds_count"),
                "call_time": self.worker.metric("epki_ca_call_duration_seconds_sum")}

    def start(self):
        self.flying, self.first, self.watching = [], self._now(), True

    def look(self):
        if self.watching and time.time() >= self.next_look:
            self.next_look = time.time() + 1
            self.flying.append(self.worker.metric("epki_inflight_calls", **{"class": "enrollment"}))

    def stop(self):
        self.last, self.watching = self._now(), False
        self.begin, self.end = self.first["time"], self.last["time"]
        self.seconds = self.end - self.begin

    def cpu(self, name):
        return self.last["cpu"][name] - self.first["cpu"][name]

    def shares(self):
        """Of one core, by process; `others` is everybody else on this machine."""
        shares = {name: self.cpu(name) / self.seconds for name in self.pids}
        busy, idle = (b - a for a, b in zip(self.first["machine"], self.last["machine"]))
        shares["others"] = max(0.0, busy / self.seconds - sum(shares.values()))
        shares["idle"] = idle / self.seconds
        return shares

    def busiest_thread(self):
        used = {thread: cpu - self.first["threads"].get(thread, 0) for thread, cpu in self.last["threads"].items()}
        (_, name), cpu = max(used.items(), key=lambda entry: entry[1])
        return name, cpu / self.seconds

    def threads(self):
        return {f"{name}/{number}": round(cpu - self.first["threads"].get((number, name), 0), 2)
                for (number, name), cpu in self.last["threads"].items()}

    def mean_call_ms(self):
        calls = self.last["calls"] - self.first["calls"]
        return 1000 * (self.last["call_time"] - self.first["call_time"]) / calls if calls else 0

    def in_flight(self):
        return sum(self.flying) / len(self.flying) if self.flying else 0

    def token_waits(self):
        return self.last["tokens"] - self.first["tokens"]
