/*
 * Whole lives of enrolments, and above all what becomes of an order whose reply was lost: found at
 * once, "none" only after the quiet period and only from whole lists, everything else waits.
 */
#include "world.h"

#define DAY_MS INT64_C(86400000)

static void
goes_unknown(void)
{
    enrolls("r-1", "", false);
    replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_UNKNOWN, .problem = "ca-timeout"});
    walked(UNTIL_ORDER " reconcile");
}

static struct ew_ca_order
order_of(const char *order_id, int status, const char *cert)
{
    return (struct ew_ca_order){
        .order_id = order_id, .order_status = status, .cn = CN, .certificate = cert};
}

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

/* GlobalSign's clock is known from another order's reply. */
static void
clock_is_known(void)
{
    enrolls("r-0", "", false);
    replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_REJECTED});
    w.walk[0] = '\0';
    w.event_count = 0;
}

/* One that was cancelled before it was issued shows nobody whose it was. */
static void
test_a_cancelled_order_may_have_been_ours(void **state)
{
    struct ew_ca_order cancelled = order_of("CE1", EW_CA_ST_CANCELLED, "");
    struct ew_resume again = {.action = EW_RESUME_RETRY,
                              .request_id = "r-1",
                              .reason = "",
                              .source = {.topic = "epki.enrollment.requests", .offset = 1}};

    (void)state;
    clock_is_known();
    goes_unknown();
    cancelled.request_ms = ca_now();
    shows_for(LIST, QUIET - 1000, &cancelled, 1);
    walked("");
    shows_for(LIST, 3500, &cancelled, 1);
    walked("publish answered");
    assert_string_equal(w.parked, EW_CANCELLED_REASON);
    assert_null(asked(ORDER));

    ew_room_publish(w.flow, &again); /* people have looked */
    shows_for(LIST, QUIET + 2500, &cancelled, 1);
    walked("lookup claim reconcile " ORDERED_AGAIN);
}

static void
test_a_cancelled_order_of_before_is_nobodys_concern(void **state)
{
    struct ew_ca_order cancelled = order_of("CE1", EW_CA_ST_CANCELLED, "");

    (void)state;
    clock_is_known();
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

static void
test_key_used_and_none_is_a_refusal(void **state)
{
    (void)state;
    enrolls("r-1", "", false);
    replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_KEY_USED, .code = -6007});
    shows_for(LIST, QUIET + 2500, NULL, 0);
    walked(UNTIL_ORDER " reconcile publish answered");
    assert_string_equal(answered(EW_RES_REJECTED)->failure.problem, "key-used");
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

/* --- another event of the request came first --- */

/* r-1 is answered at offset 0; the same comes again, and had been begun with: Redis had lost it. */
static struct ew_ca_order
answered_elsewhere(enum ew_record_state state)
{
    const char *cert = certificate(NULL, NULL, NULL);

    enrolls("r-1", "", false);
    replies(ORDER, (struct ew_ca_reply){.order_id = "CE1", .certificate = cert});
    w.walk[0] = '\0';
    w.event_count = 0;
    w.holder = w.view.source = (struct ew_source){.topic = "epki.enrollment.requests", .offset = 0};
    w.outcome = w.state;
    w.view.state = state;
    return order_of("CE1", EW_CA_ST_ISSUED, cert);
}

static void
is_duplicate(void)
{
    const struct ew_event *event = answered(EW_RES_ISSUED);

    assert_true(event->duplicate);
    assert_int_equal(event->source.offset, 1);
    assert_int_equal(event->first.offset, 0);
}

/* Its claim met a silent Redis, and so it searches. What Redis says later is heard. */
static void
test_a_duplicate_that_searches_is_told_so(void **state)
{
    (void)state;
    (void)answered_elsewhere(EW_REC_DONE);
    w.store.away = true;
    enrolls("r-1", "", true);
    w.store.away = false;
    w.claim_as = EW_CLAIM_DUPLICATE;
    shows_for(LIST, QUIET - 1000, NULL, 0);
    walked("lookup claim reconcile claim publish answered");
    is_duplicate();
}

