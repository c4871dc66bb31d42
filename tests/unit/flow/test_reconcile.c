/*
 * Whole lives of enrolments, and above all what becomes of an order whose reply was lost: found at
 * once, "none" only after the quiet period and only from whole lists, everything else waits.
 */
#include "reconcile.h"

static void
test_straight(void **state)
{
    (void)state;
    enrolls("r-1", "", false);
    walked(UNTIL_ORDER);
    assert_int_equal(w.marks[w.mark_count - 1], EW_MARK_STARTED);
    assert_int_equal(inflight(EW_INFLIGHT_ORDERING).attempt, 1);
    replies(ORDER,
            (struct ew_ca_reply){.order_id = "CE1", .certificate = certificate(NULL, NULL, NULL)});
    walked("verify publish answered");
    assert_string_equal(answered(EW_RES_ISSUED)->certificate.order_id, "CE1");
    assert_int_equal(w.marks[w.mark_count - 1], EW_MARK_DONE);
    assert_int_equal(w.dones, 1);
}

static void
test_found_is_final_at_once(void **state)
{
    struct ew_ca_order found = order_of("CE1", EW_CA_ST_ISSUED, certificate(NULL, NULL, NULL));

    (void)state;
    goes_unknown();
    shows(LIST, &found, 1);
    walked("verify publish answered");
    assert_int_equal(answered(EW_RES_ISSUED)->attempts, 1);
    assert_true(told(EW_RES_RECONCILING));
}

static void
test_none_only_after_the_quiet_period(void **state)
{
    (void)state;
    goes_unknown();
    assert_true(shows_for(LIST, QUIET - 100, NULL, 0) > 3);
    walked("");
    assert_null(asked(ORDER));
    assert_true(shows_for(LIST, 2500, NULL, 0) >= 2); /* by name, and once by profile alone */
    walked(ORDERED_AGAIN);
    assert_string_equal(w.verdict, CANARY);
    assert_non_null(asked(ORDER));
}

/* A list that was asked for too early says nothing, even if it comes late. */
static void
test_the_question_counts_not_the_reply(void **state)
{
    (void)state;
    goes_unknown();
    assert_non_null(asked(LIST));
    pass(QUIET + 500);
    shows(LIST, NULL, 0);
    walked("");
    assert_null(asked(ORDER));
}

/* Before "none" is final, all orders of the profile are read: a name may have been changed. */
static void
test_found_under_another_name(void **state)
{
    struct ew_ca_order found = order_of("CE1", EW_CA_ST_ISSUED, certificate(NULL, NULL, NULL));

    (void)state;
    found.cn = "ADA LOVELACE";
    goes_unknown();
    for (int i = 0; i < 100 && (asked(LIST) == NULL || asked(LIST)->cn[0] != '\0'); i++) {
        if (asked(LIST) != NULL)
            shows(LIST, NULL, 0);
        pass(100);
    }
    assert_string_equal(asked(LIST)->cn, "");
    shows(LIST, &found, 1);
    walked("verify publish answered");
}

static void
test_what_may_become_ours_keeps_it_waiting(void **state)
{
    struct ew_ca_order doubt = order_of("CE1", EW_CA_ST_INITIAL, "");

    (void)state;
    goes_unknown();
    shows_for(LIST, 3 * QUIET, &doubt, 1);
    walked("");
    doubt.cn = "Somebody Else"; /* rewritten by the CA? */
    shows_for(LIST, QUIET, &doubt, 1);
    walked("");
    shows_for(LIST, QUIET, NULL, 0);
    walked(ORDERED_AGAIN);
}

/* Under load some order is always unfinished, but never for long the same. */
static void
test_what_appears_after_the_quiet_period_is_not_ours(void **state)
{
    char id[16];

    (void)state;
    goes_unknown();
    for (int i = 0; i < 60; i++) {
        struct ew_ca_order other;

        (void)snprintf(id, sizeof(id), "CE%d", i);
        other = order_of(id, EW_CA_ST_INITIAL, "");
        other.cn = "Somebody Else";
        shows_for(LIST, QUIET / 20, &other, 1);
    }
    walked(ORDERED_AGAIN);
}

enum { MANY = 3000 };

