/*
 * Texts that are made to fit, and lists of words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"

static void
fits_whole_characters(void **state)
{
    (void)state;
    assert_int_equal(ew_text_fit("", 4), 0);
    assert_int_equal(ew_text_fit("abcd", 4), 4);
    assert_int_equal(ew_text_fit("abcde", 4), 4);
    assert_int_equal(ew_text_fit("abc\xc3\xa9", 4), 3);
    assert_int_equal(ew_text_fit("abc\xc3\xa9", 5), 5);
    assert_int_equal(ew_text_fit("\xc3\xa9", 1), 0);
}

static void
has_whole_words(void **state)
{
    (void)state;
    assert_true(ew_text_has("CE1", "CE1"));
    assert_true(ew_text_has("CE1 CE2 CE3", "CE1"));
    assert_true(ew_text_has("CE1 CE2 CE3", "CE2"));
    assert_true(ew_text_has("CE1 CE2 CE3", "CE3"));
    assert_false(ew_text_has("CE1 CE2", "CE"));
    assert_false(ew_text_has("CE1 CE22", "CE2"));
    assert_false(ew_text_has("CE1", "CE12"));
    assert_false(ew_text_has("CE1", ""));
    assert_false(ew_text_has("", "CE1"));
    assert_false(ew_text_has("", ""));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fits_whole_characters),
        cmocka_unit_test(has_whole_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
