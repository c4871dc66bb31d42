"""What stands around the workers and can be broken: a Redis that moves from server to server, a load whose every event is
counted in the end, and the system with both."""

import asyncio
import collections
import itertools
import signal
import subprocess
import threading
import time

import redis

from chaos.harness.proxy import Link, Proxy
from kit import cases, messages, servers, topics, wait, worker
from kit.system import System, own_port
from epki.v1 import certificate_event_pb2 as events

ORDER = "OrderAndIssueCertificate"


class SlowLink(Link):
    """Passes on what it got as late as its proxy says, however much follows."""

    async def pump(self, reader, writer):
        if writer is self.writers[1] or not self.proxy.delay_s:  # what is asked is not late
            await super().pump(reader, writer)
            return
        loop = asyncio.get_running_loop()
        try:
            while data := await reader.read(65536):
                loop.call_later(self.proxy.delay_s, writer.write, data)
        except OSError:
            pass
        finally:
            self.close()


class Front(Proxy):
    """Where the workers look for Redis. Whoever is behind it may change, or answer late."""

    link, delay_s = SlowLink, 0

    def move(self, port):
        """From now on that server, for old connections as well."""
        self.target = ("127.0.0.1", port)
        self.cut()

    def slow(self, seconds):
        self.delay_s = seconds
        self.cut()  # each link is of one kind


class Replica:
    """Another Redis server, fed by a link that can be cut off with everything on it."""

    def __init__(self, primary_port, directory):
        self.feed = Proxy("127.0.0.1", primary_port, loses=True)
        self.port = worker.free_port()
        directory.mkdir(exist_ok=True)
        with (directory / f"{self.port}.log").open("wb") as log:
            self.process = subprocess.Popen(
                ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", directory, "--save", "",
                 "--appendonly", "no", "--maxmemory-policy", "noeviction", "--replicaof", "127.0.0.1",
                 str(self.feed.port)], stdout=log, stderr=log)
        self.client = client_of(self.port)
        wait.until(self.is_fed, 30, "a replica in step")

    def is_fed(self):
        try:
            return self.client.info("replication").get("master_link_status") == "up"
        except redis.RedisError:
            return False

    def promote(self):
        self.feed.cut(refuse=True)
        self.client.execute_command("REPLICAOF", "NO", "ONE")

    def end(self):
        self.process.kill()
        self.process.wait()
        self.feed.close()


def client_of(port):
    return redis.Redis(port=port, socket_timeout=5, decode_responses=True)


class Around(System):
    """Workers that reach Redis by way of a front."""

    def __init__(self, directory, workers, **change):
        port = own_port()
        self.redis_port = port + 1
        self.front = Front("127.0.0.1", self.redis_port, loses=False)
        self.replicas, self.count = [], workers
        there = {**change.pop("redis", {}), "url": f"redis://127.0.0.1:{self.front.port}"}
        super().__init__(directory, port, redis=there, **change)
        self.client = client_of(self.redis_port)
        self.server = servers.Server(self.ca, "redis")

    def ready(self):
        """The workers are there, and the account is tested."""
        self.begin(0)
        self.complete()
        assert self.issue(messages.enroll(messages.name())).result == events.RESULT_ISSUED

    def complete(self):
        while len(self.running()) < self.count:
            self.workers.start()

    def mend(self):
        self.wake()
        self.calm()
        self.complete()

    def in_flight(self):
        """Calls to the CA that all the workers wait for."""
        return sum(one.metric("epki_inflight_calls") for one in self.running())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.end()
        finally:
            for replica in self.replicas:
                replica.end()
            self.front.close()

    # --- Redis ---

    def replicate(self, max_lag_s):
        """A replica, without which the primary takes no more than max_lag_s of writes."""
        made = Replica(self.redis_port, self.ca.directory / "replicas")
        self.replicas.append(made)
        self.client.config_set("min-replicas-max-lag", max_lag_s)
        self.client.config_set("min-replicas-to-write", 1)
        return made

    def revive(self):
        """The stack's own Redis runs, and has read what it had written."""
        self.server.send(signal.SIGCONT)
        self.server.start()
        wait.until(self._answers, 60, "Redis")

    def back(self):
        """The same, alone and unhindered, and known to the workers."""
        self.revive()
        for name, value in (("min-replicas-to-write", 0), ("maxmemory", 0)):
            self.client.config_set(name, value)
        self.front.release()
        if self.front.target[1] != self.redis_port or self.front.delay_s:
            self.front.delay_s = 0
            self.front.move(self.redis_port)

    def _answers(self):
        try:
            return self.client.ping()
        except redis.RedisError:
            return False

    def canary(self, client=None):
        return (client or self.client).get("epki:v1:canary")

    def await_rebuilt(self, old, client=None, timeout=60):
        """Another incarnation is whole."""
        def look():
            now = self.canary(client)
            return now if now and now != old else None
        return wait.until(look, timeout, "a rebuilt Redis")


