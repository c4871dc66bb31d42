/*
 * Whose word a transaction goes out on, what it may hold and how long it may take, on a real
 * broker. The linker wraps the transactional calls: they can be stopped and let go again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients.h"
#include "harness.h"
#include "member.h"
#include "snapshot_private.h"
#include "witness.h"

/* --- the wrapped calls --- */

struct gate {
    atomic_bool shut; /* the next call stops here; the one after it does not */
    atomic_bool open; /* it may go on */
    atomic_int stopped;
};

static struct gate at_offsets, at_commit;
static atomic_bool no_member; /* group metadata is that of nobody, as after a lost session */
static atomic_bool all_lost;  /* every revocation looks like a lost assignment */
static atomic_int sent, sent_by_nobody;
static atomic_bool no_publishing; /* transactions without offsets fail */
static atomic_bool has_offsets;
static atomic_int backoff_ms; /* retry.backoff.ms of the worker's producer */

rd_kafka_error_t *__real_rd_kafka_send_offsets_to_transaction(
    rd_kafka_t *rk, const rd_kafka_topic_partition_list_t *offsets,
    const rd_kafka_consumer_group_metadata_t *metadata, int timeout_ms);
rd_kafka_error_t *__wrap_rd_kafka_send_offsets_to_transaction(
    rd_kafka_t *rk, const rd_kafka_topic_partition_list_t *offsets,
    const rd_kafka_consumer_group_metadata_t *metadata, int timeout_ms);
rd_kafka_error_t *__real_rd_kafka_commit_transaction(rd_kafka_t *rk, int timeout_ms);
rd_kafka_error_t *__wrap_rd_kafka_commit_transaction(rd_kafka_t *rk, int timeout_ms);
rd_kafka_consumer_group_metadata_t *__real_rd_kafka_consumer_group_metadata(rd_kafka_t *rk);
rd_kafka_consumer_group_metadata_t *__wrap_rd_kafka_consumer_group_metadata(rd_kafka_t *rk);
int __real_rd_kafka_assignment_lost(rd_kafka_t *rk);
int __wrap_rd_kafka_assignment_lost(rd_kafka_t *rk);

static void
pass(struct gate *gate)
{
    bool shut = true;

    if (!atomic_compare_exchange_strong(&gate->shut, &shut, false))
        return;
    atomic_fetch_add(&gate->stopped, 1);
    while (!atomic_load(&gate->open))
        sleep_ms(2);
}

static void
shut(struct gate *gate)
{
    atomic_store(&gate->open, false);
    atomic_store(&gate->stopped, 0);
    atomic_store(&gate->shut, true);
}

static void
await_stop(struct gate *gate)
{
    AWAIT(atomic_load(&gate->stopped) > 0);
}

static void
let_go(struct gate *gate)
{
    atomic_store(&gate->open, true);
}

/* Only the worker's own handles count: the tests commit as nobody to show what the broker takes. */
static bool
is_worker(const rd_kafka_t *rk)
{
    return strncmp(rd_kafka_name(rk), "epki-worker", 11) == 0;
}

static void
note_metadata(const rd_kafka_consumer_group_metadata_t *metadata)
{
    void *data = NULL;
    size_t len = 0;
    int32_t generation = -1;
    bool member = false;
    rd_kafka_error_t *error = rd_kafka_consumer_group_metadata_write(metadata, &data, &len);

    if (error != NULL)
        rd_kafka_error_destroy(error);
    else if (ew_group_metadata_decode(data, len, &generation, &member))
        rd_kafka_mem_free(NULL, data);
    atomic_fetch_add(&sent, 1);
    atomic_fetch_add(&sent_by_nobody, !member || generation < 0);
}

static void
note_backoff(rd_kafka_t *rk)
{
    char is[16] = "";
    size_t size = sizeof(is);

    rd_kafka_conf_get(rd_kafka_conf(rk), "retry.backoff.ms", is, &size);
    atomic_store(&backoff_ms, atoi(is));
}

rd_kafka_error_t *
__wrap_rd_kafka_send_offsets_to_transaction(rd_kafka_t *rk,
                                            const rd_kafka_topic_partition_list_t *offsets,
                                            const rd_kafka_consumer_group_metadata_t *metadata,
                                            int timeout_ms)
{
    if (is_worker(rk)) {
        note_metadata(metadata);
        note_backoff(rk);
        atomic_store(&has_offsets, true);
        pass(&at_offsets);
    }
    return __real_rd_kafka_send_offsets_to_transaction(rk, offsets, metadata, timeout_ms);
}

