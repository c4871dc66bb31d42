/*
 * Proof of what replies mean: one table of every shape for every verb, every truncation of a good
 * one, and what transport and HTTP alone prove (mostly nothing).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ca_private.h"

#define U EW_CA_UNKNOWN
#define T EW_CA_TRY_LATER

static const struct ew_ca_policy plain;

static void
load(struct ew_buf *buf, const char *name)
{
    char path[512], text[4096];
    FILE *file;
    size_t n;

    snprintf(path, sizeof(path), "%s/tests/unit/%s", EW_SOURCE_DIR, name);
    file = fopen(path, "rb");
    if (file == NULL)
        fail_msg("no fixture %s", path);
    ew_buf_init(buf, EW_MAX_REPLY);
    while ((n = fread(text, 1, sizeof(text), file)) > 0)
        ew_buf_put(buf, text, n);
    fclose(file);
}

static struct ew_http_result
http_result(int status)
{
    return (struct ew_http_result){.gate_passed = true,
                                   .status = status,
                                   .complete = true,
                                   .content_type = "text/xml",
                                   .detail = "",
                                   .date_ms = 1795428000000,
                                   .retry_after_ms = 7000,
                                   .total_ms = 42};
}

/* The reading of a fixture; the caller deinits both. */
static void
read_fixture(struct ew_ca_reading *reading, struct ew_http_result *result,
             const struct ew_ca_policy *policy, enum ew_ca_verb verb, const char *asked,
             const char *name, int status)
{
    char path[256];

    *result = http_result(status);
    snprintf(path, sizeof(path), "globalsign/replies/%s", name);
    load(&result->body, path);
    ew_ca_read(reading, policy, verb, asked, result);
    assert_int_equal(reading->reply.date_ms, 1795428000000);
    assert_int_equal(reading->reply.duration_ms, 42);
    assert_non_null(reading->reply.order_id);
    assert_non_null(reading->reply.certificate);
    assert_non_null(reading->reply.message);
    assert_non_null(reading->reply.field);
}

static void
drop(struct ew_ca_reading *reading, struct ew_http_result *result)
{
    ew_ca_reading_deinit(reading);
    ew_buf_deinit(&result->body);
}

