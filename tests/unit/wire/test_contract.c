/*
 * The worker against the golden bytes of tests/contract, which the official Python runtime reads
 * and writes too: requests are read from them, everything published is written to exactly them.
 */
#include <ctype.h>

#include "base/hex.h"
#include "samples.h"
#include "scratch.h"

/* The bytes of NAME.hex, in the arena. */
static struct ew_blob
golden(const char *name)
{
    char path[512], text[8192];
    size_t len = 0;
    uint8_t *out;
    FILE *file;
    int c;

    (void)snprintf(path, sizeof(path), "%s/tests/contract/%s.hex", EW_SOURCE_DIR, name);
    file = fopen(path, "r");
    assert_non_null(file);
    while ((c = fgetc(file)) != EOF && len + 1 < sizeof(text))
        if (!isspace(c))
            text[len++] = (char)c;
    (void)fclose(file);
    text[len] = '\0';
    out = ew_arena_alloc(arena, len / 2 + 1);
    assert_non_null(out);
    assert_int_equal(ew_hex_decode(text, out, len / 2), EW_OK);
    return (struct ew_blob){.data = out, .len = len / 2};
}

static void
is_golden(const char *name)
{
    struct ew_blob expected = golden(name);

    assert_int_equal(bytes.len, expected.len);
    assert_memory_equal(bytes.data, expected.data, expected.len);
    ew_buf_clear(&bytes);
}

static struct ew_request
read_request(enum ew_lane lane, const char *name)
{
    struct ew_blob from = golden(name);
    struct ew_request request;

    if (ew_wire_request(lane, from.data, from.len, arena, &request, &err) != EW_OK)
        fail_msg("%s: %s of %s: %s", name, err.problem, err.field, err.detail);
    return request;
}

static void
enrollment_with_csr(void **state)
{
    struct ew_request r = read_request(EW_LANE_ENROLLMENT, "enrollment_csr");
    const struct ew_subject *s = &r.subject;

    (void)state;
    assert_int_equal(r.op, EW_OP_ENROLL);
    assert_string_equal(r.request_id, "enroll-1");
    assert_string_equal(r.setting, "wifi");
    assert_string_equal(s->user_id, "u-1");
    assert_string_equal(s->first_name, "J\xc3\xbcrgen");
    assert_string_equal(s->last_name, "M\xc3\xbcller");
    assert_string_equal(s->display_name, "J\xc3\xbcrgen M\xc3\xbcller");
    assert_string_equal(s->email, "jm@example.com");
    assert_string_equal(s->upn, "jm@corp.example.com");
    assert_string_equal(s->device_id, "d-1");
    assert_string_equal(s->device_serial, "C02X");
    assert_string_equal(s->platform, "ios");
    assert_string_equal(s->platform_version, "17.2");
    assert_string_equal(s->ownership, "employee");
    assert_int_equal(s->attribute_count, 2);
    assert_string_equal(s->attributes[0].name, "team");
    assert_string_equal(s->attributes[0].value, "red");
    assert_string_equal(s->attributes[1].name, "floor");
    assert_string_equal(s->attributes[1].value, "3");
    assert_int_equal(r.key, EW_KEY_CSR);
    assert_string_equal(r.csr, "-----BEGIN CERTIFICATE REQUEST-----\n"
                               "-----END CERTIFICATE REQUEST-----\n");
    assert_int_equal(r.label_count, 2);
    assert_string_equal(r.labels[0], "fleet");
    assert_string_equal(r.labels[1], "berlin");
    assert_int_equal(r.context_len, 4);
    assert_memory_equal(r.context, "\x00\x01\xfe\xff", 4);
    assert_int_equal(r.deadline_ms, 1700000000000);
    assert_true(r.bulk_hint);
}

static void
enrollment_with_worker_key(void **state)
{
    struct ew_request r = read_request(EW_LANE_BULK, "enrollment_worker_key");

    (void)state;
    assert_string_equal(r.request_id, "enroll-2");
    assert_string_equal(r.setting, "vpn");
    assert_int_equal(r.key, EW_KEY_WORKER);
    assert_true(r.key_type_given);
    assert_int_equal(r.key_type, EW_KEY_EC_P384);
    assert_int_equal(r.p12_format, EW_P12_APPLE);
    assert_int_equal(r.recipient_len, 6);
    assert_memory_equal(r.recipient,
                        "0\x82"
                        "cert",
                        6);
    assert_int_equal(r.label_count, 0);
    assert_int_equal(r.context_len, 0);
    assert_int_equal(r.deadline_ms, 0);
    assert_false(r.bulk_hint);
}

static void
enrollment_with_globalsign_key(void **state)
{
    struct ew_request r = read_request(EW_LANE_ENROLLMENT, "enrollment_globalsign_key");

    (void)state;
    assert_string_equal(r.request_id, "enroll-3");
    assert_string_equal(r.setting, "mail");
    assert_int_equal(r.key, EW_KEY_GLOBALSIGN);
    assert_int_equal(r.p12_format, EW_P12_APPLE);
    assert_int_equal(r.recipient_len, 6);
    assert_memory_equal(r.recipient,
                        "0\x82"
                        "cert",
                        6);
}

