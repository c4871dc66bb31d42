"""What GlobalSign has beyond what was answered: found, reported, ended; and whatever else looks like it, left alone."""

import time

import pytest
import redis

from kit import keys, messages, wait
from kit.stack import decided
from epki.v1 import certificate_event_pb2 as events
from epki.v1 import common_pb2

ISSUED, RENEWED, REJECTED = events.RESULT_ISSUED, events.RESULT_RENEWED, events.RESULT_REJECTED
CANCELLED_ISSUED, VALID, REVOKED = 5, 4, 7
ORDER = "OrderAndIssueCertificate"
INTERVAL_S = 1.5
SETTINGS = {"time": {"surplus_interval_ms": 1500, "surplus_window_ms": 3600000,  # and a quiet period of 3.2 s
                     "send_window_ms": 2000, "processing_ms": 500, "visibility_ms": 100, "margin_ms": 100},
            "accounts": {"main": {"connect_ms": 1000}}}
FOUND, NOT_ENDED = "surplus-order", "surplus-not-ended"


@pytest.fixture(scope="module")
def client(system):
    return redis.Redis(port=int(system.ca["REDIS_URL"].rsplit(":", 1)[1]), socket_timeout=5)


@pytest.fixture(autouse=True)
def nothing_else_is_ended(system):
    """Whatever a test does, no order is ended that it does not name."""
    before = {e["order_id"] for e in changes(system)}
    system.expected = set()
    yield
    assert {e["order_id"] for e in changes(system)} - before == system.expected


def changes(system):
    """Orders ended, and orders that GlobalSign was asked to end in vain."""
    return [e for e in system.ca.journal() if e["operation"] in ("Cancel", "Revoke") and e["order_id"]]


def issue(system, cn, **fields):
    event = system.issue(messages.enroll(messages.name("surplus"), cn=cn, **fields))
    assert event.result == ISSUED
    return event


def twice(system, cn, **fields):
    """An order that GlobalSign books twice, with the same key: its answer, and the order that the answer leaves over."""
    system.ca.fault("duplicate_order", cn=cn, count=1)
    event = issue(system, cn, **fields)
    [surplus] = set(system.orders_of(cn)) - {event.certificate.order_id}
    return event, surplus


def status_of(system, order_id):
    return system.ca.control("GET", f"/orders/{order_id}")["status"]


def await_status(system, order_id, status, timeout=40):
    wait.until(lambda: status_of(system, order_id) == status, timeout, f"status {status} of {order_id}")


def told(system, order_id, problem=FOUND):
    return [e for e in list(system.results.account_events)
            if e.type == "surplus" and e.order_id == order_id and e.problem == problem]


def sweeps(system, profile=None, **match):
    """What the workers said of their comparisons, oldest first."""
    match = dict(match, msg="orders compared with answers", profile=profile or system.ca["EPKI_PROFILE"])
    return sorted((e for w in system.workers.workers for e in w.log(**match)), key=lambda e: e["ts"])


def await_sweep(system, judged=None, timeout=40):
    """The first whole comparison from now on that judged so many orders as these."""
    before = len(sweeps(system, result="whole"))

    def look():
        found = sweeps(system, result="whole")[before:]
        return [e for e in found if all(e[name] >= least for name, least in (judged or {}).items())]
    return wait.until(look, timeout, f"a comparison that shows {judged}")[0]


def metric(system, name, **labels):
    return sum(w.metric(name, **labels) for w in system.running())


def test_surplus_is_cancelled_and_reported(system):
    ended = metric(system, "epki_surplus_orders_total", result="ended")
    event, surplus = twice(system, "Ordered Twice")
    system.expected = {surplus}
    await_status(system, surplus, CANCELLED_ISSUED)
    [notice] = wait.until(lambda: told(system, surplus), 20, "the report")
    assert notice.request_id == event.request_id and notice.account == "main"
    assert event.certificate.order_id in notice.cause and notice.advice
    wait.until(lambda: metric(system, "epki_surplus_orders_total", result="ended") == ended + 1, 20, "the metric")
    await_sweep(system)
    assert status_of(system, event.certificate.order_id) == VALID
    assert told(system, surplus) == [notice] and told(system, surplus, NOT_ENDED) == []
    assert len([e for e in changes(system) if e["order_id"] == surplus]) == 1


def test_surplus_too_late_to_cancel_is_revoked(system):
    system.ca.settings(cancel_window_days=0)
    try:
        event, surplus = twice(system, "Twice And Late")
        system.expected = {surplus}
        await_status(system, surplus, REVOKED)
    finally:
        system.ca.settings(cancel_window_days=7)
    assert status_of(system, event.certificate.order_id) == VALID


def test_portal_order_is_counted_and_never_touched(system):
    """People order in the portal, under our names too."""
    issue(system, "Portal Person")
    before = sweeps(system, result="whole")[-1]["foreign"]
    portal = system.ca.control("POST", "/orders", {"cn": "Portal Person", "profile": system.ca["EPKI_PROFILE"]})["id"]
    await_sweep(system, {"foreign": before + 1})
    await_sweep(system)
    assert status_of(system, portal) == VALID
    assert told(system, portal) == []
    assert metric(system, "epki_surplus_judged_total", verdict="foreign") > 0


def test_order_in_flight_is_left_to_its_request(system):
    """Its reply is held back for longer than the quiet period: it is issued, and no answer names it yet."""
    system.ca.fault("hold_reply", cn="Long In Flight", count=1)
    placed = system.send(messages.enroll(messages.name("surplus"), cn="Long In Flight"))
    [order] = system.ca.await_journal(cn="Long In Flight", recorded=True)
    await_sweep(system, {"in_flight": 1})
    assert system.results.answers(placed=placed) == []
    system.ca.control("POST", "/release", {})
    event = system.results.answer_to(placed, 40)
    assert event.result == ISSUED and event.certificate.order_id == order["order_id"]
    await_sweep(system)
    assert status_of(system, order["order_id"]) == VALID and told(system, order["order_id"]) == []


