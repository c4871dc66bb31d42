/*
 * Builds the flow from the configuration, takes the intake's events, drains. What happens to one
 * request is told in the other files of this room; see job.h.
 */
#include "flow/flow.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "job.h"
#include "room.h"
#include "surplus.h"

static enum ew_fault
make_setting(struct ew_flow *flow, const struct ew_setting *setting, struct ew_setting_run *run,
             struct ew_err *err)
{
    enum ew_fault fault;

    run->setting = setting;
    run->flow = flow;
    ew_scan_init(&run->scan, run);
    for (size_t i = 0; i < flow->desk_count; i++)
        if (flow->desks[i]->account == setting->account)
            run->desk = flow->desks[i];
    fault = ew_trust_load(setting->chain_file, &run->trust, err);
    if (fault == EW_OK)
        fault = ew_trust_complete(run->trust, err);
    if (fault == EW_OK && setting->recipients_file != NULL)
        fault = ew_trust_load(setting->recipients_file, &run->recipients, err);
    return fault;
}

enum ew_fault
ew_flow_new(const struct ew_flow_options *options, struct ew_flow **out, struct ew_err *err)
{
    const struct ew_config *config = options->config;
    struct ew_flow *flow = ew_calloc(1, sizeof(*flow));
    enum ew_fault fault = EW_OK;

    flow->options = *options;
    flow->config = config;
    flow->loop = options->loop;
    flow->metrics = options->metrics;
    ew_list_init(&flow->runs);
    flow->desks = ew_calloc(config->account_count, sizeof(*flow->desks));
    flow->settings = ew_calloc(config->setting_count, sizeof(*flow->settings));
    flow->keks_told = ew_table_new();
    for (size_t i = 0; fault == EW_OK && i < config->account_count; i++) {
        fault = ew_desk_new(flow, &config->accounts[i], &flow->desks[i], err);
        flow->desk_count += fault == EW_OK;
    }
    for (size_t i = 0; fault == EW_OK && i < config->setting_count; i++) {
        flow->setting_count++;
        fault = make_setting(flow, &config->settings[i], &flow->settings[i], err);
    }
    if (fault != EW_OK) {
        ew_flow_free(flow);
        return fault;
    }
    *out = flow;
    return EW_OK;
}

void
ew_flow_end(struct ew_flow *flow)
{
    if (flow != NULL)
        flow->ended = true;
}

void
ew_flow_free(struct ew_flow *flow)
{
    struct ew_link *link;

    if (flow == NULL)
        return;
    if (flow->store != NULL) {
        ew_timer_cancel(&flow->canary_timer);
        ew_timer_cancel(&flow->sweep_timer);
        ew_rebuild_free(flow);
    }
    ew_timer_cancel(&flow->drain_timer);
    ew_timer_cancel(&flow->drain_poll);
    while ((link = ew_list_first(&flow->runs)) != NULL)
        ew_run_free(EW_CONTAINER(link, struct ew_run, link));
    for (size_t i = 0; i < flow->setting_count; i++) {
        ew_scan_free(&flow->settings[i].scan);
        ew_surplus_free(flow->settings[i].surplus);
        ew_trust_free(flow->settings[i].trust);
        ew_trust_free(flow->settings[i].recipients);
    }
    for (size_t i = 0; i < flow->desk_count; i++)
        ew_desk_free(flow->desks[i]);
    ew_table_free(flow->keks_told);
    free(flow->desks);
    free(flow->settings);
    free(flow);
}

struct ew_setting_run *
ew_flow_setting(struct ew_flow *flow, const char *name)
{
    for (size_t i = 0; name != NULL && i < flow->setting_count; i++)
        if (strcmp(flow->settings[i].setting->name, name) == 0)
            return &flow->settings[i];
    return NULL;
}

/* --- the intake's events --- */

