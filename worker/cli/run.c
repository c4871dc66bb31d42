/*
 * Wiring of the service: every room is built here, in the order in which each needs the ones
 * before.
 */
#include "cli/run.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metric.h"
#include "cli/cli.h"
#include "flow/flow.h"
#include "kafka/check.h"
#include "kafka/kafka.h"
#include "loop/loop.h"
#include "ops/admin.h"
#include "store/store.h"
#include "x509/key.h"

enum { POOL_THREADS = 2, START_TIMEOUT_MS = 20000, TICK_STALE_MS = 20000, GAUGES_MS = 1000 };

struct service {
    const struct ew_config *config;
    char instance[128];
    struct ew_loop *loop;
    struct ew_metrics *metrics;
    struct ew_keks *keks;
    struct ew_flow *flow;
    struct ew_kafka *kafka;
    struct ew_store *store;
    struct ew_admin *admin;
    struct ew_timer gauges;
    int signals;
    int exit_code;
    char ready_text[80]; /* of the admin thread */
    _Atomic bool draining, redis_up;
};

/* --- probes: answered on the admin thread from what the other threads leave behind --- */

/* 0: not begun, which is no standstill. */
static bool
stands_still(int64_t tick_ms)
{
    return tick_ms > 0 && ew_boot_ms(&ew_clock_system) - tick_ms > TICK_STALE_MS;
}

static bool
is_live(void *arg, const char **reason)
{
    struct service *service = arg;
    struct ew_kafka_stats stats;

    ew_kafka_stats(service->kafka, &stats);
    *reason = "loop, consumer and committer turn";
    if (stands_still(ew_loop_tick(service->loop)))
        *reason = "the loop stands still";
    else if (stands_still(stats.consumer_tick_ms))
        *reason = "the consumer stands still";
    else if (stands_still(stats.committer_tick_ms))
        *reason = "the committer stands still";
    else
        return true;
    return false;
}

/* Without Redis nothing new is ordered: a rollout must not go on over a wrong password. A partition
 * that is left alone is told and no more: the others are worked on, and no restart mends it. */
static bool
is_ready(void *arg, const char **reason)
{
    struct service *service = arg;
    struct ew_kafka_stats stats;

    ew_kafka_stats(service->kafka, &stats);
    *reason = "joined, Redis answers";
    if (stats.partitions_alone > 0) {
        (void)snprintf(service->ready_text, sizeof(service->ready_text),
                       "joined, Redis answers; partitions left alone, see the log: %d",
                       stats.partitions_alone);
        *reason = service->ready_text;
    }
    if (service->draining)
        *reason = "draining";
    else if (!stats.joined)
        *reason = "not in the consumer group yet";
    else if (!service->redis_up)
        *reason = "Redis is away: no new orders";
    else
        return true;
    return false;
}

static void
on_gauges(void *arg)
{
    struct service *service = arg;
    struct ew_metrics *metrics = service->metrics;
    int64_t rtt = ew_store_rtt_ms(service->store);
    struct ew_kafka_stats stats;

    service->redis_up = ew_store_is_up(service->store);
    ew_kafka_stats(service->kafka, &stats);
    ew_metric_set(metrics, EW_METRIC_BACKLOG_EVENTS, 0, stats.backlog);
    ew_metric_set(metrics, EW_METRIC_INCOMPLETE_OFFSETS, 0, stats.incomplete);
    ew_metric_set(metrics, EW_METRIC_OFFSET_MAP_CHARS, 0, stats.map_chars_max);
    ew_metric_set(metrics, EW_METRIC_PARTITIONS_LEFT_ALONE, 0, stats.partitions_alone);
    ew_metric_set(metrics, EW_METRIC_ADOPTIONS, 0, stats.adoptions);
    ew_metric_set(metrics, EW_METRIC_PRODUCER_RECREATED, 0, stats.recreated);
    ew_metric_set(metrics, EW_METRIC_FENCED_COMMITS, 0, stats.fenced);
    ew_metric_set(metrics, EW_METRIC_REDIS_RTT, 0, rtt > 0 ? rtt : 0);
    ew_flow_gauges(service->flow);
    ew_timer_start(&service->gauges, GAUGES_MS);
}

/* --- the end --- */

