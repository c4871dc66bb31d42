/*
 * Memory that lives as long as one piece of work: many small allocations, one free, one limit.
 * Not thread-safe. Secrets belong into struct ew_buf, not here.
 */
#pragma once

#include <stddef.h>

struct ew_arena;

/* max: bytes that may be handed out in all. Never NULL. */
struct ew_arena *ew_arena_new(size_t max);
void ew_arena_free(struct ew_arena *arena);

/* Zeroed, aligned for any type. NULL beyond the limit, and for nothing else. */
void *ew_arena_alloc(struct ew_arena *arena, size_t size);
/* Copies len bytes and a NUL. */
char *ew_arena_strndup(struct ew_arena *arena, const char *text, size_t len);
char *ew_arena_strdup(struct ew_arena *arena, const char *text);
void *ew_arena_memdup(struct ew_arena *arena, const void *data, size_t len);
/* Bytes handed out so far, for budgets. */
size_t ew_arena_used(const struct ew_arena *arena);
