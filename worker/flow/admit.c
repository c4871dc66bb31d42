/*
 * The first look at an event: decode it, judge it by rules that spend nothing, and find out whether
 * a key must be made. What breaks a rule is remembered, not answered yet: a duplicate of an
 * answered request gets the first answer even if today's settings would refuse it.
 */
#include "job.h"
#include "room.h"

#include <string.h>

#include "base/failpoint.h"
#include "x509/csr.h"
#include "x509/digest.h"
#include "x509/seal.h"

/* W3C trace headers are ASCII; anything else is not carried on. */
static bool
is_printable(const struct ew_header *header)
{
    const unsigned char *text = header->value;

    for (size_t i = 0; text != NULL && i < header->len; i++)
        if (text[i] < 0x20 || text[i] > 0x7e)
            return false;
    return text != NULL;
}

static void
read_trace(struct ew_job *job)
{
    for (size_t i = 0; i < job->record->header_count; i++) {
        const struct ew_header *header = &job->record->headers[i];
        const char *text;

        if (header->len == 0 || header->len > EW_MAX_TRACE || !is_printable(header))
            continue;
        if (strcmp(header->name, "traceparent") != 0 && strcmp(header->name, "tracestate") != 0)
            continue;
        text = ew_arena_strndup(job->arena, header->value, header->len);
        if (header->name[5] == 'p')
            job->req.traceparent = text;
        else
            job->req.tracestate = text;
    }
}

/* As ew_job_fail, with the field's path in the request: those who judge it do not know where it
 * came from. */
static void
fail_at(struct ew_job *job, const char *path, const struct ew_err *err)
{
    ew_job_fail(job, EW_FAIL_INVALID, err);
    job->failure.field = path;
}

static void
check_csr(struct ew_job *job)
{
    struct ew_csr csr;
    struct ew_err err;

    if (ew_csr_read(job->req.csr, strlen(job->req.csr), &csr, &err) != EW_OK) {
        fail_at(job, "key.csr", &err);
        return;
    }
    memcpy(job->spki, csr.spki_sha256, sizeof(job->spki));
    job->has_spki = true;
}

void
ew_admit_recipient(struct ew_job *job)
{
    struct ew_err err;

    if (job->flow->options.keks == NULL || job->setting->recipients == NULL) {
        ew_job_fail_with(job, EW_FAIL_INVALID, "worker-key-unavailable", "key",
                         "this deployment or setting delivers no keys",
                         "Send a CSR, or configure kek_file and the setting's recipients_file.");
        return;
    }
    job->untimed = ew_desk_now(job->setting->desk) == 0;
    if (ew_recipient_check(job->req.recipient, job->req.recipient_len, job->setting->recipients,
                           ew_desk_now(job->setting->desk), &err) != EW_OK)
        fail_at(job, ew_rules_recipient_field(&job->req), &err);
}

/* The rules of an order: the setting, its key policy, the names. */
static void
check_order(struct ew_job *job)
{
    struct ew_err err, names_err;
    bool named;

    job->setting = ew_flow_setting(job->flow, job->req.setting);
    if (job->setting == NULL) {
        ew_job_fail_with(job, EW_FAIL_INVALID, "setting-unknown", "setting",
                         "no setting of this name is configured",
                         "Use the name of a setting in the worker's settings file.");
        return;
    }
    /* Whatever else is wrong: an order that is in the air already is looked for by its names. A
     * renewal without facts takes those of what it replaces. */
    named =
        job->req.op != EW_OP_ENROLL || ew_rules_names(job->setting->setting, &job->req.subject,
                                                      job->arena, &job->names, &names_err) == EW_OK;
    if (ew_rules_request(job->setting->setting, &job->req, ew_desk_now(job->setting->desk), &err) !=
        EW_OK) {
        ew_job_fail(job,
                    strcmp(err.problem, "deadline-passed") == 0 ? EW_FAIL_EXPIRED : EW_FAIL_INVALID,
                    &err);
        return;
    }
    if (ew_rules_seals(&job->req))
        ew_admit_recipient(job);
    if (job->failure.cls == EW_FAIL_NONE && !named)
        ew_job_fail(job, EW_FAIL_INVALID, &names_err);
}

/* What waits for its own answer would wait for ever. */
static void
check_target(struct ew_job *job)
{
    if (job->req.target.kind == EW_TARGET_REQUEST &&
        strcmp(job->req.target.request_id, job->req.request_id) == 0)
        ew_job_fail_with(job, EW_FAIL_INVALID, "target-itself", "target.request_id",
                         "the request names itself as its target",
                         "Name the request id of the enrolment or renewal that is meant.");
}

