/*
 * Renewal: a new order under the setting's own policy, linked to what it replaces. Facts that the
 * event does not carry come from the names of the certificate it replaces.
 */
#include <string.h>

#include "job.h"

static bool
carries_facts(const struct ew_subject *s)
{
    return s->user_id[0] || s->first_name[0] || s->last_name[0] || s->display_name[0] ||
           s->email[0] || s->upn[0] || s->device_id[0] || s->device_serial[0] ||
           s->attribute_count > 0;
}

/* An order that is in the air is looked for by the target's names, whatever is wrong with them; it
 * is the next one that they are judged for. */
static bool
take_names(struct ew_job *job)
{
    const struct ew_setting *setting = job->setting->setting;
    enum ew_fault fault = EW_OK;
    struct ew_err err;

    if (carries_facts(&job->req.subject) || !job->has_target || job->target.names.cn == NULL) {
        fault = ew_rules_names(setting, &job->req.subject, job->arena, &job->names, &err);
    } else {
        job->names = job->target.names;
        if (!job->air)
            fault = ew_rules_judge_names(setting, &job->names, &err);
    }
    if (fault != EW_OK)
        ew_job_fail(job, EW_FAIL_INVALID, &err);
    return fault == EW_OK;
}

/* A revocation's answer names a certificate that was not issued for it. */
static bool
was_issued(const struct ew_job *job)
{
    const struct ew_event *first = &job->target.first;

    return job->has_target && first->has_certificate && first->op != EW_OP_REVOKE;
}

void
ew_renew_ready(struct ew_job *job)
{
    void (*next)(struct ew_job *) = job->after_target;

    if (job->target_state != EW_REC_DONE && job->target_state != EW_REC_ABSENT &&
        job->target_state != EW_REC_PARKED && !job->air) {
        ew_wait_begin(job, EW_WAIT_TARGET, job->target_id, &job->target_source);
        return;
    }
    if (job->req.target.kind == EW_TARGET_REQUEST && !job->air && !was_issued(job)) {
        ew_job_fail_with(job, EW_FAIL_INVALID, "target-has-no-certificate", "target.request_id",
                         "the request to be renewed was never issued a certificate here",
                         "Send an enrolment instead.");
        ew_answer_rejected(job);
        return;
    }
    if (job->req.target.kind == EW_TARGET_ORDER && job->has_target &&
        !ew_target_brought(job, job->req.target.order_id)) {
        job->has_target = false; /* that record tells of another order */
        job->target = (struct ew_state_record){.request_id = NULL};
        job->target_id = "";
    }
    if (!take_names(job)) {
        if (job->air)
            ew_reconcile_unfindable(job, "names-unknown");
        else
            ew_answer_rejected(job);
        return;
    }
    job->has_target = true;
    job->after_target = NULL;
    if (job->target.first.certificate.order_id == NULL) {
        job->target.first.certificate.order_id =
            job->req.target.order_id == NULL ? "" : job->req.target.order_id;
        job->target.first.certificate.serial = "";
    }
    if (next != NULL)
        next(job);
    else
        ew_order_queue(job);
}
