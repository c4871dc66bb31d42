"""Every fault, on every operation it can strike: what is on the wire, what is recorded, what the journal says."""
import datetime
import re
import threading
import time

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from lxml import etree

from harness import (NS, OPERATIONS, ORDERS, QUERIES, SMIME, Wire, csr_of, new_key, read_reply,
                     spki_sha256, wait_for)

ISSUE = "OrderAndIssueCertificate"


def recorded(sim, operation):
    return sim.state("?orders=0")["counters"][operation]["recorded"]


def exchange(sim, request):
    wire = Wire(sim)
    wire.send(request)
    return wire.drain()


def strike(sim, operation, fault, **members):
    """One call under the fault, on a connection of its own. Bytes, end, records made, journal's line."""
    request = sim.raw(operation, "Connection: close\r\n", cn="Struck") if operation in ORDERS[:4] else sim.raw(
        operation, "Connection: close\r\n")
    sim.fault(fault, operation=operation, count=1, **members)
    before = recorded(sim, operation)
    data, end = exchange(sim, request)
    wait_for(lambda: sim.last()["operation"] == operation)
    (left,) = sim.control("GET", "/faults")["faults"]
    assert (left["hits"], left["count"]) == (1, 0)
    line = sim.last()
    assert line["fault"] == fault
    made = recorded(sim, operation) - before
    assert line["recorded"] == bool(made)
    # Spent: the next call is as good as any.
    assert sim.post(sim.target(operation)).success == 0
    return data, end, made, line


def head_and_body(data):
    head, _, body = data.partition(b"\r\n\r\n")
    return head.decode(), body


def status(data):
    return int(data.split()[1])


every_operation = pytest.mark.parametrize("operation", OPERATIONS)


def books(operation):
    return 0 if operation in QUERIES else 1


# --- instead of the business: nothing is recorded ---


@every_operation
@pytest.mark.parametrize("fault,end", [("close_before_record", "eof"), ("reset", "reset")])
def test_broken_off_before(sim, operation, fault, end):
    data, how, made, line = strike(sim, operation, fault)
    assert (data, how, made, line["result"]) == (b"", end, 0, "fault")


@every_operation
@pytest.mark.parametrize("fault,code", [("html", 200), ("http_429", 429), ("http_503", 503), ("http_status", 502)])
def test_a_page_instead(sim, operation, fault, code):
    data, _, made, line = strike(sim, operation, fault)
    head, body = head_and_body(data)
    assert status(data) == code and made == 0 and line["result"] == "fault"
    assert "Content-Type: text/html" in head and body.startswith(b"<!DOCTYPE html>")
    assert "Retry-After" not in head
    with pytest.raises(etree.XMLSyntaxError):
        etree.fromstring(body)


@pytest.mark.parametrize("fault", ["http_429", "http_503", "http_status"])
def test_retry_after(sim, fault):
    data, *_ = strike(sim, ISSUE, fault, retry_after_s=17)
    assert "Retry-After: 17\r\n" in head_and_body(data)[0] + "\r\n"


def test_any_status(sim):
    for code in (401, 403, 500, 504):
        sim.control("DELETE", "/faults")
        assert status(strike(sim, ISSUE, "http_status", code=code)[0]) == code


@every_operation
def test_redirect(sim, operation):
    data, _, made, _ = strike(sim, operation, "redirect")
    assert status(data) == 302 and made == 0
    assert re.search(r"Location: https://[a-z.]+\.invalid/", head_and_body(data)[0])


@every_operation
@pytest.mark.parametrize("fault", ["soap_fault_client", "soap_fault_server"])
def test_soap_faults(sim, operation, fault):
    data, _, made, line = strike(sim, operation, fault)
    assert status(data) == 500 and made == 0 and line["result"] == "fault"
    code = etree.fromstring(head_and_body(data)[1]).findtext(".//faultcode")
    assert code == {"client": "soap:Client", "server": "soap:Server"}[fault.split("_")[2]]


@every_operation
@pytest.mark.parametrize("fault,members,code", [
    ("error_code", {}, -1), ("error_code", {"code": -9942, "field": "ProfileID"}, -9942),
    ("wrong_password", {}, -4001), ("account_locked", {}, -9939), ("address_refused", {}, -4201),
    ("licences_out", {}, -6101)])
