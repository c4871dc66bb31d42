/*
 * Orders that do not bring what was asked for: told before they are ended, and not forgotten by who
 * takes their request over.
 */
#include "world.h"

#define TOLD "compensated order-mismatch r-1 CE1"

static struct ew_ca_order
order_of(int status, const char *cert)
{
    return (struct ew_ca_order){
        .order_id = "CE1", .order_status = status, .cn = CN, .email = "", .certificate = cert};
}

static const char *
misfit_certificate(bool key)
{
    return key ? certificate(NULL, NULL, other_key) : certificate("Eve Else", NULL, NULL);
}

/* Its order comes back with another key, or under another name. */
static void
misfits(bool key)
{
    enrolls("r-1", "", false);
    w.holder = w.view.source = (struct ew_source){.topic = "epki.enrollment.requests", .offset = 0};
    replies(ORDER, (struct ew_ca_reply){.order_id = "CE1", .certificate = misfit_certificate(key)});
}

static void
is_rejected(const char *problem)
{
    const struct ew_event *event = answered(EW_RES_REJECTED);

    assert_int_equal(event->failure.cls, EW_FAIL_MISMATCH);
    assert_string_equal(event->failure.problem, problem);
    assert_true(event->failure.cause[0] != '\0');
    assert_string_equal(event->certificate.order_id, "CE1");
    assert_int_equal(w.account_events, 1); /* told once, whoever answers */
}

/* By Redis, and by epki.inflight, should Redis lose it. */
static void
is_kept(enum ew_inflight_kind kind, const char *problem)
{
    struct ew_inflight_record record = inflight(kind);
    char begins[64];

    (void)snprintf(begins, sizeof(begins), "CE1\n%s\n", problem);
    assert_non_null(record.misfit);
    assert_memory_equal(record.misfit, begins, strlen(begins));
    assert_int_equal(strlen(record.misfit), w.misfit.len);
    assert_memory_equal(record.misfit, w.misfit.data, w.misfit.len);
    assert_string_equal(record.order_id, "CE1");
    assert_int_equal(record.attempt, 1);
    assert_int_equal(record.key_count, 1); /* which an answer has to list */
}

/* Its owner dies when the order is ended, and nothing is answered yet. */
static void
comes_to_another(enum ew_claimed says)
{
    adopts_again(&w.enrollments);
    w.claim_as = (int)says;
    enrolls("r-1", "", true);
}

static void
test_is_told_and_ended(void **state)
{
    (void)state;
    for (int key = 0; key < 2; key++) {
        misfits(key == 1);
        walked(UNTIL_ORDER " verify undo");
        assert_null(asked(CANCEL));
        assert_string_equal(w.account_told, TOLD); /* before anything is asked of GlobalSign */
        is_kept(EW_INFLIGHT_ORDERING, key == 1 ? "cert-key" : "cert-name");
        order_ends("CE1");
        walked("publish answered");
        is_rejected(key == 1 ? "cert-key" : "cert-name");
        (void)world_end(NULL);
        (void)world_begin(NULL);
    }
}

/* It is not ended while Kafka does not take the news of it. */
static void
test_it_is_told_again_until_it_is_heard(void **state)
{
    (void)state;
    enrolls("r-1", "", false);
    w.commit_as = EW_COMMIT_REFUSED;
    replies(ORDER,
            (struct ew_ca_reply){.order_id = "CE1", .certificate = misfit_certificate(true)});
    walked(UNTIL_ORDER " verify");
    assert_null(asked(LOOK));
    assert_int_equal(w.account_events, 0);
    assert_null(inflight(EW_INFLIGHT_ORDERING).misfit);
    assert_int_equal(w.misfit_asked, 0); /* nor is Redis told what nobody may have heard */
    pass(w.config.time.retry_max_ms);
    walked("undo");
    assert_string_equal(w.account_told, TOLD);
    order_ends("CE1");
    walked("publish answered");
    is_rejected("cert-key");
    assert_int_equal(w.account_events, 1);
}

/* Who lost the partition meanwhile tells nothing, and ends nothing. */
static void
test_one_who_cannot_tell_it_does_not_end_it(void **state)
{
    (void)state;
    enrolls("r-1", "", false);
    w.commit_as = EW_COMMIT_LOST;
    replies(ORDER,
            (struct ew_ca_reply){.order_id = "CE1", .certificate = misfit_certificate(true)});
    walked(UNTIL_ORDER " verify dropped");
    assert_null(asked(LOOK));
    assert_int_equal(w.misfit.len, 0);
    assert_int_equal(w.account_events, 0);
}

/* A Redis that is away, or being rebuilt by who has read Kafka already, would leave the next owner
 * without word: it ends then, or not at all. */
static void
test_redis_hears_of_it_before_it_is_ended(void **state)
{
    (void)state;
    for (int away = 0; away < 2; away++) {
        enrolls("r-1", "", false);
        w.misfit_as = EW_TR_NO_CANARY;
        replies(ORDER,
                (struct ew_ca_reply){.order_id = "CE1", .certificate = misfit_certificate(true)});
        w.store.away = away == 1;
        pass(60000);
        walked(UNTIL_ORDER " verify");
        assert_true(w.misfit_asked > 1);
        assert_int_equal(w.account_events, 1);
        w.store.away = false;
        w.misfit_as = EW_TR_OK;
        pass(w.config.time.retry_max_ms);
        walked("undo");
        is_kept(EW_INFLIGHT_ORDERING, "cert-key");
        order_ends("CE1");
        walked("publish answered");
        is_rejected("cert-key");
        (void)world_end(NULL);
        (void)world_begin(NULL);
    }
}

