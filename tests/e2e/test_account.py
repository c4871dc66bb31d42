"""What waits for people: wrong passwords, refused addresses, licences, vetting, certificates that do not fit."""

import base64
import time

import pytest

from kit import messages, topics, wait
from kit.stack import decided
from epki.v1 import certificate_event_pb2 as events
from epki.v1 import common_pb2, internal_pb2

ISSUED, HELD, REJECTED = events.RESULT_ISSUED, events.RESULT_HELD, events.RESULT_REJECTED
# Long waits leave their partition soon here, so that the waiting room is in every test.
SETTINGS = {"time": {"hold_max_ms": 2000, "poll_max_ms": 1500}}
RETEST_S = 3  # the local settings' account_retest_ms
VETTED = "MP202601150003"


@pytest.fixture(autouse=True)
def settled(system):
    """Whatever ran before: two workers, nothing paused, and in neither is a setting still under test."""
    while len(system.running()) < 2:
        system.workers.start()
    system.ca.settings(licences=100000, async_issue_ms=2000)
    system.ca.control("POST", f"/profiles/{VETTED}", {"state": "vetting"})
    orders = [system.send(messages.enroll(messages.name("settle")), partition=n) for n in range(system.ca.partitions)]
    assert all(system.results.answer_to(placed, 60).result == ISSUED for placed in orders)


def restart(system, **change):
    for running in system.running():
        assert running.terminate(40) == 0
    for _ in range(2):
        system.workers.start(**change)


def send(system, cn, **fields):
    request = messages.name()
    return request, system.send(messages.enroll(request, cn=cn, **fields))


def order_calls(system, **match):
    return [e for e in system.ca.journal(**match) if e["operation"] == "OrderAndIssueCertificate"]


def held(system, request, failure_class, timeout=30):
    """The first word that a request is held for this reason; it may have been held for another before."""
    def look():
        return [e for e in list(system.results.events) if e.request_id == request and e.result == HELD
                and e.failure.failure_class == failure_class]
    return wait.until(look, timeout, f"{request} held")[0]


def account_events(system, told):
    """What was said of accounts and settings since there were `told` events."""
    return system.results.account_events[told:]


def await_account(system, told, kind, timeout=30):
    return wait.until(lambda: [e for e in account_events(system, told) if e.type == kind], timeout, kind)


def waiting_records(system, request):
    """The kinds that epki.inflight holds for a request now."""
    last = {}
    for record in topics.read_topic(system.ca["KAFKA_BOOTSTRAP"], topics.INFLIGHT):
        last[record.key()] = record.value()
    return [internal_pb2.InflightRecord.FromString(value).kind for key, value in last.items()
            if value and key.startswith(request.encode() + b"\0")]


def test_licences_out_waits_and_goes_on_by_itself(system):
    system.ca.settings(licences=0)
    batch = [send(system, f"No Licence {i}") for i in range(12)]
    told = wait.until(lambda: [e for e in list(system.results.events) if e.result == HELD and e.failure.vendor_code
                               and e.request_id in {request for request, _ in batch}], 30, "licences out")[0]
    assert told.failure.problem == "ca-licence" and told.failure.advice
    wait.until(lambda: waiting_records(system, batch[0][0]) == [internal_pb2.INFLIGHT_KIND_WAITING], 20,
               "the waiting room", pause=0.5)
    began = len(order_calls(system))
    time.sleep(4)
    tried = len(order_calls(system)) - began
    # One worker's test every 0.75-1.5 s; each of the twelve on its own would make it 24 and more.
    assert tried <= 14, f"{tried} orders in 4 s although there is no licence: one at a time tests it"
    system.ca.settings(licences=100000)
    for index, (request, placed) in enumerate(batch):
        event = system.results.answer_to(placed, 60)
        assert event.result == ISSUED and placed.is_source(event.source)
        assert len(system.orders_of(f"No Licence {index}")) == 1
        assert waiting_records(system, request) == []


