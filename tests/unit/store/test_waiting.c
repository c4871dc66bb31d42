/*
 * Proof of waiting: in the room and back from it, for people, how often an order has vanished over
 * all of that, and for another request's answer, never in a circle.
 */
#include "transitions.h"

#define ONES "0101010101010101010101010101010101010101010101010101010101010101"

/* --- the waiting room --- */

static void
test_resume(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("r", 7, 30), lost_mark = claim_of("r", 7, 31);
    struct ew_claim other = claim_of("r", 8, 30);
    struct ew_claim first = resume_of("r", 100, 2, &a);
    struct ew_claim second = resume_of("r", 101, 2, &a);

    a.has_spki = true;
    a.wrapped = blob_of("key");
    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_int_equal(park(fix, &a, EW_REC_WAITING, &a.holder.source), EW_TR_OK);
    assert_int_equal(ask_int(&fix->redis, "EXISTS epki:v1:wrapped:r"), 0); /* never sent: dropped */
    assert_int_equal(lookup(fix, "r"), EW_REC_WAITING);
    assert_int_equal(fix->view.epoch, 0);
    assert_int_equal(claim(fix, &a), EW_CLAIM_FENCED);
    lost_mark.verdict = "another:incarnation"; /* it looked for an order before Redis knew */
    assert_int_equal(claim(fix, &lost_mark), EW_CLAIM_DONE);
    lost_mark.verdict = NULL;
    lost_mark.unsent = true; /* a revocation */
    assert_int_equal(claim(fix, &lost_mark), EW_CLAIM_DONE);
    lost_mark.unsent = false;
    lost_mark.adopting = true;
    assert_int_equal(claim(fix, &lost_mark), EW_CLAIM_DONE);
    assert_int_equal(claim(fix, &other), EW_CLAIM_WAIT);

    assert_int_equal(claim(fix, &first),
                     EW_CLAIM_YES);         /* epochs of other partitions do not count */
    assert_int_equal(fix->view.attempt, 1); /* the first was never called */
    assert_int_equal(fix->view.source.offset, 100);
    assert_int_equal(claim(fix, &a), EW_CLAIM_FENCED);
    assert_int_equal(claim(fix, &lost_mark), EW_CLAIM_DONE);
    assert_int_equal(lookup(fix, "r"), EW_REC_CLAIMED); /* nothing was taken from the resume */
    assert_int_equal(fix->view.source.offset, 100);
    assert_int_equal(calling(fix, &first, 1), EW_TR_OK);
    assert_int_equal(claim(fix, &second), EW_CLAIM_RECONCILE);
    assert_int_equal(claim(fix, &other), EW_CLAIM_WAIT);
    first.holder.epoch = 1;
    assert_int_equal(claim(fix, &first), EW_CLAIM_FENCED);
    assert_int_equal(park(fix, &second, EW_REC_WAITING, &a.holder.source), EW_TR_OK);
    assert_int_equal(lookup(fix, "r"), EW_REC_WAITING);
    assert_int_equal(fix->view.source.offset, 7);
    second.adopting = true; /* "has ordered" */
    assert_int_equal(claim(fix, &second), EW_CLAIM_RECONCILE);
    second.adopting = false;
    second.verdict = fix->claim_canary;
    assert_int_equal(claim(fix, &second), EW_CLAIM_YES);
    assert_int_equal(fix->view.attempt, 2);
    assert_int_equal(done(fix, &second, "state"), EW_TR_OK);
    second.verdict = NULL;
    assert_int_equal(claim(fix, &second), EW_CLAIM_DONE);
    assert_int_equal(claim(fix, &first), EW_CLAIM_DONE);
    assert_int_equal(claim(fix, &other), EW_CLAIM_DUPLICATE);
}

/* Who left and is heard late takes nothing from a resume that has come since. Its key that was
 * never sent goes, and nothing is left to say whose it was. */