rd_kafka_error_t *
__wrap_rd_kafka_commit_transaction(rd_kafka_t *rk, int timeout_ms)
{
    if (is_worker(rk) && !atomic_exchange(&has_offsets, false) && atomic_load(&no_publishing))
        return rd_kafka_error_new(RD_KAFKA_RESP_ERR__FAIL, "no publishing");
    if (is_worker(rk))
        pass(&at_commit);
    return __real_rd_kafka_commit_transaction(rk, timeout_ms);
}

rd_kafka_consumer_group_metadata_t *
__wrap_rd_kafka_consumer_group_metadata(rd_kafka_t *rk)
{
    rd_kafka_consumer_group_metadata_t *metadata = __real_rd_kafka_consumer_group_metadata(rk);

    if (!atomic_load(&no_member))
        return metadata;
    rd_kafka_consumer_group_metadata_destroy(metadata);
    return rd_kafka_consumer_group_metadata_new("nobody-group");
}

int
__wrap_rd_kafka_assignment_lost(rd_kafka_t *rk)
{
    return atomic_load(&all_lost) ? 1 : __real_rd_kafka_assignment_lost(rk);
}

/* --- one record in every partition of every lane --- */

enum { EVERY = 7 }; /* with two partitions of resume and enrolment */

static struct member *
start_with_one_each(struct site *site)
{
    struct member *member;
    int number = 0;

    for (int lane = 0; lane < EW_LANE_COUNT; lane++) {
        int count = lane == EW_LANE_ENROLLMENT || lane == EW_LANE_RESUME ? 2 : 1;

        for (int partition = 0; partition < count; partition++)
            send_numbers(site->in[lane], partition, 1, number++, 1);
    }
    assert_int_equal(number, EVERY);
    member = member_start(site, HOLD, 0);
    member_wait(member, &member->record_count, EVERY);
    return member;
}

static void
answer_held(struct member *member, int count, struct answer *answers)
{
    for (int i = 0; i < count; i++) {
        struct ew_record *record = member->records[i];
        char key[32] = "";

        memcpy(key, record->key, record->key_len);
        member_submit(member, record, EW_MARK_DONE, 0, key, 10, &answers[i]);
    }
}

static int
taken_away(struct member *member)
{
    int count = 0;

    for (int i = 0; i < EVERY; i++)
        count += !ew_part_owned(member->records[i]->part);
    return count;
}

/* The callback takes them away all at once, and waits. */
static int
await_taking_away(struct member *member)
{
    AWAIT(taken_away(member) > 0);
    sleep_ms(50);
    return taken_away(member);
}

static int
results(struct member *member, struct answer *answers, int count, enum ew_committed result)
{
    int found = 0;

    for (int i = 0; i < count; i++) {
        member_wait_answer(member, &answers[i]);
        found += answers[i].result == result;
    }
    return found;
}

/* What the other one lost, this one is given and answers. */
static void
answer_the_rest(struct site *site, struct member *member, int count)
{
    struct answer answers[EVERY];

    member_wait(member, &member->record_count, count);
    answer_held(member, count, answers);
    assert_int_equal(results(member, answers, count, EW_COMMITTED), count);
    assert_each_once(site, EVERY);
}

/* --- whose word --- */

/* Refused because the group moved on meanwhile: built again from the new snapshot, with a new t0,
 * for what is still ours; the rest is dropped and answered by its new owner. */
static void
test_refused_batch_is_built_anew(void **state)
{
    struct site site;
    struct member *a;
    struct member *b;
    struct answer answers[EVERY];
    int64_t released;
    int lost;

    (void)state;
    site_start(&site, "anew", 2);
    site.options.flush_ms = 200;
    site.options.commit_ms = 100;
    a = start_with_one_each(&site);
    shut(&at_offsets);
    answer_held(a, EVERY, answers);
    await_stop(&at_offsets);
    b = member_start(&site, HOLD, 0);
    member_wait(b, &b->adopted, 3);
    released = now_ms();
    let_go(&at_offsets);
    lost = results(a, answers, EVERY, EW_COMMIT_LOST);
    assert_int_equal(lost, member_read(b, &b->adopted));
    assert_int_equal(results(a, answers, EVERY, EW_COMMITTED), EVERY - lost);
    for (int i = 0; i < EVERY; i++)
        assert_true(answers[i].result == EW_COMMIT_LOST || answers[i].t0_ms >= released);
    assert_true(member_stats(a).fenced >= 1);
    answer_the_rest(&site, b, lost);
    member_stop(a);
    member_stop(b);
}