def test_held_request_is_ended_by_a_revocation(system):
    system.ca.settings(licences=0)
    try:
        request, placed = send(system, "Held And Stopped")
        system.results.progress(request, events.RESULT_WAITING)
        revocation = system.send(messages.revoke(messages.name("revoke"), messages.by_request(request)))
        stopped, ended = system.results.answer_to(placed, 40), system.results.answer_to(revocation, 40)
        assert stopped.result == REJECTED and stopped.failure.failure_class == events.FAILURE_CLASS_STOPPED
        assert ended.result == events.RESULT_REMOVED and ended.answered_ms >= stopped.answered_ms
    finally:
        system.ca.settings(licences=100000)
    assert not system.orders_of("Held And Stopped")


def test_long_pending_order_comes_back_from_the_waiting_room(system):
    system.ca.settings(async_issue_ms=8000)
    system.ca.fault("pending", cn="Long Pending", count=1)
    request, placed = send(system, "Long Pending")
    wait.until(lambda: waiting_records(system, request) == [internal_pb2.INFLIGHT_KIND_WAITING], 20,
               "the waiting room", pause=0.5)
    duplicate = system.send(messages.enroll(request, cn="Long Pending",
                                            csr=None), key="elsewhere")
    event = system.results.answer_to(placed, 60)
    assert event.result == ISSUED and event.attempts == 1
    conflict = system.results.answer_to(duplicate, 60)
    assert conflict.result == REJECTED  # another key: not the same content
    assert len(system.orders_of("Long Pending")) == 1 and waiting_records(system, request) == []


def test_profile_in_vetting_is_held_and_issued_after_it(system):
    request, placed = send(system, "Vetted Later", setting="vetting")
    system.results.progress(request, HELD)
    system.ca.control("POST", f"/profiles/{VETTED}", {"state": "validated"})
    event = system.results.answer_to(placed, 60)
    assert event.result == ISSUED and len(system.orders_of("Vetted Later")) == 1


@pytest.mark.parametrize("fault", ["wrong_chain", "wrong_eku", "wrong_validity"])
def test_certificate_that_does_not_fit_the_setting_pauses_the_setting(system, fault):
    """Held, not delivered, not ordered again: a rotated CA must not burn a pack. A restart looks at it again."""
    cn, told = f"Misfit {fault}", len(system.results.account_events)
    system.ca.fault(fault, cn=cn, count=1)
    request, placed = send(system, cn)
    try:
        held(system, request, events.FAILURE_CLASS_MISMATCH)
        [paused] = await_account(system, told, "setting-paused")
        assert paused.cause and paused.request_id == request
        others = [system.send(messages.enroll(messages.name(), cn=f"Behind {fault} {i}"), partition=placed.partition)
                  for i in range(3)]
        time.sleep(3)
        assert system.results.answers(placed=placed) == []
        assert not any(e["cn"].startswith(f"Behind {fault}") for e in order_calls(system)), "the setting is paused"
        [order_id] = system.orders_of(cn)
        system.issue(messages.revoke(messages.name("end"), messages.by_order("vpn", order_id)))
        assert system.results.answer_to(placed, 60).result == REJECTED  # its order was ended by people
    finally:
        restart(system)
    for other in others:
        assert system.results.answer_to(other, 60).result == ISSUED
    assert len(system.orders_of(cn)) == 1


