"""The ten operations, each with its answer's facts and what it leaves behind."""
import re
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12

from harness import (LICENCE, PLAIN, SMIME, USER, VETTING, csr_of, envelope, new_key, spki_sha256, unbase64,
                     wait_for)


def test_order_and_issue(sim):
    key = new_key()
    answer = sim.issue(cn="Issue One", CSR=csr_of(key))
    assert re.fullmatch(r"[A-Z]{2,}\d{12}", answer.order_id)
    assert spki_sha256(answer.certificate.public_key()) == spki_sha256(key.public_key())
    (order,) = sim.orders("Issue One")
    assert order["id"] == answer.order_id and order["status"] == 4
    assert order["spki_sha256"] == spki_sha256(key.public_key())


def test_order_pkcs12(sim):
    answer = sim.issue("OrderPkcs12", cn="P12 One", PKCS12PIN="Zx81Kq4PmT20")
    key, cert, chain = pkcs12.load_key_and_certificates(unbase64(answer.text("BASE64PKCS12")), b"Zx81Kq4PmT20")
    assert spki_sha256(key.public_key()) == spki_sha256(cert.public_key())
    assert sim.orders("P12 One")[0]["spki_sha256"] == spki_sha256(cert.public_key())
    assert [c.subject for c in chain] == [c.subject for c in sim.chain()]
    with pytest.raises(ValueError):
        pkcs12.load_key_and_certificates(unbase64(answer.text("BASE64PKCS12")), b"Zx81Kq4PmT21")
    # The private key comes once and never again.
    assert "PKCS12" not in sim.query(answer.order_id).body.decode()


def test_order_pkcs12_that_cannot_be_used(sim):
    """The order stands, whatever became of the key."""
    sim.fault("wrong_pin", count=1)
    answer = sim.issue("OrderPkcs12", cn="P12 Bad", PKCS12PIN="Zx81Kq4PmT20")
    with pytest.raises(ValueError, match="password"):
        pkcs12.load_key_and_certificates(unbase64(answer.text("BASE64PKCS12")), b"Zx81Kq4PmT20")
    sim.fault("spoilt_pkcs12", count=1)
    answer = sim.issue("OrderPkcs12", cn="P12 Bad", PKCS12PIN="Zx81Kq4PmT20")
    with pytest.raises(ValueError, match="deserialize"):
        pkcs12.load_key_and_certificates(unbase64(answer.text("BASE64PKCS12")), b"Zx81Kq4PmT20")
    sim.fault("no_pkcs12", count=1)
    assert not sim.issue("OrderPkcs12", cn="P12 Bad").text("BASE64PKCS12")
    assert len(sim.orders("P12 Bad")) == 3


def test_order_certificate_waits_for_its_user(sim):
    answer = sim.issue("OrderCertificate", cn="Link One")
    assert answer.text("CERT") is None
    assert sim.status(answer.order_id) == 1
    sim.control("POST", f"/orders/{answer.order_id}/pickup")
    detail = sim.query(answer.order_id)
    assert detail.text("OrderStatus") == "4" and "BEGIN CERTIFICATE" in detail.text("Certificate")
    sim.control("POST", f"/orders/{answer.order_id}/pickup", status=404)


def test_order_certificate_picked_up_by_itself(sim):
    sim.set(pickup_ms=1500)
    answer = sim.issue("OrderCertificate", cn="Link Two")
    assert sim.status(answer.order_id) == 1
    wait_for(lambda: sim.status(answer.order_id) == 4)


def test_order_ds(sim):
    key = new_key()
    answer = sim.issue("OrderDS", cn="Signer", CSR=csr_of(key), IssueType="any")
    assert spki_sha256(answer.certificate.public_key()) == spki_sha256(key.public_key())


def test_cancel(sim):
    order = sim.issue(cn="Cancel One").order_id
    answer = sim.call("Cancel", OrderID=order)
    assert answer.success == 0 and answer.text("OrderID") == order
    detail = sim.query(order)
    assert (detail.text("OrderStatus"), detail.text("CertificateStatus")) == ("5", "4")
    assert detail.text("CancelRequestUser") == USER
    assert sim.call("Cancel", OrderID=order).errors == [(-9915, "OrderID")]
    assert sim.call("Revoke", OrderID=order).errors == [(-9915, "OrderID")]


