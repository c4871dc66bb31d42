/*
 * By whose clock: deadlines, recipients and certificates are judged by GlobalSign's, an hour before
 * the worker's own here, and by it alone.
 */
#include "world.h"

enum { HALF_AN_HOUR_S = 1800 };

static void
is_refused(const char *problem)
{
    walked("lookup claim publish answered");
    assert_string_equal(answered(EW_RES_REJECTED)->failure.problem, problem);
    assert_null(asked(ORDER));
}

static void
test_a_deadline_that_has_passed_there(void **state)
{
    (void)state;
    w.deadline_ms = world_wall(NULL) + HALF_AN_HOUR_S * INT64_C(1000);
    enrolls("r-1", "", false);
    is_refused("deadline-passed");
}

static void
test_a_deadline_that_passes_there(void **state)
{
    (void)state;
    w.deadline_ms = ca_now() + 1000;
    enrolls("r-1", "", false);
    walked(UNTIL_ORDER);
    pass(2000);
    replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_NOT_SENT});
    pass(w.config.time.retry_max_ms);
    assert_string_equal(answered(EW_RES_REJECTED)->failure.problem, "deadline-passed");
    assert_null(asked(ORDER));
}

static void
test_a_recipient_that_is_valid_there(void **state)
{
    (void)state;
    w.recipient_from_s = NOW_S + HALF_AN_HOUR_S;
    enrolls_for_key("r-1", false);
    assert_non_null(asked(ORDER));
}

static void
test_a_recipient_that_is_not_valid_any_more_there(void **state)
{
    (void)state;
    w.recipient_to_s = NOW_S + HALF_AN_HOUR_S;
    enrolls_for_key("r-1", false);
    assert_null(asked(ORDER));
    assert_string_equal(answered(EW_RES_REJECTED)->failure.problem, "recipient");
}

/* --- a worker that has just started has not heard it: nothing is judged by its own --- */

static void
tells_the_time(void)
{
    replies(PROFILES, (struct ew_ca_reply){.cls = EW_CA_OK});
}

static void
test_a_deadline_is_judged_once_it_is_heard(void **state)
{
    (void)state;
    unheard();
    w.deadline_ms = world_wall(NULL) + HALF_AN_HOUR_S * INT64_C(1000);
    enrolls("r-1", "", false);
    walked("lookup claim queue");
    tells_the_time();
    walked("publish answered");
    assert_string_equal(answered(EW_RES_REJECTED)->failure.problem, "deadline-passed");
    assert_null(asked(ORDER));
}

static void
test_a_recipient_is_judged_once_it_is_heard(void **state)
{
    (void)state;
    unheard();
    w.recipient_to_s = NOW_S + HALF_AN_HOUR_S;
    enrolls_for_key("r-1", false);
    assert_int_equal(w.event_count, 0);
    tells_the_time();
    assert_string_equal(answered(EW_RES_REJECTED)->failure.problem, "recipient");
    assert_null(asked(ORDER));
}

/* By our own clock it is not valid yet. */
static void
test_a_recipient_is_not_refused_before_it_is_heard(void **state)
{
    (void)state;
    unheard();
    w.recipient_from_s = NOW_S + HALF_AN_HOUR_S;
    enrolls_for_key("r-1", false);
    tells_the_time();
    assert_non_null(asked(ORDER));
}

/* r-1's, whose answer is to be given again; by a worker that has just started. */
static void
has_a_certificate_of_before(void)
{
    enrolls("r-1", "", false);
    replies(ORDER,
            (struct ew_ca_reply){.order_id = "CE1", .certificate = certificate(NULL, NULL, NULL)});
    (void)answered(EW_RES_ISSUED);
    adopts_again(&w.enrollments);
    unheard();
    w.outcome = w.saved;
    w.claim_as = EW_CLAIM_OUTCOME;
}

/* Found in Redis, without the time at which it came. */
static void
test_a_certificate_of_before_is_judged_once_it_is_heard(void **state)
{
    (void)state;
    has_a_certificate_of_before();
    w.event_count = 0;
    enrolls("r-1", "", true);
    pass(1000);
    assert_int_equal(w.event_count, 0);
    tells_the_time();
    pass(w.config.time.retry_max_ms);
    (void)answered(EW_RES_ISSUED);
}

/* And not in its partition, where the account is paused. */
static void
test_a_certificate_of_before_is_in_nobodys_way(void **state)
{
    (void)state;
    has_a_certificate_of_before();
    w.ca_silent = true;
    w.token = EW_TOKEN_PAUSED;
    enrolls("r-1", "", true);
    pass(w.config.time.hold_max_ms + 2000);
    assert_string_equal(inflight(EW_INFLIGHT_WAITING).reason, "held");
}

/* However many wait for it, and until it is told. */
static void
test_it_is_asked_for_by_one_at_a_time(void **state)
{
    (void)state;
    unheard();
    for (int i = 0; i < 5; i++) {
        char id[8];

        (void)snprintf(id, sizeof(id), "r-%d", i);
        enrolls(id, "", false);
    }
    w.ca_silent = true;
    replies(PROFILES, (struct ew_ca_reply){.cls = EW_CA_NOT_SENT, .problem = "ca-connect"});
    assert_int_equal(w.refunds, 1);
    assert_null(asked(PROFILES));
    assert_null(asked(ORDER));
    w.ca_silent = false;
    pass(3000);
    tells_the_time();
    assert_null(asked(PROFILES));
    for (int i = 0; i < 5; i++)
        replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_REJECTED});
}

/* Then ours has to do. */
static void
test_one_without_a_clock_is_asked_once(void **state)
{
    (void)state;
    unheard();
    w.ca_silent = true;
    enrolls("r-1", "", false);
    tells_the_time();
    walked(UNTIL_ORDER);
    assert_int_equal(inflight(EW_INFLIGHT_ORDERING).ca_date_ms, 0);
    replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_REJECTED});
    enrolls("r-2", "", false);
    assert_null(asked(PROFILES));
}

/* One that refuses the question has spoken; one that does not get to it has not. */
static void
test_one_that_refuses_the_question_has_no_clock_either(void **state)
{
    (void)state;
    unheard();
    w.ca_silent = true;
    enrolls("r-1", "", false);
    replies(PROFILES, (struct ew_ca_reply){.cls = EW_CA_TRY_LATER, .problem = "ca-busy"});
    assert_null(asked(ORDER));
    pass(3000);
    replies(PROFILES, (struct ew_ca_reply){.cls = EW_CA_REJECTED, .problem = "refused"});
    assert_non_null(asked(ORDER));
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
    const struct CMUnitTest tests[] = {
        ROW(test_a_deadline_that_has_passed_there),
        ROW(test_a_deadline_that_passes_there),
        ROW(test_a_recipient_that_is_valid_there),
        ROW(test_a_recipient_that_is_not_valid_any_more_there),
        ROW(test_a_deadline_is_judged_once_it_is_heard),
        ROW(test_a_recipient_is_judged_once_it_is_heard),
        ROW(test_a_recipient_is_not_refused_before_it_is_heard),
        ROW(test_a_certificate_of_before_is_judged_once_it_is_heard),
        ROW(test_a_certificate_of_before_is_in_nobodys_way),
        ROW(test_it_is_asked_for_by_one_at_a_time),
        ROW(test_one_without_a_clock_is_asked_once),
        ROW(test_one_that_refuses_the_question_has_no_clock_either),
    };

    return cmocka_run_group_tests(tests, keys_begin, keys_end);
}
