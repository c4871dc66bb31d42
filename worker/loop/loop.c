/*
 * The loop's frame: turns, posts, signals, beginning and end. Timers, descriptors and the pool
 * have files of their own.
 */
#include <signal.h>
#include <stdlib.h>

#include "base/memory.h"
#include "loop_private.h"

/* An idle loop still turns this often: the liveness probe reads the tick, and a clock that went on
 * while the machine slept (libuv's stands still then) is noticed. */
enum { EW_LOOP_IDLE_MS = 500 };

/* How long posts may take of one turn. Beyond it timers and descriptors come first: a long backlog
 * that arrives at once must not look like peers that do not answer. */
enum { EW_LOOP_POSTS_MS = 10 };

void
ew_task_push(struct ew_task_queue *queue, struct ew_task *task)
{
    task->next = NULL;
    if (queue->last)
        queue->last->next = task;
    else
        queue->first = task;
    queue->last = task;
}

struct ew_task *
ew_task_pop(struct ew_task_queue *queue)
{
    struct ew_task *task = queue->first;

    if (task == NULL)
        return NULL;
    queue->first = task->next;
    if (queue->first == NULL)
        queue->last = NULL;
    return task;
}

struct ew_task *
ew_task_new(void (*fn)(void *arg), void (*done)(void *arg), void *arg)
{
    struct ew_task *task = ew_malloc(sizeof(*task));

    *task = (struct ew_task){.fn = fn, .done = done, .arg = arg};
    return task;
}

void
ew_loop_begin_turn(struct ew_loop *loop)
{
    if (loop->turning)
        return;
    loop->turning = true;
    loop->now_ms = ew_boot_ms(loop->clock);
    atomic_store_explicit(&loop->tick_ms, loop->now_ms, memory_order_relaxed);
}

static void
on_alarm(uv_timer_t *alarm)
{
    (void)alarm; /* only ends the wait: on_after_poll does the work */
}

void
ew_ending_init(struct ew_ending *ending, struct ew_loop *loop, void (*fn)(void *arg), void *arg)
{
    *ending = (struct ew_ending){.loop = loop, .fn = fn, .arg = arg};
}

void
ew_ending_ask(struct ew_ending *ending)
{
    if (!ew_link_linked(&ending->link))
        ew_list_append(&ending->loop->endings, &ending->link);
}

void
ew_ending_cancel(struct ew_ending *ending)
{
    ew_link_remove(&ending->link);
}

static void
end_turn(struct ew_loop *loop)
{
    struct ew_link *link;

    while ((link = ew_list_first(&loop->endings)) != NULL) {
        struct ew_ending *ending = EW_CONTAINER(link, struct ew_ending, link);

        ew_link_remove(link);
        ew_loop_begin_turn(loop); /* asked for before the loop ran */
        ending->fn(ending->arg);
    }
}

static void
on_before_poll(uv_prepare_t *handle)
{
    struct ew_loop *loop = handle->data;
    int64_t wait;

    end_turn(loop);
    wait = ew_timer_heap_wait(&loop->timers, ew_boot_ms(loop->clock), (int64_t)EW_LOOP_IDLE_MS);
    loop->turning = false;
    /* libuv counts from the beginning of its own iteration; without this the wait were too short
     * by as long as the callbacks took, and the loop would turn once more for nothing. */
    uv_update_time(&loop->uv);
    uv_timer_start(&loop->alarm, on_alarm, (uint64_t)wait, 0);
}

static void
on_after_poll(uv_check_t *handle)
{
    struct ew_loop *loop = handle->data;

    if (loop->stopped)
        return;
    ew_loop_begin_turn(loop);
    ew_timer_heap_fire(&loop->timers, loop->now_ms);
}

/* Before those that came meanwhile. */
static void
put_back(struct ew_loop *loop, struct ew_task_queue *rest)
{
    pthread_mutex_lock(&loop->posts_lock);
    rest->last->next = loop->posts.first;
    if (loop->posts.first == NULL)
        loop->posts.last = rest->last;
    loop->posts.first = rest->first;
    pthread_mutex_unlock(&loop->posts_lock);
    uv_async_send(&loop->wake);
}

static void
on_wake(uv_async_t *handle)
{
    struct ew_loop *loop = handle->data;
    struct ew_task_queue batch;
    struct ew_task *task;

    if (loop->stopped)
        return;
    ew_loop_begin_turn(loop);
    pthread_mutex_lock(&loop->posts_lock);
    batch = loop->posts;
    loop->posts = (struct ew_task_queue){0};
    pthread_mutex_unlock(&loop->posts_lock);
    while ((task = ew_task_pop(&batch)) != NULL) {
        task->fn(task->arg);
        free(task);
        if (batch.first != NULL &&
            (loop->stopped || ew_boot_ms(loop->clock) - loop->now_ms >= EW_LOOP_POSTS_MS)) {
            put_back(loop, &batch);
            return;
        }
    }
}

