/*
 * Revocation. A target that was not ordered yet is stopped, one in the air is awaited, one never
 * seen is stopped in advance once it had time to appear, and a certificate is read, ended and
 * confirmed. Nobody but the target's own flow writes the target's answer.
 */
#include <string.h>

#include "base/log.h"
#include "job.h"
#include "room.h"

enum { ABSENT_POLL_MS = 500, OUTCOME_LOOKS = 4 };

static void
reject(struct ew_job *job, const char *problem, const char *cause, const char *advice)
{
    ew_job_fail_with(job, EW_FAIL_INVALID, problem, "target", cause, advice);
    ew_answer_rejected(job);
}

static void
removed_before_order(struct ew_job *job)
{
    job->revoke_as = EW_RES_REMOVED;
    job->has_target = false;
    ew_answer_revoked(job);
}

/* --- a certificate --- */

static void
on_ended(struct ew_job *job, enum ew_ended result)
{
    int status = job->end.status;

    switch (result) {
    case EW_ENDED:
        job->revoke_as = job->req.removal == EW_REVOKE_REMOVE || status == EW_CA_ST_CANCELLED
                             ? EW_RES_REMOVED
                             : EW_RES_REVOKED;
        ew_answer_revoked(job);
        return;
    case EW_END_NOT_FOUND:
        reject(job, "order-unknown", "GlobalSign does not know this order id",
               "Check the order id and the setting's account.");
        return;
    case EW_END_REFUSED:
        ew_job_fail_with(job, EW_FAIL_REFUSED, "revocation-refused", "target",
                         "GlobalSign refuses to cancel and to revoke this order",
                         "End the order in GlobalSign's portal.");
        job->failure.vendor_code = job->end.vendor_code;
        ew_answer_rejected(job);
        return;
    }
}

static void
end_certificate(struct ew_job *job, const char *setting, const char *order_id)
{
    job->setting = ew_flow_setting(job->flow, setting);
    if (job->setting == NULL) {
        reject(job, "setting-unknown", "the setting of this certificate is not configured",
               "Configure the setting again, or revoke by setting and order id.");
        return;
    }
    ew_job_move(job, EW_ST_REVOKE, "");
    job->revoke_order = order_id;
    ew_end_order(job, order_id, job->req.removal == EW_REVOKE_REVOKE, on_ended);
}

/* By its own id, and nobody's record tells of it. */
static void
end_named_order(struct ew_job *job)
{
    job->has_target = false;
    end_certificate(job, job->req.target.setting, job->req.target.order_id);
}

static void
answered_target(struct ew_job *job)
{
    const struct ew_event *first = &job->target.first;

    if (!job->has_target) {
        ew_answer_parked(job, "target-not-readable", NULL);
        return;
    }
    if (job->req.target.kind == EW_TARGET_ORDER &&
        !ew_target_brought(job, job->req.target.order_id)) {
        job->target_id = ""; /* its certificate, if it has one, stays */
        end_named_order(job);
        return;
    }
    if (first->has_certificate && first->op != EW_OP_REVOKE) {
        end_certificate(job, first->setting, first->certificate.order_id);
        return;
    }
    if (first->failure.cls == EW_FAIL_STOPPED) {
        removed_before_order(job);
        return;
    }
    job->has_target = false;
    reject(job, "nothing-to-revoke", "the target was answered without a certificate",
           "Nothing needs to be done.");
}

/* --- a target that is not answered yet --- */

static void
on_stop(void *arg, enum ew_fault fault, enum ew_stop_result result)
{
    struct ew_job *job = ew_job_back(arg);

    if (job == NULL)
        return;
    if (fault != EW_OK || result == EW_STOP_NO_CANARY) {
        ew_job_after(job, ABSENT_POLL_MS, ew_target_resolve);
        return;
    }
    switch (result) {
    case EW_STOP_SET:
        removed_before_order(job);
        return;
    case EW_STOP_BESIDE:
        ew_room_end(job); /* ends it where it waits, if it waits */
        ew_wait_begin(job, EW_WAIT_TARGET, job->target_id, &job->target_source);
        return;
    case EW_STOP_IN_AIR:
        ew_wait_begin(job, EW_WAIT_TARGET, job->target_id, &job->target_source);
        return;
    case EW_STOP_ANSWERED:
    case EW_STOP_NO_CANARY:
        ew_target_resolve(job);
        return;
    }
}

