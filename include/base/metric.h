/*
 * The worker's numbers: one static table of metrics, each with at most one label whose values are a
 * closed list, so that no request can make a new series. Any thread.
 */
#pragma once

#include <stdint.h>

#include "base/buf.h"

/* Names, kinds, help and labels stand in worker/base/metric.c, in this order. */
enum ew_metric {
    EW_METRIC_BUILD_INFO,
    EW_METRIC_EVENTS_CONSUMED,   /* label: enum ew_lane */
    EW_METRIC_EVENTS_PUBLISHED,  /* label: enum ew_result */
    EW_METRIC_REQUEST_DURATION,  /* histogram; label: enum ew_operation */
    EW_METRIC_REQUESTS_IN_STATE, /* label: enum ew_state */
    EW_METRIC_OLDEST_REQUEST_AGE,
    EW_METRIC_BACKLOG_EVENTS,
    EW_METRIC_INFLIGHT_CALLS,   /* label: enum ew_rate_class */
    EW_METRIC_CA_CALLS,         /* label: enum ew_ca_class */
    EW_METRIC_CA_CALL_DURATION, /* histogram of orders */
    EW_METRIC_OUTCOME_UNKNOWN,
    EW_METRIC_RECONCILES,     /* label: found, none */
    EW_METRIC_SURPLUS_SWEEPS, /* label: whole, partial */
    EW_METRIC_SURPLUS_JUDGED, /* label: enum ew_whose of the flow */
    EW_METRIC_SURPLUS_ORDERS, /* label: ended, not_ended */
    EW_METRIC_GATE_REFUSALS,  /* label: deposed, age, stall, second */
    EW_METRIC_DUPLICATE_REQUESTS,
    EW_METRIC_DEAD_LETTERS,
    EW_METRIC_PARKED_EVENTS,
    EW_METRIC_RATE_TOKENS, /* label: enum ew_token */
    EW_METRIC_RATE_SATURATED,
    EW_METRIC_ACCOUNT_PAUSED,
    EW_METRIC_CAUTIOUS_MODE,
    EW_METRIC_INCOMPLETE_OFFSETS,
    EW_METRIC_OFFSET_MAP_CHARS,
    EW_METRIC_PARTITIONS_LEFT_ALONE,
    EW_METRIC_ADOPTIONS, /* this one and the two that follow are set, and only grow */
    EW_METRIC_PRODUCER_RECREATED,
    EW_METRIC_FENCED_COMMITS,
    EW_METRIC_REDIS_UP,
    EW_METRIC_REDIS_RTT, /* set in milliseconds, shown in seconds */
    EW_METRIC_COUNT,
};

struct ew_metrics;

/* version: for epki_build_info; static text. Never NULL. */
struct ew_metrics *ew_metrics_new(const char *version);
void ew_metrics_free(struct ew_metrics *metrics);

/* label: index into the metric's label values, 0 without a label; one out of range counts as the
 * last. */
void ew_metric_add(struct ew_metrics *metrics, enum ew_metric id, int label, int64_t count);
void ew_metric_set(struct ew_metrics *metrics, enum ew_metric id, int label, int64_t value);
/* Histograms: milliseconds, shown in seconds; a negative time counts as none. */
void ew_metric_observe(struct ew_metrics *metrics, enum ew_metric id, int label, int64_t ms);

/* Prometheus text format 0.0.4. */
void ew_metrics_render(const struct ew_metrics *metrics, struct ew_buf *out);
