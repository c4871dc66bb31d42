/*
 * Proof of the request record against a real Redis: its straight way, who gets it and what anybody
 * else is told, epochs, and one public key for one request at a time.
 */
#include "transitions.h"

static void
test_straight(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("r", 7, 3);
    struct ew_claim b = claim_of("r", 8, 3);

    assert_int_equal(lookup(fix, "r"), EW_REC_ABSENT);
    assert_int_equal(fix->canary, EW_CANARY_OK);
    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_int_equal(fix->view.state, EW_REC_CLAIMED);
    assert_int_equal(fix->view.attempt, 1);
    assert_int_equal(fix->view.epoch, 3);
    assert_string_equal(fix->view.source.topic, "requests");
    assert_int_equal(fix->view.source.offset, 7);
    assert_memory_equal(fix->view.digest, a.digest, 32);
    assert_true(fix->claim_canary[0] != '\0');

    assert_int_equal(claim(fix, &b), EW_CLAIM_WAIT);
    assert_int_equal(fix->view.source.offset, 7);
    assert_int_equal(calling(fix, &a, 1), EW_TR_OK);
    assert_int_equal(lookup(fix, "r"), EW_REC_CALLING);
    assert_int_equal(calling(fix, &a, 1), EW_TR_REFUSED);
    assert_int_equal(outcome(fix, &a, 1, "CE1", ""), EW_TR_OK);
    assert_int_equal(claim(fix, &b), EW_CLAIM_WAIT);
    assert_int_equal(outcome(fix, &a, 1, "", "cert"), EW_TR_OK);
    assert_int_equal(lookup(fix, "r"), EW_REC_OUTCOME);
    assert_string_equal(fix->order_id, "CE1");
    assert_string_equal(fix->outcome, "cert");
    assert_int_equal(done(fix, &a, "state"), EW_TR_OK);
    assert_int_equal(done(fix, &a, "other"), EW_TR_OK);
    assert_int_equal(lookup(fix, "r"), EW_REC_DONE);
    assert_string_equal(fix->outcome, "state");

    assert_int_equal(claim(fix, &a), EW_CLAIM_DONE);
    assert_int_equal(claim(fix, &b), EW_CLAIM_DUPLICATE);
    assert_string_equal(fix->outcome, "state");
    assert_int_equal(done(fix, &b, "theirs"), EW_TR_REFUSED);
    assert_int_equal(outcome(fix, &a, 1, "", "late"), EW_TR_REFUSED);
    assert_in_range(ask_int(&fix->redis, "PTTL epki:v1:request:r"), 50000, 60000);
}

static void
test_conflict(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("r", 7, 3);
    struct ew_claim other = claim_of("r", 9, 3);

    other.digest[31] ^= 1;
    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_int_equal(claim(fix, &other), EW_CLAIM_CONFLICT);
    assert_int_equal(done(fix, &other, "x"), EW_TR_REFUSED);
    assert_int_equal(lookup(fix, "r"), EW_REC_CLAIMED);
    assert_int_equal(done(fix, &a, "x"), EW_TR_OK);
    assert_int_equal(claim(fix, &other), EW_CLAIM_CONFLICT);
}

/* --- epochs, and what a claim says for itself --- */

static void
test_epochs(void **state)
{
    struct fix *fix = *state;
    struct ew_claim old = claim_of("r", 7, 3);
    struct ew_claim heir = claim_of("r", 7, 4);

    assert_int_equal(claim(fix, &old), EW_CLAIM_YES);
    assert_int_equal(claim(fix, &heir), EW_CLAIM_YES);
    assert_int_equal(fix->view.ca_date_ms, 0);
    assert_int_equal(fix->view.epoch, 4);
    assert_int_equal(fix->view.attempt, 1);
    assert_int_equal(claim(fix, &old), EW_CLAIM_FENCED);
    assert_int_equal(calling(fix, &old, 1), EW_TR_REFUSED);
    assert_int_equal(calling(fix, &heir, 2), EW_TR_REFUSED);
    assert_int_equal(calling(fix, &heir, 1), EW_TR_OK);
    assert_int_equal(unknown(fix, &old, 1), EW_TR_REFUSED);
    assert_int_equal(lookup(fix, "r"), EW_REC_CALLING);
    assert_int_equal(fix->view.ca_date_ms, CA_DATE);
    /* What a deposed owner learnt goes to the mailbox and changes nothing else. */
    assert_int_equal(outcome(fix, &old, 1, "CE9", "found late"), EW_TR_REFUSED);
    assert_int_equal(lookup(fix, "r"), EW_REC_CALLING);
    assert_int_equal(fix->view.epoch, 4);
    assert_string_equal(fix->outcome, "found late");
    assert_string_equal(fix->order_id, "CE9");
    assert_int_equal(unknown(fix, &heir, 1), EW_TR_OK);
    assert_int_equal(park(fix, &old, EW_REC_WAITING, &old.holder.source), EW_TR_REFUSED);
}

