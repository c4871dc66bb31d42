/*
 * The inside of an offset map, shared by the map and its codec. Not for anybody
 * else.
 */
#pragma once

#include "kafka/offset_map.h"

struct ew_open {
    int64_t offset;
    bool started;
    bool received; /* false: only known from a decoded map */
};

struct ew_offset_map {
    struct ew_open *open; /* ascending */
    size_t count;
    size_t cap;
    int64_t next;    /* one past the highest offset received, or seen as the end */
    int64_t touched; /* one past the highest offset started or done (the frontier) */
    int64_t doubt;   /* open offsets below it are in doubt */
    uint64_t vanished;
    uint32_t epoch;
    uint32_t sequence;
};

/* Appends; the offset must be above all others. */
void ew_offset_map_append(struct ew_offset_map *map, const struct ew_open *open);
