/*
 * A transaction that ends badly, on a real broker: fenced producers, and answers to EndTxn that
 * never arrive. The linker wraps rd_kafka_commit_transaction for that, and
 * rd_kafka_init_transactions to learn the transactional ids.
 */
#include <stdio.h>
#include <string.h>

#include "clients.h"
#include "harness.h"
#include "member.h"
#include "witness.h"

enum {
    FOREVER_MS = 300000, /* longer than any of these tests: the broker ends no transaction */
    LONGER_THAN_READS_MS = 2300, /* of the committed maps of two partitions */
    MANY = 24,
};

/* --- the wrapped calls --- */

enum trick {
    HONEST,
    LOSE_ANSWER, /* committed, but the caller is told of an error that says nothing */
    LOSE_CALL,   /* never sent, same error */
};

static atomic_int trick;
static atomic_int tricked, looks; /* at maps, since the last trick */

static pthread_mutex_t id_lock = PTHREAD_MUTEX_INITIALIZER;
static char last_id[256]; /* id_lock; of the worker's youngest producer */
static char open_id[256]; /* id_lock; of the one whose commit was never sent */
static int id_count;      /* id_lock; producers made since begin() */

rd_kafka_error_t *__real_rd_kafka_commit_transaction(rd_kafka_t *rk, int timeout_ms);
rd_kafka_error_t *__wrap_rd_kafka_commit_transaction(rd_kafka_t *rk, int timeout_ms);
rd_kafka_error_t *__real_rd_kafka_init_transactions(rd_kafka_t *rk, int timeout_ms);
rd_kafka_error_t *__wrap_rd_kafka_init_transactions(rd_kafka_t *rk, int timeout_ms);

static void
note_id(rd_kafka_t *rk, char id[256])
{
    size_t size = sizeof(last_id);

    pthread_mutex_lock(&id_lock);
    rd_kafka_conf_get(rd_kafka_conf(rk), "transactional.id", id, &size);
    id_count += id == last_id;
    pthread_mutex_unlock(&id_lock);
}

rd_kafka_error_t *
__wrap_rd_kafka_commit_transaction(rd_kafka_t *rk, int timeout_ms)
{
    int now = atomic_exchange(&trick, HONEST);
    rd_kafka_error_t *error = NULL;

    if (now != LOSE_CALL)
        error = __real_rd_kafka_commit_transaction(rk, timeout_ms);
    if (now != HONEST && error != NULL)
        atomic_store(&trick, now); /* on the next one */
    if (now == HONEST || error != NULL)
        return error;
    if (now == LOSE_CALL)
        note_id(rk, open_id);
    atomic_store(&looks, 0);
    atomic_fetch_add(&tricked, 1);
    return rd_kafka_error_new(RD_KAFKA_RESP_ERR__FAIL, "the answer was lost");
}

rd_kafka_error_t *
__wrap_rd_kafka_init_transactions(rd_kafka_t *rk, int timeout_ms)
{
    rd_kafka_error_t *error = __real_rd_kafka_init_transactions(rk, timeout_ms);

    if (error == NULL && strncmp(rd_kafka_name(rk), "epki-worker", 11) == 0)
        note_id(rk, last_id);
    return error;
}

/* --- what the tests share --- */

static atomic_bool no_telling; /* looks at maps end in a timeout */

rd_kafka_resp_err_t __real_rd_kafka_committed(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *list,
                                              int timeout_ms);
rd_kafka_resp_err_t __wrap_rd_kafka_committed(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *list,
                                              int timeout_ms);

rd_kafka_resp_err_t
__wrap_rd_kafka_committed(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *list, int timeout_ms)
{
    atomic_fetch_add(&looks, 1);
    if (!atomic_load(&no_telling))
        return __real_rd_kafka_committed(rk, list, timeout_ms);
    sleep_ms(timeout_ms);
    return RD_KAFKA_RESP_ERR__TIMED_OUT;
}

static void
begin(struct site *site, const char *name, int partitions)
{
    site_start(site, name, partitions);
    site->options.transaction_ms = FOREVER_MS;
    site->options.session_ms = 45000; /* nobody dies here */
    atomic_store(&tricked, 0);
    pthread_mutex_lock(&id_lock);
    id_count = 0;
    pthread_mutex_unlock(&id_lock);
}

static int
copy_id(char id[256])
{
    int count;

    pthread_mutex_lock(&id_lock);
    count = id_count;
    memcpy(id, last_id, sizeof(last_id));
    pthread_mutex_unlock(&id_lock);
    return count;
}

/* The transactional id of the `count`th producer, once that is there. */
static void
await_id(int count, char id[256])
{
    AWAIT(copy_id(id) >= count);
}

/* Whoever initialises the same transactional id fences the one before, and ends what it has left
 * open. */
static void
take_over(const char *id)
{
    rd_kafka_t *rk = plain_producer(id);

    assert_null(rd_kafka_init_transactions(rk, PATIENCE_MS));
    rd_kafka_destroy(rk);
}

