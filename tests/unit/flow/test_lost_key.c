/*
 * A key that nobody has: its order is ended, and another follows; nobody takes the order for one
 * that people ended, whatever becomes of Redis and of who ended it.
 */
#include "made_key.h"

/* The key of an order that is found is not given up before whoever sent it must have had the reply.
 */
static void
is_missed_for_long(const struct ew_ca_order *order)
{
    assert_in_range(shows_for(LOOK, QUIET - 100, order, 1), 2, 4);
    assert_string_equal(w.lost_orders, "");
    for (int64_t end = w.boot_ms + QUIET; asked(CANCEL) == NULL && w.boot_ms < end; pass(100))
        if (asked(LOOK) != NULL)
            shows(LOOK, order, 1);
    assert_non_null(asked(CANCEL));
    assert_string_equal(w.lost_orders, "CE1"); /* before anything was asked */
    assert_int_equal(w.losing_asked, 2);       /* and again when Kafka had it */
    assert_string_equal(inflight(EW_INFLIGHT_ORDERING).order_id, "CE1");
    assert_string_equal(inflight(EW_INFLIGHT_ORDERING).lost_orders, "CE1");
    assert_int_equal(inflight(EW_INFLIGHT_ORDERING).key_count, 1);
    assert_int_equal(inflight(EW_INFLIGHT_ORDERING).attempt, w.attempt);
    w.walk[0] = '\0';
}

/* Its key is not there, and did not come back; GlobalSign is asked to cancel. */
static struct ew_ca_order
is_being_ended(void)
{
    struct ew_ca_order order = ordered_before();

    w.wrapped.len = 0;
    enrolls_for_key("r-1", true);
    shows(LIST, &order, 1);
    walked("lookup claim reconcile verify");
    is_missed_for_long(&order);
    return order;
}

static void
test_a_lost_key_ends_its_order_and_another_follows(void **state)
{
    struct ew_ca_order order = is_being_ended();

    (void)state;
    replies(CANCEL, (struct ew_ca_reply){.cls = EW_CA_OK});
    order.order_status = EW_CA_ST_CANCELLED_ISSUED;
    pass(w.config.time.retry_max_ms);
    shows(LOOK, &order, 1);
    walked(ORDERED_AGAIN);
    assert_true(w.claim.discard);
    assert_string_equal(inflight(EW_INFLIGHT_ORDERING).order_id, "");
    assert_string_equal(inflight(EW_INFLIGHT_ORDERING).lost_orders, "CE1");
    replies(ORDER, (struct ew_ca_reply){.order_id = "CE2",
                                        .certificate = certificate(NULL, NULL, w.csr_key)});
    walked("verify publish answered");
    assert_string_equal(answered(EW_RES_ISSUED)->certificate.order_id, "CE2");
}

/* Redis may go as well as its owner, and nobody would know then why it was ended. */
static void
test_nothing_is_ended_before_kafka_knows_it(void **state)
{
    struct ew_ca_order order = ordered_before();

    (void)state;
    w.wrapped.len = 0;
    enrolls_for_key("r-1", true);
    shows(LIST, &order, 1);
    assert_true(shows_for(LOOK, QUIET - 100, &order, 1) > 0);
    w.commit_as = EW_COMMIT_REFUSED;
    while (w.commit_as != EW_COMMITTED) {
        pass(100);
        if (asked(LOOK) != NULL)
            shows(LOOK, &order, 1);
    }
    assert_string_equal(w.lost_orders, "CE1");
    assert_null(asked(LOOK));
    assert_string_equal(inflight(EW_INFLIGHT_ORDERING).order_id, "");
    pass(w.config.time.retry_max_ms);
    assert_string_equal(inflight(EW_INFLIGHT_ORDERING).order_id, "CE1");
    shows(LOOK, &order, 1);
    assert_non_null(asked(CANCEL));
}

/* Rebuilt while Kafka was told, Redis may not know of it: then it has the key again, or who has the
 * request. */
