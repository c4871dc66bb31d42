/*
 * Proof of what forbids an order: a canary that is missing or another Redis's, and a STOP.
 */
#include "transitions.h"

/* --- no canary --- */

static void
test_no_canary(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("a", 1, 3);
    struct ew_claim b = claim_of("b", 2, 3);
    struct ew_claim b2 = claim_of("b", 9, 3);
    struct ew_claim c = claim_of("c", 3, 3);
    struct ew_claim fresh = claim_of("fresh", 4, 3);
    struct ew_source by = source_of("revocations", 0, 1);

    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_int_equal(claim(fix, &b), EW_CLAIM_YES);
    assert_int_equal(calling(fix, &b, 1), EW_TR_OK);
    assert_int_equal(claim(fix, &c), EW_CLAIM_YES);
    assert_int_equal(calling(fix, &c, 1), EW_TR_OK);
    tell(&fix->redis, "DEL epki:v1:canary");

    assert_int_equal(canary(fix), EW_CANARY_MISSING);
    assert_int_equal(claim(fix, &fresh), EW_CLAIM_NO_CANARY);
    assert_int_equal(lookup(fix, "fresh"), EW_REC_ABSENT);
    assert_int_equal(fix->canary, EW_CANARY_MISSING);
    fresh.adopting = true;
    assert_int_equal(claim(fix, &fresh), EW_CLAIM_RECONCILE);
    assert_string_equal(fix->claim_canary, "");
    assert_int_equal(lookup(fix, "fresh"), EW_REC_ABSENT); /* nothing is written for it */
    assert_int_equal(claim(fix, &a), EW_CLAIM_NO_CANARY);
    assert_int_equal(fix->view.state, EW_REC_CLAIMED);
    assert_int_equal(calling(fix, &a, 1), EW_TR_NO_CANARY);
    assert_int_equal(claim(fix, &b2), EW_CLAIM_NO_CANARY);
    b.adopting = true;
    assert_int_equal(claim(fix, &b), EW_CLAIM_RECONCILE);
    b.adopting = false;
    b.verdict = "x:y";
    assert_int_equal(claim(fix, &b), EW_CLAIM_NO_CANARY);
    assert_int_equal(outcome(fix, &c, 1, "CE", "cert"), EW_TR_OK);
    assert_int_equal(claim(fix, &c), EW_CLAIM_OUTCOME);
    assert_int_equal(done(fix, &c, "state"), EW_TR_OK);
    assert_int_equal(claim(fix, &c), EW_CLAIM_DONE);
    assert_int_equal(stop(fix, "nothing", &by, true), EW_STOP_NO_CANARY);
}

static void
test_foreign_canary(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("a", 1, 3);
    struct ew_claim b = claim_of("b", 1, 3);
    struct ew_source by = source_of("revocations", 0, 1);

    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    tell(&fix->redis, "SET epki:v1:canary %s",
         "00112233445566778899aabbccddeeff:0000000000000000000000000000000000000000");
    assert_int_equal(canary(fix), EW_CANARY_FOREIGN);
    assert_int_equal(claim(fix, &b), EW_CLAIM_NO_CANARY);
    assert_string_equal(fix->claim_canary, "");
    assert_int_equal(calling(fix, &a, 1), EW_TR_NO_CANARY);
    assert_int_equal(stop(fix, "nothing", &by, false), EW_STOP_NO_CANARY);
    assert_int_equal(lookup(fix, "b"), EW_REC_ABSENT);
    assert_int_equal(fix->canary, EW_CANARY_FOREIGN);
}

/* --- STOP --- */

static void
test_stop_absent(void **state)
{
    struct fix *fix = *state;
    struct ew_source by = source_of("revocations", 0, 5), again = source_of("revocations", 0, 6);
    struct ew_claim a = claim_of("r", 7, 3);

    assert_int_equal(stop(fix, "r", &by, true), EW_STOP_SET);
    assert_int_equal(stop(fix, "r", &by, true), EW_STOP_SET); /* its own counts as absent */
    assert_int_equal(stop(fix, "r", &again, true), EW_STOP_SET);
    assert_in_range(ask_int(&fix->redis, "PTTL epki:v1:stop:r"), 50000, 60000);
    assert_int_equal(claim(fix, &a), EW_CLAIM_STOPPED);
    assert_true(fix->view.stopped);
    assert_int_equal(fix->view.stopped_by.offset, 5);
    assert_int_equal(lookup(fix, "r"), EW_REC_ABSENT);
    assert_true(fix->view.stopped);
    a.verdict = fix->claim_canary;
    assert_int_equal(claim(fix, &a), EW_CLAIM_STOPPED);
    a.verdict = NULL;
    a.adopting = true;
    assert_int_equal(claim(fix, &a), EW_CLAIM_RECONCILE);
    assert_true(fix->view.stopped);
    a.adopting = false;
    a.verdict = fix->claim_canary;
    assert_int_equal(claim(fix, &a), EW_CLAIM_STOPPED);
    assert_int_equal(done(fix, &a, "rejected"), EW_TR_OK);
    assert_int_equal(ask_int(&fix->redis, "EXISTS epki:v1:stop:r"), 0);
    assert_int_equal(stop(fix, "r", &by, true), EW_STOP_ANSWERED);
}

static void
test_stop_beside(void **state)
{
    struct fix *fix = *state;
    struct ew_source by = source_of("revocations", 0, 5);
    struct ew_claim a = claim_of("a", 1, 3), b = claim_of("b", 2, 3), c = claim_of("c", 3, 3);
    struct ew_claim resume = resume_of("b", 50, 1, &b);

    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_int_equal(stop(fix, "a", &by, true), EW_STOP_IN_AIR); /* it has appeared */
    assert_int_equal(ask_int(&fix->redis, "EXISTS epki:v1:stop:a"), 0);
    assert_int_equal(stop(fix, "a", &by, false), EW_STOP_BESIDE);
    assert_int_equal(calling(fix, &a, 1), EW_TR_STOPPED);
    assert_int_equal(lookup(fix, "a"), EW_REC_CLAIMED);
    assert_int_equal(claim(fix, &a), EW_CLAIM_STOPPED);
    a.unsent = true;
    assert_int_equal(claim(fix, &a), EW_CLAIM_STOPPED);

    assert_int_equal(claim(fix, &b), EW_CLAIM_YES);
    assert_int_equal(park(fix, &b, EW_REC_WAITING, &b.holder.source), EW_TR_OK);
    assert_int_equal(stop(fix, "b", &by, false), EW_STOP_BESIDE);
    assert_int_equal(claim(fix, &resume), EW_CLAIM_STOPPED);
    resume.adopting = true;
    assert_int_equal(claim(fix, &resume), EW_CLAIM_RECONCILE);

    assert_int_equal(claim(fix, &c), EW_CLAIM_YES);
    assert_int_equal(calling(fix, &c, 1), EW_TR_OK);
    assert_int_equal(stop(fix, "c", &by, false), EW_STOP_IN_AIR);
    assert_int_equal(outcome(fix, &c, 1, "CE", "cert"), EW_TR_OK);
    assert_int_equal(stop(fix, "c", &by, false), EW_STOP_IN_AIR);
    assert_int_equal(ask_int(&fix->redis, "EXISTS epki:v1:stop:c"), 0);
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup(name, fix_fresh)
    const struct CMUnitTest tests[] = {
        ROW(test_no_canary),
        ROW(test_foreign_canary),
        ROW(test_stop_absent),
        ROW(test_stop_beside),
    };

    return cmocka_run_group_tests_name("store: forbidden", tests, fix_setup, fix_teardown);
}
