/*
 * What the command line asks, on a real broker: whether it and its topics are fit, and the group's
 * first commits; and that nothing starts on what is unfit. The linker wraps the call that
 * initialises a transactional id, to count it.
 */
#include <stdio.h>
#include <string.h>

#include "clients.h"
#include "harness.h"
#include "member.h"
#include "witness.h"

static atomic_int initialised;

rd_kafka_error_t *__real_rd_kafka_init_transactions(rd_kafka_t *rk, int timeout_ms);
rd_kafka_error_t *__wrap_rd_kafka_init_transactions(rd_kafka_t *rk, int timeout_ms);

rd_kafka_error_t *
__wrap_rd_kafka_init_transactions(rd_kafka_t *rk, int timeout_ms)
{
    atomic_fetch_add(&initialised, 1);
    return __real_rd_kafka_init_transactions(rk, timeout_ms);
}

struct problems {
    int count;
    char names[16][40];
    char fields[16][64];
};

static void
on_problem(void *arg, const struct ew_err *err)
{
    struct problems *problems = arg;

    assert_true(problems->count < 16);
    snprintf(problems->names[problems->count], 40, "%s", err->problem);
    snprintf(problems->fields[problems->count++], 64, "%s", err->field);
}

static bool
names(const struct problems *problems, const char *problem)
{
    for (int i = 0; i < problems->count; i++) {
        if (strcmp(problems->names[i], problem) == 0)
            return true;
    }
    return false;
}

static void
test_check(void **state)
{
    struct site site;
    struct problems problems = {.count = 0};
    struct ew_pair pair = {"isolation.level", "read_uncommitted"};
    struct ew_pair wrong[] = {
        {"linger.ms", "soon"}, {"client.rack", "a"}, {"no.such.property", "b"}};

    (void)state;
    site_init(&site, "check", 2);
    atomic_store(&initialised, 0);
    assert_int_equal(ew_kafka_check(&site.options, 10000, on_problem, &problems), 0);
    assert_int_equal(problems.count, 0);
    assert_int_equal(atomic_load(&initialised), 0); /* it would fence a worker of that name */

    site_set_config(site.out[EW_TOPIC_INFLIGHT], "min.compaction.lag.ms", "43200000");
    site_set_config(site.out[EW_TOPIC_STATE], "delete.retention.ms", "3599999");
    (void)ew_kafka_check(&site.options, 10000, on_problem, &problems);
    assert_true(names(&problems, "topic-compaction-lag"));
    assert_true(names(&problems, "topic-delete-retention"));
    problems.count = 0;
    site_set_config(site.out[EW_TOPIC_STATE], "cleanup.policy", "compact,delete");
    site_set_config(site.out[EW_TOPIC_EVENTS], "max.message.bytes", "1000000");
    site_set_config(site.out[EW_TOPIC_DEAD_LETTERS], "unclean.leader.election.enable", "true");
    site.options.out[EW_TOPIC_PARKED] = "no-such-topic";
    site.options.out[EW_TOPIC_INFLIGHT] = site.out[EW_TOPIC_ACCOUNT];
    (void)ew_kafka_check(&site.options, 10000, on_problem, &problems);
    assert_true(names(&problems, "topic-missing"));
    assert_true(names(&problems, "topic-not-compacted"));
    assert_true(names(&problems, "topic-record-size"));
    assert_true(names(&problems, "topic-timestamps"));
    assert_true(names(&problems, "topic-unclean-election"));
    assert_true(names(&problems, "partitions-differ"));

    problems.count = 0;
    site.options.properties = &pair;
    site.options.property_count = 1;
    assert_int_equal(ew_kafka_check(&site.options, 10000, on_problem, &problems), 1);
    assert_string_equal(problems.names[0], "kafka-property-reserved");
    assert_string_equal(problems.fields[0], "isolation.level");

    problems.count = 0;
    site.options.properties = wrong;
    site.options.property_count = 3;
    assert_int_equal(ew_kafka_check(&site.options, 10000, on_problem, &problems), 2);
    assert_string_equal(problems.fields[0], "linger.ms");
    assert_string_equal(problems.fields[1], "no.such.property");

    problems.count = 0;
    site.options.property_count = 0;
    site.options.bootstrap = "127.0.0.1:1";
    assert_int_equal(ew_kafka_check(&site.options, 2000, on_problem, &problems), 1);
    assert_string_equal(problems.names[0], "kafka-unreachable");
}

/* It can be described, so everything else looks well. */
static void
test_check_may_read(void **state)
{
    struct site site;
    struct problems problems = {.count = 0};

    (void)state;
    site_init(&site, "mayread", 2);
    send_numbers(site.in[EW_LANE_ENROLLMENT], 0, 1, 0, 10);
    site_deny(RD_KAFKA_RESOURCE_TOPIC, site.in[EW_LANE_BULK], RD_KAFKA_ACL_OPERATION_READ);
    assert_int_equal(ew_kafka_check(&site.options, 10000, on_problem, &problems), 1);
    assert_int_equal(problems.count, 1);
    assert_string_equal(problems.names[0], "topic-unreadable");
    assert_string_equal(problems.fields[0], site.in[EW_LANE_BULK]);

    site_allow_all(RD_KAFKA_RESOURCE_TOPIC, site.in[EW_LANE_BULK]);
    assert_int_equal(ew_kafka_check(&site.options, 10000, on_problem, &problems), 0);
}

