"""The harness itself: the seed repeats the schedule, what takes the same thing away never overlaps, and the proxy cuts,
holds and loses as it says."""

import collections
import os
import random
import signal
import socket
import threading
import time
import types

import pytest

from chaos.harness import fleet, kinds, load, main, proxy, rig, schedule, settled
from epki.v1 import internal_pb2

SPANS = {name: (kind.group, *kind.span_s) for name, kind in kinds.chosen(None).items()}


def plan(seed, duration_s=300.0, spans=None):
    return schedule.plan(seed, duration_s, SPANS if spans is None else spans, 2.0)


def test_seed_repeats_the_schedule():
    assert plan("7") == plan("7") and plan("7") != plan("8")
    assert schedule.steady("7", 60, "worker-kill", 1) == schedule.steady("7", 60, "worker-kill", 1)
    command = ["--seed", "7", "--requests", "2000", "--kill-every", "1"]
    first, again, other = (main.schedule_of(main.parse(words), kinds.chosen(None)) for words in
                           (command, command, ["--seed", "8", *command[2:]]))
    assert first == again != other and first == sorted(first, key=lambda act: act.at_s)


def test_steady_acts():
    acts = schedule.steady("1", 60, "worker-kill", 1)
    assert [act.at_s for act in acts] == list(range(1, 60)) and len({act.draw for act in acts}) == 59


def test_no_kind_overlaps_itself():
    for spans in ({"ca-busy": ("", 3, 7)}, SPANS):
        for name in spans:
            own = [act for act in plan("1", spans=spans) if act.kind == name]
            assert own and all(a.at_s + a.for_s < b.at_s for a, b in zip(own, own[1:]))


def test_schedule_stays_within_its_time_and_groups_never_overlap():
    acts = plan("1")
    assert len(acts) > 80 and all(0 < act.at_s and act.at_s + act.for_s <= 300 for act in acts)
    for group in ("redis", "broker", "ca"):
        own = [act for act in acts if SPANS[act.kind][0] == group]
        assert len(own) > 3
        assert all(a.at_s + a.for_s < b.at_s for a, b in zip(own, own[1:]))


def test_every_kind_comes():
    counted = collections.Counter(act.kind for act in plan("1"))
    assert set(counted) == set(SPANS) and plan("1", spans={}) == []


def test_kinds_are_chosen_by_name_or_beginning():
    assert set(kinds.chosen("redis-wipe,worker")) == {"redis-wipe", "worker-kill", "worker-stop", "worker-add",
                                                      "worker-remove"}
    assert kinds.chosen("none") == {} and not any(kind.beyond for kind in kinds.chosen(None).values())
    assert kinds.chosen("ca-duplicate")["ca-duplicate"].beyond
    assert set(kinds.chosen(None, beyond=True)) == {"ca-duplicate", "ca-lie", "ca-overdue", "worker-sleep"}
    assert set(kinds.chosen("ca-wrong-key")) == {"ca-wrong-key"}
    with pytest.raises(ValueError):
        kinds.chosen("earthquake")


def test_brokers_go_in_turn_and_the_coordinator_first(monkeypatch):
    made = object.__new__(rig.Rig)
    made.ca, made.round = types.SimpleNamespace(brokers=3), []
    coordinators = iter(["kafka-2", "", "kafka-1"])
    monkeypatch.setattr(rig.Rig, "coordinator", lambda self: next(coordinators))
    assert [made.broker(0.9) for _ in range(9)] == ["kafka-2", "kafka-3", "kafka-1", "kafka-3", "kafka-1", "kafka-2",
                                                   "kafka-1", "kafka-3", "kafka-2"]


def test_load_waits_for_answers_where_it_has_a_window(monkeypatch):
    made = object.__new__(load.Load)
    made.published, made.letters, made.answers = 0, set(), types.SimpleNamespace(sources=set())
    made.rng, made.makers, made.failed = random.Random(1), ["nothing"], []

    def publish():
        made.published += 1
    made.make_nothing = publish
    most = []

    class Producer:
        def poll(self, _seconds):  # the oldest is answered, or becomes a letter
            most.append(made.unanswered_count())
            (made.letters if made.published % 3 == 0 else made.answers.sources).add(len(most))

        def flush(self, _seconds):
            return 0
    made.producer = Producer()
    made.run(20, made.within(5), threading.Event())
    assert made.published == 20 and max(most) == 5 and len(most) > 10


class Leaving:
    """A worker that ends as it is told here."""

    def __init__(self, instance, end):
        self.instance, self.end, self.log_path, self.got = instance, end, "its log", []

    def running(self):
        return True

    def signal(self, number):
        self.got.append(number)

    def await_end(self, _timeout):
        if self.end is None:
            raise TimeoutError
        return self.end


