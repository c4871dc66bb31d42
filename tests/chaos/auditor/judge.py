"""Compares what happened with what was right. Every judgement is a generator of findings; the counters of the last line
count the requests or events that they are about."""

import typing

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from chaos.auditor import content, theirs
from chaos.auditor.expect import MISFITS, expected
from chaos.auditor.world import CONFLICT, result_of

LOST, DOUBLE_ANSWER, DOUBLE_ORDER = "lost", "double-answer", "double-order"
COMPENSATED, PARKED, UNEXPLAINED, NOTE = "compensated", "parked", "unexplained", "note"
WIPES = ("redis-wipe",)
AWAY_MS = 15_000  # so long at the most is Redis away, or not connected to again, after it was taken away
FORGETS = WIPES + ("redis-restart",)  # it is rebuilt from the topics then: what only Redis knew is gone


class Finding(typing.NamedTuple):
    kind: str
    about: object  # request id or Place
    text: str
    excused: bool = False  # a cause that the auditor can see itself

    def __str__(self):
        return f"{self.kind}: {self.about}: {self.text}" + (" (excused)" if self.excused else "")


def judge(world):
    """Every finding."""
    judgements = (answered_once, answers_without_event, outcomes, duplicates, certificates, revocations_done, key_order,
                  orders_once, orders_as_asked, orders_asked_for, misfits_told, one_owner, ended_unasked)
    return [finding for judgement in judgements for finding in judgement(world)]


# --- one answer per event ---

def answered_once(world):
    for place, request in world.requests.items():
        answers, letters = world.answers[place], world.letters[place]
        dead = [letter for letter in letters if letter.kind == "dead"]
        if not answers and not letters:
            yield Finding(LOST, place, f"no answer to {request.id if request else 'an undecodable record'}")
        if len(answers) + len(letters) > 1:
            kinds = [result_of(a) for a in answers] + [letter.kind for letter in letters]
            yield Finding(DOUBLE_ANSWER, place, f"answered {len(kinds)} times: {', '.join(kinds)}")
        if dead and request is not None:
            yield Finding(UNEXPLAINED, place, f"{request.id} is a dead letter ({dead[0].problem}), but can be decoded")
        if answers and request is None:
            yield Finding(UNEXPLAINED, place, "an undecodable record has an answer instead of a dead letter")
        for letter in letters:
            if letter.kind == "parked":
                excused = request is not None and theirs.parking_excused(world, request, letter)
                yield Finding(PARKED, place, f"{request.id if request else '?'}: {letter.problem}", excused)


def answers_without_event(world):
    for source, found in list(world.answers.items()) + list(world.letters.items()):
        if source not in world.requests and found:
            yield Finding(UNEXPLAINED, source, f"an answer to an event that nobody published: {found[0].place}")


# --- the right answer ---

def outcomes(world):
    """The first answer of each request id, by what was published and the CA's journal."""
    for answer, request in world.first.values():
        request_op = {content.ENROLL: 1, content.RENEW: 2, content.REVOKE: 3}[request.op]
        if answer.message.request_id != request.id or answer.message.operation != request_op:
            yield Finding(UNEXPLAINED, request.place, f"its answer is about {answer.message.request_id}")
        right = expected(world, request, answer)
        if not any(outcome.fits(answer) for outcome in right):
            yield Finding(UNEXPLAINED, request.id, f"{told(answer)}; right were: {', or '.join(map(str, right))}")


def told(answer):
    failure = answer.message.failure
    if result_of(answer) != "rejected":
        return result_of(answer)
    return f"rejected {failure.problem} ({failure.field or failure.vendor_code}): {failure.cause}"


def duplicates(world):
    """Every other event of an id: the same content gets the same answer, another content a conflict."""
    for request_id, requests in world.by_id.items():
        first, leader = world.first.get(request_id, (None, None))
        for request in requests:
            for answer in world.answers[request.place]:
                if answer is not first:
                    yield from duplicate(world, request, answer, first, leader)


def is_parked(world, request):
    return any(letter.kind == "parked" for letter in world.letters[request.place])


