/*
 * An arena of chained blocks.
 */
#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { BLOCK = 4096 };

struct block {
    struct block *next;
    size_t used, size;
    alignas(max_align_t) uint8_t data[];
};

struct ew_arena {
    struct block *blocks;
    size_t used, max;
};

struct ew_arena *
ew_arena_new(size_t max)
{
    struct ew_arena *arena = ew_calloc(1, sizeof(*arena));

    arena->max = max;
    return arena;
}

void
ew_arena_free(struct ew_arena *arena)
{
    struct block *block, *next;

    if (arena == NULL)
        return;
    for (block = arena->blocks; block != NULL; block = next) {
        next = block->next;
        free(block);
    }
    free(arena);
}

static struct block *
block_with(struct ew_arena *arena, size_t size)
{
    struct block *block = arena->blocks;
    size_t room = size > BLOCK ? size : BLOCK;

    if (block != NULL && block->size - block->used >= size)
        return block;
    block = ew_calloc(1, sizeof(*block) + room);
    block->size = room;
    block->next = arena->blocks;
    arena->blocks = block;
    return block;
}

void *
ew_arena_alloc(struct ew_arena *arena, size_t size)
{
    size_t align = alignof(max_align_t), whole;
    struct block *block;
    void *memory;

    if (size > arena->max - arena->used || size > SIZE_MAX / 2)
        return NULL;
    whole = (size + align - 1) / align * align;
    block = block_with(arena, whole);
    arena->used += size;
    memory = block->data + block->used;
    block->used += whole;
    return memory;
}

char *
ew_arena_strndup(struct ew_arena *arena, const char *text, size_t len)
{
    char *copy = len == SIZE_MAX ? NULL : ew_arena_alloc(arena, len + 1);

    if (copy != NULL && len > 0)
        memcpy(copy, text, len);
    return copy;
}

char *
ew_arena_strdup(struct ew_arena *arena, const char *text)
{
    return ew_arena_strndup(arena, text, strlen(text));
}

void *
ew_arena_memdup(struct ew_arena *arena, const void *data, size_t len)
{
    return ew_arena_strndup(arena, data, len);
}

size_t
ew_arena_used(const struct ew_arena *arena)
{
    return arena->used;
}
