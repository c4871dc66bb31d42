/*
 * Ordering: slot and token, the intent with its ORDERING record, Redis told and awaited, the send
 * gate, the call, and what its reply means. Nothing here ever sends twice under one intent.
 */
#include <string.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/without.h"
#include "job.h"

enum {
    TOKEN_AGE_MS = 1000, /* an older token is given back when the intent is built */
    STALL_MS = 2000,     /* a loop that did not turn for so long sends nothing */
    VANISHED_MAX = 5,    /* orders that vanished for one request before a person decides */
};

static void submit_intent(struct ew_job *job);

/* --- the queue --- */

static void
on_go(struct ew_turn *turn)
{
    submit_intent(EW_CONTAINER(turn, struct ew_job, turn));
}

bool
ew_order_expired(struct ew_job *job)
{
    if (job->req.deadline_ms == 0 || job->air || job->setting == NULL ||
        !ew_desk_timed(job->setting->desk) ||
        ew_desk_now(job->setting->desk) <= job->req.deadline_ms)
        return false;
    ew_turn_end(&job->turn, true);
    ew_job_fail_with(job, EW_FAIL_EXPIRED, "deadline-passed", "deadline_ms",
                     "the deadline passed before an order was placed",
                     "Send the request again with a later deadline.");
    ew_answer_rejected(job);
    return true;
}

/* Judged again, for it was without GlobalSign's time. */
static bool
recipient_refused(struct ew_job *job)
{
    if (!job->untimed)
        return false;
    ew_admit_recipient(job);
    if (job->failure.cls == EW_FAIL_NONE)
        return false;
    ew_turn_end(&job->turn, true);
    ew_answer_rejected(job);
    return true;
}

void
ew_order_queue(struct ew_job *job)
{
    enum ew_rate_class cls = ew_rules_rate_class(job->lane_of, job->req.bulk_hint);

    if (job->vanished >= VANISHED_MAX) {
        job->attempt--;  /* not made */
        job->air = true; /* what vanished may show by the time people say: once more */
        ew_answer_parked(job, "orders-fail-again-and-again", NULL);
        return;
    }
    if (ew_order_expired(job) || !ew_setting_open(job) || !ew_kek_opens(job))
        return;
    if (job->state != EW_ST_QUEUE)
        ew_job_move(job, EW_ST_QUEUE, "");
    ew_job_ask(job, on_go, cls);
}

/* --- the intent --- */

bool
ew_order_record(struct ew_job *job, int64_t ca_date_ms, const char *ending, struct ew_buf *key,
                struct ew_buf *value, struct ew_out *out)
{
    struct ew_inflight_record record = {.kind = EW_INFLIGHT_ORDERING,
                                        .request_id = job->req.request_id,
                                        .op = job->req.op,
                                        .source = job->source,
                                        .by = job->original,
                                        .epoch = ew_part_epoch(job->run->part),
                                        .attempt = job->attempt,
                                        .vanished = job->vanished,
                                        .ca_date_ms = ca_date_ms,
                                        .order_id = ending,
                                        .lost_orders = job->lost_orders,
                                        .misfit = job->misfit,
                                        .reason = "",
                                        .first_source = "",
                                        .lane = job->lane_of};
    struct ew_err err = {.problem = "overflow"};

    memcpy(record.digest, job->digest, sizeof(record.digest));
    memcpy(record.keys, job->keys, sizeof(record.keys));
    record.key_count = job->key_count;
    ew_buf_init(key, 1024);
    ew_buf_init(value, 65536);
    ew_wire_inflight_key(job->req.request_id, &job->source, key);
    if (ew_wire_inflight_encode(&record, value, &err) != EW_OK || key->overflowed ||
        value->overflowed) {
        EW_LOG(EW_LOG_ERROR, "flow", "no ORDERING record", EW_FAULT_FIELDS(&err));
        return false;
    }
    *out = (struct ew_out){.topic = EW_TOPIC_INFLIGHT,
                           .partition = ew_inflight_partition(job),
                           .key = key->data,
                           .key_len = key->len,
                           .value = value->data,
                           .value_len = value->len};
    return true;
}

