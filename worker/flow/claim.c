/*
 * Claiming a request id in Redis, and everything that the claim can say.
 */
#include <string.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "job.h"

enum { CANARY_POLL_MS = 300, OUTGROW_POLL_MS = 500, LEFT_POLL_MS = 2000 };

static void
copy_key(struct ew_job *job, const struct ew_claim_reply *reply)
{
    bool ours = job->req.key == EW_KEY_WORKER;
    bool same = reply->wrapped.len == job->wrapped.len && job->wrapped.len > 0 &&
                memcmp(reply->wrapped.data, job->wrapped.data, job->wrapped.len) == 0;

    job->claim_heard = job->claim_heard || reply->canary[0] != '\0';
    job->heard = job->heard || job->claim_heard;
    /* A key of GlobalSign's comes with the outcome, and that may be in the mailbox still. Its order
     * without it would be taken for one whose key is lost. */
    if (job->req.key == EW_KEY_GLOBALSIGN && !job->discard && reply->result != EW_CLAIM_OUTCOME &&
        reply->view.state != EW_REC_DONE && reply->view.outcome.len > 0)
        ew_outcome_read(job, &reply->view.outcome);
    if (ours && reply->wrapped.len > 0 && !same) {
        job->wrapped = ew_job_keep(job, reply->wrapped.data, reply->wrapped.len);
        job->opens = false;
    }
    if (ours && reply->view.has_spki) {
        /* What the room kept may be of an attempt before. */
        if (reply->wrapped.len == 0 && job->key_count > 0 &&
            memcmp(job->keys[job->key_count - 1], reply->view.spki, sizeof(job->spki)) != 0)
            job->wrapped.len = 0;
        memcpy(job->spki, reply->view.spki, sizeof(job->spki));
        job->has_spki = true;
    }
    ew_misfit_note(job, &reply->view);
    /* Among orders whose key GlobalSign made a date decides whose one is: they keep to their
     * intent's own, for Redis may have that of an attempt before. Not of one that is being ended.
     */
    if (job->attempt_date_ms == 0 && (job->req.key != EW_KEY_GLOBALSIGN ||
                                      ew_text_has(reply->view.lost_orders, reply->view.order_id)))
        job->attempt_date_ms = reply->view.ca_date_ms;
    if (reply->view.lost_orders[0] != '\0')
        job->lost_orders = ew_job_same(job, job->lost_orders, reply->view.lost_orders);
    if (reply->view.order_id[0] != '\0')
        job->order_id = ew_job_same(job, job->order_id, reply->view.order_id);
    /* Found before Redis was heard: a key is there again, so another attempt follows that order. */
    if (ours && reply->wrapped.len > 0 && ew_text_has(job->lost_orders, job->order_id)) {
        job->order_id = "";
        job->cert_text = NULL;
    }
}

/* What is new is ordered, answered or revoked. */
static void
claimed(struct ew_job *job, const struct ew_claim_reply *reply)
{
    copy_key(job, reply);
    if (ew_misfit_known(job, NULL)) /* "none" was concluded while Redis was away */
        return;
    job->attempt = reply->view.attempt;
    job->verdict = false;
    job->discard = false;
    job->unsent = false;
    job->air = false;
    job->pardoned = job->cancelled_known = false;
    if (job->req.key == EW_KEY_GLOBALSIGN) { /* each order has another */
        job->wrapped.len = 0;
        job->has_spki = false;
    }
    if (job->failure.cls != EW_FAIL_NONE) {
        ew_answer_rejected(job);
    } else if (job->req.key == EW_KEY_WORKER && job->wrapped.len == 0) {
        /* It waited without an order, so its key was dropped; or Redis lost it: nothing was sent.
         */
        job->has_spki = false;
        ew_key_make(job, ew_claim_begin);
    } else if (job->req.op == EW_OP_ENROLL) {
        ew_order_queue(job);
    } else {
        ew_target_resolve(job);
    }
}

