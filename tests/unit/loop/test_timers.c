/*
 * Proof of timers: they fire in order, and not inside the call that arms them.
 */
#include "loops.h"

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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timers_fire_by_time_then_by_arming),
        cmocka_unit_test(test_cancelled_and_rearmed_timers),
        cmocka_unit_test(test_heap_against_reference),
        cmocka_unit_test(test_busy_timer_starves_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
