/*
 * Proof that a reader passes over nothing that it cannot read, nor waits for it in silence, and
 * that it bears what librdkafka mends by itself. Against the brokers that librdkafka itself plays;
 * what no producer sends is written to them by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "conf_private.h"
#include "reader_private.h"

#include <librdkafka/rdkafka_mock.h>

#define TOPIC "state"

enum {
    RECORDS = 3,
    PATIENCE_MS = 30000,
    API_PRODUCE = 0,
    API_FETCH = 1,
    API_FIND_COORDINATOR = 10,
    GZIP = 1,
};

static struct {
    rd_kafka_t *rk; /* lives among the brokers, and writes to them */
    rd_kafka_mock_cluster_t *cluster;
    struct ew_kafka kafka;
    struct ew_timer timer;
    struct ew_reader *reader;
    size_t records;
    bool at_mark, failed;
} world;

static int
begin(void **state)
{
    struct ew_kafka *kafka = &world.kafka;
    struct ew_handle_options probe = {.handle = EW_HANDLE_PROBE};
    rd_kafka_conf_t *quiet = rd_kafka_conf_new();

    (void)state;
    memset(&world, 0, sizeof(world));
    (void)rd_kafka_conf_set(quiet, "log_level", "0", NULL, 0);
    world.rk = rd_kafka_new(RD_KAFKA_PRODUCER, quiet, NULL, 0);
    world.cluster = rd_kafka_mock_cluster_new(world.rk, 1);
    (void)rd_kafka_mock_topic_create(world.cluster, TOPIC, 2, 1);
    (void)rd_kafka_brokers_add(world.rk, rd_kafka_mock_cluster_bootstraps(world.cluster));
    kafka->options = (struct ew_kafka_options){
        .bootstrap = rd_kafka_mock_cluster_bootstraps(world.cluster), .group = "g"};
    kafka->options.out[EW_TOPIC_STATE] = TOPIC;
    atomic_store(&kafka->partitions[EW_TOPIC_STATE], 2);
    pthread_mutex_init(&kafka->readers_lock, NULL);
    pthread_cond_init(&kafka->readers_changed, NULL);
    if (ew_loop_new(&ew_clock_system, 1, &kafka->loop, NULL) != EW_OK)
        return -1;
    return ew_handle_new(&kafka->options, &probe, &kafka->probe, NULL) == EW_OK ? 0 : -1;
}

static int
end(void **state)
{
    (void)state;
    ew_timer_cancel(&world.timer);
    ew_reader_stop(world.reader);
    ew_readers_stop(&world.kafka);
    ew_loop_free(world.kafka.loop);
    rd_kafka_destroy(world.kafka.probe);
    rd_kafka_mock_cluster_destroy(world.cluster);
    rd_kafka_destroy(world.rk);
    return 0;
}

static void
write_to(int32_t partition, int count)
{
    for (int i = 0; i < count; i++)
        assert_int_equal(rd_kafka_producev(world.rk, RD_KAFKA_VTYPE_TOPIC, TOPIC,
                                           RD_KAFKA_VTYPE_PARTITION, partition, RD_KAFKA_VTYPE_KEY,
                                           "k", (size_t)1, RD_KAFKA_VTYPE_VALUE, "v", (size_t)1,
                                           RD_KAFKA_VTYPE_END),
                         RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_int_equal(rd_kafka_flush(world.rk, PATIENCE_MS), RD_KAFKA_RESP_ERR_NO_ERROR);
}

static void
write_records(void)
{
    write_to(0, RECORDS);
}

/* --- what no producer sends --- */

static void
put_number(struct ew_buf *to, int bytes, int64_t value)
{
    while (bytes-- > 0)
        ew_buf_putc(to, (char)((uint64_t)value >> (8 * bytes)));
}

/* A batch of one record that is nothing: its sum is wrong, and so is whatever it is packed with. */
static void
put_batch(struct ew_buf *to, int packed)
{
    put_number(to, 8, 0);      /* base offset */
    put_number(to, 4, 49 + 8); /* length of what follows */
    put_number(to, 4, 0);      /* leader's epoch */
    put_number(to, 1, 2);      /* version */
    put_number(to, 4, 1);      /* sum */
    put_number(to, 2, packed); /* attributes */
    put_number(to, 4, 0);      /* last offset, from the base */
    put_number(to, 8, 1000);   /* first and last time */
    put_number(to, 8, 1000);
    put_number(to, 8, -1); /* producer, its epoch and sequence */
    put_number(to, 2, -1);
    put_number(to, 4, -1);
    put_number(to, 4, 1); /* records */
    put_number(to, 8, 0);
}

/* A request of version 7. */
static void
put_produce(struct ew_buf *to, int packed)
{
    struct ew_buf batch;

    ew_buf_init(&batch, 1024);
    put_batch(&batch, packed);
    put_number(to, 2, API_PRODUCE);
    put_number(to, 2, 7);
    put_number(to, 4, 1);  /* correlation */
    put_number(to, 2, -1); /* client, transactional id: none */
    put_number(to, 2, -1);
    put_number(to, 2, -1); /* acks */
    put_number(to, 4, PATIENCE_MS);
    put_number(to, 4, 1);
    put_number(to, 2, sizeof(TOPIC) - 1);
    ew_buf_put(to, TOPIC, sizeof(TOPIC) - 1);
    put_number(to, 4, 1);
    put_number(to, 4, 0); /* partition */
    put_number(to, 4, (int64_t)batch.len);
    ew_buf_put(to, batch.data, batch.len);
    ew_buf_deinit(&batch);
}

static void
send_damaged(int packed)
{
    const char *port = strrchr(world.kafka.options.bootstrap, ':') + 1;
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)strtol(port, NULL, 10)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    uint8_t length[4], reply[1024];
    struct ew_buf request;

    ew_buf_init(&request, 4096);
    put_produce(&request, packed);
    for (int i = 0; i < 4; i++)
        length[i] = (uint8_t)(request.len >> (8 * (3 - i)));
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(write(fd, length, sizeof(length)), sizeof(length));
    assert_int_equal(write(fd, request.data, request.len), request.len);
    assert_true(read(fd, reply, sizeof(reply)) > 0);
    assert_int_equal(close(fd), 0);
    ew_buf_deinit(&request);
}

