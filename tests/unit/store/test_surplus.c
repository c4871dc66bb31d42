/*
 * Proof of leases, of whose an order is, and that an order is given up only where nobody can still
 * take it for its own, and then for good.
 */
#include "redis_harness.h"

static const char *const ISSUER = "CN=CA";
static char by_order[80], by_key[80];

static void
got_owners(void *arg, enum ew_fault fault, enum ew_canary_state canary,
           const struct ew_order_owners *owners)
{
    struct fix *fix = arg;

    fix->fault = fault;
    if (fault == EW_OK) {
        fix->canary = canary;
        (void)snprintf(by_order, sizeof(by_order), "%s", owners->by_order);
        (void)snprintf(by_key, sizeof(by_key), "%s", owners->by_key);
    }
    fired(fix);
}

static void
owned(struct fix *fix, const char *order_id, const struct ew_claim *c, const char *order,
      const char *key)
{
    ew_store_owners(fix->store, order_id, c->spki, got_owners, fix);
    await(fix);
    assert_int_equal(fix->fault, EW_OK);
    assert_string_equal(by_order, order);
    assert_string_equal(by_key, key);
}

static enum ew_transition
condemn(struct fix *fix, const char *order_id, const struct ew_claim *c, const char *order,
        const char *key)
{
    struct ew_order_owners owners = {.by_order = order, .by_key = key};

    ew_store_condemn(fix->store, order_id, c->spki, &owners, 60000, got_moved, fix);
    return moved(fix);
}

static bool
takes(struct fix *fix, const struct ew_claim *c, const char *order_id)
{
    ew_store_take_order(fix->store, &c->holder, 0, order_id, got_order, fix);
    return flag(fix);
}

static bool
lease(struct fix *fix, const char *name, const char *token, int64_t ms)
{
    ew_store_lease(fix->store, name, token, ms, got_flag, fix);
    return flag(fix);
}

/* Claimed with this key. */
static struct ew_claim
keyed(const char *id, int64_t offset)
{
    struct ew_claim c = claim_of(id, offset, 3);

    c.has_spki = true;
    memset(c.spki, 0x5a, sizeof(c.spki));
    return c;
}

static void
answer(struct fix *fix, const struct ew_claim *c, const char *order_id)
{
    struct ew_done_index index = {.order_id = order_id,
                                  .issuer = ISSUER,
                                  .serial = "",
                                  .keys = &c->spki,
                                  .key_count = 1,
                                  .expire_ms = 60000};
    struct ew_blob state = blob_of("state");

    assert_int_equal(claim(fix, c), EW_CLAIM_YES);
    ew_store_done(fix->store, &c->holder, c->digest, &state, &index, got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_OK);
}

static void
test_lease(void **state)
{
    struct fix *fix = *state;

    assert_true(lease(fix, "a", "one", 60000));
    assert_false(lease(fix, "a", "two", 60000));
    assert_true(lease(fix, "b", "two", 60000));
    assert_true(lease(fix, "a", "one", 30000));
    assert_in_range(ask_int(&fix->redis, "PTTL epki:v1:lease:a"), 20000, 30000);
    assert_true(lease(fix, "a", "one", 1));
    turn(fix, 20);
    assert_true(lease(fix, "a", "two", 60000));
    assert_false(lease(fix, "a", "one", 60000));
}

static void
test_owners(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = keyed("a", 1), b = keyed("b", 2);

    owned(fix, "CE1", &a, "", "");
    answer(fix, &a, "CE1");
    owned(fix, "CE1", &a, "a", "a");
    owned(fix, "CE2", &a, "", "a");
    assert_int_equal(claim(fix, &b), EW_CLAIM_YES); /* the same key, lawfully */
    owned(fix, "CE1", &a, "a", "b");
    assert_int_equal(fix->canary, EW_CANARY_OK);
    tell(&fix->redis, "DEL epki:v1:canary");
    owned(fix, "CE1", &a, "a", "b");
    assert_int_equal(fix->canary, EW_CANARY_MISSING);
}

static void
test_condemned_is_nobodys(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = keyed("a", 1), b = keyed("b", 2);

    answer(fix, &a, "CE1");
    assert_int_equal(condemn(fix, "CE2", &a, "", "a"), EW_TR_OK);
    assert_in_range(ask_int(&fix->redis, "PTTL epki:v1:order:CE2"), 50000, 60000);
    assert_int_equal(condemn(fix, "CE2", &a, "a", "a"), EW_TR_OK); /* whoever goes on with it */
    assert_int_equal(claim(fix, &b), EW_CLAIM_YES);
    assert_false(takes(fix, &b, "CE2"));
    assert_string_equal(fix->text, "a");
}

static void
test_not_condemned(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = keyed("a", 1), b = keyed("b", 2);

    assert_int_equal(condemn(fix, "CE2", &a, "", ""), EW_TR_REFUSED); /* a stranger's */
    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_int_equal(condemn(fix, "CE2", &a, "", "a"), EW_TR_REFUSED); /* not answered */
    answer(fix, &a, "CE1");
    assert_int_equal(claim(fix, &b), EW_CLAIM_YES);
    assert_int_equal(condemn(fix, "CE2", &a, "", "a"), EW_TR_REFUSED); /* another came */
    assert_int_equal(condemn(fix, "CE2", &a, "", "b"), EW_TR_REFUSED);
    assert_true(takes(fix, &b, "CE2"));
    answer(fix, &b, "CE2");
    assert_int_equal(condemn(fix, "CE2", &a, "", "b"), EW_TR_REFUSED); /* found by it since */
    assert_string_equal(ask_text(&fix->redis, "GET epki:v1:order:CE2"), "b");
    tell(&fix->redis, "DEL epki:v1:canary");
    assert_int_equal(condemn(fix, "CE3", &a, "", "b"), EW_TR_NO_CANARY);
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup(name, fix_fresh)
    const struct CMUnitTest tests[] = {
        ROW(test_lease),
        ROW(test_owners),
        ROW(test_condemned_is_nobodys),
        ROW(test_not_condemned),
    };

    return cmocka_run_group_tests_name("store: surplus", tests, fix_setup, fix_teardown);
}