def test_key_whose_kek_was_taken_away_is_held_until_it_is_back(system):
    """Ordered before the rotation, issued after it: said once by each worker that meets it, and nothing is cancelled."""
    told, keks = len(system.results.account_events), system.workers.directory / "kek"
    old, shut = keks.read_text(), "requests wait for a key-encryption key"
    system.ca.settings(async_issue_ms=4000)
    system.ca.fault("pending", cn="Kek Rotated", count=1)
    choice = common_pb2.WorkerKey(recipient_certificate=system.recipient.der)
    request, placed = send(system, "Kek Rotated", worker_key=choice)
    system.results.progress(request, events.RESULT_PENDING)
    keks.write_text(f"k2:{base64.b64encode(bytes(range(32))).decode()}\n")
    try:
        restart(system)
        said = held(system, request, events.FAILURE_CLASS_INTERNAL, 60)
        assert said.failure.problem == "kek-missing" and said.failure.advice
        event = await_account(system, told, "kek-missing")[0]
        assert "k1" in event.cause and "kek_file" in event.advice and event.request_id == request
        came = len(system.ca.journal(operation="GetOrderByOrderId"))
        wait.until(lambda: len(system.ca.journal(operation="GetOrderByOrderId")) > came, 30, "the room brought it again")
        assert all(len(w.log(msg=shut)) <= 1 for w in system.running())
        assert system.results.answers(placed=placed) == []
    finally:
        keks.write_text(keks.read_text() + old)
        restart(system)
    answer = system.results.answer_to(placed, 60)
    assert answer.result == ISSUED and answer.attempts == 1
    assert system.recipient.open_pkcs12(answer.certificate)
    assert list(system.orders_of("Kek Rotated")) == [answer.certificate.order_id]


@pytest.mark.parametrize("code", [-4001, -4201, -9200, -9939])
def test_refusal_in_mid_run_is_one_call_then_a_pause(system, code):
    """After it, tests of the account alone: one query from time to time, after a wrong password none but what people
    ask for. The first that GlobalSign accepts resumes it."""
    fault = system.ca.fault("error_code", operation="*", code=code)
    began, told = len(system.ca.journal()), len(system.results.account_events)
    first, placed = send(system, f"Refused {code}")
    [paused] = await_account(system, told, "paused")
    assert paused.vendor_code == code and paused.advice and paused.account == "main"
    behind = [send(system, f"Behind {code} {i}") for i in range(6)]
    revocation = system.send(messages.revoke(messages.name("revoke"), messages.by_order("vpn", "CE202601159999999")))
    for request, _ in [(first, placed), *behind]:
        assert held(system, request, events.FAILURE_CLASS_ACCOUNT).failure.vendor_code == code
    if code == -4001:
        time.sleep(3 * RETEST_S)
    else:
        system.ca.await_journal(operation="GetProfiles", code=code, count=2, timeout=30)
    refused, *tests = system.ca.journal()[began:]
    assert refused["operation"] == "OrderAndIssueCertificate" and refused["cn"] == f"Refused {code}"
    assert refused["code"] == code and all((e["operation"], e["code"]) == ("GetProfiles", code) for e in tests)
    times = [decided(e) for e in [refused, *tests]]
    assert all(late - early > 0.9 * RETEST_S for early, late in zip(times, times[1:])), times
    assert len(tests) == 0 if code == -4001 else tests
    system.ca.control("DELETE", f"/faults/{fault}")
    if code == -4001:
        done = system.workers.command("resume")
        assert done.returncode == 0 and "was paused" in done.stdout, done.stderr
    for _, where in [(first, placed), *behind]:
        assert system.results.answer_to(where, 60).result == ISSUED
    system.results.answer_to(revocation, 60)
    accepted = next(e for e in system.ca.journal()[began + 1:] if e["result"] == "ok")
    assert accepted["operation"] == "GetProfiles", "a query tests the account, never an order"
    assert [e.type for e in account_events(system, told)] == ["paused", "resumed"]
    assert all(len(system.orders_of(cn)) == 1 for cn in [f"Refused {code}", *(f"Behind {code} {i}" for i in range(6))])


def test_pause_ends_everywhere_though_nothing_waits_any_more(system):
    """Every worker has seen it, and what waited has run out: it is tested all the same, and each hears of its end."""
    fault, told = system.ca.fault("address_refused", operation="*"), len(system.results.account_events)
    soon = int(time.time() * 1000) + 10000
    batch = [system.send(messages.enroll(messages.name(), deadline_ms=soon), partition=n)
             for n in range(system.ca.partitions)]
    wait.until(lambda: all(w.metric("epki_account_paused") == 1 for w in system.running()), 10, "a pause everywhere")
    for placed in batch:
        assert system.results.answer_to(placed, 60).failure.failure_class == events.FAILURE_CLASS_EXPIRED
    assert [e.type for e in account_events(system, told)] == ["paused"]
    system.ca.control("DELETE", f"/faults/{fault}")
    await_account(system, told, "resumed")
    wait.until(lambda: all(w.metric("epki_account_paused") == 0 for w in system.running()), 20, "no pause anywhere")
    for partition in range(system.ca.partitions):
        request = messages.name()
        assert system.results.answer_to(system.send(messages.enroll(request), partition=partition)).result == ISSUED
        assert not [e for e in system.results.events if e.request_id == request and e.result == HELD]