/* Slot and token go back, and it is tried again from its claim on. */
static void
not_sent(struct ew_job *job, const char *why)
{
    struct ew_backoff backoff = {.first_ms = job->flow->config->time.retry_first_ms,
                                 .max_ms = job->flow->config->time.retry_max_ms};

    ew_turn_end(&job->turn, true);
    EW_LOG(EW_LOG_INFO, "flow", "not sent", EW_STR("request_id", job->req.request_id),
           EW_STR("why", why));
    ew_job_after(job, ew_backoff_ms(&backoff, ++job->unsent_count, ew_random_u32()),
                 ew_claim_begin);
}

static void
give_back(struct ew_job *job, const char *why)
{
    job->unsent = true;
    not_sent(job, why);
}

static void on_calling(void *arg, enum ew_fault fault, enum ew_transition result);

static void
on_intent(void *arg, enum ew_committed result, int64_t t0_ms, const struct ew_err *err)
{
    struct ew_job *job = ew_job_back(arg);
    struct ew_holder holder;

    if (job == NULL)
        return;
    switch (result) {
    case EW_COMMITTED:
        (void)EW_FAILPOINT(INTENT_KNOWN, job->req.request_id);
        job->air = true;
        job->ordering = true;
        job->t0_ms = t0_ms;
        holder = ew_job_holder(job);
        ew_job_move(job, EW_ST_CALLING, "the intent is durable");
        ew_store_calling(job->flow->store, &holder, job->attempt,
                         ew_desk_ca_now(job->setting->desk), on_calling, ew_job_out(job));
        return;
    case EW_COMMIT_LOST:
        ew_turn_end(&job->turn, true);
        ew_job_drop(job);
        return;
    case EW_COMMIT_STALE: /* nothing was committed; at once it might be as slow again */
        not_sent(job, "the token grew old");
        return;
    case EW_COMMIT_REFUSED:
        EW_LOG(EW_LOG_ERROR, "flow", "Kafka refuses an intent", EW_FAULT_FIELDS(err),
               EW_STR("request_id", job->req.request_id));
        give_back(job, "the intent was refused");
        return;
    }
}

static void
submit_intent(struct ew_job *job)
{
    struct ew_commit commit = {.part = job->run->part,
                               .offset = job->source.offset,
                               .mark = EW_MARK_STARTED,
                               .not_after_ms = job->turn.token_ms + TOKEN_AGE_MS,
                               .done = on_intent};
    struct ew_buf key, value;

    if (ew_order_expired(job) || recipient_refused(job))
        return;
    ew_job_move(job, EW_ST_INTENT, "slot and token are there");
    ew_job_note_key(job);
    if (EW_WITHOUT(INTENT)) {
        on_intent(ew_job_out(job), EW_COMMITTED, ew_boot_ms(job->flow->options.clock), NULL);
        return;
    }
    if (ew_order_record(job, ew_desk_ca_now(job->setting->desk), "", &key, &value,
                        &commit.outs[0])) {
        commit.out_count = EW_WITHOUT(ORDERING) ? 0 : 1;
        commit.arg = ew_job_out(job);
        ew_kafka_commit(job->flow->kafka, &commit);
    } else {
        give_back(job, "the ORDERING record could not be made");
    }
    ew_buf_deinit(&key);
    ew_buf_deinit(&value);
}

/* --- the call --- */

static bool
refuse(struct ew_job *job, int reason, const char *why)
{
    ew_metric_add(job->flow->metrics, EW_METRIC_GATE_REFUSALS, reason, 1);
    EW_LOG(EW_LOG_WARN, "flow", "send gate refused", EW_STR("request_id", job->req.request_id),
           EW_STR("why", why));
    return false;
}

