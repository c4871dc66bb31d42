/*
 * What an answer says: events, state records, dead letters, parked records, progress. Publishing
 * itself is in publish.c.
 */
#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "base/log.h"
#include "base/text.h"
#include "job.h"
#include "x509/digest.h"

/* --- the event's common part --- */

/* Stable over every repetition: the same event and kind of news always have the same id. Without
 * the request's it would return where a topic is made anew. */
static const char *
event_id(struct ew_job *job, enum ew_result result)
{
    char text[512 + EW_MAX_REQUEST_ID], hex[65];
    uint8_t digest[32];
    int len = snprintf(text, sizeof(text), "%s/%d/%lld/%s/%.*s", job->source.topic,
                       job->source.partition, (long long)job->source.offset,
                       ew_result_terminal(result) ? "answer" : ew_result_name(result),
                       EW_MAX_REQUEST_ID, job->req.request_id);

    ew_sha256(text, (size_t)len, digest);
    ew_hex_encode(digest, sizeof(digest), hex);
    hex[32] = '\0';
    return ew_job_text(job, hex);
}

/* The request's labels, then those of its setting that it does not have already. */
static void
take_labels(struct ew_job *job, struct ew_event *event)
{
    const struct ew_setting *setting = job->setting == NULL ? NULL : job->setting->setting;
    size_t own = job->req.label_count, more = setting == NULL ? 0 : setting->label_count;
    const char **labels = ew_arena_alloc(job->arena, (own + more + 1) * sizeof(*labels));

    event->labels = labels;
    event->label_count = 0;
    for (size_t i = 0; labels != NULL && i < own; i++)
        labels[event->label_count++] = job->req.labels[i];
    for (size_t i = 0; labels != NULL && i < more; i++) {
        size_t at = 0;

        while (at < own && strcmp(labels[at], setting->labels[i]) != 0)
            at++;
        if (at == own)
            labels[event->label_count++] = setting->labels[i];
    }
}

static void
begin_event(struct ew_job *job, struct ew_event *event, enum ew_result result)
{
    *event = (struct ew_event){.event_id = event_id(job, result),
                               .result = result,
                               .op = job->req.op,
                               .request_id = job->req.request_id,
                               .source = *ew_job_source(job),
                               .setting = job->req.setting == NULL ? "" : job->req.setting,
                               .context = {.data = job->req.context, .len = job->req.context_len},
                               .replaces_request_id = "",
                               .replaces_serial = "",
                               .replaces_order_id = "",
                               .target_request_id = "",
                               .reason = job->req.reason,
                               .attempts = job->attempt,
                               .received_ms = job->received_ms,
                               .ordered_ms = job->ordered_ms,
                               .answered_ms = ew_wall_ms(job->flow->options.clock),
                               .note = ""};
    take_labels(job, event);
    if (job->setting != NULL)
        event->test = job->setting->setting->account->test;
    if (job->req.op == EW_OP_RENEW && job->has_target) {
        event->replaces_request_id = job->target_id;
        event->replaces_serial = job->target.first.certificate.serial;
        event->replaces_order_id = job->target.first.certificate.order_id;
    }
}

/* --- issued, renewed --- */

static void
copy_certificate(struct ew_job *job, struct ew_certificate *out)
{
    const struct ew_cert_facts *facts = ew_cert_facts(job->cert);

    out->der = ew_cert_der(job->cert);
    out->chain_count = ew_trust_chain(job->setting->trust, job->cert, out->chain, EW_MAX_CHAIN);
    out->serial = facts->serial;
    out->issuer = facts->issuer;
    out->subject = facts->subject;
    out->not_before_ms = facts->not_before_ms;
    out->not_after_ms = facts->not_after_ms;
    out->sha256 = facts->sha256;
    out->order_id = job->order_id;
    out->sealed_pkcs12 = job->sealed_pkcs12;
    out->sealed_pin = job->sealed_pin;
}

