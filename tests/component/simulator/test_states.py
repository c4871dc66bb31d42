"""What the CA keeps: profiles and vetting, licences, domains, addresses, the account, states of orders."""
import datetime
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime

import pytest
from lxml import etree

from harness import (LICENCE, SMIME, USER, VETTING, Wire, csr_of, envelope, fields_of, http, new_key, read_reply,
                     wait_for)

ISSUE = "OrderAndIssueCertificate"
DAY = 86400


def refused(sim, **order):
    return sim.call(ISSUE, **order).errors


def profile_state(sim, name):
    return sim.call("GetProfiles", ProfileQueryParam__ProfileOrderNo=name).text("ProfileOrderState")


# --- profiles ---


def test_vetting_and_suspension(sim):
    assert refused(sim, profile=VETTING) == [(-4005, "ProfileID")]
    sim.profile("MPNEW1", state="vetting", organization="New Corp", locality="Brugge")
    assert profile_state(sim, "MPNEW1") == "1" and refused(sim, profile="MPNEW1")
    sim.profile("MPNEW1", state="validated")
    assert profile_state(sim, "MPNEW1") == "4"
    cert = sim.issue(profile="MPNEW1").certificate
    assert "O=New Corp,L=Brugge" in cert.subject.rfc4514_string()
    sim.profile("MPNEW1", state="suspended")
    assert profile_state(sim, "MPNEW1") == "5" and refused(sim, profile="MPNEW1") == [(-4005, "ProfileID")]
    answer = sim.call("GetProfiles", ProfileQueryParam__ProfileOrderNo="MPNEW1")
    assert answer.text("SuspendDate")
    sim.profile("MPNEW1", state="validated")
    assert sim.issue(profile="MPNEW1").order_id


def test_unknown_profile(sim):
    assert refused(sim, profile="MP209901010001") == [(-9401, "ProfileID")]


def test_a_profile_serves_824_days_after_its_vetting(sim):
    answer = sim.profile("MPNEW2", state="validated")
    assert answer["not_after_ms"] - answer["issued_ms"] == 824 * DAY * 1000
    sim.profile("MPNEW2", not_after_ms=int(time.time() * 1000) - 1)
    assert refused(sim, profile="MPNEW2") == [(-4005, "ProfileID")]


def test_options_of_a_profile(sim):
    sim.profile("MPNEW3", state="validated", efs=False, upn=False)
    assert refused(sim, profile="MPNEW3", EFSOption="true") == [(-105, "EFSOption")]
    assert refused(sim, profile="MPNEW3", UPN="a@corp.example.com") == [(-105, "UPN")]
    assert refused(sim, profile="MPNEW3", EFSOption="false") == []


# --- S/MIME profiles and e-mail domains ---


def mail(email, **more):
    return {"profile": SMIME, "email": email, "san": email, **more}


def test_rules_of_smime_profiles(sim):
    assert refused(sim, **mail("ada@example.com")) == []
    assert refused(sim, **mail("ada@sub.example.com")) == []
    assert refused(sim, profile=SMIME) == [(-102, "DnAttributes.Email"), (-102, "SANRFC822EmailAddress")]
    assert refused(sim, **mail("ada@example.com", san="bob@example.com")) == [(-105, "SANRFC822EmailAddress")]
    assert refused(sim, **mail("ada@example.com", ou="Sales")) == [(-105, "DnAttributes.OrganizationUnit")]


def test_domains(sim):
    for email in ("ada@pending.example.org", "ada@elsewhere.example", "ada@notexample.com"):
        assert refused(sim, **mail(email)) == [(-101, "DnAttributes.Email")]
    sim.profile("MPMAIL", state="validated", smime=True, domains=["one.example", {"name": "two.example",
                                                                                 "approved": False}])
    assert refused(sim, **mail("a@one.example", profile="MPMAIL")) == []
    assert refused(sim, **mail("a@two.example", profile="MPMAIL")) == [(-101, "DnAttributes.Email")]
    sim.profile("MPMAIL", domains=["two.example"])
    assert refused(sim, **mail("a@two.example", profile="MPMAIL")) == []
    assert refused(sim, **mail("a@one.example", profile="MPMAIL")) == [(-101, "DnAttributes.Email")]


# --- addresses ---


@pytest.mark.parametrize("ranges,allowed", [
    (["10.0.0.0/8"], False), (["127.0.0.1"], True), (["127.0.0.0/8", "10.0.0.0/8"], True),
    (["126.0.0.0/7"], True), (["128.0.0.0/1"], False), (["::1"], False), (["::ffff:127.0.0.1"], True),
    (["0.0.0.0/0"], True), ([], True)])
def test_address_ranges(sim, ranges, allowed):
    url, sim.url = sim.url, sim.url.replace("localhost", "127.0.0.1")
    try:
        sim.profile("MPADDR", state="validated", addresses=ranges)
        assert refused(sim, profile="MPADDR") == ([] if allowed else [(-4201, None)])
        assert refused(sim) == []  # another profile
    finally:
        sim.url = url