static const struct row {
    const char *file;
    enum ew_ca_verb verb;
    int status;
    enum ew_ca_class cls;
    int code;
    const char *problem;
    const char *order_id;
} rows[] = {
    {"order_issued.xml", EW_CA_ORDER, 200, EW_CA_OK, 0, NULL, "CEPS260302000124"},
    {"order_pending.xml", EW_CA_ORDER, 200, EW_CA_PENDING, 0, NULL, "CEPS260302000124"},
    {"order_warning_issued.xml", EW_CA_ORDER, 200, EW_CA_OK, -9978, "ca-name", "CEPS260302000124"},
    {"order_warning_pending.xml", EW_CA_ORDER, 200, EW_CA_PENDING, -5001, "ca-name-check",
     "CEPS260302000124"},
    {"order_9978_issued.xml", EW_CA_ORDER, 200, EW_CA_OK, -9978, "ca-name", "CEPS260302000124"},
    {"order_2001_issued.xml", EW_CA_ORDER, 200, EW_CA_OK, -2001, "ca-mail-not-sent",
     "CEPS260302000124"},
    {"order_2001_without_id.xml", EW_CA_ORDER, 200, U, -2001, "ca-no-order-id", ""},
    {"order_without_id.xml", EW_CA_ORDER, 200, U, 0, "ca-no-order-id", ""},
    {"order_odd_id.xml", EW_CA_ORDER, 200, U, 0, "ca-no-order-id", ""},
    {"order_two_ids.xml", EW_CA_ORDER, 200, U, 0, "ca-malformed", ""},
    {"order_refused.xml", EW_CA_ORDER, 200, EW_CA_REJECTED, -103, "ca-parameter-length", ""},
    {"order_refused_with_id.xml", EW_CA_ORDER, 200, U, -102, "ca-refused-with-order", ""},
    {"order_refused_without_code.xml", EW_CA_ORDER, 200, U, 0, "ca-no-code", ""},
    {"order_refused_odd_code.xml", EW_CA_ORDER, 200, U, 0, "ca-unknown-code", ""},
    {"order_many_errors.xml", EW_CA_ORDER, 200, EW_CA_REJECTED, -102, "ca-parameter-missing", ""},
    {"order_many_errors_account.xml", EW_CA_ORDER, 200, EW_CA_ACCOUNT, -4001, "ca-login", ""},
    {"order_without_success_code.xml", EW_CA_ORDER, 200, U, 0, "ca-malformed", ""},
    {"order_without_response.xml", EW_CA_ORDER, 200, U, 0, "ca-malformed", ""},
    {"cancelled.xml", EW_CA_ORDER, 200, U, 0, "ca-wrong-answer", ""},
    {"order_other_wrapper.xml", EW_CA_ORDER, 200, EW_CA_OK, 0, NULL, "CEPS260302000124"},
    {"orders_none.xml", EW_CA_ORDER, 200, U, 0, "ca-wrong-answer", ""},
    {"fault_unmarshalling.xml", EW_CA_ORDER, 500, EW_CA_REJECTED, 0, "ca-request-refused", ""},
    {"fault_soapaction.xml", EW_CA_ORDER, 500, EW_CA_REJECTED, 0, "ca-request-refused", ""},
    {"fault_from_behind.xml", EW_CA_ORDER, 500, U, 0, "ca-fault", ""},
    {"fault_server.xml", EW_CA_ORDER, 500, U, 0, "ca-fault", ""},
    {"fault_client.xml", EW_CA_ORDER, 500, U, 0, "ca-fault", ""},
    {"fault_unmarshalling.xml", EW_CA_ORDER, 503, U, 0, "ca-unavailable", ""},
    {"order_issued.xml", EW_CA_ORDER, 500, U, 0, "ca-http-status", ""},
    {"order_refused.xml", EW_CA_ORDER, 500, U, 0, "ca-http-status", ""},
    {"pkcs12_base64.xml", EW_CA_ORDER_PKCS12, 200, EW_CA_OK, 0, NULL, "CEPS260302000124"},
    {"pkcs12_binary.xml", EW_CA_ORDER_PKCS12, 200, EW_CA_OK, 0, NULL, "CEPS260302000124"},
    {"pkcs12_missing.xml", EW_CA_ORDER_PKCS12, 200, EW_CA_PENDING, 0, NULL, "CEPS260302000124"},
    {"pkcs12_twice.xml", EW_CA_ORDER_PKCS12, 200, U, 0, "ca-malformed", ""},
    {"pkcs12_base64.xml", EW_CA_ORDER_PKCS12, 500, U, 0, "ca-http-status", ""},
    {"order_issued.xml", EW_CA_ORDER_PKCS12, 200, EW_CA_PENDING, 0, NULL, "CEPS260302000124"},
    {"pkcs12_base64.xml", EW_CA_ORDER, 200, EW_CA_PENDING, 0, NULL, "CEPS260302000124"},
    {"order_refused.xml", EW_CA_ORDER_PKCS12, 200, EW_CA_REJECTED, -103, "ca-parameter-length", ""},
    {"order_refused_with_id.xml", EW_CA_ORDER_PKCS12, 200, U, -102, "ca-refused-with-order", ""},
    {"order_many_errors_account.xml", EW_CA_ORDER_PKCS12, 200, EW_CA_ACCOUNT, -4001, "ca-login",
     ""},
    {"fault_server.xml", EW_CA_ORDER_PKCS12, 500, U, 0, "ca-fault", ""},
    {"cancelled.xml", EW_CA_CANCEL, 200, EW_CA_OK, 0, NULL, "CEPS1"},
    {"revoked.xml", EW_CA_REVOKE, 200, EW_CA_OK, 0, NULL, "CEPS1"},
    {"revoke_already.xml", EW_CA_REVOKE, 200, EW_CA_ALREADY, -9938, "ca-already", ""},
    {"cancel_not_found.xml", EW_CA_CANCEL, 200, EW_CA_NOT_FOUND, -9916, "ca-not-found", ""},
    {"order_issued.xml", EW_CA_CANCEL, 200, T, 0, "ca-wrong-answer", ""},
    {"fault_unmarshalling.xml", EW_CA_REVOKE, 500, EW_CA_REJECTED, 0, "ca-request-refused", ""},
    {"fault_server.xml", EW_CA_REVOKE, 500, T, 0, "ca-fault", ""},
    {"orders.xml", EW_CA_GET_ORDERS, 200, EW_CA_OK, 0, NULL, ""},
    {"orders_none.xml", EW_CA_GET_ORDERS, 200, EW_CA_OK, 0, NULL, ""},
    {"orders_capped.xml", EW_CA_GET_ORDERS, 200, EW_CA_OK, 0, NULL, ""},
    {"orders_without_total.xml", EW_CA_GET_ORDERS, 200, EW_CA_OK, 0, NULL, ""},
    {"orders_nameless.xml", EW_CA_GET_ORDERS, 200, T, 0, "ca-wrong-answer", ""},
    {"order_refused_without_code.xml", EW_CA_GET_ORDERS, 200, T, 0, "ca-no-code", ""},
    {"order_many_errors_account.xml", EW_CA_GET_ORDERS, 200, EW_CA_ACCOUNT, -4001, "ca-login", ""},
    {"fault_server.xml", EW_CA_GET_ORDERS, 500, T, 0, "ca-fault", ""},
    {"order_detail.xml", EW_CA_GET_ORDER, 200, EW_CA_OK, 0, NULL, "CEPS1"},
    {"order_detail_nil.xml", EW_CA_GET_ORDER, 200, T, 0, "ca-wrong-answer", ""},
    {"cancel_not_found.xml", EW_CA_GET_ORDER, 200, EW_CA_NOT_FOUND, -9916, "ca-not-found", ""},
    {"profiles.xml", EW_CA_GET_PROFILES, 200, EW_CA_OK, 0, NULL, ""},
};

