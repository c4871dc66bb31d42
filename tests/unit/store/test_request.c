/*
 * Proof of the request record's transitions, row by row, against a real Redis.
 */
#include "redis_harness.h"

static enum ew_transition
calling(struct fix *fix, const struct ew_claim *c, int attempt)
{
    ew_store_calling(fix->store, &c->holder, attempt, got_moved, fix);
    return moved(fix);
}

static enum ew_transition
unknown(struct fix *fix, const struct ew_claim *c, int attempt)
{
    ew_store_unknown(fix->store, &c->holder, attempt, got_moved, fix);
    return moved(fix);
}

static enum ew_transition
outcome(struct fix *fix, const struct ew_claim *c, int attempt, const char *order, const char *text)
{
    struct ew_blob blob = blob_of(text);

    ew_store_outcome(fix->store, &c->holder, attempt, order, &blob, NULL, got_moved, fix);
    return moved(fix);
}

static enum ew_transition
park(struct fix *fix, const struct ew_claim *c, enum ew_record_state state,
     const struct ew_source *original)
{
    ew_store_park(fix->store, &c->holder, state, original, false, got_moved, fix);
    return moved(fix);
}

static enum ew_transition
done_with(struct fix *fix, const struct ew_claim *c, const char *text,
          const struct ew_done_index *index)
{
    struct ew_blob blob = blob_of(text);

    ew_store_done(fix->store, &c->holder, c->digest, &blob, index, got_moved, fix);
    return moved(fix);
}

static enum ew_transition
done(struct fix *fix, const struct ew_claim *c, const char *text)
{
    struct ew_done_index index = {.order_id = "", .issuer = "", .serial = "", .expire_ms = 60000};

    return done_with(fix, c, text, &index);
}

static void
wipe(struct fix *fix)
{
    tell(&fix->redis, "FLUSHALL");
}

/* --- the straight way --- */

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

/* --- epochs --- */

