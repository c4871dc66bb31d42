/*
 * The inside of the loop: what its files share. Not for other rooms: uv.h stays here.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "loop/loop.h"

/* A function waiting for its turn: posted to the loop, or for the pool (then done is set). */
struct ew_task {
    struct ew_task *next;
    void (*fn)(void *arg);
    void (*done)(void *arg);
    void *arg;
};

/* First in, first out. */
struct ew_task_queue {
    struct ew_task *first, *last;
};

void ew_task_push(struct ew_task_queue *queue, struct ew_task *task);
struct ew_task *ew_task_pop(struct ew_task_queue *queue);
/* Never NULL: aborts without memory. */
struct ew_task *ew_task_new(void (*fn)(void *arg), void (*done)(void *arg), void *arg);

/* A binary heap, earliest first; of the same time, first armed first. Place 0 is not used. */
struct ew_timer_heap {
    struct ew_timer_entry {
        struct ew_timer *timer;
        uint64_t serial;
    } *entries;
    size_t count, cap;
    uint64_t next_serial;
};

void ew_timer_heap_deinit(struct ew_timer_heap *heap);
/* Calls those that are due at now_ms and were armed before this call. */
void ew_timer_heap_fire(struct ew_timer_heap *heap, int64_t now_ms);
/* Milliseconds until the first one, at most max_ms. */
int64_t ew_timer_heap_wait(const struct ew_timer_heap *heap, int64_t now_ms, int64_t max_ms);

struct ew_pool;
EW_CHECK enum ew_fault ew_pool_new(struct ew_loop *loop, unsigned threads, struct ew_pool **out,
                                   struct ew_err *err);
/* Waits for what is running; what is still queued is dropped. NULL is fine. */
void ew_pool_free(struct ew_pool *pool);
/* last: after all that are not. */
void ew_pool_put(struct ew_pool *pool, struct ew_task *task, bool last);

struct ew_loop {
    const struct ew_clock *clock;
    uv_loop_t uv;
    uv_async_t wake;
    uv_prepare_t before_poll;
    uv_check_t after_poll;
    uv_timer_t alarm;
    uv_signal_t signals[2];
    void (*on_signal)(void *arg, int signo);
    void *on_signal_arg;
    struct ew_timer_heap timers;
    struct ew_list endings; /* asked for, in this order */
    struct ew_pool *pool;
    int64_t now_ms; /* when the turn began; stale while `turning` is false */
    bool turning;   /* a callback of this turn has run */
    bool stopped;   /* no timer and no post runs any more */
    _Atomic int64_t tick_ms;
    pthread_mutex_t posts_lock;
    struct ew_task_queue posts; /* under posts_lock */
};

/* To be called first by every callback that libuv calls: takes the time once a turn. */
void ew_loop_begin_turn(struct ew_loop *loop);
