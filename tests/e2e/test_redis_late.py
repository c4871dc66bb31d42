"""Redis away or wiped just when an order in the air changes hands: nothing is cancelled, parked or refused for that."""

import signal
import subprocess

import pytest
import redis

from kit import keys, messages, servers, wait
from epki.v1 import certificate_event_pb2 as events
from epki.v1 import common_pb2

ISSUED = events.RESULT_ISSUED
SETTINGS = {"time": {"send_window_ms": 2000, "tcp_ms": 500, "processing_ms": 500, "visibility_ms": 200, "margin_ms": 100},
            "accounts": {"main": {"connect_ms": 900}}}


@pytest.fixture(scope="module")
def client(system):
    return redis.Redis(port=int(system.ca["REDIS_URL"].rsplit(":", 1)[1]), socket_timeout=5)


@pytest.fixture(autouse=True)
def two_workers(system):
    while len(system.running()) < 2:
        system.workers.start()
    assert system.issue(messages.enroll(messages.name())).result == ISSUED


def signal_redis(system, number):
    subprocess.run(["kill", f"-{int(number)}", str(system.ca.pid("redis"))], check=True)


def in_the_air(system, cn, kind):
    """An order that the CA has, whose reply never comes: (request id, where it stands, the worker that waits)."""
    system.ca.fault("hold_reply", cn=cn, count=1)
    request = messages.name()
    recipient = {"recipient_certificate": system.recipient.der}
    choice = {"worker_key": common_pb2.WorkerKey(type="KEY_TYPE_EC_P256", **recipient),
              "globalsign_key": common_pb2.GlobalSignKey(**recipient)}[kind]
    placed = system.send(messages.enroll(request, cn=cn, **{kind: choice}))
    system.ca.await_journal(cn=cn, recorded=True)
    return request, placed, next(w for w in system.running() if w.log(request_id=request, state="order"))


def opened(system, event):
    key, certificate, _ = system.recipient.open_pkcs12(event.certificate)
    assert keys.spki_sha256(key.public_key()) == keys.spki_sha256(certificate.public_key())


def test_worker_made_key_is_not_lost_because_redis_is_away_at_adoption(system):
    request, placed, victim = in_the_air(system, "Key Away", "worker_key")
    signal_redis(system, signal.SIGSTOP)
    try:
        victim.kill()
        other = system.running()[0]
        wait.until(lambda: [e for e in other.log(request_id=request, state="reconcile") if "redis is away" in e["why"]],
                   30, "an adoption without Redis")
    finally:
        signal_redis(system, signal.SIGCONT)
    event = system.results.answer_to(placed, 60)
    assert event.result == ISSUED and list(system.orders_of("Key Away")) == [event.certificate.order_id]
    assert not system.ca.journal(operation="Cancel", cn="Key Away")
    opened(system, event)


def nothing(_server, _client):
    pass


def wiped(_server, client):
    client.flushall()


def restarted(server, _client):
    """What it has is not believed: it may have been restored from long ago."""
    server.end(signal.SIGKILL)
    server.start()


@pytest.mark.parametrize("after", [nothing, wiped, restarted], ids=lambda what: what.__name__)
@pytest.mark.parametrize("kind", ["worker_key", "globalsign_key"])
def test_lost_key_whose_order_was_cancelled_by_one_that_died_then(system, client, kind, after):
    """Whatever becomes of Redis: nobody takes the order for one that people cancelled."""
    cn = f"Key Lost {kind} {after.__name__}"
    request, placed, victim = in_the_air(system, cn, kind)
    client.flushall()
    victim.kill()
    system.ca.fault("hold_reply", operation="Cancel", count=1)
    [lost] = system.orders_of(cn)
    system.ca.await_journal(60, operation="Cancel", order_id=lost, recorded=True)
    for worker in system.running():
        worker.kill()
    after(servers.Server(system.ca, "redis"), client)
    system.workers.start()
    event = system.results.answer_to(placed, 60)
    assert event.result == ISSUED, event.failure
    assert sorted(system.orders_of(cn)) == sorted([lost, event.certificate.order_id])
    told = wait.until(lambda: [e for e in system.results.account_events if e.request_id == request], 20,
                      "the word of the cancelled order")
    assert {(e.type, e.problem, e.order_id) for e in told} == {("compensated", "key-lost", lost)}
    opened(system, event)
    assert request == event.request_id


@pytest.mark.parametrize("after", [nothing, wiped, restarted], ids=lambda what: what.__name__)
@pytest.mark.parametrize("fault,operation,problem", [
    ("wrong_key", "OrderAndIssueCertificate", "cert-key"), ("wrong_pin", "OrderPkcs12", "pkcs12-pin")])
def test_order_that_did_not_fit_was_cancelled_by_one_that_died_then(system, client, fault, operation, problem, after):
    """Whatever becomes of Redis: its request is rejected as it would have been, and not ordered again."""
    cn = f"Misfit {fault} {after.__name__}"
    system.ca.fault(fault, operation=operation, cn=cn, count=1)
    system.ca.fault("hold_reply", operation="Cancel", count=1)
    request = messages.name()
    choice = {} if fault == "wrong_key" else {
        "globalsign_key": common_pb2.GlobalSignKey(recipient_certificate=system.recipient.der)}
    placed = system.send(messages.enroll(request, cn=cn, **choice))
    wait.until(lambda: system.orders_of(cn), 30, "the order")
    [order_id] = system.orders_of(cn)
    system.ca.await_journal(60, operation="Cancel", order_id=order_id, recorded=True)
    for worker in system.running():
        worker.kill()
    after(servers.Server(system.ca, "redis"), client)
    system.workers.start()
    event = system.results.answer_to(placed, 60)
    assert event.result == events.RESULT_REJECTED and event.failure.problem == problem, event.failure
    assert event.certificate.order_id == order_id and list(system.orders_of(cn)) == [order_id]
    told = wait.until(lambda: [e for e in system.results.account_events if e.request_id == request], 20,
                      "the word of the cancelled order")
    assert [(e.type, e.problem, e.order_id) for e in told] == [("compensated", "order-mismatch", order_id)]


def test_order_that_never_arrived_waits_for_redis_as_long_as_it_takes(system):
    system.ca.fault("close_before_record", cn="Redis Late", count=1)
    request = messages.name()
    placed = system.send(messages.enroll(request, cn="Redis Late"))
    system.ca.await_journal(cn="Redis Late")
    signal_redis(system, signal.SIGSTOP)
    try:
        wait.until(lambda: sum(len(w.log(request_id=request, state="claim")) for w in system.running()) >= 8, 90,
                   "seven claims without an answer")
    finally:
        signal_redis(system, signal.SIGCONT)
    event = system.results.answer_to(placed, 60)
    assert event.result == ISSUED and len(system.orders_of("Redis Late")) == 1
