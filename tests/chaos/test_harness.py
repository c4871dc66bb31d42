"""The harness itself: the seed repeats the schedule, what takes the same thing away never overlaps, and the proxy cuts,
holds and loses as it says."""

import collections
import socket
import threading

import pytest

from chaos.harness import kinds, proxy, schedule

SPANS = {name: (kind.group, *kind.span_s) for name, kind in kinds.chosen(None).items()}


def plan(seed, duration_s=300.0, spans=None):
    return schedule.plan(seed, duration_s, SPANS if spans is None else spans, 2.0)


def test_seed_repeats_the_schedule():
    assert plan("7") == plan("7") and plan("7") != plan("8")


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
    with pytest.raises(ValueError):
        kinds.chosen("earthquake")


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