def test_order_whose_certificate_was_delivered_is_no_surplus(system):
    """GlobalSign told it under an id that is nobody's: no answer names the order."""
    system.ca.fault("other_id", cn="Other Id", count=1, field="CENOBODYS")
    event = issue(system, "Other Id")
    [order_id] = system.orders_of("Other Id")
    assert event.certificate.order_id == "CENOBODYS"
    await_sweep(system)
    assert status_of(system, order_id) == VALID and told(system, order_id) == []


def test_renewal_with_the_same_key_is_no_surplus(system):
    """Two orders with one key, each named by an answer; and a third that none names."""
    csr = keys.csr_pem(keys.new_key())
    first = issue(system, "Same Key", csr=csr)
    system.ca.fault("duplicate_order", cn="Same Key", count=1)
    second = system.issue(messages.renew(messages.name("renew"), messages.by_request(first.request_id), csr=csr))
    assert second.result == RENEWED
    kept = {first.certificate.order_id, second.certificate.order_id}
    [surplus] = set(system.orders_of("Same Key")) - kept
    system.expected = {surplus}
    await_status(system, surplus, CANCELLED_ISSUED)
    await_sweep(system)
    assert [status_of(system, order) for order in kept] == [VALID, VALID]
    [notice] = wait.until(lambda: told(system, surplus), 20, "the report")
    assert notice.request_id == second.request_id


def test_surplus_of_a_worker_made_key(system):
    choice = common_pb2.WorkerKey(type="KEY_TYPE_EC_P256", recipient_certificate=system.recipient.der)
    event, surplus = twice(system, "Worker Key Twice", worker_key=choice)
    system.expected = {surplus}
    await_status(system, surplus, CANCELLED_ISSUED)
    assert status_of(system, event.certificate.order_id) == VALID


def test_orphan_of_a_request_without_a_certificate(system):
    """The answer says rejected, and an order with its key lives on."""
    message = messages.enroll(messages.name("surplus"), cn="Orphan Left")
    system.ca.fault("error_code", operation=ORDER, cn="Orphan Left", code=-105, count=1, record=True)
    event = system.issue(message)
    assert event.result == REJECTED
    [orphan] = system.orders_of("Orphan Left")
    system.expected = {orphan}
    await_status(system, orphan, CANCELLED_ISSUED)
    [notice] = wait.until(lambda: told(system, orphan), 20, "the report")
    assert notice.request_id == message.request_id


def test_not_ended_is_reported_until_it_is(system):
    system.ca.fault("error_code", operation="Cancel", code=-4005)
    system.ca.fault("error_code", operation="Revoke", code=-4005)
    _, surplus = twice(system, "Will Not End")
    system.expected = {surplus}
    wait.until(lambda: len(told(system, surplus, NOT_ENDED)) >= 2, 40, "reports of two comparisons")
    assert status_of(system, surplus) == VALID
    assert metric(system, "epki_surplus_orders_total", result="not_ended") >= 2
    system.ca.clear_faults()
    await_status(system, surplus, CANCELLED_ISSUED)


def wipe(client):
    old = client.get("epki:v1:canary")
    client.flushall()
    wait.until(lambda: client.get("epki:v1:canary") not in (None, old), 30, "a new canary")


def test_redis_wiped_before_a_comparison(system, client):
    """The rebuilt index knows what was answered: the surplus is found, and nothing else is."""
    event, surplus = twice(system, "Wiped Before")
    system.expected = {surplus}
    wipe(client)
    await_status(system, surplus, CANCELLED_ISSUED)
    await_sweep(system, {"answered": 3})
    assert status_of(system, event.certificate.order_id) == VALID


def test_redis_wiped_within_a_comparison(system, client):
    """Between the list and the look at its orders: nothing is judged by half an index."""
    system.ca.settings(query_ms=1000)
    try:
        event, surplus = twice(system, "Wiped Within")
        system.expected = {surplus}
        time.sleep(3.2)  # so that a list shows it
        asked = len(system.ca.journal(operation="GetOrders", cn=""))
        system.ca.await_journal(operation="GetOrders", cn="", count=asked + 1)
        wipe(client)
        await_status(system, surplus, CANCELLED_ISSUED)
        assert status_of(system, event.certificate.order_id) == VALID
    finally:
        system.ca.settings(query_ms=50)


def test_one_worker_sweeps_for_all(system):
    """By the CA's journal: the lists of a profile come one interval apart, whoever asks for them, and not by two.
    A single one may come late, behind other queries or on a busy machine, so that many are timed together."""
    assert len(system.running()) == 2
    seen = len(sweeps(system))
    wait.until(lambda: len(sweeps(system)) >= seen + 9, 120, "nine comparisons")
    lists = [e for e in system.ca.journal(operation="GetOrders", cn="", profile=system.ca["EPKI_PROFILE"])][-9:]
    assert decided(lists[-1]) - decided(lists[0]) >= 6 * INTERVAL_S  # 8 by one worker, 4 by two


def test_another_worker_goes_on(system):
    """Who swept last is killed: the other one sweeps from then on."""
    last = sweeps(system)[-1]
    [victim] = [w for w in system.running() if last in w.log()]
    victim.kill()
    _, surplus = twice(system, "Other Worker")
    system.expected = {surplus}
    await_status(system, surplus, CANCELLED_ISSUED, 60)
    system.workers.start()