static void
on_stopped(void *arg)
{
    struct service *service = arg;

    ew_loop_stop(service->loop);
}

static void
on_drained(void *arg)
{
    struct service *service = arg;

    ew_kafka_stop(service->kafka, on_stopped, service);
}

static void
on_signal(void *arg, int signo)
{
    struct service *service = arg;

    EW_LOG(EW_LOG_INFO, "cli", "signal", EW_INT("signal", signo));
    if (++service->signals > 1) {
        EW_LOG(EW_LOG_WARN, "cli", "second signal: not waiting for work in flight",
               EW_INT("signal", signo));
        _exit(1); /* what is started stays started in the map: the adopter goes on */
    }
    service->draining = true;
    ew_kafka_drain(service->kafka);
    ew_flow_drain(service->flow, service->config->time.drain_ms, on_drained, service);
}

static void
on_fatal(void *arg, const struct ew_err *err)
{
    struct service *service = arg;

    EW_LOG(EW_LOG_ERROR, "cli", "the process must end", EW_FAULT_FIELDS(err));
    service->exit_code = 1;
    if (service->signals++ == 0)
        ew_kafka_stop(service->kafka, on_stopped, service);
}

/* --- the beginning --- */

/* Nothing is begun yet that would have to be drained. Left to itself, the first process of a
 * container would not hear the signal at all, and take up work that is cut off later. */
static void
on_early_signal(int signo)
{
    (void)signo;
    _exit(0);
}

/* Until ew_loop_on_signal(). */
static void
end_at_once_on_signal(void)
{
    struct sigaction action = {.sa_handler = on_early_signal};

    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
}

static void
name_instance(struct service *service)
{
    if (service->config->kafka.instance != NULL && service->config->kafka.instance[0] != '\0')
        (void)snprintf(service->instance, sizeof(service->instance), "%s",
                       service->config->kafka.instance);
    else if (gethostname(service->instance, sizeof(service->instance) - 1) != 0)
        (void)snprintf(service->instance, sizeof(service->instance), "worker");
}

static struct ew_kafka_options
kafka_options(const struct service *service)
{
    const struct ew_config *config = service->config;
    struct ew_kafka_options options;

    ew_cli_kafka_options(config, service->instance, &options);
    return options;
}

/* Whether this is a beginning or a loss is said by `bootstrap`, never guessed. */
static enum ew_fault
check_bootstrap(const struct ew_kafka_options *options, struct ew_err *err)
{
    enum ew_group_state state;
    enum ew_fault fault = ew_kafka_group_state(options, START_TIMEOUT_MS, &state, err);

    if (fault != EW_OK || state == EW_GROUP_READY)
        return fault;
    if (state == EW_GROUP_NEW)
        return ew_fail_field(err, EW_HALT, "not-bootstrapped", "kafka.group",
                             "First start: run `epki-worker bootstrap`.",
                             "the group has no commit on any input partition");
    return ew_fail_field(err, EW_HALT, "offsets-lost", "kafka.group",
                         "Restore the group's offsets if they can be. Otherwise, or where a topic "
                         "was given more partitions, run `epki-worker bootstrap`: what those "
                         "partitions hold is found out about before anything of it is ordered.",
                         "the group has no commit on %s input partition, and it has worked before",
                         state == EW_GROUP_LOST ? "any" : "some");
}

static void
on_redis_problem(void *arg, const struct ew_err *err)
{
    int *refusals = arg;

    if (err->fault != EW_RETRY)
        ++*refusals;
    EW_LOG(err->fault == EW_RETRY ? EW_LOG_WARN : EW_LOG_ERROR, "cli",
           err->fault == EW_RETRY ? "Redis cannot be used yet" : "this Redis must not be used",
           EW_FAULT_FIELDS(err), EW_STR("advice", err->advice == NULL ? "" : err->advice));
}

/* One that cannot be asked now is waited for, and judged then by the store. */
static enum ew_fault
check_redis(const struct ew_store_options *options, struct ew_err *err)
{
    int refusals = 0;

    (void)ew_store_check(options, on_redis_problem, &refusals);
    if (refusals == 0)
        return EW_OK;
    return ew_fail_field(err, EW_HALT, "redis-unfit", "redis.url",
                         "Correct what was said above; `epki-worker check` says it again.",
                         "%d problem%s with this Redis", refusals, refusals == 1 ? "" : "s");
}

