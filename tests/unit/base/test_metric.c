/*
 * The exposition as Prometheus reads it: one family each, sound histograms, closed labels.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/metric.h"

static struct ew_metrics *metrics;
static struct ew_buf text;

static int
set_up(void **state)
{
    (void)state;
    metrics = ew_metrics_new("1.2.3");
    ew_buf_init(&text, 256 * 1024);
    return metrics == NULL;
}

static int
tear_down(void **state)
{
    (void)state;
    ew_metrics_free(metrics);
    ew_buf_deinit(&text);
    return 0;
}

static const char *
render(void)
{
    ew_buf_clear(&text);
    ew_metrics_render(metrics, &text);
    assert_false(text.overflowed);
    return ew_buf_text(&text);
}

/* The value of one series, by its whole name; fails when it is not there. */
static const char *
value_of(const char *series)
{
    static char out[64];
    char find[200];
    const char *at;

    (void)snprintf(find, sizeof(find), "\n%s ", series);
    at = strstr(render(), find);
    if (at == NULL)
        fail_msg("no %s", series);
    (void)snprintf(out, sizeof(out), "%.*s", (int)strcspn(at + strlen(find), "\n"),
                   at + strlen(find));
    return out;
}

static void
test_values(void **state)
{
    (void)state;
    assert_string_equal(value_of("epki_build_info{version=\"1.2.3\"}"), "1");
    assert_string_equal(value_of("epki_backlog_events"), "0");
    ew_metric_set(metrics, EW_METRIC_BACKLOG_EVENTS, 0, 42);
    assert_string_equal(value_of("epki_backlog_events"), "42");
    ew_metric_add(metrics, EW_METRIC_CA_CALLS, 0, 2);
    ew_metric_add(metrics, EW_METRIC_CA_CALLS, 0, 1);
    ew_metric_add(metrics, EW_METRIC_CA_CALLS, 3, 1);
    assert_string_equal(value_of("epki_ca_calls_total{class=\"ok\"}"), "3");
    assert_string_equal(value_of("epki_ca_calls_total{class=\"unknown\"}"), "1");
    assert_string_equal(value_of("epki_ca_calls_total{class=\"pending\"}"), "0");
    ew_metric_set(metrics, EW_METRIC_REDIS_RTT, 0, 1007);
    assert_string_equal(value_of("epki_redis_rtt_seconds"), "1.007");
    ew_metric_set(metrics, EW_METRIC_REDIS_RTT, 0, -1);
    assert_string_equal(value_of("epki_redis_rtt_seconds"), "-0.001");
}

static void
test_no_label_makes_a_new_series(void **state)
{
    size_t before;

    (void)state;
    before = strlen(render());
    ew_metric_add(metrics, EW_METRIC_RECONCILES, 77, 1);
    ew_metric_add(metrics, EW_METRIC_RECONCILES, -1, 1);
    ew_metric_add(metrics, EW_METRIC_DEAD_LETTERS, 5, 1);
    assert_string_equal(value_of("epki_reconciled_total{verdict=\"none\"}"), "2");
    assert_string_equal(value_of("epki_dead_letters_total"), "1");
    assert_int_equal(strlen(render()), before);
}

static void
test_histogram(void **state)
{
    static const int64_t times[] = {-5, 0, 100, 101, 6999, 120000, 120001, 999999};

    (void)state;
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
        ew_metric_observe(metrics, EW_METRIC_REQUEST_DURATION, 1, times[i]);
    assert_string_equal(
        value_of("epki_request_duration_seconds_bucket{operation=\"enroll\",le=\"0.100\"}"), "3");
    assert_string_equal(
        value_of("epki_request_duration_seconds_bucket{operation=\"enroll\",le=\"0.250\"}"), "4");
    assert_string_equal(
        value_of("epki_request_duration_seconds_bucket{operation=\"enroll\",le=\"7.500\"}"), "5");
    assert_string_equal(
        value_of("epki_request_duration_seconds_bucket{operation=\"enroll\",le=\"120.000\"}"), "6");
    assert_string_equal(
        value_of("epki_request_duration_seconds_bucket{operation=\"enroll\",le=\"+Inf\"}"), "8");
    assert_string_equal(value_of("epki_request_duration_seconds_count{operation=\"enroll\"}"), "8");
    assert_string_equal(value_of("epki_request_duration_seconds_sum{operation=\"enroll\"}"),
                        "1247.200");
    assert_string_equal(value_of("epki_request_duration_seconds_count{operation=\"renew\"}"), "0");
}

/* Every line is a comment of the family at hand or a sample of it; counters end in _total; no name
 * comes twice; units are base units. */
static void
test_shape(void **state)
{
    char line[400], family[100] = "", kind[20] = "", seen[8192] = "";
    const char *at = render();
    int families = 0;

    (void)state;
    for (; *at != '\0'; at += strcspn(at, "\n") + 1) {
        char name[100], rest[300];

        (void)snprintf(line, sizeof(line), "%.*s", (int)strcspn(at, "\n"), at);
        if (sscanf(line, "# HELP %99s %299[^\n]", name, rest) == 2) {
            (void)snprintf(family, sizeof(family), "%s", name);
            (void)snprintf(rest, sizeof(rest), "|%s|", name);
            assert_null(strstr(seen, rest));
            (void)snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%s", rest);
            families++;
            assert_int_equal(strncmp(name, "epki_", 5), 0);
            assert_null(strstr(name, "milli"));
            continue;
        }
        if (sscanf(line, "# TYPE %99s %19s", name, kind) == 2) {
            size_t len = strlen(name);

            assert_string_equal(name, family);
            assert_int_equal(strcmp(kind, "counter") == 0,
                             len > 6 && strcmp(name + len - 6, "_total") == 0);
            continue;
        }
        assert_int_equal(strncmp(line, family, strlen(family)), 0);
        assert_non_null(strchr("{ _", line[strlen(family)]));
        assert_non_null(strrchr(line, ' '));
        assert_true(strspn(strrchr(line, ' ') + 1, "0123456789.") ==
                    strlen(strrchr(line, ' ') + 1));
        assert_null(strstr(line, "(null)"));
    }
    assert_int_equal(families, EW_METRIC_COUNT);
}

enum { ADDS = 20000 };

static void *
add_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < ADDS; i++) {
        ew_metric_add(metrics, EW_METRIC_EVENTS_CONSUMED, 2, 1);
        ew_metric_observe(metrics, EW_METRIC_CA_CALL_DURATION, 0, i % 8000);
    }
    return NULL;
}

static void
test_several_threads(void **state)
{
    pthread_t threads[3];

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, NULL), 0);
    for (int i = 0; i < 20; i++) { /* while they count: no bucket above the count */
        long inf = strtol(value_of("epki_ca_call_duration_seconds_bucket{le=\"+Inf\"}"), NULL, 10);

        assert_true(inf >= 0 && inf <= 3L * ADDS);
    }
    for (int i = 0; i < 3; i++)
        (void)pthread_join(threads[i], NULL);
    assert_string_equal(value_of("epki_events_consumed_total{lane=\"enrollment\"}"), "60000");
    assert_string_equal(value_of("epki_ca_call_duration_seconds_count"), "60000");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_values, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_label_makes_a_new_series, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_histogram, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_shape, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_several_threads, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
