/*
 * Watching descriptors of others: level-triggered, errors shown as both kinds of readiness.
 */
#include <stdlib.h>

#include "base/memory.h"
#include "loop_private.h"

struct ew_watch {
    uv_poll_t poll;
    struct ew_loop *loop;
    void (*fn)(void *arg, int events);
    void *arg;
    int events;
};

static void on_poll(uv_poll_t *poll, int status, int events);

static void
on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static int
start(struct ew_watch *watch)
{
    int wanted = 0;

    if (watch->events & EW_READABLE)
        wanted |= UV_READABLE;
    if (watch->events & EW_WRITABLE)
        wanted |= UV_WRITABLE;
    return wanted ? uv_poll_start(&watch->poll, wanted, on_poll) : uv_poll_stop(&watch->poll);
}

static void
on_poll(uv_poll_t *poll, int status, int events)
{
    struct ew_watch *watch = poll->data;
    int ready = 0;

    if (watch->loop->stopped)
        return;
    ew_loop_begin_turn(watch->loop);
    if (status < 0) {
        /* libuv has stopped the handle; ours stays on until the owner says otherwise. */
        (void)start(watch);
        ready = EW_READABLE | EW_WRITABLE;
    } else {
        if (events & UV_READABLE)
            ready |= EW_READABLE;
        if (events & UV_WRITABLE)
            ready |= EW_WRITABLE;
    }
    if (ready)
        watch->fn(watch->arg, ready);
}

enum ew_fault
ew_watch_new(struct ew_loop *loop, int fd, void (*fn)(void *arg, int events), void *arg,
             struct ew_watch **out, struct ew_err *err)
{
    struct ew_watch *watch = ew_calloc(1, sizeof(*watch));
    int rc;

    rc = uv_poll_init(&loop->uv, &watch->poll, fd);
    if (rc != 0) {
        free(watch);
        return ew_fail(err, EW_RETRY, "loop-watch", "descriptor %d: %s", fd, uv_strerror(rc));
    }
    watch->poll.data = watch;
    watch->loop = loop;
    watch->fn = fn;
    watch->arg = arg;
    *out = watch;
    return EW_OK;
}

void
ew_watch_set(struct ew_watch *watch, int events)
{
    watch->events = events;
    (void)start(watch); /* fails only for a handle that is closing or a descriptor taken twice */
}

void
ew_watch_free(struct ew_watch *watch)
{
    if (watch == NULL)
        return;
    uv_poll_stop(&watch->poll);
    uv_close((uv_handle_t *)&watch->poll, on_closed);
}
