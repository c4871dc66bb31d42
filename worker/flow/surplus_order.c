/*
 * One order of a sweep: whose it is, and the end of one that is ours and nobody's. Redis is asked
 * first; what looks like a surplus there is looked up in the topics too, for Redis is an index, and
 * a wrong cancellation is somebody's certificate. Then it is given up in Redis, so that no request
 * takes it any more, reported, and ended once Kafka has the report.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "room.h"
#include "surplus.h"

enum {
    TRIES_MAX = 15,  /* of ending an order, in one sweep: enough to be refused both ways */
    YIELD_MS = 1000, /* as many read the topics as may: they go first */
    TOLD_MS = 60000, /* later, Redis and the topics may say something else: the next sweep asks */
};

#define NOT_TOLD "Kafka does not take the report of a surplus order, or not in time"

/* --- ending an order --- */

/* False: there is nothing that done() would come of. */
static bool
tell(struct ew_surplus *surplus, const char *problem, const char *what, const char *advice,
     ew_kafka_done *done)
{
    const struct ew_claim_on *owner = &surplus->claims[EW_BY_KEY];
    const char *kept = owner->of.order_id;
    struct ew_account_event event = {.type = "surplus",
                                     .problem = problem,
                                     .advice = advice,
                                     .vendor_code = surplus->end.vendor_code,
                                     .request_id = owner->id,
                                     .order_id = surplus->orders[surplus->at].order_id};
    char cause[384];
    struct ew_buf value;
    struct ew_out out;
    bool told;

    (void)snprintf(cause, sizeof(cause),
                   "an order carries the public key of an answered request, whose answer names "
                   "%s: %s",
                   kept[0] == '\0' ? "none" : kept, what);
    event.cause = cause;
    ew_buf_init(&value, EW_ACCOUNT_EVENT_MAX);
    told = ew_desk_event_out(surplus->desk, &event, &value, &out);
    if (told)
        ew_kafka_publish(surplus->flow->kafka, &out, done, surplus);
    ew_buf_deinit(&value);
    return told;
}

static void
ended(struct ew_surplus *surplus)
{
    bool gone = surplus->end.result == EW_ENDED;

    ew_metric_add(surplus->flow->metrics, EW_METRIC_SURPLUS_ORDERS, gone ? 0 : 1, 1);
    EW_LOG(gone ? EW_LOG_WARN : EW_LOG_ERROR, "flow",
           gone ? "a surplus order was ended" : "a surplus order was not ended",
           EW_STR("order_id", surplus->end.order_id),
           EW_STR("request_id", surplus->claims[EW_BY_KEY].id),
           EW_INT("status", surplus->end.status), EW_INT("vendor_code", surplus->end.vendor_code));
    if (!gone)
        (void)tell(surplus, "surplus-not-ended", "GlobalSign does not end it",
                   "Have GlobalSign end the order; until then each comparison tries it again.",
                   NULL);
    ew_surplus_next(surplus, EW_WHOSE_SURPLUS);
}

static void end_step(struct ew_surplus *surplus);

static void
take_end_step(struct ew_surplus *surplus)
{
    ew_surplus_step(surplus, end_step);
}

static void
end_later(struct ew_surplus *surplus)
{
    struct ew_backoff backoff = {.first_ms = surplus->flow->config->time.retry_first_ms,
                                 .max_ms = surplus->flow->config->time.retry_max_ms};

    if (++surplus->tries < TRIES_MAX) {
        ew_surplus_after(surplus, ew_backoff_ms(&backoff, surplus->tries, ew_random_u32()),
                         take_end_step);
        return;
    }
    surplus->end.result = EW_END_REFUSED;
    ended(surplus);
}

static void
on_end_reply(void *arg, const struct ew_ca_reply *reply)
{
    struct ew_surplus *surplus = arg;

    surplus->call = NULL;
    ew_desk_learn(surplus->desk, reply, false);
    ew_turn_end(&surplus->turn, reply->cls == EW_CA_NOT_SENT);
    switch (ew_end_learn(&surplus->end, reply, ew_loop_now(surplus->flow->loop),
                         surplus->flow->config->time.visibility_ms)) {
    case EW_END_AT_ONCE:
        take_end_step(surplus);
        return;
    case EW_END_LATER:
        end_later(surplus);
        return;
    case EW_END_OVER:
        ended(surplus);
        return;
    }
}

