/*
 * Which offsets of one partition are open, started and done: kept in memory, committed as the
 * offset's metadata. Pure; not thread-safe; knows nothing of Kafka's API.
 *
 * The committed base is the lowest open offset. Between base and frontier (the highest offset
 * started or done) every open offset is listed; what is not listed there is done or never existed
 * (transaction markers, compaction). Above the frontier nothing was touched.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
    EW_MAP_CHARS = 4096,    /* the broker's offset.metadata.max.bytes, in Java chars */
    EW_MAP_BUDGET = 3600,   /* no new offset is started beyond this */
    EW_MAP_OPEN = 1500,     /* open offsets, also those only waiting behind others */
    EW_MAP_WINDOW = 200000, /* offsets from base to the highest seen */
};

struct ew_offset_map;

/* Never NULL, here and below. */
struct ew_offset_map *ew_offset_map_new(int64_t base);
struct ew_offset_map *ew_offset_map_copy(const struct ew_offset_map *map);
void ew_offset_map_free(struct ew_offset_map *map);

/* A record was received. Offsets must rise; done ones are not received again (EW_BUG; ask
 * ew_offset_map_mark first). EW_RETRY: the map is full (EW_MAP_OPEN or window). */
EW_CHECK enum ew_fault ew_offset_map_receive(struct ew_offset_map *map, int64_t offset);
/* The consumer has seen the end of the partition: nothing exists below `offset` that was not
 * received. Lets the base pass transaction markers. */
void ew_offset_map_at_end(struct ew_offset_map *map, int64_t offset);

/* How many offsets that a decoded map listed as open were passed over by a higher one: the broker
 * does not have them any more. They no longer count as open. */
uint64_t ew_offset_map_vanished(const struct ew_offset_map *map);

/* EW_BUG when the offset is not open. Starting twice is fine. */
EW_CHECK enum ew_fault ew_offset_map_start(struct ew_offset_map *map, int64_t offset);
EW_CHECK enum ew_fault ew_offset_map_finish(struct ew_offset_map *map, int64_t offset);

enum ew_offset_mark { EW_OFF_UNTOUCHED, EW_OFF_STARTED, EW_OFF_DONE };
/* What the map says of any offset, received or not. */
enum ew_offset_mark ew_offset_map_mark(const struct ew_offset_map *map, int64_t offset);

int64_t ew_offset_map_base(const struct ew_offset_map *map);
size_t ew_offset_map_open(const struct ew_offset_map *map);
uint32_t ew_offset_map_epoch(const struct ew_offset_map *map);
void ew_offset_map_set_epoch(struct ew_offset_map *map, uint32_t epoch);
/* A number that each commit raises, so that two commits never look the same. */
uint32_t ew_offset_map_sequence(const struct ew_offset_map *map);
void ew_offset_map_set_sequence(struct ew_offset_map *map, uint32_t sequence);

/* After a foreign commit: whatever is open below this offset may have been started by an owner
 * whose map is lost. Kept in the text until the base has passed it. The base itself = no doubt. */
int64_t ew_offset_map_doubt(const struct ew_offset_map *map);
void ew_offset_map_set_doubt(struct ew_offset_map *map, int64_t below);

/* Exact number of characters that ew_offset_map_encode() would write. */
size_t ew_offset_map_chars(const struct ew_offset_map *map);
/* ASCII, NUL-terminated. EW_RETRY when it would not fit EW_MAP_CHARS. */
EW_CHECK enum ew_fault ew_offset_map_encode(const struct ew_offset_map *map,
                                            char out[EW_MAP_CHARS + 1]);

enum ew_map_kind {
    EW_MAP_OURS,    /* decoded */
    EW_MAP_FOREIGN, /* no tag of ours: somebody else's commit, or none */
    EW_MAP_NEWER,   /* ours, in a format this version does not know: do not touch */
    EW_MAP_BROKEN,  /* our tag, but the rest does not decode, or not with this base: do not touch */
};
/* text need not be NUL-terminated. *out is given only for EW_MAP_OURS; the open offsets it lists
 * count as known but not received: receiving one again is how it comes back. */
enum ew_map_kind ew_offset_map_decode(int64_t base, const char *text, size_t len,
                                      struct ew_offset_map **out);
