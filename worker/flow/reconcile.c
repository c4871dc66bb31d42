/*
 * Finding out what became of an order whose outcome is unknown. "Found" is final at once; "none"
 * only when a query that began after the quiet period shows whole lists without it; anything that
 * might still become our order is "ambiguous" and waits. No clock of ours decides: windows hang on
 * the CA's own Date.
 */
#include <string.h>

#include "base/log.h"
#include "job.h"

enum {
    DAY_MS = 24 * 3600 * 1000,
    MARGIN_MS = 10 * 60 * 1000, /* on both sides of the guarding window */
    WINDOW_MIN_MS = 1000,       /* a capped list of one second cannot be made whole */
};

static void ask(struct ew_job *job);
static void look_again(struct ew_job *job);

/* --- the verdicts --- */

static void
conclude_none(struct ew_job *job)
{
    ew_metric_add(job->flow->metrics, EW_METRIC_RECONCILES, 1, 1);
    job->search.quiet_until = 0;
    if (job->search.key_used) {
        ew_job_fail_with(job, EW_FAIL_REFUSED, "key-used", "csr",
                         "GlobalSign says that this public key or order was used before",
                         "Make a new key and send a new request.");
        ew_answer_rejected(job);
        return;
    }
    job->verdict = true;
    ew_claim_begin(job);
}

static void
again_later(struct ew_job *job)
{
    struct ew_backoff backoff = {.first_ms = job->flow->config->time.reconcile_first_ms,
                                 .max_ms = job->flow->config->time.reconcile_max_ms};
    int64_t delay = ew_backoff_ms(&backoff, ++job->search.round, ew_random_u32());
    int64_t left = job->search.quiet_until - ew_loop_now(job->flow->loop);

    if (left > 0 && left < delay)
        delay = left + 1;
    job->search.from_ms = job->search.to_ms = 0;
    job->search.guarding = false;
    ew_job_after(job, delay, look_again);
}

static void
on_taken(void *arg, enum ew_fault fault, bool mine, const char *other)
{
    struct ew_job *job = ew_job_back(arg);

    if (job == NULL)
        return;
    if (fault != EW_OK) {
        ew_job_after(job, 500, look_again); /* not answered before Redis can say whose it is */
        return;
    }
    if (!mine) {
        EW_LOG(EW_LOG_WARN, "flow", "the order with this key belongs to another request",
               EW_STR("request_id", job->req.request_id), EW_STR("other", other),
               EW_STR("order_id", job->order_id));
        job->order_id = "";
        job->cert_text = NULL;
        ew_job_fail_with(job, EW_FAIL_CONFLICT, "key-in-use", "csr",
                         "another request was issued a certificate for this public key",
                         "Make a new key and send a new request.");
        ew_answer_rejected(job);
        return;
    }
    ew_metric_add(job->flow->metrics, EW_METRIC_RECONCILES, 0, 1);
    job->search.quiet_until = 0;
    if (job->cert_text == NULL)
        ew_order_pending(job);
    else
        ew_verify_begin(job);
}

static void
found(struct ew_job *job, const struct ew_ca_order *order, const struct ew_ca_reply *reply)
{
    struct ew_holder holder = ew_job_holder(job);

    job->order_id = ew_job_text(job, order->order_id);
    job->ca_date_ms = reply->date_ms;
    if (order->order_status != EW_CA_ST_ISSUED && order->order_status != EW_CA_ST_INITIAL &&
        order->order_status != EW_CA_ST_WAITING) {
        ew_job_fail_with(job, EW_FAIL_REFUSED, "order-cancelled", "",
                         "the order of this request was cancelled or revoked at GlobalSign",
                         "Find out who did; send a new request if it is still wanted.");
        ew_answer_rejected(job);
        return;
    }
    job->cert_text = order->certificate[0] == '\0' ? NULL : ew_job_text(job, order->certificate);
    ew_store_take_order(job->flow->store, &holder, job->order_id, on_taken, ew_job_out(job));
}

