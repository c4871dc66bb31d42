"""One run: load and faults side by side, then everything heals, is waited for, and audited."""

import argparse
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback

from chaos.harness import kinds, schedule
from chaos.harness.fleet import GATE
from chaos.harness.rig import Rig
from kit import BUILD, TOP, cases, stack, topics

PATIENCE_S = 240
SHOWN = 20  # of what is left
_began = time.monotonic()


def say(text):
    print(f"{time.monotonic() - _began:7.1f} s  {text}", flush=True)


class Actor:
    """Carries the schedule out, each act's begin and end in its time, or as soon as the one before it is through."""

    def __init__(self, rig, acts, table, verbose):
        self.rig, self.table, self.verbose = rig, table, verbose
        steps = [(act.at_s, 0, act) for act in acts] + [(act.at_s + act.for_s, 1, act) for act in acts]
        self.steps = sorted(steps, key=lambda step: step[:2])
        self.late_s, self.latest = 0.0, "none"

    def run(self, stop):
        begun = time.monotonic()
        for at, ends, act in self.steps:
            while time.monotonic() - begun < at and not stop.is_set():
                self.rig.fleet.look()
                time.sleep(min(0.2, max(0.0, at - (time.monotonic() - begun))))
            if stop.is_set():
                return
            kind, what = self.table[act.kind], f"{'end' if ends else 'begin'} of {act.kind}"
            if self.verbose:
                say(what)
            self.late_s, self.latest = max((self.late_s, self.latest), (time.monotonic() - begun - at, what))
            (kind.end if ends else kind.begin)(self.rig, act.draw)


class Thread(threading.Thread):
    """Keeps what went wrong in it."""

    def __init__(self, name, target, *args):
        super().__init__(name=name, daemon=True)
        self.work, self.wrong = (target, args), None

    def run(self):
        target, args = self.work
        try:
            target(*args)
        except Exception:  # told by whoever waits for it
            self.wrong = f"{self.name}: {traceback.format_exc()}"


def watch(rig, options, parts, stop, seconds):
    """Until faults and load have ended."""
    begun = last = time.monotonic()
    while parts[1].is_alive() or (parts[0].is_alive() and (options.window or time.monotonic() - begun < seconds)):
        if any(part.wrong for part in parts):
            break
        if options.window and not parts[0].is_alive():
            stop.set()
        if not parts[1].is_alive():
            rig.fleet.look()
        time.sleep(0.2)
        if time.monotonic() - last > 15:
            last = time.monotonic()
            say(f"{len(rig.load.placed)} events, {len(rig.left())} unanswered, {len(rig.fleet.running())} workers")


def stop_when_told(stop):
    """Ctrl-C ends load and faults: what was published is answered and audited all the same. A second one ends the run."""
    def told(number, frame):
        signal.signal(signal.SIGINT, signal.default_int_handler)
        stop.set()

    signal.signal(signal.SIGINT, told)


def chaos(rig, options, acts, table):
    """Load and faults side by side. Returns what went wrong with either."""
    stop = threading.Event()
    stop_when_told(stop)
    seconds = options.minutes * 60
    actor = Actor(rig, acts, table, options.verbose)
    due = (rig.load.within(options.window) if options.window else rig.load.steadily(options.requests, seconds))
    parts = [Thread("load", rig.load.run, options.requests, due, stop),
             Thread("faults", actor.run, stop)]
    for part in parts:
        part.start()
    try:
        watch(rig, options, parts, stop, seconds)
    except BaseException:
        stop.set()  # or workers are started again while the run ends
        for part in parts:
            part.join(30)
        raise
    say(f"the latest step of the schedule: {actor.latest}, by {actor.late_s:.1f} s")
    return stop, parts


