/*
 * A hash table from text to pointers. The table owns copies of the keys, never the values.
 * Keys are hashed with a per-process random seed. Not thread-safe.
 */
#pragma once

#include <stddef.h>

struct ew_table;

struct ew_table *ew_table_new(void); /* never NULL */
void ew_table_free(struct ew_table *table);
void *ew_table_get(const struct ew_table *table, const char *key);
/* Replaces what was there. */
void ew_table_put(struct ew_table *table, const char *key, void *value);
/* The value removed, or NULL. */
void *ew_table_remove(struct ew_table *table, const char *key);
size_t ew_table_count(const struct ew_table *table);
/* Every entry once, in no order; the visitor must not change the table. */
void ew_table_each(const struct ew_table *table,
                   void (*visit)(void *ctx, const char *key, void *value), void *ctx);
