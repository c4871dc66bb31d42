"""Orders whose reply never came, or made no sense: found out, never repeated blindly. And certificates that do not fit."""

import pytest

from kit import messages, wait
from kit.stack import decided
from epki.v1 import certificate_event_pb2 as events

ISSUED, REJECTED = events.RESULT_ISSUED, events.RESULT_REJECTED

# The order is recorded, its reply is lost in every way: it must be found.
LOST = ["close_after_record", "reset_after_record", "accept_then_drop", "status_line_only", "truncated_xml", "half_body",
        "empty_body"]
# Nothing is recorded, and the worker cannot know: it must look, wait out the quiet period, and order again.
REFUSED = ["close_before_record", "reset", "html", "http_503", "redirect", "soap_fault_server"]


def send(system, cn):
    request = messages.name()
    return request, system.send(messages.enroll(request, cn=cn))


@pytest.fixture(scope="module")
def lost(system):
    """One request for each way to lose a reply, all in the air together; each CN meets its fault once."""
    sent = {}
    for fault in LOST + REFUSED:
        cn = f"Fault {fault}"
        system.ca.fault(fault, cn=cn, count=1)
        sent[fault] = send(system, cn)
    for fault in sent:  # all have struck before the first test takes its faults away
        system.ca.await_journal(cn=f"Fault {fault}")
    return sent


@pytest.mark.parametrize("fault", LOST)
def test_lost_reply_is_found(system, lost, fault):
    request, placed = lost[fault]
    event = system.results.answer_to(placed, 40)
    assert event.result == ISSUED and event.attempts == 1
    assert list(system.orders_of(f"Fault {fault}")) == [event.certificate.order_id]
    assert system.results.progress(request, events.RESULT_RECONCILING)


@pytest.mark.parametrize("fault", REFUSED)
def test_order_that_was_not_recorded_is_placed_again_after_the_quiet_period(system, lost, fault):
    request, placed = lost[fault]
    event = system.results.answer_to(placed, 60)
    assert event.result == ISSUED and event.attempts == 2
    assert list(system.orders_of(f"Fault {fault}")) == [event.certificate.order_id]
    calls = [e for e in system.ca.journal(cn=f"Fault {fault}") if e["operation"] == "OrderAndIssueCertificate"]
    assert len(calls) == 2


def test_tls_that_stalls_sends_nothing_and_is_tried_again(system):
    system.ca.fault("tls_stall", operation="*", count=2)
    request, placed = send(system, "Stalled Handshake")
    event = system.results.answer_to(placed, 40)
    assert event.result == ISSUED
    assert len(system.orders_of("Stalled Handshake")) == 1


def test_found_late_when_queries_lag(system):
    """The order shows in queries only after a while: "not found" must not be believed before the quiet period."""
    system.ca.settings(view_lag_ms=1500)
    try:
        system.ca.fault("close_after_record", cn="Late View", count=1)
        _, placed = send(system, "Late View")
        event = system.results.answer_to(placed, 40)
        assert event.result == ISSUED and event.attempts == 1
        assert len(system.orders_of("Late View")) == 1
    finally:
        system.ca.settings(view_lag_ms=0)


def test_unfinished_order_of_another_name_is_waited_for(system):
    """A CA that rewrites names may have made it of ours: nothing shows whose it is before it is finished."""
    profile = system.ca["EPKI_PROFILE"]
    system.ca.fault("close_before_record", cn="Rewritten Person", count=1)
    other = system.ca.control("POST", "/orders", {"cn": "PERSON, REWRITTEN", "profile": profile, "issued": False})
    request, placed = send(system, "Rewritten Person")
    scans = wait.until(lambda: [e for e in system.ca.journal(operation="GetOrders", cn="", profile=profile)
                                if e["seq"] > first_seq(system, "Rewritten Person")][2:], 60, "lists of the profile")
    assert scans and not system.orders_of("Rewritten Person")
    system.ca.control("POST", f"/orders/{other['id']}/status", {"status": 3})
    event = system.results.answer_to(placed, 60)
    assert event.result == ISSUED and event.attempts == 2
    assert list(system.orders_of("Rewritten Person")) == [event.certificate.order_id]