/* --- reading a list --- */

static bool
has_our_key(const struct ew_job *job, const struct ew_ca_order *order)
{
    struct ew_cert *cert;
    struct ew_err err;
    bool ours;

    if (order->certificate[0] == '\0' ||
        ew_cert_read(order->certificate, strlen(order->certificate), &cert, &err) != EW_OK)
        return false;
    ours = memcmp(ew_cert_facts(cert)->spki_sha256, job->spki, sizeof(job->spki)) == 0;
    ew_cert_free(cert);
    return ours;
}

/* An order of our profile and name that has no certificate yet might be ours. */
static bool
may_become_ours(const struct ew_job *job, const struct ew_ca_order *order)
{
    bool unfinished = order->order_status == EW_CA_ST_INITIAL ||
                      order->order_status == EW_CA_ST_WAITING ||
                      order->order_status > EW_CA_ST_REVOKED;
    bool issued_blind = order->order_status == EW_CA_ST_ISSUED && order->certificate[0] == '\0';

    return (unfinished || issued_blind) && strcmp(order->cn, job->names.cn) == 0;
}

static bool
is_target(const struct ew_job *job, const struct ew_ca_order *order)
{
    return job->req.op == EW_OP_RENEW && job->has_target &&
           strcmp(order->order_id, job->target.first.certificate.order_id) == 0;
}

/* The next part of a window that came back capped, or the end of the windows. */
static void
next_window(struct ew_job *job, bool capped)
{
    struct ew_search *search = &job->search;
    int64_t now = ew_desk_ca_now(job->setting->desk);

    if (!capped) {
        if (search->to_ms == 0 || search->to_ms >= search->end_ms) {
            search->from_ms = search->to_ms = 0;
            return;
        }
        search->from_ms = search->to_ms;
        search->to_ms = search->end_ms;
        return;
    }
    if (now == 0 || (search->to_ms > 0 && search->to_ms - search->from_ms <= WINDOW_MIN_MS)) {
        search->ambiguous = true;
        search->from_ms = search->to_ms = 0;
        return;
    }
    if (search->to_ms == 0) {
        search->from_ms = (search->attempt_date_ms > 0 ? search->attempt_date_ms : now) - DAY_MS;
        search->to_ms = search->end_ms = now + DAY_MS;
        return;
    }
    search->to_ms = search->from_ms + (search->to_ms - search->from_ms) / 2;
}

static void
whole_list_seen(struct ew_job *job)
{
    struct ew_search *search = &job->search;
    int64_t now = ew_desk_ca_now(job->setting->desk);

    if (search->ambiguous || search->asked_ms < search->quiet_until) {
        again_later(job);
        return;
    }
    if (!search->guarding && now > 0) {
        /* Before "none" is final: a CA that normalises names would hide ours from a query by CN. */
        search->guarding = true;
        search->from_ms =
            (search->attempt_date_ms > 0 ? search->attempt_date_ms : now - DAY_MS) - MARGIN_MS;
        search->to_ms = search->end_ms = now + MARGIN_MS;
        ask(job);
        return;
    }
    conclude_none(job);
}

static void
read_list(struct ew_job *job, const struct ew_ca_reply *reply)
{
    struct ew_search *search = &job->search;

    for (size_t i = 0; i < reply->order_count; i++) {
        const struct ew_ca_order *order = &reply->orders[i];

        if (is_target(job, order))
            continue;
        if (has_our_key(job, order)) {
            found(job, order, reply);
            return;
        }
        if (may_become_ours(job, order)) {
            /* Of another request of ours it would be recorded, and have another key: Redis knows.
             */
            job->search.doubtful = ew_job_text(job, order->order_id);
            search->ambiguous = true;
        }
    }
    next_window(job, reply->capped);
    if (search->to_ms != 0)
        ask(job);
    else
        whole_list_seen(job);
}

