/*
 * Proof that what a deposed worker tells is found by whoever has the request then, and counts
 * before the word that a key is lost. A key of GlobalSign's making is nowhere else.
 */
#include "transitions.h"

#define KEYED                                                                                      \
    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\nd3JhcHBlZA==\ncertificate"

static enum ew_transition
losing(struct fix *fix, const struct ew_claim *c, const char *order_id, bool unusable)
{
    ew_store_losing(fix->store, &c->holder, 1, order_id, unusable, got_moved, fix);
    return moved(fix);
}

static bool
takes(struct fix *fix, const struct ew_claim *c, int attempt, const char *order_id)
{
    ew_store_take_order(fix->store, &c->holder, attempt, order_id, got_order, fix);
    return flag(fix);
}

/* The old owner made the call, and the heir looks for its order. */
static void
dies_with_a_call(struct fix *fix, const struct ew_claim *old, const struct ew_claim *heir)
{
    assert_int_equal(claim(fix, old), EW_CLAIM_YES);
    assert_int_equal(calling(fix, old, 1), EW_TR_OK);
    assert_int_equal(claim(fix, heir), EW_CLAIM_RECONCILE);
}

static void
test_key_that_came_back_is_not_lost(void **state)
{
    struct fix *fix = *state;
    struct ew_claim old = claim_of("r", 7, 3), heir = claim_of("r", 7, 4);

    dies_with_a_call(fix, &old, &heir);
    assert_true(takes(fix, &heir, 1, "CE1"));
    assert_int_equal(outcome(fix, &old, 1, "CE1", KEYED), EW_TR_REFUSED);
    assert_int_equal(losing(fix, &heir, "CE1", false), EW_TR_REFUSED);
    assert_int_equal(claim(fix, &heir), EW_CLAIM_RECONCILE);
    assert_string_equal(fix->order_id, "CE1");
    assert_string_equal(fix->outcome, KEYED);
    assert_int_equal(losing(fix, &heir, "CE1", true), EW_TR_OK); /* but it is none */
    assert_int_equal(claim(fix, &heir), EW_CLAIM_RECONCILE);
    assert_string_equal(fix->outcome, "");
}

/* The next owner has written that it is ordered, and no more. */
static void
test_key_that_came_back_goes_before_an_order_alone(void **state)
{
    struct fix *fix = *state;
    struct ew_claim old = claim_of("r", 7, 3), heir = claim_of("r", 7, 4);

    dies_with_a_call(fix, &old, &heir);
    assert_true(takes(fix, &heir, 1, "CE1"));
    heir.holder.epoch = 5;
    assert_int_equal(claim(fix, &heir), EW_CLAIM_RECONCILE);
    assert_string_equal(fix->order_id, "CE1");
    assert_int_equal(outcome(fix, &heir, 1, "CE1", ""), EW_TR_OK);
    assert_int_equal(outcome(fix, &old, 1, "CE1", KEYED), EW_TR_REFUSED);
    assert_int_equal(losing(fix, &heir, "CE1", false), EW_TR_REFUSED);
    assert_int_equal(lookup(fix, "r"), EW_REC_OUTCOME);
    assert_string_equal(fix->outcome, KEYED);
    heir.holder.epoch = 6;
    assert_int_equal(claim(fix, &heir), EW_CLAIM_OUTCOME);
    assert_string_equal(fix->outcome, KEYED);
}

static void
test_key_that_its_owner_kept_is_not_lost(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("r", 7, 3);

    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_int_equal(calling(fix, &a, 1), EW_TR_OK);
    assert_int_equal(outcome(fix, &a, 1, "CE1", KEYED), EW_TR_OK);
    assert_int_equal(losing(fix, &a, "CE1", false), EW_TR_REFUSED);
    assert_int_equal(losing(fix, &a, "CE1", true), EW_TR_OK);
}

/* Of an order that the worker has a key for, or of another one, nothing came back. */
static void
test_certificate_alone_is_no_key(void **state)
{
    struct fix *fix = *state;
    struct ew_claim old = claim_of("r", 7, 3), heir = claim_of("r", 7, 4);

    dies_with_a_call(fix, &old, &heir);
    assert_int_equal(outcome(fix, &old, 1, "CE1", "-----BEGIN CERTIFICATE-----\n"), EW_TR_REFUSED);
    assert_int_equal(losing(fix, &heir, "CE1", false), EW_TR_OK);
    assert_int_equal(outcome(fix, &old, 1, "CE2", KEYED), EW_TR_REFUSED);
    assert_int_equal(losing(fix, &heir, "CE1", false), EW_TR_OK);
}

/* Who looked for the order of an attempt that is over, or has the request no more, tells whose it
 * is, and not that it is the one in question. */
