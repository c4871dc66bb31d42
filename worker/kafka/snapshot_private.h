/*
 * What we own, as one immutable thing: the group's metadata and the partitions,
 * taken together in a rebalance callback. The broker checks membership and
 * generation, not who owns a partition, so nothing is ever committed from
 * anything but a whole snapshot.
 */
#pragma once

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "part_private.h"

struct ew_snapshot {
    atomic_int refs;
    uint64_t version; /* rises with each snapshot */
    bool member;      /* false: no member id or no generation; it owns nothing and
                         commits nothing */
    int32_t generation;
    rd_kafka_consumer_group_metadata_t *metadata;
    size_t count;
    struct ew_part *parts[];
};

/* The current snapshot, never NULL after init. */
struct ew_ownership {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct ew_snapshot *current;
    uint64_t version;
    bool closed; /* waiting is over: the process stops */
};

EW_CHECK enum ew_fault ew_ownership_init(struct ew_ownership *ownership);
void ew_ownership_deinit(struct ew_ownership *ownership);
/* Builds the snapshot of now and makes it current. thread: consumer, in a
 * rebalance callback. */
void ew_ownership_take(struct ew_ownership *ownership, rd_kafka_t *consumer,
                       struct ew_part *const *parts, size_t count);
/* The same partitions in the same generation, some of them as new objects. thread: consumer */
void ew_ownership_keep(struct ew_ownership *ownership, struct ew_part *const *parts, size_t count);
/* Give it back with ew_snapshot_unref(). */
struct ew_snapshot *ew_ownership_get(struct ew_ownership *ownership);
/* Waits until the current version is another than `seen`, at most `ms`. */
void ew_ownership_wait(struct ew_ownership *ownership, uint64_t seen, int64_t ms);
void ew_ownership_close(struct ew_ownership *ownership);

void ew_snapshot_unref(struct ew_snapshot *snapshot);
bool ew_snapshot_owns(const struct ew_snapshot *snapshot, const struct ew_part *part);

/* Reads generation and whether there is a member id out of librdkafka's
 * serialised form. false: a form we do not know (then nothing is owned). */
bool ew_group_metadata_decode(const void *data, size_t len, int32_t *generation, bool *has_member);
