"""The outcomes that would be right for an event, worked out from what was published and what the CA's journal shows."""

import typing

from chaos.auditor import content
from chaos.auditor.world import result_of
from epki.v1 import certificate_event_pb2, revocation_pb2

CLASS = certificate_event_pb2.FailureClass.Value
INVALID, CONFLICT = CLASS("FAILURE_CLASS_INVALID"), CLASS("FAILURE_CLASS_CONFLICT")
REFUSED, STOPPED = CLASS("FAILURE_CLASS_REFUSED"), CLASS("FAILURE_CLASS_STOPPED")
EXPIRED, MISMATCH = CLASS("FAILURE_CLASS_EXPIRED"), CLASS("FAILURE_CLASS_MISMATCH")
MISFITS = ("wrong_key", "wrong_name", "wrong_pin", "spoilt_pkcs12", "no_pkcs12")
PROFILE_CODES, KEY_USED, KEY_REVOKED = (-4005,), -6007, -9940
# What makes a request wait, and never refuses it: the account's state, licences, and what may be an order all the same.
WAITS = (-4001, -4201, -9939, -9200, -9403, -6101, -9911, -9912, -1, -201, -300, -301)


class Outcome(typing.NamedTuple):
    """One that would be right. field: what the answer's must begin with; code: GlobalSign's, 0: any."""
    result: str
    why: str = ""
    failure: int = 0
    field: str = ""
    code: int = 0

    def fits(self, answer):
        failure = answer.message.failure
        return (result_of(answer) == self.result and failure.failure_class == self.failure
                and failure.field.startswith(self.field) and self.code in (0, failure.vendor_code))

    def __str__(self):
        name = certificate_event_pb2.FailureClass.Name(self.failure).removeprefix("FAILURE_CLASS_").lower()
        return self.result + (f" ({name} {self.field or self.code or ''}: {self.why})" if self.failure else "")


def rejected(failure, why, field="", code=0):
    return Outcome("rejected", why, failure, field, code)


def expected(world, request, answer=None):
    """Outcomes that fit the first event of its id. answer: the one under judgement, for what depends on its time."""
    if request.op == content.REVOKE:
        return of_revocation(world, request, answer)
    return of_order(world, request, answer)


# --- enrolments and renewals ---

def of_order(world, request, answer):
    stops = [rejected(STOPPED, "a revocation names it")] if world.targeted[request.id] else []
    late = deadline(world, request, answer)
    if request.problem is not None:
        return [rejected(INVALID, request.problem.why, request.problem.field)] + stops + late
    wished = Outcome("renewed" if request.op == content.RENEW else "issued")
    missing = target_missing(world, request, answer) if request.op == content.RENEW else None
    outcomes = [wished] if missing is None else missing + [wished] * (maybe_known(world, request, answer))
    return outcomes + stops + late + refusals(world, request) + endings(world, request, answer)


def deadline(world, request, answer):
    limit = request.message.deadline_ms
    if not limit or answer is None or answer.time_ms < limit or world.orders_of[request.id]:
        return []
    return [rejected(EXPIRED, "its deadline passed before an order was placed")]


def target_missing(world, request, answer):
    """Why a renewal may be refused: None if its target had its certificate before the renewal was published."""
    kind, _ = request.target
    known = world.target_answer(request)
    if known is not None and known.time_ms <= request.time_ms:
        return None
    if kind == "order":
        if request.cn:
            return None
        return [rejected(INVALID, "no names: nothing is known of that order")]
    return [rejected(INVALID, "its target has no certificate here", f"target.{kind}")]


def maybe_known(world, request, answer):
    """Published while its target was under way: both ends are right, but only as the answers' times have it."""
    known = world.target_answer(request)
    return known is not None and (answer is None or known.time_ms <= answer.time_ms)


def endings(world, request, answer):
    """An order that was ended by others, or had to be ended because its certificate was wrong."""
    found = []
    for order in world.orders_of[request.id]:
        if order.call.fault in MISFITS:
            found.append(rejected(MISMATCH, f"{order.call.fault} at the CA"))
        if answer is not None and order.ended_before(answer.time_ms) and order.id in world.ended_by_order:
            found.append(rejected(REFUSED, "a revocation ended its order"))
    return found


def refusals(world, request):
    """What the CA refused, as long as its own state, or a fault that it was told to show, explains the refusal."""
    return [rejected(REFUSED, f"the CA refused: {call.fault or 'by its state'}", code=call.code)
            for call in world.refusals_of(request) if explained(world, call)]


def explained(world, call):
    """Whether the simulator had a reason, other than the request itself, to refuse this order."""
    if call.fault:
        return call.code not in WAITS
    state = world.state_at(call.seq)
    if call.code in PROFILE_CODES:
        return state is not None and state.profiles.get(call.profile) != "validated"
    earlier = [order for order in world.with_key[call.spki] if order.call.seq < call.seq]
    if call.code == KEY_USED:
        return any(o.call.cn != call.cn for o in earlier)
    return call.code == KEY_REVOKED and any(o.ended_before(call.time_ms) for o in earlier)


# --- revocations ---

def of_revocation(world, request, answer):
    if request.problem is not None:
        return [rejected(INVALID, request.problem.why, request.problem.field)]
    kind, target = request.target
    if kind == "request_id":
        return of_named_request(world, request, target)
    if kind == "serial":
        return of_serial(world, request, answer)
    order = world.orders.get(target.order_id)
    if order is None:
        return [rejected(INVALID, "the CA has no such order", "target")]
    return ended(world, request, order)


def ended(world, request, order):
    """Of a certificate, or an order: revoked, or removed where it was to be, or had been, cancelled."""
    removal = request.message.removal == revocation_pb2.REMOVAL_REMOVE
    outcomes = [Outcome("removed")] if removal else [Outcome("revoked")]
    if order is not None and order.cancelled and not removal:
        outcomes.append(Outcome("removed"))
    return outcomes + change_refusals(world, order)


def change_refusals(world, order):
    """Both ways of ending it were refused because the simulator was told to."""
    calls = [call for call in world.refused_ends[order.id] if call.fault] if order is not None else []
    return [rejected(REFUSED, "the CA was told to refuse") for _ in calls[:1]]


def of_named_request(world, request, target):
    known = world.certificate_answer(target)
    if known is not None:
        return ended(world, request, world.orders.get(known.message.certificate.order_id))
    if target not in world.by_id:
        return [Outcome("removed", "nobody asked for it, so it is stopped in advance")]
    if any(letter.kind == "parked" for r in world.by_id[target] for letter in world.letters[r.place]):
        return [rejected(INVALID, "its target is parked", "target"), Outcome("removed")]
    first, _ = world.first.get(target, (None, None))
    if first is None:
        return [Outcome("removed"), Outcome("revoked")]  # its target is lost, which is said elsewhere
    if first.message.failure.failure_class == STOPPED:
        return [Outcome("removed", "stopped before an order was placed")]
    return [rejected(INVALID, "its target has no certificate", "target")]


def of_serial(world, request, answer):
    known = world.target_answer(request)
    unknown = [rejected(INVALID, "no such certificate was issued here", "target.serial")]
    if known is None:
        return unknown
    outcomes = ended(world, request, world.orders.get(known.message.certificate.order_id))
    return outcomes if known.time_ms <= request.time_ms else outcomes + unknown
