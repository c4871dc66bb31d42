"""What the door refuses before any business: TLS, media, envelope, qualification, XSD, both modes."""
import ssl
import urllib.request

import pytest
from lxml import etree

from harness import NIL, NS, OPERATIONS, SCHEMA, SCHEMA_FILE, SOAP, XS, XSI, envelope, request_of


def both_modes(sim, root):
    """The two answers: with schema validation and without."""
    sim.set(validation="on")
    on = sim.post(root)
    sim.set(validation="off")
    return on, sim.post(root)


def is_client_fault(answer):
    return answer.status == 500 and answer.fault[0] == "soap:Client"


def move(parent, name, index):
    child = parent.find(name)
    parent.remove(child)
    parent.insert(index, child)


# --- TLS and HTTP ---


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_with_a_name_that_fits(sim, version):
    context = sim.context()
    context.minimum_version = context.maximum_version = version
    with context.wrap_socket(sim.tcp(), server_hostname="localhost") as sock:
        assert sock.version() == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]
    for name in ("127.0.0.1", "localhost"):
        with sim.context().wrap_socket(sim.tcp(), server_hostname=name):
            pass
    with pytest.raises(ssl.SSLCertVerificationError):
        sim.context().wrap_socket(sim.tcp(), server_hostname="elsewhere.example")
    with pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(sim.tcp(), server_hostname="localhost")


def test_tls_sessions_resume(sim):
    context = sim.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    before = sim.state()["connections"]
    with context.wrap_socket(sim.tcp(), server_hostname="localhost") as first:
        session = first.session
    with context.wrap_socket(sim.tcp(), server_hostname="localhost", session=session) as second:
        assert second.session_reused
    after = sim.state()["connections"]
    assert after["handshakes"] - before["handshakes"] == 2
    assert after["resumed"] - before["resumed"] == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_tls_is_refused(sim):
    context = sim.context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(sim.tcp(), server_hostname="localhost")


def shapes(schema):
    """Every element of every type, with what a validator asks of it."""
    return {t.get("name"): [dict(e.attrib) for e in t.iter(XS + "element")]
            for t in schema.iter(XS + "complexType")}


def test_wsdl(sim):
    with urllib.request.urlopen(sim.url + "?wsdl", context=sim.context()) as reply:
        wsdl = etree.fromstring(reply.read())
    w = "{http://schemas.xmlsoap.org/wsdl/}"
    assert wsdl.get("targetNamespace") == NS
    assert {o.get("name") for o in wsdl.find(w + "portType").iter(w + "operation")} == set(OPERATIONS)
    address = wsdl.find(f"{w}service/{w}port/{{http://schemas.xmlsoap.org/wsdl/soap/}}address")
    assert address.get("location") == sim.url
    inner = wsdl.find(f"{w}types/{XS}schema")
    assert inner.get("elementFormDefault") != "qualified"
    assert shapes(inner) == shapes(etree.parse(str(SCHEMA_FILE)).getroot())


def test_get_without_wsdl_and_other_paths(sim):
    assert sim.session.get(sim.url).status_code == 500
    assert sim.session.get(sim.url.replace("/cr/", "/kb/")).status_code == 404
    assert sim.session.put(sim.url, data=b"x").status_code == 405


def test_answers_have_the_recorded_shape(sim):
    answer = sim.issue()
    assert answer.headers["Content-Type"] == "text/xml;charset=UTF-8"
    assert "JSESSIONID" in answer.headers["Set-Cookie"] and "Date" in answer.headers
    text = answer.body.decode()
    assert text.startswith('<soap:Envelope xmlns:soap="') and "> <" not in text
    assert f'<ns2:OrderAndIssueCertificateResponse xmlns:ns2="{NS}"><Response><OrderResponseHeader>' in text
    assert "<SuccessCode>0</SuccessCode><Errors/><Timestamp>" in text


# --- who is let through, in both modes ---