static void
test_nothing_is_ended_that_redis_does_not_confirm(void **state)
{
    struct ew_ca_order order = ordered_before();
    struct ew_blob key = w.wrapped;

    (void)state;
    w.wrapped.len = 0;
    enrolls_for_key("r-1", true);
    shows(LIST, &order, 1);
    w.losing_then = EW_TR_NO_CANARY;
    for (int64_t end = w.boot_ms + QUIET + QUIET; w.losing_asked < 3 && w.boot_ms < end; pass(100))
        if (asked(LOOK) != NULL)
            shows(LOOK, &order, 1);
    assert_string_equal(inflight(EW_INFLIGHT_ORDERING).order_id, "CE1");
    w.walk[0] = '\0';
    w.wrapped = key;
    w.lost_orders[0] = w.ending[0] = '\0';
    pass(w.config.time.retry_max_ms + w.config.time.retry_max_ms);
    walked("claim reconcile");
    shows_for(LIST, QUIET, &order, 1);
    walked("verify publish answered");
    assert_true(answered(EW_RES_ISSUED)->certificate.sealed_pkcs12.len > 0);
    assert_null(asked(CANCEL));
}

/* Its key is gone, and Redis does not say that the request is ours. */
static struct ew_ca_order
finds_who_knows_whose(void)
{
    struct ew_ca_order order = ordered_before();

    w.wrapped.len = 0;
    w.losing = EW_TR_REFUSED;
    enrolls_for_key("r-1", true);
    shows(LIST, &order, 1);
    return order;
}

/* The order of an event that was answered looks the same: its key went with the answer. While Redis
 * does not say that the request is ours, nothing is ended. */
static void
test_an_order_of_who_knows_whom_is_not_ended(void **state)
{
    (void)state;
    (void)finds_who_knows_whose();
    walked("lookup claim reconcile verify");
    w.claim_as = EW_CLAIM_WAIT; /* rebuilt, it knows of the other event */
    w.view.state = EW_REC_CLAIMED;
    w.view.source = (struct ew_source){.topic = "epki.enrollment.requests", .partition = 1};
    pass(w.config.time.retry_max_ms);
    walked("claim wait_other");
    assert_null(asked(CANCEL));
    assert_int_equal(w.account_events, 0);
}

/* Nor is it looked for by who hears, of a Redis without its canary, that another event has the id.
 */
static void
test_nobody_looks_for_anothers_order(void **state)
{
    (void)state;
    (void)ordered_before();
    w.claim_as = EW_CLAIM_NO_CANARY;
    w.view.state = EW_REC_UNKNOWN;
    w.holder = (struct ew_source){.topic = "epki.enrollment.requests", .partition = 1};
    enrolls_for_key("r-1", true);
    walked("lookup claim");
    pass(100);
    assert_null(asked(LIST));
    w.claim_as = EW_CLAIM_WAIT;
    pass(1000);
    walked("wait_other");
}

/* Nor is it taken for ended by us if somebody ends it then. */
static void
test_an_order_of_who_knows_whom_was_ended_by_people(void **state)
{
    struct ew_ca_order order = finds_who_knows_whose();

    (void)state;
    order.order_status = EW_CA_ST_CANCELLED_ISSUED;
    pass(w.config.time.retry_max_ms);
    walked("lookup claim reconcile verify claim reconcile pending");
    shows_for(LOOK, QUIET, &order, 1);
    walked("publish answered");
    assert_string_equal(answered(EW_RES_REJECTED)->failure.problem, "order-cancelled");
    assert_int_equal(w.account_events, 0);
}

/* When its adopter has claimed it without, and finds the order already. */
static void
test_a_key_that_comes_back_late_is_not_lost(void **state)
{
    struct ew_ca_order order = ordered_before();
    struct ew_blob key = w.wrapped;

    (void)state;
    w.wrapped.len = 0;
    enrolls_for_key("r-1", true);
    walked("lookup claim reconcile");
    w.wrapped = key;
    shows(LIST, &order, 1);
    walked("verify");
    pass(w.config.time.retry_max_ms);
    walked("claim reconcile pending");
    shows_for(LOOK, QUIET, &order, 1);
    walked("verify publish answered");
    assert_true(answered(EW_RES_ISSUED)->certificate.sealed_pkcs12.len > 0);
    assert_null(asked(CANCEL));
    assert_int_equal(w.account_events, 0);
}

/* Its owner has ended it, or was about to, and who adopts the request begins. */
static struct ew_ca_order
was_being_ended(void)
{
    struct ew_ca_order order = is_being_ended();

    adopts_again(&w.enrollments);
    return order;
}

/* Whose owner died when it had ended it, to order anew: who adopts it does. */
static void
test_an_order_that_was_ended_for_its_key_is_followed_by_another(void **state)
{
    struct ew_ca_order order = was_being_ended();

    (void)state;
    order.order_status = EW_CA_ST_CANCELLED_ISSUED;
    enrolls_for_key("r-1", true);
    shows_for(LOOK, w.config.time.poll_first_ms + 100, &order, 1);
    walked("lookup claim reconcile pending verify undo " ORDERED_AGAIN);
}

