/*
 * Ending an order at GlobalSign: read it, cancel or revoke it, and read again until it is ended.
 * For revocations, and for orders that must not live. Repeating is harmless: an order that has
 * ended is success, whoever ended it.
 */
#include <string.h>

#include "base/log.h"
#include "job.h"

/* Five times, or thirty: half a minute of back-off at least, or half an hour with the longest. */
enum { UNKNOWN_CODE = 6, FAILED_INSIDE = 1, UNCLEAR_MAX = 30 };

/* --- what comes next --- */

bool
ew_order_ended(int status)
{
    return status == EW_CA_ST_CANCELLED || status == EW_CA_ST_CANCELLED_ISSUED ||
           status == EW_CA_ST_REVOKED || status == EW_CA_ST_REVOKING;
}

static enum ew_end_next
over(struct ew_end *end, enum ew_ended result)
{
    end->result = result;
    return EW_END_OVER;
}

static enum ew_end_next
choose(struct ew_end *end, int status)
{
    bool issued = status == EW_CA_ST_ISSUED;

    end->status = status;
    end->unseen_since = 0;
    if (ew_order_ended(status))
        return over(end, EW_ENDED);
    if (issued && !end->revoke_refused && (end->prefer_revoke || end->cancel_refused))
        end->step = EW_END_REVOKE;
    else if (!end->cancel_refused)
        end->step = EW_END_CANCEL;
    else
        return over(end, EW_END_REFUSED);
    return end->acted ? EW_END_LATER : EW_END_AT_ONCE; /* accepted, but not seen yet */
}

/* A query that lags behind hides an order that is there: only when it had time to show, and cannot
 * be ended unseen either, is it unknown. */
static enum ew_end_next
unseen(struct ew_end *end, int64_t now, int64_t visibility_ms)
{
    if (end->unseen_since == 0)
        end->unseen_since = now;
    if (now - end->unseen_since <= visibility_ms)
        return EW_END_LATER;
    if (end->accepted) {
        end->status = end->prefer_revoke ? EW_CA_ST_REVOKED : EW_CA_ST_CANCELLED;
        return over(end, EW_ENDED);
    }
    if (end->blind)
        return over(end, EW_END_NOT_FOUND);
    end->blind = true;
    end->step = end->prefer_revoke ? EW_END_REVOKE : EW_END_CANCEL;
    return EW_END_AT_ONCE;
}

/* Which code says that an order is too old to be cancelled is not documented: one that nobody
 * knows, seen again and again with the order as it was, is a refusal. So is in the end one of
 * something that failed inside, which is more likely to pass. */
static bool
is_refusal(struct ew_end *end, const struct ew_ca_reply *reply)
{
    bool failed_inside = ew_ca_code_class(reply->code, true) == EW_CA_UNKNOWN;

    if (reply->cls == EW_CA_REJECTED || reply->cls == EW_CA_NOT_FOUND)
        return true;
    if (reply->cls != EW_CA_TRY_LATER || reply->code == 0)
        return false;
    end->unclear += failed_inside ? FAILED_INSIDE : UNKNOWN_CODE;
    return end->unclear >= UNCLEAR_MAX;
}

static enum ew_end_next
on_acted(struct ew_end *end, const struct ew_ca_reply *reply)
{
    if (is_refusal(end, reply)) {
        end->unclear = 0;
        if (end->step == EW_END_CANCEL)
            end->cancel_refused = true;
        else
            end->revoke_refused = true;
        end->vendor_code = reply->code;
    } else {
        end->acted = true;
        end->accepted = end->accepted || reply->cls == EW_CA_OK || reply->cls == EW_CA_ALREADY;
    }
    end->step = EW_END_READ;
    return reply->cls == EW_CA_OK || reply->cls == EW_CA_ALREADY || reply->cls == EW_CA_REJECTED
               ? EW_END_AT_ONCE
               : EW_END_LATER;
}

enum ew_end_next
ew_end_learn(struct ew_end *end, const struct ew_ca_reply *reply, int64_t now,
             int64_t visibility_ms)
{
    if (end->step != EW_END_READ)
        return on_acted(end, reply);
    if (reply->cls == EW_CA_OK && reply->order_count > 0)
        return choose(end, reply->orders[0].order_status);
    if (reply->cls == EW_CA_NOT_FOUND || reply->cls == EW_CA_REJECTED)
        return unseen(end, now, visibility_ms);
    return EW_END_LATER;
}

struct ew_ca_call *
ew_end_call(const struct ew_end *end, struct ew_ca *ca, ew_ca_done *done, void *arg)
{
    switch (end->step) {
    case EW_END_READ:
        break;
    case EW_END_CANCEL:
        return ew_ca_cancel(ca, end->order_id, done, arg);
    case EW_END_REVOKE:
        return ew_ca_revoke(ca, end->order_id, done, arg);
    }
    return ew_ca_get_order(ca, end->order_id, done, arg);
}

/* --- by a job --- */

static void next_step(struct ew_job *job);