/* Between two producers nobody is fenced: the `count`th one is waited for. */
static void
fence(int count)
{
    char id[256];

    await_id(count, id);
    take_over(id);
}

/* --- lost answers --- */

/* Whoever initialises the id of the commit that was never sent ends its transaction. */
static void
end_what_is_open(void)
{
    char id[256];

    pthread_mutex_lock(&id_lock);
    memcpy(id, open_id, sizeof(id));
    pthread_mutex_unlock(&id_lock);
    take_over(id);
}

/* Both outcomes of a lost answer are read from the maps: nothing twice, nothing left out. */
static void
test_lost_answers(void **state)
{
    struct site site;
    struct member *member;
    int64_t commits;

    (void)state;
    begin(&site, "lostanswer", 2);
    send_numbers(site.in[EW_LANE_ENROLLMENT], -1, 2, 0, 1200);
    member = member_start(&site, ANSWER, 5);
    member_wait(member, &member->adopted, 7);
    for (int i = 0; i < 6; i++) {
        atomic_store(&trick, i % 2 == 0 ? LOSE_ANSWER : LOSE_CALL);
        send_numbers(site.in[EW_LANE_ENROLLMENT], -1, 2, 1200 + i * 100, 100);
        AWAIT(atomic_load(&tricked) > i);
        if (i % 2 == 0)
            continue;
        /* While the transaction is open nobody knows how it ends: nothing else is committed. */
        commits = member_stats(member).commits;
        sleep_ms(LONGER_THAN_READS_MS);
        assert_int_equal(member_stats(member).commits, commits);
        end_what_is_open();
    }
    member_wait(member, &member->committed, 1800);
    assert_int_equal(atomic_load(&tricked), 6);
    assert_int_equal(member_stats(member).recreated, 6);
    assert_int_equal(member_read(member, &member->lost_items), 0);
    assert_int_equal(member_read(member, &member->refused), 0);
    assert_int_equal(member_read(member, &member->fatal), 0);
    assert_each_once(&site, 1800);
    member_stop(member);
}

/* The answer to an adoption commit is lost, either way: the partition is adopted once its map can
 * be read again, and the epoch has risen. */
static void
test_lost_adoption(void **state)
{
    struct site site;
    struct member *member;
    uint32_t epoch = 0;

    (void)state;
    begin(&site, "lostadopt", 1);
    send_numbers(site.in[EW_LANE_ENROLLMENT], 0, 1, 0, 20);
    for (int i = 0; i < 2; i++) {
        atomic_store(&trick, i == 0 ? LOSE_ANSWER : LOSE_CALL);
        member = member_start(&site, ANSWER, 0);
        AWAIT(atomic_load(&tricked) > i);
        if (i == 1) {
            assert_false(member_reaches(member, &member->adopted, 5, LONGER_THAN_READS_MS));
            end_what_is_open();
        }
        member_wait(member, &member->adopted, 5);
        assert_true(member_epoch(member, 0) > epoch);
        epoch = member_epoch(member, 0);
        member_wait(member, &member->committed, i == 0 ? 20 : 0);
        member_stop(member);
    }
    assert_each_once(&site, 20);
}

/* The same of a commit that raises an epoch: it rises by an answer alone. */
static void
test_lost_rise(void **state)
{
    struct site site;
    struct member *member;

    (void)state;
    begin(&site, "lostrise", 1);
    member = member_hold(&site, 3);
    for (int i = 0; i < 2; i++) {
        uint32_t epoch = member_epoch(member, 0);

        atomic_store(&trick, i == 0 ? LOSE_ANSWER : LOSE_CALL);
        member_outgrow(member, 0, epoch + 100);
        AWAIT(atomic_load(&tricked) > i);
        if (i == 1) {
            sleep_ms(LONGER_THAN_READS_MS);
            assert_int_equal(member_epoch(member, 0), epoch);
            end_what_is_open();
        }
        AWAIT(member_epoch(member, 0) == epoch + 101);
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            member_commit(member, member_find(member, 0, i), EW_MARK_DONE, 0, NULL, 0).result,
            EW_COMMITTED);
    assert_int_equal(member_read(member, &member->lost_items), 0);
    member_stop(member);
}

/* Stopped while nobody knows how a commit of MANY partitions ended; how often maps were looked at
 * from then on. */
