/*
 * The order of a key that GlobalSign makes, and whose reply was lost: only name and time can tell
 * it. What is surely ours is ended and ordered again; what may be is left to people.
 */
#include "world.h"

#define MINUTE INT64_C(60000)

/* An order of CN, placed so long after ours. */
static struct ew_ca_order
order_of(const char *order_id, int64_t after_ms)
{
    return (struct ew_ca_order){.order_id = order_id,
                                .order_status = EW_CA_ST_ISSUED,
                                .cn = CN,
                                .email = "",
                                .request_ms = ca_now() + after_ms,
                                .certificate = certificate(NULL, NULL, NULL)};
}

static void
goes_unknown(void)
{
    enrolls_for_their_key("r-1", false);
    replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_UNKNOWN, .problem = "ca-timeout"});
    walked(UNTIL_ORDER " reconcile");
}

static void
test_the_lone_order_is_ours(void **state)
{
    struct ew_ca_order ours;

    (void)state;
    goes_unknown();
    ours = order_of("CE1", 0);
    shows_for(LIST, ORDER_MS - 500, &ours, 1); /* it might be another's whose reply is on its way */
    walked("");
    shows_for(LIST, 3000, &ours, 1);
    walked("verify undo");
    order_ends("CE1");
    walked(ORDERED_AGAIN);
    assert_int_equal(w.account_events, 1);
    assert_true(w.claim.discard);
    assert_string_equal(w.verdict, CANARY);
    replies(ORDER,
            (struct ew_ca_reply){.order_id = "CE2", .pkcs12 = pkcs12(asked(ORDER)->pin, CN)});
    walked("verify publish answered");
    assert_non_null(strstr(answered(EW_RES_ISSUED)->note, "CE1"));
    assert_string_equal(answered(EW_RES_ISSUED)->certificate.order_id, "CE2");
}

static void
test_never_before_the_quiet_period(void **state)
{
    struct ew_ca_order ours;

    (void)state;
    w.account.order_ms = 1000;
    goes_unknown();
    ours = order_of("CE1", 0);
    shows_for(LIST, QUIET - 200, &ours, 1);
    walked("");
    shows_for(LIST, 3000, &ours, 1);
    walked("verify undo");
}

static void
parks(const struct ew_ca_order *orders, size_t count)
{
    shows_for(LIST, QUIET + ORDER_MS, orders, count);
    walked("publish answered");
    assert_string_equal(w.parked, "orders-ambiguous");
    assert_null(asked(CANCEL));
    assert_null(asked(ORDER));
}

static void
test_of_two_people_decide(void **state)
{
    struct ew_ca_order orders[2];

    (void)state;
    goes_unknown();
    orders[0] = order_of("CE1", 0);
    orders[1] = order_of("CE2", 3000);
    parks(orders, 2);
}

/* One beside ours that another request has, or that is ended, is no second. */
static void
test_those_that_are_told_apart_do_not_count(void **state)
{
    struct ew_ca_order orders[2];

    (void)state;
    goes_unknown();
    orders[0] = order_of("CE1", 0);
    orders[1] = order_of("CE2", 0);
    orders[1].order_status = EW_CA_ST_CANCELLED_ISSUED;
    shows_for(LIST, QUIET + ORDER_MS, orders, 2);
    walked("verify undo");
    assert_string_equal(asked(LOOK)->order_id, "CE1");
}

/* Near in time or name, but not as surely as it takes to cancel an order: people look. */
static void
test_what_is_like_ours_is_not_cancelled(void **state)
{
    for (int i = 0; i < 4; i++) {
        struct ew_ca_order order;

        goes_unknown();
        order = order_of("CE1", i == 0 ? -5 * MINUTE : i == 1 ? 5 * MINUTE : 0);
        if (i == 2)
            order.cn = "ADA-LOVELACE";
        if (i == 3)
            order.request_ms = 0; /* not said */
        parks(&order, 1);
        (void)world_end(NULL);
        (void)world_begin(NULL);
    }
    (void)state;
}

/* Of another time or name, or known to be another's: ours is not there, and is placed again after
 * the quiet period. */
static void
test_what_is_not_ours_is_left_alone(void **state)
{
    for (int i = 0; i < 5; i++) {
        struct ew_ca_order order;

        goes_unknown();
        order = order_of("CE1", i == 0 ? -11 * MINUTE : i == 1 ? 11 * MINUTE : 0);
        if (i == 2)
            order.cn = "Eve Else";
        if (i == 3)
            w.owner = "r-other";
        if (i == 4)
            w.key_owner = "r-other"; /* whose reply has not come yet: it has the key */
        shows_for(LIST, QUIET - 200, &order, 1);
        walked("");
        shows_for(LIST, 3000, &order, 1);
        walked(ORDERED_AGAIN);
        assert_int_equal(w.account_events, 0);
        (void)world_end(NULL);
        (void)world_begin(NULL);
    }
    (void)state;
}