/* Who adopts it then claims it of a Redis that has lost all, and looks for it in a rebuilt one. */
static void
test_an_order_that_was_ended_for_its_key_is_known_by_a_rebuilt_redis(void **state)
{
    struct ew_ca_order order = was_being_ended();

    (void)state;
    order.order_status = EW_CA_ST_CANCELLED_ISSUED;
    w.canary = "";
    w.lost_orders[0] = w.ending[0] = '\0';
    w.has_spki = false;
    enrolls_for_key("r-1", true);
    walked("lookup claim reconcile");
    w.canary = CANARY;
    (void)snprintf(w.lost_orders, sizeof(w.lost_orders), "CE1");
    (void)snprintf(w.ending, sizeof(w.ending), "CE1");
    w.view.has_spki = w.has_spki = true;
    memcpy(w.view.spki, w.spki, sizeof(w.spki));
    for (int64_t end = w.boot_ms + INT64_C(3) * QUIET; asked(ORDER) == NULL && w.boot_ms < end;
         pass(100)) {
        if (asked(LIST) != NULL)
            shows(LIST, &order, 1);
        if (asked(LOOK) != NULL)
            shows(LOOK, &order, 1);
    }
    walked("claim reconcile pending verify undo " ORDERED_AGAIN);
}

/* Claimed of a Redis that knows the order, and was brought back without its last second: why it was
 * ended a rebuild brings, and nobody takes it for people's before that. */
static void
test_an_order_that_is_polled_meanwhile_is_not_peoples(void **state)
{
    struct ew_ca_order order = was_being_ended();

    (void)state;
    order.order_status = EW_CA_ST_CANCELLED_ISSUED;
    w.canary = "";
    w.lost_orders[0] = '\0';
    w.claim_as = EW_CLAIM_RECONCILE;
    enrolls_for_key("r-1", true);
    shows_for(LOOK, 20000, &order, 1);
    walked("lookup claim reconcile pending");
    w.canary = CANARY;
    (void)snprintf(w.lost_orders, sizeof(w.lost_orders), "CE1");
    shows_for(LOOK, w.config.time.poll_max_ms + w.config.time.retry_max_ms, &order, 1);
    walked("reconcile claim reconcile pending verify undo " ORDERED_AGAIN);
}

/* Found by who had not heard of that, when Redis tells whose it is. */
static void
test_an_order_that_is_found_may_be_one_that_is_ended(void **state)
{
    struct ew_ca_order order = ordered_before();

    (void)state;
    w.wrapped.len = 0;
    enrolls_for_key("r-1", true);
    (void)snprintf(w.lost_orders, sizeof(w.lost_orders), "CE1");
    (void)snprintf(w.ending, sizeof(w.ending), "CE1");
    shows(LIST, &order, 1);
    walked("lookup claim reconcile claim reconcile pending");
    pass(w.config.time.poll_first_ms);
    shows(LOOK, &order, 1);
    walked("verify undo");
    assert_int_equal(w.losing_asked, 2);
}

/* Left for the room by who could not ask GlobalSign for long. */
static struct ew_ca_order
waits_to_be_ended(void)
{
    struct ew_ca_order order = was_being_ended();

    enrolls_for_key("r-1", true);
    for (int64_t end = w.boot_ms + w.config.time.hold_max_ms + 1000; w.boot_ms < end; pass(100))
        if (asked(LOOK) != NULL)
            replies(LOOK, (struct ew_ca_reply){.cls = EW_CA_TRY_LATER});
    walked("lookup claim reconcile pending leave answered");
    assert_string_equal(inflight(EW_INFLIGHT_WAITING).lost_orders, "CE1");
    return order;
}

/* Its account is paused: it holds no partition for that, and goes on when it comes back. */
static void
test_an_order_that_cannot_be_ended_now_leaves(void **state)
{
    struct ew_ca_order order = is_being_ended();

    (void)state;
    w.token = EW_TOKEN_PAUSED;
    replies(CANCEL, (struct ew_ca_reply){.cls = EW_CA_TRY_LATER});
    w.walk[0] = '\0';
    for (int64_t end = w.boot_ms + w.config.time.hold_max_ms + 2000;
         strstr(w.walk, "answered") == NULL && w.boot_ms < end; pass(100))
        ;
    walked("leave answered");
    assert_string_equal(inflight(EW_INFLIGHT_WAITING).reason, "undo");
    assert_string_equal(inflight(EW_INFLIGHT_WAITING).order_id, "CE1");
    assert_string_equal(inflight(EW_INFLIGHT_WAITING).lost_orders, "CE1");
    w.token = EW_TOKEN_GRANTED;
    order.order_status = EW_CA_ST_CANCELLED_ISSUED;
    shows_for(LOOK, w.config.time.poll_max_ms + w.config.time.retry_max_ms, &order, 1);
    walked("lookup claim reconcile pending verify undo " ORDERED_AGAIN);
}