static void
test_who_is_heard_late_has_left(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("r", 7, 30);
    struct ew_claim first = resume_of("r", 100, 2, &a), second = resume_of("r", 101, 2, &a);

    a.has_spki = true;
    memset(a.spki, 1, sizeof(a.spki));
    a.wrapped = blob_of("key");
    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_int_equal(park(fix, &a, EW_REC_WAITING, &a.holder.source), EW_TR_OK);
    assert_int_equal(ask_int(&fix->redis, "EXISTS epki:v1:key:" ONES), 0);
    assert_int_equal(claim(fix, &first), EW_CLAIM_YES);
    assert_int_equal(calling(fix, &first, 1), EW_TR_OK);
    assert_int_equal(park(fix, &a, EW_REC_WAITING, &a.holder.source), EW_TR_REFUSED);
    assert_int_equal(lookup(fix, "r"), EW_REC_CALLING);
    assert_int_equal(claim(fix, &second), EW_CLAIM_RECONCILE);
    assert_int_equal(park(fix, &first, EW_REC_WAITING, &a.holder.source), EW_TR_REFUSED);
    assert_int_equal(lookup(fix, "r"), EW_REC_UNKNOWN);
    assert_int_equal(fix->view.source.offset, 101);
    assert_int_equal(claim(fix, &first),
                     EW_CLAIM_RECONCILE); /* published twice: the later begins */
    assert_int_equal(park(fix, &second, EW_REC_WAITING, &a.holder.source), EW_TR_OK);
    assert_int_equal(lookup(fix, "r"), EW_REC_WAITING);
}

static void
test_parked(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("r", 7, 3);
    struct ew_claim other = claim_of("r", 8, 3);
    struct ew_claim resume = resume_of("r", 100, 1, &a);
    struct ew_claim stranger = resume_of("r", 101, 1, &other);

    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_int_equal(park(fix, &other, EW_REC_PARKED, &other.holder.source), EW_TR_REFUSED);
    assert_int_equal(park(fix, &a, EW_REC_PARKED, &a.holder.source), EW_TR_OK);
    assert_int_equal(claim(fix, &other), EW_CLAIM_PARKED);
    assert_int_equal(claim(fix, &stranger), EW_CLAIM_PARKED);
    assert_int_equal(claim(fix, &resume), EW_CLAIM_YES);
    assert_int_equal(claim(fix, &other), EW_CLAIM_WAIT);
}

/* --- orders that vanish --- */

/* One more attempt of a claim, called and judged "none"; returns how many have vanished. */
static int
vanish(struct fix *fix, struct ew_claim *c)
{
    assert_int_equal(calling(fix, c, fix->view.attempt), EW_TR_OK);
    assert_int_equal(unknown(fix, c, fix->view.attempt), EW_TR_OK);
    c->verdict = fix->claim_canary;
    assert_int_equal(claim(fix, c), EW_CLAIM_YES);
    c->verdict = NULL;
    return fix->view.vanished;
}

/* What vanished is counted over owners, resumes and the waiting room; each attempt once. */
static void
test_vanished(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("r", 7, 3);
    struct ew_claim resume = resume_of("r", 100, 2, &a);

    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_int_equal(fix->view.vanished, 0);
    assert_int_equal(vanish(fix, &a), 1);
    a.verdict = fix->claim_canary; /* its reply was lost: asked again */
    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_int_equal(fix->view.vanished, 1);
    a.verdict = NULL;
    assert_int_equal(vanish(fix, &a), 2);

    a.holder.epoch = 4; /* adopted while only claimed: what was never called cannot vanish */
    a.adopting = true;
    assert_int_equal(claim(fix, &a), EW_CLAIM_RECONCILE);
    assert_int_equal(fix->view.vanished, 2);
    a.adopting = false;
    a.verdict = fix->claim_canary;
    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_int_equal(fix->view.vanished, 2);
    a.verdict = NULL;
    assert_int_equal(vanish(fix, &a), 3);

    assert_int_equal(park(fix, &a, EW_REC_WAITING, &a.holder.source), EW_TR_OK);
    assert_int_equal(lookup(fix, "r"), EW_REC_WAITING);
    assert_int_equal(fix->view.vanished, 3);
    assert_int_equal(claim(fix, &resume), EW_CLAIM_YES);
    assert_int_equal(vanish(fix, &resume), 4);

    assert_int_equal(park(fix, &resume, EW_REC_PARKED, &a.holder.source), EW_TR_OK);
    resume.holder.source.offset = 101; /* people say: once more */
    assert_int_equal(claim(fix, &resume), EW_CLAIM_YES);
    assert_int_equal(fix->view.vanished, 0);
}

