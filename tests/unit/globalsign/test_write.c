/*
 * Proof of the request bodies: valid by GlobalSign's schema, operation qualified and nothing below
 * it, nothing sent that was not set, and the password nowhere but there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libxml/parser.h>
#include <libxml/xmlschemas.h>

#include "ca_private.h"

static const struct ew_ca_login login = {"PAR00001_api", "pass<&>word"};
static xmlSchemaPtr schema;

static int
load_schema(void **state)
{
    xmlSchemaParserCtxtPtr parser =
        xmlSchemaNewParserCtxt(EW_SOURCE_DIR "/tests/simulator/schema/GasOrderService.xsd");

    (void)state;
    schema = xmlSchemaParse(parser);
    xmlSchemaFreeParserCtxt(parser);
    return schema ? 0 : -1;
}

static int
free_schema(void **state)
{
    (void)state;
    xmlSchemaFree(schema);
    xmlCleanupParser();
    return 0;
}

/* The operation element of an envelope, as a document of its own. */
static xmlDocPtr
operation(const struct ew_buf *body)
{
    xmlDocPtr envelope = xmlReadMemory(ew_buf_text(body), (int)body->len, NULL, NULL, 0), alone;
    xmlNodePtr node;

    assert_non_null(envelope);
    node = xmlDocGetRootElement(envelope);
    assert_string_equal((const char *)node->name, "Envelope");
    assert_string_equal((const char *)node->ns->href, "http://schemas.xmlsoap.org/soap/envelope/");
    node = node->children->children; /* Body, operation: no white space between them */
    assert_string_equal((const char *)node->ns->href, EW_CA_NAMESPACE);
    assert_null(node->children->ns);
    alone = xmlNewDoc((const xmlChar *)"1.0");
    xmlDocSetRootElement(alone, xmlDocCopyNode(node, alone, 1));
    xmlReconciliateNs(alone, xmlDocGetRootElement(alone));
    xmlFreeDoc(envelope);
    return alone;
}

static void
check(struct ew_buf *body, const char *name)
{
    xmlDocPtr doc = operation(body);
    xmlSchemaValidCtxtPtr valid = xmlSchemaNewValidCtxt(schema);

    assert_string_equal((const char *)xmlDocGetRootElement(doc)->name, name);
    assert_int_equal(xmlSchemaValidateDoc(valid, doc), 0);
    assert_non_null(strstr(ew_buf_text(body), "<UserName>PAR00001_api</UserName>"
                                              "<Password>pass&lt;&amp;&gt;word</Password>"));
    assert_true(body->secret);
    xmlSchemaFreeValidCtxt(valid);
    xmlFreeDoc(doc);
}

static const char csr[] = "-----BEGIN CERTIFICATE REQUEST-----\r\nMIIC\r\n"
                          "-----END CERTIFICATE REQUEST-----\r\n";

static const struct ew_ca_order_request full = {
    .profile = "MP202601150001",
    .product = "EPKIPSPersonal",
    .years = 2,
    .csr = csr,
    .efs = true,
    .upn = "ada@corp.example.com",
    .sid = "S-1-5-21-1-2-3-1104",
    .san_email = "ada@example.com",
    .cn = "Ada \"& Co\" <Example>",
    .ous = {"One", "Two", "Three"},
    .ou_count = 3,
    .email = "ada@example.com",
    .pickup_password = "abcd1234",
};

static void
test_order_with_everything(void **state)
{
    struct ew_buf body;

    (void)state;
    ew_buf_init_secret(&body, EW_CA_MAX_BODY);
    assert_int_equal(ew_ca_write_order(&body, &login, &full, NULL), EW_OK);
    check(&body, "OrderAndIssueCertificate");
    assert_non_null(strstr(
        ew_buf_text(&body),
        "</CSR><EFSOption>true</EFSOption><UPN>ada@corp.example.com</UPN>"
        "<SID>S-1-5-21-1-2-3-1104</SID>"
        "<SANRFC822EmailAddress>ada@example.com</SANRFC822EmailAddress>"
        "<DnAttributes><CommonName>Ada &quot;&amp; Co&quot; &lt;Example&gt;</CommonName>"
        "<OrganizationUnit>One</OrganizationUnit><OrganizationUnit>Two</OrganizationUnit>"
        "<OrganizationUnit>Three</OrganizationUnit><Email>ada@example.com</Email></DnAttributes>"
        "<PickupPassword>abcd1234</PickupPassword></Request>"));
    ew_buf_deinit(&body);
}

/* GlobalSign makes the key, and encrypts it with our PIN. */
static void
test_order_of_a_key(void **state)
{
    struct ew_ca_order_request asks = full;
    struct ew_buf body;

    (void)state;
    asks.csr = asks.pickup_password = NULL;
    asks.pin = "Zx81Kq4PmT20";
    ew_buf_init_secret(&body, EW_CA_MAX_BODY);
    assert_int_equal(ew_ca_write_order(&body, &login, &asks, NULL), EW_OK);
    check(&body, "OrderPkcs12");
    assert_non_null(
        strstr(ew_buf_text(&body),
               "<ProfileID>MP202601150001</ProfileID><PKCS12PIN>Zx81Kq4PmT20</PKCS12PIN>"
               "<ProductCode>EPKIPSPersonal</ProductCode><Year>2</Year>"
               "<EFSOption>true</EFSOption><UPN>"));
    assert_null(strstr(ew_buf_text(&body), "CSR"));
    ew_buf_deinit(&body);
}

