/*
 * Adoption on a real broker: what an adopter takes from the map that it finds, and what it leaves
 * alone, which is an alarm.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "clients.h"
#include "harness.h"
#include "member.h"
#include "witness.h"

/* --- alarms: what the log says of partitions that are left alone; wrapped by the linker --- */

static struct alarm {
    char problem[40], topic[80];
    int64_t partition;
} alarms[64];
static int alarm_count;
static pthread_mutex_t alarms_lock = PTHREAD_MUTEX_INITIALIZER;

void __real_ew_log_write(enum ew_log_level level, const char *logger, const char *msg,
                         const struct ew_log_field *fields);
void __wrap_ew_log_write(enum ew_log_level level, const char *logger, const char *msg,
                         const struct ew_log_field *fields);

static void
note_alarm(const struct ew_log_field *fields)
{
    struct alarm alarm = {.partition = -1};

    for (; fields->name != NULL; fields++) {
        if (strcmp(fields->name, "problem") == 0)
            snprintf(alarm.problem, sizeof(alarm.problem), "%s", fields->str);
        else if (strcmp(fields->name, "topic") == 0)
            snprintf(alarm.topic, sizeof(alarm.topic), "%s", fields->str);
        else if (strcmp(fields->name, "partition") == 0)
            alarm.partition = fields->num;
    }
    pthread_mutex_lock(&alarms_lock);
    if (alarm_count < (int)(sizeof(alarms) / sizeof(alarms[0])))
        alarms[alarm_count++] = alarm;
    pthread_mutex_unlock(&alarms_lock);
}

void
__wrap_ew_log_write(enum ew_log_level level, const char *logger, const char *msg,
                    const struct ew_log_field *fields)
{
    if (level == EW_LOG_ERROR && strcmp(msg, "partition is left alone") == 0)
        note_alarm(fields);
    __real_ew_log_write(level, logger, msg, fields);
}

/* Why, and which partition of the enrolment topic. */
static bool
is_left_alone(const struct site *site, int partition, const char *problem)
{
    int count = 0;

    pthread_mutex_lock(&alarms_lock);
    for (int i = 0; i < alarm_count; i++)
        count += strcmp(alarms[i].problem, problem) == 0 &&
                 strcmp(alarms[i].topic, site->in[EW_LANE_ENROLLMENT]) == 0 &&
                 alarms[i].partition == partition;
    pthread_mutex_unlock(&alarms_lock);
    return count > 0;
}

/* --- adoption --- */

static void
test_adopter_skips_and_flags(void **state)
{
    struct site site;
    struct member *member;
    uint32_t epoch;

    (void)state;
    site_start(&site, "flags", 1);
    member = member_hold(&site, 8);
    epoch = member_epoch(member, 0);
    (void)member_commit(member, member_find(member, 0, 3), EW_MARK_STARTED, 0, NULL, 0);
    (void)member_commit(member, member_find(member, 0, 0), EW_MARK_DONE, 0, "key-0", 1);
    (void)member_commit(member, member_find(member, 0, 2), EW_MARK_DONE, 0, "key-2", 1);
    (void)member_commit(member, member_find(member, 0, 5), EW_MARK_DONE, 0, "key-5", 1);
    member_stop(member);

    member = member_start(&site, HOLD, 0);
    member_wait(member, &member->record_count, 5);
    assert_false(member_reaches(member, &member->record_count, 6, 300));
    assert_int_equal(member_epoch(member, 0), epoch + 1);
    assert_null(member_find(member, 0, 0));
    assert_null(member_find(member, 0, 2));
    assert_null(member_find(member, 0, 5));
    assert_true(member_find(member, 0, 3)->started);
    assert_false(member_find(member, 0, 1)->started);
    assert_int_equal(member->started_seen, 1);
    assert_int_equal(member->doubt_seen, 0);
    member_stop(member);
}

/* The map of a newer version is neither read nor overwritten, which is said; other partitions go
 * on. */
static void
test_newer_map_is_left_alone(void **state)
{
    struct site site;
    struct member *member;
    struct seen seen;

    (void)state;
    site_init(&site, "newer", 2);
    send_numbers(site.in[EW_LANE_ENROLLMENT], -1, 2, 0, 4);
    force_commit(&site, EW_LANE_ENROLLMENT, 0, 1, "AmVwawFOREIGNfuture");
    site_bootstrap(&site);
    member = member_start(&site, ANSWER, 0);
    member_wait(member, &member->adopted, 6);
    member_wait(member, &member->committed, 2);
    assert_false(member_owns(member, 0));
    AWAIT(member_stats(member).partitions_alone == 1);
    AWAIT(is_left_alone(&site, 0, "map-newer"));
    member_stop(member);
    see_commit(&site, EW_LANE_ENROLLMENT, 0, &seen);
    assert_int_equal(seen.base, 1);
    assert_string_equal(seen.text, "AmVwawFOREIGNfuture");
}