static void
assert_refused(struct site *site, const char *problem, const char *field)
{
    struct ew_intake_events events = {.arg = NULL};
    struct ew_kafka *kafka = NULL;
    struct ew_loop *loop;
    struct ew_err err;

    assert_int_equal(ew_loop_new(&ew_clock_system, 1, &loop, &err), EW_OK);
    assert_int_equal(ew_kafka_new(&site->options, &ew_clock_system, loop, &events, &kafka, &err),
                     EW_HALT);
    assert_null(kafka);
    assert_string_equal(err.problem, problem);
    assert_string_equal(err.field, field);
    ew_loop_free(loop);
}

/* Nothing starts on settings or topics that would break a promise. */
static void
test_start_refuses(void **state)
{
    struct site site;
    struct ew_pair pairs[] = {
        {"isolation.level", "read_uncommitted"}, {"enable.auto.commit", "true"},
        {"auto.offset.reset", "latest"},         {"retry.backoff.ms", "100"},
        {"group.instance.id", "fixed"},          {"transactional.id", "mine"},
    };

    (void)state;
    site_init(&site, "refuses", 2);
    site.options.property_count = 1;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        site.options.properties = &pairs[i];
        assert_refused(&site, "kafka-property-reserved", pairs[i].name);
    }
    site.options.property_count = 0;
    site_set_config(site.out[EW_TOPIC_DEAD_LETTERS], "max.message.bytes", "1065535");
    assert_refused(&site, "topic-record-size", site.out[EW_TOPIC_DEAD_LETTERS]);
    site_set_config(site.out[EW_TOPIC_DEAD_LETTERS], "max.message.bytes", "1065536");
    site.options.out[EW_TOPIC_INFLIGHT] = site.out[EW_TOPIC_STATE]; /* one partition */
    assert_refused(&site, "partitions-differ", site.out[EW_TOPIC_RESUME]);
}

static void
test_bootstrap(void **state)
{
    struct site site;
    struct member *member;
    struct seen seen;
    struct ew_err err;
    enum ew_group_state group;

    (void)state;
    site_init(&site, "bootstrap", 2);
    assert_int_equal(ew_kafka_group_state(&site.options, 20000, &group, &err), EW_OK);
    assert_int_equal(group, EW_GROUP_NEW);
    force_commit(&site, EW_LANE_ENROLLMENT, 0, 0, "mine");
    assert_int_equal(ew_kafka_group_state(&site.options, 20000, &group, &err), EW_OK);
    assert_int_equal(group, EW_GROUP_PARTIAL);

    member = member_start(&site, HOLD, 0);
    member_wait(member, &member->adopted, 1);
    assert_int_equal(ew_kafka_bootstrap(&site.options, 20000, &err), EW_HALT);
    assert_string_equal(err.problem, "group-has-members");
    member_stop(member);

    /* A commit that is missing beside others may have been lost. */
    send_numbers(site.in[EW_LANE_ENROLLMENT], 1, 1, 0, 3);
    site_bootstrap(&site);
    assert_int_equal(ew_kafka_group_state(&site.options, 20000, &group, &err), EW_OK);
    assert_int_equal(group, EW_GROUP_READY);
    see_commit(&site, EW_LANE_ENROLLMENT, 0, &seen);
    ew_offset_map_free(seen.map);
    see_commit(&site, EW_LANE_ENROLLMENT, 1, &seen);
    assert_int_equal(seen.kind, EW_MAP_OURS);
    assert_int_equal(seen.base, 0);
    assert_int_equal(ew_offset_map_open(seen.map), 0);
    assert_int_equal(ew_offset_map_doubt(seen.map), 3);
    ew_offset_map_free(seen.map);
    member = member_start(&site, HOLD, 0);
    member_wait(member, &member->record_count, 3);
    assert_int_equal(member->doubt_seen, 3);
    member_stop(member);
}

/* The first commits of all: nobody was here before. */
static void
test_first_bootstrap(void **state)
{
    struct site site;
    struct seen seen;

    (void)state;
    site_init(&site, "first", 1);
    send_numbers(site.in[EW_LANE_ENROLLMENT], 0, 1, 0, 3);
    site_bootstrap(&site);
    see_commit(&site, EW_LANE_ENROLLMENT, 0, &seen);
    assert_int_equal(seen.kind, EW_MAP_OURS);
    assert_int_equal(seen.base, 0);
    assert_int_equal(ew_offset_map_doubt(seen.map), 0);
    ew_offset_map_free(seen.map);
}

/* No commit at all, but an answer: all commits were lost. */
static void
test_bootstrap_after_a_loss(void **state)
{
    struct site site;
    struct seen seen;
    struct ew_err err;
    enum ew_group_state group;

    (void)state;
    site_init(&site, "loss", 1);
    send_numbers(site.in[EW_LANE_ENROLLMENT], 0, 1, 0, 3);
    send_numbers(site.out[EW_TOPIC_EVENTS], 0, 1, 0, 1);
    assert_int_equal(ew_kafka_group_state(&site.options, 20000, &group, &err), EW_OK);
    assert_int_equal(group, EW_GROUP_LOST);
    site_bootstrap(&site);
    see_commit(&site, EW_LANE_ENROLLMENT, 0, &seen);
    assert_int_equal(seen.kind, EW_MAP_OURS);
    assert_int_equal(seen.base, 0);
    assert_int_equal(ew_offset_map_doubt(seen.map), 3);
    ew_offset_map_free(seen.map);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),           cmocka_unit_test(test_check_may_read),
        cmocka_unit_test(test_start_refuses),   cmocka_unit_test(test_bootstrap),
        cmocka_unit_test(test_first_bootstrap), cmocka_unit_test(test_bootstrap_after_a_loss),
    };

    if (!harness_ready(argc, argv))
        return EXIT_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
