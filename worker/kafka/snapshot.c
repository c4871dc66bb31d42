/*
 * Ownership snapshots. Source of the serialised form:
 * rd_kafka_consumer_group_metadata_write(), "CGMDv2:", generation (native
 * int32), group id NUL, member id NUL, ...; librdkafka 2.0-2.8 have no
 * accessors.
 */
#include "snapshot_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/without.h"
#include "waits_private.h"

static const char MAGIC[] = "CGMDv2:";

bool
ew_group_metadata_decode(const void *data, size_t len, int32_t *generation, bool *has_member)
{
    const char *at = data;
    size_t left = len;
    size_t head = sizeof(MAGIC) - 1 + sizeof(*generation);
    size_t group;

    if (left < head || memcmp(at, MAGIC, sizeof(MAGIC) - 1) != 0)
        return false;
    memcpy(generation, at + sizeof(MAGIC) - 1, sizeof(*generation));
    at += head;
    left -= head;
    group = strnlen(at, left);
    if (group == left)
        return false;
    at += group + 1;
    left -= group + 1;
    if (strnlen(at, left) == left)
        return false;
    *has_member = at[0] != '\0';
    return true;
}

enum ew_fault
ew_ownership_init(struct ew_ownership *ownership)
{
    memset(ownership, 0, sizeof(*ownership));
    if (pthread_mutex_init(&ownership->lock, NULL) != 0)
        return EW_RETRY;
    if (ew_cond_init(&ownership->changed) != EW_OK) {
        pthread_mutex_destroy(&ownership->lock);
        return EW_RETRY;
    }
    ownership->current = ew_calloc(1, sizeof(*ownership->current));
    atomic_init(&ownership->current->refs, 1);
    return EW_OK;
}

void
ew_ownership_deinit(struct ew_ownership *ownership)
{
    if (ownership->current == NULL)
        return;
    ew_snapshot_unref(ownership->current);
    ownership->current = NULL;
    pthread_cond_destroy(&ownership->changed);
    pthread_mutex_destroy(&ownership->lock);
}

static void
judge(struct ew_snapshot *snapshot)
{
    rd_kafka_error_t *error;
    void *data = NULL;
    size_t len = 0;
    bool has_member = false;

    if (snapshot->metadata == NULL)
        return;
    error = rd_kafka_consumer_group_metadata_write(snapshot->metadata, &data, &len);
    if (error != NULL) {
        rd_kafka_error_destroy(error);
        return;
    }
    if (!ew_group_metadata_decode(data, len, &snapshot->generation, &has_member))
        EW_LOG(EW_LOG_ERROR, "kafka", "group metadata of an unknown form: nothing is owned",
               EW_INT("bytes", len));
    else
        snapshot->member = has_member && snapshot->generation >= 0;
    rd_kafka_mem_free(NULL, data);
}

/* Takes the metadata. */
static void
make_current(struct ew_ownership *ownership, rd_kafka_consumer_group_metadata_t *metadata,
             struct ew_part *const *parts, size_t count)
{
    struct ew_snapshot *snapshot = ew_calloc(1, sizeof(*snapshot) + count * sizeof(*parts));
    struct ew_snapshot *old;

    atomic_init(&snapshot->refs, 1);
    snapshot->metadata = metadata;
    judge(snapshot);
    for (size_t i = 0; i < count; i++)
        snapshot->parts[i] = ew_part_ref(parts[i]);
    snapshot->count = count;

    pthread_mutex_lock(&ownership->lock);
    snapshot->version = ++ownership->version;
    old = ownership->current;
    ownership->current = snapshot;
    pthread_cond_broadcast(&ownership->changed);
    pthread_mutex_unlock(&ownership->lock);
    ew_snapshot_unref(old);
}

void
ew_ownership_take(struct ew_ownership *ownership, rd_kafka_t *consumer,
                  struct ew_part *const *parts, size_t count)
{
    make_current(ownership, rd_kafka_consumer_group_metadata(consumer), parts, count);
}

/* Never read again outside a rebalance: it might be another generation's by then. */
static rd_kafka_consumer_group_metadata_t *
copy_metadata(const rd_kafka_consumer_group_metadata_t *metadata)
{
    rd_kafka_consumer_group_metadata_t *copy = NULL;
    rd_kafka_error_t *error;
    void *data = NULL;
    size_t len = 0;

    if (metadata == NULL)
        return NULL;
    error = rd_kafka_consumer_group_metadata_write(metadata, &data, &len);
    if (error == NULL)
        error = rd_kafka_consumer_group_metadata_read(&copy, data, len);
    if (error != NULL)
        abort(); /* they write and read no more than memory */
    rd_kafka_mem_free(NULL, data);
    return copy;
}

void
ew_ownership_keep(struct ew_ownership *ownership, struct ew_part *const *parts, size_t count)
{
    struct ew_snapshot *now = ew_ownership_get(ownership);

    make_current(ownership, copy_metadata(now->metadata), parts, count);
    ew_snapshot_unref(now);
}

struct ew_snapshot *
ew_ownership_get(struct ew_ownership *ownership)
{
    struct ew_snapshot *snapshot;

    pthread_mutex_lock(&ownership->lock);
    snapshot = ownership->current;
    atomic_fetch_add(&snapshot->refs, 1);
    pthread_mutex_unlock(&ownership->lock);
    return snapshot;
}

void
ew_ownership_wait(struct ew_ownership *ownership, uint64_t seen, int64_t ms)
{
    struct timespec until;

    ew_deadline(&until, ms);
    pthread_mutex_lock(&ownership->lock);
    while (ownership->version == seen && !ownership->closed) {
        if (pthread_cond_timedwait(&ownership->changed, &ownership->lock, &until) != 0)
            break;
    }
    pthread_mutex_unlock(&ownership->lock);
}

void
ew_ownership_close(struct ew_ownership *ownership)
{
    pthread_mutex_lock(&ownership->lock);
    ownership->closed = true;
    pthread_cond_broadcast(&ownership->changed);
    pthread_mutex_unlock(&ownership->lock);
}

void
ew_snapshot_unref(struct ew_snapshot *snapshot)
{
    if (snapshot == NULL || atomic_fetch_sub(&snapshot->refs, 1) != 1)
        return;
    for (size_t i = 0; i < snapshot->count; i++)
        ew_part_unref(snapshot->parts[i]);
    if (snapshot->metadata != NULL)
        rd_kafka_consumer_group_metadata_destroy(snapshot->metadata);
    free(snapshot);
}

bool
ew_snapshot_owns(const struct ew_snapshot *snapshot, const struct ew_part *part)
{
    for (size_t i = 0; i < snapshot->count; i++) {
        if (snapshot->parts[i] == part)
            return true;
    }
    return EW_WITHOUT(SNAPSHOT);
}
