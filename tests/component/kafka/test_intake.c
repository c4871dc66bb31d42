/*
 * Reading, on a real broker: nothing is passed over, not reading is the back-pressure, and the
 * map's limits hold. The linker wraps the calls that seek and read, so that they can go wrong.
 */
#include <stdio.h>
#include <string.h>

#include "clients.h"
#include "harness.h"
#include "intake_private.h"
#include "member.h"
#include "renew_private.h"
#include "witness.h"

/* --- the wrapped calls --- */

static atomic_llong broken_offset = -1;      /* comes as an error, once */
static _Atomic(struct ew_kafka *) forgetful; /* is told that its partition is unknown, once */
static atomic_bool no_seek;
static atomic_bool late_lookup; /* what the assignment asked for wins over the seek */
static atomic_llong assigned_at;

rd_kafka_message_t *__real_rd_kafka_consume_queue(rd_kafka_queue_t *queue, int timeout_ms);
rd_kafka_message_t *__wrap_rd_kafka_consume_queue(rd_kafka_queue_t *queue, int timeout_ms);
rd_kafka_error_t *__real_rd_kafka_seek_partitions(rd_kafka_t *rk,
                                                  rd_kafka_topic_partition_list_t *partitions,
                                                  int timeout_ms);
rd_kafka_error_t *__wrap_rd_kafka_seek_partitions(rd_kafka_t *rk,
                                                  rd_kafka_topic_partition_list_t *partitions,
                                                  int timeout_ms);

rd_kafka_error_t *
__real_rd_kafka_incremental_assign(rd_kafka_t *rk,
                                   const rd_kafka_topic_partition_list_t *partitions);
rd_kafka_error_t *
__wrap_rd_kafka_incremental_assign(rd_kafka_t *rk,
                                   const rd_kafka_topic_partition_list_t *partitions);

rd_kafka_error_t *
__wrap_rd_kafka_incremental_assign(rd_kafka_t *rk,
                                   const rd_kafka_topic_partition_list_t *partitions)
{
    if (partitions->cnt > 0)
        atomic_store(&assigned_at, partitions->elems[0].offset);
    return __real_rd_kafka_incremental_assign(rk, partitions);
}

/* As librdkafka says it of a partition that it reads, from inside the reading of its queue. */
static void
forget(struct ew_kafka *kafka)
{
    const struct ew_part *part = kafka->intake.served;

    if (part == NULL || part->lane != EW_LANE_ENROLLMENT || part->trace.offset < 0)
        return;
    atomic_store(&forgetful, NULL);
    ew_intake_error(kafka->consumer, RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, "for a moment", kafka);
}

/* As librdkafka does with a batch that it cannot unpack: an error, and then the records behind. */
rd_kafka_message_t *
__wrap_rd_kafka_consume_queue(rd_kafka_queue_t *queue, int timeout_ms)
{
    rd_kafka_message_t *message = __real_rd_kafka_consume_queue(queue, timeout_ms);
    long long broken = atomic_load(&broken_offset);
    struct ew_kafka *kafka = atomic_load(&forgetful);

    if (kafka != NULL)
        forget(kafka);
    if (message != NULL && message->err == RD_KAFKA_RESP_ERR_NO_ERROR &&
        message->offset == broken && atomic_compare_exchange_strong(&broken_offset, &broken, -1)) {
        message->err = RD_KAFKA_RESP_ERR__BAD_COMPRESSION;
        message->payload = NULL;
        message->len = 0;
    }
    return message;
}

rd_kafka_error_t *
__wrap_rd_kafka_seek_partitions(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *partitions,
                                int timeout_ms)
{
    rd_kafka_error_t *error;

    if (atomic_load(&no_seek))
        return rd_kafka_error_new(RD_KAFKA_RESP_ERR__STATE, "not yet");
    error = __real_rd_kafka_seek_partitions(rk, partitions, timeout_ms);
    if (error != NULL || partitions->elems[0].err != 0 || !atomic_load(&late_lookup))
        return error;
    partitions->elems[0].offset = atomic_load(&assigned_at);
    return __real_rd_kafka_seek_partitions(rk, partitions, timeout_ms);
}

