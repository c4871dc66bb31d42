"""Redis and the group's offsets are both lost. The workers do not guess; told by the operator, they find out what became of
every event before they order anything."""

import pathlib

import pytest

from around import Around
from kit import BUILD, cases, messages, topics, wait
from epki.v1 import certificate_event_pb2 as events

ISSUED, REJECTED, REVOKED = events.RESULT_ISSUED, events.RESULT_REJECTED, events.RESULT_REVOKED


@pytest.fixture(scope="module")
def system():
    with Around(BUILD / "faults" / pathlib.Path(__file__).stem, 2,
                time={"hold_max_ms": 2000, "poll_max_ms": 1500}) as made:
        made.ready()
        yield made


def lose_offsets(admin):
    """A group goes only when its last member has: the dead ones' sessions have to run out."""
    def gone():
        [done] = admin.delete_consumer_groups([cases.GROUP]).values()
        try:
            done.result(20)
        except Exception as error:
            return "NOT_FOUND" in str(error)
        return True
    wait.until(gone, 30, "the group's end", pause=0.5)


def test_nothing_is_ordered_twice(system, admin):
    sent = {}  # what it is -> (request id, where it stands, result, orders)

    def send(what, message, result, orders):
        sent[what] = (message, system.send(message), result, orders)
        return sent[what][1]

    for index in range(5):
        send(f"answered {index}", messages.enroll(messages.name("answered")), ISSUED, 1)
    send("refused", messages.enroll(messages.name("refused"), setting="none"), REJECTED, 0)
    for message, placed, result, _ in list(sent.values()):
        assert system.results.answer_to(placed, 40).result == result
    first = sent["answered 0"][0].request_id
    placed = send("revocation", messages.revoke(messages.name("revoke"), messages.by_request(first)), REVOKED, 0)
    assert system.results.answer_to(placed, 40).result == REVOKED

    system.ca.settings(licences=0)
    waiting = messages.name("waiting")
    send("waiting", messages.enroll(waiting), ISSUED, 1)
    system.results.progress(waiting, events.RESULT_WAITING, 60)
    system.ca.settings(licences=100000)
    air = messages.name("air")
    system.ca.fault("hold_reply", cn=f"Person {air}", count=1)
    send("in the air", messages.enroll(air), ISSUED, 1)
    system.ca.await_journal(cn=f"Person {air}", recorded=True, timeout=40)
    second = sent["answered 1"][0].request_id
    ended = system.results.answer(second).certificate.order_id
    system.ca.fault("hold_reply", operation="Revoke", count=1)
    send("revocation in the air", messages.revoke(messages.name("revoke"), messages.by_request(second)), REVOKED, 0)
    system.ca.await_journal(operation="Revoke", order_id=ended, timeout=40)
    for one in system.running():
        one.kill()
    send("never seen", messages.enroll(messages.name("never-seen")), ISSUED, 1)
    third = sent["answered 2"][0].request_id
    send("revocation never seen", messages.revoke(messages.name("revoke"), messages.by_request(third)), REVOKED, 0)

    system.client.flushall()
    lose_offsets(admin)
    system.tells_again = True
    refusing = system.workers.start(ready=False)
    assert refusing.await_end(60) == 1
    [line] = refusing.log(msg="cannot start")
    assert line["problem"] == "offsets-lost" and "bootstrap" in line["advice"]
    calls = len(system.ca.journal())

    done = system.workers.command("bootstrap")
    assert done.returncode == 0 and "bootstrapped again" in done.stdout, done.stderr
    assert system.canary() is None and len(system.ca.journal()) == calls
    again = system.workers.command("bootstrap")
    assert again.returncode == 1 and "the group has its commits" in again.stderr
    system.complete()

    for what, (_, placed, result, _) in sent.items():
        event = system.results.answer_to(placed, 120)
        assert event.result == result, (what, event.failure)
    cases.await_all_done(system)
    for what, (message, placed, _, orders) in sent.items():
        assert len(system.results.answers(placed=placed)) == 1, what
        assert len(system.orders_of(f"Person {message.request_id}")) == orders, what
    assert not system.results.records[topics.PARKED]
    revoked = [e["order_id"] for e in system.ca.journal(operation="Revoke")]
    assert sorted(revoked) == sorted(system.results.answer(r).certificate.order_id for r in (first, second, third))
    twice = system.issue(sent["answered 3"][0], key="elsewhere")  # and what was answered before is known
    assert twice.HasField("duplicate_of")
    assert system.issue(messages.enroll(messages.name())).result == ISSUED
    assert system.canary()
