"""The CA throttles, answers too late or for very long, is not to be found under its name, or somebody else is, or its
certificate has expired. What a reply looks like that is broken in itself is e2e/test_unknown.py's."""

import datetime
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from around import ORDER, Around, Load
from kit import BUILD, messages, topics, wait
from kit.stack import decided
from kit.system import own_port
from epki.v1 import certificate_event_pb2 as events

NAME = "epki.test"
# The whole of it takes 2,000 in the air and half a minute more for each tenth: EPKI_FAULTS_FULL=1. An order takes longer
# than it takes to place them all.
FULL = os.environ.get("EPKI_FAULTS_FULL") == "1"
IN_THE_AIR, SLOW_MS, USUAL_MS = (2000, 30000, (25000, 30000)) if FULL else (400, 6000, (8000, 9000))
ORDER_MS = SLOW_MS + USUAL_MS[1] + 9000
# Handshakes that fail for want of each other's time are a reason to try fewer at once: here none fails.
CONNECT_MS = 15000 if FULL else 3500
RATE = {"rate_per_minute": 9000, "burst": 50}


class Names:
    """What the workers find under the CA's name."""

    def __init__(self, directory):
        self.library, self.file = directory / "names.so", directory / "name"
        source = pathlib.Path(__file__).with_name("names.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", self.library, source], check=True)
        self.lead_to("127.0.0.1")
        self.env = {"LD_PRELOAD": str(self.library), "NAMES_NAME": NAME, "NAMES_FILE": str(self.file)}

    def lead_to(self, address):
        new = self.file.with_suffix(".new")
        new.write_text(address)
        new.rename(self.file)


def certificate_of(home, days):
    """The simulator's TLS certificate made anew, for that name and so many days from yesterday on."""
    key = serialization.load_pem_private_key((home / "tls.key").read_bytes(), None)
    issuer_key = serialization.load_pem_private_key((home / "tls-ca.key").read_bytes(), None)
    issuer = x509.load_pem_x509_certificate((home / "tls-ca.pem").read_bytes())
    since = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    made = (x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)]))
            .issuer_name(issuer.subject).public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(since).not_valid_after(since + datetime.timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
            .sign(issuer_key, hashes.SHA256()))
    return made.public_bytes(serialization.Encoding.PEM)


def show_certificate(system, days):
    """The simulator starts again and shows such a certificate; switches are as they were at its first start."""
    home = pathlib.Path(system.ca["EPKI_JOURNAL"]).parent / "ca"
    (home / "tls.pem").write_bytes(certificate_of(home, days))
    system.ca.restart("simulator", int(system.ca["EPKI_CONTROL_URL"].rsplit(":", 1)[1]), signal.SIGTERM)
    system.ca.settings(order_min_ms=200, order_max_ms=400, query_ms=50, change_ms=50)


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    return Names(tmp_path_factory.mktemp("names"))


@pytest.fixture(scope="module")
def system(names):
    with pytest.MonkeyPatch.context() as patch:
        for key, value in names.env.items():
            patch.setenv(key, value)
        url = f"https://{NAME}:{own_port() + 2}/cr/ws/GasOrderService"
        account = {"url": url, "connect_ms": CONNECT_MS, "order_ms": ORDER_MS, "orders_in_flight": 2000, **RATE}
        with Around(BUILD / "faults" / pathlib.Path(__file__).stem, 2, accounts={"main": account},
                    time={"send_window_ms": CONNECT_MS + 1500}) as made:
            show_certificate(made, 30)
            made.ready()
            yield made


def not_sent(system, problem):
    return system.log(msg="order answered", problem=problem)


def await_not_sent(system, problem, seen, count=1):
    """So many more than were seen before."""
    wait.until(lambda: len(not_sent(system, problem)) >= seen + count, 60, f"{count} orders with {problem}")
    return not_sent(system, problem)[seen:]


# --- throttled and slow ---

def test_429_to_one_holds_both_back(system):
    """Retry-After is the fleet's: while it lasts no worker calls, whoever was told."""
    issued = [system.issue(messages.enroll(messages.name("before"))) for _ in range(system.ca.partitions)]
    with Load(system) as load:
        load.await_more(5)
        system.ca.fault("http_429", operation="*", count=1, retry_after_s=6)
        [refused] = wait.until(lambda: [e for e in system.ca.journal() if e["fault"] == "http_429"], 30, "the 429")
        # Enough kinds of work for nobody to have it all: a worker has half of the partitions.
        others = []
        for number, event in enumerate(issued):
            target = messages.by_order("vpn", event.certificate.order_id)
            others.append(system.send(messages.revoke(messages.name("also"), target), partition=number))
            others.append(system.send(messages.enroll(messages.name("also")), topic=topics.BULK, partition=number))
        load.await_more(5)
        for placed in others:
            assert system.results.answer_to(placed, 60).result in (events.RESULT_ISSUED, events.RESULT_REVOKED)
    assert len([w for w in system.running() if w.metric("epki_request_duration_seconds_count")]) == 2
    at = [decided(e) - decided(refused) for e in system.ca.journal()]
    # Before, the word reaches both, and what was under way is decided.
    assert not [t for t in at if 2.5 < t < 5.5]


