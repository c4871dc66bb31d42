/*
 * Proof of the error table: every row, by number, and that it has no other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ca_private.h"

enum { LOWEST = -99999, HIGHEST = 99999, MOST = 32 };

/* What the worker's contract makes of what is known about each number; written by hand. */
static const struct {
    enum ew_ca_class on_order, on_other;
    int codes[MOST]; /* to the first 0 */
} groups[] = {
    /* Failed inside: the order may exist, anything else is harmless to repeat. */
    {EW_CA_UNKNOWN, EW_CA_TRY_LATER, {-1, -201, -300, -301, -9942, -9943, -9100}},
    /* Warnings: mail not sent, a name looked at, validity. */
    {EW_CA_OK, EW_CA_TRY_LATER, {-2001, -5001, -6035}},
    /* Parameters, CSR, certificate. */
    {EW_CA_REJECTED,
     EW_CA_REJECTED,
     {-101, -102, -103, -104, -105, -109, -4006, -4007, -6002, -6017, -6018, -6021, -9101}},
    /* Names, validity, keys. */
    {EW_CA_REJECTED, EW_CA_REJECTED, {-9978, -9933, -9949, -9936, -9940, -9961, -9962, -9964}},
    /* Refused by rule, by profile, by product, by a banned name. */
    {EW_CA_REJECTED, EW_CA_REJECTED, {-9025, -4005, -4008, -6102}},
    {EW_CA_REJECTED,
     EW_CA_REJECTED,
     {-4083, -9401, -9404, -9430, -9440, -9443, -9444, -9445, -9450}},
    {EW_CA_REJECTED, EW_CA_REJECTED, {-9901, -9934, -9952, -9953, -9971}},
    /* A key or an order that is known already. */
    {EW_CA_KEY_USED, EW_CA_REJECTED, {-6007, -4004}},
    /* Login, address, rights, lock: whatever was asked. */
    {EW_CA_ACCOUNT, EW_CA_ACCOUNT, {-4001, -4201, -9200, -9939, -9403}},
    /* Balance and funds. */
    {EW_CA_LICENCE, EW_CA_TRY_LATER, {-6101, -9911, -9912}},
    /* No such order, or another account's. */
    {EW_CA_REJECTED, EW_CA_NOT_FOUND, {-4003, -9916, -9902}},
    /* Cancelled, changed or reissued already. */
    {EW_CA_REJECTED, EW_CA_ALREADY, {-9915, -9938, -4016}},
};

static void
assert_class(int code, enum ew_ca_class on_order, enum ew_ca_class on_other)
{
    if (ew_ca_code_class(code, true) != on_order || ew_ca_code_class(code, false) != on_other)
        fail_msg("code %d", code);
}

static void
test_classes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        for (const int *code = groups[i].codes; *code != 0; code++) {
            assert_class(*code, groups[i].on_order, groups[i].on_other);
            assert_int_equal(ew_ca_code_find(*code)->code, *code);
        }
    }
    assert_string_equal(ew_ca_code_find(-4001)->problem, "ca-login");
}

static bool
is_written_here(int code)
{
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
        for (const int *known = groups[i].codes; *known != 0; known++)
            if (*known == code)
                return true;
    return false;
}

/* A new row has to be thought about twice. */
static void
test_the_table_has_no_other_row(void **state)
{
    (void)state;
    for (int code = LOWEST; code <= HIGHEST; code++)
        if (code != 0 && ew_ca_code_find(code)->code == code && !is_written_here(code))
            fail_msg("code %d is in the table and not in this test", code);
}

static void
test_unknown_codes(void **state)
{
    static const int codes[] = {-31337, -9913, -9922, -9405, -4009, -3002, -2220, -8001, 1, 0};

    (void)state;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        assert_class(codes[i], EW_CA_REJECTED, EW_CA_TRY_LATER);
        assert_string_equal(ew_ca_code_find(codes[i])->problem, "ca-unknown-code");
    }
}

static void
test_every_class_has_a_name(void **state)
{
    (void)state;
    assert_string_equal(ew_ca_class_name(EW_CA_OK), "ok");
    assert_string_equal(ew_ca_class_name(EW_CA_TRY_LATER), "try-later");
    for (int cls = EW_CA_OK; cls <= EW_CA_TRY_LATER; cls++)
        assert_true(strlen(ew_ca_class_name((enum ew_ca_class)cls)) > 1);
    assert_string_equal(ew_ca_class_name((enum ew_ca_class)99), "?");
}

static void
test_what_outranks_what(void **state)
{
    static const enum ew_ca_class order[] = {
        EW_CA_ACCOUNT,   EW_CA_KEY_USED, EW_CA_REJECTED,  EW_CA_LICENCE, EW_CA_ALREADY,
        EW_CA_NOT_FOUND, EW_CA_UNKNOWN,  EW_CA_TRY_LATER, EW_CA_OK,
    };

    (void)state;
    for (size_t i = 1; i < sizeof(order) / sizeof(order[0]); i++)
        assert_true(ew_ca_class_rank(order[i - 1]) > ew_ca_class_rank(order[i]));
}

static void
test_known_refusals(void **state)
{
    static const struct {
        struct ew_soap_fault fault;
        bool refusal;
    } rows[] = {
        {{"Client", "Unmarshalling Error: cvc-complex-type.2.4.a: Invalid content"}, true},
        {{"Client", "Message part {x}Order was not recognized.  (Does it exist in service WSDL?)"},
         true},
        {{"Client", "Unexpected wrapper element {x}a found.   Expected {y}a."}, true},
        {{"Client", "Error reading XMLStreamReader: Received event DTD"}, true},
        {{"Server", "The given SOAPAction x does not match an operation."}, true},
        {{"MustUnderstand", "MustUnderstand headers: [{x}y] are not understood."}, true},
        {{"Server", "Unmarshalling Error: of something behind"}, false},
        {{"Client", "Marshalling Error: the answer could not be written"}, false},
        {{"Client", "Could not do: Unmarshalling Error: "}, false},
        {{"Server", "Fault occurred while processing."}, false},
        {{"", ""}, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(ew_ca_fault_is_refusal(&rows[i].fault), rows[i].refusal);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_the_table_has_no_other_row),
        cmocka_unit_test(test_unknown_codes),
        cmocka_unit_test(test_every_class_has_a_name),
        cmocka_unit_test(test_what_outranks_what),
        cmocka_unit_test(test_known_refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
