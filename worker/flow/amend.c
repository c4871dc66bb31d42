/*
 * A certificate was ended while Redis could not say whose it is, or give the version under which to
 * say so. The revocation is answered all the same, and the same transaction asks here, through
 * epki.resume, for what it leaves undone: the state record of the request that got the certificate.
 * It waits for Redis, and for the answer itself where that is still to come, as long as that takes,
 * whoever dies meanwhile; but nowhere for longer than anything may hold its partition.
 */
#include <string.h>

#include "base/log.h"
#include "job.h"
#include "room.h"

static void look(struct ew_job *job);

bool
ew_amend_out(struct ew_job *job, struct ew_buf *value, struct ew_out *out)
{
    struct ew_resume resume = {.action = EW_RESUME_AMEND,
                               .request_id = job->req.request_id,
                               .source = *ew_job_source(job),
                               .reason = "",
                               .by = job->source,
                               .waiting_offset = -1,
                               .order_id = job->revoke_order,
                               .status = job->revoke_as == EW_RES_REMOVED ? EW_CERT_REMOVED
                                                                          : EW_CERT_REVOKED};
    struct ew_err err;

    if (ew_wire_resume_encode(&resume, value, &err) != EW_OK) {
        EW_LOG(EW_LOG_ERROR, "flow", "a state record stays as it is", EW_FAULT_FIELDS(&err),
               EW_STR("request_id", job->req.request_id), EW_STR("order_id", job->revoke_order));
        return false;
    }
    *out = (struct ew_out){.topic = EW_TOPIC_RESUME,
                           .partition = -1,
                           .key = job->req.request_id,
                           .key_len = strlen(job->req.request_id),
                           .value = value->data,
                           .value_len = value->len};
    return true;
}

/* A request may wait for people for days: the same resume goes to the partition's end meanwhile. */
static void
look_later(struct ew_job *job)
{
    int64_t age = ew_loop_now(job->flow->loop) - job->received_boot;

    if (age > job->flow->config->time.hold_max_ms)
        ew_resume_again(job);
    else
        ew_job_retry(job, look);
}

static void
again(struct ew_job *job)
{
    ew_canary_check(job->flow);
    look_later(job);
}

static void
answered(struct ew_job *job, const struct ew_record_view *view)
{
    struct ew_err err;

    job->has_target = ew_wire_state_decode(view->outcome.data, view->outcome.len, job->arena,
                                           &job->target, &err) == EW_OK;
    if (job->has_target && !ew_target_brought(job, job->revoke_order))
        ew_answer_nothing(job, "no answer tells of this order");
    else
        ew_answer_amended(job);
}

/* --- what the topics say, where Redis lost the word of an answer --- */

static void
on_healed(void *arg, enum ew_fault fault, enum ew_transition result)
{
    struct ew_job *job = ew_job_back(arg);

    (void)fault, (void)result;
    if (job != NULL)
        look_later(job);
}

static void
on_topics(void *arg, enum ew_fault fault, const struct ew_topic_view *view)
{
    struct ew_job *job = ew_job_back(arg);
    struct ew_state_record *state;
    struct ew_err err;

    if (job == NULL)
        return;
    state = ew_arena_alloc(job->arena, sizeof(*state));
    if (fault == EW_OK && !view->waiting && view->state.len > 0 && state != NULL &&
        ew_wire_state_decode(view->state.data, view->state.len, job->arena, state, &err) == EW_OK)
        ew_topics_heal(job->flow, job->target_id, state, &view->state, on_healed, ew_job_out(job));
    else
        look_later(job);
}

static void
on_offset(void *arg, enum ew_offset_state state)
{
    struct ew_job *job = ew_job_back(arg);

    if (job == NULL)
        return;
    if (state == EW_OFFSET_DONE && !ew_topics_busy(job->flow))
        ew_topics_look(job->flow, job->target_id, on_topics, ew_job_out(job));
    else
        look_later(job);
}

/* Its own flow is to answer, and may not know either; or it has, and Redis did not hear of it. */
static void
unanswered(struct ew_job *job, const struct ew_record_view *view)
{
    if (!ew_wait_asks_kafka(job)) {
        look_later(job);
        return;
    }
    job->wait_source = view->source;
    ew_kafka_offset_state(job->flow->kafka, &job->wait_source, on_offset, ew_job_out(job));
}

/* --- what Redis says --- */

static void
on_view(void *arg, enum ew_fault fault, enum ew_canary_state canary,
        const struct ew_record_view *view)
{
    struct ew_job *job = ew_job_back(arg);

    if (job == NULL)
        return;
    if (fault != EW_OK || (view->state == EW_REC_ABSENT && canary != EW_CANARY_OK)) {
        again(job);
    } else if (view->state == EW_REC_DONE) {
        answered(job, view);
    } else if (view->state == EW_REC_ABSENT || view->state == EW_REC_PARKED) {
        ew_answer_nothing(job, "no answer tells of this order");
    } else {
        unanswered(job, view);
    }
}

static void
on_found(void *arg, enum ew_fault fault, enum ew_canary_state canary, const char *request_id)
{
    struct ew_job *job = ew_job_back(arg);

    if (job == NULL)
        return;
    if (fault == EW_OK && request_id[0] != '\0') {
        job->target_id = ew_job_same(job, job->target_id, request_id);
        ew_store_lookup(job->flow->store, job->target_id, on_view, ew_job_out(job));
    } else if (fault == EW_OK && canary == EW_CANARY_OK) {
        ew_answer_nothing(job, "the order is none of ours");
    } else {
        again(job);
    }
}

static void
look(struct ew_job *job)
{
    ew_store_by_order(job->flow->store, job->revoke_order, on_found, ew_job_out(job));
}

void
ew_amend_admit(struct ew_job *job, const struct ew_resume *resume)
{
    job->req.request_id = ew_job_same(job, job->req.request_id, resume->request_id);
    job->revoke_order = ew_job_same(job, job->revoke_order, resume->order_id);
    job->revoke_as = resume->status == EW_CERT_REMOVED ? EW_RES_REMOVED : EW_RES_REVOKED;
    job->wait_since = job->wait_looked = ew_loop_now(job->flow->loop);
    look(job);
}