static void
on_end_go(struct ew_turn *turn)
{
    struct ew_surplus *surplus = EW_CONTAINER(turn, struct ew_surplus, turn);

    surplus->call = ew_end_call(&surplus->end, surplus->desk->ca, on_end_reply, surplus);
}

static void
end_step(struct ew_surplus *surplus)
{
    surplus->turn.go = on_end_go;
    surplus->turn.held = ew_surplus_held;
    ew_desk_ask(surplus->desk, &surplus->turn, EW_RATE_REVOCATION);
}

/* Told before it is done: an order that was ended is not looked at any more, so nobody would tell
 * of it later. The next sweep finds what was not told, and tells again what was. */
static void
on_told(void *arg, enum ew_committed result, int64_t t0_ms, const struct ew_err *err)
{
    struct ew_surplus *surplus = arg;

    (void)t0_ms, (void)err;
    if (surplus->flow->ended)
        return;
    if (result == EW_COMMITTED && ew_loop_now(surplus->flow->loop) - surplus->judged < TOLD_MS)
        take_end_step(surplus);
    else
        ew_surplus_stop(surplus, NOT_TOLD);
}

static void
on_condemned(void *arg, enum ew_fault fault, enum ew_transition result)
{
    struct ew_surplus *surplus = arg;

    if (surplus->flow->ended)
        return;
    if (fault != EW_OK || result == EW_TR_NO_CANARY) {
        ew_surplus_stop(surplus, "redis is away or being rebuilt");
        return;
    }
    if (result != EW_TR_OK) {
        ew_surplus_next(surplus, EW_WHOSE_IN_FLIGHT); /* somebody took it meanwhile */
        return;
    }
    surplus->end =
        (struct ew_end){.step = EW_END_READ, .order_id = surplus->orders[surplus->at].order_id};
    surplus->tries = 0;
    surplus->judged = ew_loop_now(surplus->flow->loop);
    if (!tell(surplus, "surplus-order", "it is cancelled, or revoked if it is too late for that",
              "Find out what outlasted the quiet period: a machine that slept, or GlobalSign "
              "slower than time.processing_ms and time.visibility_ms say.",
              on_told))
        ew_surplus_stop(surplus, NOT_TOLD);
}

/* --- whose it is --- */

static void judge(struct ew_surplus *surplus);

/* Its worker died between the answer's commit and Redis' word of it, and nobody has asked for it
 * since: Redis is told, and the next sweep judges by that. */
static void
heal(struct ew_surplus *surplus, const char *id, const struct ew_topic_view *view)
{
    struct ew_arena *arena = ew_arena_new(EW_MAX_FLOW_MEMORY);
    struct ew_state_record record;
    struct ew_err err;

    if (!view->parked && !view->waiting && view->state.len > 0 &&
        ew_wire_state_decode(view->state.data, view->state.len, arena, &record, &err) == EW_OK)
        ew_topics_heal(surplus->flow, id, &record, &view->state, NULL, NULL);
    ew_arena_free(arena);
}

static void
on_topics(void *arg, enum ew_fault fault, const struct ew_topic_view *view)
{
    struct ew_surplus *surplus = arg;
    struct ew_claim_on *claim = &surplus->claims[surplus->asked];
    struct ew_claimant *of = &claim->of;

    if (surplus->flow->ended)
        return;
    if (fault != EW_OK) {
        ew_surplus_stop(surplus, "the topics cannot be read");
        return;
    }
    if (claim->doubted) {
        heal(surplus, claim->id, view);
        judge(surplus);
        return;
    }
    *of = (struct ew_claimant){.state = EW_REC_ABSENT};
    if (view->parked || view->waiting)
        of->state = view->parked ? EW_REC_PARKED : EW_REC_UNKNOWN;
    else if (view->state.len > 0)
        ew_surplus_answered(&view->state, of);
    judge(surplus);
}

