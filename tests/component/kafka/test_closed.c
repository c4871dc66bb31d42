/*
 * Topics that take no record, on a real broker: without the right to write, or deleted; and such
 * as may not be read, whose offsets are not taken. The one item that needs such a topic is refused
 * after a while, its partition is not adopted; the others are. Without a right that every commit
 * needs the process ends.
 */
#include <stdio.h>

#include "clients.h"
#include "harness.h"
#include "member.h"

enum { COUNT = 20, ODD = 7 };

static void
submit(struct member *member, int number, enum ew_topic topic, struct answer *answer)
{
    char key[32];

    snprintf(key, sizeof(key), "key-%d", number);
    member->answers_to = topic;
    member_submit(member, member_find(member, 0, number), EW_MARK_DONE, 0, key, 10, answer);
}

/* Or until there is nothing more to abort. */
static void
await_aborts(struct member *member, int64_t wanted)
{
    AWAIT(member_stats(member).aborts >= wanted || member_read(member, &member->committed) > 0);
}

/* The clock passed in goes on in steps, attempts in each: half a minute of them in the end. */
static void
let_it_last(struct member *member)
{
    await_aborts(member, member_stats(member).aborts + 3);
    assert_int_equal(member_read(member, &member->refused), 0);
    assert_int_equal(member_read(member, &member->committed), 0);
    for (int i = 0; i < 20 && member_read(member, &member->committed) == 0; i++) {
        await_aborts(member, member_stats(member).aborts + 2);
        atomic_fetch_add(&member->clock_ahead, 11000);
    }
}

static struct member *
start(struct site *site, const char *name)
{
    struct member *member;

    site_start(site, name, 1);
    site->options.transaction_ms = 3000;
    site->options.commit_ms = 100;
    send_numbers(site->in[EW_LANE_ENROLLMENT], 0, 1, 0, COUNT + 3);
    member = member_start(site, HOLD, 0);
    member_wait(member, &member->record_count, COUNT + 3);
    return member;
}

/* One dead letter among answers, all in one transaction. */
static void
assert_one_is_refused(struct member *member)
{
    struct answer answers[COUNT];

    for (int i = 0; i < COUNT; i++)
        submit(member, i, i == ODD ? EW_TOPIC_DEAD_LETTERS : EW_TOPIC_EVENTS, &answers[i]);
    let_it_last(member);
    for (int i = 0; i < COUNT; i++) {
        member_wait_answer(member, &answers[i]);
        assert_int_equal(answers[i].result, i == ODD ? EW_COMMIT_REFUSED : EW_COMMITTED);
    }
    assert_string_equal(answers[ODD].err.problem, "topic-closed");
}

static void
assert_known_at_once(struct member *member)
{
    int64_t began = now_ms();
    struct answer dead, good;

    submit(member, ODD, EW_TOPIC_DEAD_LETTERS, &dead);
    submit(member, COUNT, EW_TOPIC_EVENTS, &good);
    member_wait_answer(member, &dead);
    member_wait_answer(member, &good);
    assert_int_equal(dead.result, EW_COMMIT_REFUSED);
    assert_int_equal(good.result, EW_COMMITTED);
    assert_true(now_ms() - began < 15000);
}

static void
test_no_right_to_write(void **state)
{
    struct site site;
    struct member *member = start(&site, "noright");
    const char *topic = site.out[EW_TOPIC_DEAD_LETTERS];
    struct answer again;
    int64_t until = now_ms() + 30000;

    (void)state;
    site_deny(RD_KAFKA_RESOURCE_TOPIC, topic, RD_KAFKA_ACL_OPERATION_WRITE);
    assert_one_is_refused(member);
    assert_known_at_once(member);
    site_allow_all(RD_KAFKA_RESOURCE_TOPIC, topic);
    do {
        assert_true(now_ms() < until);
        submit(member, ODD, EW_TOPIC_DEAD_LETTERS, &again);
        member_wait_answer(member, &again);
    } while (again.result != EW_COMMITTED);
    assert_int_equal(member_read(member, &member->fatal), 0);
    member_stop(member);
}

