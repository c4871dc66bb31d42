/*
 * The rules of names, keys and deadlines; each refusal names the field and says what to do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "domain/rules.h"

static struct ew_setting setting;
static struct ew_subject subject;
static struct ew_arena *arena;
static struct ew_names names;
static struct ew_err err;

static int
set_up(void **state)
{
    (void)state;
    setting = (struct ew_setting){.cn_template = "${first_name} ${last_name}",
                                  .csr_allowed = true,
                                  .worker_key_allowed = true,
                                  .globalsign_key_allowed = true,
                                  .key_types = 0xf};
    subject =
        (struct ew_subject){.first_name = "Jane", .last_name = "Doe", .email = "j@example.com"};
    arena = ew_arena_new(1024 * 1024);
    return arena == NULL;
}

static int
tear_down(void **state)
{
    (void)state;
    ew_arena_free(arena);
    return 0;
}

static enum ew_fault
judge(void)
{
    memset(&err, 0, sizeof(err));
    return ew_rules_names(&setting, &subject, arena, &names, &err);
}

static void
refused(const char *problem, const char *field)
{
    assert_int_equal(judge(), EW_REJECT);
    assert_string_equal(err.problem, problem);
    assert_string_equal(err.field, field);
    assert_non_null(err.advice);
    assert_true(err.detail[0] != '\0');
}

static void
test_good_names(void **state)
{
    (void)state;
    setting.email_template = "${email}";
    setting.upn_template = "$NULL$";
    setting.ou_templates[0] = "Sales";
    setting.ou_templates[1] = "$NULL$";
    setting.ou_templates[2] = "${first_name}";
    setting.ou_count = 3;
    assert_int_equal(judge(), EW_OK);
    assert_string_equal(names.cn, "Jane Doe");
    assert_string_equal(names.email, "j@example.com");
    assert_string_equal(names.upn, "");
    assert_int_equal(names.ou_count, 2); /* one is empty on purpose */
    assert_string_equal(names.ous[0], "Sales");
    assert_string_equal(names.ous[1], "Jane");
    setting = (struct ew_setting){.cn_template = "x"};
    assert_int_equal(judge(), EW_OK);
    assert_string_equal(names.email, "");
    assert_int_equal(names.ou_count, 0);
}

/* Exactly the limit is taken, one more is refused; characters count, not bytes. */
static void
test_lengths(void **state)
{
    static char text[1100];
    static const struct {
        size_t max;
        const char *field;
    } rows[] = {{EW_MAX_CN, "cn"}, {EW_MAX_UPN, "upn"}, {EW_MAX_OU, "ou"}};

    (void)state;
    subject.attributes[0] = (struct ew_pair){"a", text};
    subject.attribute_count = 1;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        setting.cn_template = i == 0 ? "${attributes.a}" : "x";
        setting.upn_template = i == 1 ? "${attributes.a}" : NULL;
        setting.ou_templates[0] = "${attributes.a}";
        setting.ou_count = i == 2;
        memset(text, 'a', sizeof(text));
        text[rows[i].max] = '\0';
        assert_int_equal(judge(), EW_OK);
        text[rows[i].max] = 'a';
        text[rows[i].max + 1] = '\0';
        refused("too-long", rows[i].field);
        text[rows[i].max + 1] = 'a';
        text[EW_MAX_ATTRIBUTE] = '\0'; /* the longest fact there may be */
        refused("too-long", rows[i].field);
        for (size_t c = 0; c < rows[i].max; c++)
            memcpy(text + 2 * c, "\xc3\xa4", 2);
        text[2 * rows[i].max] = '\0';
        assert_int_equal(judge(), EW_OK);
    }
    setting.ou_count = 0;
    setting.email_template = "${attributes.a}";
    memset(text, 'a', sizeof(text));
    memcpy(text + EW_MAX_EMAIL - 6, "@ab.de", 7);
    assert_int_equal(judge(), EW_OK);
    memcpy(text + EW_MAX_EMAIL - 6, "@abc.de", 8);
    refused("too-long", "email");
    /* Longer than any one fact: a template that repeats it. */
    memset(text, 'a', EW_MAX_ATTRIBUTE);
    text[EW_MAX_ATTRIBUTE] = '\0';
    setting.cn_template = "${attributes.a}${attributes.a}${attributes.a}${attributes.a}"
                          "${attributes.a}${attributes.a}${attributes.a}${attributes.a}";
    refused("too-long", "cn");
}