@pytest.mark.parametrize("operation", OPERATIONS)
def test_right_requests_pass_in_both_modes(sim, operation):
    for mode in ("on", "off"):
        sim.set(validation=mode)
        root = sim.target(operation)
        assert SCHEMA.validate(root[0][0])
        assert sim.post(root).success == 0


@pytest.mark.parametrize("headers", [
    {"SOAPAction": ""}, {"SOAPAction": None}, {"Content-Type": "application/soap+xml"},
    {"Content-Type": "text/xml"}])
def test_headers_that_pass(sim, headers):
    assert sim.post(sim.tree("GetProfiles"), headers).success == 0


def test_soap_headers(sim):
    root = sim.tree("GetProfiles")
    header = etree.Element(f"{{{SOAP}}}Header")
    unknown = etree.SubElement(header, "{urn:x}Unknown")
    root.insert(0, header)
    assert all(a.success == 0 for a in both_modes(sim, root))
    unknown.set(f"{{{SOAP}}}mustUnderstand", "1")
    for answer in both_modes(sim, root):
        assert answer.status == 500 and answer.fault[0] == "soap:MustUnderstand"


def test_another_prefix_is_as_good(sim):
    body = etree.tostring(sim.tree("GetProfiles")).replace(b"ws:", b"x9:").replace(b":ws=", b":x9=")
    assert b"x9:GetProfiles" in body
    assert sim.post(body).success == 0


# --- the table of what a CXF server does, validation on and off ---


def test_soap_action_is_refused_by_the_server(sim):
    for mode in ("on", "off"):
        sim.set(validation=mode)
        answer = sim.post(sim.tree("GetProfiles"), {"SOAPAction": '"urn:other"'})
        assert (answer.status, answer.fault[0]) == (500, "soap:Server")


def test_empty_body(sim):
    root = sim.tree("GetProfiles")
    root[0].clear()
    for answer in both_modes(sim, root):
        assert (answer.status, answer.fault[0]) == (500, "soap:Server")


@pytest.mark.parametrize("name,code", [
    ("CSR", -102), ("ProfileID", -102), ("ProductCode", -102), ("Year", -101), ("DnAttributes", -102)])
@pytest.mark.parametrize("how", ["missing", "nil"])
def test_required_missing_or_nil(sim, name, code, how):
    root = sim.tree("OrderAndIssueCertificate")
    child = request_of(root).find(name)
    if how == "missing":
        request_of(root).remove(child)
    else:
        child.clear()
        child.set(f"{{{XSI}}}nil", "true")
    on, off = both_modes(sim, root)
    assert is_client_fault(on)
    assert off.success == -1 and off.errors[0][0] == code
    assert off.errors[0][1].startswith(name)


@pytest.mark.parametrize("name", ["CSR", "ProfileID", "ProductCode"])
def test_required_but_empty_reaches_the_business(sim, name):
    for answer in both_modes(sim, sim.tree("OrderAndIssueCertificate", **{name: ""})):
        assert answer.errors == [(-102, name)]


def accepted_off(request):
    """Spoils a request in ways that only a validating server notices."""
    def order():
        move(request, "CSR", 0)

    def duplicate():
        request.insert(2, etree.fromstring("<ProfileID>MP202601150001</ProfileID>"))

    def loud_boolean():
        request.insert(5, etree.fromstring("<EFSOption>TRUE</EFSOption>"))

    def empty_boolean():
        request.insert(5, etree.fromstring("<EFSOption/>"))

    def nil_optional():
        child = etree.Element("UPN")
        child.set(f"{{{XSI}}}nil", "true")
        request.insert(5, child)

    def attribute():
        request.set("stray", "1")

    return {f.__name__: f for f in (order, duplicate, loud_boolean, empty_boolean, nil_optional, attribute)}