/* Nor does the room forget it, where Redis was lost. */
static void
test_an_order_that_was_ended_for_its_key_is_known_in_the_room(void **state)
{
    struct ew_ca_order order = waits_to_be_ended();

    (void)state;
    w.lost_orders[0] = w.ending[0] = '\0';
    order.order_status = EW_CA_ST_CANCELLED_ISSUED;
    shows_for(LOOK, w.config.time.poll_max_ms + 1000, &order, 1);
    walked("lookup claim reconcile pending verify undo " ORDERED_AGAIN);
}

/* An owner that had begun to end it said that it had begun; it may live, and none follows before it
 * is ended. */
static void
test_a_resume_that_was_ending_its_order_goes_on_with_that(void **state)
{
    struct ew_ca_order order = waits_to_be_ended();

    (void)state;
    w.resume_started = true;
    w.store.away = true;
    pass(w.config.time.poll_max_ms + 1000);
    w.store.away = false;
    shows_for(LOOK, w.config.time.retry_max_ms + w.config.time.poll_max_ms, &order, 1);
    assert_non_null(strstr(w.walk, "pending verify undo"));
    assert_null(asked(LIST));
    assert_non_null(asked(CANCEL));
}

/* People ended it, and the key is lost as well: what they ended does not come again. */
static void
test_an_order_that_people_ended_is_not_followed_by_another(void **state)
{
    struct ew_ca_order order = ordered_before();

    (void)state;
    w.wrapped.len = 0;
    order.order_status = EW_CA_ST_REVOKED;
    enrolls_for_key("r-1", true);
    shows(LIST, &order, 1);
    walked("lookup claim reconcile publish answered");
    assert_string_equal(answered(EW_RES_REJECTED)->failure.problem, "order-cancelled");
}

/* Found by its key while Redis was not heard, and then Redis says that it was ended, and with which
 * key another was ordered. */
static void
test_an_order_that_another_has_followed_is_passed(void **state)
{
    struct ew_ca_order ended = ordered_before(), own;
    uint8_t key[32];

    (void)state;
    memcpy(key, w.spki, sizeof(key));
    w.wrapped.len = 0;
    enrolls_for_key("r-1", true);
    shows(LIST, &ended, 1);
    is_missed_for_long(&ended);
    replies(CANCEL, (struct ew_ca_reply){.cls = EW_CA_OK});
    ended.order_status = EW_CA_ST_CANCELLED_ISSUED;
    pass(w.config.time.retry_max_ms);
    shows(LOOK, &ended, 1);
    walked(ORDERED_AGAIN);
    assert_memory_not_equal(key, w.spki, sizeof(key));

    adopts_again(&w.enrollments);
    w.store.away = true;
    enrolls_for_key("r-1", true);
    walked("lookup claim reconcile");
    w.store.away = false;
    w.view.has_spki = true;
    memcpy(w.view.spki, key, sizeof(key));
    w.deaf_claims = 1;
    (void)shows_for(LIST, QUIET, &ended, 1);
    walked("claim reconcile");
    own = issued("CE2");
    (void)shows_for(LIST, QUIET, &own, 1);
    walked("verify publish answered");
    assert_string_equal(answered(EW_RES_ISSUED)->certificate.order_id, "CE2");
}

/* It is looked at, and nobody has to end it. */
static void
order_was_ended(const char *order_id)
{
    struct ew_ca_order order = {
        .order_id = order_id, .order_status = EW_CA_ST_CANCELLED_ISSUED, .certificate = ""};

    assert_string_equal(asked(LOOK)->order_id, order_id);
    shows(LOOK, &order, 1);
}