static void
known_outcome(struct ew_job *job, const struct ew_claim_reply *reply)
{
    bool known, has_cert;

    copy_key(job, reply);
    job->attempt = reply->view.attempt;
    job->air = true;
    ew_outcome_read(job, &reply->view.outcome);
    has_cert = job->cert_text != NULL && job->cert_text[0] != '\0';
    known = job->order_id[0] != '\0' && job->setting != NULL;
    if (job->req.op == EW_OP_ENROLL &&
        ew_misfit_known(job, NULL)) /* a renewal needs its target first */
        return;
    if (known && job->ended_by_people) {
        ew_verify_begin(job);
        return;
    }
    if (known && !has_cert && job->req.op == EW_OP_ENROLL)
        ew_order_pending(job); /* ordered, and not issued when it was last seen */
    else if (job->req.op == EW_OP_RENEW && !job->has_target)
        ew_reconcile_begin(job, "the certificate is known, the target is looked up");
    else if (!has_cert || job->setting == NULL)
        ew_reconcile_begin(job, "the stored outcome is not usable");
    else
        ew_verify_begin(job);
}

static void
duplicate(struct ew_job *job, const struct ew_claim_reply *reply)
{
    struct ew_state_record *state = ew_arena_alloc(job->arena, sizeof(*state));
    struct ew_err err;

    if (state == NULL || ew_wire_state_decode(reply->view.outcome.data, reply->view.outcome.len,
                                              job->arena, state, &err) != EW_OK) {
        EW_LOG(EW_LOG_ERROR, "flow", "a stored answer does not decode",
               EW_STR("request_id", job->req.request_id));
        ew_wait_begin(job, EW_WAIT_DUPLICATE, job->req.request_id, &reply->view.source);
        return;
    }
    ew_answer_duplicate(job, state);
}

/* In place of a lost key another was made, and not claimed: it goes, and the order that was ended
 * for it is found again. */
static void
forget_new_key(struct ew_job *job)
{
    if (job->discard)
        job->wrapped.len = 0;
    job->discard = false;
}

static void
no_canary(struct ew_job *job, const struct ew_claim_reply *reply)
{
    /* Without its canary too Redis may know that another event has the id. */
    bool ours = reply->view.state == EW_REC_ABSENT || ew_job_is_source(job, &reply->view.source);

    if (ours)
        copy_key(job, reply);
    if (ours && reply->view.state != EW_REC_ABSENT)
        job->attempt = reply->view.attempt;
    if (ours && job->air && !job->unsent && !job->discard && job->search.quiet_until == 0) {
        ew_reconcile_begin(job, "redis is being rebuilt; the order is looked for meanwhile");
        return;
    }
    ew_canary_check(job->flow);
    ew_job_after(job, CANARY_POLL_MS, ew_claim_begin);
}

static void
conflict(struct ew_job *job)
{
    ew_job_fail_with(job, EW_FAIL_CONFLICT, "request-id-conflict", "request_id",
                     "the same request id was used for another content",
                     "Give each request an id of its own; repeat an event only unchanged.");
    job->foreign = true;
    ew_answer_rejected(job);
}

/* Another event has the request id: what becomes of this one, unless people ended it, hangs on what
 * becomes of that one. */
static void
repeats(struct ew_job *job, const struct ew_claim_reply *reply)
{
    if (job->ended_by_people) {
        job->foreign = true;
        ew_answer_rejected(job);
    } else if (reply->result == EW_CLAIM_PARKED) {
        ew_answer_parked(job, "duplicate-of-parked", &reply->view.source);
    } else {
        ew_wait_begin(job, EW_WAIT_DUPLICATE, job->req.request_id, &reply->view.source);
    }
}

static void
stopped(struct ew_job *job)
{
    ew_job_fail_with(job, EW_FAIL_STOPPED, "stopped-by-revocation", "request_id",
                     "a revocation of this request came before an order was placed",
                     "Send a new enrolment under a new request id if it is still wanted.");
    ew_answer_rejected(job);
}

/* Its order is known, and whether its key is lost only Redis can say. */
static bool
asks_for_key(const struct ew_job *job)
{
    return job->order_id[0] != '\0' && ew_job_key_unheard(job);
}

bool
ew_job_key_unheard(const struct ew_job *job)
{
    return job->req.key == EW_KEY_WORKER && job->wrapped.len == 0 && !job->claim_heard;
}

/* Redis did not answer. */
static void
claim_failed(struct ew_job *job)
{
    if (job->req.op == EW_OP_REVOKE && job->req.target.kind == EW_TARGET_ORDER)
        ew_target_resolve(job); /* needs no Redis: "already revoked" is success */
    else if (!asks_for_key(job) && job->air && !job->unsent && !job->discard &&
             job->search.quiet_until == 0)
        ew_reconcile_begin(job, "redis is away; the order is looked for meanwhile");
    else
        ew_job_retry(job, ew_claim_begin);
}