static void
set_stop(struct ew_job *job, bool absent_only)
{
    ew_store_stop(job->flow->store, job->target_id, &job->source, absent_only,
                  job->flow->config->time.horizon_ms, on_stop, ew_job_out(job));
}

static void
on_stop_committed(void *arg, enum ew_committed result, int64_t t0_ms, const struct ew_err *err)
{
    struct ew_job *job = ew_job_back(arg);

    (void)t0_ms, (void)err;
    if (job == NULL)
        return;
    if (result == EW_COMMIT_LOST) {
        ew_job_drop(job);
        return;
    }
    job->absent_stop = result == EW_COMMITTED;
    if (job->absent_stop)
        set_stop(job, true);
    else
        ew_job_retry(job, ew_target_resolve);
}

/* STOP is a record first and a flag in Redis second: a wipe in between must not lose it. */
static void
commit_stop(struct ew_job *job)
{
    struct ew_inflight_record record = {.kind = EW_INFLIGHT_STOP,
                                        .request_id = job->target_id,
                                        .op = EW_OP_REVOKE,
                                        .source = job->source,
                                        .by = job->source,
                                        .order_id = "",
                                        .reason = "",
                                        .first_source = "",
                                        .since_ms = job->received_ms,
                                        .lane = job->lane_of};
    struct ew_commit commit = {.part = job->run->part,
                               .offset = job->source.offset,
                               .mark = EW_MARK_NONE,
                               .done = on_stop_committed};
    struct ew_buf key, value;
    struct ew_err err;

    if (job->state != EW_ST_STOP)
        ew_job_move(job, EW_ST_STOP, "the target never appeared");
    ew_buf_init(&key, 1024);
    ew_buf_init(&value, 65536);
    ew_wire_inflight_key(job->target_id, &job->source, &key);
    if (ew_wire_inflight_encode(&record, &value, &err) != EW_OK) {
        ew_answer_parked(job, "stop-cannot-be-written", NULL);
    } else {
        commit.outs[0] = (struct ew_out){
            .topic = EW_TOPIC_INFLIGHT,
            .partition = ew_kafka_partition_of(job->flow->kafka, EW_TOPIC_INFLIGHT, job->target_id,
                                               strlen(job->target_id)),
            .key = key.data,
            .key_len = key.len,
            .value = value.data,
            .value_len = value.len};
        commit.out_count = 1;
        commit.arg = ew_job_out(job);
        ew_kafka_commit(job->flow->kafka, &commit);
    }
    ew_buf_deinit(&key);
    ew_buf_deinit(&value);
}

static void
absent_target(struct ew_job *job)
{
    int64_t now = ew_loop_now(job->flow->loop);

    if (job->wait_since == 0) {
        job->wait_since = now;
        ew_answer_progress(job, EW_RES_WAITING);
    }
    if (now - job->wait_since < job->flow->config->time.revocation_wait_ms) {
        if (job->state != EW_ST_WAIT_OTHER)
            ew_job_move(job, EW_ST_WAIT_OTHER, "the target was never seen");
        ew_job_after(job, ABSENT_POLL_MS, ew_target_resolve);
        return;
    }
    if (job->absent_stop)
        set_stop(job, true);
    else
        commit_stop(job);
}

void
ew_revoke_ready(struct ew_job *job)
{
    /* Its answer may be committing right now, and says more than the order id; but one that is held
     * may be what people end. */
    if (job->req.target.kind == EW_TARGET_ORDER && job->target_state == EW_REC_OUTCOME &&
        job->tries < OUTCOME_LOOKS) {
        ew_job_retry(job, ew_target_resolve);
        return;
    }
    if (job->req.target.kind == EW_TARGET_ORDER && job->target_state != EW_REC_DONE) {
        job->amend = job->amend || job->target_state != EW_REC_ABSENT; /* it may yet be answered */
        end_named_order(job);
        return;
    }
    switch (job->target_state) {
    case EW_REC_DONE:
        answered_target(job);
        return;
    case EW_REC_ABSENT:
        absent_target(job);
        return;
    case EW_REC_CLAIMED:
    case EW_REC_WAITING:
        set_stop(job, false);
        return;
    case EW_REC_CALLING:
    case EW_REC_UNKNOWN:
    case EW_REC_OUTCOME:
        ew_answer_progress(job, EW_RES_WAITING);
        ew_wait_begin(job, EW_WAIT_TARGET, job->target_id, &job->target_source);
        return;
    case EW_REC_PARKED:
        reject(job, "target-parked", "the target waits for a person's decision",
               "Decide the parked record first, then revoke again.");
        return;
    }
}