static void after_key(struct ew_job *job);

static void
on_lookup(void *arg, enum ew_fault fault, enum ew_canary_state canary,
          const struct ew_record_view *view)
{
    struct ew_job *job = ew_job_back(arg);

    (void)canary;
    if (job == NULL)
        return;
    if (fault != EW_OK) {
        ew_job_retry(job, ew_admit_known);
        return;
    }
    /* Only a request that nobody has seen needs a key; everything else is the claim's business. */
    if (view->state != EW_REC_ABSENT) {
        ew_claim_begin(job);
        return;
    }
    ew_job_move(job, EW_ST_CHECK, "a key is made");
    ew_key_make(job, after_key);
}

static void
after_key(struct ew_job *job)
{
    ew_claim_begin(job);
}

void
ew_admit_known(struct ew_job *job)
{
    bool makes_key = job->req.key == EW_KEY_WORKER && job->failure.cls == EW_FAIL_NONE;

    if (makes_key && !job->air && job->wrapped.data == NULL) {
        if (job->state != EW_ST_LOOKUP)
            ew_job_move(job, EW_ST_LOOKUP, "decoded");
        ew_store_lookup(job->flow->store, job->req.request_id, on_lookup, ew_job_out(job));
        return;
    }
    if (job->state == EW_ST_RECEIVED)
        ew_job_move(job, EW_ST_LOOKUP, "decoded");
    ew_claim_begin(job);
}

/* An older version may have ordered it: then it is followed to its end. */
static bool
was_taken(const struct ew_job *job)
{
    return job->record->started || job->record->doubt;
}

static bool
too_large(const struct ew_job *job, struct ew_err *err)
{
    if (job->record->value == NULL) {
        (void)ew_fail_field(err, EW_REJECT, "tombstone", "",
                            "Publish a request message, not a null value.", "the value is null");
        return true;
    }
    if (job->record->value_len > EW_MAX_RECORD) {
        (void)ew_fail_field(err, EW_REJECT, "record-size", "", "Keep a request under 256 KiB.",
                            "%zu bytes", job->record->value_len);
        return true;
    }
    if (job->record->key_len > EW_MAX_KEY && !was_taken(job)) {
        (void)ew_fail_field(err, EW_REJECT, "record-key-size", "",
                            "Keep a record's key under 64 KiB.", "%zu bytes", job->record->key_len);
        return true;
    }
    return false;
}

void
ew_admit(struct ew_job *job)
{
    enum ew_lane lane = ew_part_lane(job->run->part);
    struct ew_err err;
    enum ew_fault fault;

    if (lane == EW_LANE_RESUME) {
        ew_resume_admit(job);
        return;
    }
    if (too_large(job, &err)) {
        ew_answer_dead_letter(job, &err);
        return;
    }
    fault = ew_wire_request(lane, job->record->value, job->record->value_len, job->arena, &job->req,
                            &err);
    if (fault != EW_OK && job->req.request_id == NULL) {
        ew_answer_dead_letter(job, &err);
        return;
    }
    read_trace(job);
    ew_admit_decoded(job, fault == EW_OK ? NULL : &err);
}

void
ew_admit_decoded(struct ew_job *job, const struct ew_err *invalid)
{
    (void)EW_FAILPOINT(REQUEST_DECODED, job->req.request_id);
    if (invalid != NULL)
        ew_job_fail(job, EW_FAIL_INVALID, invalid);
    if (job->req.op == EW_OP_REVOKE && job->air)
        ew_claim_orders_nothing(job);
    if (job->failure.cls == EW_FAIL_NONE && job->req.key == EW_KEY_CSR)
        check_csr(job);
    ew_request_digest(&job->req, job->has_spki ? job->spki : NULL, job->digest, ew_sha256);
    if (job->failure.cls == EW_FAIL_NONE && job->req.op != EW_OP_ENROLL)
        check_target(job);
    /* No settings would have let it be ordered, whatever a lost commit leaves in doubt. */
    if (job->failure.cls != EW_FAIL_NONE && job->record->doubt && !job->record->started &&
        job->original.topic[0] == '\0')
        ew_claim_orders_nothing(job);
    if (job->failure.cls == EW_FAIL_NONE && job->req.op != EW_OP_REVOKE)
        check_order(job);
    if (job->ended_by_people) /* last: what was read on the way tells what to look for */
        ew_job_fail_with(job, EW_FAIL_STOPPED, "ended-by-operator", "",
                         "people ended this request instead of having it tried again",
                         "Send a new request under a new request id if it is still wanted.");
    ew_admit_known(job);
}
