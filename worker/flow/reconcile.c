/*
 * Finding out what became of an order whose outcome is unknown. "Found" is final at once; "none"
 * only when a query that began after the quiet period shows whole lists without it; anything that
 * might still become our order is "ambiguous" and waits. No clock of ours decides: windows hang on
 * the CA's own Date.
 *
 * An order shows its public key only in its certificate. Before that it can be told from ours by
 * its name, and not even by that in the last list, of the whole profile: a CA that rewrites names
 * would have rewritten ours. So there each unfinished order of the attempt's time is in doubt,
 * whatever its name, but those that Redis knows as another request's. One that somebody placed in
 * the portal then holds our "none" back until it is issued or cancelled: better late than twice.
 * What appears in later lists only is nobody's doubt: after the quiet period ours would have been
 * in the first one, and under load some order is always unfinished.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/without.h"
#include "job.h"

enum {
    DAY_MS = 24 * 3600 * 1000,
    ASK_AGAIN_MS = 500,
    CLOCKS_MS = 60 * 1000, /* between those of the CA's own machines */
    CROWD = 20, /* above so many unknown orders of a setting, all look at once instead of each */
};

static void look_again(struct ew_job *job);

/* --- the verdicts --- */

/* The device's key may be known from elsewhere; if no order of the request before this one can have
 * got there, it is. */
static void
fail_key_used(struct ew_job *job)
{
    if (job->req.key == EW_KEY_CSR && job->vanished == 0)
        ew_job_fail_with(job, EW_FAIL_REFUSED, EW_KEY_USED_PROBLEM, "key",
                         "GlobalSign says that this public key or order was used before",
                         "Make a new key and send a new request.");
    else
        ew_job_fail_with(job, EW_FAIL_REFUSED, "key-used-unseen", "key",
                         "GlobalSign says that this public key or order was used before, perhaps "
                         "by an order of this very request, which it does not show",
                         "Send a new request, with a new key; should that order appear, it is "
                         "ended as a surplus.");
}

static void
conclude_none(struct ew_job *job)
{
    ew_metric_add(job->flow->metrics, EW_METRIC_RECONCILES, 1, 1);
    job->search.quiet_until = 0;
    if (job->search.key_used) {
        fail_key_used(job);
        ew_answer_rejected(job);
        return;
    }
    job->verdict = true;
    ew_claim_begin(job);
}

void
ew_reconcile_later(struct ew_job *job)
{
    struct ew_backoff backoff = {.first_ms = job->flow->config->time.reconcile_first_ms,
                                 .max_ms = job->flow->config->time.reconcile_max_ms};
    int64_t delay = ew_backoff_ms(&backoff, ++job->search.round, ew_random_u32());
    int64_t left = job->search.quiet_until - ew_loop_now(job->flow->loop);

    if (left > 0 && left < delay)
        delay = left + 1;
    ew_job_after(job, delay, look_again);
}

/* With our key, but another request's: passed over from now on. */
static void
foreign(struct ew_job *job, const char *other)
{
    struct ew_search *search = &job->search;

    EW_LOG(EW_LOG_WARN, "flow", "an order with this key belongs to another request",
           EW_STR("request_id", job->req.request_id), EW_STR("other", other),
           EW_STR("order_id", job->order_id));
    if (search->foreign_count == EW_FOREIGN) {
        ew_answer_parked(job, "key-used-too-often", NULL);
        return;
    }
    search->foreign[search->foreign_count++] = job->order_id;
    job->order_id = "";
    job->cert_text = NULL;
    ew_reconcile_later(job);
}

/* Only a claim brings the wrapped key: while Redis was away when this began, nothing is lost yet.
 */
static bool
asks_for_key(struct ew_job *job)
{
    if (!ew_job_key_unheard(job))
        return false;
    ew_claim_begin(job);
    return true;
}

static void
go_on(struct ew_job *job, const struct ew_record_view *view)
{
    bool wanted = !job->ended_by_people;

    ew_metric_add(job->flow->metrics, EW_METRIC_RECONCILES, 0, 1);
    job->search.quiet_until = 0;
    if (ew_misfit_known(job, view) || (wanted && asks_for_key(job)))
        return;
    if (wanted && ew_order_ended(job->search.status))
        ew_verify_ended(job);
    else if (wanted && (job->search.status != EW_CA_ST_ISSUED || job->cert_text == NULL))
        ew_order_pending(job);
    else
        ew_verify_begin(job);
}