static void
finish(struct ew_job *job)
{
    enum ew_ended result = job->end.result;

    EW_LOG(result == EW_ENDED ? EW_LOG_INFO : EW_LOG_WARN, "flow", "order ended",
           EW_STR("request_id", job->req.request_id), EW_STR("order_id", job->end.order_id),
           EW_INT("result", result), EW_INT("status", job->end.status));
    job->end.next(job, result);
}

static void
on_reply(void *arg, const struct ew_ca_reply *reply)
{
    struct ew_job *job = arg;
    struct ew_flow *flow = job->flow;

    if (!ew_job_replied(job, reply))
        return;
    switch (
        ew_end_learn(&job->end, reply, ew_loop_now(flow->loop), flow->config->time.visibility_ms)) {
    case EW_END_AT_ONCE:
        next_step(job);
        return;
    case EW_END_LATER:
        ew_job_retry(job, next_step);
        return;
    case EW_END_OVER:
        finish(job);
        return;
    }
}

static void
on_go(struct ew_turn *turn)
{
    struct ew_job *job = EW_CONTAINER(turn, struct ew_job, turn);

    job->gate_said_yes = false;
    job->call = ew_end_call(&job->end, job->setting->desk->ca, on_reply, job);
}

static void
next_step(struct ew_job *job)
{
    ew_job_ask(job, on_go, EW_RATE_REVOCATION);
}

void
ew_end_order(struct ew_job *job, const char *order_id, bool prefer_revoke,
             void (*next)(struct ew_job *job, enum ew_ended result))
{
    job->end = (struct ew_end){.step = EW_END_READ,
                               .order_id = ew_job_text(job, order_id),
                               .prefer_revoke = prefer_revoke,
                               .next = next};
    job->tries = 0;
    next_step(job);
}

/* --- an order of ours that must not live --- */

static void
undone(struct ew_job *job, enum ew_ended result)
{
    if (result == EW_END_REFUSED && job->ended_by_people) {
        ew_job_fail_with(job, EW_FAIL_MISMATCH, "order-cannot-be-cancelled", "",
                         "people ended this request, but GlobalSign does not end its order",
                         "Ask GlobalSign to end the order that certificate.order_id names.");
        job->failure.vendor_code = job->end.vendor_code;
    }
    if (result == EW_ENDED || job->ended_by_people)
        job->after_undo(job);
    else
        ew_answer_parked(job, "order-cannot-be-cancelled", NULL);
}

void
ew_undo_begin(struct ew_job *job, const char *why, void (*next)(struct ew_job *job))
{
    ew_job_move(job, EW_ST_UNDO, why);
    job->after_undo = next;
    ew_end_order(job, job->order_id, false, undone);
}

/* --- its end is told --- */

/* Told in vain it waits: an end that nobody hears of would look like a loss. */
static void
on_told(void *arg, enum ew_committed result, int64_t t0_ms, const struct ew_err *err)
{
    struct ew_job *job = ew_job_back(arg);

    (void)t0_ms;
    if (job == NULL)
        return;
    switch (result) {
    case EW_COMMITTED:
        job->told.next(job);
        return;
    case EW_COMMIT_LOST:
        ew_job_drop(job);
        return;
    case EW_COMMIT_STALE:
    case EW_COMMIT_REFUSED:
        EW_LOG(EW_LOG_ERROR, "flow", "Kafka refuses to be told of an order",
               EW_STR("request_id", job->req.request_id), EW_STR("order_id", job->order_id),
               EW_FAULT_FIELDS(err));
        ew_job_retry(job, job->told.again);
        return;
    }
}

void
ew_job_commit_first(struct ew_job *job, struct ew_commit *commit, struct ew_telling telling)
{
    job->told = telling;
    commit->done = on_told;
    commit->arg = ew_job_out(job);
    ew_kafka_commit(job->flow->kafka, commit);
}

void
ew_job_tell_ending(struct ew_job *job, struct ew_account_event *event, bool recorded,
                   struct ew_telling telling)
{
    struct ew_commit commit = {
        .part = job->run->part, .offset = job->source.offset, .mark = EW_MARK_NONE};
    struct ew_buf value, key = {0}, record = {0};

    event->type = "compensated";
    event->request_id = job->req.request_id;
    event->order_id = job->order_id;
    ew_buf_init(&value, EW_ACCOUNT_EVENT_MAX);
    if (ew_desk_event_out(job->setting->desk, event, &value, &commit.outs[0]))
        commit.out_count++;
    if (recorded) {
        commit.mark = EW_MARK_STARTED;
        recorded = ew_order_record(job, job->attempt_date_ms, job->order_id, &key, &record,
                                   &commit.outs[commit.out_count]);
        commit.out_count++;
    }
    if (commit.mark == EW_MARK_STARTED && !recorded)
        ew_job_retry(job, telling.again);
    else if (commit.out_count > 0)
        ew_job_commit_first(job, &commit, telling);
    else
        telling.next(job);
    ew_buf_deinit(&value);
    ew_buf_deinit(&key);
    ew_buf_deinit(&record);
}