static void
test_deleted_topic(void **state)
{
    struct site site;
    struct member *member = start(&site, "deleted");

    (void)state;
    site_delete_topic(site.out[EW_TOPIC_DEAD_LETTERS]);
    assert_one_is_refused(member);
    assert_known_at_once(member);
    assert_int_equal(member_read(member, &member->fatal), 0);
    member_stop(member);
}

/* --- without the right to read --- */

/* As let_it_last, without anything to commit. */
static void
adopt_at_last(struct member *member, int count)
{
    for (int i = 0; i < 20 && member_read(member, &member->adopted) < count; i++) {
        int64_t aborts = member_stats(member).aborts + 2;

        AWAIT(member_stats(member).aborts >= aborts ||
              member_read(member, &member->adopted) >= count);
        atomic_fetch_add(&member->clock_ahead, 11000);
    }
    member_wait(member, &member->adopted, count);
}

static struct ew_record *
bulk_record(struct member *member)
{
    struct ew_record *found = NULL;

    pthread_mutex_lock(&member->lock);
    for (int i = 0; i < member->record_count; i++) {
        if (ew_part_lane(member->records[i]->part) == EW_LANE_BULK)
            found = member->records[i];
    }
    pthread_mutex_unlock(&member->lock);
    return found;
}

static void
test_no_right_to_read_at_first(void **state)
{
    struct site site;
    struct member *member;
    struct answer answer;

    (void)state;
    site_start(&site, "noread", 1);
    site.options.transaction_ms = 3000;
    site_deny(RD_KAFKA_RESOURCE_TOPIC, site.in[EW_LANE_BULK], RD_KAFKA_ACL_OPERATION_READ);
    send_numbers(site.in[EW_LANE_BULK], 0, 1, 0, 1);
    send_numbers(site.in[EW_LANE_ENROLLMENT], 0, 1, 0, 1);
    member = member_start(&site, HOLD, 0);
    adopt_at_last(member, EW_LANE_COUNT - 1);
    member_wait(member, &member->record_count, 1);
    answer = member_commit(member, member_find(member, 0, 0), EW_MARK_DONE, 0, "key-0", 10);
    assert_int_equal(answer.result, EW_COMMITTED);
    assert_int_equal(member_stats(member).partitions_unadopted, 1);
    AWAIT(member_stats(member).partitions_alone == 1);
    assert_null(bulk_record(member));

    site_allow_all(RD_KAFKA_RESOURCE_TOPIC, site.in[EW_LANE_BULK]);
    adopt_at_last(member, EW_LANE_COUNT);
    AWAIT(bulk_record(member) != NULL);
    answer = member_commit(member, bulk_record(member), EW_MARK_DONE, 0, "key-1", 10);
    assert_int_equal(answer.result, EW_COMMITTED);
    assert_int_equal(member_stats(member).partitions_unadopted, 0);
    AWAIT(member_stats(member).partitions_alone == 0);
    assert_int_equal(member_read(member, &member->fatal), 0);
    member_stop(member);
}

