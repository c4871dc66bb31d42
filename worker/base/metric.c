/*
 * The table of metrics and their values.
 */
#include "base/metric.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { LABELS_MAX = 24, BUCKETS = 12 };
/* GAUGE_MS: kept in milliseconds, shown in seconds, as histograms are. */
enum kind { COUNTER, GAUGE, GAUGE_MS, HISTOGRAM };

struct row {
    const char *name;
    enum kind kind;
    const char *help;
    const char *label;              /* NULL = none */
    const char *values[LABELS_MAX]; /* NULL-terminated unless full */
};

static const struct row rows[] = {
    [EW_METRIC_BUILD_INFO] =
        {"epki_build_info", GAUGE, "Always 1; the version is a label.", "version", {NULL}},
    [EW_METRIC_EVENTS_CONSUMED] = {"epki_events_consumed_total",
                                   COUNTER,
                                   "Records read from the request topics.",
                                   "lane",
                                   {"revocation", "resume", "enrollment", "renewal", "bulk"}},
    [EW_METRIC_EVENTS_PUBLISHED] = {"epki_events_published_total",
                                    COUNTER,
                                    "Certificate events published.",
                                    "result",
                                    {"none", "issued", "renewed", "revoked", "removed", "rejected",
                                     "pending", "held", "waiting", "reconciling"}},
    [EW_METRIC_REQUEST_DURATION] = {"epki_request_duration_seconds",
                                    HISTOGRAM,
                                    "From reading an event to its committed answer.",
                                    "operation",
                                    {"none", "enroll", "renew", "revoke"}},
    [EW_METRIC_REQUESTS_IN_STATE] = {"epki_requests_in_state",
                                     GAUGE,
                                     "Requests by state.",
                                     "state",
                                     {"received", "lookup",    "check",  "claim",    "wait_other",
                                      "queue",    "held",      "intent", "calling",  "order",
                                      "pending",  "reconcile", "verify", "undo",     "revoke",
                                      "stop",     "publish",   "leave",  "answered", "dropped"}},
    [EW_METRIC_OLDEST_REQUEST_AGE] = {"epki_request_oldest_age_seconds",
                                      GAUGE,
                                      "Age of the oldest request held by this worker.",
                                      NULL,
                                      {NULL}},
    [EW_METRIC_BACKLOG_EVENTS] = {"epki_backlog_events",
                                  GAUGE,
                                  "Events received or fetchable and not done: the scaling signal.",
                                  NULL,
                                  {NULL}},
    [EW_METRIC_INFLIGHT_CALLS] = {"epki_inflight_calls",
                                  GAUGE,
                                  "Calls to GlobalSign under way.",
                                  "class",
                                  {"revocation", "query", "enrollment", "renewal", "bulk"}},
    [EW_METRIC_CA_CALLS] = {"epki_ca_calls_total",
                            COUNTER,
                            "Calls to GlobalSign by their outcome.",
                            "class",
                            {"ok", "pending", "not_sent", "unknown", "key_used", "rejected",
                             "licence", "account", "already", "not_found", "try_later"}},
    [EW_METRIC_CA_CALL_DURATION] = {"epki_ca_call_duration_seconds",
                                    HISTOGRAM,
                                    "Duration of orders at GlobalSign.",
                                    NULL,
                                    {NULL}},
    [EW_METRIC_OUTCOME_UNKNOWN] = {"epki_outcome_unknown_total",
                                   COUNTER,
                                   "Orders whose outcome was unknown at first.",
                                   NULL,
                                   {NULL}},
    [EW_METRIC_RECONCILES] = {"epki_reconciled_total",
                              COUNTER,
                              "Verdicts on unknown orders.",
                              "verdict",
                              {"found", "none"}},
    [EW_METRIC_SURPLUS_SWEEPS] = {"epki_surplus_sweeps_total",
                                  COUNTER,
                                  "Comparisons of a profile's orders with what was answered.",
                                  "result",
                                  {"whole", "partial"}},
    [EW_METRIC_SURPLUS_JUDGED] = {"epki_surplus_judged_total",
                                  COUNTER,
                                  "Orders looked at by them; each again by the next one.",
                                  "verdict",
                                  {"ended", "nameless", "foreign", "answered", "in_flight",
                                   "surplus"}},
    [EW_METRIC_SURPLUS_ORDERS] = {"epki_surplus_orders_total",
                                  COUNTER,
                                  "Orders of ours that no answer names, and what came of them.",
                                  "result",
                                  {"ended", "not_ended"}},
    [EW_METRIC_GATE_REFUSALS] = {"epki_gate_refusals_total",
                                 COUNTER,
                                 "Orders that the send gate held back.",
                                 "reason",
                                 {"deposed", "age", "stall", "second"}},
    [EW_METRIC_DUPLICATE_REQUESTS] = {"epki_duplicates_prevented_total",
                                      COUNTER,
                                      "Events answered as duplicates.",
                                      NULL,
                                      {NULL}},
    [EW_METRIC_DEAD_LETTERS] =
        {"epki_dead_letters_total", COUNTER, "Records that could not be decoded.", NULL, {NULL}},
    [EW_METRIC_PARKED_EVENTS] = {"epki_parked_events_total",
                                 COUNTER,
                                 "Events that wait for a person's decision.",
                                 NULL,
                                 {NULL}},
    [EW_METRIC_RATE_TOKENS] = {"epki_rate_tokens_total",
                               COUNTER,
                               "Answers of the shared limiter.",
                               "result",
                               {"granted", "wait", "paused", "unverified", "probe"}},
    [EW_METRIC_RATE_SATURATED] = {"epki_rate_saturated",
                                  GAUGE,
                                  "1 while the rate limit holds work of any class.",
                                  NULL,
                                  {NULL}},
    [EW_METRIC_ACCOUNT_PAUSED] =
        {"epki_account_paused", GAUGE, "1 while an account is paused.", NULL, {NULL}},
    [EW_METRIC_CAUTIOUS_MODE] = {"epki_cautious_mode",
                                 GAUGE,
                                 "1 while no new order may begin (Redis away or being rebuilt).",
                                 NULL,
                                 {NULL}},
    [EW_METRIC_INCOMPLETE_OFFSETS] =
        {"epki_incomplete_offsets", GAUGE, "Offsets read and not done.", NULL, {NULL}},
    [EW_METRIC_OFFSET_MAP_CHARS] =
        {"epki_offset_map_chars", GAUGE, "Longest offset map, of 4096 characters.", NULL, {NULL}},
    [EW_METRIC_PARTITIONS_LEFT_ALONE] = {"epki_partitions_left_alone",
                                         GAUGE,
                                         "Assigned partitions that nobody works on; the log says "
                                         "why.",
                                         NULL,
                                         {NULL}},
    [EW_METRIC_ADOPTIONS] = {"epki_adoptions_total", COUNTER, "Partitions adopted.", NULL, {NULL}},
    [EW_METRIC_PRODUCER_RECREATED] =
        {"epki_producer_recreated_total", COUNTER, "Producers recreated.", NULL, {NULL}},
    [EW_METRIC_FENCED_COMMITS] = {"epki_fenced_commits_total",
                                  COUNTER,
                                  "Commits refused by the group's generation.",
                                  NULL,
                                  {NULL}},
    [EW_METRIC_REDIS_UP] = {"epki_redis_up", GAUGE, "1 while Redis answers.", NULL, {NULL}},
    [EW_METRIC_REDIS_RTT] =
        {"epki_redis_rtt_seconds", GAUGE_MS, "Last round trip to Redis.", NULL, {NULL}},
};
_Static_assert(sizeof(rows) / sizeof(rows[0]) == EW_METRIC_COUNT, "one row per metric");

