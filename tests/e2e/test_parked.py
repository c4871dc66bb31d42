"""What a person decides: requests that are parked, how they come back, and what repeats them meanwhile."""

import time

import pytest

from kit import keys, messages, topics, wait
from kit.parked import decide, reason_of, standing
from epki.v1 import certificate_event_pb2 as events
from epki.v1 import common_pb2, internal_pb2

ISSUED, REJECTED = events.RESULT_ISSUED, events.RESULT_REJECTED
RETRY, END = internal_pb2.RESUME_ACTION_RETRY, internal_pb2.RESUME_ACTION_END
VANISHED = "orders-fail-again-and-again"
ATTEMPTS = 5
# A quiet period of 3.2 s: each request here outlives five of them before it is parked.
SETTINGS = {"time": {"send_window_ms": 2000, "processing_ms": 500, "visibility_ms": 100, "margin_ms": 100},
            "accounts": {"main": {"connect_ms": 1000}}}


class Parked:
    """An enrolment whose orders vanish until it is parked, and what is seen of it."""

    def __init__(self, system, cn, hidden=False, **fields):
        self.system, self.cn = system, cn
        self.message = messages.enroll(messages.name("parked"), cn=cn, **fields)
        self.request_id = self.message.request_id
        # Closed before anything is recorded; the last one is recorded after all if it is a hidden one.
        system.ca.fault("close_before_record", cn=cn, count=ATTEMPTS - hidden)
        if hidden:
            system.ca.fault("close_after_record", cn=cn, count=1)
        self.placed = system.send(self.message)

    def record(self, timeout=60):
        return self.system.results.record_from(topics.PARKED, self.placed, timeout)

    def standing(self):
        return standing(self.system, self.request_id, self.placed)

    def resume(self, action, placed=None):
        """Decides about the event, or about one that repeats it."""
        return decide(self.system, self.request_id, placed or self.placed, action)

    def calls(self):
        return [e for e in self.system.ca.journal(cn=self.cn) if e["operation"] == "OrderAndIssueCertificate"]

    def orders(self):
        return self.system.orders_of(self.cn)


def headers_of(record):
    return {name: value.decode() for name, value in record.headers()}


def nothing_came_of(system, resume):
    """The resume was handled, and that it led nowhere is all that is said of it."""
    def look():
        return [e for w in system.running() for e in w.log(msg="done without an answer of its own")
                if e.get("why") == "it no longer waits" and e.get("request_id") == resume]
    return wait.until(look, 30, f"the end of the resume of {resume}")


@pytest.fixture(scope="module")
def parked(system):
    """All of them at once, for each takes five quiet periods. No query shows anything while they look."""
    assert system.issue(messages.enroll(messages.name())).result == ISSUED
    system.ca.settings(view_lag_ms=3600000)
    choice = common_pb2.WorkerKey(type="KEY_TYPE_EC_P256", recipient_certificate=system.recipient.der)
    made = {"retried": Parked(system, "Parked Retried"),
            "ended": Parked(system, "Parked Ended"),
            "keyed": Parked(system, "Parked Keyed", worker_key=choice),
            "repeated": Parked(system, "Parked Repeated"),
            "framed": Parked(system, "Parked Framed"),
            "hidden": Parked(system, "Parked Hidden", hidden=True),
            "hidden ended": Parked(system, "Parked Gone", hidden=True)}
    for one in made.values():
        one.record(120)
    system.ca.settings(view_lag_ms=0)
    return made


def test_request_whose_orders_vanish_is_parked_after_five(system, parked):
    one = parked["retried"]
    record = one.record()
    headers = headers_of(record)
    assert reason_of(record) == VANISHED and headers["x-request-id"] == one.request_id
    assert headers["x-attempt"] == str(ATTEMPTS) and headers["x-state"] == "parked"
    assert record.value() == one.message.SerializeToString() and record.key() == one.request_id.encode()
    assert len(one.calls()) == ATTEMPTS and not one.orders()
    assert system.results.answers(one.request_id) == []
    assert one.standing() is not None


def test_retried_request_is_ordered_and_answered_once(system, parked):
    one = parked["retried"]
    again = one.resume(RETRY)
    system.send(messages.resume(one.request_id, one.placed, RETRY), partition=again.partition)
    event = system.results.answer_to(one.placed, 40)
    assert event.result == ISSUED and event.attempts == ATTEMPTS + 1
    assert list(one.orders()) == [event.certificate.order_id]
    nothing_came_of(system, one.request_id)
    assert len(system.results.answers(one.request_id)) == 1 and one.standing() is None
    repeated = system.issue(one.message)
    assert repeated.HasField("duplicate_of") and repeated.certificate.serial == event.certificate.serial