static void
note(struct ew_job *job, const struct ew_record_view *view)
{
    job->stopped = view->stopped;
    if (job->stopped)
        job->stopped_by = view->stopped_by;
    if (view->vanished > job->vanished) /* without a canary it may know less than we */
        job->vanished = view->vanished;
}

void
ew_claim_orders_nothing(struct ew_job *job)
{
    job->air = false;
    job->unsent = true;
}

static void
called_perhaps(struct ew_job *job, const struct ew_claim_reply *reply)
{
    if (job->req.op == EW_OP_REVOKE) {
        ew_claim_orders_nothing(job);
        ew_claim_begin(job);
        return;
    }
    copy_key(job, reply);
    job->attempt = reply->view.attempt;
    job->air = true;
    ew_reconcile_begin(job, "a call may have been made");
}

/* A higher epoch is a newer owner's, and then the intake will tell that the partition is gone. Or
 * it was lost with the group's offsets, and ours began too low: then Kafka lets it rise. Without
 * one the request left the partition, for the waiting room: the intake will tell, or the mark was
 * lost with the group's offsets, and is made again once the request is answered. */
static void
fenced(struct ew_job *job, const struct ew_record_view *view)
{
    struct ew_part *part = job->run->part;

    if (view->epoch > ew_part_epoch(part) && view->source.partition == job->source.partition &&
        strcmp(view->source.topic, job->source.topic) == 0) {
        ew_part_outgrow(part, view->epoch);
        ew_job_after(job, OUTGROW_POLL_MS, ew_claim_begin);
    } else {
        ew_job_after(job, LEFT_POLL_MS, ew_claim_begin);
    }
}

static void
on_claim(void *arg, enum ew_fault fault, const struct ew_claim_reply *reply)
{
    struct ew_job *job = ew_job_back(arg);

    if (job == NULL)
        return;
    if (fault != EW_OK) {
        claim_failed(job);
        return;
    }
    job->tries = 0;
    note(job, &reply->view);
    switch (reply->result) {
    case EW_CLAIM_YES:
        if (EW_FAILPOINT(REQUEST_CLAIMED, job->req.request_id))
            claim_failed(job);
        else
            claimed(job, reply);
        return;
    case EW_CLAIM_RECONCILE:
        called_perhaps(job, reply);
        return;
    case EW_CLAIM_OUTCOME:
        known_outcome(job, reply);
        return;
    case EW_CLAIM_DONE:
        job->elsewhere = reply->view.state != EW_REC_DONE;
        ew_answer_nothing(job, "answered before, or waiting elsewhere; only its mark was lost");
        return;
    case EW_CLAIM_DUPLICATE:
        duplicate(job, reply);
        return;
    case EW_CLAIM_WAIT:
    case EW_CLAIM_PARKED:
        repeats(job, reply);
        return;
    case EW_CLAIM_CONFLICT:
        conflict(job);
        return;
    case EW_CLAIM_KEY_BUSY:
        ew_wait_begin(job, EW_WAIT_KEY, reply->other, NULL);
        return;
    case EW_CLAIM_STOPPED:
        stopped(job);
        return;
    case EW_CLAIM_FENCED:
        fenced(job, &reply->view);
        return;
    case EW_CLAIM_STALE:
        forget_new_key(job);
        copy_key(job, reply);
        job->verdict = false;
        ew_reconcile_begin(job, "redis was rebuilt: the quiet period begins again");
        return;
    case EW_CLAIM_NO_CANARY:
        no_canary(job, reply);
        return;
    }
}

void
ew_claim_begin(struct ew_job *job)
{
    struct ew_claim claim = {.holder = ew_job_holder(job)};
    bool orders = job->req.op != EW_OP_REVOKE && job->failure.cls == EW_FAIL_NONE;

    if (job->state != EW_ST_CLAIM)
        ew_job_move(job, EW_ST_CLAIM, "");
    memcpy(claim.digest, job->digest, sizeof(claim.digest));
    claim.has_spki = orders && job->has_spki && job->req.key != EW_KEY_GLOBALSIGN;
    memcpy(claim.spki, job->spki, sizeof(claim.spki));
    if (job->req.key == EW_KEY_WORKER)
        claim.wrapped = job->wrapped;
    claim.adopting = job->air && !job->verdict && !job->unsent;
    claim.unsent = job->unsent;
    claim.discard = job->discard;
    claim.pardon = job->pardoned;
    claim.verdict = job->verdict ? job->search.canary : NULL;
    ew_store_claim(job->flow->store, &claim, on_claim, ew_job_out(job));
}
