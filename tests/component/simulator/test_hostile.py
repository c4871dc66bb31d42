"""Clients that mean harm or know no better: the simulator refuses, stays quick and stays up."""
import os
import socket
import time

import pytest
from lxml import etree

from harness import PATH, Wire, drain, envelope, http, read_reply, request_of, wait_for


def serves(sim):
    assert sim.call("GetProfiles").success == 0


def talk(sim, data):
    """Sends bytes over TLS; the first answer's status, and what follows it."""
    with sim.tls() as sock:
        sock.settimeout(20)
        sock.sendall(data)
        answer, end = drain(sock)
        return (int(answer.split()[1]) if answer else None), end


# --- TLS ---


@pytest.mark.parametrize("data", [
    b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"A" * 70000, b"\x00" * 1000, os.urandom(4000),
    b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", b"\x80\x2e\x01\x03\x01"], ids=range(6))
def test_garbage_instead_of_tls(sim, data):
    with sim.tcp() as sock:
        sock.settimeout(20)
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # thrown out already
        drain(sock)
    serves(sim)


def test_garbage_after_the_handshake(sim):
    wire = Wire(sim)
    wire.raw.sendall(b"\x17\x03\x03\x00\x20" + os.urandom(32))
    assert drain(wire.raw)[1] in ("eof", "reset")
    serves(sim)


def test_plain_http_on_the_tls_port_and_back(sim):
    with sim.tcp() as sock:
        sock.sendall(b"GET /cr/ws/GasOrderService?wsdl HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" not in drain(sock)[0]
    with socket.create_connection(("127.0.0.1", sim.control_port)) as sock:
        sock.sendall(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00" + b"\r\n\r\n")
        assert b"400" in drain(sock)[0]
    serves(sim)


# --- HTTP ---


@pytest.mark.parametrize("data,status", [
    (b"\r\n\r\n", 400), (b"nonsense\r\n\r\n", 400), (b"POST / HTTP/3.0\r\n\r\n", 400),
    (b"GET /" + b"a" * 300 + b" HTTP/1.1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400), (b"GET / HTTP/1.1\r\n: x\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nA: \0\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nX: " + b"a" * 20000, 431),
    (http(b"")[:-2].replace(b"Content-Length: 0", b"Content-Length: -5") + b"\r\n", 400),
    (http(b"")[:-2].replace(b"Content-Length: 0", b"Content-Length: 5x") + b"\r\n", 400),
    (http(b"")[:-2].replace(b"Content-Length: 0", b"Content-Length: 99999999999999999999999") + b"\r\n", 413),
    (http(b"abc", "Content-Length: 4\r\n"), 400),
    (http(b"abc", "Content-Length : 4\r\n"), 400),
    (http(b"abc", "Transfer-Encoding: chunked\r\n"), 400),
    (http(b"abc", "Transfer-Encoding: gzip\r\n"), 400),
], ids=range(15))
def test_broken_requests(sim, data, status):
    assert talk(sim, data)[0] == status
    serves(sim)


def chunked(*parts, end=b"0\r\n\r\n"):
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head.encode() + b"".join(parts) + end


def chunk(data):
    return b"%x;note=1\r\n%s\r\n" % (len(data), data)


def test_chunks(sim):
    body = etree.tostring(sim.tree("GetProfiles"))
    assert talk(sim, chunked(*(chunk(body[i:i + 7]) for i in range(0, len(body), 7))))[0] == 200
    assert talk(sim, chunked(chunk(body), end=b"0\r\nX: y\r\n\r\n"))[0] == 200


@pytest.mark.parametrize("data,status", [
    (chunked(b"zz\r\nab\r\n"), 400), (chunked(b"-1\r\nab\r\n"), 400), (chunked(b"0x2\r\nab\r\n"), 400),
    (chunked(b"2\r\nabXY"), 400), (chunked(b"fffffffffffffffff\r\nab\r\n"), 413),
    (chunked(b"7fffffff\r\n"), 413), (chunked(b"2" + b" " * 300), 400),
    (chunked(end=b"0\r\n" + b"X: y\r\n" * 5000), 431)], ids=range(8))
def test_broken_chunks(sim, data, status):
    assert talk(sim, data)[0] == status
    serves(sim)


def test_huge_bodies(sim):
    sim.set(max_body=100000)
    assert talk(sim, http(b"").replace(b"Length: 0", b"Length: 100001"))[0] == 413
    assert talk(sim, chunked(*[chunk(b"a" * 60000)] * 2))[0] == 413
    body = etree.tostring(sim.tree("GetProfiles"))
    padded = body + b" " * (100000 - len(body))
    assert sim.post(padded).success == 0
    serves(sim)


def test_pipelining(sim):
    sim.set(query_ms=30)
    one = sim.raw("GetProfiles")
    with sim.tls() as sock:
        sock.sendall(one * 5)
        assert [read_reply(sock)[0] for _ in range(5)] == [200] * 5
        sock.sendall(one[:-10])
        time.sleep(0.05)
        sock.sendall(one[-10:] + http(b"", method="PUT") + one)
        assert [read_reply(sock)[0] for _ in range(3)] == [200, 405, 200]


def test_too_much_ahead_of_an_answer(sim):
    """What comes while a call is under way is kept within the body's limit, then the line is cut."""
    sim.set(query_ms=60000, max_body=10000)
    with sim.tls() as sock:
        sock.sendall(sim.raw("GetProfiles"))
        with pytest.raises(OSError):
            for _ in range(3000):
                sock.sendall(b"a" * 16384)
        assert sim.state()["in_flight"] == 0


def resident(sim):
    with open(f"/proc/{sim.process.pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_client_that_asks_and_does_not_read(start):
    """Answers do not pile up: the next request waits until those before it are taken."""
    sim, count = start(), 800
    sim.call("GetProfiles")
    before = resident(sim)
    with sim.tls() as sock:
        sock.sendall(f"GET {PATH}?wsdl HTTP/1.1\r\nHost: x\r\n\r\n".encode() * count)
        time.sleep(0.3)
        serves(sim)
        assert resident(sim) - before < 12 << 20  # the answers are 28 MB
        assert [read_reply(sock)[0] for _ in range(3)] == [200] * 3
        left, tail, mark = count - 3, b"", b"HTTP/1.1 200 OK\r\n"
        while left:
            data = tail + sock.recv(1 << 20)
            left -= data.count(mark)
            tail = data[-len(mark) + 1:]


def test_expect_continue(sim):
    data = sim.raw("GetProfiles", "Expect: 100-continue\r\n")
    head, _, body = data.partition(b"\r\n\r\n")
    with sim.tls() as sock:
        sock.sendall(head + b"\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 100 ")
        sock.sendall(body)
        assert read_reply(sock)[0] == 200


def test_http_1_0_and_close(sim):
    data = sim.raw("GetProfiles")
    assert talk(sim, data.replace(b"HTTP/1.1", b"HTTP/1.0")) == (200, "eof")
    assert talk(sim, sim.raw("GetProfiles", "Connection: close\r\n")) == (200, "eof")


def test_slow_clients_are_cut(start):
    """A request must be whole, and its answer taken, within idle_ms; bytes that trickle win no time."""
    sim = start(settings={"idle_ms": 400})
    begin = time.monotonic()
    silent, half_hello, trickle = sim.tcp(), sim.tcp(), sim.tls()
    half_hello.sendall(b"\x16\x03\x01\x02\x00\x01")
    trickle.sendall(b"POST / HTTP/1.1\r\n")
    try:
        while time.monotonic() - begin < 20:
            trickle.sendall(b"X: y\r\n")
            time.sleep(0.02)
    except OSError:
        pass
    assert 0.3 < time.monotonic() - begin < 15
    for sock in (silent, half_hello):
        drain(sock)
    idle = sim.tls()
    idle.sendall(sim.raw("GetProfiles"))
    assert read_reply(idle)[0] == 200
    begin = time.monotonic()
    drain(idle)
    assert 0.3 < time.monotonic() - begin < 9


def test_a_call_that_waits_is_not_idle(start):
    sim = start(settings={"idle_ms": 200, "query_ms": 600})
    assert sim.call("GetProfiles").success == 0


def test_a_client_that_says_goodbye_with_its_request_has_ordered(sim):
    """The CA has the whole request: that the client does not wait is the client's affair."""
    wire = Wire(sim)
    wire.send(sim.raw("OrderAndIssueCertificate", cn="Goodbye"), goodbye=True)
    wire.raw.close()
    wait_for(lambda: sim.orders("Goodbye"))


# --- XML ---


LAUGHS = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))


@pytest.mark.parametrize("bomb", [
    f'<!DOCTYPE x [<!ENTITY a0 "ha">{LAUGHS}]><x>&a11;</x>',
    f'<!DOCTYPE x [<!ENTITY a0 "ha">{LAUGHS}]><x y="&a11;"/>',
    '<!DOCTYPE x [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><x/>',
    '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
    '<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd"><x/>',
    "<a>" * 300000, "<a " + " ".join(f'b{i}=""' for i in range(80000)) + "/>",
    "<!--" + "-" * 900000, "<!--" + "-" * 900000 + "-->", "<x>" + "<!--" + "a-" * 400000 + "--></x>",
    "<?" + "p" * 900000, "&" * 900000, "<x>" + "&x;" * 300000, "<x:y " * 150000, "<" * 900000,
    "<!DOCTYPE x [" + "<!ELEMENT x ANY>" * 50000, "<x>" + "</y>" * 200000], ids=range(17))
def test_bombs(sim, bomb):
    sim.set(validation="off")
    begin = sim.cpu()
    answer = sim.post(bomb.encode())
    assert answer.status == 500 and b"root:" not in answer.body
    assert sim.cpu() - begin < 1
    serves(sim)


@pytest.mark.parametrize("mode", ["on", "off"])
@pytest.mark.parametrize("element", ["Year", "DnAttributes", "OrganizationUnit", "UPN"])
def test_a_hundred_thousand_of_the_same(sim, mode, element):
    sim.set(validation=mode)
    root = sim.tree("OrderAndIssueCertificate", ou=["x"])
    request = request_of(root)
    parent = request.find("DnAttributes") if element == "OrganizationUnit" else request
    at = request.find("Year")
    for _ in range(900000 // (2 * len(element) + 5)):
        if element == "OrganizationUnit":
            etree.SubElement(parent, element).text = "x"
        else:
            at.addnext(etree.Element(element))
    begin = sim.cpu()
    answer = sim.post(root)
    assert sim.cpu() - begin < 1
    if element == "OrganizationUnit":
        assert answer.errors == [(-101, "DnAttributes.OrganizationUnit")]
    elif mode == "off":  # the last one wins, as unmarshalling has it
        assert answer.errors == ([(-101, "Year")] if element == "Year" else [])
    else:
        assert answer.fault[0] == "soap:Client"


def test_deep_and_wide_within_the_shape(sim):
    body = etree.tostring(envelope("GetOrders", {}, password=sim.password))
    deep = body.replace(b"</Request>", b"<OrderQueryParam>" * 20000 + b"</OrderQueryParam>" * 20000 + b"</Request>")
    assert sim.post(deep).fault[0] == "soap:Client"
    serves(sim)


def test_text_beyond_any_rule(sim):
    for value in ("x" * 500000, "\U0001F600" * 20000):
        answer = sim.call("OrderAndIssueCertificate", cn=value)
        assert answer.errors == [(-103, "DnAttributes.CommonName")]
    assert len(sim.last()["cn"]) <= 512


# --- files ---


def test_few_files(start):
    """Without descriptors for more connections it says so, turns those away and goes on."""
    sim = start(nofile=(64, 64))
    assert "at most 64 files" in sim.stderr()
    socks = [sim.tcp() for _ in range(100)]
    time.sleep(0.2)
    for sock in socks:
        sock.close()
    wait_for(lambda: sim.call("GetProfiles").success == 0)
