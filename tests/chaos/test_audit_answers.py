"""The auditor finds each kind of wrong answer in a doctored history, and nothing in a clean one; and says so."""

import pytest

from chaos import story as stories
from chaos.auditor import judge, report, theirs
from chaos.story import by_order, by_request, by_serial, clean, right, wrong
from epki.v1 import certificate_event_pb2, common_pb2, enrollment_pb2, revocation_pb2

REMOVE = revocation_pb2.REMOVAL_REMOVE


def test_clean_history_passes():
    story = clean()
    counts, findings, good = story.audit()
    assert good and not findings
    assert counts == {"requests": 7, "events": 10, "answered": 10, "parked": 0, "lost": 0, "double-answers": 0,
                      "orders": 3, "double-orders": 0, "compensated": 0, "unexplained": 0}


# --- one answer per event ---

def test_lost():
    story = clean()
    story.order(story.enroll("silent"))
    assert "no answer to silent" in wrong(story, lost=1)


def test_lost_duplicate_and_lost_undecodable():
    story = clean()
    story.again(story.issued("three"))
    story.publish(stories.ENROLL, enrollment_pb2.EnrollmentRequest(request_id="bad id"))
    wrong(story, lost=2)


def test_progress_is_no_answer():
    story = clean()
    story.answer(story.enroll("waits"), "held")
    wrong(story, lost=1)


def test_double_answer():
    story = clean()
    asked = story.issued("twice")
    story.answer(asked, "issued")
    assert "answered 2 times" in wrong(story, double_answers=1)


def test_answer_and_dead_letter_and_parked_record_are_two_answers_each():
    story = clean()
    first, second = story.issued("a"), story.issued("b")
    story.letter("parked", first)
    story.letter("dead", second)
    wrong(story, double_answers=2, parked=1, unexplained=1)


def test_parked():
    story = clean()
    story.letter("parked", story.enroll("hard"))
    wrong(story, parked=1)


def test_dead_letter_of_what_can_be_decoded():
    story = clean()
    story.letter("dead", story.enroll("readable"))
    assert "can be decoded" in wrong(story, unexplained=1)


def test_answer_to_what_nobody_published():
    story = clean()
    asked = story.issued("ghost")
    story.history.events.pop()
    text = wrong(story, unexplained=2)
    assert "nobody published" in text and "nobody asked for this order" in text and asked.cn in text


# --- the right answer ---

def test_rejection_without_a_reason():
    story = clean()
    story.reject(story.enroll("good"), "invalid", "missing", "key")
    assert "right were: issued" in wrong(story, unexplained=1)


def test_refusal_that_the_journal_does_not_show_or_the_simulator_had_no_reason_for():
    story = clean()
    asked = story.enroll("refused")
    story.reject(asked, "refused", "ca-name", code=-9934)
    wrong(story, unexplained=1)
    refusal = {"cn": asked.cn, "spki": stories.spki_of(asked.key), "result": "error", "code": -9934, "recorded": False}
    story.call("OrderAndIssueCertificate", **refusal)
    wrong(story, unexplained=1)
    story.call("OrderAndIssueCertificate", **refusal, fault="error_code")
    right(story)


def test_account_and_licences_make_wait_and_never_refuse():
    for code in (-4201, -6101):
        story = clean()
        asked = story.enroll("held")
        story.call("OrderAndIssueCertificate", cn=asked.cn, spki=stories.spki_of(asked.key), result="error", code=code,
                   recorded=False, fault="address_refused")
        story.reject(asked, "refused", "ca-address", code=code)
        wrong(story, unexplained=1)


def test_refusal_by_the_profiles_state_at_that_time():
    story = clean()
    asked = story.enroll("suspended")
    story.call("OrderAndIssueCertificate", cn=asked.cn, spki=stories.spki_of(asked.key), result="error", code=-4005,
               recorded=False)
    story.reject(asked, "refused", "ca-refused", code=-4005)
    wrong(story, unexplained=1)
    last = len(story.history.calls)
    story.history.changes.append(stories.Change(last - 1, {stories.PROFILE: "suspended"}))
    story.history.changes.append(stories.Change(last, {stories.PROFILE: "validated"}))
    right(story)


