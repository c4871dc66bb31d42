/*
 * What became of an order, as Redis keeps it until the answer: digest of the public key and wrapped
 * key, where they are nowhere else, and the certificate.
 */
#include <string.h>

#include "base/hex.h"
#include "base/log.h"
#include "job.h"

static void
write_outcome(const struct ew_job *job, struct ew_buf *out)
{
    char digest[65];

    ew_buf_init(out, EW_MAX_REDIS_VALUE);
    if (job->req.key == EW_KEY_GLOBALSIGN) {
        if (job->wrapped.len == 0)
            return;
        ew_hex_encode(job->spki, sizeof(job->spki), digest);
        ew_buf_printf(out, "%s\n", digest);
        ew_base64_encode(job->wrapped.data, job->wrapped.len, out);
        ew_buf_putc(out, '\n');
    }
    ew_buf_puts(out, job->cert_text == NULL ? "" : job->cert_text);
}

/* Up to the next new line, which is passed over. */
static struct ew_blob
take_line(struct ew_blob *rest)
{
    const uint8_t *end = rest->len == 0 ? NULL : memchr(rest->data, '\n', rest->len);
    struct ew_blob line = {.data = rest->data,
                           .len = end == NULL ? rest->len : (size_t)(end - rest->data)};
    size_t passed = line.len + (end == NULL ? 0 : 1);

    if (passed > 0)
        *rest = (struct ew_blob){.data = rest->data + passed, .len = rest->len - passed};
    return line;
}

static void
take_key(struct ew_job *job, struct ew_blob *rest)
{
    struct ew_blob digest = take_line(rest), text = take_line(rest);
    struct ew_buf wrapped;
    char hex[65] = "";
    uint8_t spki[32];

    job->key_unusable = false;
    ew_buf_init(&wrapped, EW_MAX_WRAPPED);
    if (digest.len == 64)
        memcpy(hex, digest.data, 64);
    if (ew_hex_decode(hex, spki, sizeof(spki)) == EW_OK && text.len > 0 &&
        ew_base64_decode((const char *)text.data, text.len, &wrapped) == EW_OK &&
        !wrapped.overflowed)
        ew_job_take_key(job, spki, &wrapped);
    else
        job->key_unusable = digest.len > 0;
    ew_buf_deinit(&wrapped);
}

void
ew_outcome_read(struct ew_job *job, const struct ew_blob *outcome)
{
    struct ew_blob rest = *outcome;

    if (job->req.key == EW_KEY_GLOBALSIGN)
        take_key(job, &rest);
    job->cert_text = ew_arena_strndup(job->arena, (const char *)rest.data, rest.len);
}

/* --- keeping it --- */

static void
keep(struct ew_job *job, ew_store_moved *done, void *arg)
{
    struct ew_holder holder = ew_job_holder(job);
    struct ew_made_key key;
    struct ew_blob outcome;
    struct ew_buf text;

    write_outcome(job, &text);
    outcome = (struct ew_blob){.data = text.data, .len = text.len};
    ew_store_outcome(job->flow->store, &holder, job->attempt, job->order_id, &outcome,
                     ew_key_made(job, &key), done, arg);
    ew_buf_deinit(&text);
}

void
ew_outcome_anothers(struct ew_job *job)
{
    EW_LOG(EW_LOG_ERROR, "flow", "GlobalSign told the order of another request",
           EW_STR("request_id", job->req.request_id), EW_STR("order_id", job->order_id));
    ew_metric_add(job->flow->metrics, EW_METRIC_OUTCOME_UNKNOWN, 0, 1);
    ew_their_key_forget(job);
    if (ew_reconcile_foreign(job))
        ew_reconcile_begin(job, "the order that was told is another request's");
}

static void
on_kept(void *arg, enum ew_fault fault, enum ew_transition result)
{
    struct ew_job *job = ew_job_back(arg);

    if (job == NULL)
        return;
    if (fault == EW_OK && result == EW_TR_ANOTHERS)
        ew_outcome_anothers(job);
    else
        job->after_kept(job);
}

void
ew_outcome_keep(struct ew_job *job, void (*next)(struct ew_job *job))
{
    job->after_kept = next;
    keep(job, on_kept, ew_job_out(job));
}

void
ew_outcome_leave(struct ew_job *job)
{
    keep(job, NULL, NULL);
}