def test_address_ranges_guard_its_orders(sim):
    sim.profile("MPADDR2", state="validated")
    order = sim.issue(profile="MPADDR2").order_id
    sim.profile("MPADDR2", addresses=["203.0.113.0/24"])
    assert sim.call("Revoke", OrderID=order).errors == [(-4201, None)]
    assert sim.query(order).errors == [(-4201, None)]
    sim.profile("MPADDR2", addresses=[])
    assert sim.status(order) == 4


# --- licences ---


def packs(sim):
    return {pack["id"]: pack for pack in sim.state("?orders=0")["licences"]}


def test_a_licence_for_each_order_until_they_are_out(start):
    sim = start(settings={"licences": 2})
    assert packs(sim)[LICENCE]["remaining"] == 2
    first, _ = sim.issue(cn="L").order_id, sim.issue("OrderPkcs12", cn="L").order_id
    assert packs(sim)[LICENCE]["remaining"] == 0
    assert refused(sim) == [(-6101, None)]
    # Cancelling gives the licence back, revoking does not.
    assert sim.call("Cancel", OrderID=first).success == 0
    third = sim.issue(cn="L").order_id
    assert sim.call("Revoke", OrderID=third).success == 0
    assert refused(sim) == [(-6101, None)]
    sim.control("POST", "/licences", {"id": "ML2", "total": 1})
    assert sim.query(sim.issue(cn="L").order_id).text("LicenseNo") == "ML2"
    sim.set(licences=5)
    assert packs(sim)[LICENCE]["remaining"] == 5
    sim.restart()
    assert packs(sim)["ML2"]["used"] == 1 and packs(sim)[LICENCE]["used"] == 2


def test_packs_expire(start):
    sim = start(settings={"licence_expired_code": -6099})
    sim.control("POST", "/licences", {"id": LICENCE, "not_after_ms": int(time.time() * 1000) - 1})
    assert packs(sim)[LICENCE]["expired"]
    assert refused(sim) == [(-6099, None)]
    sim.control("POST", "/licences", {"id": LICENCE, "remaining": 0})
    assert refused(sim) == [(-6101, None)]


def test_a_pack_lasts_a_year_of_the_cas_clock(start):
    sim = start(settings={"clock_offset_s": 366 * DAY})
    assert refused(sim) == [(-6101, None)]


# --- the account ---


def login(sim, password, user=USER, operation="GetProfiles"):
    return sim.post(envelope(operation, fields_of(operation), user=user, password=password))


def test_wrong_user_or_password(sim):
    assert login(sim, "wrong").errors == [(-4001, None)]
    assert login(sim, sim.password, user="PAR00001_other").errors == [(-4001, None)]
    assert login(sim, "wrong", operation=ISSUE).errors == [(-4001, None)]
    assert login(sim, sim.password).success == 0


def test_a_new_password(sim):
    sim.set(password="another1")
    assert login(sim, sim.password).errors == [(-4001, None)]
    assert login(sim, "another1").success == 0
    assert sim.control("GET", "/settings")["password"] == "(set)"


def test_lock_out(sim):
    sim.set(lockout=3)
    for _ in range(2):
        login(sim, "wrong")
    assert login(sim, sim.password).success == 0  # the count begins anew
    for _ in range(3):
        assert login(sim, "wrong").errors == [(-4001, None)]
    assert login(sim, sim.password).errors == [(-9939, None)]
    assert login(sim, sim.password, operation=ISSUE).errors == [(-9939, None)]
    assert sim.state("?orders=0")["locked"]
    sim.set(locked=False)
    assert login(sim, sim.password).success == 0


# --- states of orders ---


def test_revocation_takes_its_time(sim):
    sim.set(revoke_delay_ms=1500)
    order = sim.issue(cn="Slow Revoke").order_id
    sim.call("Revoke", OrderID=order)
    assert sim.status(order) == 6
    assert sim.call("Revoke", OrderID=order).errors == [(-9938, "OrderID")]
    wait_for(lambda: sim.status(order) == 7)


def test_an_order_not_picked_up_lapses(start):
    sim = start(settings={"pickup_days": 30, "licences": 1})
    order = sim.issue("OrderCertificate", cn="Forgotten").order_id
    assert refused(sim) == [(-6101, None)]
    sim.set(clock_offset_s=30 * DAY - 60)
    assert sim.status(order) == 1
    sim.set(clock_offset_s=30 * DAY + 60)
    assert sim.status(order) == 3
    assert packs(sim)[LICENCE]["remaining"] == 1


def test_the_window_of_cancel(sim):
    order = sim.issue(cn="Window").order_id
    sim.set(clock_offset_s=7 * DAY + 60)
    assert sim.call("Cancel", OrderID=order).errors == [(-4005, "OrderID")]
    sim.set(clock_offset_s=7 * DAY - 60)
    assert sim.call("Cancel", OrderID=order).success == 0


