/*
 * Open addressing with FNV-1a; no removal, because no order is ever forgotten.
 */
#include "map.h"

#include "buf.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static size_t
sim_map_find(const struct sim_map *map, const char *key)
{
    uint64_t hash = 1469598103934665603u;
    for (const unsigned char *c = (const unsigned char *)key; *c; c++) {
        hash = (hash ^ *c) * 1099511628211u;
    }
    size_t at = (size_t)(hash ^ (hash >> 32)) & (map->size - 1);
    while (map->slots[at].key && strcmp(map->slots[at].key, key) != 0) {
        at = (at + 1) & (map->size - 1);
    }
    return at;
}

static void
sim_map_grow(struct sim_map *map)
{
    struct sim_map old = *map;
    map->size = old.size ? old.size * 2 : 1024;
    map->slots = sim_alloc(map->size * sizeof(*map->slots));
    for (size_t i = 0; i < old.size; i++) {
        if (old.slots[i].key) {
            map->slots[sim_map_find(map, old.slots[i].key)] = old.slots[i];
        }
    }
    free(old.slots);
}

void
sim_map_deinit(struct sim_map *map)
{
    free(map->slots);
    memset(map, 0, sizeof(*map));
}

void *
sim_map_get(const struct sim_map *map, const char *key)
{
    return map->size ? map->slots[sim_map_find(map, key)].value : NULL;
}

void
sim_map_put(struct sim_map *map, const char *key, void *value)
{
    if ((map->used + 1) * 2 > map->size) {
        sim_map_grow(map);
    }
    size_t at = sim_map_find(map, key);
    if (!map->slots[at].key) {
        map->slots[at].key = key;
        map->used++;
    }
    map->slots[at].value = value;
}
