/*
 * Consuming and committing on a real broker (KAFKA_BOOTSTRAP): the plain way, budgets, and what
 * becomes of items that cannot be committed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients.h"
#include "harness.h"
#include "member.h"
#include "witness.h"

static void
test_answers_once(void **state)
{
    struct site site;
    struct member *member;
    struct seen seen;
    int counts[600];

    (void)state;
    site_start(&site, "once", 3);
    send_numbers(site.in[EW_LANE_ENROLLMENT], -1, 3, 0, 600);
    member = member_start(&site, ANSWER, 1);
    member_wait(member, &member->adopted, 9); /* 3 + 3 resume + 3 other lanes */
    member_wait(member, &member->committed, 600);
    assert_int_equal(count_numbers(site.out[EW_TOPIC_EVENTS], counts, 600), 600);
    for (int i = 0; i < 600; i++)
        assert_int_equal(counts[i], 1);
    member_stop(member);
    for (int i = 0; i < 3; i++) {
        see_commit(&site, EW_LANE_ENROLLMENT, i, &seen);
        assert_int_equal(seen.kind, EW_MAP_OURS);
        assert_int_equal(seen.base, 200);
        assert_int_equal(ew_offset_map_open(seen.map), 0);
        ew_offset_map_free(seen.map);
    }
}

/* --- budgets --- */

/* Not reading is the back-pressure: as many as the budget says, and one more for each one done. */
static void
test_item_budget(void **state)
{
    struct site site;
    struct member *member;
    struct answer answer;

    (void)state;
    site_start(&site, "items", 1);
    site.options.partition_items = 10;
    send_numbers(site.in[EW_LANE_ENROLLMENT], 0, 1, 0, 100);
    member = member_start(&site, HOLD, 0);
    member_wait(member, &member->record_count, 10);
    assert_false(member_reaches(member, &member->record_count, 11, 500));
    for (int i = 9; i >= 7; i--) {
        answer = member_commit(member, member_find(member, 0, i), EW_MARK_DONE, 0, "key-1", 10);
        assert_int_equal(answer.result, EW_COMMITTED);
    }
    member_wait(member, &member->record_count, 13);
    assert_false(member_reaches(member, &member->record_count, 14, 300));
    member_stop(member);
}

struct freed {
    struct member *member;
    int count;
};

static void
free_first(void *arg)
{
    struct freed *freed = arg;
    struct member *member = freed->member;

    pthread_mutex_lock(&member->lock);
    for (int i = 0; i < freed->count; i++)
        ew_record_free(member->records[i]);
    for (int i = freed->count; i < member->record_count; i++)
        member->records[i - freed->count] = member->records[i];
    member->record_count -= freed->count;
    pthread_mutex_unlock(&member->lock);
}

static void
test_byte_budget(void **state)
{
    struct site site;
    struct member *member;
    struct freed freed = {.count = 2};
    struct ew_kafka_stats stats;

    (void)state;
    site_start(&site, "bytes", 1);
    site.options.partition_bytes = 100000;
    for (int i = 0; i < 8; i++)
        send_sized(site.in[EW_LANE_ENROLLMENT], 0, "key-1", 40000);
    member = member_start(&site, HOLD, 0);
    member_wait(member, &member->record_count, 3); /* the third one crosses the line */
    assert_false(member_reaches(member, &member->record_count, 4, 500));
    freed.member = member;
    member_call(member, free_first, &freed);
    member_wait(member, &member->record_count, 3); /* one left, two came */
    assert_false(member_reaches(member, &member->record_count, 4, 300));
    AWAIT(member_stats(member).consumed == 5 && member_stats(member).incomplete == 5 &&
          member_stats(member).backlog == 8); /* each is told from time to time, by itself */
    stats = member_stats(member);
    assert_true(stats.joined);
    assert_int_equal(stats.partitions_unadopted, 0);
    member_stop(member);
}

/* --- items --- */

