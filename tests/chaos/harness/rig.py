"""Everything that a run needs, and the list of what was done to it."""

import collections
import concurrent.futures
import json
import signal
import socket
import threading
import time

import redis
import requests
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from chaos.harness import fleet, load, proxy, settled
from kit import cases, keys, servers, stack, topics, wait

TIMES = {"record_at": "start", "query_ms": 30, "change_ms": 30, "async_issue_ms": 1500, "p12_key": "ec"}
# The assumptions hold on a busy machine too: what the CA may take is far from what it takes here.
# Surplus orders are looked for all the time: what is none must be left alone, whatever breaks meanwhile.
SETTINGS = {"redis": {"timeout_ms": 2000}, "time": {"processing_ms": 3000, "visibility_ms": 1000, "margin_ms": 1000,
                                                    "surplus_interval_ms": 3000, "surplus_window_ms": 3600000}}
# Beyond them the quiet period is the local stack's, some 5 s, and surplus orders are looked for without a pause.
BEYOND = {"redis": {"timeout_ms": 2000}, "time": {"surplus_interval_ms": 500, "surplus_window_ms": 3600000}}
# Where a worker dies every second the group never rests, and a search takes as long as many live: the CA is given less
# time, an intent more; few orders are begun at a time, for each may leave a search behind; and lists stay short.
HURRIED = {"in_flight": 12, "redis": {"timeout_ms": 2000},
           "kafka": {"commit_ms": 200, "properties": {"fetch.wait.max.ms": "500"}},
           "time": {"send_window_ms": 3000, "processing_ms": 1000, "visibility_ms": 500, "margin_ms": 500,
                    "surplus_interval_ms": 60000, "surplus_window_ms": 180000}}
PROFILES = 50  # beside that of the local settings


