/*
 * Looking for an order whose key GlobalSign made and whose reply was lost: it has no key of ours to
 * be known by. It is ours only if it is the one order of its profile, name and e-mail address from
 * the time of the attempt, by GlobalSign's own clock, that is nobody else's by what Redis knows. It
 * is worth nothing then, for its key was in the reply. Of several, or of one from a little before
 * or after, people say which is whose.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "job.h"
#include "room.h"

enum {
    MOST = 64,                /* orders in question, above which people look */
    NEAR_MS = 60 * 1000,      /* clocks of GlobalSign's own machines */
    AROUND_MS = 10 * NEAR_MS, /* what lies so near is not ours, and yet not surely another's */
};

struct candidate {
    char order_id[EW_MAX_ORDER_ID + 1];
    uint8_t key[32]; /* zeros: it shows none, which is nobody's */
    bool unfinished;
    bool certain; /* the very name, at the very time */
};

struct ew_orphans {
    struct candidate list[MOST];
    size_t count, at;
    char lone[EW_MAX_ORDER_ID + 1]; /* the only one, and since when (boot) */
    int64_t lone_since;
};

bool
ew_orphan_sought(const struct ew_job *job)
{
    return job->req.key == EW_KEY_GLOBALSIGN && !job->has_spki;
}

void
ew_orphans_clear(struct ew_job *job)
{
    if (job->search.orphans != NULL)
        job->search.orphans->count = 0;
}

/* --- does an order look like ours --- */

/* A CA may write a name in capitals, without its double spaces, or with signs for its umlauts. */
static const char *
next_letter(const char *at)
{
    while (*at != '\0' && !isalnum((unsigned char)*at))
        at++;
    return at;
}

bool
ew_order_same_name(const char *one, const char *other)
{
    one = next_letter(one);
    other = next_letter(other);
    while (*one != '\0' && tolower((unsigned char)*one) == tolower((unsigned char)*other)) {
        one = next_letter(one + 1);
        other = next_letter(other + 1);
    }
    return *one == '\0' && *other == '\0';
}

/* Between the moment in which it may have been sent and the last in which it may have come. */
static bool
within(const struct ew_job *job, int64_t when, int64_t margin_ms)
{
    const struct ew_config *config = job->flow->config;
    int64_t last = job->attempt_date_ms + config->time.send_window_ms + config->time.tcp_ms +
                   config->time.processing_ms;

    return when >= job->attempt_date_ms - margin_ms && when <= last + margin_ms;
}

static bool
at_the_very_time(const struct ew_job *job, const struct ew_ca_order *order)
{
    return job->attempt_date_ms > 0 && order->request_ms > 0 &&
           within(job, order->request_ms, NEAR_MS);
}

/* The very name, at the very time: enough to cancel it. */
static bool
is_certain(const struct ew_job *job, const struct ew_ca_order *order)
{
    return at_the_very_time(job, order) && strcasecmp(order->cn, job->names.cn) == 0 &&
           strcasecmp(order->email, job->names.email) == 0;
}

/* In some way like it: enough not to say that ours is not there. */
static bool
is_like_ours(const struct ew_job *job, const struct ew_ca_order *order)
{
    bool dated = job->attempt_date_ms > 0 && order->request_ms > 0;

    return ew_order_same_name(order->cn, job->names.cn) &&
           (job->names.email[0] == '\0' || strcasecmp(order->email, job->names.email) == 0) &&
           (!dated || within(job, order->request_ms, AROUND_MS));
}

static void
add(struct ew_job *job, const struct ew_ca_order *order, const uint8_t order_key[32])
{
    struct ew_orphans *orphans = job->search.orphans;
    struct candidate *candidate;

    if (orphans == NULL)
        orphans = job->search.orphans = ew_calloc(1, sizeof(*orphans));
    for (size_t i = 0; i < orphans->count && i < MOST; i++)
        if (strcmp(orphans->list[i].order_id, order->order_id) == 0)
            return; /* seen in two parts of a list */
    if (orphans->count++ >= MOST)
        return;
    candidate = &orphans->list[orphans->count - 1];
    *candidate = (struct candidate){.unfinished = ew_order_unfinished(order),
                                    .certain = is_certain(job, order)};
    (void)snprintf(candidate->order_id, sizeof(candidate->order_id), "%s", order->order_id);
    if (order_key != NULL)
        memcpy(candidate->key, order_key, sizeof(candidate->key));
}

void
ew_orphan_look(struct ew_job *job, const struct ew_ca_order *order, const uint8_t order_key[32])
{
    if (!ew_order_ended(order->order_status) && is_like_ours(job, order))
        add(job, order, order_key);
    else if (at_the_very_time(job, order) && is_like_ours(job, order))
        ew_reconcile_note_ended(job, order->order_id);
}