def test_issued_what_had_to_be_refused():
    story = clean()
    asked = story.enroll("bad-setting")
    asked.message.setting = "unheard of"
    story.history.events.pop()
    story.ends[stories.ENROLL, 0] -= 1
    asked.place = story.publish(stories.ENROLL, asked.message).place
    story.order(asked)
    story.answer(asked, "issued")
    assert "no such setting" in wrong(story, unexplained=1)


def test_deadline():
    story = clean()
    story.reject(story.enroll("late", deadline_ms=story.now + 1500), "expired", "deadline-passed", "deadline_ms")
    right(story)
    story.reject(story.enroll("early", deadline_ms=story.now + 10**6), "expired", "deadline-passed", "deadline_ms")
    wrong(story, unexplained=1)


def test_deadline_does_not_end_what_was_ordered():
    story = clean()
    late = story.enroll("late", deadline_ms=story.now + 1500)
    story.order(late)
    story.reject(late, "expired", "deadline-passed", "deadline_ms")
    wrong(story, unexplained=1)  # one request: the wrong answer, and its valid order


@pytest.mark.parametrize("spoil", ["key", "order", "name", "sealed"])
def test_certificate_that_is_not_what_was_asked_for(spoil):
    story = clean()
    asked = story.enroll("spoilt", worker_key=spoil == "sealed")
    story.order(asked, key=stories.new_key() if spoil == "key" else None)
    certificate = certificate_event_pb2.Certificate()
    certificate.CopyFrom(asked.certificate)
    if spoil == "order":
        certificate.order_id = "CE-unheard-of"
    if spoil == "sealed":
        certificate.ClearField("sealed_pin")
    if spoil == "name":
        asked.cn = "Somebody Else"
        story.order(asked)
        certificate.CopyFrom(asked.certificate)
        del story.history.calls[-2]
    story.answer(asked, "issued", certificate=certificate)
    _, findings, good = story.audit()
    assert not good and any(f.about == "spoilt" and f.kind == "unexplained" for f in findings), findings


# --- duplicates ---

def test_conflict_answered_as_a_duplicate():
    story = clean()
    first = story.issued("same-id")
    other = story.again(first, subject=common_pb2.Subject(last_name="Another"))
    story.repeat(other, first)
    assert "another content" in wrong(story, unexplained=1)


def test_duplicate_answered_as_a_conflict():
    story = clean()
    first = story.issued("same-id")
    story.reject(story.again(first), "conflict", "request-id-conflict", "request_id")
    assert "the same as" in wrong(story, unexplained=1)


def test_duplicate_with_another_certificate():
    story = clean()
    first, other = story.issued("same-id"), story.issued("other-id")
    again = story.again(first)
    story.answer(again, "issued", certificate=other.certificate,
                 duplicate_of=common_pb2.Source(**first.place._asdict()))
    assert "does not repeat" in wrong(story, unexplained=1)


def test_duplicate_handled_as_new():
    story = clean()
    again = story.again(story.issued("same-id"))
    story.order(again)
    story.answer(again, "issued")
    assert "handled twice" in wrong(story, unexplained=1, double_orders=1)


@pytest.mark.parametrize("deed", ["redis-wipe", "redis-restart", "redis-cut"])
def test_revocation_handled_twice_is_excused_by_a_rebuild_only(deed):
    story = clean()
    target = story.issued("target-of-two")
    first = story.revoke("revoked-twice", by_request("target-of-two"))
    again = story.again(first)
    story.deed(deed)
    story.end(target.certificate.order_id)
    for asked in (first, again):
        story.answer(asked, "revoked", certificate=certificate_event_pb2.Certificate(
            order_id=target.certificate.order_id))
    if deed != "redis-cut":
        assert "Redis was rebuilt" in right(story)
    else:
        assert "handled twice" in wrong(story, unexplained=1)


