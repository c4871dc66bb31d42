"""Redis away, wiped, restarted: no second order, no second answer, and everything but new orders goes on."""

import signal
import subprocess
import time

import redis
import pytest

from kit import messages, topics, wait
from epki.v1 import certificate_event_pb2 as events
from epki.v1 import enrollment_pb2, internal_pb2

ISSUED, REVOKED = events.RESULT_ISSUED, events.RESULT_REVOKED


@pytest.fixture(scope="module")
def client(system):
    port = int(system.ca["REDIS_URL"].rsplit(":", 1)[1])
    return redis.Redis(port=port, socket_timeout=5)


def issue(system, **fields):
    event = system.issue(messages.enroll(messages.name(), **fields))
    assert event.result == ISSUED
    return event


def canary(client):
    return client.get("epki:v1:canary")


def await_rebuilt(client, old):
    return wait.until(lambda: (lambda now: now if now and now != old else None)(canary(client)), 20, "a new canary")


def test_wiped_duplicates_are_still_known(system, client):
    """FLUSHALL: the workers notice, rebuild from the topics, and know every request again."""
    answered = {}
    for index in range(5):
        message = messages.enroll(messages.name("wiped"), cn=f"Wiped {index}")
        answered[index] = (message, system.issue(message))
    old = canary(client)
    client.flushall()
    again = {index: system.send(message, key=f"other-{index}") for index, (message, _) in answered.items()}
    for index, placed in again.items():
        event = system.results.answer_to(placed, 40)
        assert event.result == ISSUED and event.HasField("duplicate_of")
        assert event.certificate.serial == answered[index][1].certificate.serial
        assert len(system.orders_of(f"Wiped {index}")) == 1
    await_rebuilt(client, old)
    for _, first in answered.values():  # the indexes are back too
        event = system.issue(messages.revoke(messages.name("revoke"), messages.by_serial(
            first.certificate.issuer, first.certificate.serial)))
        assert event.result == REVOKED and event.target_request_id == first.request_id


def test_wiped_with_orders_in_the_air(system, client):
    system.ca.settings(order_min_ms=1500, order_max_ms=2000)
    try:
        placed = system.publisher.send_many([(messages.enroll(messages.name("air"), cn=f"Air {i}"), f"a{i}", None)
                                             for i in range(30)])
        wait.until(lambda: len([e for e in system.ca.journal() if e["cn"].startswith("Air ")]) >= 20, 20, "orders")
        client.flushall()
        for index, where in enumerate(placed):
            event = system.results.answer_to(where, 60)
            assert event.result == ISSUED and len(system.orders_of(f"Air {index}")) == 1
    finally:
        system.ca.settings(order_min_ms=200, order_max_ms=400)


def test_wiped_and_killed_with_an_unknown_outcome(system, client):
    """Redis and the worker that knew are both gone: the map, the in-flight record and the CA are enough."""
    system.ca.fault("hold_reply", cn="Wiped Unknown", count=1)
    message = messages.enroll(messages.name(), cn="Wiped Unknown")
    placed = system.send(message, partition=0)
    system.ca.await_journal(cn="Wiped Unknown", recorded=True)
    victim = next(w for w in system.running() if w.log(request_id=message.request_id))
    old = canary(client)
    client.flushall()
    victim.kill()
    duplicate = system.send(message, partition=1)
    system.workers.start()
    event, again = system.results.answer_to(placed, 60), system.results.answer_to(duplicate, 60)
    assert event.result == again.result == ISSUED
    assert list(system.orders_of("Wiped Unknown")) == [event.certificate.order_id]
    await_rebuilt(client, old)


def ended_in_state(system, client, request):
    """The state record of a request, once topic and Redis both say that its certificate has been revoked."""
    def look():
        found = [internal_pb2.CertificateState.FromString(r.value()) for r in topics.read_topic(
            system.ca["KAFKA_BOOTSTRAP"], topics.STATE) if r.key() == request.encode()]
        index = internal_pb2.CertificateState.FromString(client.hget(f"epki:v1:request:{request}", "out"))
        revoked = internal_pb2.CERTIFICATE_STATUS_REVOKED
        return found[-1] if found[-1].status == index.status == revoked else None
    return wait.until(look, 40, f"{request} is revoked in its state record", pause=0.5)


def test_away_between_revocation_and_answer(system, client):
    """The answer does not wait for Redis; the state record of the certificate does, and is not forgotten."""
    first = issue(system)
    fault = system.ca.fault("slow", operation="Revoke", count=1, delay_ms=3000)
    revocation = system.send(messages.revoke(messages.name("revoke"), messages.by_request(first.request_id)))
    wait.until(lambda: system.ca.fault_hits(fault), 20, "the call")
    pid = system.ca.pid("redis")
    subprocess.run(["kill", "-STOP", str(pid)], check=True)
    try:
        assert system.results.answer_to(revocation, 40).result == REVOKED
    finally:
        subprocess.run(["kill", "-CONT", str(pid)], check=True)
    state = ended_in_state(system, client, first.request_id)
    assert state.version > 0 and state.first.result == ISSUED