/* Redis did not hear of the parking; that people let it go on, it hears with the claim. */
static void
test_pardoned(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("r", 7, 3);
    struct ew_claim other = claim_of("r", 8, 3);
    struct ew_claim resume = resume_of("r", 100, 2, &a);

    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_int_equal(vanish(fix, &a), 1);
    other.pardon = true; /* not his to let go on */
    assert_int_equal(claim(fix, &other), EW_CLAIM_WAIT);
    assert_int_equal(lookup(fix, "r"), EW_REC_CLAIMED);
    assert_int_equal(fix->view.vanished, 1);
    resume.adopting = resume.pardon = true;
    assert_int_equal(claim(fix, &resume), EW_CLAIM_RECONCILE);
    assert_int_equal(fix->view.vanished, 0);
    assert_int_equal(lookup(fix, "r"), EW_REC_UNKNOWN);
    assert_int_equal(fix->view.vanished, 0);
}

/* An order that was found and ended, or surely not sent, was no order that vanished. */
static void
test_not_vanished(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("r", 7, 3);

    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_int_equal(calling(fix, &a, 1), EW_TR_OK);
    a.unsent = true;
    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_int_equal(fix->view.vanished, 0);
    a.unsent = false;
    assert_int_equal(calling(fix, &a, 2), EW_TR_OK);
    assert_int_equal(outcome(fix, &a, 2, "CE1", "cert"), EW_TR_OK);
    a.discard = true;
    a.verdict = fix->claim_canary;
    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_int_equal(fix->view.attempt, 3);
    assert_int_equal(fix->view.vanished, 0);
}

/* --- waiting for another request's answer --- */

/* Whether who waits would come back to itself. */
static bool
circular(struct fix *fix, const char *id, const char *other, enum ew_record_state state)
{
    ew_store_await(fix->store, id, other, got_awaited, fix);
    await(fix);
    assert_int_equal(fix->fault, EW_OK);
    assert_int_equal(fix->view.state, state);
    return fix->flag;
}

static void
test_await(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("a", 1, 3), b = claim_of("b", 2, 3), c = claim_of("c", 3, 3);

    assert_false(circular(fix, "a", "b", EW_REC_ABSENT));
    assert_int_equal(ask_int(&fix->redis, "EXISTS epki:v1:request:a"), 0);
    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_int_equal(claim(fix, &b), EW_CLAIM_YES);
    assert_int_equal(claim(fix, &c), EW_CLAIM_YES);
    assert_false(circular(fix, "a", "b", EW_REC_CLAIMED));
    assert_false(circular(fix, "a", "b", EW_REC_CLAIMED));
    assert_false(circular(fix, "b", "c", EW_REC_CLAIMED));
    assert_int_equal(park(fix, &b, EW_REC_WAITING, &b.holder.source), EW_TR_OK);
    assert_true(circular(fix, "c", "a", EW_REC_CLAIMED));
    assert_true(circular(fix, "a", "b", EW_REC_WAITING));
    /* Who only looks at the circle is not in it. */
    assert_false(circular(fix, "d", "b", EW_REC_WAITING));
    /* One of them is answered: the others wait for an end again. */
    assert_int_equal(done(fix, &c, "rejected"), EW_TR_OK);
    assert_false(circular(fix, "b", "c", EW_REC_DONE));
    assert_false(circular(fix, "a", "b", EW_REC_WAITING));
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup(name, fix_fresh)
    const struct CMUnitTest tests[] = {
        ROW(test_resume),   ROW(test_parked),
        ROW(test_vanished), ROW(test_who_is_heard_late_has_left),
        ROW(test_pardoned), ROW(test_not_vanished),
        ROW(test_await),
    };

    return cmocka_run_group_tests_name("store: waiting", tests, fix_setup, fix_teardown);
}
