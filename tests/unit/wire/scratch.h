/*
 * What a test reads into and writes to, new for each: an arena, bytes, and what was wrong.
 */
#pragma once

#include "bytes.h"

static struct ew_arena *arena;
static struct ew_buf bytes;
static struct ew_err err;

__attribute__((unused)) static int
begin(void **state)
{
    (void)state;
    arena = ew_arena_new(EW_MAX_FLOW_MEMORY);
    ew_buf_init(&bytes, BYTES_MAX);
    return arena == NULL;
}

__attribute__((unused)) static int
end(void **state)
{
    (void)state;
    ew_arena_free(arena);
    ew_buf_deinit(&bytes);
    return 0;
}