static void
test_epochs(void **state)
{
    struct fix *fix = *state;
    struct ew_claim old = claim_of("r", 7, 3);
    struct ew_claim heir = claim_of("r", 7, 4);

    assert_int_equal(claim(fix, &old), EW_CLAIM_YES);
    assert_int_equal(claim(fix, &heir), EW_CLAIM_YES);
    assert_int_equal(fix->view.epoch, 4);
    assert_int_equal(fix->view.attempt, 1);
    assert_int_equal(claim(fix, &old), EW_CLAIM_FENCED);
    assert_int_equal(calling(fix, &old, 1), EW_TR_REFUSED);
    assert_int_equal(calling(fix, &heir, 2), EW_TR_REFUSED);
    assert_int_equal(calling(fix, &heir, 1), EW_TR_OK);
    assert_int_equal(unknown(fix, &old, 1), EW_TR_REFUSED);
    assert_int_equal(lookup(fix, "r"), EW_REC_CALLING);
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
test_takeover_after_call(void **state)
{
    struct fix *fix = *state;
    struct ew_claim old = claim_of("r", 7, 3);
    struct ew_claim heir = claim_of("r", 7, 4);
    char value[EW_CANARY_MAX];

    assert_int_equal(claim(fix, &old), EW_CLAIM_YES);
    memcpy(value, fix->claim_canary, sizeof(value));
    assert_int_equal(calling(fix, &old, 1), EW_TR_OK);
    assert_int_equal(claim(fix, &heir), EW_CLAIM_RECONCILE);
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

/* What is told of another attempt than the one in question is not taken for it. */
static void
test_mailbox_of_another_attempt(void **state)
{
    struct fix *fix = *state;
    struct ew_claim old = claim_of("r", 7, 3), heir = claim_of("r", 7, 4);
    char value[EW_CANARY_MAX];

    assert_int_equal(claim(fix, &old), EW_CLAIM_YES);
    memcpy(value, fix->claim_canary, sizeof(value));
    assert_int_equal(calling(fix, &old, 1), EW_TR_OK);
    assert_int_equal(claim(fix, &heir), EW_CLAIM_RECONCILE);
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

/* The attempt in question, but its order is being ended for its lost key: nobody may deliver it. */
static void
test_mailbox_of_a_lost_order(void **state)
{
    struct fix *fix = *state;
    struct ew_claim old = claim_of("r", 7, 3), heir = claim_of("r", 7, 4);
    char value[EW_CANARY_MAX];

    assert_int_equal(claim(fix, &old), EW_CLAIM_YES);
    memcpy(value, fix->claim_canary, sizeof(value));
    assert_int_equal(calling(fix, &old, 1), EW_TR_OK);
    assert_int_equal(claim(fix, &heir), EW_CLAIM_RECONCILE);
    ew_store_losing(fix->store, &heir.holder, "CE1", got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_OK);
    assert_int_equal(outcome(fix, &old, 1, "CE1", "cert"), EW_TR_REFUSED);
    assert_int_equal(lookup(fix, "r"), EW_REC_UNKNOWN);
    assert_string_equal(fix->outcome, "");
    heir.verdict = value;
    assert_int_equal(claim(fix, &heir), EW_CLAIM_YES);
    assert_int_equal(fix->view.attempt, 2);
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
test_unsent(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("r", 7, 3);

    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_int_equal(calling(fix, &a, 1), EW_TR_OK);
    assert_int_equal(claim(fix, &a), EW_CLAIM_RECONCILE); /* nobody says that it was not sent */
    a.unsent = true;
    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_int_equal(fix->view.attempt, 2);
    assert_int_equal(calling(fix, &a, 2), EW_TR_OK);
    a.holder.epoch = 4; /* the word of another epoch is not ours */
    assert_int_equal(claim(fix, &a), EW_CLAIM_RECONCILE);
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
    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    memcpy(value, fix->claim_canary, sizeof(value));
    assert_int_equal(calling(fix, &a, 1), EW_TR_OK);
    heir.adopting = true;
    assert_int_equal(claim(fix, &heir), EW_CLAIM_RECONCILE);
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

    tell(&fix->redis, "DEL epki:v1:wrapped:a");
    ew_store_losing(fix->store, &heir.holder, "CE1", got_moved, fix);
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

/* --- the waiting room --- */

static struct ew_claim
resume_of(const char *id, int64_t offset, uint32_t epoch, const struct ew_claim *original)
{
    struct ew_claim out = claim_of(id, offset, epoch);

    out.holder.source = source_of("resume", 2, offset);
    out.original = original->holder.source;
    return out;
}

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

/* --- orders, indexes, versions --- */

/* Who adopts a request knows which order its owner meant to end; a stranger says nothing of it. */
static void
test_losing(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("r", 7, 3), other = claim_of("r", 8, 3);

    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_string_equal(fix->lost_order, "");
    assert_int_equal(calling(fix, &a, 1), EW_TR_OK);
    ew_store_losing(fix->store, &other.holder, "CE2", got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_REFUSED);
    ew_store_losing(fix->store, &a.holder, "CE1", got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_OK);
    a.holder.epoch = 4;
    a.adopting = true;
    assert_int_equal(claim(fix, &a), EW_CLAIM_RECONCILE);
    assert_string_equal(fix->lost_order, "CE1");
    a.holder.epoch = 3; /* the zombie */
    ew_store_losing(fix->store, &a.holder, "CE3", got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_REFUSED);
}

/* The same of an order that does not fit; once the request is answered nobody needs it. */
static void
test_misfit(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("r", 7, 3), other = claim_of("r", 8, 3);
    struct ew_blob says = {.data = (const uint8_t *)"CE1\nwhy", .len = 7};

    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_string_equal(fix->misfit, "");
    assert_int_equal(calling(fix, &a, 1), EW_TR_OK);
    ew_store_misfit(fix->store, &other.holder, &says, got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_REFUSED);
    assert_int_equal(lookup(fix, "r"), EW_REC_CALLING);
    assert_string_equal(fix->misfit, "");
    ew_store_misfit(fix->store, &a.holder, &says, got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_OK);
    a.holder.epoch = 4;
    a.adopting = true;
    assert_int_equal(claim(fix, &a), EW_CLAIM_RECONCILE);
    assert_string_equal(fix->misfit, "CE1\nwhy");
    assert_string_equal(fix->lost_order, "");
    assert_int_equal(park(fix, &a, EW_REC_PARKED, &a.holder.source), EW_TR_OK);
    assert_int_equal(lookup(fix, "r"), EW_REC_PARKED);
    assert_string_equal(fix->misfit, "CE1\nwhy");
    assert_int_equal(done(fix, &a, "state"), EW_TR_OK);
    assert_int_equal(lookup(fix, "r"), EW_REC_DONE);
    assert_string_equal(fix->misfit, "");
}

static void
test_indexes(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("a", 1, 3), b = claim_of("b", 2, 3);
    const char *issuer = "CN=GlobalSign GCC R6 SMIME CA 2023,O=GlobalSign nv-sa,C=BE";
    struct ew_done_index index = {
        .order_id = "CE1", .issuer = issuer, .serial = "01ab", .expire_ms = 60000};

    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    ew_store_take_order(fix->store, &a.holder, "CE1", got_order, fix);
    assert_true(flag(fix));
    ew_store_take_order(fix->store, &a.holder, "CE1", got_order, fix);
    assert_true(flag(fix));
    ew_store_take_order(fix->store, &b.holder, "CE1", got_order, fix);
    assert_false(flag(fix));
    assert_string_equal(fix->text, "a");
    assert_int_equal(lookup(fix, "a"), EW_REC_CLAIMED);
    assert_string_equal(fix->order_id, "CE1");

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
    wipe(fix);
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
    wipe(fix);
    assert_int_equal(fix_fresh(state), 0);
    assert_int_equal(claim(fix, &b), EW_CLAIM_YES);
    assert_int_equal(done(fix, &a, "answer"), EW_TR_OK);
    assert_int_equal(calling(fix, &b, 1), EW_TR_REFUSED);
    assert_int_equal(claim(fix, &b), EW_CLAIM_DUPLICATE); /* b's event still needs its answer */
    assert_string_equal(fix->outcome, "answer");
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
        ROW(test_straight),
        ROW(test_conflict),
        ROW(test_epochs),
        ROW(test_takeover_after_call),
        ROW(test_unsent),
        ROW(test_verdict_alone),
        ROW(test_adopting),
        ROW(test_no_canary),
        ROW(test_foreign_canary),
        ROW(test_keys),
        ROW(test_wrapped),
        ROW(test_wiped_key_comes_back),
        ROW(test_key_of_an_ended_order_is_not_used_again),
        ROW(test_resume),
        ROW(test_parked),
        ROW(test_vanished),
        ROW(test_pardoned),
        ROW(test_not_vanished),
        ROW(test_stop_absent),
        ROW(test_stop_beside),
        ROW(test_losing),
        ROW(test_misfit),
        ROW(test_indexes),
        ROW(test_rewrite),
        ROW(test_done_wins),
        ROW(test_await),
        ROW(test_hostile),
        ROW(test_mailbox_of_another_attempt),
        ROW(test_mailbox_of_no_attempt),
        ROW(test_mailbox_of_a_lost_order),
    };

    return cmocka_run_group_tests_name("store: request", tests, fix_setup, fix_teardown);
}
