/*
 * Proof of what the next owner of a request finds in its record: what the one before learnt late,
 * in the mailbox, the key that he still had, and which order he meant to end.
 */
#include "transitions.h"

/* The heir looks for its order first. incarnation: of Redis, as the claim said. */
static void
dies_with_a_call(struct fix *fix, const struct ew_claim *old, const struct ew_claim *heir,
                 char incarnation[EW_CANARY_MAX])
{
    assert_int_equal(claim(fix, old), EW_CLAIM_YES);
    memcpy(incarnation, fix->claim_canary, EW_CANARY_MAX);
    assert_int_equal(calling(fix, old, 1), EW_TR_OK);
    assert_int_equal(claim(fix, heir), EW_CLAIM_RECONCILE);
}

static void
test_takeover_after_call(void **state)
{
    struct fix *fix = *state;
    struct ew_claim old = claim_of("r", 7, 3);
    struct ew_claim heir = claim_of("r", 7, 4);
    char value[EW_CANARY_MAX];

    dies_with_a_call(fix, &old, &heir, value);
    assert_int_equal(fix->view.state, EW_REC_UNKNOWN);
    assert_int_equal(fix->view.epoch, 4);
    assert_int_equal(fix->view.attempt, 1);
    assert_int_equal(outcome(fix, &old, 1, "CE1", "cert"), EW_TR_REFUSED);
    assert_int_equal(claim(fix, &heir), EW_CLAIM_RECONCILE);
    assert_string_equal(fix->outcome, "cert");
    heir.verdict = value; /* "none", but the mailbox knows better */
    assert_int_equal(claim(fix, &heir), EW_CLAIM_OUTCOME);
    assert_string_equal(fix->outcome, "cert");
    heir.discard = true; /* its order was ended meanwhile */
    heir.verdict = "another:incarnation";
    assert_int_equal(claim(fix, &heir), EW_CLAIM_STALE);
    assert_int_equal(calling(fix, &heir, 1), EW_TR_REFUSED);
    heir.verdict = value;
    assert_int_equal(claim(fix, &heir), EW_CLAIM_YES);
    assert_int_equal(fix->view.attempt, 2);
    assert_string_equal(fix->outcome, ""); /* the mailbox was the first attempt's */
    heir.verdict = NULL;
    heir.discard = false;
    assert_int_equal(calling(fix, &heir, 1), EW_TR_REFUSED);
    assert_int_equal(calling(fix, &heir, 2), EW_TR_OK);
    assert_int_equal(outcome(fix, &heir, 2, "CE2", "new"), EW_TR_OK);
    assert_int_equal(claim(fix, &old), EW_CLAIM_FENCED);
    heir.holder.epoch = 5;
    assert_int_equal(claim(fix, &heir), EW_CLAIM_OUTCOME);
    assert_string_equal(fix->outcome, "new");
    assert_int_equal(fix->view.epoch, 5);
}

/* Of an order that was not issued yet nothing is told but its id. */
static void
test_mailbox_of_an_order_without_its_certificate(void **state)
{
    struct fix *fix = *state;
    struct ew_claim old = claim_of("r", 7, 3), heir = claim_of("r", 7, 4);
    char value[EW_CANARY_MAX];

    dies_with_a_call(fix, &old, &heir, value);
    assert_int_equal(outcome(fix, &old, 1, "CE1", ""), EW_TR_REFUSED);
    assert_int_equal(lookup(fix, "r"), EW_REC_UNKNOWN);
    assert_string_equal(fix->outcome, "");
    assert_string_equal(fix->order_id, "CE1");
    heir.verdict = value;
    assert_int_equal(claim(fix, &heir), EW_CLAIM_OUTCOME);
    assert_string_equal(fix->order_id, "CE1");
}

