/*
 * Proof of the rebuild: one rebuilder at a time, wipes in the middle, and what wins over what.
 */
#include "rebuilding.h"

static void
test_frame(void **state)
{
    struct fix *fix = *state;
    struct ew_claim c = claim_of("r", 7, 1);

    assert_int_equal(canary(fix), EW_CANARY_OK);
    assert_false(begin(fix, NONCE_A)); /* nothing to rebuild */
    tell(&fix->redis, "FLUSHALL");
    assert_int_equal(canary(fix), EW_CANARY_MISSING);
    assert_false(fix->rebuilding);
    assert_true(begin(fix, NONCE_A));
    assert_false(begin(fix, NONCE_B));
    assert_false(begin(fix, NONCE_A)); /* a nonce is used once */
    assert_int_equal(canary(fix), EW_CANARY_MISSING);
    assert_true(fix->rebuilding);
    assert_int_equal(claim(fix, &c), EW_CLAIM_NO_CANARY);
    assert_true(renew(fix, NONCE_A));
    assert_false(renew(fix, NONCE_B));
    assert_in_range(ask_int(&fix->redis, "PTTL epki:v1:nonce"), 9000, 10000);
    assert_false(finish(fix, NONCE_B));
    assert_true(finish(fix, NONCE_A));
    assert_false(finish(fix, NONCE_A));
    assert_int_equal(canary(fix), EW_CANARY_OK);
    assert_memory_equal(fix->canary_value, NONCE_A, 32);
    assert_false(fix->rebuilding);
    assert_int_equal(claim(fix, &c), EW_CLAIM_YES);
    assert_string_equal(fix->claim_canary, fix->canary_value);
}

static void
test_two_rebuilders_and_a_wipe(void **state)
{
    struct fix *fix = *state;
    struct ew_inflight_record old = inflight_of(EW_INFLIGHT_ORDERING, "r", 7);
    struct ew_inflight_record late = inflight_of(EW_INFLIGHT_ORDERING, "late", 8);

    tell(&fix->redis, "FLUSHALL");
    assert_true(begin(fix, NONCE_A));
    assert_int_equal(restore(fix, NONCE_A, &old), EW_TR_OK);
    tell(&fix->redis, "FLUSHALL");
    assert_int_equal(restore(fix, NONCE_A, &late), EW_TR_NO_CANARY);
    assert_int_equal(restore_answer(fix, NONCE_A, "late", 1, "x"), EW_TR_NO_CANARY);
    assert_false(renew(fix, NONCE_A));
    assert_true(begin(fix, NONCE_B));
    assert_int_equal(restore(fix, NONCE_A, &late), EW_TR_NO_CANARY);
    assert_false(finish(fix, NONCE_A));
    assert_int_equal(canary(fix), EW_CANARY_MISSING);
    assert_int_equal(restore(fix, NONCE_B, &old), EW_TR_OK);
    assert_true(finish(fix, NONCE_B));
    assert_int_equal(restore(fix, NONCE_B, &late), EW_TR_NO_CANARY); /* it is over */
    assert_int_equal(lookup(fix, "r"), EW_REC_UNKNOWN);
    assert_int_equal(lookup(fix, "late"), EW_REC_ABSENT);
    assert_int_equal(fix->canary, EW_CANARY_OK);
}

/* A server that restarts in the middle keeps the nonce and may have lost the rest. */
static void
test_restart_in_the_middle(void **state)
{
    struct fix *fix = *state;

    tell(&fix->redis, "FLUSHALL");
    assert_true(begin(fix, NONCE_A));
    tell(&fix->redis, "SET epki:v1:nonce %s:%s PX 10000", NONCE_A,
         "1111111111111111111111111111111111111111");
    assert_false(renew(fix, NONCE_A));
    assert_false(finish(fix, NONCE_A));
    assert_int_equal(canary(fix), EW_CANARY_MISSING);
    tell(&fix->redis, "PEXPIRE epki:v1:nonce 1");
    pause_ms(10);
    assert_false(renew(fix, NONCE_A)); /* an expired lease is not taken up again */
    assert_true(begin(fix, NONCE_B));
    assert_true(finish(fix, NONCE_B));
}

