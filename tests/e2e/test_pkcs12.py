"""Keys that GlobalSign makes: taken out of its PKCS#12 and sealed anew; and what a lost reply costs, for it held the only
copy."""

import pytest
from cryptography import x509

from kit import keys, messages, parked, topics, wait
from epki.v1 import certificate_event_pb2 as events
from epki.v1 import common_pb2, internal_pb2

ISSUED, RENEWED, REJECTED = events.RESULT_ISSUED, events.RESULT_RENEWED, events.RESULT_REJECTED
ORDER = "OrderPkcs12"
# An order that nobody knows may be one whose reply is on its way: it is watched for so long.
SETTINGS = {"accounts": {"main": {"order_ms": 6000}}}


@pytest.fixture(scope="module", autouse=True)
def accepted(system):
    """The account is tested by one query before the first order: that is behind us here."""
    assert system.issue(messages.enroll(messages.name())).result == ISSUED


def ask(system, cn, form="PKCS12_FORMAT_UNSPECIFIED", recipient=None, **fields):
    choice = common_pb2.GlobalSignKey(recipient_certificate=(recipient or system.recipient).der, format=form)
    return messages.enroll(messages.name("p12"), cn=cn, globalsign_key=choice, **fields)


def opened(system, event):
    """The key that the recipient finds in the answer; it is that of the certificate."""
    key, certificate, chain = system.recipient.open_pkcs12(event.certificate)
    assert certificate == x509.load_der_x509_certificate(event.certificate.der) and len(chain) >= 1
    assert keys.spki_sha256(key.public_key()) == keys.spki_sha256(certificate.public_key())
    return key


def is_ended(system, order_id):
    return "cancel" in str(system.ca.control("GET", f"/orders/{order_id}")).lower()


def is_compensated(system, message, event, lost):
    """The order whose key nobody has is cancelled, the other one counts, and both are said."""
    assert event.result == ISSUED and event.attempts == 2, event
    assert lost in event.note and "key was lost" in event.note
    assert sorted(system.orders_of(message.subject.first_name + " " + message.subject.last_name)) == sorted(
        [lost, event.certificate.order_id])
    assert is_ended(system, lost) and not is_ended(system, event.certificate.order_id)
    [told] = wait.until(lambda: system.results.told_of(message.request_id), 20, "the word of the cancelled order")
    assert (told.type, told.problem, told.order_id) == ("compensated", "key-lost", lost)
    assert "reply" in told.cause and told.advice
    assert len(system.results.answers(message.request_id)) == 1
    opened(system, event)


def parked_reason(system, placed, timeout=60):
    return parked.reason_of(system.results.record_from(topics.PARKED, placed, timeout))


def once_more(system, message, placed):
    """People say of a parked request that it is to be tried again."""
    parked.decide(system, message.request_id, placed, internal_pb2.RESUME_ACTION_RETRY)


# --- as it should be ---

@pytest.mark.parametrize("form", ["PKCS12_FORMAT_MODERN", "PKCS12_FORMAT_APPLE"])
@pytest.mark.parametrize("theirs", ["modern", "legacy"])
def test_the_recipient_opens_what_globalsign_made(system, form, theirs):
    cn = f"Made {form}-{theirs}"
    system.ca.settings(p12_encoding=theirs)
    event = system.issue(ask(system, cn, form))
    assert event.result == ISSUED and event.attempts == 1 and not event.note
    [(order_id, entry)] = system.orders_of(cn).items()
    assert entry["operation"] == ORDER and event.certificate.order_id == order_id
    assert entry["spki_sha256"] == keys.spki_sha256(opened(system, event).public_key())


def test_the_other_element_of_the_reply(system):
    system.ca.settings(p12_element="binary")
    try:
        opened(system, system.issue(ask(system, "Binary Element")))
    finally:
        system.ca.settings(p12_element="base64")


def test_duplicate_is_answered_with_the_same_key_and_orders_nothing(system):
    message = ask(system, "Twice Asked")
    first, again = system.issue(message), system.issue(message)
    assert again.HasField("duplicate_of") and not first.HasField("duplicate_of")
    assert again.certificate.serial == first.certificate.serial
    assert opened(system, again).private_numbers() == opened(system, first).private_numbers()
    assert len(system.orders_of("Twice Asked")) == 1


