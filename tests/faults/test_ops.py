"""What operators do under load: restarts, more workers and fewer, drained nodes, a flood of revocations, another
librdkafka. Each load is counted afterwards."""

import pathlib
import signal
import time

import pytest

from around import ORDER, Around, Load
from kit import BUILD, messages, wait
from epki.v1 import certificate_event_pb2 as events

DRAIN_S, GRACE_S = 10, 20  # time.drain_ms of the local settings, and what an orchestrator would give in proportion
READY, LEAVING = (200, 200), (503, 200)  # /readyz and /livez
CROWD, FLOOD = 400, 60


@pytest.fixture(scope="module")
def system():
    with Around(BUILD / "faults" / pathlib.Path(__file__).stem, 2, accounts={"main": {"orders_in_flight": 20}},
                time={"drain_ms": 1000 * DRAIN_S}) as made:
        made.ready()
        made.ca.settings(order_min_ms=500, order_max_ms=900)  # some are always in the air
        yield made


@pytest.fixture(autouse=True)
def two_again(system):
    yield
    for one in system.running()[2:]:
        assert one.terminate(60) == 0


def leave(one, busy=False):
    """Told to leave, it says at once that it is not ready, lives on, and is gone within its grace. One that has nothing
    in the air may be gone before it is asked; a busy one is not."""
    one.signal(signal.SIGTERM)
    seen = []  # what the probes said, one after the other

    def ended():
        if one.running():
            try:
                seen.append((one.get("/readyz").status_code, one.get("/livez").status_code))
            except OSError:  # it went in between
                pass
        return not one.running()
    wait.until(ended, GRACE_S, f"the end of {one.instance}", pause=0.02)
    assert one.process.returncode == 0
    while seen and seen[0] == READY:  # asked before it could hear
        seen.pop(0)
    assert set(seen) <= {LEAVING} and (seen or not busy)


def test_rolling_restart(system):
    """One more, then one less, until all are others."""
    with Load(system) as load:
        for old in system.running():
            load.await_more(8)
            system.workers.start()
            leave(old)
        load.await_more(8)


def test_two_workers_become_twelve_and_two_again(system):
    with Load(system, rate=5) as load:
        load.await_more(5)
        more = [system.workers.start(ready=False) for _ in range(10)]
        for one in more:
            one.await_ready(120)
        wait.until(lambda: sum(bool(w.log(msg="partition adopted")) for w in more) >= 6, 60, "work for the new ones")
        load.await_more(20)
        for one in more:
            one.signal(signal.SIGTERM)
        assert [one.await_end(60) for one in more] == [0] * 10
        load.await_more(10)


def test_node_after_node_is_drained(system):
    """Evicted one at a time, each with orders in the air, and only then replaced."""
    with Load(system) as load:
        for _ in range(2):
            load.await_more(8)
            request = messages.name("slow")
            system.ca.fault("slow", cn=f"Person {request}", count=1, delay_ms=2500)
            placed = system.send(messages.enroll(request))
            wait.until(lambda: system.orders_of(f"Person {request}"), 30, "an order in the air")
            old, = [one for one in system.running() if one.log(request_id=request, state="order")]
            leave(old, busy=True)
            system.workers.start()
            event = system.results.answer_to(placed, 60)
            assert list(system.orders_of(f"Person {request}")) == [event.certificate.order_id]
        load.await_more(8)


def test_flood_of_revocations_in_a_crowd_of_orders(system):
    """Revocations have slots and tokens of their own: how long they wait does not grow with the crowd."""
    ended = Load(system, name="ended")
    for _ in range(FLOOD):
        ended.publish()
    ended.check()
    crowd = Load(system, name="crowd")
    for _ in range(CROWD):
        crowd.publish()
    crowd.await_more(20)
    sent = {}
    for message, _ in ended.sent:
        request = messages.name("flood")
        sent[request] = (time.time(), system.send(messages.revoke(request, messages.by_request(message.request_id))))
    waits = []
    for request, (began, placed) in sent.items():
        event = system.results.answer_to(placed, 60)
        assert event.result == events.RESULT_REVOKED
        waits.append(event.answered_ms / 1000 - began)
    left = len(crowd.sent) - len(crowd.answered())
    waits.sort()
    worst = waits[int(0.99 * (len(waits) - 1))]
    print(f"{FLOOD} revocations: p50 {waits[len(waits) // 2]:.2f} s, p99 {worst:.2f} s; {left} of {CROWD} orders still open")
    assert left > CROWD // 4, "the crowd was gone before the last revocation was answered"
    crowd.check(180)
    last = max(e.answered_ms - e.received_ms for e in system.results.events if e.request_id.startswith(crowd.prefix)) / 1000
    assert worst < max(3.0, last / 3), f"p99 {worst:.2f} s; the last order took {last:.2f} s"


# --- releases ---

def librdkafka_of(one):
    """The file of it that a worker has mapped."""
    maps = pathlib.Path(f"/proc/{one.process.pid}/maps").read_text()
    return next(line.split()[-1] for line in maps.splitlines() if "librdkafka" in line)


@pytest.fixture
def other_library(tmp_path):
    """Starts workers on the librdkafka that the Python client brings: years younger or older than the system's."""
    import confluent_kafka
    [found] = (pathlib.Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs").glob("librdkafka*.so*")
    (tmp_path / "librdkafka.so.1").symlink_to(found.resolve())
    return str(tmp_path)


def start_with(system, patch, library):
    with patch.context() as inner:
        if library:
            inner.setenv("LD_LIBRARY_PATH", library)
        return system.workers.start()


def test_maps_are_read_by_another_librdkafka(system, other_library, monkeypatch):
    """Killed with orders in the air, twice: the one version's commits are the other's start, and back."""
    mapped = []
    with Load(system) as load:
        for library in (other_library, None):
            load.await_more(8)
            request = messages.name("handed")
            system.ca.fault("hold_reply", cn=f"Person {request}", count=1)
            placed = system.send(messages.enroll(request))
            system.ca.await_journal(cn=f"Person {request}", recorded=True)
            former = system.running()
            mapped += [{librdkafka_of(one) for one in former}]
            for one in former:
                one.kill()
            for _ in former:
                start_with(system, monkeypatch, library)
            event = system.results.answer_to(placed, 60)
            assert event.result == events.RESULT_ISSUED
            [call] = system.ca.journal(cn=f"Person {request}", operation=ORDER)
            assert call["order_id"] == event.certificate.order_id
        load.await_more(8)
    mapped += [{librdkafka_of(one) for one in system.running()}]
    assert mapped[0] == mapped[2] != mapped[1] and all(len(found) == 1 for found in mapped), mapped


def test_both_librdkafkas_in_one_group(system, other_library, monkeypatch):
    """As an upgrade rolls: partitions go from the one to the other while both work."""
    with Load(system) as load:
        for library in (other_library, None):
            for old in system.running():
                start_with(system, monkeypatch, library)
                load.await_more(5)
                leave(old)
        load.await_more(8)