static const int64_t bounds_ms[BUCKETS] = {100,  250,   500,   1000,  2500,  5000,
                                           7500, 10000, 15000, 30000, 60000, 120000};

struct series {
    _Atomic int64_t value; /* a histogram's count */
    _Atomic int64_t sum_ms;
    _Atomic int64_t buckets[BUCKETS];
};

struct ew_metrics {
    const char *version;
    struct series series[EW_METRIC_COUNT][LABELS_MAX];
};

static int
label_count(const struct row *row)
{
    int count = 0;

    while (count < LABELS_MAX && row->values[count] != NULL)
        count++;
    return count == 0 ? 1 : count;
}

static struct series *
series_of(struct ew_metrics *metrics, enum ew_metric id, int label)
{
    int count = label_count(&rows[id]);

    if (label < 0 || label >= count)
        label = count - 1;
    return &metrics->series[id][label];
}

struct ew_metrics *
ew_metrics_new(const char *version)
{
    struct ew_metrics *metrics = ew_calloc(1, sizeof(*metrics));

    metrics->version = version;
    ew_metric_set(metrics, EW_METRIC_BUILD_INFO, 0, 1);
    return metrics;
}

void
ew_metrics_free(struct ew_metrics *metrics)
{
    free(metrics);
}

void
ew_metric_add(struct ew_metrics *metrics, enum ew_metric id, int label, int64_t count)
{
    atomic_fetch_add_explicit(&series_of(metrics, id, label)->value, count, memory_order_relaxed);
}

