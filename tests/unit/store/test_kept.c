/*
 * Proof of what Redis keeps of a request: the ways to it by its order and its certificate, the
 * versions of its answer, which wins over anything that is none, and bytes of anybody's.
 */
#include "transitions.h"

static void
test_indexes(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("a", 1, 3), b = claim_of("b", 2, 3);
    const char *issuer = "CN=GlobalSign GCC R6 SMIME CA 2023,O=GlobalSign nv-sa,C=BE";
    struct ew_done_index index = {
        .order_id = "CE1", .issuer = issuer, .serial = "01ab", .expire_ms = 60000};

    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    ew_store_take_order(fix->store, &a.holder, 0, "CE1", got_order, fix);
    assert_true(flag(fix));
    ew_store_take_order(fix->store, &a.holder, 0, "CE1", got_order, fix);
    assert_true(flag(fix));
    ew_store_take_order(fix->store, &b.holder, 0, "CE1", got_order, fix);
    assert_false(flag(fix));
    assert_string_equal(fix->text, "a");
    assert_int_equal(lookup(fix, "a"), EW_REC_CLAIMED);
    assert_string_equal(fix->order_id, "CE1");
    /* An answer that is not restored yet may have brought one that nobody has. */
    tell(&fix->redis, "RENAME epki:v1:canary hidden");
    ew_store_take_order(fix->store, &b.holder, 0, "CE1", got_order, fix);
    assert_false(flag(fix));
    ew_store_take_order(fix->store, &a.holder, 0, "CE2", got_order, fix);
    await(fix);
    assert_int_equal(fix->fault, EW_RETRY);
    assert_false(fix->flag);
    assert_int_equal(ask_int(&fix->redis, "EXISTS epki:v1:order:CE2"), 0);
    assert_int_equal(lookup(fix, "a"), EW_REC_CLAIMED);
    assert_string_equal(fix->order_id, "CE1");
    tell(&fix->redis, "RENAME hidden epki:v1:canary");

    ew_store_certified(fix->store, "a", &index); /* its answer is about to be committed */
    ew_store_by_serial(fix->store, issuer, "01ab", got_found, fix);
    assert_string_equal(found(fix), "a");
    ew_store_by_serial(fix->store, "CN=Another", "01ab", got_found, fix);
    assert_string_equal(found(fix), "");
    assert_int_equal(lookup(fix, "a"), EW_REC_CLAIMED);

    assert_int_equal(done_with(fix, &a, "state", &index), EW_TR_OK);
    ew_store_by_order(fix->store, "CE1", got_found, fix);
    assert_string_equal(found(fix), "a");
    assert_int_equal(fix->canary, EW_CANARY_OK);
    ew_store_by_serial(fix->store, issuer, "01ab", got_found, fix);
    assert_string_equal(found(fix), "a");
    ew_store_by_serial(fix->store, issuer, "01ac", got_found, fix);
    assert_string_equal(found(fix), "");
    ew_store_by_order(fix->store, "CE2", got_found, fix);
    assert_string_equal(found(fix), "");
    assert_in_range(ask_int(&fix->redis, "PTTL epki:v1:order:CE1"), 50000, 60000);
}

static void
test_rewrite(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("a", 1, 3);
    struct ew_blob revoked = blob_of("revoked"), older = blob_of("older");
    int64_t version;

    ew_store_rewrite(fix->store, "a", 5, &revoked, got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_REFUSED);
    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    ew_store_rewrite(fix->store, "a", 5, &revoked, got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_REFUSED);
    assert_int_equal(done(fix, &a, "issued"), EW_TR_OK);
    ew_store_next_version(fix->store, got_version, fix);
    await(fix);
    version = fix->version;
    assert_true(version > 0);
    ew_store_next_version(fix->store, got_version, fix);
    await(fix);
    assert_true(fix->version > version);
    ew_store_rewrite(fix->store, "a", fix->version, &revoked, got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_OK);
    ew_store_rewrite(fix->store, "a", version, &older, got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_REFUSED);
    assert_int_equal(lookup(fix, "a"), EW_REC_DONE);
    assert_string_equal(fix->outcome, "revoked");
    assert_in_range(ask_int(&fix->redis, "PTTL epki:v1:request:a"), 50000, 60000);
    /* The clock of Redis keeps versions rising over a wipe. */
    version = fix->version;
    tell(&fix->redis, "FLUSHALL");
    ew_store_next_version(fix->store, got_version, fix);
    await(fix);
    assert_true(fix->version > version);
}

