/*
 * The arithmetic of an account's desk: who may have a slot, and how many orders may fly.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "desk.h"

static const struct ew_account account = {.orders_in_flight = 100, .others_in_flight = 10};

static struct ew_desk
desk_of(int limit)
{
    return (struct ew_desk){.account = &account, .limit = limit};
}

static void
test_queries_and_revocations_have_slots_of_their_own(void **state)
{
    struct ew_desk desk = desk_of(100);

    (void)state;
    desk.flying[EW_RATE_BULK] = 100;
    assert_int_equal(ew_desk_free_slots(&desk, EW_RATE_REVOCATION), 10);
    desk.flying[EW_RATE_QUERY] = 7;
    desk.flying[EW_RATE_REVOCATION] = 2;
    assert_int_equal(ew_desk_free_slots(&desk, EW_RATE_REVOCATION), 1);
    assert_int_equal(ew_desk_free_slots(&desk, EW_RATE_QUERY), 1);
    assert_int_equal(ew_desk_free_slots(&desk, EW_RATE_ENROLLMENT), 0);
}

/* A tenth of the slots is kept for each class that waits and has less than that in the air. */
static void
test_bulk_leaves_room_for_those_who_wait(void **state)
{
    struct ew_desk desk = desk_of(100);

    (void)state;
    desk.flying[EW_RATE_BULK] = 60;
    assert_int_equal(ew_desk_free_slots(&desk, EW_RATE_BULK), 40); /* nobody else wants any */
    desk.waiting[EW_RATE_ENROLLMENT] = 1;
    assert_int_equal(ew_desk_free_slots(&desk, EW_RATE_BULK), 30);
    desk.waiting[EW_RATE_RENEWAL] = 500;
    desk.flying[EW_RATE_RENEWAL] = 4;
    assert_int_equal(ew_desk_free_slots(&desk, EW_RATE_BULK), 100 - 64 - 10 - 6);
    desk.flying[EW_RATE_RENEWAL] = 10; /* has its share */
    assert_int_equal(ew_desk_free_slots(&desk, EW_RATE_BULK), 100 - 70 - 10);
    assert_int_equal(ew_desk_free_slots(&desk, EW_RATE_ENROLLMENT), 30);
}

static void
test_too_few_slots_to_share_out(void **state)
{
    struct ew_desk desk = desk_of(EW_RATE_COUNT - 1);

    (void)state;
    desk.waiting[EW_RATE_ENROLLMENT] = desk.waiting[EW_RATE_RENEWAL] = 5;
    desk.flying[EW_RATE_BULK] = 2;
    assert_int_equal(ew_desk_free_slots(&desk, EW_RATE_BULK), EW_RATE_COUNT - 3);
    desk.limit = EW_RATE_COUNT; /* from here on one is kept for each */
    assert_int_equal(ew_desk_free_slots(&desk, EW_RATE_BULK), EW_RATE_COUNT - 4);
}

static void
test_limit_shrinks_at_once(void **state)
{
    struct ew_desk desk = desk_of(100);

    (void)state;
    desk.grown = 7;
    ew_desk_adapt(&desk, 5000, 1000, true);
    assert_int_equal(desk.limit, 90);
    assert_int_equal(desk.grown, 0);
    for (int now = 6000; now < 106000; now += 1000)
        ew_desk_adapt(&desk, now, 900, true);
    assert_int_equal(desk.limit, 1); /* and never to nothing */
}

/* However many fail of what was in the air together, half are left; who was sent since counts anew.
 */
static void
test_one_bad_moment_takes_half_at_most(void **state)
{
    struct ew_desk desk = desk_of(100);

    (void)state;
    for (int i = 0; i < 65; i++)
        ew_desk_adapt(&desk, 5000 + i, 1500, true);
    assert_int_equal(desk.limit, 50);
    ew_desk_adapt(&desk, 6499, 1500, true); /* sent before the first of them failed */
    assert_int_equal(desk.limit, 50);
    for (int i = 0; i < 65; i++)
        ew_desk_adapt(&desk, 6500 + i, 1500, true);
    assert_int_equal(desk.limit, 25);
}

/* By one, or by a sixteenth, after as many good answers as may fly, and only when the limit is what
 * holds back. */
static void
test_limit_grows_slowly(void **state)
{
    struct ew_desk desk = desk_of(20);

    (void)state;
    desk.flying[EW_RATE_QUERY] = 10; /* no order */
    desk.flying[EW_RATE_ENROLLMENT] = 4;
    desk.flying[EW_RATE_RENEWAL] = 5;
    for (int i = 0; i < 100; i++)
        ew_desk_adapt(&desk, 1000, 100, false);
    assert_int_equal(desk.limit, 20);
    desk.flying[EW_RATE_BULK] = 1;
    for (int i = 0; i < 19; i++)
        ew_desk_adapt(&desk, 1000, 100, false);
    assert_int_equal(desk.limit, 20);
    ew_desk_adapt(&desk, 1000, 100, false);
    assert_int_equal(desk.limit, 21);
    desk.limit = desk.flying[EW_RATE_BULK] = 80;
    for (int i = 0; i < 80; i++)
        ew_desk_adapt(&desk, 1000, 100, false);
    assert_int_equal(desk.limit, 85);
}

static void
test_limit_never_exceeds_the_setting(void **state)
{
    struct ew_desk desk = desk_of(100);

    (void)state;
    desk.flying[EW_RATE_ENROLLMENT] = 100;
    for (int i = 0; i < 1000; i++)
        ew_desk_adapt(&desk, 1000, 100, false);
    assert_int_equal(desk.limit, 100);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queries_and_revocations_have_slots_of_their_own),
        cmocka_unit_test(test_bulk_leaves_room_for_those_who_wait),
        cmocka_unit_test(test_too_few_slots_to_share_out),
        cmocka_unit_test(test_limit_shrinks_at_once),
        cmocka_unit_test(test_one_bad_moment_takes_half_at_most),
        cmocka_unit_test(test_limit_grows_slowly),
        cmocka_unit_test(test_limit_never_exceeds_the_setting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
