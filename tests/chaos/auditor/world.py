"""A history, indexed: events by request id, answers by the event they answer, orders by their owner."""

import collections

from chaos.auditor import content, orders
from epki.v1 import certificate_event_pb2

TERMINAL = {certificate_event_pb2.RESULT_ISSUED: "issued", certificate_event_pb2.RESULT_RENEWED: "renewed",
            certificate_event_pb2.RESULT_REVOKED: "revoked", certificate_event_pb2.RESULT_REMOVED: "removed",
            certificate_event_pb2.RESULT_REJECTED: "rejected"}
WAITED = (certificate_event_pb2.RESULT_WAITING, certificate_event_pb2.RESULT_HELD)
CONFLICT = "request-id-conflict"


def result_of(answer):
    return TERMINAL[answer.message.result]


class World:
    def __init__(self, history):
        self.history = history
        self.requests = {e.place: content.request_of(e, history.settings) for e in history.events}
        self.by_id = collections.defaultdict(list)  # requests in the order of their publication
        for request in sorted((r for r in self.requests.values() if r), key=lambda r: (r.time_ms, r.place)):
            self.by_id[request.id].append(request)
        self.answers = collections.defaultdict(list)  # terminal, by source
        self.waited = set()  # sources that were said to wait
        self.letters = collections.defaultdict(list)
        for answer in history.answers:
            if answer.message.result in TERMINAL:
                self.answers[answer.source].append(answer)
            elif answer.message.result in WAITED:
                self.waited.add(answer.source)
        for letter in history.letters:
            self.letters[letter.source].append(letter)
        self.targeted = collections.defaultdict(list)  # revocations by the request id that they name
        for request in self.requests.values():
            if request and request.op == content.REVOKE and request.target[0] == "request_id":
                self.targeted[request.target[1]].append(request)
        self.first = {}  # the answer that others repeat, and its request, by request id
        self._find_firsts()
        self._find_certificates()
        self._find_orders()

    def _find_firsts(self):
        for request_id, requests in self.by_id.items():
            for request in requests:
                for answer in self.answers[request.place]:
                    if answer.first is None and answer.message.failure.problem != CONFLICT:
                        self.first.setdefault(request_id, (answer, request))

    def _find_certificates(self):
        self.by_serial = {}  # first answers, by (issuer, serial)
        for answer, _ in self.first.values():
            if result_of(answer) in ("issued", "renewed"):
                certificate = answer.message.certificate
                self.by_serial[certificate.issuer, certificate.serial] = answer

    def _find_orders(self):
        self.orders = orders.orders_of(self.history.calls)
        firsts = [self.leader(request_id) for request_id in self.by_id]
        names = {request.id: self.names(request) for request in firsts}
        terminal = [answer for found in self.answers.values() for answer in found]
        orders.attribute(self.orders, [r for r in firsts if r.op != content.REVOKE], names, terminal)
        self.orders_of = collections.defaultdict(list)
        for order in self.orders.values():
            self.orders_of[order.owner].append(order)

    def leader(self, request_id):
        """The event of an id that was taken for the first; the first published while none has been answered."""
        return self.first[request_id][1] if request_id in self.first else self.by_id[request_id][0]

    def certificate_answer(self, request_id):
        answer, _ = self.first.get(request_id, (None, None))
        return answer if answer and result_of(answer) in ("issued", "renewed") else None

    def target_answer(self, request):
        """The answer with the certificate that a renewal or revocation names, if there is one."""
        kind, target = request.target
        if kind == "request_id":
            return self.certificate_answer(target)
        if kind == "serial":
            return self.by_serial.get((target.issuer, target.serial))
        order = self.orders.get(target.order_id) if kind == "order" and hasattr(self, "orders") else None
        return self.certificate_answer(order.owner) if order is not None and order.owner else None

    def names(self, request, depth=0):
        """(profile, cn) that an order for this request carries."""
        if request.setting is None:
            return None
        if request.cn or depth > 20:
            return request.setting.profile, request.cn
        kind, _ = request.target
        answer = self.target_answer(request) if kind in ("request_id", "serial") else self._answer_of_order(request)
        if answer is None:
            return request.setting.profile, ""
        _, cn = self.names(self.leader(answer.message.request_id), depth + 1) or (None, "")
        return request.setting.profile, cn

    def _answer_of_order(self, request):
        kind, target = request.target
        if kind != "order":
            return None
        for answer, _ in self.first.values():
            if result_of(answer) in ("issued", "renewed") and answer.message.certificate.order_id == target.order_id:
                return answer
        return None

    def state_at(self, seq):
        """The simulator's state when it decided call number seq, or None."""
        found = None
        for change in self.history.changes:
            if change.after < seq:
                found = change
        return found
