/*
 * A reply that could not be read for a reason of our own proves nothing: it is what it would have
 * been otherwise, or the order is unknown. Never is it a refusal, or an order without certificate.
 */
#include "failing.h"

#include <libxml/parser.h>

#include "ca_private.h"

/* libxml2 gives none for want of memory alone. */
FAILING_KIND(OF_MEMORY, xmlParserCtxtPtr, xmlNewParserCtxt, (void), (), NULL)
FAILING(xmlDocPtr, xmlCtxtReadMemory,
        (xmlParserCtxtPtr parser, const char *data, int len, const char *url, const char *encoding,
         int options),
        (parser, data, len, url, encoding, options), NULL)

static const struct {
    const char *file;
    enum ew_ca_verb verb;
    int status;
    enum ew_ca_class cls;
    int code;
    const char *order_id;
    size_t entries;
} rows[] = {
    {"order_issued", EW_CA_ORDER, 200, EW_CA_OK, 0, "CEPS260302000124", 0},
    {"order_pending", EW_CA_ORDER, 200, EW_CA_PENDING, 0, "CEPS260302000124", 0},
    {"order_warning_issued", EW_CA_ORDER, 200, EW_CA_OK, -9978, "CEPS260302000124", 0},
    {"order_refused", EW_CA_ORDER, 200, EW_CA_REJECTED, -103, "", 0},
    {"order_refused_with_id", EW_CA_ORDER, 200, EW_CA_UNKNOWN, -102, "", 0},
    {"order_many_errors_account", EW_CA_ORDER, 200, EW_CA_ACCOUNT, -4001, "", 0},
    {"fault_unmarshalling", EW_CA_ORDER, 500, EW_CA_REJECTED, 0, "", 0},
    {"fault_server", EW_CA_ORDER, 500, EW_CA_UNKNOWN, 0, "", 0},
    {"pkcs12_base64", EW_CA_ORDER_PKCS12, 200, EW_CA_OK, 0, "CEPS260302000124", 0},
    {"orders", EW_CA_GET_ORDERS, 200, EW_CA_OK, 0, "", 2},
    {"orders_none", EW_CA_GET_ORDERS, 200, EW_CA_OK, 0, "", 0},
    {"order_detail", EW_CA_GET_ORDER, 200, EW_CA_OK, 0, "CEPS1", 1},
    {"revoked", EW_CA_REVOKE, 200, EW_CA_OK, 0, "CEPS1", 0},
    {"cancel_not_found", EW_CA_CANCEL, 200, EW_CA_NOT_FOUND, -9916, "", 0},
};

enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static struct {
    char text[16384];
    size_t len;
} bodies[ROWS];

static int
load(void **state)
{
    char path[512];

    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        FILE *file;

        (void)snprintf(path, sizeof(path), "%s/tests/unit/globalsign/replies/%s.xml", EW_SOURCE_DIR,
                       rows[i].file);
        file = fopen(path, "rb");
        assert_non_null(file);
        bodies[i].len = fread(bodies[i].text, 1, sizeof(bodies[i].text), file);
        (void)fclose(file);
        assert_true(bodies[i].len > 0);
    }
    return 0;
}

static void
must_be_whole(size_t i, const struct ew_ca_reply *reply)
{
    bool issues = ew_ca_is_order(rows[i].verb) && rows[i].cls == EW_CA_OK;

    assert_int_equal(reply->code, rows[i].code);
    assert_string_equal(reply->order_id, rows[i].order_id);
    assert_int_equal(reply->order_count, rows[i].entries);
    assert_int_equal(*reply->certificate != '\0' || *reply->pkcs12 != '\0', issues);
    for (size_t n = 0; n < rows[i].entries; n++)
        assert_true(*reply->orders[n].certificate != '\0');
}

static void
test_what_is_not_read_proves_nothing(void **state)
{
    static const struct ew_ca_policy policy;

    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        struct ew_ca_reading reading;
        struct ew_http_result result = {.gate_passed = true,
                                        .status = rows[i].status,
                                        .complete = true,
                                        .content_type = "text/xml",
                                        .detail = ""};
        bool unread;

        ew_buf_init(&result.body, EW_MAX_REPLY);
        ew_buf_put(&result.body, bodies[i].text, bodies[i].len);
        ew_ca_read(&reading, &policy, rows[i].verb, "CEPS1", &result);
        unread =
            reading.reply.cls == (ew_ca_is_order(rows[i].verb) ? EW_CA_UNKNOWN : EW_CA_TRY_LATER) &&
            (failing_kind & ~1u) == OF_CALLS && failing_at > 0;
        if (!unread && reading.reply.cls != rows[i].cls)
            fail_msg("%s: %s, %s", rows[i].file, ew_ca_class_name(reading.reply.cls),
                     reading.reply.problem);
        if (!unread)
            must_be_whole(i, &reading.reply);
        ew_ca_reading_deinit(&reading);
        ew_buf_deinit(&result.body);
    }
}

/* An order that was cut off for want of room would be another order. */
static void
test_an_order_is_written_whole(void **state)
{
    struct ew_ca_login login = {"PAR1", "secret"};
    struct ew_ca_order_request request = {.profile = "MP1",
                                          .product = "ePkiOne",
                                          .years = 1,
                                          .csr = "a CSR",
                                          .cn = "Ada Lovelace",
                                          .email = "ada@example.com"};
    struct ew_err err = {.problem = ""};
    struct ew_buf body;

    (void)state;
    ew_buf_init_secret(&body, EW_CA_MAX_BODY);
    assert_int_equal(ew_ca_write_order(&body, &login, &request, &err), EW_OK);
    assert_non_null(strstr(ew_buf_text(&body), "Ada Lovelace"));
    assert_non_null(strstr(ew_buf_text(&body), "</soapenv:Envelope>"));
    ew_buf_deinit(&body);
}

int
main(int argc, char **argv)
{
    static const struct story stories[] = {
        {.name = "replies", .tell = test_what_is_not_read_proves_nothing, .begin = load},
        {.name = "order", .tell = test_an_order_is_written_whole},
    };

    return failing_main(argc, argv, stories, sizeof(stories) / sizeof(stories[0]));
}
