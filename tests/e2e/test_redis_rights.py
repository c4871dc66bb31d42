"""The rights that README says a user of Redis needs: with these and no others all that the worker does is done."""

import re

import pytest
import redis

from kit import TOP, messages, wait, worker
from epki.v1 import certificate_event_pb2 as events
from epki.v1 import common_pb2

ISSUED, RENEWED, REVOKED = events.RESULT_ISSUED, events.RESULT_RENEWED, events.RESULT_REVOKED
USER, PASSWORD = "worker", "of-redis-only"
WORKERS = 0  # they come under the user's name


@pytest.fixture(scope="module")
def client(system):
    port = int(system.ca["REDIS_URL"].rsplit(":", 1)[1])
    return redis.Redis(port=port, socket_timeout=5, decode_responses=True)


def told_rights():
    [words] = re.findall(r"A user of its own needs\s+`([^`]+)`", (TOP / "README.md").read_text())
    return words.split()


@pytest.fixture(scope="module", autouse=True)
def told(system, client):
    """What the workers' settings say of the user, who exists."""
    client.execute_command("ACL", "SETUSER", USER, "reset", "on", f">{PASSWORD}", *told_rights())
    path = system.workers.directory / "redis-password"
    path.write_text(PASSWORD + "\n")
    path.chmod(0o600)
    change = {"redis": {"user": USER, "password_file": str(path)}}
    client.flushall()  # what another user wrote; and another group, since this one has its commits
    done = system.workers.command("bootstrap", change=worker.merge(change, {"kafka": {"group": "another"}}))
    assert done.returncode == 0, done.stderr
    for _ in range(2):
        system.workers.start(change=change)
    return change


def refused(client):
    return [entry for entry in client.execute_command("ACL", "LOG")]


def test_every_kind_of_request(system, client):
    first = messages.enroll(messages.name())
    assert system.issue(first).result == ISSUED
    assert system.issue(first).HasField("duplicate_of")
    ours = common_pb2.WorkerKey(type="KEY_TYPE_EC_P256", recipient_certificate=system.recipient.der)
    theirs = common_pb2.GlobalSignKey(recipient_certificate=system.recipient.der)
    for choice in ({"worker_key": ours}, {"globalsign_key": theirs}):
        assert system.issue(messages.enroll(messages.name(), **choice)).result == ISSUED
    target = messages.by_request(first.request_id)
    assert system.issue(messages.renew(messages.name(), target)).result == RENEWED
    assert system.issue(messages.revoke(messages.name(), target)).result == REVOKED
    ahead = messages.name("ahead")
    waits = system.send(messages.revoke(messages.name(), messages.by_request(ahead)))
    system.issue(messages.enroll(ahead))
    assert system.results.answer_to(waits, 60).result in (REVOKED, events.RESULT_REMOVED)
    assert refused(client) == []


def test_pause_search_and_rebuild(system, client, told):
    system.ca.fault("hold_reply", cn="Found Again", count=1)
    message = messages.enroll(messages.name(), cn="Found Again")
    placed = system.send(message)
    system.ca.await_journal(cn="Found Again", recorded=True)
    [victim] = [w for w in system.running() if w.log(request_id=message.request_id)]
    victim.kill()
    system.workers.start(change=told)
    assert system.results.answer_to(placed, 60).result == ISSUED
    old = client.get("epki:v1:canary")
    client.flushall()
    wait.until(lambda: client.get("epki:v1:canary") not in (None, old), 40, "a new canary")
    system.ca.fault("address_refused", "*", count=1)
    assert system.issue(messages.enroll(messages.name())).result == ISSUED
    for command in ("check", "resume"):
        done = system.workers.command(command, change=told)
        assert done.returncode == 0, done.stderr
    assert refused(client) == []


def test_a_right_less_would_show(system, client, told):
    client.execute_command("ACL", "SETUSER", USER, "-hset")
    try:
        system.send(messages.enroll(messages.name()))
        wait.until(lambda: refused(client), 20, "a command refused")
    finally:
        client.execute_command("ACL", "SETUSER", USER, "+hset")