def handled_twice(world, request, answer, first, leader):
    """Of a revocation that waits for its target nothing but Redis knows, and one by an order's id needs no Redis: while
    that is away it is not asked. Whoever repeats it ends no more than it did: its own answer has to be right as well."""
    begun, ended = min(request.time_ms, leader.time_ms), max(answer.time_ms, first.time_ms)
    why = "Redis was rebuilt" if world.done_between(begun, ended).intersection(FORGETS) else ""
    if request.target[0] == "order" and world.done_between(begun - AWAY_MS, ended).intersection(theirs.UNKEPT):
        why = why or "Redis was away"
    harmless = request.op == content.REVOKE and why and is_right(world, request, answer)
    return Finding(NOTE if harmless else UNEXPLAINED, request.place,
                   f"{request.id} was handled twice: also as {leader.place}" + (f"; {why}" if harmless else ""))


def is_right(world, request, answer):
    """Of a revocation: what it came to, and what became of the order."""
    return any(outcome.fits(answer) for outcome in expected(world, request, answer)) and not any(
        revocation_faults(world, request, answer))


def duplicate(world, request, answer, first, leader):
    conflict, others = answer.message.failure.problem == CONFLICT, world.by_id[request.id]
    if first is None:
        waits = [other for other in others if other.content != request.content and is_parked(world, other)]
        if answer.first is not None or conflict and not waits:
            yield Finding(UNEXPLAINED, request.place, f"{told(answer)}, but nothing with the id {request.id} came first")
    elif request.content != leader.content:
        if not conflict:
            yield Finding(UNEXPLAINED, request.place, f"{request.id} has another content than {leader.place}, but is "
                          f"answered {told(answer)} instead of as a conflict")
    elif conflict:
        yield Finding(UNEXPLAINED, request.place, f"{request.id} is the same as {leader.place}, but answered as a conflict")
    elif answer.first is None:
        if request.place != leader.place:  # else a second answer to the same event, which is said elsewhere
            yield handled_twice(world, request, answer, first, leader)
    elif answer.first not in handled_at(world, request) or outcome_of(answer) != outcome_of(first):
        yield Finding(UNEXPLAINED, request.place, f"{request.id} does not repeat the answer to {leader.place}")


def handled_at(world, request):
    """The events of the same content that have an answer of their own: one, or two that handled_twice() is told of."""
    return [other.place for other in world.by_id[request.id] if other.content == request.content and
            any(answer.first is None for answer in world.answers[other.place])]


def outcome_of(answer):
    certificate, failure = answer.message.certificate, answer.message.failure
    return answer.message.result, certificate.serial, certificate.order_id, failure.problem, failure.vendor_code


# --- what the answers say of certificates ---

def certificates(world):
    for answer, request in world.first.values():
        if result_of(answer) in ("issued", "renewed"):
            for text in certificate_faults(world, request, answer):
                yield Finding(UNEXPLAINED, request.id, text)


def certificate_faults(world, request, answer):
    told_of = answer.message.certificate
    order = world.orders.get(told_of.order_id)
    if order is None:
        yield f"the CA knows no order {told_of.order_id!r}"
        return
    try:
        certificate = x509.load_der_x509_certificate(told_of.der)
        spki, emails = content.spki_of(certificate.public_key()), emails_of(certificate)
    except (ValueError, UnsupportedAlgorithm):
        yield "its certificate cannot be read"
        return
    if spki != order.call.spki:
        yield f"its certificate's key is not that of order {order.id}"
    if request.spki and spki != request.spki:
        yield "its certificate has another key than its CSR"
    if request.sealed and not (told_of.sealed_pkcs12 and told_of.sealed_pin):
        yield "the key that was made for it is missing"
    if order.call.fault in MISFITS:
        yield f"its order {order.id} brought what nobody can use ({order.call.fault})"
    if order.theirs != request.their_key:
        yield f"its order {order.id} is an {order.call.operation}, which is not what it asked for"
    if f"{certificate.serial_number:x}" != told_of.serial.lstrip("0"):
        yield "its serial is not that of its certificate"
    wanted = world.names(request)
    if wanted is not None and wanted.cn:
        yield from name_faults(request, certificate, emails, wanted)
    if request.op == content.RENEW:
        yield from link_faults(world, request, answer)


def emails_of(certificate):
    """Of the subject and of the alternative names; no case makes another address."""
    found = [a.value for a in certificate.subject.get_attributes_for_oid(x509.NameOID.EMAIL_ADDRESS)]
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found += names.get_values_for_type(x509.RFC822Name)
    except x509.ExtensionNotFound:
        pass
    return {email.lower() for email in found}


