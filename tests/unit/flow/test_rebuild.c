/*
 * Rebuilding Redis from the topics: everything in them, not too much at once, and the canary only
 * when all of it is there.
 */
#include "world.h"

enum { STATES = 3 * BATCH + 7, WINDOW = 256 };

static struct ew_read_record states[STATES + 1];

/* An answered request's state record, as often as wanted. */
static void
answers_lie_there(void)
{
    enrolls("r-1", "", false);
    replies(ORDER,
            (struct ew_ca_reply){.order_id = "CE1", .certificate = certificate(NULL, NULL, NULL)});
    assert_true(w.state.len > 0);
    for (size_t i = 0; i < STATES; i++)
        states[i] = (struct ew_read_record){.offset = (int64_t)i,
                                            .key = "r-1",
                                            .key_len = 3,
                                            .value = w.state.data,
                                            .value_len = w.state.len};
    w.states = states;
    w.state_count = STATES;
}

static void
is_wiped(void)
{
    w.rebuilds = true;
    w.canary = "";
}

static bool
is_rebuilt(int64_t within_ms)
{
    for (int64_t end = w.boot_ms + within_ms; w.boot_ms < end && w.canary[0] == '\0';)
        pass(100);
    return w.canary[0] != '\0';
}

static void
test_everything_a_window_at_a_time(void **state)
{
    (void)state;
    answers_lie_there();
    is_wiped();
    assert_true(is_rebuilt(10000));
    assert_true(w.restored >= STATES);
    assert_in_range(w.at_once, WINDOW / 2, WINDOW);
}

/* An answer has as many labels as its request and its setting have together. */
static void
test_answers_with_all_their_labels(void **state)
{
    (void)state;
    w.setting.labels[w.setting.label_count++] = "of the setting";
    w.label_count = EW_MAX_LABELS;
    answers_lie_there();
    assert_int_equal(w.events[w.event_count - 1].label_count, EW_MAX_LABELS + 1);
    is_wiped();
    assert_true(is_rebuilt(10000));
    assert_true(w.restored >= STATES);
}

static void
test_tombstones_are_nothing(void **state)
{
    int before;

    (void)state;
    answers_lie_there();
    is_wiped();
    assert_true(is_rebuilt(10000));
    before = w.restored;
    w.restored = 0;
    states[0].value = states[BATCH].value = NULL;
    is_wiped();
    assert_true(is_rebuilt(10000));
    assert_int_equal(w.restored, before - 2);
}

/* Nothing is ordered on the strength of a part. */
static void
test_what_does_not_decode_keeps_the_canary_away(void **state)
{
    (void)state;
    answers_lie_there();
    states[STATES - 1].value = "?";
    states[STATES - 1].value_len = 1;
    is_wiped();
    assert_false(is_rebuilt(20000));
    assert_true(w.restored > STATES); /* it was tried again */
    assert_non_null(strstr(w.advised, "topic=epki.certificate.state partition=0 offset=1506 "));
    assert_non_null(strstr(w.advised, "key=r-1 "));
    assert_string_equal(w.why, "a record does not decode");
    w.state_count = STATES + 1; /* as advised: behind it, under the same key */
    states[STATES] = states[0];
    states[STATES].offset = STATES;
    assert_true(is_rebuilt(20000));
}

static void
test_what_is_in_flight_and_does_not_decode_is_named(void **state)
{
    size_t last;

    (void)state;
    enrolls("r-1", "", false); /* with an ORDERING record */
    last = w.inflight_count - 1;
    w.inflight[last].value = "?";
    w.inflight[last].value_len = 1;
    is_wiped();
    assert_false(is_rebuilt(20000));
    assert_non_null(strstr(w.advised, "topic=epki.inflight partition=0 offset=0 "));
    assert_non_null(strstr(w.advised, "key=r-1/epki.enrollment.requests/0/0 "));
    assert_string_equal(w.why, "a record does not decode");
    w.inflight[last].value = NULL; /* as advised */
    assert_true(is_rebuilt(20000));
}

static void
test_redis_lost_meanwhile(void **state)
{
    (void)state;
    answers_lie_there();
    is_wiped();
    while (w.restored == 0)
        pass(100);
    assert_true(w.restored < STATES);
    w.store.away = true;
    pass(5000);
    assert_string_equal(w.canary, "");
    assert_string_equal(w.why, "Redis did not answer");
    w.store.away = false;
    assert_true(is_rebuilt(20000));
    assert_true(w.at_once <= WINDOW);
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
    const struct CMUnitTest tests[] = {
        ROW(test_everything_a_window_at_a_time),
        ROW(test_answers_with_all_their_labels),
        ROW(test_tombstones_are_nothing),
        ROW(test_what_does_not_decode_keeps_the_canary_away),
        ROW(test_what_is_in_flight_and_does_not_decode_is_named),
        ROW(test_redis_lost_meanwhile),
    };

    return cmocka_run_group_tests(tests, keys_begin, keys_end);
}
