"""Every unknown of the API that has a switch: each position, seen from outside."""
import re
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs7, pkcs12
from lxml import etree

from harness import NIL, NS, SMIME, XSI, envelope, local, request_of, unbase64, wait_for

ISSUE = "OrderAndIssueCertificate"
PIN = b"Zx81Kq4PmT20"


def insert(root, where, name, text, after=None):
    """A child that the XSD does not know, at the end of where or behind a sibling."""
    parent = request_of(root) if where == "Request" else request_of(root).find(where)
    child = etree.Element(name)
    child.text = text
    if after is None:
        parent.append(child)
    else:
        parent.find(after).addnext(child)
    return root


# --- newer elements: their names, places and rules ---


def test_newer_elements_are_unknown_unless_switched_on(sim):
    for where, name in (("Request", "SubscriberEmailAddress"), ("DnAttributes", "GivenName")):
        answer = sim.post(insert(sim.tree(ISSUE), where, name, "a@example.com"))
        assert answer.fault[0] == "soap:Client"
    assert sim.call(ISSUE, SID="S-1-5-21-1").success == 0
    sim.set(newer_elements="none")
    for validation in ("on", "off"):
        sim.set(validation=validation)
        assert sim.call(ISSUE, SID="S-1-5-21-1").fault[0] == "soap:Client"
        assert sim.call(ISSUE, san="a@example.com").fault[0] == "soap:Client"
        assert sim.call(ISSUE).success == 0


@pytest.mark.parametrize("after", [None, "ProfileID", "DnAttributes"])
def test_newer_elements_anywhere(sim, after):
    sim.set(newer_elements="anywhere")
    root = insert(sim.tree(ISSUE), "Request", "SubscriberEmailAddress", "ada@example.com", after)
    insert(root, "Request", "SID", "S-1-5-21-7", after)
    assert b"S-1-5-21-7" in extension_bytes(sim.post(root).certificate, "1.3.6.1.4.1.311.25.2")
    bad = insert(sim.tree(ISSUE), "Request", "SubscriberEmailAddress", "no address", after)
    assert sim.post(bad).errors == [(-104, "SubscriberEmailAddress")]


def extension_bytes(cert, oid):
    return next(e.value.value for e in cert.extensions if e.oid.dotted_string == oid)


def test_newer_elements_in_order(sim):
    sim.set(newer_elements="ordered")
    right = insert(sim.tree(ISSUE), "Request", "SubscriberEmailAddress", "a@example.com", "DnAttributes")
    assert sim.post(right).success == 0
    wrong = insert(sim.tree(ISSUE), "Request", "SubscriberEmailAddress", "a@example.com", "ProfileID")
    assert sim.post(wrong).fault[0] == "soap:Client"


@pytest.mark.parametrize("operation", [ISSUE, "OrderPkcs12", "OrderCertificate"])
def test_names_are_echoed(sim, operation):
    sim.set(newer_elements="anywhere")
    root = sim.tree(operation, cn="Echo")
    for name, text in (("SurName", "Example"), ("GivenName", "Ada"), ("Pseudonym", "Countess")):
        insert(root, "DnAttributes", name, text)
    order = sim.post(root).order_id
    if operation == "OrderCertificate":
        sim.control("POST", f"/orders/{order}/pickup")
    cert = x509.load_pem_x509_certificate(sim.query(order).text("Certificate").encode())
    values = {a.oid: a.value for a in cert.subject}
    oids = x509.NameOID
    assert (values[oids.SURNAME], values[oids.GIVEN_NAME], values[oids.PSEUDONYM]) == ("Example", "Ada", "Countess")


def test_names_may_be_required(sim):
    sim.set(newer_elements="anywhere", require_names=True)
    mail = {"profile": SMIME, "email": "a@example.com", "san": "a@example.com"}
    assert sim.call(ISSUE, **mail).errors == [(-102, "DnAttributes.GivenName")]
    assert sim.call(ISSUE, product="EPKIPSDept", **mail).success == 0
    assert sim.call(ISSUE).success == 0
    named = insert(insert(sim.tree(ISSUE, **mail), "DnAttributes", "GivenName", "Ada"), "DnAttributes", "SurName", "E")
    assert sim.post(named).success == 0
    assert sim.post(insert(sim.tree(ISSUE, **mail), "DnAttributes", "Pseudonym", "Ada")).success == 0


