/*
 * Proof of events: absent parts, numbers of a newer contract, cut-off bytes, and the CloudEvents
 * headers. Their bytes are test_contract's business.
 */
#include "samples.h"
#include "scratch.h"
#include "wire_private.h"

static struct ew_event
through_the_wire(const struct ew_event *event)
{
    struct ew_event read;

    ew_buf_clear(&bytes);
    assert_int_equal(ew_wire_event_encode(event, &bytes, &err), EW_OK);
    assert_int_equal(ew_wire_event_decode(bytes.data, bytes.len, arena, &read, &err), EW_OK);
    return read;
}

static void
a_bare_event(void **state)
{
    struct ew_event event = {.result = EW_RES_REVOKED, .request_id = "r"}, read;

    (void)state;
    read = through_the_wire(&event);
    assert_int_equal(read.result, EW_RES_REVOKED);
    assert_string_equal(read.request_id, "r");
    assert_string_equal(read.event_id, "");
    assert_string_equal(read.setting, "");
    assert_string_equal(read.note, "");
    assert_int_equal(read.failure.cls, EW_FAIL_NONE);
    assert_string_equal(read.failure.problem, "");
    assert_string_equal(read.failure.vendor_field, "");
    assert_false(read.has_certificate || read.duplicate || read.test);
    assert_string_equal(read.certificate.serial, "");
    assert_string_equal(read.certificate.order_id, "");
    assert_int_equal(read.label_count, 0);
    assert_int_equal(read.context.len, 0);
    assert_int_equal(read.certificate.chain_count, 0);
}

/* A revocation names a certificate without giving it; a pending order has but its id. */
static void
certificates_by_reference(void **state)
{
    struct ew_event event = {.result = EW_RES_REVOKED, .request_id = "r"}, read;

    (void)state;
    event.has_certificate = true;
    event.certificate.serial = "1f";
    event.certificate.issuer = "CN=CA";
    read = through_the_wire(&event);
    assert_true(read.has_certificate);
    assert_string_equal(read.certificate.issuer, "CN=CA");
    assert_int_equal(read.certificate.der.len, 0);
    event.has_certificate = false;
    event.certificate = (struct ew_certificate){.order_id = "CEPK1"};
    read = through_the_wire(&event);
    assert_false(read.has_certificate);
    assert_string_equal(read.certificate.order_id, "CEPK1");
}

/* The contract's numbers are the worker's own, cast: each must stand where the other has it. */
static void
numbers_agree(void **state)
{
    static const int results[] = {
        EPKI__V1__RESULT__RESULT_UNSPECIFIED, EPKI__V1__RESULT__RESULT_ISSUED,
        EPKI__V1__RESULT__RESULT_RENEWED,     EPKI__V1__RESULT__RESULT_REVOKED,
        EPKI__V1__RESULT__RESULT_REMOVED,     EPKI__V1__RESULT__RESULT_REJECTED,
        EPKI__V1__RESULT__RESULT_PENDING,     EPKI__V1__RESULT__RESULT_HELD,
        EPKI__V1__RESULT__RESULT_WAITING,     EPKI__V1__RESULT__RESULT_RECONCILING};
    static const int classes[] = {EPKI__V1__FAILURE_CLASS__FAILURE_CLASS_UNSPECIFIED,
                                  EPKI__V1__FAILURE_CLASS__FAILURE_CLASS_INVALID,
                                  EPKI__V1__FAILURE_CLASS__FAILURE_CLASS_CONFLICT,
                                  EPKI__V1__FAILURE_CLASS__FAILURE_CLASS_REFUSED,
                                  EPKI__V1__FAILURE_CLASS__FAILURE_CLASS_STOPPED,
                                  EPKI__V1__FAILURE_CLASS__FAILURE_CLASS_EXPIRED,
                                  EPKI__V1__FAILURE_CLASS__FAILURE_CLASS_MISMATCH,
                                  EPKI__V1__FAILURE_CLASS__FAILURE_CLASS_ACCOUNT,
                                  EPKI__V1__FAILURE_CLASS__FAILURE_CLASS_INTERNAL};

    (void)state;
    for (int i = EW_RES_NONE; i <= EW_RES_RECONCILING; i++)
        assert_int_equal(results[i], i);
    for (int i = EW_FAIL_NONE; i <= EW_FAIL_INTERNAL; i++)
        assert_int_equal(classes[i], i);
    assert_int_equal(EPKI__V1__OPERATION__OPERATION_ENROLL, EW_OP_ENROLL);
    assert_int_equal(EPKI__V1__OPERATION__OPERATION_RENEW, EW_OP_RENEW);
    assert_int_equal(EPKI__V1__OPERATION__OPERATION_REVOKE, EW_OP_REVOKE);
}

