/*
 * An order whose certificate, or key, is not what was asked for: it is told, ended, and its request
 * rejected. Redis says first that it is no other request's: a reply that told the wrong order,
 * which nobody noticed while Redis was away, must not cost somebody a good one. Then it is told:
 * such an order may carry any key. Who takes the request over before the answer would find no order
 * of the request, or one that people seem to have ended, or whose key seems to be lost. So Redis
 * keeps which one it was and how the request is rejected before that is told; epki.inflight does in
 * the transaction that tells it; and Redis is asked once more before the end, for it may have been
 * rebuilt by one who had read Kafka before.
 */
#include <stdio.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "job.h"

static const char SEE_ITS_END[] =
    "Ask GlobalSign what went wrong with it, and see that it has ended.";

/* --- what is kept: order id, problem, field, advice, cause; the last may hold anything --- */

enum { ORDER_ID, PROBLEM, FIELD, ADVICE, CAUSE, FIELDS };
enum { CAUSE_MAX = 200 }; /* bytes of the cause, in the word of the end */
enum { UNTOLD = '!' };    /* before all that: nobody may have been told yet */

static const char *
misfit_text(struct ew_job *job)
{
    const struct ew_failure *failure = &job->failure;
    const char *text;
    struct ew_buf out;

    ew_buf_init(&out, EW_MAX_FLOW_MEMORY);
    ew_buf_printf(&out, "%c%s\n%s\n%s\n%s\n%s", UNTOLD, job->order_id, failure->problem,
                  failure->field, failure->advice, failure->cause);
    text = ew_arena_strndup(job->arena, (const char *)out.data, out.len);
    ew_buf_deinit(&out);
    return text;
}

static bool
is_untold(const struct ew_job *job)
{
    return job->misfit != NULL && job->misfit[0] == UNTOLD;
}

/* In place; false = nobody of us wrote that. */
static bool
split(char *text, char *fields[FIELDS])
{
    for (int i = 0; i < FIELDS; i++) {
        char *end = strchr(text, '\n');

        fields[i] = text;
        if (i == CAUSE)
            break;
        if (end == NULL)
            return false;
        *end = '\0';
        text = end + 1;
    }
    return fields[ORDER_ID][0] != '\0' && strlen(fields[ORDER_ID]) <= EW_MAX_ORDER_ID;
}

void
ew_misfit_note(struct ew_job *job, const struct ew_record_view *view)
{
    if (view->misfit.len == 0 || job->misfit != NULL || !ew_job_is_source(job, &view->source))
        return;
    job->misfit = ew_arena_strndup(job->arena, (const char *)view->misfit.data, view->misfit.len);
    if (job->attempt == 0)
        job->attempt = view->attempt;
}

/* --- ending it --- */

/* Another event's answer is this one's: without Redis there is nothing to say, nor to look for. If
 * that event is gone, this one is rejected. */
static void
repeat(struct ew_job *job)
{
    ew_claim_orders_nothing(job);
    ew_claim_begin(job);
}

static void
end_it(struct ew_job *job)
{
    bool superseded = job->superseded;

    job->superseded = false;
    ew_undo_begin(job, job->failure.problem, superseded ? repeat : ew_answer_rejected);
}

static void tell(struct ew_job *job);

/* Whose the request is by now only a claim can say. */
static void
claim_anew(struct ew_job *job)
{
    job->failure = job->failure_before;
    if (is_untold(job))
        job->misfit = NULL;
    ew_claim_begin(job);
}

static void ask_anew(struct ew_job *job);

static void
on_owner_anew(struct ew_job *job, enum ew_owner owner, const char *other,
              const struct ew_record_view *view)
{
    (void)other, (void)view;
    if (owner == EW_OWNER_EVENT) { /* Redis lost this one's record since, and has another's */
        job->superseded = true;
        job->misfit = NULL; /* the request has its own order: this one is ended here, or nowhere */
        tell(job);
    } else if (owner == EW_OWNER_UNSAID) {
        ew_job_retry(job, ask_anew);
    } else {
        claim_anew(job);
    }
}

static void
ask_anew(struct ew_job *job)
{
    ew_owner_ask(job, job->order_id, on_owner_anew);
}

static bool
has_kept(struct ew_job *job, enum ew_fault fault, enum ew_transition result,
         void (*again)(struct ew_job *job))
{
    if (fault == EW_OK && result == EW_TR_OK)
        return true;
    if (fault != EW_OK || result == EW_TR_NO_CANARY)
        ew_job_retry(job, again);
    else
        ask_anew(job);
    return false;
}

static void
keep(struct ew_job *job, ew_store_moved *done)
{
    struct ew_holder holder = ew_job_holder(job);
    struct ew_blob misfit = {.data = (const uint8_t *)job->misfit, .len = strlen(job->misfit)};

    ew_store_misfit(job->flow->store, &holder, &misfit, done, ew_job_out(job));
}

static void keep_told(struct ew_job *job);

