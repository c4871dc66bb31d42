"""The demonstration: two workers, every kind of request, one worker killed in the middle, and then the count.

What the CA should have been asked for is computed from what was published, and compared with the CA's own journal and
with what a read_committed reader sees. Exit code 0 only if everything agrees.
"""

import argparse
import sys
import threading
import time

from kit import BUILD, keys, messages, stack, topics, wait, worker
from epki.v1 import certificate_event_pb2, common_pb2, revocation_pb2

RESULT = certificate_event_pb2.Result.Name
_printing = threading.Lock()
_began = time.monotonic()


def say(text):
    with _printing:
        print(f"{time.monotonic() - _began:6.1f} s  {text}", flush=True)


def describe(event):
    words = [f"<- {RESULT(event.result).removeprefix('RESULT_').lower():<11} {event.request_id}"]
    if event.certificate.serial:
        words.append(f"serial {event.certificate.serial[:12]}.. order {event.certificate.order_id}")
    if event.certificate.sealed_pkcs12:
        words.append(f"sealed PKCS#12 {len(event.certificate.sealed_pkcs12)} bytes")
    if event.failure.problem:
        words.append(f"{event.failure.problem} ({event.failure.field}): {event.failure.cause}")
    if event.HasField("duplicate_of"):
        words.append("duplicate")
    return "  ".join(words)


class Ledger:
    """What was published, and what must come of it."""

    def __init__(self, publisher):
        self.publisher = publisher
        self.sent = []  # (request id, kind, where it stands, orders it should cost, expected result)

    def send(self, kind, message, result, orders=0, key=None):
        where = self.publisher.send(message, key=key)
        self.sent.append((message.request_id, kind, where, orders, result))
        say(f"-> {kind:<11} {message.request_id}")
        return message.request_id


def enrollments(ledger, recipient):
    """One of every key choice, a duplicate, and two that must be refused."""
    issued = []
    for _ in range(4):
        request = messages.name("csr")
        issued.append(ledger.send("enrolment", messages.enroll(request), "RESULT_ISSUED", orders=1))
    again = messages.enroll(messages.name("twice"))
    issued.append(ledger.send("enrolment", again, "RESULT_ISSUED", orders=1))
    ledger.send("duplicate", again, "RESULT_ISSUED")
    ledger.send("duplicate", again, "RESULT_ISSUED", key="another-partition-perhaps")
    for kind in ("KEY_TYPE_RSA_2048", "KEY_TYPE_RSA_3072", "KEY_TYPE_EC_P256", "KEY_TYPE_EC_P384"):
        choice = common_pb2.WorkerKey(type=kind, recipient_certificate=recipient.der)
        request = messages.name(kind.removeprefix("KEY_TYPE_").lower().replace("_", "-"))
        issued.append(ledger.send("enrolment", messages.enroll(request, worker_key=choice), "RESULT_ISSUED", orders=1))
    theirs = common_pb2.GlobalSignKey(recipient_certificate=recipient.der)
    issued.append(ledger.send("enrolment", messages.enroll(messages.name("globalsign"), globalsign_key=theirs),
                              "RESULT_ISSUED", orders=1))
    mail = messages.name("smime")
    person = messages.subject(f"Mail {mail}", email="mail@example.com")
    issued.append(ledger.send("enrolment", messages.enroll(mail, setting="smime", subject=person), "RESULT_ISSUED",
                              orders=1))
    ledger.send("bad CSR", messages.enroll(messages.name("bad"), csr="-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n"
                                           "-----END CERTIFICATE REQUEST-----\n"), "RESULT_REJECTED")
    return issued


def changes(ledger, results, issued):
    """A renewal, and revocations by each kind of target."""
    # All of them: the reply to an order of GlobalSign's key is its only copy, and a worker is about to be killed.
    first, second, third, *_ = [results.answer(r, 60).certificate for r in issued]
    ledger.send("renewal", messages.renew(messages.name("renewal"), messages.by_request(issued[0]),
                                          csr=keys.csr_pem(keys.new_key())), "RESULT_RENEWED", orders=1)
    ledger.send("revocation", messages.revoke(messages.name("revoke"), messages.by_request(issued[0]),
                                              reason=revocation_pb2.REVOCATION_REASON_SUPERSEDED), "RESULT_REVOKED")
    ledger.send("revocation", messages.revoke(messages.name("revoke"), messages.by_serial(second.issuer, second.serial),
                                              reason=revocation_pb2.REVOCATION_REASON_KEY_COMPROMISE),
                "RESULT_REVOKED")
    ledger.send("removal", messages.revoke(messages.name("remove"), messages.by_order("vpn", third.order_id),
                                           removal=revocation_pb2.REMOVAL_REMOVE), "RESULT_REMOVED")


