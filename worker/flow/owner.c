/*
 * Whose is an order that a reply or a list tells, and is the request still this event's? Redis
 * says, and only one that is whole can say that a request is nobody's.
 */
#include <string.h>

#include "job.h"

/* It left for the room or for people, and its mark was lost: who comes back for it answers it. */
static bool
left_before(const struct ew_job *job, const struct ew_record_view *view)
{
    return job->original.topic[0] == '\0' &&
           (view->state == EW_REC_WAITING || view->state == EW_REC_PARKED);
}

bool
ew_owner_is_another(const struct ew_job *job, const struct ew_record_view *view)
{
    return view->state != EW_REC_ABSENT &&
           (!ew_job_is_source(job, &view->source) || left_before(job, view));
}

bool
ew_owner_unheard(const struct ew_job *job)
{
    return !job->heard && (job->record->started || job->record->doubt);
}

void
ew_owner_hears(struct ew_job *job, const struct ew_record_view *view)
{
    job->heard = true;
    if (!ew_job_is_source(job, &view->source))
        return;
    if (job->attempt == 0)
        job->attempt = view->attempt;
    if (job->req.key == EW_KEY_WORKER && !job->has_spki && view->has_spki) {
        memcpy(job->spki, view->spki, sizeof(job->spki));
        job->has_spki = true;
    }
    ew_misfit_note(job, view);
}

static void
on_holder(void *arg, enum ew_fault fault, enum ew_canary_state canary,
          const struct ew_record_view *view)
{
    struct ew_job *job = ew_job_back(arg);

    if (job == NULL)
        return;
    if (fault == EW_OK && view->state == EW_REC_DONE && ew_job_is_source(job, &view->source))
        job->on_owner(job, EW_OWNER_DONE, "", NULL); /* rebuilt since the search began */
    else if (fault == EW_OK && ew_owner_is_another(job, view))
        job->on_owner(job, EW_OWNER_EVENT, "", NULL);
    else if (fault != EW_OK || canary != EW_CANARY_OK) /* what answers brought is restored last */
        job->on_owner(job, EW_OWNER_UNSAID, "", NULL);
    else {
        ew_owner_hears(job, view);
        job->on_owner(job, EW_OWNER_SELF, "", view);
    }
}

static void
on_taken(void *arg, enum ew_fault fault, bool mine, const char *other)
{
    struct ew_job *job = ew_job_back(arg);

    if (job == NULL)
        return;
    if (fault != EW_OK)
        job->on_owner(job, EW_OWNER_UNSAID, "", NULL);
    else if (mine)
        ew_store_lookup(job->flow->store, job->req.request_id, on_holder, ew_job_out(job));
    else
        job->on_owner(job, EW_OWNER_REQUEST, other, NULL);
}

void
ew_owner_ask(struct ew_job *job, const char *order_id, ew_owner_fn *done)
{
    struct ew_holder holder = ew_job_holder(job);

    job->on_owner = done;
    ew_store_take_order(job->flow->store, &holder, job->attempt, order_id, on_taken,
                        ew_job_out(job));
}

/* --- whoever adopted a request while Redis could not tell what stands of it --- */

static void
on_listened(void *arg, enum ew_fault fault, enum ew_canary_state canary,
            const struct ew_record_view *view)
{
    struct ew_job *job = ew_job_back(arg);

    if (job == NULL || fault != EW_OK || canary != EW_CANARY_OK)
        return;
    if (ew_owner_is_another(job, view)) /* of this event it knows nothing */
        job->heard = true;
    else if (!ew_reconcile_hears_of_loss(job, view)) /* that takes a claim */
        ew_owner_hears(job, view);
}

void
ew_owner_listen(struct ew_job *job)
{
    ew_store_lookup(job->flow->store, job->req.request_id, on_listened, ew_job_out(job));
}