/* Elements that an older server does not know are fatal there, nil ones on a strict one: absent. */
static void
test_order_with_the_least(void **state)
{
    const struct ew_ca_order_request least = {
        .profile = "P", .product = "EPKIPSDept", .years = 1, .csr = csr, .cn = "ada", .sid = ""};
    struct ew_buf body;

    (void)state;
    ew_buf_init_secret(&body, EW_CA_MAX_BODY);
    assert_int_equal(ew_ca_write_order(&body, &login, &least, NULL), EW_OK);
    check(&body, "OrderAndIssueCertificate");
    assert_non_null(strstr(ew_buf_text(&body),
                           "</CSR><DnAttributes><CommonName>ada</CommonName></DnAttributes>"
                           "</Request>"));
    assert_null(strstr(ew_buf_text(&body), "nil"));
    ew_buf_deinit(&body);
}

static void
test_queries(void **state)
{
    struct ew_buf body;

    (void)state;
    ew_buf_init_secret(&body, EW_CA_MAX_BODY);
    assert_int_equal(
        ew_ca_write_get_orders(&body, &login, "MP1", "ada", 1795428000000, 1795514400123, NULL),
        EW_OK);
    check(&body, "GetOrders");
    assert_non_null(strstr(ew_buf_text(&body),
                           "<OrderQueryParam><ProfileOrderNo>MP1</ProfileOrderNo>"
                           "<RequestDateFrom>2026-11-23T10:00:00.000Z</RequestDateFrom>"
                           "<RequestDateTo>2026-11-24T10:00:00.123Z</RequestDateTo>"
                           "<CommonName>ada</CommonName></OrderQueryParam><OrdersQueryOption>"));
    ew_buf_clear(&body);
    assert_int_equal(ew_ca_write_get_orders(&body, &login, "MP1", NULL, 0, 0, NULL), EW_OK);
    check(&body, "GetOrders");
    assert_null(strstr(ew_buf_text(&body), "RequestDate"));
    assert_null(strstr(ew_buf_text(&body), "CommonName"));
    ew_buf_clear(&body);
    assert_int_equal(ew_ca_write_get_order(&body, &login, "CEPS1", NULL), EW_OK);
    check(&body, "GetOrderByOrderId");
    ew_buf_clear(&body);
    assert_int_equal(ew_ca_write_get_profiles(&body, &login, NULL, NULL), EW_OK);
    check(&body, "GetProfiles");
    ew_buf_clear(&body);
    assert_int_equal(ew_ca_write_get_profiles(&body, &login, "MP1", NULL), EW_OK);
    check(&body, "GetProfiles");
    ew_buf_deinit(&body);
}

static void
test_cancel_and_revoke(void **state)
{
    struct ew_buf body;

    (void)state;
    ew_buf_init_secret(&body, EW_CA_MAX_BODY);
    assert_int_equal(ew_ca_write_end(&body, &login, EW_CA_CANCEL, "CEPS1", NULL), EW_OK);
    check(&body, "Cancel");
    ew_buf_clear(&body);
    assert_int_equal(ew_ca_write_end(&body, &login, EW_CA_REVOKE, "CEPS1", NULL), EW_OK);
    check(&body, "Revoke");
    ew_buf_deinit(&body);
}

static void
test_text_that_cannot_be_sent_names_its_field(void **state)
{
    struct ew_ca_order_request bad = full;
    struct ew_buf body;
    struct ew_err err;

    (void)state;
    ew_buf_init_secret(&body, EW_CA_MAX_BODY);
    bad.cn = "ada\n<evil/>";
    assert_int_equal(ew_ca_write_order(&body, &login, &bad, &err), EW_REJECT);
    assert_string_equal(err.field, "CommonName");
    ew_buf_deinit(&body);
}

/* The longest that the limits allow still fits. */
static void
test_the_largest_order_fits(void **state)
{
    static char long_csr[EW_MAX_CSR + 1], fact[EW_MAX_FACT + 1];
    struct ew_ca_order_request big = full;
    struct ew_buf body;

    (void)state;
    memset(long_csr, '&', EW_MAX_CSR);
    memset(fact, '"', EW_MAX_FACT);
    big.csr = long_csr;
    big.cn = big.email = big.upn = big.sid = big.san_email = fact;
    big.ous[0] = big.ous[1] = big.ous[2] = fact;
    ew_buf_init_secret(&body, EW_CA_MAX_BODY);
    assert_int_equal(ew_ca_write_order(&body, &login, &big, NULL), EW_OK);
    check(&body, "OrderAndIssueCertificate");
    ew_buf_deinit(&body);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_with_everything),
        cmocka_unit_test(test_order_of_a_key),
        cmocka_unit_test(test_order_with_the_least),
        cmocka_unit_test(test_queries),
        cmocka_unit_test(test_cancel_and_revoke),
        cmocka_unit_test(test_text_that_cannot_be_sent_names_its_field),
        cmocka_unit_test(test_the_largest_order_fits),
    };

    return cmocka_run_group_tests(tests, load_schema, free_schema);
}