struct ew_done_index
ew_answer_index(const struct ew_state_record *state, int64_t wall_ms)
{
    struct ew_done_index index = {.order_id = "",
                                  .issuer = "",
                                  .serial = "",
                                  .keys = (const uint8_t(*)[32])state->keys,
                                  .key_count = state->key_count,
                                  .expire_ms = state->keep_until_ms - wall_ms};

    if (state->first.has_certificate && state->op != EW_OP_REVOKE) {
        index.order_id = state->first.certificate.order_id;
        index.issuer = state->first.certificate.issuer;
        index.serial = state->first.certificate.serial;
    }
    return index;
}

/* False: the answer must not be published. Nobody would know of it later, and a repetition of its
 * event would be ordered anew. */
static bool
make_state(struct ew_job *job, enum ew_cert_status status)
{
    struct ew_state_record state = {.request_id = job->req.request_id,
                                    .op = job->req.op,
                                    .source = job->event.source,
                                    .first = job->event,
                                    .status = status,
                                    .version = 0,
                                    .names = job->names};
    int64_t end = ew_wall_ms(job->flow->options.clock);
    struct ew_buf value;
    struct ew_err err = {.problem = "overflow"};

    if (status == EW_CERT_VALID && job->event.certificate.not_after_ms > end)
        end = job->event.certificate.not_after_ms;
    state.keep_until_ms = end + job->flow->config->time.horizon_ms;
    if (job->air)
        ew_job_note_key(job);
    state.key_count = job->key_count;
    memcpy(state.digest, job->digest, sizeof(state.digest));
    memcpy(state.keys, job->keys, sizeof(state.keys));
    if (state.names.cn == NULL)
        state.names.cn = "";
    if (state.names.email == NULL)
        state.names.email = "";
    if (state.names.upn == NULL)
        state.names.upn = "";
    ew_buf_init(&value, EW_MAX_FLOW_MEMORY);
    if (ew_wire_state_encode(&state, &value, &err) == EW_OK && !value.overflowed)
        job->answer_state = ew_job_keep(job, value.data, value.len);
    ew_buf_deinit(&value);
    if (job->answer_state.len == 0) {
        EW_LOG(EW_LOG_ERROR, "flow", "no state record", EW_STR("request_id", job->req.request_id),
               EW_FAULT_FIELDS(&err));
        job->air = job->air || job->order_id[0] != '\0'; /* whoever tries again looks first */
        ew_answer_parked(job, "answer-cannot-be-kept", NULL);
        return false;
    }
    job->index = ew_answer_index(&state, ew_wall_ms(job->flow->options.clock));
    job->index.keys = (const uint8_t(*)[32])job->keys; /* the record does not last */
    return true;
}

void
ew_answer_issued(struct ew_job *job)
{
    char note[EW_MAX_ORDER_ID + 80];

    begin_event(job, &job->event, job->req.op == EW_OP_RENEW ? EW_RES_RENEWED : EW_RES_ISSUED);
    job->event.has_certificate = true;
    copy_certificate(job, &job->event.certificate);
    if (job->lost_order != NULL) {
        (void)snprintf(note, sizeof(note),
                       "an earlier order (%s) was cancelled because its key was lost",
                       job->lost_order);
        job->event.note = ew_job_text(job, note);
    }
    if (make_state(job, EW_CERT_VALID)) {
        ew_store_certified(job->flow->store, job->req.request_id, &job->index);
        ew_publish(job);
    }
}

void
ew_answer_rejected(struct ew_job *job)
{
    begin_event(job, &job->event, EW_RES_REJECTED);
    job->event.failure = job->failure;
    if (job->order_id[0] != '\0') {
        job->event.certificate.order_id = job->order_id;
        job->event.note = ew_job_text(job, job->order_id);
    }
    if (job->foreign || make_state(job, EW_CERT_NONE))
        ew_publish(job);
}

/* --- revoked, removed --- */

static const char STAYS_VALID[] =
    "The certificate is ended at GlobalSign, and the answer of who asked says so; its record on "
    "epki.certificate.state does not yet. It is tried once more by itself; if this line comes "
    "again "
    "for the same target, tell those who read that topic.";