/* What is told of another attempt than the one in question is not taken for it. */
static void
test_mailbox_of_another_attempt(void **state)
{
    struct fix *fix = *state;
    struct ew_claim old = claim_of("r", 7, 3), heir = claim_of("r", 7, 4);
    char value[EW_CANARY_MAX];

    dies_with_a_call(fix, &old, &heir, value);
    heir.verdict = value;
    heir.discard = true; /* its order was ended */
    assert_int_equal(claim(fix, &heir), EW_CLAIM_YES);
    assert_int_equal(calling(fix, &heir, 2), EW_TR_OK);
    assert_int_equal(unknown(fix, &heir, 2), EW_TR_OK);

    assert_int_equal(outcome(fix, &old, 1, "CE1", "of the first"), EW_TR_REFUSED);
    assert_int_equal(lookup(fix, "r"), EW_REC_UNKNOWN);
    assert_string_equal(fix->outcome, "");
    assert_string_equal(fix->order_id, "");
    heir.holder.epoch = 5;
    heir.verdict = NULL;
    heir.discard = false;
    assert_int_equal(claim(fix, &heir), EW_CLAIM_RECONCILE);
    assert_string_equal(fix->outcome, "");
    heir.holder.epoch = 4;
    assert_int_equal(outcome(fix, &heir, 2, "CE2", "of the second"), EW_TR_REFUSED);
    heir.holder.epoch = 5;
    heir.verdict = value;
    assert_int_equal(outcome(fix, &old, 1, "CE1", "of the first"), EW_TR_REFUSED);
    assert_int_equal(outcome(fix, &old, 3, "CE3", "of none"), EW_TR_REFUSED);
    assert_int_equal(claim(fix, &heir), EW_CLAIM_OUTCOME);
    assert_string_equal(fix->outcome, "of the second");
    assert_string_equal(fix->order_id, "CE2");
}

/* By a worker that does not say of which attempt it is: it goes with the next claim. */
static void
test_mailbox_of_no_attempt(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("r", 7, 3);

    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_int_equal(calling(fix, &a, 1), EW_TR_OK);
    tell(&fix->redis, "HSET epki:v1:request:r mb old mo CE1");
    assert_int_equal(lookup(fix, "r"), EW_REC_CALLING);
    assert_string_equal(fix->outcome, "");
    assert_string_equal(fix->order_id, "");
    a.verdict = fix->claim_canary;
    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_int_equal(ask_int(&fix->redis, "HSTRLEN epki:v1:request:r mb"), 0);
    assert_int_equal(ask_int(&fix->redis, "HSTRLEN epki:v1:request:r mo"), 0);
}

/* Recorded for another request, the order is no outcome of this one, whoever tells it. */
static void
test_outcome_with_anothers_order(void **state)
{
    struct fix *fix = *state;
    struct ew_claim old = claim_of("r", 7, 3), heir = claim_of("r", 7, 4);
    char value[EW_CANARY_MAX];

    dies_with_a_call(fix, &old, &heir, value);
    tell(&fix->redis, "SET epki:v1:order:CE1 r-other");
    assert_int_equal(outcome(fix, &old, 1, "CE1", "cert"), EW_TR_ANOTHERS);
    assert_int_equal(outcome(fix, &heir, 1, "CE1", "cert"), EW_TR_ANOTHERS);
    assert_int_equal(lookup(fix, "r"), EW_REC_UNKNOWN);
    assert_string_equal(fix->outcome, "");
    assert_string_equal(fix->order_id, "");
    assert_string_equal(ask_text(&fix->redis, "GET epki:v1:order:CE1"), "r-other");
    tell(&fix->redis, "SET epki:v1:order:CE2 r"); /* found before, and taken */
    assert_int_equal(outcome(fix, &heir, 1, "CE2", "cert"), EW_TR_OK);
    assert_int_equal(lookup(fix, "r"), EW_REC_OUTCOME);
    assert_string_equal(fix->order_id, "CE2");
}

/* The attempt in question, but its order is being ended for its lost key: nobody may deliver it. */
static void
test_mailbox_of_a_lost_order(void **state)
{
    struct fix *fix = *state;
    struct ew_claim old = claim_of("r", 7, 3), heir = claim_of("r", 7, 4);
    char value[EW_CANARY_MAX];

    dies_with_a_call(fix, &old, &heir, value);
    ew_store_losing(fix->store, &heir.holder, 1, "CE1", false, got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_OK);
    assert_int_equal(outcome(fix, &old, 1, "CE1", "cert"), EW_TR_REFUSED);
    assert_int_equal(lookup(fix, "r"), EW_REC_UNKNOWN);
    assert_string_equal(fix->outcome, "");
    heir.verdict = value;
    assert_int_equal(claim(fix, &heir), EW_CLAIM_YES);
    assert_int_equal(fix->view.attempt, 2);
}

/* --- the key --- */

