/*
 * Keys that GlobalSign makes. They come once, in the reply to the order, in a PKCS#12 under a PIN
 * of ours that is nowhere but in the request and in this memory. It is opened on the pool; from
 * then on the key is kept, verified and sealed as one that the worker made. Until the answer it
 * rests in Redis, wrapped, as part of the outcome: there is no other copy.
 */
#include <stdlib.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/memory.h"
#include "job.h"
#include "x509/key.h"
#include "x509/p12.h"

enum { OPENINGS_MAX = 10 };

/* --- opening what came --- */

/* What a pool thread works on. It is the job's, which lives while its work is out, dropped or not.
 */
struct ew_opening {
    struct ew_job *job;
    const struct ew_keks *keks;
    const char *request_id; /* borrowed */
    char *text;
    char pin[EW_PIN_LENGTH + 1];
    struct ew_buf wrapped, cert;
    uint8_t spki[32];
    enum ew_fault fault;
    struct ew_err err;
};

static enum ew_fault
wrap(struct ew_opening *opening, struct ew_key *key)
{
    enum ew_fault fault = ew_key_spki_sha256(key, opening->spki, &opening->err);

    if (fault == EW_OK)
        fault = ew_key_wrap(key, opening->keks, opening->request_id, strlen(opening->request_id),
                            &opening->wrapped, &opening->err);
    return fault;
}

static void
work(void *arg)
{
    struct ew_opening *opening = arg;
    struct ew_key *key = NULL;
    struct ew_buf der;

    ew_buf_clear(&opening->wrapped);
    ew_buf_clear(&opening->cert);
    ew_buf_init(&der, EW_MAX_PKCS12);
    if (ew_base64_decode(opening->text, strlen(opening->text), &der) != EW_OK || der.overflowed)
        opening->fault =
            ew_fail(&opening->err, EW_REJECT, "pkcs12-malformed", "not the base64 of a PKCS#12");
    else
        opening->fault =
            ew_p12_open(der.data, der.len, opening->pin, &key, &opening->cert, &opening->err);
    if (opening->fault == EW_OK)
        opening->fault = wrap(opening, key);
    ew_key_free(key);
    ew_buf_deinit(&der);
}

static void
reject(struct ew_job *job, struct ew_err *err)
{
    EW_LOG(EW_LOG_ERROR, "flow", "GlobalSign's key cannot be used",
           EW_STR("request_id", job->req.request_id), EW_STR("order_id", job->order_id),
           EW_FAULT_FIELDS(err));
    err->advice = "Ask GlobalSign what its profile answers with; use another key choice.";
    ew_misfit_begin(job, err);
}

static void open_now(struct ew_job *job);

/* It is there, and could not be kept: the order ends only when that does not change. */
static void
open_later(struct ew_job *job, const struct ew_err *err)
{
    EW_LOG(EW_LOG_ERROR, "flow", "GlobalSign's key was not opened",
           EW_STR("request_id", job->req.request_id), EW_STR("order_id", job->order_id),
           EW_INT("tries", job->tries + 1), EW_FAULT_FIELDS(err));
    if (err->fault == EW_RETRY && job->tries + 1 < OPENINGS_MAX) {
        ew_job_retry(job, open_now);
        return;
    }
    ew_their_key_forget(job);
    ew_lost_key_begin(job);
}

static void
go_on(struct ew_job *job)
{
    struct ew_err err = job->opening->err;

    switch (job->opening->fault) {
    case EW_OK:
        ew_their_key_forget(job);
        (void)EW_FAILPOINT(OUTCOME_SENT, job->req.request_id);
        ew_verify_begin(job);
        return;
    case EW_REJECT:
        ew_their_key_forget(job);
        reject(job, &err);
        return;
    default:
        open_later(job, &err);
        return;
    }
}

/* Without the key too Redis is told: then whose the order is. */
static void
done(void *arg)
{
    struct ew_opening *opening = arg;
    struct ew_job *job = opening->job;

    if (!job->flow->ended) {
        if (opening->fault == EW_OK) {
            job->cert_text = ew_job_text(job, ew_buf_text(&opening->cert));
            ew_job_take_key(job, opening->spki, &opening->wrapped);
        }
        if (job->dropped)
            ew_outcome_leave(job);
    }
    job = ew_job_back(job);
    if (job != NULL)
        ew_outcome_keep(job, go_on);
}

static void
open_now(struct ew_job *job)
{
    (void)ew_job_out(job);
    ew_loop_offload(job->flow->loop, work, done, job->opening);
}

void
ew_their_key_open(struct ew_job *job, const struct ew_ca_reply *reply)
{
    struct ew_opening *opening = ew_calloc(1, sizeof(*opening));

    job->order_id = ew_job_text(job, reply->order_id);
    job->ca_date_ms = reply->date_ms;
    job->opening = opening;
    opening->job = job;
    opening->keks = job->flow->options.keks;
    opening->request_id = job->req.request_id;
    opening->text = ew_strdup(reply->pkcs12);
    memcpy(opening->pin, job->pin, sizeof(opening->pin));
    explicit_bzero(job->pin, sizeof(job->pin));
    ew_buf_init(&opening->wrapped, EW_MAX_WRAPPED);
    ew_buf_init(&opening->cert, EW_MAX_PKCS12);
    open_now(job);
}

void
ew_their_key_forget(struct ew_job *job)
{
    struct ew_opening *opening = job->opening;

    job->opening = NULL;
    if (opening == NULL)
        return;
    ew_buf_deinit(&opening->wrapped);
    ew_buf_deinit(&opening->cert);
    explicit_bzero(opening->pin, sizeof(opening->pin));
    free(opening->text);
    free(opening);
}

static void
missing(struct ew_job *job)
{
    struct ew_err err;

    (void)ew_fail(&err, EW_REJECT, "pkcs12-missing", "the order's reply holds no PKCS#12");
    reject(job, &err);
}

void
ew_their_key_missing(struct ew_job *job, const struct ew_ca_reply *reply)
{
    job->order_id = ew_job_text(job, reply->order_id);
    ew_outcome_keep(job, missing);
}

/* --- asking for one --- */

const char *
ew_their_key_pin(struct ew_job *job)
{
    struct ew_buf pin;

    ew_buf_init_secret(&pin, EW_PIN_LENGTH + 1);
    ew_pin_generate(&pin);
    if (pin.len != EW_PIN_LENGTH)
        abort(); /* without memory: nothing is sent under half a PIN */
    memcpy(job->pin, ew_buf_text(&pin), sizeof(job->pin));
    ew_buf_deinit(&pin);
    return job->pin;
}