/* False: said, and the state record stays as it is for now. */
static bool
make_rewrite(struct ew_job *job)
{
    struct ew_state_record state = job->target;
    struct ew_buf value;
    struct ew_err err = {.problem = "overflow"};

    state.status = job->revoke_as == EW_RES_REMOVED ? EW_CERT_REMOVED : EW_CERT_REVOKED;
    state.version = job->rewrite_version;
    ew_buf_init(&value, EW_MAX_FLOW_MEMORY);
    if (ew_wire_state_encode(&state, &value, &err) == EW_OK && !value.overflowed)
        job->rewrite_state = ew_job_keep(job, value.data, value.len);
    ew_buf_deinit(&value);
    if (job->rewrite_state.len == 0)
        EW_LOG(EW_LOG_ERROR, "flow", "no rewritten state record",
               EW_STR("request_id", job->req.request_id), EW_STR("target", job->target_id),
               EW_FAULT_FIELDS(&err), EW_STR("advice", STAYS_VALID));
    return job->rewrite_state.len > 0;
}

static void
revoked(struct ew_job *job)
{
    begin_event(job, &job->event, job->revoke_as);
    job->event.target_request_id = job->target_id;
    if (job->has_target) {
        job->event.setting = job->target.first.setting;
        job->event.has_certificate = job->target.first.has_certificate;
        job->event.certificate.serial = job->target.first.certificate.serial;
        job->event.certificate.issuer = job->target.first.certificate.issuer;
        job->event.certificate.subject = job->target.first.certificate.subject;
        job->event.certificate.sha256 = job->target.first.certificate.sha256;
        job->event.certificate.order_id = job->target.first.certificate.order_id;
        job->event.certificate.not_before_ms = job->target.first.certificate.not_before_ms;
        job->event.certificate.not_after_ms = job->target.first.certificate.not_after_ms;
        if (job->rewrite_version > 0)
            job->amend = !make_rewrite(job);
    } else if (job->revoke_order != NULL) {
        job->event.has_certificate = true;
        job->event.certificate.order_id = job->revoke_order;
    }
    if (make_state(job, EW_CERT_NONE))
        ew_publish(job);
}

static void
on_version(void *arg, enum ew_fault fault, int64_t version)
{
    struct ew_job *job = ew_job_back(arg);

    if (job == NULL)
        return;
    job->amend = fault != EW_OK; /* the answer does not wait for Redis */
    job->rewrite_version = version;
    revoked(job);
}

void
ew_answer_revoked(struct ew_job *job)
{
    if (job->has_target && job->target.first.has_certificate)
        ew_store_next_version(job->flow->store, on_version, ew_job_out(job));
    else
        revoked(job);
}

static void
on_amended_version(void *arg, enum ew_fault fault, int64_t version)
{
    struct ew_job *job = ew_job_back(arg);

    if (job == NULL)
        return;
    if (fault != EW_OK) {
        ew_job_retry(job, ew_answer_amended);
        return;
    }
    job->rewrite_version = version;
    ew_answer_nothing(job, make_rewrite(job) ? "an answer's state record is amended"
                                             : "an answer's state record stays as it is");
}

void
ew_answer_amended(struct ew_job *job)
{
    if (job->has_target && job->target.status == EW_CERT_VALID)
        ew_store_next_version(job->flow->store, on_amended_version, ew_job_out(job));
    else
        ew_answer_nothing(job, "the state record says so already");
}

/* --- duplicates and nothing --- */

void
ew_answer_duplicate(struct ew_job *job, const struct ew_state_record *first)
{
    const char *id = event_id(job, first->first.result);

    ew_metric_add(job->flow->metrics, EW_METRIC_DUPLICATE_REQUESTS, 0, 1);
    job->event = first->first;
    job->event.event_id = id;
    job->event.duplicate = true;
    job->event.first = first->source;
    job->event.source = *ew_job_source(job);
    take_labels(job, &job->event);
    job->event.context = (struct ew_blob){.data = job->req.context, .len = job->req.context_len};
    job->event.received_ms = job->received_ms;
    job->event.answered_ms = ew_wall_ms(job->flow->options.clock);
    ew_publish(job);
}

