"""Whatever tells whose an order is: it is on the profile and for the names that its request asks for, and so is its
certificate."""

import pytest

from chaos import story as stories
from chaos.auditor import theirs
from chaos.story import by_request, by_serial, clean, excused, right, wrong

CHOICES = [{}, {"worker_key": True}, {"their_key": True}]
MAIL = {"setting": "mail", "email": "ada@example.com"}
ANOTHER = "eve@example.com"


def issued(story, how, **journal):
    """Ordered by the journal in another way than was asked for, and answered."""
    asked = story.enroll("odd", **how)
    order_id = story.order(asked, **journal)
    story.answer(asked, "issued")
    return asked, order_id


def renewed(story, asked, target, **journal):
    renewal = story.renew("renewal-of-it", target, asked.cn, asked.message.setting, asked.email)
    story.order(renewal, **journal)
    story.answer(renewal, "renewed", replaces_order_id=asked.certificate.order_id)


# --- as it should be ---

@pytest.mark.parametrize("how", CHOICES)
def test_each_setting_has_its_profile_and_addresses(how):
    story = clean()
    mail, other = story.issued("mail", **MAIL, **how), story.issued("other", setting="other", **how)
    renewed(story, mail, by_serial(mail))
    story.revoked("revoke-mail", mail)
    story.revoked("revoke-other", other)
    right(story)


def test_case_of_the_certificates_address_is_the_cas():
    story = clean()
    asked = story.enroll("mail", **MAIL)
    asked.email = asked.email.upper()
    story.order(asked, email=MAIL["email"])
    story.answer(asked, "issued")
    right(story)


# --- the order ---

@pytest.mark.parametrize("how", CHOICES)
def test_order_on_another_profile(how):
    story = clean()
    _, order_id = issued(story, how, profile=stories.OTHER_PROFILE)
    assert f"order {order_id} has the profile '{stories.OTHER_PROFILE}'" in wrong(story, unexplained=1)


@pytest.mark.parametrize("how", CHOICES)
@pytest.mark.parametrize("email", ["", ANOTHER])
def test_order_for_another_address(how, email):
    story = clean()
    _, order_id = issued(story, {**how, **MAIL}, email=email)
    assert f"order {order_id} has the email {email!r}" in wrong(story, unexplained=1)


def test_order_for_an_address_that_nobody_asked_for():
    story = clean()
    issued(story, {}, email=ANOTHER)
    assert f"has the email {ANOTHER!r}, not ''" in wrong(story, unexplained=1)


@pytest.mark.parametrize("how", CHOICES)
def test_order_for_another_name(how):
    story = clean()
    issued(story, how, cn="Somebody Else")
    assert "has the cn 'Somebody Else'" in wrong(story, unexplained=1)


@pytest.mark.parametrize("field,value", [("email", ANOTHER), ("profile", stories.PROFILE)])
def test_renewal_takes_the_address_of_its_target_and_the_profile_of_its_setting(field, value):
    story = clean()
    asked = story.issued("mail", **MAIL)
    renewed(story, asked, by_request("mail"), **{field: value})
    assert f"has the {field} {value!r}" in wrong(story, unexplained=1)


def test_surplus_on_another_profile_is_not_only_compensated():
    story = clean()
    asked = story.enroll("odd")
    surplus = story.order(asked, profile=stories.OTHER_PROFILE)
    story.order(asked)
    story.answer(asked, "issued")
    story.end(surplus, "Cancel")
    story.report(surplus)
    assert f"order {surplus} has the profile" in wrong(story, compensated=1, unexplained=1)


def test_of_one_key_an_order_is_that_of_the_request_that_asks_for_its_profile():
    story = clean()
    first = story.issued("first")
    story.order(story.enroll("second", key=first.key, cn=first.cn, setting="other"))
    assert "no answer to second" in wrong(story, lost=1)


def test_of_one_name_an_order_is_that_of_the_request_that_asks_for_its_address():
    story = clean()
    how = {"worker_key": True, "setting": "mail", "cn": "Same Name"}
    one, other = story.enroll("one-of", email=ANOTHER, **how), story.enroll("other-of", **{**MAIL, **how})
    story.order(other, key=stories.new_key())
    for asked in (one, other):
        story.order(asked)
        story.answer(asked, "issued")
    assert "double-order: other-of" in wrong(story, double_orders=1)


# --- the certificate ---

@pytest.mark.parametrize("how", CHOICES)
@pytest.mark.parametrize("email", ["", ANOTHER])
def test_certificate_for_another_address(how, email):
    story = clean()
    asked = story.enroll("odd", **MAIL, **how)
    asked.email = email
    story.order(asked, email=MAIL["email"])
    story.answer(asked, "issued")
    assert "its certificate is for mail to" in wrong(story, unexplained=1)


def test_certificate_for_an_address_that_nobody_asked_for():
    story = clean()
    asked = story.enroll("odd")
    asked.email = ANOTHER
    story.order(asked, email="")
    story.answer(asked, "issued")
    assert f"its certificate is for mail to ['{ANOTHER}'], not to ''" in wrong(story, unexplained=1)


# --- what excuses ---

def test_refusal_for_another_address_is_none_of_its_own():
    story = clean()
    asked = story.enroll("refused", worker_key=True, **MAIL)
    story.reject(asked, "refused", "ca-name", code=-9934)
    refusal = {"cn": asked.cn, "result": "error", "code": -9934, "recorded": False, "fault": "error_code",
               "profile": stories.MAIL_PROFILE}
    story.call("OrderAndIssueCertificate", email=ANOTHER, **refusal)
    wrong(story, unexplained=1)
    story.call("OrderAndIssueCertificate", email=asked.email, **refusal)
    right(story)


@pytest.mark.parametrize("how,email,verdict", [(MAIL, MAIL["email"], excused), (MAIL, ANOTHER, wrong),
                                               ({}, ANOTHER, excused)])
def test_of_which_orders_people_say_whose_they_are(how, email, verdict):
    """As the worker sees it: an address tells orders apart only where one was asked for."""
    story = clean()
    asked = story.enroll("made", their_key=True, **how)
    story.order(asked, fault="close_after_record")
    profile = story.history.settings[asked.message.setting].profile
    story.call("Portal", "CE99", asked.cn, "ab", profile=profile, email=email)
    story.letter("parked", asked, theirs.AMBIGUOUS)
    verdict(story, parked=1)
