"""A worker dies on the way from an order that does not fit to the rejection of its request: when Redis keeps that, when it
is told, when the order is ended. Whoever comes next tells it if it may not have been told, ends it, and rejects the request
for the same reason, though Redis be lost."""

import pytest

from kit import cases, messages, wait
from epki.v1 import certificate_event_pb2 as events
from epki.v1 import common_pb2

WORKERS = 1
ORDER, PKCS12 = "OrderAndIssueCertificate", "OrderPkcs12"
PROBLEM = {"wrong_key": "cert-key", "wrong_name": "cert-name", "wrong_pin": "pkcs12-pin"}


class Misfit:
    """Its worker is dead."""

    def __init__(self, system, fault, point, polled=False):
        self.system, self.fault, self.request = system, fault, messages.name("misfit")
        self.cn = f"Person {self.request}"
        theirs = fault == "wrong_pin"
        system.ca.settings(**{"async": polled}, async_issue_ms=500)
        system.ca.fault(fault, operation=PKCS12 if theirs else ORDER, cn=self.cn, count=1)
        system.tell(point, f"die/{self.request}")
        choice = {"globalsign_key": common_pb2.GlobalSignKey(recipient_certificate=system.recipient.der)} if theirs else {}
        self.placed = system.send(messages.enroll(self.request, cn=self.cn, **choice), partition=1)
        self.victim = system.died(point, timeout=60)
        self.order, = system.orders_of(self.cn)

    def told(self):
        return [(e.type, e.problem, e.order_id) for e in list(self.system.results.account_events)
                if e.request_id == self.request]

    def is_ended(self, order):
        return "cancelled" in str(self.system.ca.control("GET", f"/orders/{order}")).lower()

    def forget(self):
        """Redis loses it all, and has it again from Kafka."""
        cases.store(self.system).flushall()
        self.start = self.start_over

    def start(self):
        self.system.start(instance=self.victim.instance)

    def start_over(self):
        self.system.start(instance=self.victim.instance)
        wait.until(lambda: cases.store(self.system).exists("epki:v1:canary"), 60, "Redis rebuilt")
        cases.fill_bucket(self.system)  # a new one begins empty

    def answer(self):
        self.start()
        return self.system.results.answer_to(self.placed, 90)

    def is_rejected(self, event, times=(1,)):
        failure = event.failure
        assert event.result == events.RESULT_REJECTED and failure.failure_class == events.FAILURE_CLASS_MISMATCH
        assert failure.problem == PROBLEM[self.fault] and failure.cause and event.certificate.order_id == self.order
        assert list(self.system.orders_of(self.cn)) == [self.order] and self.is_ended(self.order)
        told = wait.until(self.told, 30, "the word of the ended order")
        assert set(told) == {("compensated", "order-mismatch", self.order)} and len(told) in times


@pytest.mark.parametrize("polled", [False, True], ids=["at-once", "polled"])
@pytest.mark.parametrize("fault", ["wrong_key", "wrong_name"])
def test_its_order_is_ended(system, fault, polled):
    misfit = Misfit(system, fault, "answer-begun", polled)
    assert misfit.is_ended(misfit.order) and wait.until(misfit.told, 30, "the word of the ended order")
    misfit.is_rejected(misfit.answer())


@pytest.mark.parametrize("fault", PROBLEM)
def test_redis_keeps_it_and_nobody_was_told(system, fault):
    misfit = Misfit(system, fault, "misfit-kept")
    assert not misfit.told() and not misfit.is_ended(misfit.order)
    misfit.is_rejected(misfit.answer())


@pytest.mark.parametrize("fault", PROBLEM)
def test_it_is_told_and_not_ended(system, fault):
    """Redis says still that it may not have been: it is told again."""
    misfit = Misfit(system, fault, "misfit-told")
    assert wait.until(misfit.told, 30, "the word of the end") and not misfit.is_ended(misfit.order)
    misfit.is_rejected(misfit.answer(), times=(2,))


@pytest.mark.parametrize("point", ["misfit-told", "answer-begun"])
@pytest.mark.parametrize("fault", PROBLEM)
def test_whatever_redis_forgets(system, fault, point):
    misfit = Misfit(system, fault, point)
    misfit.forget()
    misfit.is_rejected(misfit.answer())


def test_what_nobody_was_told_redis_forgets(system):
    """Its certificate for another key looks like one of people's, and stays (R11)."""
    misfit = Misfit(system, "wrong_key", "misfit-kept")
    misfit.forget()
    event = misfit.answer()
    second = event.certificate.order_id
    assert event.result == events.RESULT_ISSUED and sorted(system.orders_of(misfit.cn)) == sorted([misfit.order, second])
    assert not misfit.told() and not misfit.is_ended(misfit.order) and not misfit.is_ended(second)
