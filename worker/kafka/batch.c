/*
 * What one transaction is made of: the items that may be committed now, by whose snapshot, with
 * which maps; and what its outcome means for them.
 */
#include "batch_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/without.h"
#include "committed_private.h"
#include "waits_private.h"

enum {
    LAST_PAUSE_MS = 1000,
    FIRST_PUBLISH_MS = 500, /* after a record without a partition could not be published */
    LAST_PUBLISH_MS = 60000,
    REFUSALS = 2, /* then the batch is halved */
    REREAD_MS = 1000,
    BUDGET_MS = 5000, /* before longer maps are tried again */
};

void
ew_batch_begin(struct ew_batch *batch, struct ew_kafka *kafka)
{
    memset(batch, 0, sizeof(*batch));
    batch->kafka = kafka;
    ew_committer_tick(kafka);
    batch->snapshot = ew_ownership_get(&kafka->ownership);
    batch->t0_ms = ew_kafka_now(kafka);
}

void
ew_batch_end(struct ew_batch *batch)
{
    for (size_t i = 0; i < batch->image_count; i++) {
        ew_offset_map_free(batch->images[i]->map);
        free(batch->images[i]);
    }
    free(batch->images);
    ew_snapshot_unref(batch->snapshot);
}

struct ew_image *
ew_batch_image_add(struct ew_batch *batch, struct ew_part *part, struct ew_offset_map *map)
{
    struct ew_image *image = ew_calloc(1, sizeof(*image));

    if (batch->image_count == batch->image_cap) {
        batch->image_cap = batch->image_cap > 0 ? batch->image_cap * 2 : 8;
        batch->images = ew_realloc(batch->images, batch->image_cap * sizeof(struct ew_image *));
    }
    image->part = part;
    image->map = map;
    batch->images[batch->image_count++] = image;
    return image;
}

struct ew_image *
ew_batch_image(struct ew_batch *batch, struct ew_part *part)
{
    struct ew_offset_map *copy;

    for (size_t i = 0; i < batch->image_count; i++) {
        if (batch->images[i]->part == part)
            return batch->images[i];
    }
    pthread_mutex_lock(&part->lock);
    copy = ew_offset_map_copy(part->map);
    pthread_mutex_unlock(&part->lock);
    return ew_batch_image_add(batch, part, copy);
}

/* --- running --- */

/* NULL: the snapshot's, as it has to be. */
static rd_kafka_consumer_group_metadata_t *
another_member(const struct ew_kafka *kafka)
{
    if (EW_WITHOUT(SNAPSHOT))
        return rd_kafka_consumer_group_metadata(kafka->consumer);
    if (EW_WITHOUT(MEMBERSHIP))
        return rd_kafka_consumer_group_metadata_new(kafka->options.group);
    return NULL;
}

enum ew_txn_result
ew_batch_run(struct ew_batch *batch, struct ew_item *const *items, size_t count, struct ew_err *err)
{
    rd_kafka_consumer_group_metadata_t *other = another_member(batch->kafka);
    struct ew_txn txn = {.items = items,
                         .count = count,
                         .metadata = other != NULL ? other : batch->snapshot->metadata};
    enum ew_txn_result result;

    if (!batch->snapshot->member && other == NULL) {
        (void)ew_fail(err, EW_RETRY, "no-member", "not a member of the group now");
        return EW_TXN_ABORTED; /* an empty membership fences nothing: never sent */
    }
    txn.offsets = rd_kafka_topic_partition_list_new((int)batch->image_count);
    for (size_t i = 0; i < batch->image_count; i++) {
        struct ew_image *image = batch->images[i];
        rd_kafka_topic_partition_t *at =
            rd_kafka_topic_partition_list_add(txn.offsets, image->part->topic, image->part->number);

        txn.lanes |= 1U << image->part->lane;
        if (ew_offset_map_sequence(image->map) > image->part->tried)
            image->part->tried = ew_offset_map_sequence(image->map);
        ew_offset_map_set_sequence(image->map, ++image->part->tried);
        if (EW_WITHOUT(OPEN_OFFSETS))
            image->map->count = 0;
        if (ew_offset_map_encode(image->map, image->text) != EW_OK)
            abort(); /* the map's limits promise that it fits */
        image->chars = strlen(image->text);
        at->offset = ew_offset_map_base(image->map);
        at->metadata = ew_strdup(image->text);
        at->metadata_size = image->chars;
    }
    result = ew_producer_run(batch->kafka->producer, &txn, err);
    rd_kafka_topic_partition_list_destroy(txn.offsets); /* frees the metadata as well */
    if (other != NULL)
        rd_kafka_consumer_group_metadata_destroy(other);
    atomic_fetch_add(result == EW_TXN_COMMITTED ? &batch->kafka->counts.commits
                                                : &batch->kafka->counts.aborts,
                     1);
    return result;
}