def test_another_key_choice_under_the_same_id_is_a_conflict(system):
    message = ask(system, "Choice Changed")
    assert system.issue(message).result == ISSUED
    message.key.CopyFrom(messages.key_choice(
        worker_key=common_pb2.WorkerKey(recipient_certificate=system.recipient.der)))
    event = system.issue(message)
    assert event.result == REJECTED and event.failure.failure_class == events.FAILURE_CLASS_CONFLICT


def test_renewal_with_a_key_of_globalsign(system):
    base = system.issue(messages.enroll(messages.name(), cn="Renewed Owner"))
    choice = common_pb2.GlobalSignKey(recipient_certificate=system.recipient.der)
    event = system.issue(messages.renew(messages.name(), messages.by_request(base.request_id), globalsign_key=choice))
    assert event.result == RENEWED and event.replaces_order_id == base.certificate.order_id
    opened(system, event)


def test_setting_that_does_not_permit_it(system):
    message = ask(system, "Not Permitted", setting="smime")
    event = system.issue(message)
    assert event.result == REJECTED and event.failure.failure_class == events.FAILURE_CLASS_INVALID
    assert (event.failure.problem, event.failure.field) == ("key-policy", "key.globalsign_key")
    assert not system.orders_of("Not Permitted")


def test_recipient_that_the_setting_does_not_list(system):
    event = system.issue(ask(system, "Strange Recipient", recipient=keys.Recipient("stranger")))
    assert event.result == REJECTED and event.failure.field == "key.globalsign_key.recipient_certificate"
    assert not system.orders_of("Strange Recipient")


# --- what came cannot be used ---

@pytest.mark.parametrize("fault,problem", [
    ("wrong_pin", "pkcs12-pin"), ("spoilt_pkcs12", "pkcs12-malformed"), ("no_pkcs12", "pkcs12-missing"),
    ("wrong_name", "cert-name")])
def test_order_of_a_key_that_cannot_be_used_is_cancelled(system, fault, problem):
    cn = f"Of No {fault}"
    system.ca.fault(fault, operation=ORDER, cn=cn, count=1)
    event = system.issue(ask(system, cn))
    assert event.result == REJECTED and event.failure.failure_class == events.FAILURE_CLASS_MISMATCH
    assert event.failure.problem == problem and event.failure.advice
    [order_id] = system.orders_of(cn)
    assert event.certificate.order_id == order_id and is_ended(system, order_id)
    [told] = wait.until(lambda: system.results.told_of(event.request_id), 20, "the word of the cancelled order")
    assert (told.type, told.problem, told.order_id) == ("compensated", "order-mismatch", order_id)


# --- what did not come ---

LOST = ["accept_then_drop", "close_after_record", "truncated_xml"]


@pytest.fixture(scope="module")
def lost(system):
    """One request for each way to lose a reply, all in the air together; and one whose order was never placed."""
    sent = {}
    for fault in LOST + ["close_before_record"]:
        message = ask(system, f"Fault {fault}")
        system.ca.fault(fault, operation=ORDER, cn=f"Fault {fault}", count=1)
        sent[fault] = message, system.send(message)
    for fault in sent:
        system.ca.await_journal(cn=f"Fault {fault}")
    return sent


@pytest.mark.parametrize("fault", LOST)
def test_order_whose_reply_is_lost_is_cancelled_and_placed_again(system, lost, fault):
    message, placed = lost[fault]
    event = system.results.answer_to(placed, 90)
    is_compensated(system, message, event, next(iter(system.orders_of(f"Fault {fault}"))))


def test_order_that_was_never_placed_is_placed_once(system, lost):
    message, placed = lost["close_before_record"]
    event = system.results.answer_to(placed, 90)
    assert event.result == ISSUED and event.attempts >= 2 and not event.note  # one that is not sent in time counts too
    assert len(system.ca.journal(cn="Fault close_before_record", operation=ORDER)) == 2
    assert list(system.orders_of("Fault close_before_record")) == [event.certificate.order_id]
    assert not system.results.told_of(message.request_id)
    opened(system, event)