/* Whoever ended it may want it so, and it may have been ours, however a CA writes its name. */
static void
test_one_that_was_ended_is_not_ordered_again(void **state)
{
    static const char *const names[] = {CN, "ADA  LOVELACE "};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct ew_ca_order order;

        goes_unknown();
        order = order_of("CE1", 0);
        order.order_status = EW_CA_ST_REVOKED;
        order.cn = names[i];
        shows_for(LIST, QUIET + 3000, &order, 1);
        walked("publish answered");
        assert_string_equal(w.parked, EW_CANCELLED_REASON);
        assert_null(asked(ORDER));
        (void)world_end(NULL);
        (void)world_begin(NULL);
    }
    (void)state;
}

/* Ended by us, and the next one has vanished: it is ordered once more, though a Redis that was lost
 * does not say whose the first was. */
static void
test_one_that_we_ended_is_known_by_its_id(void **state)
{
    struct ew_ca_order ours;

    (void)state;
    goes_unknown();
    ours = order_of("CE1", 0);
    shows_for(LIST, ORDER_MS + 3000, &ours, 1);
    order_ends("CE1");
    walked("verify undo " ORDERED_AGAIN);
    replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_UNKNOWN, .problem = "ca-timeout"});
    walked("reconcile");
    ours.order_status = EW_CA_ST_CANCELLED_ISSUED;
    shows_for(LIST, QUIET + 3000, &ours, 1);
    walked(ORDERED_AGAIN);
    assert_string_equal(inflight(EW_INFLIGHT_ORDERING).lost_orders, "CE1");
}

/* Ended by us, for its key was lost: what follows is found out without it. */
static void
test_one_that_we_ended_is_passed_over(void **state)
{
    struct ew_ca_order order;

    (void)state;
    w.owner = "r-1";
    goes_unknown();
    order = order_of("CE1", 0);
    order.order_status = EW_CA_ST_CANCELLED_ISSUED;
    shows_for(LIST, QUIET + 3000, &order, 1);
    walked(ORDERED_AGAIN);
}

/* Its key did come, and was of no use: so says Redis, asked whose it is, and not before. */
static void
test_one_that_did_not_fit_is_not_one_whose_key_is_lost(void **state)
{
    struct ew_ca_order ours;

    (void)state;
    goes_unknown();
    ours = order_of("CE1", 0);
    w.holder = w.view.source = (struct ew_source){.topic = "epki.enrollment.requests"};
    w.view.state = EW_REC_UNKNOWN;
    for (int64_t end = w.boot_ms + QUIET + ORDER_MS; w.boot_ms < end; pass(100)) {
        w.misfit = (struct ew_blob){.data = (const uint8_t *)"CE1\npkcs12-pin\n\n\nx", .len = 18};
        while (asked(LIST) != NULL)
            shows(LIST, &ours, 1);
        if (strstr(w.walk, "undo") != NULL)
            break;
        w.misfit.len = 0;
    }
    order_ends("CE1");
    walked("verify undo publish answered");
    assert_string_equal(answered(EW_RES_REJECTED)->failure.problem, "pkcs12-pin");
    assert_string_equal(w.lost_orders, "");
    assert_int_equal(w.account_events, 0); /* whoever kept it so has told it */
}

static void
test_an_unfinished_one_is_waited_for(void **state)
{
    struct ew_ca_order order;

    (void)state;
    goes_unknown();
    order = order_of("CE1", 0);
    order.order_status = EW_CA_ST_WAITING;
    order.certificate = "";
    shows_for(LIST, 20000, &order, 1);
    walked("");
    w.owner = "r-other"; /* its own reply has come */
    shows_for(LIST, 5000, &order, 1);
    walked(ORDERED_AGAIN);
}

/* A Redis that is being rebuilt knows nobody's orders. */
static void
test_without_a_canary_no_order_is_anybodys(void **state)
{
    struct ew_ca_order ours;

    (void)state;
    w.config.time.hold_max_ms = 600000; /* not into the waiting room meanwhile */
    goes_unknown();
    ours = order_of("CE1", 0);
    w.canary = "";
    shows_for(LIST, 10000, &ours, 1);
    walked("");
    w.canary = CANARY;
    shows_for(LIST, QUIET + 2 * ORDER_MS, &ours, 1); /* with two pauses of up to two seconds */
    walked("verify undo");
}