static void
test_sweep(void **state)
{
    struct fix *fix = *state;
    struct ew_claim c = claim_of("kept-key", 1, 1);

    c.wrapped = blob_of("wrapped");
    c.has_spki = true;
    assert_int_equal(claim(fix, &c), EW_CLAIM_YES);
    for (int i = 0; i < 3000; i++)
        tell(&fix->redis, "HSET epki:v1:request:survivor%d st claimed", i);
    tell(&fix->redis, "SET epki:v1:stop:x t/0/1");
    tell(&fix->redis, "HSET epki:v1:account:main st ok cr theirs pl 5");
    tell(&fix->redis, "HSET epki:v1:account:other st paused code -4001");
    tell(&fix->redis, "HSET epki:v1:limit:main s 1");
    tell(&fix->redis, "SET epki:v1:version 77");
    tell(&fix->redis, "SET other:v1:request:x 1");
    /* A server that was promoted: the canary is there, of another run id. */
    tell(&fix->redis, "SET epki:v1:canary %s:%s", NONCE_B,
         "1111111111111111111111111111111111111111");
    assert_true(begin(fix, NONCE_A));
    assert_int_equal(canary(fix), EW_CANARY_MISSING);
    assert_int_equal(ask_int(&fix->redis, "DBSIZE"), 5); /* and who came to main */
    assert_int_equal(ask_int(&fix->redis, "EXISTS epki:v1:wrapped:kept-key epki:v1:version "
                                          "other:v1:request:x epki:v1:nonce"),
                     4);
    assert_int_equal(ask_int(&fix->redis, "HLEN epki:v1:account:main"), 2); /* who came, and when */
    assert_int_equal(ask_int(&fix->redis, "HEXISTS epki:v1:account:main st"), 0);
    assert_true(finish(fix, NONCE_A));
    c.wrapped = blob_of("another");
    assert_int_equal(claim(fix, &c), EW_CLAIM_YES);
    assert_string_equal(fix->wrapped, "wrapped");
}

static void
test_precedence(void **state)
{
    struct fix *fix = *state;
    struct ew_inflight_record ordering = inflight_of(EW_INFLIGHT_ORDERING, "r", 7);
    struct ew_inflight_record parked = inflight_of(EW_INFLIGHT_PARKED, "r", 8);
    struct ew_inflight_record waiting = inflight_of(EW_INFLIGHT_WAITING, "r", 9);
    struct ew_inflight_record other = inflight_of(EW_INFLIGHT_ORDERING, "r", 10);

    ordering.ca_date_ms = 1700000000000;
    tell(&fix->redis, "FLUSHALL");
    assert_true(begin(fix, NONCE_A));
    assert_int_equal(restore(fix, NONCE_A, &waiting), EW_TR_OK);
    assert_int_equal(lookup(fix, "r"), EW_REC_WAITING);
    assert_int_equal(restore(fix, NONCE_A, &parked), EW_TR_OK);
    assert_int_equal(restore(fix, NONCE_A, &waiting), EW_TR_REFUSED);
    assert_int_equal(restore(fix, NONCE_A, &ordering), EW_TR_OK);
    assert_int_equal(restore(fix, NONCE_A, &parked), EW_TR_REFUSED);
    assert_int_equal(restore(fix, NONCE_A, &other), EW_TR_REFUSED);
    assert_int_equal(lookup(fix, "r"), EW_REC_UNKNOWN);
    assert_int_equal(fix->view.source.offset, 7);
    assert_int_equal(fix->view.epoch, 0);
    assert_int_equal(fix->view.attempt, 2);
    assert_int_equal(fix->view.ca_date_ms, 1700000000000);
    assert_int_equal(restore_answer(fix, NONCE_A, "r", 5, "answer"), EW_TR_OK);
    assert_int_equal(restore(fix, NONCE_A, &ordering), EW_TR_REFUSED);
    assert_int_equal(restore_answer(fix, NONCE_A, "r", 4, "older"), EW_TR_REFUSED);
    assert_int_equal(restore_answer(fix, NONCE_A, "r", 6, "newer"), EW_TR_OK);
    assert_int_equal(lookup(fix, "r"), EW_REC_DONE);
    assert_string_equal(fix->outcome, "newer");
    assert_in_range(ask_int(&fix->redis, "PTTL epki:v1:request:r"), 3000, 5000);
    assert_true(finish(fix, NONCE_A));
    ew_store_by_order(fix->store, "CE1", got_found, fix);
    assert_string_equal(found(fix), "r");
    ew_store_by_serial(fix->store, "CN=CA", "01", got_found, fix);
    assert_string_equal(found(fix), "r");
}

