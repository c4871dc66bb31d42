/*
 * Proof of the SOAP reader: real shapes, every truncation of one, and attackers by name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "domain/limits.h"
#include "soap/read.h"

#define HEAD "<soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"><soap:Body>"
#define TAIL "</soap:Body></soap:Envelope>"

static char *
fixture(const char *name, size_t *len)
{
    char path[512];
    char *text = calloc(1, 64 * 1024);
    FILE *file;

    snprintf(path, sizeof(path), "%s/tests/unit/soap/replies/%s", EW_SOURCE_DIR, name);
    file = fopen(path, "rb");
    assert_non_null(file);
    *len = fread(text, 1, 64 * 1024 - 1, file);
    fclose(file);
    assert_true(*len > 0);
    return text;
}

static struct ew_soap_doc *
read_fixture(const char *name)
{
    struct ew_soap_doc *doc = NULL;
    struct ew_err err = {0};
    size_t len;
    char *text = fixture(name, &len);

    if (ew_soap_read(text, len, &doc, &err) != EW_OK)
        fail_msg("%s: %s: %s", name, err.problem, err.detail);
    free(text);
    return doc;
}

/* The bytes are copied to the byte, so that a read beyond them is seen by the sanitizer. */
static void
refused(const char *text, size_t len, const char *problem)
{
    struct ew_soap_doc *doc = NULL;
    struct ew_err err = {0};
    char *exact = malloc(len + (len == 0));

    memcpy(exact, text, len);
    assert_int_equal(ew_soap_read(exact, len, &doc, &err), EW_REJECT);
    if (problem)
        assert_string_equal(err.problem, problem);
    assert_null(doc);
    free(exact);
}

static void
test_a_good_reply(void **state)
{
    struct ew_soap_doc *doc = read_fixture("good.xml");
    const struct ew_soap_node *response = ew_soap_child(doc, ew_soap_answer(doc), "Response");
    const struct ew_soap_node *header = ew_soap_child(doc, response, "OrderResponseHeader");
    struct ew_soap_fault fault;
    int code = 99;

    (void)state;
    assert_string_equal(ew_soap_name(ew_soap_answer(doc)), "OrderAndIssueCertificateResponse");
    assert_true(ew_soap_get_int(doc, header, "SuccessCode", &code));
    assert_int_equal(code, 0);
    assert_null(ew_soap_first(ew_soap_child(doc, header, "Errors"), "Error"));
    assert_string_equal(ew_soap_get(doc, response, "OrderID"), "CEPS260302000124");
    assert_string_equal(ew_soap_get(doc, response, "CERT"),
                        "-----BEGIN CERTIFICATE-----\r\nMIIF\r\n-----END CERTIFICATE-----");
    assert_false(ew_soap_fault(doc, &fault));
    assert_false(ew_soap_doubtful(doc));
    ew_soap_free(doc);
    ew_soap_free(NULL);
}

/* Whatever stops on the way, no part of a reply passes for a reply. */
static void
test_every_truncation_is_refused(void **state)
{
    size_t len;
    char *text = fixture("good.xml", &len);

    (void)state;
    for (size_t cut = 0; cut < len; cut++)
        refused(text, cut, cut == 0 ? "soap-empty" : "soap-malformed");
    free(text);
}