def audit(rig, options):
    """The auditor's exit code and what it printed, for people in audit.txt."""
    command = [TOP / "tests/chaos/audit", "--bootstrap", rig.ca["KAFKA_BOOTSTRAP"], "--epki",
               pathlib.Path(rig.ca["EPKI_JOURNAL"]).parent, "--settings", rig.deployment.write(),
               "--deeds", rig.ca.directory / "deeds.jsonl"]
    if options.beyond:
        command.append("--beyond")
    reports = BUILD / "reports"
    reports.mkdir(exist_ok=True)
    command += ["--table", reports / f"chaos-{options.dir.name}.md"]  # outlives the run's own directory
    done = subprocess.run(command, capture_output=True, text=True)
    (rig.ca.directory / "audit.txt").write_text(done.stdout + done.stderr)
    return done.returncode, done.stdout + done.stderr


def dump(rig):
    """Every record of every topic, one line each: for finding out why."""
    with (rig.ca.directory / "topics.txt").open("w") as out:
        for topic in (*cases.REQUESTS, topics.EVENTS, topics.STATE, topics.INFLIGHT, topics.PARKED, topics.DEAD,
                      topics.ACCOUNT):
            for record in topics.read_topic(rig.ca["KAFKA_BOOTSTRAP"], topic, timeout=120):
                out.write(f"{record.timestamp()[1]} {topic}/{record.partition()}/{record.offset()} {record.key()} "
                          f"{describe(topic, record.value())}\n")


def describe(topic, value):
    from epki.v1 import certificate_event_pb2, internal_pb2
    shape = {topics.EVENTS: certificate_event_pb2.CertificateEvent, topics.STATE: internal_pb2.CertificateState,
             topics.INFLIGHT: internal_pb2.InflightRecord, topics.RESUME: internal_pb2.ResumeRequest}.get(topic)
    if value is None or shape is None:
        return repr(value)[:400]
    message = shape.FromString(value)
    for name in ("certificate", "record_value", "wrapped_key", "context", "first"):
        if name in message.DESCRIPTOR.fields_by_name:
            message.ClearField(name)
    return str(message).replace("\n", " ")


def run(options):
    table = kinds.chosen(options.faults, options.beyond)
    acted = table | ({"worker-kill": kinds.KINDS["worker-kill"]} if options.kill_every else {})
    options.beyond = options.beyond or any(kind.beyond for kind in table.values())
    if options.beyond:
        use_failpoints()
    acts = schedule_of(options, table)
    rig = Rig(options)
    wrong = []
    try:
        say(f"seed {options.seed}: {len(acts)} faults of {len(table)} kinds within {options.minutes * 60:.0f} s")
        rig.begin()
        (rig.ca.directory / "schedule.jsonl").write_text("".join(act.line() + "\n" for act in acts))
        (rig.ca.directory / "command.txt").write_text(shlex.join(sys.argv) + "\n")
        stop, parts = chaos(rig, options, acts, acted)
        say("everything heals")
        rig.heal()
        wrong += finish_load(stop, parts)
        left = rig.await_done(options.patience)
        say(f"{len(rig.load.placed)} events, {len(left)} unanswered")
        if options.beyond:
            rig.await_swept(options.patience)
        if not left:
            wrong += rig.unsettled(options.patience)[:SHOWN]
        wrong += rig.end()
        code, text = audit(rig, options)
        print(text, end="", flush=True)
        wrong += verdict(options, code, text)
        if wrong:
            dump(rig)
    except BaseException:
        wrong.append(traceback.format_exc())
        rig.end()
        raise
    finally:
        rig.down()
        finish(options, wrong)
    return not wrong


def schedule_of(options, table):
    kinds_of_it = {name: (kind.group, *kind.span_s) for name, kind in table.items()}
    acts = schedule.plan(options.seed, options.minutes * 60, kinds_of_it, options.gap)
    if options.kill_every:
        acts += schedule.steady(options.seed, options.minutes * 60, "worker-kill", options.kill_every)
    return sorted(acts, key=lambda act: act.at_s)