def test_any_status_can_be_shown(sim):
    order = sim.issue(cn="Odd State").order_id
    for status in (2, 8, 9, 10, 42):
        sim.control("POST", f"/orders/{order}/status", {"status": status})
        assert sim.status(order) == status
        assert not sim.query(order).text("Certificate")
        assert sim.find(CommonName="Odd State", OrderState=str(status))[0] == 1
    assert sim.call("Revoke", OrderID=order).errors == [(-4005, "OrderID")]
    sim.control("POST", f"/orders/{order}/status", {"status": 0})
    assert sim.status(order) == 4


# --- time ---


def order_times(sim, count):
    """Of that many orders at once, each on a connection of its own."""
    request = http(etree.tostring(sim.tree(ISSUE, cn="Timed")))

    def one(_):
        with sim.tls() as sock:
            sock.sendall(request)
            assert read_reply(sock)[0] == 200

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(one, range(count)))
    return [order["moments"]["issued"][0] - order["moments"]["requested"][0] for order in sim.orders("Timed")]


def test_order_time_is_a_distribution(start):
    sim = start(settings={"order_min_ms": 300, "order_max_ms": 900})
    took = order_times(sim, 24)
    assert len(took) == 24 and all(300 <= ms < 1900 for ms in took)
    assert min(took) < 600 < max(took) and len(set(took)) > 10


def test_the_default_is_five_to_seven_seconds(start):
    sim = start(settings={})
    sim.settings.clear()
    sim.restart()
    settings = sim.control("GET", "/settings")
    assert (settings["order_min_ms"], settings["order_max_ms"], settings["query_ms"]) == (5000, 7000, 200)


def test_an_order_cannot_be_seen_issued_before_its_time(sim):
    sim.set(order_min_ms=2000, order_max_ms=2000)
    wire = Wire(sim)
    wire.send(sim.raw(ISSUE, "Connection: close\r\n", cn="In The Air"))
    order = wait_for(lambda: sim.orders("In The Air"))[0]["id"]
    detail = sim.query(order)
    assert detail.text("OrderStatus") == "1" and not detail.text("Certificate")
    assert sim.state("?orders=0")["in_flight"] == 1
    assert b"BEGIN CERTIFICATE" in wire.drain()[0]
    assert sim.status(order) == 4


def test_recorded_at_the_end(sim):
    sim.set(order_min_ms=2000, order_max_ms=2000, record_at="end")
    wire = Wire(sim)
    wire.send(sim.raw(ISSUE, "Connection: close\r\n", cn="Late Record"))
    wait_for(lambda: sim.state("?orders=0")["in_flight"] == 1)
    assert sim.orders("Late Record") == []
    assert b"BEGIN CERTIFICATE" in wire.drain()[0]
    assert len(sim.orders("Late Record")) == 1


def test_orders_of_a_gone_client_go_on(sim):
    sim.set(order_min_ms=1500, order_max_ms=1500)
    for where in ("start", "end"):
        sim.set(record_at=where)
        wire = Wire(sim)
        wire.send(sim.raw(ISSUE, cn=f"Gone {where}"))
        wait_for(lambda: sim.state("?orders=0")["in_flight"] == 1)
        wire.raw.close()
        wait_for(lambda: [o for o in sim.orders(f"Gone {where}") if o["status"] == 4])


def test_clock_offset(sim):
    sim.set(clock_offset_s=-90 * DAY)
    answer = sim.issue(cn="Past")
    past = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=90)
    near = datetime.timedelta(seconds=30)
    assert abs(parsedate_to_datetime(answer.headers["Date"]) - past) < near
    assert abs(answer.certificate.not_valid_before_utc - past) < near
    assert answer.text("Timestamp").startswith(past.strftime("%Y-%m-%dT"))
    assert answer.order_id[4:10] == past.strftime("%y%m%d")
    assert sim.query(answer.order_id).text("RequestDate").startswith(past.strftime("%Y-%m-%dT"))
    assert abs(sim.crl().last_update_utc - past) < near
    # The journal tells the host's time: audits compare it with other logs.
    assert sim.last()["time"].startswith(time.strftime("%Y-%m-%dT", time.gmtime()))


# --- keys ---


def test_key_reuse(sim):
    csr = csr_of(new_key())
    sim.issue(cn="Key One", CSR=csr)
    assert sim.issue(cn="Key One", CSR=csr).order_id
    assert refused(sim, cn="Key Two", CSR=csr) == [(-6007, "CSR")]
    sim.set(key_reuse="refuse")
    assert refused(sim, cn="Key One", CSR=csr) == [(-6007, "CSR")]
    sim.set(key_reuse="allow")
    assert refused(sim, cn="Key Two", CSR=csr) == []


def test_key_of_a_revoked_certificate(sim):
    csr = csr_of(new_key())
    order = sim.issue(cn="Key Three", CSR=csr).order_id
    sim.call("Revoke", OrderID=order)
    assert refused(sim, cn="Key Three", CSR=csr) == [(-9940, "CSR")]
    sim.set(revoked_key="allow")
    assert refused(sim, cn="Key Three", CSR=csr) == []
