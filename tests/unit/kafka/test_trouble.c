/*
 * What the errors of a transaction mean, by table, and how long a closed topic is borne with.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "txn_private.h"

enum meaning { PASSES, REFUSED, MAY_LAST, FORBIDDEN };

static const struct {
    rd_kafka_resp_err_t code;
    enum meaning meaning;
} rows[] = {
    {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, REFUSED},
    {RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE, REFUSED},
    {RD_KAFKA_RESP_ERR_INVALID_RECORD, REFUSED},
    {RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, REFUSED},
    {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, MAY_LAST},
    {RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, MAY_LAST},
    {RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, MAY_LAST},
    {RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, FORBIDDEN},
    {RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, FORBIDDEN},
    {RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, FORBIDDEN},
    {RD_KAFKA_RESP_ERR__TIMED_OUT, PASSES},
    {RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, PASSES},
    {RD_KAFKA_RESP_ERR__PURGE_QUEUE, PASSES},
    {RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, PASSES},
    {RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, PASSES},
    {RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, PASSES},
    {RD_KAFKA_RESP_ERR__FENCED, PASSES},
};

static void
test_meanings(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if ((ew_txn_class(rows[i].code) == EW_TXN_REFUSED) != (rows[i].meaning == REFUSED) ||
            ew_txn_may_last(rows[i].code) != (rows[i].meaning == MAY_LAST) ||
            ew_txn_forbidden(rows[i].code) != (rows[i].meaning == FORBIDDEN))
            fail_msg("%s", rd_kafka_err2name(rows[i].code));
    }
}

/* Attempts of 100 ms, a second apart, from `from` to `to`; how many were said to last. */
static int
attempts(struct ew_trouble *trouble, int64_t from, int64_t to)
{
    int lasting = 0;

    for (int64_t at = from; at < to; at += 1000)
        lasting += ew_trouble_lasts(trouble, at, at + 100);
    return lasting;
}

static void
test_a_glitch_is_borne_with(void **state)
{
    struct ew_trouble trouble = {.there = false};

    (void)state;
    assert_int_equal(attempts(&trouble, 5000000, 5000000 + 31000), 0);
    assert_int_equal(attempts(&trouble, 5000000 + 31000, 5000000 + 35000), 4);
}

static void
test_what_lasts_is_known_at_once(void **state)
{
    struct ew_trouble trouble = {.there = false};

    (void)state;
    (void)attempts(&trouble, 1000, 40000);
    assert_int_equal(attempts(&trouble, 340000, 342000), 2);   /* five minutes later */
    assert_int_equal(attempts(&trouble, 1000000, 1005000), 0); /* eleven */
}

/* Two glitches far apart are no trouble that lasts. */
static void
test_gaps_count_for_nothing(void **state)
{
    struct ew_trouble trouble = {.there = false};

    (void)state;
    for (int64_t at = 0; at < 10; at++)
        assert_int_equal(attempts(&trouble, at * 30000, at * 30000 + 5000), 0);
}

enum { A = 1, B = 2, C = 4 };

/* A and B fail together for long, then A goes through: B alone is what lasts. */
static void
test_each_has_its_own(void **state)
{
    struct ew_trouble troubles[3] = {{.there = false}};
    int64_t at = 1000;

    (void)state;
    for (; at < 40000; at += 1000)
        (void)ew_troubles_last(troubles, A | B, at, at + 100);
    ew_troubles_clear(troubles, A);
    assert_false(ew_troubles_last(troubles, A | C, at, at + 100));
    assert_true(ew_troubles_last(troubles, B | C, at, at + 100));
}

/* As long as a transaction may take, one after the other; when it was left alone first, or -1. */
static int64_t
timeouts(struct ew_mutes *mutes, int32_t partition, int64_t from, int64_t to)
{
    int64_t told = -1;

    for (int64_t at = from; at < to; at += 10000) {
        if (ew_mutes_note(mutes, EW_TOPIC_EVENTS, partition, at, at + 10000) && told < 0)
            told = at + 10000;
    }
    return told;
}

static void
test_a_mute_partition_rests(void **state)
{
    struct ew_mutes mutes = {.all = {{.rests_ms = 0}}};
    int64_t at = timeouts(&mutes, 3, 1000, 61000);

    (void)state;
    assert_int_equal(at, 51000);
    assert_true(ew_mutes_rest(&mutes, EW_TOPIC_EVENTS, 3, at));
    assert_true(ew_mutes_rest(&mutes, EW_TOPIC_EVENTS, -1, at));
    assert_false(ew_mutes_rest(&mutes, EW_TOPIC_EVENTS, 2, at));
    assert_false(ew_mutes_rest(&mutes, EW_TOPIC_STATE, 3, at));

    at = 61000 + 60000; /* after its rest, one attempt and no more */
    assert_false(ew_mutes_rest(&mutes, EW_TOPIC_EVENTS, 3, at));
    assert_int_equal(timeouts(&mutes, 3, at, at + 1), at + 10000);
    assert_true(ew_mutes_rest(&mutes, EW_TOPIC_EVENTS, 3, at + 10000));
    ew_mutes_clear(&mutes, EW_TOPIC_EVENTS, 3);
    assert_false(ew_mutes_rest(&mutes, EW_TOPIC_EVENTS, -1, at + 10000));
}

/* More than there is room for: the oldest gives way. */
static void
test_many_mutes(void **state)
{
    struct ew_mutes mutes = {.all = {{.rests_ms = 0}}};

    (void)state;
    for (int at = 1; at < 60; at += 10) {
        for (int i = 0; i < EW_MUTES; i++)
            (void)ew_mutes_note(&mutes, EW_TOPIC_EVENTS, i, at * 1000, (at + 10) * 1000 + i);
    }
    for (int i = 0; i < EW_MUTES; i++)
        assert_true(ew_mutes_rest(&mutes, EW_TOPIC_EVENTS, i, 62000));
    assert_false(ew_mutes_note(&mutes, EW_TOPIC_STATE, 0, 62000, 72000));
    assert_false(ew_mutes_rest(&mutes, EW_TOPIC_EVENTS, 0, 72000));
    assert_true(ew_mutes_rest(&mutes, EW_TOPIC_EVENTS, 1, 72000));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_meanings),
        cmocka_unit_test(test_a_glitch_is_borne_with),
        cmocka_unit_test(test_what_lasts_is_known_at_once),
        cmocka_unit_test(test_gaps_count_for_nothing),
        cmocka_unit_test(test_each_has_its_own),
        cmocka_unit_test(test_a_mute_partition_rests),
        cmocka_unit_test(test_many_mutes),
    };

    return cmocka_run_group_tests_name("kafka: trouble", tests, NULL, NULL);
}
