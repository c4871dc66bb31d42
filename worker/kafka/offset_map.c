/*
 * The offset map in memory: an ordered array of open offsets between a base and
 * a frontier. Its text form is in map_codec.c.
 */
#include "kafka/offset_map.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "offset_map_private.h"

struct ew_offset_map *
ew_offset_map_new(int64_t base)
{
    struct ew_offset_map *map = ew_calloc(1, sizeof(*map));

    map->next = base;
    map->touched = base;
    map->doubt = base;
    return map;
}

struct ew_offset_map *
ew_offset_map_copy(const struct ew_offset_map *map)
{
    struct ew_offset_map *copy = ew_malloc(sizeof(*copy));

    *copy = *map;
    copy->open = NULL;
    copy->cap = 0;
    if (map->count > 0) {
        copy->open = ew_malloc(map->count * sizeof(*copy->open));
        memcpy(copy->open, map->open, map->count * sizeof(*copy->open));
        copy->cap = map->count;
    }
    return copy;
}

void
ew_offset_map_free(struct ew_offset_map *map)
{
    if (map == NULL)
        return;
    free(map->open);
    free(map);
}

/* The first entry at or above `offset`; count when there is none. */
static size_t
lower_bound(const struct ew_offset_map *map, int64_t offset)
{
    size_t low = 0;
    size_t high = map->count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (map->open[mid].offset < offset)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct ew_open *
find(const struct ew_offset_map *map, int64_t offset)
{
    size_t at = lower_bound(map, offset);

    if (at == map->count || map->open[at].offset != offset)
        return NULL;
    return &map->open[at];
}

void
ew_offset_map_append(struct ew_offset_map *map, const struct ew_open *open)
{
    if (map->count == map->cap) {
        map->cap = map->cap > 0 ? map->cap * 2 : 32;
        map->open = ew_realloc(map->open, map->cap * sizeof(*map->open));
    }
    map->open[map->count++] = *open;
}

/* Entries of a decoded map that were passed over: the broker does not have them
 * any more, and keeping them open would pin the base for ever. */
static void
drop_vanished(struct ew_offset_map *map, int64_t below)
{
    size_t kept = 0;
    size_t end = lower_bound(map, below);

    for (size_t i = 0; i < end; i++) {
        if (map->open[i].received)
            map->open[kept++] = map->open[i];
        else
            map->vanished++;
    }
    if (kept == end)
        return;
    memmove(&map->open[kept], &map->open[end], (map->count - end) * sizeof(*map->open));
    map->count -= end - kept;
}

enum ew_fault
ew_offset_map_receive(struct ew_offset_map *map, int64_t offset)
{
    struct ew_open *known;

    if (offset < map->next)
        return EW_BUG;
    known = find(map, offset);
    if (known == NULL && offset < map->touched)
        return EW_BUG;
    if (known == NULL) {
        if (map->count >= EW_MAP_OPEN)
            return EW_RETRY;
        if (map->count > 0 && offset - map->open[0].offset >= EW_MAP_WINDOW)
            return EW_RETRY;
        ew_offset_map_append(map, &(struct ew_open){.offset = offset, .received = true});
    } else {
        known->received = true;
    }
    drop_vanished(map, offset);
    map->next = offset + 1;
    return EW_OK;
}

void
ew_offset_map_at_end(struct ew_offset_map *map, int64_t offset)
{
    if (offset <= map->next)
        return;
    drop_vanished(map, offset);
    map->next = offset;
}

static void
touch(struct ew_offset_map *map, int64_t offset)
{
    if (offset >= map->touched)
        map->touched = offset + 1;
}

enum ew_fault
ew_offset_map_start(struct ew_offset_map *map, int64_t offset)
{
    struct ew_open *open = find(map, offset);

    if (open == NULL)
        return EW_BUG;
    open->started = true;
    touch(map, offset);
    return EW_OK;
}

enum ew_fault
ew_offset_map_finish(struct ew_offset_map *map, int64_t offset)
{
    struct ew_open *open = find(map, offset);
    size_t at;

    if (open == NULL)
        return EW_BUG;
    at = (size_t)(open - map->open);
    memmove(open, open + 1, (map->count - at - 1) * sizeof(*open));
    map->count--;
    touch(map, offset);
    return EW_OK;
}

enum ew_offset_mark
ew_offset_map_mark(const struct ew_offset_map *map, int64_t offset)
{
    const struct ew_open *open = find(map, offset);

    if (open != NULL)
        return open->started ? EW_OFF_STARTED : EW_OFF_UNTOUCHED;
    if (offset < map->touched || offset < ew_offset_map_base(map))
        return EW_OFF_DONE;
    return EW_OFF_UNTOUCHED;
}

int64_t
ew_offset_map_base(const struct ew_offset_map *map)
{
    if (map->count > 0)
        return map->open[0].offset;
    return map->next > map->touched ? map->next : map->touched;
}

size_t
ew_offset_map_open(const struct ew_offset_map *map)
{
    return map->count;
}

uint64_t
ew_offset_map_vanished(const struct ew_offset_map *map)
{
    return map->vanished;
}

int64_t
ew_offset_map_doubt(const struct ew_offset_map *map)
{
    return map->doubt;
}

void
ew_offset_map_set_doubt(struct ew_offset_map *map, int64_t below)
{
    map->doubt = below;
}

uint32_t
ew_offset_map_epoch(const struct ew_offset_map *map)
{
    return map->epoch;
}

void
ew_offset_map_set_epoch(struct ew_offset_map *map, uint32_t epoch)
{
    map->epoch = epoch;
}

uint32_t
ew_offset_map_sequence(const struct ew_offset_map *map)
{
    return map->sequence;
}

void
ew_offset_map_set_sequence(struct ew_offset_map *map, uint32_t sequence)
{
    map->sequence = sequence;
}