/* Nobody held it when the search began: whose it is, is asked again when the order is found. */
static void
test_a_found_order_may_be_anothers_by_then(void **state)
{
    struct ew_ca_order order = answered_elsewhere(EW_REC_ABSENT);

    (void)state;
    enrolls("r-1", "", true);
    walked("lookup claim reconcile");
    w.view.state = EW_REC_DONE;
    w.claim_as = EW_CLAIM_DUPLICATE;
    shows(LIST, &order, 1);
    walked("claim publish answered");
    is_duplicate();
}

static void
test_a_duplicate_that_searches_waits_for_the_first(void **state)
{
    struct ew_ca_order order = answered_elsewhere(EW_REC_ABSENT);

    (void)state;
    w.offset_state = EW_OFFSET_OPEN;
    enrolls("r-1", "", true);
    w.view.state = EW_REC_OUTCOME; /* known to who holds it, and his to tell */
    w.claim_as = EW_CLAIM_WAIT;
    shows(LIST, &order, 1);
    pass(QUIET);
    walked("lookup claim reconcile claim wait_other");
    w.view.state = EW_REC_DONE;
    w.claim_as = EW_CLAIM_DUPLICATE;
    pass(QUIET);
    walked("claim publish answered");
    is_duplicate();
}

/* Offsets and Redis were lost, and this one waits in the room: from there it is answered. */
static void
test_who_left_before_is_not_answered_here_as_well(void **state)
{
    static const enum ew_record_state left[] = {EW_REC_WAITING, EW_REC_PARKED};
    struct ew_ca_order order = order_of("CE1", EW_CA_ST_ISSUED, certificate(NULL, NULL, NULL));
    const char *ids[] = {"r-1", "r-2"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        w.view.state = EW_REC_ABSENT;
        enrolls(ids[i], "", true);
        walked("lookup claim reconcile");
        w.view.source =
            (struct ew_source){.topic = "epki.enrollment.requests", .offset = i}; /* its own */
        w.view.state = left[i];
        w.claim_as = EW_CLAIM_DONE;
        shows(LIST, &order, 1);
        walked("claim publish answered");
    }
    assert_int_equal(w.event_count, 2); /* RECONCILING, of each */
}

/* Before Redis is rebuilt it does not know whose a request is. */
static void
test_what_is_found_during_a_rebuild_waits_for_its_end(void **state)
{
    struct ew_ca_order order = order_of("CE1", EW_CA_ST_ISSUED, certificate(NULL, NULL, NULL));

    (void)state;
    w.canary = "";
    enrolls("r-1", "", true);
    assert_true(shows_for(LIST, 2 * QUIET, &order, 1) > 1);
    walked("lookup claim reconcile");
    w.canary = CANARY;
    shows_for(LIST, QUIET, &order, 1);
    walked("verify publish answered");
    assert_false(answered(EW_RES_ISSUED)->duplicate);
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
    assert_int_equal(w.parked_as, EW_REC_PARKED);

    ew_room_publish(w.flow, &again); /* Redis may not have heard of the parking: it still counts */
    shows_for(LIST, QUIET + 2500, NULL, 0);
    walked("lookup claim reconcile " ORDERED_AGAIN);
    assert_int_equal(inflight(EW_INFLIGHT_ORDERING).vanished, 0);
}

/* --- lists that are cut off --- */

static void
capped(void)
{
    replies(LIST, (struct ew_ca_reply){.capped = true});
}

static void
test_capped_lists_are_asked_for_in_parts(void **state)
{
    int64_t sent, from, to;

    (void)state;
    clock_is_known();
    sent = ca_now();
    goes_unknown();
    pass(250);
    assert_int_equal(asked(LIST)->to_ms, 0); /* first without dates: no clock to trust */
    capped();
    from = asked(LIST)->from_ms;
    to = asked(LIST)->to_ms;
    assert_true(from == sent - DAY_MS && to == ca_now() + DAY_MS); /* by that clock alone */
    capped();
    assert_true(asked(LIST)->from_ms == from);
    assert_true(asked(LIST)->to_ms == from + (to - from) / 2); /* halved */
    shows(LIST, NULL, 0);
    assert_true(asked(LIST)->from_ms == from + (to - from) / 2); /* and the rest after it */
    assert_true(asked(LIST)->to_ms == to);
}

