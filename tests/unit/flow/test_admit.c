/*
 * What comes with a record and is beyond its limits: a trace that is not carried on, and a value
 * that is a dead letter.
 */
#include "world.h"

/* The record that waits says what was read of them. */
static void
carries(const struct ew_header *headers, size_t count, const char *parent, const char *trace)
{
    struct ew_inflight_record left;

    w.headers = headers;
    w.header_count = count;
    is_pending();
    stays_pending_for(w.config.time.hold_max_ms + 1000);
    left = inflight(EW_INFLIGHT_WAITING);
    assert_string_equal(left.traceparent == NULL ? "none" : left.traceparent, parent);
    assert_string_equal(left.tracestate == NULL ? "none" : left.tracestate, trace);
    assert_int_equal(left.header_count, count); /* a letter has them all the same */
    (void)world_end(NULL);
    (void)world_begin(NULL);
}

static void
test_traces(void **state)
{
    static char most[EW_MAX_TRACE + 2];
    struct ew_header headers[] = {{"traceparent", "00-p", 4}, {"tracestate", "a=b", 3}};

    (void)state;
    carries(headers, 2, "00-p", "a=b");
    memset(most, '~', EW_MAX_TRACE + 1);
    headers[0] = (struct ew_header){"traceparent", most, EW_MAX_TRACE + 1};
    carries(headers, 2, "none", "a=b");
    headers[0] = (struct ew_header){"tracestate", most, EW_MAX_TRACE + 1};
    carries(headers, 1, "none", "none");
    most[EW_MAX_TRACE] = '\0';
    headers[0] = (struct ew_header){"traceparent", most, EW_MAX_TRACE};
    headers[1] = (struct ew_header){"tracestate", most, EW_MAX_TRACE};
    carries(headers, 2, most, most);
}

static void
test_traces_that_are_none(void **state)
{
    static const struct ew_header odd[] = {
        {"traceparent", "", 0},         {"traceparent", NULL, 0},   {"traceparent", "a\0b", 3},
        {"traceparent", "a\n", 2},      {"traceparent", "\x1f", 1}, {"traceparent", "\x7f", 1},
        {"traceparent", "\xc3\xa4", 2}, {"Traceparent", "00-p", 4}};

    (void)state;
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
        carries(&odd[i], 1, "none", "none");
}

/* --- the value --- */

static void
comes_as(const void *value, size_t len)
{
    struct ew_blob key = {.data = (const uint8_t *)"k", .len = 1};

    enter(&w.enrollments, &key, value, len, false);
    pass(0);
}

/* It would be kept with the request, and come back with it. */
static void
test_a_key_that_is_too_long(void **state)
{
    static uint8_t zeros[EW_MAX_KEY + 1];
    struct ew_blob key = {.data = zeros, .len = EW_MAX_KEY};

    (void)state;
    enter(&w.enrollments, &key, "?", 1, false);
    pass(0);
    assert_string_equal(w.letter, "malformed");
    key.len++;
    enter(&w.enrollments, &key, "?", 1, false);
    pass(0);
    assert_int_equal(w.dead_letters, 2);
    assert_string_equal(w.letter, "record-key-size");
    enter(&w.enrollments, &key, "?", 1, true); /* an older version began it */
    pass(0);
    assert_string_equal(w.letter, "malformed");
}

static void
test_a_key_that_is_too_long_of_what_may_have_begun(void **state)
{
    static uint8_t zeros[EW_MAX_KEY + 1];
    struct ew_blob key = {.data = zeros, .len = EW_MAX_KEY + 1};

    (void)state;
    w.doubted = true;
    enter(&w.enrollments, &key, "?", 1, false);
    pass(0);
    assert_string_equal(w.letter, "malformed");
}

static void
test_a_record_that_is_too_large(void **state)
{
    static uint8_t zeros[EW_MAX_RECORD + 1];

    (void)state;
    comes_as(zeros, EW_MAX_RECORD); /* it is looked at, and is no request */
    assert_int_equal(w.dead_letters, 1);
    assert_string_equal(w.letter, "malformed");
    comes_as(zeros, EW_MAX_RECORD + 1);
    assert_int_equal(w.dead_letters, 2);
    assert_string_equal(w.letter, "record-size");
    comes_as(NULL, 0);
    assert_int_equal(w.dead_letters, 3);
    assert_string_equal(w.letter, "tombstone");
    assert_int_equal(w.event_count, 0);
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
    const struct CMUnitTest tests[] = {
        ROW(test_traces),
        ROW(test_traces_that_are_none),
        ROW(test_a_record_that_is_too_large),
        ROW(test_a_key_that_is_too_long),
        ROW(test_a_key_that_is_too_long_of_what_may_have_begun),
    };

    return cmocka_run_group_tests(tests, keys_begin, keys_end);
}
