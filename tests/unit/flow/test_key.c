/*
 * Keys that the worker makes, in the flow: made once, kept with the claim, lost only when a claim
 * says so.
 */
#include "made_key.h"

static void
test_is_delivered_sealed(void **state)
{
    (void)state;
    enrolls_for_key("r-1", false);
    walked(UNTIL_CHECKED_ORDER);
    replies(ORDER, (struct ew_ca_reply){.order_id = "CE1",
                                        .certificate = certificate(NULL, NULL, w.csr_key)});
    walked("verify publish answered");
    assert_true(answered(EW_RES_ISSUED)->certificate.sealed_pkcs12.len > 0);
}

static void
test_an_adopter_delivers_it(void **state)
{
    struct ew_ca_order order = ordered_before();

    (void)state;
    enrolls_for_key("r-1", true);
    shows(LIST, &order, 1);
    walked("lookup claim reconcile verify publish answered");
    assert_true(answered(EW_RES_ISSUED)->certificate.sealed_pkcs12.len > 0);
}

/* Redis lost it while its order was in the air; whoever ordered lives, and has it still. */
static void
test_a_deposed_worker_brings_back_a_key_that_was_wiped(void **state)
{
    struct ew_ca_call *call;
    struct ew_blob made;

    (void)state;
    enrolls_for_key("r-1", false);
    walked(UNTIL_CHECKED_ORDER);
    call = asked(ORDER);
    assert_true(call->gate(call->arg));
    call->gate = NULL;
    made = w.wrapped;
    w.wrapped.len = 0;
    is_lost(&w.enrollments);
    replies(ORDER, (struct ew_ca_reply){.order_id = "CE1",
                                        .certificate = certificate(NULL, NULL, w.csr_key)});
    assert_int_equal(w.wrapped.len, made.len);
    assert_memory_equal(w.wrapped.data, made.data, made.len);
    w.outcome = w.saved;
    is_adopted(&w.enrollments);
    w.claim_as = EW_CLAIM_OUTCOME;
    enrolls_for_key("r-1", true);
    walked("lookup claim verify publish answered");
    assert_true(answered(EW_RES_ISSUED)->certificate.sealed_pkcs12.len > 0);
}

/* The room lists the key of an order in the air, whoever sent it: without, a rebuilt Redis could
 * not say what to look for. */
static void
test_the_room_lists_the_key_of_an_adopted_order(void **state)
{
    struct ew_ca_order doubt = ordered_before();

    (void)state;
    enrolls_for_key("r-1", true);
    doubt.order_status = EW_CA_ST_INITIAL;
    doubt.certificate = "";
    shows_for(LIST, w.config.time.hold_max_ms + 1000, &doubt, 1);
    walked("lookup claim reconcile leave answered");
    assert_true(inflight(EW_INFLIGHT_WAITING).has_ordered);
    assert_int_equal(inflight(EW_INFLIGHT_WAITING).key_count, 1);
    assert_memory_equal(inflight(EW_INFLIGHT_WAITING).keys[0], w.spki, sizeof(w.spki));
}

/* Nor does one who cannot say that: in place of its owner's record, should Redis be lost as well,
 * his would hide the order for good. He stays until he has heard. */
static void
test_an_adopter_who_has_not_heard_of_the_key_stays(void **state)
{
    struct ew_ca_order doubt = ordered_before();
    int64_t long_ms = w.config.time.hold_max_ms + QUIET + QUIET;

    (void)state;
    doubt.order_status = EW_CA_ST_INITIAL;
    doubt.certificate = "";
    w.store.away = true;
    enrolls_for_key("r-1", true);
    shows_for(LIST, long_ms, &doubt, 1);
    walked("lookup claim reconcile");
    w.store.away = false;
    w.canary = ""; /* nor from one that is being rebuilt */
    shows_for(LIST, long_ms, &doubt, 1);
    walked("");
    w.canary = CANARY;
    w.holder = w.view.source = (struct ew_source){.topic = "epki.enrollment.requests"};
    w.view.state = EW_REC_UNKNOWN;
    w.view.has_spki = true;
    memcpy(w.view.spki, w.spki, sizeof(w.spki));
    for (int i = 0; i < 100 && strstr(w.walk, "answered") == NULL; i++)
        shows_for(LIST, 100, &doubt, 1);
    walked("leave answered");
    assert_int_equal(inflight(EW_INFLIGHT_WAITING).key_count, 1);
    assert_memory_equal(inflight(EW_INFLIGHT_WAITING).keys[0], w.spki, sizeof(w.spki));
}

/* Such a record may lie there from before: the wrapped key itself says what to look for. */
static void
test_a_wrapped_key_says_what_to_look_for(void **state)
{
    struct ew_ca_order order = ordered_before();

    (void)state;
    w.has_spki = false;
    enrolls_for_key("r-1", true);
    pass(QUIET + 2000);
    shows(LIST, &order, 1);
    walked("lookup claim reconcile verify publish answered");
    assert_null(asked(ORDER));
}

/* A Redis that does not answer has lost nothing: adopted while it was away, found when it was back,
 * and then the one command that brings the key gets no answer. */
static void
test_a_key_that_was_not_asked_for_is_not_lost(void **state)
{
    struct ew_ca_order order = ordered_before();

    (void)state;
    w.store.away = true;
    enrolls_for_key("r-1", true);
    walked("lookup claim reconcile");
    w.store.away = false;
    w.view.has_spki = true;
    memcpy(w.view.spki, w.spki, sizeof(w.spki));
    w.deaf_claims = 3;
    shows_for(LIST, QUIET, &order, 1);
    for (int64_t end = w.boot_ms + 10000; w.boot_ms < end; pass(100)) {
        assert_null(asked(CANCEL));
        while (asked(LOOK) != NULL)
            shows(LOOK, &order, 1);
    }
    assert_true(answered(EW_RES_ISSUED)->certificate.sealed_pkcs12.len > 0);
    assert_int_equal(w.deaf_claims, 0);
}