static void
test_unsent(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("r", 7, 3);

    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_int_equal(calling(fix, &a, 1), EW_TR_OK);
    assert_int_equal(claim(fix, &a), EW_CLAIM_RECONCILE); /* nobody says that it was not sent */
    assert_int_equal(fix->view.ca_date_ms, CA_DATE);
    a.unsent = true;
    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_int_equal(fix->view.attempt, 2);
    assert_int_equal(calling(fix, &a, 2), EW_TR_OK);
    a.holder.epoch = 4; /* the word of another epoch is not ours */
    assert_int_equal(claim(fix, &a), EW_CLAIM_RECONCILE);
}

/* A verdict counts only in the incarnation it was found in, also where there is no record. */
static void
test_verdict_alone(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("a", 1, 3), b = claim_of("b", 2, 3);

    a.verdict = ""; /* the quiet period began while there was no canary */
    assert_int_equal(claim(fix, &a), EW_CLAIM_STALE);
    assert_int_equal(lookup(fix, "a"), EW_REC_UNKNOWN);
    a.verdict = NULL;
    assert_int_equal(claim(fix, &a), EW_CLAIM_RECONCILE);
    b.verdict = "0:0";
    assert_int_equal(claim(fix, &b), EW_CLAIM_STALE);
    b.verdict = fix->claim_canary;
    assert_int_equal(claim(fix, &b), EW_CLAIM_YES);
}

static void
test_adopting(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("r", 7, 3);
    char value[EW_CANARY_MAX];

    a.adopting = true;
    assert_int_equal(claim(fix, &a), EW_CLAIM_RECONCILE);
    memcpy(value, fix->claim_canary, sizeof(value));
    assert_int_equal(lookup(fix, "r"), EW_REC_UNKNOWN);
    assert_int_equal(fix->view.attempt, 1);
    a.adopting = false;
    a.verdict = value;
    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_int_equal(fix->view.attempt, 2);
    a.adopting = true; /* CLAIMED, but the map says started */
    a.verdict = NULL;
    a.holder.epoch = 4;
    assert_int_equal(claim(fix, &a), EW_CLAIM_RECONCILE);
    assert_int_equal(lookup(fix, "r"), EW_REC_UNKNOWN);
}

/* --- public keys --- */

static void
test_keys(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("a", 1, 3);
    struct ew_claim b = claim_of("b", 2, 3);
    struct ew_done_index none = {.order_id = "", .issuer = "", .serial = "", .expire_ms = 60000};
    struct ew_done_index with = none;

    a.has_spki = b.has_spki = true;
    memset(a.spki, 0x5a, 32);
    memset(b.spki, 0x5a, 32);
    with.keys = (const uint8_t(*)[32])a.spki;
    with.key_count = 1;
    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_true(fix->view.has_spki);
    assert_memory_equal(fix->view.spki, a.spki, 32);
    assert_int_equal(claim(fix, &b), EW_CLAIM_KEY_BUSY);
    assert_string_equal(fix->text, "a");
    assert_int_equal(lookup(fix, "b"), EW_REC_ABSENT);
    assert_int_equal(done_with(fix, &a, "state", &with), EW_TR_OK);
    assert_in_range(ask_int(&fix->redis, "PTTL epki:v1:key:5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"
                                         "5a5a5a5a5a5a5a5a5a5a5a5a"),
                    50000, 60000);
    /* The first is answered: GlobalSign judges the second. */
    assert_int_equal(claim(fix, &b), EW_CLAIM_YES);
    assert_int_equal(
        ask_int(&fix->redis,
                "PTTL epki:v1:key:5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5"
                "a5a5a5a5a"),
        -1);
    /* Answered without ever having ordered: the key is free at once. */
    assert_int_equal(done_with(fix, &b, "state", &none), EW_TR_OK);
    assert_int_equal(ask_int(&fix->redis,
                             "EXISTS epki:v1:key:5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"
                             "5a5a5a5a5a5a5a5a5a5a5a5a"),
                     0);
}

