"""Keys that the CA makes: what a lost reply may cost, and that nothing else is excused by one."""

import pytest

from chaos import story as stories
from chaos.auditor import theirs
from chaos.story import by_request, clean, excused, right, wrong
from epki.v1 import common_pb2

SECOND = 1000
OWN_CANCELLED = "cancelled-order-may-be-its-own"


def lost(story, request_id="made", fault="accept_then_drop", **how):
    """Asked for, and ordered; and its reply never came. Nobody has the key."""
    asked = story.enroll(request_id, their_key=True, **how)
    return asked, story.order(asked, key=stories.new_key(), fault=fault)


def ended(story, asked, order_id, about=None):
    """As the worker does it: cancelled, told, ordered anew."""
    story.end(order_id, "Cancel")
    story.report(order_id, "compensated", about or asked.message.request_id)
    story.order(asked)
    story.answer(asked, "issued", note=f"order {order_id} was cancelled because its key was lost")


def compensated(story, **how):
    asked, order_id = lost(story, **how)
    ended(story, asked, order_id)
    return asked, order_id


# --- as it should be ---

def test_issued_renewed_and_repeated():
    story = clean()
    asked = story.issued("made", their_key=True)
    story.repeat(story.again(asked), asked)
    renewal = story.renew("renewed", by_request("made"), asked.cn)
    story.order(renewal)
    story.answer(renewal, "renewed", replaces_request_id="made", replaces_order_id=asked.certificate.order_id)
    right(story)


def test_answer_without_the_key():
    story = clean()
    asked = story.enroll("made", their_key=True)
    story.order(asked)
    asked.certificate.sealed_pkcs12 = b""
    story.answer(asked, "issued")
    assert "the key that was made for it is missing" in wrong(story, unexplained=1)


@pytest.mark.parametrize("choice,operation", [({"their_key": True}, "OrderAndIssueCertificate"), ({}, "OrderPkcs12"),
                                              ({"worker_key": True}, "OrderPkcs12")])
def test_order_of_another_kind_than_asked_for(choice, operation):
    story = clean()
    asked = story.enroll("made", **choice)
    story.order(asked, operation=operation)
    story.answer(asked, "issued")
    assert "is not what it asked for" in wrong(story, unexplained=1)


def test_key_policy():
    story = clean()
    asked = story.enroll("strange", their_key=True)
    asked.message.key.globalsign_key.recipient_certificate = b"somebody else's"
    asked = story.again(asked)
    story.history.events.pop(-2)
    story.order(asked)
    story.answer(asked, "issued")
    assert "a recipient that the setting does not list" in wrong(story, unexplained=1)


def test_another_format_is_another_request():
    story = clean()
    asked = story.issued("made", their_key=True)
    other = story.again(asked, key=common_pb2.KeyChoice(globalsign_key=common_pb2.GlobalSignKey(format=2)))
    story.repeat(other, asked)
    assert "has another content" in wrong(story, unexplained=1)


@pytest.mark.parametrize("fault", ["wrong_pin", "spoilt_pkcs12", "no_pkcs12", "wrong_name"])
def test_key_that_cannot_be_used(fault):
    story = clean()
    asked = story.enroll("useless", their_key=True)
    order_id = story.order(asked, fault=fault)
    story.end(order_id, "Cancel")
    story.reject(asked, "mismatch", "pkcs12-pin")
    assert "nobody was told" in wrong(story, unexplained=1)
    story.report_misfit(asked, order_id)
    right(story)
    story.history.calls[-2] = stories.dataclasses.replace(story.history.calls[-2], fault="")
    wrong(story, unexplained=1)


@pytest.mark.parametrize("fault", ["wrong_pin", "spoilt_pkcs12", "no_pkcs12"])
def test_key_that_cannot_be_used_is_not_delivered(fault):
    story = clean()
    asked = story.enroll("useless", their_key=True)
    story.order(asked, fault=fault)
    story.answer(asked, "issued")
    assert f"what nobody can use ({fault})" in wrong(story, unexplained=1)


def test_key_that_cannot_be_used_of_a_worker_that_was_gone_before_it_saw_that():
    """Then it is told as lost."""
    story = clean()
    asked, order_id = lost(story, fault="wrong_pin")
    story.deed("worker-kill")
    ended(story, asked, order_id)
    excused(story, compensated=1)
    story.history.deeds.clear()
    assert "did not fit (wrong_pin)" in wrong(story, compensated=1, unexplained=1)


# --- the reply was lost ---

@pytest.mark.parametrize("fault", theirs.NO_REPLY)
def test_order_whose_reply_the_journal_shows_lost(fault):
    story = clean()
    compensated(story, fault=fault)
    excused(story, compensated=1)


@pytest.mark.parametrize("fault", ["", "slow", "slow_body", "late_view"])
def test_order_whose_reply_came(fault):
    story = clean()
    compensated(story, fault=fault)
    wrong(story, compensated=1)


def test_fault_on_another_order_is_no_cause():
    story = clean()
    compensated(story, fault="")
    story.order(story.enroll("other", their_key=True), fault="accept_then_drop")
    wrong(story, compensated=1, lost=1)


