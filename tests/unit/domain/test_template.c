/*
 * Templates over subject facts, in both spellings.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "domain/rules.h"

static const struct ew_subject subject = {
    .user_id = "jdoe",
    .first_name = "Jane",
    .last_name = "Doe",
    .display_name = "Jane Doe",
    .email = "jane@example.com",
    .upn = "jane@corp.example.com",
    .device_id = "d-1",
    .device_serial = "SN9",
    .platform = "ios",
    .platform_version = "26.1",
    .ownership = "", /* sent, and empty */
    .attributes = {{"cost_center", "42"}, {"team", "${email}"}},
    .attribute_count = 2,
};

static enum ew_fault
render(const char *text, size_t max, char out[300], struct ew_err *err)
{
    struct ew_arena *arena = ew_arena_new(4096);
    const char *result = "";
    enum ew_fault fault = ew_template_render(text, &subject, max, arena, &result, err);

    out[0] = '\0';
    strncat(out, result, 299);
    ew_arena_free(arena);
    return fault;
}

static void
test_rendering(void **state)
{
    static const struct {
        const char *text, *out;
    } rows[] = {
        {"", ""},
        {"plain text, {braces} and }", "plain text, {braces} and }"},
        {"${first_name} ${last_name}", "Jane Doe"},
        {"${user_id}|${display_name}|${email}|${upn}|${device_id}|${device_serial}|${platform}|"
         "${platform_version}",
         "jdoe|Jane Doe|jane@example.com|jane@corp.example.com|d-1|SN9|ios|26.1"},
        {"$FIRST_NAME$ $LAST_NAME$", "Jane Doe"},
        {"$USERID$|$DISPLAY_NAME$|$EMAIL$|$USER_UPN$|$DEVICE_ID$|$DEVICE_SN$|$PLATFORM$",
         "jdoe|Jane Doe|jane@example.com|jane@corp.example.com|d-1|SN9|ios"},
        {"a$NULL$b", "ab"},
        {"$$5 for $$${user_id}", "$5 for $jdoe"},
        {"${attributes.cost_center}", "42"},
        {"${attributes.team}", "${email}"}, /* a fact is text, never a template */
    };
    struct ew_err err;
    char out[300];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(ew_template_check(rows[i].text, &err), EW_OK);
        assert_int_equal(render(rows[i].text, 200, out, &err), EW_OK);
        assert_string_equal(out, rows[i].out);
    }
}

static void
test_missing_facts_are_named(void **state)
{
    static const struct {
        const char *text, *field;
    } rows[] = {
        {"${ownership}", "subject.ownership"},
        {"x ${attributes.nowhere}", "subject.attributes.nowhere"},
    };
    struct ew_err err;
    char out[300];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(ew_template_check(rows[i].text, &err), EW_OK);
        assert_int_equal(render(rows[i].text, 200, out, &err), EW_REJECT);
        assert_string_equal(err.problem, "fact-missing");
        assert_string_equal(err.field, rows[i].field);
        assert_non_null(err.advice);
        assert_string_equal(out, "");
    }
}

static void
test_the_longest_variable(void **state)
{
    char text[EW_MAX_VARIABLE + 8];
    struct ew_err err;

    (void)state;
    for (int over = 0; over <= 1; over++) {
        (void)snprintf(text, sizeof(text), "${attributes.%0*d}", EW_MAX_VARIABLE - 11 + over, 7);
        assert_int_equal(ew_template_check(text, &err), over == 0 ? EW_OK : EW_REJECT);
    }
}

static void
test_malformed(void **state)
{
    static const char *const rows[] = {
        "${first_name",
        "${}",
        "${nobody}",
        "$first_name$",
        "$FIRST_NAME",
        "$",
        "100$",
        "${NULL}",
        "${attributes.}",
        "${ first_name}",
        "$5.00",
        "${first_name$",
        "$platform_version$",
        "${attributes."
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}",
    };
    struct ew_err err;
    char out[300];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (ew_template_check(rows[i], &err) != EW_REJECT)
            fail_msg("%s was taken", rows[i]);
        assert_string_equal(err.problem, "template");
        assert_int_equal(render(rows[i], 200, out, &err), EW_REJECT);
    }
}

static void
test_length(void **state)
{
    struct ew_err err;
    char out[300];

    (void)state;
    assert_int_equal(render("${display_name}", 8, out, &err), EW_OK);
    assert_int_equal(render("${display_name}", 7, out, &err), EW_REJECT);
    assert_string_equal(err.problem, "too-long");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rendering), cmocka_unit_test(test_missing_facts_are_named),
        cmocka_unit_test(test_malformed), cmocka_unit_test(test_the_longest_variable),
        cmocka_unit_test(test_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
