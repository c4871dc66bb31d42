/*
 * What stands in the way of a setting's orders: licences that are out, a profile in vetting,
 * certificates that do not fit. One order at a time tests whether the way is free again; the others
 * are held and cost nothing.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "job.h"

enum { TEST_FIRST_MS = 1000 };

static void
hold(struct ew_job *job, enum ew_failure_class cls, const char *problem, const char *cause,
     const char *advice)
{
    const struct ew_failure failure = {.cls = cls,
                                       .problem = problem,
                                       .field = "",
                                       .cause = cause,
                                       .advice = advice,
                                       .vendor_field = ""};

    ew_answer_held(job, &failure);
    ew_job_hold(job, cause, ew_claim_begin);
}

bool
ew_setting_open(struct ew_job *job)
{
    struct ew_setting_run *setting = job->setting;

    if (setting->paused) {
        hold(job, EW_FAIL_ACCOUNT, "setting-paused",
             "certificates of this setting came back that do not fit it",
             "Compare the setting with the profile, correct it and restart; the request goes on by "
             "itself.");
        return false;
    }
    if (setting->test_at == 0)
        return true;
    if (setting->test == job ||
        (setting->test == NULL && ew_loop_now(job->flow->loop) >= setting->test_at)) {
        setting->test = job;
        return true;
    }
    hold(job, EW_FAIL_ACCOUNT, "ca-licence",
         "GlobalSign has no licence or the profile is not ready",
         "Buy licences or have the profile vetted; the request goes on by itself.");
    return false;
}

void
ew_setting_learn(struct ew_job *job, enum ew_ca_class cls)
{
    struct ew_setting_run *setting = job->setting;
    struct ew_backoff backoff = {.first_ms = TEST_FIRST_MS,
                                 .max_ms = job->flow->config->time.poll_max_ms};

    if (setting->test != NULL && setting->test != job)
        return; /* an order from before the test says nothing new */
    setting->test = NULL;
    if (cls == EW_CA_LICENCE) {
        setting->test_at = ew_loop_now(job->flow->loop) +
                           ew_backoff_ms(&backoff, ++setting->tests, ew_random_u32());
    } else if (cls == EW_CA_OK || cls == EW_CA_PENDING) {
        setting->test_at = 0;
        setting->tests = 0;
    }
}

void
ew_setting_leave(struct ew_job *job)
{
    if (job->setting != NULL && job->setting->test == job)
        job->setting->test = NULL;
}

void
ew_setting_pause(struct ew_job *job, const struct ew_err *err)
{
    struct ew_setting_run *setting = job->setting;
    struct ew_account_event event = {.type = "setting-paused",
                                     .problem = err->problem,
                                     .advice = err->advice == NULL ? "" : err->advice,
                                     .request_id = job->req.request_id,
                                     .order_id = job->order_id};
    char cause[256];

    EW_LOG(EW_LOG_ERROR, "flow", "a certificate does not fit its setting",
           EW_STR("setting", setting->setting->name), EW_STR("request_id", job->req.request_id),
           EW_STR("order_id", job->order_id), EW_FAULT_FIELDS(err));
    if (setting->paused)
        return;
    setting->paused = true;
    (void)snprintf(cause, sizeof(cause), "setting %s: %s", setting->setting->name, err->detail);
    event.cause = cause;
    ew_desk_event(setting->desk, &event);
}
