/*
 * The one event loop: timers, watched descriptors, wake-ups from other threads, off-loaded work.
 * Callbacks run on the loop's thread, one at a time, and must not block.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"

struct ew_loop;

/* pool_threads: threads for ew_loop_offload, 1-16. thread: main, before any other call. */
EW_CHECK enum ew_fault ew_loop_new(const struct ew_clock *clock, unsigned pool_threads,
                                   struct ew_loop **out, struct ew_err *err);
/* Every watch and timer must have been freed; runs what still has to close. NULL is fine. */
void ew_loop_free(struct ew_loop *loop);
/* Waits for what the pool is working on, of which nothing is called back; no more work is taken.
 * Before the owners of that work go. thread: main, after run */
void ew_loop_end_pool(struct ew_loop *loop);
/* Runs until ew_loop_stop. The calling thread becomes the loop's thread. */
void ew_loop_run(struct ew_loop *loop);
/* Of what is due then no post runs, and no watch or timer after a post has said so. thread: loop */
void ew_loop_stop(struct ew_loop *loop);

/* Milliseconds of CLOCK_BOOTTIME when this turn of the loop began. thread: loop */
int64_t ew_loop_now(const struct ew_loop *loop);
/* Boot time at which the loop last began a turn, for the liveness probe. Any thread. */
int64_t ew_loop_tick(const struct ew_loop *loop);

/* Calls fn(arg) on the loop's thread, in the order of the posts of each thread. Never blocks but
 * for a mutex. Any thread, also the loop's (runs later, not at once). Aborts when memory is out:
 * a lost post would be a lost request. */
void ew_loop_post(struct ew_loop *loop, void (*fn)(void *arg), void *arg);

/* --- timers; thread: loop. One shot; embed or allocate; must be cancelled before it dies. --- */
struct ew_timer {
    struct ew_loop *loop;
    void (*fn)(void *arg);
    void *arg;
    int64_t due_ms; /* boot time */
    size_t slot;    /* place in the loop's heap, 0 = not armed */
};

void ew_timer_init(struct ew_timer *timer, struct ew_loop *loop, void (*fn)(void *arg), void *arg);
/* (Re)arms for now + delay_ms; a delay of 0 fires in the next turn, never inside this call. */
void ew_timer_start(struct ew_timer *timer, int64_t delay_ms);
void ew_timer_cancel(struct ew_timer *timer);
bool ew_timer_armed(const struct ew_timer *timer);

/* --- the end of a turn: what many callbacks ask for is done once, before the loop waits again;
 * thread: loop. Embed; must be cancelled before it dies. --- */
struct ew_ending {
    struct ew_link link;
    struct ew_loop *loop;
    void (*fn)(void *arg);
    void *arg;
};

void ew_ending_init(struct ew_ending *ending, struct ew_loop *loop, void (*fn)(void *arg),
                    void *arg);
/* Once, however often it is asked for. Asked for inside an ending's fn: in this turn still. */
void ew_ending_ask(struct ew_ending *ending);
void ew_ending_cancel(struct ew_ending *ending);

/* --- descriptors; thread: loop --- */
enum { EW_READABLE = 1, EW_WRITABLE = 2 };
struct ew_watch;
/* events: what to wait for, 0 to rest. fn gets what is ready; an error shows as both. The
 * descriptor stays the caller's and must outlive the watch. */
EW_CHECK enum ew_fault ew_watch_new(struct ew_loop *loop, int fd, void (*fn)(void *arg, int events),
                                    void *arg, struct ew_watch **out, struct ew_err *err);
void ew_watch_set(struct ew_watch *watch, int events);
/* No callback runs after this returns. NULL is fine. */
void ew_watch_free(struct ew_watch *watch);

/* --- work for the pool: work(arg) on a pool thread, then done(arg) on the loop's thread ---
 * thread: loop. Queued without limit: callers bound what they have in flight. */
void ew_loop_offload(struct ew_loop *loop, void (*work)(void *arg), void (*done)(void *arg),
                     void *arg);
/* The same, but begun only when nothing of the other kind waits: what takes long and can wait. */
void ew_loop_offload_last(struct ew_loop *loop, void (*work)(void *arg), void (*done)(void *arg),
                          void *arg);

/* fn(arg, signo) on the loop's thread for SIGTERM and SIGINT. thread: main, before run. */
EW_CHECK enum ew_fault ew_loop_on_signal(struct ew_loop *loop, void (*fn)(void *arg, int signo),
                                         void *arg, struct ew_err *err);
