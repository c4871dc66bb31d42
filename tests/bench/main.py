"""The benchmark: one worker, full load first, then three quarters of it for the latency; then everything is counted."""

import argparse
import signal
import statistics
import sys
import time

from bench import floor, load, watch
from kit import BUILD, keys, stack, worker
from epki.v1 import certificate_event_pb2

ISSUED = certificate_event_pb2.RESULT_ISSUED
PATIENCE_S = 120


def settings(options):
    """The defaults of production where the local stack's differ, and limits that are not in the way."""
    return {
        "kafka": {"session_ms": 30000, "transaction_ms": 10000, "commit_ms": 200, "partition_items": 1000},
        "redis": {"timeout_ms": 2000},
        "time": {"send_window_ms": 5000, "tcp_ms": 15000, "processing_ms": 120000, "visibility_ms": 30000,
                 "margin_ms": 10000, "hold_max_ms": 900000, "drain_ms": 60000},
        "accounts": {"main": {"connect_ms": 3500, "order_ms": max(120000, 3 * options.order_ms),
                              "orders_in_flight": options.in_flight, "rate_per_minute": 600000, "burst": 2000}},
        "settings": {"vpn": {"key_types": ["ec-p256"]}} if options.key == "worker" else {},
    }


class Bench:
    def __init__(self, options):
        self.options = options
        self.rate = options.in_flight / (options.order_ms / 1000)  # more, this limit does not let through
        self.ca = stack.Stack(options.dir, options.base_port, partitions=options.partitions)
        self.recipient = keys.Recipient()
        self.sent = 0

    def begin(self):
        if self.ca.directory.exists():
            self.ca.down()  # of a run that was cut off
        stack.clear(self.ca.directory)
        self.ca.up()
        self.deployment = worker.Deployment(self.ca, self.recipient, **settings(self.options))
        self.deployment.bootstrap()
        self.worker = self.deployment.start()
        self.load = load.Load(self.ca["KAFKA_BOOTSTRAP"], self.options.partitions)
        self.watch = watch.Watch(self.worker, {
            "worker": self.worker.process.pid, "simulator": self.ca.pid("simulator"), "kafka": self.ca.pid("kafka-1"),
            "redis": self.ca.pid("redis"), "load": watch.os.getpid()})

    def end(self):
        codes = self.deployment.stop() if hasattr(self, "deployment") else []
        if hasattr(self, "load"):
            self.load.close()
        self.ca.down()
        if any(codes):
            raise RuntimeError(f"the worker ended with {codes}; see {self.worker.log_path}")

    def publish(self, count, rate, outstanding=None):
        made = load.requests(count, self.options.key, self.recipient)
        self.load.plan(made, rate, outstanding)
        self.sent += count

    def run_until(self, done):
        """Publishes and reads until done(), or nothing has been answered for long."""
        seen, since = -1, time.time()
        while not done():
            self.load.pump()
            self.watch.look()
            if len(self.load.answers) != seen:
                seen, since = len(self.load.answers), time.time()
            if time.time() - since > PATIENCE_S + self.options.order_ms / 1000:
                raise TimeoutError(f"{seen} of {self.sent} answered, and no more for long; see {self.worker.log_path}")

    def all_answered(self):
        return len(self.load.answers) >= self.sent

    def run_seconds(self, seconds):
        end = time.time() + seconds
        self.run_until(lambda: time.time() >= end)

    def full(self):
        """As much as the limit lets through: a ramp of one order's time, then always a quarter more than fits."""
        options = self.options
        outstanding = options.in_flight * 5 // 4
        # Times that are all the same would make waves of what once came together.
        self.ca.settings(order_min_ms=options.order_ms * 3 // 4, order_max_ms=options.order_ms * 5 // 4)
        if options.orders:
            self.publish(options.orders, self.rate, outstanding)
            self.watch.start()
            self.run_until(self.all_answered)
            self.watch.stop()
            return
        ramp = 1.5 * options.order_ms / 1000 + 2
        self.publish(int(self.rate * (options.seconds + ramp)) + outstanding, self.rate, outstanding)
        self.run_seconds(ramp)
        self.watch.start()
        self.run_seconds(options.seconds)
        self.watch.stop()
        self.sent -= self.load.withdraw()
        self.run_until(self.all_answered)

    def paced(self, rate):
        """Three quarters of what was reached: nothing waits for a slot, and what the worker adds is its own."""
        count = max(20, self.options.orders // 3) if self.options.orders else int(rate * self.options.seconds / 2)
        first = len(self.load.answers)
        self.ca.settings(order_min_ms=self.options.order_ms, order_max_ms=self.options.order_ms)
        self.publish(count, rate)
        self.run_until(self.all_answered)
        return self.load.answers[first:]

    def orders(self):
        return len(self.ca.orders(recorded=True))

    def wrong(self, orders):
        """What is not as promised: one answer to each event, one order for each request."""
        sources = [answer.source for answer in self.load.answers]
        wrong = [f"{len(sources)} answers to {self.sent} events"] if len(set(sources)) != self.sent else []
        wrong += [f"{len(sources) - len(set(sources))} second answers"] if len(set(sources)) != len(sources) else []
        wrong += [f"{orders} orders for {self.sent} requests"] if orders != self.sent else []
        wrong += [f"{a.request_id} came to {a.result}" for a in self.load.answers if a.result != ISSUED][:5]
        return wrong


def percentile(values, share):
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]


def limits(options, full, rate):
    """What a change would have to begin with."""
    shares = full.shares()
    name, thread = full.busiest_thread()
    best = options.in_flight / (full.mean_call_ms() / 1000) if full.mean_call_ms() else 0
    if full.in_flight() >= 0.93 * options.in_flight and rate >= 0.9 * best:
        return (f"the in-flight limit: {options.in_flight} orders of {full.mean_call_ms():.0f} ms (as the worker "
                f"waits for them) give at most {best:.0f}/s")
    if thread > 0.85:
        return f"the worker's thread {name}: {thread:.2f} of a core"
    if shares["idle"] < 0.15 * watch.CORES:
        first = max((s for s in shares if s != "idle"), key=shares.get)
        return f"the machine: {watch.CORES} cores are busy, most of it {first} ({shares[first]:.2f} of a core)"
    if full.token_waits() > 0.05 * rate * full.seconds:
        return f"the rate limiter: {full.token_waits():.0f} waits for a token"
    return f"round trips: {full.in_flight():.0f} of {options.in_flight} in flight, and the machine has time to spare"


def report(bench, full, rate, used_ms, memory, paced, least):
    options = bench.options
    own = options.order_ms / 1000
    added = [1000 * (a.answered - a.received - own) for a in paced]
    whole = [1000 * (a.seen - a.published - own) for a in paced]
    name, thread = full.busiest_thread()
    shares = ", ".join(f"{who} {share:.2f}" for who, share in full.shares().items())
    span = max(a.answered for a in paced) - min(a.received for a in paced) - own
    print(f"orders              {options.order_ms} ms (a quarter more or less), at most {options.in_flight} in flight in one worker, key: "
          f"{options.key}; {watch.CORES} cores shared by all")
    print(f"requests/s          {rate:.1f} over {full.seconds:.0f} s, {full.in_flight():.0f} in flight on average")
    print(f"CPU per request     {used_ms:.2f} ms (the worker process, user and system)")
    print(f"floor               {least.used_ms:.2f} ms ({least.user_ms:.2f} user, {least.system_ms:.2f} system) for one order "
          f"on the wire and nothing else ({least.orders} orders, {least.resumed} of them on a resumed TLS session); "
          f"the other {used_ms - least.used_ms:.2f} ms are ours")
    print(f"peak memory         {memory:.0f} MB (the worker process)")
    print(f"added latency       p50 {percentile(added, 50):.0f} ms, p99 {percentile(added, 99):.0f} ms in the worker; "
          f"p50 {percentile(whole, 50):.0f} ms, p99 {percentile(whole, 99):.0f} ms from publishing to a read_committed "
          f"reader ({len(paced) / max(span, 0.001):.0f}/s, the order's own {options.order_ms} ms taken off)")
    print(f"CPU, cores          {shares}; busiest thread of the worker {name} {thread:.2f}")
    print(f"limited by          {limits(options, full, rate)}")
    if options.verbose:
        print(f"worker's threads    {full.threads()} s")


def measure(bench):
    bench.full()
    full = bench.watch
    answered = [a for a in bench.load.answers if full.begin <= a.answered < full.end]
    if not answered:
        raise RuntimeError("nothing was answered in the time measured")
    rate = len(answered) / full.seconds
    used_ms = 1000 * full.cpu("worker") / len(answered)
    memory = watch.peak_memory_mb(bench.worker.process.pid)
    paced = bench.paced(0.75 * min(rate, bench.rate))
    orders = bench.orders()  # before the floor's come to them
    wrong = bench.wrong(orders)
    least = floor.measure(bench.ca, rate, bench.options.order_ms, bench.options.in_flight)
    report(bench, full, rate, used_ms, memory, paced, least)
    print(f"answers             {len(bench.load.answers)} to {bench.sent} events, orders at the CA {orders}")
    for name, value, bound in (("CPU per request", used_ms, bench.options.max_cpu_ms),
                               ("peak memory", memory, bench.options.max_memory_mb)):
        if bound and value > bound:
            wrong.append(f"{name}: {value:.2f} is more than {bound:g}")
    if rate < bench.options.min_rate:
        wrong.append(f"requests/s: {rate:.1f} is less than {bench.options.min_rate:g}")
    for line in wrong:
        print(f"WRONG: {line}")
    return not wrong


def parse():
    parser = argparse.ArgumentParser(prog="tests/bench/run")
    parser.add_argument("--orders", type=int, default=0, help="so many orders, measured from the first to the last "
                        "(otherwise: a window of --seconds in full load)")
    parser.add_argument("--order-ms", type=int, default=6000, help="an order's time at the CA (%(default)s)")
    parser.add_argument("--in-flight", type=int, default=1000, help="orders at once (%(default)s)")
    parser.add_argument("--seconds", type=int, default=60, help="length of the window (%(default)s)")
    parser.add_argument("--key", choices=("csr", "worker"), default="csr", help="device CSRs or keys of the worker's")
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--min-rate", type=float, default=0, help="fail if fewer requests a second are answered")
    parser.add_argument("--max-cpu-ms", type=float, default=0, help="fail if a request takes more")
    parser.add_argument("--max-memory-mb", type=float, default=0, help="fail if the worker takes more")
    parser.add_argument("--dir", default=str(BUILD / "bench"), help="where the stack keeps its files")
    parser.add_argument("--base-port", type=int, default=19890)
    parser.add_argument("--verbose", action="store_true", help="also the worker's threads")
    return parser.parse_args()


def main():
    bench = Bench(parse())
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit("stopped"))  # what was started is ended
    try:
        bench.begin()
        good = measure(bench)
    finally:
        bench.end()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
