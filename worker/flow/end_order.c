/*
 * Ending an order at GlobalSign: read it, cancel or revoke it, and read again until it is ended.
 * For revocations, and for orders that must not live. Repeating is harmless: an order that has
 * ended is success, whoever ended it.
 */
#include <string.h>

#include "base/log.h"
#include "job.h"

static void next_step(struct ew_job *job);

static bool
has_ended(int status)
{
    return status == EW_CA_ST_CANCELLED || status == EW_CA_ST_CANCELLED_ISSUED ||
           status == EW_CA_ST_REVOKED || status == EW_CA_ST_REVOKING;
}

static void
finish(struct ew_job *job, enum ew_ended result)
{
    EW_LOG(result == EW_ENDED ? EW_LOG_INFO : EW_LOG_WARN, "flow", "order ended",
           EW_STR("request_id", job->req.request_id), EW_STR("order_id", job->end.order_id),
           EW_INT("result", result), EW_INT("status", job->end.status));
    job->end.next(job, result);
}

static void
choose(struct ew_job *job, int status)
{
    struct ew_end *end = &job->end;
    bool issued = status == EW_CA_ST_ISSUED;

    end->status = status;
    end->unseen_since = 0;
    if (has_ended(status)) {
        finish(job, EW_ENDED);
        return;
    }
    if (issued && !end->revoke_refused && (end->prefer_revoke || end->cancel_refused))
        end->step = EW_END_REVOKE;
    else if (!end->cancel_refused)
        end->step = EW_END_CANCEL;
    else {
        finish(job, EW_END_REFUSED);
        return;
    }
    if (end->acted)
        ew_job_retry(job, next_step); /* accepted, but not seen yet */
    else
        next_step(job);
}

/* A query that lags behind hides an order that is there: only when it had time to show, and cannot
 * be ended unseen either, is it unknown. */
static void
unseen(struct ew_job *job)
{
    struct ew_end *end = &job->end;
    int64_t now = ew_loop_now(job->flow->loop);

    if (end->unseen_since == 0)
        end->unseen_since = now;
    if (now - end->unseen_since <= job->flow->config->time.visibility_ms) {
        ew_job_retry(job, next_step);
    } else if (end->accepted) {
        end->status = end->prefer_revoke ? EW_CA_ST_REVOKED : EW_CA_ST_CANCELLED;
        finish(job, EW_ENDED);
    } else if (!end->blind) {
        end->blind = true;
        end->step = end->prefer_revoke ? EW_END_REVOKE : EW_END_CANCEL;
        next_step(job);
    } else {
        finish(job, EW_END_NOT_FOUND);
    }
}

static void
on_read(struct ew_job *job, const struct ew_ca_reply *reply)
{
    if (reply->cls == EW_CA_OK && reply->order_count > 0)
        choose(job, reply->orders[0].order_status);
    else if (reply->cls == EW_CA_NOT_FOUND || reply->cls == EW_CA_REJECTED)
        unseen(job);
    else
        ew_job_retry(job, next_step);
}

static void
on_acted(struct ew_job *job, const struct ew_ca_reply *reply)
{
    struct ew_end *end = &job->end;

    if (reply->cls == EW_CA_REJECTED || reply->cls == EW_CA_NOT_FOUND) {
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
    if (reply->cls == EW_CA_OK || reply->cls == EW_CA_ALREADY || reply->cls == EW_CA_REJECTED)
        next_step(job);
    else
        ew_job_retry(job, next_step);
}

static void
on_reply(void *arg, const struct ew_ca_reply *reply)
{
    struct ew_job *job = arg;

    job->call = NULL;
    ew_desk_learn(job->setting->desk, reply, false);
    if (job->dropped) {
        ew_job_release(job);
        return;
    }
    ew_turn_end(&job->turn, false);
    if (job->end.step == EW_END_READ)
        on_read(job, reply);
    else
        on_acted(job, reply);
}

static void
on_go(struct ew_turn *turn)
{
    struct ew_job *job = EW_CONTAINER(turn, struct ew_job, turn);
    struct ew_ca *ca = job->setting->desk->ca;

    job->gate_said_yes = false;
    if (job->end.step == EW_END_READ)
        job->call = ew_ca_get_order(ca, job->end.order_id, on_reply, job);
    else if (job->end.step == EW_END_CANCEL)
        job->call = ew_ca_cancel(ca, job->end.order_id, on_reply, job);
    else
        job->call = ew_ca_revoke(ca, job->end.order_id, on_reply, job);
    if (job->call == NULL) {
        ew_turn_end(turn, true);
        ew_job_retry(job, next_step);
    }
}

static void
on_held(struct ew_turn *turn, int code, const char *problem)
{
    ew_job_held(EW_CONTAINER(turn, struct ew_job, turn), problem, code);
}

static void
next_step(struct ew_job *job)
{
    job->turn.go = on_go;
    job->turn.held = on_held;
    ew_desk_ask(job->setting->desk, &job->turn, EW_RATE_REVOCATION);
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