static void
on_kept_told(void *arg, enum ew_fault fault, enum ew_transition result)
{
    struct ew_job *job = ew_job_back(arg);

    if (job != NULL && has_kept(job, fault, result, keep_told))
        end_it(job);
}

static void
keep_told(struct ew_job *job)
{
    (void)EW_FAILPOINT(MISFIT_TOLD, job->req.request_id);
    job->ordering = true;
    keep(job, on_kept_told);
}

static void keep_untold(struct ew_job *job);

/* Since Redis was asked it may have been lost. */
static void
tell_again(struct ew_job *job)
{
    job->misfit--;
    keep_untold(job);
}

static void
tell(struct ew_job *job)
{
    /* Of another event's request nothing is kept: that has its own order. */
    bool kept = !job->superseded && is_untold(job);
    char cause[512];
    struct ew_account_event event = {
        .problem = "order-mismatch", .cause = cause, .advice = SEE_ITS_END};

    (void)snprintf(cause, sizeof(cause),
                   "an order of setting %s does not bring what was asked for (%s: %.*s); it is "
                   "ended and the request rejected",
                   job->setting->setting->name, job->failure.problem,
                   (int)ew_text_fit(job->failure.cause, CAUSE_MAX), job->failure.cause);
    ew_job_note_key(job);
    if (!kept) {
        ew_job_tell_ending(job, &event, false, (struct ew_telling){.again = tell, .next = end_it});
        return;
    }
    job->misfit++;
    ew_job_tell_ending(job, &event, true,
                       (struct ew_telling){.again = tell_again, .next = keep_told});
}

static void
on_kept_untold(void *arg, enum ew_fault fault, enum ew_transition result)
{
    struct ew_job *job = ew_job_back(arg);

    if (job == NULL || !has_kept(job, fault, result, keep_untold))
        return;
    (void)EW_FAILPOINT(MISFIT_KEPT, job->req.request_id);
    tell(job);
}

static void
keep_untold(struct ew_job *job)
{
    keep(job, on_kept_untold);
}

/* Found while Redis was not heard, it is of an attempt that only a claim can tell. */
static void
is_own(struct ew_job *job)
{
    if (job->attempt == 0) {
        claim_anew(job);
        return;
    }
    job->misfit = misfit_text(job);
    if (job->misfit == NULL)
        tell(job);
    else
        keep_untold(job);
}

/* --- whose it is --- */

static void ask(struct ew_job *job);

static void
on_owner(struct ew_job *job, enum ew_owner owner, const char *other,
         const struct ew_record_view *view)
{
    (void)other, (void)view;
    switch (owner) {
    case EW_OWNER_SELF:
        is_own(job);
        return;
    case EW_OWNER_DONE: /* it did fit when it was answered: not ours to end */
        ew_claim_begin(job);
        return;
    case EW_OWNER_EVENT: /* whose answer is this one's, too: after the end the claim brings it */
        job->superseded = true;
        tell(job);
        return;
    case EW_OWNER_REQUEST: /* it says nothing about ours, which may yet have to be placed */
        job->failure = job->failure_before;
        ew_outcome_anothers(job);
        return;
    case EW_OWNER_UNSAID: /* what was wiped has another's orders again only when it is rebuilt */
        ew_job_retry(job, ask);
        return;
    }
}

static void
ask(struct ew_job *job)
{
    ew_owner_ask(job, job->order_id, on_owner);
}

void
ew_misfit_begin(struct ew_job *job, const struct ew_err *err)
{
    job->failure_before = job->failure;
    ew_job_fail(job, EW_FAIL_MISMATCH, err);
    if (job->state != EW_ST_VERIFY)
        ew_job_move(job, EW_ST_VERIFY, "");
    ask(job);
}

bool
ew_misfit_is_kept(const struct ew_job *job)
{
    size_t len = strlen(job->order_id);

    return job->misfit != NULL && len > 0 && strncmp(job->misfit, job->order_id, len) == 0 &&
           job->misfit[len] == '\n';
}

bool
ew_misfit_known(struct ew_job *job, const struct ew_record_view *view)
{
    char *fields[FIELDS], *text;

    if (view != NULL)
        ew_misfit_note(job, view);
    if (job->misfit == NULL || job->ended_by_people || job->setting == NULL)
        return false;
    text = ew_arena_strdup(job->arena, job->misfit + is_untold(job));
    if (text == NULL || !split(text, fields))
        return false;
    EW_LOG(EW_LOG_INFO, "flow", "its order was found not to fit before",
           EW_STR("request_id", job->req.request_id), EW_STR("order_id", fields[ORDER_ID]),
           EW_STR("problem", fields[PROBLEM]));
    job->failure_before = job->failure;
    job->order_id = fields[ORDER_ID];
    ew_job_fail_with(job, EW_FAIL_MISMATCH, fields[PROBLEM], fields[FIELD], fields[CAUSE],
                     fields[ADVICE]);
    ew_job_move(job, EW_ST_VERIFY, "");
    if (is_untold(job))
        keep_untold(job);
    else
        end_it(job);
    return true;
}