static enum ew_fault
build(struct service *service, struct ew_err *err)
{
    const struct ew_config *config = service->config;
    struct ew_kafka_options kafka = kafka_options(service);
    struct ew_store_options store;
    struct ew_flow_options flow = {.config = config,
                                   .clock = &ew_clock_system,
                                   .instance = service->instance,
                                   .fatal = on_fatal,
                                   .arg = service};
    struct ew_store_events store_events;
    struct ew_intake_events intake;
    enum ew_fault fault;

    ew_cli_store_options(config, &store);
    service->metrics = ew_metrics_new(EW_VERSION);
    if ((fault = check_redis(&store, err)) != EW_OK ||
        (fault = check_bootstrap(&kafka, err)) != EW_OK ||
        (fault = ew_loop_new(&ew_clock_system, POOL_THREADS, &service->loop, err)) != EW_OK ||
        (fault = ew_loop_on_signal(service->loop, on_signal, service, err)) != EW_OK)
        return fault;
    if (config->kek_file != NULL &&
        (fault = ew_keks_load(config->kek_file, &service->keks, err)) != EW_OK)
        return fault;
    flow.loop = service->loop;
    flow.metrics = service->metrics;
    flow.keks = service->keks;
    if ((fault = ew_flow_new(&flow, &service->flow, err)) != EW_OK)
        return fault;
    store_events = ew_flow_store_events(service->flow);
    if ((fault = ew_store_new(service->loop, &store, &store_events, &service->store, err)) != EW_OK)
        return fault;
    intake = ew_flow_intake(service->flow);
    return ew_kafka_new(&kafka, &ew_clock_system, service->loop, &intake, &service->kafka, err);
}

static enum ew_fault
start(struct service *service, struct ew_err *err)
{
    const struct ew_config *config = service->config;
    struct ew_admin_options admin = {.address = config->admin_address,
                                     .port = config->admin_port,
                                     .live = is_live,
                                     .ready = is_ready,
                                     .metrics = service->metrics,
                                     .arg = service};
    enum ew_fault fault = EW_OK;

    ew_flow_start(service->flow, service->kafka, service->store);
    if (config->admin_port != 0)
        fault = ew_admin_start(&admin, &service->admin, err);
    if (fault == EW_OK)
        fault = ew_kafka_start(service->kafka, err);
    ew_timer_init(&service->gauges, service->loop, on_gauges, service);
    ew_timer_start(&service->gauges, 0);
    return fault;
}

static void
tear_down(struct service *service)
{
    ew_admin_stop(service->admin);
    if (service->loop != NULL && service->gauges.loop != NULL)
        ew_timer_cancel(&service->gauges);
    ew_loop_end_pool(service->loop);
    ew_flow_end(service->flow);
    ew_store_free(service->store); /* tells the flow what it did not get done */
    ew_flow_free(service->flow);   /* its records are Kafka's */
    if (!ew_kafka_free(service->kafka))
        _exit(service->exit_code); /* a thread that hangs may yet wake, and use what follows */
    ew_keks_free(service->keks);
    ew_loop_free(service->loop);
    ew_metrics_free(service->metrics);
}

int
ew_cli_run(const struct ew_config *config)
{
    struct service service = {.config = config};
    struct ew_err err;
    enum ew_fault fault;

    end_at_once_on_signal();
    name_instance(&service);
    fault = build(&service, &err);
    if (fault == EW_OK)
        fault = start(&service, &err);
    if (fault != EW_OK) {
        EW_LOG(EW_LOG_ERROR, "cli", "cannot start", EW_FAULT_FIELDS(&err),
               EW_STR("advice", err.advice));
        service.exit_code = 1;
    } else {
        EW_LOG(EW_LOG_INFO, "cli", "running", EW_STR("instance", service.instance),
               EW_STR("version", EW_VERSION));
        ew_loop_run(service.loop);
        EW_LOG(EW_LOG_INFO, "cli", "stopped", EW_INT("exit", service.exit_code));
    }
    tear_down(&service);
    return service.exit_code;
}