static void
a_newer_contract(void **state)
{
    struct ew_event event = {.result = (enum ew_result)77, .request_id = "r"}, read;

    (void)state;
    assert_int_equal(ew_wire_event_encode(&event, &bytes, &err), EW_OK);
    put_string(&bytes, 500, "unknown");
    assert_int_equal(ew_wire_event_decode(bytes.data, bytes.len, arena, &read, &err), EW_OK);
    assert_int_equal(read.result, 77);
    assert_string_equal(ew_result_name(read.result), "none");
    assert_false(ew_result_terminal(read.result));
}

static void
chain_within_bounds(void **state)
{
    struct ew_event read;
    struct ew_buf certificate;

    (void)state;
    ew_buf_init(&certificate, BYTES_MAX);
    for (int i = 0; i < EW_MAX_CHAIN + 2; i++)
        put_string(&certificate, 2, "c");
    put_bytes(&bytes, 10, certificate.data, certificate.len);
    ew_buf_deinit(&certificate);
    assert_int_equal(ew_wire_event_decode(bytes.data, bytes.len, arena, &read, &err), EW_OK);
    assert_int_equal(read.certificate.chain_count, EW_MAX_CHAIN);
}

static void
cut_off_and_short_of_room(void **state)
{
    struct ew_event event = sample_event(), read;
    struct ew_buf small;

    (void)state;
    assert_int_equal(ew_wire_event_encode(&event, &bytes, &err), EW_OK);
    for (size_t len = 0; len < bytes.len; len++) {
        uint8_t *copy = exactly(bytes.data, len);
        struct ew_arena *own = ew_arena_new(EW_MAX_FLOW_MEMORY);
        enum ew_fault fault = ew_wire_event_decode(copy, len, own, &read, &err);

        assert_true(fault == EW_OK ||
                    (fault == EW_REJECT && strcmp(err.problem, "malformed") == 0));
        ew_arena_free(own);
        free(copy);
    }
    assert_int_equal(ew_wire_event_decode(bytes.data, bytes.len, arena, &read, &err), EW_OK);
    for (size_t max = 0; max < ew_arena_used(arena); max++) {
        struct ew_arena *own = ew_arena_new(max);

        assert_int_equal(ew_wire_event_decode(bytes.data, bytes.len, own, &read, &err), EW_RETRY);
        ew_arena_free(own);
    }
    ew_buf_init(&small, bytes.len - 1);
    assert_int_equal(ew_wire_event_encode(&event, &small, &err), EW_BUG);
    assert_string_equal(err.problem, "too-large");
    ew_buf_deinit(&small);
    ew_buf_init(&small, bytes.len);
    assert_int_equal(ew_wire_event_encode(&event, &small, &err), EW_OK);
    ew_buf_deinit(&small);
}

/* --- headers --- */

static const char *
header(const struct ew_pair *pairs, size_t count, const char *name)
{
    const char *value = NULL;

    for (size_t i = 0; i < count; i++)
        if (strcmp(pairs[i].name, name) == 0) {
            assert_null(value); /* each once */
            value = pairs[i].value;
        }
    return value;
}

static void
cloud_events_headers(void **state)
{
    struct ew_event event = sample_event();
    struct ew_pair pairs[EW_MAX_HEADERS];
    size_t count = ew_wire_event_headers(&event, "blue", "00-t-s-01", "v=1", arena, pairs);

    (void)state;
    assert_int_equal(count, 9);
    assert_string_equal(header(pairs, count, "ce_specversion"), "1.0");
    assert_string_equal(header(pairs, count, "ce_id"), event.event_id);
    assert_string_equal(header(pairs, count, "ce_source"), "/epki-worker/blue");
    assert_string_equal(header(pairs, count, "ce_type"), "epki.certificate.renewed.v1");
    assert_string_equal(header(pairs, count, "ce_time"), "2023-11-14T22:13:20.003Z");
    assert_string_equal(header(pairs, count, "ce_subject"), "renew-1");
    assert_string_equal(header(pairs, count, "content-type"), "application/protobuf");
    assert_string_equal(header(pairs, count, "traceparent"), "00-t-s-01");
    assert_string_equal(header(pairs, count, "tracestate"), "v=1");
    event.result = EW_RES_RECONCILING;
    count = ew_wire_event_headers(&event, "blue", NULL, "", arena, pairs);
    assert_int_equal(count, 7); /* an empty header is none */
    assert_string_equal(header(pairs, count, "ce_type"), "epki.certificate.reconciling.v1");
    assert_null(header(pairs, count, "traceparent"));
    assert_null(header(pairs, count, "tracestate"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_bare_event, begin, end),
        cmocka_unit_test_setup_teardown(certificates_by_reference, begin, end),
        cmocka_unit_test(numbers_agree),
        cmocka_unit_test_setup_teardown(a_newer_contract, begin, end),
        cmocka_unit_test_setup_teardown(chain_within_bounds, begin, end),
        cmocka_unit_test_setup_teardown(cut_off_and_short_of_room, begin, end),
        cmocka_unit_test_setup_teardown(cloud_events_headers, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