static void
on_orders(void *arg, const struct ew_ca_reply *reply)
{
    struct ew_job *job = arg;

    job->call = NULL;
    ew_desk_learn(job->setting->desk, reply, false);
    if (job->dropped) {
        ew_job_release(job);
        return;
    }
    ew_turn_end(&job->turn, false);
    if (reply->cls == EW_CA_OK || (reply->cls == EW_CA_TRY_LATER && reply->capped))
        read_list(job, reply);
    else
        again_later(job);
}

/* --- asking --- */

static void
on_go(struct ew_turn *turn)
{
    struct ew_job *job = EW_CONTAINER(turn, struct ew_job, turn);
    struct ew_search *search = &job->search;

    if (search->to_ms == 0 && !search->guarding)
        search->asked_ms = ew_loop_now(job->flow->loop);
    job->gate_said_yes = false;
    job->call = ew_ca_get_orders(job->setting->desk->ca, job->setting->setting->profile,
                                 search->guarding ? NULL : job->names.cn, search->from_ms,
                                 search->to_ms, on_orders, job);
    if (job->call == NULL) {
        ew_turn_end(turn, true);
        again_later(job);
    }
}

static void
on_held(struct ew_turn *turn, int code, const char *problem)
{
    ew_job_held(EW_CONTAINER(turn, struct ew_job, turn), problem, code);
}

static void
ask(struct ew_job *job)
{
    job->turn.go = on_go;
    job->turn.held = on_held;
    ew_desk_ask(job->setting->desk, &job->turn, EW_RATE_QUERY);
}

/* The mailbox of a deposed worker, or a wipe, may have changed what there is to find. */
static void
on_looked(void *arg, enum ew_fault fault, enum ew_canary_state canary,
          const struct ew_record_view *view)
{
    struct ew_job *job = ew_job_back(arg);

    (void)canary;
    if (job == NULL)
        return;
    if (fault == EW_OK && view->outcome.len > 0 && view->state != EW_REC_DONE) {
        job->order_id = ew_job_text(job, view->order_id);
        job->cert_text =
            ew_arena_strndup(job->arena, (const char *)view->outcome.data, view->outcome.len);
        if (job->cert_text != NULL) {
            ew_verify_begin(job);
            return;
        }
    }
    if (fault == EW_OK && view->stopped)
        job->stopped = true;
    if (!job->has_spki) { /* no key was ever made: nothing can have been ordered */
        job->search.asked_ms = ew_loop_now(job->flow->loop);
        if (job->search.asked_ms < job->search.quiet_until)
            again_later(job);
        else
            conclude_none(job);
        return;
    }
    ask(job);
}

static void
look_again(struct ew_job *job)
{
    job->search.ambiguous = false;
    job->search.doubtful = NULL;
    ew_store_lookup(job->flow->store, job->req.request_id, on_looked, ew_job_out(job));
}

static void
begin(struct ew_job *job)
{
    struct ew_search *search = &job->search;
    struct ew_flow *flow = job->flow;
    bool key_used = search->key_used;

    memset(search, 0, sizeof(*search));
    search->key_used = key_used;
    search->quiet_until = ew_loop_now(flow->loop) + ew_config_quiet_ms(flow->config);
    memcpy(search->canary, flow->canary, sizeof(search->canary));
    search->attempt_date_ms = job->attempt_date_ms;
    ew_answer_progress(job, EW_RES_RECONCILING);
    if (search->canary[0] == '\0')
        ew_canary_check(flow);
    look_again(job);
}

void
ew_reconcile_begin(struct ew_job *job, const char *why)
{
    if (job->state != EW_ST_RECONCILE)
        ew_job_move(job, EW_ST_RECONCILE, why);
    if (job->setting == NULL) {
        ew_answer_parked(job, "setting-gone", NULL);
        return;
    }
    if (job->req.op == EW_OP_RENEW && !job->has_target) {
        job->after_target = begin;
        ew_target_resolve(job);
        return;
    }
    begin(job);
}
