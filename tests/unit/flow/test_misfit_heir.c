/*
 * Who takes over a request whose order does not fit: what he hears of it, and what becomes of that
 * where he hears nothing.
 */
#include "misfit.h"

/* Who comes then finds what Redis keeps: whatever key it has, its order is told and ended. */
static void
test_an_adopter_tells_what_may_not_have_been_told(void **state)
{
    (void)state;
    for (int times = 0; times < 2; times++) {
        misfits(true);
        w.misfit =
            (struct ew_blob){.data = (const uint8_t *)"!CE1\ncert-key\n\nAsk.\nx", .len = 21};
        w.account_events = 0; /* its owner's may have come to nothing */
        w.account_told[0] = '\0';
        comes_to_another(times == 0 ? EW_CLAIM_OUTCOME : EW_CLAIM_RECONCILE);
        walked(times == 0 ? "lookup claim verify undo" : "lookup claim reconcile verify undo");
        assert_string_equal(w.account_told, TOLD);
        is_kept(EW_INFLIGHT_ORDERING, "cert-key");
        order_ends("CE1");
        walked("publish answered");
        is_rejected("cert-key");
        (void)world_end(NULL);
        (void)world_begin(NULL);
    }
}

/* Its account is paused so long that it leaves; Redis is lost, and the order found ended. */
static void
test_it_is_not_forgotten_in_the_room(void **state)
{
    struct ew_ca_order ended = order_of(EW_CA_ST_CANCELLED_ISSUED, "");

    (void)state;
    misfits(true);
    w.token = EW_TOKEN_PAUSED;
    shows_for(LOOK, w.config.time.hold_max_ms + 2000, &ended, 0);
    walked(UNTIL_ORDER " verify undo leave answered");
    is_kept(EW_INFLIGHT_WAITING, "cert-key");
    assert_string_equal(inflight(EW_INFLIGHT_WAITING).reason, "undo");
    w.token = EW_TOKEN_GRANTED;
    w.misfit.len = 0;
    w.claim_as = EW_CLAIM_RECONCILE;
    shows_for(LOOK, w.config.time.poll_max_ms + 1000, &ended, 1);
    walked("lookup claim reconcile verify undo publish answered");
    is_rejected("cert-key");
    assert_null(asked(ORDER));
}

static void
test_it_is_kept_for_people_where_it_cannot_be_ended(void **state)
{
    struct ew_ca_order order = order_of(EW_CA_ST_ISSUED, "");
    struct ew_resume again = {.action = EW_RESUME_RETRY,
                              .request_id = "r-1",
                              .reason = "",
                              .source = {.topic = "epki.enrollment.requests"},
                              .waiting_offset = -1};

    (void)state;
    misfits(true);
    for (int64_t end = w.boot_ms + w.config.time.hold_max_ms; w.boot_ms < end; pass(100)) {
        if (asked(LOOK) != NULL)
            shows(LOOK, &order, 1);
        if (asked(CANCEL) != NULL)
            replies(CANCEL, (struct ew_ca_reply){.cls = EW_CA_REJECTED});
        if (asked(REVOKE) != NULL)
            replies(REVOKE, (struct ew_ca_reply){.cls = EW_CA_REJECTED});
    }
    walked(UNTIL_ORDER " verify undo publish answered");
    is_kept(EW_INFLIGHT_PARKED, "cert-key");
    w.misfit.len = 0; /* lost with Redis; GlobalSign was asked to end it, and people say RETRY */
    w.claim_as = EW_CLAIM_RECONCILE;
    ew_room_publish(w.flow, &again);
    pass(1000);
    walked("lookup claim reconcile verify undo");
    order_ends("CE1");
    walked("publish answered");
    is_rejected("cert-key");
}

static void
test_an_adopter_rejects_as_its_owner_would_have(void **state)
{
    (void)state;
    for (int key = 0; key < 2; key++) {
        struct ew_ca_order ended = order_of(EW_CA_ST_CANCELLED_ISSUED, "");

        misfits(key == 1);
        comes_to_another(EW_CLAIM_RECONCILE);
        shows(LOOK, &ended, 1);
        walked("lookup claim reconcile verify undo publish answered");
        is_rejected(key == 1 ? "cert-key" : "cert-name");
        assert_null(asked(ORDER));
        (void)world_end(NULL);
        (void)world_begin(NULL);
    }
}

/* Its certificate came by a poll: Redis has the order's id alone as its outcome. */
static void
test_a_polled_order_that_an_adopter_finds_ended(void **state)
{
    struct ew_ca_order order = order_of(EW_CA_ST_ISSUED, misfit_certificate(true));

    (void)state;
    enrolls("r-1", "", false);
    w.holder = w.view.source = (struct ew_source){.topic = "epki.enrollment.requests", .offset = 0};
    replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_PENDING, .order_id = "CE1"});
    pass(w.config.time.poll_first_ms);
    shows(LOOK, &order, 1);
    walked(UNTIL_ORDER " pending verify undo");
    order = order_of(EW_CA_ST_CANCELLED_ISSUED, "");
    comes_to_another(EW_CLAIM_OUTCOME);
    shows(LOOK, &order, 1);
    walked("lookup claim verify undo publish answered");
    is_rejected("cert-key");
}

