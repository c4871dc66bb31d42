/*
 * Readers, on a real broker. The linker wraps the call that asks a consumer's handle for news, to
 * end one.
 */
#include <string.h>

#include "clients.h"
#include "harness.h"
#include "kafka_private.h"
#include "member.h"

/* The member's own: the next other handle that is asked has a fatal error. NULL = none. */
static rd_kafka_t *_Atomic spared;

rd_kafka_message_t *__real_rd_kafka_consumer_poll(rd_kafka_t *rk, int timeout_ms);
rd_kafka_message_t *__wrap_rd_kafka_consumer_poll(rd_kafka_t *rk, int timeout_ms);

rd_kafka_message_t *
__wrap_rd_kafka_consumer_poll(rd_kafka_t *rk, int timeout_ms)
{
    rd_kafka_t *own = atomic_load(&spared);

    if (own != NULL && rk != own && atomic_compare_exchange_strong(&spared, &own, NULL))
        rd_kafka_test_fatal_error(rk, RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, "as a test wants it");
    return __real_rd_kafka_consumer_poll(rk, timeout_ms);
}

struct reading {
    struct member *member;
    struct ew_reader_options options;
    struct ew_reader *reader;
    enum ew_fault fault;
    bool pull; /* ask for the next batch at once */
    atomic_int records, batches, largest, at_mark, failed;
    atomic_llong last_offset;
    char keys[64][32];
    bool tombstone;
};

static void
on_batch(void *arg, const struct ew_read_record *records, size_t count, bool at_mark, bool failed)
{
    struct reading *reading = arg;

    for (size_t i = 0; i < count; i++) {
        int n = atomic_load(&reading->records);

        if (n < 64 && records[i].key_len < 32)
            memcpy(reading->keys[n], records[i].key, records[i].key_len);
        reading->tombstone = records[i].value == NULL;
        atomic_store(&reading->last_offset, records[i].offset);
        atomic_fetch_add(&reading->records, 1);
    }
    if ((int)count > atomic_load(&reading->largest))
        atomic_store(&reading->largest, (int)count);
    atomic_fetch_add(&reading->batches, 1);
    atomic_store(&reading->at_mark, at_mark);
    atomic_store(&reading->failed, failed);
    if (reading->pull && !failed && (!at_mark || reading->options.follow))
        ew_reader_next(reading->reader);
}

static void
do_start(void *arg)
{
    struct reading *reading = arg;
    struct ew_err err;

    reading->options.batch = on_batch;
    reading->options.arg = reading;
    reading->fault =
        ew_reader_start(reading->member->kafka, &reading->options, &reading->reader, &err);
}

static void
do_stop(void *arg)
{
    struct reading *reading = arg;

    ew_reader_stop(reading->reader);
}

static void
do_next(void *arg)
{
    struct reading *reading = arg;

    ew_reader_next(reading->reader);
}

static void
wait_for(const atomic_int *value, int least)
{
    AWAIT(atomic_load(value) >= least);
}

static void
send_record(rd_kafka_t *rk, const char *topic, int partition, const char *key)
{
    assert_int_equal(rd_kafka_producev(rk, RD_KAFKA_VTYPE_TOPIC, topic, RD_KAFKA_VTYPE_PARTITION,
                                       partition, RD_KAFKA_VTYPE_KEY, key, strlen(key),
                                       RD_KAFKA_VTYPE_VALUE, "v", (size_t)1, RD_KAFKA_VTYPE_END),
                     0);
    rd_kafka_flush(rk, PATIENCE_MS);
}

/* The mark lies beyond an open transaction: it is reached only when that has ended, and what was
 * aborted is never seen. */
static void
test_mark_waits_for_transactions(void **state)
{
    struct site site;
    struct member *member;
    struct reading reading = {.pull = true};
    rd_kafka_t *rk;

    (void)state;
    site_init(&site, "mark", 2);
    member = member_start(&site, HOLD, 0);
    rk = plain_producer(site.out[EW_TOPIC_INFLIGHT]);
    assert_null(rd_kafka_init_transactions(rk, PATIENCE_MS));
    assert_null(rd_kafka_begin_transaction(rk));
    send_record(rk, site.out[EW_TOPIC_INFLIGHT], 0, "key-1");
    assert_null(rd_kafka_commit_transaction(rk, PATIENCE_MS));
    assert_null(rd_kafka_begin_transaction(rk));
    send_record(rk, site.out[EW_TOPIC_INFLIGHT], 0, "key-2");
    send_record(rk, site.out[EW_TOPIC_INFLIGHT], 1, "key-3");

    reading.member = member;
    reading.options = (struct ew_reader_options){
        .topic = EW_TOPIC_INFLIGHT, .partition = -1, .offset = -1, .follow = true};
    member_call(member, do_start, &reading);
    wait_for(&reading.records, 1);
    sleep_ms(700);
    assert_int_equal(atomic_load(&reading.records), 1);
    assert_int_equal(atomic_load(&reading.at_mark), 0);
    assert_null(rd_kafka_abort_transaction(rk, PATIENCE_MS));
    wait_for(&reading.at_mark, 1);
    assert_int_equal(atomic_load(&reading.records), 1);
    /* following */
    assert_null(rd_kafka_begin_transaction(rk));
    send_record(rk, site.out[EW_TOPIC_INFLIGHT], 1, "key-4");
    assert_null(rd_kafka_commit_transaction(rk, PATIENCE_MS));
    wait_for(&reading.records, 2);
    assert_int_equal(atomic_load(&reading.at_mark), 1);
    assert_string_equal(reading.keys[1], "key-4");
    member_call(member, do_stop, &reading);
    member_stop(member);
    rd_kafka_destroy(rk);
}