/* A duplicate waits or was parked beside its first one, which does so too: whichever is read first,
 * the request stays the first one's. */
static void
test_what_repeats_gives_way(void **state)
{
    static const enum ew_inflight_kind kinds[] = {EW_INFLIGHT_WAITING, EW_INFLIGHT_PARKED};
    struct fix *fix = *state;
    struct ew_inflight_record again = inflight_of(EW_INFLIGHT_PARKED, "r", 8);
    struct ew_claim first = claim_of("r", 0, 3), second = first;

    first.holder.source = second.holder.source = source_of("resume", 0, 50);
    first.holder.original = source_of("requests", 0, 7);
    second.holder.original = again.source;
    first.adopting = second.adopting = true;
    again.first_source = "requests/0/7";
    for (size_t i = 0; i < 8; i++) {
        struct ew_inflight_record held = inflight_of(kinds[i / 2 % 2], "r", 7);

        again.kind = kinds[i / 4];
        tell(&fix->redis, "FLUSHALL");
        assert_true(begin(fix, NONCE_A));
        if (i % 2 == 0)
            assert_int_equal(restore(fix, NONCE_A, &held), EW_TR_OK);
        assert_int_equal(restore(fix, NONCE_A, &again), i % 2 == 0 ? EW_TR_REFUSED : EW_TR_OK);
        if (i % 2 == 1)
            assert_int_equal(restore(fix, NONCE_A, &held), EW_TR_OK);
        assert_true(finish(fix, NONCE_A));
        assert_int_equal(claim(fix, &second), i / 2 % 2 == 0 ? EW_CLAIM_WAIT : EW_CLAIM_PARKED);
        assert_int_equal(claim(fix, &first), EW_CLAIM_RECONCILE);
    }
}

/* Nothing else is known of the request: a third event must not order it. */
static void
test_what_repeats_is_better_than_nothing(void **state)
{
    struct fix *fix = *state;
    struct ew_inflight_record again = inflight_of(EW_INFLIGHT_PARKED, "r", 8);
    struct ew_claim third = claim_of("r", 9, 3);

    again.first_source = "requests/0/7";
    tell(&fix->redis, "FLUSHALL");
    assert_true(begin(fix, NONCE_A));
    assert_int_equal(restore(fix, NONCE_A, &again), EW_TR_OK);
    assert_true(finish(fix, NONCE_A));
    assert_int_equal(claim(fix, &third), EW_CLAIM_PARKED);
}

/* Answers and outcomes that come while a rebuild is under way. */
static void
test_live_writes(void **state)
{
    struct fix *fix = *state;
    struct ew_claim c = claim_of("r", 7, 3);
    struct ew_claim heir = claim_of("s", 8, 3);
    struct ew_inflight_record ordering = inflight_of(EW_INFLIGHT_ORDERING, "r", 7);
    struct ew_inflight_record s = inflight_of(EW_INFLIGHT_ORDERING, "s", 8);
    struct ew_done_index index = {.order_id = "", .issuer = "", .serial = "", .expire_ms = 60000};
    struct ew_blob blob = blob_of("live"), cert = blob_of("cert");

    tell(&fix->redis, "FLUSHALL");
    assert_true(begin(fix, NONCE_A));
    ew_store_done(fix->store, &c.holder, c.digest, &blob, &index, got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_OK);
    assert_int_equal(restore(fix, NONCE_A, &ordering), EW_TR_REFUSED);
    assert_int_equal(restore_answer(fix, NONCE_A, "r", 0, "same"), EW_TR_REFUSED);
    assert_int_equal(restore_answer(fix, NONCE_A, "r", 9, "revoked since"), EW_TR_OK);
    /* The call that was under way during the wipe comes back: its owner is still the owner. */
    assert_int_equal(restore(fix, NONCE_A, &s), EW_TR_OK);
    ew_store_outcome(fix->store, &heir.holder, 2, "CE7", &cert, NULL, got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_OK);
    assert_true(finish(fix, NONCE_A));
    assert_int_equal(lookup(fix, "s"), EW_REC_OUTCOME);
    assert_string_equal(fix->order_id, "CE7");
    assert_int_equal(fix->view.epoch, 3);
}

