/*
 * What a rebuild restores of orders that are being ended: for their lost keys, or because they do
 * not fit.
 */
#include "rebuilding.h"

/* Its key was lost, and it was ended, or is about to be: that is no news to who takes it over. A
 * key that was made in place of the lost one, and went into no order, is not its own. */
static void
test_an_order_that_was_being_ended(void **state)
{
    static const uint8_t wrapped[] = "wrapped";
    struct fix *fix = *state;
    struct ew_inflight_record ordering = inflight_of(EW_INFLIGHT_ORDERING, "r", 7);
    struct ew_inflight_record waiting = inflight_of(EW_INFLIGHT_WAITING, "w", 8);
    struct ew_claim heir = claim_of("r", 7, 4);

    tell(&fix->redis, "FLUSHALL");
    tell(&fix->redis, "HSET epki:v1:wrapped:r w another ks ff");
    assert_true(begin(fix, NONCE_A));
    memset(ordering.keys[0], 1, 32);
    waiting.key_count = ordering.key_count = 1;
    ordering.lost_orders = "CE4 CE5";
    ordering.order_id = "CE5";
    waiting.lost_orders = "CE6";
    waiting.order_id = "CE7";
    waiting.has_ordered = true;
    waiting.wrapped_key = (struct ew_blob){.data = wrapped, .len = sizeof(wrapped)};
    assert_int_equal(restore(fix, NONCE_A, &ordering), EW_TR_OK);
    assert_int_equal(restore(fix, NONCE_A, &waiting), EW_TR_OK);
    assert_true(finish(fix, NONCE_A));
    assert_int_equal(claim(fix, &heir), EW_CLAIM_RECONCILE);
    assert_string_equal(fix->lost_orders, "CE4 CE5");
    assert_string_equal(fix->order_id, "CE5");
    ew_store_by_order(fix->store, "CE4", got_found, fix);
    assert_string_equal(found(fix), "r"); /* nobody's would keep it from going on */
    assert_int_equal(fix->view.spki[0], 1);
    assert_int_equal(ask_int(&fix->redis, "EXISTS epki:v1:wrapped:r"), 0);
    (void)lookup(fix, "w");
    assert_string_equal(fix->lost_orders, "CE6"); /* another followed */
    assert_string_equal(fix->order_id, "CE7");
    assert_int_equal(ask_int(&fix->redis, "EXISTS epki:v1:wrapped:w"), 1);
}

/* The same of one that does not fit, with whatever GlobalSign may have said of it. */
static void
test_an_order_that_does_not_fit(void **state)
{
    static const enum ew_inflight_kind kinds[] = {EW_INFLIGHT_ORDERING, EW_INFLIGHT_WAITING,
                                                  EW_INFLIGHT_PARKED};
    struct fix *fix = *state;
    struct ew_inflight_record record;
    char id[8];

    tell(&fix->redis, "FLUSHALL");
    assert_true(begin(fix, NONCE_A));
    for (int i = 0; i < 3; i++) {
        (void)snprintf(id, sizeof(id), "r%d", i);
        record = inflight_of(kinds[i], id, 7 + i);
        record.order_id = "CE5";
        record.misfit = "CE5\ncert-key\n\nAsk.\n\xff 'it'\nand so on";
        record.key_count = 1;
        memset(record.keys[0], 1, 32);
        assert_int_equal(restore(fix, NONCE_A, &record), EW_TR_OK);
        (void)lookup(fix, id);
        assert_string_equal(fix->misfit, record.misfit);
        assert_string_equal(fix->lost_orders, "");
        assert_int_equal(fix->view.spki[0], 1);
    }
}

/* What waited for that has gone on, ended it, and ordered anew: its key is that of another record.
 */
static void
test_an_order_that_was_being_ended_before_it_waited(void **state)
{
    struct fix *fix = *state;
    struct ew_inflight_record waiting = inflight_of(EW_INFLIGHT_WAITING, "w", 8);

    tell(&fix->redis, "FLUSHALL");
    tell(&fix->redis, "HSET epki:v1:wrapped:w w another ks ff");
    assert_true(begin(fix, NONCE_A));
    waiting.lost_orders = waiting.order_id = "CE6";
    waiting.has_ordered = true;
    assert_int_equal(restore(fix, NONCE_A, &waiting), EW_TR_OK);
    assert_true(finish(fix, NONCE_A));
    assert_int_equal(ask_int(&fix->redis, "EXISTS epki:v1:wrapped:w"), 1);
}

/* Whoever sent it wakes behind the rebuild: nobody may deliver it any more, and its key is none. */
static void
test_what_is_told_late_of_an_order_that_was_being_ended(void **state)
{
    static const uint8_t spki[32] = {1};
    struct fix *fix = *state;
    struct ew_inflight_record ordering = inflight_of(EW_INFLIGHT_ORDERING, "r", 7);
    struct ew_claim zombie = claim_of("r", 7, 3);
    struct ew_made_key key = {.wrapped = blob_of("key"), .spki = spki};
    struct ew_blob cert = blob_of("certificate");

    tell(&fix->redis, "FLUSHALL");
    assert_true(begin(fix, NONCE_A));
    ordering.lost_orders = ordering.order_id = "CE5";
    assert_int_equal(restore(fix, NONCE_A, &ordering), EW_TR_OK);
    assert_true(finish(fix, NONCE_A));
    ew_store_outcome(fix->store, &zombie.holder, 2, "CE5", &cert, &key, got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_REFUSED);
    assert_int_equal(lookup(fix, "r"), EW_REC_UNKNOWN);
    assert_string_equal(fix->outcome, "");
    assert_int_equal(ask_int(&fix->redis, "EXISTS epki:v1:wrapped:r"), 0);
    ew_store_outcome(fix->store, &zombie.holder, 2, "CE6", &cert, &key, got_moved, fix);
    assert_int_equal(moved(fix), EW_TR_OK); /* another one is delivered, and its key with it */
    assert_int_equal(ask_int(&fix->redis, "EXISTS epki:v1:wrapped:r"), 1);
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup(name, fix_fresh)
    const struct CMUnitTest tests[] = {
        ROW(test_an_order_that_was_being_ended),
        ROW(test_an_order_that_does_not_fit),
        ROW(test_an_order_that_was_being_ended_before_it_waited),
        ROW(test_what_is_told_late_of_an_order_that_was_being_ended),
    };

    return cmocka_run_group_tests_name("store: rebuild of ended orders", tests, fix_setup,
                                       fix_teardown);
}