def test_refusals(sim, operation, fault, members, code):
    data, _, made, line = strike(sim, operation, fault, **members)
    root = etree.fromstring(head_and_body(data)[1])
    assert root[0][0].tag == f"{{{NS}}}{operation}Response"
    assert status(data) == 200 and made == 0
    assert root.findtext(".//SuccessCode") == "-1" and root.findtext(".//ErrorCode") == str(code)
    assert root.findtext(".//ErrorField") == members.get("field")
    assert (line["result"], line["code"]) == ("error", code)


# --- after recording ---


@every_operation
@pytest.mark.parametrize("fault,end", [
    ("close_after_record", "eof"), ("reset_after_record", "reset"), ("accept_then_drop", "eof")])
def test_broken_off_after(sim, operation, fault, end):
    data, how, made, line = strike(sim, operation, fault)
    assert (data, how, made, line["result"]) == (b"", end, books(operation), "ok")
    if operation in ORDERS[:4]:
        assert sim.orders("Struck")[-1]["id"] == line["order_id"]


@every_operation
def test_status_line_only(sim, operation):
    data, how, made, _ = strike(sim, operation, "status_line_only")
    assert (data, how, made) == (b"HTTP/1.1 200 OK\r\n", "eof", books(operation))


@every_operation
def test_truncated_xml(sim, operation):
    data, _, made, _ = strike(sim, operation, "truncated_xml")
    head, body = head_and_body(data)
    assert made == books(operation) and f"Content-Length: {len(body)}" in head
    assert body.startswith(b"<soap:Envelope") and b"</soap:Envelope>" not in body


@every_operation
def test_half_body(sim, operation):
    data, how, made, _ = strike(sim, operation, "half_body")
    head, body = head_and_body(data)
    assert made == books(operation) and how == "eof"
    assert int(re.search(r"Content-Length: (\d+)", head).group(1)) // 2 == len(body)


@every_operation
def test_empty_body(sim, operation):
    data, _, made, _ = strike(sim, operation, "empty_body")
    assert status(data) == 200 and head_and_body(data)[1] == b"" and made == books(operation)


@pytest.mark.parametrize("operation", [ISSUE, "Revoke", "GetOrders"])
@pytest.mark.parametrize("fault", ["html", "http_503", "soap_fault_server", "reset", "error_code", "redirect"])
def test_the_same_with_the_business_done(sim, operation, fault):
    """record: what the client sees says nothing of what the CA did."""
    data, how, made, line = strike(sim, operation, fault, record=True)
    assert made == books(operation) and line["result"] == "ok"
    assert (how == "reset") == (fault == "reset") and (data == b"") == (fault == "reset")


@every_operation
def test_hold_and_release(sim, operation):
    request = sim.raw(operation)
    before = recorded(sim, operation)
    sim.fault("hold_reply", operation=operation, count=1)
    with sim.tls() as sock:
        sock.sendall(request)
        wait_for(lambda: sim.state("?orders=0")["held"] == 1)
        assert recorded(sim, operation) - before == books(operation)
        sock.settimeout(0.05)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        sock.settimeout(20)
        assert sim.control("POST", "/release")["replies"] == 1
        code, _, body = read_reply(sock)
        assert code == 200 and b"<SuccessCode>0<" in body
    assert sim.state("?orders=0")["held"] == 0


def test_hold_for_a_while(sim):
    sim.fault("hold_reply", count=1, delay_ms=150)
    begin = time.monotonic()
    assert sim.issue().certificate
    assert time.monotonic() - begin >= 0.15


@every_operation
def test_slow(sim, operation):
    request = sim.target(operation)
    sim.fault("slow", operation=operation, count=1, delay_ms=120)
    begin = time.monotonic()
    assert sim.post(request).success == 0
    assert time.monotonic() - begin >= 0.12


@pytest.mark.parametrize("operation", [ISSUE, "Revoke", "GetOrders"])
def test_slow_body(sim, operation):
    request = sim.raw(operation)
    sim.fault("slow_body", operation=operation, count=1, delay_ms=200)
    with sim.tls() as sock:
        sock.sendall(request + sim.raw("GetProfiles"))
        begin, parts = time.monotonic(), 0
        data = b""
        while not data.endswith(b"</soap:Envelope>"):
            data += sock.recv(65536)
            parts += 1
        assert parts > 3 and time.monotonic() - begin >= 0.15
        head, body = head_and_body(data)
        assert f"Content-Length: {len(body)}" in head and b"<SuccessCode>0<" in body
        assert read_reply(sock)[0] == 200  # the connection goes on behind it


