/*
 * Before delivery: does the certificate fit the request and the setting? Wrong key or name: the
 * order is told, cancelled and the request rejected. Wrong chain, usage or validity: held, and the
 * setting pauses, for a rotated issuing CA must not burn a licence pack.
 */
#include <string.h>

#include "base/log.h"
#include "job.h"

enum {
    KEYS_LOST_MAX = 5, /* of one request, before people look */
    KEY_LOOKS = 4,     /* for one that is missing */
};

static const char LOST_WITH_REDIS[] =
    "an order was cancelled because its worker-made key was lost with Redis; another one follows";
static const char SEE_REDIS[] =
    "Compare both orders with GlobalSign's bill; find out why Redis lost what it held.";
static const char LOST_WITH_REPLY[] =
    "an order was cancelled because the reply with the key that GlobalSign made was lost; another "
    "one follows";
static const char SEE_NETWORK[] =
    "Compare both orders with GlobalSign's bill; find out why the reply did not come.";

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

/* A new order follows, with a key of its own. */
static void
order_anew(struct ew_job *job)
{
    job->order_id = "";
    job->cert_text = NULL;
    job->has_spki = false;
    job->verdict = true;
    job->keys_lost++;
    job->missed_until = 0;
    job->discard = true;
    job->key_unusable = false;
    job->wrapped.len = 0;
    memcpy(job->search.canary, job->flow->canary, sizeof(job->search.canary));
    if (job->req.key == EW_KEY_WORKER)
        ew_key_make(job, ew_claim_begin);
    else
        ew_claim_begin(job);
}

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
ew_job_tell_ending(struct ew_job *job, struct ew_account_event *event, struct ew_telling telling)
{
    struct ew_commit commit = {.part = job->run->part,
                               .offset = job->source.offset,
                               .mark = EW_MARK_NONE,
                               .out_count = 1,
                               .done = on_told};
    struct ew_buf value;

    event->type = "compensated";
    event->request_id = job->req.request_id;
    event->order_id = job->order_id;
    job->told = telling;
    ew_buf_init(&value, EW_ACCOUNT_EVENT_MAX);
    if (ew_desk_event_out(job->setting->desk, event, &value, &commit.outs[0])) {
        commit.arg = ew_job_out(job);
        ew_kafka_commit(job->flow->kafka, &commit);
    } else {
        telling.next(job);
    }
    ew_buf_deinit(&value);
}

/* The order was paid for, and nobody can use what it brought. It is told before anything follows:
 * once the new key is claimed, who takes the request over no longer knows of the old one. */
static void
tell_lost(struct ew_job *job)
{
    bool theirs = job->req.key == EW_KEY_GLOBALSIGN;
    struct ew_account_event event = {.problem = "key-lost",
                                     .cause = theirs ? LOST_WITH_REPLY : LOST_WITH_REDIS,
                                     .advice = theirs ? SEE_NETWORK : SEE_REDIS};

    job->lost_order = job->order_id;
    ew_job_tell_ending(job, &event, (struct ew_telling){.again = tell_lost, .next = order_anew});
}

static void
on_losing(void *arg, enum ew_fault fault, enum ew_transition result)
{
    struct ew_job *job = ew_job_back(arg);

    if (job == NULL)
        return;
    /* Not ours by Redis, or not there while it is rebuilt: it may be the order of an event that was
     * answered, and its key gone with that. Whose it is only a claim can say. */
    if (fault == EW_OK && result != EW_TR_OK)
        job->losing = "";
    if (fault != EW_OK)
        ew_job_retry(job, ew_verify_keyless);
    else if (result != EW_TR_OK)
        ew_job_retry(job, ew_claim_begin);
    else
        ew_undo_begin(job, "its key is lost", tell_lost);
}

/* A wiped key comes back with the reply to its order, from the worker that sent it, if that lives:
 * another order would cost a licence. Not where it is being ended already. */
static bool
may_come_back(struct ew_job *job)
{
    int64_t quiet_ms = ew_config_quiet_ms(job->flow->config);
    int64_t now = ew_loop_now(job->flow->loop);

    if (job->req.key != EW_KEY_WORKER || strcmp(job->losing, job->order_id) == 0)
        return false;
    if (job->missed_until == 0)
        job->missed_until = now + quiet_ms;
    if (now >= job->missed_until)
        return false;
    ew_job_after(job, quiet_ms / KEY_LOOKS + 1, ew_claim_begin);
    return true;
}

/* An order whose key nobody has is worth nothing. */
void
ew_verify_keyless(struct ew_job *job)
{
    struct ew_holder holder = ew_job_holder(job);

    if (job->state != EW_ST_VERIFY)
        ew_job_move(job, EW_ST_VERIFY, "");
    if (job->ended_by_people) {
        ew_undo_begin(job, "people ended its request", ew_answer_rejected);
    } else if (job->keys_lost >= KEYS_LOST_MAX) {
        ew_answer_parked(job, "keys-lost-again-and-again", NULL);
    } else if (!may_come_back(job)) {
        job->losing = job->order_id;
        ew_store_losing(job->flow->store, &holder, job->order_id, job->key_unusable, on_losing,
                        ew_job_out(job));
    }
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

    if (ew_rules_seals(&job->req) && job->wrapped.len == 0 && job->claim_heard &&
        strcmp(job->losing, job->order_id) == 0) {
        ew_verify_keyless(job);
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
        ew_verify_keyless(job);
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
        ew_verify_keyless(job);
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