static void
on_owner(struct ew_job *job, enum ew_owner owner, const char *other,
         const struct ew_record_view *view)
{
    switch (owner) {
    case EW_OWNER_SELF:
        go_on(job, view);
        return;
    case EW_OWNER_DONE:
    case EW_OWNER_EVENT: /* the claim says what follows */
        ew_claim_begin(job);
        return;
    case EW_OWNER_REQUEST:
        foreign(job, other);
        return;
    case EW_OWNER_UNSAID: /* not answered before Redis can say */
        ew_job_after(job, ASK_AGAIN_MS, look_again);
        return;
    }
}

static void
found(struct ew_job *job, const struct ew_ca_order *order, const struct ew_ca_reply *reply)
{
    job->order_id = ew_job_same(job, job->order_id, order->order_id);
    job->ca_date_ms = reply->date_ms;
    job->search.status = order->order_status;
    if (order->certificate[0] != '\0')
        job->cert_text = ew_job_same(job, job->cert_text, order->certificate);
    else
        job->cert_text = NULL;
    ew_owner_ask(job, job->order_id, on_owner);
}

static bool
is_foreign(const struct ew_search *search, const char *order_id)
{
    for (size_t i = 0; i < search->foreign_count; i++)
        if (strcmp(search->foreign[i], order_id) == 0)
            return true;
    return false;
}

/* --- reading a list --- */

bool
ew_order_key(const struct ew_ca_order *order, uint8_t key[32])
{
    struct ew_cert_id id;
    struct ew_err err;

    if (order->certificate[0] == '\0' ||
        ew_cert_identify(order->certificate, strlen(order->certificate), &id, &err) != EW_OK)
        return false;
    memcpy(key, id.spki_sha256, sizeof(id.spki_sha256));
    return true;
}

bool
ew_order_unfinished(const struct ew_ca_order *order)
{
    return order->order_status == EW_CA_ST_INITIAL || order->order_status == EW_CA_ST_WAITING ||
           order->order_status > EW_CA_ST_REVOKED ||
           (order->order_status == EW_CA_ST_ISSUED && order->certificate[0] == '\0');
}

/* Under our name, and ended before anybody saw its certificate: in the attempt's time. */
static bool
may_have_been_ours(const struct ew_job *job, const struct ew_ca_order *order)
{
    return !ew_order_unfinished(order) && order->certificate[0] == '\0' &&
           ew_order_same_name(order->cn, job->names.cn) &&
           (order->request_ms == 0 || order->request_ms >= job->search.attempt_date_ms - CLOCKS_MS);
}

static bool
is_target(const struct ew_job *job, const char *order_id)
{
    return job->req.op == EW_OP_RENEW && job->has_target &&
           strcmp(order_id, job->target.first.certificate.order_id) == 0;
}

bool
ew_reconcile_passes(const struct ew_job *job, const char *order_id)
{
    return is_target(job, order_id) || is_foreign(&job->search, order_id);
}

bool
ew_reconcile_look(struct ew_job *job, const struct ew_ca_order *order, const uint8_t order_key[32],
                  const struct ew_ca_reply *reply)
{
    if (ew_reconcile_passes(job, order->order_id))
        return false;
    if (ew_orphan_sought(job)) {
        ew_orphan_look(job, order, order_key);
        return false;
    }
    if (order_key != NULL && memcmp(order_key, job->spki, sizeof(job->spki)) == 0) {
        ew_link_remove(&job->in_list);
        found(job, order, reply);
        return true;
    }
    if (may_have_been_ours(job, order))
        ew_reconcile_note_ended(job, order->order_id);
    return false;
}

void
ew_reconcile_note_ended(struct ew_job *job, const char *order_id)
{
    struct ew_search *search = &job->search;

    if (!search->last)
        return;
    if (search->ended == NULL)
        search->ended = ew_doubts_new();
    ew_doubts_add(search->ended, order_id);
}

/* --- a whole list without it: what is in doubt? --- */

/* Ours, if it was ours, is never ordered again by itself: whoever cancelled it may want it so. */
static void
on_ended(struct ew_job *job, enum ew_inquired result, const char *order_id)
{
    char message[EW_MAX_ORDER_ID + 200];

    if (result == EW_INQUIRED_OTHERS) {
        conclude_none(job);
    } else if (result == EW_INQUIRED_NOBODYS) {
        (void)snprintf(message, sizeof(message),
                       "order %s under this name was cancelled at GlobalSign before it was issued, "
                       "and may have been this request's: try again to order anew, or end it",
                       order_id);
        job->letter_message = ew_job_text(job, message);
        job->letter_order = ew_job_text(job, order_id);
        ew_answer_parked(job, EW_CANCELLED_REASON, NULL);
    } else {
        ew_reconcile_later(job);
    }
}