/* DONE wins over anything that is not an answer, also where the record says another source. */
static void
test_done_wins(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("r", 7, 3), b = claim_of("r", 8, 3);

    assert_int_equal(done(fix, &a, "absent before"), EW_TR_OK);
    assert_int_equal(claim(fix, &b), EW_CLAIM_DUPLICATE);
    tell(&fix->redis, "FLUSHALL");
    assert_int_equal(fix_fresh(state), 0);
    assert_int_equal(claim(fix, &b), EW_CLAIM_YES);
    assert_int_equal(done(fix, &a, "answer"), EW_TR_OK);
    assert_int_equal(calling(fix, &b, 1), EW_TR_REFUSED);
    assert_int_equal(claim(fix, &b), EW_CLAIM_DUPLICATE); /* b's event still needs its answer */
    assert_string_equal(fix->outcome, "answer");
}

/* --- hostile values --- */

static void
test_hostile(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("a:..*?[x]' \"\n redis.call('FLUSHALL')", 1, 3);
    struct ew_claim b = claim_of("b", 1, 3);
    static const uint8_t bytes[] = {'o', 0, '\r', '\n', '$', '-', '1', 0xff};
    struct ew_blob blob = {bytes, sizeof(bytes)};
    static uint8_t large[EW_MAX_REDIS_VALUE + 1];
    struct ew_blob too_large = {large, sizeof(large)};

    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_int_equal(calling(fix, &a, 1), EW_TR_OK);
    ew_store_outcome(fix->store, &a.holder, 1, "CE'\r\n", &blob, NULL, got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_OK);
    assert_int_equal(lookup(fix, a.holder.request_id), EW_REC_OUTCOME);
    assert_string_equal(fix->order_id, "CE'\r\n");
    assert_string_equal(fix->outcome, "o"); /* to its NUL, as the harness keeps it */
    ew_store_outcome(fix->store, &a.holder, 1, "", &too_large, NULL, got_moved, fix);
    await(fix);
    assert_int_equal(fix->fault, EW_BUG);

    /* Somebody else's hands in our keys. */
    tell(&fix->redis, "HSET epki:v1:request:b st claimed src nonsense dg zz ep 1 at 1");
    ew_store_lookup(fix->store, "b", got_lookup, fix);
    await(fix);
    assert_int_equal(fix->fault, EW_BUG);
    tell(&fix->redis, "HSET epki:v1:request:b st bogus src t/0/1 ep -7 at 99999999999999999999");
    ew_store_lookup(fix->store, "b", got_lookup, fix);
    await(fix);
    assert_int_equal(fix->fault, EW_BUG);
    tell(&fix->redis, "DEL epki:v1:request:b");
    tell(&fix->redis, "RPUSH epki:v1:request:b x");
    ew_store_claim(fix->store, &b, got_claim, fix);
    await(fix);
    assert_int_equal(fix->fault, EW_BUG);
    assert_int_equal(lookup(fix, "c"), EW_REC_ABSENT);
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup(name, fix_fresh)
    const struct CMUnitTest tests[] = {
        ROW(test_indexes),
        ROW(test_rewrite),
        ROW(test_done_wins),
        ROW(test_hostile),
    };

    return cmocka_run_group_tests_name("store: kept", tests, fix_setup, fix_teardown);
}