static void
test_every_shape(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        struct ew_ca_reading reading;
        struct ew_http_result result;
        const struct ew_ca_reply *reply = &reading.reply;

        read_fixture(&reading, &result, &plain, row->verb, "CEPS1", row->file, row->status);
        if (reply->cls != row->cls || reply->code != row->code ||
            strcmp(reply->order_id, row->order_id) != 0 ||
            strcmp(reply->problem ? reply->problem : "", row->problem ? row->problem : "") != 0)
            fail_msg("%s (verb %d): %s, code %d, problem %s, order id '%s'", row->file,
                     (int)row->verb, ew_ca_class_name(reply->cls), reply->code, reply->problem,
                     reply->order_id);
        drop(&reading, &result);
    }
}

static void
test_an_order_reply_in_full(void **state)
{
    struct ew_ca_reading reading;
    struct ew_http_result result;

    (void)state;
    read_fixture(&reading, &result, &plain, EW_CA_ORDER, "", "order_issued.xml", 200);
    assert_string_equal(reading.reply.certificate,
                        "-----BEGIN CERTIFICATE-----\nMIIF\n-----END CERTIFICATE-----");
    assert_false(reading.reply.warning);
    assert_true(reading.reply.gate_passed);
    assert_int_equal(reading.reply.http_status, 200);
    drop(&reading, &result);

    read_fixture(&reading, &result, &plain, EW_CA_ORDER, "", "order_warning_issued.xml", 200);
    assert_true(reading.reply.warning);
    assert_string_equal(reading.reply.field, "DnAttributes.CommonName");
    assert_string_equal(reading.reply.message, "Character replaced");
    assert_true(*reading.reply.certificate != '\0');
    drop(&reading, &result);
}

/* In either of two elements. What is no key of this order's kind is none. */
static void
test_the_key_that_comes_with_an_order(void **state)
{
    static const struct {
        const char *file, *pkcs12;
    } cases[] = {{"pkcs12_base64.xml", "MIIK"},
                 {"pkcs12_binary.xml", "MIIL"},
                 {"pkcs12_missing.xml", ""},
                 {"pkcs12_twice.xml", ""},
                 {"order_issued.xml", ""}};
    struct ew_ca_reading reading;
    struct ew_http_result result;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        read_fixture(&reading, &result, &plain, EW_CA_ORDER_PKCS12, "", cases[i].file, 200);
        assert_string_equal(reading.reply.pkcs12, cases[i].pkcs12);
        assert_string_equal(reading.reply.certificate, "");
        drop(&reading, &result);
    }
    read_fixture(&reading, &result, &plain, EW_CA_ORDER, "", "order_issued.xml", 200);
    assert_string_equal(reading.reply.pkcs12, "");
    drop(&reading, &result);
}