static void
test_values(void **state)
{
    struct ew_soap_doc *doc = read_fixture("values.xml");
    const struct ew_soap_node *response = ew_soap_child(doc, ew_soap_answer(doc), "Response");
    const char *const none[] = {"Nil", "NilText", "Empty", "Blank", "Mixed", "Absent"};
    int number = 7;

    (void)state;
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        assert_string_equal(ew_soap_get(doc, response, none[i]), "");
    assert_null(ew_soap_child(doc, response, "Nil"));
    assert_null(ew_soap_child(doc, NULL, "Nil"));
    assert_string_equal(ew_soap_get(doc, NULL, "Nil"), "");
    assert_string_equal(ew_soap_get(doc, response, "Full"), "x");
    assert_string_equal(ew_soap_get(doc, response, "Padded"), "a b");
    assert_string_equal(ew_soap_get(doc, response, "Commented"), "one");
    assert_string_equal(ew_soap_get(doc, response, "Marked"), "a<b&c");
    assert_string_equal(ew_soap_get(doc, response, "Qualified"), "yes");
    assert_true(ew_soap_get_int(doc, response, "Number", &number));
    assert_int_equal(number, -102);
    assert_false(ew_soap_get_int(doc, response, "Big", &number));
    assert_false(ew_soap_get_int(doc, response, "NotNumber", &number));
    assert_false(ew_soap_get_int(doc, response, "Empty", &number));
    assert_int_equal(number, -102);
    assert_false(ew_soap_doubtful(doc));
    assert_string_equal(ew_soap_get(doc, response, "Twice"), "1");
    assert_true(ew_soap_doubtful(doc)); /* two values for one thing: none */
    ew_soap_free(doc);
}

static void
test_faults_of_both_versions(void **state)
{
    struct ew_soap_doc *doc = read_fixture("fault.xml");
    struct ew_soap_fault fault;

    (void)state;
    assert_true(ew_soap_fault(doc, &fault));
    assert_string_equal(fault.code, "Client");
    assert_string_equal(fault.text,
                        "Unmarshalling Error: unexpected element (uri:\"\", local:\"GivenName\").");
    ew_soap_free(doc);
    doc = read_fixture("fault_soap12.xml");
    assert_true(ew_soap_fault(doc, &fault));
    assert_string_equal(fault.code, "Receiver");
    assert_string_equal(fault.text, "Down");
    ew_soap_free(doc);
}

