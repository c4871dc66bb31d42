/*
 * Waiting for another event: the first holder of the request id, the holder of the public key, or
 * the target of a renewal or revocation. A waiter holds no slot and no token. Redis is asked first;
 * from time to time Kafka itself, so that nobody waits for ever on a record that Redis lost: some
 * at a time, for each such look reads whole partitions. A duplicate waits as long as its first one
 * is not done. Whoever waits for a key or a target gives up with the order's deadline, at the
 * latest when duplicates are no longer told apart, and where its target waits for it in turn.
 */
#include <string.h>

#include "base/log.h"
#include "job.h"
#include "room.h"

enum {
    LOOK_FIRST_MS = 100,
    LOOK_MAX_MS = 2000,
    KAFKA_AFTER_MS = 10000, /* Redis alone is believed for so long */
};

static void look(struct ew_job *job);

static void
look_later(struct ew_job *job)
{
    struct ew_backoff backoff = {.first_ms = LOOK_FIRST_MS, .max_ms = LOOK_MAX_MS};

    ew_job_after(job, ew_backoff_ms(&backoff, ++job->tries, ew_random_u32()), look);
}

static void
go_on(struct ew_job *job)
{
    enum ew_wait wait = job->wait;

    job->wait = EW_WAIT_NONE;
    if (wait == EW_WAIT_TARGET)
        ew_target_resolve(job);
    else
        ew_claim_begin(job);
}

/* --- what the topics say, when Redis cannot --- */

static void
on_healed(void *arg, enum ew_fault fault, enum ew_transition result)
{
    struct ew_job *job = ew_job_back(arg);

    (void)result;
    if (job == NULL)
        return;
    if (fault == EW_OK)
        go_on(job);
    else
        look_later(job);
}

/* Redis is told what it lost, and then asked again. */
static void
heal(struct ew_job *job, const struct ew_state_record *state, const struct ew_blob *text)
{
    if (job->wait == EW_WAIT_DUPLICATE) { /* needs no Redis any more */
        ew_topics_heal(job->flow, job->wait_id, state, text, NULL, NULL);
        job->wait = EW_WAIT_NONE;
        ew_answer_duplicate(job, state);
    } else {
        ew_topics_heal(job->flow, job->wait_id, state, text, on_healed, ew_job_out(job));
    }
}

static void
on_topic(void *arg, enum ew_fault fault, const struct ew_topic_view *view)
{
    struct ew_job *job = ew_job_back(arg);
    struct ew_state_record *state;
    struct ew_err err;

    if (job == NULL)
        return;
    if (fault != EW_OK || view->waiting) {
        look_later(job);
        return;
    }
    if (view->state.len > 0) {
        state = ew_arena_alloc(job->arena, sizeof(*state));
        if (state != NULL && ew_wire_state_decode(view->state.data, view->state.len, job->arena,
                                                  state, &err) == EW_OK) {
            heal(job, state, &view->state);
            return;
        }
    }
    if (job->wait != EW_WAIT_DUPLICATE) {
        look_later(job); /* what it came to is not ours to answer */
        return;
    }
    job->wait = EW_WAIT_NONE;
    ew_answer_parked(job, view->parked ? "duplicate-of-parked" : "first-has-no-answer",
                     &job->wait_source);
}

static void
on_offset(void *arg, enum ew_offset_state state)
{
    struct ew_job *job = ew_job_back(arg);

    if (job == NULL)
        return;
    if (state != EW_OFFSET_DONE) {
        look_later(job);
        return;
    }
    if (ew_topics_busy(job->flow)) {
        job->wait_looked = 0; /* as soon as one of them is done */
        look_later(job);
        return;
    }
    ew_topics_look(job->flow, job->wait_id, on_topic, ew_job_out(job));
}

/* --- what Redis says --- */

static bool
settled(const struct ew_job *job, const struct ew_record_view *view)
{
    switch (view->state) {
    case EW_REC_DONE:
        return true;
    case EW_REC_PARKED: /* keeps its key until a person has decided */
        return job->wait != EW_WAIT_KEY;
    case EW_REC_ABSENT:
        return job->wait != EW_WAIT_TARGET;
    case EW_REC_CLAIMED:
    case EW_REC_WAITING:
    default:
        return false;
    }
}

/* Each look as long after the last as that came after the wait's begin; the first well before it
 * leaves for the waiting room, where it would begin anew. */
