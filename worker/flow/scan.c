/*
 * Lists of orders, in parts where GlobalSign cuts them off: those under one name, and a pass over
 * all of a profile, shared by everybody who looks for one, so that many unknown outcomes after a
 * crash cost a handful of queries, not a handful each.
 */
#include <string.h>

#include "job.h"

enum {
    DAY_MS = 24 * 3600 * 1000,
    MARGIN_MS = 10 * 60 * 1000, /* on both sides: clocks of the CA's own machines */
    WINDOW_MIN_MS = 1000,       /* a capped list of one second cannot be made whole */
    GATHER_MS = 200,            /* a pass waits so long for company */
};

bool
ew_windows_next(struct ew_windows *windows, bool capped, int64_t now, int64_t first_ms)
{
    bool dated = windows->to_ms != 0;

    if (!capped) {
        windows->from_ms = windows->to_ms;
        windows->to_ms = windows->end_ms;
        return dated && windows->from_ms < windows->end_ms;
    }
    if (now == 0 || (dated && windows->to_ms - windows->from_ms <= WINDOW_MIN_MS)) {
        windows->torn = true;
        return false;
    }
    if (dated) {
        windows->to_ms = windows->from_ms + (windows->to_ms - windows->from_ms) / 2;
    } else {
        windows->from_ms = first_ms;
        windows->to_ms = windows->end_ms = now + DAY_MS;
    }
    return true;
}

static void ask(struct ew_scan *scan);

/* --- a pass --- */

static void
show(struct ew_scan *scan, const struct ew_ca_reply *reply)
{
    for (size_t i = 0; i < reply->order_count; i++) {
        const struct ew_ca_order *order = &reply->orders[i];
        struct ew_link *link, *next;
        uint8_t key[32];
        bool has_key = ew_order_key(order, key);

        if (!has_key && ew_order_unfinished(order))
            ew_doubts_add(scan->unfinished, order->order_id);
        for (link = ew_list_first(&scan->passing); link != NULL; link = next) {
            next = ew_list_next(&scan->passing, link);
            (void)ew_reconcile_look(EW_CONTAINER(link, struct ew_job, in_list), order,
                                    has_key ? key : NULL, reply);
        }
    }
}

static void
end_pass(struct ew_scan *scan, bool whole)
{
    struct ew_doubts *unfinished = scan->unfinished;
    struct ew_link *link;

    scan->unfinished = NULL;
    while ((link = ew_list_first(&scan->passing)) != NULL) {
        ew_link_remove(link);
        ew_reconcile_seen(EW_CONTAINER(link, struct ew_job, in_list), scan->began_ms, whole,
                          unfinished);
    }
    ew_doubts_unref(unfinished);
    if (!ew_list_empty(&scan->waiting))
        ew_timer_start(&scan->timer, GATHER_MS);
}

static void
on_orders(void *arg, const struct ew_ca_reply *reply)
{
    struct ew_scan *scan = arg;
    struct ew_desk *desk = scan->setting->desk;

    scan->call = NULL;
    ew_desk_learn(desk, reply, false);
    ew_turn_end(&scan->turn, reply->cls == EW_CA_NOT_SENT);
    if (reply->cls != EW_CA_OK) {
        end_pass(scan, false);
        return;
    }
    show(scan, reply);
    if (!ew_list_empty(&scan->passing) &&
        ew_windows_next(&scan->windows, reply->capped, ew_desk_ca_now(desk), 0))
        ask(scan);
    else
        end_pass(scan, !scan->windows.torn);
}

static void
on_go(struct ew_turn *turn)
{
    struct ew_scan *scan = EW_CONTAINER(turn, struct ew_scan, turn);
    const struct ew_setting_run *setting = scan->setting;

    if (ew_list_empty(&scan->passing)) { /* all of them have left */
        ew_turn_end(&scan->turn, true);
        end_pass(scan, false);
        return;
    }
    scan->call = ew_ca_get_orders(setting->desk->ca, setting->setting->profile, NULL,
                                  scan->windows.from_ms, scan->windows.to_ms, on_orders, scan);
}

static void
on_held(struct ew_turn *turn, int code, const char *problem)
{
    struct ew_scan *scan = EW_CONTAINER(turn, struct ew_scan, turn);

    for (struct ew_link *link = ew_list_first(&scan->passing); link != NULL;
         link = ew_list_next(&scan->passing, link))
        ew_job_held(EW_CONTAINER(link, struct ew_job, in_list), problem, code);
}

static void
ask(struct ew_scan *scan)
{
    scan->turn.go = on_go;
    scan->turn.held = on_held;
    ew_desk_ask(scan->setting->desk, &scan->turn, EW_RATE_QUERY);
}

