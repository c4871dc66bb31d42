/*
 * A transaction that ends badly, on a real broker: fenced producers, and answers to EndTxn that
 * never arrive (the linker wraps rd_kafka_commit_transaction for that).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness.h"
#include "kafka_private.h"
#include "txn_private.h"

/* --- the wrapped call --- */

enum trick {
    HONEST,
    LOSE_ANSWER, /* committed, but the caller is told of an error that says nothing */
    LOSE_CALL,   /* never sent, same error */
};

static atomic_int trick;
static atomic_int tricked;

rd_kafka_error_t *__real_rd_kafka_commit_transaction(rd_kafka_t *rk, int timeout_ms);
rd_kafka_error_t *__wrap_rd_kafka_commit_transaction(rd_kafka_t *rk, int timeout_ms);

rd_kafka_error_t *
__wrap_rd_kafka_commit_transaction(rd_kafka_t *rk, int timeout_ms)
{
    int now = atomic_exchange(&trick, HONEST);
    rd_kafka_error_t *error = NULL;

    if (now != LOSE_CALL)
        error = __real_rd_kafka_commit_transaction(rk, timeout_ms);
    if (now == HONEST || error != NULL)
        return error;
    atomic_fetch_add(&tricked, 1);
    return rd_kafka_error_new(RD_KAFKA_RESP_ERR__FAIL, "the answer was lost");
}

/* Whoever initialises the same transactional id fences the one before. */
static void
fence(struct member *member)
{
    char id[256];
    rd_kafka_t *rk;

    ew_producer_id(member->kafka->producer, id);
    rk = plain_producer(id);
    assert_null(rd_kafka_init_transactions(rk, 20000));
    rd_kafka_destroy(rk);
}

/* Both outcomes of a lost answer are read from the maps: nothing twice, nothing left out. */
static void
test_lost_answers(void **state)
{
    struct site site;
    struct member *member;
    struct ew_kafka_stats stats;

    (void)state;
    site_init(&site, "lostanswer", 2);
    site_bootstrap(&site);
    site.options.transaction_ms = 2000; /* the broker forgets an open transaction soon */
    send_numbers(site.in[EW_LANE_ENROLLMENT], -1, 2, 0, 1200);
    member = member_start(&site, ANSWER, 5);
    member_wait(member, &member->adopted, 7, 20000);
    for (int i = 0; i < 6; i++) {
        int before = member_read(member, &member->committed);

        atomic_store(&trick, i % 2 == 0 ? LOSE_ANSWER : LOSE_CALL);
        send_numbers(site.in[EW_LANE_ENROLLMENT], -1, 2, 1200 + i * 100, 100);
        member_wait(member, &member->committed, before + 100 < 1800 ? before + 100 : 1800, 30000);
    }
    member_wait(member, &member->committed, 1800, 60000);
    assert_int_equal(atomic_load(&tricked), 6);
    ew_kafka_stats(member->kafka, &stats);
    assert_int_equal(stats.recreated, 6);
    assert_int_equal(member_read(member, &member->lost_items), 0);
    assert_int_equal(member_read(member, &member->refused), 0);
    assert_int_equal(member_read(member, &member->fatal), 0);
    assert_each_once(&site, 1800);
    member_stop(member);
}

/* The answer to an adoption commit is lost, either way: read again, and the epoch has risen. */
static void
test_lost_adoption(void **state)
{
    struct site site;
    struct member *member;

    (void)state;
    site_init(&site, "lostadopt", 1);
    site_bootstrap(&site);
    site.options.transaction_ms = 2000;
    send_numbers(site.in[EW_LANE_ENROLLMENT], 0, 1, 0, 20);
    for (int i = 0; i < 2; i++) {
        atomic_store(&trick, i == 0 ? LOSE_ANSWER : LOSE_CALL);
        member = member_start(&site, ANSWER, 0);
        member_wait(member, &member->adopted, 5, 30000);
        member_wait(member, &member->committed, i == 0 ? 20 : 0, 20000);
        member_stop(member);
    }
    assert_each_once(&site, 20);
}

/* Workers of one deployment share everything but the random end of their transactional ids; a new
 * producer gets a new one. */