/* Whoever made the call has the key still: a wipe does not lose it, unless its order is ended. */
static void
test_wiped_key_comes_back(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("a", 1, 3), heir = claim_of("a", 1, 4);
    struct ew_made_key key = {.wrapped = blob_of("first key"), .spki = a.spki};
    struct ew_blob cert = blob_of("certificate");
    char value[EW_CANARY_MAX];

    a.has_spki = true;
    memset(a.spki, 1, 32);
    a.wrapped = key.wrapped;
    heir.adopting = true;
    dies_with_a_call(fix, &a, &heir, value);
    tell(&fix->redis, "DEL epki:v1:wrapped:a");
    ew_store_outcome(fix->store, &a.holder, 2, "CE1", &cert, &key, got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_REFUSED); /* of another attempt */
    assert_int_equal(ask_int(&fix->redis, "EXISTS epki:v1:wrapped:a"), 0);
    ew_store_outcome(fix->store, &a.holder, 1, "CE1", &cert, &key, got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_REFUSED);
    heir.holder.epoch = 5;
    heir.verdict = value;
    assert_int_equal(claim(fix, &heir), EW_CLAIM_OUTCOME);
    assert_string_equal(fix->wrapped, "first key");
    assert_memory_equal(fix->view.spki, a.spki, 32);
    ew_store_losing(fix->store, &heir.holder, 1, "CE1", false, got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_REFUSED); /* for who claimed before it came back */

    tell(&fix->redis, "DEL epki:v1:wrapped:a");
    ew_store_losing(fix->store, &heir.holder, 1, "CE1", false, got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_OK);
    ew_store_outcome(fix->store, &a.holder, 1, "CE1", &cert, &key, got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_REFUSED);
    assert_int_equal(ask_int(&fix->redis, "EXISTS epki:v1:wrapped:a"), 0);
}

/* A key that came back before that was said: its order is ended, the next one has its own. */
static void
test_key_of_an_ended_order_is_not_used_again(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("a", 1, 3), next = claim_of("a", 1, 3);
    char value[EW_CANARY_MAX];

    a.has_spki = next.has_spki = true;
    memset(a.spki, 1, 32);
    memset(next.spki, 2, 32);
    a.wrapped = blob_of("first key");
    next.wrapped = blob_of("second key");
    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    memcpy(value, fix->claim_canary, sizeof(value));
    assert_int_equal(calling(fix, &a, 1), EW_TR_OK);
    next.verdict = value;
    next.discard = true;
    assert_int_equal(claim(fix, &next), EW_CLAIM_YES);
    assert_string_equal(fix->wrapped, "second key");
    assert_memory_equal(fix->view.spki, next.spki, 32);
}

/* --- orders that are to be ended --- */

/* Who adopts a request knows which order its owner meant to end; a stranger says nothing of it. */
static void
test_losing(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("r", 7, 3), other = claim_of("r", 8, 3);

    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_string_equal(fix->lost_orders, "");
    assert_int_equal(calling(fix, &a, 1), EW_TR_OK);
    ew_store_losing(fix->store, &other.holder, 1, "CE2", false, got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_REFUSED);
    ew_store_losing(fix->store, &a.holder, 1, "CE1", false, got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_OK);
    a.holder.epoch = 4;
    a.adopting = true;
    assert_int_equal(claim(fix, &a), EW_CLAIM_RECONCILE);
    assert_string_equal(fix->lost_orders, "CE1");
    a.holder.epoch = 3; /* the zombie */
    ew_store_losing(fix->store, &a.holder, 1, "CE3", false, got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_REFUSED);
}

/* Those of all attempts stay known, the last ones of too many. */
static void
test_losing_again_and_again(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("r", 7, 3);
    char value[EW_CANARY_MAX], order_id[16], listed[1100] = "";

    for (int i = 0; i <= EW_MAX_LOST_ORDERS; i++) {
        assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
        memcpy(value, fix->claim_canary, sizeof(value));
        assert_int_equal(calling(fix, &a, i + 1), EW_TR_OK);
        (void)snprintf(order_id, sizeof(order_id), "CE%d", i + 1);
        for (int twice = 0; twice < 2; twice++) {
            ew_store_losing(fix->store, &a.holder, i + 1, order_id, false, got_moved, fix);
            assert_int_equal(moved(fix), EW_TR_OK);
        }
        if (i > 0)
            (void)snprintf(listed + strlen(listed), sizeof(listed) - strlen(listed), "%s%s",
                           i > 1 ? " " : "", order_id);
        a.verdict = value;
        a.discard = true;
    }
    assert_int_equal(lookup(fix, "r"), EW_REC_CALLING);
    assert_string_equal(fix->lost_orders, listed);
}

/* Until another is claimed it is the request's, whoever knew of it: searches pass over what is
 * listed. Then it has ended, and does not end again. */