static int
looks_at_the_end(const char *name, bool telling)
{
    struct site site;
    struct member *member;
    struct answer answers[MANY];
    int count;

    begin(&site, name, MANY);
    site.options.flush_ms = 500;
    site.options.commit_ms = 100;
    send_numbers(site.in[EW_LANE_ENROLLMENT], -1, MANY, 0, MANY);
    member = member_start(&site, HOLD, 0);
    member_wait(member, &member->adopted, 2 * MANY + 3); /* resumes are partitioned alike */
    member_wait(member, &member->record_count, MANY);
    atomic_store(&no_telling, !telling);
    atomic_store(&trick, LOSE_CALL);
    for (int i = 0; i < MANY; i++)
        member_submit(member, member_find(member, i, 0), EW_MARK_DONE, 0, "key-0", 10, &answers[i]);
    AWAIT(atomic_load(&tricked) == 1);
    member_stop(member);
    count = atomic_load(&looks);
    atomic_store(&no_telling, false);
    end_what_is_open();
    return count;
}

/* Each look takes a second where the consumer does not close either. */
static void
test_stops_within_a_round_of_looks(void **state)
{
    (void)state;
    assert_in_range(looks_at_the_end("stopsinround", false), 1, MANY / 2);
}

/* A closed consumer answers at once, and always the same: else there are thousands. */
static void
test_closed_consumer_is_asked_no_more(void **state)
{
    (void)state;
    assert_in_range(looks_at_the_end("stopsclosed", true), 1, 8 * MANY);
}

/* --- fences --- */

/* Workers of one deployment share everything but the random end of their transactional ids; a new
 * producer gets a new one. */
static void
test_transactional_ids(void **state)
{
    struct site site;
    struct member *a;
    struct member *b;
    char ids[3][256];
    char start[128];

    (void)state;
    begin(&site, "ids", 1);
    b = member_start(&site, ANSWER, 0);
    await_id(1, ids[0]);
    a = member_start(&site, ANSWER, 0);
    await_id(2, ids[1]);
    member_stop(b);
    member_wait(a, &a->adopted, 5);
    fence(2);
    send_numbers(site.in[EW_LANE_ENROLLMENT], 0, 1, 0, 10);
    member_wait(a, &a->committed, 10);
    assert_int_equal(member_stats(a).recreated, 1);
    await_id(3, ids[2]);
    snprintf(start, sizeof(start), "epki.%s.test.", site.group);
    for (int i = 0; i < 3; i++) {
        assert_memory_equal(ids[i], start, strlen(start));
        assert_true(strlen(ids[i]) >= strlen(start) + 16);
        assert_string_not_equal(ids[i], ids[(i + 1) % 3]);
    }
    member_stop(a);
}

/* Fenced in full flight, again and again but more than a minute apart (by the clock passed in):
 * a new producer each time, no answer twice, none missing. */
static void
test_fenced_and_recreated(void **state)
{
    struct site site;
    struct member *member;

    (void)state;
    begin(&site, "fenced", 2);
    site.options.partition_items = 20; /* so that the work lasts */
    send_numbers(site.in[EW_LANE_ENROLLMENT], -1, 2, 0, 4000);
    member = member_start(&site, ANSWER, 5);
    for (int i = 0; i < 4; i++) {
        member_wait(member, &member->committed, 200 + i * 700);
        fence(i + 1);
        /* Where everything was done before the fence came, there is something to notice it by. */
        send_numbers(site.in[EW_LANE_ENROLLMENT], -1, 2, 4000 + 100 * i, 100);
        AWAIT(member_stats(member).recreated > i);
        atomic_fetch_add(&member->clock_ahead, 61000);
    }
    member_wait(member, &member->committed, 4400);
    assert_int_equal(member_stats(member).recreated, 4);
    assert_int_equal(member_read(member, &member->fatal), 0);
    assert_int_equal(member_read(member, &member->lost_items), 0);
    assert_each_once(&site, 4400);
    member_stop(member);
}

/* Fenced twice in a minute: somebody else lives under our name. */
static void
test_fenced_twice_is_fatal(void **state)
{
    struct site site;
    struct member *member;

    (void)state;
    begin(&site, "fencedtwice", 1);
    send_numbers(site.in[EW_LANE_ENROLLMENT], 0, 1, 0, 300);
    member = member_start(&site, ANSWER, 5);
    member_wait(member, &member->committed, 300);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(member_read(member, &member->fatal), 0);
        fence(i + 1);
        send_numbers(site.in[EW_LANE_ENROLLMENT], 0, 1, 300 + i, 1);
        AWAIT(member_stats(member).recreated > i);
        member_wait(member, &member->committed, 301 + i);
    }
    member_wait(member, &member->fatal, 1);
    assert_string_equal(member->fatal_problem, "producer-fenced");
    assert_each_once(&site, 302);
    member_stop(member);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lost_answers),
        cmocka_unit_test(test_lost_adoption),
        cmocka_unit_test(test_lost_rise),
        cmocka_unit_test(test_stops_within_a_round_of_looks),
        cmocka_unit_test(test_closed_consumer_is_asked_no_more),
        cmocka_unit_test(test_transactional_ids),
        cmocka_unit_test(test_fenced_and_recreated),
        cmocka_unit_test(test_fenced_twice_is_fatal),
    };

    if (!harness_ready(argc, argv))
        return EXIT_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
