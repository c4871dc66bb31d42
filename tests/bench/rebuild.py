"""Answers in the state topic by the hundred thousand, as workers write them; then Redis is wiped, and one worker rebuilds."""

import argparse
import pathlib
import shutil
import signal
import sys
import time

import redis
from confluent_kafka import Producer

from bench import watch
from kit import BUILD, messages, topics, wait
from kit.system import System
from epki.v1 import certificate_event_pb2, internal_pb2

STEP = 200000  # records between two words of progress
SAMPLE = 200  # of all, so many are looked up
DIGITS = 8


class Template:
    """The state record of a request that was really answered, with everything in it that must not be the same twice."""

    def __init__(self, state):
        number = "0" * DIGITS
        self.request, self.order, self.serial, self.key = f"rebuild-{number}", f"RB{number}", "0" * 32, b"\0" * 32
        state.request_id = state.first.request_id = self.request
        state.first.certificate.order_id = self.order
        state.first.certificate.serial = self.serial
        state.source.topic, state.source.offset = "epki.enrollment.requests", 10 ** 12
        del state.keys[:]
        state.keys.append(self.key)
        self.raw = state.SerializeToString()

    def record(self, index):
        """Texts and bytes of the same length, so that it stays the encoding that it was."""
        number = f"{index:0{DIGITS}d}"
        raw = self.raw.replace(self.request.encode(), f"rebuild-{number}".encode())
        raw = raw.replace(self.order.encode(), f"RB{number}".encode())
        raw = raw.replace(self.serial.encode(), f"{index + 1:032x}".encode())
        return f"rebuild-{number}", raw.replace(self.key, b"key" + (index + 1).to_bytes(29, "big"))


def answered(system):
    """A real answer's state record."""
    request = messages.name("rebuild")
    assert system.issue(messages.enroll(request)).result == certificate_event_pb2.RESULT_ISSUED
    found = [r for r in topics.read_topic(system.ca["KAFKA_BOOTSTRAP"], topics.STATE) if r.key() == request.encode()]
    return internal_pb2.CertificateState.FromString(found[-1].value())


def fill(bootstrap, template, count):
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 50, "partitioner": "murmur2_random",
                         "queue.buffering.max.messages": 500000, **topics.QUIET})
    for index in range(count):
        key, value = template.record(index)
        while True:
            try:
                producer.produce(topics.STATE, value, key=key)
                break
            except BufferError:
                producer.poll(0.2)
        if index % STEP == STEP - 1:
            producer.poll(0)
            print(f"                    {index + 1} written", flush=True)
    if producer.flush(300):
        raise RuntimeError("not all records were written")


def rebuilt(worker, seen):
    lines = worker.log(msg="redis rebuilt")[seen:]
    return lines[0] if lines else None


def check(system, client, count):
    """A sample of what Redis must know again, and how much it is in all."""
    asked = range(0, count, max(1, count // SAMPLE))
    keys = [kind + f"{i:0{DIGITS}d}" for i in asked for kind in ("request:rebuild-", "order:RB")]
    wrong = [f"{key} is missing" for key in keys if not client.exists(f"epki:v1:{key}")]
    left = client.dbsize()
    return wrong + ([f"{left} keys for {count} answers"] if left < 4 * count else [])  # request, order, serial, key


def measure(system, options):
    [worker] = system.running()
    client = redis.Redis(port=int(system.ca["REDIS_URL"].rsplit(":", 1)[1]), socket_timeout=60)
    template = Template(answered(system))
    began = time.monotonic()
    fill(system.ca["KAFKA_BOOTSTRAP"], template, options.answers)
    print(f"written             {options.answers} answers of {len(template.raw)} bytes in {time.monotonic() - began:.0f} s",
          flush=True)
    pid, redis_pid, seen = worker.process.pid, system.ca.pid("redis"), len(worker.log(msg="redis rebuilt"))
    before, cpu, redis_cpu = watch.peak_memory_mb(pid), watch.process_cpu(pid), watch.process_cpu(redis_pid)
    began = time.monotonic()
    client.flushall()
    done = wait.until(lambda: rebuilt(worker, seen), options.patience, "a rebuilt Redis", pause=0.5)
    seconds = time.monotonic() - began
    orders = system.issue(messages.enroll(messages.name("after")))
    print(f"rebuilt             {done['restored']} records in {done['duration_ms'] / 1000:.1f} s "
          f"({seconds:.1f} s from the wipe), {done['restored'] * 1000 / done['duration_ms']:.0f}/s; "
          f"{len(worker.log(msg='rebuild given up'))} given up before")
    print(f"worker              {watch.process_cpu(pid) - cpu:.1f} s of CPU, peak memory {watch.peak_memory_mb(pid):.0f} MB "
          f"({before:.0f} MB before)")
    print(f"redis               {watch.process_cpu(redis_pid) - redis_cpu:.1f} s of CPU, "
          f"{client.info('memory')['used_memory'] / 2 ** 20:.0f} MB for {client.dbsize()} keys")
    wrong = check(system, client, options.answers)
    if orders.result != certificate_event_pb2.RESULT_ISSUED:
        wrong.append("no order after it")
    if done["restored"] < options.answers:
        wrong.append(f"{done['restored']} of {options.answers} restored")
    for line in wrong[:20]:
        print(f"WRONG: {line}")
    return not wrong


def main():
    parser = argparse.ArgumentParser(prog="tests/bench/rebuild")
    parser.add_argument("--answers", type=int, default=1000000, help="how many (%(default)s)")
    parser.add_argument("--patience", type=int, default=3600, help="seconds that the rebuild may take (%(default)s)")
    parser.add_argument("--dir", type=pathlib.Path, default=BUILD / "bench-rebuild")
    parser.add_argument("--base-port", type=int, default=19940)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit("stopped"))  # what was started is ended
    system = System(options.dir, options.base_port, redis={"timeout_ms": 2000})
    try:
        good = measure(system.begin(workers=1), options)
    finally:
        system.end()
        shutil.rmtree(options.dir, ignore_errors=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