/* The claim met a silent Redis: what it has is heard once it is back, be it by the search or by the
 * claim that would order again. */
static void
test_an_adopter_hears_of_it_late(void **state)
{
    struct ew_ca_order ended = order_of(EW_CA_ST_CANCELLED_ISSUED, "");

    (void)state;
    for (int64_t away = 0; away <= QUIET + 4000; away += QUIET + 4000) {
        misfits(true);
        w.store.away = true;
        comes_to_another(EW_CLAIM_RECONCILE);
        w.claim_as = -1;
        shows_for(LIST, away, NULL, 0);
        w.store.away = false;
        w.view.state = EW_REC_UNKNOWN;
        for (int64_t end = w.boot_ms + 20000; asked(LOOK) == NULL && w.boot_ms < end; pass(100))
            while (asked(LIST) != NULL)
                shows(LIST, NULL, 0);
        shows(LOOK, &ended, 1);
        assert_null(asked(ORDER));
        is_rejected("cert-key");
        (void)world_end(NULL);
        (void)world_begin(NULL);
    }
}

/* Redis has forgotten it: then another key is found nowhere, and the told order is not the last. */
static void
test_without_redis_it_is_ordered_again(void **state)
{
    struct ew_ca_order ended = order_of(EW_CA_ST_CANCELLED_ISSUED, misfit_certificate(true));

    (void)state;
    misfits(true);
    w.misfit.len = 0;
    comes_to_another(EW_CLAIM_RECONCILE);
    shows_for(LIST, QUIET + 2500, &ended, 1);
    walked("lookup claim reconcile " ORDERED_AGAIN);
    replies(ORDER,
            (struct ew_ca_reply){.order_id = "CE2", .certificate = certificate(NULL, NULL, NULL)});
    assert_string_equal(answered(EW_RES_ISSUED)->certificate.order_id, "CE2");
    assert_string_equal(w.account_told, TOLD);
    assert_int_equal(w.account_events, 1);
}

/* Under another name it is found, and its certificate says why it was ended. */
static void
test_without_redis_another_name_is_seen(void **state)
{
    struct ew_ca_order ended = order_of(EW_CA_ST_CANCELLED_ISSUED, NULL);

    (void)state;
    misfits(false);
    w.misfit.len = 0;
    comes_to_another(EW_CLAIM_RECONCILE);
    ended.certificate = misfit_certificate(false);
    shows(LIST, &ended, 1);
    walked("lookup claim reconcile publish answered");
    is_rejected("cert-name");
}

/* What another event's owner noted is no word about this one; nor is what nobody of us wrote. */
static void
test_what_says_nothing_is_not_obeyed(void **state)
{
    struct ew_ca_order ours = order_of(EW_CA_ST_ISSUED, NULL);
    static const char *const nothing[] = {"CE1", "CE1\ncert-key\nkey\n", "\ncert-key\nkey\n\nx"};

    (void)state;
    for (size_t i = 0; i <= sizeof(nothing) / sizeof(nothing[0]); i++) {
        const char *text = i == 0 ? "CE1\ncert-key\nkey\n\nx" : nothing[i - 1];

        w.misfit = (struct ew_blob){.data = (const uint8_t *)text, .len = strlen(text)};
        w.holder =
            (struct ew_source){.topic = "epki.enrollment.requests", .offset = i == 0 ? 7 : 0};
        w.claim_as = EW_CLAIM_RECONCILE;
        enrolls("r-1", "", true);
        ours.certificate = certificate(NULL, NULL, NULL);
        shows(LIST, &ours, 1);
        walked("lookup claim reconcile verify publish answered");
        (void)answered(EW_RES_ISSUED);
        (void)world_end(NULL);
        (void)world_begin(NULL);
    }
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
    const struct CMUnitTest tests[] = {
        ROW(test_an_adopter_tells_what_may_not_have_been_told),
        ROW(test_it_is_not_forgotten_in_the_room),
        ROW(test_it_is_kept_for_people_where_it_cannot_be_ended),
        ROW(test_an_adopter_rejects_as_its_owner_would_have),
        ROW(test_a_polled_order_that_an_adopter_finds_ended),
        ROW(test_an_adopter_hears_of_it_late),
        ROW(test_without_redis_it_is_ordered_again),
        ROW(test_without_redis_another_name_is_seen),
        ROW(test_what_says_nothing_is_not_obeyed),
    };

    return cmocka_run_group_tests(tests, keys_begin, keys_end);
}