@pytest.mark.parametrize("told_of", [None, "somebody-else"])
def test_nobody_was_told_of_the_ended_order(told_of):
    story = clean()
    asked, order_id = lost(story)
    ended(story, asked, order_id, told_of)
    if told_of is None:
        story.history.notices.clear()
    assert "nobody was told" in wrong(story, unexplained=1)


def test_ordered_again_while_the_first_stands():
    story = clean()
    asked, order_id = lost(story)
    story.report(order_id, "compensated", "made")
    story.order(asked)
    story.answer(asked, "issued")
    wrong(story, double_orders=1)


def test_ended_and_not_ordered_again():
    story = clean()
    asked, order_id = lost(story)
    story.end(order_id, "Cancel")
    story.report(order_id, "compensated", "made")
    wrong(story, lost=1)
    story.answer(asked, "issued")
    wrong(story, unexplained=1)


# --- by whom or what ---

def with_deeds(*deeds):
    """An order without a fault of the CA's, of a story where these things are done so many seconds after it."""
    story = clean()
    asked, order_id = lost(story, fault="")
    ordered = story.now
    for kind, after in deeds:
        story.now = ordered + after * SECOND
        story.deed(kind)
    story.now = ordered + 60 * SECOND
    ended(story, asked, order_id)
    return story


@pytest.mark.parametrize("kind", theirs.CUT + theirs.GONE)
def test_worker_or_connection_ended_before_the_reply_could_be_kept(kind):
    for after in (-3, 0, 13):
        excused(with_deeds((kind, after)), compensated=1)
    for after in (-6, 20, 65):
        wrong(with_deeds((kind, after)), compensated=1)


def test_other_deeds_are_no_cause():
    wrong(with_deeds(("worker-stop", 1), ("broker-restart", 2), ("heal", 3)), compensated=1)
    wrong(with_deeds(("redis-wipe", 1)), compensated=1)


def test_kept_only_in_a_redis_that_was_wiped_and_by_a_worker_that_is_gone():
    for parted in theirs.PARTED + theirs.MOVES:
        excused(with_deeds((parted, 30), ("redis-wipe", 40)), compensated=1)
        wrong(with_deeds((parted, 30), ("redis-wipe", 70)), compensated=1)
    for gone in theirs.PARTED:
        wrong(with_deeds((gone, -6), ("redis-wipe", 40)), compensated=1)


@pytest.mark.parametrize("kind", theirs.MOVES)
def test_partition_that_moved_later_than_who_moved_it(kind):
    excused(with_deeds((kind, -29), ("redis-wipe", 5)), compensated=1)
    wrong(with_deeds((kind, -40), ("redis-wipe", 5)), compensated=1)
    wrong(with_deeds((kind, -29)), compensated=1)


# --- people have to say ---

def ambiguous(fault="close_after_record", problem=theirs.AMBIGUOUS, rival=True, **how):
    story = clean()
    asked, order_id = lost(story, fault=fault, **how)
    if rival:
        story.call("Portal", "CE99", asked.cn, "ab")
    story.letter("parked", asked, problem)
    return story, asked, order_id


def portal_notes(text):
    return "somebody's order in the portal" in text


def test_of_several_orders_people_say_which_is_whose():
    story, asked, order_id = ambiguous()
    assert portal_notes(excused(story, parked=1))
    story.letter("parked", story.again(asked), theirs.DUPLICATE)
    excused(story, parked=2)


@pytest.mark.parametrize("deeds,good", [(("worker-kill", "redis-wipe"), True), (("worker-kill",), False),
                                        (("redis-wipe",), False)])
def test_of_an_order_that_was_only_meant_to_be_placed_nobody_knows_that(deeds, good):
    """Two of others, who lost their replies, may be its own to who has taken it over."""
    story = clean()
    for name in ("first", "second"):
        lost(story, name, cn="One Person")
    asked = story.enroll("meant", their_key=True, cn="One Person")
    for kind in deeds:
        story.deed(kind)
    story.letter("parked", asked, theirs.AMBIGUOUS)
    text, _ = stories.numbered(story, {"parked": 1, "lost": 2})
    assert ("parked: epki.enrollment.requests" in text) and ("(excused)" in text) == good


def test_parked_with_one_order_or_no_loss_or_another_reason():
    for change in ({"rival": False}, {"fault": ""}, {"fault": "slow"}, {"problem": "because"},
                   {"problem": OWN_CANCELLED}, {"problem": theirs.TOO_OFTEN}, {"problem": theirs.DUPLICATE}):
        story, _, _ = ambiguous(**change)
        wrong(story, parked=1)


def test_orders_that_were_ended_or_told_are_not_in_doubt():
    for end in (True, False):
        story = clean()
        asked = story.enroll("made", their_key=True)
        other = story.enroll("told", their_key=True, cn=asked.cn)
        story.order(other)
        story.answer(other, "issued")
        if end:
            story.revoked("ends-it", other)
        story.order(asked, fault="close_after_record")
        story.letter("parked", asked, theirs.AMBIGUOUS)
        wrong(story, parked=1)