class Load:
    """Enrolments at a steady pace, some of them twice, published whatever is broken."""

    def __init__(self, system, rate=4, name="load"):
        self.system, self.pause = system, 1 / rate
        self.sent, self.twins = [], []
        self.prefix = messages.name(name) + "-"
        self.began, self._read, self._answered = len(system.ca.journal()), len(system.results.events), set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, *_):
        self.stop()
        if kind is None:
            self.check()

    def _run(self):
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due += self.pause
            self.publish()

    def publish(self):
        message = messages.enroll(f"{self.prefix}{len(self.sent)}")
        self.sent.append((message, self.system.send(message)))
        if len(self.sent) % 8 == 0:  # and one of a while ago once more, elsewhere
            again = self.sent[-5][0]
            self.twins.append((again, self.system.send(again, key=f"again {again.request_id}")))

    def publish_all(self, count):
        """So many at once, and some of them once more, elsewhere."""
        made = [messages.enroll(f"{self.prefix}{len(self.sent) + number}") for number in range(count)]
        again = made[3::8]
        placed = self.system.publisher.send_many([(message, message.request_id, None) for message in made]
                                                 + [(message, f"again {message.request_id}", None) for message in again])
        self.sent += zip(made, placed)
        self.twins += zip(again, placed[count:])

    def stop(self):
        self._stop.set()
        self._thread.join(30)

    def orders(self):
        """Orders that the CA has recorded, by common name."""
        found = {e["order_id"]: e["cn"] for e in self.system.ca.journal()[self.began:]
                 if e.get("recorded") and e["operation"] == ORDER and e["cn"].startswith(f"Person {self.prefix}")}
        return collections.Counter(found.values())

    def answered(self):
        """Request ids of those that have an answer."""
        events_now = self.system.results.events
        for event in itertools.islice(events_now, self._read, len(events_now)):
            self._read += 1
            if event.result in topics.ANSWERS and event.request_id.startswith(self.prefix):
                self._answered.add(event.request_id)
        return self._answered

    def await_more(self, count=1, timeout=120):
        """So many more have been answered."""
        before = len(self.answered())
        wait.until(lambda: len(self.answered()) >= before + count, timeout, f"{count} more answers", pause=0.1)

    def check(self, timeout=240):
        """One order for each request, one answer to each event, twins with the same certificate, every offset done."""
        results, serials, end = self.system.results, {}, time.monotonic() + timeout
        assert self.sent
        for message, placed in self.sent + self.twins:
            event = results.answer_to(placed, max(1, end - time.monotonic()))
            assert event.result == events.RESULT_ISSUED, (message.request_id, event.failure)
            assert serials.setdefault(message.request_id, event.certificate.serial) == event.certificate.serial
        counts = self.orders()
        assert set(counts.values()) == {1} and len(counts) == len(self.sent), \
            [(cn, n) for cn, n in counts.items() if n != 1] or f"{len(counts)} orders, {len(self.sent)} requests"
        cases.await_all_done(self.system, max(10, end - time.monotonic()))
        for _, placed in self.sent + self.twins:
            assert len(results.answers(placed=placed)) == 1