/* --- nothing is passed over --- */

/* What could not be read is asked for again before anything behind it is taken. */
static void
test_an_error_passes_nothing_over(void **state)
{
    struct site site;
    struct member *member;

    (void)state;
    site_start(&site, "passed", 1);
    send_numbers(site.in[EW_LANE_ENROLLMENT], 0, 1, 0, 20);
    atomic_store(&broken_offset, 5);
    member = member_start(&site, ANSWER, 0);
    member_wait(member, &member->committed, 5);
    assert_false(member_reaches(member, &member->committed, 6, 500));
    assert_int_equal(atomic_load(&broken_offset), -1);
    atomic_fetch_add(&member->clock_ahead, 5000); /* the pause after an error */
    member_wait(member, &member->committed, 20);
    assert_each_once(&site, 20);
    member_stop(member);
}

/* Seen with librdkafka 2.0.2, once in a hundred adoptions: the look-up of the place that was given
 * with the assignment ends after the seek to the base, and reading begins there instead. */
static void
test_a_late_lookup_passes_nothing_over(void **state)
{
    struct site site;
    struct member *member;

    (void)state;
    site_start(&site, "late", 1);
    send_numbers(site.in[EW_LANE_ENROLLMENT], 0, 1, 0, 20);
    atomic_store(&late_lookup, true);
    for (int i = 0; i < 2; i++) { /* base 0, then 20 */
        member = member_start(&site, ANSWER, 0);
        member_wait(member, &member->committed, 20);
        member_stop(member);
        send_numbers(site.in[EW_LANE_ENROLLMENT], 0, 1, 20, i == 0 ? 20 : 0);
    }
    atomic_store(&late_lookup, false);
    assert_each_once(&site, 40);
}

/* The backlog, which scales the fleet, is known from the adoption on. */
static void
test_backlog_of_what_was_never_fetched(void **state)
{
    struct site site;
    struct member *member;

    (void)state;
    site_start(&site, "backlog", 1);
    send_numbers(site.in[EW_LANE_ENROLLMENT], 0, 1, 0, 100);
    atomic_store(&no_seek, true);
    member = member_start(&site, ANSWER, 0);
    member_wait(member, &member->adopted, 5);
    AWAIT(member_stats(member).backlog == 100);
    assert_int_equal(member_stats(member).consumed, 0);
    atomic_store(&no_seek, false);
    member_wait(member, &member->committed, 100);
    member_stop(member);
}

/* --- back-pressure --- */

static int
held_of(struct member *member, int partition)
{
    int count = 0;

    pthread_mutex_lock(&member->lock);
    for (int i = 0; i < member->record_count; i++)
        count += ew_part_number(member->records[i]->part) == partition;
    pthread_mutex_unlock(&member->lock);
    return count;
}

/* A full partition holds up no other one, and whoever does not read stays a member: well beyond its
 * session the partition is still its own, and a commit goes through. */
static void
test_a_full_partition_keeps_the_membership(void **state)
{
    struct site site;
    struct member *member;
    int64_t before;

    (void)state;
    site_start(&site, "full", 2);
    site.options.session_ms = 2500;
    site.options.partition_items = 10;
    send_numbers(site.in[EW_LANE_ENROLLMENT], 0, 1, 0, 100);
    member = member_start(&site, HOLD, 0);
    member_wait(member, &member->record_count, 10);
    sleep_ms(6000);
    send_numbers(site.in[EW_LANE_ENROLLMENT], 1, 1, 0, 5);
    member_wait(member, &member->record_count, 15);
    assert_int_equal(held_of(member, 0), 10);
    assert_int_equal(held_of(member, 1), 5);
    assert_int_equal(member_read(member, &member->lost), 0);
    before = now_ms();
    AWAIT(member_stats(member).consumer_tick_ms > before);
    assert_int_equal(
        member_commit(member, member_find(member, 0, 4), EW_MARK_DONE, 0, NULL, 0).result,
        EW_COMMITTED);
    member_wait(member, &member->record_count, 16);
    member_stop(member);
}