static void
test_reads_all_by_batches(void **state)
{
    struct site site;
    struct member *member;
    struct reading reading = {.pull = false};
    int batches;

    (void)state;
    site_init(&site, "all", 3);
    member = member_start(&site, HOLD, 0);
    send_numbers(site.out[EW_TOPIC_INFLIGHT], -1, 3, 0, 3000);
    reading.member = member;
    reading.options =
        (struct ew_reader_options){.topic = EW_TOPIC_INFLIGHT, .partition = -1, .offset = -1};
    member_call(member, do_start, &reading);
    wait_for(&reading.batches, 1);
    sleep_ms(300);
    assert_int_equal(atomic_load(&reading.batches), 1); /* not before it is asked for */
    while (atomic_load(&reading.at_mark) == 0) {
        batches = atomic_load(&reading.batches);
        member_call(member, do_next, &reading);
        wait_for(&reading.batches, batches + 1);
    }
    assert_int_equal(atomic_load(&reading.records), 3000);
    member_call(member, do_stop, &reading);

    /* no more at once than is asked for */
    assert_in_range(atomic_load(&reading.largest), 101, 500);
    memset(&reading, 0, sizeof(reading));
    reading.member = member;
    reading.pull = true;
    reading.options = (struct ew_reader_options){
        .topic = EW_TOPIC_INFLIGHT, .partition = -1, .offset = -1, .most = 100};
    member_call(member, do_start, &reading);
    wait_for(&reading.at_mark, 1);
    assert_int_equal(atomic_load(&reading.records), 3000);
    assert_int_equal(atomic_load(&reading.largest), 100);
    member_call(member, do_stop, &reading);

    /* an empty topic */
    memset(&reading, 0, sizeof(reading));
    reading.member = member;
    reading.options =
        (struct ew_reader_options){.topic = EW_TOPIC_STATE, .partition = -1, .offset = -1};
    member_call(member, do_start, &reading);
    wait_for(&reading.at_mark, 1);
    assert_int_equal(atomic_load(&reading.records), 0);
    member_call(member, do_stop, &reading);
    member_stop(member);
}

static void
test_reads_one_by_offset(void **state)
{
    struct site site;
    struct member *member;
    struct reading reading = {.pull = false};

    (void)state;
    site_init(&site, "byoffset", 2);
    member = member_start(&site, HOLD, 0);
    send_numbers(site.out[EW_TOPIC_INFLIGHT], 1, 1, 0, 20);
    reading.member = member;
    reading.options = (struct ew_reader_options){
        .topic = EW_TOPIC_INFLIGHT, .partition = 1, .offset = 7, .limit = 1};
    member_call(member, do_start, &reading);
    wait_for(&reading.batches, 1);
    assert_int_equal(atomic_load(&reading.records), 1);
    assert_int_equal(atomic_load(&reading.last_offset), 7);
    assert_string_equal(reading.keys[0], "key-7");
    member_call(member, do_stop, &reading);

    reading.options.offset = 1000; /* not yet written */
    member_call(member, do_start, &reading);
    wait_for(&reading.batches, 2);
    assert_int_equal(atomic_load(&reading.records), 1);
    assert_int_equal(atomic_load(&reading.at_mark), 1);
    assert_int_equal(atomic_load(&reading.failed), 0);
    member_call(member, do_stop, &reading);

    reading.options.partition = 9;
    member_call(member, do_start, &reading);
    assert_int_equal(reading.fault, EW_BUG);
    reading.options.partition = 0;
    reading.options.offset = -1;
    reading.options.limit = 0;
    reading.options.follow = true;
    reading.pull = true;
    member_call(member, do_start, &reading); /* still following when the room stops */
    member_stop(member);
    ew_reader_stop(reading.reader);
}

/* Who follows is told, and begins anew: with a handle that works. */
static void
test_a_handle_that_is_done_for_is_given_up(void **state)
{
    struct site site;
    struct member *member;
    struct reading reading = {.pull = true};
    rd_kafka_t *rk;

    (void)state;
    site_init(&site, "doomed", 2);
    member = member_start(&site, HOLD, 0);
    rk = plain_producer(site.out[EW_TOPIC_INFLIGHT]);
    assert_null(rd_kafka_init_transactions(rk, PATIENCE_MS));
    assert_null(rd_kafka_begin_transaction(rk));
    send_record(rk, site.out[EW_TOPIC_INFLIGHT], 0, "key-1");
    assert_null(rd_kafka_commit_transaction(rk, PATIENCE_MS));
    reading.member = member;
    reading.options = (struct ew_reader_options){
        .topic = EW_TOPIC_INFLIGHT, .partition = 0, .offset = -1, .follow = true};
    member_call(member, do_start, &reading);
    wait_for(&reading.records, 1);

    atomic_store(&spared, member->kafka->consumer);
    wait_for(&reading.failed, 1);
    member_call(member, do_stop, &reading);
    assert_null(rd_kafka_begin_transaction(rk));
    send_record(rk, site.out[EW_TOPIC_INFLIGHT], 0, "key-2");
    assert_null(rd_kafka_commit_transaction(rk, PATIENCE_MS));
    member_call(member, do_start, &reading);
    wait_for(&reading.records, 3);
    assert_string_equal(reading.keys[1], "key-1");
    assert_string_equal(reading.keys[2], "key-2");
    assert_int_equal(atomic_load(&reading.failed), 0);
    member_call(member, do_stop, &reading);
    member_stop(member);
    rd_kafka_destroy(rk);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mark_waits_for_transactions),
        cmocka_unit_test(test_reads_all_by_batches),
        cmocka_unit_test(test_reads_one_by_offset),
        cmocka_unit_test(test_a_handle_that_is_done_for_is_given_up),
    };

    if (!harness_ready(argc, argv))
        return EXIT_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
