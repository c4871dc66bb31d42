/*
 * GlobalSign says that it knows the key of an order, and shows none: whose is what carries it? If
 * nothing of the request can have got there before, it is people's, and no sweep may end it.
 */
#include "reconcile.h"

/* The last order is sent by now. */
static void
key_was_used(const char *problem)
{
    for (int i = 0; i < 100 && asked(ORDER) == NULL; i++)
        pass(100);
    replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_KEY_USED, .code = -6007});
    shows_for(LIST, QUIET + 2500, NULL, 0);
    assert_string_equal(answered(EW_RES_REJECTED)->failure.problem, problem);
}

static void
test_key_used_and_none_is_a_refusal(void **state)
{
    (void)state;
    enrolls("r-1", "", false);
    key_was_used("key-used");
    walked(UNTIL_ORDER " reconcile publish answered");
}

/* None of them got there: who used the key is somebody else. */
static void
test_key_used_after_orders_that_surely_were_none(void **state)
{
    static const enum ew_ca_class none[] = {EW_CA_NOT_SENT, EW_CA_LICENCE, EW_CA_ACCOUNT};

    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        enrolls("r-1", "", false);
        replies(ORDER, (struct ew_ca_reply){.cls = none[i], .problem = "none"});
        w.token = EW_TOKEN_GRANTED;
        key_was_used("key-used");
        assert_int_equal(answered(EW_RES_REJECTED)->attempts, 2);
        (void)world_end(state);
        (void)world_begin(state);
    }
}

/* The order under way; for so long that the request comes back from the room. */
static void
is_out_of_licences(void)
{
    int resumes = w.resumes_published;
    int hold_max_ms = w.config.time.hold_max_ms;

    w.config.time.hold_max_ms = 1000;
    replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_LICENCE, .problem = "ca-licence"});
    for (int i = 0; i < 100 && w.resumes_published == resumes; i++)
        pass(100);
    assert_int_equal(w.resumes_published, resumes + 1);
    w.config.time.hold_max_ms = hold_max_ms;
}

static void
test_key_used_after_a_long_wait_for_licences(void **state)
{
    (void)state;
    enrolls("r-1", "", false);
    is_out_of_licences();
    key_was_used("key-used");
}

/* What vanished may have used it, and may yet appear. */
static void
test_key_used_after_an_order_that_vanished(void **state)
{
    (void)state;
    goes_unknown();
    w.vanished = 1;
    shows_for(LIST, QUIET + 2500, NULL, 0);
    key_was_used("key-used-unseen");
}

/* Nobody else has it. */
static void
test_a_key_of_ours_that_was_used(void **state)
{
    (void)state;
    enrolls_for_key("r-1", false);
    key_was_used("key-used-unseen");
}

/* People forgave what vanished, and it may appear all the same, also when the request has waited
 * since. */
static void
test_key_used_after_people_tried_again(void **state)
{
    struct ew_resume again = {.action = EW_RESUME_RETRY,
                              .request_id = "r-1",
                              .reason = "",
                              .source = {.topic = "epki.enrollment.requests"}};

    (void)state;
    goes_unknown();
    w.vanished = 5;
    shows_for(LIST, QUIET + 2500, NULL, 0);
    assert_string_equal(w.parked, "orders-fail-again-and-again");
    ew_room_publish(w.flow, &again);
    shows_for(LIST, QUIET + 2500, NULL, 0);
    assert_int_equal(w.vanished, 0);
    is_out_of_licences();
    key_was_used("key-used-unseen");
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
    const struct CMUnitTest tests[] = {
        ROW(test_key_used_and_none_is_a_refusal),
        ROW(test_key_used_after_orders_that_surely_were_none),
        ROW(test_key_used_after_a_long_wait_for_licences),
        ROW(test_key_used_after_an_order_that_vanished),
        ROW(test_a_key_of_ours_that_was_used),
        ROW(test_key_used_after_people_tried_again),
    };

    return cmocka_run_group_tests_name("flow: key used", tests, keys_begin, keys_end);
}