/* So many orders under other names, numbered from here on. */
static const struct ew_ca_order *
many_from(int first)
{
    static struct ew_ca_order orders[MANY];
    static char ids[MANY][16];

    for (int i = 0; i < MANY; i++) {
        (void)snprintf(ids[i], sizeof(ids[i]), "CE%d", first + i);
        orders[i] = order_of(ids[i], EW_CA_ST_WAITING, "");
        orders[i].cn = "Somebody Else";
    }
    return orders;
}

/* However many are unfinished: those of the first list count, and they do become finished. */
static void
test_many_unfinished_orders_are_no_reason_to_wait_for_ever(void **state)
{
    (void)state;
    goes_unknown();
    for (int i = 0; i < 20; i++)
        shows_for(LIST, QUIET / 5, many_from(i * MANY), MANY);
    walked(ORDERED_AGAIN);
}

static void
test_one_of_many_may_be_ours(void **state)
{
    (void)state;
    goes_unknown();
    shows_for(LIST, 4 * QUIET, many_from(0), MANY);
    walked("");
    w.owner = "r-other"; /* all of them */
    shows_for(LIST, QUIET, many_from(0), MANY);
    walked(ORDERED_AGAIN);
}

static void
test_a_doubt_that_is_another_requests_is_none(void **state)
{
    struct ew_ca_order doubt = order_of("CE1", EW_CA_ST_INITIAL, "");

    (void)state;
    w.owner = "r-other";
    goes_unknown();
    shows_for(LIST, QUIET + 2500, &doubt, 1);
    walked(ORDERED_AGAIN);
}

/* Its certificate shows another key, whatever its status: it will not become ours. */
static void
test_an_unfinished_order_with_another_key_is_no_doubt(void **state)
{
    EVP_PKEY *other = ec_key("P-256");
    struct ew_ca_order order = order_of("CE1", EW_CA_ST_WAITING, certificate(NULL, NULL, other));

    (void)state;
    goes_unknown();
    shows_for(LIST, QUIET + 2500, &order, 1);
    walked(ORDERED_AGAIN);
    EVP_PKEY_free(other);
}

static void
test_an_order_with_our_key_that_is_another_requests(void **state)
{
    struct ew_ca_order older = order_of("CE0", EW_CA_ST_ISSUED, certificate(NULL, NULL, NULL));

    (void)state;
    w.takes = false;
    goes_unknown();
    shows_for(LIST, QUIET + 2500, &older, 1);
    walked(ORDERED_AGAIN);
}

static void
test_found_ended_is_answered_and_never_ordered_again(void **state)
{
    struct ew_ca_order ended =
        order_of("CE1", EW_CA_ST_CANCELLED_ISSUED, certificate(NULL, NULL, NULL));

    (void)state;
    goes_unknown();
    shows(LIST, &ended, 1);
    walked("publish answered");
    assert_string_equal(answered(EW_RES_REJECTED)->failure.problem, "order-cancelled");
}

/* Its status is none that we know, or is not said: neither issued nor ended, so it is asked for. */
static void
test_found_in_a_status_of_another_day_is_waited_for(void **state)
{
    static const int odd[] = {EW_CA_ST_NONE, EW_CA_ST_REVOKED + 1, 99};

    (void)state;
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        struct ew_ca_order found = order_of("CE1", odd[i], certificate(NULL, NULL, NULL));

        goes_unknown();
        shows(LIST, &found, 1);
        walked("pending");
        pass(w.config.time.poll_first_ms);
        shows(LOOK, &found, 1);
        walked(""); /* as little as before */
        pass(w.config.time.retry_max_ms);
        found.order_status = EW_CA_ST_ISSUED;
        shows(LOOK, &found, 1);
        walked("verify publish answered");
        assert_int_equal(answered(EW_RES_ISSUED)->attempts, 1);
        (void)world_end(NULL);
        (void)world_begin(NULL);
    }
}