static void
test_wrapped(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("a", 1, 3);
    struct ew_claim heir = claim_of("a", 1, 4);

    a.has_spki = heir.has_spki = true;
    memset(a.spki, 1, 32);
    memset(heir.spki, 2, 32);
    a.wrapped = blob_of("first key");
    heir.wrapped = blob_of("second key");
    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_string_equal(fix->wrapped, "first key");
    assert_int_equal(claim(fix, &heir), EW_CLAIM_YES);
    assert_string_equal(fix->wrapped, "first key"); /* the one that is there already */
    assert_memory_equal(fix->view.spki, a.spki, 32);
    assert_int_equal(calling(fix, &heir, 1), EW_TR_OK);
    heir.holder.epoch = 5;
    heir.wrapped.len = 0;
    heir.has_spki = false;
    heir.adopting = true;
    assert_int_equal(claim(fix, &heir), EW_CLAIM_RECONCILE);
    assert_string_equal(fix->wrapped, "first key");
    assert_memory_equal(fix->view.spki, a.spki, 32);
    assert_int_equal(ask_int(&fix->redis, "PTTL epki:v1:wrapped:a"), -1);
    assert_int_equal(done(fix, &heir, "state"), EW_TR_OK);
    assert_int_equal(ask_int(&fix->redis, "EXISTS epki:v1:wrapped:a"), 0);
}

/* An attempt whose order was ended; its successor forgets it, but its index must go, too. */
static void
test_orders_of_all_attempts_expire(void **state)
{
    static const char *const orders[] = {"CE1", "CE2", "CE3"};
    struct fix *fix = *state;
    struct ew_claim a = claim_of("a", 1, 3);
    struct ew_done_index index = {
        .order_id = "CE3", .issuer = "", .serial = "", .expire_ms = 60000};
    char value[EW_CANARY_MAX];

    for (int i = 0; i < 3; i++) {
        assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
        assert_string_equal(fix->order_id, "");
        memcpy(value, fix->claim_canary, sizeof(value));
        a.verdict = value;
        a.discard = true;
        assert_int_equal(calling(fix, &a, i + 1), EW_TR_OK);
        if (i == 0) { /* found by whoever reconciles */
            assert_int_equal(unknown(fix, &a, 1), EW_TR_OK);
            ew_store_take_order(fix->store, &a.holder, 0, orders[i], got_order, fix);
            assert_true(flag(fix));
        } else {
            assert_int_equal(outcome(fix, &a, i + 1, orders[i], "cert"), EW_TR_OK);
        }
        assert_int_equal(ask_int(&fix->redis, "PTTL epki:v1:order:%s", orders[i]), -1);
    }
    assert_int_equal(done_with(fix, &a, "state", &index), EW_TR_OK);
    for (int i = 0; i < 3; i++)
        assert_in_range(ask_int(&fix->redis, "PTTL epki:v1:order:%s", orders[i]), 50000, 60000);
    assert_int_equal(ask_int(&fix->redis, "HEXISTS epki:v1:request:a os"), 0);
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup(name, fix_fresh)
    const struct CMUnitTest tests[] = {
        ROW(test_straight), ROW(test_conflict),      ROW(test_epochs),
        ROW(test_unsent),   ROW(test_verdict_alone), ROW(test_adopting),
        ROW(test_keys),     ROW(test_wrapped),       ROW(test_orders_of_all_attempts_expire),
    };

    return cmocka_run_group_tests_name("store: claim", tests, fix_setup, fix_teardown);
}
