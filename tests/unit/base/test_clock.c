/*
 * Clocks that go forward, times as text, and chance that differs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"

static void
test_text(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {-1000, "1969-12-31T23:59:59.000Z"},
        {951782399999, "2000-02-28T23:59:59.999Z"},
        {951782400000, "2000-02-29T00:00:00.000Z"},
        {1795428000007, "2026-11-23T10:00:00.007Z"},
        {253402300799999, "9999-12-31T23:59:59.999Z"},
        {253402300800000,
         ""}, /* no year of five digits: nothing, rather than what no reader takes */
        {INT64_MAX, ""},
        {INT64_MIN, ""},
    };
    char text[EW_TIME_TEXT];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        memset(text, 'x', sizeof(text));
        ew_time_format(rows[i].ms, text);
        assert_string_equal(text, rows[i].text);
    }
}

static void
test_system_clocks(void **state)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    int64_t boot = ew_boot_ms(&ew_clock_system), wall = ew_wall_ms(&ew_clock_system);

    (void)state;
    (void)nanosleep(&pause, NULL);
    assert_true(ew_boot_ms(&ew_clock_system) >= boot + 19);
    assert_true(wall > 1700000000000);
    assert_true(boot > 0 && boot < wall); /* since the start of the machine, not since 1970 */
}

static void
test_chance(void **state)
{
    uint8_t a[32] = {0}, b[33] = {0};
    uint32_t all = 0, any = 0xffffffff;

    (void)state;
    ew_random_bytes(a, sizeof(a));
    ew_random_bytes(b, sizeof(a));
    assert_memory_not_equal(a, b, sizeof(a));
    assert_int_equal(b[32], 0);
    for (int i = 0; i < 64; i++) {
        uint32_t value = ew_random_u32();

        all |= value;
        any &= value;
    }
    assert_int_equal(all, 0xffffffff); /* every bit is set at times, and clear at times */
    assert_int_equal(any, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_system_clocks),
        cmocka_unit_test(test_chance),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
