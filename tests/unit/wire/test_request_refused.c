/*
 * Proof of refusing requests: every rule, the field and the problem that are said, and who gets an
 * answer or a dead letter.
 */
#include "requests.h"

static void
key_choices(void **state)
{
    (void)state;
    p.key.choice_case = EPKI__V1__KEY_CHOICE__CHOICE__NOT_SET;
    bad(EW_LANE_ENROLLMENT, "key", "missing");
    p.enroll.key = NULL;
    bad(EW_LANE_ENROLLMENT, "key", "missing");
    ask_for_worker_key();
    p.worker_key.type = (Epki__V1__KeyType)5;
    bad(EW_LANE_RENEWAL, "key.worker_key.type", "unknown-value");
    p.worker_key.type = (Epki__V1__KeyType)-1;
    bad(EW_LANE_RENEWAL, "key.worker_key.type", "unknown-value");
    p.worker_key.type = EPKI__V1__KEY_TYPE__KEY_TYPE_EC_P256;
    p.worker_key.format = (Epki__V1__Pkcs12Format)3;
    bad(EW_LANE_RENEWAL, "key.worker_key.format", "unknown-value");
    p.worker_key.format = (Epki__V1__Pkcs12Format)-1;
    bad(EW_LANE_RENEWAL, "key.worker_key.format", "unknown-value");
    ask_for_globalsign_key();
    p.globalsign_key.format = (Epki__V1__Pkcs12Format)3;
    bad(EW_LANE_RENEWAL, "key.globalsign_key.format", "unknown-value");
}

static void
subject_rules(void **state)
{
    (void)state;
    p.subject.ownership = (Epki__V1__Ownership)3;
    bad(EW_LANE_ENROLLMENT, "subject.ownership", "unknown-value");
    p.subject.ownership = EPKI__V1__OWNERSHIP__OWNERSHIP_CORPORATE;
    p.subject.n_attributes = 2;
    p.attribute[1].name = p.attribute[0].name;
    bad(EW_LANE_ENROLLMENT, "subject.attributes", "attribute-twice");
    p.attribute[1].name = (char[]){"A0"}; /* names know upper and lower case */
    good(EW_LANE_ENROLLMENT);
    assert_string_equal(request.subject.ownership, "corporate");
    p.enroll.subject = NULL;
    good(EW_LANE_ENROLLMENT);
    assert_string_equal(request.subject.user_id, "");
}

static void
targets_and_reasons(void **state)
{
    static const char *const serials[] = {"0x1f", "1f ", "g", "-1"};

    (void)state;
    for (int reason = -1; reason <= 12; reason++) {
        p.revoke.reason = (Epki__V1__RevocationReason)reason;
        if (reason >= 0 && reason <= 10 && (reason < 6 || reason > 8))
            good(EW_LANE_REVOCATION);
        else
            bad(EW_LANE_REVOCATION, "reason", "reason");
    }
    p.revoke.reason = EPKI__V1__REVOCATION_REASON__REVOCATION_REASON_UNSPECIFIED;
    p.revoke.removal = (Epki__V1__Removal)3;
    bad(EW_LANE_REVOCATION, "removal", "unknown-value");
    p.revoke.removal = EPKI__V1__REMOVAL__REMOVAL_REVOKE;
    p.target.request_id = (char[]){"a b"};
    bad(EW_LANE_REVOCATION, "target.request_id", "request-id");
    p.target.target_case = EPKI__V1__TARGET__TARGET_SERIAL;
    p.target.serial = &p.serial;
    p.serial.issuer = letters(1);
    for (size_t i = 0; i < sizeof(serials) / sizeof(serials[0]); i++) {
        p.serial.serial = (char *)(uintptr_t)serials[i];
        bad(EW_LANE_REVOCATION, "target.serial.serial", "serial");
    }
    p.target.target_case = EPKI__V1__TARGET__TARGET__NOT_SET;
    bad(EW_LANE_REVOCATION, "target", "missing");
    bad(EW_LANE_RENEWAL, "target", "missing");
    p.renew.target = NULL;
    bad(EW_LANE_RENEWAL, "target", "missing");
}

static void
deadlines(void **state)
{
    (void)state;
    p.enroll.deadline_ms = -1;
    bad(EW_LANE_ENROLLMENT, "deadline_ms", "deadline");
    p.enroll.deadline_ms = INT64_MAX;
    good(EW_LANE_ENROLLMENT);
    assert_int_equal(request.deadline_ms, INT64_MAX);
}