def first_seq(system, cn):
    """Where in the journal the first call for a common name stands."""
    return min((e["seq"] for e in system.ca.journal(cn=cn)), default=float("inf"))


def test_warning_with_the_certificate_is_success(system):
    system.ca.fault("warning", cn="Warned Person", count=1)
    _, placed = send(system, "Warned Person")
    assert system.results.answer_to(placed).result == ISSUED
    assert len(system.orders_of("Warned Person")) == 1


def test_pending_order_is_polled_until_issued(system):
    system.ca.settings(async_issue_ms=2000)
    system.ca.fault("pending", cn="Pending Person", count=1)
    request, placed = send(system, "Pending Person")
    assert system.results.progress(request, events.RESULT_PENDING).certificate.order_id
    event = system.results.answer_to(placed, 60)
    assert event.result == ISSUED and event.attempts == 1
    assert len(system.orders_of("Pending Person")) == 1


@pytest.mark.parametrize("fault", ["wrong_key", "wrong_name"])
def test_certificate_of_another_key_or_name_is_cancelled_and_not_delivered(system, fault):
    cn = f"Misfit {fault}"
    system.ca.fault(fault, cn=cn, count=1)
    _, placed = send(system, cn)
    event = system.results.answer_to(placed, 40)
    assert event.result == REJECTED and event.failure.failure_class == events.FAILURE_CLASS_MISMATCH
    assert not event.certificate.der
    [order_id] = system.orders_of(cn)
    assert "cancel" in str(system.ca.control("GET", f"/orders/{order_id}")).lower()
    [told] = wait.until(lambda: [e for e in list(system.results.account_events) if e.order_id == order_id], 20,
                        "the word of the cancelled order")
    assert (told.type, told.problem, told.request_id) == ("compensated", "order-mismatch", event.request_id)
    assert "vpn" in told.cause and event.failure.problem in told.cause


@pytest.mark.parametrize("fault", ["other_id", "other_order"])
def test_order_of_another_request_is_left_alone(system, fault):
    """It is told in the reply to ours, with its own certificate or with ours. Ours is found."""
    others = system.issue(messages.enroll(messages.name())).certificate
    cn = f"Told {fault}"
    system.ca.fault(fault, cn=cn, count=1, field=others.order_id)
    request, placed = send(system, cn)
    event = system.results.answer_to(placed, 60)
    assert event.result == ISSUED and event.attempts == 1
    assert list(system.orders_of(cn)) == [event.certificate.order_id]
    assert event.certificate.serial != others.serial
    for order_id in (others.order_id, event.certificate.order_id):
        order = str(system.ca.control("GET", f"/orders/{order_id}")).lower()
        assert "cancel" not in order and "revoke" not in order
    assert not system.results.told_of(request)


def test_refusal_is_answered_with_code_and_field(system):
    system.ca.fault("error_code", cn="Refused Person", count=1, code=-103, field="CommonName")
    _, placed = send(system, "Refused Person")
    event = system.results.answer_to(placed, 40)
    assert event.result == REJECTED and event.failure.failure_class == events.FAILURE_CLASS_REFUSED
    assert event.failure.vendor_code == -103 and event.failure.vendor_field == "CommonName"
    assert not system.orders_of("Refused Person")


def test_throttling_is_shared_and_obeyed(system):
    """429 with Retry-After: nobody of the fleet calls before it is over, and the order is found out about first."""
    system.ca.fault("http_429", cn="Throttled Person", count=1, retry_after_s=3)
    _, placed = send(system, "Throttled Person")
    refused = wait.until(lambda: system.ca.journal(cn="Throttled Person"), 20, "the 429")[0]
    other = messages.name()
    assert system.issue(messages.enroll(other)).result == ISSUED
    call = system.ca.journal(cn=f"Person {other}", operation="OrderAndIssueCertificate")[0]
    assert decided(call) - decided(refused) > 2.5, refused
    assert system.results.answer_to(placed, 60).result == ISSUED
    assert len(system.orders_of("Throttled Person")) == 1