static void
test_stale_and_order(void **state)
{
    struct site site;
    struct member *member;
    struct answer answer;
    int64_t before;

    (void)state;
    site_start(&site, "stale", 1);
    member = member_hold(&site, 3);
    answer =
        member_commit(member, member_find(member, 0, 0), EW_MARK_STARTED, now_ms() - 1, NULL, 0);
    assert_int_equal(answer.result, EW_COMMIT_STALE);
    before = now_ms();
    answer =
        member_commit(member, member_find(member, 0, 0), EW_MARK_STARTED, now_ms() + 5000, NULL, 0);
    assert_int_equal(answer.result, EW_COMMITTED);
    assert_true(answer.t0_ms >= before && answer.t0_ms <= now_ms());
    answer = member_commit(member, member_find(member, 0, 1), EW_MARK_DONE, 0, "key-1", 10);
    assert_int_equal(answer.result, EW_COMMITTED);
    answer = member_commit(member, member_find(member, 0, 1), EW_MARK_DONE, 0, "key-1", 10);
    assert_int_equal(answer.result, EW_COMMIT_REFUSED);
    assert_string_equal(answer.err.problem, "offset-not-open");
    member_stop(member);
}

/* One bad record stops nobody: refused alone, whether the client or the broker finds it. */
static void
test_offender_alone(void **state)
{
    struct site site;
    struct member *member;
    struct answer answers[40];
    int counts[40];

    (void)state;
    site_start(&site, "offender", 1);
    site.options.commit_ms = 100;
    member = member_hold(&site, 40);
    site_set_config(site.out[EW_TOPIC_EVENTS], "max.message.bytes", "100000");
    for (int i = 0; i < 40; i++) {
        char key[32];
        size_t len = i == 7 ? 2000000 : i == 23 ? 150000 : 10;

        snprintf(key, sizeof(key), "key-%d", i);
        member_submit(member, member_find(member, 0, i), EW_MARK_DONE, 0, key, len, &answers[i]);
    }
    for (int i = 0; i < 40; i++) {
        member_wait_answer(member, &answers[i]);
        assert_int_equal(answers[i].result, i == 7 || i == 23 ? EW_COMMIT_REFUSED : EW_COMMITTED);
    }
    assert_int_equal(count_numbers(site.out[EW_TOPIC_EVENTS], counts, 40), 38);
    answers[7] = member_commit(member, member_find(member, 0, 7), EW_MARK_DONE, 0, "key-7", 10);
    assert_int_equal(answers[7].result, EW_COMMITTED);
    member_stop(member);
}

/* --- look-ups --- */

struct lookup {
    struct member *member;
    struct ew_source source;
    enum ew_offset_state state;
    atomic_bool there;
};

static void
on_state(void *arg, enum ew_offset_state state)
{
    struct lookup *lookup = arg;

    lookup->state = state;
    atomic_store(&lookup->there, true);
}

static void
ask_state(void *arg)
{
    struct lookup *lookup = arg;

    ew_kafka_offset_state(lookup->member->kafka, &lookup->source, on_state, lookup);
}

static enum ew_offset_state
state_of(struct member *member, const char *topic, int partition, int64_t offset)
{
    struct lookup lookup = {.member = member};

    snprintf(lookup.source.topic, sizeof(lookup.source.topic), "%s", topic);
    lookup.source.partition = partition;
    lookup.source.offset = offset;
    member_call(member, ask_state, &lookup);
    while (!atomic_load(&lookup.there))
        sleep_ms(1);
    return lookup.state;
}

static void
test_offset_state(void **state)
{
    struct site site;
    struct member *member;
    const char *topic;

    (void)state;
    site_start(&site, "states", 2);
    topic = site.in[EW_LANE_ENROLLMENT];
    send_numbers(topic, 1, 1, 0, 5);
    member = member_start(&site, HOLD, 0);
    member_wait(member, &member->record_count, 5);
    (void)member_commit(member, member_find(member, 1, 0), EW_MARK_DONE, 0, NULL, 0);
    (void)member_commit(member, member_find(member, 1, 2), EW_MARK_STARTED, 0, NULL, 0);
    (void)member_commit(member, member_find(member, 1, 3), EW_MARK_DONE, 0, NULL, 0);
    assert_int_equal(state_of(member, topic, 1, 0), EW_OFFSET_DONE);
    assert_int_equal(state_of(member, topic, 1, 1), EW_OFFSET_OPEN);
    assert_int_equal(state_of(member, topic, 1, 2), EW_OFFSET_STARTED);
    assert_int_equal(state_of(member, topic, 1, 3), EW_OFFSET_DONE);
    assert_int_equal(state_of(member, topic, 1, 4), EW_OFFSET_OPEN);
    assert_int_equal(state_of(member, "no-such-topic", 0, 0), EW_OFFSET_UNREADABLE);
    member_stop(member);
}