/* An error's text and field end with the last character that fits. */
static void
test_long_texts_are_cut(void **state)
{
    static const char head[] =
        "<soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"><soap:Body>"
        "<OrderAndIssueCertificateResponse><Response><OrderResponseHeader>"
        "<SuccessCode>-1</SuccessCode><Errors><Error><ErrorCode>-103</ErrorCode>";
    static const char tail[] = "</Error></Errors></OrderResponseHeader></Response>"
                               "</OrderAndIssueCertificateResponse></soap:Body></soap:Envelope>";

    (void)state;
    for (size_t over = 0; over < 4; over++) { /* bytes of the last character beyond the limit */
        struct ew_ca_reading reading;
        struct ew_http_result result = http_result(200);

        ew_buf_init(&result.body, EW_MAX_REPLY);
        ew_buf_printf(&result.body, "%s<ErrorField>", head);
        for (size_t i = 0; i < EW_MAX_ERROR_FIELD + over - 4; i++)
            ew_buf_putc(&result.body, 'f');
        ew_buf_puts(&result.body, "\xf0\x9f\x98\x80</ErrorField><ErrorMessage>");
        for (size_t i = 0; i < EW_MAX_ERROR_TEXT + over - 4; i++)
            ew_buf_putc(&result.body, 'm');
        for (size_t i = 0; i < 100 * 1000; i++)
            ew_buf_puts(&result.body, "\xf0\x9f\x98\x80");
        ew_buf_printf(&result.body, "</ErrorMessage>%s", tail);
        ew_ca_read(&reading, &plain, EW_CA_ORDER, "", &result);
        assert_int_equal(reading.reply.cls, EW_CA_REJECTED);
        assert_int_equal(strlen(reading.reply.field),
                         EW_MAX_ERROR_FIELD + (over > 0 ? over - 4 : 0));
        assert_int_equal(strlen(reading.reply.message),
                         EW_MAX_ERROR_TEXT + (over > 0 ? over - 4 : 0));
        drop(&reading, &result);
    }
}

static void
test_queries_in_full(void **state)
{
    struct ew_ca_reading reading;
    struct ew_http_result result;
    const struct ew_ca_order *order;

    (void)state;
    read_fixture(&reading, &result, &plain, EW_CA_GET_ORDERS, "", "orders.xml", 200);
    assert_int_equal(reading.reply.order_count, 2);
    assert_false(reading.reply.capped);
    order = &reading.reply.orders[0];
    assert_string_equal(order->order_id, "CEPS1");
    assert_int_equal(order->order_status, EW_CA_ST_ISSUED);
    assert_int_equal(order->cert_status, EW_CA_ST_ISSUED);
    assert_string_equal(order->profile, "MP1");
    assert_string_equal(order->product, "EPKIPSPersonal");
    assert_string_equal(order->cn, "Ada Example");
    assert_string_equal(order->email, "ada@example.com");
    assert_string_equal(order->serial, "32f1");
    assert_int_equal(order->request_ms, INT64_C(1772474645000));
    assert_string_equal(order->certificate, "-----BEGIN CERTIFICATE-----");
    order = &reading.reply.orders[1];
    assert_int_equal(order->order_status, EW_CA_ST_CANCELLED_ISSUED);
    assert_int_equal(order->cert_status, EW_CA_ST_NONE); /* a word where a number belongs */
    assert_string_equal(order->certificate, "-----BEGIN PKCS7-----");
    drop(&reading, &result);

    read_fixture(&reading, &result, &plain, EW_CA_GET_PROFILES, "", "profiles.xml", 200);
    assert_int_equal(reading.reply.profile_count, 1);
    assert_string_equal(reading.reply.profiles[0].id, "MP1");
    assert_string_equal(reading.reply.profiles[0].state, "4");
    assert_string_equal(reading.reply.profiles[0].organization, "Example Corp");
    assert_string_equal(reading.reply.profiles[0].efs, "false");
    assert_string_equal(reading.reply.profiles[0].upn, "true");
    drop(&reading, &result);

    read_fixture(&reading, &result, &plain, EW_CA_GET_ORDER, "CEPS2", "order_detail.xml", 200);
    assert_int_equal(reading.reply.cls, EW_CA_TRY_LATER); /* another order's answer */
    assert_int_equal(reading.reply.order_count, 0);
    drop(&reading, &result);
}

