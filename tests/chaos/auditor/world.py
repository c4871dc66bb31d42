"""A history, indexed: events by request id, answers by the event they answer, orders by their owner."""

import bisect
import collections

from chaos.auditor import content, orders
from chaos.auditor.facts import Names
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
        self.ended_by_order = {request.target[1].order_id for request in self.requests.values() if request and
                               request.op == content.REVOKE and request.target[0] == "order"}
        self.first = {}  # the answer that others repeat, and its request, by request id
        self.reported = {(notice.order_id, notice.request_id) for notice in history.notices}
        self.reported_orders = {notice.order_id for notice in history.notices}
        self.deeds = sorted(history.deeds, key=lambda deed: deed.time_ms)
        self.deed_times = [deed.time_ms for deed in self.deeds]
        self.changes_after = [change.after for change in history.changes]
        self.known_names = {}
        self.csr_keys = {request.spki for request in self.requests.values() if request and request.spki}
        self._find_firsts()
        self._find_certificates()
        self._find_named()
        self._find_orders()
        self._find_refusals()

    def _find_firsts(self):
        for request_id, requests in self.by_id.items():
            for request in requests:
                for answer in self.answers[request.place]:
                    if answer.first is None and answer.message.failure.problem != CONFLICT:
                        self.first.setdefault(request_id, (answer, request))

    def _find_certificates(self):
        self.by_serial, self.by_order = {}, {}  # first answers, by (issuer, serial) and by order id
        for answer, _ in self.first.values():
            if result_of(answer) in ("issued", "renewed"):
                certificate = answer.message.certificate
                self.by_serial[certificate.issuer, certificate.serial] = answer
                self.by_order[certificate.order_id] = answer

    def _find_named(self):
        """Orders that a revocation names, whatever came of it."""
        self.named = set(self.ended_by_order)
        for request in self.requests.values():
            if request and request.op == content.REVOKE:
                answer = self.target_answer(request)
                self.named.update([answer.message.certificate.order_id] if answer else [])

    def _find_orders(self):
        self.orders = orders.orders_of(self.history.calls)
        firsts = [self.leader(request_id) for request_id in self.by_id]
        names = {request.id: self.names(request) for request in firsts}
        terminal = [answer for found in self.answers.values() for answer in found]
        orders.attribute(self.orders, [r for r in firsts if r.op != content.REVOKE], names, terminal,
                         self.reported)
        self.orders_of, self.orders_named = collections.defaultdict(list), collections.defaultdict(list)
        for order in self.orders.values():
            self.orders_of[order.owner].append(order)
            self.orders_named[order.call.profile, order.call.cn].append(order)

    def _find_refusals(self):
        """Orders that the CA refused, by key and by names; cancellations and revocations, by order; and each attempt to
        have a key made, by names."""
        self.attempts = collections.defaultdict(list)
        self.refused_key, self.refused_names = collections.defaultdict(list), collections.defaultdict(list)
        self.refused_ends, self.with_key = collections.defaultdict(list), collections.defaultdict(list)
        for call in self.history.calls:
            if call.operation == orders.THEIRS:
                self.attempts[call.names].append(call)
            if call.result == "error" and call.operation in orders.ORDERS:
                self.refused_key[call.spki].append(call)
                self.refused_names[call.names].append(call)
            elif call.result == "error" and call.operation in orders.ENDS:
                self.refused_ends[call.order_id].append(call)
        for order in self.orders.values():
            self.with_key[order.call.spki].append(order)

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
        return self.by_order.get(target.order_id) if kind == "order" else None

    def names(self, request):
        """Names that an order for this request carries; None: its setting is unknown."""
        if request.place not in self.known_names:
            self.known_names[request.place] = None  # a circle ends here
            self.known_names[request.place] = self._names(request)
        return self.known_names[request.place]

    def _names(self, request):
        if request.setting is None:
            return None
        if request.cn:
            return Names(request.setting.profile, request.cn, request.email)
        answer = self.target_answer(request)
        target = self.names(self.leader(answer.message.request_id)) if answer is not None else None
        return Names(request.setting.profile, target.cn if target else "", target.email if target else "")

    def refusals_of(self, request):
        """Orders of a request that the CA refused; by its names where its key is not known."""
        if request.spki:
            return self.refused_key[request.spki]
        return [call for call in self.refused_names[self.names(request)] if call.spki not in self.csr_keys and
                (call.operation == orders.THEIRS) == request.their_key]

    def done_between(self, begin_ms, end_ms):
        """Kinds of what was done to workers, servers and connections."""
        first, last = bisect.bisect_left(self.deed_times, begin_ms), bisect.bisect_right(self.deed_times, end_ms)
        return {deed.kind for deed in self.deeds[first:last]}

    def state_at(self, seq):
        """The simulator's state when it decided call number seq, or None."""
        found = bisect.bisect_left(self.changes_after, seq)
        return self.history.changes[found - 1] if found else None