/* One that was cancelled before it was issued shows nobody whose it was. */
static void
test_a_cancelled_order_may_have_been_ours(void **state)
{
    struct ew_ca_order cancelled = order_of("CE1", EW_CA_ST_CANCELLED, "");
    struct ew_resume again = {.action = EW_RESUME_RETRY,
                              .request_id = "r-1",
                              .reason = "",
                              .source = {.topic = "epki.enrollment.requests"}};

    (void)state;
    goes_unknown();
    cancelled.request_ms = ca_now();
    shows_for(LIST, QUIET - 1000, &cancelled, 1);
    walked("");
    shows_for(LIST, 3500, &cancelled, 1);
    walked("publish answered");
    assert_string_equal(w.parked, EW_CANCELLED_REASON);
    assert_non_null(strstr(w.letter_says, "order CE1 under this name was cancelled"));
    assert_string_equal(w.letter_order, "CE1");
    assert_string_equal(inflight(EW_INFLIGHT_PARKED).order_id, ""); /* it is nobody's yet */
    assert_null(asked(ORDER));

    ew_room_publish(w.flow, &again); /* people have looked */
    shows_for(LIST, QUIET + 2500, &cancelled, 1);
    walked("lookup claim reconcile " ORDERED_AGAIN);
}

/* A CA that writes names in its own way does not hide one. */
static void
test_a_cancelled_order_under_a_normalised_name_may_have_been_ours(void **state)
{
    static const char *const names[] = {"ADA LOVELACE", "ada  lovelace", " Ada Lovelace "};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct ew_ca_order cancelled = order_of("CE1", EW_CA_ST_CANCELLED, "");

        cancelled.cn = names[i];
        goes_unknown();
        shows_for(LIST, QUIET + 2500, &cancelled, 1);
        walked("publish answered");
        assert_string_equal(w.parked, EW_CANCELLED_REASON);
        assert_null(asked(ORDER));
        (void)world_end(NULL);
        (void)world_begin(NULL);
    }
    (void)state;
}

static void
test_a_cancelled_order_of_before_is_nobodys_concern(void **state)
{
    struct ew_ca_order cancelled = order_of("CE1", EW_CA_ST_CANCELLED, "");

    (void)state;
    cancelled.request_ms = ca_now() - 5 * 60 * 1000;
    goes_unknown();
    shows_for(LIST, QUIET + 2500, &cancelled, 1);
    walked(ORDERED_AGAIN);
}

static void
test_a_cancelled_order_that_is_another_requests(void **state)
{
    struct ew_ca_order cancelled = order_of("CE1", EW_CA_ST_CANCELLED, "");

    (void)state;
    w.owner = "r-other";
    goes_unknown();
    shows_for(LIST, QUIET + 2500, &cancelled, 1);
    walked(ORDERED_AGAIN);
}

/* A verdict of before a wipe is none: the quiet period begins again. */
static void
test_a_wipe_begins_the_quiet_period_again(void **state)
{
    (void)state;
    goes_unknown();
    shows_for(LIST, QUIET - 500, NULL, 0);
    w.canary = "another:run";
    shows_for(LIST, QUIET, NULL, 0); /* "none" comes, and is stale; from then on it is quiet anew */
    walked("claim reconcile");
    shows_for(LIST, QUIET + 2500, NULL, 0);
    walked(ORDERED_AGAIN);
    assert_string_equal(w.verdict, "another:run");
}

static void
test_without_a_canary_nothing_is_ordered(void **state)
{
    (void)state;
    goes_unknown();
    w.canary = "";
    shows_for(LIST, 3 * QUIET, NULL, 0);
    assert_null(asked(ORDER));
    w.canary = "another:run";
    shows_for(LIST, 9 * QUIET, NULL, 0);
    assert_non_null(asked(ORDER));
    assert_string_equal(w.verdict, "another:run");
    assert_int_equal(w.bugs, 0);
}

static void
test_an_adopter_looks_before_it_orders(void **state)
{
    (void)state;
    enrolls("r-1", "", true);
    walked("lookup claim reconcile");
    assert_true(w.claim.adopting);
    assert_null(asked(ORDER));
    shows_for(LIST, QUIET + 2500, NULL, 0);
    walked(ORDERED_AGAIN);
}

/* All that a profile has is a long list. */
static int64_t
pass_begins(void)
{
    for (int i = 0; i < 200 && (asked(LIST) == NULL || asked(LIST)->cn[0] != '\0'); i++) {
        if (asked(LIST) != NULL)
            shows(LIST, NULL, 0);
        pass(100);
    }
    assert_non_null(asked(LIST));
    return asked(LIST)->from_ms + INT64_C(10) * 60 * 1000; /* it begins that early */
}

/* By GlobalSign's own clock, which Redis was told before the call; else since a day before its
 * event. */