/* --- settings --- */

static void
assert_setting(rd_kafka_t *rk, const char *name, const char *value)
{
    char is[64];
    size_t size = sizeof(is);

    assert_int_equal(rd_kafka_conf_get(rd_kafka_conf(rk), name, is, &size), RD_KAFKA_CONF_OK);
    assert_string_equal(is, value);
}

/* What the handle of the group really works with. */
static void
test_settings_of_the_member(void **state)
{
    struct site site;
    struct member *member;
    rd_kafka_t *consumer;

    (void)state;
    site_start(&site, "settings", 1);
    site.options.partition_items = 123;
    site.options.partition_bytes = 8 * 1024 * 1024;
    member = member_start(&site, HOLD, 0);
    member_wait(member, &member->adopted, 5);
    consumer = member->kafka->consumer;
    assert_setting(consumer, "isolation.level", "read_committed");
    assert_setting(consumer, "partition.assignment.strategy", "cooperative-sticky");
    assert_setting(consumer, "enable.auto.commit", "false");
    assert_setting(consumer, "enable.auto.offset.store", "false");
    assert_setting(consumer, "queued.min.messages", "123");
    assert_setting(consumer, "queued.max.messages.kbytes", "2048");
    member_stop(member);
}

/* --- the map's limits --- */

/* 1,500 open offsets and not one more, also for whoever adopts them. */
static void
test_open_offsets_are_limited(void **state)
{
    struct site site;
    struct member *member;

    (void)state;
    site_start(&site, "open", 1);
    site.options.partition_items = EW_MAP_OPEN;
    send_numbers(site.in[EW_LANE_ENROLLMENT], 0, 1, 0, EW_MAP_OPEN + 100);
    for (int i = 0; i < 2; i++) {
        member = member_start(&site, HOLD, 0);
        member_wait(member, &member->record_count, EW_MAP_OPEN);
        assert_false(member_reaches(member, &member->record_count, EW_MAP_OPEN + 1, 300));
        /* The frontier rises: all of them are listed. */
        assert_int_equal(member_commit(member, member_find(member, 0, EW_MAP_OPEN - 1 - i),
                                       i == 0 ? EW_MARK_STARTED : EW_MARK_DONE, 0, NULL, 0)
                             .result,
                         EW_COMMITTED);
        member_stop(member);
    }
}

/* A commit with one open offset at 0 and everything up to `frontier` done. */
static void
commit_all_but_first(struct site *site, int64_t frontier)
{
    struct ew_offset_map *map = ew_offset_map_new(0);
    char text[EW_MAP_CHARS + 1];

    assert_int_equal(ew_offset_map_receive(map, 0), EW_OK);
    assert_int_equal(ew_offset_map_receive(map, frontier - 1), EW_OK);
    assert_int_equal(ew_offset_map_finish(map, frontier - 1), EW_OK);
    assert_int_equal(ew_offset_map_encode(map, text), EW_OK);
    force_commit(site, EW_LANE_ENROLLMENT, 0, 0, text);
    ew_offset_map_free(map);
}

/* Not read further than 200,000 offsets beyond the lowest open one. */
static void
test_window_is_limited(void **state)
{
    struct site site;
    struct member *member;

    (void)state;
    site_init(&site, "window", 1);
    send_numbers(site.in[EW_LANE_ENROLLMENT], 0, 1, 0, EW_MAP_WINDOW + 50);
    commit_all_but_first(&site, EW_MAP_WINDOW - 10);
    site_bootstrap(&site);
    member = member_start(&site, HOLD, 0);
    member_wait(member, &member->record_count, 11);
    assert_false(member_reaches(member, &member->record_count, 12, 500));
    assert_non_null(member_find(member, 0, EW_MAP_WINDOW - 1));
    assert_int_equal(
        member_commit(member, member_find(member, 0, 0), EW_MARK_DONE, 0, NULL, 0).result,
        EW_COMMITTED);
    member_wait(member, &member->record_count, 61);
    member_stop(member);
}