@pytest.mark.parametrize("how", ["order", "duplicate", "loud_boolean", "empty_boolean", "nil_optional", "attribute"])
def test_what_only_validation_refuses(sim, how):
    root = sim.tree("OrderAndIssueCertificate")
    accepted_off(request_of(root))[how]()
    assert not SCHEMA.validate(root[0][0]) or how == "nil_optional"
    on, off = both_modes(sim, root)
    assert is_client_fault(on)
    assert off.success == 0, off.errors


@pytest.mark.parametrize("operation,path", [
    ("GetOrders", "OrderQueryParam.CommonName"), ("GetProfiles", "ProfileQueryParam.Locality")])
def test_nil_in_a_filter(sim, operation, path):
    on, off = both_modes(sim, sim.tree(operation, **{path.replace(".", "__"): NIL}))
    assert is_client_fault(on) and off.success == 0


def qualified_children(root):
    request_of(root).find("ProfileID").tag = f"{{{NS}}}ProfileID"


def qualified_everything(root):
    for element in root[0][0].iter():
        element.tag = f"{{{NS}}}{etree.QName(element).localname}"


def unqualified_operation(root):
    root[0][0].tag = "OrderAndIssueCertificate"


def no_trailing_slash(root):
    root[0][0].tag = f"{{{NS.rstrip('/')}}}OrderAndIssueCertificate"


def unknown_operation(root):
    root[0][0].tag = f"{{{NS}}}OrderEverything"


def unknown_element(root):
    etree.SubElement(request_of(root), "GivenName").text = "Ada"


def newer_element(root):
    etree.SubElement(request_of(root), "SubscriberEmailAddress").text = "ada@example.com"


def soap_12(root):
    for element in (root, root[0]):
        element.tag = element.tag.replace(SOAP, "http://www.w3.org/2003/05/soap-envelope")


@pytest.mark.parametrize("spoil", [
    qualified_children, qualified_everything, unqualified_operation, no_trailing_slash,
    unknown_operation, unknown_element, newer_element, soap_12], ids=lambda f: f.__name__)
def test_what_no_mode_accepts(sim, spoil):
    root = sim.tree("OrderAndIssueCertificate")
    spoil(root)
    for answer in both_modes(sim, root):
        assert answer.status == 500 and answer.fault[0] in ("soap:Client", "soap:VersionMismatch")
    assert sim.last()["result"] == "fault" and not sim.last()["recorded"]


def test_default_namespace_qualifies_the_children(sim):
    body = etree.tostring(sim.tree("GetProfiles"))
    body = body.replace(b"ws:GetProfiles", b"GetProfiles").replace(b"xmlns:ws=", b"xmlns=")
    for mode in ("on", "off"):
        sim.set(validation=mode)
        assert is_client_fault(sim.post(body))


@pytest.mark.parametrize("body", [b"", b"no xml", b"<a>", b"<a/>", b"<html><body>hello</body></html>", b"\xff\xfe<"])
def test_no_envelope(sim, body):
    for mode in ("on", "off"):
        sim.set(validation=mode)
        assert is_client_fault(sim.post(body))


def test_a_prefix_that_nobody_declared(sim):
    body = etree.tostring(sim.tree("GetProfiles")).replace(b"<Request>", b'<Request q:x="1">')
    for mode in ("on", "off"):
        sim.set(validation=mode)
        assert is_client_fault(sim.post(body))


def test_dtd_is_refused(sim):
    body = b'<!DOCTYPE x [<!ENTITY e "Ada">]>' + etree.tostring(sim.tree("GetProfiles"))
    for mode in ("on", "off"):
        sim.set(validation=mode)
        assert is_client_fault(sim.post(body))


def test_text_survives_as_it_was_sent(sim):
    cn = 'Zoë & "O\'Neil" <x> 東'
    order = sim.issue(cn=cn)
    assert order.certificate.subject.rfc4514_string().count("Zoë") == 1
    assert sim.query(order.order_id).text("CommonName") == cn
    body = etree.tostring(envelope("GetOrders", {"OrderQueryParam.CommonName": cn}, password=sim.password),
                          encoding="utf-16")
    assert sim.post(body).text("TotalCount") == "1"
