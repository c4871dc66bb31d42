/*
 * What stands in the way of orders: licences that are out, certificates that do not fit, a paused
 * account. Who is held costs nothing, one at a time tests the way, and who was held goes on.
 */
#include <limits.h>

#include "world.h"

static const struct ew_ca_reply no_licence = {
    .cls = EW_CA_LICENCE, .code = -6101, .problem = "ca-licence"};

static int
orders_open(void)
{
    int open = 0;

    for (size_t i = 0; i < CALLS; i++)
        open += w.calls[i].open && w.calls[i].verb == ORDER;
    return open;
}

static void
await_order(void)
{
    for (int64_t end = w.boot_ms + 60000; orders_open() == 0 && w.boot_ms < end;)
        pass(100);
    assert_int_equal(orders_open(), 1);
}

static void
order_is_issued(void)
{
    replies(ORDER,
            (struct ew_ca_reply){.order_id = "CE1", .certificate = certificate(NULL, NULL, NULL)});
}

static void
test_held_for_a_licence_and_on(void **state)
{
    (void)state;
    enrolls("r-1", "", false);
    replies(ORDER, no_licence);
    assert_true(told(EW_RES_HELD));
    walked("lookup claim queue intent calling order held");
    await_order();
    order_is_issued();
    answered(EW_RES_ISSUED);
    assert_false(told(EW_RES_RECONCILING)); /* nothing was created: nothing to look for */
}

static void
test_one_order_tests_the_way_for_all(void **state)
{
    int tests = 0;

    (void)state;
    w.config.time.poll_max_ms = 30000;
    w.config.time.hold_max_ms = INT_MAX;
    enrolls("r-1", "", false);
    replies(ORDER, no_licence);
    for (int i = 0; i < 5; i++)
        enrolls((const char *[]){"r-2", "r-3", "r-4", "r-5", "r-6"}[i], "", false);
    assert_int_equal(orders_open(), 0);
    for (int64_t end = w.boot_ms + 100000; w.boot_ms < end; pass(100)) {
        assert_true(orders_open() <= 1);
        if (orders_open() == 0)
            continue;
        tests++;
        replies(ORDER, no_licence);
    }
    assert_in_range(tests, 5, 13); /* backs off from one second to poll_max_ms */
    await_order();
    order_is_issued(); /* the way is free */
    pass(w.config.time.retry_max_ms);
    assert_int_equal(orders_open(), 5);
}

/* The one that tests may be dropped: another takes its place. */
static void
test_the_test_is_lost_with_its_order(void **state)
{
    struct ew_intake_events intake = ew_flow_intake(w.flow);
    struct ew_part other;

    (void)state;
    adopt(&other, EW_LANE_BULK, "epki.enrollment.bulk.requests");
    enrolls("r-1", "", false);
    replies(ORDER, no_licence);
    await_order();
    enrolls_at(&other, "r-2");
    pass(5000);
    assert_int_equal(orders_open(), 1);
    intake.lost(intake.arg, &w.enrollments);
    pass(w.config.time.retry_max_ms);
    assert_int_equal(orders_open(), 1);
    intake.lost(intake.arg, &other);
}

/* --- certificates that do not fit --- */

static void
test_a_wrong_usage_pauses_the_setting(void **state)
{
    struct ew_ca_order cancelled = {
        .order_id = "CE1", .order_status = EW_CA_ST_CANCELLED_ISSUED, .certificate = ""};

    (void)state;
    enrolls("r-1", "", false);
    replies(ORDER, (struct ew_ca_reply){
                       .order_id = "CE1",
                       .certificate = certificate(NULL, "extendedKeyUsage=serverAuth", NULL)});
    walked("lookup claim queue intent calling order verify held");
    assert_int_equal(w.account_events, 1);
    assert_null(asked(CANCEL)); /* a rotated issuing CA must not burn a licence pack */

    enrolls("r-2", "", false); /* no more orders of the setting */
    walked("lookup claim held");
    pass(10000);
    assert_null(asked(ORDER));
    assert_int_equal(w.account_events, 1);

    shows(LOOK, &cancelled, 1); /* people did */
    assert_string_equal(answered(EW_RES_REJECTED)->failure.problem, "order-cancelled");
}

/* People end it or do not: it is asked for as seldom as anything else that takes long. */
static void
test_what_is_held_is_looked_at_seldom(void **state)
{
    (void)state;
    w.config.time.poll_max_ms = 60000;
    w.config.time.hold_max_ms = INT32_MAX;
    enrolls("r-1", "", false);
    replies(ORDER, (struct ew_ca_reply){
                       .order_id = "CE1",
                       .certificate = certificate(NULL, "extendedKeyUsage=serverAuth", NULL)});
    pass(59000);
    assert_null(asked(LOOK));
    pass(1500);
    assert_non_null(asked(LOOK));
}

/* Looked at for hours; then what the CA made up for comes as it should. */
static void
test_what_is_held_for_long_keeps_its_memory(void **state)
{
    struct ew_ca_order order = {.order_id = "CE1", .order_status = EW_CA_ST_ISSUED};

    (void)state;
    w.config.time.hold_max_ms = INT32_MAX;
    enrolls("r-1", "", false);
    order.certificate = certificate(NULL, "extendedKeyUsage=serverAuth", NULL);
    replies(ORDER, (struct ew_ca_reply){.order_id = "CE1", .certificate = order.certificate});
    for (int looks = 0; looks < 3000; pass(100)) {
        if (asked(LOOK) == NULL)
            continue;
        shows(LOOK, &order, 1);
        w.walk[0] = '\0';
        looks++;
    }
    pass(w.config.time.poll_max_ms);
    order.certificate = certificate(NULL, NULL, NULL);
    shows(LOOK, &order, 1);
    assert_true(answered(EW_RES_ISSUED)->certificate.der.len > 0);
    assert_true(w.state.len > 0);
}