/* Read before, and withdrawn since: all in one transaction. */
static void
test_no_right_to_read_any_more(void **state)
{
    struct site site;
    struct member *member = start(&site, "noreadnow");
    const char *topic = site.in[EW_LANE_BULK];
    struct ew_record *enrolments[COUNT], *bulk;
    struct answer answers[COUNT], denied;

    (void)state;
    for (int i = 0; i < COUNT; i++)
        enrolments[i] = member_find(member, 0, i);
    send_numbers(topic, 0, 1, COUNT, 1);
    AWAIT((bulk = bulk_record(member)) != NULL);
    site_deny(RD_KAFKA_RESOURCE_TOPIC, topic, RD_KAFKA_ACL_OPERATION_READ);
    member_submit(member, bulk, EW_MARK_DONE, 0, "key-0", 10, &denied);
    for (int i = 0; i < COUNT; i++)
        member_submit(member, enrolments[i], EW_MARK_DONE, 0, "key-1", 10, &answers[i]);
    let_it_last(member);
    for (int i = 0; i < COUNT; i++) {
        member_wait_answer(member, &answers[i]);
        assert_int_equal(answers[i].result, EW_COMMITTED);
    }
    member_wait_answer(member, &denied);
    assert_int_equal(denied.result, EW_COMMIT_REFUSED);
    assert_string_equal(denied.err.problem, "topic-closed");

    site_allow_all(RD_KAFKA_RESOURCE_TOPIC, topic);
    send_numbers(topic, 0, 1, COUNT + 1, 1);
    AWAIT(bulk_record(member) != bulk);
    do
        denied = member_commit(member, bulk, EW_MARK_DONE, 0, "key-0", 10);
    while (denied.result == EW_COMMIT_REFUSED);
    assert_int_equal(denied.result, EW_COMMITTED);
    assert_int_equal(member_read(member, &member->fatal), 0);
    member_stop(member);
}

/* --- glitches, and rights that everything needs --- */

/* A glitch, however many attempts it takes: every item is committed as it is. */
static void
test_a_glitch_strips_nothing(void **state)
{
    struct site site;
    struct member *member = start(&site, "glitch");
    struct answer answers[COUNT];

    (void)state;
    site_deny(RD_KAFKA_RESOURCE_TOPIC, site.out[EW_TOPIC_EVENTS], RD_KAFKA_ACL_OPERATION_WRITE);
    for (int i = 0; i < COUNT; i++)
        submit(member, i, EW_TOPIC_EVENTS, &answers[i]);
    await_aborts(member, 4);
    site_allow_all(RD_KAFKA_RESOURCE_TOPIC, site.out[EW_TOPIC_EVENTS]);
    for (int i = 0; i < COUNT; i++) {
        member_wait_answer(member, &answers[i]);
        assert_int_equal(answers[i].result, EW_COMMITTED);
    }
    member_stop(member);
}

static void
test_no_right_to_the_group(void **state)
{
    struct site site;
    struct member *member = start(&site, "nogroup");
    struct answer answer;

    (void)state;
    site_deny(RD_KAFKA_RESOURCE_GROUP, site.group, RD_KAFKA_ACL_OPERATION_READ);
    submit(member, 0, EW_TOPIC_EVENTS, &answer);
    member_wait(member, &member->fatal, 1);
    assert_string_equal(member->fatal_problem, "kafka-forbidden");
    site_allow_all(RD_KAFKA_RESOURCE_GROUP, site.group);
    member_wait_answer(member, &answer);
    member_stop(member);
}

/* The same without anything to commit: it is no longer let into the group. */
static void
test_no_right_to_join(void **state)
{
    struct site site;
    struct member *member;

    (void)state;
    site_start(&site, "nojoin", 1);
    site.options.session_ms = 1000;
    member = member_hold(&site, 1);
    assert_int_equal(member_read(member, &member->fatal), 0);
    site_deny(RD_KAFKA_RESOURCE_GROUP, site.group, RD_KAFKA_ACL_OPERATION_READ);
    member_wait(member, &member->fatal, 1);
    assert_string_equal(member->fatal_problem, "kafka-forbidden");
    site_allow_all(RD_KAFKA_RESOURCE_GROUP, site.group);
    member_stop(member);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_right_to_write),
        cmocka_unit_test(test_deleted_topic),
        cmocka_unit_test(test_no_right_to_read_at_first),
        cmocka_unit_test(test_no_right_to_read_any_more),
        cmocka_unit_test(test_a_glitch_strips_nothing),
        cmocka_unit_test(test_no_right_to_the_group),
        cmocka_unit_test(test_no_right_to_join),
    };

    if (!harness_ready(argc, argv))
        return EXIT_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
