/*
 * Results: their names travel in event types and metrics; five of them are answers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "domain/outcome.h"

static void
test_results(void **state)
{
    static const struct {
        enum ew_result result;
        const char *name;
        bool terminal;
    } rows[] = {
        {EW_RES_NONE, "none", false},       {EW_RES_ISSUED, "issued", true},
        {EW_RES_RENEWED, "renewed", true},  {EW_RES_REVOKED, "revoked", true},
        {EW_RES_REMOVED, "removed", true},  {EW_RES_REJECTED, "rejected", true},
        {EW_RES_PENDING, "pending", false}, {EW_RES_HELD, "held", false},
        {EW_RES_WAITING, "waiting", false}, {EW_RES_RECONCILING, "reconciling", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_string_equal(ew_result_name(rows[i].result), rows[i].name);
        assert_int_equal(ew_result_terminal(rows[i].result), rows[i].terminal);
    }
    assert_string_equal(ew_result_name((enum ew_result)99), "none");
    assert_false(ew_result_terminal((enum ew_result)99));
    assert_false(ew_result_terminal((enum ew_result) - 1));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_results)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
