/*
 * Worker-made keys: made and sealed on the pool, kept wrapped under the fleet's key-encryption key
 * in between, so that the worker may die at any point. The private key is in clear only inside the
 * two pool functions.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "job.h"
#include "x509/csr.h"
#include "x509/key.h"
#include "x509/p12.h"
#include "x509/seal.h"

enum { SEALED_MAX = 128 * 1024 };

/* What a pool thread works on: nothing of the job, which the loop owns. */
struct ew_key_work {
    struct ew_job *job;
    atomic_bool unwanted;
    void (*made)(struct ew_job *job);
    void (*sealed)(struct ew_job *job, enum ew_fault fault);
    const struct ew_keks *keks;
    enum ew_key_type type;
    enum ew_p12_format format;
    char *aad;
    struct ew_buf wrapped;
    uint8_t spki[32];
    const struct ew_cert *cert; /* borrowed: the job lives while its work is out */
    const struct ew_trust *trust;
    const uint8_t *recipient;
    size_t recipient_len;
    struct ew_buf p12, pin;
    enum ew_fault fault;
    struct ew_err err;
};

static struct ew_key_work *
work_new(struct ew_job *job)
{
    struct ew_key_work *work = ew_calloc(1, sizeof(*work));

    work->aad = ew_strdup(job->req.request_id);
    work->job = ew_job_out(job);
    job->key_work = work;
    work->keks = job->flow->options.keks;
    ew_buf_init(&work->wrapped, EW_MAX_WRAPPED);
    ew_buf_init(&work->p12, SEALED_MAX);
    ew_buf_init(&work->pin, SEALED_MAX);
    return work;
}

void
ew_key_unwanted(struct ew_job *job)
{
    if (job->key_work != NULL)
        atomic_store(&job->key_work->unwanted, true);
}

/* NULL: the job is gone. */
static struct ew_job *
work_back(struct ew_key_work *work)
{
    work->job->key_work = NULL;
    return ew_job_back(work->job);
}

static void
work_free(struct ew_key_work *work)
{
    ew_buf_deinit(&work->wrapped);
    ew_buf_deinit(&work->p12);
    ew_buf_deinit(&work->pin);
    free(work->aad);
    free(work);
}

static void
tell(struct ew_job *job, const char *what, const struct ew_err *err)
{
    if (err->fault == EW_HALT)
        ew_kek_tell(job, err);
    else
        EW_LOG(EW_LOG_ERROR, "flow", what, EW_STR("request_id", job->req.request_id),
               EW_FAULT_FIELDS(err));
}

/* --- making --- */

static void
make(void *arg)
{
    struct ew_key_work *work = arg;
    struct ew_key *key = NULL;

    if (atomic_load(&work->unwanted))
        return;
    work->fault = ew_key_generate(work->type, &key, &work->err);
    if (work->fault == EW_OK)
        work->fault =
            ew_key_wrap(key, work->keks, work->aad, strlen(work->aad), &work->wrapped, &work->err);
    if (work->fault == EW_OK)
        work->fault = ew_key_spki_sha256(key, work->spki, &work->err);
    ew_key_free(key);
}

static void
made(void *arg)
{
    struct ew_key_work *work = arg;
    struct ew_job *job = work_back(work);

    if (job != NULL && work->fault == EW_OK) {
        job->wrapped = ew_job_keep(job, work->wrapped.data, work->wrapped.len);
        if (job->wrapped.len == 0)
            work->fault = ew_fail(&work->err, EW_RETRY, "out-of-memory", "the wrapped key");
    }
    if (job != NULL && work->fault == EW_OK) {
        memcpy(job->spki, work->spki, sizeof(job->spki));
        job->has_spki = job->opens = true;
        work->made(job);
    } else if (job != NULL) {
        EW_LOG(EW_LOG_ERROR, "flow", "no key", EW_STR("request_id", job->req.request_id),
               EW_FAULT_FIELDS(&work->err));
        ew_job_retry(job, ew_admit_known);
    }
    work_free(work);
}

void
ew_key_make(struct ew_job *job, void (*next)(struct ew_job *job))
{
    struct ew_key_work *work = work_new(job);

    work->type = ew_rules_key_type(job->setting->setting, &job->req);
    work->made = next;
    /* Many are made at once, some for long; what is ordered is delivered first. */
    ew_loop_offload_last(job->flow->loop, make, made, work);
}

