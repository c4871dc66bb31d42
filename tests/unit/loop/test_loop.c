/*
 * Proof of the loop: timers fire in order and not inside the call that arms them, posts arrive
 * from many threads, descriptors and the pool report. Threads are real: this runs under TSan too.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop/loop.h"

static struct ew_loop *
new_loop(unsigned threads)
{
    struct ew_loop *loop = NULL;

    assert_int_equal(ew_loop_new(&ew_clock_system, threads, &loop, NULL), EW_OK);
    return loop;
}

/* --- a clock that the test moves --- */
static _Atomic int64_t fake_ms;

static int64_t
fake_now(void *self)
{
    (void)self;
    return fake_ms;
}

static const struct ew_clock fake_clock = {.boot_ms = fake_now, .wall_ms = fake_now};

/* --- timers --- */
struct trace {
    struct ew_loop *loop;
    struct ew_timer timers[64];
    char text[128];
    size_t len;
    int stop_after;
};

struct mark {
    struct trace *trace;
    char name;
};

static void
on_mark(void *arg)
{
    struct mark *mark = arg;
    struct trace *trace = mark->trace;

    trace->text[trace->len++] = mark->name;
    if (--trace->stop_after == 0)
        ew_loop_stop(trace->loop);
}

static void
test_timers_fire_by_time_then_by_arming(void **state)
{
    struct trace trace = {.loop = new_loop(1), .stop_after = 5};
    struct mark marks[5];
    const int delays[5] = {30, 10, 0, 10, 20};

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        marks[i] = (struct mark){&trace, (char)('a' + i)};
        ew_timer_init(&trace.timers[i], trace.loop, on_mark, &marks[i]);
        ew_timer_start(&trace.timers[i], delays[i]);
        assert_true(ew_timer_armed(&trace.timers[i]));
    }
    assert_int_equal(trace.len, 0); /* a delay of 0 does not fire inside the call */
    ew_loop_run(trace.loop);
    assert_string_equal(trace.text, "cbdea");
    assert_false(ew_timer_armed(&trace.timers[0]));
    ew_loop_free(trace.loop);
}

static void
test_cancelled_and_rearmed_timers(void **state)
{
    struct trace trace = {.loop = new_loop(1), .stop_after = 2};
    struct mark marks[3] = {{&trace, 'a'}, {&trace, 'b'}, {&trace, 'c'}};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        ew_timer_init(&trace.timers[i], trace.loop, on_mark, &marks[i]);
        ew_timer_start(&trace.timers[i], 5 + (int)i);
    }
    ew_timer_cancel(&trace.timers[1]);
    ew_timer_cancel(&trace.timers[1]); /* twice is harmless */
    ew_timer_start(&trace.timers[0], 20);
    ew_loop_run(trace.loop);
    assert_string_equal(trace.text, "ca");
    ew_loop_free(trace.loop);
}

/* Random arming and cancelling against a plain array: every survivor once, in order of time. */
struct many {
    struct ew_loop *loop;
    struct ew_timer timers[2000];
    bool alive[2000];
    int64_t last_due;
    size_t fired, expected;
};

static struct many many;

static void
on_many(void *arg)
{
    size_t i = (size_t)((struct ew_timer *)arg - many.timers);

    assert_true(many.alive[i]);
    many.alive[i] = false;
    assert_true(many.timers[i].due_ms >= many.last_due);
    assert_true(many.timers[i].due_ms <= fake_ms);
    many.last_due = many.timers[i].due_ms;
    if (++many.fired == many.expected)
        ew_loop_stop(many.loop);
}