/* A foreign commit puts what it left open in doubt, also for the owner after next. A missing
 * commit is left alone until a bootstrap, which puts its partition in doubt as well. */
static void
test_foreign_and_missing(void **state)
{
    struct site site;
    struct member *member;
    struct answer answer;

    (void)state;
    site_init(&site, "foreign", 2);
    send_numbers(site.in[EW_LANE_ENROLLMENT], 0, 1, 0, 6);
    send_numbers(site.in[EW_LANE_ENROLLMENT], 1, 1, 0, 6);
    force_commit(&site, EW_LANE_ENROLLMENT, 0, 2, "by hand");
    member = member_start(&site, HOLD, 0);
    member_wait(member, &member->record_count, 4);
    send_numbers(site.in[EW_LANE_ENROLLMENT], 0, 1, 6, 2);
    member_wait(member, &member->record_count, 6);
    assert_int_equal(member->doubt_seen, 4);
    assert_true(member_find(member, 0, 5)->doubt);
    assert_false(member_find(member, 0, 6)->doubt);
    assert_int_equal(member_read(member, &member->adopted), 1); /* the others have no commit */
    answer = member_commit(member, member_find(member, 0, 2), EW_MARK_DONE, 0, NULL, 0);
    assert_int_equal(answer.result, EW_COMMITTED);
    member_stop(member);

    site_bootstrap(&site);
    member = member_start(&site, HOLD, 0);
    member_wait(member, &member->record_count, 11);
    assert_int_equal(member->doubt_seen, 3 + 6);
    member_stop(member);
}

static void
test_base_outside_the_log(void **state)
{
    struct site site;
    struct member *member;
    struct seen seen;

    (void)state;
    site_start(&site, "outside", 3);
    for (int i = 0; i < 3; i++)
        send_numbers(site.in[EW_LANE_ENROLLMENT], i, 1, 0, 6);
    site_delete_records(site.in[EW_LANE_ENROLLMENT], 0, 3);
    force_commit(&site, EW_LANE_ENROLLMENT, 1, 100, NULL);
    member = member_start(&site, ANSWER, 0);
    member_wait(member, &member->adopted, 7);
    member_wait(member, &member->committed, 6);
    assert_false(member_reaches(member, &member->adopted, 8, 1000));
    assert_false(member_owns(member, 0));
    assert_false(member_owns(member, 1));
    AWAIT(member_stats(member).partitions_alone == 2);
    AWAIT(is_left_alone(&site, 0, "base-before-log-start"));
    AWAIT(is_left_alone(&site, 1, "base-after-log-end"));
    member_stop(member);
    see_commit(&site, EW_LANE_ENROLLMENT, 0, &seen);
    assert_int_equal(seen.base, 0);
    ew_offset_map_free(seen.map);
    see_commit(&site, EW_LANE_ENROLLMENT, 1, &seen);
    assert_int_equal(seen.base, 100);
}

/* What was committed while nobody listened: the commit appears after the assignment, and the
 * fetcher, which has given up, is sent to the base. */
static void
test_commit_appears_later(void **state)
{
    struct site site;
    struct member *member;
    rd_kafka_t *rk;

    (void)state;
    site_init(&site, "later", 1);
    send_numbers(site.in[EW_LANE_ENROLLMENT], 0, 1, 0, 5);
    member = member_start(&site, HOLD, 0);
    sleep_ms(4000);
    assert_int_equal(member_read(member, &member->adopted), 0);
    rk = open_commit(&site, 0, 1);
    assert_null(rd_kafka_commit_transaction(rk, PATIENCE_MS));
    member_wait(member, &member->record_count, 4);
    assert_non_null(member_find(member, 0, 1));
    member_stop(member);
    rd_kafka_destroy(rk);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adopter_skips_and_flags),
        cmocka_unit_test(test_newer_map_is_left_alone),
        cmocka_unit_test(test_foreign_and_missing),
        cmocka_unit_test(test_base_outside_the_log),
        cmocka_unit_test(test_commit_appears_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
