/*
 * What Redis keeps beside an answer, by kind of answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "job.h"

#define NOW INT64_C(1700000000000)
#define DAY INT64_C(86400000)

static struct ew_state_record
answer(enum ew_operation op, bool has_certificate)
{
    struct ew_state_record state = {
        .request_id = "r-1", .op = op, .keep_until_ms = NOW + DAY, .key_count = 2};

    memset(state.keys[0], 0xa0, 32);
    memset(state.keys[1], 0xa1, 32);
    state.first.has_certificate = has_certificate;
    state.first.certificate.order_id = "CEPK0001";
    state.first.certificate.issuer = "CN=Issuing CA";
    state.first.certificate.serial = "1a2b3c";
    return state;
}

static void
test_a_certificate_is_found_by_order_and_serial(void **ctx)
{
    static const enum ew_operation ops[] = {EW_OP_ENROLL, EW_OP_RENEW};

    (void)ctx;
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        struct ew_state_record state = answer(ops[i], true);
        struct ew_done_index index = ew_answer_index(&state, NOW);

        assert_string_equal(index.order_id, "CEPK0001");
        assert_string_equal(index.issuer, "CN=Issuing CA");
        assert_string_equal(index.serial, "1a2b3c");
        assert_int_equal(index.key_count, 2);
        assert_memory_equal(index.keys[1], state.keys[1], 32);
        assert_int_equal(index.expire_ms, DAY);
    }
}

/* A rejection may name the order that was cancelled: nobody is to revoke by it. */
static void
test_a_rejection_keeps_its_keys_alone(void **ctx)
{
    struct ew_state_record state = answer(EW_OP_ENROLL, false);
    struct ew_done_index index = ew_answer_index(&state, NOW);

    (void)ctx;
    assert_string_equal(index.order_id, "");
    assert_string_equal(index.issuer, "");
    assert_string_equal(index.serial, "");
    assert_int_equal(index.key_count, 2);
    assert_memory_equal(index.keys[0], state.keys[0], 32);
}

/* It names its target's certificate: indexed, it would stand in the way of the target's own. */
static void
test_a_revocation_is_no_way_to_a_certificate(void **ctx)
{
    struct ew_state_record state = answer(EW_OP_REVOKE, true);
    struct ew_done_index index = ew_answer_index(&state, NOW);

    (void)ctx;
    assert_string_equal(index.order_id, "");
    assert_string_equal(index.issuer, "");
    assert_string_equal(index.serial, "");
}

static void
test_past_its_horizon(void **ctx)
{
    struct ew_state_record state = answer(EW_OP_ENROLL, true);

    (void)ctx;
    assert_int_equal(ew_answer_index(&state, state.keep_until_ms).expire_ms, 0);
    assert_int_equal(ew_answer_index(&state, state.keep_until_ms + 5).expire_ms, -5);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_certificate_is_found_by_order_and_serial),
        cmocka_unit_test(test_a_rejection_keeps_its_keys_alone),
        cmocka_unit_test(test_a_revocation_is_no_way_to_a_certificate),
        cmocka_unit_test(test_past_its_horizon),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