/* --- whose are they --- */

static void ask_next(struct ew_job *job);

static bool
is_anothers(const struct ew_job *job, const char *request_id)
{
    return request_id[0] != '\0' && strcmp(request_id, job->req.request_id) != 0;
}

/* Only Redis knows, and only one that is whole. */
static void
on_owners(void *arg, enum ew_fault fault, enum ew_canary_state canary,
          const struct ew_order_owners *owners)
{
    struct ew_job *job = ew_job_back(arg);
    struct ew_orphans *orphans;

    if (job == NULL)
        return;
    orphans = job->search.orphans;
    if (fault != EW_OK || canary != EW_CANARY_OK) {
        ew_reconcile_later(job);
        return;
    }
    if (is_anothers(job, owners->by_order) || is_anothers(job, owners->by_key))
        orphans->list[orphans->at] = orphans->list[--orphans->count];
    else
        orphans->at++;
    ask_next(job);
}

/* --- the verdict --- */

static void
on_owner(struct ew_job *job, enum ew_owner owner, const char *other,
         const struct ew_record_view *view)
{
    (void)other;
    switch (owner) {
    case EW_OWNER_SELF:
        ew_metric_add(job->flow->metrics, EW_METRIC_RECONCILES, 0, 1);
        job->search.quiet_until = 0;
        if (ew_reconcile_hears_of_loss(job, view)) {
            ew_claim_begin(job);
            return;
        }
        if (ew_misfit_known(job, view))
            return;
        job->order_id = ew_job_text(job, job->search.orphans->list[0].order_id);
        ew_lost_key_begin(job);
        return;
    case EW_OWNER_DONE:
    case EW_OWNER_EVENT: /* the claim says what follows */
        ew_claim_begin(job);
        return;
    case EW_OWNER_REQUEST:
    case EW_OWNER_UNSAID:
        ew_reconcile_later(job);
        return;
    }
}

/* Another request's order is nobody's until its own reply has come: so long it is watched. */
static bool
watched(const struct ew_job *job)
{
    struct ew_orphans *orphans = job->search.orphans;
    const char *id = orphans->list[0].order_id;

    if (strcmp(orphans->lone, id) != 0) {
        (void)snprintf(orphans->lone, sizeof(orphans->lone), "%s", id);
        orphans->lone_since = job->search.asked_ms;
    }
    return job->search.asked_ms - orphans->lone_since >= job->setting->setting->account->order_ms;
}

static bool
any_unfinished(const struct ew_orphans *orphans)
{
    for (size_t i = 0; i < orphans->count; i++)
        if (orphans->list[i].unfinished)
            return true;
    return false;
}

static void
decide(struct ew_job *job)
{
    const struct ew_search *search = &job->search;
    const struct ew_orphans *orphans = search->orphans;
    bool lone = orphans->count == 1, old = lone && watched(job);
    bool ours = lone && orphans->list[0].certain;
    bool whole = search->asked_ms >= search->quiet_until && !any_unfinished(orphans);

    if (!whole || (search->last && ours && !old))
        ew_reconcile_later(job);
    else if (!search->last) /* under a name that was rewritten there may be another */
        ew_reconcile_scan(job);
    else if (!ours)
        ew_reconcile_ambiguous(job);
    else
        ew_owner_ask(job, orphans->list[0].order_id, on_owner);
}

static void
ask_next(struct ew_job *job)
{
    struct ew_orphans *orphans = job->search.orphans;

    if (orphans == NULL || orphans->count == 0)
        ew_reconcile_nothing(job);
    else if (orphans->count > MOST)
        ew_reconcile_ambiguous(job);
    else if (orphans->at < orphans->count)
        ew_store_owners(job->flow->store, orphans->list[orphans->at].order_id,
                        orphans->list[orphans->at].key, on_owners, ew_job_out(job));
    else
        decide(job);
}

void
ew_orphans_judge(struct ew_job *job)
{
    if (job->search.orphans != NULL)
        job->search.orphans->at = 0;
    ask_next(job);
}

/* --- when was it --- */

/* Who adopted the request did not send the order: the record of its intent says when. */
static void
on_topics(void *arg, enum ew_fault fault, const struct ew_topic_view *view)
{
    struct ew_job *job = ew_job_back(arg);

    if (job == NULL)
        return;
    if (fault != EW_OK) {
        ew_job_retry(job, ew_orphan_date);
        return;
    }
    job->attempt_date_ms = view->ca_date_ms;
    job->search.dated = true;
    ew_reconcile_begin(job, "");
}

void
ew_orphan_date(struct ew_job *job)
{
    if (ew_topics_busy(job->flow))
        ew_job_retry(job, ew_orphan_date);
    else
        ew_topics_look(job->flow, job->req.request_id, on_topics, ew_job_out(job));
}
