/*
 * Lists that are cut off: asked for again in parts, until they are whole or say nothing.
 */
#include "reconcile.h"

#define DAY_MS INT64_C(86400000)

static void
capped(void)
{
    replies(LIST, (struct ew_ca_reply){.capped = true});
}

static void
test_capped_lists_are_asked_for_in_parts(void **state)
{
    int64_t sent, from, to;

    (void)state;
    sent = ca_now();
    goes_unknown();
    pass(250);
    assert_int_equal(asked(LIST)->to_ms, 0); /* first without dates: no clock to trust */
    capped();
    from = asked(LIST)->from_ms;
    to = asked(LIST)->to_ms;
    assert_true(from == sent - DAY_MS && to == ca_now() + DAY_MS); /* by that clock alone */
    capped();
    assert_true(asked(LIST)->from_ms == from);
    assert_true(asked(LIST)->to_ms == from + (to - from) / 2); /* halved */
    shows(LIST, NULL, 0);
    assert_true(asked(LIST)->from_ms == from + (to - from) / 2); /* and the rest after it */
    assert_true(asked(LIST)->to_ms == to);
}

/* A list in parts is as old as its first one. */
static void
test_parts_count_from_the_first(void **state)
{
    (void)state;
    goes_unknown();
    capped();
    capped();
    pass(QUIET + 500);
    shows(LIST, NULL, 0);
    shows(LIST, NULL, 0); /* asked for after the quiet period, but it is the second half */
    pass(2000);
    assert_string_equal(asked(LIST)->cn, CN); /* from the beginning again */
    assert_int_equal(asked(LIST)->to_ms, 0);
}

/* What cannot be made whole proves nothing, whichever of the two lists it is. */
static void
test_torn_lists_never_say_none(void **state)
{
    (void)state;
    for (int by_name = 0; by_name < 2; by_name++) {
        goes_unknown();
        for (int64_t end = w.boot_ms + 3 * QUIET; w.boot_ms < end; pass(100))
            while (asked(LIST) != NULL)
                if ((asked(LIST)->cn[0] != '\0') == by_name)
                    capped();
                else
                    shows(LIST, NULL, 0);
        walked("");
        assert_null(asked(ORDER));
        (void)world_end(NULL);
        (void)world_begin(NULL);
    }
}

static void
test_capped_without_a_clock_is_torn(void **state)
{
    struct ew_windows windows = {.torn = false};

    (void)state;
    assert_false(ew_windows_next(&windows, true, 0, 1000));
    assert_true(windows.torn);
}

static void
test_windows_cover_everything_once(void **state)
{
    struct ew_windows windows = {.torn = false};
    int64_t covered, parts = 0;

    (void)state;
    assert_true(ew_windows_next(&windows, true, NOW_MS, NOW_MS - 10000000));
    covered = windows.from_ms;
    assert_true(windows.end_ms > NOW_MS);
    for (int step = 0;; step++) {
        /* each part is cut off twice before it comes whole, unless it is small */
        bool cut = step % 3 != 2 && windows.to_ms - windows.from_ms > 60000;

        if (!cut) {
            assert_true(windows.from_ms == covered);
            assert_true(windows.to_ms > windows.from_ms);
            covered = windows.to_ms;
            parts++;
        }
        if (!ew_windows_next(&windows, cut, NOW_MS, 0))
            break;
        assert_true(windows.to_ms <= windows.end_ms && windows.from_ms <= windows.end_ms);
    }
    assert_false(windows.torn);
    assert_true(covered == windows.end_ms);
    assert_true(parts > 2);
}

/* One second is never cut in two: it is torn instead. */
static void
test_windows_end(void **state)
{
    struct ew_windows windows = {.from_ms = 5000, .to_ms = 6000, .end_ms = 9000};

    (void)state;
    assert_false(ew_windows_next(&windows, true, NOW_MS, 0));
    assert_true(windows.torn);
    windows = (struct ew_windows){.from_ms = 5000, .to_ms = 6001, .end_ms = 9000};
    assert_true(ew_windows_next(&windows, true, NOW_MS, 0));
    assert_int_equal(windows.to_ms, 5500);
    windows = (struct ew_windows){.torn = false};
    assert_false(ew_windows_next(&windows, false, NOW_MS, 0)); /* whole without dates */
    assert_false(windows.torn);
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
    const struct CMUnitTest tests[] = {
        ROW(test_capped_lists_are_asked_for_in_parts),
        ROW(test_parts_count_from_the_first),
        ROW(test_torn_lists_never_say_none),
        cmocka_unit_test(test_capped_without_a_clock_is_torn),
        cmocka_unit_test(test_windows_cover_everything_once),
        cmocka_unit_test(test_windows_end),
    };

    return cmocka_run_group_tests(tests, keys_begin, keys_end);
}