/* The broker takes a commit of nobody for a partition that a live member owns. */
static void
assert_nobody_is_accepted(struct site *site)
{
    rd_kafka_t *rk = open_commit(site, 0, 1);
    struct seen seen;

    assert_null(rd_kafka_commit_transaction(rk, PATIENCE_MS));
    see_commit(site, EW_LANE_ENROLLMENT, 0, &seen);
    assert_int_equal(seen.kind, EW_MAP_FOREIGN);
    rd_kafka_destroy(rk);
}

/* An empty membership fences nothing, so nothing is sent with it: the work waits until there is a
 * membership again. */
static void
test_nobody_commits_nothing(void **state)
{
    struct site site;
    struct member *a;
    struct member *b;
    struct answer answers[EVERY];
    int before;
    int lost;

    (void)state;
    site_start(&site, "nobody", 2);
    a = start_with_one_each(&site);
    atomic_store(&no_member, true);
    b = member_start(&site, HOLD, 0);
    member_wait(a, &a->lost, 3);
    lost = member_read(a, &a->lost);
    before = atomic_load(&sent);
    answer_held(a, EVERY, answers);
    sleep_ms(1500);
    assert_int_equal(member_read(a, &a->lost_items), lost);
    assert_int_equal(member_read(a, &a->committed), 0);
    assert_int_equal(member_read(b, &b->adopted), 0);
    assert_int_equal(atomic_load(&sent), before);
    atomic_store(&no_member, false);
    member_stop(b);
    assert_int_equal(results(a, answers, EVERY, EW_COMMITTED), EVERY - lost);
    assert_int_equal(atomic_load(&sent_by_nobody), 0);
    member_wait(a, &a->adopted, EVERY + lost);
    assert_nobody_is_accepted(&site);
    member_stop(a);
}

/* --- the flush --- */

/* What was ready when its partition is taken away goes out with it: the batch from before is
 * refused, the one that is built in the callback's own snapshot is taken. */
static void
test_flush_commits_what_is_ready(void **state)
{
    struct site site;
    struct member *a;
    struct member *b;
    struct answer answers[EVERY];

    (void)state;
    site_start(&site, "ready", 2);
    site.options.flush_ms = 20000;
    site.options.commit_ms = 100;
    a = start_with_one_each(&site);
    shut(&at_offsets);
    answer_held(a, EVERY, answers);
    await_stop(&at_offsets);
    b = member_start(&site, HOLD, 0);
    assert_true(await_taking_away(a) > 0);
    let_go(&at_offsets);
    assert_int_equal(results(a, answers, EVERY, EW_COMMITTED), EVERY);
    assert_true(member_stats(a).fenced >= 1);
    member_wait(b, &b->adopted, 3);
    assert_false(member_reaches(b, &b->record_count, 1, 500));
    assert_each_once(&site, EVERY);
    member_stop(a);
    member_stop(b);
}

/* An intent of a partition that is being taken away is not committed any more, whatever the broker
 * would say: nothing could be sent under it. */
static void
test_no_intents_in_the_flush(void **state)
{
    struct site site;
    struct member *a;
    struct member *b;
    struct answer answers[EVERY];
    int going;

    (void)state;
    site_start(&site, "nointents", 2);
    site.options.flush_ms = 20000;
    site.options.commit_ms = 100;
    a = start_with_one_each(&site);
    shut(&at_offsets);
    for (int i = 0; i < EVERY; i++)
        member_submit(a, a->records[i], EW_MARK_STARTED, 0, NULL, 0, &answers[i]);
    await_stop(&at_offsets);
    b = member_start(&site, HOLD, 0);
    going = await_taking_away(a);
    let_go(&at_offsets);
    assert_int_equal(results(a, answers, EVERY, EW_COMMIT_LOST), going);
    assert_int_equal(results(a, answers, EVERY, EW_COMMITTED), EVERY - going);
    member_wait(b, &b->record_count, going);
    assert_int_equal(member_read(b, &b->started_seen), 0);
    member_stop(a);
    member_stop(b);
}