/* --- reading --- */

static void
on_late(void *arg)
{
    (void)arg;
    ew_loop_stop(world.kafka.loop);
}

static void
on_batch(void *arg, const struct ew_read_record *records, size_t count, bool at_mark, bool failed)
{
    (void)arg, (void)records;
    world.records += count;
    world.at_mark = at_mark;
    world.failed = failed;
    if (at_mark || failed)
        ew_loop_stop(world.kafka.loop);
    else
        ew_reader_next(world.reader);
}

static void
read_all(void)
{
    struct ew_reader_options options = {
        .topic = EW_TOPIC_STATE, .partition = -1, .offset = -1, .batch = on_batch};

    assert_int_equal(ew_reader_start(&world.kafka, &options, &world.reader, NULL), EW_OK);
    ew_timer_init(&world.timer, world.kafka.loop, on_late, NULL);
    ew_timer_start(&world.timer, PATIENCE_MS);
    ew_loop_run(world.kafka.loop);
}

static void
test_reads_to_the_mark(void **state)
{
    (void)state;
    write_records();
    read_all();
    assert_true(world.at_mark);
    assert_false(world.failed);
    assert_int_equal(world.records, RECORDS);
}

static void
test_a_wrong_sum_is_not_passed_over(void **state)
{
    (void)state;
    write_records();
    send_damaged(0);
    write_records();
    read_all();
    assert_true(world.failed);
    assert_false(world.at_mark);
    assert_int_equal(world.records, RECORDS);
}

static void
test_what_cannot_be_unpacked_is_said(void **state)
{
    (void)state;
    write_records();
    send_damaged(GZIP);
    write_records();
    read_all();
    assert_true(world.failed);
    assert_false(world.at_mark);
    assert_int_equal(world.records, RECORDS);
}