static void
test_after_rebuild(void **state)
{
    struct fix *fix = *state;
    struct ew_inflight_record ordering = inflight_of(EW_INFLIGHT_ORDERING, "r", 7);
    struct ew_claim owner = claim_of("r", 7, 3), other = claim_of("r", 8, 3);
    struct ew_claim thief = claim_of("t", 20, 3);
    char before[EW_CANARY_MAX];

    assert_int_equal(canary(fix), EW_CANARY_OK);
    memcpy(before, fix->canary_value, sizeof(before));
    tell(&fix->redis, "FLUSHALL");
    assert_true(begin(fix, NONCE_A));
    memset(ordering.keys[0], 1, 32);
    memset(ordering.keys[1], 2, 32);
    ordering.key_count = 2;
    ordering.order_id = "CE5";
    ordering.vanished = 3;
    assert_int_equal(restore(fix, NONCE_A, &ordering), EW_TR_OK);
    assert_true(finish(fix, NONCE_A));

    thief.has_spki = true;
    memset(thief.spki, 1, 32);
    assert_int_equal(claim(fix, &thief), EW_CLAIM_KEY_BUSY);
    assert_string_equal(fix->text, "r");
    ew_store_by_order(fix->store, "CE5", got_found, fix);
    assert_string_equal(found(fix), "r");
    assert_int_equal(claim(fix, &other), EW_CLAIM_WAIT);
    owner.unsent = true; /* of the time before the wipe: the epoch does not fit */
    assert_int_equal(claim(fix, &owner), EW_CLAIM_RECONCILE);
    assert_int_equal(fix->view.spki[31], 2);
    assert_int_equal(fix->view.vanished, 3);
    owner.unsent = false;
    owner.verdict = before;
    assert_int_equal(claim(fix, &owner), EW_CLAIM_STALE);
    owner.verdict = "";
    assert_int_equal(claim(fix, &owner), EW_CLAIM_STALE); /* begun without a canary */
    owner.verdict = fix->claim_canary;
    assert_int_equal(claim(fix, &owner), EW_CLAIM_YES);
    assert_int_equal(fix->view.attempt, 3);
    assert_int_equal(fix->view.vanished, 4); /* the one that was in the air */
}

