"""Histories for the auditor's own tests: as workers, publishers and the CA would have written them, and then doctored."""

import dataclasses
import datetime
import hashlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from chaos.auditor import judge, report
from chaos.auditor.facts import Answer, Call, Change, Deed, Event, History, Letter, Place
from chaos.auditor.settings import Setting
from chaos.auditor.world import World
from epki.v1 import (account_event_pb2, certificate_event_pb2, common_pb2, enrollment_pb2, renewal_pb2,
                     revocation_pb2)

ENROLL, RENEW, REVOKE = "epki.enrollment.requests", "epki.renewal.requests", "epki.revocation.requests"
EVENTS = "epki.certificate.events"
PROFILE, MAIL_PROFILE, OTHER_PROFILE = "MP202601150001", "MP202601150002", "MP202602010001"
RECIPIENT = b"a recipient certificate"
BEGIN = 1_790_000_000_000
RESULT = {name: certificate_event_pb2.Result.Value(f"RESULT_{name.upper()}")
          for name in ("issued", "renewed", "revoked", "removed", "rejected", "waiting", "held")}
FAILURE = certificate_event_pb2.FailureClass.Value
CA_KEY = ec.generate_private_key(ec.SECP256R1())
ISSUER = "CN=Story CA"


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def name_of(cn):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)])


def csr_of(key):
    csr = x509.CertificateSigningRequestBuilder().subject_name(name_of("device")).sign(key, hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM).decode()