static void
test_an_order_that_is_being_ended_is_the_requests(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("r", 7, 3);

    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_int_equal(calling(fix, &a, 1), EW_TR_OK);
    ew_store_losing(fix->store, &a.holder, 1, "CE1", false, got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_OK);
    assert_int_equal(lookup(fix, "r"), EW_REC_CALLING);
    assert_string_equal(fix->order_id, "CE1");
    assert_string_equal(ask_text(&fix->redis, "GET epki:v1:order:CE1"), "r");
    a.verdict = fix->claim_canary;
    a.discard = true;
    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_string_equal(fix->order_id, "");
    ew_store_losing(fix->store, &a.holder, 2, "CE1", false, got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_REFUSED);
}

/* Who has not heard of the attempt that followed, or what became of Redis, ends nothing. */
static void
test_losing_of_an_attempt_before(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("r", 7, 3);

    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_int_equal(calling(fix, &a, 1), EW_TR_OK);
    ew_store_losing(fix->store, &a.holder, 2, "CE1", false, got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_REFUSED);
    tell(&fix->redis, "DEL epki:v1:canary");
    ew_store_losing(fix->store, &a.holder, 1, "CE1", false, got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_NO_CANARY);
    assert_int_equal(lookup(fix, "r"), EW_REC_CALLING);
    assert_string_equal(fix->lost_orders, "");
}

/* The same of an order that does not fit; once the request is answered nobody needs it. */
static void
test_misfit(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("r", 7, 3), other = claim_of("r", 8, 3);
    struct ew_blob says = {.data = (const uint8_t *)"CE1\nwhy", .len = 7};
    struct ew_blob late = {.data = (const uint8_t *)"CE2\nlate", .len = 8};
    struct ew_claim resume = resume_of("r", 4, 1, &a), stranger = resume_of("r", 4, 1, &other);

    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_string_equal(fix->misfit, "");
    assert_int_equal(calling(fix, &a, 1), EW_TR_OK);
    ew_store_misfit(fix->store, &other.holder, &says, got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_REFUSED);
    assert_int_equal(lookup(fix, "r"), EW_REC_CALLING);
    assert_string_equal(fix->misfit, "");
    tell(&fix->redis, "RENAME epki:v1:canary kept");
    ew_store_misfit(fix->store, &a.holder, &says, got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_NO_CANARY);
    assert_int_equal(lookup(fix, "r"), EW_REC_CALLING);
    assert_string_equal(fix->misfit, "");
    tell(&fix->redis, "RENAME kept epki:v1:canary");
    ew_store_misfit(fix->store, &a.holder, &says, got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_OK);
    a.holder.epoch = 4;
    a.adopting = true;
    assert_int_equal(claim(fix, &a), EW_CLAIM_RECONCILE);
    assert_string_equal(fix->misfit, "CE1\nwhy");
    assert_string_equal(fix->lost_orders, "");
    a.holder.epoch = 3; /* the zombie */
    ew_store_misfit(fix->store, &a.holder, &late, got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_REFUSED);
    a.holder.epoch = 4;
    assert_int_equal(park(fix, &a, EW_REC_PARKED, &a.holder.source), EW_TR_OK);
    assert_int_equal(lookup(fix, "r"), EW_REC_PARKED);
    assert_string_equal(fix->misfit, "CE1\nwhy");
    /* A rebuild restored it as its original's, and the resume has it. */
    ew_store_misfit(fix->store, &stranger.holder, &late, got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_REFUSED);
    ew_store_misfit(fix->store, &resume.holder, &late, got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_OK);
    assert_int_equal(lookup(fix, "r"), EW_REC_PARKED);
    assert_string_equal(fix->misfit, "CE2\nlate");
    assert_int_equal(done(fix, &a, "state"), EW_TR_OK);
    assert_int_equal(lookup(fix, "r"), EW_REC_DONE);
    assert_string_equal(fix->misfit, "");
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup(name, fix_fresh)
    const struct CMUnitTest tests[] = {
        ROW(test_takeover_after_call),
        ROW(test_mailbox_of_an_order_without_its_certificate),
        ROW(test_mailbox_of_another_attempt),
        ROW(test_mailbox_of_no_attempt),
        ROW(test_outcome_with_anothers_order),
        ROW(test_mailbox_of_a_lost_order),
        ROW(test_wiped_key_comes_back),
        ROW(test_key_of_an_ended_order_is_not_used_again),
        ROW(test_losing),
        ROW(test_losing_again_and_again),
        ROW(test_an_order_that_is_being_ended_is_the_requests),
        ROW(test_losing_of_an_attempt_before),
        ROW(test_misfit),
    };

    return cmocka_run_group_tests_name("store: takeover", tests, fix_setup, fix_teardown);
}
