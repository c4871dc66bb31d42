/*
 * An order that exists without its certificate yet: asked for again and again, with back-off; and
 * waiting for people: held.
 */
#include <string.h>

#include "base/log.h"
#include "job.h"

enum { HOLD_POLL_MS = 5000 };

/* --- held --- */

void
ew_job_held(struct ew_job *job, const char *problem, int code)
{
    const struct ew_failure failure = {
        .cls = EW_FAIL_ACCOUNT,
        .problem = problem == NULL ? "account-paused" : problem,
        .field = "",
        .cause = "the account cannot order now",
        .advice = "See epki.account.events; the request goes on by itself.",
        .vendor_code = code,
        .vendor_field = ""};

    ew_answer_held(job, &failure);
}

static void
on_held(struct ew_turn *turn, int code, const char *problem)
{
    ew_job_held(EW_CONTAINER(turn, struct ew_job, turn), problem, code);
}

void
ew_job_ask(struct ew_job *job, void (*go)(struct ew_turn *turn), enum ew_rate_class cls)
{
    job->turn.go = go;
    job->turn.held = on_held;
    ew_desk_ask(job->setting->desk, &job->turn, cls);
}

void
ew_job_hold(struct ew_job *job, const char *why, void (*again)(struct ew_job *job))
{
    int64_t poll = job->flow->config->time.retry_max_ms;

    if (job->state != EW_ST_HELD)
        ew_job_move(job, EW_ST_HELD, why);
    ew_job_after(job, poll < HOLD_POLL_MS ? poll : HOLD_POLL_MS, again);
}

/* --- pending --- */

static void
ask_again(struct ew_job *job)
{
    struct ew_backoff backoff = {.first_ms = job->flow->config->time.poll_first_ms,
                                 .max_ms = job->flow->config->time.poll_max_ms};

    ew_job_after(job, ew_backoff_ms(&backoff, ++job->tries, ew_random_u32()), ew_order_look);
}

static void
on_order(void *arg, const struct ew_ca_reply *reply)
{
    struct ew_job *job = arg;
    const struct ew_ca_order *order;

    if (!ew_job_replied(job, reply))
        return;
    if (reply->cls != EW_CA_OK || reply->order_count == 0) {
        ask_again(job);
        return;
    }
    order = &reply->orders[0];
    if (order->certificate[0] != '\0') {
        job->cert_text = ew_job_same(job, job->cert_text, order->certificate);
        job->ca_date_ms = reply->date_ms;
    }
    if (order->certificate[0] != '\0' && order->order_status == EW_CA_ST_ISSUED) {
        ew_verify_begin(job);
        return;
    }
    /* Why it was ended may stand where only a whole Redis looks. */
    if (ew_order_ended(order->order_status) && !ew_owner_unheard(job))
        ew_verify_ended(job);
    else
        ask_again(job);
}

static void
on_go(struct ew_turn *turn)
{
    struct ew_job *job = EW_CONTAINER(turn, struct ew_job, turn);

    job->gate_said_yes = false;
    job->call = ew_ca_get_order(job->setting->desk->ca, job->order_id, on_order, job);
}

/* Adopted while Redis was away, or being rebuilt: what it has of the request a claim brings. */
static void
on_listened(void *arg, enum ew_fault fault, enum ew_canary_state canary,
            const struct ew_record_view *view)
{
    struct ew_job *job = ew_job_back(arg);

    (void)view;
    if (job == NULL)
        return;
    if (fault == EW_OK && canary == EW_CANARY_OK) {
        ew_job_move(job, EW_ST_RECONCILE, "redis is whole: what has it of this request?");
        ew_claim_begin(job);
    } else {
        ew_job_ask(job, on_go, EW_RATE_QUERY);
    }
}

void
ew_order_look(struct ew_job *job)
{
    if (job->state == EW_ST_PENDING && ew_owner_unheard(job))
        ew_store_lookup(job->flow->store, job->req.request_id, on_listened, ew_job_out(job));
    else
        ew_job_ask(job, on_go, EW_RATE_QUERY);
}

static void
poll(struct ew_job *job)
{
    bool due = job->original.topic[0] != '\0'; /* it has waited in the room */

    ew_answer_progress(job, EW_RES_PENDING);
    ew_job_after(job, due ? 0 : job->flow->config->time.poll_first_ms, ew_order_look);
}

void
ew_order_pending(struct ew_job *job)
{
    ew_job_move(job, EW_ST_PENDING, "GlobalSign has not issued yet");
    job->cert_text = NULL;
    ew_outcome_keep(job, poll);
}
