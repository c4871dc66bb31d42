"""A stack of deploy/local/stack, and the simulator's control port and journal."""

import datetime
import json
import os
import pathlib
import shlex
import shutil
import signal
import socket
import subprocess

import requests

from kit import TOP, servers, wait


def refuse_strange(directory):
    """What is in the way of a new stack must be an old one's."""
    directory = pathlib.Path(directory)
    if directory.exists() and any(directory.iterdir()) and not (directory / "ports").exists():
        raise SystemExit(f"{directory} is not empty, and no stack was ever in it: choose another directory")


def clear(directory):
    """Makes room for a new stack."""
    refuse_strange(directory)
    shutil.rmtree(directory, ignore_errors=True)


class Stack:
    def __init__(self, directory, base_port, partitions=4, brokers=1):
        self.directory = pathlib.Path(directory)
        self.base_port = base_port
        self.partitions = partitions
        self.brokers = brokers
        self.env = {}

    def _call(self, command):
        line = [TOP / "deploy/local/stack", command, "--dir", self.directory, "--base-port", str(self.base_port),
                "--brokers", str(self.brokers), "--partitions", str(self.partitions)]
        return subprocess.run(line, check=True, capture_output=True, text=True).stdout

    def up(self):
        try:
            self._call("up")
        except subprocess.CalledProcessError as error:
            raise RuntimeError(f"the stack does not come up: {error.stderr}") from error
        self.attach()
        return self

    def attach(self):
        """Reads what `stack env` says of a running stack."""
        for line in self._call("env").splitlines():
            name, _, value = line.partition("=")
            self.env[name] = shlex.split(value)[0] if value else ""
        return self

    def down(self):
        self._call("down")

    def __getitem__(self, name):
        return self.env[name]

    # --- single servers, for tests that take one away ---

    def pid(self, name):
        return int((self.directory / f"{name}.pid").read_text().split()[0])

    def restart(self, name, port, number=signal.SIGKILL, timeout=60, meanwhile=None):
        """Ends a server, does what is to be done meanwhile, and starts it again as it was; waits until it takes connections."""
        def answers():
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", port)) == 0

        pid = self.pid(name)
        command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
        os.kill(pid, number)
        # Its threads may listen for a moment longer than there is a process: that would be taken for the new one.
        wait.until(lambda: not servers.began(pid) and not answers(), timeout, f"the end of {name}")
        if meanwhile is not None:
            meanwhile()
        # By a shell that ends: somebody must bury it when the stack goes down.
        log = self.directory / f"{name}.log"
        line = ["setsid", "sh", "-c", f'"$@" >>{shlex.quote(str(log))} 2>&1 </dev/null & echo $!', "sh", *command]
        again = subprocess.run(line, check=True, capture_output=True, text=True).stdout.strip()
        began = pathlib.Path(f"/proc/{again}/stat").read_text().split()[21]
        (self.directory / f"{name}.pid").write_text(f"{again} {began}\n")
        wait.until(answers, timeout, f"{name} on port {port}")

    # --- the simulator ---

    def control(self, method, path, body=None):
        answer = requests.request(method, self["EPKI_CONTROL_URL"] + path, json=body, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def settings(self, **values):
        return self.control("POST", "/settings", values)

    def fault(self, fault, operation="OrderAndIssueCertificate", **more):
        return self.control("POST", "/faults", {"fault": fault, "operation": operation, **more})["id"]

    def clear_faults(self):
        self.control("DELETE", "/faults")

    def fault_hits(self, number):
        for fault in self.control("GET", "/faults")["faults"]:
            if fault["id"] == number:
                return fault["hits"]
        return None

    def journal(self, **match):
        """The journal's lines whose members equal those of match; the simulator's own record of every call."""
        path = pathlib.Path(self["EPKI_JOURNAL"])
        lines = path.read_text().splitlines() if path.exists() else []
        entries = [json.loads(line) for line in lines if line.endswith("}")]
        return [e for e in entries if all(e.get(k) == v for k, v in match.items())]

    def orders(self, **match):
        """Orders recorded by the CA, each once, by its order id."""
        return {e["order_id"]: e for e in self.journal(**match) if e.get("order_id") and e["operation"] in ORDERS}

    def await_journal(self, timeout=20, count=1, **match):
        return wait.until(lambda: (lambda e: e if len(e) >= count else None)(self.journal(**match)), timeout,
                          f"journal entry {match}")


def decided(entry):
    """When the CA decided a call, in seconds since 1970."""
    return datetime.datetime.fromisoformat(entry["time"]).timestamp()


ORDERS = ("OrderAndIssueCertificate", "OrderCertificate", "OrderPkcs12")
