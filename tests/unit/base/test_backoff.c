/*
 * The back-off function: bounds for every attempt and every chance.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/backoff.h"

static const uint32_t chances[] = {0,   1,     2,          499,        500,
                                   501, 65535, 0x7fffffff, 0x80000000, 0xffffffff};

static void
test_between_half_and_all(void **state)
{
    const struct ew_backoff backoff = {.first_ms = 500, .max_ms = 60000};
    int64_t full = 500;

    (void)state;
    for (unsigned attempt = 1; attempt < 40; attempt++) {
        for (size_t i = 0; i < sizeof(chances) / sizeof(chances[0]); i++) {
            int64_t delay = ew_backoff_ms(&backoff, attempt, chances[i]);

            assert_in_range(delay, full / 2, full);
        }
        assert_int_equal(ew_backoff_ms(&backoff, attempt, 0), full / 2);
        assert_int_equal(ew_backoff_ms(&backoff, attempt, (uint32_t)(full - full / 2)), full);
        full = full * 2 > 60000 ? 60000 : full * 2;
    }
}

static void
test_odd_settings(void **state)
{
    const struct ew_backoff none = {.first_ms = 0, .max_ms = 1000},
                            crossed = {.first_ms = 5000, .max_ms = 10},
                            huge = {.first_ms = INT64_MAX / 4, .max_ms = INT64_MAX / 2};

    (void)state;
    assert_int_equal(ew_backoff_ms(&none, 4000000000u, 77), 1); /* at once, not after 2^32 turns */
    assert_in_range(ew_backoff_ms(&crossed, 1, 77), 5, 10);
    assert_true(ew_backoff_ms(&huge, 4000000000u, 0xffffffff) >= INT64_MAX / 4 - 1);
    assert_int_equal(ew_backoff_ms(&(struct ew_backoff){.first_ms = 1, .max_ms = 1}, 9, 3), 1);
    assert_in_range(ew_backoff_ms(&(struct ew_backoff){.first_ms = 100, .max_ms = 100}, 0, 3), 50,
                    100);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_between_half_and_all),
        cmocka_unit_test(test_odd_settings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
