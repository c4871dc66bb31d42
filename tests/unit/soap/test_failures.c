/*
 * Without memory no reply is read by halves, and none that is sound is refused.
 */
#include "failing.h"

#include <libxml/parser.h>

#include "domain/limits.h"
#include "soap/read.h"
#include "soap/write.h"

/* libxml2 gives none for want of memory alone. */
FAILING_KIND(OF_MEMORY, xmlParserCtxtPtr, xmlNewParserCtxt, (void), (), NULL)
FAILING(xmlDocPtr, xmlCtxtReadMemory,
        (xmlParserCtxtPtr parser, const char *data, int len, const char *url, const char *encoding,
         int options),
        (parser, data, len, url, encoding, options), NULL)

static char replies[3][8192];
static size_t lengths[3];

static int
load(void **state)
{
    static const char *const names[] = {"good.xml", "values.xml", "fault.xml"};
    char path[512];

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        FILE *file;

        (void)snprintf(path, sizeof(path), "%s/tests/unit/soap/replies/%s", EW_SOURCE_DIR,
                       names[i]);
        file = fopen(path, "rb");
        assert_non_null(file);
        lengths[i] = fread(replies[i], 1, sizeof(replies[i]), file);
        (void)fclose(file);
        assert_true(lengths[i] > 0);
    }
    return 0;
}

/* NULL: it was not read at all, and that was not laid upon whoever sent it as another fault. */
static struct ew_soap_doc *
doc_of(size_t reply)
{
    struct ew_soap_doc *doc = NULL;
    struct ew_err err = {.problem = ""};

    if (ew_soap_read(replies[reply], lengths[reply], &doc, &err) == EW_OK)
        return doc;
    assert_string_equal(err.problem, "soap-malformed");
    assert_int_equal(failing_kind & ~1u, OF_CALLS);
    return NULL;
}

static void
test_a_reply_is_whole(void **state)
{
    struct ew_soap_doc *doc = doc_of(0);
    const struct ew_soap_node *response, *header;
    int code = 99;

    (void)state;
    if (doc == NULL)
        return;
    response = ew_soap_child(doc, ew_soap_answer(doc), "Response");
    header = ew_soap_child(doc, response, "OrderResponseHeader");
    assert_true(ew_soap_get_int(doc, header, "SuccessCode", &code));
    assert_int_equal(code, 0);
    assert_string_equal(ew_soap_get(doc, response, "OrderID"), "CEPS260302000124");
    assert_string_equal(ew_soap_get(doc, response, "CERT"),
                        "-----BEGIN CERTIFICATE-----\r\nMIIF\r\n-----END CERTIFICATE-----");
    assert_false(ew_soap_doubtful(doc));
    ew_soap_free(doc);
}

static void
test_every_value_is_there(void **state)
{
    struct ew_soap_doc *doc = doc_of(1);
    const struct ew_soap_node *response;

    (void)state;
    if (doc == NULL)
        return;
    response = ew_soap_child(doc, ew_soap_answer(doc), "Response");
    assert_string_equal(ew_soap_get(doc, response, "NilText"), "");
    assert_string_equal(ew_soap_get(doc, response, "Full"), "x");
    assert_string_equal(ew_soap_get(doc, response, "Padded"), "a b");
    assert_string_equal(ew_soap_get(doc, response, "Commented"), "one");
    assert_string_equal(ew_soap_get(doc, response, "Marked"), "a<b&c");
    assert_string_equal(ew_soap_get(doc, response, "Qualified"), "yes");
    assert_false(ew_soap_doubtful(doc));
    (void)ew_soap_get(doc, response, "Twice");
    assert_true(ew_soap_doubtful(doc));
    ew_soap_free(doc);
}

static void
test_a_fault_is_one(void **state)
{
    struct ew_soap_doc *doc = doc_of(2);
    struct ew_soap_fault fault;

    (void)state;
    if (doc == NULL)
        return;
    assert_true(ew_soap_fault(doc, &fault));
    assert_string_equal(fault.code, "Client");
    assert_string_equal(fault.text,
                        "Unmarshalling Error: unexpected element (uri:\"\", local:\"GivenName\").");
    ew_soap_free(doc);
}

static void
test_a_request_is_whole(void **state)
{
    struct ew_soap_writer writer;
    struct ew_err err = {.problem = ""};
    struct ew_buf out;

    (void)state;
    ew_buf_init_secret(&out, 4096);
    ew_soap_begin(&writer, &out, "urn:x", "Order");
    ew_soap_text(&writer, "Name", "Ada & Co");
    ew_soap_int(&writer, "Years", 3);
    assert_int_equal(ew_soap_end(&writer, &err), EW_OK);
    assert_non_null(strstr(ew_buf_text(&out), "<Name>Ada &amp; Co</Name><Years>3</Years></ws:Order>"
                                              "</soapenv:Body></soapenv:Envelope>"));
    ew_buf_deinit(&out);
}

int
main(int argc, char **argv)
{
    static const struct story stories[] = {
        {.name = "reply", .tell = test_a_reply_is_whole, .begin = load},
        {.name = "values", .tell = test_every_value_is_there, .begin = load},
        {.name = "fault", .tell = test_a_fault_is_one, .begin = load},
        {.name = "request", .tell = test_a_request_is_whole},
    };

    return failing_main(argc, argv, stories, sizeof(stories) / sizeof(stories[0]));
}
