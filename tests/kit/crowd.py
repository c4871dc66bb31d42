"""Many enrolments at once, each of a key of its own, and what must have come of them in the end, whatever it was."""

from kit import cases, messages, wait
from epki.v1 import certificate_event_pb2 as events


class Crowd:
    def __init__(self, system, prefix):
        self.system, self.prefix = system, prefix
        self.placed = {}  # request id: where it stands

    def send(self, count, topic=None, partition=None):
        """Publishes so many more; to one partition, or to any."""
        requests = [messages.name(self.prefix) for _ in range(count)]
        if partition is not None:
            self.placed.update({request: self.system.send(messages.enroll(request), topic=topic, partition=partition)
                                for request in requests})
            return self
        made = [(messages.enroll(request), f"key of {request}", topic) for request in requests]
        self.placed.update(zip(requests, self.system.publisher.send_many(made)))
        return self

    def hold(self, count, topic=None):
        """So many more, ordered, whose replies the CA holds back until it is told to release them."""
        self.system.ca.fault("hold_reply", count=count)
        self.send(count, topic)
        return self.await_ordered(len(self.placed))

    def ordered(self):
        names = {f"Person {request}" for request in self.placed}
        return {e["cn"] for e in self.system.ca.orders(recorded=True).values()} & names

    def await_ordered(self, count, timeout=60):
        wait.until(lambda: len(self.ordered()) >= count, timeout, f"{count} orders of {self.prefix}")
        return self

    def answered(self):
        return [request for request in self.placed if self.system.results.answers(request)]

    def check(self, timeout=90):
        """One order and one answer each, and nothing left to do."""
        came = {request: self.system.results.answer(request, timeout) for request in self.placed}
        orders = {}
        for order_id, entry in self.system.ca.orders(recorded=True).items():
            orders.setdefault(entry["cn"], []).append(order_id)
        for request, event in came.items():
            assert event.result == events.RESULT_ISSUED and self.placed[request].is_source(event.source), event
            assert orders[f"Person {request}"] == [event.certificate.order_id]
        cases.await_all_done(self.system, timeout)
        for request in self.placed:
            assert len(self.system.results.answers(request)) == 1
