/*
 * Records outside the order's path: what their publisher is told, and how long they hold up the
 * end. The transaction is played; the committer's thread and queue are the real ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "committer_private.h"
#include "waits_private.h"

enum { PAUSE_MS = 20000, SOON_MS = 8000, FLUSH_MS = 2000 };

static struct ew_kafka *kafka;
static _Atomic enum ew_txn_result outcome;
static atomic_int runs, answers;
static _Atomic enum ew_committed answered;
static char problem[64];

enum ew_txn_result __wrap_ew_producer_run(struct ew_producer *producer, const struct ew_txn *txn,
                                          struct ew_err *err);
void __wrap_ew_loop_post(struct ew_loop *loop, void (*fn)(void *arg), void *arg);

enum ew_txn_result
__wrap_ew_producer_run(struct ew_producer *producer, const struct ew_txn *txn, struct ew_err *err)
{
    (void)producer, (void)txn;
    (void)ew_fail(err, EW_RETRY, "played", "as the test says");
    atomic_fetch_add(&runs, 1);
    return atomic_load(&outcome);
}

void
__wrap_ew_loop_post(struct ew_loop *loop, void (*fn)(void *arg), void *arg)
{
    (void)loop;
    fn(arg);
}

static void
on_done(void *arg, enum ew_committed result, int64_t t0_ms, const struct ew_err *err)
{
    assert_ptr_equal(arg, kafka);
    assert_int_equal(t0_ms, 0);
    (void)snprintf(problem, sizeof(problem), "%s", err->problem == NULL ? "" : err->problem);
    atomic_store(&answered, result);
    atomic_fetch_add(&answers, 1);
}

static void
publish(void)
{
    struct ew_out out = {.topic = EW_TOPIC_ACCOUNT, .partition = 0, .value = "v", .value_len = 1};

    ew_kafka_publish(kafka, &out, on_done, kafka);
}

static void
await(atomic_int *count, int wanted)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    int64_t until_ms = ew_mono_ms() + SOON_MS;

    while (atomic_load(count) < wanted) {
        assert_true(ew_mono_ms() < until_ms);
        (void)nanosleep(&pause, NULL);
    }
}

static void
stop(void)
{
    struct ew_committer *committer = &kafka->committer;

    pthread_mutex_lock(&committer->lock);
    committer->stop = true;
    committer->stop_by_ms = ew_mono_ms() + FLUSH_MS;
    pthread_cond_signal(&committer->changed);
    pthread_mutex_unlock(&committer->lock);
    if (committer->running)
        pthread_join(committer->thread, NULL);
    committer->running = false;
}

/* publish_ms: no publishing before, as after some that failed */
static void
begin(enum ew_txn_result what, int64_t publish_ms)
{
    struct ew_committer *committer = &kafka->committer;

    atomic_store(&outcome, what);
    committer->publish_ms = publish_ms;
    committer->running = pthread_create(&committer->thread, NULL, ew_committer_run, kafka) == 0;
    assert_true(committer->running);
}

static int
make(void **state)
{
    struct ew_committer *committer;

    (void)state;
    kafka = ew_calloc(1, sizeof(*kafka));
    kafka->clock = &ew_clock_system;
    kafka->options.out[EW_TOPIC_ACCOUNT] = "epki.account.events";
    committer = &kafka->committer;
    ew_list_init(&committer->items);
    ew_list_init(&committer->publishes);
    ew_list_init(&committer->adoptions);
    ew_list_init(&committer->held);
    ew_list_init(&committer->unpublished);
    committer->tidied_ms = ew_mono_ms();
    pthread_mutex_init(&committer->lock, NULL);
    atomic_store(&runs, 0);
    atomic_store(&answers, 0);
    problem[0] = '\0';
    return ew_cond_init(&committer->changed) != EW_OK ||
           ew_cond_init(&committer->settled) != EW_OK ||
           ew_ownership_init(&kafka->ownership) != EW_OK;
}

static int
unmake(void **state)
{
    (void)state;
    stop();
    ew_ownership_deinit(&kafka->ownership);
    pthread_cond_destroy(&kafka->committer.changed);
    pthread_cond_destroy(&kafka->committer.settled);
    pthread_mutex_destroy(&kafka->committer.lock);
    free(kafka);
    return 0;
}

static void
test_committed_is_told(void **state)
{
    (void)state;
    begin(EW_TXN_COMMITTED, 0);
    publish();
    await(&answers, 1);
    assert_int_equal(atomic_load(&answered), EW_COMMITTED);
}

static void
test_refused_is_told(void **state)
{
    (void)state;
    begin(EW_TXN_REFUSED, 0);
    publish();
    await(&answers, 1);
    assert_int_equal(atomic_load(&answered), EW_COMMIT_REFUSED);
    assert_string_equal(problem, "played");
}

/* Nothing is told of what may still come. */
static void
test_is_tried_until_it_is_committed(void **state)
{
    (void)state;
    begin(EW_TXN_ABORTED, 0);
    publish();
    await(&runs, 1);
    assert_int_equal(atomic_load(&answers), 0);
    atomic_store(&outcome, EW_TXN_COMMITTED);
    await(&answers, 1);
    assert_int_equal(atomic_load(&answered), EW_COMMITTED);
}

/* The pause after some that failed is longer than the end may take. */
static void
test_the_end_waits_for_no_pause(void **state)
{
    int64_t began_ms = ew_mono_ms();

    (void)state;
    begin(EW_TXN_ABORTED, began_ms + PAUSE_MS);
    publish();
    stop();
    assert_true(ew_mono_ms() - began_ms < SOON_MS);
    assert_true(atomic_load(&runs) > 0); /* it had its last chance */
    assert_int_equal(atomic_load(&answers), 1);
    assert_int_equal(atomic_load(&answered), EW_COMMIT_LOST);
}

static void
test_after_the_end(void **state)
{
    (void)state;
    begin(EW_TXN_COMMITTED, 0);
    stop();
    publish();
    assert_int_equal(atomic_load(&answers), 1);
    assert_int_equal(atomic_load(&answered), EW_COMMIT_LOST);
    assert_int_equal(atomic_load(&runs), 0);
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, make, unmake)
    const struct CMUnitTest tests[] = {
        ROW(test_committed_is_told),
        ROW(test_refused_is_told),
        ROW(test_is_tried_until_it_is_committed),
        ROW(test_the_end_waits_for_no_pause),
        ROW(test_after_the_end),
    };

    return cmocka_run_group_tests_name("kafka: publish", tests, NULL, NULL);
}