def test_ended_request_is_rejected_once_and_orders_nothing(system, parked):
    one = parked["ended"]
    said = one.resume(END)
    event = system.results.answer_to(one.placed, 40)
    assert event.result == REJECTED and event.failure.failure_class == events.FAILURE_CLASS_STOPPED
    assert event.failure.problem == "ended-by-operator" and event.failure.advice
    system.send(messages.resume(one.request_id, one.placed, RETRY), partition=said.partition)  # too late
    nothing_came_of(system, one.request_id)
    assert len(system.results.answers(one.request_id)) == 1 and one.standing() is None
    assert len(one.calls()) == ATTEMPTS and not one.orders()
    again = system.issue(one.message)
    assert again.result == REJECTED and again.HasField("duplicate_of")


def test_worker_made_key_outlives_being_parked(system, parked):
    one = parked["keyed"]
    one.resume(RETRY)
    event = system.results.answer_to(one.placed, 40)
    key, certificate, _ = system.recipient.open_pkcs12(event.certificate)
    assert keys.spki_sha256(key.public_key()) == keys.spki_sha256(certificate.public_key())
    assert event.result == ISSUED and len(one.orders()) == 1


def test_retry_looks_first_for_what_vanished(system, parked):
    """GlobalSign had taken one and shows it again by the time a person decides: another one would be a second."""
    one = parked["hidden"]
    assert len(one.orders()) == 1
    one.resume(RETRY)
    event = system.results.answer_to(one.placed, 40)
    assert event.result == ISSUED and event.attempts == ATTEMPTS
    assert list(one.orders()) == [event.certificate.order_id] and len(one.calls()) == ATTEMPTS


def test_end_cancels_what_had_vanished(system, parked):
    one = parked["hidden ended"]
    [order_id] = one.orders()
    one.resume(END)
    event = system.results.answer_to(one.placed, 40)
    assert event.result == REJECTED and event.failure.problem == "ended-by-operator"
    assert event.certificate.order_id == order_id and not event.certificate.der
    assert "cancel" in str(system.ca.control("GET", f"/orders/{order_id}")).lower()
    assert len(one.calls()) == ATTEMPTS


def test_duplicates_of_a_parked_request(system, parked):
    """Parked as well, and name the first; another content is a conflict; each is answered when a person says so."""
    one = parked["repeated"]
    again, given_up = system.send(one.message, key="elsewhere"), system.send(one.message, key="third")
    for placed in (again, given_up):
        record = system.results.record_from(topics.PARKED, placed)
        assert reason_of(record) == "duplicate-of-parked"
        assert headers_of(record)["x-duplicate-of"] == f"{one.placed.topic}/{one.placed.partition}/{one.placed.offset}"
    conflict = system.issue(messages.enroll(one.request_id, cn="Somebody Else"))
    assert conflict.result == REJECTED and conflict.failure.failure_class == events.FAILURE_CLASS_CONFLICT
    one.resume(END, given_up)
    ended = system.results.answer_to(given_up, 40)
    assert ended.result == REJECTED and ended.failure.problem == "ended-by-operator"
    assert len(system.results.answers(one.request_id)) == 2 and len(one.calls()) == ATTEMPTS
    one.resume(RETRY)
    event = system.results.answer_to(one.placed, 40)
    assert event.result == ISSUED and not event.HasField("duplicate_of")
    one.resume(RETRY, again)
    repeated = system.results.answer_to(again, 40)
    assert repeated.duplicate_of == event.source and repeated.certificate.serial == event.certificate.serial
    assert len(one.orders()) == 1 and not system.orders_of("Somebody Else")


@pytest.mark.parametrize("count", [5, 65])
def test_what_is_parked_again_has_its_headers_and_its_time(system, parked, count):
    """People have a duplicate tried again whose first is still parked. More headers than are kept are said to be gone."""
    one, at = parked["framed"], int(time.time() * 1000) - 60000
    own = [("odd", b"\xff\x00"), ("empty", b""), ("none", None), ("twice", b"1"), ("twice", b"2")]
    own += [(f"more-{i}", b"x") for i in range(count - len(own))]
    placed = system.send(one.message, key="framed", headers=own, timestamp_ms=at)
    system.results.record_from(topics.PARKED, placed)
    decide(system, one.request_id, placed, RETRY)
    first, again = wait.until(
        lambda: (lambda found: len(found) == 2 and found)(
            [r for r in list(system.results.records[topics.PARKED]) if topics.source_headers(r) == placed]), 40,
        "the second record of it")
    assert first.headers()[:count] == own and "x-headers-left-out" not in dict(first.headers())
    for record in (first, again):
        assert record.timestamp()[1] == at and record.key() == b"framed"
        assert record.value() == one.message.SerializeToString() and reason_of(record) == "duplicate-of-parked"
    if count > 64:
        assert dict(again.headers())["x-headers-left-out"] == b"65" and "odd" not in dict(again.headers())
    else:
        assert again.headers()[:count] == own and "x-headers-left-out" not in dict(again.headers())