static void
test_attackers(void **state)
{
    static const struct {
        const char *file, *problem;
    } cases[] = {
        {"xxe.xml", "soap-dtd"},
        {"external_dtd.xml", "soap-dtd"},
        {"parameter_entity.xml", "soap-dtd"},
        {"billion_laughs.xml", "soap-dtd"},
        {"page.html", "soap-html"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t len;
        char *text = fixture(cases[i].file, &len);

        refused(text, len, cases[i].problem);
        free(text);
    }
}

static void
test_malformed(void **state)
{
    static const struct {
        const char *text, *problem;
    } cases[] = {
        {"", "soap-empty"},
        {" \r\n\t", "soap-empty"},
        {"not XML", "soap-malformed"},
        {"\n <HTML><body>", "soap-html"},
        {HEAD "<r/>" TAIL "trailing", "soap-malformed"},
        {HEAD "<r/>" TAIL HEAD "<r/>" TAIL, "soap-malformed"},
        {HEAD "<r>&undeclared;</r>" TAIL, "soap-malformed"},
        {HEAD "<r>\x01</r>" TAIL, "soap-malformed"},
        {HEAD "<r>\xff\xfe</r>" TAIL, "soap-malformed"},
        {HEAD "<r a='1' a='2'/>" TAIL, "soap-malformed"},
        {HEAD "<q:r/>" TAIL, "soap-malformed"}, /* prefix of nothing */
        {HEAD "<r></R>" TAIL, "soap-malformed"},
        {HEAD TAIL, "soap-envelope"},
        {HEAD "<r/><r/>" TAIL, "soap-envelope"},
        {HEAD "text only" TAIL, "soap-envelope"},
        {"<Envelope/>", "soap-envelope"},
        {"<Envelope><Body><r/></Body><Body><r/></Body></Envelope>", "soap-envelope"},
        {"<note/>", "soap-envelope"},
    };
    static const char nul[] = HEAD "<r/>" TAIL "\0<evil/>";

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        refused(cases[i].text, strlen(cases[i].text), cases[i].problem);
    refused(nul, sizeof(nul) - 1, "soap-malformed");
}

/* head + unit * count + tail */
static void
repeated(const char *head, const char *unit, size_t count, const char *tail, const char *problem)
{
    size_t cap = strlen(head) + strlen(unit) * count + strlen(tail) + 1, len;
    char *text = malloc(cap);
    struct ew_soap_doc *doc = NULL;

    len = (size_t)(stpcpy(text, head) - text);
    for (size_t i = 0; i < count; i++)
        len += (size_t)(stpcpy(text + len, unit) - (text + len));
    len += (size_t)(stpcpy(text + len, tail) - (text + len));
    if (problem) {
        refused(text, len, problem);
    } else {
        assert_int_equal(ew_soap_read(text, len, &doc, NULL), EW_OK);
        ew_soap_free(doc);
    }
    free(text);
}

static void
test_limits(void **state)
{
    (void)state;
    repeated(HEAD "<r>", "<a/>", EW_MAX_SOAP_ELEMENTS - 3, "</r>" TAIL, NULL);
    repeated(HEAD "<r>", "<a/>", EW_MAX_SOAP_ELEMENTS - 2, "</r>" TAIL, "soap-limit");
    repeated(HEAD, "<a>", 31, "", "soap-limit");
    repeated(HEAD "<r>", "x", EW_MAX_REPLY, "</r>" TAIL, "soap-limit");
    repeated(HEAD "<r>", "x", 3 * 1024 * 1024, "</r>" TAIL, NULL);
}

static void
test_attributes_and_namespaces(void **state)
{
    (void)state;
    for (int f = 0; f < 2; f++) {
        for (int over = 0; over <= 1; over++) {
            char text[2000] = HEAD "<r", *end = text + strlen(text);
            struct ew_soap_doc *doc = NULL;

            for (int i = 0; i < EW_MAX_SOAP_ATTRIBUTES + over; i++)
                end += f == 0 ? sprintf(end, " a%d=''", i) : sprintf(end, " xmlns:n%d='u'", i);
            strcpy(end, "/>" TAIL);
            if (over == 1) {
                refused(text, strlen(text), "soap-limit");
                continue;
            }
            assert_int_equal(ew_soap_read(text, strlen(text), &doc, NULL), EW_OK);
            ew_soap_free(doc);
        }
    }
}

static void
test_the_depth_allowed(void **state)
{
    char text[1000] = HEAD;
    struct ew_soap_doc *doc = NULL;

    (void)state;
    for (int i = 0; i < EW_MAX_SOAP_DEPTH - 2; i++)
        strcat(text, "<a>");
    for (int i = 0; i < EW_MAX_SOAP_DEPTH - 2; i++)
        strcat(text, "</a>");
    strcat(text, TAIL);
    assert_int_equal(ew_soap_read(text, strlen(text), &doc, NULL), EW_OK);
    ew_soap_free(doc);
}

/* Every single byte changed in turn: an error or a document, never worse. */
static void
test_flipped_bytes(void **state)
{
    size_t len;
    char *text = fixture("good.xml", &len);

    (void)state;
    for (size_t i = 0; i < len; i++) {
        static const char with[] = {'<', '>', '&', '"', '\0', ':', (char)0xff};

        for (size_t k = 0; k < sizeof(with); k++) {
            char was = text[i];
            struct ew_soap_doc *doc = NULL;
            struct ew_soap_fault fault;

            text[i] = with[k];
            if (ew_soap_read(text, len, &doc, NULL) == EW_OK) {
                (void)ew_soap_fault(doc, &fault);
                assert_non_null(ew_soap_name(ew_soap_answer(doc)));
            }
            ew_soap_free(doc);
            text[i] = was;
        }
    }
    free(text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_good_reply),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_faults_of_both_versions),
        cmocka_unit_test(test_attackers),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_attributes_and_namespaces),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_the_depth_allowed),
        cmocka_unit_test(test_flipped_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