void
ew_answer_nothing(struct ew_job *job, const char *why)
{
    EW_LOG(EW_LOG_INFO, "flow", "done without an answer of its own",
           EW_STR("request_id", job->req.request_id), EW_STR("why", why));
    job->mark_only = true;
    ew_publish(job);
}

/* --- too large for Kafka --- */

enum { CAUSE_KEPT = 256 }; /* bytes of a failure's cause that are told in any case */

static const char REDUCED[] =
    "context, labels and chain were left out, for the whole is too large for Kafka: raise the "
    "topics' max.message.bytes and send the request again; the chain is in the setting's "
    "chain_file too";
static const char KEPT_REDUCED[] =
    "of the answer that is kept, context, labels and chain were left out, for it is too large for "
    "Kafka; the chain is in the setting's chain_file";

static void
leave_out(struct ew_job *job, struct ew_event *event, const char *why)
{
    char note[1024];

    (void)snprintf(note, sizeof(note), "%s%s%s", event->note, event->note[0] == '\0' ? "" : "; ",
                   why);
    event->note = ew_job_text(job, note);
    event->context = (struct ew_blob){.data = NULL, .len = 0};
    event->label_count = 0;
    event->certificate.chain_count = 0;
}

static void
leave_out_kept(struct ew_job *job, struct ew_event *event)
{
    leave_out(job, event, KEPT_REDUCED);
}

/* What is left that somebody else may have made long. */
static void
cut_cause(struct ew_job *job, struct ew_event *event)
{
    const char *cause = event->failure.cause == NULL ? "" : event->failure.cause;
    size_t len = ew_text_fit(cause, CAUSE_KEPT);
    const char *shorter = ew_arena_strndup(job->arena, cause, len);

    event->failure.cause = shorter == NULL ? "" : shorter;
}

static void
reduce_state(struct ew_job *job, struct ew_blob *bytes,
             void (*reduce)(struct ew_job *job, struct ew_event *event))
{
    struct ew_blob smaller = {.data = NULL, .len = 0};
    struct ew_state_record state;
    struct ew_buf value;
    struct ew_err err;

    ew_buf_init(&value, EW_MAX_FLOW_MEMORY);
    if (bytes->len > 0 &&
        ew_wire_state_decode(bytes->data, bytes->len, job->arena, &state, &err) == EW_OK) {
        reduce(job, &state.first);
        if (ew_wire_state_encode(&state, &value, &err) == EW_OK && !value.overflowed)
            smaller = ew_job_keep(job, value.data, value.len);
        if (smaller.len > 0)
            *bytes = smaller;
    }
    ew_buf_deinit(&value);
}

void
ew_answer_reduce(struct ew_job *job)
{
    if (job->reductions++ == 0) {
        leave_out(job, &job->event, REDUCED);
    } else if (job->reductions == 2) {
        reduce_state(job, &job->answer_state, leave_out_kept);
        reduce_state(job, &job->rewrite_state, leave_out_kept);
    } else if (job->reductions == 3) {
        cut_cause(job, &job->event);
        reduce_state(job, &job->answer_state, cut_cause);
        reduce_state(job, &job->rewrite_state, cut_cause);
    }
}

/* --- progress --- */

void
ew_answer_progress(struct ew_job *job, enum ew_result result)
{
    struct ew_event event;

    if ((job->progress & (1u << result)) != 0)
        return;
    job->progress |= 1u << result;
    begin_event(job, &event, result);
    event.failure = job->failure;
    if (job->order_id[0] != '\0')
        event.certificate.order_id = job->order_id;
    ew_publish_progress(job, &event);
}

void
ew_answer_held(struct ew_job *job, const struct ew_failure *why)
{
    struct ew_failure saved = job->failure;

    job->failure = *why;
    ew_answer_progress(job, EW_RES_HELD);
    job->failure = saved;
}