void
ew_metric_set(struct ew_metrics *metrics, enum ew_metric id, int label, int64_t value)
{
    atomic_store_explicit(&series_of(metrics, id, label)->value, value, memory_order_relaxed);
}

void
ew_metric_observe(struct ew_metrics *metrics, enum ew_metric id, int label, int64_t ms)
{
    struct series *series = series_of(metrics, id, label);

    if (ms < 0)
        ms = 0;
    atomic_fetch_add_explicit(&series->value, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&series->sum_ms, ms, memory_order_relaxed);
    for (int i = 0; i < BUCKETS; i++)
        if (ms <= bounds_ms[i])
            atomic_fetch_add_explicit(&series->buckets[i], 1, memory_order_relaxed);
}

/* --- rendering --- */

static void
put_labels(struct ew_buf *out, const struct ew_metrics *metrics, const struct row *row, int label,
           const char *le)
{
    const char *value = row->values[label];

    if (row == &rows[EW_METRIC_BUILD_INFO])
        value = metrics->version;
    if (row->label == NULL && le == NULL)
        return;
    ew_buf_putc(out, '{');
    if (row->label != NULL)
        ew_buf_printf(out, "%s=\"%s\"%s", row->label, value, le == NULL ? "" : ",");
    if (le != NULL)
        ew_buf_printf(out, "le=\"%s\"", le);
    ew_buf_putc(out, '}');
}

static void
put_seconds(struct ew_buf *out, int64_t ms)
{
    ew_buf_printf(out, " %s%lld.%03lld\n", ms < 0 ? "-" : "", llabs(ms / 1000), llabs(ms % 1000));
}

/* Cumulative; the count is read once and last, so that it is never below a bucket. */
static void
render_histogram(struct ew_buf *out, const struct ew_metrics *metrics, enum ew_metric id, int label)
{
    const struct row *row = &rows[id];
    const struct series *series = &metrics->series[id][label];
    int64_t count = 0;
    char le[24];

    for (int i = 0; i <= BUCKETS; i++) {
        count = i == BUCKETS ? series->value : series->buckets[i];
        if (i < BUCKETS)
            (void)snprintf(le, sizeof(le), "%lld.%03lld", (long long)(bounds_ms[i] / 1000),
                           (long long)(bounds_ms[i] % 1000));
        ew_buf_printf(out, "%s_bucket", row->name);
        put_labels(out, metrics, row, label, i < BUCKETS ? le : "+Inf");
        ew_buf_printf(out, " %lld\n", (long long)count);
    }
    ew_buf_printf(out, "%s_sum", row->name);
    put_labels(out, metrics, row, label, NULL);
    put_seconds(out, series->sum_ms);
    ew_buf_printf(out, "%s_count", row->name);
    put_labels(out, metrics, row, label, NULL);
    ew_buf_printf(out, " %lld\n", (long long)count);
}

static void
render_series(struct ew_buf *out, const struct ew_metrics *metrics, enum ew_metric id, int label)
{
    const struct row *row = &rows[id];
    int64_t value = metrics->series[id][label].value;

    if (row->kind == HISTOGRAM) {
        render_histogram(out, metrics, id, label);
        return;
    }
    ew_buf_puts(out, row->name);
    put_labels(out, metrics, row, label, NULL);
    if (row->kind == GAUGE_MS)
        put_seconds(out, value);
    else
        ew_buf_printf(out, " %lld\n", (long long)value);
}

void
ew_metrics_render(const struct ew_metrics *metrics, struct ew_buf *out)
{
    static const char *const kinds[] = {"counter", "gauge", "gauge", "histogram"};

    for (int id = 0; id < EW_METRIC_COUNT; id++) {
        const struct row *row = &rows[id];

        ew_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", row->name, row->help, row->name,
                      kinds[row->kind]);
        for (int label = 0; label < label_count(row); label++)
            render_series(out, metrics, (enum ew_metric)id, label);
    }
}
