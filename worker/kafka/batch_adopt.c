/*
 * Transactions that carry no items: partitions that are adopted, with a raised epoch, epochs that
 * rise further, and bases that moved by themselves.
 */
#include "batch_private.h"

#include <string.h>

#include "adopt_private.h"
#include "base/log.h"
#include "waits_private.h"

enum { REFUSED_MS = 10000 }; /* before an adoption that Kafka refuses is tried again */

/* --- adoption --- */

static void
adopted(struct ew_kafka *kafka, struct ew_adoption *adoption, struct ew_image *image)
{
    struct ew_part *part = adoption->part;

    pthread_mutex_lock(&part->lock);
    part->map = image->map;
    part->committed_base = ew_offset_map_base(image->map);
    part->map_chars = image->chars;
    pthread_mutex_unlock(&part->lock);
    atomic_store(&part->epoch, ew_offset_map_epoch(image->map));
    image->map = NULL;
    atomic_store(&part->adopted, true);
    atomic_store(&part->alone, false);
    atomic_fetch_add(&kafka->counts.adoptions, 1);
    atomic_fetch_sub(&kafka->counts.unadopted, 1);
    EW_LOG(EW_LOG_INFO, EW_KAFKA_LOG, "partition adopted", EW_STR("topic", part->topic),
           EW_INT("partition", part->number), EW_INT("epoch", atomic_load(&part->epoch)),
           EW_INT("base", part->committed_base));
    ew_adoption_free(adoption);
}

/* The snapshot that the commit goes out with decides; who is gone is dropped. */
static size_t
admit_adoptions(struct ew_batch *batch, struct ew_adoption **adoptions, size_t count)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        struct ew_adoption *adoption = adoptions[i];

        if (!ew_snapshot_owns(batch->snapshot, adoption->part) || !ew_part_owned(adoption->part) ||
            ew_committer_expired(batch->kafka)) {
            atomic_fetch_sub(&batch->kafka->counts.unadopted, 1);
            ew_adoption_free(adoption);
            continue;
        }
        ew_batch_image_add(batch, adoption->part, ew_offset_map_copy(adoption->map));
        adoptions[kept++] = adoption;
    }
    return kept;
}

/* One attempt. *count becomes the number of those that still need one. */
static enum ew_txn_result
attempt(struct ew_kafka *kafka, struct ew_adoption **adoptions, size_t *count, int64_t *pause_ms,
        struct ew_err *err)
{
    struct ew_batch batch;
    enum ew_txn_result result = EW_TXN_COMMITTED;

    ew_batch_begin(&batch, kafka);
    *count = admit_adoptions(&batch, adoptions, *count);
    if (*count > 0)
        result = ew_batch_run(&batch, NULL, 0, err);
    for (size_t i = 0; i < *count; i++) {
        if (result == EW_TXN_COMMITTED)
            adopted(kafka, adoptions[i], batch.images[i]);
        else if (result == EW_TXN_UNKNOWN) /* read again, the epoch rises once more */
            ew_adopt_again(kafka, adoptions[i], 0);
    }
    if (result == EW_TXN_ABORTED)
        ew_batch_pause(&batch, pause_ms);
    if (result == EW_TXN_COMMITTED || result == EW_TXN_UNKNOWN)
        *count = 0;
    ew_batch_end(&batch);
    return result;
}

static void
leave_alone(struct ew_kafka *kafka, struct ew_adoption *adoption, const struct ew_err *err)
{
    bool closed = strcmp(err->problem, "topic-closed") == 0;

    EW_LOG(EW_LOG_WARN, EW_KAFKA_LOG, "adoption is refused", EW_FAULT_FIELDS(err),
           EW_STR("topic", adoption->part->topic), EW_INT("partition", adoption->part->number));
    atomic_store(&adoption->part->alone, true);
    ew_part_left_alone(adoption->part, ew_kafka_now(kafka), &adoption->alarm_ms, err->problem,
                       closed ? "Allow this user Read and Describe on the topic." : NULL);
    ew_adopt_again(kafka, adoption, REFUSED_MS);
}