bool
ew_key_open(struct ew_job *job)
{
    struct ew_key *key = NULL;
    struct ew_err err;
    enum ew_fault fault =
        ew_key_unwrap(job->wrapped.data, job->wrapped.len, job->flow->options.keks,
                      job->req.request_id, strlen(job->req.request_id), &key, &err);

    if (fault == EW_OK)
        fault = ew_key_spki_sha256(key, job->spki, &err);
    job->has_spki = job->opens = fault == EW_OK;
    if (fault != EW_OK)
        tell(job, "a wrapped key cannot be opened", &err);
    ew_key_free(key);
    return job->opens;
}

/* --- the CSR of an order --- */

enum ew_fault
ew_key_csr_text(struct ew_job *job, struct ew_buf *out, struct ew_err *err)
{
    struct ew_key *key = NULL;
    enum ew_fault fault;

    if (job->req.key == EW_KEY_CSR) {
        ew_buf_puts(out, job->req.csr);
        return EW_OK;
    }
    fault = ew_key_unwrap(job->wrapped.data, job->wrapped.len, job->flow->options.keks,
                          job->req.request_id, strlen(job->req.request_id), &key, err);
    if (fault == EW_OK)
        fault = ew_key_csr(key, job->names.cn, out, err);
    ew_key_free(key);
    return fault;
}

/* --- sealing --- */

static enum ew_fault
build(struct ew_key_work *work, struct ew_key *key)
{
    struct ew_buf p12, pin;
    enum ew_fault fault;

    ew_buf_init_secret(&p12, SEALED_MAX);
    ew_buf_init_secret(&pin, EW_PIN_LENGTH + 1);
    ew_pin_generate(&pin);
    if (pin.len != EW_PIN_LENGTH)
        abort(); /* without memory: nothing is sealed under half a PIN */
    fault = ew_p12_build(key, work->cert, work->trust, ew_buf_text(&pin), work->format, &p12,
                         &work->err);
    if (fault == EW_OK)
        fault = ew_seal(p12.data, p12.len, work->recipient, work->recipient_len, &work->p12,
                        &work->err);
    if (fault == EW_OK)
        fault = ew_seal(pin.data, pin.len, work->recipient, work->recipient_len, &work->pin,
                        &work->err);
    ew_buf_deinit(&p12);
    ew_buf_deinit(&pin);
    return fault;
}

static void
seal(void *arg)
{
    struct ew_key_work *work = arg;
    struct ew_key *key = NULL;

    if (atomic_load(&work->unwanted))
        return;
    work->fault = ew_key_unwrap(work->wrapped.data, work->wrapped.len, work->keks, work->aad,
                                strlen(work->aad), &key, &work->err);
    if (work->fault == EW_OK)
        work->fault = build(work, key);
    ew_key_free(key);
}

static void
sealed(void *arg)
{
    struct ew_key_work *work = arg;
    struct ew_job *job = work_back(work);

    if (job != NULL) {
        if (work->fault == EW_OK) {
            job->sealed_pkcs12 = ew_job_keep(job, work->p12.data, work->p12.len);
            job->sealed_pin = ew_job_keep(job, work->pin.data, work->pin.len);
            if (job->sealed_pkcs12.len == 0 || job->sealed_pin.len == 0)
                work->fault = ew_fail(&work->err, EW_RETRY, "out-of-memory", "the sealed key");
        } else {
            tell(job, "no sealed key", &work->err);
        }
        work->sealed(job, work->fault);
    }
    work_free(work);
}

void
ew_key_seal(struct ew_job *job, void (*next)(struct ew_job *job, enum ew_fault fault))
{
    struct ew_key_work *work = work_new(job);

    ew_buf_put(&work->wrapped, job->wrapped.data, job->wrapped.len);
    work->format = job->req.p12_format;
    work->cert = job->cert;
    work->trust = job->setting->trust;
    work->recipient = job->req.recipient;
    work->recipient_len = job->req.recipient_len;
    work->sealed = next;
    ew_loop_offload(job->flow->loop, seal, sealed, work);
}

const struct ew_made_key *
ew_key_made(const struct ew_job *job, struct ew_made_key *key)
{
    if (job->req.key != EW_KEY_WORKER || job->wrapped.len == 0 || !job->has_spki)
        return NULL;
    *key = (struct ew_made_key){.wrapped = job->wrapped, .spki = job->spki};
    return key;
}
