/*
 * The consumer thread: keeps the membership alive, has the partitions read, and tells the loop
 * which of them are ours.
 */
#include "intake_private.h"

#include <poll.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "renew_private.h"

enum {
    TURN_MS = 100, /* an io event may be missed: everything is looked at this often */
    COUNT_MS = 1000,
    ROUSE_MS = 200, /* sessions are 1 s and longer */
};

/* --- what the loop is told --- */

struct event {
    struct ew_kafka *kafka;
    struct ew_part *part;
};

static void
tell(struct ew_kafka *kafka, struct ew_part *part, void (*fn)(void *arg))
{
    struct event *event = ew_malloc(sizeof(*event));

    event->kafka = kafka;
    event->part = ew_part_ref(part);
    ew_loop_post(kafka->loop, fn, event);
}

static void
on_adopted(void *arg)
{
    struct event *event = arg;

    event->kafka->events.adopted(event->kafka->events.arg, event->part);
    ew_part_unref(event->part);
    free(event);
}

static void
on_lost(void *arg)
{
    struct event *event = arg;

    event->kafka->events.lost(event->kafka->events.arg, event->part);
    ew_part_unref(event->part);
    free(event);
}

void
ew_intake_tell_adopted(struct ew_kafka *kafka, struct ew_part *part)
{
    tell(kafka, part, on_adopted);
}

void
ew_intake_tell_lost(struct ew_kafka *kafka, struct ew_part *part)
{
    if (part->reading)
        tell(kafka, part, on_lost);
}

/* --- the group's own events --- */

void
ew_intake_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    struct ew_kafka *kafka = opaque;

    EW_LOG(EW_LOG_ERROR, "librdkafka", "client", EW_STR("handle", rd_kafka_name(rk)),
           EW_STR("facility", "ERROR"), EW_STR("detail", reason));
    if (kafka->intake.served != NULL && (code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION ||
                                         code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART))
        kafka->intake.served->replaced = true;
}

static void
serve_group(struct ew_kafka *kafka)
{
    rd_kafka_message_t *message;

    while ((message = rd_kafka_consumer_poll(kafka->consumer, 0)) != NULL) {
        char text[160];

        if (message->err == RD_KAFKA_RESP_ERR__FATAL) {
            struct ew_err err;

            rd_kafka_fatal_error(kafka->consumer, text, sizeof(text));
            (void)ew_fail(&err, EW_HALT, "kafka-consumer-fatal", "%s", text);
            ew_kafka_die(kafka, &err);
        } else if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            EW_LOG(EW_LOG_ERROR, EW_KAFKA_LOG, "a record came past its partition's queue",
                   EW_STR("topic", rd_kafka_topic_name(message->rkt)),
                   EW_INT("partition", message->partition), EW_INT("offset", message->offset));
            abort(); /* those behind it would close the gap, and it would never be answered */
        } else {
            EW_LOG(EW_LOG_WARN, EW_KAFKA_LOG, "consumer",
                   EW_STR("detail", rd_kafka_message_errstr(message)));
            ew_kafka_die_if_forbidden(kafka, message->err);
        }
        rd_kafka_message_destroy(message);
    }
}

/* librdkafka's own thread, which keeps us in the group, sleeps until points of wall time: where
 * that clock is set back, for as much longer, while the session ends. Any question wakes it. */
static void
rouse(struct ew_kafka *kafka)
{
    rd_kafka_topic_partition_list_t *topics = NULL;

    if (rd_kafka_subscription(kafka->consumer, &topics) == RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_topic_partition_list_destroy(topics);
}

static void
count(struct ew_kafka *kafka)
{
    struct ew_intake *intake = &kafka->intake;
    long long backlog = 0;
    long long open = 0;
    long long chars = 0;
    int alone = 0;

    for (size_t i = 0; i < intake->count; i++) {
        struct ew_part *part = intake->parts[i];
        int64_t low;
        int64_t seen;
        int64_t high;

        alone += atomic_load(&part->alone);
        if (part->replaced)
            ew_intake_say_replaced(kafka, part);
        if (!part->reading)
            continue;
        high = part->high; /* nothing is fetched before the seek */
        pthread_mutex_lock(&part->lock);
        open += (long long)ew_offset_map_open(part->map);
        backlog += part->handed;
        if ((long long)part->map_chars > chars)
            chars = (long long)part->map_chars;
        pthread_mutex_unlock(&part->lock);
        if (rd_kafka_get_watermark_offsets(kafka->consumer, part->topic, part->number, &low,
                                           &seen) == RD_KAFKA_RESP_ERR_NO_ERROR &&
            seen > high)
            high = seen;
        if (high > part->position)
            backlog += high - part->position;
    }
    atomic_store(&kafka->counts.backlog, backlog);
    atomic_store(&kafka->counts.incomplete, open);
    atomic_store(&kafka->counts.map_chars_max, chars);
    atomic_store(&kafka->counts.alone, alone);
}

void *
ew_intake_run(void *arg)
{
    struct ew_kafka *kafka = arg;
    bool busy = true;

    while (!atomic_load(&kafka->stopping)) {
        struct pollfd fd = {.fd = kafka->wake->fd, .events = POLLIN};
        int64_t now;

        (void)poll(&fd, 1, busy ? 0 : TURN_MS);
        ew_wake_clear(kafka->wake);
        now = ew_kafka_now(kafka);
        ew_intake_tick(kafka);
        serve_group(kafka);
        kafka->intake.reassigned = false;
        busy = ew_intake_read(kafka);
        if (now - kafka->intake.roused_ms >= ROUSE_MS) {
            kafka->intake.roused_ms = now;
            rouse(kafka);
        }
        if (now - kafka->intake.counted_ms >= COUNT_MS) {
            kafka->intake.counted_ms = now;
            ew_renew_due(kafka);
            count(kafka);
        }
    }
    /* Serves the last rebalance, with its flush; leaves the group. */
    (void)rd_kafka_consumer_close(kafka->consumer);
    return NULL;
}