static void
test_order_of_an_attempt_before(void **state)
{
    struct fix *fix = *state;
    struct ew_claim old = claim_of("r", 7, 3), late = claim_of("r", 7, 4);
    struct ew_claim heir = claim_of("r", 7, 5), stranger = claim_of("r", 8, 9);
    char value[EW_CANARY_MAX];

    dies_with_a_call(fix, &old, &late);
    assert_int_equal(claim(fix, &heir), EW_CLAIM_RECONCILE);
    memcpy(value, fix->claim_canary, sizeof(value));
    assert_int_equal(losing(fix, &heir, "CE1", false), EW_TR_OK);
    heir.verdict = value;
    heir.discard = true;
    assert_int_equal(claim(fix, &heir), EW_CLAIM_YES);
    assert_int_equal(calling(fix, &heir, 2), EW_TR_OK);
    assert_true(takes(fix, &late, 1, "CE1"));
    assert_true(takes(fix, &late, 0, "CE1")); /* it does not know of which */
    assert_true(takes(fix, &stranger, 2, "CE1"));
    assert_true(takes(fix, &heir, 1, "CE1"));
    assert_true(takes(fix, &heir, 0, "CE1")); /* nor does who has it, before it heard */
    assert_int_equal(lookup(fix, "r"), EW_REC_CALLING);
    assert_string_equal(fix->order_id, "");
    assert_string_equal(ask_text(&fix->redis, "GET epki:v1:order:CE1"), "r");
    assert_true(takes(fix, &heir, 2, "CE2"));
    assert_int_equal(lookup(fix, "r"), EW_REC_CALLING);
    assert_string_equal(fix->order_id, "CE2");
}

/* It is another request's from then on, whoever finds it. */
static void
test_mailbox_says_whose_order_it_is(void **state)
{
    struct fix *fix = *state;
    struct ew_claim old = claim_of("r", 7, 3), heir = claim_of("r", 7, 4);
    struct ew_claim other = claim_of("r-other", 9, 3);

    dies_with_a_call(fix, &old, &heir);
    assert_int_equal(claim(fix, &other), EW_CLAIM_YES);
    assert_int_equal(outcome(fix, &old, 1, "CE1", KEYED), EW_TR_REFUSED);
    assert_false(takes(fix, &other, 1, "CE1"));
    assert_string_equal(fix->text, "r");
    assert_int_equal(outcome(fix, &old, 2, "CE2", KEYED), EW_TR_REFUSED); /* of no attempt */
    assert_true(takes(fix, &other, 1, "CE2"));
}

/* --- the waiting room --- */

/* A resume that called, and was deposed; its adopter has left for the room again. */
static void
test_mailbox_of_a_resume_that_left(void **state)
{
    struct fix *fix = *state;
    struct ew_claim first = claim_of("r", 7, 3);
    struct ew_claim resume = resume_of("r", 50, 1, &first), next = resume_of("r", 60, 1, &first);

    assert_int_equal(claim(fix, &first), EW_CLAIM_YES);
    assert_int_equal(park(fix, &first, EW_REC_WAITING, &first.holder.source), EW_TR_OK);
    assert_int_equal(claim(fix, &resume), EW_CLAIM_YES);
    assert_int_equal(calling(fix, &resume, 1), EW_TR_OK);
    resume.holder.epoch = 2;
    assert_int_equal(claim(fix, &resume), EW_CLAIM_RECONCILE);
    assert_int_equal(park(fix, &resume, EW_REC_WAITING, &first.holder.source), EW_TR_OK);
    resume.holder.epoch = 1;
    assert_int_equal(outcome(fix, &resume, 1, "CE1", KEYED), EW_TR_REFUSED);
    assert_int_equal(lookup(fix, "r"), EW_REC_WAITING);
    assert_string_equal(fix->order_id, "CE1");
    assert_string_equal(fix->outcome, KEYED);
    next.adopting = true;
    assert_int_equal(claim(fix, &next), EW_CLAIM_RECONCILE);
    assert_int_equal(outcome(fix, &resume, 1, "CE1", KEYED), EW_TR_REFUSED);
    assert_string_equal(fix->outcome, KEYED);
}

/* What its owner knew goes with it into the room; people decide of what was parked. */
static void
test_outcome_that_waits(void **state)
{
    static const enum ew_record_state left[] = {EW_REC_WAITING, EW_REC_PARKED};
    struct fix *fix = *state;

    for (int i = 0; i < 2; i++) {
        struct ew_claim a = claim_of(i == 0 ? "w" : "p", 7 + i, 3);

        assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
        assert_int_equal(calling(fix, &a, 1), EW_TR_OK);
        assert_int_equal(outcome(fix, &a, 1, i == 0 ? "CE1" : "CE2", KEYED), EW_TR_OK);
        assert_int_equal(park(fix, &a, left[i], &a.holder.source), EW_TR_OK);
        assert_int_equal(lookup(fix, i == 0 ? "w" : "p"), left[i]);
        assert_string_equal(fix->order_id, i == 0 ? "CE1" : "CE2");
        assert_string_equal(fix->outcome, i == 0 ? KEYED : "");
    }
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup(name, fix_fresh)
    const struct CMUnitTest tests[] = {
        ROW(test_key_that_came_back_is_not_lost),
        ROW(test_key_that_came_back_goes_before_an_order_alone),
        ROW(test_key_that_its_owner_kept_is_not_lost),
        ROW(test_certificate_alone_is_no_key),
        ROW(test_order_of_an_attempt_before),
        ROW(test_mailbox_says_whose_order_it_is),
        ROW(test_mailbox_of_a_resume_that_left),
        ROW(test_outcome_that_waits),
    };

    return cmocka_run_group_tests_name("store: mailbox", tests, fix_setup, fix_teardown);
}