static void
on_adopted(void *arg, struct ew_part *part)
{
    struct ew_flow *flow = arg;

    ew_run_new(flow, part);
    EW_LOG(EW_LOG_INFO, "flow", "partition adopted", EW_STR("topic", ew_part_topic(part)),
           EW_INT("partition", ew_part_number(part)), EW_INT("epoch", ew_part_epoch(part)));
}

static void
on_record(void *arg, struct ew_record *record)
{
    struct ew_flow *flow = arg;
    struct ew_run *run = ew_run_find(flow, record->part);
    struct ew_job *job;

    if (run == NULL || run->lost) {
        ew_record_free(record); /* taken away meanwhile: its next owner reads it again */
        return;
    }
    ew_metric_add(flow->metrics, EW_METRIC_EVENTS_CONSUMED, (int)ew_part_lane(record->part), 1);
    job = ew_job_new(run, record);
    if (ew_job_may_begin(job))
        ew_admit(job);
}

static void
on_lost(void *arg, struct ew_part *part)
{
    struct ew_flow *flow = arg;
    struct ew_run *run = ew_run_find(flow, part);

    if (run == NULL)
        return;
    EW_LOG(EW_LOG_INFO, "flow", "partition given up", EW_STR("topic", ew_part_topic(part)),
           EW_INT("partition", ew_part_number(part)), EW_INT("requests", run->job_count));
    ew_run_lose(run);
}

static void
on_fatal(void *arg, const struct ew_err *err)
{
    struct ew_flow *flow = arg;

    flow->options.fatal(flow->options.arg, err);
}

struct ew_intake_events
ew_flow_intake(struct ew_flow *flow)
{
    return (struct ew_intake_events){.arg = flow,
                                     .adopted = on_adopted,
                                     .record = on_record,
                                     .lost = on_lost,
                                     .fatal = on_fatal};
}

/* --- Redis's events --- */

static void
on_store_up(void *arg)
{
    struct ew_flow *flow = arg;

    EW_LOG(EW_LOG_INFO, "flow", "redis is up", EW_STR("state", "up"));
    if (flow->store == NULL)
        return;
    for (size_t i = 0; i < flow->desk_count; i++)
        ew_desk_open(flow->desks[i]);
    ew_canary_check(flow);
}

static void
on_store_down(void *arg)
{
    (void)arg;
    EW_LOG(EW_LOG_WARN, "flow", "redis is away: no new orders until it is back",
           EW_STR("state", "down"));
}

struct ew_store_events
ew_flow_store_events(struct ew_flow *flow)
{
    return (struct ew_store_events){.arg = flow, .up = on_store_up, .down = on_store_down};
}

void
ew_flow_start(struct ew_flow *flow, struct ew_kafka *kafka, struct ew_store *store)
{
    flow->kafka = kafka;
    flow->store = store;
    ew_canary_watch(flow);
    ew_room_sweep(flow);
    ew_surplus_watch(flow);
    if (ew_store_is_up(store))
        on_store_up(flow);
}

bool
ew_flow_can_order(const struct ew_flow *flow)
{
    return flow->store != NULL && ew_store_is_up(flow->store) && flow->canary[0] != '\0';
}

int32_t
ew_inflight_partition(struct ew_job *job)
{
    return ew_kafka_partition_of(job->flow->kafka, EW_TOPIC_INFLIGHT, job->req.request_id,
                                 strlen(job->req.request_id));
}

/* --- drain --- */

bool
ew_flow_quit_early(const struct ew_flow *flow)
{
    return flow->draining;
}

/* In the air: an order sent or about to be, a certificate being delivered, a commit under way. */
static bool
in_the_air(const struct ew_job *job)
{
    switch (job->state) {
    case EW_ST_INTENT:
    case EW_ST_CALLING:
    case EW_ST_ORDER:
    case EW_ST_VERIFY:
    case EW_ST_UNDO:
    case EW_ST_PUBLISH:
    case EW_ST_LEAVE:
        return true;
    case EW_ST_REVOKE:
        return job->call != NULL;
    case EW_ST_DROPPED: /* what its call, or its key's opening, brings is for its adopter */
        return job->call != NULL || job->refs > 0;
    default:
        return false;
    }
}

