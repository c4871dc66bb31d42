/*
 * Another event of the request came first, and this one looks for an order all the same, for it had
 * been begun with and Redis had lost it: it is a duplicate, and answered only once.
 */
#include "reconcile.h"

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

/* Offsets and Redis were lost, and Redis is rebuilt in the middle of the search: the order that it
 * finds is that of its own answer, whatever became of the certificate or the setting since. */
static void
test_it_may_have_been_answered_itself(void **state)
{
    static const int statuses[] = {EW_CA_ST_ISSUED, EW_CA_ST_REVOKED};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct ew_ca_order order = answered_elsewhere(EW_REC_ABSENT);

        order.order_status = statuses[i % 2];
        if (i >= 2)
            w.setting.cn_template = "another ${first_name}"; /* it would not fit any more */
        adopts_again(&w.enrollments);
        enrolls("r-1", "", true);
        walked("lookup claim reconcile");
        w.view.state = EW_REC_DONE;
        w.claim_as = EW_CLAIM_DONE;
        shows(LIST, &order, 1);
        walked("claim publish answered");
        assert_null(asked(LOOK));
        assert_null(asked(CANCEL));
        assert_int_equal(w.event_count, 1); /* that it is looked for */
        assert_int_equal(w.account_events, 0);
        assert_int_equal(w.flow->job_count, 0);
        (void)world_end(NULL);
        (void)world_begin(NULL);
    }
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

/* Before Redis is rebuilt it does not know whose a request is, nor, when it knows the request
 * again, whose the order: answers are restored last. */
static void
test_what_is_found_during_a_rebuild_waits_for_its_end(void **state)
{
    static const enum ew_record_state restored[] = {EW_REC_ABSENT, EW_REC_UNKNOWN};

    (void)state;
    for (size_t i = 0; i < sizeof(restored) / sizeof(restored[0]); i++) {
        struct ew_ca_order order = order_of("CE1", EW_CA_ST_ISSUED, certificate(NULL, NULL, NULL));

        w.canary = "";
        w.view.state = restored[i];
        w.view.source = (struct ew_source){.topic = "epki.enrollment.requests"};
        enrolls("r-1", "", true);
        assert_true(shows_for(LIST, 2 * QUIET, &order, 1) > 1);
        walked("lookup claim reconcile");
        w.canary = CANARY;
        shows_for(LIST, QUIET, &order, 1);
        walked("verify publish answered");
        assert_false(answered(EW_RES_ISSUED)->duplicate);
        (void)world_end(NULL);
        (void)world_begin(NULL);
    }
}

/* And it does not take that order along when it leaves: it may be another's. */
static void
test_an_order_that_redis_did_not_confirm_stays_behind(void **state)
{
    struct ew_ca_order order = order_of("CE1", EW_CA_ST_ISSUED, certificate(NULL, NULL, NULL));

    (void)state;
    enrolls("r-1", "", true);
    w.store.away = true;
    shows_for(LIST, w.config.time.hold_max_ms + 2 * QUIET, &order, 1);
    walked("lookup claim reconcile leave answered lookup claim reconcile"); /* it is back */
    assert_string_equal(inflight(EW_INFLIGHT_WAITING).order_id, "");
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
    const struct CMUnitTest tests[] = {
        ROW(test_a_duplicate_that_searches_is_told_so),
        ROW(test_a_found_order_may_be_anothers_by_then),
        ROW(test_it_may_have_been_answered_itself),
        ROW(test_a_duplicate_that_searches_waits_for_the_first),
        ROW(test_who_left_before_is_not_answered_here_as_well),
        ROW(test_what_is_found_during_a_rebuild_waits_for_its_end),
        ROW(test_an_order_that_redis_did_not_confirm_stays_behind),
    };

    return cmocka_run_group_tests(tests, keys_begin, keys_end);
}
