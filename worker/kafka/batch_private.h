/*
 * A transaction in the making: the snapshot that it goes out with, and the map of each of its
 * partitions as it would leave them. thread: committer
 */
#pragma once

#include "committer_private.h"
#include "offset_map_private.h"

enum { EW_BATCH_PAUSE_MS = 20 }; /* the first one after an abort */

/* The map of one partition as this transaction would leave it. */
struct ew_image {
    struct ew_part *part;
    struct ew_offset_map *map;
    char text[EW_MAP_CHARS + 1];
    size_t chars;
};

struct ew_batch {
    struct ew_kafka *kafka;
    struct ew_snapshot *snapshot;
    int64_t t0_ms;
    struct ew_image **images;
    size_t image_count;
    size_t image_cap;
};

void ew_batch_begin(struct ew_batch *batch, struct ew_kafka *kafka);
void ew_batch_end(struct ew_batch *batch);
/* map: owned from here on. */
struct ew_image *ew_batch_image_add(struct ew_batch *batch, struct ew_part *part,
                                    struct ew_offset_map *map);
/* The partition's image; at first a copy of the living map. */
struct ew_image *ew_batch_image(struct ew_batch *batch, struct ew_part *part);
/* Encodes the images and runs the transaction. Each attempt has a sequence number of its own, so
 * that a later read of the map tells whether exactly this one was committed. */
enum ew_txn_result ew_batch_run(struct ew_batch *batch, struct ew_item *const *items, size_t count,
                                struct ew_err *err);
/* After EW_TXN_UNKNOWN: what became of it, by the maps. UNKNOWN again: they are no longer ours. */
enum ew_txn_result ew_batch_settle_unknown(struct ew_batch *batch);
/* After a commit: what was committed is what the living maps say from now on. */
void ew_batch_keep_images(struct ew_batch *batch);
/* After an abort: until the ownership changes, but not for long, because the broker may also just
 * have been in the middle of a rebalance. */
void ew_batch_pause(struct ew_batch *batch, int64_t *pause_ms);
