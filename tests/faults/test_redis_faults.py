"""Redis killed, failed over, wiped, silent, slow and full, each in the middle of a load that is counted afterwards."""

import pathlib
import signal
import time

import pytest

from around import Around, Load
from kit import BUILD, wait
from kit.stack import decided

MAX_LAG_S = 2  # of a replica: a rebuild waits two seconds more, for what a primary may still have taken
RATE, BURST = 20, 40  # calls a second, and at once
ORDER_MS = {"order_min_ms": 500, "order_max_ms": 900}  # some are always in the air


@pytest.fixture(scope="module")
def system():
    with Around(BUILD / "faults" / pathlib.Path(__file__).stem, 2, redis={"max_lag_ms": 1000 * MAX_LAG_S},
                accounts={"main": {"rate_per_minute": 60 * RATE, "burst": BURST}}) as made:
        made.ready()
        made.ca.settings(**ORDER_MS)
        yield made


@pytest.fixture(autouse=True)
def whole(system):
    yield
    system.back()


def calls_since(system, number):
    """When the calls to the CA after so many were decided, in seconds."""
    return sorted(decided(e) for e in system.ca.journal()[number:])


def beyond_rate(times):
    """How many calls more than an empty bucket's rate lets through there ever were, counted from the first."""
    return max(number - RATE * (at - times[0]) for number, at in enumerate(times))


def await_answers_of_the_ordered(load):
    """What is in the air is answered without Redis."""
    ordered = {cn.removeprefix("Person ") for cn in load.orders()}
    wait.until(lambda: ordered <= load.answered(), 30, "answers of what was ordered")


# --- killed and failed over ---

def test_killed_and_started_again(system):
    """It comes back with what it had written, less the last second, as another incarnation."""
    with Load(system) as load:
        load.await_more(6)
        old = system.canary()
        system.server.end(signal.SIGKILL)
        await_answers_of_the_ordered(load)
        system.revive()
        system.await_rebuilt(old)
        load.await_more(6)


def test_killed_and_its_replica_promoted(system):
    replica = system.replicate(MAX_LAG_S)
    with Load(system) as load:
        load.await_more(6)
        old = system.canary()
        system.server.end(signal.SIGKILL)
        replica.promote()
        system.front.move(replica.port)
        assert system.canary(replica.client) == old  # it brought the canary along: only the run id tells
        system.await_rebuilt(old, replica.client)
        load.await_more(6)


def behind(system, replica):
    """Request records that the primary has and the replica has not."""
    return set(system.client.keys("epki:v1:request:*")) - set(replica.client.keys("epki:v1:request:*"))


def test_replica_that_lags_is_promoted(system):
    """What the primary took last, its replica never got: claims, calls, answers. Nothing is ordered on its word."""
    foreign = {"msg": "redis was wiped or replaced: no new orders until rebuilt", "state": "foreign"}
    replica, before = system.replicate(MAX_LAG_S), len(system.log(**foreign))
    with Load(system) as load:
        load.await_more(6)
        old = system.canary()
        replica.feed.hold()
        # The primary goes on without it for as long as it may; what it takes meanwhile goes with the link.
        wait.until(lambda: len(behind(system, replica)) >= 4, 30, "a replica that lags")
        replica.promote()
        lost = behind(system, replica)
        assert len(lost) >= 4
        system.front.move(replica.port)
        system.await_rebuilt(old, replica.client)
        for key in lost:  # duplicates of just those
            message = next((m for m, _ in load.sent if key.endswith(f":{m.request_id}")), None)
            if message is not None:
                load.twins.append((message, system.send(message, key=f"lost {message.request_id}")))
        load.await_more(6)
    assert len(system.log(**foreign)) > before


# --- wiped ---

def test_wiped_in_mid_run(system):
    with Load(system) as load:
        load.await_more(6)
        old = system.canary()
        system.client.flushall()
        system.await_rebuilt(old)
        load.await_more(6)