static bool
would_order(const struct ew_job *job)
{
    return job->failure.cls == EW_FAIL_NONE && !job->search.key_used && !job->stopped &&
           !job->cancelled_known;
}

void
ew_reconcile_nothing(struct ew_job *job)
{
    struct ew_search *search = &job->search;
    struct ew_inquiry inquiry = {.list = search->ended, .own_too = true, .done = on_ended};

    if (search->asked_ms < search->quiet_until)
        ew_reconcile_later(job);
    else if (!search->last) /* a CA that normalises names would hide ours from a query by name */
        ew_reconcile_scan(job);
    else if (search->ended != NULL && would_order(job))
        ew_doubts_inquire(job, &inquiry);
    else
        conclude_none(job);
}

static void
on_unfinished(struct ew_job *job, enum ew_inquired result, const char *order_id)
{
    (void)order_id;
    if (result == EW_INQUIRED_OTHERS)
        ew_reconcile_nothing(job);
    else
        ew_reconcile_later(job);
}

void
ew_reconcile_seen(struct ew_job *job, int64_t asked_ms, bool whole, struct ew_doubts *unfinished)
{
    struct ew_search *search = &job->search;
    struct ew_inquiry inquiry = {.list = unfinished, .done = on_unfinished};
    int64_t now = ew_loop_now(job->flow->loop);

    search->asked_ms = asked_ms;
    if (whole && ew_orphan_sought(job)) {
        ew_orphans_judge(job);
        return;
    }
    if (!whole || asked_ms < search->quiet_until) {
        ew_reconcile_later(job);
        return;
    }
    if (search->last && search->suspects == NULL) {
        search->suspects = ew_doubts_ref(unfinished);
        /* Only another pass, as long as this one, can settle them. */
        search->chance_until = now + (now - asked_ms) + ew_config_quiet_ms(job->flow->config);
    }
    if (search->last)
        inquiry.among = search->suspects;
    ew_doubts_inquire(job, &inquiry);
}

/* --- asking --- */

void
ew_reconcile_scan(struct ew_job *job)
{
    ew_orphans_clear(job);
    ew_doubts_unref(job->search.ended);
    job->search.ended = NULL;
    job->search.last = true;
    ew_scan_join(job);
}

static bool
answered_already(const struct ew_job *job, const struct ew_record_view *view)
{
    return view->state == EW_REC_DONE && ew_job_is_source(job, &view->source);
}

/* The room's record is of the last attempt, unless the resume has begun another since. */
static bool
left_with_key(const struct ew_job *job)
{
    return job->wrapped.len > 0 && !(job->original.topic[0] != '\0' && job->record->started);
}

/* No key was ever made, says a Redis that knows: nothing can have been ordered. */
static void
keyless(struct ew_job *job, bool known)
{
    job->search.asked_ms = ew_loop_now(job->flow->loop);
    if (known && job->wrapped.len == 0 && job->search.asked_ms >= job->search.quiet_until)
        conclude_none(job);
    else
        ew_reconcile_later(job);
}

/* No order is older than its event; by other people's clocks, so a day is left for those. */
int64_t
ew_reconcile_since(const struct ew_job *job)
{
    int64_t first = job->received_ms, sent = ew_job_came(job).timestamp_ms;

    if (job->attempt_date_ms > 0)
        return job->attempt_date_ms;
    if (sent > 0 && sent < first)
        first = sent;
    return first - DAY_MS;
}

/* What became of the order, or its id alone: it was not issued yet. Of one whose key was to come
 * with its certificate that says nothing. */
static bool
is_told(const struct ew_job *job, const struct ew_record_view *view)
{
    bool ordered = view->order_id[0] != '\0' && job->req.key != EW_KEY_GLOBALSIGN &&
                   strcmp(view->order_id, view->lost_order) != 0 &&
                   !ew_reconcile_passes(job, view->order_id);

    return view->state != EW_REC_DONE && (view->outcome.len > 0 || ordered);
}