void
ew_batch_pause(struct ew_batch *batch, int64_t *pause_ms)
{
    ew_ownership_wait(&batch->kafka->ownership, batch->snapshot->version, *pause_ms);
    *pause_ms = *pause_ms * 2 < LAST_PAUSE_MS ? *pause_ms * 2 : LAST_PAUSE_MS;
}

/* --- after a lost answer to EndTxn --- */

enum verdict { WAS_COMMITTED, WAS_NOT, NOT_OURS };

static enum verdict
verdict_of(struct ew_kafka *kafka, const struct ew_image *image, bool *known)
{
    struct ew_committed_map read = {.base = -1};
    rd_kafka_resp_err_t code;
    enum verdict verdict = NOT_OURS;
    enum ew_stable stable;

    ew_committer_tick(kafka);
    stable = ew_committed_read(kafka->consumer, image->part->topic, image->part->number, REREAD_MS,
                               &read, &code);
    /* A consumer that is closed never tells any more. */
    *known = stable != EW_STABLE_NOT_YET || code == RD_KAFKA_RESP_ERR__DESTROY;
    if (stable == EW_STABLE_MISSING || (stable == EW_STABLE_READ && read.kind != EW_MAP_OURS)) {
        struct ew_err err;

        (void)ew_fail(&err, EW_HALT, "commit-replaced", "the commit of %s/%d was replaced",
                      image->part->topic, (int)image->part->number);
        ew_kafka_die(kafka, &err); /* nobody can say what became of it: adopt everything anew */
    }
    if (stable != EW_STABLE_READ)
        return NOT_OURS;
    if (read.kind == EW_MAP_OURS &&
        ew_offset_map_epoch(read.map) == ew_offset_map_epoch(image->map))
        verdict = ew_offset_map_sequence(read.map) == ew_offset_map_sequence(image->map)
                      ? WAS_COMMITTED
                      : WAS_NOT;
    ew_offset_map_free(read.map);
    return verdict;
}

/* One transaction: one partition that can tell decides for all. Nothing is
 * published again from memory before this has answered. */
static enum verdict
reread(struct ew_batch *batch)
{
    for (;;) {
        size_t known_count = 0;

        for (size_t i = 0; i < batch->image_count; i++) {
            bool known;
            enum verdict verdict = verdict_of(batch->kafka, batch->images[i], &known);

            if (verdict != NOT_OURS || ew_committer_expired(batch->kafka))
                return verdict;
            known_count += known;
        }
        if (known_count == batch->image_count)
            return NOT_OURS;
    }
}

enum ew_txn_result
ew_batch_settle_unknown(struct ew_batch *batch)
{
    enum verdict verdict = EW_WITHOUT(REREAD) ? WAS_NOT : reread(batch);

    EW_LOG(EW_LOG_WARN, EW_KAFKA_LOG, "the outcome of a transaction was read from the maps",
           EW_STR("outcome", verdict == WAS_COMMITTED ? "committed"
                             : verdict == WAS_NOT     ? "not committed"
                                                      : "no longer ours"),
           EW_INT("partitions", batch->image_count));
    return verdict == WAS_COMMITTED ? EW_TXN_COMMITTED
           : verdict == WAS_NOT     ? EW_TXN_ABORTED
                                    : EW_TXN_UNKNOWN;
}

/* --- fenced items --- */

static bool
apply_start(struct ew_image *image, const struct ew_item *item, size_t budget, bool *full)
{
    struct ew_offset_map *trial;

    if (ew_offset_map_mark(image->map, item->offset) == EW_OFF_STARTED)
        return true;
    trial = ew_offset_map_copy(image->map);
    if (ew_offset_map_start(trial, item->offset) != EW_OK) {
        ew_offset_map_free(trial);
        return false;
    }
    *full = ew_offset_map_chars(trial) > budget;
    if (*full) {
        ew_offset_map_free(trial);
    } else {
        ew_offset_map_free(image->map);
        image->map = trial;
    }
    return true;
}

enum fate { IN, WAITS, ANSWERED };

static enum fate
refuse(struct ew_round *round, struct ew_item *item)
{
    (void)ew_fail(&item->err, EW_BUG, "offset-not-open", "offset %lld of %s/%d is not open",
                  (long long)item->offset, item->part->topic, (int)item->part->number);
    ew_round_answer(round, item, EW_COMMIT_REFUSED);
    return ANSWERED;
}

/* Whether an item goes into this transaction; its mark is made in the
 * partition's image. */
