/*
 * What a list of GlobalSign's orders shows of a job that looks for its own: the order, whose it is
 * otherwise, and what in a whole list is in doubt.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "job.h"

enum {
    ASK_AGAIN_MS = 500,
    CLOCKS_MS = 60 * 1000, /* between those of the CA's own machines */
};

/* --- an order with its key --- */

bool
ew_reconcile_foreign(struct ew_job *job)
{
    struct ew_search *search = &job->search;

    if (search->foreign_count == EW_FOREIGN) {
        ew_answer_parked(job, "key-used-too-often", NULL);
        return false;
    }
    search->foreign[search->foreign_count++] = job->order_id;
    job->order_id = "";
    job->cert_text = NULL;
    return true;
}

/* With our key, but another request's. */
static void
foreign(struct ew_job *job, const char *other)
{
    EW_LOG(EW_LOG_WARN, "flow", "an order with this key belongs to another request",
           EW_STR("request_id", job->req.request_id), EW_STR("other", other),
           EW_STR("order_id", job->order_id));
    if (ew_reconcile_foreign(job))
        ew_reconcile_later(job);
}

static void
go_on(struct ew_job *job, const struct ew_record_view *view)
{
    bool wanted = !job->ended_by_people;

    ew_metric_add(job->flow->metrics, EW_METRIC_RECONCILES, 0, 1);
    job->search.quiet_until = 0;
    if (ew_reconcile_hears_of_loss(job, view)) {
        ew_claim_begin(job);
        return;
    }
    if (ew_misfit_known(job, view) || (wanted && ew_reconcile_asks_for_key(job)))
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
    case EW_OWNER_UNSAID: /* not answered before Redis can say; nor is it taken along */
        job->order_id = "";
        job->cert_text = NULL;
        ew_job_after(job, ASK_AGAIN_MS, ew_reconcile_again);
        return;
    }
}

static void
found(struct ew_job *job, const struct ew_ca_order *order, const struct ew_ca_reply *reply)
{
    struct ew_search *search = &job->search;

    job->order_id = search->seen_id = ew_job_same(job, search->seen_id, order->order_id);
    job->ca_date_ms = reply->date_ms;
    search->status = order->order_status;
    job->cert_text = NULL;
    if (order->certificate[0] != '\0')
        job->cert_text = search->seen_cert =
            ew_job_same(job, search->seen_cert, order->certificate);
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
    return is_target(job, order_id) || is_foreign(&job->search, order_id) ||
           ew_text_has(job->lost_orders, order_id);
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
        ew_reconcile_none(job);
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
        ew_reconcile_none(job);
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