# --- success that is not quite one ---


@every_operation
def test_warning_with_success(sim, operation):
    request = sim.target(operation)
    sim.fault("warning", operation=operation, count=1)
    answer = sim.post(request)
    assert answer.success == 1 and answer.errors == [(-9978, None)]
    if operation in ("OrderAndIssueCertificate", "OrderDS"):
        assert answer.certificate
    assert sim.last()["fault"] == "warning" and sim.last()["result"] == "ok"


def test_warning_of_another_kind(sim):
    sim.fault("warning", count=1, code=-6035, field="Year", success_code=1)
    assert sim.call(ISSUE).errors == [(-6035, "Year")]


@pytest.mark.parametrize("operation", ORDERS)
def test_pending(sim, operation):
    sim.set(async_issue_ms=300)
    request = sim.target(operation)
    sim.fault("pending", operation=operation, count=1)
    answer = sim.post(request)
    assert answer.success == 1 and answer.errors == [(-5001, None)]
    assert answer.text("CERT") is None and sim.status(answer.order_id) == 1
    if operation in (ISSUE, "OrderDS", "OrderPkcs12"):
        wait_for(lambda: sim.status(answer.order_id) == 4)
        assert sim.query(answer.order_id).text("Certificate")


# --- before TLS ---


def test_tls_stall(sim):
    sim.fault("tls_stall", count=1)
    sim.session.close()
    raw = sim.tcp()
    raw.settimeout(20)
    done = []
    thread = threading.Thread(target=lambda: done.append(
        sim.context().wrap_socket(raw, server_hostname="localhost")))
    thread.start()
    time.sleep(0.1)
    assert not done
    assert sim.call("GetProfiles").success == 0  # the next connection is not held
    assert sim.control("POST", "/release")["handshakes"] == 1
    thread.join(20)
    done[0].sendall(sim.raw("GetProfiles"))
    assert read_reply(done[0])[0] == 200
    done[0].close()


def test_tls_stall_for_a_while(sim):
    sim.fault("tls_stall", count=1, delay_ms=120)
    begin = time.monotonic()
    sim.tls().close()
    assert time.monotonic() - begin >= 0.12


def test_connection_drop(sim):
    sim.fault("connection_drop", count=2)
    for _ in range(2):
        with pytest.raises(OSError):
            sim.tls()
    sim.tls().close()


# --- certificates that are wrong ---


def struck_certificate(sim, fault, **order):
    sim.fault(fault, operation=ISSUE, count=1)
    return sim.issue(cn="Wrong", **order).certificate


def test_wrong_certificates(sim):
    key, issuing = new_key(), sim.chain()[0]
    digest = spki_sha256(key.public_key())
    assert spki_sha256(struck_certificate(sim, "wrong_key", CSR=csr_of(key)).public_key()) != digest
    assert sim.last()["spki_sha256"] == digest  # of the key that was ordered
    name = struck_certificate(sim, "wrong_name").subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    assert name[0].value != "Wrong"
    chain = struck_certificate(sim, "wrong_chain")
    assert chain.issuer == issuing.subject
    with pytest.raises((InvalidSignature, ValueError)):
        chain.verify_directly_issued_by(issuing)
    eku = struck_certificate(sim, "wrong_eku").extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert x509.ExtendedKeyUsageOID.CLIENT_AUTH not in eku
    long = struck_certificate(sim, "wrong_validity")
    assert long.not_valid_after_utc - long.not_valid_before_utc > datetime.timedelta(days=3000)
    sim.control("DELETE", "/faults")
    right = sim.issue(cn="Wrong", CSR=csr_of(new_key())).certificate
    right.verify_directly_issued_by(issuing)


def test_duplicate_order(sim):
    sim.fault("duplicate_order", count=1)
    answer = sim.issue(cn="Double")
    count, ids = sim.find(CommonName="Double")
    assert count == 2 and ids[0] == answer.order_id
    assert [line["order_id"] for line in sim.journal()[-3:-1]] == ids