/* Somebody was quicker to call it his: it is looked at again. */
static void
test_an_order_that_another_takes(void **state)
{
    struct ew_ca_order ours;

    (void)state;
    goes_unknown();
    ours = order_of("CE1", 0);
    w.takes = false;
    shows_for(LIST, QUIET + ORDER_MS, &ours, 1);
    walked("");
    w.owner = "r-other";
    shows_for(LIST, 5000, &ours, 1);
    walked(ORDERED_AGAIN);
}

/* Who adopts the request knows the time of the attempt from the record of its intent. */
static void
test_an_adopter_asks_when_it_was(void **state)
{
    struct ew_ca_order orders[1];

    (void)state;
    goes_unknown();
    orders[0] = order_of("CE1", 0);
    adopts_again(&w.enrollments);
    while (asked(LIST) != NULL)
        replies(LIST, (struct ew_ca_reply){.cls = EW_CA_OK});
    pass(20 * MINUTE); /* long ago by now */
    enrolls_for_their_key("r-1", true);
    walked("lookup claim reconcile");
    shows_for(LIST, QUIET + ORDER_MS, orders, 1);
    walked("verify undo");
}

static void
people_say_again(int64_t offset)
{
    struct ew_resume again = {.action = EW_RESUME_RETRY,
                              .request_id = "r-1",
                              .reason = "",
                              .source = {.topic = "epki.enrollment.requests", .offset = offset},
                              .waiting_offset = -1};

    ew_room_publish(w.flow, &again);
    pass(1000);
}

/* The parked record takes the place of the intent's: it says when that was. */
static void
test_an_adopter_that_cannot_look_keeps_the_date(void **state)
{
    struct ew_ca_order ours;
    int64_t sent;

    (void)state;
    goes_unknown();
    ours = order_of("CE1", 0);
    sent = inflight(EW_INFLIGHT_ORDERING).ca_date_ms;
    adopts_again(&w.enrollments);
    pass(20 * MINUTE);
    w.setting.name = "another";
    enrolls_for_their_key("r-1", true);
    pass(100);
    walked("lookup claim reconcile publish answered");
    assert_string_equal(w.parked, "setting-gone");
    assert_int_equal(inflight(EW_INFLIGHT_PARKED).ca_date_ms, sent);

    w.setting.name = "vpn";
    people_say_again(0);
    walked("lookup claim reconcile");
    shows_for(LIST, QUIET + ORDER_MS, &ours, 1);
    walked("verify undo");
    assert_null(asked(ORDER));
}

/* Whatever bears its name may be it then: people look, as often as they say so. */
static void
test_what_is_parked_without_a_date_gets_none(void **state)
{
    struct ew_ca_order order;

    (void)state;
    unheard();
    w.ca_silent = true;
    enrolls_for_their_key("r-1", false);
    replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_UNKNOWN, .problem = "ca-timeout"});
    walked(UNTIL_ORDER " reconcile");
    order = order_of("CE1", 0);
    for (int i = 0; i < 2; i++) {
        parks(&order, 1);
        assert_int_equal(inflight(EW_INFLIGHT_PARKED).ca_date_ms, 0);
        people_say_again(0);
        walked("lookup claim reconcile");
    }
}

/* Nor does what comes back from the room, having looked for long. */
static void
test_what_waits_without_a_date_gets_none(void **state)
{
    struct ew_ca_order order;

    (void)state;
    unheard();
    w.ca_silent = true;
    enrolls_for_their_key("r-1", false);
    replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_UNKNOWN, .problem = "ca-timeout"});
    order = order_of("CE1", 0);
    order.order_status = EW_CA_ST_WAITING;
    order.certificate = "";
    for (int i = 0; i < 1000 && w.parked_as != EW_REC_WAITING; i++)
        shows_for(LIST, 100, &order, 1);
    walked(UNTIL_ORDER " reconcile leave answered");
    assert_true(inflight(EW_INFLIGHT_WAITING).has_ordered);
    assert_int_equal(inflight(EW_INFLIGHT_WAITING).ca_date_ms, 0);
    order = order_of("CE1", 0);
    shows_for(LIST, w.config.time.poll_max_ms + QUIET + 2 * ORDER_MS, &order, 1);
    walked("lookup claim reconcile publish answered");
    assert_string_equal(w.parked, "orders-ambiguous");
}

