"""The orders that the CA recorded: whose each is, and what became of it."""

import collections
import dataclasses

from epki.v1.common_pb2 import OPERATION_REVOKE

ORDERS = ("OrderAndIssueCertificate", "OrderCertificate", "OrderPkcs12")
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
    """{order id: request id} as the answers have it; only for keys that the worker made, and checked by the key."""
    told = {}
    for answer in answers:
        certificate = answer.message.certificate
        if certificate.order_id and answer.first is None and answer.message.operation != OPERATION_REVOKE:
            told.setdefault(certificate.order_id, answer.message.request_id)
    return told


def by_key(order, requests, told):
    """Of the requests that sent this public key in a CSR, the one that it was ordered for."""
    ids = [request.id for request in requests]
    return told[order.id] if told.get(order.id) in ids else ids[0]


def by_name(order, candidates, spans):
    """A worker-made key that no answer tells of: the request with this profile and name, at this time."""
    at = order.call.time_ms
    fitting = [request for request in candidates if request.time_ms <= at <= spans.get(request.id, at)]
    return (fitting or candidates)[0].id if candidates else ""


def attribute(orders, requests, names, answers):
    """Sets the owner of every order but the portal's. requests: the first of each id, enrolments and renewals. names:
    {request id: (profile, cn)}. Keys come first: they are what no worker can invent."""
    told = told_by_answers(answers)
    spans = {answer.message.request_id: answer.time_ms for answer in answers if answer.first is None}
    keyed, named = collections.defaultdict(list), collections.defaultdict(list)
    known = {request.id: request for request in requests}
    for request in requests:
        if request.spki:
            keyed[request.spki].append(request)
        elif request.worker_key:
            named[names.get(request.id)].append(request)
    for order in orders.values():
        teller = known.get(told.get(order.id))
        if order.portal:
            continue
        if order.call.spki in keyed:
            order.owner = by_key(order, keyed[order.call.spki], told)
        elif teller is not None and teller.worker_key:
            order.owner = teller.id
        else:
            order.owner = by_name(order, named[order.call.profile, order.call.cn], spans)