class Rig:
    def __init__(self, options):
        self.ca = stack.Stack(options.dir, options.base_port, partitions=options.partitions, brokers=options.brokers)
        self.options = options
        self.lock = threading.Lock()
        self.faults, self.times, self.letters, self.round = {}, {}, set(), []
        self.deployment = self.results = self.deeds = None
        self.booked_by = 0  # monotonic: then the CA has booked all that was ordered while it took long

    def begin(self):
        if self.ca.directory.exists():
            self.ca.down()  # of a run that was cut off
        stack.clear(self.ca.directory)
        self.ca.up()
        self.deeds = (self.ca.directory / "deeds.jsonl").open("a")
        names = [f"kafka-{i + 1}" for i in range(self.ca.brokers)] + ["redis", "simulator"]
        self.servers = {name: servers.Server(self.ca, name) for name in names}
        port = int(self.ca["REDIS_URL"].rsplit(":", 1)[1])
        self.redis = redis.Redis(port=port, socket_timeout=5)
        self.redis_proxy = proxy.Proxy("127.0.0.1", port, loses=False)
        self.ca_proxy = proxy.Proxy("127.0.0.1", int(self.ca["EPKI_URL"].split("/")[2].split(":")[1]), loses=True)
        self.set_times()
        recipient = keys.Recipient()
        self.begin_fleet(recipient)
        self.answers = load.Answers()
        self.results = topics.Results(self.ca["KAFKA_BOOTSTRAP"], (topics.EVENTS, topics.PARKED, topics.DEAD),
                                      on_event=self.answers.on_event, on_record=self.on_letter)
        # A surplus order whose key GlobalSign made shows nothing of ours: beyond the assumptions nobody would find it.
        mix = load.MIX if self.options.beyond else load.MIX + load.THEIRS
        # A window full of events that wait for others of their key would be no load.
        shared = max(self.options.window or 0, load.SHARED_KEYS)
        names = [setting["name"] for setting in self.deployment.settings("names", 0)["settings"]]
        vpns = [name for name in names if name.startswith("vpn")]
        self.load = load.Load(self.ca["KAFKA_BOOTSTRAP"], self.options.seed, recipient, self.answers, self.letters, mix,
                              shared, vpns)

    def begin_fleet(self, recipient):
        told = None
        if self.options.beyond:
            told = self.ca.directory / "failpoints"
            told.mkdir()
        settings = BEYOND if self.options.beyond else HURRIED if self.options.kill_every else SETTINGS
        self.deployment = fleet.deployment_of(self.ca, recipient, self.redis_proxy.port, self.ca_proxy.port, **settings)
        if self.options.kill_every:
            self.spread()
        self.deployment.bootstrap()
        self.fleet = fleet.Fleet(self.deployment, self.options.workers, self.deed, told)
        self.fleet.look()
        self.fleet.settle()

    def spread(self):
        """The orders of a long run over many profiles: whoever does not find its own reads all that its profile has."""
        settings = self.deployment.settings("settings", 0)["settings"]
        vpn = next(setting for setting in settings if setting["name"] == "vpn")
        for number in range(PROFILES):
            profile = f"MP2026020100{number:02d}"
            self.ca.control("POST", f"/profiles/{profile}", {"state": "validated"})
            settings.append({**vpn, "name": f"vpn-{number}", "profile": profile})
        self.deployment.change["settings"] = settings

    def on_letter(self, record):
        placed = topics.source_headers(record)
        if placed is not None:
            with self.answers.lock:
                self.letters.add((placed.topic, placed.partition, placed.offset))

    def deed(self, kind, what):
        with self.lock:
            self.deeds.write(json.dumps({"time_ms": int(time.time() * 1000), "kind": kind, "what": what}) + "\n")
            self.deeds.flush()

    # --- servers ---

    def server(self, name):
        return self.servers[name]

    def broker(self, draw):
        """Each in its turn, the one that coordinates the group first."""
        if not self.round:
            self.round = [f"kafka-{number + 1}" for number in range(self.ca.brokers)]
            turn = int(draw * self.ca.brokers)
            self.round = self.round[turn:] + self.round[:turn]
            first = self.coordinator()
            if first in self.round:
                self.round.remove(first)
                self.round.insert(0, first)
        return self.round.pop(0)

    def coordinator(self):
        """The broker that coordinates the group of the workers; "": nobody says."""
        admin = AdminClient({"bootstrap.servers": self.ca["KAFKA_BOOTSTRAP"], **topics.QUIET})
        try:
            known = admin.describe_consumer_groups([cases.GROUP], request_timeout=5)[cases.GROUP].result(6)
            return f"kafka-{known.coordinator.id}"
        except (KafkaException, concurrent.futures.TimeoutError):
            return ""

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
        self.deed(f"ca: {name}", "")
        self.faults[name] = specs
        self.apply_faults()

    def drop_faults(self, name):
        self.faults.pop(name, None)
        self.apply_faults()

    def set_times(self, **change):
        """How long the CA takes, and when it books; as it is at the start but for this."""
        self.times = change
        self.apply_faults()

    def apply_faults(self):
        """What is to be, all of it; a simulator that is away gets it when it is back."""
        try:
            wait.until(self._control_up, 5 if self.servers["simulator"].running() else 0, "the simulator")
            longest = self.options.order_ms
            self.ca.settings(**{**TIMES, "order_min_ms": longest // 4, "order_max_ms": longest, **self.times})
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
        self.times = {}
        self.start_servers()
        self.ca.control("POST", "/release", {})
        if self.fleet.told is not None:
            self.fleet.wake_sleepers()
        self.fleet.settle()

    def left(self):
        return self.load.unanswered()

    def expect_bookings(self, within_s):
        self.booked_by = max(self.booked_by, time.monotonic() + within_s)

    def await_swept(self, patience_s):
        """Beyond the assumptions: until nothing is booked any more, and no key has more than one order that nobody has
        ended."""
        end = time.monotonic() + patience_s * wait.PATIENCE
        while (time.monotonic() < self.booked_by or self.surplus()) and time.monotonic() < end:
            self.fleet.look()
            time.sleep(1)

    def surplus(self):
        standing, ended = collections.defaultdict(set), set()
        for entry in self.ca.journal(recorded=True):
            if entry["operation"] in stack.ORDERS:
                standing[entry["spki_sha256"]].add(entry["order_id"])
            elif entry["operation"] in ("Cancel", "Revoke"):
                ended.add(entry["order_id"])
        return {order for orders in standing.values() if len(orders - ended) > 1 for order in orders}

    def await_done(self, patience_s):
        """Until every event is answered, and a while longer for what would come too late. Returns what is left."""
        end = time.monotonic() + patience_s * wait.PATIENCE
        while self.left() and time.monotonic() < end:
            self.fleet.look()
            time.sleep(0.5)
        time.sleep(3)
        return self.left()

    def unsettled(self, patience_s):
        """What is left of events that are answered."""
        return settled.Settled(self.ca["KAFKA_BOOTSTRAP"], self.answers.first).await_all(patience_s)

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
