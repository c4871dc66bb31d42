/*
 * Partitions come and go: snapshots, the flush at a cooperative revoke,
 * adoption requests. All of it in librdkafka's rebalance callback, on the
 * consumer thread.
 */
#include <stdlib.h>
#include <string.h>

#include "adopt_private.h"
#include "base/log.h"
#include "base/memory.h"
#include "committer_private.h"
#include "intake_private.h"

static void
snapshot(struct ew_kafka *kafka)
{
    ew_ownership_take(&kafka->ownership, kafka->consumer, kafka->intake.parts, kafka->intake.count);
    atomic_store(&kafka->counts.owned, (int)kafka->intake.count);
}

static enum ew_lane
lane_of(const struct ew_kafka *kafka, const char *topic)
{
    int lane = 0;

    while (lane < EW_LANE_COUNT &&
           (kafka->options.in[lane] == NULL || strcmp(kafka->options.in[lane], topic) != 0))
        lane++;
    return (enum ew_lane)lane;
}

static struct ew_part *
find(const struct ew_intake *intake, const char *topic, int32_t number)
{
    for (size_t i = 0; i < intake->count; i++) {
        if (ew_part_is(intake->parts[i], topic, number))
            return intake->parts[i];
    }
    return NULL;
}

/* Keeps the reading order: by lane. */
static void
insert(struct ew_intake *intake, struct ew_part *part)
{
    size_t at = intake->count;

    if (intake->count == intake->cap) {
        size_t cap = intake->cap > 0 ? intake->cap * 2 : 16;

        intake->parts = ew_realloc(intake->parts, cap * sizeof(struct ew_part *));
        intake->cap = cap;
    }
    while (at > 0 && intake->parts[at - 1]->lane > part->lane) {
        intake->parts[at] = intake->parts[at - 1];
        at--;
    }
    intake->parts[at] = part;
    intake->count++;
}

/* Before the assignment starts fetching: what is forwarded to the consumer
 * queue once cannot be held back by not reading. */
static void
take_queue(struct ew_kafka *kafka, struct ew_part *part)
{
    static const uint64_t ONE = 1;

    part->queue = rd_kafka_queue_get_partition(kafka->consumer, part->topic, part->number);
    if (part->queue == NULL)
        abort();
    rd_kafka_queue_forward(part->queue, NULL);
    rd_kafka_queue_io_event_enable(part->queue, kafka->wake->fd, &ONE, sizeof(ONE));
}

static void
drop_queue(struct ew_part *part)
{
    if (part->held != NULL)
        rd_kafka_message_destroy(part->held);
    part->held = NULL;
    rd_kafka_queue_io_event_enable(part->queue, -1, NULL, 0);
    rd_kafka_queue_destroy(part->queue);
    part->queue = NULL;
}

static void
assign(struct ew_kafka *kafka, rd_kafka_topic_partition_list_t *list)
{
    struct ew_intake *intake = &kafka->intake;
    rd_kafka_error_t *error;

    for (int i = 0; i < list->cnt; i++) {
        const char *topic = list->elems[i].topic;
        int32_t number = list->elems[i].partition;
        enum ew_lane lane = lane_of(kafka, topic);
        struct ew_part *part;

        /* Not at the committed offset: librdkafka would ask for those of all new partitions at
         * once, and one with a pending transaction would hold up all. Adoption seeks to the base;
         * but the look-up of this place may end after that seek, and wins then. What is read from
         * the beginning on is skipped, from the end on it would be a gap. The beginning is not
         * looked up but remembered where the partition was ours before: where it is gone meanwhile
         * librdkafka gives up, and the partition is assigned anew. */
        list->elems[i].offset = RD_KAFKA_OFFSET_BEGINNING;
        if (lane == EW_LANE_COUNT || find(intake, topic, number) != NULL)
            continue;
        part = ew_part_new(lane, topic, number, kafka->wake, &kafka->options);
        if (part == NULL)
            abort(); /* a partition that nobody works on is worse than a restart */
        take_queue(kafka, part);
        insert(intake, part);
        EW_LOG(EW_LOG_INFO, EW_KAFKA_LOG, "partition assigned", EW_STR("topic", topic),
               EW_INT("partition", number));
    }
    error = rd_kafka_incremental_assign(kafka->consumer, list);
    if (error != NULL) {
        EW_LOG(EW_LOG_ERROR, EW_KAFKA_LOG, "assign failed",
               EW_STR("detail", rd_kafka_error_string(error)));
        rd_kafka_error_destroy(error);
    }
    snapshot(kafka);
    for (int i = 0; i < list->cnt; i++) {
        struct ew_part *part = find(intake, list->elems[i].topic, list->elems[i].partition);

        if (part != NULL && !part->reading)
            ew_adopt_request(kafka, part);
    }
}