/* Found by who has not heard from Redis which attempt it is. */
static void
test_one_that_was_found_without_redis_is_claimed_first(void **state)
{
    struct ew_ca_order order = order_of(EW_CA_ST_ISSUED, misfit_certificate(false));

    (void)state;
    w.store.away = true;
    enrolls("r-1", "", true);
    walked("lookup claim reconcile");
    w.store.away = false;
    w.claim_as = EW_CLAIM_RECONCILE;
    shows_for(LIST, 2500, &order, 1);
    walked("verify claim reconcile pending");
    assert_int_equal(w.account_events, 0);
    shows(LOOK, &order, 1);
    walked("verify undo");
    is_kept(EW_INFLIGHT_ORDERING, "cert-name");
    order_ends("CE1");
    is_rejected("cert-name");
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

/* It might be another request's, told by mistake: nothing is ended before Redis can say whose. */
static void
test_it_waits_for_a_silent_redis(void **state)
{
    (void)state;
    enrolls("r-1", "", false);
    w.store.away = true;
    replies(ORDER,
            (struct ew_ca_reply){.order_id = "CE1", .certificate = misfit_certificate(true)});
    pass(60000);
    walked(UNTIL_ORDER " verify");
    assert_int_equal(w.account_events, 0);
    w.store.away = false;
    pass(w.config.time.retry_max_ms);
    walked("undo");
    order_ends("CE1");
    walked("publish answered");
    is_rejected("cert-key");
}

/* r-1 is answered at offset 0, and Redis had lost it when the same came again: it was ordered once
 * more. Redis has it back by the time that order turns out not to fit. */
static void
another_event_has(enum ew_record_state state)
{
    enrolls("r-1", "", false);
    replies(ORDER,
            (struct ew_ca_reply){.order_id = "CE1", .certificate = certificate(NULL, NULL, NULL)});
    (void)answered(EW_RES_ISSUED);
    w.walk[0] = '\0';
    w.event_count = 0;
    enrolls("r-1", "", false);
    w.outcome = w.state;
    w.view.state = state;
    w.holder = w.view.source = (struct ew_source){.topic = "epki.enrollment.requests", .offset = 0};
    replies(ORDER,
            (struct ew_ca_reply){.order_id = "CE2", .certificate = misfit_certificate(true)});
    walked(UNTIL_ORDER " verify undo");
    assert_string_equal(w.account_told, "compensated order-mismatch r-1 CE2");
    assert_int_equal(w.misfit.len, 0); /* not of the other's record */
}

static void
repeats_the_first(void)
{
    const struct ew_event *event = answered(EW_RES_ISSUED);

    assert_true(event->duplicate);
    assert_string_equal(event->certificate.order_id, "CE1");
    assert_int_equal(event->first.offset, 0);
    assert_int_equal(w.account_events, 1);
    assert_null(asked(ORDER));
}

/* Its order goes, and it says what the other one was answered; not before Redis tells that. */
static void
test_another_event_answers_its_request(void **state)
{
    (void)state;
    for (int deaf = 0; deaf < 2; deaf++) {
        another_event_has(EW_REC_DONE);
        w.claim_as = EW_CLAIM_DUPLICATE;
        w.deaf_claims = deaf;
        order_ends("CE2");
        walked(deaf ? "claim" : "claim publish answered");
        assert_null(asked(LOOK));
        pass(w.config.time.retry_max_ms);
        walked(deaf ? "publish answered" : "");
        repeats_the_first();
        (void)world_end(NULL);
        (void)world_begin(NULL);
    }
}

static void
test_another_event_is_waited_for(void **state)
{
    (void)state;
    w.offset_state = EW_OFFSET_OPEN;
    another_event_has(EW_REC_CALLING);
    w.claim_as = EW_CLAIM_WAIT;
    order_ends("CE2");
    pass(QUIET);
    walked("claim wait_other");
    w.view.state = EW_REC_DONE;
    w.claim_as = EW_CLAIM_DUPLICATE;
    pass(QUIET);
    walked("claim publish answered");
    repeats_the_first();
}

/* Redis lost the other one once more: the request is this event's after all, and had its order. */
static void
test_another_event_is_gone(void **state)
{
    (void)state;
    another_event_has(EW_REC_CALLING);
    w.view.state = EW_REC_ABSENT;
    order_ends("CE2");
    walked("claim publish answered");
    assert_string_equal(answered(EW_RES_REJECTED)->failure.problem, "cert-key");
    assert_string_equal(answered(EW_RES_REJECTED)->certificate.order_id, "CE2");
    assert_int_equal(w.account_events, 1);
    assert_null(asked(ORDER));
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
        ROW(test_is_told_and_ended),
        ROW(test_it_is_told_again_until_it_is_heard),
        ROW(test_one_who_cannot_tell_it_does_not_end_it),
        ROW(test_redis_hears_of_it_before_it_is_ended),
        ROW(test_one_that_was_found_without_redis_is_claimed_first),
        ROW(test_it_is_not_forgotten_in_the_room),
        ROW(test_it_is_kept_for_people_where_it_cannot_be_ended),
        ROW(test_an_adopter_rejects_as_its_owner_would_have),
        ROW(test_a_polled_order_that_an_adopter_finds_ended),
        ROW(test_an_adopter_hears_of_it_late),
        ROW(test_without_redis_it_is_ordered_again),
        ROW(test_without_redis_another_name_is_seen),
        ROW(test_it_waits_for_a_silent_redis),
        ROW(test_another_event_answers_its_request),
        ROW(test_another_event_is_waited_for),
        ROW(test_another_event_is_gone),
        ROW(test_what_says_nothing_is_not_obeyed),
    };

    return cmocka_run_group_tests(tests, keys_begin, keys_end);
}