def test_wiped_again_while_it_is_rebuilt(system):
    with Load(system) as load:
        load.await_more(6)
        old, given_up = system.canary(), len(system.log(msg="rebuild given up"))
        before = len(system.log(msg="rebuilding redis from the topics"))
        system.client.flushall()
        for wipe in (1, 2):
            wait.until(lambda: len(system.log(msg="rebuilding redis from the topics")) >= before + wipe, 30,
                       "a rebuild")
            assert system.canary() is None
            system.client.flushall()
        system.await_rebuilt(old)
        assert len(system.log(msg="rebuild given up")) > given_up
        load.await_more(6)


def test_wiped_and_killed(system):
    with Load(system) as load:
        load.await_more(6)
        old = system.canary()
        system.client.flushall()
        system.server.end(signal.SIGKILL)
        system.revive()
        system.await_rebuilt(old)
        load.await_more(6)


@pytest.fixture
def quick_orders(system):
    system.ca.settings(order_min_ms=20, order_max_ms=40)
    yield
    system.ca.settings(**ORDER_MS)


def test_no_free_burst_after_a_rebuild(system, quick_orders):
    """The bucket is empty after it, whatever waits: a wipe grants nobody a second burst."""
    before, old = len(system.ca.journal()), system.canary()
    system.client.flushall()
    load = Load(system, name="burst")
    for _ in range(4 * BURST):
        load.publish()
    system.await_rebuilt(old)
    load.check()
    assert beyond_rate(calls_since(system, before)) <= BURST // 4  # some tokens are taken ahead


# --- silent, forgetful, slow, full ---

def test_black_hole(system):
    """It takes connections and never answers: nothing new is ordered, what is in the air is answered."""
    with Load(system) as load:
        load.await_more(6)
        system.server.send(signal.SIGSTOP)
        wait.until(lambda: all(w.metric("epki_redis_up") == 0 for w in system.running()), 20, "both know it")
        wait.until(lambda: not system.in_flight(), 20, "nothing in the air")
        before = len(load.orders())
        time.sleep(2)
        assert len(load.orders()) == before
        system.server.send(signal.SIGCONT)
        load.await_more(6)


def test_script_cache_is_flushed_again_and_again(system):
    connected = len(system.log(msg="connected to Redis"))
    with Load(system) as load:
        for _ in range(10):
            system.client.script_flush()
            load.await_more(2)
    assert len(system.log(msg="connected to Redis")) == connected


def test_every_reply_is_200_ms_late(system):
    """Slow is not away: orders go on all the while."""
    down = len(system.log(msg="no connection to Redis; trying again"))
    system.front.slow(0.2)
    wait.until(lambda: all(w.metric("epki_redis_rtt_seconds") >= 0.2 for w in system.running()), 20, "slow replies")
    with Load(system) as load:
        load.await_more(20)
        assert all(w.metric("epki_redis_rtt_seconds") >= 0.2 for w in system.running())
    assert len(system.log(msg="no connection to Redis; trying again")) <= down + 2  # where it was moved


def test_memory_full(system):
    """What may not be written is not ordered; it is no loss, and nothing has to be rebuilt."""
    canary = system.canary()
    with Load(system) as load:
        load.await_more(6)
        system.client.config_set("maxmemory", "1mb")
        wait.until(lambda: any("OOM" in line["detail"] for line in system.log(msg="Redis refused a script")), 20,
                   "a refusal")
        wait.until(lambda: not system.in_flight(), 20, "nothing in the air")
        before = len(load.orders())
        time.sleep(2)
        assert len(load.orders()) == before
        system.client.config_set("maxmemory", 0)
        load.await_more(6)
    assert system.canary() == canary


def test_key_of_the_rate_limit_is_lost_again_and_again(system, quick_orders):
    """Its bucket is empty then: calls go on, and are no more than the rate."""
    before, lost = len(system.ca.journal()), system.client.delete("epki:v1:limit:main")
    load = Load(system, name="limit")
    for _ in range(2 * BURST):
        load.publish()
    while len(load.answered()) < 2 * BURST:
        assert lost < 40
        time.sleep(1.5)
        lost += system.client.delete("epki:v1:limit:main")
    load.check()
    assert lost >= 3 and beyond_rate(calls_since(system, before)) <= BURST // 4
