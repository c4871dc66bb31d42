/*
 * Reading: the partitions in lane order within their budgets, each from its place, and records to
 * the loop. Back-pressure is not reading.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "intake_private.h"
#include "record_private.h"
#include "renew_private.h"

enum {
    READ_AT_ONCE = 64,
    CHUNK = 64,
    SEEK_MS = 200,
    SEEK_AGAIN_MS = 20,
    SEEK_AT_MOST_MS = 10000,
    STALL_MS = 5000,
    CLEAR_AT_MOST = 100000,
};

/* --- to the loop --- */

struct chunk {
    struct ew_kafka *kafka;
    size_t count;
    struct ew_record *records[CHUNK];
};

static void
on_chunk(void *arg)
{
    struct chunk *chunk = arg;
    struct ew_kafka *kafka = chunk->kafka;

    for (size_t i = 0; i < chunk->count; i++) {
        if (atomic_load(&kafka->draining))
            ew_record_free(chunk->records[i]);
        else
            kafka->events.record(kafka->events.arg, chunk->records[i]);
    }
    free(chunk);
}

static void
post_chunk(struct chunk **chunk)
{
    if (*chunk == NULL)
        return;
    ew_loop_post((*chunk)->kafka->loop, on_chunk, *chunk);
    *chunk = NULL;
}

static void
hand_out(struct ew_kafka *kafka, struct chunk **chunk, struct ew_record *record)
{
    if (*chunk == NULL) {
        *chunk = ew_calloc(1, sizeof(**chunk));
        (*chunk)->kafka = kafka;
    }
    (*chunk)->records[(*chunk)->count++] = record;
    atomic_fetch_add(&kafka->counts.consumed, 1);
    if ((*chunk)->count == CHUNK)
        post_chunk(chunk);
}

/* --- messages --- */

/* All of them: a dead letter carries them on. */
static struct ew_header *
headers_of(const rd_kafka_message_t *message, size_t *count)
{
    rd_kafka_headers_t *list = NULL;
    struct ew_header *headers;

    *count = 0;
    if (rd_kafka_message_headers(message, &list) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_cnt(list) == 0)
        return NULL;
    headers = ew_calloc(rd_kafka_header_cnt(list), sizeof(*headers));
    while (rd_kafka_header_get_all(list, *count, &headers[*count].name, &headers[*count].value,
                                   &headers[*count].len) == RD_KAFKA_RESP_ERR_NO_ERROR)
        (*count)++;
    return headers;
}

static struct ew_record *
record_of(struct ew_kafka *kafka, struct ew_part *part, const rd_kafka_message_t *message,
          bool started, bool doubt)
{
    rd_kafka_timestamp_type_t type;
    size_t header_count;
    struct ew_header *headers = headers_of(message, &header_count);
    struct ew_record record = {
        .offset = message->offset,
        .key = message->key,
        .key_len = message->key_len,
        .value = message->payload,
        .value_len = message->len,
        .headers = headers,
        .header_count = header_count,
        .started = started,
        .doubt = doubt,
    };
    struct ew_record *made;

    record.timestamp_ms = rd_kafka_message_timestamp(message, &type);
    if (type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE)
        record.timestamp_ms = -1;
    else if (record.timestamp_ms - ew_kafka_now(kafka) > atomic_load(&kafka->seen_ahead_ms))
        atomic_store(&kafka->seen_ahead_ms, record.timestamp_ms - ew_kafka_now(kafka));
    made = ew_record_new(part, &record);
    free(headers);
    return made;
}

/* What librdkafka has to say of the partition itself is said in between. */
static rd_kafka_message_t *
consume(struct ew_kafka *kafka, struct ew_part *part)
{
    rd_kafka_message_t *message;

    kafka->intake.served = part;
    message = rd_kafka_consume_queue(part->queue, 0);
    kafka->intake.served = NULL;
    return message;
}

static void
say_unreadable(const struct ew_part *part, const rd_kafka_message_t *message,
               enum ew_log_level level)
{
    EW_LOG(level, EW_KAFKA_LOG, "the partition cannot be read on", EW_STR("topic", part->topic),
           EW_INT("partition", part->number), EW_INT("position", part->position),
           EW_STR("code", rd_kafka_err2name(message->err)),
           EW_STR("detail", rd_kafka_message_errstr(message)));
}

/* It has found no place to fetch from, and may not choose one (auto.offset.reset is "error"): it
 * fetches nothing more, and a seek has nothing that it could move. */
static bool
gives_up(const rd_kafka_message_t *message)
{
    return message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET;
}

/* What a message shows that is thrown away. */
static void
note_fetch(struct ew_part *part, const rd_kafka_message_t *message)
{
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        part->trace = ew_trace_of(message);
    part->fetching = part->fetching || message->err == RD_KAFKA_RESP_ERR_NO_ERROR ||
                     message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
    part->given_up = part->given_up || gives_up(message);
}

/* Whether librdkafka has found the place that it was assigned at. Before that a seek is worth
 * little: the late reply of its look-up would send it there again, to read the whole log. What
 * shows it is thrown away, but for its trace. */
