/*
 * Proof that a check without brokers says which properties no worker could start with, and that
 * what it makes to find out costs no time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "kafka/check.h"

enum { TIMEOUT_MS = 200, SOON_MS = 5000 };

struct found {
    int count, handles;
    char detail[224];
};

static void
on_problem(void *arg, const struct ew_err *err)
{
    struct found *found = arg;

    found->count++;
    assert_int_not_equal(err->fault, EW_OK);
    assert_non_null(err->advice);
    if (strcmp(err->problem, "kafka-handle") == 0) {
        found->handles++;
        assert_string_equal(err->field, "kafka.properties");
        memcpy(found->detail, err->detail, sizeof(found->detail));
    } else {
        assert_string_equal(err->problem, "kafka-unreachable");
    }
}

static struct found
check(const char *name, const char *value)
{
    struct ew_pair property = {name, value};
    struct ew_kafka_options options = {.bootstrap = "127.0.0.1:1",
                                       .group = "g",
                                       .instance = "i",
                                       .properties = &property,
                                       .property_count = 1,
                                       .session_ms = 45000,
                                       .transaction_ms = 10000,
                                       .partition_items = 100,
                                       .partition_bytes = 1 << 24};
    struct found found = {.count = 0};
    int count = ew_kafka_check(&options, TIMEOUT_MS, on_problem, &found);

    assert_int_equal(count, found.count);
    return found;
}

static void
test_what_a_producer_does_not_take(void **state)
{
    static const struct {
        const char *name, *value, *says;
    } rows[] = {
        {"socket.timeout.ms", "30000", "`socket.timeout.ms` must be set <= "},
        {"max.in.flight", "6", "`max.in.flight` must be set <="},
        {"retries", "0", "`retries` must be set >= 1"},
        {"queuing.strategy", "lifo", "`queuing.strategy` must be set to `fifo`"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct found found = check(rows[i].name, rows[i].value);

        if (found.handles != 1 || found.count != 2 || strstr(found.detail, rows[i].says) == NULL)
            fail_msg("%s: %d of %d, %s", rows[i].name, found.handles, found.count, found.detail);
    }
}

/* What no handle takes is said once. */
static void
test_what_none_takes(void **state)
{
    struct found found = check("reconnect.backoff.max.ms", "1");

    (void)state;
    assert_int_equal(found.count, 1);
    assert_int_equal(found.handles, 1);
}

static void
test_what_all_take_costs_no_time(void **state)
{
    int64_t began = ew_boot_ms(&ew_clock_system);
    struct found found = check("socket.timeout.ms", "10100");

    (void)state;
    assert_int_equal(found.count, 1);
    assert_int_equal(found.handles, 0);
    assert_true(ew_boot_ms(&ew_clock_system) - began < SOON_MS);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_producer_does_not_take),
        cmocka_unit_test(test_what_none_takes),
        cmocka_unit_test(test_what_all_take_costs_no_time),
    };

    return cmocka_run_group_tests_name("kafka: check", tests, NULL, NULL);
}