def test_every_unclean_end_is_told():
    workers = [Leaving("w1", 0), Leaving("w2", None), Leaving("w3", 3), Leaving("w4", 0)]
    made = fleet.Fleet(types.SimpleNamespace(workers=workers), 4, lambda kind, what: None)
    made.crashed.append("w0 ended with -11")
    assert made.drain() == ["w0 ended with -11", "w2 did not end within 60 s, and was killed; see its log",
                            "w3 drained with 3"]
    assert all(one.got == [signal.SIGCONT, signal.SIGTERM] for one in workers)


class Ended:
    """A worker that is gone."""

    def __init__(self, code, ran=True):
        self.instance, self.process, self.log_path = "w1", types.SimpleNamespace(returncode=code), "its log"
        self.ran = ran

    def running(self):
        return False

    def left_unheard(self):
        return False

    def log(self, **_match):
        return [{}] * self.ran


@pytest.mark.parametrize("code, ran, draining, wrong", [
    (0, True, True, False), (0, True, False, True), (1, False, False, False), (1, True, False, True),
    (2, False, False, True), (-6, True, True, True), (3, True, False, True)])
def test_a_worker_that_ends_by_itself_is_told(code, ran, draining, wrong):
    deeds, one = [], Ended(code, ran)
    made = fleet.Fleet(types.SimpleNamespace(workers=[one]), 0, lambda kind, what: deeds.append(kind))
    if draining:
        made.draining.add(one)
    made.look()
    assert bool(made.crashed) == wrong
    assert deeds == ([] if draining and code == 0 else ["worker-ended"])  # what is no cause of anything is no deed


# --- what is left at the end ---

def record(key, value, partition=0):
    return types.SimpleNamespace(partition=lambda: partition, key=lambda: key, value=lambda: value)


def test_what_is_in_the_air_at_the_end_is_named():
    values = [internal_pb2.InflightRecord(kind=kind, request_id=f"r{kind}").SerializeToString() for kind in range(1, 5)]
    records = [record(b"%d" % number, value) for number, value in enumerate(values)]
    left = settled.in_the_air(settled.last_values(records))
    assert left == ["INFLIGHT_KIND_ORDERING of r1", "INFLIGHT_KIND_WAITING of r2"]
    assert settled.in_the_air(settled.last_values(records + [record(b"0", None), record(b"1", None)])) == []


def test_an_answer_without_its_state_record_is_named():
    states = settled.last_values([record(b"a", b"1"), record(b"b", b"1", 1), record(b"b", None, 1)])
    assert settled.unknown(states, {"a", "b", "c"}) == ["b", "c"]


# --- a run, played: what it says and what it keeps ---

class Played:
    """A rig in which nothing runs."""

    def __init__(self, options):
        self.ca = types.SimpleNamespace(directory=options.dir)
        self.load = types.SimpleNamespace(placed={1, 2}, run=lambda *words: None, steadily=lambda *words: None)
        self.fleet = types.SimpleNamespace(look=lambda: None, running=lambda: [])
        self.went_down = False

    def begin(self):
        self.ca.directory.mkdir(parents=True)

    def end(self):
        return self.at_the_end

    def down(self):
        assert not self.went_down
        self.went_down = True

    def heal(self):
        pass

    def await_done(self, _patience):
        return set()

    def left(self):
        return set()

    def unsettled(self, _patience):
        return self.not_settled

    at_the_end, not_settled = (), ()


LAST = "requests 2 events 2 answered 2 parked 0 lost {} double-answers 0 orders 2 double-orders 0 compensated {} unexplained 0\n"


def play(monkeypatch, tmp_path, audit, rigged=Played, *words):
    monkeypatch.setattr(main, "Rig", rigged)
    monkeypatch.setattr(main, "audit", lambda made, options: audit)
    monkeypatch.setattr(main, "dump", lambda made: (made.ca.directory / "topics.txt").write_text("all"))
    options = main.parse(["--dir", str(tmp_path / "run"), "--minutes", "0.001", "--faults", "none", *words])
    return main.run(options), options.dir


def test_good_run_leaves_nothing_unless_it_is_asked_to(monkeypatch, tmp_path):
    good, directory = play(monkeypatch, tmp_path, (0, LAST.format(0, 0)))
    assert good and not directory.exists()
    good, directory = play(monkeypatch, tmp_path, (0, LAST.format(0, 0)), Played, "--keep")
    assert good and (directory / "schedule.jsonl").exists()