static void
on_record(void *arg, enum ew_fault fault, enum ew_canary_state canary,
          const struct ew_record_view *view)
{
    struct ew_surplus *surplus = arg;
    struct ew_claimant *of = &surplus->claims[surplus->asked].of;

    if (surplus->flow->ended)
        return;
    if (fault != EW_OK || canary != EW_CANARY_OK) {
        ew_surplus_stop(surplus, "redis is away or being rebuilt");
        return;
    }
    *of = (struct ew_claimant){.state = view->state};
    surplus->claims[surplus->asked].doubted =
        view->state != EW_REC_ABSENT && view->state != EW_REC_DONE &&
        view->state != EW_REC_WAITING && view->state != EW_REC_PARKED; /* they stay so long */
    if (view->state == EW_REC_DONE)
        ew_surplus_answered(&view->outcome, of);
    judge(surplus);
}

/* The next claim that is not looked up yet; false = all are. */
static bool
look_up(struct ew_surplus *surplus)
{
    struct ew_claim_on *claims = surplus->claims;

    while (++surplus->asked < EW_CLAIMS) {
        const char *id = claims[surplus->asked].id;

        if (id[0] == '\0')
            continue;
        if (surplus->asked == EW_BY_KEY && strcmp(id, claims[EW_BY_ORDER].id) == 0) {
            claims[EW_BY_KEY].of = claims[EW_BY_ORDER].of;
            claims[EW_BY_KEY].doubted = claims[EW_BY_ORDER].doubted;
            continue;
        }
        if (surplus->in_topics && ew_topics_busy(surplus->flow)) {
            surplus->asked--;
            ew_surplus_after(surplus, YIELD_MS, judge);
            return true;
        }
        if (surplus->in_topics)
            ew_topics_look(surplus->flow, id, on_topics, surplus);
        else
            ew_store_lookup(surplus->flow->store, id, on_record, surplus);
        return true;
    }
    return false;
}

static const struct ew_claimant *
claimant(const struct ew_claim_on *claim)
{
    return claim->id[0] == '\0' ? NULL : &claim->of;
}

/* What Redis says of it is not enough: whether it has an answer the topics know. */
static bool
is_doubted(const struct ew_surplus *surplus, enum ew_whose verdict)
{
    return verdict == EW_WHOSE_SURPLUS ||
           (verdict == EW_WHOSE_IN_FLIGHT &&
            (surplus->claims[EW_BY_ORDER].doubted || surplus->claims[EW_BY_KEY].doubted));
}

static void
judge(struct ew_surplus *surplus)
{
    const struct ew_sight *order = &surplus->orders[surplus->at];
    const struct ew_claim_on *claims = surplus->claims;
    struct ew_order_owners owners = {.by_order = claims[EW_BY_ORDER].id,
                                     .by_key = claims[EW_BY_KEY].id};
    enum ew_whose verdict;

    if (look_up(surplus))
        return;
    verdict = ew_surplus_judge(order, claimant(&claims[EW_BY_ORDER]), claimant(&claims[EW_BY_KEY]));
    if (is_doubted(surplus, verdict) && !surplus->in_topics) {
        surplus->in_topics = true;
        surplus->asked = -1;
        ew_surplus_step(surplus, judge); /* that takes long: the lease is to last */
    } else if (verdict != EW_WHOSE_SURPLUS) {
        ew_surplus_next(surplus, verdict);
    } else {
        ew_store_condemn(surplus->flow->store, order->order_id, order->key, &owners,
                         surplus->flow->config->time.horizon_ms, on_condemned, surplus);
    }
}

static void
on_owners(void *arg, enum ew_fault fault, enum ew_canary_state canary,
          const struct ew_order_owners *owners)
{
    struct ew_surplus *surplus = arg;
    struct ew_claim_on *claims = surplus->claims;

    if (surplus->flow->ended)
        return;
    if (fault != EW_OK || canary != EW_CANARY_OK) {
        ew_surplus_stop(surplus, "redis is away or being rebuilt");
        return;
    }
    (void)snprintf(claims[EW_BY_ORDER].id, sizeof(claims[EW_BY_ORDER].id), "%s", owners->by_order);
    (void)snprintf(claims[EW_BY_KEY].id, sizeof(claims[EW_BY_KEY].id), "%s", owners->by_key);
    claims[EW_BY_ORDER].doubted = claims[EW_BY_KEY].doubted = false;
    surplus->in_topics = false;
    surplus->asked = -1;
    judge(surplus);
}

void
ew_surplus_look_at(struct ew_surplus *surplus)
{
    const struct ew_sight *order = &surplus->orders[surplus->at];

    ew_store_owners(surplus->flow->store, order->order_id, order->key, on_owners, surplus);
}
