/*
 * A map from text to a pointer, for the orders. It borrows its keys: they live as long as the map.
 */
#pragma once

#include <stddef.h>

struct sim_map_slot {
    const char *key;
    void *value;
};

struct sim_map {
    struct sim_map_slot *slots;
    size_t size; /* a power of two, or 0 */
    size_t used;
};

void sim_map_deinit(struct sim_map *map);

/* The value put for the key, or NULL. */
void *sim_map_get(const struct sim_map *map, const char *key);

/* Replaces the value of a key that is there already. */
void sim_map_put(struct sim_map *map, const char *key, void *value);