static void
test_transactional_ids(void **state)
{
    struct site site;
    struct member *a;
    struct member *b;
    struct ew_kafka_stats stats;
    char ids[3][256];
    char begin[128];

    (void)state;
    site_init(&site, "ids", 1);
    site_bootstrap(&site);
    site.options.transaction_ms = 2000;
    a = member_start(&site, ANSWER, 0);
    b = member_start(&site, ANSWER, 0);
    ew_producer_id(a->kafka->producer, ids[0]);
    ew_producer_id(b->kafka->producer, ids[1]);
    member_stop(b);
    member_wait(a, &a->adopted, 5, 20000);
    fence(a);
    send_numbers(site.in[EW_LANE_ENROLLMENT], 0, 1, 0, 10);
    member_wait(a, &a->committed, 10, 30000);
    ew_kafka_stats(a->kafka, &stats);
    assert_int_equal(stats.recreated, 1);
    ew_producer_id(a->kafka->producer, ids[2]);
    snprintf(begin, sizeof(begin), "epki.%s.test.", site.group);
    for (int i = 0; i < 3; i++) {
        assert_memory_equal(ids[i], begin, strlen(begin));
        assert_true(strlen(ids[i]) >= strlen(begin) + 16);
        assert_string_not_equal(ids[i], ids[(i + 1) % 3]);
    }
    member_stop(a);
}

/* Fenced in full flight, again and again but more than a minute apart (by the clock passed in):
 * a new producer each time, no answer twice, none missing. */
static void
test_fenced_and_recreated(void **state)
{
    struct site site;
    struct member *member;
    struct ew_kafka_stats stats;
    int64_t until;

    (void)state;
    site_init(&site, "fenced", 2);
    site_bootstrap(&site);
    site.options.transaction_ms = 2000;
    site.options.partition_items = 20; /* so that the work lasts */
    send_numbers(site.in[EW_LANE_ENROLLMENT], -1, 2, 0, 4000);
    member = member_start(&site, ANSWER, 5);
    for (int i = 0; i < 4; i++) {
        member_wait(member, &member->committed, 200 + i * 700, 30000);
        fence(member);
        /* Where everything was done before the fence came, there is something to notice it by. */
        send_numbers(site.in[EW_LANE_ENROLLMENT], -1, 2, 4000 + 100 * i, 100);
        until = now_ms() + 20000;
        do {
            assert_true(now_ms() < until);
            ew_kafka_stats(member->kafka, &stats);
            sleep_ms(5);
        } while (stats.recreated <= i);
        atomic_fetch_add(&member->clock_ahead, 61000);
    }
    member_wait(member, &member->committed, 4400, 60000);
    assert_int_equal(member_read(member, &member->fatal), 0);
    assert_int_equal(member_read(member, &member->lost_items), 0);
    assert_each_once(&site, 4400);
    member_stop(member);
}

/* Fenced twice in a minute: somebody else lives under our name. */
static void
test_fenced_twice_is_fatal(void **state)
{
    struct site site;
    struct member *member;
    struct ew_kafka_stats stats;

    (void)state;
    site_init(&site, "fencedtwice", 1);
    site_bootstrap(&site);
    site.options.transaction_ms = 2000;
    send_numbers(site.in[EW_LANE_ENROLLMENT], 0, 1, 0, 300);
    member = member_start(&site, ANSWER, 5);
    member_wait(member, &member->committed, 300, 30000);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(member_read(member, &member->fatal), 0);
        fence(member);
        send_numbers(site.in[EW_LANE_ENROLLMENT], 0, 1, 300 + i, 1);
        do {
            ew_kafka_stats(member->kafka, &stats);
            sleep_ms(5);
        } while (stats.recreated <= i);
        member_wait(member, &member->committed, 301 + i, 30000);
    }
    member_wait(member, &member->fatal, 1, 10000);
    assert_string_equal(member->fatal_problem, "producer-fenced");
    assert_each_once(&site, 302);
    member_stop(member);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lost_answers),          cmocka_unit_test(test_lost_adoption),
        cmocka_unit_test(test_transactional_ids),     cmocka_unit_test(test_fenced_and_recreated),
        cmocka_unit_test(test_fenced_twice_is_fatal),
    };

    if (getenv("KAFKA_BOOTSTRAP") == NULL) {
        fprintf(stderr, "KAFKA_BOOTSTRAP is not set\n");
        return 77;
    }
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
