/*
 * Proof of what topics must be like to survive the loss of a broker, by the number of brokers, and
 * of how much may be written to them at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "topics_private.h"

struct found {
    int count;
    char problem[64], field[64];
};

static struct ew_kafka_options options;
static struct ew_topics topics;

static void
on_problem(void *arg, const struct ew_err *err)
{
    struct found *found = arg;

    found->count++;
    (void)snprintf(found->problem, sizeof(found->problem), "%s", err->problem);
    (void)snprintf(found->field, sizeof(found->field), "%s", err->field);
    assert_non_null(err->advice);
}

static void
assert_problem(const char *problem, const char *field)
{
    struct found found = {.count = 0};

    assert_int_equal(ew_topics_judge(&topics, &options, on_problem, &found),
                     problem == NULL ? 0 : 1);
    assert_int_equal(found.count, problem == NULL ? 0 : 1);
    if (problem != NULL) {
        assert_string_equal(found.problem, problem);
        assert_string_equal(found.field, field);
    }
}

/* Topics that have nothing wrong, on so many brokers. */
static void
good(int brokers, int replicas, int min_insync)
{
    static const char *const in[] = {"revocations", "resume", "enrollments", "renewals", "bulk"};
    static const char *const out[] = {"events",  "state",  "inflight",    "resume",
                                      "account", "parked", "dead-letters"};
    struct ew_topic_facts facts = {.partitions = 8,
                                   .max_message_bytes = 2 << 20,
                                   .configured = true,
                                   .compacted = true,
                                   .append_time = true,
                                   .compaction_lag_ms = 86400000,
                                   .delete_retention_ms = 86400000,
                                   .replicas = replicas,
                                   .min_insync = min_insync};

    memset(&topics, 0, sizeof(topics));
    for (int i = 0; i < EW_LANE_COUNT; i++) {
        options.in[i] = in[i];
        topics.in[i] = facts;
    }
    for (int i = 0; i < EW_TOPIC_COUNT; i++) {
        options.out[i] = out[i];
        topics.out[i] = facts;
    }
    for (int i = 0; i < EW_ANCHOR_COUNT; i++)
        topics.anchors[i] = facts;
    topics.brokers = brokers;
    topics.input_max = 1 << 20;
}

static void
as_many_copies_as_there_are_brokers(void **state)
{
    (void)state;
    good(1, 1, 1);
    assert_problem(NULL, NULL);
    good(2, 2, 1);
    assert_problem(NULL, NULL);
    good(3, 3, 2);
    assert_problem(NULL, NULL);
    good(9, 3, 2);
    assert_problem(NULL, NULL);
    topics.anchors[EW_ANCHOR_OFFSETS].replicas = 2;
    assert_problem("topic-replicas", "__consumer_offsets");
    good(3, 3, 2);
    topics.anchors[EW_ANCHOR_TRANSACTIONS].min_insync = 1;
    assert_problem("topic-replicas", "__transaction_state");
    good(2, 2, 1);
    topics.out[EW_TOPIC_INFLIGHT].replicas = 1;
    assert_problem("topic-replicas", "inflight");
}

static void
no_leader_that_lags(void **state)
{
    (void)state;
    good(3, 3, 2);
    topics.out[EW_TOPIC_STATE].unclean = true;
    assert_problem("topic-unclean-election", "state");
    good(3, 3, 2);
    topics.anchors[EW_ANCHOR_OFFSETS].unclean = true;
    assert_problem("topic-unclean-election", "__consumer_offsets");
}

/* The brokers' own are made at their first use, and may be hidden from us; what goes in is others'.
 */
static void
what_cannot_be_judged(void **state)
{
    (void)state;
    good(3, 3, 2);
    topics.anchors[EW_ANCHOR_OFFSETS] = (struct ew_topic_facts){.partitions = 0};
    topics.anchors[EW_ANCHOR_TRANSACTIONS] = (struct ew_topic_facts){.partitions = 50};
    topics.in[EW_LANE_ENROLLMENT].replicas = 1;
    assert_problem(NULL, NULL);
}

/* One producer writes to all of them. */
static void
the_smallest_topic_bounds_batches(void **state)
{
    (void)state;
    good(3, 3, 2);
    assert_int_equal(ew_topics_batch_max(&topics), (2 << 20) - EW_BATCH_SPARE);
    topics.in[EW_LANE_ENROLLMENT].max_message_bytes = 1 << 10;
    topics.out[EW_TOPIC_PARKED].max_message_bytes = 320 << 10;
    assert_int_equal(ew_topics_batch_max(&topics), (320 << 10) - EW_BATCH_SPARE);
    topics.out[EW_TOPIC_EVENTS].max_message_bytes = 300 << 10;
    assert_int_equal(ew_topics_batch_max(&topics), (300 << 10) - EW_BATCH_SPARE);
    topics.out[EW_TOPIC_ACCOUNT].max_message_bytes = 1000;
    assert_int_equal(ew_topics_batch_max(&topics), 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_many_copies_as_there_are_brokers),
        cmocka_unit_test(no_leader_that_lags),
        cmocka_unit_test(what_cannot_be_judged),
        cmocka_unit_test(the_smallest_topic_bounds_batches),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