/* From the earliest attempt's time by the CA's own clock, or a day before its event. */
static void
begin_pass(struct ew_scan *scan)
{
    int64_t now = ew_desk_ca_now(scan->setting->desk), from = now;
    struct ew_link *link;

    while ((link = ew_list_first(&scan->waiting)) != NULL) {
        struct ew_job *job = EW_CONTAINER(link, struct ew_job, in_list);

        if (job->search.attempt_date_ms < from)
            from = job->search.attempt_date_ms;
        ew_link_remove(link);
        ew_list_append(&scan->passing, link);
    }
    ew_doubts_unref(scan->unfinished);
    scan->unfinished = ew_doubts_new();
    scan->began_ms = ew_loop_now(scan->setting->flow->loop);
    scan->windows = (struct ew_windows){.torn = false};
    if (now > 0) {
        scan->windows.from_ms = from - MARGIN_MS;
        scan->windows.to_ms = scan->windows.end_ms = now + MARGIN_MS;
    }
    ask(scan);
}

static void
on_gathered(void *arg)
{
    struct ew_scan *scan = arg;

    if (ew_list_empty(&scan->passing) && scan->turn.desk == NULL && scan->call == NULL &&
        !ew_list_empty(&scan->waiting))
        begin_pass(scan);
}

bool
ew_scan_held(const struct ew_scan *scan)
{
    return scan->turn.desk != NULL && !scan->turn.granted && scan->turn.told;
}

void
ew_scan_join(struct ew_job *job)
{
    struct ew_scan *scan = &job->setting->scan;

    ew_list_append(&scan->waiting, &job->in_list);
    if (scan->turn.desk == NULL && scan->call == NULL && !ew_timer_armed(&scan->timer))
        ew_timer_start(&scan->timer, GATHER_MS);
}

/* --- by the job's own name, for it alone --- */

static void ask_by_name(struct ew_job *job);

static void
read_list(struct ew_job *job, const struct ew_ca_reply *reply)
{
    struct ew_search *search = &job->search;
    int64_t now = ew_desk_ca_now(job->setting->desk);

    for (size_t i = 0; i < reply->order_count; i++) {
        uint8_t key[32];
        bool has_key = ew_order_key(&reply->orders[i], key);

        if (ew_reconcile_look(job, &reply->orders[i], has_key ? key : NULL, reply))
            return;
        if (!has_key && ew_order_unfinished(&reply->orders[i]) &&
            ew_order_same_name(reply->orders[i].cn, job->names.cn))
            ew_doubts_add(search->unfinished, reply->orders[i].order_id);
    }
    if (ew_windows_next(&search->windows, reply->capped, now, search->attempt_date_ms - DAY_MS))
        ask_by_name(job);
    else
        ew_reconcile_seen(job, search->asked_ms, !search->windows.torn, search->unfinished);
}

static void
on_named(void *arg, const struct ew_ca_reply *reply)
{
    struct ew_job *job = arg;

    if (!ew_job_replied(job, reply))
        return;
    if (reply->cls == EW_CA_OK)
        read_list(job, reply);
    else
        ew_reconcile_seen(job, job->search.asked_ms, false, NULL);
}

static void
on_name_go(struct ew_turn *turn)
{
    struct ew_job *job = EW_CONTAINER(turn, struct ew_job, turn);
    struct ew_search *search = &job->search;

    if (search->windows.to_ms == 0)
        search->asked_ms = ew_loop_now(job->flow->loop);
    job->gate_said_yes = false;
    job->call =
        ew_ca_get_orders(job->setting->desk->ca, job->setting->setting->profile, job->names.cn,
                         search->windows.from_ms, search->windows.to_ms, on_named, job);
}

static void
ask_by_name(struct ew_job *job)
{
    ew_job_ask(job, on_name_go, EW_RATE_QUERY);
}

void
ew_scan_by_name(struct ew_job *job)
{
    job->search.windows = (struct ew_windows){.torn = false};
    ew_doubts_unref(job->search.unfinished);
    job->search.unfinished = ew_doubts_new();
    ask_by_name(job);
}

/* --- birth and death --- */

void
ew_scan_init(struct ew_scan *scan, struct ew_setting_run *setting)
{
    scan->setting = setting;
    ew_list_init(&scan->waiting);
    ew_list_init(&scan->passing);
    ew_timer_init(&scan->timer, setting->flow->loop, on_gathered, scan);
}

void
ew_scan_free(struct ew_scan *scan)
{
    ew_timer_cancel(&scan->timer);
    ew_ca_call_cancel(scan->call);
    scan->call = NULL;
    ew_turn_end(&scan->turn, false);
    ew_doubts_unref(scan->unfinished);
    scan->unfinished = NULL;
}