static size_t
count_in_the_air(const struct ew_flow *flow)
{
    size_t count = 0;

    for (struct ew_link *r = ew_list_first(&flow->runs); r != NULL;
         r = ew_list_next(&flow->runs, r)) {
        struct ew_run *run = EW_CONTAINER(r, struct ew_run, link);

        for (struct ew_link *l = ew_list_first(&run->jobs); l != NULL;
             l = ew_list_next(&run->jobs, l))
            count += in_the_air(EW_CONTAINER(l, struct ew_job, in_run));
    }
    return count;
}

static void
drain_look(void *arg)
{
    struct ew_flow *flow = arg;
    size_t left = count_in_the_air(flow);

    if (left > 0 && ew_loop_now(flow->loop) < flow->drain_until) {
        ew_timer_start(&flow->drain_poll, 50);
        return;
    }
    EW_LOG(EW_LOG_INFO, "flow", "drained", EW_INT("left_to_the_adopter", left));
    flow->drained(flow->drained_arg);
}

void
ew_flow_drain(struct ew_flow *flow, int64_t time_ms, void (*done)(void *arg), void *arg)
{
    flow->draining = true;
    flow->drain_until = ew_loop_now(flow->loop) + time_ms;
    flow->drained = done;
    flow->drained_arg = arg;
    ew_timer_init(&flow->drain_poll, flow->loop, drain_look, flow);
    ew_timer_start(&flow->drain_poll, 0);
}

/* --- gauges --- */

/* Over all accounts: calls are summed, and what needs a look is shown when any account, or any
 * class of its calls, needs it. */
static void
gauge_desks(struct ew_flow *flow)
{
    int64_t flying[EW_RATE_COUNT] = {0};
    bool paused = false, saturated = false;

    for (size_t i = 0; i < flow->desk_count; i++) {
        const struct ew_desk *desk = flow->desks[i];

        for (int c = 0; c < EW_RATE_COUNT; c++) {
            flying[c] += desk->flying[c];
            saturated = saturated || desk->saturated[c];
        }
        paused = paused || desk->paused;
    }
    for (int c = 0; c < EW_RATE_COUNT; c++)
        ew_metric_set(flow->metrics, EW_METRIC_INFLIGHT_CALLS, c, flying[c]);
    ew_metric_set(flow->metrics, EW_METRIC_ACCOUNT_PAUSED, 0, paused);
    ew_metric_set(flow->metrics, EW_METRIC_RATE_SATURATED, 0, saturated);
}

void
ew_flow_gauges(struct ew_flow *flow)
{
    int64_t states[EW_ST_COUNT] = {0}, now = ew_loop_now(flow->loop), oldest = 0;

    for (struct ew_link *r = ew_list_first(&flow->runs); r != NULL;
         r = ew_list_next(&flow->runs, r)) {
        struct ew_run *run = EW_CONTAINER(r, struct ew_run, link);

        for (struct ew_link *l = ew_list_first(&run->jobs); l != NULL;
             l = ew_list_next(&run->jobs, l)) {
            struct ew_job *job = EW_CONTAINER(l, struct ew_job, in_run);

            states[job->state]++;
            if (now - job->received_boot > oldest)
                oldest = now - job->received_boot;
        }
    }
    for (int i = 0; i < EW_ST_COUNT; i++)
        ew_metric_set(flow->metrics, EW_METRIC_REQUESTS_IN_STATE, i, states[i]);
    ew_metric_set(flow->metrics, EW_METRIC_OLDEST_REQUEST_AGE, 0, oldest / 1000);
    ew_metric_set(flow->metrics, EW_METRIC_CAUTIOUS_MODE, 0, ew_flow_can_order(flow) ? 0 : 1);
    ew_metric_set(flow->metrics, EW_METRIC_REDIS_UP, 0, ew_store_is_up(flow->store));
    gauge_desks(flow);
}
