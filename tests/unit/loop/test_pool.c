/*
 * Proof of the pool: it works on real threads and reports on the loop, and what can wait is last.
 * This runs under TSan too.
 */
#include <pthread.h>

#include "loops.h"

enum { JOBS = 500 };

struct job {
    struct ew_loop *loop;
    pthread_t loop_thread;
    int input, output;
    int *left;
};

static void
square(void *arg)
{
    struct job *job = arg;

    assert_false(pthread_equal(pthread_self(), job->loop_thread));
    job->output = job->input * job->input;
}

static void
squared(void *arg)
{
    struct job *job = arg;

    assert_true(pthread_equal(pthread_self(), job->loop_thread));
    assert_int_equal(job->output, job->input * job->input);
    if (--*job->left == 0)
        ew_loop_stop(job->loop);
}

static void
test_offload_works_elsewhere_and_reports_here(void **state)
{
    static struct job jobs[JOBS];
    struct ew_loop *loop = new_loop(4);
    int left = JOBS;

    (void)state;
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = (struct job){loop, pthread_self(), i, 0, &left};
        ew_loop_offload(loop, square, squared, &jobs[i]);
    }
    ew_loop_run(loop);
    assert_int_equal(left, 0);
    ew_loop_free(loop);
}

/* --- what can wait --- */

static struct {
    struct ew_loop *loop;
    pthread_mutex_t held; /* keeps the only thread busy */
    char text[8];
    size_t done;
} queued = {.held = PTHREAD_MUTEX_INITIALIZER};

static void
hold_up(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&queued.held);
    pthread_mutex_unlock(&queued.held);
}

static void
write_down(void *arg)
{
    (void)strncat(queued.text, arg, 1);
}

static void
count_down(void *arg)
{
    (void)arg;
    if (++queued.done == 5)
        ew_loop_stop(queued.loop);
}

static void
test_what_can_wait_is_last(void **state)
{
    static char names[] = "abcd";

    (void)state;
    queued.loop = new_loop(1);
    pthread_mutex_lock(&queued.held);
    ew_loop_offload(queued.loop, hold_up, count_down, NULL);
    ew_loop_offload_last(queued.loop, write_down, count_down, &names[0]);
    ew_loop_offload_last(queued.loop, write_down, count_down, &names[1]);
    ew_loop_offload(queued.loop, write_down, count_down, &names[2]);
    ew_loop_offload(queued.loop, write_down, count_down, &names[3]);
    pthread_mutex_unlock(&queued.held);
    ew_loop_run(queued.loop);
    assert_string_equal(queued.text, "cdab");
    ew_loop_free(queued.loop);
}

static void
test_pool_size_is_checked(void **state)
{
    struct ew_loop *loop = NULL;

    (void)state;
    assert_int_equal(ew_loop_new(&ew_clock_system, 0, &loop, NULL), EW_BUG);
    assert_int_equal(ew_loop_new(&ew_clock_system, 17, &loop, NULL), EW_BUG);
    assert_null(loop);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offload_works_elsewhere_and_reports_here),
        cmocka_unit_test(test_what_can_wait_is_last),
        cmocka_unit_test(test_pool_size_is_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