def kill_one(deployment, ca, ledger, results):
    """Orders in the air when a worker dies: the other one finds out what became of them."""
    ca.settings(order_min_ms=2500, order_max_ms=3000)
    started = [ledger.send("enrolment", messages.enroll(messages.name("killed")), "RESULT_ISSUED", orders=1)
               for _ in range(12)]
    wait.until(lambda: len([e for e in ca.journal() if any(r in e["cn"] for r in started)]) >= 6, 20, "orders at the CA")
    victim = deployment.workers[0]
    victim.kill()
    say(f"!! worker {victim.instance} killed (kill -9) with orders in the air; worker "
        f"{deployment.workers[1].instance} takes over")
    ca.settings(order_min_ms=600, order_max_ms=1200)
    return started


def count(ca, ledger, results):
    """Compares what came of it with what was published. Returns whether everything agrees."""
    expected = sum(orders for *_, orders, _ in ledger.sent)
    wrong = []
    for request, kind, where, _, result in ledger.sent:
        answers = results.answers(placed=where)
        if len(answers) != 1 or RESULT(answers[0].result) != result:
            wrong.append(f"{kind} {request}: {[RESULT(a.result) for a in answers]} instead of one {result}")
    orders = ca.orders(recorded=True)
    answers = sum(len(results.answers(placed=where)) for _, _, where, _, _ in ledger.sent)
    say(f"events {len(ledger.sent)}, answers {answers}, orders at the CA {len(orders)}, orders expected {expected}")
    for line in wrong:
        say(f"WRONG: {line}")
    return not wrong and len(orders) == expected and answers == len(ledger.sent)


def run(options):
    ca = stack.Stack(options.dir, options.base_port)
    say("starting Apache Kafka, Redis and the EPKI simulator")
    try:
        ca.up()
    except RuntimeError as error:
        say(f"cannot begin: {error}")
        return False
    deployment, results, good = None, None, False
    try:
        ca.settings(order_min_ms=600, order_max_ms=1200)
        recipient = keys.Recipient()
        deployment = worker.Deployment(ca, recipient)
        if options.keep:
            recipient.write_key(deployment.directory / "recipient.key")
        deployment.bootstrap()
        say("starting two workers (sessions of 1.5 s and a quiet period of 5 s; minutes in production)")
        deployment.start()
        deployment.start()
        results = topics.Results(ca["KAFKA_BOOTSTRAP"], on_event=lambda event: say(describe(event)))
        ledger = Ledger(topics.Publisher(ca["KAFKA_BOOTSTRAP"]))
        issued = enrollments(ledger, recipient)
        changes(ledger, results, issued)
        kill_one(deployment, ca, ledger, results)
        for _, _, where, _, _ in ledger.sent:
            results.answer_to(where, 60)
        time.sleep(1)  # a second answer, or another order, would come now
        good = count(ca, ledger, results)
        show_certificate(results, recipient, issued)
    finally:
        drained = finish(options, ca, deployment, results)
    return good and drained


def show_certificate(results, recipient, issued):
    sealed = next(e for e in results.events if e.certificate.sealed_pkcs12)
    key, certificate, _ = recipient.open_pkcs12(sealed.certificate)
    if keys.spki_sha256(key.public_key()) != keys.spki_sha256(certificate.public_key()):
        raise AssertionError("the PKCS#12 holds a key that is not its certificate's")
    say(f"opened the sealed PKCS#12 of {sealed.request_id}: {certificate.subject.rfc4514_string()}")


def finish(options, ca, deployment, results):
    """Returns whether the workers that are left drained, if they were told to."""
    codes = []
    if deployment is not None and not options.keep:
        codes = deployment.stop()
        say(f"draining the workers that are left: exit codes {codes}")
    if results is not None:
        results.close()
    if not options.keep:
        ca.down()
        return not any(codes)
    say("kept running. To talk to it:")
    say(f"  set -a; eval \"$(deploy/local/stack env --dir {options.dir})\"; env | grep -E '^(KAFKA|REDIS|EPKI)_'")
    running = [w for w in deployment.workers if w.running()] if deployment else []
    for one in running:
        say(f"  worker {one.instance}: http://127.0.0.1:{one.port}/metrics, log {one.log_path}")
        say(f"  its settings: build/epki-worker check --config {one.settings_path}")
    pids = " ".join(str(w.process.pid) for w in running)
    say(f"To end it: kill {pids}; deploy/local/stack down --dir {options.dir}")
    return True


def main():
    parser = argparse.ArgumentParser(prog="deploy/local/demo")
    parser.add_argument("--dir", default=str(BUILD / "demo"), help="where the stack keeps its files")
    parser.add_argument("--base-port", type=int, default=19490)
    parser.add_argument("--keep", action="store_true", help="leave the stack and the workers running")
    options = parser.parse_args()
    good = run(options)
    say("everything agrees" if good else "SOMETHING IS WRONG")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