def test_resume_of_what_is_not_parked_does_nothing(system, parked):
    request = messages.name()
    message = messages.enroll(request)
    placed = system.send(message)
    assert system.results.answer_to(placed).result == ISSUED
    unknown = messages.name("never-seen")
    for name, action in ((request, RETRY), (request, END), (unknown, RETRY), (unknown, END)):
        system.send(messages.resume(name, placed, action))
    wait.until(lambda: len(nothing_came_of(system, request)) == len(nothing_came_of(system, unknown)) == 2, 30,
               "all four resumes")
    assert len(system.results.answers(request)) == 1 and system.results.answers(unknown) == []
    assert len(system.orders_of(f"Person {request}")) == 1
    assert system.issue(messages.enroll(messages.name())).result == ISSUED


def test_resume_that_makes_no_sense_is_a_dead_letter(system):
    placed = system.send(b"\xff\xff", topic=topics.RESUME, key="nonsense")
    assert headers_of(system.results.record_from(topics.DEAD, placed))["__connect.errors.stage"] == "decode"


def place_undying(system, cn):
    """A request whose certificate will not fit, and whose order GlobalSign will not end."""
    system.ca.fault("wrong_key", cn=cn, count=1)
    for operation in ("Cancel", "Revoke"):
        system.ca.fault("error_code", operation=operation, code=-4005)
    message = messages.enroll(messages.name("undying"), cn=cn)
    return message.request_id, system.send(message)


@pytest.fixture
def undying(system):
    cn = f"Undying {messages.name()}"
    request, placed = place_undying(system, cn)
    record = system.results.record_from(topics.PARKED, placed)
    [order_id] = system.orders_of(cn)
    assert reason_of(record) == "order-cannot-be-cancelled" and headers_of(record)["x-ca-order-id"] == order_id
    return cn, request, placed


@pytest.mark.parametrize("action", [RETRY, END])
def test_order_that_could_not_be_ended_is_ended_when_a_person_says_so(system, undying, action):
    cn, request, placed = undying
    system.ca.clear_faults()
    decide(system, request, placed, action)
    event = system.results.answer_to(placed, 40)
    assert event.result == REJECTED and not event.certificate.der
    expected = events.FAILURE_CLASS_MISMATCH if action == RETRY else events.FAILURE_CLASS_STOPPED
    assert event.failure.failure_class == expected
    assert list(system.orders_of(cn)) == [event.certificate.order_id]
    assert "cancel" in str(system.ca.control("GET", f"/orders/{event.certificate.order_id}")).lower()


def test_ended_though_its_order_lives(system, undying):
    """GlobalSign still refuses: the person's word ends the event all the same, and the answer says what lives."""
    cn, request, placed = undying
    decide(system, request, placed, END)
    event = system.results.answer_to(placed, 40)
    assert event.result == REJECTED and list(system.orders_of(cn)) == [event.certificate.order_id]
    assert event.failure.failure_class == events.FAILURE_CLASS_MISMATCH
    assert event.failure.problem == "order-cannot-be-cancelled" and event.failure.vendor_code == -4005


def test_resume_on_another_partition_finds_its_way(system, undying):
    """Whoever writes it may spread keys otherwise than the workers do."""
    _, request, placed = undying
    record = standing(system, request, placed)
    system.send(messages.resume(request, placed, END, record.offset()), partition=(record.partition() + 1) % 4)
    assert system.results.answer_to(placed, 40).result == REJECTED and standing(system, request, placed) is None


def test_resume_that_comes_before_its_record_was_read_waits_for_it(system):
    system.ca.settings(order_min_ms=3000, order_max_ms=3000)
    try:
        request, placed = place_undying(system, "Undying Early")
        system.ca.await_journal(cn="Undying Early", recorded=True)
        ordering = standing(system, request, placed)
        parked_at = ordering.offset() + 4  # behind two ORDERING records and two markers
        system.send(messages.resume(request, placed, END, parked_at), partition=ordering.partition())
        assert system.results.answer_to(placed, 40).result == REJECTED
        assert reason_of(system.results.record_from(topics.PARKED, placed)) == "order-cannot-be-cancelled"
    finally:
        system.ca.settings(order_min_ms=200, order_max_ms=400)