static bool
fetches(struct ew_kafka *kafka, struct ew_part *part)
{
    rd_kafka_message_t *message;

    while (!part->fetching && !part->given_up && (message = consume(kafka, part)) != NULL) {
        note_fetch(part, message);
        if (!part->fetching)
            say_unreadable(part, message, EW_LOG_WARN);
        rd_kafka_message_destroy(message);
    }
    return part->fetching && !part->given_up;
}

/* A seek that has not worked for so long never will. */
static void
count_seek(struct ew_kafka *kafka, struct ew_part *part, bool good)
{
    int64_t now = ew_kafka_now(kafka);

    if (good)
        part->seek_fails_ms = 0;
    else if (part->seek_fails_ms == 0)
        part->seek_fails_ms = now;
    else
        part->given_up = now - part->seek_fails_ms > SEEK_AT_MOST_MS;
}

/* Goes to where we are to read on; once it has answered, nothing of before is left in the queue. */
static bool
seek(struct ew_kafka *kafka, struct ew_part *part)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *at =
        rd_kafka_topic_partition_list_add(list, part->topic, part->number);
    rd_kafka_error_t *error;
    bool good;

    at->offset = part->position;
    ew_intake_tick(kafka);
    error = rd_kafka_seek_partitions(kafka->consumer, list, SEEK_MS);
    good = error == NULL && at->err == RD_KAFKA_RESP_ERR_NO_ERROR;
    if (error != NULL)
        rd_kafka_error_destroy(error);
    rd_kafka_topic_partition_list_destroy(list);
    count_seek(kafka, part, good);
    return good;
}

/* To the place itself: nothing is to be looked up. */
static bool
begin_anew(struct ew_kafka *kafka, struct ew_part *part)
{
    ew_intake_tick(kafka);
    if (!ew_intake_reassign(kafka, part))
        return false;
    part->given_up = false;
    part->fetching = true;
    part->seek_fails_ms = 0;
    return true;
}

enum taken { TAKEN, TAKE_LATER };

/* Decides about a message: to be skipped, handed out, or kept until the map has
 * room. */
static enum taken
take(struct ew_kafka *kafka, struct ew_part *part, const rd_kafka_message_t *message,
     struct chunk **chunk)
{
    enum ew_offset_mark mark;
    enum ew_fault fault = EW_OK;
    uint64_t vanished;
    bool doubt;

    if (message->offset < part->position)
        return TAKEN;
    pthread_mutex_lock(&part->lock);
    mark = ew_offset_map_mark(part->map, message->offset);
    doubt = message->offset < ew_offset_map_doubt(part->map);
    vanished = ew_offset_map_vanished(part->map);
    if (mark != EW_OFF_DONE) {
        fault = ew_offset_map_receive(part->map, message->offset);
        part->handed += fault == EW_OK;
    }
    vanished = ew_offset_map_vanished(part->map) - vanished;
    pthread_mutex_unlock(&part->lock);
    if (vanished > 0)
        EW_LOG(EW_LOG_ERROR, EW_KAFKA_LOG, "open requests are gone from the log",
               EW_STR("topic", part->topic), EW_INT("partition", part->number),
               EW_INT("count", vanished));
    if (fault == EW_RETRY)
        return TAKE_LATER;
    if (fault != EW_OK)
        abort(); /* the map's order is broken: passing the record over would lose it */
    part->position = message->offset + 1;
    part->trace = ew_trace_of(message);
    if (mark != EW_OFF_DONE)
        hand_out(kafka, chunk, record_of(kafka, part, message, mark == EW_OFF_STARTED, doubt));
    return TAKEN;
}

static void
take_end(struct ew_part *part, int64_t offset)
{
    if (offset < part->position)
        return;
    pthread_mutex_lock(&part->lock);
    ew_offset_map_at_end(part->map, offset);
    pthread_mutex_unlock(&part->lock);
    part->position = offset;
}

/* There is nothing at our place: the log ends before it. Data was lost, or the topic was deleted
 * and made again; what will stand there one day is something else. */
static bool
is_cut(const rd_kafka_message_t *message)
{
    return message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET &&
           strstr(rd_kafka_message_errstr(message),
                  rd_kafka_err2str(RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE)) != NULL;
}

/* librdkafka reads on behind what it could not read (too large, not to be unpacked): a record would
 * be passed over. So whatever the error, we go back to where we were, and say so each time. */
static void
take_error(struct ew_kafka *kafka, struct ew_part *part, const rd_kafka_message_t *message)
{
    say_unreadable(part, message, EW_LOG_ERROR);
    part->unsought = true;
    part->given_up = gives_up(message);
    part->retry_ms = ew_kafka_now(kafka) + STALL_MS;
    part->cut = is_cut(message);
    part->replaced = part->replaced || part->cut;
}

/* Reading that begins beyond where it was sent may be right (markers, compaction) or an event
 * passed over: it must begin there twice before it is believed. */
static bool
leaps(struct ew_part *part, int64_t offset)
{
    bool leap = part->fresh && offset > part->position && offset != part->leap;

    part->fresh = false;
    part->leap = leap ? offset : -1;
    part->unsought = leap;
    return leap;
}