static void
test_heap_against_reference(void **state)
{
    unsigned seed = 12345;

    (void)state;
    fake_ms = 1000;
    assert_int_equal(ew_loop_new(&fake_clock, 1, &many.loop, NULL), EW_OK);
    for (size_t i = 0; i < 2000; i++)
        ew_timer_init(&many.timers[i], many.loop, on_many, &many.timers[i]);
    for (int step = 0; step < 20000; step++) {
        size_t i = (size_t)rand_r(&seed) % 2000;

        if (rand_r(&seed) % 3 == 0) {
            ew_timer_cancel(&many.timers[i]);
            many.alive[i] = false;
        } else {
            ew_timer_start(&many.timers[i], rand_r(&seed) % 5000);
            many.alive[i] = true;
        }
    }
    for (size_t i = 0; i < 2000; i++)
        many.expected += many.alive[i];
    assert_in_range(many.expected, 500, 2000);
    fake_ms += 5000;
    ew_loop_run(many.loop);
    assert_int_equal(many.fired, many.expected);
    ew_loop_free(many.loop);
}

/* A timer that arms itself for "at once" must not keep descriptors and posts waiting. */
static struct ew_timer busy;

static void
on_busy(void *arg)
{
    int *rounds = arg;

    ++*rounds;
    ew_timer_start(&busy, 0);
}

static void
stop_loop(void *arg)
{
    ew_loop_stop(arg);
}

static void
test_busy_timer_starves_nobody(void **state)
{
    struct ew_loop *loop = new_loop(1);
    int rounds = 0;

    (void)state;
    ew_timer_init(&busy, loop, on_busy, &rounds);
    ew_timer_start(&busy, 0);
    ew_loop_post(loop, stop_loop, loop);
    ew_loop_run(loop);
    assert_in_range(rounds, 0, 10);
    ew_timer_cancel(&busy);
    ew_loop_free(loop);
}

/* --- posts --- */
enum { POSTERS = 8, POSTS = 2000 };

struct poster {
    struct ew_loop *loop;
    pthread_t thread;
    struct post {
        struct poster *poster;
        int number;
    } posts[POSTS];
    int next; /* loop's thread only */
};

static int posts_seen;

static void
on_post(void *arg)
{
    struct post *post = arg;

    assert_int_equal(post->number, post->poster->next++);
    if (++posts_seen == POSTERS * POSTS)
        ew_loop_stop(post->poster->loop);
}

static void *
poster_thread(void *arg)
{
    struct poster *poster = arg;

    for (int i = 0; i < POSTS; i++) {
        poster->posts[i] = (struct post){poster, i};
        ew_loop_post(poster->loop, on_post, &poster->posts[i]);
        (void)ew_loop_tick(poster->loop);
    }
    return NULL;
}

static void
test_posts_keep_each_threads_order(void **state)
{
    static struct poster posters[POSTERS];
    struct ew_loop *loop = new_loop(1);

    (void)state;
    posts_seen = 0;
    for (size_t i = 0; i < POSTERS; i++) {
        posters[i].loop = loop;
        assert_int_equal(pthread_create(&posters[i].thread, NULL, poster_thread, &posters[i]), 0);
    }
    ew_loop_run(loop);
    for (size_t i = 0; i < POSTERS; i++)
        pthread_join(posters[i].thread, NULL);
    assert_int_equal(posts_seen, POSTERS * POSTS);
    ew_loop_free(loop);
}

struct nested {
    struct ew_loop *loop;
    bool inside;
    bool ran;
};

static void
on_nested(void *arg)
{
    struct nested *nested = arg;

    assert_false(nested->inside);
    nested->ran = true;
    ew_loop_stop(nested->loop);
}

static void
on_outer(void *arg)
{
    struct nested *nested = arg;

    nested->inside = true;
    ew_loop_post(nested->loop, on_nested, nested);
    nested->inside = false;
}

static void
test_post_from_the_loop_runs_later(void **state)
{
    struct nested nested = {.loop = new_loop(1)};

    (void)state;
    ew_loop_post(nested.loop, on_outer, &nested);
    ew_loop_run(nested.loop);
    assert_true(nested.ran);
    ew_loop_free(nested.loop);
}

/* Posts that take long: a timer that comes due meanwhile does not wait for the last of them. */
enum { SLOW_POSTS = 200, SLOW_MS = 4 };