/* A list in parts is as old as its first one. */
static void
test_parts_count_from_the_first(void **state)
{
    (void)state;
    goes_unknown();
    capped();
    capped();
    pass(QUIET + 500);
    shows(LIST, NULL, 0);
    shows(LIST, NULL, 0); /* asked for after the quiet period, but it is the second half */
    pass(2000);
    assert_string_equal(asked(LIST)->cn, CN); /* from the beginning again */
    assert_int_equal(asked(LIST)->to_ms, 0);
}

/* What cannot be made whole proves nothing, whichever of the two lists it is. */
static void
test_torn_lists_never_say_none(void **state)
{
    (void)state;
    for (int by_name = 0; by_name < 2; by_name++) {
        goes_unknown();
        for (int64_t end = w.boot_ms + 3 * QUIET; w.boot_ms < end; pass(100))
            while (asked(LIST) != NULL)
                if ((asked(LIST)->cn[0] != '\0') == by_name)
                    capped();
                else
                    shows(LIST, NULL, 0);
        walked("");
        assert_null(asked(ORDER));
        (void)world_end(NULL);
        (void)world_begin(NULL);
    }
}

static void
test_capped_without_a_clock_is_torn(void **state)
{
    struct ew_windows windows = {.torn = false};

    (void)state;
    assert_false(ew_windows_next(&windows, true, 0, 1000));
    assert_true(windows.torn);
}

static void
test_windows_cover_everything_once(void **state)
{
    struct ew_windows windows = {.torn = false};
    int64_t covered, parts = 0;

    (void)state;
    assert_true(ew_windows_next(&windows, true, NOW_MS, NOW_MS - 10000000));
    covered = windows.from_ms;
    assert_true(windows.end_ms > NOW_MS);
    for (int step = 0;; step++) {
        /* each part is cut off twice before it comes whole, unless it is small */
        bool cut = step % 3 != 2 && windows.to_ms - windows.from_ms > 60000;

        if (!cut) {
            assert_true(windows.from_ms == covered);
            assert_true(windows.to_ms > windows.from_ms);
            covered = windows.to_ms;
            parts++;
        }
        if (!ew_windows_next(&windows, cut, NOW_MS, 0))
            break;
        assert_true(windows.to_ms <= windows.end_ms && windows.from_ms <= windows.end_ms);
    }
    assert_false(windows.torn);
    assert_true(covered == windows.end_ms);
    assert_true(parts > 2);
}

/* One second is never cut in two: it is torn instead. */
static void
test_windows_end(void **state)
{
    struct ew_windows windows = {.from_ms = 5000, .to_ms = 6000, .end_ms = 9000};

    (void)state;
    assert_false(ew_windows_next(&windows, true, NOW_MS, 0));
    assert_true(windows.torn);
    windows = (struct ew_windows){.from_ms = 5000, .to_ms = 6001, .end_ms = 9000};
    assert_true(ew_windows_next(&windows, true, NOW_MS, 0));
    assert_int_equal(windows.to_ms, 5500);
    windows = (struct ew_windows){.torn = false};
    assert_false(ew_windows_next(&windows, false, NOW_MS, 0)); /* whole without dates */
    assert_false(windows.torn);
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
        ROW(test_a_cancelled_order_of_before_is_nobodys_concern),
        ROW(test_a_cancelled_order_that_is_another_requests),
        ROW(test_key_used_and_none_is_a_refusal),
        ROW(test_a_wipe_begins_the_quiet_period_again),
        ROW(test_without_a_canary_nothing_is_ordered),
        ROW(test_an_adopter_looks_before_it_orders),
        ROW(test_a_duplicate_that_searches_is_told_so),
        ROW(test_a_found_order_may_be_anothers_by_then),
        ROW(test_who_left_before_is_not_answered_here_as_well),
        ROW(test_a_duplicate_that_searches_waits_for_the_first),
        ROW(test_what_is_found_during_a_rebuild_waits_for_its_end),
        ROW(test_five_that_vanished_are_enough),
        ROW(test_capped_lists_are_asked_for_in_parts),
        ROW(test_parts_count_from_the_first),
        ROW(test_torn_lists_never_say_none),
        cmocka_unit_test(test_capped_without_a_clock_is_torn),
        cmocka_unit_test(test_windows_cover_everything_once),
        cmocka_unit_test(test_windows_end),
    };

    return cmocka_run_group_tests(tests, keys_begin, keys_end);
}