static void
take_any(struct ew_kafka *kafka, struct ew_part *part, rd_kafka_message_t *message,
         struct chunk **chunk)
{
    bool record = message->err == RD_KAFKA_RESP_ERR_NO_ERROR;

    if ((record || message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) &&
        leaps(part, message->offset)) {
        EW_LOG(EW_LOG_WARN, EW_KAFKA_LOG, "reading began beyond its place: once more",
               EW_STR("topic", part->topic), EW_INT("partition", part->number),
               EW_INT("position", part->position), EW_INT("offset", message->offset));
    } else if (record) {
        if (take(kafka, part, message, chunk) == TAKE_LATER) {
            part->held = message;
            return;
        }
    } else if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        take_end(part, message->offset);
    } else {
        take_error(kafka, part, message);
    }
    rd_kafka_message_destroy(message);
}

/* --- reading --- */

static rd_kafka_message_t *
next_message(struct ew_kafka *kafka, struct ew_part *part)
{
    rd_kafka_message_t *message = part->held;

    part->held = NULL;
    if (message == NULL)
        message = consume(kafka, part);
    if (message == NULL || !part->replaced)
        return message;
    rd_kafka_message_destroy(message);
    return NULL;
}

static bool
may_read(struct ew_kafka *kafka, struct ew_part *part)
{
    if (!part->reading || !ew_part_has_room(part))
        return false;
    if (part->held != NULL)
        atomic_store(&part->starved, true); /* the map was full: woken when something is done */
    if (!part->unsought)
        return true;
    if (ew_kafka_now(kafka) < part->retry_ms)
        return false;
    if (!fetches(kafka, part) && !part->given_up)
        return false;
    part->retry_ms = ew_kafka_now(kafka) + SEEK_AGAIN_MS;
    part->unsought = part->given_up ? !begin_anew(kafka, part) : !seek(kafka, part);
    part->fresh = !part->unsought;
    return part->fresh;
}

void
ew_intake_say_replaced(struct ew_kafka *kafka, struct ew_part *part)
{
    const char *problem = part->cut ? "log-replaced" : "topic-unknown";
    const char *advice =
        part->cut ? "The topic was made again, or its log was cut. " EW_RENEW_BY_HAND
                  : "It is looked at again by itself. If the topic was deleted, do nothing before "
                    "it is there again. " EW_RENEW_BY_HAND;

    ew_part_left_alone(part, ew_kafka_now(kafka), &part->alarm_ms, problem, advice);
}

/* What our map says may be of another log. Records of the new one would be taken for done: none is
 * read and nothing committed until the partition is adopted anew, by whoever is given it next. */
static void
forsake(struct ew_kafka *kafka, struct ew_part *part)
{
    atomic_store(&kafka->replaced, true);
    atomic_store(&part->owned, false);
    atomic_store(&part->adopted, false);
    atomic_store(&part->alone, true);
    part->renew_ms = ew_kafka_now(kafka) + EW_RENEW_MS;
    ew_intake_tell_lost(kafka, part);
    part->reading = false;
    ew_intake_say_replaced(kafka, part);
}

/* false: nothing more now; an io event, a relief or the next turn's look brings
 * us back. */
static bool
read_part(struct ew_kafka *kafka, struct ew_part *part)
{
    struct chunk *chunk = NULL;
    bool more = true;

    for (int i = 0; more && i < READ_AT_ONCE; i++) {
        rd_kafka_message_t *message;

        more = may_read(kafka, part);
        message = more ? next_message(kafka, part) : NULL;
        if (message == NULL) {
            more = false;
            break;
        }
        take_any(kafka, part, message, &chunk);
        more = part->held == NULL && !part->replaced;
    }
    post_chunk(&chunk);
    if (part->replaced && part->reading)
        forsake(kafka, part);
    return more;
}

/* What is in an heir's queue was said before its log was looked at. */
static void
clear_queue(struct ew_kafka *kafka, struct ew_part *part)
{
    rd_kafka_message_t *message;

    for (int i = 0; i < CLEAR_AT_MOST && (message = consume(kafka, part)) != NULL; i++) {
        note_fetch(part, message);
        rd_kafka_message_destroy(message);
    }
    part->replaced = false;
}

static void
begin_reading(struct ew_kafka *kafka, struct ew_part *part)
{
    if (part->heir)
        clear_queue(kafka, part);
    pthread_mutex_lock(&part->lock);
    part->position = ew_offset_map_base(part->map);
    pthread_mutex_unlock(&part->lock);
    part->reading = true;
    part->unsought = true;
    part->leap = -1;
    ew_intake_tell_adopted(kafka, part);
}

bool
ew_intake_read(struct ew_kafka *kafka)
{
    struct ew_intake *intake = &kafka->intake;
    bool busy = false;

    for (size_t i = 0; i < intake->count; i++) {
        struct ew_part *part = intake->parts[i];

        if (!part->reading && atomic_load(&part->adopted))
            begin_reading(kafka, part);
        if (!atomic_load(&kafka->draining))
            busy = read_part(kafka, part) || busy;
    }
    return busy;
}
