/*
 * What an order at GlobalSign is, judged alone.
 */
#include "world.h"

#include "surplus.h"

static struct ew_claimant
claimant(enum ew_record_state state, const char *order_id)
{
    struct ew_claimant of = {.state = state};

    (void)snprintf(of.order_id, sizeof(of.order_id), "%s", order_id);
    return of;
}

static void
test_judgement(void **ctx)
{
    struct ew_claimant none = claimant(EW_REC_ABSENT, ""), ours = claimant(EW_REC_DONE, "CE1"),
                       other = claimant(EW_REC_DONE, "CE2"), bare = claimant(EW_REC_DONE, "");
    const struct {
        const struct ew_claimant *by_order, *by_key;
        enum ew_whose whose;
    } rows[] = {
        {NULL, NULL, EW_WHOSE_FOREIGN},     {NULL, &none, EW_WHOSE_FOREIGN},
        {&none, NULL, EW_WHOSE_FOREIGN},    {&none, &other, EW_WHOSE_FOREIGN},
        {&other, NULL, EW_WHOSE_FOREIGN},   {&other, &none, EW_WHOSE_FOREIGN},
        {&ours, NULL, EW_WHOSE_ANSWERED},   {NULL, &ours, EW_WHOSE_ANSWERED},
        {&ours, &other, EW_WHOSE_ANSWERED}, {&other, &ours, EW_WHOSE_ANSWERED},
        {NULL, &other, EW_WHOSE_SURPLUS},   {&other, &other, EW_WHOSE_SURPLUS},
        {NULL, &bare, EW_WHOSE_SURPLUS},    {&bare, &bare, EW_WHOSE_SURPLUS},
    };
    const struct ew_sight order = {.order_id = "CE1", .status = EW_CA_ST_ISSUED, .has_key = true};

    (void)ctx;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(ew_surplus_judge(&order, rows[i].by_order, rows[i].by_key), rows[i].whose);
}

/* What was delivered is not ended because GlobalSign told it under another id. */
static void
test_a_certificate_that_was_delivered_is_no_surplus(void **ctx)
{
    struct ew_claimant other = claimant(EW_REC_DONE, "CE2");
    struct ew_sight order = {.order_id = "CE1", .status = EW_CA_ST_ISSUED, .has_key = true};

    (void)ctx;
    assert_int_equal(ew_surplus_judge(&order, NULL, &other), EW_WHOSE_SURPLUS);
    memcpy(order.serial, "1a", 3);
    memcpy(other.serial, "1b", 3);
    assert_int_equal(ew_surplus_judge(&order, NULL, &other), EW_WHOSE_SURPLUS);
    memcpy(other.serial, "1a", 3);
    assert_int_equal(ew_surplus_judge(&order, NULL, &other), EW_WHOSE_ANSWERED);
    other.state = EW_REC_ABSENT;
    assert_int_equal(ew_surplus_judge(&order, NULL, &other), EW_WHOSE_FOREIGN);
}

/* In whatever state: it may take the order, and nobody else decides. */
static void
test_what_is_not_answered_keeps_its_orders(void **ctx)
{
    const struct ew_sight order = {.order_id = "CE1", .status = EW_CA_ST_ISSUED, .has_key = true};
    struct ew_claimant other = claimant(EW_REC_DONE, "CE2");

    (void)ctx;
    for (int s = EW_REC_CLAIMED; s < EW_REC_DONE; s++) {
        struct ew_claimant open = claimant((enum ew_record_state)s, "");

        assert_int_equal(ew_surplus_judge(&order, NULL, &open), EW_WHOSE_IN_FLIGHT);
        assert_int_equal(ew_surplus_judge(&order, &open, &other), EW_WHOSE_IN_FLIGHT);
        assert_int_equal(ew_surplus_judge(&order, &other, &open), EW_WHOSE_IN_FLIGHT);
    }
}

static void
test_what_has_ended_or_shows_no_key(void **ctx)
{
    static const int gone[] = {EW_CA_ST_CANCELLED, EW_CA_ST_CANCELLED_ISSUED, EW_CA_ST_REVOKING,
                               EW_CA_ST_REVOKED};
    struct ew_claimant other = claimant(EW_REC_DONE, "CE2");
    struct ew_sight order = {.order_id = "CE1", .has_key = true};

    (void)ctx;
    for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++) {
        order.status = gone[i];
        assert_int_equal(ew_surplus_judge(&order, NULL, &other), EW_WHOSE_ENDED);
    }
    order.status = EW_CA_ST_WAITING;
    order.has_key = false;
    assert_int_equal(ew_surplus_judge(&order, NULL, &other), EW_WHOSE_NAMELESS);
}

static void
test_what_does_not_decode_is_known_to_nobody(void **ctx)
{
    struct ew_claimant of = claimant(EW_REC_DONE, "CE1");
    struct ew_blob blob = {(const uint8_t *)"\xff", 1};

    (void)ctx;
    ew_surplus_answered(&blob, &of);
    assert_int_equal(of.state, EW_REC_ABSENT);
    assert_string_equal(of.order_id, "");
}

/* People ordered with it, however often it was tried. Where what was tried may come late, the
 * answer says something else; and any other refusal may have been booked. */
static void
test_a_key_that_was_used_before_is_anothers(void **ctx)
{
    const struct {
        int attempts;
        enum ew_failure_class cls;
        const char *problem;
        enum ew_record_state state;
    } rows[] = {
        {1, EW_FAIL_REFUSED, "key-used", EW_REC_ABSENT},
        {2, EW_FAIL_REFUSED, "key-used", EW_REC_ABSENT},
        {2, EW_FAIL_REFUSED, "key-used-unseen", EW_REC_DONE},
        {1, EW_FAIL_REFUSED, "ca-field", EW_REC_DONE},
        {1, EW_FAIL_CONFLICT, "key-used", EW_REC_DONE},
    };

    (void)ctx;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ew_state_record record = {.request_id = "r-1", .op = EW_OP_ENROLL};
        struct ew_claimant of = claimant(EW_REC_DONE, "CE1");
        struct ew_buf value;
        struct ew_err err;

        record.first = (struct ew_event){.result = EW_RES_REJECTED, .op = EW_OP_ENROLL};
        record.first.attempts = rows[i].attempts;
        record.first.failure = (struct ew_failure){.cls = rows[i].cls, .problem = rows[i].problem};
        ew_buf_init(&value, 65536);
        assert_int_equal(ew_wire_state_encode(&record, &value, &err), EW_OK);
        ew_surplus_answered(&(struct ew_blob){value.data, value.len}, &of);
        assert_int_equal(of.state, rows[i].state);
        assert_string_equal(of.order_id, "");
        ew_buf_deinit(&value);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judgement),
        cmocka_unit_test(test_a_certificate_that_was_delivered_is_no_surplus),
        cmocka_unit_test(test_what_is_not_answered_keeps_its_orders),
        cmocka_unit_test(test_a_key_that_was_used_before_is_anothers),
        cmocka_unit_test(test_what_has_ended_or_shows_no_key),
        cmocka_unit_test(test_what_does_not_decode_is_known_to_nobody),
    };

    return cmocka_run_group_tests_name("flow: judging a surplus", tests, keys_begin, keys_end);
}