/* The mailbox of a deposed worker, or a wipe, may have changed what there is to find. */
static void
on_looked(void *arg, enum ew_fault fault, enum ew_canary_state canary,
          const struct ew_record_view *view)
{
    struct ew_job *job = ew_job_back(arg);

    if (job == NULL)
        return;
    if (fault == EW_OK && answered_already(job, view)) {
        ew_answer_nothing(job, "answered before; only its mark was lost");
        return;
    }
    if (fault == EW_OK && ew_owner_is_another(job, view)) {
        ew_claim_begin(job);
        return;
    }
    if (fault == EW_OK && ew_misfit_known(job, view))
        return;
    if (fault == EW_OK && is_told(job, view)) {
        job->order_id = ew_job_same(job, job->order_id, view->order_id);
        ew_outcome_read(job, &view->outcome);
        if (job->cert_text != NULL) {
            if (asks_for_key(job))
                return;
            if (job->cert_text[0] != '\0')
                ew_verify_begin(job);
            else
                ew_order_pending(job);
            return;
        }
    }
    if (fault == EW_OK && view->stopped)
        job->stopped = true;
    if (fault == EW_OK && !job->has_spki && view->has_spki && !ew_orphan_sought(job)) {
        memcpy(job->spki, view->spki, sizeof(job->spki));
        job->has_spki = true;
    }
    if (!job->has_spki && left_with_key(job))
        (void)ew_key_open(job);
    if (!job->has_spki && !ew_orphan_sought(job)) {
        keyless(job, fault == EW_OK && canary == EW_CANARY_OK);
        return;
    }
    if (job->setting->unknown > CROWD) {
        ew_reconcile_scan(job);
        return;
    }
    job->search.last = false;
    ew_orphans_clear(job);
    ew_scan_by_name(job);
}

static void
look_again(struct ew_job *job)
{
    ew_store_lookup(job->flow->store, job->req.request_id, on_looked, ew_job_out(job));
}

/* A person decides, unless one has. */
static void
cannot_look(struct ew_job *job, const char *why)
{
    if (job->ended_by_people)
        ew_answer_rejected(job);
    else
        ew_answer_parked(job, why, NULL);
}

void
ew_reconcile_ambiguous(struct ew_job *job)
{
    cannot_look(job, "orders-ambiguous");
}

void
ew_reconcile_forget(struct ew_job *job)
{
    struct ew_search *search = &job->search;

    free(search->orphans);
    search->orphans = NULL;
    ew_doubts_unref(search->unfinished);
    ew_doubts_unref(search->ended);
    ew_doubts_unref(search->suspects);
    ew_doubts_unref(search->inquiry.list);
    search->unfinished = search->ended = search->suspects = search->inquiry.list = NULL;
}

static void
begin(struct ew_job *job)
{
    struct ew_search *search = &job->search;
    struct ew_flow *flow = job->flow;
    struct ew_search kept = {.key_used = search->key_used, .dated = search->dated};

    if (job->names.cn == NULL) {
        cannot_look(job, "names-unknown");
        return;
    }
    if (ew_misfit_known(job, NULL))
        return;
    if (job->order_id[0] != '\0') { /* known by its id, whatever key its certificate carries */
        if (job->ended_by_people)
            ew_verify_begin(job);
        else
            ew_order_pending(job);
        return;
    }
    ew_reconcile_forget(job);
    *search = kept;
    search->quiet_until = ew_loop_now(flow->loop);
    if (!EW_WITHOUT(QUIET))
        search->quiet_until += ew_config_quiet_ms(flow->config);
    search->chance_until = search->quiet_until + ew_config_quiet_ms(flow->config);
    memcpy(search->canary, flow->canary, sizeof(search->canary));
    search->attempt_date_ms = ew_reconcile_since(job);
    ew_answer_progress(job, EW_RES_RECONCILING);
    if (search->canary[0] == '\0')
        ew_canary_check(flow);
    look_again(job);
}

static bool
undated(const struct ew_job *job)
{
    return ew_orphan_sought(job) && job->order_id[0] == '\0' && job->attempt_date_ms == 0 &&
           !job->search.dated;
}

void
ew_reconcile_begin(struct ew_job *job, const char *why)
{
    if (job->state != EW_ST_RECONCILE)
        ew_job_move(job, EW_ST_RECONCILE, why);
    if (undated(job)) { /* first: what parks or leaves takes the place of the record that says it */
        ew_orphan_date(job);
        return;
    }
    if (job->setting == NULL) {
        cannot_look(job, "setting-gone");
        return;
    }
    if (job->req.op == EW_OP_RENEW && !job->has_target) {
        job->after_target = begin;
        ew_target_resolve(job);
        return;
    }
    begin(job);
}