/* With a transaction that hangs, the partitions are let go after flush_ms. The transaction, ended
 * by the broker, is not believed: what is still ours is committed again, the rest by its new owner.
 */
static void
test_flush_is_bounded(void **state)
{
    struct site site;
    struct member *a;
    struct member *b;
    struct answer answers[EVERY];
    int64_t began;
    int lost;

    (void)state;
    site_start(&site, "bounded", 2);
    site.options.flush_ms = 1500;
    site.options.transaction_ms = 3000;
    site.options.commit_ms = 100;
    a = start_with_one_each(&site);
    shut(&at_commit);
    answer_held(a, EVERY, answers);
    await_stop(&at_commit);
    began = now_ms();
    b = member_start(&site, HOLD, 0);
    member_wait(a, &a->lost, 3);
    assert_true(now_ms() - began >= 1500);
    assert_true(now_ms() - began < 1500 + 4000);
    lost = member_read(a, &a->lost);
    member_wait(b, &b->adopted, lost); /* the broker has ended the transaction */
    let_go(&at_commit);
    assert_int_equal(results(a, answers, EVERY, EW_COMMIT_LOST), lost);
    assert_int_equal(results(a, answers, EVERY, EW_COMMITTED), EVERY - lost);
    assert_int_equal(member_read(a, &a->fatal), 0);
    answer_the_rest(&site, b, lost);
    member_stop(a);
    member_stop(b);
}

/* Lost partitions are not waited for. A transaction whose offsets were already sent may still end
 * well: then its answers count, and the new owner, held up until then, finds them done. */
static void
test_lost_is_not_flushed(void **state)
{
    struct site site;
    struct member *a;
    struct member *b;
    struct answer answers[EVERY];
    int64_t began;

    (void)state;
    site_start(&site, "notflushed", 2);
    site.options.flush_ms = 9000;
    site.options.commit_ms = 100;
    a = start_with_one_each(&site);
    shut(&at_commit);
    answer_held(a, EVERY, answers);
    await_stop(&at_commit);
    atomic_store(&all_lost, true);
    began = now_ms();
    b = member_start(&site, HOLD, 0);
    member_wait(a, &a->lost, 3);
    assert_true(now_ms() - began < 5000);
    atomic_store(&all_lost, false);
    assert_false(member_reaches(b, &b->adopted, 1, 1000));
    let_go(&at_commit);
    assert_int_equal(results(a, answers, EVERY, EW_COMMITTED), EVERY);
    member_wait(b, &b->adopted, member_read(a, &a->lost));
    assert_false(member_reaches(b, &b->record_count, 1, 500));
    assert_each_once(&site, EVERY);
    member_stop(a);
    member_stop(b);
}

/* --- size and time of a transaction --- */

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

/* 200 items, 4 MiB; an answer may be as large as an input record and 64 KiB. */
static void
test_a_transaction_is_capped(void **state)
{
    struct site site;
    struct member *member;

    (void)state;
    site_start(&site, "capped", 1);
    member = member_hold(&site, 500);
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
    assert_int_equal(member_stats(member).recreated, 2);
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
    for (int i = 0; i < ROUNDS && ms >= 60; i++)
        ms = time_of_intents(member, i * INTENTS);
    assert_true(ms < 60);
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

    ew_kafka_publish(member->kafka, &out);
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
        cmocka_unit_test(test_refused_batch_is_built_anew),
        cmocka_unit_test(test_nobody_commits_nothing),
        cmocka_unit_test(test_flush_commits_what_is_ready),
        cmocka_unit_test(test_no_intents_in_the_flush),
        cmocka_unit_test(test_flush_is_bounded),
        cmocka_unit_test(test_lost_is_not_flushed),
        cmocka_unit_test(test_a_transaction_is_capped),
        cmocka_unit_test(test_transaction_timeout),
        cmocka_unit_test(test_intents_are_quick),
        cmocka_unit_test(test_publishing_holds_up_nothing),
    };

    if (!harness_ready(argc, argv))
        return EXIT_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