def test_refused_address_under_load_pauses_once_and_resumes_by_itself(system):
    fault = system.ca.fault("address_refused", operation="*")
    began, told = len(system.ca.journal()), len(system.results.account_events)
    batch = [send(system, f"Refused Address {i}") for i in range(10)]
    [paused] = await_account(system, told, "paused")
    assert paused.vendor_code == -4201 and paused.advice
    system.ca.await_journal(operation="GetProfiles", code=-4201, timeout=30,
                            count=1 + len(system.ca.journal(operation="GetProfiles", code=-4201)))
    time.sleep(5)
    calls = system.ca.journal()[began:]
    orders = [e["cn"] for e in calls if e["operation"] == "OrderAndIssueCertificate"]
    assert len(orders) == len(set(orders)), "at most the calls that were in flight fail"
    assert 1 <= len(calls) - len(orders) <= 4, f"{len(calls) - len(orders)} tests of the account in so short a time"
    system.ca.control("DELETE", f"/faults/{fault}")
    for _, placed in batch:
        assert system.results.answer_to(placed, 60).result == ISSUED


def test_order_that_does_not_fit_holds_no_partition_where_nobody_can_end_it(system):
    """Its account is paused before it is ended: it waits in the room, and goes on from there."""
    faults = [system.ca.fault("address_refused", operation=operation) for operation in ("Cancel", "GetProfiles")]
    system.ca.fault("wrong_key", cn="Refused Misfit", count=1)
    told = len(system.results.account_events)
    request, placed = send(system, "Refused Misfit")
    assert system.results.progress(request, events.RESULT_WAITING)
    assert [e.type for e in account_events(system, told)] == ["compensated", "paused"]
    [order_id] = system.orders_of("Refused Misfit")
    for fault in faults:
        system.ca.control("DELETE", f"/faults/{fault}")
    event = system.results.answer_to(placed, 60)
    assert event.result == REJECTED and event.failure.problem == "cert-key"
    assert event.certificate.order_id == order_id and list(system.orders_of("Refused Misfit")) == [order_id]
    assert "cancel" in str(system.ca.control("GET", f"/orders/{order_id}")).lower()


def test_wrong_password_is_one_call_then_a_pause(system):
    """The workers restart with a wrong password, as after a bad rotation of the secret."""
    wrong = system.workers.directory / "wrong-password"
    wrong.write_text("wrongwrong1")
    wrong.chmod(0o600)
    change = {"accounts": {"main": {"password_file": str(wrong)}}}
    began, told = len(system.ca.journal()), len(system.results.account_events)
    restart(system, change=change)
    try:
        batch = [send(system, f"Wrong Password {i}") for i in range(10)]
        await_account(system, told, "paused")
        time.sleep(6)
        calls = system.ca.journal()[began:]
        assert len(calls) == 1 and calls[0]["code"] == -4001
        held(system, batch[0][0], events.FAILURE_CLASS_ACCOUNT)
        done = system.workers.command("resume", change=change)
        assert done.returncode == 0 and "was paused" in done.stdout, done.stderr
        wait.until(lambda: len(system.ca.journal()) == began + 2, 20, "the one test that people asked for")
        time.sleep(4)
        assert len(system.ca.journal()) == began + 2
        assert not any("wrongwrong1" in running.log_path.read_text() for running in system.running())
    finally:
        restart(system)
    for index, (_, placed) in enumerate(batch):
        assert system.results.answer_to(placed, 60).result == ISSUED
        assert len(system.orders_of(f"Wrong Password {index}")) == 1