# --- order of children ---


def test_disorder(sim):
    root = sim.tree(ISSUE)
    request = request_of(root)
    request.insert(1, request.find("CSR"))
    assert sim.post(root).fault[0] == "soap:Client"
    sim.set(validation="off")
    assert sim.post(root).success == 0
    sim.set(child_order="refuse")
    assert sim.post(root).errors == [(-101, "ProfileID")]
    assert sim.call(ISSUE).success == 0
    root = sim.tree(ISSUE, email="a@example.com")
    names = request_of(root).find("DnAttributes")
    names.insert(0, names.find("Email"))
    assert sim.post(root).errors == [(-101, "DnAttributes.CommonName")]


# --- PKCS#12 ---


def test_where_the_pkcs12_is(sim):
    answer = sim.issue("OrderPkcs12")
    assert answer.text("BASE64PKCS12") and not answer.text("PKCS12")
    sim.set(p12_element="binary")
    answer = sim.issue("OrderPkcs12")
    assert not answer.text("BASE64PKCS12")
    assert pkcs12.load_key_and_certificates(unbase64(answer.text("PKCS12")), PIN)[0]


def test_the_key_of_the_pkcs12(sim):
    for kind, cls, size in (("ec", ec.EllipticCurvePrivateKey, 256), ("rsa2048", rsa.RSAPrivateKey, 2048)):
        sim.set(p12_key=kind)
        keys = []
        for _ in range(2):
            key, cert, _ = pkcs12.load_key_and_certificates(
                unbase64(sim.issue("OrderPkcs12").text("BASE64PKCS12")), PIN)
            assert isinstance(key, cls) and key.key_size == size and key.public_key() == cert.public_key()
            keys.append(key.private_numbers())
        assert keys[0] != keys[1]


def test_how_the_pkcs12_is_encrypted(sim):
    aes, three_des = b"\x60\x86\x48\x01\x65\x03\x04\x01\x2a", b"\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x01\x03"
    for encoding, there, gone in (("modern", aes, three_des), ("legacy", three_des, aes)):
        sim.set(p12_encoding=encoding)
        data = unbase64(sim.issue("OrderPkcs12").text("BASE64PKCS12"))
        assert there in data and gone not in data
        key, cert, _ = pkcs12.load_key_and_certificates(data, PIN)
        assert key.public_key() == cert.public_key()


# --- codes that nobody outside knows ---


@pytest.mark.parametrize("switch,field", [
    ("profile_code", "ProfileID"), ("profile_unknown_code", "ProfileID"),
    ("domain_code", "DnAttributes.Email"), ("licence_code", None), ("cancel_late_code", "OrderID"),
    ("revoke_early_code", "OrderID"), ("unknown_order_code", "OrderID")])
def test_codes(start, switch, field):
    sim = start(settings={switch: -7777})

    def provoke():
        if switch == "profile_code":
            return sim.call(ISSUE, profile="MP202601150003")
        if switch == "profile_unknown_code":
            return sim.call(ISSUE, profile="MP0")
        if switch == "domain_code":
            return sim.call(ISSUE, profile=SMIME, email="a@b.example", san="a@b.example")
        if switch == "licence_code":
            sim.set(licences=0)
            return sim.call(ISSUE)
        if switch == "cancel_late_code":
            order = sim.issue().order_id
            sim.set(cancel_window_days=0, clock_offset_s=60)
            return sim.call("Cancel", OrderID=order)
        if switch == "revoke_early_code":
            return sim.call("Revoke", OrderID=sim.issue("OrderCertificate").order_id)
        return sim.call("Cancel", OrderID="CEPS260101999999")

    assert provoke().errors == [(-7777, field)]


# --- queries ---


def test_cap(sim):
    ids = [sim.issue(cn="Capped").order_id for _ in range(5)]
    sim.set(cap=3)
    assert sim.find(CommonName="Capped") == (5, ids[:3])
    sim.set(cap=5)
    assert sim.find(CommonName="Capped") == (5, ids)