bool
ew_intake_reassign(struct ew_kafka *kafka, struct ew_part *part)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_error_t *error;
    bool good;

    kafka->intake.reassigned = true;
    rd_kafka_topic_partition_list_add(list, part->topic, part->number)->offset = part->position;
    /* Where the first try came no further than this, it is not assigned any more. */
    error = rd_kafka_incremental_unassign(kafka->consumer, list);
    if (error != NULL)
        rd_kafka_error_destroy(error);
    drop_queue(part); /* of a topic that is made again it may be another one */
    take_queue(kafka, part);
    error = rd_kafka_incremental_assign(kafka->consumer, list);
    good = error == NULL;
    EW_LOG(good ? EW_LOG_WARN : EW_LOG_ERROR, EW_KAFKA_LOG, "partition assigned anew",
           EW_STR("topic", part->topic), EW_INT("partition", part->number),
           EW_INT("position", part->position),
           EW_STR("detail", good ? "it was not fetched any more" : rd_kafka_error_string(error)));
    if (!good)
        rd_kafka_error_destroy(error);
    rd_kafka_topic_partition_list_destroy(list);
    return good;
}

/* Takes the listed partitions out of `intake` into `going`; nothing of them is
 * read any more. */
static size_t
pick(struct ew_intake *intake, const rd_kafka_topic_partition_list_t *list, struct ew_part **going)
{
    size_t count = 0;

    for (int i = 0; i < list->cnt; i++) {
        struct ew_part *part = find(intake, list->elems[i].topic, list->elems[i].partition);

        if (part == NULL)
            continue;
        atomic_store(&part->owned, false);
        going[count++] = part;
    }
    return count;
}

static void
take_out(struct ew_intake *intake, struct ew_part *part)
{
    size_t kept = 0;

    for (size_t i = 0; i < intake->count; i++) {
        if (intake->parts[i] != part)
            intake->parts[kept++] = intake->parts[i];
    }
    intake->count = kept;
}

static void
unassign(struct ew_kafka *kafka, const rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_error_t *error = rd_kafka_incremental_unassign(kafka->consumer, list);

    if (error == NULL)
        return;
    EW_LOG(EW_LOG_ERROR, EW_KAFKA_LOG, "unassign failed",
           EW_STR("detail", rd_kafka_error_string(error)));
    rd_kafka_error_destroy(error);
}

static void
revoke(struct ew_kafka *kafka, rd_kafka_topic_partition_list_t *list, bool lost)
{
    struct ew_part **going = ew_calloc((size_t)list->cnt + 1, sizeof(struct ew_part *));
    size_t count;

    count = pick(&kafka->intake, list, going);
    if (!lost && count > 0) {
        /* The snapshot from before gets ILLEGAL_GENERATION now; one of this moment
         * is accepted until we let go. */
        snapshot(kafka);
        ew_committer_flush(kafka, going, count, kafka->options.flush_ms);
    }
    for (size_t i = 0; i < count; i++)
        take_out(&kafka->intake, going[i]);
    snapshot(kafka);
    unassign(kafka, list);
    for (size_t i = 0; i < count; i++) {
        EW_LOG(lost ? EW_LOG_WARN : EW_LOG_INFO, EW_KAFKA_LOG,
               lost ? "partition lost" : "partition revoked", EW_STR("topic", going[i]->topic),
               EW_INT("partition", going[i]->number));
        drop_queue(going[i]);
        ew_intake_tell_lost(kafka, going[i]);
        ew_part_unref(going[i]);
    }
    free(going);
}

void
ew_intake_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list,
                    void *opaque)
{
    struct ew_kafka *kafka = opaque;
    /* What we assign by ourselves wipes out that librdkafka has lost the assignment, if its word of
     * that is on its way to us: then nobody knows. */
    bool lost = rd_kafka_assignment_lost(rk) != 0 || kafka->intake.reassigned;

    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        atomic_store(&kafka->counts.joined, true);
        atomic_store(&kafka->assigned, true);
        assign(kafka, list);
        return;
    }
    if (code != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS)
        EW_LOG(EW_LOG_ERROR, EW_KAFKA_LOG, "rebalance failed",
               EW_STR("detail", rd_kafka_err2str(code)));
    if (lost)
        atomic_store(&kafka->counts.joined, false);
    revoke(kafka, list, lost || code != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS);
}
