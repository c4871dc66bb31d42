/*
 * Proof of reading requests: every field of the three kinds arrives, whoever makes the key, and
 * with a schema registry's frame or without.
 */
#include "requests.h"

static void
enrollment_with_csr(void **state)
{
    (void)state;
    p.subject.user_id = (char[]){"u-1"};
    p.subject.first_name = (char[]){"Ada"};
    p.subject.last_name = (char[]){"Lovelace"};
    p.subject.display_name = (char[]){"Ada L."};
    p.subject.email = (char[]){"ada@example.com"};
    p.subject.upn = (char[]){"ada@corp.example.com"};
    p.subject.device_id = (char[]){"d-1"};
    p.subject.device_serial = (char[]){"C02"};
    p.subject.platform = (char[]){"ios"};
    p.subject.platform_version = (char[]){"17.2"};
    p.subject.ownership = EPKI__V1__OWNERSHIP__OWNERSHIP_EMPLOYEE;
    p.subject.n_attributes = 2;
    p.enroll.n_labels = 2;
    p.enroll.context = (ProtobufCBinaryData){.len = 3, .data = (uint8_t[]){0, 255, 1}};
    p.enroll.deadline_ms = 1700000000123;
    p.enroll.lane = EPKI__V1__LANE_HINT__LANE_HINT_BULK;
    good(EW_LANE_ENROLLMENT);
    assert_int_equal(request.op, EW_OP_ENROLL);
    assert_string_equal(request.request_id, "a");
    assert_string_equal(request.setting, "aaaa");
    assert_string_equal(request.subject.user_id, "u-1");
    assert_string_equal(request.subject.first_name, "Ada");
    assert_string_equal(request.subject.last_name, "Lovelace");
    assert_string_equal(request.subject.display_name, "Ada L.");
    assert_string_equal(request.subject.email, "ada@example.com");
    assert_string_equal(request.subject.upn, "ada@corp.example.com");
    assert_string_equal(request.subject.device_id, "d-1");
    assert_string_equal(request.subject.device_serial, "C02");
    assert_string_equal(request.subject.platform, "ios");
    assert_string_equal(request.subject.platform_version, "17.2");
    assert_string_equal(request.subject.ownership, "employee");
    assert_int_equal(request.subject.attribute_count, 2);
    assert_string_equal(request.subject.attributes[1].name, "a1");
    assert_string_equal(request.subject.attributes[1].value, "v");
    assert_int_equal(request.key, EW_KEY_CSR);
    assert_string_equal(request.csr, "aaa");
    assert_int_equal(request.label_count, 2);
    assert_string_equal(request.labels[1], "l");
    assert_int_equal(request.context_len, 3);
    assert_memory_equal(request.context, "\0\xff\1", 3);
    assert_int_equal(request.deadline_ms, 1700000000123);
    assert_true(request.bulk_hint);
    assert_int_equal(request.target.kind, EW_TARGET_NONE);
}

/* To the recipient that was given, and as nobody asked for otherwise. */
static void
must_be_sealed(void)
{
    assert_int_equal(request.p12_format, EW_P12_MODERN);
    assert_int_equal(request.recipient_len, 4);
    assert_memory_equal(request.recipient, "\0\0\0\0", 4);
    assert_null(request.csr);
}

static void
worker_made_keys(void **state)
{
    static const struct {
        Epki__V1__KeyType type;
        enum ew_key_type is;
    } types[] = {
        {EPKI__V1__KEY_TYPE__KEY_TYPE_UNSPECIFIED, EW_KEY_RSA_2048},
        {EPKI__V1__KEY_TYPE__KEY_TYPE_RSA_2048, EW_KEY_RSA_2048},
        {EPKI__V1__KEY_TYPE__KEY_TYPE_RSA_3072, EW_KEY_RSA_3072},
        {EPKI__V1__KEY_TYPE__KEY_TYPE_EC_P256, EW_KEY_EC_P256},
        {EPKI__V1__KEY_TYPE__KEY_TYPE_EC_P384, EW_KEY_EC_P384},
    };

    (void)state;
    ask_for_worker_key();
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        p.worker_key.type = types[i].type;
        good(EW_LANE_BULK);
        assert_int_equal(request.key, EW_KEY_WORKER);
        assert_int_equal(request.key_type, types[i].is);
        assert_int_equal(request.key_type_given, i > 0);
        must_be_sealed();
    }
    p.worker_key.format = EPKI__V1__PKCS12_FORMAT__PKCS12_FORMAT_APPLE;
    good(EW_LANE_RENEWAL);
    assert_int_equal(request.p12_format, EW_P12_APPLE);
}