def test_another_order_is_told(sim):
    first = sim.issue(cn="First")
    sim.fault("other_id", count=1, field=first.order_id)
    answer = sim.issue(cn="Second")
    assert answer.order_id == first.order_id and "Second" in answer.certificate.subject.rfc4514_string()
    sim.fault("other_order", count=1, field=first.order_id)
    answer = sim.issue(cn="Third")
    assert answer.order_id == first.order_id and answer.certificate == first.certificate
    for cn in ("Second", "Third"):
        count, [order_id] = sim.find(CommonName=cn)
        assert count == 1 and order_id != first.order_id


# --- queries that are late ---


@pytest.mark.parametrize("operation", ["GetOrders", "GetOrderByOrderId"])
def test_late_view(sim, operation):
    order = sim.issue(cn=f"Late {operation}").order_id
    sim.fault("late_view", operation=operation, count=1, delay_ms=60000)
    if operation == "GetOrders":
        assert sim.find(CommonName=f"Late {operation}") == (0, [])
        assert sim.find(CommonName=f"Late {operation}") == (1, [order])
    else:
        assert sim.query(order).errors == [(-4003, "OrderNo")]
        assert sim.status(order) == 4


def test_late_view_of_a_revocation(sim):
    order = sim.issue(cn="Late Revoke").order_id
    time.sleep(2.1)
    sim.call("Revoke", OrderID=order)
    sim.fault("late_view", count=1, delay_ms=2000)
    assert [sim.status(order), sim.status(order)] == [4, 7]


# --- how often, and whom ---


def codes(sim, count, operation="GetProfiles", **changes):
    return [sim.call(operation, **changes).success for _ in range(count)]


def test_count_and_skip(sim):
    sim.fault("error_code", count=2, skip=1)
    assert codes(sim, 5) == [0, -1, -1, 0, 0]


def test_without_end(sim):
    sim.fault("error_code")
    assert codes(sim, 5) == [-1] * 5


def test_a_script_is_met_in_its_order(sim):
    sim.control("POST", "/faults", [
        {"fault": "error_code", "code": -301, "count": 1}, {"fault": "error_code", "code": -9942, "count": 1}])
    seen = [sim.call("GetProfiles").errors for _ in range(3)]
    assert seen == [[(-301, None)], [(-9942, None)], []]


def test_probability(sim):
    sim.fault("error_code", probability=0.5)
    struck = codes(sim, 200).count(-1)
    assert 50 < struck < 150  # seven deviations each way
    sim.control("DELETE", "/faults")
    sim.fault("error_code", probability=0)
    assert codes(sim, 20) == [0] * 20


def test_aimed_by_operation_cn_and_profile(sim):
    sim.fault("error_code", operation="GetOrders")
    assert codes(sim, 1) == [0] and codes(sim, 1, "GetOrders") == [-1]
    sim.control("DELETE", "/faults")
    sim.fault("error_code", cn="Aimed")
    assert codes(sim, 1, ISSUE, cn="Other") == [0] and codes(sim, 1, ISSUE, cn="Aimed") == [-1]
    sim.control("DELETE", "/faults")
    sim.fault("error_code", profile=SMIME)
    mail = {"email": "a@example.com", "san": "a@example.com"}
    assert codes(sim, 1, ISSUE) == [0] and codes(sim, 1, ISSUE, profile=SMIME, **mail) == [-1]


def test_aimed_at_all_strikes_only_where_it_can(sim):
    sim.fault("wrong_key", count=1)
    assert codes(sim, 1) == [0] and sim.last()["fault"] == ""
    key = new_key()
    assert sim.issue(CSR=csr_of(key)).certificate.public_key() != key.public_key()


def test_a_window_of_time(sim):
    """A scripted outage: from then on, for so long."""
    sim.fault("http_503", after_ms=1000, for_ms=1000)
    changes = []

    def over():
        code = sim.session.post(sim.url, data=etree.tostring(sim.tree("GetProfiles"))).status_code
        if changes[-1:] != [code]:
            changes.append(code)
        return len(changes) == 3
    wait_for(over)
    assert changes == [200, 503, 200]


def test_faults_from_a_file(start):
    sim = start(faults=[{"fault": "error_code", "count": 1}])
    assert codes(sim, 2) == [-1, 0]