/* Ordered once, away for long, ordered again because that vanished; and then the worker died. */
static void
test_an_adopted_resume_looks_for_its_own_order(void **state)
{
    struct ew_ca_order old, own;

    (void)state;
    enrolls_for_key("r-1", false);
    replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_PENDING, .order_id = "CE1"});
    old = issued("CE1");
    old.order_status = EW_CA_ST_WAITING;
    old.certificate = "";
    shows_for(LOOK, w.config.time.hold_max_ms + 1000, &old, 1);
    assert_string_equal(inflight(EW_INFLIGHT_WAITING).order_id, "CE1");
    w.resume_started = true;
    pass(w.config.time.poll_max_ms + 500);
    assert_null(asked(LOOK)); /* not for CE1, which has vanished */
    own = issued("CE2");
    shows_for(LIST, 3000, &own, 1);
    assert_string_equal(answered(EW_RES_ISSUED)->certificate.order_id, "CE2");
}

/* --- its key-encryption key was taken away --- */

#define K2 "k2:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=\n"
#define ANOTHER_K1 "k1:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=\n"

/* The worker was started with this file; NULL = with none. */
static struct ew_keks *
starts_with(const char *text)
{
    struct ew_keks *keks = NULL;
    struct temp_file file;
    struct ew_err err;

    if (text != NULL) {
        file = make_file(text, strlen(text));
        assert_int_equal(ew_keks_load(file.path, &keks, &err), EW_OK);
        (void)unlink(file.path);
    }
    w.flow->options.keks = keks;
    return keks;
}

static void
is_told_once(void)
{
    assert_int_equal(w.account_events, 1);
    assert_int_equal(w.errors, 1);
    assert_non_null(strstr(w.advised, "key-encryption key k1"));
    assert_non_null(strstr(w.advised, "back into kek_file"));
    assert_true(told(EW_RES_HELD));
}

/* Nothing is ended for it, nothing is asked, and a worker that has the key goes on. */
static void
test_a_key_that_is_shut_waits_for_its_kek(void **state)
{
    static const char *const files[] = {K2, ANOTHER_K1, NULL};

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct ew_ca_order order = ordered_before();
        struct ew_keks *keks = starts_with(files[i]);

        enrolls_for_key("r-1", true);
        shows(LIST, &order, 1);
        walked("lookup claim reconcile verify held");
        pass(w.config.time.hold_max_ms - 1000);
        walked("");
        assert_null(asked(LOOK));
        pass(2000);
        walked("leave answered");
        is_told_once();
        assert_true(inflight(EW_INFLIGHT_WAITING).wrapped_key.len > 0);
        assert_null(asked(CANCEL));
        w.flow->options.keks = w.keks;
        pass(w.config.time.poll_max_ms + 500);
        shows(LOOK, &order, 1);
        assert_true(answered(EW_RES_ISSUED)->certificate.sealed_pkcs12.len > 0);
        assert_string_equal(answered(EW_RES_ISSUED)->certificate.order_id, "CE1");
        ew_keks_free(keks);
        (void)world_end(NULL);
        (void)world_begin(NULL);
    }
    (void)state;
}

/* Claimed with its key by a worker that died before it ordered. */
static void
test_nothing_is_ordered_with_a_key_that_is_shut(void **state)
{
    struct ew_keks *keks;
    size_t intents;

    (void)state;
    (void)ordered_before();
    intents = w.inflight_count;
    keks = starts_with(K2);
    w.claim_as = EW_CLAIM_YES;
    enrolls_for_key("r-1", true);
    walked("lookup claim held");
    pass(3 * w.config.time.retry_max_ms);
    walked("claim held claim held claim held");
    assert_int_equal(w.inflight_count, intents);
    is_told_once();
    w.flow->options.keks = w.keks;
    pass(w.config.time.retry_max_ms);
    walked(ORDERED_AGAIN);
    ew_keks_free(keks);
}

/* What to look for is in the key alone. */
static void
test_a_key_that_is_shut_cannot_be_looked_for(void **state)
{
    struct ew_ca_order order = ordered_before();
    struct ew_keks *keks = starts_with(K2);

    (void)state;
    w.has_spki = false;
    enrolls_for_key("r-1", true);
    pass(QUIET + 2000);
    walked("lookup claim reconcile");
    is_told_once();
    assert_null(asked(LIST));
    w.flow->options.keks = w.keks;
    pass(w.config.time.reconcile_max_ms);
    shows(LIST, &order, 1);
    walked("verify publish answered");
    (void)answered(EW_RES_ISSUED);
    ew_keks_free(keks);
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
    const struct CMUnitTest tests[] = {
        ROW(test_is_delivered_sealed),
        ROW(test_an_adopter_delivers_it),
        ROW(test_a_deposed_worker_brings_back_a_key_that_was_wiped),
        ROW(test_the_room_lists_the_key_of_an_adopted_order),
        ROW(test_an_adopter_who_has_not_heard_of_the_key_stays),
        ROW(test_a_wrapped_key_says_what_to_look_for),
        ROW(test_a_key_that_was_not_asked_for_is_not_lost),
        ROW(test_an_adopted_resume_looks_for_its_own_order),
        ROW(test_a_key_that_is_shut_waits_for_its_kek),
        ROW(test_nothing_is_ordered_with_a_key_that_is_shut),
        ROW(test_a_key_that_is_shut_cannot_be_looked_for),
    };

    return cmocka_run_group_tests(tests, keys_begin, keys_end);
}