def test_away_no_new_orders_but_revocations_go_on(system, client):
    first = issue(system)
    pid = system.ca.pid("redis")
    subprocess.run(["kill", "-STOP", str(pid)], check=True)  # accepts, never answers
    try:
        time.sleep(3)  # commands under way have met their deadline
        waiting = system.send(messages.enroll(messages.name(), cn="Redis Away"))
        event = system.issue(messages.revoke(messages.name("revoke"), messages.by_order(
            "vpn", first.certificate.order_id)))
        assert event.result == REVOKED
        assert not system.ca.journal(cn="Redis Away")
        assert all(w.get("/livez").status_code == 200 for w in system.running())
    finally:
        subprocess.run(["kill", "-CONT", str(pid)], check=True)
    assert system.results.answer_to(waiting, 40).result == ISSUED
    state = ended_in_state(system, client, first.request_id)  # nobody knew then whose order it was
    assert state.version > 0 and state.first.result == ISSUED


HORIZON_MS = 30 * 86400000


def answered_before(system, first, keep_until_ms):
    """A request of the same content as the first, and in the state topic its answer, kept until then."""
    again = enrollment_pb2.EnrollmentRequest.FromString(first.SerializeToString())
    again.request_id = messages.name("horizon")
    records = topics.read_topic(system.ca["KAFKA_BOOTSTRAP"], topics.STATE)
    [value] = [r.value() for r in records if r.key() == first.request_id.encode()]
    state = internal_pb2.CertificateState.FromString(value)
    state.request_id = state.first.request_id = again.request_id
    state.source.offset += 1000000
    state.keep_until_ms = keep_until_ms
    system.send(state.SerializeToString(), topic=topics.STATE, key=again.request_id,
                partition=topics.partition_of(again.request_id, system.ca.partitions))
    return again


def test_answers_are_known_until_their_horizon(system, client):
    """The certificate's end, or the answer's time, plus the horizon: in Redis by expiry, by a rebuild what is left."""
    now = int(time.time() * 1000)
    first = messages.enroll(messages.name("horizon"), cn="Horizon Person")
    event = system.issue(first)
    refused = system.issue(messages.enroll(messages.name("horizon"), setting="none"))
    left = {}
    for key in (f"request:{refused.request_id}", f"request:{event.request_id}", f"order:{event.certificate.order_id}"):
        # Redis hears of an answer after everybody else.
        left[key] = wait.until(lambda at=f"epki:v1:{key}": max(client.pttl(at), 0), 20, f"expiry of {key}")
    assert HORIZON_MS - 120000 < left.pop(f"request:{refused.request_id}") <= HORIZON_MS
    assert all(abs(now + ms - event.certificate.not_after_ms - HORIZON_MS) < 120000 for ms in left.values())
    old, young = answered_before(system, first, now - 1000), answered_before(system, first, now + 3600000)
    before = canary(client)
    client.flushall()
    await_rebuilt(client, before)
    assert not client.exists(f"epki:v1:request:{old.request_id}")
    assert 0 < client.pttl(f"epki:v1:request:{young.request_id}") <= 3600000
    known, forgotten = system.issue(young), system.issue(old)
    assert known.HasField("duplicate_of") and known.certificate.serial == event.certificate.serial
    assert forgotten.result == ISSUED and not forgotten.HasField("duplicate_of")
    assert list(system.orders_of("Horizon Person")) == [event.certificate.order_id, forgotten.certificate.order_id]


def test_restarted_counts_as_a_wipe(system, client):
    """The last one that needs workers and Redis: both have ended after it."""
    message = messages.enroll(messages.name(), cn="Redis Restarted")
    first = system.issue(message)
    old = canary(client)
    pid = system.ca.pid("redis")
    directory = system.ca.directory / "redis"
    port = client.connection_pool.connection_kwargs["port"]
    subprocess.run(["kill", str(pid)], check=True)
    wait.until(lambda: not subprocess.run(["kill", "-0", str(pid)], capture_output=True).returncode == 0, 10, "its end")
    with open(system.ca.directory / "redis-again.log", "wb") as log:
        server = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", directory,
                                   "--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction"], stdout=log,
                                  stderr=log)
    try:
        again = system.issue(message, key="other")
        assert again.HasField("duplicate_of") and again.certificate.serial == first.certificate.serial
        await_rebuilt(client, old)
        issue(system)
        assert len(system.orders_of("Redis Restarted")) == 1
    finally:
        for worker in system.running():
            assert worker.terminate(40) == 0
        server.send_signal(signal.SIGTERM)
        server.wait()


def test_start_without_bootstrap_is_refused(system):
    """Empty Redis and no offsets look like a total loss: the operator says that this is a beginning."""
    done = system.workers.command("run", change={"kafka": {"group": "never-bootstrapped"}})
    assert done.returncode == 1 and "bootstrap" in done.stdout + done.stderr