/* Runs just before the first byte would leave. */
static bool
gate(void *arg)
{
    struct ew_job *job = arg;
    const struct ew_flow *flow = job->flow;
    int64_t now;

    if (EW_FAILPOINT(GATE_REACHED, job->req.request_id))
        return false;
    now = ew_boot_ms(flow->options.clock);
    if (job->gate_said_yes && !EW_WITHOUT(SENT_ONCE))
        return refuse(job, 3, "second time");
    if (job->dropped || !ew_part_owned(job->run->part))
        return refuse(job, 0, "the partition is no longer ours");
    if (now - job->t0_ms > flow->config->time.send_window_ms)
        return refuse(job, 1, "the intent is too old");
    if (now - ew_loop_now(flow->loop) > STALL_MS)
        return refuse(job, 2, "the loop stood still");
    job->gate_said_yes = true;
    job->attempt_date_ms = ew_desk_ca_now(job->setting->desk);
    job->ordered_ms = ew_wall_ms(flow->options.clock);
    (void)EW_FAILPOINT(GATE_PASSED, job->req.request_id);
    return true;
}

static void
hold_for_licence(struct ew_job *job, const struct ew_ca_reply *reply)
{
    const struct ew_failure failure = {
        .cls = EW_FAIL_ACCOUNT,
        .problem = reply->problem,
        .field = "",
        .cause = reply->message,
        .advice = "Buy licences or have the profile vetted; the request goes on by itself.",
        .vendor_code = reply->code,
        .vendor_field = ""};

    ew_answer_held(job, &failure);
    job->unsent = true; /* refused: surely nothing was created */
    ew_job_hold(job, "GlobalSign has no licence or the profile is not ready", ew_claim_begin);
}

static void
refused_for_good(struct ew_job *job, const struct ew_ca_reply *reply)
{
    ew_job_fail_with(job, EW_FAIL_REFUSED, reply->problem, "", reply->message,
                     "See GlobalSign's code and field; correct the request or the setting and send "
                     "it under a new request id.");
    job->failure.vendor_code = reply->code;
    job->failure.vendor_field = ew_job_text(job, reply->field);
    ew_answer_rejected(job);
}

static void
take_certificate(struct ew_job *job, const struct ew_ca_reply *reply)
{
    job->order_id = ew_job_text(job, reply->order_id);
    job->cert_text = ew_job_text(job, reply->certificate);
    job->ca_date_ms = reply->date_ms;
}

/* The outcome of a job whose partition is gone: told to the adopter through Redis only. */
static void
mailbox(struct ew_job *job, const struct ew_ca_reply *reply)
{
    bool pending = reply->cls == EW_CA_PENDING && job->req.key != EW_KEY_GLOBALSIGN;

    if (reply->cls == EW_CA_OK && reply->pkcs12[0] != '\0') {
        ew_their_key_open(job, reply);
    } else if (reply->cls == EW_CA_OK || pending) {
        take_certificate(job, reply);
        ew_outcome_leave(job);
    }
    ew_job_release(job);
}

static void
got_certificate(struct ew_job *job, const struct ew_ca_reply *reply)
{
    take_certificate(job, reply);
    ew_outcome_keep(job, ew_verify_begin);
    (void)EW_FAILPOINT(OUTCOME_SENT, job->req.request_id);
}

static void
unknown(struct ew_job *job, const struct ew_ca_reply *reply)
{
    struct ew_holder holder = ew_job_holder(job);

    job->search.key_used = reply->cls == EW_CA_KEY_USED;
    ew_metric_add(job->flow->metrics, EW_METRIC_OUTCOME_UNKNOWN, 0, 1);
    ew_store_unknown(job->flow->store, &holder, job->attempt, NULL, NULL);
    ew_reconcile_begin(job, reply->problem);
}

