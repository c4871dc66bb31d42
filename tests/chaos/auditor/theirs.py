"""Keys that the CA makes. The reply to the order is the only copy until the worker has kept it; where it was lost no key
tells whose the order is. Whatever could have lost it the auditor sees for itself: in the CA's journal, or in what was
done to workers, Redis and connections at that time."""

# The order stands, and nobody got its reply whole.
NO_REPLY = ("close_after_record", "reset_after_record", "accept_then_drop", "hold_reply", "status_line_only",
            "truncated_xml", "half_body", "empty_body")
CUT = ("ca-cut", "ca-hold", "simulator-restart")  # connections to the CA ended
GONE = ("worker-kill", "worker-remove", "worker-ended")
PARTED = GONE + ("worker-stop",)  # who had it cannot use it any more
# It may lose its partition some time after: when who comes has joined, when a broker is back.
MOVES = ("worker-add", "worker-start", "worker-wake", "broker-restart", "broker-stop")
MOVES_WITHIN_MS = 30_000
UNKEPT = ("redis-wipe", "redis-restart", "redis-stop", "redis-cut", "redis-hold")  # not kept, or lost again
BEFORE_MS = 3000  # so long after its bytes came an order is recorded at the latest
AMBIGUOUS, TOO_OFTEN = "orders-ambiguous", "keys-lost-again-and-again"
DUPLICATE = "duplicate-of-parked"
LOST_MOST = 5
END_MS = 1 << 62


def parted(world, begun_ms, until_ms):
    """Whether another worker may have had to go on with what one began at that time."""
    return bool(world.done_between(begun_ms, until_ms).intersection(PARTED) or
                world.done_between(begun_ms - MOVES_WITHIN_MS, until_ms).intersection(MOVES))


def reply_lost(world, order, request, until_ms):
    """What may have cost the key of this order, before until_ms; "": nothing that can be seen."""
    if order.call.fault in NO_REPLY:
        return order.call.fault
    begun = order.call.time_ms - BEFORE_MS
    due = min(until_ms, order.call.time_ms + request.setting.order_ms)
    causes = world.done_between(begun, due).intersection(CUT + GONE)
    if parted(world, begun, until_ms):
        causes.update(world.done_between(begun, until_ms).intersection(UNKEPT))
    return ", ".join(sorted(causes))


def surplus_excused(world, order, request):
    """An order that was ended because its key was lost: that could be lost, and before it was ended."""
    return bool(order.ends) and bool(reply_lost(world, order, request, min(e.time_ms for e in order.ends)))


def never_came(world, call, request):
    """An attempt that left no order, and of which the worker cannot have known that."""
    return not call.recorded and (call.fault != "" and call.result != "error" or bool(world.done_between(
        call.time_ms - BEFORE_MS, call.time_ms + request.setting.order_ms).intersection(CUT + GONE)))


def unanswered(world, request):
    """When the attempts were made of which the worker has no reply. Of one that it meant to make nobody but it can tell
    that it did not, and not who takes over, or finds Redis rebuilt. Whose an order is of several requests under these
    names nobody can tell either."""
    profile, cn, _ = world.names(request)
    own = [order.call.time_ms for order in world.orders_named[profile, cn] if order.theirs and
           order.call.time_ms >= request.time_ms and reply_lost(world, order, request, END_MS)]
    meant = [request.time_ms] if parted(world, request.time_ms, END_MS) and \
        world.done_between(request.time_ms, END_MS).intersection(UNKEPT) else []
    return own + meant + [call.time_ms for call in world.attempts[world.names(request)]
                          if call.time_ms >= request.time_ms and never_came(world, call, request)]


def rivals(world, request, since_ms):
    """Orders under the request's names, of the portal too, of which at that time nobody had been told and that nobody had
    ended: to a worker any of them may be its own."""
    def told(order):
        answer, _ = world.first.get(order.owner, (None, None))
        return answer is not None and answer.time_ms <= since_ms and answer.message.certificate.order_id == order.id

    profile, cn, email = world.names(request)
    return [order for order in world.orders_named[profile, cn] if email in ("", order.call.email)
            and not order.ended_before(since_ms) and not told(order)]


def parking_excused(world, request, letter):
    """People have to decide, and the auditor sees why. When it was parked nobody says: the record has its event's time."""
    if letter.problem == DUPLICATE:
        return any(parking_excused(world, other, found) for other in world.by_id[request.id]
                   for found in world.letters[other.place] if found.kind == "parked" and found.problem != DUPLICATE)
    if not request.their_key or request.setting is None:
        return False
    if letter.problem == AMBIGUOUS:
        attempts = unanswered(world, request)
        return bool(attempts) and len(rivals(world, request, max(attempts))) > 1
    ended = [order for order in world.orders_of[request.id] if surplus_excused(world, order, request)]
    return letter.problem == TOO_OFTEN and len(ended) >= LOST_MOST