/* A list that proves nothing by what it lacks must say so. */
static void
test_capped_lists(void **state)
{
    static const struct {
        const char *file;
        bool capped;
    } cases[] = {
        {"orders.xml", false},
        {"orders_none.xml", false},
        {"orders_capped.xml", true},
        {"orders_without_total.xml", true},
    };
    struct ew_ca_reading reading;
    struct ew_http_result result;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        read_fixture(&reading, &result, &plain, EW_CA_GET_ORDERS, "", cases[i].file, 200);
        assert_int_equal(reading.reply.capped, cases[i].capped);
        drop(&reading, &result);
    }
    result = http_result(200);
    result.complete = false;
    result.too_large = true;
    result.problem = "http-too-large";
    ew_ca_read(&reading, &plain, EW_CA_GET_ORDERS, "", &result);
    assert_int_equal(reading.reply.cls, EW_CA_OK);
    assert_true(reading.reply.capped);
    ew_ca_reading_deinit(&reading);
    ew_ca_read(&reading, &plain, EW_CA_ORDER, "", &result);
    assert_int_equal(reading.reply.cls, EW_CA_UNKNOWN);
    ew_ca_reading_deinit(&reading);
    ew_ca_read(&reading, &plain, EW_CA_GET_ORDER, "CEPS1", &result);
    assert_int_equal(reading.reply.cls, EW_CA_TRY_LATER);
    ew_ca_reading_deinit(&reading);
}

static void
read_orders_of(struct ew_ca_reading *reading, struct ew_http_result *result, int count)
{
    ew_buf_init(&result->body, EW_MAX_REPLY);
    ew_buf_printf(&result->body,
                  "<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:Body><r>"
                  "<Response><QueryResponseHeader><SuccessCode>0</SuccessCode>"
                  "</QueryResponseHeader><TotalCount>%d</TotalCount><OrderDetails>",
                  count);
    for (int i = 0; i < count; i++)
        ew_buf_printf(&result->body,
                      "<OrderDetail><OrderInfo><OrderNo>CE%d</OrderNo></OrderInfo></OrderDetail>",
                      i);
    ew_buf_puts(&result->body, "</OrderDetails></Response></r></e:Body></e:Envelope>");
    assert_false(result->body.overflowed);
    ew_ca_read(reading, &plain, EW_CA_GET_ORDERS, "", result);
}

/* 499 orders are a list, 500 are not: that is where GlobalSign may have cut. */
static void
test_five_hundred_orders(void **state)
{
    (void)state;
    for (int count = 499; count <= 500; count++) {
        struct ew_http_result result = http_result(200);
        struct ew_ca_reading reading;

        read_orders_of(&reading, &result, count);
        assert_int_equal(reading.reply.cls, EW_CA_OK);
        assert_int_equal(reading.reply.order_count, count);
        assert_string_equal(reading.reply.orders[498].order_id, "CE498");
        assert_int_equal(reading.reply.capped, count == 500);
        drop(&reading, &result);
    }
}

static void
test_the_most_orders(void **state)
{
    struct ew_http_result result = http_result(200);
    struct ew_ca_reading reading;

    (void)state;
    read_orders_of(&reading, &result, EW_MAX_ENTRIES);
    assert_int_equal(reading.reply.cls, EW_CA_OK);
    assert_int_equal(reading.reply.order_count, EW_MAX_ENTRIES);
    drop(&reading, &result);
    result = http_result(200);
    read_orders_of(&reading, &result, EW_MAX_ENTRIES + 1);
    assert_int_not_equal(reading.reply.cls, EW_CA_OK);
    assert_int_equal(reading.reply.order_count, 0);
    drop(&reading, &result);
}