static void
keys_made_by_globalsign(void **state)
{
    (void)state;
    ask_for_globalsign_key();
    good(EW_LANE_BULK);
    assert_int_equal(request.key, EW_KEY_GLOBALSIGN);
    assert_false(request.key_type_given);
    must_be_sealed();
    p.globalsign_key.format = EPKI__V1__PKCS12_FORMAT__PKCS12_FORMAT_APPLE;
    good(EW_LANE_RENEWAL);
    assert_int_equal(request.p12_format, EW_P12_APPLE);
}

static void
renewal_names_its_target(void **state)
{
    (void)state;
    p.target.request_id = (char[]){"e-1"};
    good(EW_LANE_RENEWAL);
    assert_int_equal(request.op, EW_OP_RENEW);
    assert_string_equal(request.setting, "aaaa");
    assert_int_equal(request.target.kind, EW_TARGET_REQUEST);
    assert_string_equal(request.target.request_id, "e-1");
    assert_string_equal(request.target.serial, "");
    p.renew.subject = NULL; /* then the target's names are used */
    good(EW_LANE_RENEWAL);
    assert_string_equal(request.subject.email, "");
    assert_string_equal(request.subject.ownership, "");
    assert_int_equal(request.subject.attribute_count, 0);
}

static void
revocation_with_every_target(void **state)
{
    (void)state;
    p.revoke.reason = EPKI__V1__REVOCATION_REASON__REVOCATION_REASON_SUPERSEDED;
    p.revoke.removal = EPKI__V1__REMOVAL__REMOVAL_REMOVE;
    p.revoke.n_labels = 1;
    good(EW_LANE_REVOCATION);
    assert_int_equal(request.op, EW_OP_REVOKE);
    assert_int_equal(request.reason, 4);
    assert_int_equal(request.removal, EW_REVOKE_REMOVE);
    assert_int_equal(request.label_count, 1);
    assert_null(request.setting);
    assert_int_equal(request.target.kind, EW_TARGET_REQUEST);

    p.target.target_case = EPKI__V1__TARGET__TARGET_SERIAL;
    p.target.serial = &p.serial;
    p.serial.issuer = (char[]){"CN=CA"};
    p.serial.serial = (char[]){"000AbCdEf0"};
    p.revoke.removal = EPKI__V1__REMOVAL__REMOVAL_UNSPECIFIED;
    good(EW_LANE_REVOCATION);
    assert_int_equal(request.target.kind, EW_TARGET_SERIAL);
    assert_string_equal(request.target.issuer, "CN=CA");
    assert_string_equal(request.target.serial, "abcdef0");
    assert_int_equal(request.removal, EW_REVOKE_REVOKE);
    p.serial.serial = (char[]){"00"};
    good(EW_LANE_REVOCATION);
    assert_string_equal(request.target.serial, "0");

    p.target.target_case = EPKI__V1__TARGET__TARGET_ORDER;
    p.target.order = &p.order;
    p.order.setting = (char[]){"wifi"};
    p.order.order_id = (char[]){"CEPK1"};
    good(EW_LANE_REVOCATION);
    assert_int_equal(request.target.kind, EW_TARGET_ORDER);
    assert_string_equal(request.target.setting, "wifi");
    assert_string_equal(request.target.order_id, "CEPK1");
}

static void
framed_and_raw_are_the_same(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 3; kind++) {
        struct ew_buf raw;

        pack(lane_of[kind]);
        ew_buf_init(&raw, BYTES_MAX);
        ew_buf_put(&raw, bytes.data, bytes.len);
        ew_buf_clear(&bytes);
        ew_buf_put(&bytes, "\0\0\0\1\7\0", 6);
        ew_buf_put(&bytes, raw.data, raw.len);
        ew_buf_deinit(&raw);
        assert_int_equal(read_bytes(lane_of[kind]), EW_OK);
        assert_string_equal(request.request_id, "a");
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(enrollment_with_csr, begin_request, end),
        cmocka_unit_test_setup_teardown(worker_made_keys, begin_request, end),
        cmocka_unit_test_setup_teardown(keys_made_by_globalsign, begin_request, end),
        cmocka_unit_test_setup_teardown(renewal_names_its_target, begin_request, end),
        cmocka_unit_test_setup_teardown(revocation_with_every_target, begin_request, end),
        cmocka_unit_test_setup_teardown(framed_and_raw_are_the_same, begin_request, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
