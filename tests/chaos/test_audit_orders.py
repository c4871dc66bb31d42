"""The auditor finds each order too many, what may excuse one, and each that was ended or left alive without a word."""

import pytest

from chaos import story as stories
from chaos.story import by_order, by_request, clean, excused, right, wrong
from epki.v1 import certificate_event_pb2


def test_double_order_of_a_csr():
    story = clean()
    asked = story.enroll("double")
    first, second = story.order(asked), story.order(asked)
    story.answer(asked, "issued")
    text = wrong(story, double_orders=1)
    assert first in text and second in text


def test_double_order_of_a_worker_made_key_is_known_by_its_name():
    story = clean()
    asked = story.enroll("double", worker_key=True)
    story.order(asked, key=stories.new_key())
    story.order(asked)
    story.answer(asked, "issued")
    wrong(story, double_orders=1)


def test_surplus_ended_and_reported_is_compensated():
    story = clean()
    asked = story.enroll("surplus")
    surplus = story.order(asked)
    story.order(asked)
    story.answer(asked, "issued")
    story.end(surplus, "Cancel")
    assert "nobody was told" in wrong(story, unexplained=1)
    story.report(surplus)
    wrong(story, compensated=1)


def test_surplus_that_outlives_the_answered_order():
    story = clean()
    asked = story.enroll("surplus")
    surplus = story.order(asked)
    story.order(asked)
    story.answer(asked, "issued")
    story.report(surplus)
    wrong(story, double_orders=1)
    story.revoked("revoke-surplus", asked)
    assert f"surplus orders {surplus} are valid" in wrong(story, unexplained=1)


def lost_key(story):
    asked = story.enroll("lost-key", worker_key=True)
    lost = story.order(asked, key=stories.new_key())
    story.deed("redis-wipe")
    return asked, lost


def test_key_lost_with_redis_and_its_worker_is_an_excuse():
    story = clean()
    asked, lost = lost_key(story)
    story.deed("worker-kill")
    story.end(lost, "Cancel")
    story.order(asked)
    story.answer(asked, "issued", note=f"an earlier order ({lost}) was cancelled because its key was lost")
    excused(story, compensated=1)


def test_key_lost_while_its_worker_lived_is_none():
    story = clean()
    asked, lost = lost_key(story)
    story.end(lost, "Cancel")
    story.deed("worker-kill")  # too late to be the reason
    story.order(asked)
    story.answer(asked, "issued", note=f"an earlier order ({lost}) was cancelled because its key was lost")
    wrong(story, compensated=1)


@pytest.mark.parametrize("kind,before_s,good", [
    ("worker-kill", 2, True), ("worker-kill", 10, False), ("worker-stop", 10, False), ("worker-remove", 10, False),
    ("worker-ended", 1, True), ("worker-add", 10, True), ("broker-stop", 10, True), ("broker-restart", 40, False),
    ("worker-add", 40, False), ("broker-restart", 20, True), ("worker-start", 10, True), ("worker-start", 40, False),
    ("worker-wake", 10, True), ("redis-restart", 1, False), ("ca-cut", 1, False)])
def test_what_was_done_before_the_attempt_parted_nobody_from_its_key(kind, before_s, good):
    """A worker that has gone does not order; a partition that is moved is so for some time."""
    story = clean()
    asked = story.enroll("lost-key", worker_key=True)
    story.deed(kind)
    story.now += before_s * 1000
    lost = story.order(asked, key=stories.new_key())
    story.deed("redis-wipe")
    story.end(lost, "Cancel")
    story.order(asked)
    story.answer(asked, "issued", note=f"an earlier order ({lost}) was cancelled because its key was lost")
    (excused if good else wrong)(story, compensated=1)


@pytest.mark.parametrize("worker_key,named", [(False, True), (True, False)])
def test_note_tells_of_the_order_that_it_names_and_of_a_worker_made_key_only(worker_key, named):
    story = clean()
    asked = story.enroll("noted", worker_key=worker_key)
    ended = story.order(asked)
    story.end(ended, "Cancel")
    story.order(asked)
    story.answer(asked, "issued", note=f"an earlier order ({ended if named else 'another'}) was cancelled")
    assert "nobody was told" in wrong(story, unexplained=1)


def test_order_that_nobody_asked_for():
    story = clean()
    story.order(story.enroll("asked"))
    story.history.events.pop()
    assert "nobody asked for this order" in wrong(story, unexplained=1)


@pytest.mark.parametrize("forgotten,answered,good", [(True, "late", True), (False, "late", False), (True, "early", False)])
def test_order_under_the_id_of_an_event_that_redis_had_forgotten(forgotten, answered, good):
    """Of an event with another content: it was the first to come after that, and is a conflict once both are known."""
    story = clean()
    first = story.revoke("taken", by_request("never-comes"))
    if forgotten:
        story.deed("redis-wipe")
    if answered == "early":
        story.answer(first, "removed")
    other = story.enroll("taken")
    story.order(other)
    if answered == "late":
        story.answer(first, "removed")
    story.reject(other, "conflict", "request-id-conflict", "request_id")
    wrong(story, **({} if good else {"unexplained": 1}))