/* A leader that moved is found by librdkafka itself; of the group, nothing is needed. */
static void
test_what_passes_is_borne(void **state)
{
    (void)state;
    write_records();
    rd_kafka_mock_push_request_errors(world.cluster, API_FETCH, 2,
                                      RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
                                      RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR);
    rd_kafka_mock_push_request_errors(
        world.cluster, API_FIND_COORDINATOR, 4, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
        RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
        RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
    read_all();
    assert_true(world.at_mark);
    assert_false(world.failed);
    assert_int_equal(world.records, RECORDS);
}

/* --- following --- */

struct follower {
    struct ew_reader *reader;
    int32_t partition;
    bool lazy; /* asks for no second batch */
    size_t records;
    bool at_mark, failed;
};

static void
on_followed(void *arg, const struct ew_read_record *records, size_t count, bool at_mark,
            bool failed)
{
    struct follower *follower = arg;

    for (size_t i = 0; i < count; i++)
        assert_int_equal(records[i].partition, follower->partition);
    follower->records += count;
    follower->at_mark = follower->at_mark || at_mark;
    follower->failed = failed;
    if (!failed && !follower->lazy)
        ew_reader_next(follower->reader);
}

static void
follow(struct follower *follower, int32_t partition)
{
    struct ew_reader_options options = {.topic = EW_TOPIC_STATE,
                                        .partition = partition,
                                        .offset = -1,
                                        .follow = true,
                                        .batch = on_followed,
                                        .arg = follower};

    follower->partition = partition;
    assert_int_equal(ew_reader_start(&world.kafka, &options, &follower->reader, NULL), EW_OK);
}

/* Until it has so many, or failed; and is at the mark, unless it is lazy. */
static void
await(const struct follower *follower, size_t records)
{
    ew_timer_init(&world.timer, world.kafka.loop, on_late, NULL);
    for (int ms = 0; ms < PATIENCE_MS && !follower->failed &&
                     (follower->records < records || (!follower->at_mark && !follower->lazy));
         ms += 10) {
        ew_timer_start(&world.timer, 10);
        ew_loop_run(world.kafka.loop);
    }
}

static void
test_followers_go_on_after_the_mark(void **state)
{
    struct follower one = {.lazy = false}, other = {.lazy = false};

    (void)state;
    write_to(0, 3);
    follow(&one, 0);
    follow(&other, 1);
    await(&one, 3);
    await(&other, 0);
    assert_true(one.at_mark && other.at_mark);
    for (size_t i = 1; i <= 3; i++) {
        write_to(0, 2);
        write_to(1, 1);
        await(&one, 3 + 2 * i);
        await(&other, i);
        assert_int_equal(one.records, 3 + 2 * i);
        assert_int_equal(other.records, i);
    }
    ew_reader_stop(one.reader);
    ew_reader_stop(other.reader);
}

static void
test_who_does_not_ask_holds_up_nobody(void **state)
{
    struct follower lazy = {.lazy = true}, other = {.lazy = false};
    size_t had;

    (void)state;
    write_to(0, 1);
    follow(&lazy, 0);
    follow(&other, 1);
    await(&lazy, 1);
    had = lazy.records;
    write_to(0, 2000);
    write_to(1, 2000);
    await(&other, 2000);
    assert_int_equal(other.records, 2000);
    assert_int_equal(lazy.records, had);
    lazy.lazy = false;
    ew_reader_next(lazy.reader);
    await(&lazy, 2001);
    assert_int_equal(lazy.records, 2001);
    ew_reader_stop(lazy.reader);
    ew_reader_stop(other.reader);
}

/* Given up and taken again, as in a rebalance: from the beginning, without what the first one had
 * not asked for yet. */
static void
test_a_partition_is_followed_again(void **state)
{
    (void)state;
    write_to(0, 10);
    for (size_t i = 0; i < 5; i++) {
        struct follower lazy = {.lazy = true}, again = {.lazy = false};

        follow(&lazy, 0);
        await(&lazy, 1);
        write_to(0, 1000);
        ew_reader_stop(lazy.reader);
        follow(&again, 0);
        await(&again, 10 + 1000 * (i + 1));
        assert_false(again.failed);
        assert_int_equal(again.records, 10 + 1000 * (i + 1));
        ew_reader_stop(again.reader);
    }
}

static void
test_one_that_cannot_be_read_ends_no_other(void **state)
{
    struct follower one = {.lazy = false}, other = {.lazy = false};

    (void)state;
    write_to(0, 1);
    follow(&one, 0);
    follow(&other, 1);
    await(&one, 1);
    send_damaged(GZIP);
    await(&one, 2);
    assert_true(one.failed);
    write_to(1, 5);
    await(&other, 5);
    assert_int_equal(other.records, 5);
    assert_false(other.failed);
    ew_reader_stop(one.reader);
    ew_reader_stop(other.reader);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reads_to_the_mark, begin, end),
        cmocka_unit_test_setup_teardown(test_a_wrong_sum_is_not_passed_over, begin, end),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_unpacked_is_said, begin, end),
        cmocka_unit_test_setup_teardown(test_what_passes_is_borne, begin, end),
        cmocka_unit_test_setup_teardown(test_followers_go_on_after_the_mark, begin, end),
        cmocka_unit_test_setup_teardown(test_who_does_not_ask_holds_up_nobody, begin, end),
        cmocka_unit_test_setup_teardown(test_a_partition_is_followed_again, begin, end),
        cmocka_unit_test_setup_teardown(test_one_that_cannot_be_read_ends_no_other, begin, end),
    };

    return cmocka_run_group_tests_name("kafka: reader", tests, NULL, NULL);
}