/* An id that may be stored. */
static void
test_the_longest_order_id(void **state)
{
    (void)state;
    for (size_t over = 0; over <= 1; over++) {
        struct ew_http_result result = http_result(200);
        struct ew_ca_reading reading;
        char id[EW_MAX_ORDER_ID + 2] = {0};

        memset(id, 'C', EW_MAX_ORDER_ID + over);
        ew_buf_init(&result.body, EW_MAX_REPLY);
        ew_buf_printf(
            &result.body,
            "<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:Body>"
            "<OrderAndIssueCertificateResponse><Response><OrderResponseHeader>"
            "<SuccessCode>0</SuccessCode></OrderResponseHeader><OrderID>%s</OrderID></Response>"
            "</OrderAndIssueCertificateResponse></e:Body></e:Envelope>",
            id);
        ew_ca_read(&reading, &plain, EW_CA_ORDER, "", &result);
        assert_int_equal(reading.reply.cls, over == 0 ? EW_CA_PENDING : EW_CA_UNKNOWN);
        assert_string_equal(reading.reply.order_id, over == 0 ? id : "");
        drop(&reading, &result);
    }
}

/* Whatever part of a good answer arrives, an order is unknown and nothing of it is used. */
static void
test_every_truncation_is_unknown(void **state)
{
    struct ew_http_result whole = http_result(200);

    (void)state;
    load(&whole.body, "globalsign/replies/order_issued.xml");
    for (size_t cut = 0; cut < whole.body.len; cut++) {
        struct ew_http_result result = http_result(200);
        struct ew_ca_reading reading;

        ew_buf_init(&result.body, EW_MAX_REPLY);
        ew_buf_put(&result.body, whole.body.data, cut);
        ew_ca_read(&reading, &plain, EW_CA_ORDER, "", &result);
        assert_int_equal(reading.reply.cls, EW_CA_UNKNOWN);
        assert_string_equal(reading.reply.problem, cut == 0 ? "ca-empty" : "ca-malformed");
        assert_string_equal(reading.reply.order_id, "");
        ew_ca_reading_deinit(&reading);
        ew_ca_read(&reading, &plain, EW_CA_REVOKE, "", &result);
        assert_int_equal(reading.reply.cls, EW_CA_TRY_LATER);
        drop(&reading, &result);
    }
    ew_buf_deinit(&whole.body);
}