/* --- another log under the same name --- */

enum { BEFORE = 10, AFTER = 30 };

static struct member *
answered(struct site *site, const char *name)
{
    struct member *member;

    site_start(site, name, 1);
    send_numbers(site->in[EW_LANE_ENROLLMENT], 0, 1, 0, BEFORE);
    member = member_start(site, ANSWER, 0);
    member_wait(member, &member->committed, BEFORE);
    return member;
}

/* Whoever is given the partition next begins with what the operator says. */
static void
assert_all_of_the_new_log(struct site *site, struct member *member)
{
    send_numbers(site->in[EW_LANE_ENROLLMENT], 0, 1, BEFORE, AFTER);
    assert_false(member_reaches(member, &member->committed, BEFORE + 1, 2000));
    assert_int_equal(member_read(member, &member->fatal), 0);
    member_stop(member);
    force_commit(site, EW_LANE_ENROLLMENT, 0, 0, NULL);
    member = member_start(site, ANSWER, 0);
    await_each_once(site, BEFORE + AFTER);
    member_stop(member);
}

/* The new log soon has records where the old one was read up to: they are not the next ones. */
static void
test_a_topic_that_vanished_is_left_alone(void **state)
{
    struct site site;
    struct member *member;

    (void)state;
    member = answered(&site, "vanished");
    site_delete_topic(site.in[EW_LANE_ENROLLMENT]);
    member_wait(member, &member->lost, 1);
    site_make_topic(site.in[EW_LANE_ENROLLMENT]);
    assert_all_of_the_new_log(&site, member);
}

static void
test_a_log_that_ends_before_our_place_is_left_alone(void **state)
{
    struct site site;
    struct member *member;

    (void)state;
    member = answered(&site, "again");
    site_delete_topic(site.in[EW_LANE_ENROLLMENT]);
    site_make_topic(site.in[EW_LANE_ENROLLMENT]);
    member_wait(member, &member->lost, 1);
    assert_all_of_the_new_log(&site, member);
}

/* --- a broker that does not know the topic for a moment --- */

static void
lose_for_a_moment(struct member *member)
{
    int lost = member_read(member, &member->lost);

    atomic_store(&forgetful, member->kafka);
    member_wait(member, &member->lost, lost + 1);
    AWAIT(member_stats(member).partitions_alone == 1);
}

/* It is left alone, people are told, and after a while it goes on where it was: the log still has
 * what was seen of it, by an owner that has read requests, or only looked where the log begins. */
static void
test_a_topic_unknown_for_a_moment_is_read_on(void **state)
{
    struct site site;
    struct member *member;

    (void)state;
    member = answered(&site, "moment");
    for (int i = 0; i < 2; i++) {
        lose_for_a_moment(member);
        send_numbers(site.in[EW_LANE_ENROLLMENT], 0, 1, BEFORE + i * AFTER, AFTER);
        assert_false(member_reaches(member, &member->adopted, 6, 1500));
        atomic_fetch_add(&member->clock_ahead, EW_RENEW_MS);
        member_wait(member, &member->adopted, 6);
        await_each_once(&site, BEFORE + (i + 1) * AFTER);
        AWAIT(member_stats(member).partitions_alone == 0);
        assert_int_equal(member_read(member, &member->fatal), 0);
        member_stop(member);
        member = member_start(&site, ANSWER, 0);
        member_wait(member, &member->adopted, 5);
    }
    member_stop(member);
}

