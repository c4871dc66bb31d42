"""Everything that a run needs, and the list of what was done to it."""

import json
import shutil
import signal
import socket
import threading
import time

import redis
import requests

from chaos.harness import fleet, load, proxy
from kit import keys, servers, stack, topics, wait

ORDER_TIMES = {"order_min_ms": 200, "order_max_ms": 900, "query_ms": 30, "change_ms": 30, "async_issue_ms": 1500}
# The assumptions hold on a busy machine too: what the CA may take is far from what it takes here.
# Surplus orders are looked for all the time: what is none must be left alone, whatever breaks meanwhile.
SETTINGS = {"redis": {"timeout_ms": 2000}, "time": {"processing_ms": 3000, "visibility_ms": 1000, "margin_ms": 1000,
                                                    "surplus_interval_ms": 3000, "surplus_window_ms": 3600000}}


class Rig:
    def __init__(self, directory, port, brokers, workers, seed):
        self.ca = stack.Stack(directory, port, brokers=brokers)
        self.seed, self.worker_count = seed, workers
        self.lock = threading.Lock()
        self.faults, self.fault_ids = {}, {}
        self.deployment = self.results = self.deeds = None

    def begin(self):
        if self.ca.directory.exists():
            self.ca.down()  # of a run that was cut off
        shutil.rmtree(self.ca.directory, ignore_errors=True)
        self.ca.up()
        self.deeds = (self.ca.directory / "deeds.jsonl").open("a")
        names = [f"kafka-{i + 1}" for i in range(self.ca.brokers)] + ["redis", "simulator"]
        self.servers = {name: servers.Server(self.ca, name) for name in names}
        port = int(self.ca["REDIS_URL"].rsplit(":", 1)[1])
        self.redis = redis.Redis(port=port, socket_timeout=5)
        self.redis_proxy = proxy.Proxy("127.0.0.1", port, loses=False)
        self.ca_proxy = proxy.Proxy("127.0.0.1", int(self.ca["EPKI_URL"].split("/")[2].split(":")[1]), loses=True)
        self.ca.settings(**ORDER_TIMES)
        recipient = keys.Recipient()
        self.deployment = fleet.deployment_of(self.ca, recipient, self.redis_proxy.port, self.ca_proxy.port, **SETTINGS)
        self.deployment.bootstrap()
        self.fleet = fleet.Fleet(self.deployment, self.worker_count, self.deed)
        self.fleet.look()
        self.fleet.settle()
        self.answers = load.Answers()
        self.results = topics.Results(self.ca["KAFKA_BOOTSTRAP"], on_event=self.answers.on_event)
        self.load = load.Load(self.ca["KAFKA_BOOTSTRAP"], self.seed, recipient, self.answers)

    def deed(self, kind, what):
        with self.lock:
            self.deeds.write(json.dumps({"time_ms": int(time.time() * 1000), "kind": kind, "what": what}) + "\n")
            self.deeds.flush()

    # --- servers ---

    def server(self, name):
        return self.servers[name]

    def broker(self, draw):
        return f"kafka-{int(draw * self.ca.brokers) + 1}"

    def brokers_answer(self):
        for address in self.ca["KAFKA_BOOTSTRAP"].split(","):
            host, port = address.split(":")
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
            except OSError:
                return False
        return True

    def wake_servers(self):
        for one in self.servers.values():
            one.send(signal.SIGCONT)

    def start_servers(self):
        for one in self.servers.values():
            one.start()
        self.apply_faults()

    # --- the simulator's faults: kept here, so that one that was restarted learns them again ---

    def set_faults(self, name, specs):
        self.deed("ca", name)
        self.faults[name] = specs
        self.apply_faults()

    def drop_faults(self, name):
        self.faults.pop(name, None)
        self.apply_faults()

    def apply_faults(self):
        """What is to be, all of it; a simulator that is away gets it when it is back."""
        try:
            wait.until(self._control_up, 5 if self.servers["simulator"].running() else 0, "the simulator")
            self.ca.settings(**ORDER_TIMES)
            self.ca.clear_faults()
            specs = [spec for specs in self.faults.values() for spec in specs]
            if specs:
                self.ca.control("POST", "/faults", specs)
        except (requests.ConnectionError, TimeoutError):
            pass

    def order_in_portal(self, name):
        self.deed("ca-portal", name)
        try:
            self.ca.control("POST", "/orders", {"cn": name})
        except requests.ConnectionError:
            pass  # the portal is away too

    def _control_up(self):
        try:
            return self.ca.control("GET", "/health")
        except requests.ConnectionError:
            return None

    # --- the end ---

    def heal(self):
        """Nothing is broken any more."""
        self.deed("heal", "")
        self.redis_proxy.release()
        self.ca_proxy.release()
        self.wake_servers()
        self.faults.clear()
        self.start_servers()
        self.ca.control("POST", "/release", {})
        self.fleet.settle()

    def letters(self):
        return {(p.topic, p.partition, p.offset) for topic in (topics.PARKED, topics.DEAD)
                for p in map(topics.source_headers, list(self.results.records[topic])) if p}

    def left(self):
        return self.load.unanswered(self.letters())

    def await_done(self, patience_s):
        """Until every event is answered, and a while longer for what would come too late. Returns what is left."""
        end = time.monotonic() + patience_s
        while self.left() and time.monotonic() < end:
            self.fleet.look()
            time.sleep(0.5)
        time.sleep(3)
        return self.left()

    def end(self):
        """Workers drained, servers down. Returns what was not a clean end."""
        wrong = self.fleet.drain() if self.deployment is not None and hasattr(self, "fleet") else []
        if self.results is not None:
            self.results.close()
        return wrong

    def down(self):
        for one in ("redis_proxy", "ca_proxy"):
            if hasattr(self, one):
                getattr(self, one).close()
        if hasattr(self, "servers"):
            self.wake_servers()
        if self.deeds is not None:
            self.deeds.close()
        self.ca.down()