void
ew_loop_post(struct ew_loop *loop, void (*fn)(void *arg), void *arg)
{
    struct ew_task *task = ew_task_new(fn, NULL, arg);

    pthread_mutex_lock(&loop->posts_lock);
    ew_task_push(&loop->posts, task);
    pthread_mutex_unlock(&loop->posts_lock);
    uv_async_send(&loop->wake);
}

void
ew_loop_offload(struct ew_loop *loop, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
    ew_pool_put(loop->pool, ew_task_new(work, done, arg), false);
}

void
ew_loop_offload_last(struct ew_loop *loop, void (*work)(void *arg), void (*done)(void *arg),
                     void *arg)
{
    ew_pool_put(loop->pool, ew_task_new(work, done, arg), true);
}

static enum ew_fault
start_handles(struct ew_loop *loop, struct ew_err *err)
{
    int rc = uv_async_init(&loop->uv, &loop->wake, on_wake);

    if (rc != 0)
        return ew_fail(err, EW_RETRY, "loop-start", "uv_async_init: %s", uv_strerror(rc));
    loop->wake.data = loop;
    /* None of these can fail. */
    uv_prepare_init(&loop->uv, &loop->before_poll);
    loop->before_poll.data = loop;
    uv_prepare_start(&loop->before_poll, on_before_poll);
    uv_check_init(&loop->uv, &loop->after_poll);
    loop->after_poll.data = loop;
    uv_check_start(&loop->after_poll, on_after_poll);
    uv_timer_init(&loop->uv, &loop->alarm);
    return EW_OK;
}

enum ew_fault
ew_loop_new(const struct ew_clock *clock, unsigned pool_threads, struct ew_loop **out,
            struct ew_err *err)
{
    struct ew_loop *loop = ew_calloc(1, sizeof(*loop));
    enum ew_fault fault;
    int rc;

    rc = uv_loop_init(&loop->uv);
    if (rc != 0) {
        free(loop);
        return ew_fail(err, EW_RETRY, "loop-start", "uv_loop_init: %s", uv_strerror(rc));
    }
    loop->clock = clock;
    loop->now_ms = ew_boot_ms(clock);
    atomic_init(&loop->tick_ms, loop->now_ms);
    pthread_mutex_init(&loop->posts_lock, NULL);
    ew_list_init(&loop->endings);
    fault = start_handles(loop, err);
    if (fault == EW_OK)
        fault = ew_pool_new(loop, pool_threads, &loop->pool, err);
    if (fault != EW_OK) {
        ew_loop_free(loop);
        return fault;
    }
    *out = loop;
    return EW_OK;
}

static void
close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (uv_is_closing(handle))
        return;
    if (handle->type == UV_POLL)
        ew_watch_free(handle->data); /* its owner forgot it: better a closed door than a leak */
    else
        uv_close(handle, NULL);
}

void
ew_loop_end_pool(struct ew_loop *loop)
{
    if (loop == NULL)
        return;
    ew_pool_free(loop->pool);
    loop->pool = NULL;
}

void
ew_loop_free(struct ew_loop *loop)
{
    struct ew_task *task;

    if (loop == NULL)
        return;
    ew_loop_end_pool(loop);
    uv_walk(&loop->uv, close_handle, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    uv_loop_close(&loop->uv);
    /* What was posted belongs to owners that may be gone by now: it is not called any more. */
    while ((task = ew_task_pop(&loop->posts)) != NULL)
        free(task);
    pthread_mutex_destroy(&loop->posts_lock);
    ew_timer_heap_deinit(&loop->timers);
    free(loop);
}

void
ew_loop_run(struct ew_loop *loop)
{
    loop->stopped = false;
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    loop->turning = false;
}

void
ew_loop_stop(struct ew_loop *loop)
{
    loop->stopped = true;
    uv_stop(&loop->uv);
}

int64_t
ew_loop_now(const struct ew_loop *loop)
{
    return loop->turning ? loop->now_ms : ew_boot_ms(loop->clock);
}

int64_t
ew_loop_tick(const struct ew_loop *loop)
{
    return atomic_load_explicit(&loop->tick_ms, memory_order_relaxed);
}

static void
on_signal(uv_signal_t *handle, int signo)
{
    struct ew_loop *loop = handle->data;

    ew_loop_begin_turn(loop);
    loop->on_signal(loop->on_signal_arg, signo);
}

enum ew_fault
ew_loop_on_signal(struct ew_loop *loop, void (*fn)(void *arg, int signo), void *arg,
                  struct ew_err *err)
{
    static const int numbers[] = {SIGTERM, SIGINT};

    loop->on_signal = fn;
    loop->on_signal_arg = arg;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        uv_signal_t *handle = &loop->signals[i];
        int rc;

        if (handle->type != UV_SIGNAL) {
            rc = uv_signal_init(&loop->uv, handle);
            if (rc != 0)
                return ew_fail(err, EW_RETRY, "loop-signal", "uv_signal_init: %s", uv_strerror(rc));
            handle->data = loop;
        }
        rc = uv_signal_start(handle, on_signal, numbers[i]);
        if (rc != 0)
            return ew_fail(err, EW_RETRY, "loop-signal", "uv_signal_start: %s", uv_strerror(rc));
    }
    return EW_OK;
}