def test_cn_filter(sim):
    order = sim.issue(cn="Case Folder").order_id
    found = {}
    for mode in ("exact", "insensitive", "prefix"):
        sim.set(cn_filter=mode)
        found[mode] = [sim.find(CommonName=cn)[1] == [order] for cn in ("Case Folder", "CASE folder", "Case Fo")]
    assert found == {"exact": [True, False, False], "insensitive": [True, True, False],
                     "prefix": [True, False, True]}


def test_view_lag(sim):
    sim.set(view_lag_ms=2000)
    order = sim.issue(cn="Lagging").order_id
    assert sim.find(CommonName="Lagging") == (0, [])
    wait_for(lambda: sim.find(CommonName="Lagging") == (1, [order]))


def test_query_header(sim):
    assert [local(e) for e in sim.call("GetOrders").payload[0]][0] == "QueryResponseHeader"
    sim.set(query_header="order")
    answer = sim.call("GetOrders", check=False)
    assert [local(e) for e in answer.payload[0]][0] == "OrderResponseHeader" and answer.success == 0


# --- shape of answers ---


@pytest.mark.filterwarnings("ignore:PKCS#7 certificates could not be parsed as DER")
@pytest.mark.parametrize("form", ["pem", "crlf", "pkcs7", "base64"])
def test_content_of_cert(sim, form):
    sim.set(cert_format=form)
    answer = sim.issue()
    text = answer.text("CERT")
    if form == "base64":
        cert = x509.load_der_x509_certificate(unbase64(text))
    elif form == "pkcs7":
        certs = pkcs7.load_pem_pkcs7_certificates(text.encode())
        cert = next(c for c in certs if c.issuer == sim.chain()[0].subject and c not in sim.chain())
    else:
        cert = x509.load_pem_x509_certificate(text.encode())
        assert ("\r\n" in text) == (form == "crlf") and not text.endswith("\n")
        assert text.count("BEGIN CERTIFICATE") == 1
    assert cert.serial_number == int(sim.query(answer.order_id).text("SerialNumber"), 16)
    assert (b"&#xD;" in answer.body) == (form == "crlf")


@pytest.mark.parametrize("form", ["nil", "absent", "empty"])
def test_elements_without_a_value(sim, form):
    sim.set(empty=form)
    answer = sim.call(ISSUE, CSR="nonsense")
    order = answer.all("OrderID")
    if form == "absent":
        assert order == []
    else:
        assert order[0].text is None
        assert (order[0].get(f"{{{XSI}}}nil") == "true") == (form == "nil")
    assert sim.call("GetProfiles").all("Errors")[0].text is None


def test_timestamps(sim):
    pattern = r"\d{4}-\d\d-\d\dT(\d\d):\d\d:\d\d\.\d{3}\+00:00"
    assert re.fullmatch(pattern, sim.call("GetProfiles").text("Timestamp"))
    sim.set(utc_offset_min=540)
    assert sim.call("GetProfiles").text("Timestamp").endswith("+09:00")
    assert sim.query(sim.issue().order_id).text("RequestDate").endswith("+09:00")
    sim.set(utc_offset_min=-210)
    assert sim.call("GetProfiles").text("Timestamp").endswith("-03:30")
    # An hour of the afternoon, told as one of the morning.
    hour = int(time.strftime("%H", time.gmtime()))
    sim.set(utc_offset_min=(18 - hour) * 60 - (1440 if 18 - hour > 14 else 0), timestamp_12h=True)
    assert re.search(r"T0[67]:", sim.call("GetProfiles").text("Timestamp"))


def test_words_of_profiles(sim):
    sim.set(profile_validated="ACTIVE", hash_type="SHA256PSS", renewal_type="quick")
    answer = sim.call("GetProfiles")
    assert (answer.text("ProfileOrderState"), answer.text("HashType"), answer.text("RenewalType")) == (
        "ACTIVE", "SHA256PSS", "quick")
    assert sim.call("GetProfiles", ProfileQueryParam__ProfileOrderState="4").text("TotalCount") == "0"