static enum fate
admit(struct ew_round *round, struct ew_batch *batch, struct ew_item *item)
{
    struct ew_part *part = item->part;
    bool full = false;

    item->t0_ms = batch->t0_ms;
    if (!ew_snapshot_owns(batch->snapshot, part) || !atomic_load(&part->adopted) ||
        (item->mark == EW_MARK_STARTED && !ew_part_owned(part)) ||
        ew_committer_expired(round->kafka)) {
        ew_round_answer(round, item, EW_COMMIT_LOST);
        return ANSWERED;
    }
    if (item->mark == EW_MARK_STARTED && item->not_after_ms > 0 &&
        batch->t0_ms > item->not_after_ms) {
        ew_round_answer(round, item, EW_COMMIT_STALE);
        return ANSWERED;
    }
    if (ew_producer_rests(round->kafka->producer, item)) {
        (void)ew_fail(&item->err, EW_RETRY, "topic-closed",
                      "a partition that its records go to takes none");
        ew_round_answer(round, item, EW_COMMIT_REFUSED);
        return ANSWERED;
    }
    if (item->mark == EW_MARK_STARTED &&
        !apply_start(ew_batch_image(batch, part), item, round->kafka->committer.map_budget, &full))
        return refuse(round, item);
    if (item->mark == EW_MARK_DONE &&
        ew_offset_map_finish(ew_batch_image(batch, part)->map, item->offset) != EW_OK)
        return refuse(round, item);
    if (full) {
        ew_list_append(&round->kafka->committer.held, &item->link);
        return WAITS;
    }
    (void)ew_batch_image(batch,
                         part); /* records only: fenced by the partition's commit all the same */
    return IN;
}

static size_t
admit_all(struct ew_round *round, struct ew_batch *batch, struct ew_item **items, size_t count)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        if (admit(round, batch, items[i]) == IN)
            items[kept++] = items[i];
    }
    return kept;
}

/* The consumer may have received more since: the marks are made again in the
 * living map. */
static void
make_durable(struct ew_part *part, const struct ew_item *item)
{
    enum ew_fault fault = EW_OK;

    pthread_mutex_lock(&part->lock);
    if (item->mark == EW_MARK_STARTED)
        fault = ew_offset_map_start(part->map, item->offset);
    if (item->mark == EW_MARK_DONE) {
        fault = ew_offset_map_finish(part->map, item->offset);
        part->handed -= part->handed > 0;
    }
    pthread_mutex_unlock(&part->lock);
    if (fault != EW_OK)
        abort(); /* it was open in the copy, and only this thread closes offsets */
}

void
ew_batch_keep_images(struct ew_batch *batch)
{
    for (size_t i = 0; i < batch->image_count; i++) {
        struct ew_image *image = batch->images[i];
        struct ew_part *part = image->part;

        pthread_mutex_lock(&part->lock);
        ew_offset_map_set_sequence(part->map, ew_offset_map_sequence(image->map));
        ew_offset_map_set_epoch(part->map, ew_offset_map_epoch(image->map));
        part->committed_base = ew_offset_map_base(image->map);
        part->map_chars = image->chars;
        pthread_mutex_unlock(&part->lock);
        atomic_store(&part->epoch, ew_offset_map_epoch(image->map));
        ew_part_relieved(part);
    }
}

static void
settle(struct ew_round *round, struct ew_batch *batch, struct ew_item **items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        make_durable(items[i]->part, items[i]);
    ew_batch_keep_images(batch);
    for (size_t i = 0; i < count; i++)
        ew_round_answer(round, items[i], EW_COMMITTED);
}

static void
answer_all(struct ew_round *round, struct ew_item **items, size_t count, enum ew_committed result,
           const struct ew_err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (err != NULL)
            items[i]->err = *err;
        ew_round_answer(round, items[i], result);
    }
}

/* A broker may be set to take shorter maps than it does by default. How short, it does not say:
 * what is too long for it is less the next time, and now and then a little more is tried. */
static void
shorten_budget(struct ew_batch *batch)
{
    struct ew_committer *committer = &batch->kafka->committer;
    size_t longest = 0;

    for (size_t i = 0; i < batch->image_count; i++) {
        if (batch->images[i]->chars > longest)
            longest = batch->images[i]->chars;
    }
    if (longest * 3 / 4 < committer->map_budget)
        committer->map_budget = longest * 3 / 4;
    committer->budget_ms = ew_mono_ms();
    EW_LOG(EW_LOG_WARN, EW_KAFKA_LOG, "the broker takes no map as long as this",
           EW_INT("chars", longest), EW_INT("budget", committer->map_budget),
           EW_STR("advice", "Raise its offset.metadata.max.bytes to 4096."));
}

static void
restore_budget(struct ew_committer *committer)
{
    size_t more = committer->map_budget + committer->map_budget / 8 + 1;

    if (committer->map_budget == EW_MAP_BUDGET || ew_mono_ms() - committer->budget_ms < BUDGET_MS)
        return;
    committer->map_budget = more < EW_MAP_BUDGET ? more : EW_MAP_BUDGET;
    committer->budget_ms = ew_mono_ms();
}

