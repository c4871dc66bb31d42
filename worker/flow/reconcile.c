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
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/without.h"
#include "job.h"

enum {
    DAY_MS = 24 * 3600 * 1000,
    WHOLE_POLL_MS = 2000,
    CROWD = 20, /* above so many unknown orders of a setting, all look at once instead of each */
};

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

void
ew_reconcile_none(struct ew_job *job)
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
    ew_job_after(job, delay, ew_reconcile_again);
}

/* --- asking --- */

bool
ew_reconcile_asks_for_key(struct ew_job *job)
{
    if (!ew_job_key_unheard(job))
        return false;
    ew_claim_begin(job);
    return true;
}

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

/* It needs no search: it was answered, or is another event's to answer. The job goes on. */
static bool
is_settled(struct ew_job *job, const struct ew_record_view *view)
{
    if (answered_already(job, view)) {
        ew_answer_nothing(job, "answered before; only its mark was lost");
        return true;
    }
    if (!ew_owner_is_another(job, view))
        return false;
    ew_claim_begin(job);
    return true;
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
        ew_reconcile_none(job);
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
                   !ew_text_has(view->lost_orders, view->order_id) &&
                   !ew_reconcile_passes(job, view->order_id);

    return view->state != EW_REC_DONE && (view->outcome.len > 0 || ordered);
}

bool
ew_reconcile_hears_of_loss(const struct ew_job *job, const struct ew_record_view *view)
{
    return view->state != EW_REC_DONE && view->lost_orders[0] != '\0' &&
           strcmp(view->lost_orders, job->lost_orders) != 0;
}

/* The mailbox of a deposed worker, or a wipe, may have changed what there is to find. */
static void
on_looked(void *arg, enum ew_fault fault, enum ew_canary_state canary,
          const struct ew_record_view *view)
{
    struct ew_job *job = ew_job_back(arg);

    if (job == NULL)
        return;
    if (fault == EW_OK && is_settled(job, view))
        return;
    if (fault == EW_OK && canary == EW_CANARY_OK)
        ew_owner_hears(job, view);
    if (fault == EW_OK && ew_misfit_known(job, view))
        return;
    if (fault == EW_OK && ew_reconcile_hears_of_loss(job, view)) {
        ew_claim_begin(job);
        return;
    }
    if (fault == EW_OK && is_told(job, view)) {
        job->order_id = ew_job_same(job, job->order_id, view->order_id);
        ew_outcome_read(job, &view->outcome);
        if (job->cert_text != NULL) {
            if (ew_reconcile_asks_for_key(job))
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

void
ew_reconcile_again(struct ew_job *job)
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

static void ask_if_answered(struct ew_job *job);

static void
on_asked(void *arg, enum ew_fault fault, enum ew_canary_state canary,
         const struct ew_record_view *view)
{
    struct ew_job *job = ew_job_back(arg);

    if (job == NULL)
        return;
    if (fault == EW_OK && is_settled(job, view))
        return;
    if (fault == EW_OK && canary == EW_CANARY_OK && ew_reconcile_hears_of_loss(job, view)) {
        ew_claim_begin(job); /* which brings all of that */
    } else if (fault == EW_OK && canary == EW_CANARY_OK) {
        ew_owner_hears(job, view);
        cannot_look(job, job->search.unfindable);
    } else {
        if (fault == EW_OK)
            ew_canary_check(job->flow);
        ew_job_after(job, WHOLE_POLL_MS, ask_if_answered);
    }
}

static void
ask_if_answered(struct ew_job *job)
{
    ew_store_lookup(job->flow->store, job->req.request_id, on_asked, ew_job_out(job));
}

/* Where a commit was lost, so may Redis be, and what comes again may long have its answer. */
void
ew_reconcile_unfindable(struct ew_job *job, const char *why)
{
    job->search.unfindable = why;
    if (job->ended_by_people)
        cannot_look(job, why);
    else
        ask_if_answered(job);
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
    struct ew_search kept = {.key_used = search->key_used,
                             .dated = search->dated,
                             .foreign_count = search->foreign_count};

    memcpy(kept.foreign, search->foreign, sizeof(kept.foreign));
    if (job->names.cn == NULL) {
        ew_reconcile_unfindable(job, "names-unknown");
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
    ew_reconcile_again(job);
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
    job->verdict = false;
    if (undated(job)) { /* first: what parks or leaves takes the place of the record that says it */
        ew_orphan_date(job);
        return;
    }
    if (job->setting == NULL) {
        ew_reconcile_unfindable(job, "setting-gone");
        return;
    }
    if (job->req.op == EW_OP_RENEW && !job->has_target) {
        job->after_target = begin;
        ew_target_resolve(job);
        return;
    }
    begin(job);
}
