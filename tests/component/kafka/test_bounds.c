/*
 * What a transaction may hold and how long it may take, on a real broker.
 */
#include "gates.h"

static void
nothing(void *arg)
{
    (void)arg;
}

/* Everything is queued while the committer is stopped: how many transactions does it take? */
static int64_t
transactions_for(struct member *member, int first, int count, size_t len)
{
    struct answer *answers = calloc((size_t)count + 1, sizeof(*answers));
    int64_t before;

    shut(&at_commit);
    member_submit(member, member_find(member, 0, first), EW_MARK_DONE, 0, NULL, 0, &answers[0]);
    await_stop(&at_commit);
    for (int i = 1; i <= count; i++) {
        char key[32];

        snprintf(key, sizeof(key), "key-%d", first + i);
        member_submit(member, member_find(member, 0, first + i), EW_MARK_DONE, 0, key, len,
                      &answers[i]);
    }
    member_call(member, nothing, NULL); /* all are queued, and none of them can be committed yet */
    before = member_stats(member).commits;
    let_go(&at_commit);
    assert_int_equal(results(member, answers, count + 1, EW_COMMITTED), count + 1);
    free(answers);
    return member_stats(member).commits - before - 1;
}

/* An adoption is a transaction, too. */
static void
await_adoptions(struct member *member)
{
    for (int i = 0; i < 500 && member_stats(member).partitions_unadopted > 0; i++)
        sleep_ms(20);
    assert_int_equal(member_stats(member).partitions_unadopted, 0);
}

/* 200 items, 4 MiB; an answer may be as large as an input record and 64 KiB. */
static void
test_a_transaction_is_capped(void **state)
{
    struct site site;
    struct member *member;

    (void)state;
    site_start(&site, "capped", 1);
    member = member_hold(&site, 500);
    await_adoptions(member);
    assert_int_equal(transactions_for(member, 0, 200, 10), 1);
    assert_int_equal(transactions_for(member, 201, 250, 10), 2);
    assert_int_equal(transactions_for(member, 460, 10, 1048588 + 60000), 4);
    member_stop(member);
}

/* Transactions that the broker ends because they took too long are no fence of somebody else: the
 * producer is made anew, twice within a minute, and the items are committed. */
static void
test_transaction_timeout(void **state)
{
    struct site site;
    struct member *member;
    struct answer answers[2];

    (void)state;
    site_start(&site, "timeout", 1);
    site.options.transaction_ms = 1000;
    member = member_hold(&site, 2);
    for (int i = 0; i < 2; i++) {
        shut(&at_commit);
        member_submit(member, member_find(member, 0, i), EW_MARK_DONE, 0,
                      i == 0 ? "key-0" : "key-1", 10, &answers[i]);
        await_stop(&at_commit);
        sleep_ms(2500);
        let_go(&at_commit);
        member_wait_answer(member, &answers[i]);
        assert_int_equal(answers[i].result, EW_COMMITTED);
    }
    assert_true(member_stats(member).recreated >= 2);
    assert_int_equal(member_read(member, &member->fatal), 0);
    assert_each_once(&site, 2);
    member_stop(member);
}

enum { INTENTS = 10, ROUNDS = 40 };

/* Back to back, with the next one always waiting. Returns the milliseconds of one transaction. */
static int64_t
time_of_intents(struct member *member, int first)
{
    struct answer answers[INTENTS];
    int64_t commits = member_stats(member).commits;
    int64_t began = now_ms();

    for (int i = 0; i < INTENTS; i++) {
        member_submit(member, member_find(member, 0, first + i), EW_MARK_STARTED, 0, NULL, 0,
                      &answers[i]);
        if (i > 0)
            member_wait_answer(member, &answers[i - 1]);
    }
    member_wait_answer(member, &answers[INTENTS - 1]);
    began = now_ms() - began;
    commits = member_stats(member).commits - commits;
    assert_true(commits >= INTENTS / 2);
    return began / commits;
}

/* The broker still writes the markers of the last transaction when the next one begins, and
 * librdkafka's own back-off would make each intent take 100 ms. A busy machine makes some slow, not
 * all; and a few would be quick even so. */
static void
test_intents_are_quick(void **state)
{
    struct site site;
    struct member *member;
    int64_t ms = INT64_MAX;

    (void)state;
    site_start(&site, "quick", 1);
    site.options.commit_ms = 0;
    member = member_hold(&site, INTENTS * ROUNDS);
    for (int i = 0; i < ROUNDS && ms >= 90; i++)
        ms = time_of_intents(member, i * INTENTS);
    assert_true(ms < 90);
    assert_in_range(atomic_load(&backoff_ms), 1, 10);
    member_stop(member);
}

static void
publish_one(void *arg)
{
    struct member *member = arg;
    struct ew_out out = {.topic = EW_TOPIC_ACCOUNT,
                         .partition = -1,
                         .key = "key-5",
                         .key_len = 5,
                         .value = "v",
                         .value_len = 1};

    ew_kafka_publish(member->kafka, &out, NULL, NULL);
}

/* What is published beside the order's path, and fails for a passing cause, holds up no answer; it
 * is published once the cause has passed. */
static void
test_publishing_holds_up_nothing(void **state)
{
    struct site site;
    struct member *member;
    int counts[10];

    (void)state;
    site_start(&site, "beside", 1);
    site.options.transaction_ms = 2000; /* what fails here is left open on the broker */
    member = member_hold(&site, 10);
    atomic_store(&no_publishing, true);
    member_call(member, publish_one, member);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(
            member_commit(member, member_find(member, 0, i), EW_MARK_DONE, 0, NULL, 0).result,
            EW_COMMITTED);
        sleep_ms(100);
    }
    atomic_store(&no_publishing, false);
    AWAIT(count_numbers(site.out[EW_TOPIC_ACCOUNT], counts, 10) > 0);
    assert_int_equal(counts[5], 1);
    member_stop(member);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_transaction_is_capped),
        cmocka_unit_test(test_transaction_timeout),
        cmocka_unit_test(test_intents_are_quick),
        cmocka_unit_test(test_publishing_holds_up_nothing),
    };

    if (!harness_ready(argc, argv))
        return EXIT_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