static void
test_waiting_and_stop(void **state)
{
    struct fix *fix = *state;
    struct ew_inflight_record waiting = inflight_of(EW_INFLIGHT_WAITING, "w", 7);
    struct ew_inflight_record stop_w = inflight_of(EW_INFLIGHT_STOP, "w", 90);
    struct ew_inflight_record stop_x = inflight_of(EW_INFLIGHT_STOP, "x", 91);
    struct ew_claim resume = claim_of("w", 50, 1), x = claim_of("x", 30, 1);

    waiting.wrapped_key = blob_of("carried");
    memset(waiting.keys[0], 7, 32);
    waiting.key_count = 1;
    waiting.has_ordered = true;
    stop_w.by = source_of("revocations", 1, 90);
    stop_x.by = source_of("revocations", 1, 91);
    tell(&fix->redis, "FLUSHALL");
    assert_true(begin(fix, NONCE_A));
    assert_int_equal(restore(fix, NONCE_A, &stop_w), EW_TR_OK);
    assert_int_equal(restore(fix, NONCE_A, &waiting), EW_TR_OK); /* beside it, in either order */
    assert_int_equal(restore(fix, NONCE_A, &stop_x), EW_TR_OK);
    assert_in_range(ask_int(&fix->redis, "PTTL epki:v1:stop:x"), 55000, 60000);
    assert_true(finish(fix, NONCE_A));
    assert_int_equal(claim(fix, &x), EW_CLAIM_STOPPED);
    assert_int_equal(fix->view.stopped_by.offset, 91);
    assert_int_equal(lookup(fix, "w"), EW_REC_WAITING);
    assert_true(fix->view.stopped);
    assert_string_equal(fix->view.stopped_by.topic, "revocations");
    resume.holder.source = source_of("resume", 0, 50);
    resume.holder.original = waiting.source;
    resume.adopting = true;
    assert_int_equal(claim(fix, &resume), EW_CLAIM_RECONCILE);
    assert_string_equal(fix->wrapped, "carried");
    assert_int_equal(fix->view.spki[0], 7);
    resume.adopting = false;
    resume.verdict = fix->claim_canary;
    assert_int_equal(claim(fix, &resume), EW_CLAIM_STOPPED);
    ask_int(&fix->redis, "DEL epki:v1:stop:w");
    assert_int_equal(claim(fix, &resume), EW_CLAIM_YES);
}

/* It may have left again while it was restored: then a later resume has to go on with it. */
static void
test_ordering_of_a_resume(void **state)
{
    struct fix *fix = *state;
    struct ew_inflight_record ordering = inflight_of(EW_INFLIGHT_ORDERING, "r", 7);
    struct ew_claim later = claim_of("r", 0, 3), stranger = later, original = claim_of("r", 7, 3);

    ordering.by = ordering.source;
    ordering.source = source_of("resume", 0, 50);
    later.holder.source = stranger.holder.source = source_of("resume", 0, 51);
    later.holder.original = ordering.by;
    stranger.holder.original = source_of("requests", 0, 8);
    tell(&fix->redis, "FLUSHALL");
    assert_true(begin(fix, NONCE_A));
    assert_int_equal(restore(fix, NONCE_A, &ordering), EW_TR_OK);
    assert_true(finish(fix, NONCE_A));
    assert_int_equal(claim(fix, &original), EW_CLAIM_FENCED);
    assert_int_equal(claim(fix, &stranger), EW_CLAIM_WAIT);
    assert_int_equal(claim(fix, &later), EW_CLAIM_RECONCILE);
}

static void
test_version_after_rebuild(void **state)
{
    struct fix *fix = *state;
    const int64_t ahead = INT64_C(4000000000000000); /* a Redis whose clock was ahead */

    tell(&fix->redis, "FLUSHALL");
    assert_true(begin(fix, NONCE_A));
    assert_int_equal(restore_answer(fix, NONCE_A, "r", ahead, "state"), EW_TR_OK);
    assert_true(finish(fix, NONCE_A));
    ew_store_next_version(fix->store, got_version, fix);
    await(fix);
    assert_true(fix->version == ahead + 1);
}

static void
test_bad_nonce(void **state)
{
    struct fix *fix = *state;

    tell(&fix->redis, "FLUSHALL");
    ew_store_rebuild_begin(fix->store, "with:a:colon", got_flag, fix);
    await(fix);
    assert_int_equal(fix->fault, EW_BUG);
    assert_int_equal(canary(fix), EW_CANARY_MISSING);
    assert_false(fix->rebuilding);
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup(name, fix_fresh)
    const struct CMUnitTest tests[] = {
        ROW(test_frame),
        ROW(test_two_rebuilders_and_a_wipe),
        ROW(test_sweep),
        ROW(test_restart_in_the_middle),
        ROW(test_precedence),
        ROW(test_what_repeats_gives_way),
        ROW(test_what_repeats_is_better_than_nothing),
        ROW(test_live_writes),
        ROW(test_after_rebuild),
        ROW(test_waiting_and_stop),
        ROW(test_bad_nonce),
        ROW(test_ordering_of_a_resume),
        ROW(test_version_after_rebuild),
    };

    return cmocka_run_group_tests_name("store: rebuild", tests, fix_setup, fix_teardown);
}
