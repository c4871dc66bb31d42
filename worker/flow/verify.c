/*
 * Before delivery: does the certificate fit the request and the setting? Wrong key or name: the
 * order is told, cancelled and the request rejected. Wrong chain, usage or validity: held, and the
 * setting pauses, for a rotated issuing CA must not burn a licence pack.
 */
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "job.h"

static struct ew_expect
expectation(const struct ew_job *job)
{
    const struct ew_setting *setting = job->setting->setting;
    struct ew_expect expect = {.cn = job->names.cn,
                               .email = setting->smime ? job->names.email : "",
                               .upn = job->names.upn,
                               .ou_count = job->names.ou_count,
                               .years = setting->years,
                               .now_ms = job->ca_date_ms};

    memcpy(expect.spki_sha256, job->spki, sizeof(expect.spki_sha256));
    memcpy(expect.ous, job->names.ous, sizeof(expect.ous));
    /* The product for mail alone carries no client authentication. */
    if (strcmp(setting->product, "ePkiSmimeOnly") != 0)
        expect.need_eku |= EW_EKU_CLIENT_AUTH;
    if (setting->smime)
        expect.need_eku |= EW_EKU_EMAIL_PROTECTION;
    if (setting->efs)
        expect.need_eku |= EW_EKU_EFS;
    return expect;
}

static void seal(struct ew_job *job);

static void
sealed(struct ew_job *job, enum ew_fault fault)
{
    switch (fault) {
    case EW_OK:
        ew_answer_issued(job);
        return;
    case EW_RETRY:
        ew_job_retry(job, seal);
        return;
    case EW_HALT: /* the key that wraps it is not configured here: no reason to burn a licence */
        ew_kek_hold(job);
        return;
    default:
        break;
    }
    ew_job_fail_with(job, EW_FAIL_INTERNAL, "sealing-failed", ew_rules_recipient_field(&job->req),
                     "the key could not be sealed to the recipient's certificate",
                     "Send the recipient's certificate again under a new request id.");
    ew_undo_begin(job, "its key cannot be delivered", ew_answer_rejected);
}

static void
seal(struct ew_job *job)
{
    if (job->state != EW_ST_VERIFY)
        ew_job_move(job, EW_ST_VERIFY, "");
    ew_key_seal(job, sealed);
}

/* False: err says why it does not parse. */
static bool
read_certificate(struct ew_job *job, struct ew_err *err)
{
    ew_cert_free(job->cert);
    job->cert = NULL;
    return ew_cert_read(job->cert_text, strlen(job->cert_text), &job->cert, err) == EW_OK;
}

static enum ew_verdict
judge(struct ew_job *job, struct ew_err *err)
{
    struct ew_expect expect;

    if (job->ca_date_ms == 0)
        job->ca_date_ms = ew_desk_now(job->setting->desk);
    expect = expectation(job);
    return ew_cert_verify(job->cert, job->setting->trust, &expect, err);
}

static bool
misfits(struct ew_job *job, struct ew_err *err)
{
    enum ew_verdict verdict;

    if (job->cert_text == NULL || !job->has_spki || !read_certificate(job, err))
        return false;
    verdict = judge(job, err);
    return verdict == EW_CERT_WRONG_KEY || verdict == EW_CERT_WRONG_NAME;
}

/* By one of us who got no further, because its key is lost: then another follows. Or because it
 * does not fit, which its certificate still says. Else by people. */
void
ew_verify_ended(struct ew_job *job)
{
    struct ew_err err;

    if (ew_misfit_known(job, NULL))
        return;
    if (ew_rules_seals(&job->req) && job->wrapped.len == 0 &&
        ew_text_has(job->lost_orders, job->order_id)) {
        ew_lost_key_begin(job);
        return;
    }
    if (misfits(job, &err))
        ew_job_fail(job, EW_FAIL_MISMATCH, &err);
    else
        ew_job_fail_with(job, EW_FAIL_REFUSED, "order-cancelled", "",
                         "the order of this request was cancelled or revoked at GlobalSign",
                         "Find out who did; send a new request if it is still wanted.");
    ew_answer_rejected(job);
}

static void
fits(struct ew_job *job)
{
    if (!ew_rules_seals(&job->req))
        ew_answer_issued(job);
    else if (job->wrapped.len == 0)
        ew_lost_key_begin(job);
    else
        seal(job);
}

static void
hold_setting(struct ew_job *job, const struct ew_err *err)
{
    const struct ew_failure failure = {.cls = EW_FAIL_MISMATCH,
                                       .problem = err->problem,
                                       .field = err->field,
                                       .cause = err->detail,
                                       .advice = err->advice == NULL ? "" : err->advice,
                                       .vendor_field = ""};

    ew_setting_pause(job, err);
    ew_answer_held(job, &failure);
    if (job->state != EW_ST_HELD)
        ew_job_move(job, EW_ST_HELD, "the certificate does not fit the setting");
    /* Read again from time to time: people may end the order. */
    ew_job_after(job, job->flow->config->time.poll_max_ms, ew_order_look);
}

void
ew_verify_begin(struct ew_job *job)
{
    struct ew_err err = {.problem = "certificate"};

    if (job->ca_date_ms == 0 && !ew_desk_timed(job->setting->desk)) { /* from the mailbox */
        if (job->state == EW_ST_CLAIM) /* that may take as long as the account is paused */
            ew_job_move(job, EW_ST_HELD, "GlobalSign's time is not known yet");
        ew_job_retry(job, ew_verify_begin);
        return;
    }
    ew_job_move(job, EW_ST_VERIFY, "");
    if (job->ended_by_people) {
        ew_undo_begin(job, "people ended its request", ew_answer_rejected);
        return;
    }
    if (!read_certificate(job, &err)) {
        EW_LOG(EW_LOG_ERROR, "flow", "GlobalSign's certificate does not parse",
               EW_STR("request_id", job->req.request_id), EW_STR("order_id", job->order_id),
               EW_FAULT_FIELDS(&err));
        hold_setting(job, &err);
        return;
    }
    if (!job->has_spki) { /* nothing is left of it */
        ew_lost_key_begin(job);
        return;
    }
    switch (judge(job, &err)) {
    case EW_CERT_OK:
        fits(job);
        return;
    case EW_CERT_WRONG_KEY:
    case EW_CERT_WRONG_NAME:
        ew_misfit_begin(job, &err);
        return;
    case EW_CERT_WRONG_CHAIN:
    case EW_CERT_WRONG_USAGE:
    case EW_CERT_WRONG_VALIDITY:
        hold_setting(job, &err);
        return;
    }
}