static int64_t
kafka_after(const struct ew_job *job)
{
    int64_t half = job->flow->config->time.hold_max_ms / 2;
    int64_t pause = job->wait_looked - job->wait_since;

    if (pause < KAFKA_AFTER_MS)
        pause = KAFKA_AFTER_MS;
    return half < pause ? half : pause;
}

bool
ew_wait_asks_kafka(struct ew_job *job)
{
    int64_t now = ew_loop_now(job->flow->loop);

    if (now - job->wait_looked <= kafka_after(job) || ew_topics_busy(job->flow))
        return false;
    job->wait_looked = now;
    return true;
}

/* A wait for an answer that will not come is answered itself. A duplicate's end is its first's. */
static bool
given_up(struct ew_job *job, bool circular)
{
    const struct ew_flow *flow = job->flow;

    if (job->wait == EW_WAIT_DUPLICATE)
        return false;
    if (job->req.op != EW_OP_REVOKE && ew_order_expired(job))
        return true;
    if (circular && job->wait == EW_WAIT_TARGET)
        ew_job_fail_with(job, EW_FAIL_INVALID, "target-awaits-this", "target.request_id",
                         "the request and its target wait for each other's answer",
                         "Name the enrolment or renewal whose certificate is meant.");
    else if (ew_wall_ms(flow->options.clock) - job->received_ms > flow->config->time.horizon_ms)
        ew_job_fail_with(job, EW_FAIL_EXPIRED, "awaited-too-long", "",
                         "the request that it waits for was not answered within the horizon",
                         "Find out what became of that request, then send a new one.");
    else
        return false;
    ew_answer_rejected(job);
    return true;
}

/* Redis lost the first one's record, and our own event claimed the id under an owner that had not
 * yet seen that it was deposed: there is nobody to wait for. */
static bool
is_ours(const struct ew_job *job, const struct ew_record_view *view)
{
    return job->wait == EW_WAIT_DUPLICATE && ew_job_is_source(job, &view->source);
}

static void
seen(struct ew_job *job, enum ew_fault fault, enum ew_canary_state canary,
     const struct ew_record_view *view, bool circular)
{
    if (fault == EW_OK &&
        (settled(job, view) || view->state == EW_REC_ABSENT || is_ours(job, view))) {
        go_on(job);
        return;
    }
    if (given_up(job, fault == EW_OK && circular))
        return;
    if (fault == EW_OK && canary == EW_CANARY_OK && view->state != EW_REC_ABSENT)
        job->wait_source = view->source;
    if (job->wait_source.topic[0] != '\0' && ew_wait_asks_kafka(job)) {
        ew_kafka_offset_state(job->flow->kafka, &job->wait_source, on_offset, ew_job_out(job));
        return;
    }
    look_later(job);
}

static void
on_lookup(void *arg, enum ew_fault fault, enum ew_canary_state canary,
          const struct ew_record_view *view)
{
    struct ew_job *job = ew_job_back(arg);

    if (job != NULL)
        seen(job, fault, canary, view, false);
}

static void
on_awaited(void *arg, enum ew_fault fault, enum ew_canary_state canary,
           const struct ew_record_view *view, bool circular)
{
    struct ew_job *job = ew_job_back(arg);

    if (job != NULL)
        seen(job, fault, canary, view, circular);
}

static void
look(struct ew_job *job)
{
    struct ew_store *store = job->flow->store;

    if (job->wait == EW_WAIT_DUPLICATE)
        ew_store_lookup(store, job->wait_id, on_lookup, ew_job_out(job));
    else
        ew_store_await(store, job->req.request_id, job->wait_id, on_awaited, ew_job_out(job));
}

void
ew_wait_begin(struct ew_job *job, enum ew_wait wait, const char *id, const struct ew_source *holder)
{
    bool anew = job->wait == EW_WAIT_NONE;

    job->wait = wait;
    job->wait_id = ew_job_same(job, job->wait_id, id);
    if (holder != NULL)
        job->wait_source = *holder;
    else
        job->wait_source.topic[0] = '\0';
    if (anew)
        job->wait_since = job->wait_looked = ew_loop_now(job->flow->loop);
    if (job->state != EW_ST_WAIT_OTHER)
        ew_job_move(job, EW_ST_WAIT_OTHER,
                    wait == EW_WAIT_DUPLICATE ? "another event holds this request id"
                    : wait == EW_WAIT_KEY     ? "another request holds this public key"
                                              : "the target is not answered yet");
    look_later(job);
}
