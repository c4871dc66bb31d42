/*
 * By whose clock: deadlines and recipients are judged by GlobalSign's, an hour before the worker's
 * own here, as soon as it was heard.
 */
#include "world.h"

enum { HALF_AN_HOUR_S = 1800 };

static void
is_refused(const char *problem)
{
    walked("lookup claim publish answered");
    assert_string_equal(answered(EW_RES_REJECTED)->failure.problem, problem);
    assert_null(asked(ORDER));
}

static void
test_a_deadline_that_has_passed_there(void **state)
{
    (void)state;
    w.deadline_ms = world_wall(NULL) + HALF_AN_HOUR_S * INT64_C(1000);
    clock_is_known(); /* nobody had heard it when that one came: it is ordered */
    enrolls("r-1", "", false);
    is_refused("deadline-passed");
}

static void
test_a_deadline_that_passes_there(void **state)
{
    (void)state;
    clock_is_known();
    w.deadline_ms = ca_now() + 1000;
    enrolls("r-1", "", false);
    walked(UNTIL_ORDER);
    pass(2000);
    replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_NOT_SENT});
    pass(w.config.time.retry_max_ms);
    assert_string_equal(answered(EW_RES_REJECTED)->failure.problem, "deadline-passed");
    assert_null(asked(ORDER));
}

static void
test_a_recipient_that_is_valid_there(void **state)
{
    (void)state;
    clock_is_known();
    w.recipient_from_s = NOW_S + HALF_AN_HOUR_S;
    enrolls_for_key("r-1", false);
    assert_non_null(asked(ORDER));
}

static void
test_a_recipient_that_is_not_valid_any_more_there(void **state)
{
    (void)state;
    clock_is_known();
    w.recipient_to_s = NOW_S + HALF_AN_HOUR_S;
    enrolls_for_key("r-1", false);
    assert_null(asked(ORDER));
    assert_string_equal(answered(EW_RES_REJECTED)->failure.problem, "recipient");
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
    const struct CMUnitTest tests[] = {
        ROW(test_a_deadline_that_has_passed_there),
        ROW(test_a_deadline_that_passes_there),
        ROW(test_a_recipient_that_is_valid_there),
        ROW(test_a_recipient_that_is_not_valid_any_more_there),
    };

    return cmocka_run_group_tests(tests, keys_begin, keys_end);
}
