/*
 * Proof of the error table: the rows that decide about money, accounts and keys, by number.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ca_private.h"

static void
test_classes(void **state)
{
    static const struct {
        int code;
        enum ew_ca_class on_order, on_other;
    } rows[] = {
        {-1, EW_CA_UNKNOWN, EW_CA_TRY_LATER},      {-201, EW_CA_UNKNOWN, EW_CA_TRY_LATER},
        {-300, EW_CA_UNKNOWN, EW_CA_TRY_LATER},    {-301, EW_CA_UNKNOWN, EW_CA_TRY_LATER},
        {-9942, EW_CA_UNKNOWN, EW_CA_TRY_LATER},   {-9943, EW_CA_UNKNOWN, EW_CA_TRY_LATER},
        {-9100, EW_CA_UNKNOWN, EW_CA_TRY_LATER},   {-2001, EW_CA_OK, EW_CA_TRY_LATER},
        {-5001, EW_CA_OK, EW_CA_TRY_LATER},        {-6035, EW_CA_OK, EW_CA_TRY_LATER},
        {-101, EW_CA_REJECTED, EW_CA_REJECTED},    {-102, EW_CA_REJECTED, EW_CA_REJECTED},
        {-103, EW_CA_REJECTED, EW_CA_REJECTED},    {-104, EW_CA_REJECTED, EW_CA_REJECTED},
        {-105, EW_CA_REJECTED, EW_CA_REJECTED},    {-109, EW_CA_REJECTED, EW_CA_REJECTED},
        {-4006, EW_CA_REJECTED, EW_CA_REJECTED},   {-4007, EW_CA_REJECTED, EW_CA_REJECTED},
        {-9978, EW_CA_REJECTED, EW_CA_REJECTED},   {-9936, EW_CA_REJECTED, EW_CA_REJECTED},
        {-9940, EW_CA_REJECTED, EW_CA_REJECTED},   {-9949, EW_CA_REJECTED, EW_CA_REJECTED},
        {-6007, EW_CA_KEY_USED, EW_CA_REJECTED},   {-4004, EW_CA_KEY_USED, EW_CA_REJECTED},
        {-4001, EW_CA_ACCOUNT, EW_CA_ACCOUNT},     {-4201, EW_CA_ACCOUNT, EW_CA_ACCOUNT},
        {-9200, EW_CA_ACCOUNT, EW_CA_ACCOUNT},     {-9939, EW_CA_ACCOUNT, EW_CA_ACCOUNT},
        {-9403, EW_CA_ACCOUNT, EW_CA_ACCOUNT},     {-4005, EW_CA_REJECTED, EW_CA_REJECTED},
        {-6101, EW_CA_LICENCE, EW_CA_TRY_LATER},   {-9911, EW_CA_LICENCE, EW_CA_TRY_LATER},
        {-9912, EW_CA_LICENCE, EW_CA_TRY_LATER},   {-4003, EW_CA_REJECTED, EW_CA_NOT_FOUND},
        {-9916, EW_CA_REJECTED, EW_CA_NOT_FOUND},  {-9902, EW_CA_REJECTED, EW_CA_NOT_FOUND},
        {-9915, EW_CA_REJECTED, EW_CA_ALREADY},    {-9938, EW_CA_REJECTED, EW_CA_ALREADY},
        {-31337, EW_CA_REJECTED, EW_CA_TRY_LATER}, /* not in the table */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (ew_ca_code_class(rows[i].code, true) != rows[i].on_order ||
            ew_ca_code_class(rows[i].code, false) != rows[i].on_other)
            fail_msg("code %d", rows[i].code);
    }
    assert_string_equal(ew_ca_code_find(-31337)->problem, "ca-unknown-code");
    assert_string_equal(ew_ca_code_find(-4001)->problem, "ca-login");
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
        cmocka_unit_test(test_every_class_has_a_name),
        cmocka_unit_test(test_what_outranks_what),
        cmocka_unit_test(test_known_refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