def test_portal_order_is_reported_not_counted():
    story = clean()
    story.call("Portal", "CE99", "Somebody Else", "ab")
    counts, findings, good = story.audit()
    assert good and counts["orders"] == 3 and ["CE99" == f.about for f in findings] == [True]
    story.end("CE99", "Cancel")
    assert "an order of the portal was ended" in wrong(story, unexplained=1)


def test_valid_order_of_a_rejected_request():
    story = clean()
    asked = story.enroll("orphan")
    story.order(asked, fault="wrong_key")
    story.reject(asked, "mismatch", "key")
    assert "is valid" in wrong(story, unexplained=1)
    story.end(asked.certificate.order_id, "Cancel")
    assert "nobody was told" in wrong(story, unexplained=1)
    story.report_misfit(asked, asked.certificate.order_id)
    right(story)


def misfit(story, fault="wrong_key", worker_key=False):
    asked = story.enroll("misfit", worker_key=worker_key)
    return asked, story.order(asked, fault=fault)


@pytest.mark.parametrize("fault", ["wrong_key", "wrong_name"])
@pytest.mark.parametrize("operation", ["Cancel", "Revoke"])
@pytest.mark.parametrize("worker_key", [False, True])
def test_misfit_is_followed_by_no_other_order(fault, operation, worker_key):
    story = clean()
    asked, first = misfit(story, fault, worker_key)
    story.report_misfit(asked, first)
    story.end(first, operation)
    story.deed("redis-wipe")
    story.deed("worker-kill")
    story.order(asked)
    story.answer(asked, "issued")
    wrong(story, compensated=1)


def test_misfit_after_misfit():
    story = clean()
    asked, first = misfit(story)
    story.report_misfit(asked, first)
    story.end(first, "Cancel")
    second = story.order(asked, fault="wrong_name")
    story.end(second, "Cancel")
    certificate = certificate_event_pb2.Certificate(order_id=second)
    story.reject(asked, "mismatch", "cert-name", certificate=certificate)
    assert f"order {second} did not fit" in wrong(story, unexplained=1, compensated=1)
    story.report_misfit(asked, second)
    wrong(story, compensated=1)


def test_misfit_that_lives_beside_the_next_order():
    story = clean()
    asked, first = misfit(story)
    story.report_misfit(asked, first)
    story.order(asked)
    story.answer(asked, "issued")
    assert first in wrong(story, double_orders=1)


@pytest.mark.parametrize("change", [
    {"type": "surplus"}, {"problem": "key-lost"}, {"order_id": "CE-another"}, {"request_id": "another"}, None])
def test_misfit_that_was_not_told_as_one(change):
    story = clean()
    asked, first = misfit(story)
    if change is not None:
        story.report_misfit(asked, first, **{k: v for k, v in change.items() if k in ("type", "problem")})
        for name in ("order_id", "request_id"):
            setattr(story.history.notices[-1], name, change.get(name, getattr(story.history.notices[-1], name)))
    story.end(first, "Cancel")
    story.order(asked)
    story.answer(asked, "issued")
    counts, findings, good = story.audit()
    assert counts["unexplained"] == 1 and not good and any("did not fit" in str(f) for f in findings), findings


def test_order_that_fits_is_no_misfit_whatever_is_told():
    story = clean()
    asked, first = misfit(story, fault="")
    story.report_misfit(asked, first)
    story.end(first, "Cancel")
    story.order(asked)
    story.answer(asked, "issued")
    wrong(story, compensated=1)


def test_misfit_that_a_revocation_ended_need_not_be_told():
    story = clean()
    asked, order = misfit(story)
    story.end(order)
    story.reject(asked, "refused", "order-cancelled")
    revocation = story.revoke("revoke-misfit", by_order(order))
    story.answer(revocation, "revoked", certificate=certificate_event_pb2.Certificate(order_id=order))
    right(story)


def test_one_order_told_to_two_requests():
    story = clean()
    first, second = story.issued("first"), story.enroll("second")
    second.certificate = first.certificate
    story.answer(second, "issued")
    text = wrong(story, unexplained=1)
    assert "is also the answer to first" in text and "another key than its CSR" in text


@pytest.mark.parametrize("operation", ["Cancel", "Revoke"])
def test_answered_order_that_no_revocation_names_was_ended(operation):
    story = clean()
    asked = story.issued("whole")
    story.end(asked.certificate.order_id, operation)
    assert "no revocation names it" in wrong(story, unexplained=1)
    story.reject(story.revoke("revoke-whole", by_order(asked.certificate.order_id)), "invalid", "target", "target")
    assert "no revocation names it" not in wrong(story, unexplained=1)
