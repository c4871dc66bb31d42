"""Starts epki-simulator and talks to it as a client would.

Requests are written by the order of the XSD, every answer is held against the same XSD by lxml, and
nothing here shares code with the simulator.
"""
import base64
import ctypes
import hashlib
import json
import os
import pathlib
import re
import resource
import signal
import socket
import ssl
import subprocess
import time
from http.client import HTTPConnection

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from lxml import etree

TOP = pathlib.Path(__file__).resolve().parents[3]
BINARY = os.environ.get("EPKI_SIMULATOR", str(TOP / "build" / "epki-simulator"))
SCHEMA_FILE = TOP / "tests" / "simulator" / "schema" / "GasOrderService.xsd"
NS = "https://system.globalsign.com/cr/ws/"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
XS = "{http://www.w3.org/2001/XMLSchema}"
# A build with AddressSanitizer would otherwise keep what was freed, and look as if it leaked.
ENVIRONMENT = {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"}
LIBC = ctypes.CDLL(None)
PATH = "/cr/ws/GasOrderService"
USER = "PAR00001_api"

PLAIN, SMIME, VETTING = "MP202601150001", "MP202601150002", "MP202601150003"
LICENCE = "ML202601150007"
NIL = object()  # an element that is xsi:nil

ORDERS = ("OrderPkcs12", "OrderAndIssueCertificate", "OrderCertificate", "OrderDS", "Reissue")
CHANGES = ("Cancel", "Revoke")
QUERIES = ("GetProfiles", "GetOrders", "GetOrderByOrderId")
OPERATIONS = ORDERS + CHANGES + QUERIES

# No waiting where time is not what is tested.
QUICK = {"order_min_ms": 0, "order_max_ms": 0, "query_ms": 0, "change_ms": 0, "revoke_delay_ms": 0,
         "p12_key": "ec"}

_schema_doc = etree.parse(str(SCHEMA_FILE))
SCHEMA = etree.XMLSchema(_schema_doc)
_types = {
    node.get("name"): [(e.get("name"), e.get("type").split(":")[-1]) for e in node.iter(XS + "element")]
    for node in _schema_doc.getroot().iter(XS + "complexType")
}


def local(element):
    return etree.QName(element).localname


# --- keys and CSRs ---


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def csr_of(key, name="ignored"):
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def spki_sha256(public_key):
    der = public_key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


# --- requests ---


def fields_of(operation, **changes):
    """The smallest request that is right; changes are dotted paths below Request, with _ for the dot."""
    order = {"ProfileID": PLAIN, "ProductCode": "EPKIPSPersonal", "Year": 1,
             "DnAttributes.CommonName": "Ada Example"}
    fields = {
        "OrderPkcs12": {**order, "PKCS12PIN": "Zx81Kq4PmT20"},
        "OrderAndIssueCertificate": {**order, "CSR": None},
        "OrderCertificate": {**order, "DnAttributes.Email": "ada@example.com", "PickupPassword": "abcd1234"},
        "OrderDS": {"ProfileOrderNo": PLAIN, "ProductCode": "AnyProduct", "Year": 1, "CSR": None,
                    "DnAttributes.CommonName": "Ada Example"},
        "Reissue": {"TargetOrderID": "", "PickupPassword": "abcd1234"},
        "Cancel": {"OrderID": ""}, "Revoke": {"OrderID": ""},
        "GetOrderByOrderId": {"OrderNo": ""}, "GetOrders": {}, "GetProfiles": {},
    }[operation]
    if "CSR" in fields:
        fields["CSR"] = changes["CSR"] if "CSR" in changes else csr_of(new_key())
    names = {"cn": "DnAttributes.CommonName", "email": "DnAttributes.Email",
             "ou": "DnAttributes.OrganizationUnit", "profile": "ProfileID",
             "product": "ProductCode", "san": "SANRFC822EmailAddress"}
    for name, value in changes.items():
        fields[names.get(name, name.replace("__", "."))] = value
    return fields


def _fill(parent, type_name, fields, path):
    for name, kind in _types[type_name]:
        at = f"{path}.{name}" if path else name
        if kind in _types:
            if any(key.startswith(at + ".") and value is not None for key, value in fields.items()):
                _fill(etree.SubElement(parent, name), kind, fields, at)
            elif fields.get(at) is NIL:
                etree.SubElement(parent, name).set(f"{{{XSI}}}nil", "true")
            continue
        values = fields.get(at)
        for value in values if isinstance(values, list) else [values]:
            if value is None:
                continue
            child = etree.SubElement(parent, name)
            if value is NIL:
                child.set(f"{{{XSI}}}nil", "true")
            else:
                child.text = str(value)


def envelope(operation, fields, user=USER, password=""):
    """The call as an lxml tree, for tests that go on to spoil it."""
    header = _types[dict(_types[operation])["Request"]][0][0]
    fields = {f"{header}.AuthToken.UserName": user, f"{header}.AuthToken.Password": password, **fields}
    root = etree.Element(f"{{{SOAP}}}Envelope", nsmap={"soapenv": SOAP, "ws": NS, "xsi": XSI})
    body = etree.SubElement(root, f"{{{SOAP}}}Body")
    request = etree.SubElement(etree.SubElement(body, f"{{{NS}}}{operation}"), "Request")
    _fill(request, dict(_types[operation])["Request"], fields, "")
    return root


def request_of(root):
    return root.find(".//Request")


# --- answers ---


class Answer:
    """A reply, read by local name."""

    def __init__(self, response, check=True):
        self.status, self.headers, self.body = response.status_code, response.headers, response.content
        root = etree.fromstring(self.body)
        self.payload = root[0][0]
        self.fault = None
        if local(self.payload) == "Fault":
            self.fault = (self.text("faultcode"), self.text("faultstring"))
        elif check:
            SCHEMA.assertValid(self.payload)

    def all(self, name):
        return [e for e in self.payload.iter() if isinstance(e.tag, str) and local(e) == name]

    def text(self, name):
        found = self.all(name)
        return found[0].text if found else None

    @property
    def success(self):
        assert self.fault is None, self.fault
        return int(self.text("SuccessCode"))

    @property
    def errors(self):
        assert self.fault is None, self.fault
        return [(int(e.find("ErrorCode").text), e.findtext("ErrorField")) for e in self.all("Error")]

    @property
    def order_id(self):
        return self.text("OrderID") or self.text("orderNo") or self.text("OrderNo")

    @property
    def certificate(self):
        return x509.load_pem_x509_certificate((self.text("CERT") or self.text("Certificate")).encode())


# --- the program ---


class Simulator:
    def __init__(self, directory, settings=None, faults=None, nofile=None, argv=()):
        self.dir = pathlib.Path(directory)
        self.settings, self.faults = {**QUICK, **(settings or {})}, faults
        self.nofile, self.argv = nofile, list(argv)
        self.session, self.process = None, None
        self.start()

    def start(self):
        command = [BINARY, "--dir", str(self.dir), "--port", "0", "--control-port", "0", *self.argv]
        for name, value in self.settings.items():
            command += ["--set", f"{name}={value}"]
        if self.faults is not None:
            path = self.dir.with_suffix(".faults.json")
            path.write_text(json.dumps(self.faults))
            command += ["--faults", str(path)]
        with open(self.dir.with_suffix(".stderr"), "ab") as stderr:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, env=ENVIRONMENT,
                                            preexec_fn=self.before_exec)
        assert self.process.stdout.readline() == b"ready\n", self.stderr()
        ports = json.loads((self.dir / "ports").read_text())
        self.port, self.control_port = ports["port"], ports["control_port"]
        self.url = f"https://localhost:{self.port}{PATH}"
        self.password = (self.dir / "password").read_text().strip()
        self.usual = self.context()
        self.session = requests.Session()
        self.session.trust_env = False  # a CA bundle of the environment would win over ours
        self.session.verify = str(self.dir / "tls-ca.pem")

    def before_exec(self):
        LIBC.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: a killed test run leaves nothing behind
        if self.nofile:
            resource.setrlimit(resource.RLIMIT_NOFILE, self.nofile)

    def stop(self, how=signal.SIGTERM):
        self.session.close()
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(20)
        self.process.stdout.close()
        return code

    def restart(self, how=signal.SIGTERM):
        self.stop(how)
        self.start()

    def stderr(self):
        return self.dir.with_suffix(".stderr").read_text()

    def cpu(self):
        """Seconds of processor time so far: what a loaded machine cannot stretch."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # the control port

    def control(self, method, path, body=None, status=200, raw=None):
        link = HTTPConnection("127.0.0.1", self.control_port, timeout=20)
        link.request(method, path, raw if raw is not None or body is None else json.dumps(body))
        response = link.getresponse()
        text = response.read()
        link.close()
        assert response.status == status, text
        return json.loads(text)

    def set(self, **settings):
        return self.control("POST", "/settings", settings)

    def fault(self, name, **members):
        return self.control("POST", "/faults", {"fault": name, **members})["id"]

    def state(self, query=""):
        return self.control("GET", "/state" + query)

    def orders(self, cn):
        return self.control("GET", "/state?cn=" + requests.utils.quote(cn))["orders"]

    def profile(self, name, **members):
        return self.control("POST", "/profiles/" + name, members)

    def reset(self):
        """As it was at the start, but for orders and profiles."""
        self.control("POST", "/reset")

    def journal(self):
        lines = (self.dir / "journal.jsonl").read_text().split("\n")
        assert lines.pop() == ""
        return [json.loads(line) for line in lines]

    def last(self):
        """The journal's last line."""
        return json.loads((self.dir / "journal.jsonl").read_text().rstrip("\n").rsplit("\n", 1)[-1])

    def crl(self):
        data = self.session.get(f"http://127.0.0.1:{self.control_port}/crl", timeout=20).content
        return x509.load_der_x509_crl(data)

    def chain(self):
        return x509.load_pem_x509_certificates((self.dir / "chain.pem").read_bytes())

    # the API

    def post(self, body, headers=None, check=True, timeout=30):
        if not isinstance(body, bytes):
            body = etree.tostring(body, xml_declaration=False, encoding="UTF-8")
        headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""', **(headers or {})}
        response = self.session.post(self.url, data=body, headers=headers, timeout=timeout,
                                     allow_redirects=False)
        return Answer(response, check)

    def tree(self, operation, **changes):
        return envelope(operation, fields_of(operation, **changes), password=self.password)

    def call(self, operation, check=True, **changes):
        return self.post(self.tree(operation, **changes), check=check)

    def issue(self, operation="OrderAndIssueCertificate", **changes):
        answer = self.call(operation, **changes)
        assert answer.success == 0, answer.errors
        return answer

    def query(self, order_id, **options):
        wants = {f"OrderQueryOption.{name}": "true" for name in
                 ("ReturnCertificateInfo", "ReturnFulfillment", "ReturnP7", "ReturnModEvents")}
        return self.post(envelope("GetOrderByOrderId", {"OrderNo": order_id, **wants, **options},
                                  password=self.password))

    def status(self, order_id):
        answer = self.query(order_id)
        return int(answer.text("OrderStatus"))

    def find(self, **filters):
        fields = {f"OrderQueryParam.{name}": value for name, value in filters.items()}
        answer = self.post(envelope("GetOrders", fields, password=self.password))
        return int(answer.text("TotalCount")), [e.findtext("OrderInfo/OrderNo") for e in answer.all("OrderDetail")]

    def target(self, operation, **changes):
        """A request that the CA would grant, with the order it is about made first."""
        names = {"Reissue": "TargetOrderID", "Cancel": "OrderID", "Revoke": "OrderID",
                 "GetOrderByOrderId": "OrderNo"}
        if operation in names:
            changes = {names[operation]: self.issue(cn="Target").order_id, **changes}
        return self.tree(operation, **changes)

    # below HTTP

    def tcp(self):
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def tls(self):
        return self.usual.wrap_socket(self.tcp(), server_hostname="localhost")

    def context(self):
        return ssl.create_default_context(cafile=str(self.dir / "tls-ca.pem"))

    def raw(self, operation, headers="", **changes):
        return http(etree.tostring(self.target(operation, **changes)), headers)


