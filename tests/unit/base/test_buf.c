/*
 * The bounded buffer: its maximum, the overflow that stays, and secrets that leave nothing behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

static void
test_growth_keeps_what_was_written(void **state)
{
    struct ew_buf buf;

    (void)state;
    ew_buf_init(&buf, 10000);
    assert_string_equal(ew_buf_text(&buf), "");
    for (int i = 0; i < 2000; i++)
        ew_buf_printf(&buf, "%04d,", i);
    assert_int_equal(buf.len, 10000);
    assert_false(buf.overflowed);
    assert_true(buf.cap <= buf.max + 1);
    for (int i = 0; i < 2000; i++)
        assert_int_equal(strtol(ew_buf_text(&buf) + (size_t)i * 5, NULL, 10), i);
    ew_buf_deinit(&buf);
}

static void
test_overflow_takes_nothing_more(void **state)
{
    struct ew_buf buf;
    size_t len = 99;

    (void)state;
    ew_buf_init(&buf, 5);
    ew_buf_puts(&buf, "abc");
    ew_buf_puts(&buf, "def"); /* one too many: none of it is taken */
    assert_true(buf.overflowed);
    ew_buf_putc(&buf, 'x'); /* would fit, but what is here is no longer whole */
    assert_string_equal(ew_buf_text(&buf), "abc");
    assert_null(ew_buf_take(&buf, &len));
    assert_int_equal(len, 0);
    assert_false(buf.overflowed);
    ew_buf_puts(&buf, "fresh");
    assert_string_equal(ew_buf_text(&buf), "fresh");
    ew_buf_printf(&buf, "%s", "");
    assert_false(buf.overflowed);
    ew_buf_printf(&buf, "%d", 1);
    assert_true(buf.overflowed);
    ew_buf_clear(&buf);
    assert_false(buf.overflowed);
    assert_string_equal(ew_buf_text(&buf), "");
    ew_buf_put(&buf, "12345", SIZE_MAX);
    assert_true(buf.overflowed);
    ew_buf_deinit(&buf);
}

static void
test_take_gives_memory_away(void **state)
{
    struct ew_buf buf;
    size_t len;
    uint8_t *data;

    (void)state;
    ew_buf_init(&buf, 100);
    ew_buf_put(&buf, "a\0b", 3);
    data = ew_buf_take(&buf, &len);
    assert_int_equal(len, 3);
    assert_memory_equal(data, "a\0b\0", 4);
    assert_null(buf.data);
    free(data);
    data = ew_buf_take(&buf, &len); /* nothing written: an empty text, not NULL */
    assert_non_null(data);
    assert_int_equal(len, 0);
    assert_int_equal(data[0], 0);
    free(data);
    ew_buf_deinit(&buf);
}

static void
test_clearing_a_secret_wipes_it(void **state)
{
    struct ew_buf buf;

    (void)state;
    ew_buf_init_secret(&buf, 100);
    ew_buf_puts(&buf, "hunter2-hunter2");
    ew_buf_clear(&buf);
    for (size_t i = 0; i < buf.cap; i++)
        assert_int_equal(buf.data[i], 0);
    ew_buf_deinit(&buf);
    assert_true(buf.secret); /* what is written next is a secret again */
    assert_int_equal(buf.max, 100);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_growth_keeps_what_was_written),
        cmocka_unit_test(test_overflow_takes_nothing_more),
        cmocka_unit_test(test_take_gives_memory_away),
        cmocka_unit_test(test_clearing_a_secret_wipes_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