@pytest.mark.parametrize("named", [0, 1, 2])
def test_event_that_comes_after_two_that_were_handled_repeats_either(named):
    story = clean()
    target = story.issued("target-of-two")
    events = [story.revoke("revoked-twice", by_request("target-of-two"))]
    events += [story.again(events[0]) for _ in range(2)]
    story.deed("redis-wipe")
    story.end(target.certificate.order_id)
    certificate = certificate_event_pb2.Certificate(order_id=target.certificate.order_id)
    for asked in events[:2]:
        story.answer(asked, "revoked", certificate=certificate)
    story.answer(events[2], "revoked", certificate=certificate,
                 duplicate_of=common_pb2.Source(**events[named].place._asdict()))
    if named < 2:
        right(story)
    else:
        assert "does not repeat" in wrong(story, unexplained=1)


def by_id_twice(deed, seconds_before):
    """By the id of the order, which needs no Redis; that deed so long before it was asked for."""
    story = clean()
    target = story.issued("target-of-two")
    story.deed(deed)
    story.now += seconds_before * 1000
    first = story.revoke("revoked-twice", by_order(target.certificate.order_id))
    again = story.again(first)
    story.end(target.certificate.order_id)
    for asked in (first, again):
        story.answer(asked, "revoked", certificate=certificate_event_pb2.Certificate(
            order_id=target.certificate.order_id))
    return story


def test_revocation_by_order_handled_twice_is_excused_while_redis_is_away():
    for deed in theirs.UNKEPT:
        assert "Redis was away" in right(by_id_twice(deed, 10))
        assert "handled twice" in wrong(by_id_twice(deed, 20), unexplained=1)
    assert "handled twice" in wrong(by_id_twice("broker-restart", 1), unexplained=1)


def test_wipe_excuses_no_wrong_answer():
    for change in ({"result": "removed"}, {"order_id": "CE99"}, {"result": "rejected"}):
        story = clean()
        target = story.issued("target-of-two")
        first = story.revoked("revoked-twice", target)
        again = story.again(first)
        story.deed("redis-wipe")
        story.answer(again, change.get("result", "revoked"), certificate=certificate_event_pb2.Certificate(
            order_id=change.get("order_id", target.certificate.order_id)))
        assert "handled twice" in wrong(story, unexplained=1)


def test_conflict_with_nothing():
    story = clean()
    story.reject(story.enroll("alone"), "conflict", "request-id-conflict", "request_id")
    wrong(story, unexplained=1)


# --- order within a key ---

def test_answers_of_a_key_out_of_order():
    story = clean()
    first, second = story.enroll("k1", record_key=b"k"), story.enroll("k2", record_key=b"k")
    for asked in (second, first):
        story.order(asked)
        story.answer(asked, "issued")
    assert "was answered before k1" in wrong(story, unexplained=1)


def test_other_keys_and_what_waits_long_may_overtake():
    story = clean()
    first, second, third = (story.enroll(n, record_key=k) for n, k in (("k1", b"k"), ("k2", b"k"), ("k3", b"other")))
    story.answer(first, "waiting")
    for asked in (third, second, first):
        story.order(asked)
        story.answer(asked, "issued")
    right(story)


def test_what_took_so_long_that_it_left_its_place_may_be_overtaken():
    for late, verdict in ((14 * 60000, lambda story: wrong(story, unexplained=1)), (15 * 60000, right)):
        story = clean()
        first, second = (story.enroll(n, record_key=b"k") for n in ("k1", "k2"))
        for asked in (second, first):
            story.order(asked)
            story.answer(asked, "issued")
            story.now += late
        verdict(story)


# --- renewals ---

def test_renewal_of_what_has_no_certificate():
    story = clean()
    story.reject(story.renew("early", by_request("unheard-of"), ""), "invalid", "target", "target.request_id")
    right(story)
    story.reject(story.renew("wrongly", by_request("one"), "Person one"), "invalid", "target", "target.request_id")
    wrong(story, unexplained=1)