/* The first problem is the one that is said. */
static void
several_problems(void **state)
{
    (void)state;
    p.subject.email = letters(EW_MAX_EMAIL + 1);
    p.key.csr = letters(EW_MAX_CSR + 1);
    p.enroll.context.len = EW_MAX_CONTEXT + 1;
    p.enroll.context.data = (uint8_t *)letters(EW_MAX_CONTEXT + 1);
    p.enroll.n_labels = 1;
    bad(EW_LANE_ENROLLMENT, "subject.email", "too-long");
    assert_int_equal(request.label_count, 1); /* what could be read is carried through */
    assert_int_equal(request.context_len, 0);
}

/* --- answer or dead letter --- */

static void
decodable_is_answered(void **state)
{
    (void)state;
    pack(EW_LANE_ENROLLMENT);
    put_string(&bytes, 2, "again"); /* any parser takes the last of two */
    bad_bytes(EW_LANE_ENROLLMENT, "setting", "field-twice");
    assert_string_equal(request.setting, ""); /* of such a message nothing but the id is used */
    assert_int_equal(request.key, EW_KEY_NONE);

    pack(EW_LANE_RENEWAL);
    for (int i = 0; i < 65; i++)
        put_number(&bytes, 100, 1);
    bad_bytes(EW_LANE_RENEWAL, "", "too-many");

    pack(EW_LANE_REVOCATION);
    put_bytes(&bytes, 5, "a\0b", 3);
    bad_bytes(EW_LANE_REVOCATION, "labels", "text-nul");

    ew_buf_clear(&bytes);
    put_string(&bytes, 1, "x");
    put_string(&bytes, 1, "a");
    bad_bytes(EW_LANE_ENROLLMENT, "request_id", "field-twice");

    ew_buf_clear(&bytes);
    put_bytes(&bytes, 4, "\x0a\x01x\x12\x00", 5);
    put_string(&bytes, 1, "a");
    bad_bytes(EW_LANE_ENROLLMENT, "key.worker_key", "oneof-twice");
}

static void
dead(enum ew_lane lane, const char *problem)
{
    assert_int_equal(read_bytes(lane), EW_REJECT);
    assert_string_equal(err.problem, problem);
    assert_null(request.request_id);
}

static void
undecodable_is_a_dead_letter(void **state)
{
    (void)state;
    ew_buf_puts(&bytes, "{\"request_id\": \"a\"}");
    dead(EW_LANE_ENROLLMENT, "malformed");
    pack(EW_LANE_ENROLLMENT);
    put_string(&bytes, 5, "\xff");
    dead(EW_LANE_ENROLLMENT, "text-utf8");
    pack(EW_LANE_ENROLLMENT);
    bytes.len--;
    dead(EW_LANE_ENROLLMENT, "malformed");
    ew_buf_clear(&bytes);
    dead(EW_LANE_ENROLLMENT, "request-id"); /* no bytes: a message whose every field is absent */
    ew_buf_put(&bytes, "\0\0\0\0\1\0", 6);
    dead(EW_LANE_ENROLLMENT, "request-id");
    ew_buf_clear(&bytes);
    ew_buf_put(&bytes, "\0\0\0\0\1\2\2\x0a\1a", 10); /* a frame that names another message */
    dead(EW_LANE_ENROLLMENT, "frame-message");
    /* Too many of something, and no id to answer by. */
    ew_buf_clear(&bytes);
    for (int i = 0; i < 65; i++)
        put_string(&bytes, 5, "l");
    dead(EW_LANE_ENROLLMENT, "too-many");
    put_string(&bytes, 1, "not an id");
    dead(EW_LANE_ENROLLMENT, "too-many");
    put_bytes(&bytes, 1, "a\0", 2);
    dead(EW_LANE_ENROLLMENT, "too-many");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(key_choices, begin_request, end),
        cmocka_unit_test_setup_teardown(subject_rules, begin_request, end),
        cmocka_unit_test_setup_teardown(targets_and_reasons, begin_request, end),
        cmocka_unit_test_setup_teardown(deadlines, begin_request, end),
        cmocka_unit_test_setup_teardown(several_problems, begin_request, end),
        cmocka_unit_test_setup_teardown(decodable_is_answered, begin_request, end),
        cmocka_unit_test_setup_teardown(undecodable_is_a_dead_letter, begin_request, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