static void
test_characters(void **state)
{
    (void)state;
    subject.first_name = "Ja\nne";
    refused("name-characters", "cn");
    subject.first_name = "Ja\x7fne";
    refused("name-characters", "cn");
    setting.cn_template = "  ";
    refused("name-empty", "cn");
    setting.cn_template = "$NULL$";
    refused("name-empty", "cn");
    setting.cn_template = "${user_id}";
    refused("fact-missing", "subject.user_id");
}

/* As a CA may write them: what comes back is compared with what was sent. */
static void
test_blanks(void **state)
{
    static const char *const same[] = {"Jane Doe", "Jane Doe ", " Jane Doe", "  Jane   Doe  "};

    (void)state;
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        setting.cn_template = same[i];
        setting.upn_template = same[i];
        setting.ou_templates[0] = same[i];
        setting.ou_count = 1;
        assert_int_equal(judge(), EW_OK);
        assert_string_equal(names.cn, "Jane Doe");
        assert_string_equal(names.upn, "Jane Doe");
        assert_string_equal(names.ous[0], "Jane Doe");
    }
    setting.cn_template = "${first_name} $NULL$ ${last_name}";
    assert_int_equal(judge(), EW_OK);
    assert_string_equal(names.cn, "Jane Doe");
    setting.ou_templates[0] = "  ";
    refused("name-empty", "ou");
}

static void
test_email(void **state)
{
    static const char *const bad[] = {"j",
                                      "@example.com",
                                      "j@",
                                      "j@@example.com",
                                      "j@localhost",
                                      "j k@example.com",
                                      "j@example.com,k@example.com",
                                      "<j@example.com>",
                                      "j@e@example.com"};
    static const char *const other[] = {"j@sub.example.com", "j@example.org", "j@xexample.com",
                                        "j@example.com.evil.org"};

    (void)state;
    setting.email_template = "${email}";
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        subject.email = bad[i];
        refused("email-malformed", "subject.email");
    }
    subject.email = "j@anywhere.example";
    assert_int_equal(judge(), EW_OK); /* no domains listed: not restricted */
    setting.email_domains[0] = "example.net";
    setting.email_domains[1] = "Example.com";
    setting.email_domain_count = 2;
    subject.email = "j@EXAMPLE.com";
    assert_int_equal(judge(), EW_OK);
    for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
        subject.email = other[i];
        refused("email-domain", "subject.email");
    }
}

static void
test_smime(void **state)
{
    (void)state;
    setting.smime = true;
    refused("email-missing", "subject.email");
    setting.email_template = "$NULL$";
    refused("email-missing", "subject.email");
    setting.email_template = "${email}";
    assert_int_equal(judge(), EW_OK);
    setting.ou_templates[0] = "Sales";
    setting.ou_count = 1;
    refused("ou-forbidden", "ou");
}

static void
key_refused(const struct ew_request *request, const char *problem, const char *field)
{
    assert_int_equal(ew_rules_request(&setting, request, 1000, &err), EW_REJECT);
    assert_string_equal(err.problem, problem);
    assert_string_equal(err.field, field);
    assert_non_null(err.advice);
}