def test_ascii_only(sim):
    assert sim.call(ISSUE, cn="Zoë").success == 0
    sim.set(ascii_only=True)
    assert sim.call(ISSUE, cn="Zoë").errors == [(-104, "DnAttributes.CommonName")]
    assert sim.call(ISSUE, ou="Büro").errors == [(-104, "DnAttributes.OrganizationUnit")]


def test_units_of_the_test_system(sim):
    sim.set(test_ou=True)
    units = sim.issue(ou="Sales").certificate.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATIONAL_UNIT_NAME)
    assert [u.value for u in units] == ["Sales", "For Test Use Only"]


# --- when things happen ---


@pytest.mark.parametrize("operation", [ISSUE, "OrderPkcs12", "OrderDS"])
def test_async(sim, operation):
    sim.set(**{"async": True, "async_issue_ms": 1500})
    answer = sim.issue(operation)
    assert not answer.text("CERT") and not answer.text("Certificate")
    assert sim.status(answer.order_id) == 1
    wait_for(lambda: sim.status(answer.order_id) == 4)
    assert sim.query(answer.order_id).text("Certificate")


def test_status_of_a_cancelled_certificate(sim):
    sim.set(cancelled_cert_status=7)
    order = sim.issue().order_id
    sim.call("Cancel", OrderID=order)
    detail = sim.query(order)
    assert (detail.text("OrderStatus"), detail.text("CertificateStatus")) == ("5", "7")


def test_immediate_or_delayed_revocation(sim):
    for delay, status in ((0, 7), (60000, 6)):
        sim.set(revoke_delay_ms=delay)
        order = sim.issue().order_id
        sim.call("Revoke", OrderID=order)
        assert sim.status(order) == status


# --- limits of a server ---


def statuses(sim, count):
    body = etree.tostring(sim.tree("GetProfiles"))
    return [sim.session.post(sim.url, data=body) for _ in range(count)]


def test_rate_limit(sim):
    sim.set(rate_limit=2)
    answers = statuses(sim, 6)
    codes = [a.status_code for a in answers]
    assert set(codes) <= {200, 429} and codes.count(429) >= 1
    refused = answers[codes.index(429)]
    assert refused.headers["Retry-After"] == "1"
    assert "rate_limit" in [line["fault"] for line in sim.journal()[-6:]]


def test_parallel_limit(sim):
    sim.set(parallel_limit=1)
    sim.fault("hold_reply", operation=ISSUE, count=1)
    with sim.tls() as sock:
        sock.sendall(sim.raw(ISSUE, cn="Parallel"))
        wait_for(lambda: sim.state("?orders=0")["in_flight"] == 1)
        answer = sim.session.post(sim.url, data=etree.tostring(sim.tree(ISSUE)))
        assert answer.status_code == 503 and answer.headers["Retry-After"] == "1"
        assert sim.last()["fault"] == "parallel_limit" and sim.last()["operation"] == ISSUE
        assert sim.call("GetProfiles").success == 0  # orders only
        sim.control("POST", "/release")
        assert b"200 OK" in sock.recv(65536)
    assert sim.issue().order_id


def test_outage(sim):
    sim.set(outage=True)
    (answer,) = statuses(sim, 1)
    assert answer.status_code == 503 and answer.text.startswith("<!DOCTYPE html>")
    assert sim.session.get(sim.url + "?wsdl").status_code == 503
    assert sim.last()["fault"] == "outage"
    sim.set(outage=False)
    assert sim.call("GetProfiles").success == 0


def test_no_keepalive(sim):
    sim.set(keepalive=False)
    with sim.tls() as sock:
        sock.sendall(sim.raw("GetProfiles") * 2)
        data = b""
        while part := sock.recv(65536):
            data += part
    assert data.count(b"HTTP/1.1 200") == 1 and b"Connection: close" in data


def test_a_wrapper_is_always_in_the_namespace(sim):
    for operation in ("GetProfiles", "GetOrders"):
        assert sim.call(operation).payload.tag == f"{{{NS}}}{operation}Response"
    sim.set(validation="off")
    nil = sim.post(envelope("GetOrders", {"OrderQueryParam.CommonName": NIL}, password=sim.password))
    assert nil.success == 0