def test_renewal_linked_to_another():
    story = clean()
    first = story.issued("base")
    renewal = story.renew("linked", by_serial(first), first.cn)
    story.order(renewal)
    story.answer(renewal, "renewed", replaces_request_id="two", replaces_order_id="CE00001")
    assert "says that it replaces" in wrong(story, unexplained=1)


# --- revocations ---

def test_revocation_that_the_ca_never_heard_of():
    story = clean()
    asked = story.issued("alive")
    revocation = story.revoke("revoke-alive", by_request("alive"))
    story.answer(revocation, "revoked", certificate=asked.certificate)
    assert "did not end order" in wrong(story, unexplained=1)


def test_revocation_of_another_order():
    story = clean()
    asked, other = story.issued("meant"), story.issued("hit")
    revocation = story.revoke("revoke-meant", by_order(asked.certificate.order_id))
    story.end(other.certificate.order_id)
    story.answer(revocation, "revoked", certificate=other.certificate)
    text = wrong(story, unexplained=2)
    assert "instead of" in text and "hit: its order" in text


def test_stopped_in_advance_and_ordered_all_the_same():
    story = clean()
    asked = story.enroll("stopped")
    story.answer(story.revoke("stop", by_request("stopped")), "removed")
    story.reject(asked, "stopped", "stopped-by-revocation")
    right(story)
    story.order(asked)
    wrong(story, unexplained=2)


def test_revoked_instead_of_removed():
    story = clean()
    asked = story.issued("target")
    revocation = story.revoke("remove", by_request("target"), removal=REMOVE)
    story.end(asked.certificate.order_id)
    story.answer(revocation, "revoked", certificate=asked.certificate)
    assert "right were: removed" in wrong(story, unexplained=1)


def test_beyond_the_assumptions_compensated_and_parked_are_no_failure():
    for kind, good in ((judge.PARKED, True), (judge.COMPENSATED, True), (judge.LOST, False), (judge.UNEXPLAINED, False),
                       (judge.DOUBLE_ORDER, False), (judge.DOUBLE_ANSWER, False)):
        finding = judge.Finding(kind, "x", "")
        assert report.good([finding], beyond=True) is good and not report.good([finding], beyond=False)


# --- what it prints ---

def test_what_is_wrong_comes_last_by_its_first_word():
    story = clean()
    findings = [judge.Finding(judge.LOST, "x", "gone"), judge.Finding(judge.COMPENSATED, "y", "two", True),
                judge.Finding(judge.PARKED, "z", "why")]
    for beyond, wrong in ((False, ["WRONG: lost: x: gone", "WRONG: parked: z: why"]), (True, ["WRONG: lost: x: gone"])):
        lines = []
        report.show(stories.World(story.history), findings, beyond, lines.append)
        assert lines[-1 - len(wrong):-1] == wrong and "compensated: y: two (excused)" in lines
        assert not any(line.startswith("WRONG") for line in lines[:-1 - len(wrong)])


def test_tables_come_first_and_the_counts_last():
    story = clean()
    story.deed("worker-kill")
    story.history.faults["reset on GetOrders"] += 3
    asked = story.enroll("late")
    story.now += 100000
    story.order(asked)
    story.answer(asked, "issued")
    world = stories.World(story.history)
    lines = []
    report.show(world, judge.judge(world), say=lines.append)
    assert lines[-1] == ("requests 8 events 11 answered 11 parked 0 lost 0 double-answers 0 orders 4 double-orders 0 "
                         "compensated 0 unexplained 0")
    told = "\n".join(lines[:-1])
    assert "       1  worker-kill" in told and "       3  reset on GetOrders" in told and "all within 102.0 s" in told
    assert "     102.0 s  enroll late, epki.enrollment.requests/0/6" in told
    page = report.markdown(world, judge.judge(world))
    assert "| requests | events | answered |" in page and "| worker-kill | 1 |" in page and "| 102.0 s |" in page
