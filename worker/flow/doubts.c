/*
 * Orders that a list shows without a certificate: nobody can see whose they are, unless Redis has
 * recorded them. A set of them is kept once for all who looked at the same list; what Redis said of
 * one is kept with it, for an order never changes hands.
 */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "job.h"

struct doubt {
    char *order_id;
    char *owner; /* the request id that Redis names; NULL = not known */
};

struct ew_doubts {
    unsigned refs;
    struct doubt *all;
    size_t count, room;
    struct ew_table *ids; /* order id -> something */
};

struct ew_doubts *
ew_doubts_new(void)
{
    struct ew_doubts *doubts = ew_calloc(1, sizeof(*doubts));

    doubts->ids = ew_table_new();
    doubts->refs = 1;
    return doubts;
}

struct ew_doubts *
ew_doubts_ref(struct ew_doubts *doubts)
{
    doubts->refs++;
    return doubts;
}

void
ew_doubts_unref(struct ew_doubts *doubts)
{
    if (doubts == NULL || --doubts->refs > 0)
        return;
    for (size_t i = 0; i < doubts->count; i++) {
        free(doubts->all[i].order_id);
        free(doubts->all[i].owner);
    }
    free(doubts->all);
    ew_table_free(doubts->ids);
    free(doubts);
}

static void
make_room(struct ew_doubts *doubts)
{
    size_t room = doubts->room == 0 ? 16 : 2 * doubts->room;

    if (doubts->count < doubts->room)
        return;
    doubts->all = ew_realloc(doubts->all, room * sizeof(*doubts->all));
    doubts->room = room;
}

void
ew_doubts_add(struct ew_doubts *doubts, const char *order_id)
{
    static char there;

    if (ew_doubts_have(doubts, order_id))
        return;
    make_room(doubts);
    ew_table_put(doubts->ids, order_id, &there);
    doubts->all[doubts->count++] = (struct doubt){.order_id = ew_strdup(order_id)};
}

bool
ew_doubts_have(const struct ew_doubts *doubts, const char *order_id)
{
    return ew_table_get(doubts->ids, order_id) != NULL;
}

/* --- whose they are --- */

static bool
is_passed_over(const struct ew_job *job, const char *order_id)
{
    const struct ew_inquiry *inquiry = &job->search.inquiry;

    return (inquiry->among != NULL && !ew_doubts_have(inquiry->among, order_id)) ||
           ew_reconcile_passes(job, order_id);
}

static void go_on(struct ew_job *job);

static void
end(struct ew_job *job, enum ew_inquired result)
{
    struct ew_inquiry inquiry = job->search.inquiry;

    job->search.inquiry = (struct ew_inquiry){.list = NULL};
    inquiry.done(job, result,
                 inquiry.at < inquiry.list->count ? inquiry.list->all[inquiry.at].order_id : "");
    ew_doubts_unref(inquiry.list);
}

static void
on_owner(void *arg, enum ew_fault fault, enum ew_canary_state canary, const char *request_id)
{
    struct ew_job *job = ew_job_back(arg);
    struct ew_inquiry *inquiry;
    struct doubt *doubt;

    if (job == NULL)
        return;
    inquiry = &job->search.inquiry;
    doubt = &inquiry->list->all[inquiry->at];
    if (fault != EW_OK || (request_id[0] == '\0' && canary != EW_CANARY_OK)) {
        end(job, EW_INQUIRED_UNSAID);
        return;
    }
    if (request_id[0] == '\0') {
        end(job, EW_INQUIRED_NOBODYS);
        return;
    }
    if (doubt->owner == NULL)
        doubt->owner = ew_strdup(request_id);
    go_on(job);
}

static void
go_on(struct ew_job *job)
{
    struct ew_inquiry *inquiry = &job->search.inquiry;

    for (; inquiry->at < inquiry->list->count; inquiry->at++) {
        const struct doubt *doubt = &inquiry->list->all[inquiry->at];

        if (is_passed_over(job, doubt->order_id))
            continue;
        if (doubt->owner == NULL) {
            ew_store_by_order(job->flow->store, doubt->order_id, on_owner, ew_job_out(job));
            return;
        }
        if (!inquiry->own_too && strcmp(doubt->owner, job->req.request_id) == 0) {
            end(job, EW_INQUIRED_OWN);
            return;
        }
    }
    end(job, EW_INQUIRED_OTHERS);
}

void
ew_doubts_inquire(struct ew_job *job, const struct ew_inquiry *inquiry)
{
    job->search.inquiry = *inquiry;
    ew_doubts_ref(inquiry->list);
    go_on(job);
}
