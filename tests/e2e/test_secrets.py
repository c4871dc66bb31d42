"""Where a secret must not be: whatever the workers wrote anywhere, on the way of every kind of key, is searched for it. The
topics as they lie on the broker's disk, so with what was aborted, and what lay in Redis for a moment."""

import base64
import pathlib

import pytest
import requests
from cryptography.hazmat.primitives import serialization

from kit import messages
from epki.v1 import certificate_event_pb2 as events
from epki.v1 import common_pb2

ISSUED, WAITING = events.RESULT_ISSUED, events.RESULT_WAITING
SETTINGS = {"time": {"hold_max_ms": 4000}}


def worker_key(system, kind):
    return common_pb2.WorkerKey(type=kind, recipient_certificate=system.recipient.der)


def forms(secret):
    """A secret as it is, and as it would be written: hexadecimal, or anywhere within the base64 of something."""
    yield from (secret, secret.hex().encode(), secret.hex().upper().encode())
    for before in range(3):
        yield base64.b64encode(bytes(before) + secret)[4 if before else 0:-4]


def private_parts(key):
    """(name, bytes) that only a key in clear has."""
    numbers = key.private_numbers()
    size = (key.key_size + 7) // 8
    if hasattr(numbers, "private_value"):
        yield "EC scalar", numbers.private_value.to_bytes(size, "big")
    else:
        yield "RSA exponent", numbers.d.to_bytes(size, "big")
        yield "RSA prime", numbers.p.to_bytes(size // 2, "big")
        yield "RSA prime", numbers.q.to_bytes(size // 2, "big")
    der = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    yield "PKCS#8", der


def written(system):
    """(where, bytes) of all that workers, Kafka and Redis have."""
    directory = system.ca.directory
    for path in sorted(directory.glob("kafka-*/**/*.log")) + sorted((directory / "redis").rglob("*")):
        if path.is_file():
            yield str(path.relative_to(directory)), path.read_bytes()
    for worker in system.workers.workers:
        yield worker.log_path.name, worker.log_path.read_bytes()
        if worker.running():
            yield f"{worker.instance}'s metrics", requests.get(f"http://127.0.0.1:{worker.port}/metrics", timeout=10).content
            for name in ("cmdline", "environ"):
                yield f"{worker.instance}'s {name}", pathlib.Path(f"/proc/{worker.process.pid}/{name}").read_bytes()


def found(secrets, places):
    return [(name, where) for name, secret in secrets for where, text in places
            if any(form in text for form in forms(secret))]


def taken_over(system):
    """The answer to a request whose worker dies while its order is in the air: the key comes out of Redis."""
    system.ca.fault("hold_reply", cn="Killed Over", count=1)
    message = messages.enroll(messages.name(), cn="Killed Over", worker_key=worker_key(system, "KEY_TYPE_EC_P256"))
    placed = system.send(message)
    system.ca.await_journal(cn="Killed Over", recorded=True)
    [victim] = [w for w in system.running() if w.log(request_id=message.request_id)]
    victim.kill()
    system.calm()
    system.workers.start()
    return system.results.answer_to(placed, 60)


def waited(system):
    """The answer to one that stays in the waiting room, its key in records."""
    system.ca.settings(async_issue_ms=6000)
    system.ca.fault("pending", cn="In Waiting", count=1)
    placed = system.send(messages.enroll("waited", cn="In Waiting", worker_key=worker_key(system, "KEY_TYPE_EC_P384")))
    system.results.progress("waited", WAITING, 40)
    return system.results.answer_to(placed, 60)


@pytest.fixture(scope="module")
def secrets(system):
    """(name, bytes): what opens the account and Redis' keys; keys of every making, and their PINs."""
    theirs = common_pb2.GlobalSignKey(recipient_certificate=system.recipient.der)
    answers = [system.issue(messages.enroll(messages.name(), globalsign_key=theirs))]
    for kind in ("KEY_TYPE_EC_P256", "KEY_TYPE_RSA_2048"):
        answers.append(system.issue(messages.enroll(messages.name(), worker_key=worker_key(system, kind))))
    answers += [taken_over(system), waited(system)]
    assert all(answer.result == ISSUED for answer in answers), answers
    kek = (system.workers.directory / "kek").read_text().split(":")[1]
    password = pathlib.Path(system.ca["EPKI_PASSWORD_FILE"]).read_bytes().strip()
    collected = [("password", password), ("key-encryption key", base64.b64decode(kek))]
    for answer in answers:
        key, _, _ = system.recipient.open_pkcs12(answer.certificate)
        collected.append(("PIN", system.recipient.open(answer.certificate.sealed_pin)))
        collected += private_parts(key)
    return collected


def test_no_secret_is_written_in_clear(system, secrets):
    assert len(secrets) >= 2 + 5 * 3
    assert found(secrets, list(written(system))) == []


def test_the_search_would_find_it(system, secrets):
    """What must be there is found, in topics, in Redis and in logs; and a secret, in any form and place."""
    where = {place.split("/")[0] + "/" + place.split("/")[-2] if "/" in place else place
             for name, place in found([("request", b"waited")], list(written(system)))}
    assert any("epki.inflight" in place for place in where) and any("epki.resume" in place for place in where), where
    assert any(place.startswith("redis") for place in where) and any(place.endswith(".log") for place in where), where
    for name, secret in secrets:
        for form in (secret, secret.hex().encode(), *(base64.b64encode(bytes(n) + secret + b"...") for n in range(4))):
            assert found([(name, secret)], [("planted", b"before" + form + b"after")]) == [(name, "planted")]
