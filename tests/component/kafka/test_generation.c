/*
 * A broker that refuses every commit for its generation, for as long as it likes. The linker wraps
 * rd_kafka_send_offsets_to_transaction: the generation that is sent is not the group's, and the
 * refusal is the broker's own.
 */
#include <stdlib.h>
#include <string.h>

#include "clients.h"
#include "harness.h"
#include "member.h"
#include "witness.h"

enum {
    COUNT = 600,
    REFUSED_MS = 8000, /* EW_REFUSED_MS: longer */
    NEVER = 1000,      /* generations later */
    PARTITIONS = 7,    /* of all lanes, with two of resume and of enrolment */
};

static const char MARK[] = "CGMDv2:"; /* how librdkafka's form of group metadata begins */

static atomic_bool refusing;
static atomic_int refused, taken;

rd_kafka_error_t *__real_rd_kafka_send_offsets_to_transaction(
    rd_kafka_t *rk, const rd_kafka_topic_partition_list_t *offsets,
    const rd_kafka_consumer_group_metadata_t *metadata, int timeout_ms);
rd_kafka_error_t *__wrap_rd_kafka_send_offsets_to_transaction(
    rd_kafka_t *rk, const rd_kafka_topic_partition_list_t *offsets,
    const rd_kafka_consumer_group_metadata_t *metadata, int timeout_ms);

/* The same member in another generation: after the mark come generation, group and member id. */
static rd_kafka_consumer_group_metadata_t *
misdated(const rd_kafka_consumer_group_metadata_t *metadata)
{
    rd_kafka_consumer_group_metadata_t *made;
    void *data = NULL;
    size_t len = 0;
    int32_t generation;
    const char *group;

    assert_null(rd_kafka_consumer_group_metadata_write(metadata, &data, &len));
    assert_memory_equal(data, MARK, sizeof(MARK) - 1);
    memcpy(&generation, (char *)data + sizeof(MARK) - 1, sizeof(generation));
    group = (char *)data + sizeof(MARK) - 1 + sizeof(generation);
    made = rd_kafka_consumer_group_metadata_new_with_genid(group, generation + NEVER,
                                                           group + strlen(group) + 1, NULL);
    rd_kafka_mem_free(NULL, data);
    return made;
}

rd_kafka_error_t *
__wrap_rd_kafka_send_offsets_to_transaction(rd_kafka_t *rk,
                                            const rd_kafka_topic_partition_list_t *offsets,
                                            const rd_kafka_consumer_group_metadata_t *metadata,
                                            int timeout_ms)
{
    rd_kafka_consumer_group_metadata_t *other;
    rd_kafka_error_t *error;

    if (!atomic_load(&refusing)) {
        error = __real_rd_kafka_send_offsets_to_transaction(rk, offsets, metadata, timeout_ms);
        atomic_fetch_add(&taken, error == NULL);
        return error;
    }
    other = misdated(metadata);
    error = __real_rd_kafka_send_offsets_to_transaction(rk, offsets, other, timeout_ms);
    rd_kafka_consumer_group_metadata_destroy(other);
    if (error != NULL && rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION)
        atomic_fetch_add(&refused, 1);
    return error;
}

static int
refused_ms(void)
{
    const char *given = getenv("EW_REFUSED_MS");

    return given != NULL ? atoi(given) : REFUSED_MS;
}

/* One transaction may have been past its offsets. Returns how many it let through. */
static int
begin_refusing(void)
{
    atomic_store(&refused, 0);
    atomic_store(&refusing, true);
    AWAIT(atomic_load(&refused) > 0);
    return atomic_load(&taken);
}

/* Nothing is committed meanwhile, nothing given up or done twice, and the membership is kept. */
static void
test_every_commit_is_refused_for_a_while(void **state)
{
    struct site site;
    struct member *member;
    int before;
    int committed;

    (void)state;
    site_start(&site, "generation", 2);
    site.options.session_ms = 6000;
    site.options.partition_items = 40;
    send_numbers(site.in[EW_LANE_ENROLLMENT], -1, 2, 0, COUNT);
    member = member_start(&site, ANSWER, 20);
    member_wait(member, &member->committed, 100);
    before = begin_refusing();
    sleep_ms(500); /* what was committed is told */
    committed = member_read(member, &member->committed);
    sleep_ms(refused_ms());
    assert_int_equal(member_read(member, &member->committed), committed);
    assert_int_equal(atomic_load(&taken), before);
    assert_true(atomic_load(&refused) >= 5);
    assert_true(member_stats(member).fenced >= atomic_load(&refused) - 1);
    atomic_store(&refusing, false);
    await_each_once(&site, COUNT);
    assert_int_equal(member_read(member, &member->fatal), 0);
    assert_int_equal(member_read(member, &member->lost), 0);
    assert_int_equal(member_stats(member).recreated, 0);
    member_stop(member);
}

/* An adoption is refused as anything else: no record is handed out before it is committed. */
static void
test_adoption_is_refused_for_a_while(void **state)
{
    struct site site;
    struct member *member;

    (void)state;
    site_start(&site, "adopting", 2);
    send_numbers(site.in[EW_LANE_ENROLLMENT], -1, 2, 0, COUNT);
    atomic_store(&refused, 0);
    atomic_store(&refusing, true);
    member = member_start(&site, ANSWER, 20);
    AWAIT(atomic_load(&refused) >= 3);
    assert_int_equal(member_read(member, &member->adopted), 0);
    assert_int_equal(member_read(member, &member->intents), 0);
    atomic_store(&refusing, false);
    member_wait(member, &member->adopted, PARTITIONS);
    await_each_once(&site, COUNT);
    assert_int_equal(member_read(member, &member->fatal), 0);
    member_stop(member);
}

/* An epoch rises by a commit: who is refused keeps the one that he has. It stays in the map, for
 * whoever comes next. */
static void
test_a_refused_epoch_does_not_rise(void **state)
{
    struct site site;
    struct member *member;
    uint32_t epoch;

    (void)state;
    site_start(&site, "outgrown", 1);
    member = member_hold(&site, 3);
    epoch = member_epoch(member, 0);
    atomic_store(&refused, 0);
    atomic_store(&refusing, true);
    member_outgrow(member, 0, epoch + 1000);
    AWAIT(atomic_load(&refused) >= 3);
    assert_int_equal(member_epoch(member, 0), epoch);
    atomic_store(&refusing, false);
    AWAIT(member_epoch(member, 0) == epoch + 1001);
    member_outgrow(member, 0, epoch + 999);
    assert_int_equal(
        member_commit(member, member_find(member, 0, 1), EW_MARK_DONE, 0, NULL, 0).result,
        EW_COMMITTED);
    assert_int_equal(member_epoch(member, 0), epoch + 1001);
    member_stop(member);
    member = member_start(&site, HOLD, 0);
    member_wait(member, &member->record_count, 2);
    assert_int_equal(member_epoch(member, 0), epoch + 1002);
    member_stop(member);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_commit_is_refused_for_a_while),
        cmocka_unit_test(test_adoption_is_refused_for_a_while),
        cmocka_unit_test(test_a_refused_epoch_does_not_rise),
    };

    if (!harness_ready(argc, argv))
        return EXIT_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