/* The same records for the same time. */
static void
send_dated(const char *topic, int64_t wall_ms)
{
    rd_kafka_t *rk = plain_producer(NULL);

    for (int i = 0; i < BEFORE; i++) {
        char text[16];

        snprintf(text, sizeof(text), "key-%d", i);
        assert_int_equal(
            rd_kafka_producev(rk, RD_KAFKA_VTYPE_TOPIC, topic, RD_KAFKA_VTYPE_PARTITION, 0,
                              RD_KAFKA_VTYPE_TIMESTAMP, wall_ms, RD_KAFKA_VTYPE_KEY, text,
                              strlen(text), RD_KAFKA_VTYPE_VALUE, text, strlen(text),
                              RD_KAFKA_VTYPE_MSGFLAGS, RD_KAFKA_MSG_F_COPY, RD_KAFKA_VTYPE_END),
            RD_KAFKA_RESP_ERR_NO_ERROR);
    }
    assert_int_equal(rd_kafka_flush(rk, PATIENCE_MS), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_destroy(rk);
}

static void
bring_back_commit(struct site *site)
{
    rd_kafka_t *late = open_commit(site, 0, BEFORE);

    assert_null(rd_kafka_commit_transaction(late, PATIENCE_MS));
    rd_kafka_destroy(late);
}

/* No broker knows the topic, and then all of them know it as it was. */
static void
test_a_topic_that_comes_back_is_read_on(void **state)
{
    struct site site;
    struct member *member;
    int64_t wall_ms = ew_wall_ms(&ew_clock_system);

    (void)state;
    site_start(&site, "back", 1);
    send_dated(site.in[EW_LANE_ENROLLMENT], wall_ms);
    member = member_start(&site, ANSWER, 0);
    member_wait(member, &member->committed, BEFORE);
    site_delete_topic(site.in[EW_LANE_ENROLLMENT]);
    member_wait(member, &member->lost, 1);
    atomic_fetch_add(&member->clock_ahead, EW_RENEW_MS);
    assert_false(member_reaches(member, &member->adopted, 6, 1500));
    site_make_topic(site.in[EW_LANE_ENROLLMENT]);
    send_dated(site.in[EW_LANE_ENROLLMENT], wall_ms);
    bring_back_commit(&site);
    for (int i = 0; i < 5 && member_read(member, &member->adopted) < 6; i++)
        if (!member_reaches(member, &member->adopted, 6, 2000))
            atomic_fetch_add(&member->clock_ahead, EW_RENEW_MS);
    send_numbers(site.in[EW_LANE_ENROLLMENT], 0, 1, BEFORE, AFTER);
    await_each_once(&site, BEFORE + AFTER);
    member_stop(member);
}

/* The name is another topic's by then, with more records, and a transaction that came late has
 * brought back the old one's commit. */
static void
test_a_topic_made_again_is_not_read_on(void **state)
{
    struct site site;
    struct member *member;

    (void)state;
    member = answered(&site, "remade");
    site_delete_topic(site.in[EW_LANE_ENROLLMENT]);
    member_wait(member, &member->lost, 1);
    site_make_topic(site.in[EW_LANE_ENROLLMENT]);
    bring_back_commit(&site);
    send_numbers(site.in[EW_LANE_ENROLLMENT], 0, 1, BEFORE, AFTER);
    atomic_fetch_add(&member->clock_ahead, EW_RENEW_MS);
    assert_false(member_reaches(member, &member->adopted, 6, 3000));
    assert_int_equal(member_stats(member).partitions_alone, 1);
    member_stop(member);
    force_commit(&site, EW_LANE_ENROLLMENT, 0, 0, NULL);
    member = member_start(&site, ANSWER, 0);
    await_each_once(&site, BEFORE + AFTER);
    member_stop(member);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_error_passes_nothing_over),
        cmocka_unit_test(test_a_late_lookup_passes_nothing_over),
        cmocka_unit_test(test_backlog_of_what_was_never_fetched),
        cmocka_unit_test(test_a_full_partition_keeps_the_membership),
        cmocka_unit_test(test_settings_of_the_member),
        cmocka_unit_test(test_open_offsets_are_limited),
        cmocka_unit_test(test_window_is_limited),
        cmocka_unit_test(test_a_topic_that_vanished_is_left_alone),
        cmocka_unit_test(test_a_log_that_ends_before_our_place_is_left_alone),
        cmocka_unit_test(test_a_topic_unknown_for_a_moment_is_read_on),
        cmocka_unit_test(test_a_topic_that_comes_back_is_read_on),
        cmocka_unit_test(test_a_topic_made_again_is_not_read_on),
    };

    if (!harness_ready(argc, argv))
        return EXIT_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