def test_cancel_before_issue(sim):
    order = sim.issue("OrderCertificate", cn="Cancel Two").order_id
    assert sim.call("Cancel", OrderID=order).success == 0
    assert sim.status(order) == 3


def test_revoke(sim):
    order = sim.issue(cn="Revoke One").order_id
    answer = sim.call("Revoke", OrderID=order)
    assert answer.text("orderNo") == order
    assert [e.tag for e in answer.payload[0]] == ["orderResponseHeader", "orderNo"]
    assert sim.status(order) == 7
    assert sim.call("Revoke", OrderID=order).errors == [(-9938, "OrderID")]
    assert sim.call("Cancel", OrderID=order).errors == [(-9938, "OrderID")]


def test_reissue(sim):
    first = sim.issue(cn="Reissue One", ou=["A", "B"], email="ada@example.com").order_id
    used = sim.state()["licences"][0]["used"]
    second = sim.issue("Reissue", TargetOrderID=first).order_id
    detail = sim.query(second)
    assert detail.text("OriginalOrderIDForReIssue") == first
    assert detail.text("OrderStatus") == "1" and detail.text("CommonName") == "Reissue One"
    sim.control("POST", f"/orders/{second}/pickup")
    assert sim.status(second) == 4 and sim.status(first) == 4
    assert sim.state()["licences"][0]["used"] == used
    assert sim.call("Reissue", TargetOrderID=first).errors == [(-4016, "TargetOrderID")]
    sim.call("Revoke", OrderID=second)
    assert sim.call("Reissue", TargetOrderID=second).errors == [(-4005, "TargetOrderID")]


def test_get_order_by_order_id(sim):
    order = sim.issue(cn="Detail", ou=["A", "B"], email="ada@example.com")
    detail, cert = sim.query(order.order_id), order.certificate
    assert detail.text("OrderNo") == order.order_id and detail.text("ProfileNo") == PLAIN
    assert detail.text("LicenseNo") == LICENCE and detail.text("ProductCode") == "EPKIPSPersonal"
    assert int(detail.text("SerialNumber"), 16) == cert.serial_number
    assert [e.text for e in detail.all("OrganizationUnit")] == ["A", "B"]
    assert (detail.text("Email"), detail.text("Organization"), detail.text("Locality")) == (
        "ada@example.com", "Example Corp", "Bend")
    assert (detail.text("State"), detail.text("Country")) == ("Oregon", "US")
    assert detail.text("EndDate").startswith(cert.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%S"))
    assert x509.load_pem_x509_certificate(detail.text("Certificate").encode()) == cert
    assert "PKCS7" in detail.text("PKCS7Cert")
    assert [e.text for e in detail.all("ModificationEventName")] == ["ORDER_REQUEST", "ORDER_ISSUE"]


def test_get_order_by_order_id_returns_only_what_is_asked(sim):
    order = sim.issue(cn="Bare").order_id
    bare = sim.post(envelope("GetOrderByOrderId", {"OrderNo": order}, password=sim.password))
    for name in ("CrCertificate", "CertificateStatus", "ModificationEvent"):
        assert not bare.all(name)
    assert bare.text("OrderStatus") == "4"
    odd = sim.query(order, **{"OrderQueryOption.ReturnFulfillment": "TRUE"})
    assert not odd.all("CrCertificate") and odd.all("CertificateStatus")


def test_unknown_orders(sim):
    for operation, field in (("Cancel", "OrderID"), ("Revoke", "OrderID"), ("Reissue", "TargetOrderID"),
                             ("GetOrderByOrderId", "OrderNo")):
        assert sim.call(operation, **{field: "CEPS260101999999"}).errors == [(-4003, field)]
    # What was seen for an id of a wrong shape.
    assert sim.call("GetOrderByOrderId", OrderNo="nonsense").errors == [(-1, "OrderNo")]


def test_get_orders_filters(sim):
    since = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() - 1))
    mine = [sim.issue(cn="Filter Me").order_id for _ in range(3)]
    smime = sim.issue(cn="Filter Me", profile=SMIME, email="f@example.com", san="f@example.com").order_id
    sim.call("Revoke", OrderID=mine[0])
    assert sim.find(CommonName="Filter Me") == (4, mine + [smime])
    assert sim.find(CommonName="Filter Me", ProfileOrderNo=PLAIN)[1] == mine
    assert sim.find(CommonName="Filter Me", OrderState="7")[1] == mine[:1]
    assert sim.find(CommonName="Filter Me", CertState="4")[1] == mine[1:] + [smime]
    assert sim.find(CommonName="Filter Me", LicenseOrderNo="ML0")[1] == []
    assert sim.find(CommonName="Filter Me", ProductCode="EPKIPSDept")[1] == []
    for name in ("RequestDate", "IssueDate"):
        assert sim.find(CommonName="Filter Me", **{name + "From": since})[0] == 4
        assert sim.find(CommonName="Filter Me", **{name + "To": since})[0] == 0
    pending = sim.issue("OrderCertificate", cn="Filter Me").order_id
    assert sim.find(CommonName="Filter Me", OrderState="1")[1] == [pending]
    assert pending not in sim.find(CommonName="Filter Me", IssueDateFrom=since)[1]