/* Deposed with its order in the air, and told of it when the adopter has long ended that order and
 * looks for the next one: the dead key is not delivered for it. */
static void
test_what_is_told_late_of_an_ended_order(void **state)
{
    struct ew_ca_reply late = {
        .order_id = "CE1", .certificate = "", .field = "", .problem = "", .message = ""};
    struct ew_ca_order ours;
    struct ew_ca_call first;

    (void)state;
    enrolls_for_their_key("r-1", false);
    first = *asked(ORDER);
    assert_true(first.gate(first.arg));
    asked(ORDER)->open = false;
    ours = order_of("CE1", 0);
    is_lost(&w.enrollments);
    w.sealed_enter = &w.later_owned;
    w.remembers = true;
    adopt(&w.later_owned, EW_LANE_ENROLLMENT, "epki.enrollment.requests");
    w.walk[0] = '\0';
    enrolls_for_their_key("r-1", true);
    shows_for(LIST, QUIET + 2 * ORDER_MS, &ours, 1);
    order_ends("CE1");
    walked("lookup claim reconcile verify undo " ORDERED_AGAIN);
    replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_UNKNOWN, .problem = "ca-timeout"});
    walked("reconcile");

    late.pkcs12 = pkcs12(first.pin, CN);
    first.done(first.arg, &late);
    pass(0);
    assert_string_equal(w.saved_order, "CE1");
    assert_true(w.saved.len > 0);
    assert_int_equal(w.saved_attempt, 1);
    for (int i = 0; i < 200 && asked(ORDER) == NULL; i++)
        shows_for(LIST, 100, NULL, 0);
    walked(ORDERED_AGAIN);
    replies(ORDER,
            (struct ew_ca_reply){.order_id = "CE3", .pkcs12 = pkcs12(asked(ORDER)->pin, CN)});
    walked("verify publish answered");
    assert_string_equal(answered(EW_RES_ISSUED)->certificate.order_id, "CE3");
}

/* Each lost order is one too many: five, and people look. */
static void
test_keys_that_are_lost_again_and_again(void **state)
{
    static const char *const ids[] = {"CE1", "CE2", "CE3", "CE4", "CE5"};
    struct ew_ca_order last;

    (void)state;
    w.account.order_ms = 1000;
    goes_unknown();
    for (int i = 0; i < 5; i++) {
        struct ew_ca_order ours = order_of(ids[i], 0);

        shows_for(LIST, QUIET + 3000, &ours, 1);
        walked("verify undo");
        order_ends(ids[i]);
        walked(ORDERED_AGAIN);
        replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_UNKNOWN, .problem = "ca-timeout"});
        walked("reconcile");
    }
    last = order_of("CE6", 0);
    shows_for(LIST, QUIET + 3000, &last, 1);
    walked("verify publish answered");
    assert_string_equal(w.parked, "keys-lost-again-and-again");
    assert_string_equal(inflight(EW_INFLIGHT_PARKED).lost_orders, "CE1 CE2 CE3 CE4 CE5");
    assert_string_equal(inflight(EW_INFLIGHT_PARKED).order_id, "CE6");
    assert_int_equal(w.account_events, 5);
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
    const struct CMUnitTest tests[] = {
        ROW(test_the_lone_order_is_ours),
        ROW(test_never_before_the_quiet_period),
        ROW(test_of_two_people_decide),
        ROW(test_those_that_are_told_apart_do_not_count),
        ROW(test_what_is_like_ours_is_not_cancelled),
        ROW(test_what_is_not_ours_is_left_alone),
        ROW(test_one_that_was_ended_is_not_ordered_again),
        ROW(test_one_that_we_ended_is_passed_over),
        ROW(test_one_that_we_ended_is_known_by_its_id),
        ROW(test_one_that_did_not_fit_is_not_one_whose_key_is_lost),
        ROW(test_an_unfinished_one_is_waited_for),
        ROW(test_without_a_canary_no_order_is_anybodys),
        ROW(test_an_order_that_another_takes),
        ROW(test_an_adopter_asks_when_it_was),
        ROW(test_an_adopter_that_cannot_look_keeps_the_date),
        ROW(test_what_is_parked_without_a_date_gets_none),
        ROW(test_what_waits_without_a_date_gets_none),
        ROW(test_what_is_told_late_of_an_ended_order),
        ROW(test_keys_that_are_lost_again_and_again),
    };

    return cmocka_run_group_tests(tests, keys_begin, keys_end);
}