def test_interrupted_run_publishes_no_more_and_is_audited(monkeypatch, tmp_path, capsys):
    made = []

    class Rigged(Played):
        def __init__(self, options):
            super().__init__(options)
            self.load.run = self.publish
            made.append(self)

        def publish(self, _count, _due, stop):
            os.kill(os.getpid(), signal.SIGINT)
            self.told = stop.wait(30)

    good, _ = play(monkeypatch, tmp_path, (0, LAST.format(0, 0)), Rigged, "--minutes", "10")
    assert good and made[0].told and made[0].went_down
    assert "everything heals" in capsys.readouterr().out
    with pytest.raises(KeyboardInterrupt):  # the second one
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)


def test_failed_run_keeps_everything(monkeypatch, tmp_path, capsys):
    good, directory = play(monkeypatch, tmp_path, (1, LAST.format(1, 0)))
    assert not good and {path.name for path in directory.iterdir()} == {"schedule.jsonl", "command.txt", "topics.txt"}
    said = capsys.readouterr().out
    assert "WRONG: the auditor says 1" in said and str(directory) in said


def test_unclean_end_of_a_worker_is_a_failure(monkeypatch, tmp_path, capsys):
    rigged = type("Rigged", (Played,), {"at_the_end": ["w1 drained with 3"]})
    good, directory = play(monkeypatch, tmp_path, (0, LAST.format(0, 0)), rigged)
    assert not good and (directory / "topics.txt").exists() and "WRONG: w1 drained with 3" in capsys.readouterr().out


def test_what_is_left_is_a_failure(monkeypatch, tmp_path, capsys):
    rigged = type("Rigged", (Played,), {"not_settled": ("INFLIGHT_KIND_ORDERING of r1",)})
    good, _ = play(monkeypatch, tmp_path, (0, LAST.format(0, 0)), rigged)
    assert not good and "WRONG: INFLIGHT_KIND_ORDERING of r1" in capsys.readouterr().out


def test_run_that_breaks_keeps_its_files_and_ends_what_it_started(monkeypatch, tmp_path, capsys):
    made = []

    class Rigged(Played):
        def heal(self):
            made.append(self)
            raise TimeoutError("it does not heal")

    with pytest.raises(TimeoutError):
        play(monkeypatch, tmp_path, (0, ""), Rigged)
    assert made[0].went_down and made[0].ca.directory.exists() and "it does not heal" in capsys.readouterr().out


def test_beyond_the_assumptions_something_must_have_been_compensated():
    options = types.SimpleNamespace(beyond=True)
    assert main.verdict(options, 0, LAST.format(0, 3)) == []
    assert main.verdict(options, 0, LAST.format(0, 0)) and main.verdict(options, 0, "")
    assert main.verdict(options, 1, LAST.format(0, 3))
    assert main.verdict(types.SimpleNamespace(beyond=False), 0, LAST.format(0, 0)) == []


# --- the proxy ---

class Echo:
    """Answers each line with itself; keeps what it got."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.got = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                link, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=(link,), daemon=True).start()

    def answer(self, link):
        try:
            for line in link.makefile("rb"):
                self.got.append(line)
                link.sendall(line)
        except OSError:
            pass


@pytest.fixture
def echo():
    server = Echo()
    yield server
    server.listener.close()


@pytest.fixture(params=[False, True], ids=["late", "lost"])
def through(request, echo):
    made = proxy.Proxy("127.0.0.1", echo.port, loses=request.param)
    yield made
    made.close()


def connect(through):
    link = socket.create_connection(("127.0.0.1", through.port))
    link.settimeout(10)
    return link


def ask(link, text=b"hello\n"):
    link.sendall(text)
    return link.recv(100)


def gone(link):
    try:
        return link.recv(100) == b""
    except ConnectionResetError:
        return True


def test_proxy_passes_on_and_cuts(through):
    link = connect(through)
    assert ask(link) == b"hello\n"
    through.cut()
    assert gone(link) and ask(connect(through)) == b"hello\n"


def test_proxy_refuses_until_released(through):
    through.cut(refuse=True)
    assert gone(connect(through))
    through.release()
    assert ask(connect(through)) == b"hello\n"


def test_proxy_holds(through, echo):
    link = connect(through)
    assert ask(link) == b"hello\n"
    through.hold()
    link.sendall(b"held\n")
    link.settimeout(0.3)
    with pytest.raises(TimeoutError):
        link.recv(100)
    link.settimeout(10)
    through.release()
    if through.loses:
        assert gone(link) and b"held\n" not in echo.got
    else:
        assert link.recv(100) == b"held\n"