def test_own_order_that_was_ended_is_not_in_doubt():
    story = clean()
    asked, order_id = lost(story)
    story.end(order_id, "Cancel")
    story.report(order_id, "compensated", "made")
    story.order(asked, key=stories.new_key(), fault="close_after_record")
    story.letter("parked", asked, theirs.AMBIGUOUS)
    wrong(story, parked=1, compensated=1)


def test_csr_is_never_ambiguous():
    story = clean()
    asked = story.enroll("csr")
    story.order(asked, fault="close_after_record", operation="OrderPkcs12")
    story.call("Portal", "CE99", asked.cn, "ab")
    story.letter("parked", asked, theirs.AMBIGUOUS)
    wrong(story, parked=1)


def test_attempt_that_the_ca_never_recorded_may_be_in_doubt_too():
    story = clean()
    asked = story.enroll("made", their_key=True)
    story.call("OrderPkcs12", "", asked.cn, fault="close_before_record", recorded=False)
    for number in (98, 99):
        story.call("Portal", f"CE{number}", asked.cn, "ab")
    story.letter("parked", asked, theirs.AMBIGUOUS)
    excused(story, parked=1)


def test_two_of_one_name_that_lost_their_replies_together():
    story = clean()
    one, other = (story.enroll(name, their_key=True, cn="Same Name") for name in ("one-of", "other-of"))
    for asked in (one, other):
        story.order(asked, key=stories.new_key(), fault="reset_after_record")
    for asked in (one, other):
        story.letter("parked", asked, theirs.AMBIGUOUS)
    excused(story, parked=2)
    story.order(one, key=stories.new_key())  # three orders for two requests, whosever they are
    assert "2 valid certificates" in wrong(story, parked=2, double_orders=1)


def test_one_of_two_of_one_name_goes_on():
    """The other's order is not its own, whichever was published first."""
    for first in ("lost", "kept"):
        story = clean()
        if first == "lost":
            asked, order_id = lost(story, cn="Same Name")
        other = story.issued("kept", their_key=True, cn="Same Name")
        if first == "kept":
            asked, order_id = lost(story, cn="Same Name")
        ended(story, asked, order_id)
        assert "made: 2 orders" in excused(story, compensated=1)
        assert other.certificate.order_id != order_id


def test_one_whose_reply_is_on_its_way_is_in_doubt():
    """To the worker that looks for its own it may be that; later it is known whose it is."""
    story = clean()
    asked, other = (story.enroll(name, their_key=True, cn="Same Name") for name in ("made", "other"))
    story.order(asked, key=stories.new_key(), fault="reset_after_record")
    story.order(other)
    story.letter("parked", asked, theirs.AMBIGUOUS)
    story.answer(other, "issued")
    excused(story, parked=1)


def test_of_one_name_it_is_whose_it_was_reported():
    story = clean()
    one, other = (story.enroll(name, their_key=True, cn="Same Name") for name in ("one-of", "other-of"))
    order_id = story.order(other, key=stories.new_key(), fault="reset_after_record")
    story.order(one)
    story.answer(one, "issued")
    ended(story, other, order_id)
    assert "other-of: 2 orders" in excused(story, compensated=1)


def test_conflict_with_what_is_parked():
    story, asked, _ = ambiguous()
    other = story.again(asked, subject=common_pb2.Subject(first_name="Somebody"))
    story.reject(other, "conflict", "request-id-conflict", "request_id")
    excused(story, parked=1)
    story.reject(story.again(asked), "conflict", "request-id-conflict", "request_id")
    wrong(story, parked=1, unexplained=1)


@pytest.mark.parametrize("fault", ["wrong_pin", "half_body"])
def test_that_its_order_is_ended_is_not_forgotten_with_redis_and_the_worker(fault):
    story = clean()
    asked = story.enroll("made", their_key=True)
    order_id = story.order(asked, key=stories.new_key(), fault=fault)
    story.report_misfit(asked, order_id)
    story.end(order_id, "Cancel")
    story.deed("redis-wipe")
    story.deed("worker-kill")
    story.letter("parked", asked, OWN_CANCELLED)
    assert OWN_CANCELLED in wrong(story, parked=1)


def test_key_lost_again_and_again():
    for times, verdict in ((5, excused), (4, wrong)):
        story = clean()
        asked = story.enroll("made", their_key=True)
        for _ in range(times):
            order_id = story.order(asked, key=stories.new_key(), fault="half_body")
            story.end(order_id, "Cancel")
            story.report(order_id, "compensated", "made")
        story.letter("parked", asked, theirs.TOO_OFTEN)
        verdict(story, parked=1, compensated=1)


def test_refusal_of_another_kind_of_order_is_none_of_its_own():
    story = clean()
    asked = story.enroll("refused", their_key=True)
    story.reject(asked, "refused", "ca-name", code=-9934)
    refusal = {"cn": asked.cn, "result": "error", "code": -9934, "recorded": False, "fault": "error_code"}
    story.call("OrderAndIssueCertificate", **refusal)
    wrong(story, unexplained=1)
    story.call("OrderPkcs12", **refusal)
    right(story)
