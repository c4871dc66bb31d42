"""A worker dies between ending an order that does not fit and rejecting its request. Whoever comes next rejects it for the
same reason; where Redis has forgotten, another order follows, and the first was told of."""

import pytest

from kit import cases, messages, wait
from epki.v1 import certificate_event_pb2 as events

WORKERS = 1
PROBLEM = {"wrong_key": "cert-key", "wrong_name": "cert-name"}


class Misfit:
    """Its order is ended, and its worker dead."""

    def __init__(self, system, fault):
        self.system, self.fault, self.request = system, fault, messages.name("misfit")
        self.cn = f"Person {self.request}"
        system.ca.fault(fault, cn=self.cn, count=1)
        system.tell("answer-begun", f"die/{self.request}")
        self.placed = system.send(messages.enroll(self.request, cn=self.cn), partition=1)
        self.victim = system.died("answer-begun", timeout=60)
        self.order, = system.orders_of(self.cn)
        assert self.is_ended(self.order)
        wait.until(self.told, 30, "the word of the ended order")

    def told(self):
        return [(e.type, e.problem, e.order_id) for e in list(self.system.results.account_events)
                if e.request_id == self.request]

    def is_ended(self, order):
        return "cancelled" in str(self.system.ca.control("GET", f"/orders/{order}")).lower()

    def forget(self):
        """Redis loses its last second: it knows of the call, and of nothing that came of it."""
        store = cases.store(self.system)
        record = f"epki:v1:request:{self.request}"
        assert store.hget(record, "mi").startswith(self.order)
        store.hset(record, mapping={"st": "calling", "oid": "", "out": "", "mi": ""})
        assert store.delete(f"epki:v1:order:{self.order}") == 1

    def answer(self):
        self.system.start(instance=self.victim.instance)
        event = self.system.results.answer_to(self.placed, 90)
        assert self.told() == [("compensated", "order-mismatch", self.order)]
        assert self.is_ended(self.order)
        return event

    def is_rejected(self, event):
        failure = event.failure
        assert event.result == events.RESULT_REJECTED and failure.failure_class == events.FAILURE_CLASS_MISMATCH
        assert failure.problem == PROBLEM[self.fault] and failure.cause and event.certificate.order_id == self.order
        assert list(self.system.orders_of(self.cn)) == [self.order]


@pytest.mark.parametrize("polled", [False, True], ids=["at-once", "polled"])
@pytest.mark.parametrize("fault", PROBLEM)
def test_who_comes_next_rejects_it(system, fault, polled):
    system.ca.settings(**{"async": polled}, async_issue_ms=500)
    misfit = Misfit(system, fault)
    misfit.is_rejected(misfit.answer())


def test_another_name_is_seen_without_redis(system):
    misfit = Misfit(system, "wrong_name")
    misfit.forget()
    misfit.is_rejected(misfit.answer())


def test_another_key_is_ordered_again_without_redis(system):
    misfit = Misfit(system, "wrong_key")
    misfit.forget()
    event = misfit.answer()
    second = event.certificate.order_id
    assert event.result == events.RESULT_ISSUED and sorted(system.orders_of(misfit.cn)) == sorted([misfit.order, second])
    assert not misfit.is_ended(second)
