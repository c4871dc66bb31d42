/*
 * A chained hash table; FNV-1a over a random seed.
 */
#include "base/table.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"

struct entry {
    struct entry *next;
    uint64_t hash;
    void *value;
    char key[];
};

struct ew_table {
    struct entry **slots;
    size_t size, count;
    uint64_t seed;
};

struct ew_table *
ew_table_new(void)
{
    struct ew_table *table = ew_calloc(1, sizeof(*table));

    table->size = 16;
    table->slots = ew_calloc(table->size, sizeof(struct entry *));
    ew_random_bytes(&table->seed, sizeof(table->seed));
    return table;
}

void
ew_table_free(struct ew_table *table)
{
    if (table == NULL)
        return;
    for (size_t i = 0; i < table->size; i++) {
        struct entry *entry = table->slots[i], *next;

        for (; entry != NULL; entry = next) {
            next = entry->next;
            free(entry);
        }
    }
    free(table->slots);
    free(table);
}

static uint64_t
hash_of(const struct ew_table *table, const char *key)
{
    uint64_t hash = 14695981039346656037u ^ table->seed;

    for (; *key != '\0'; key++)
        hash = (hash ^ (uint8_t)*key) * 1099511628211u;
    return hash ^ hash >> 29;
}

/* The pointer that points to the entry of a key, or to the NULL where it would hang. */
static struct entry **
place_of(const struct ew_table *table, const char *key, uint64_t hash)
{
    struct entry **at = &table->slots[hash & (table->size - 1)];

    while (*at != NULL && ((*at)->hash != hash || strcmp((*at)->key, key) != 0))
        at = &(*at)->next;
    return at;
}

void *
ew_table_get(const struct ew_table *table, const char *key)
{
    struct entry *entry = *place_of(table, key, hash_of(table, key));

    return entry == NULL ? NULL : entry->value;
}

static void
grow(struct ew_table *table)
{
    size_t size = table->size * 2;
    struct entry **slots = ew_calloc(size, sizeof(struct entry *));

    for (size_t i = 0; i < table->size; i++) {
        struct entry *entry = table->slots[i], *next;

        for (; entry != NULL; entry = next) {
            next = entry->next;
            entry->next = slots[entry->hash & (size - 1)];
            slots[entry->hash & (size - 1)] = entry;
        }
    }
    free(table->slots);
    table->slots = slots;
    table->size = size;
}

void
ew_table_put(struct ew_table *table, const char *key, void *value)
{
    uint64_t hash = hash_of(table, key);
    struct entry **at = place_of(table, key, hash), *entry = *at;
    size_t len = strlen(key);

    if (entry != NULL) {
        entry->value = value;
        return;
    }
    entry = ew_calloc(1, sizeof(*entry) + len + 1);
    memcpy(entry->key, key, len);
    entry->hash = hash;
    entry->value = value;
    *at = entry;
    if (++table->count > table->size)
        grow(table);
}

void *
ew_table_remove(struct ew_table *table, const char *key)
{
    struct entry **at = place_of(table, key, hash_of(table, key)), *entry = *at;
    void *value;

    if (entry == NULL)
        return NULL;
    value = entry->value;
    *at = entry->next;
    free(entry);
    table->count--;
    return value;
}

size_t
ew_table_count(const struct ew_table *table)
{
    return table->count;
}

void
ew_table_each(const struct ew_table *table, void (*visit)(void *ctx, const char *key, void *value),
              void *ctx)
{
    for (size_t i = 0; i < table->size; i++) {
        struct entry *entry = table->slots[i], *next;

        for (; entry != NULL; entry = next) {
            next = entry->next;
            visit(ctx, entry->key, entry->value);
        }
    }
}