/* GlobalSign's: who adopts it when it is ended, and has not heard of that, says so all the same. */
static void
test_the_end_of_an_order_is_told_by_who_hears_of_it_late(void **state)
{
    int64_t sent;

    (void)state;
    enrolls_for_their_key("r-1", false);
    walked(UNTIL_ORDER);
    sent = inflight(EW_INFLIGHT_ORDERING).ca_date_ms;
    adopts_again(&w.enrollments);
    w.store.away = true;
    enrolls_for_their_key("r-1", true);
    walked("lookup claim reconcile");
    w.store.away = false;
    (void)snprintf(w.lost_orders, sizeof(w.lost_orders), "CE1");
    (void)snprintf(w.ending, sizeof(w.ending), "CE1");
    for (int64_t end = w.boot_ms + QUIET; w.boot_ms < end; pass(100))
        if (asked(LIST) != NULL)
            replies(LIST, (struct ew_ca_reply){.cls = EW_CA_OK});
    walked("claim reconcile pending");
    order_was_ended("CE1");
    walked("verify undo");
    assert_int_equal(inflight(EW_INFLIGHT_ORDERING).ca_date_ms, sent);
    assert_int_equal(w.account_events, 0);
    order_was_ended("CE1");
    walked(ORDERED_AGAIN);
    assert_int_equal(w.account_events, 1);
}

/* Who knows it from Redis at once has the time of the attempt from there. */
static void
test_the_end_of_an_order_keeps_the_time_of_its_attempt(void **state)
{
    (void)state;
    enrolls_for_their_key("r-1", false);
    walked(UNTIL_ORDER);
    adopts_again(&w.enrollments);
    (void)snprintf(w.lost_orders, sizeof(w.lost_orders), "CE1");
    (void)snprintf(w.ending, sizeof(w.ending), "CE1");
    w.view.ca_date_ms = 1234567;
    enrolls_for_their_key("r-1", true);
    pass(w.config.time.poll_first_ms);
    order_was_ended("CE1");
    walked("lookup claim reconcile pending verify undo");
    assert_int_equal(inflight(EW_INFLIGHT_ORDERING).ca_date_ms, 1234567);
}

/* Found while nothing was heard of Redis, it is not ended before a claim is: Redis knows more. */
static void
test_nothing_is_ended_without_a_claim(void **state)
{
    struct ew_ca_order order;

    (void)state;
    enrolls_for_their_key("r-1", false);
    walked(UNTIL_ORDER);
    order = issued("CE1");
    order.email = "";
    order.request_ms = ca_now();
    adopts_again(&w.enrollments);
    w.store.away = true;
    enrolls_for_their_key("r-1", true);
    walked("lookup claim reconcile");
    w.store.away = false;
    shows_for(LIST, QUIET + ORDER_MS, &order, 1);
    walked("verify claim reconcile pending");
    assert_int_equal(w.losing_asked, 0);
    shows_for(LOOK, w.config.time.poll_max_ms, &order, 1);
    walked("verify undo");
    assert_int_equal(inflight(EW_INFLIGHT_ORDERING).attempt, 1);
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
    const struct CMUnitTest tests[] = {
        ROW(test_a_lost_key_ends_its_order_and_another_follows),
        ROW(test_nothing_is_ended_before_kafka_knows_it),
        ROW(test_nothing_is_ended_that_redis_does_not_confirm),
        ROW(test_an_order_of_who_knows_whom_is_not_ended),
        ROW(test_nobody_looks_for_anothers_order),
        ROW(test_an_order_of_who_knows_whom_was_ended_by_people),
        ROW(test_a_key_that_comes_back_late_is_not_lost),
        ROW(test_an_order_that_was_ended_for_its_key_is_followed_by_another),
        ROW(test_an_order_that_was_ended_for_its_key_is_known_by_a_rebuilt_redis),
        ROW(test_an_order_that_is_polled_meanwhile_is_not_peoples),
        ROW(test_an_order_that_is_found_may_be_one_that_is_ended),
        ROW(test_an_order_that_cannot_be_ended_now_leaves),
        ROW(test_an_order_that_was_ended_for_its_key_is_known_in_the_room),
        ROW(test_a_resume_that_was_ending_its_order_goes_on_with_that),
        ROW(test_an_order_that_people_ended_is_not_followed_by_another),
        ROW(test_an_order_that_another_has_followed_is_passed),
        ROW(test_the_end_of_an_order_is_told_by_who_hears_of_it_late),
        ROW(test_the_end_of_an_order_keeps_the_time_of_its_attempt),
        ROW(test_nothing_is_ended_without_a_claim),
    };

    return cmocka_run_group_tests(tests, keys_begin, keys_end);
}