/* Halves what is refused: no topic holds up the adoption of others. */
/* NOLINTBEGIN(misc-no-recursion) */
void
ew_batch_adopt(struct ew_kafka *kafka, struct ew_adoption **adoptions, size_t count)
{
    int64_t pause_ms = EW_BATCH_PAUSE_MS;
    struct ew_err err;

    while (count > 0) {
        if (attempt(kafka, adoptions, &count, &pause_ms, &err) != EW_TXN_REFUSED)
            continue;
        if (count == 1) {
            leave_alone(kafka, adoptions[0], &err);
        } else {
            ew_batch_adopt(kafka, adoptions, count / 2);
            ew_batch_adopt(kafka, adoptions + count / 2, count - count / 2);
        }
        break;
    }
    ew_wake_up(kafka->wake);
}
/* NOLINTEND(misc-no-recursion) */

/* --- epochs that rise further --- */

static bool
outgrows(struct ew_part *part)
{
    unsigned known = atomic_load(&part->outgrow);

    return known >= atomic_load(&part->epoch) && known < UINT32_MAX &&
           atomic_load(&part->adopted) && ew_part_owned(part);
}

static void
raise_epochs(struct ew_batch *batch)
{
    for (size_t i = 0; i < batch->snapshot->count; i++) {
        struct ew_part *part = batch->snapshot->parts[i];

        if (outgrows(part) && !ew_committer_expired(batch->kafka))
            ew_offset_map_set_epoch(ew_batch_image(batch, part)->map,
                                    atomic_load(&part->outgrow) + 1);
    }
}

static void
raised(struct ew_batch *batch)
{
    ew_batch_keep_images(batch);
    for (size_t i = 0; i < batch->image_count; i++)
        EW_LOG(EW_LOG_WARN, EW_KAFKA_LOG, "epoch raised above those of a lost time",
               EW_STR("topic", batch->images[i]->part->topic),
               EW_INT("partition", batch->images[i]->part->number),
               EW_INT("epoch", atomic_load(&batch->images[i]->part->epoch)));
}

/* The living epoch rises with a commit whose answer came, and never by what the map says later: a
 * deposed owner would pass its successor. Whoever asked asks again where Kafka refuses. */
void
ew_batch_outgrow(struct ew_kafka *kafka)
{
    int64_t pause_ms = EW_BATCH_PAUSE_MS;
    enum ew_txn_result result = EW_TXN_ABORTED;

    while (result == EW_TXN_ABORTED || result == EW_TXN_UNKNOWN) {
        struct ew_batch batch;
        struct ew_err err;

        ew_batch_begin(&batch, kafka);
        raise_epochs(&batch);
        result = batch.image_count > 0 ? ew_batch_run(&batch, NULL, 0, &err) : EW_TXN_COMMITTED;
        if (result == EW_TXN_COMMITTED)
            raised(&batch);
        for (size_t i = 0; i < batch.image_count && result == EW_TXN_REFUSED; i++)
            atomic_store(&batch.images[i]->part->outgrow, 0);
        if (result == EW_TXN_UNKNOWN)
            (void)ew_batch_settle_unknown(&batch); /* ends, one way or the other, before the next */
        if (result == EW_TXN_ABORTED)
            ew_batch_pause(&batch, &pause_ms);
        ew_batch_end(&batch);
    }
}

/* --- bases that moved by themselves --- */

static bool
untidy(struct ew_part *part, bool all)
{
    bool moved = false;

    if (!atomic_load(&part->adopted) || !ew_part_owned(part))
        return false;
    pthread_mutex_lock(&part->lock);
    moved = ew_offset_map_base(part->map) != part->committed_base;
    pthread_mutex_unlock(&part->lock);
    return moved || all;
}

void
ew_batch_tidy(struct ew_kafka *kafka, bool all)
{
    struct ew_batch batch;
    struct ew_err err;
    enum ew_txn_result result = EW_TXN_ABORTED;

    ew_batch_begin(&batch, kafka);
    for (size_t i = 0; i < batch.snapshot->count; i++) {
        if (untidy(batch.snapshot->parts[i], all))
            (void)ew_batch_image(&batch, batch.snapshot->parts[i]);
    }
    if (batch.image_count > 0)
        result = ew_batch_run(&batch, NULL, 0, &err);
    if (result == EW_TXN_UNKNOWN)
        result = ew_batch_settle_unknown(&batch);
    if (result == EW_TXN_COMMITTED)
        ew_batch_keep_images(&batch);
    ew_batch_end(&batch);
}
