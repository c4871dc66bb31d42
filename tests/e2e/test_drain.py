"""A worker that has done a little of everything is told to leave. Built with a sanitizer (EPKI_WORKER names the program) it
says then what it did not give back, and does not end well."""

import pytest

from kit import messages, topics
from epki.v1 import certificate_event_pb2 as events
from epki.v1 import common_pb2

WORKERS = 1
ISSUED, RENEWED, REVOKED, REJECTED = (events.RESULT_ISSUED, events.RESULT_RENEWED, events.RESULT_REVOKED,
                                      events.RESULT_REJECTED)


def choices(system):
    """Every kind of key that an enrolment may ask for."""
    der = system.recipient.der
    yield {}
    for type in ("KEY_TYPE_RSA_2048", "KEY_TYPE_EC_P256"):
        yield {"worker_key": common_pb2.WorkerKey(type=type, recipient_certificate=der)}
    yield {"globalsign_key": common_pb2.GlobalSignKey(recipient_certificate=der, format="PKCS12_FORMAT_APPLE")}


def everything(system):
    """Each once, and what must come of it."""
    requests = [messages.enroll(messages.name("drain"), **choice) for choice in choices(system)]
    for request in requests:
        assert system.issue(request).result == ISSUED
    assert system.issue(requests[0]).HasField("duplicate_of")
    target = messages.by_request(requests[0].request_id)
    assert system.issue(messages.renew(messages.name("drain"), target)).result == RENEWED
    assert system.issue(messages.revoke(messages.name("drain"), target)).result == REVOKED
    assert system.issue(messages.enroll(messages.name("drain"), csr="no CSR")).result == REJECTED
    system.results.record_from(topics.DEAD, system.send(b"\xff", topic=topics.TOPIC_OF["EnrollmentRequest"]), 40)


def lost_reply(system):
    """An order that has to be looked for."""
    system.ca.fault("accept_then_drop", count=1)
    assert system.issue(messages.enroll(messages.name("drain"))).result == ISSUED


@pytest.mark.parametrize("work", [everything, lost_reply])
def test_a_worker_that_leaves_gives_everything_back(system, work):
    if not system.running():
        system.workers.start()
    [worker] = system.running()
    work(system)
    code = worker.terminate(60)
    assert not worker.log(problem="consumer-close"), "it ended around a thread that hung, and nothing looked for leaks"
    assert not worker.report()
    assert code == 0
