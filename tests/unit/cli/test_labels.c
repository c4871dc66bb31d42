/*
 * The closed lists of label values against the names of the things they count: an index that is
 * shifted by one would count everything under its neighbour's name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/metric.h"
#include "domain/outcome.h"
#include "domain/request.h"
#include "domain/state.h"
#include "globalsign/ca.h"
#include "store/store.h"

static void
expect(enum ew_metric id, int label, const char *series)
{
    struct ew_metrics *metrics = ew_metrics_new("x");
    struct ew_buf text;
    char find[160];

    ew_metric_add(metrics, id, label, 4711);
    ew_buf_init(&text, 256 * 1024);
    ew_metrics_render(metrics, &text);
    (void)snprintf(find, sizeof(find), "\n%s 4711\n", series);
    if (strstr(ew_buf_text(&text), find) == NULL)
        fail_msg("metric %d, label %d is not %s", (int)id, label, series);
    ew_buf_deinit(&text);
    ew_metrics_free(metrics);
}

static void
expect_names(enum ew_metric id, const char *family, const char *label, const char *const *names,
             int count)
{
    char series[120];

    for (int i = 0; i < count; i++) {
        (void)snprintf(series, sizeof(series), "%s{%s=\"%s\"}", family, label, names[i]);
        for (char *at = series; *at != '\0'; at++)
            if (*at == '-') /* as label values are spelled */
                *at = '_';
        expect(id, i, series);
    }
}

static void
test_enums_with_names(void **state)
{
    const char *states[EW_ST_COUNT], *results[EW_RES_RECONCILING + 1],
        *classes[EW_CA_TRY_LATER + 1];

    (void)state;
    for (int i = 0; i < EW_ST_COUNT; i++)
        states[i] = ew_state_name((enum ew_state)i);
    for (int i = 0; i <= EW_RES_RECONCILING; i++)
        results[i] = ew_result_name((enum ew_result)i);
    for (int i = 0; i <= EW_CA_TRY_LATER; i++)
        classes[i] = ew_ca_class_name((enum ew_ca_class)i);
    expect_names(EW_METRIC_REQUESTS_IN_STATE, "epki_requests_in_state", "state", states,
                 EW_ST_COUNT);
    expect_names(EW_METRIC_EVENTS_PUBLISHED, "epki_events_published_total", "result", results,
                 EW_RES_RECONCILING + 1);
    expect_names(EW_METRIC_CA_CALLS, "epki_ca_calls_total", "class", classes, EW_CA_TRY_LATER + 1);
}

static void
test_enums_without(void **state)
{
    static const char *const lanes[EW_LANE_COUNT] = {[EW_LANE_REVOCATION] = "revocation",
                                                     [EW_LANE_RESUME] = "resume",
                                                     [EW_LANE_ENROLLMENT] = "enrollment",
                                                     [EW_LANE_RENEWAL] = "renewal",
                                                     [EW_LANE_BULK] = "bulk"},
                             *const classes[EW_RATE_COUNT] = {[EW_RATE_REVOCATION] = "revocation",
                                                              [EW_RATE_QUERY] = "query",
                                                              [EW_RATE_ENROLLMENT] = "enrollment",
                                                              [EW_RATE_RENEWAL] = "renewal",
                                                              [EW_RATE_BULK] = "bulk"},
                             *const tokens[] = {[EW_TOKEN_GRANTED] = "granted",
                                                [EW_TOKEN_WAIT] = "wait",
                                                [EW_TOKEN_PAUSED] = "paused",
                                                [EW_TOKEN_UNVERIFIED] = "unverified",
                                                [EW_TOKEN_PROBE] = "probe"};

    (void)state;
    expect_names(EW_METRIC_EVENTS_CONSUMED, "epki_events_consumed_total", "lane", lanes,
                 EW_LANE_COUNT);
    expect_names(EW_METRIC_INFLIGHT_CALLS, "epki_inflight_calls", "class", classes, EW_RATE_COUNT);
    expect_names(EW_METRIC_RATE_TOKENS, "epki_rate_tokens_total", "result", tokens, 5);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_enums_with_names),
        cmocka_unit_test(test_enums_without),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
