/*
 * Proof of the loop: descriptors report, time goes on while nothing happens, signals arrive.
 */
#include <signal.h>
#include <sys/socket.h>

#include "loops.h"

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

/* --- time and signals --- */
static void
on_tick_check(void *arg)
{
    struct ew_loop *loop = arg;

    assert_int_equal(ew_loop_tick(loop), ew_loop_now(loop));
    ew_loop_stop(loop);
}

static void
test_idle_loop_ticks_and_sees_a_jump(void **state)
{
    struct ew_loop *loop = NULL;
    struct ew_timer timer;

    (void)state;
    fake_ms = 1000;
    assert_int_equal(ew_loop_new(&fake_clock, 1, &loop, NULL), EW_OK);
    assert_int_equal(ew_loop_now(loop), 1000);
    ew_timer_init(&timer, loop, on_tick_check, loop);
    ew_timer_start(&timer, 3600 * 1000);
    fake_ms += 3600 * 1000; /* the machine slept; nothing else wakes the loop */
    ew_loop_run(loop);
    assert_int_equal(ew_loop_tick(loop), 1000 + 3600 * 1000);
    ew_loop_free(loop);
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

/* --- the end of a turn --- */
struct end_test {
    struct ew_loop *loop;
    struct ew_ending first, second, third;
    struct ew_timer next;
    char seen[16];
};

static void
saw(struct end_test *test, const char *what)
{
    strcat(test->seen, what);
}

static void
on_first(void *arg)
{
    struct end_test *test = arg;

    saw(test, "1");
    ew_ending_ask(&test->second);
    ew_ending_cancel(&test->third);
}

static void
on_second(void *arg)
{
    saw(arg, "2");
}

static void
on_next_turn(void *arg)
{
    struct end_test *test = arg;

    saw(test, "t");
    ew_loop_stop(test->loop);
}

static void
on_asking(void *arg)
{
    struct end_test *test = arg;

    ew_ending_ask(&test->first);
    ew_ending_ask(&test->first);
    ew_ending_ask(&test->third);
    ew_timer_start(&test->next, 5);
    saw(test, "a");
}

static void
on_after_asking(void *arg)
{
    saw(arg, "p");
}

static void
test_what_is_asked_for_is_done_once_at_the_turns_end(void **state)
{
    struct end_test test = {.loop = new_loop(1)};

    (void)state;
    ew_ending_init(&test.first, test.loop, on_first, &test);
    ew_ending_init(&test.second, test.loop, on_second, &test);
    ew_ending_init(&test.third, test.loop, on_second, &test);
    ew_timer_init(&test.next, test.loop, on_next_turn, &test);
    ew_ending_ask(&test.second); /* before the loop runs */
    ew_loop_post(test.loop, on_asking, &test);
    ew_loop_post(test.loop, on_after_asking, &test);
    ew_loop_run(test.loop);
    assert_string_equal(test.seen, "2ap12t");
    ew_loop_free(test.loop);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_watch_reports_what_was_asked),
        cmocka_unit_test(test_an_error_shows_as_both_until_handled),
        cmocka_unit_test(test_same_descriptor_number_again),
        cmocka_unit_test(test_bad_descriptor_is_an_error),
        cmocka_unit_test(test_idle_loop_ticks_and_sees_a_jump),
        cmocka_unit_test(test_signals_arrive_on_the_loop),
        cmocka_unit_test(test_what_is_asked_for_is_done_once_at_the_turns_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