def verdict(options, code, text):
    """What is wrong by the auditor's word. Faults beyond the assumptions must have left surplus orders, or nothing was
    proven of what finds them."""
    wrong = [f"the auditor says {code}"] if code != 0 else []
    counted = re.search(r"compensated (\d+) unexplained", text)
    if options.beyond and not (counted and int(counted[1])):
        wrong.append("no surplus order was found, cancelled and reported")
    return wrong


def use_failpoints():
    """Workers that stop where they are told to; a build of their own has them."""
    built = os.environ.setdefault("EPKI_WORKER", str(BUILD / "failpoints" / "epki-worker"))
    known = subprocess.run([built, "failpoints"], capture_output=True, text=True) if os.path.exists(built) else None
    if known is None or GATE not in known.stdout:
        sys.exit(f"{built} has no failpoints: cmake -S . -B build/failpoints -G Ninja -DEW_TESTS=OFF -DEW_FAILPOINTS=ON "
                 "&& ninja -C build/failpoints epki-worker")


def finish_load(stop, parts):
    parts[0].join(330)
    stop.set()
    parts[1].join(60)
    return [part.wrong for part in parts if part.wrong] + [f"{p.name} does not end" for p in parts if p.is_alive()]


def finish(options, wrong):
    for line in wrong:
        print(f"WRONG: {line}", flush=True)
    if not wrong and not options.keep:
        shutil.rmtree(options.dir, ignore_errors=True)
    elif wrong:
        print(f"everything about this run is kept in {options.dir}: audit.txt, topics.txt, deeds.jsonl, schedule.jsonl, "
              "epki/, workers/, kafka-*/", flush=True)


def parse(argv=None):
    parser = argparse.ArgumentParser(prog="tests/chaos/run", description=__doc__)
    parser.add_argument("--requests", type=int, default=500, help="events to publish (%(default)s)")
    parser.add_argument("--minutes", type=float, help="how long faults last, and the load is spread (a minute for each "
                        "500 requests)")
    parser.add_argument("--window", type=int, help="instead of a steady pace: publish while fewer than so many events are "
                        "unanswered; faults last as long as that takes, --minutes at most")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1)
    parser.add_argument("--seed", default="1", help="repeats the fault schedule (%(default)s)")
    parser.add_argument("--faults", help="comma-separated kinds, or beginnings of their names; `list` names them all, "
                        "`none` is a quiet run (all within the assumptions)")
    parser.add_argument("--kill-every", type=float, help="seconds: beside the other faults, a worker is killed at this "
                        "pace")
    parser.add_argument("--beyond", action="store_true", help="faults beyond the assumptions: surplus orders must come of "
                        "them, be found, cancelled and reported (needs a worker with failpoints)")
    parser.add_argument("--order-ms", type=int, default=900, help="the CA takes so long for an order at most (%(default)s)")
    parser.add_argument("--partitions", type=int, default=4, help="of each topic (%(default)s)")
    parser.add_argument("--gap", type=float, default=2.0, help="seconds between faults, about (%(default)s)")
    parser.add_argument("--patience", type=float, default=PATIENCE_S, help="seconds that the end may take (%(default)s)")
    parser.add_argument("--dir", type=pathlib.Path, help="where it keeps its files (build/chaos/SEED)")
    parser.add_argument("--base-port", type=int, default=26500)
    parser.add_argument("--keep", action="store_true", help="keep the files of a good run as well")
    parser.add_argument("--verbose", action="store_true", help="say each fault")
    options = parser.parse_args(argv)
    options.minutes = options.minutes or options.requests / 500
    options.dir = options.dir or BUILD / "chaos" / options.seed
    return options


def main():
    options = parse()
    if options.faults == "list":
        for name, kind in kinds.KINDS.items():
            print(f"{name:<16} {kind.help}{' (beyond the assumptions)' if kind.beyond else ''}")
        return 0
    stack.refuse_strange(options.dir)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit("stopped"))  # what was started is ended
    return 0 if run(options) else 1


if __name__ == "__main__":
    sys.exit(main())
