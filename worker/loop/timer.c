/*
 * Timers: a binary heap by boot time. Each timer knows its place, so that cancelling is cheap:
 * most timers are timeouts that never fire.
 */
#include <stdlib.h>

#include "base/memory.h"
#include "loop_private.h"

static bool
earlier(const struct ew_timer_entry *a, const struct ew_timer_entry *b)
{
    if (a->timer->due_ms != b->timer->due_ms)
        return a->timer->due_ms < b->timer->due_ms;
    return a->serial < b->serial;
}

static void
place(struct ew_timer_heap *heap, size_t slot, struct ew_timer_entry entry)
{
    heap->entries[slot] = entry;
    entry.timer->slot = slot;
}

static void
sift_up(struct ew_timer_heap *heap, size_t slot, struct ew_timer_entry entry)
{
    while (slot > 1 && earlier(&entry, &heap->entries[slot / 2])) {
        place(heap, slot, heap->entries[slot / 2]);
        slot /= 2;
    }
    place(heap, slot, entry);
}

static void
sift_down(struct ew_timer_heap *heap, size_t slot, struct ew_timer_entry entry)
{
    for (;;) {
        size_t child = slot * 2;

        if (child > heap->count)
            break;
        if (child < heap->count && earlier(&heap->entries[child + 1], &heap->entries[child]))
            child++;
        if (!earlier(&heap->entries[child], &entry))
            break;
        place(heap, slot, heap->entries[child]);
        slot = child;
    }
    place(heap, slot, entry);
}

static void
heap_add(struct ew_timer_heap *heap, struct ew_timer *timer)
{
    if (heap->count + 1 >= heap->cap) {
        size_t cap = heap->cap ? heap->cap * 2 : 64;

        heap->entries = ew_realloc(heap->entries, cap * sizeof(*heap->entries));
        heap->cap = cap;
    }
    heap->count++;
    sift_up(heap, heap->count,
            (struct ew_timer_entry){.timer = timer, .serial = heap->next_serial++});
}

static void
heap_remove(struct ew_timer_heap *heap, size_t slot)
{
    struct ew_timer_entry last = heap->entries[heap->count];

    heap->entries[slot].timer->slot = 0;
    heap->count--;
    if (slot > heap->count)
        return;
    if (slot > 1 && earlier(&last, &heap->entries[slot / 2]))
        sift_up(heap, slot, last);
    else
        sift_down(heap, slot, last);
}

void
ew_timer_heap_deinit(struct ew_timer_heap *heap)
{
    free(heap->entries);
    *heap = (struct ew_timer_heap){0};
}

void
ew_timer_heap_fire(struct ew_timer_heap *heap, int64_t now_ms)
{
    uint64_t end = heap->next_serial;

    while (heap->count > 0) {
        struct ew_timer_entry first = heap->entries[1];

        /* One armed meanwhile sorts behind all older ones that are due: it ends the round. */
        if (first.timer->due_ms > now_ms || first.serial >= end)
            return;
        heap_remove(heap, 1);
        first.timer->fn(first.timer->arg);
    }
}

int64_t
ew_timer_heap_wait(const struct ew_timer_heap *heap, int64_t now_ms, int64_t max_ms)
{
    int64_t wait;

    if (heap->count == 0)
        return max_ms;
    wait = heap->entries[1].timer->due_ms - now_ms;
    if (wait < 0)
        return 0;
    return wait < max_ms ? wait : max_ms;
}

void
ew_timer_init(struct ew_timer *timer, struct ew_loop *loop, void (*fn)(void *arg), void *arg)
{
    *timer = (struct ew_timer){.loop = loop, .fn = fn, .arg = arg};
}

void
ew_timer_start(struct ew_timer *timer, int64_t delay_ms)
{
    ew_timer_cancel(timer);
    timer->due_ms = ew_loop_now(timer->loop) + (delay_ms > 0 ? delay_ms : 0);
    heap_add(&timer->loop->timers, timer);
}

void
ew_timer_cancel(struct ew_timer *timer)
{
    if (timer->slot != 0)
        heap_remove(&timer->loop->timers, timer->slot);
}

bool
ew_timer_armed(const struct ew_timer *timer)
{
    return timer->slot != 0;
}