static void
renewal(void **state)
{
    struct ew_request r = read_request(EW_LANE_RENEWAL, "renewal");

    (void)state;
    assert_int_equal(r.op, EW_OP_RENEW);
    assert_string_equal(r.request_id, "renew-1");
    assert_string_equal(r.setting, "wifi");
    assert_int_equal(r.target.kind, EW_TARGET_SERIAL);
    assert_string_equal(r.target.issuer, "CN=Issuing CA,O=Example");
    assert_string_equal(r.target.serial, "1a2b3c");
    assert_string_equal(r.subject.email, "jm@example.com");
    assert_string_equal(r.subject.ownership, "corporate");
    assert_string_equal(r.csr, "csr");
    assert_int_equal(r.label_count, 1);
    assert_int_equal(r.context_len, 1);
    assert_int_equal(r.deadline_ms, 1700000000000);
    assert_true(r.bulk_hint);
}

static void
revocations(void **state)
{
    struct ew_request r = read_request(EW_LANE_REVOCATION, "revocation");

    (void)state;
    assert_int_equal(r.op, EW_OP_REVOKE);
    assert_string_equal(r.request_id, "revoke-1");
    assert_int_equal(r.target.kind, EW_TARGET_ORDER);
    assert_string_equal(r.target.setting, "wifi");
    assert_string_equal(r.target.order_id, "CEPK0001");
    assert_int_equal(r.reason, 4);
    assert_int_equal(r.removal, EW_REVOKE_REMOVE);
    assert_int_equal(r.label_count, 1);
    assert_int_equal(r.context_len, 1);
    r = read_request(EW_LANE_REVOCATION, "revocation_by_request");
    assert_int_equal(r.target.kind, EW_TARGET_REQUEST);
    assert_string_equal(r.target.request_id, "enroll-1");
    assert_int_equal(r.reason, 0);
    assert_int_equal(r.removal, EW_REVOKE_REVOKE);
}

/* Written to the golden bytes; and what was read from them writes the same again. */
static void
events(void **state)
{
    struct ew_event event = sample_event(), read;
    struct ew_blob from = golden("certificate_event");

    (void)state;
    assert_int_equal(ew_wire_event_encode(&event, &bytes, &err), EW_OK);
    is_golden("certificate_event");
    assert_int_equal(ew_wire_event_decode(from.data, from.len, arena, &read, &err), EW_OK);
    assert_true(read.has_certificate && read.duplicate && read.test);
    assert_int_equal(ew_wire_event_encode(&read, &bytes, &err), EW_OK);
    is_golden("certificate_event");
}

static void
account_events(void **state)
{
    struct ew_account_event event = sample_account();

    (void)state;
    assert_int_equal(ew_wire_account_encode(&event, &bytes, &err), EW_OK);
    is_golden("account_event");
}

static void
state_records(void **state)
{
    struct ew_state_record record = sample_state(), read;
    struct ew_blob from = golden("certificate_state");

    (void)state;
    assert_int_equal(ew_wire_state_encode(&record, &bytes, &err), EW_OK);
    is_golden("certificate_state");
    assert_int_equal(ew_wire_state_decode(from.data, from.len, arena, &read, &err), EW_OK);
    assert_int_equal(ew_wire_state_encode(&read, &bytes, &err), EW_OK);
    is_golden("certificate_state");
}

static void
inflight_records(void **state)
{
    struct ew_inflight_record record = sample_inflight(), read;
    struct ew_blob from = golden("inflight_record");

    (void)state;
    assert_int_equal(ew_wire_inflight_encode(&record, &bytes, &err), EW_OK);
    is_golden("inflight_record");
    assert_int_equal(ew_wire_inflight_decode(from.data, from.len, arena, &read, &err), EW_OK);
    assert_int_equal(ew_wire_inflight_encode(&read, &bytes, &err), EW_OK);
    is_golden("inflight_record");
}

static void
resume_requests(void **state)
{
    struct ew_resume resume = sample_resume(), read;
    struct ew_blob from = golden("resume_request");

    (void)state;
    assert_int_equal(ew_wire_resume_encode(&resume, &bytes, &err), EW_OK);
    is_golden("resume_request");
    assert_int_equal(ew_wire_resume_decode(from.data, from.len, arena, &read, &err), EW_OK);
    assert_int_equal(ew_wire_resume_encode(&read, &bytes, &err), EW_OK);
    is_golden("resume_request");

    resume = (struct ew_resume){
        .action = EW_RESUME_AMEND,
        .request_id = "enroll-1",
        .source = {.topic = "epki.revocation.requests", .partition = 1, .offset = 5},
        .reason = "revoked",
        .order_id = "CE0123456789",
        .status = EW_CERT_REVOKED};
    from = golden("resume_amend");
    assert_int_equal(ew_wire_resume_encode(&resume, &bytes, &err), EW_OK);
    is_golden("resume_amend");
    assert_int_equal(ew_wire_resume_decode(from.data, from.len, arena, &read, &err), EW_OK);
    assert_int_equal(read.action, EW_RESUME_AMEND);
    assert_string_equal(read.order_id, "CE0123456789");
    assert_int_equal(read.status, EW_CERT_REVOKED);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(enrollment_with_csr, begin, end),
        cmocka_unit_test_setup_teardown(enrollment_with_worker_key, begin, end),
        cmocka_unit_test_setup_teardown(enrollment_with_globalsign_key, begin, end),
        cmocka_unit_test_setup_teardown(renewal, begin, end),
        cmocka_unit_test_setup_teardown(revocations, begin, end),
        cmocka_unit_test_setup_teardown(events, begin, end),
        cmocka_unit_test_setup_teardown(account_events, begin, end),
        cmocka_unit_test_setup_teardown(state_records, begin, end),
        cmocka_unit_test_setup_teardown(inflight_records, begin, end),
        cmocka_unit_test_setup_teardown(resume_requests, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