/* --- markers, publishing, keys --- */

static void
send_in_transaction(const char *topic, bool commit)
{
    rd_kafka_t *rk = plain_producer(topic);

    assert_null(rd_kafka_init_transactions(rk, PATIENCE_MS));
    assert_null(rd_kafka_begin_transaction(rk));
    assert_int_equal(rd_kafka_producev(rk, RD_KAFKA_VTYPE_TOPIC, topic, RD_KAFKA_VTYPE_PARTITION, 0,
                                       RD_KAFKA_VTYPE_KEY, "key-0", (size_t)5, RD_KAFKA_VTYPE_VALUE,
                                       "v", (size_t)1, RD_KAFKA_VTYPE_END),
                     0);
    rd_kafka_flush(rk, PATIENCE_MS);
    assert_null(commit ? rd_kafka_commit_transaction(rk, PATIENCE_MS)
                       : rd_kafka_abort_transaction(rk, PATIENCE_MS));
    rd_kafka_destroy(rk);
}

/* A transactional input leaves markers: the base passes them, so that no lag is left behind. */
static void
test_base_passes_markers(void **state)
{
    struct site site;
    struct member *member;
    struct seen seen;

    (void)state;
    site_start(&site, "markers", 1);
    send_in_transaction(site.in[EW_LANE_ENROLLMENT], true);  /* 0, marker 1 */
    send_in_transaction(site.in[EW_LANE_ENROLLMENT], false); /* 2 aborted, marker 3 */
    member = member_start(&site, ANSWER, 0);
    member_wait(member, &member->committed, 1);
    for (int i = 0; i < 40; i++) {
        see_commit(&site, EW_LANE_ENROLLMENT, 0, &seen);
        ew_offset_map_free(seen.map);
        if (seen.base == 4)
            break;
        sleep_ms(250);
    }
    assert_int_equal(seen.base, 4);
    member_stop(member);
}

static void
publish_two(void *arg)
{
    struct member *member = arg;
    struct ew_header header = {.name = "h", .value = "x", .len = 1};
    struct ew_out out = {.topic = EW_TOPIC_ACCOUNT,
                         .partition = -1,
                         .key = "key-3",
                         .key_len = 5,
                         .value = "v",
                         .value_len = 1,
                         .headers = &header,
                         .header_count = 1};

    ew_kafka_publish(member->kafka, &out, NULL, NULL);
    out.key = "key-4";
    out.value = NULL;
    out.value_len = 0;
    ew_kafka_publish(member->kafka, &out, NULL, NULL);
}

static void
test_publish(void **state)
{
    struct site site;
    struct member *member;
    int counts[10];

    (void)state;
    site_start(&site, "publish", 3);
    member = member_start(&site, HOLD, 0);
    member_call(member, publish_two, member);
    member_wait(member, &member->adopted, 9);
    /* As Java's murmur2: golden values of the Java client. */
    assert_int_equal(ew_kafka_partition_of(member->kafka, EW_TOPIC_INFLIGHT, "foobar", 6),
                     (-790332482 & 0x7fffffff) % 3);
    assert_int_equal(ew_kafka_partitions(member->kafka, EW_TOPIC_RESUME), 3);
    member_stop(member);
    assert_int_equal(count_numbers(site.out[EW_TOPIC_ACCOUNT], counts, 10), 2);
    assert_int_equal(counts[3], 1);
    assert_int_equal(counts[4], 1);
}

/* --- the map's own budget --- */