struct slow {
    struct ew_loop *loop;
    struct ew_timer timer;
    int next, before_timer;
    struct slow_post {
        struct slow *slow;
        int number;
    } posts[SLOW_POSTS];
};

static void
on_slow_post(void *arg)
{
    struct slow_post *post = arg;
    struct slow *slow = post->slow;

    assert_int_equal(post->number, slow->next++);
    fake_ms += SLOW_MS;
    if (slow->next == SLOW_POSTS)
        ew_loop_stop(slow->loop);
}

static void
on_slow_timer(void *arg)
{
    struct slow *slow = arg;

    slow->before_timer = slow->next;
}

static void
test_long_queue_of_posts_lets_timers_in(void **state)
{
    static struct slow slow;

    (void)state;
    fake_ms = 1000;
    assert_int_equal(ew_loop_new(&fake_clock, 1, &slow.loop, NULL), EW_OK);
    ew_timer_init(&slow.timer, slow.loop, on_slow_timer, &slow);
    ew_timer_start(&slow.timer, 5 * SLOW_MS);
    for (int i = 0; i < SLOW_POSTS; i++) {
        slow.posts[i] = (struct slow_post){&slow, i};
        ew_loop_post(slow.loop, on_slow_post, &slow.posts[i]);
    }
    ew_loop_run(slow.loop);
    assert_int_equal(slow.next, SLOW_POSTS);
    assert_in_range(slow.before_timer, 5, 12);
    ew_loop_free(slow.loop);
}

static void
never(void *arg)
{
    (void)arg;
    fail_msg("called after the end");
}

static void
test_what_is_left_at_the_end_is_dropped(void **state)
{
    struct ew_loop *loop = new_loop(2);

    (void)state;
    ew_loop_post(loop, never, NULL);
    ew_loop_free(loop);
    ew_loop_free(NULL);
}

/* --- descriptors --- */
struct pipe_test {
    struct ew_loop *loop;
    struct ew_watch *watch;
    int fds[2];
    int reads, writes, both;
};

static void
on_pipe(void *arg, int events)
{
    struct pipe_test *test = arg;
    char byte;

    if (events & EW_WRITABLE) {
        test->writes++;
        ew_watch_set(test->watch, EW_READABLE);
        assert_int_equal(write(test->fds[1], "x", 1), 1);
        return;
    }
    assert_int_equal(events, EW_READABLE);
    test->reads++;
    assert_int_equal(read(test->fds[0], &byte, 1), 1);
    ew_watch_free(test->watch); /* inside its own callback */
    ew_loop_stop(test->loop);
}

static void
test_watch_reports_what_was_asked(void **state)
{
    struct pipe_test test = {.loop = new_loop(1)};

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, test.fds), 0);
    assert_int_equal(ew_watch_new(test.loop, test.fds[0], on_pipe, &test, &test.watch, NULL),
                     EW_OK);
    ew_watch_set(test.watch, EW_WRITABLE);
    ew_loop_run(test.loop);
    assert_int_equal(test.writes, 1);
    assert_int_equal(test.reads, 1);
    close(test.fds[0]);
    close(test.fds[1]);
    ew_loop_free(test.loop);
}

static void
on_broken(void *arg, int events)
{
    struct pipe_test *test = arg;

    assert_int_equal(events, EW_READABLE | EW_WRITABLE);
    if (++test->both < 3)
        return; /* not handled: must be said again */
    ew_watch_free(test->watch);
    ew_loop_stop(test->loop);
}

static void
test_an_error_shows_as_both_until_handled(void **state)
{
    struct pipe_test test = {.loop = new_loop(1)};

    (void)state;
    assert_int_equal(pipe(test.fds), 0);
    close(test.fds[0]); /* nobody reads: the write end is in error */
    assert_int_equal(ew_watch_new(test.loop, test.fds[1], on_broken, &test, &test.watch, NULL),
                     EW_OK);
    ew_watch_set(test.watch, EW_WRITABLE);
    ew_loop_run(test.loop);
    assert_int_equal(test.both, 3);
    close(test.fds[1]);
    ew_loop_free(test.loop);
}