def test_get_orders_with_certificates(sim):
    order = sim.issue(cn="Full")
    fields = {"OrderQueryParam.CommonName": "Full", "OrdersQueryOption.ReturnCertificateInfo": "true",
              "OrdersQueryOption.ReturnFulfillment": "true"}
    answer = sim.post(envelope("GetOrders", fields, password=sim.password))
    assert x509.load_pem_x509_certificate(answer.text("Certificate").encode()) == order.certificate
    assert int(answer.text("SerialNumber"), 16) == order.certificate.serial_number


def test_get_profiles(sim):
    answer = sim.call("GetProfiles")
    assert answer.text("TotalCount") == "3"
    assert [e.text for e in answer.all("ProfileOrderNo")] == [PLAIN, SMIME, VETTING]
    assert [e.text for e in answer.all("ProfileOrderState")] == ["4", "4", "1"]
    one = sim.call("GetProfiles", ProfileQueryParam__ProfileOrderNo=SMIME)
    assert [e.text for e in one.all("ProfileOrderNo")] == [SMIME]
    assert (one.text("HashType"), one.text("RenewalType"), one.text("Organization")) == (
        "SHA256", "0", "Example Corp")
    none = sim.call("GetProfiles", ProfileQueryParam__Locality="Nowhere")
    assert none.text("TotalCount") == "0" and none.success == 0
    vetting = sim.call("GetProfiles", ProfileQueryParam__ProfileOrderState="1")
    assert [e.text for e in vetting.all("ProfileOrderNo")] == [VETTING]


def test_an_order_by_somebody_else(sim):
    order = sim.control("POST", "/orders", {"cn": "Portal User", "profile": PLAIN})
    assert order["portal"] and sim.find(CommonName="Portal User") == (1, [order["id"]])
    waiting = sim.control("POST", "/orders", {"cn": "Portal User", "issued": False})
    assert sim.status(waiting["id"]) == 1
    assert sim.journal()[-2]["operation"] == "Portal"


def test_orders_are_never_deduplicated(sim):
    body = sim.tree("OrderAndIssueCertificate", cn="Twice")
    ids = [sim.post(body).order_id for _ in range(3)]
    assert len(set(ids)) == 3 and sim.find(CommonName="Twice") == (3, ids)


def test_renew_has_no_effect(sim):
    first = sim.issue("OrderPkcs12", cn="Renew Me").order_id
    second = sim.issue("OrderPkcs12", cn="Renew Me", Renew="true").order_id
    assert first != second and sim.status(first) == sim.status(second) == 4
