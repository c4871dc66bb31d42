/*
 * Orders that do not bring what was asked for: kept and told before they are ended, and whose they
 * are.
 */
#include "misfit.h"

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
    assert_int_equal(w.misfit.data[0], '!'); /* it may not have been told, says Redis */
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
    assert_int_equal(w.misfit.data[0], '!');
    assert_int_equal(w.account_events, 0);
}

/* Another has it by now, or Redis was rebuilt: the claim says who, and then it is judged again. */
static void
test_one_that_redis_does_not_keep_is_claimed_again(void **state)
{
    struct ew_ca_order order = order_of(EW_CA_ST_ISSUED, misfit_certificate(true));

    (void)state;
    for (int told = 0; told < 2; told++) {
        enrolls("r-1", "", false);
        w.misfit_as = told == 0 ? EW_TR_REFUSED : EW_TR_OK;
        w.misfit_then = told == 0 ? EW_TR_OK : EW_TR_REFUSED;
        w.claim_as = EW_CLAIM_RECONCILE;
        replies(ORDER,
                (struct ew_ca_reply){.order_id = "CE1", .certificate = misfit_certificate(true)});
        if (told == 0) {
            walked(UNTIL_ORDER " verify claim reconcile pending");
            assert_int_equal(w.account_events, 0);
            pass(w.config.time.poll_first_ms);
            shows(LOOK, &order, 1);
            walked("verify undo");
        } else { /* that it does not fit it knows by itself */
            walked(UNTIL_ORDER " verify claim reconcile verify undo");
        }
        assert_null(asked(ORDER));
        order_ends("CE1");
        walked("publish answered");
        is_rejected("cert-key");
        (void)world_end(NULL);
        (void)world_begin(NULL);
    }
}

/* Redis lost this one's record meanwhile, and has another event's of the same request: its order
 * goes, and that one's answer is this one's. */
static void
test_one_that_is_anothers_by_then_is_ended(void **state)
{
    (void)state;
    enrolls("r-1", "", false);
    w.misfit_then = EW_TR_NO_CANARY;
    replies(ORDER,
            (struct ew_ca_reply){.order_id = "CE1", .certificate = misfit_certificate(true)});
    walked(UNTIL_ORDER " verify");
    w.view.state = EW_REC_CALLING;
    w.holder = w.view.source = (struct ew_source){.topic = "epki.enrollment.requests", .offset = 7};
    w.claim_as = EW_CLAIM_WAIT;
    pass(w.config.time.retry_max_ms);
    walked("undo");
    assert_string_equal(w.account_told, TOLD);
    order_ends("CE1");
    walked("claim wait_other");
}

/* A Redis that is away, or being rebuilt by one who has read Kafka already, would leave the next
 * owner without word: neither is it told before it keeps it, nor ended before it has been asked
 * again. */
static void
test_redis_hears_of_it_before_it_is_ended(void **state)
{
    (void)state;
    for (int told = 0; told < 2; told++) {
        enrolls("r-1", "", false);
        w.misfit_as = told ? EW_TR_OK : EW_TR_NO_CANARY;
        w.misfit_then = EW_TR_NO_CANARY;
        replies(ORDER,
                (struct ew_ca_reply){.order_id = "CE1", .certificate = misfit_certificate(true)});
        pass(60000);
        walked(UNTIL_ORDER " verify");
        assert_true(w.misfit_asked > 2);
        assert_int_equal(w.account_events, told);
        w.misfit_then = EW_TR_OK;
        w.store.away = true;
        pass(60000);
        walked("");
        w.store.away = false;
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

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
    const struct CMUnitTest tests[] = {
        ROW(test_is_told_and_ended),
        ROW(test_it_is_told_again_until_it_is_heard),
        ROW(test_one_who_cannot_tell_it_does_not_end_it),
        ROW(test_one_that_redis_does_not_keep_is_claimed_again),
        ROW(test_one_that_is_anothers_by_then_is_ended),
        ROW(test_redis_hears_of_it_before_it_is_ended),
        ROW(test_one_that_was_found_without_redis_is_claimed_first),
        ROW(test_it_waits_for_a_silent_redis),
        ROW(test_another_event_answers_its_request),
        ROW(test_another_event_is_waited_for),
        ROW(test_another_event_is_gone),
    };

    return cmocka_run_group_tests(tests, keys_begin, keys_end);
}