static void
test_hostile_bodies(void **state)
{
    static const struct {
        const char *file, *problem;
    } cases[] = {
        {"soap/replies/xxe.xml", "ca-dtd"},
        {"soap/replies/billion_laughs.xml", "ca-dtd"},
        {"soap/replies/page.html", "ca-html"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ew_http_result result = http_result(200);
        struct ew_ca_reading reading;

        load(&result.body, cases[i].file);
        ew_ca_read(&reading, &plain, EW_CA_ORDER, "", &result);
        assert_int_equal(reading.reply.cls, EW_CA_UNKNOWN);
        assert_string_equal(reading.reply.problem, cases[i].problem);
        drop(&reading, &result);
    }
}

static void
test_transport(void **state)
{
    static const struct {
        bool gate_passed;
        int status;
        const char *problem; /* NULL = complete, with an empty body */
        enum ew_ca_class order, other;
        const char *name;
    } cases[] = {
        {false, 0, "http-dns", EW_CA_NOT_SENT, EW_CA_NOT_SENT, "ca-dns"},
        {false, 0, "http-connect", EW_CA_NOT_SENT, EW_CA_NOT_SENT, "ca-connect"},
        {false, 0, "http-connect-timeout", EW_CA_NOT_SENT, EW_CA_NOT_SENT, "ca-connect-timeout"},
        {false, 0, "http-tls", EW_CA_NOT_SENT, EW_CA_NOT_SENT, "ca-tls"},
        {false, 0, "http-certificate", EW_CA_NOT_SENT, EW_CA_NOT_SENT, "ca-tls-certificate"},
        {false, 0, "http-gate", EW_CA_NOT_SENT, EW_CA_NOT_SENT, "ca-gate"},
        {true, 0, "http-reset", U, T, "ca-reset"},
        {true, 0, "http-timeout", U, T, "ca-timeout"},
        {true, 200, "http-truncated", U, T, "ca-truncated"},
        {true, 200, "http-reset", U, T, "ca-reset"},
        {true, 0, "http-protocol", U, T, "ca-protocol"},
        {true, 0, "something-new", U, T, "ca-internal-error"},
        {true, 200, NULL, U, T, "ca-empty"},
        {true, 302, NULL, U, T, "ca-redirect"},
        {true, 401, NULL, U, T, "ca-forbidden"},
        {true, 403, NULL, U, T, "ca-forbidden"},
        {true, 404, NULL, U, T, "ca-http-status"},
        {true, 417, NULL, U, T, "ca-http-status"},
        {true, 429, NULL, U, T, "ca-throttled"},
        {true, 429, "http-truncated", U, T, "ca-throttled"},
        {true, 500, NULL, U, T, "ca-empty"},
        {true, 502, NULL, U, T, "ca-unavailable"},
        {true, 503, NULL, U, T, "ca-unavailable"},
        {true, 504, NULL, U, T, "ca-unavailable"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const enum ew_ca_verb verbs[] = {EW_CA_ORDER,      EW_CA_CANCEL,    EW_CA_REVOKE,
                                         EW_CA_GET_ORDERS, EW_CA_GET_ORDER, EW_CA_GET_PROFILES};

        for (size_t k = 0; k < sizeof(verbs) / sizeof(verbs[0]); k++) {
            struct ew_http_result result = http_result(cases[i].status);
            struct ew_ca_reading reading;

            result.gate_passed = cases[i].gate_passed;
            result.complete = cases[i].problem == NULL;
            result.problem = cases[i].problem;
            ew_ca_read(&reading, &plain, verbs[k], "CEPS1", &result);
            if (reading.reply.cls != (k == 0 ? cases[i].order : cases[i].other) ||
                strcmp(reading.reply.problem, cases[i].name) != 0)
                fail_msg("case %zu, verb %zu: %s, %s", i, k, ew_ca_class_name(reading.reply.cls),
                         reading.reply.problem);
            assert_int_equal(reading.reply.retry_after_ms, 7000);
            ew_ca_reading_deinit(&reading);
        }
    }
}

static void
test_policy(void **state)
{
    const struct ew_ca_policy policy = {
        .throttle_is_unsent = true, .hold_codes = {-103, -7777}, .hold_code_count = 2};
    struct ew_http_result result = http_result(429);
    struct ew_ca_reading reading;

    (void)state;
    ew_ca_read(&reading, &policy, EW_CA_ORDER, "", &result);
    assert_int_equal(reading.reply.cls, EW_CA_NOT_SENT);
    assert_true(reading.reply.gate_passed);
    ew_ca_reading_deinit(&reading);
    ew_ca_read(&reading, &policy, EW_CA_REVOKE, "", &result);
    assert_int_equal(reading.reply.cls, EW_CA_TRY_LATER);
    ew_ca_reading_deinit(&reading);

    read_fixture(&reading, &result, &policy, EW_CA_ORDER, "", "order_refused.xml", 200);
    assert_int_equal(reading.reply.cls, EW_CA_LICENCE);
    assert_string_equal(reading.reply.problem, "ca-licence");
    assert_int_equal(reading.reply.code, -103);
    drop(&reading, &result);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_shape),
        cmocka_unit_test(test_an_order_reply_in_full),
        cmocka_unit_test(test_the_key_that_comes_with_an_order),
        cmocka_unit_test(test_long_texts_are_cut),
        cmocka_unit_test(test_queries_in_full),
        cmocka_unit_test(test_capped_lists),
        cmocka_unit_test(test_five_hundred_orders),
        cmocka_unit_test(test_the_most_orders),
        cmocka_unit_test(test_the_longest_order_id),
        cmocka_unit_test(test_every_truncation_is_unknown),
        cmocka_unit_test(test_hostile_bodies),
        cmocka_unit_test(test_transport),
        cmocka_unit_test(test_policy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
