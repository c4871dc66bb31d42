"""What a request record says: decoded, and judged by the rules of the contract and its setting that need nobody's
state."""

import dataclasses
import hashlib
import re

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.protobuf.message import DecodeError

from chaos.auditor import settings as rules
from chaos.auditor.facts import Place
from epki.v1 import common_pb2, enrollment_pb2, renewal_pb2, revocation_pb2

MESSAGE_OF = {"epki.enrollment.requests": enrollment_pb2.EnrollmentRequest,
              "epki.enrollment.bulk.requests": enrollment_pb2.EnrollmentRequest,
              "epki.renewal.requests": renewal_pb2.RenewalRequest,
              "epki.revocation.requests": revocation_pb2.RevocationRequest}
ENROLL, RENEW, REVOKE = "enroll", "renew", "revoke"
WORKER, THEIRS = "worker_key", "globalsign_key"  # key choices of the contract
WORD_OF = {WORKER: "worker", THEIRS: "globalsign"}  # ... as a setting lists them
OPERATION = {enrollment_pb2.EnrollmentRequest: ENROLL, renewal_pb2.RenewalRequest: RENEW,
             revocation_pb2.RevocationRequest: REVOKE}
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
RECORD_MAX, CN_MAX = 256 * 1024, 64
FRAME = 6  # a zero byte, the schema's id, and the short form of the message index [0]


@dataclasses.dataclass(frozen=True)
class Problem:
    """Why an event has to be refused, whatever anybody's state: the contract's field, and words for people."""
    field: str
    why: str


@dataclasses.dataclass(frozen=True)
class Request:
    place: Place
    record_key: bytes
    time_ms: int
    id: str
    op: str
    message: object
    spki: str  # of the CSR, hexadecimal; "": no readable CSR
    setting: object  # Setting, or None
    cn: str  # rendered; "": from the target, or none
    email: str
    problem: object  # Problem, or None
    content: tuple  # equal for events that ask for the same

    @property
    def choice(self):
        """Where the key comes from; "": an event that asks for none."""
        return "" if self.op == REVOKE else self.message.key.WhichOneof("choice") or ""

    @property
    def worker_key(self):
        return self.choice == WORKER

    @property
    def their_key(self):
        """The CA makes it."""
        return self.choice == THEIRS

    @property
    def sealed(self):
        """The answer brings the key too."""
        return self.choice in (WORKER, THEIRS)

    @property
    def target(self):
        """("request_id" | "serial" | "order" | None, its message)."""
        kind = self.message.target.WhichOneof("target") if self.op != ENROLL else None
        return kind, getattr(self.message.target, kind) if kind else None


def decode(event):
    """The message, or None: it can only become a dead letter."""
    value = event.value
    if value is None or len(value) > RECORD_MAX:
        return None
    if value[:1] == b"\0":
        value = value[FRAME:] if len(value) >= FRAME and value[FRAME - 1] == 0 else b"\0"
    try:
        message = MESSAGE_OF[event.place.topic].FromString(value)
    except DecodeError:
        return None
    return message if REQUEST_ID.fullmatch(message.request_id) else None


def spki_of(public_key):
    return hashlib.sha256(public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def csr_spki(pem):
    """SHA-256 of the key of a CSR that is one and is signed by its own key; else ""."""
    try:
        csr = x509.load_pem_x509_csr(pem.encode())
        return spki_of(csr.public_key()) if csr.is_signature_valid else ""
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return ""


def key_content(key, spki):
    choice = key.WhichOneof("choice")
    if choice not in (WORKER, THEIRS):
        return choice, spki or key.csr
    made = getattr(key, choice)
    return (choice, made.type if choice == WORKER else 0, made.format,
            hashlib.sha256(made.recipient_certificate).hexdigest())


def content_of(op, message, spki):
    """Operation, setting, facts, key and target: not context, labels, deadline or lane, and never bytes as sent."""
    target = message.target.SerializeToString(deterministic=True) if op != ENROLL else b""
    if op == REVOKE:
        return op, target, message.reason, message.removal
    facts = common_pb2.Subject()
    facts.CopyFrom(message.subject)
    attributes = tuple(sorted((a.name, a.value) for a in facts.attributes))
    facts.ClearField("attributes")
    return (op, message.setting, facts.SerializeToString(deterministic=True), attributes,
            key_content(message.key, spki), target)


def key_problem(message, setting, spki):
    choice = message.key.WhichOneof("choice")
    if choice is None:
        return Problem("key", "no key choice")
    if choice == "csr":
        if not spki:
            return Problem("key.csr", "no CSR that can be read and is signed by its key")
        return None if "csr" in setting.keys else Problem("key.csr", "the setting takes no CSR")
    made = getattr(message.key, choice)
    if WORD_OF[choice] not in setting.keys:
        return Problem(f"key.{choice}", "the setting does not permit keys from there")
    if choice == WORKER and made.type and made.type not in setting.key_types:
        return Problem("key.worker_key.type", "a type that the setting does not allow")
    if made.recipient_certificate not in setting.recipients:
        return Problem(f"key.{choice}.recipient_certificate", "a recipient that the setting does not list")
    return None


def names_of(subject, setting):
    """(cn, email, problem)."""
    try:
        cn = rules.render(setting.cn, subject)
        email = rules.render(setting.email, subject) if setting.email else ""
    except rules.Missing as missing:
        return "", "", Problem("subject", f"no {missing}")
    if len(cn) > CN_MAX or not cn.strip():
        return cn, email, Problem("cn", f"{len(cn)} characters")
    if setting.email_domains and email.rpartition("@")[2].lower() not in setting.email_domains:
        return cn, email, Problem("subject.email", "a domain that the setting does not list")
    return cn, email, None


def judged(op, message, settings, spki):
    """(setting, cn, email, problem) of an event."""
    if op != ENROLL:
        kind = message.target.WhichOneof("target")
        if kind is None:
            return None, "", "", Problem("target", "no target")
        if kind == "request_id" and message.target.request_id == message.request_id:
            return None, "", "", Problem("target.request_id", "it names itself")
    if op == REVOKE:
        return None, "", "", None
    setting = settings.get(message.setting)
    if setting is None:
        return None, "", "", Problem("setting", "no such setting")
    cn = email = ""
    problem = None
    if op == ENROLL or message.HasField("subject"):
        cn, email, problem = names_of(message.subject, setting)
    return setting, cn, email, key_problem(message, setting, spki) or problem


def request_of(event, settings):
    """The request that an event is, or None: undecodable."""
    message = decode(event)
    if message is None:
        return None
    op = OPERATION[type(message)]
    spki = csr_spki(message.key.csr) if op != REVOKE and message.key.WhichOneof("choice") == "csr" else ""
    setting, cn, email, problem = judged(op, message, settings, spki)
    return Request(place=event.place, record_key=event.key, time_ms=event.time_ms, id=message.request_id, op=op,
                   message=message, spki=spki, setting=setting, cn=cn, email=email, problem=problem,
                   content=content_of(op, message, spki))