static void
test_a_wrong_name_is_cancelled_and_rejected(void **state)
{
    struct ew_ca_order order = {
        .order_id = "CE1", .order_status = EW_CA_ST_ISSUED, .certificate = ""};

    (void)state;
    enrolls("r-1", "", false);
    replies(ORDER, (struct ew_ca_reply){.order_id = "CE1",
                                        .certificate = certificate("Charles Babbage", NULL, NULL)});
    walked("lookup claim queue intent calling order verify undo");
    shows(LOOK, &order, 1);
    assert_string_equal(asked(CANCEL)->order_id, "CE1");
    replies(CANCEL, (struct ew_ca_reply){.cls = EW_CA_OK});
    shows(LOOK, &order, 1);
    assert_int_equal(w.event_count, 0); /* not before a query shows it */
    assert_null(asked(CANCEL));         /* nor hurried */
    pass(w.config.time.retry_max_ms);
    replies(CANCEL, (struct ew_ca_reply){.cls = EW_CA_ALREADY});
    order.order_status = EW_CA_ST_CANCELLED_ISSUED;
    shows(LOOK, &order, 1);
    walked("publish answered");
    assert_int_equal(answered(EW_RES_REJECTED)->failure.cls, EW_FAIL_MISMATCH);
    assert_int_equal(answered(EW_RES_REJECTED)->certificate.der.len, 0);
    assert_null(asked(ORDER));
}

/* --- the account --- */

static void
test_a_refused_account_pauses_and_tells_everyone_once(void **state)
{
    (void)state;
    enrolls("r-1", "", false);
    replies(ORDER,
            (struct ew_ca_reply){.cls = EW_CA_ACCOUNT, .code = -4201, .problem = "ca-address"});
    walked("lookup claim queue intent calling order claim queue");
    enrolls("r-2", "", false);
    pass(20000);
    assert_int_equal(orders_open(), 0);
    assert_int_equal(w.account_events, 1);
    assert_int_equal(w.events[0].result, EW_RES_HELD);
    assert_int_equal(w.events[0].failure.vendor_code, -4201);
    assert_int_equal(w.event_count, 2); /* each was told, and once */
    w.token = EW_TOKEN_GRANTED;
    pass(5000);
    assert_int_equal(orders_open(), 2);
}

static void
test_a_refused_query_pauses_it_too(void **state)
{
    (void)state;
    enrolls("r-1", "", false);
    replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_PENDING, .order_id = "CE1"});
    pass(1000);
    replies(LOOK,
            (struct ew_ca_reply){.cls = EW_CA_ACCOUNT, .code = -4201, .problem = "ca-address"});
    enrolls("r-2", "", false);
    pass(20000);
    assert_int_equal(w.account_events, 1);
    assert_int_equal(orders_open(), 0);
    assert_null(asked(LOOK));
    w.token = EW_TOKEN_GRANTED;
    pass(5000);
    assert_int_equal(orders_open(), 1);
    assert_non_null(asked(LOOK));
}

/* One query tests it; what it says decides. */
static void
test_a_paused_account_is_tested_by_a_query(void **state)
{
    (void)state;
    enrolls("r-1", "", false);
    replies(ORDER,
            (struct ew_ca_reply){.cls = EW_CA_ACCOUNT, .code = -4201, .problem = "ca-address"});
    w.token = EW_TOKEN_PROBE;
    pass(5000);
    assert_int_equal(orders_open(), 0);
    assert_string_equal(asked(PROFILES)->profile, w.setting.profile);
    replies(PROFILES,
            (struct ew_ca_reply){.cls = EW_CA_ACCOUNT, .code = -4201, .problem = "ca-address"});
    assert_int_equal(orders_open(), 0);
    w.token = EW_TOKEN_PROBE;
    pass(5000);
    replies(PROFILES, (struct ew_ca_reply){.cls = EW_CA_OK});
    pass(0);
    assert_int_equal(orders_open(), 1);
}

/* Connections that do not get ready in time are too many at once; what is refused at once is not.
 */
static void
test_fewer_orders_fly_when_connecting_takes_too_long(void **state)
{
    static const struct {
        const char *problem;
        int limit; /* of the next order; 20 before */
    } rows[] = {{"ca-connect-timeout", 18}, {"ca-unreachable", 20}, {"ca-gate", 20}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        w.flow->desks[0]->limit = w.account.orders_in_flight = 20;
        enrolls("r-1", "", false);
        replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_NOT_SENT, .problem = rows[i].problem});
        assert_true(w.flow->desks[0]->limit == rows[i].limit);
        pass(1000);
        assert_int_equal(orders_open(), 1);
        (void)world_end(NULL);
        (void)world_begin(NULL);
    }
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
    const struct CMUnitTest tests[] = {
        ROW(test_held_for_a_licence_and_on),
        ROW(test_one_order_tests_the_way_for_all),
        ROW(test_the_test_is_lost_with_its_order),
        ROW(test_a_wrong_usage_pauses_the_setting),
        ROW(test_what_is_held_is_looked_at_seldom),
        ROW(test_what_is_held_for_long_keeps_its_memory),
        ROW(test_a_wrong_name_is_cancelled_and_rejected),
        ROW(test_a_refused_account_pauses_and_tells_everyone_once),
        ROW(test_a_refused_query_pauses_it_too),
        ROW(test_a_paused_account_is_tested_by_a_query),
        ROW(test_fewer_orders_fly_when_connecting_takes_too_long),
    };

    return cmocka_run_group_tests(tests, keys_begin, keys_end);
}
