/*
 * Keys that are there, wrapped, and shut here: their key-encryption key was taken out of kek_file,
 * or another stands there under its name. Nothing is lost by that, so that nothing is ended and
 * nothing ordered for it: the request waits for a worker that has the key. The file is read at the
 * start, so that a worker neither looks nor says it again.
 */
#include <stdlib.h>

#include "base/log.h"
#include "domain/limits.h"
#include "job.h"

static bool
is_news(struct ew_flow *flow, const struct ew_err *err)
{
    if (ew_table_get(flow->keks_told, err->detail) != NULL ||
        ew_table_count(flow->keks_told) == EW_MAX_KEKS)
        return false;
    ew_table_put(flow->keks_told, err->detail, flow);
    return true;
}

static void
tell_operator(struct ew_job *job, const struct ew_err *err)
{
    struct ew_account_event event = {.type = "kek-missing",
                                     .problem = err->problem,
                                     .cause = err->detail,
                                     .advice = err->advice == NULL ? "" : err->advice,
                                     .request_id = job->req.request_id,
                                     .order_id = job->order_id};

    EW_LOG(EW_LOG_ERROR, "flow", "requests wait for a key-encryption key", EW_FAULT_FIELDS(err),
           EW_STR("advice", event.advice), EW_STR("request_id", job->req.request_id));
    ew_desk_event(job->setting->desk, &event);
}

void
ew_kek_tell(struct ew_job *job, const struct ew_err *err)
{
    const struct ew_failure failure = {
        .cls = EW_FAIL_INTERNAL,
        .problem = err->problem,
        .field = "",
        .cause = "the key of this request cannot be opened: a key-encryption key is missing",
        .advice = "The operator puts it back, see epki.account.events; the request goes on by "
                  "itself.",
        .vendor_field = ""};

    if (is_news(job->flow, err))
        tell_operator(job, err);
    ew_answer_held(job, &failure);
}

void
ew_kek_hold(struct ew_job *job)
{
    ew_job_hold(job, "its key cannot be opened here", ew_kek_hold);
}

/* In the waiting room it drops the key, which no order has; with another it goes on. */
bool
ew_kek_opens(struct ew_job *job)
{
    if (job->req.key != EW_KEY_WORKER || job->opens || ew_key_open(job))
        return true;
    ew_job_hold(job, "its key cannot be opened here", ew_claim_begin);
    return false;
}