static void
test_a_pass_begins_where_the_attempt_did(void **state)
{
    (void)state;
    for (int known = 0; known < 2; known++) {
        int64_t since = known ? ca_now() - 1000 : world_wall(NULL) - INT64_C(1000) * DAY;

        w.view.ca_date_ms = known ? since : 0;
        enrolls("r-1", "", true);
        assert_int_equal(pass_begins(), since);
        (void)world_end(NULL);
        (void)world_begin(NULL);
    }
}

/* Whoever parked it had it long after its event, and its order may be as old. */
static void
test_what_people_send_back_is_sought_since_its_event(void **state)
{
    struct ew_resume again = {.action = EW_RESUME_RETRY,
                              .request_id = "r-1",
                              .reason = "",
                              .source = {.topic = "epki.enrollment.requests"}};
    int64_t event;

    (void)state;
    w.age_ms = INT64_C(5000) * DAY;
    event = world_wall(NULL) - w.age_ms;
    w.setting.name = "another";
    enrolls("r-1", "", true);
    walked("lookup claim reconcile publish answered");
    assert_string_equal(w.parked, "setting-gone");
    w.setting.name = "vpn";
    w.age_ms = 0;
    ew_room_publish(w.flow, &again);
    assert_int_equal(pass_begins(), event - INT64_C(1000) * DAY);
}

static void
test_redis_is_told_when_the_attempt_is(void **state)
{
    (void)state;
    enrolls("r-1", "", false);
    assert_int_equal(w.calling_date, ca_now());
}

/* Whatever happens, five orders that vanished are enough. */
static void
test_five_that_vanished_are_enough(void **state)
{
    struct ew_resume again = {.action = EW_RESUME_RETRY,
                              .request_id = "r-1",
                              .reason = "",
                              .source = {.topic = "epki.enrollment.requests"}};

    (void)state;
    w.vanished = 4;
    goes_unknown();
    assert_int_equal(inflight(EW_INFLIGHT_ORDERING).vanished, 4);
    w.vanished = 5;
    shows_for(LIST, QUIET + 2500, NULL, 0);
    walked("claim publish answered");
    assert_string_equal(w.parked, "orders-fail-again-and-again");
    assert_string_equal(w.letter_says, "orders-fail-again-and-again");
    assert_string_equal(w.letter_order, "");
    assert_int_equal(w.parked_as, EW_REC_PARKED);

    ew_room_publish(w.flow, &again); /* Redis may not have heard of the parking: it still counts */
    shows_for(LIST, QUIET + 2500, NULL, 0);
    walked("lookup claim reconcile " ORDERED_AGAIN);
    assert_int_equal(inflight(EW_INFLIGHT_ORDERING).vanished, 1); /* one of them may yet appear */
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
    const struct CMUnitTest tests[] = {
        ROW(test_straight),
        ROW(test_found_is_final_at_once),
        ROW(test_none_only_after_the_quiet_period),
        ROW(test_the_question_counts_not_the_reply),
        ROW(test_found_under_another_name),
        ROW(test_what_may_become_ours_keeps_it_waiting),
        ROW(test_what_appears_after_the_quiet_period_is_not_ours),
        ROW(test_many_unfinished_orders_are_no_reason_to_wait_for_ever),
        ROW(test_one_of_many_may_be_ours),
        ROW(test_a_doubt_that_is_another_requests_is_none),
        ROW(test_an_unfinished_order_with_another_key_is_no_doubt),
        ROW(test_an_order_with_our_key_that_is_another_requests),
        ROW(test_found_ended_is_answered_and_never_ordered_again),
        ROW(test_found_in_a_status_of_another_day_is_waited_for),
        ROW(test_a_cancelled_order_may_have_been_ours),
        ROW(test_a_cancelled_order_under_a_normalised_name_may_have_been_ours),
        ROW(test_a_cancelled_order_of_before_is_nobodys_concern),
        ROW(test_a_cancelled_order_that_is_another_requests),
        ROW(test_a_wipe_begins_the_quiet_period_again),
        ROW(test_without_a_canary_nothing_is_ordered),
        ROW(test_an_adopter_looks_before_it_orders),
        ROW(test_a_pass_begins_where_the_attempt_did),
        ROW(test_what_people_send_back_is_sought_since_its_event),
        ROW(test_redis_is_told_when_the_attempt_is),
        ROW(test_five_that_vanished_are_enough),
    };

    return cmocka_run_group_tests(tests, keys_begin, keys_end);
}