def test_orders_that_others_have_are_left_alone(system):
    """The same person has a device's certificate, and one whose key the worker made: both of these minutes."""
    cn = "Many Devices"
    others = [system.issue(messages.enroll(messages.name(), cn=cn)), system.issue(ask(system, cn))]
    system.ca.fault("accept_then_drop", operation=ORDER, cn=cn, count=1)
    message = ask(system, cn)
    event = system.results.answer_to(system.send(message), 90)
    assert event.result == ISSUED and event.attempts == 2
    [told] = wait.until(lambda: system.results.told_of(message.request_id), 20, "the word of the cancelled order")
    assert is_ended(system, told.order_id) and len(system.orders_of(cn)) == 4
    assert not any(is_ended(system, o.certificate.order_id) for o in [*others, event])


def test_of_two_orders_people_say_which_is_whose(system):
    """One is ours, one is somebody's in the portal; nothing tells them apart. People cancel ours, and it goes on."""
    cn = "Of Two"
    profile = system.ca["EPKI_PROFILE"]
    system.ca.fault("close_after_record", operation=ORDER, cn=cn, count=1)
    message = ask(system, cn)
    placed = system.send(message)
    [ours] = system.ca.await_journal(cn=cn, recorded=True)
    theirs = system.ca.control("POST", "/orders", {"cn": cn, "profile": profile})["id"]
    assert parked_reason(system, placed) == "orders-ambiguous"
    assert not is_ended(system, ours["order_id"]) and not is_ended(system, theirs)
    assert system.results.answers(message.request_id) == [] and len(system.orders_of(cn)) == 1

    system.ca.control("POST", f"/orders/{theirs}/status", {"status": 3})  # ours is the one that is left
    once_more(system, message, placed)
    is_compensated(system, message, system.results.answer_to(placed, 90), ours["order_id"])


def test_two_that_lost_their_replies_together_are_both_parked(system):
    """Each sees two orders, and each would be right to call either its own."""
    system.ca.fault("close_after_record", operation=ORDER, cn="Both Lost", count=2)
    sent = [system.send(ask(system, "Both Lost"), partition=p) for p in (0, 1)]
    assert [parked_reason(system, placed) for placed in sent] == ["orders-ambiguous"] * 2
    assert len(system.orders_of("Both Lost")) == 2
    assert not any(is_ended(system, order) for order in system.orders_of("Both Lost"))


def test_unfinished_order_of_the_name_is_waited_for(system):
    """It may be ours or not: nothing is decided before it is issued or ended; and if people ended it, they decide."""
    cn = "Not Finished"
    system.ca.fault("close_before_record", operation=ORDER, cn=cn, count=1)
    other = system.ca.control("POST", "/orders", {"cn": cn, "profile": system.ca["EPKI_PROFILE"], "issued": False})
    message = ask(system, cn)
    placed = system.send(message)
    system.ca.await_journal(60, 10, cn=cn, operation="GetOrders")
    assert len(system.ca.journal(cn=cn, operation=ORDER)) == 1
    system.ca.control("POST", f"/orders/{other['id']}/status", {"status": 3})
    assert parked_reason(system, placed) == "cancelled-order-may-be-its-own"
    once_more(system, message, placed)
    event = system.results.answer_to(placed, 90)
    assert event.result == ISSUED and event.attempts == 2
    opened(system, event)


def test_worker_killed_after_the_order_was_recorded(system):
    """Who adopts the request has neither key nor PIN, and knows from the record of the intent when it was."""
    cn = "Killed Then"
    system.ca.fault("hold_reply", operation=ORDER, cn=cn, count=1)
    message = ask(system, cn)
    placed = system.send(message)
    [ours] = system.ca.await_journal(cn=cn, recorded=True)
    [victim] = [w for w in system.running() if w.log(request_id=message.request_id)]
    victim.kill()
    is_compensated(system, message, system.results.answer_to(placed, 90), ours["order_id"])
    system.workers.start()


def test_secrets_are_written_nowhere(system):
    """Neither the PIN that the recipient finds nor a key in clear is in any log."""
    event = system.issue(ask(system, "Kept Secret"))
    pin = system.recipient.open(event.certificate.sealed_pin)
    for worker in system.workers.workers:
        text = worker.log_path.read_bytes()
        assert pin not in text and b"PRIVATE KEY" not in text and b"PKCS12PIN" not in text
