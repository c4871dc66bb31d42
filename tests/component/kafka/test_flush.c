/*
 * Whose word a transaction goes out on when partitions are taken away, and what goes out with them,
 * on a real broker.
 */
#include "gates.h"
#include "kafka_private.h"

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

/* It has answered them all, in a transaction that stands at the gate. */
static struct member *
start_stopped(struct site *site, struct gate *gate, struct answer answers[EVERY])
{
    struct member *member = start_with_one_each(site);

    shut(gate);
    answer_held(member, EVERY, answers);
    await_stop(gate);
    return member;
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
    a = start_stopped(&site, &at_offsets, answers);
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
    a = start_stopped(&site, &at_offsets, answers);
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
 * would say: nothing could be sent under it. What may be sent under the others counts from when
 * they were built again. */
static void
test_no_intents_in_the_flush(void **state)
{
    struct site site;
    struct member *a;
    struct member *b;
    struct answer answers[EVERY];
    int64_t released;
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
    released = now_ms();
    let_go(&at_offsets);
    assert_int_equal(results(a, answers, EVERY, EW_COMMIT_LOST), going);
    assert_int_equal(results(a, answers, EVERY, EW_COMMITTED), EVERY - going);
    for (int i = 0; i < EVERY; i++)
        assert_true(answers[i].result == EW_COMMIT_LOST || answers[i].t0_ms >= released);
    assert_true(member_stats(a).fenced >= 1);
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
    a = start_stopped(&site, &at_commit, answers);
    began = now_ms();
    b = member_start(&site, HOLD, 0);
    member_wait(a, &a->lost, 3);
    assert_true(now_ms() - began >= 1500);
    assert_true(now_ms() - began < 15000);
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
    site.options.flush_ms = 30000;
    site.options.commit_ms = 100;
    a = start_stopped(&site, &at_commit, answers);
    atomic_store(&all_lost, true);
    began = now_ms();
    b = member_start(&site, HOLD, 0);
    member_wait(a, &a->lost, 3);
    assert_true(now_ms() - began < 20000);
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

/* --- the end --- */

struct late {
    struct member *member;
    struct ew_record *record;
    bool answered, first; /* answered before the room said that it has stopped */
    enum ew_committed result;
};

static void
on_late_answer(void *arg, enum ew_committed result, int64_t t0, const struct ew_err *err)
{
    struct late *late = arg;

    (void)t0, (void)err;
    late->answered = true;
    late->result = result;
}

static void
on_late_stop(void *arg)
{
    struct late *late = arg;

    late->first = late->answered;
    ew_record_free(late->record);
    assert_true(ew_kafka_free(late->member->kafka));
    ew_loop_stop(late->member->loop);
}

static bool
is_stopping(struct ew_committer *committer)
{
    bool stop;

    pthread_mutex_lock(&committer->lock);
    stop = committer->stop;
    pthread_mutex_unlock(&committer->lock);
    return stop;
}

/* Its threads have ended before the loop, which is held up here, hears of that. */
static void
submit_late(void *arg)
{
    struct late *late = arg;
    struct ew_kafka *kafka = late->member->kafka;
    struct ew_commit commit = {.part = late->record->part,
                               .offset = late->record->offset,
                               .mark = EW_MARK_DONE,
                               .done = on_late_answer,
                               .arg = late};

    ew_kafka_stop(kafka, on_late_stop, late);
    AWAIT(is_stopping(&kafka->committer));
    sleep_ms(1000);
    ew_kafka_commit(kafka, &commit);
}

/* Whoever submitted something hears of it before there is nobody left to say it. */
static void
test_what_is_submitted_at_the_end_is_answered(void **state)
{
    struct site site;
    struct late late = {.answered = false};

    (void)state;
    site_start(&site, "late", 1);
    late.member = member_hold(&site, 1);
    late.record = member_find(late.member, 0, 0);
    late.member->record_count = 0;
    ew_loop_post(late.member->loop, submit_late, &late);
    member_join(late.member);
    assert_true(late.first);
    assert_int_equal(late.result, EW_COMMIT_LOST);
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
        cmocka_unit_test(test_what_is_submitted_at_the_end_is_answered),
    };

    if (!harness_ready(argc, argv))
        return EXIT_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