static void
on_ordered(void *arg, const struct ew_ca_reply *reply)
{
    struct ew_job *job = arg;
    struct ew_desk *desk = job->setting->desk;
    bool unsent = reply->cls == EW_CA_NOT_SENT;

    job->call = NULL;
    (void)EW_FAILPOINT(REPLY_READ, job->req.request_id);
    ew_desk_learn(desk, reply, true);
    ew_metric_observe(job->flow->metrics, EW_METRIC_CA_CALL_DURATION, 0, reply->duration_ms);
    EW_LOG(unsent ? EW_LOG_WARN : EW_LOG_INFO, "flow", "order answered",
           EW_STR("request_id", job->req.request_id), EW_STR("class", ew_ca_class_name(reply->cls)),
           EW_STR("problem", reply->problem), EW_STR("detail", unsent ? reply->message : ""),
           EW_INT("vendor_code", reply->code), EW_INT("http_status", reply->http_status),
           EW_STR("order_id", reply->order_id), EW_INT("duration_ms", reply->duration_ms));
    if (job->dropped) {
        mailbox(job, reply);
        return;
    }
    ew_turn_end(&job->turn, unsent);
    ew_setting_learn(job, reply->cls);
    switch (reply->cls) {
    case EW_CA_OK:
        if (job->req.key == EW_KEY_GLOBALSIGN)
            ew_their_key_open(job, reply);
        else
            got_certificate(job, reply);
        return;
    case EW_CA_PENDING:
        if (job->req.key == EW_KEY_GLOBALSIGN) {
            ew_their_key_missing(job, reply);
            return;
        }
        job->order_id = ew_job_text(job, reply->order_id);
        ew_order_pending(job);
        return;
    case EW_CA_NOT_SENT:
        give_back(job, reply->problem);
        return;
    case EW_CA_REJECTED:
    case EW_CA_NOT_FOUND:
        refused_for_good(job, reply);
        return;
    case EW_CA_LICENCE:
        hold_for_licence(job, reply);
        return;
    case EW_CA_ACCOUNT:
        job->unsent = true; /* refused at the door */
        ew_job_held(job, reply->problem, reply->code);
        ew_claim_begin(job);
        return;
    case EW_CA_UNKNOWN:
    case EW_CA_KEY_USED:
    case EW_CA_ALREADY:
    case EW_CA_TRY_LATER:
        unknown(job, reply);
        return;
    }
}

static void
send_order(struct ew_job *job)
{
    const struct ew_setting *setting = job->setting->setting;
    struct ew_ca_order_request request = {.profile = setting->profile,
                                          .product = setting->product,
                                          .years = setting->years,
                                          .efs = setting->efs,
                                          .upn = job->names.upn,
                                          .cn = job->names.cn,
                                          .email = job->names.email,
                                          .ou_count = job->names.ou_count};
    struct ew_buf csr;
    struct ew_err err;
    bool has_csr = job->req.key != EW_KEY_GLOBALSIGN;

    memcpy(request.ous, job->names.ous, sizeof(request.ous));
    if (setting->san_email)
        request.san_email = job->names.email;
    ew_buf_init(&csr, EW_MAX_CSR + 1);
    if (has_csr && (ew_key_csr_text(job, &csr, &err) != EW_OK || csr.overflowed)) {
        EW_LOG(EW_LOG_ERROR, "flow", "no CSR", EW_FAULT_FIELDS(&err));
        give_back(job, "the CSR could not be made");
    } else {
        request.csr = has_csr ? ew_buf_text(&csr) : NULL;
        request.pin = has_csr ? NULL : ew_their_key_pin(job);
        job->gate_said_yes = false;
        ew_job_move(job, EW_ST_ORDER, "");
        job->call = ew_ca_order(job->setting->desk->ca, &request, gate, on_ordered, job);
    }
    ew_buf_deinit(&csr);
}

static void
on_calling(void *arg, enum ew_fault fault, enum ew_transition result)
{
    struct ew_job *job = ew_job_back(arg);

    if (job == NULL)
        return;
    if ((fault == EW_OK && result == EW_TR_OK) || EW_WITHOUT(CALLING)) {
        if (EW_FAILPOINT(CALLING_KNOWN, job->req.request_id))
            give_back(job, "redis did not answer");
        else
            send_order(job);
        return;
    }
    if (fault == EW_OK && result == EW_TR_STOPPED) {
        ew_turn_end(&job->turn, true);
        ew_job_fail_with(job, EW_FAIL_STOPPED, "stopped-by-revocation", "request_id",
                         "a revocation of this request came before the order was sent",
                         "Send a new enrolment under a new request id if it is still wanted.");
        ew_answer_rejected(job);
        return;
    }
    give_back(job, fault != EW_OK ? "redis did not answer" : "redis refused CALLING");
}
