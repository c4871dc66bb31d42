/*
 * Whether the log of a topic that a broker did not know for a moment is the one of before, as far
 * as that can be told without reading it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "renew_private.h"

enum { OLD_HIGH = 100 };

static enum ew_same
judged(bool fetching, int64_t read, int64_t low, int64_t high)
{
    const struct ew_part heir = {
        .trace = {.offset = read}, .old_high = OLD_HIGH, .fetching = fetching};

    return ew_renew_judge(NULL, &heir, low, high);
}

/* Nothing was fetched yet when a broker that had just started said so: that it was empty, nobody
 * knows. */
static void
test_nothing_was_read(void **state)
{
    (void)state;
    assert_int_equal(judged(false, -1, 0, OLD_HIGH), EW_SAME_LOG);
    assert_int_equal(judged(false, -1, 40, OLD_HIGH + 7), EW_SAME_LOG);
    assert_int_equal(judged(false, -1, 0, OLD_HIGH - 1), EW_OTHER_LOG);
}

static void
test_it_was_empty(void **state)
{
    (void)state;
    assert_int_equal(judged(true, -1, OLD_HIGH, OLD_HIGH), EW_SAME_LOG);
    assert_int_equal(judged(true, -1, OLD_HIGH, OLD_HIGH + 7), EW_SAME_LOG);
    assert_int_equal(judged(true, -1, 0, OLD_HIGH + 7), EW_OTHER_LOG);
}

static void
test_what_was_read_is_gone(void **state)
{
    (void)state;
    assert_int_equal(judged(true, 50, 51, OLD_HIGH), EW_SAME_LOG); /* retention */
    assert_int_equal(judged(true, 50, 0, 50), EW_OTHER_LOG);       /* it never came so far */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_was_read),
        cmocka_unit_test(test_it_was_empty),
        cmocka_unit_test(test_what_was_read_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
