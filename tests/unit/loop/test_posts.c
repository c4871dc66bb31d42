/*
 * Proof of posts, which arrive from many threads. These are real: this runs under TSan too.
 */
#include <pthread.h>

#include "loops.h"

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

static void
stop_it(void *arg)
{
    ew_loop_stop(arg);
}

/* What is due by then would speak to owners who have said that they are done. */
static void
test_nothing_runs_in_the_turn_of_the_end(void **state)
{
    struct ew_loop *loop = new_loop(1);
    struct ew_timer timer;

    (void)state;
    ew_loop_post(loop, stop_it, loop);
    ew_loop_post(loop, never, NULL);
    ew_timer_init(&timer, loop, never, NULL);
    ew_timer_start(&timer, 0);
    ew_loop_run(loop);
    ew_timer_cancel(&timer);
    ew_loop_free(loop);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_posts_keep_each_threads_order),
        cmocka_unit_test(test_post_from_the_loop_runs_later),
        cmocka_unit_test(test_long_queue_of_posts_lets_timers_in),
        cmocka_unit_test(test_what_is_left_at_the_end_is_dropped),
        cmocka_unit_test(test_nothing_runs_in_the_turn_of_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