/* One attempt. *count becomes the number of items that still need one. */
static enum ew_txn_result
attempt(struct ew_round *round, struct ew_item **items, size_t *count, int64_t *pause_ms,
        struct ew_err *err)
{
    struct ew_batch batch;
    enum ew_txn_result result = EW_TXN_COMMITTED;

    restore_budget(&round->kafka->committer);
    ew_batch_begin(&batch, round->kafka);
    *count = admit_all(round, &batch, items, *count);
    ew_round_post(round); /* what was answered must not wait for a slow transaction */
    if (*count > 0) {
        result = ew_batch_run(&batch, items, *count, err);
        if (result == EW_TXN_UNKNOWN)
            result = ew_batch_settle_unknown(&batch);
    }
    if (result == EW_TXN_REFUSED && strcmp(err->problem, "map-too-long") == 0)
        shorten_budget(&batch);
    if (result == EW_TXN_COMMITTED)
        settle(round, &batch, items, *count);
    else if (result == EW_TXN_UNKNOWN)
        answer_all(round, items, *count, EW_COMMIT_LOST, NULL);
    else if (result == EW_TXN_ABORTED)
        ew_batch_pause(&batch, pause_ms);
    if (result == EW_TXN_COMMITTED || result == EW_TXN_UNKNOWN)
        *count = 0;
    ew_batch_end(&batch);
    return result;
}

/* Halves the batch each time: a transaction's items bound the depth. */
/* NOLINTBEGIN(misc-no-recursion) */
void
ew_batch_commit(struct ew_round *round, struct ew_item **items, size_t count)
{
    int64_t pause_ms = EW_BATCH_PAUSE_MS;
    struct ew_err err = {.fault = EW_OK};
    int refusals = 0;

    while (count > 0) {
        if (attempt(round, items, &count, &pause_ms, &err) != EW_TXN_REFUSED ||
            ++refusals < REFUSALS)
            continue;
        if (count == 1) {
            EW_LOG(EW_LOG_ERROR, EW_KAFKA_LOG, "Kafka refuses an item", EW_FAULT_FIELDS(&err),
                   EW_STR("source_topic", items[0]->part->topic),
                   EW_INT("source_partition", items[0]->part->number),
                   EW_INT("source_offset", items[0]->offset));
            answer_all(round, items, 1, EW_COMMIT_REFUSED, &err);
            return;
        }
        ew_batch_commit(round, items, count / 2);
        ew_batch_commit(round, items + count / 2, count - count / 2);
        return;
    }
}

/* --- records without a partition --- */

/* Longer and longer: each attempt on a topic that is gone takes as long as a transaction may, and
 * answers wait meanwhile. */
static void
postpone(struct ew_committer *committer, struct ew_item **items, size_t count)
{
    int64_t pause_ms = committer->publish_pause_ms * 2;

    committer->publish_pause_ms = pause_ms < FIRST_PUBLISH_MS  ? FIRST_PUBLISH_MS
                                  : pause_ms > LAST_PUBLISH_MS ? LAST_PUBLISH_MS
                                                               : pause_ms;
    pthread_mutex_lock(&committer->lock);
    for (size_t i = 0; i < count; i++)
        ew_list_append(&committer->unpublished, &items[i]->link);
    committer->publish_ms = ew_mono_ms() + committer->publish_pause_ms;
    pthread_mutex_unlock(&committer->lock);
}

void
ew_batch_publish(struct ew_round *round, struct ew_item **items, size_t count)
{
    struct ew_kafka *kafka = round->kafka;
    struct ew_txn txn = {.items = items, .count = count};
    enum ew_txn_result result = EW_TXN_ABORTED;
    struct ew_err err;

    if (!ew_committer_expired(kafka))
        result = ew_producer_run(kafka->producer, &txn, &err);
    if (result == EW_TXN_COMMITTED) {
        kafka->committer.publish_pause_ms = 0;
        answer_all(round, items, count, EW_COMMITTED, NULL);
    } else if (ew_committer_expired(kafka)) {
        ew_committer_log_dropped(kafka, items, count);
        answer_all(round, items, count, EW_COMMIT_LOST, NULL);
    } else if (result == EW_TXN_REFUSED && count > 1) {
        ew_batch_publish(round, items, count / 2);
        ew_batch_publish(round, items + count / 2, count - count / 2);
    } else if (result == EW_TXN_REFUSED) {
        EW_LOG(EW_LOG_ERROR, EW_KAFKA_LOG, "Kafka refuses a record", EW_FAULT_FIELDS(&err),
               EW_STR("topic", kafka->options.out[items[0]->outs[0].topic]));
        answer_all(round, items, count, EW_COMMIT_REFUSED, &err);
    } else {
        postpone(&kafka->committer, items, count);
    }
}
/* NOLINTEND(misc-no-recursion) */