/* With one open offset in 64 over a long window the map nears its limit: intents wait, answers go
 * on, and every answer makes room. */
static void
test_intents_wait_for_the_map(void **state)
{
    enum { SPREAD = 64, OPEN = 1400, ALL = SPREAD * OPEN };
    struct site site;
    struct member *member;
    struct answer *answers = calloc(OPEN, sizeof(*answers));
    struct answer one;
    struct ew_record **kept = calloc(OPEN, sizeof(struct ew_record *));
    struct seen seen;
    int done = 0;

    (void)state;
    site_start(&site, "mapfull", 1);
    site.options.partition_items = EW_MAP_OPEN;
    send_numbers(site.in[EW_LANE_ENROLLMENT], 0, 1, 0, ALL);
    member = member_start(&site, SPARSE, SPREAD);
    member_wait(member, &member->record_count, OPEN);
    member_wait(member, &member->committed, ALL - OPEN);
    see_commit(&site, EW_LANE_ENROLLMENT, 0, &seen);
    assert_int_equal(seen.kind, EW_MAP_OURS);
    assert_int_equal(ew_offset_map_open(seen.map), OPEN);
    assert_true(strlen(seen.text) > EW_MAP_BUDGET);
    ew_offset_map_free(seen.map);
    memcpy(kept, member->records, OPEN * sizeof(struct ew_record *));
    /* No intent fits, one gives up in time, the others come in as answers make room. */
    one = member_commit(member, kept[0], EW_MARK_STARTED, now_ms() + 300, NULL, 0);
    assert_int_equal(one.result, EW_COMMIT_STALE);
    member_submit(member, kept[1], EW_MARK_STARTED, 0, NULL, 0, &answers[0]);
    sleep_ms(300);
    assert_false(answers[0].there);
    while (!answers[0].there && done < OPEN - 2) {
        one = member_commit(member, kept[OPEN - 1 - done], EW_MARK_DONE, 0, NULL, 0);
        assert_int_equal(one.result, EW_COMMITTED);
        done++;
    }
    member_wait_answer(member, &answers[0]);
    assert_int_equal(answers[0].result, EW_COMMITTED);
    see_commit(&site, EW_LANE_ENROLLMENT, 0, &seen);
    assert_true(strlen(seen.text) <= EW_MAP_BUDGET + 4);
    ew_offset_map_free(seen.map);
    member_stop(member);
    free(answers);
    free(kept);
}

/* What the brokers' log says of their clock is older than our own where both are near; the time in
 * an answer is ours then, and not before what it tells of. */
static void
test_time_of_an_answer(void **state)
{
    struct site site;
    struct member *member;
    int64_t before, told;

    (void)state;
    site_start(&site, "time", 1);
    send_numbers(site.in[EW_LANE_ENROLLMENT], 0, 1, 0, 2);
    member = member_start(&site, HOLD, 0);
    member_wait(member, &member->record_count, 2);
    member->answers_to = EW_TOPIC_STATE; /* which has the brokers' time */
    (void)member_commit(member, member_find(member, 0, 0), EW_MARK_DONE, 0, "key-0", 10);
    member->answers_to = EW_TOPIC_EVENTS;
    atomic_fetch_sub(&member->clock_ahead, 5000);
    before = ew_wall_ms(&ew_clock_system);
    (void)member_commit(member, member_find(member, 0, 1), EW_MARK_DONE, 0, "key-1", 10);
    told = time_of_number(site.out[EW_TOPIC_EVENTS], 1);
    assert_in_range(told, before, ew_wall_ms(&ew_clock_system));
    member_stop(member);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_once),
        cmocka_unit_test(test_item_budget),
        cmocka_unit_test(test_byte_budget),
        cmocka_unit_test(test_stale_and_order),
        cmocka_unit_test(test_offender_alone),
        cmocka_unit_test(test_offset_state),
        cmocka_unit_test(test_base_passes_markers),
        cmocka_unit_test(test_publish),
        cmocka_unit_test(test_intents_wait_for_the_map),
        cmocka_unit_test(test_time_of_an_answer),
    };

    if (!harness_ready(argc, argv))
        return EXIT_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
