/*
 * Error values: what they keep, and that nothing unprintable gets through.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"

static void
test_a_field_is_named(void **state)
{
    struct ew_err err;

    (void)state;
    assert_int_equal(ew_fail_field(&err, EW_REJECT, "csr-size", "key.csr", "Send a shorter one.",
                                   "%d characters", 4001),
                     EW_REJECT);
    assert_int_equal(err.fault, EW_REJECT);
    assert_string_equal(err.problem, "csr-size");
    assert_string_equal(err.field, "key.csr");
    assert_string_equal(err.advice, "Send a shorter one.");
    assert_string_equal(err.detail, "4001 characters");
    assert_int_equal(ew_fail(&err, EW_RETRY, "reset", "peer"), EW_RETRY);
    assert_string_equal(err.field, ""); /* nothing of the last error is left */
    assert_null(err.advice);
    assert_int_equal(ew_fail(NULL, EW_BUG, "x", "y"), EW_BUG);
    assert_int_equal(ew_fail_field(NULL, EW_HALT, "x", "f", NULL, "y"), EW_HALT);
}

static void
test_hostile_text_is_cut_and_printable(void **state)
{
    struct ew_err err;
    char hostile[600];

    (void)state;
    for (size_t i = 0; i < sizeof(hostile) - 1; i++)
        hostile[i] = (char)(i % 255 + 1);
    hostile[sizeof(hostile) - 1] = '\0';
    (void)ew_fail_field(&err, EW_REJECT, "p", hostile, NULL, "%s", hostile);
    assert_int_equal(strlen(err.field), sizeof(err.field) - 1);
    assert_int_equal(strlen(err.detail), sizeof(err.detail) - 1);
    for (const char *at = err.field; *at != '\0'; at++)
        assert_in_range(*at, 0x20, 0x7e);
    for (const char *at = err.detail; *at != '\0'; at++)
        assert_in_range(*at, 0x20, 0x7e);
    assert_int_equal(err.detail[0], '?');
    assert_int_equal(err.detail['A' - 1], 'A');
}

static void
test_names(void **state)
{
    static const char *const names[] = {"ok", "retry", "reject", "halt", "bug"};

    (void)state;
    for (int i = EW_OK; i <= EW_BUG; i++)
        assert_string_equal(ew_fault_name((enum ew_fault)i), names[i]);
    assert_string_equal(ew_fault_name((enum ew_fault)99), "bug");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_field_is_named),
        cmocka_unit_test(test_hostile_text_is_cut_and_printable),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