static void
test_key_policy(void **state)
{
    struct ew_request request = {.key = EW_KEY_NONE};

    (void)state;
    key_refused(&request, "missing", "key");
    request.key = EW_KEY_CSR;
    assert_int_equal(ew_rules_request(&setting, &request, 1000, &err), EW_OK);
    setting.csr_allowed = false;
    key_refused(&request, "key-policy", "key.csr");
    request.key = EW_KEY_WORKER;
    request.key_type_given = true;
    for (int type = EW_KEY_RSA_2048; type <= EW_KEY_EC_P384; type++) {
        request.key_type = (enum ew_key_type)type;
        setting.key_types = 1u << type;
        assert_int_equal(ew_rules_request(&setting, &request, 1000, &err), EW_OK);
        assert_int_equal(ew_rules_key_type(&setting, &request), type);
        setting.key_types = 0xfu & ~(1u << type);
        key_refused(&request, "key-policy", "key.worker_key.type");
    }
    setting.worker_key_allowed = false;
    key_refused(&request, "key-policy", "key.worker_key");
    assert_true(ew_rules_seals(&request));
    request.key = EW_KEY_GLOBALSIGN;
    assert_int_equal(ew_rules_request(&setting, &request, 1000, &err), EW_OK);
    assert_true(ew_rules_seals(&request));
    setting.globalsign_key_allowed = false;
    key_refused(&request, "key-policy", "key.globalsign_key");
    request.key = EW_KEY_CSR;
    assert_false(ew_rules_seals(&request));
}

/* A request that names no type gets the first that the setting allows, never one it forbids. */
static void
test_the_setting_chooses_the_key_type(void **state)
{
    struct ew_request request = {.key = EW_KEY_WORKER};

    (void)state;
    for (unsigned types = 1; types <= 0xf; types++) {
        enum ew_key_type type;

        setting.key_types = types;
        assert_int_equal(ew_rules_request(&setting, &request, 1000, &err), EW_OK);
        type = ew_rules_key_type(&setting, &request);
        assert_int_not_equal(types & 1u << type, 0);
        assert_int_equal(types & ((1u << type) - 1), 0);
    }
}

static void
test_deadline(void **state)
{
    struct ew_request request = {.key = EW_KEY_CSR, .deadline_ms = 999};

    (void)state;
    key_refused(&request, "deadline-passed", "deadline_ms");
    request.deadline_ms = 1000;
    assert_int_equal(ew_rules_request(&setting, &request, 1000, &err), EW_OK);
    request.deadline_ms = 0;
    assert_int_equal(ew_rules_request(&setting, &request, INT64_MAX, &err), EW_OK);
}

static void
test_request_ids(void **state)
{
    char id[EW_MAX_REQUEST_ID + 2];
    char one[2] = "";

    (void)state;
    memset(id, 'a', sizeof(id));
    id[EW_MAX_REQUEST_ID + 1] = '\0';
    assert_false(ew_request_id_valid(id));
    id[EW_MAX_REQUEST_ID] = '\0';
    assert_true(ew_request_id_valid(id));
    assert_false(ew_request_id_valid(""));
    for (int c = 1; c < 256; c++) {
        one[0] = (char)c;
        assert_int_equal(ew_request_id_valid(one), (c >= '0' && c <= '9') ||
                                                       (c >= 'A' && c <= 'Z') ||
                                                       (c >= 'a' && c <= 'z') || c == '.' ||
                                                       c == '_' || c == ':' || c == '-');
    }
}

static void
test_rate_classes(void **state)
{
    (void)state;
    assert_int_equal(ew_rules_rate_class(EW_LANE_ENROLLMENT, false), EW_RATE_ENROLLMENT);
    assert_int_equal(ew_rules_rate_class(EW_LANE_RENEWAL, false), EW_RATE_RENEWAL);
    assert_int_equal(ew_rules_rate_class(EW_LANE_BULK, false), EW_RATE_BULK);
    /* A hint lowers, it never raises. */
    assert_int_equal(ew_rules_rate_class(EW_LANE_ENROLLMENT, true), EW_RATE_BULK);
    assert_int_equal(ew_rules_rate_class(EW_LANE_RENEWAL, true), EW_RATE_BULK);
    assert_int_equal(ew_rules_rate_class(EW_LANE_BULK, true), EW_RATE_BULK);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_good_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lengths, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_characters, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_blanks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_email, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_smime, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_key_policy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_setting_chooses_the_key_type, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_deadline, set_up, tear_down),
        cmocka_unit_test(test_request_ids),
        cmocka_unit_test(test_rate_classes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