static void
test_same_descriptor_number_again(void **state)
{
    struct pipe_test test = {.loop = new_loop(1)};

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, test.fds), 0);
    for (int i = 0; i < 3; i++) {
        struct ew_watch *watch = NULL;

        assert_int_equal(ew_watch_new(test.loop, test.fds[0], on_pipe, &test, &watch, NULL), EW_OK);
        ew_watch_set(watch, EW_READABLE);
        ew_watch_free(watch);
    }
    ew_watch_free(NULL);
    close(test.fds[0]);
    close(test.fds[1]);
    ew_loop_free(test.loop);
}

static void
test_bad_descriptor_is_an_error(void **state)
{
    struct ew_loop *loop = new_loop(1);
    struct ew_watch *watch = NULL;
    struct ew_err err;

    (void)state;
    assert_int_equal(ew_watch_new(loop, 9999, on_pipe, NULL, &watch, &err), EW_RETRY);
    assert_null(watch);
    assert_string_equal(err.problem, "loop-watch");
    ew_loop_free(loop);
}

/* --- the pool --- */
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

/* --- time and signals --- */
static void
on_tick_check(void *arg)
{
    struct trace *trace = arg;

    assert_int_equal(ew_loop_tick(trace->loop), ew_loop_now(trace->loop));
    ew_loop_stop(trace->loop);
}

static void
test_idle_loop_ticks_and_sees_a_jump(void **state)
{
    struct trace trace = {0};
    struct ew_timer timer;

    (void)state;
    fake_ms = 1000;
    assert_int_equal(ew_loop_new(&fake_clock, 1, &trace.loop, NULL), EW_OK);
    assert_int_equal(ew_loop_now(trace.loop), 1000);
    ew_timer_init(&timer, trace.loop, on_tick_check, &trace);
    ew_timer_start(&timer, 3600 * 1000);
    fake_ms += 3600 * 1000; /* the machine slept; nothing else wakes the loop */
    ew_loop_run(trace.loop);
    assert_int_equal(ew_loop_tick(trace.loop), 1000 + 3600 * 1000);
    ew_loop_free(trace.loop);
}

static int signal_seen;

static void
on_signal(void *arg, int signo)
{
    signal_seen = signo;
    ew_loop_stop(arg);
}

static void
test_signals_arrive_on_the_loop(void **state)
{
    struct ew_loop *loop = new_loop(1);

    (void)state;
    assert_int_equal(ew_loop_on_signal(loop, on_signal, loop, NULL), EW_OK);
    kill(getpid(), SIGTERM);
    ew_loop_run(loop);
    assert_int_equal(signal_seen, SIGTERM);
    kill(getpid(), SIGINT);
    ew_loop_run(loop);
    assert_int_equal(signal_seen, SIGINT);
    ew_loop_free(loop);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timers_fire_by_time_then_by_arming),
        cmocka_unit_test(test_cancelled_and_rearmed_timers),
        cmocka_unit_test(test_heap_against_reference),
        cmocka_unit_test(test_busy_timer_starves_nobody),
        cmocka_unit_test(test_posts_keep_each_threads_order),
        cmocka_unit_test(test_post_from_the_loop_runs_later),
        cmocka_unit_test(test_long_queue_of_posts_lets_timers_in),
        cmocka_unit_test(test_what_is_left_at_the_end_is_dropped),
        cmocka_unit_test(test_watch_reports_what_was_asked),
        cmocka_unit_test(test_an_error_shows_as_both_until_handled),
        cmocka_unit_test(test_same_descriptor_number_again),
        cmocka_unit_test(test_bad_descriptor_is_an_error),
        cmocka_unit_test(test_offload_works_elsewhere_and_reports_here),
        cmocka_unit_test(test_what_can_wait_is_last),
        cmocka_unit_test(test_pool_size_is_checked),
        cmocka_unit_test(test_idle_loop_ticks_and_sees_a_jump),
        cmocka_unit_test(test_signals_arrive_on_the_loop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
