"""Workers as processes: settings file, start, kill, drain, log."""

import base64
import copy
import json
import os
import pathlib
import re
import signal
import socket
import subprocess

import requests
import yaml

from kit import BUILD, TOP, wait


# What a worker built with a sanitizer says of itself, on its standard error.
REPORT = re.compile(r"(ERROR|WARNING|SUMMARY): \w+Sanitizer|runtime error:")
# Of these nobody kills it but itself, whoever answers in its place.
CRASHES = [-number for number in (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL,
                                  signal.SIGSYS)]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def merge(base, change):
    """A settings tree with some of it replaced; lists of named things are merged by name. None: as if it were not said."""
    if isinstance(base, dict) and isinstance(change, dict):
        merged = dict(base)
        for key, value in change.items():
            merged[key] = merge(base[key], value) if key in base else value
        return {key: value for key, value in merged.items() if value is not None}
    if isinstance(base, list) and isinstance(change, dict):
        return [merge(item, change[item["name"]]) if item["name"] in change else item for item in base]
    return change


def patient(settings):
    """Sessions and transactions that a slow worker keeps up with; a quiet period that follows from them stays."""
    for key in ("session_ms", "transaction_ms"):
        settings["kafka"][key] = int(settings["kafka"][key] * wait.PATIENCE)
    return settings


class Deployment:
    """What the workers of one stack share: secrets, recipients, the settings file's body."""

    def __init__(self, stack, recipient, directory=None, **change):
        self.stack = stack
        self.directory = pathlib.Path(directory or stack.directory / "workers")
        self.directory.mkdir(parents=True, exist_ok=True)
        self.recipient = recipient
        (self.directory / "recipients.pem").write_bytes(recipient.pem)
        keks = self.directory / "kek"
        if not keks.exists():
            keks.write_text(f"k1:{base64.b64encode(os.urandom(32)).decode()}\n")
            keks.chmod(0o600)
        self.change = change
        self.count = 0
        self.workers = []

    def settings(self, instance, port, change=None):
        text = (TOP / "deploy/local/worker.yaml.in").read_text()
        words = dict(self.stack.env, INSTANCE=instance, ADMIN_PORT=str(port), KEK_FILE=self.directory / "kek",
                     RECIPIENTS_FILE=self.directory / "recipients.pem")
        for word, value in words.items():
            text = text.replace(f"@{word}@", str(value))
        return merge(merge(patient(yaml.safe_load(text)), copy.deepcopy(self.change)), change or {})

    def write(self, instance="check", port=0, change=None):
        path = self.directory / f"{instance}.yaml"
        path.write_text(yaml.safe_dump(self.settings(instance, port, change), sort_keys=False))
        return path

    def command(self, *words, instance="check", change=None, timeout=60, clocks=None):
        """Runs `epki-worker WORDS --config FILE`; returns the finished process."""
        path = self.write(instance, 0, change)
        environment = dict(os.environ, **(clocks.environment if clocks else {}))
        return subprocess.run([worker_binary(), *words, "--config", path], capture_output=True, text=True, env=environment,
                              timeout=timeout * wait.PATIENCE)

    def bootstrap(self):
        done = self.command("bootstrap")
        if done.returncode != 0:
            raise RuntimeError(f"bootstrap: {done.stderr}")

    def start(self, change=None, ready=True, instance=None, failpoints=None, without=None, clocks=None):
        """A new worker; or, by its instance, one that ended, with the same settings. Failpoints, and a protection to go
        without: of a build for tests."""
        self.count += 1
        told = {"EPKI_FAILPOINTS": failpoints, "EPKI_WITHOUT": without}
        worker = Worker(self, instance or f"w{self.count}", change, clocks, **told)
        self.workers.append(worker)
        if ready:
            worker.await_ready()
        return worker

    def stop(self):
        """Ends every worker that still runs; returns the exit codes of those."""
        running = [w for w in self.workers if w.running()]
        for worker in running:
            worker.signal(signal.SIGCONT)
            worker.signal(signal.SIGTERM)
        late = []
        for worker in running:
            try:
                worker.await_end(30)
            except TimeoutError as error:  # it is dead now, and so must the others be
                late.append(error)
        if late:
            raise late[0]
        return [worker.process.returncode for worker in running]

    def reports(self):
        """What sanitizers said of any of them, and who has crashed."""
        return [report for report in (w.report() for w in self.workers) if report]


def worker_binary():
    return os.environ.get("EPKI_WORKER", str(BUILD / "epki-worker"))


class Worker:
    def __init__(self, deployment, instance, change=None, clocks=None, **told):
        environment = dict(os.environ, **{name: value for name, value in told.items() if value})
        environment |= clocks.environment if clocks else {}
        self.instance = instance
        self.clocks = clocks
        self.port = free_port()
        self.settings_path = deployment.write(instance, self.port, change)
        self.log_path = deployment.directory / f"{instance}.log"
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen([worker_binary(), "run", "--config", self.settings_path], stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL, env=environment)

    def running(self):
        return self.process.poll() is None

    def signal(self, number):
        if self.running():
            self.process.send_signal(number)

    def is_stopped(self):
        """By SIGSTOP."""
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text()
        return stat.rsplit(")", 1)[1].split()[0] == "T"

    def kill(self):
        self.process.kill()
        return self.process.wait()

    def terminate(self, timeout=30):
        """SIGTERM, and the exit code after the drain."""
        self.signal(signal.SIGTERM)
        return self.await_end(timeout)

    def left_unheard(self):
        """It was told to leave before it could hear that: before it had said a word."""
        return self.process.returncode == -signal.SIGTERM and not self.log_path.stat().st_size

    def await_end(self, timeout=30):
        try:
            return self.process.wait(timeout * wait.PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise TimeoutError(f"{self.instance} did not end within {timeout} s; see {self.log_path}") from None

    def get(self, path):
        return requests.get(f"http://127.0.0.1:{self.port}{path}", timeout=5 * wait.PATIENCE)

    def is_ready(self):
        if not self.running():
            raise RuntimeError(f"{self.instance} ended: {self.log_path.read_text()[-1500:]}")
        try:
            return self.get("/readyz").status_code == 200
        except requests.ConnectionError:
            return False

    def await_ready(self, timeout=30):
        wait.until(self.is_ready, timeout, f"{self.instance} ready")

    def metric(self, name, **labels):
        """The sum of a metric's samples that carry these labels."""
        total = 0.0
        for line in self.get("/metrics").text.splitlines():
            if line.startswith("#") or not line.split("{")[0].split(" ")[0] == name:
                continue
            if all(f'{key}="{value}"' in line for key, value in labels.items()):
                total += float(line.rsplit(" ", 1)[1])
        return total

    def log(self, **match):
        """Lines of the log, each an object, whose members equal those of match."""
        lines = []
        for line in self.log_path.read_text(errors="replace").splitlines():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue
            if all(entry.get(key) == value for key, value in match.items()):
                lines.append(entry)
        return lines

    def report(self):
        """A sanitizer's report, or that it crashed; "" = neither."""
        text = self.log_path.read_text(errors="replace")
        found = REPORT.search(text)
        if found:
            return text[text.rfind("\n", 0, found.start()) + 1:][:4000]
        if self.process.poll() in CRASHES:
            return f"{self.instance} died of signal {-self.process.returncode}: {text[-1500:]}"
        return ""

    def await_log(self, timeout=20, **match):
        return wait.until(lambda: self.log(**match), timeout, f"{self.instance} logs {match}")[0]
