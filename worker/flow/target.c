/*
 * Whose certificate a renewal replaces or a revocation ends: from the target that the event names
 * to the state record of the request that got it. Redis answers, and Redis alone may say "never
 * seen", only under a canary.
 */
#include <string.h>

#include "base/log.h"
#include "job.h"

static void look_up(struct ew_job *job, const char *request_id);

static void
ready(struct ew_job *job)
{
    if (job->req.op == EW_OP_RENEW)
        ew_renew_ready(job);
    else
        ew_revoke_ready(job);
}

bool
ew_target_brought(const struct ew_job *job, const char *order_id)
{
    const struct ew_event *first = &job->target.first;

    return first->has_certificate && first->op != EW_OP_REVOKE &&
           strcmp(first->certificate.order_id, order_id) == 0;
}

static void
decode_target(struct ew_job *job, const struct ew_record_view *view)
{
    struct ew_err err;

    job->has_target =
        view->outcome.len > 0 && ew_wire_state_decode(view->outcome.data, view->outcome.len,
                                                      job->arena, &job->target, &err) == EW_OK;
    if (!job->has_target)
        EW_LOG(EW_LOG_ERROR, "flow", "the target's stored answer does not decode",
               EW_STR("request_id", job->req.request_id), EW_STR("target", job->target_id));
    job->target_state = EW_REC_DONE;
    ready(job);
}

static void
on_view(void *arg, enum ew_fault fault, enum ew_canary_state canary,
        const struct ew_record_view *view)
{
    struct ew_job *job = ew_job_back(arg);

    if (job == NULL)
        return;
    if (fault != EW_OK || (view->state == EW_REC_ABSENT && canary != EW_CANARY_OK)) {
        if (fault == EW_OK)
            ew_canary_check(job->flow);
        ew_job_after(job, 500, ew_target_resolve); /* nobody may say "never seen" now */
        return;
    }
    job->target_state = view->state;
    job->target_source = view->source;
    if (view->state == EW_REC_DONE)
        decode_target(job, view);
    else
        ready(job);
}

static void
look_up(struct ew_job *job, const char *request_id)
{
    job->target_id = ew_job_same(job, job->target_id, request_id);
    ew_store_lookup(job->flow->store, job->target_id, on_view, ew_job_out(job));
}

static void
on_found(void *arg, enum ew_fault fault, enum ew_canary_state canary, const char *request_id)
{
    struct ew_job *job = ew_job_back(arg);
    bool by_order;

    if (job == NULL)
        return;
    by_order = job->req.target.kind == EW_TARGET_ORDER;
    if (fault == EW_OK && request_id[0] != '\0') {
        look_up(job, request_id);
        return;
    }
    if (by_order) {
        job->target_state = EW_REC_ABSENT; /* GlobalSign knows it by its order id */
        job->amend = fault != EW_OK || canary != EW_CANARY_OK;
        ready(job);
        return;
    }
    if (fault != EW_OK || canary != EW_CANARY_OK) {
        ew_canary_check(job->flow);
        ew_job_after(job, 500, ew_target_resolve);
        return;
    }
    ew_job_fail_with(job, EW_FAIL_INVALID, "target-unknown", "target.serial",
                     "no certificate with this issuer and serial was issued here",
                     "Give the setting and the order id instead.");
    ew_answer_rejected(job);
}

void
ew_target_resolve(struct ew_job *job)
{
    const struct ew_target *target = &job->req.target;

    switch (target->kind) {
    case EW_TARGET_REQUEST:
        look_up(job, target->request_id);
        return;
    case EW_TARGET_SERIAL:
        ew_store_by_serial(job->flow->store, target->issuer, target->serial, on_found,
                           ew_job_out(job));
        return;
    case EW_TARGET_ORDER:
        ew_store_by_order(job->flow->store, target->order_id, on_found, ew_job_out(job));
        return;
    case EW_TARGET_NONE:
        ew_job_fail_with(job, EW_FAIL_INVALID, "target-missing", "target", "no target is named",
                         "Name a request id, an issuer and serial, or a setting and order id.");
        ew_answer_rejected(job);
        return;
    }
}