def spki_of(key):
    return hashlib.sha256(key.public_key().public_bytes(serialization.Encoding.DER,
                          serialization.PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def certificate_of(key, cn, email=""):
    now = datetime.datetime(2026, 9, 1)
    made = (x509.CertificateBuilder().subject_name(name_of(cn)).issuer_name(name_of("Story CA"))
            .public_key(key.public_key()).serial_number(x509.random_serial_number()).not_valid_before(now)
            .not_valid_after(now + datetime.timedelta(days=365)))
    if email:
        made = made.add_extension(x509.SubjectAlternativeName([x509.RFC822Name(email)]), critical=False)
    return made.sign(CA_KEY, hashes.SHA256())


def settings_of():
    vpn = Setting("vpn", PROFILE, ("csr", "worker", "globalsign"), (1, 2, 3, 4), frozenset({RECIPIENT}),
                  "${first_name} ${last_name}", "", (), False, 15000)
    return {"vpn": vpn, "other": dataclasses.replace(vpn, name="other", profile=OTHER_PROFILE),
            "mail": dataclasses.replace(vpn, name="mail", profile=MAIL_PROFILE, email="${email}",
                                        email_domains=("example.com",), smime=True)}


@dataclasses.dataclass
class Asked:
    """A published request, and what its answer would need."""
    message: object
    place: Place
    key: object  # of its CSR, or as the worker makes it
    cn: str
    record_key: bytes
    email: str = ""
    certificate: object = None  # Certificate message, once ordered


class Story:
    """Time goes on by a second with each thing that happens."""

    def __init__(self):
        self.now = BEGIN
        self.history = History(events=[], answers=[], settings=settings_of())
        self.history.changes.append(Change(0, {PROFILE: "validated"}))
        self.ends = {}

    def tick(self):
        self.now += 1000
        return self.now

    def next_place(self, topic, partition=0):
        offset = self.ends.get((topic, partition), 0)
        self.ends[topic, partition] = offset + 1
        return Place(topic, partition, offset)

    # --- publishing ---

    def publish(self, topic, message, key=None, cn="", record_key=None, partition=0, email=""):
        record_key = record_key or message.request_id.encode()
        place = self.next_place(topic, partition)
        self.history.events.append(Event(place, record_key, message.SerializeToString(), self.tick()))
        return Asked(message, place, key, cn, record_key, email)

    def enroll(self, request_id, worker_key=False, their_key=False, cn=None, record_key=None, key=None,
               setting="vpn", email="", **fields):
        key, cn = key or new_key(), cn or f"Person {request_id}"
        first, _, last = cn.partition(" ")
        choice = common_pb2.KeyChoice(csr=csr_of(key))
        if worker_key:
            choice = common_pb2.KeyChoice(worker_key=common_pb2.WorkerKey(recipient_certificate=RECIPIENT))
        if their_key:
            choice = common_pb2.KeyChoice(globalsign_key=common_pb2.GlobalSignKey(recipient_certificate=RECIPIENT))
        message = enrollment_pb2.EnrollmentRequest(request_id=request_id, setting=setting, key=choice, **fields,
                                                   subject=common_pb2.Subject(first_name=first, last_name=last,
                                                                              email=email))
        return self.publish(ENROLL, message, key, cn, record_key, email=email)

    def renew(self, request_id, target, cn, setting="vpn", email=""):
        key = new_key()
        message = renewal_pb2.RenewalRequest(request_id=request_id, setting=setting, target=target,
                                             key=common_pb2.KeyChoice(csr=csr_of(key)))
        return self.publish(RENEW, message, key, cn, email=email)

    def revoke(self, request_id, target, **fields):
        return self.publish(REVOKE, revocation_pb2.RevocationRequest(request_id=request_id, target=target, **fields))

    def again(self, asked, record_key=None, **change):
        """The same event once more, perhaps with something else in it."""
        message = type(asked.message)()
        message.CopyFrom(asked.message)
        message.MergeFrom(type(asked.message)(**change))
        return self.publish(asked.place.topic, message, asked.key, asked.cn, record_key, email=asked.email)

    # --- the CA ---

    def call(self, operation, order_id="", cn="", spki="", result="ok", code=0, fault="", recorded=True,
             profile=PROFILE, email=""):
        call = Call(self.tick(), len(self.history.calls) + 1, operation, profile, cn, email, order_id, spki, result, code,
                    fault, recorded)
        self.history.calls.append(call)
        return call

    def order(self, asked, key=None, **more):
        """The CA records an order; its certificate is what the answer will tell. more: what is another in the journal."""
        key = key or asked.key
        order_id = f"CE{len(self.history.calls) + 1:05}"
        theirs = asked.message.key.HasField("globalsign_key")
        operation = more.pop("operation", "OrderPkcs12" if theirs else "OrderAndIssueCertificate")
        setting = self.history.settings.get(asked.message.setting)
        names = {"cn": asked.cn, "email": asked.email, "profile": setting.profile if setting else PROFILE}
        self.call(operation, order_id, spki=spki_of(key), **{**names, **more})
        issued = certificate_of(key, asked.cn, asked.email)
        asked.certificate = certificate_event_pb2.Certificate(
            der=issued.public_bytes(serialization.Encoding.DER), serial=f"{issued.serial_number:x}", issuer=ISSUER,
            order_id=order_id)
        if theirs or asked.message.key.HasField("worker_key"):
            asked.certificate.sealed_pkcs12 = asked.certificate.sealed_pin = b"sealed"
        return order_id

    def end(self, order_id, operation="Revoke", **more):
        self.call(operation, order_id, **more)

    # --- the workers ---

    def answer(self, asked, result, **fields):
        kinds = {enrollment_pb2.EnrollmentRequest: 1, renewal_pb2.RenewalRequest: 2}
        message = certificate_event_pb2.CertificateEvent(
            result=RESULT[result], operation=kinds.get(type(asked.message), 3), request_id=asked.message.request_id,
            source=common_pb2.Source(**asked.place._asdict()), **fields)
        if result in ("issued", "renewed") and not message.HasField("certificate"):
            message.certificate.CopyFrom(asked.certificate)
        self.history.answers.append(Answer(self.next_place(EVENTS), asked.record_key, self.tick(), message))
        return message

    def reject(self, asked, failure, problem="", field="", code=0, **fields):
        return self.answer(asked, "rejected", failure=certificate_event_pb2.Failure(
            failure_class=FAILURE(f"FAILURE_CLASS_{failure.upper()}"), problem=problem, field=field, vendor_code=code),
            **fields)

    def letter(self, kind, asked, problem="because"):
        topic = {"parked": "epki.parked", "dead": "epki.dead-letters"}[kind]
        [event] = [event for event in self.history.events if event.place == asked.place]
        self.history.letters.append(Letter(kind, self.next_place(topic), asked.place, event.time_ms, problem))

    def report(self, order_id, kind="surplus", request_id=""):
        self.history.notices.append(account_event_pb2.AccountEvent(account="main", type=kind, order_id=order_id,
                                                                   request_id=request_id))

    def report_misfit(self, asked, order_id, **more):
        fields = {"type": "compensated", "problem": "order-mismatch", **more}
        self.history.notices.append(account_event_pb2.AccountEvent(
            account="main", order_id=order_id, request_id=asked.message.request_id, **fields))

    def deed(self, kind):
        self.history.deeds.append(Deed(self.tick(), kind, ""))

    # --- whole lives ---

    def issued(self, request_id, **how):
        asked = self.enroll(request_id, **how)
        self.order(asked)
        self.answer(asked, "issued")
        return asked

    def repeat(self, asked, first, result="issued"):
        """The answer to a duplicate, as the first one was."""
        return self.answer(asked, result, certificate=first.certificate,
                           duplicate_of=common_pb2.Source(**first.place._asdict()))

    def revoked(self, request_id, target_asked):
        """A revocation by request id, done."""
        asked = self.revoke(request_id, by_request(target_asked.message.request_id))
        self.end(target_asked.certificate.order_id)
        self.answer(asked, "revoked", certificate=certificate_event_pb2.Certificate(
            order_id=target_asked.certificate.order_id))
        return asked

    # --- the verdict ---

    def audit(self):
        """(counts, findings, whether it is good)."""
        world = World(self.history)
        findings = judge.judge(world)
        return report.counts(world, findings), findings, report.good(findings, False)


def by_request(request_id):
    return common_pb2.Target(request_id=request_id)


def by_serial(asked):
    return common_pb2.Target(serial=common_pb2.IssuerAndSerial(issuer=ISSUER, serial=asked.certificate.serial))


def by_order(order_id):
    return common_pb2.Target(order=common_pb2.SettingAndOrder(setting="vpn", order_id=order_id))


def clean():
    """A bit of everything, and nothing wrong with it."""
    story = Story()
    first, second = story.issued("one"), story.issued("two", worker_key=True)
    story.repeat(story.again(first, labels=["another label is the same request"]), first)
    other = story.again(first, subject=common_pb2.Subject(first_name="Somebody"))
    story.reject(other, "conflict", "request-id-conflict", "request_id")
    renewal = story.renew("renewal", by_request("one"), first.cn)
    story.order(renewal)
    story.answer(renewal, "renewed", replaces_request_id="one", replaces_order_id=first.certificate.order_id)
    story.revoked("revoke-one", first)
    serial = story.revoke("revoke-two", by_serial(second))
    story.end(second.certificate.order_id)
    story.answer(serial, "revoked", certificate=certificate_event_pb2.Certificate(
        order_id=second.certificate.order_id))
    bad = story.publish(ENROLL, enrollment_pb2.EnrollmentRequest(request_id="bad", setting="vpn"))
    story.reject(bad, "invalid", "missing", "key")
    never = story.revoke("revoke-never", by_request("never-came"))
    story.answer(never, "removed")
    nothing = story.publish(ENROLL, enrollment_pb2.EnrollmentRequest(request_id="no id of ours"))
    story.letter("dead", nothing)
    return story


# --- what the auditor must say of one ---

ZERO = ("parked", "lost", "double-answers", "double-orders", "compensated", "unexplained")


def numbered(story, numbers):
    """The history has exactly these numbers other than 0. Returns the findings, and whether it is good."""
    counts, findings, good = story.audit()
    text = "\n".join(map(str, findings))
    assert {name: counts[name] for name in ZERO} == dict.fromkeys(ZERO, 0) | {
        name.replace("_", "-"): number for name, number in numbers.items()}, text
    return text, good


def wrong(story, **numbers):
    """It is bad, by these numbers; without any it is good."""
    text, good = numbered(story, numbers)
    assert good == (not numbers), text
    return text


def right(story):
    return wrong(story)


def excused(story, **numbers):
    """These numbers have causes that the auditor sees itself."""
    text, good = numbered(story, numbers)
    assert good and numbers, text
    return text