def test_answer_after_the_client_gave_up_is_found(system):
    """The reply comes to nobody; the order is looked for, and is one."""
    request = messages.name("late")
    system.ca.fault("slow", cn=f"Person {request}", count=1, delay_ms=ORDER_MS + 2000)
    placed = system.send(messages.enroll(request))
    event = system.results.answer_to(placed, ORDER_MS / 1000 + 60)
    assert event.result == events.RESULT_ISSUED
    [call] = system.ca.journal(cn=f"Person {request}", operation=ORDER)
    assert call["order_id"] == event.certificate.order_id
    assert system.log(msg="order answered", request_id=request, problem="ca-timeout")


def test_slow_tenth_holds_nobody_up(system):
    """One order in ten takes very long, with very many in the air: the others are answered in their own time."""
    fault = system.ca.fault("slow", probability=0.1, delay_ms=SLOW_MS)
    load = Load(system, name="tenth")
    system.ca.settings(order_min_ms=USUAL_MS[0], order_max_ms=USUAL_MS[1])
    try:
        load.publish_all(IN_THE_AIR)
        load.check(300)
    finally:
        system.ca.settings(order_min_ms=200, order_max_ms=400)
    most = system.ca.control("GET", "/state?orders=0")["in_flight_max"]  # no other test has nearly as many
    slow = system.ca.fault_hits(fault)
    times = sorted(e.answered_ms - e.received_ms for e in system.results.events if e.request_id.startswith(load.prefix)
                   and e.result == events.RESULT_ISSUED and not e.HasField("duplicate_of"))
    quick, last = times[len(times) * 3 // 4], times[-1]
    print(f"{most} in the air, {slow} of {IN_THE_AIR} slow; three quarters within {quick} ms, the last {last} ms")
    assert most >= IN_THE_AIR * 0.9
    assert IN_THE_AIR * 0.03 < slow < IN_THE_AIR * 0.25
    assert last >= SLOW_MS + USUAL_MS[0] and quick < last - SLOW_MS / 2


# --- not to be found, or not to be believed ---

def test_name_that_nobody_knows_for_a_while(system, names):
    """An order is surely not sent to nobody: it waits, and goes out once the name is back."""
    seen = len(not_sent(system, "ca-dns"))
    names.lead_to("")
    try:
        with Load(system, name="nameless") as load:
            lines = await_not_sent(system, "ca-dns", seen, 20)
            assert all(line["class"] == "not-sent" and line["level"] == "warn" for line in lines)
            assert not load.orders()
            names.lead_to("127.0.0.1")
            load.await_more(10)
    finally:
        names.lead_to("127.0.0.1")


class Impostor:
    """Somebody else under the CA's name and port: takes connections, and notes what it is told after the handshake."""

    def __init__(self, address, port, home):
        self.heard, self.met = b"", 0
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        key, pem = home / "impostor.key", home / "impostor.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", key, "-out", pem, "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"],
                       check=True, capture_output=True)
        context.load_cert_chain(pem, key)
        self.listener = socket.create_server((address, port))
        self.context = context
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                link, _ = self.listener.accept()
            except OSError:
                return
            self.met += 1
            link.settimeout(5)
            try:
                with self.context.wrap_socket(link, server_side=True) as talk:
                    self.heard += talk.recv(65536)
            except OSError:  # who knows the CA says no more than that
                link.close()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(10)


def test_name_that_leads_to_somebody_else(system, names, tmp_path):
    impostor = Impostor("127.0.0.2", own_port() + 2, tmp_path)
    seen = len(not_sent(system, "ca-tls-certificate"))
    names.lead_to("127.0.0.2")
    try:
        with Load(system, name="elsewhere") as load:
            await_not_sent(system, "ca-tls-certificate", seen)
            names.lead_to("127.0.0.1")
            load.await_more(10)
    finally:
        names.lead_to("127.0.0.1")
        impostor.close()
    assert impostor.met and impostor.heard == b""


def test_certificate_that_has_expired(system):
    """Nothing is sent to a server that cannot prove who it is; whoever reads the log knows why, and it heals by itself."""
    seen = len(not_sent(system, "ca-tls-certificate"))
    show_certificate(system, 0.5)
    calls = len(system.ca.journal())
    with Load(system, name="expired") as load:
        lines = await_not_sent(system, "ca-tls-certificate", seen, 10)
        assert len(system.ca.journal()) == calls
        assert all(line["level"] == "warn" and "expired" in line["detail"] for line in lines)
        assert all(w.get("/livez").status_code == 200 for w in system.running())
        show_certificate(system, 30)
        load.await_more(10)