class Wire:
    """TLS over a socket that stays ours, so that the end of TCP shows: ssl takes a reset for an end."""

    def __init__(self, sim):
        self.raw = sim.tcp()
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = sim.usual.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.raw.sendall(self.outgoing.read())
                self.incoming.write(self.raw.recv(65536))

    def send(self, data, goodbye=False):
        """goodbye: close_notify rides in the same segment."""
        self.tls.write(data)
        if goodbye:
            try:
                self.tls.unwrap()
            except ssl.SSLWantReadError:
                pass
        self.raw.sendall(self.outgoing.read())

    def drain(self):
        """All bytes until the end, and how TCP ended: 'eof' or 'reset'."""
        _, end = drain(self.raw, self.incoming.write)
        self.raw.close()
        data = b""
        try:
            while part := self.tls.read(65536):
                data += part
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
        return data, end


def http(body, headers="", method="POST"):
    head = (f"{method} {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/xml\r\n"
            f"Content-Length: {len(body)}\r\n{headers}\r\n")
    return head.encode() + body


def drain(sock, keep=None):
    """All bytes until the end, and how the end came: 'eof' or 'reset'."""
    data = b""
    try:
        while True:
            part = sock.recv(65536)
            if not part:
                return data, "eof"
            if keep:
                keep(part)
            else:
                data += part
    except ssl.SSLEOFError:
        return data, "eof"
    except ConnectionResetError:
        return data, "reset"


def read_reply(sock):
    """One whole HTTP answer: status, head, body."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(65536)
        assert part, data
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(re.search(rb"Content-Length: (\d+)", head).group(1))
    while len(body) < length:
        part = sock.recv(65536)
        assert part, "cut short"
        body += part
    assert len(body) == length
    return int(head.split()[1]), head.decode(), body


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("it did not come about in time")


def unbase64(text):
    return base64.b64decode(text, validate=True)
