"""The orders that the CA recorded: whose each is, and what became of it."""

import collections
import dataclasses

from epki.v1.common_pb2 import OPERATION_REVOKE

THEIRS = "OrderPkcs12"  # the CA makes the key
ORDERS = ("OrderAndIssueCertificate", "OrderCertificate", THEIRS)
ENDS = ("Cancel", "Revoke")
PORTAL = "Portal"


@dataclasses.dataclass
class Order:
    call: object  # the journal's line that recorded it
    ends: list = dataclasses.field(default_factory=list)  # recorded cancellations and revocations
    owner: str = ""  # request id; "": nobody asked for it

    @property
    def id(self):
        return self.call.order_id

    @property
    def theirs(self):
        return self.call.operation == THEIRS

    @property
    def portal(self):
        return self.call.operation == PORTAL

    @property
    def valid(self):
        return not self.ends

    @property
    def cancelled(self):
        return any(end.operation == "Cancel" for end in self.ends)

    def ended_before(self, time_ms):
        return any(end.time_ms <= time_ms for end in self.ends)


def orders_of(calls):
    """Orders by id, in the order of their recording, the portal's included."""
    orders = collections.OrderedDict()
    for call in calls:
        if not call.recorded:
            continue
        if call.operation in ORDERS or call.operation == PORTAL:
            orders.setdefault(call.order_id, Order(call))
        elif call.operation in ENDS and call.order_id in orders:
            orders[call.order_id].ends.append(call)
    return orders


def told_by_answers(answers):
    """{order id: request id} as the answers have it; only for keys that no CSR brought, and checked by the key."""
    told = {}
    for answer in answers:
        certificate = answer.message.certificate
        if certificate.order_id and answer.first is None and answer.message.operation != OPERATION_REVOKE:
            told.setdefault(certificate.order_id, answer.message.request_id)
    return told


def by_key(order, requests, told, names):
    """Of the requests that sent this public key in a CSR, the one that it was ordered for. It may have been ordered as
    none of them asks: that is judged later."""
    ids = [request.id for request in requests]
    fitting = [request_id for request_id in ids if names.get(request_id) == order.call.names]
    return told[order.id] if told.get(order.id) in ids else (fitting or ids)[0]


def by_name(order, candidates, spans, reported, owned):
    """A key that no answer tells of, the worker's or the CA's own: the request with this profile and these names that it
    was reported of, or that was open at this time. Nobody can tell several apart: each gets one before any gets two."""
    at = order.call.time_ms
    named = [request for request in candidates if (order.id, request.id) in reported]
    fitting = [request for request in candidates if request.time_ms <= at <= spans.get(request.id, at)]
    found = named or fitting or candidates
    return min(found, key=lambda request: owned[request.id]).id if found else ""


def attribute(orders, requests, names, answers, reported):
    """Sets the owner of every order but the portal's. requests: the first of each id, enrolments and renewals. names:
    {request id: Names}. reported: {(order id, request id)}. Keys come first: they are what no worker can
    invent."""
    told = told_by_answers(answers)
    spans = {answer.message.request_id: answer.time_ms for answer in answers if answer.first is None}
    keyed, named = collections.defaultdict(list), collections.defaultdict(list)
    known = {request.id: request for request in requests}
    for request in requests:
        if request.spki:
            keyed[request.spki].append(request)
        elif request.sealed:
            named[request.their_key, names.get(request.id)].append(request)
    nameless = []
    for order in orders.values():
        teller = known.get(told.get(order.id))
        if order.portal:
            continue
        if order.call.spki in keyed:
            order.owner = by_key(order, keyed[order.call.spki], told, names)
        elif teller is not None and teller.sealed:
            order.owner = teller.id
        else:
            nameless.append(order)
    owned = collections.Counter(order.owner for order in orders.values())
    for order in nameless:
        candidates = named[order.theirs, order.call.names]
        order.owner = by_name(order, candidates, spans, reported, owned)
        owned[order.owner] += 1