def name_faults(request, certificate, emails, wanted):
    """A profile that is not for mail may leave the address out; none may bring another."""
    names = [a.value for a in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    if names != [wanted.cn]:
        yield f"its certificate is for {names}, not for {wanted.cn!r}"
    if emails - {wanted.email.lower()} or request.setting.smime and not emails:
        yield f"its certificate is for mail to {sorted(emails)}, not to {wanted.email!r}"


def link_faults(world, request, answer):
    replaced = world.target_answer(request)
    if replaced is not None and replaced.time_ms <= request.time_ms:
        if answer.message.replaces_order_id != replaced.message.certificate.order_id:
            yield f"it says that it replaces order {answer.message.replaces_order_id!r}"


def revocations_done(world):
    for answer, request in world.first.values():
        if request.op == content.REVOKE:
            for text in revocation_faults(world, request, answer):
                yield Finding(UNEXPLAINED, request.id, text)


def revocation_faults(world, request, answer):
    """Answered revoked or removed: then the CA ended that order before, or never had one."""
    if result_of(answer) not in ("revoked", "removed"):
        return
    kind, target = request.target
    named = answer.message.certificate.order_id
    known = world.target_answer(request)
    wanted = known.message.certificate.order_id if known is not None else target.order_id if kind == "order" else ""
    if wanted and named != wanted:
        yield f"it ended order {named!r} instead of {wanted!r}"
    order = world.orders.get(named)
    if named and (order is None or not order.ended_before(answer.time_ms)):
        yield f"answered {result_of(answer)}, but the CA did not end order {named} before"
    if not named and kind == "request_id":
        for left in world.orders_of[target] if target else ():
            if left.valid:
                yield f"answered {result_of(answer)}, but order {left.id} of {target} is valid"


# --- order within a key ---

def key_order(world):
    """Events of one record key in one partition are answered in their order, but for those that wait long, whether that
    was told or not: an answer that stands before its predecessor's."""
    last = {}  # (topic, partition, key) -> the last answered event's answer
    for place in sorted(world.requests):
        request = world.requests[place]
        if request is None or not world.answers[place] or not request.record_key:
            continue
        answer = world.answers[place][0]
        line = (place.topic, place.partition, request.record_key)
        before = last.get(line)
        if before is not None and answer.place[:2] == before.place[:2] and answer.place.offset < before.place.offset:
            yield Finding(UNEXPLAINED, place, f"{request.id} was answered before {before.message.request_id}, which came "
                          "before it under the same key")
        if place not in world.waited and answer.time_ms - request.time_ms < world.history.hold_ms:
            last[line] = answer


# --- one order per request ---

def orders_once(world):
    for request_id, found in world.orders_of.items():
        if not request_id:
            continue
        valid = [order for order in found if order.valid]
        first, leader = world.first.get(request_id, (None, None))
        if len(valid) > 1:
            yield Finding(DOUBLE_ORDER, request_id, f"{len(valid)} valid certificates: "
                          f"{', '.join(order.id for order in valid)}")
        elif len(found) > 1:
            yield surplus_ended(world, request_id, found)
        if first is not None and valid and result_of(first) not in ("issued", "renewed"):
            yield Finding(UNEXPLAINED, request_id, f"{told(first)}, but order {valid[0].id} is valid")


def surplus_of(found, kept):
    """All but one: the one that the answer names; where it names none the one that is left, or that came last."""
    named = [order for order in found if order.id == kept]
    counts = (named or [order for order in found if order.valid] or found[-1:])[0]
    return [order for order in found if order is not counts]


def surplus_ended(world, request_id, found):
    """More than one order, but not more than one left: that was reported, or there is no excuse."""
    leader = world.leader(request_id)
    first, _ = world.first.get(request_id, (None, None))
    kept = first.message.certificate.order_id if first is not None else ""
    surplus = surplus_of(found, kept)
    silent = [order.id for order in surplus if not is_told(world, request_id, order)]
    left = [order.id for order in surplus if kept and order.valid]
    if left:
        return Finding(UNEXPLAINED, request_id, f"surplus orders {', '.join(left)} are valid, while {kept} is not")
    if silent:
        return Finding(UNEXPLAINED, request_id, f"surplus orders {', '.join(silent)} were ended, and nobody was told")
    return Finding(COMPENSATED, request_id, f"{len(found)} orders; ended: {', '.join(o.id for o in surplus)}",
                   excused=all(excuse(world, leader, first, order) for order in surplus))


def is_told(world, request_id, order):
    """The surplus was reported; of a worker-made key its answer may say it instead."""
    if order.theirs:
        return (order.id, request_id) in world.reported
    first, leader = world.first.get(request_id, (None, None))
    return order.id in world.reported_orders or first is not None and leader.worker_key and order.id in first.message.note


def excuse(world, request, first, order):
    """A cause of a surplus that the auditor can see itself. That an order did not fit is none: its request is rejected."""
    if told_as_misfit(world, order):
        return False
    if order.theirs:
        return theirs.surplus_excused(world, order, request)
    if not request.worker_key or first is None or not order.ends:
        return False
    end = min(call.time_ms for call in order.ends)  # what came later was not its reason
    wiped = world.done_between(request.time_ms, end).intersection(WIPES)
    return bool(wiped) and theirs.parted(world, order.call.time_ms - theirs.BEFORE_MS, end)


def told_as_misfit(world, order):
    return any((notice.type, notice.problem, notice.order_id, notice.request_id)
               == ("compensated", "order-mismatch", order.id, order.owner) for notice in world.history.notices)


def lost_before_seen(world, order):
    """Nobody could see that its key was of no use: the reply was lost, and that is what was told."""
    return order.theirs and is_told(world, order.owner, order) and theirs.surplus_excused(
        world, order, world.leader(order.owner))


def misfits_told(world):
    """An order that the CA made for another key or name is told, whatever its request is answered with. Not if a
    revocation ended it, which may have been first."""
    for order in world.orders.values():
        if order.call.fault in MISFITS and order.owner and order.ends and order.id not in world.ended_by_order:
            if not told_as_misfit(world, order) and not lost_before_seen(world, order):
                yield Finding(UNEXPLAINED, order.owner, f"order {order.id} did not fit ({order.call.fault}) and was ended, "
                              "and nobody was told")


def orders_as_asked(world):
    """Whatever tells whose an order is, its key alone as well: it is on the profile and for the names that were asked
    for."""
    for order in world.orders.values():
        wanted = world.names(world.leader(order.owner)) if order.owner else None
        if wanted is None:
            continue
        for field, asked, got in zip(wanted._fields, wanted, order.call.names):
            if got != asked and (field == "profile" or wanted.cn):
                yield Finding(UNEXPLAINED, order.owner, f"order {order.id} has the {field} {got!r}, not {asked!r}")


def usurped(world, order):
    """The id that it was ordered under was another event's, which had no answer yet and which Redis had forgotten."""
    for request_id, requests in world.by_id.items():
        first, leader = world.first.get(request_id, (None, None))
        for request in requests:
            if first is not None and order.call.spki and request.spki == order.call.spki and \
                    request.content != leader.content and first.time_ms >= request.time_ms and \
                    world.done_between(leader.time_ms, order.call.time_ms).intersection(FORGETS):
                return request_id
    return ""


def orders_asked_for(world):
    for order in world.orders_of[""]:
        if order.portal:
            yield Finding(NOTE, order.id, f"somebody's order in the portal, for {order.call.cn!r}; left as it is: "
                          f"{'yes' if order.valid else 'NO'}")
            if order.ends:
                yield Finding(UNEXPLAINED, order.id, "an order of the portal was ended")
        elif (request_id := usurped(world, order)):
            yield Finding(NOTE, order.id, f"for {order.call.cn!r}, under the id of another event that Redis had forgotten: "
                          f"{request_id}")
        else:
            yield Finding(UNEXPLAINED, order.id, f"nobody asked for this order, for {order.call.cn!r}")


def one_owner(world):
    """No order is told to two requests."""
    owners = {}
    for answer, request in world.first.values():
        order_id = answer.message.certificate.order_id
        if result_of(answer) in ("issued", "renewed"):
            if order_id in owners:
                yield Finding(UNEXPLAINED, request.id, f"order {order_id} is also the answer to {owners[order_id]}")
            owners.setdefault(order_id, request.id)


def ended_unasked(world):
    """What an answer tells of is ended by nobody but a revocation that names it."""
    for answer, request in world.first.values():
        order = world.orders.get(answer.message.certificate.order_id)
        if result_of(answer) in ("issued", "renewed") and order is not None and order.ends and order.id not in world.named:
            yield Finding(UNEXPLAINED, request.id, f"its order {order.id} was ended, and no revocation names it")
