/*
 * Reads our own topics from a place up to a mark: one thread and one handle per reader. The mark is
 * the true high watermark (read_uncommitted); what is read is committed only, so the mark is
 * reached when every transaction below it has ended. Who follows one partition is read for by the
 * follower.
 */
#include "reader_private.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "conf_private.h"
#include "part_private.h"
#include "probe_private.h"
#include "waits_private.h"

enum {
    BATCH_BYTES = 1024 * 1024,
    WATERMARK_MS = 5000,
    WATERMARK_TRIES = 6,
};

void
ew_reader_unref(struct ew_reader *reader)
{
    if (atomic_fetch_sub(&reader->refs, 1) != 1)
        return;
    free(reader->positions);
    free(reader->marks);
    ew_wake_unref(reader->wake);
    pthread_cond_destroy(&reader->changed);
    pthread_mutex_destroy(&reader->lock);
    free(reader);
}

bool
ew_reader_ended(const struct ew_reader *reader)
{
    return atomic_load(&reader->stop) || atomic_load(&reader->kafka->readers_end);
}

/* --- batches --- */

void
ew_read_batch_free(struct ew_read_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        rd_kafka_message_destroy(batch->messages[i]);
    ew_reader_unref(batch->reader);
    free(batch);
}

static void
on_batch(void *arg)
{
    struct ew_read_batch *batch = arg;
    struct ew_reader *reader = batch->reader;

    if (!reader->stopped)
        reader->options.batch(reader->options.arg, batch->records, batch->count, batch->at_mark,
                              batch->failed);
    ew_read_batch_free(batch);
}

struct ew_read_batch *
ew_read_batch_new(struct ew_reader *reader)
{
    struct ew_read_batch *batch = ew_calloc(1, sizeof(*batch));

    atomic_fetch_add(&reader->refs, 1);
    batch->reader = reader;
    return batch;
}

static void
add(struct ew_read_batch *batch, rd_kafka_message_t *message)
{
    rd_kafka_timestamp_type_t type;
    struct ew_read_record *record = &batch->records[batch->count];

    *record = (struct ew_read_record){
        .partition = message->partition,
        .offset = message->offset,
        .timestamp_ms = rd_kafka_message_timestamp(message, &type),
        .key = message->key,
        .key_len = message->key_len,
        .value = message->payload,
        .value_len = message->len,
    };
    if (type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE)
        record->timestamp_ms = -1;
    batch->messages[batch->count++] = message;
    batch->bytes += message->key_len + message->len;
}

bool
ew_read_batch_full(const struct ew_reader *reader, const struct ew_read_batch *batch)
{
    size_t most = reader->options.most;

    return batch->count == EW_READER_RECORDS || (most > 0 && batch->count >= most) ||
           batch->bytes >= BATCH_BYTES || reader->left == 0;
}

/* --- reading --- */

static bool
at_mark(const struct ew_reader *reader)
{
    for (int32_t i = 0; i < reader->count; i++) {
        if (reader->positions[i] < reader->marks[i])
            return false;
    }
    return true;
}

/* What helps against what librdkafka could not unpack, or the broker not read. */
static const char *
advice_for(rd_kafka_resp_err_t code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR__BAD_MSG:
    case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
    case RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
        return "The partition's log is damaged there, and what it says is not passed over. Let a "
               "replica lead whose copy is whole, or restore it.";
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        return "Allow this user Read and Describe on the topic.";
    default:
        return "It is read again by itself. If this goes on, see the log of the partition's "
               "leader.";
    }
}

static void
give_up(struct ew_reader *reader, struct ew_read_batch *batch, const rd_kafka_message_t *message)
{
    EW_LOG(EW_LOG_ERROR, EW_KAFKA_LOG, "reader gave up",
           EW_STR("topic", reader->kafka->options.out[reader->options.topic]),
           EW_INT("partition", message->partition), EW_INT("offset", message->offset),
           EW_STR("code", rd_kafka_err2name(message->err)),
           EW_STR("detail", rd_kafka_message_errstr(message)),
           EW_STR("advice", advice_for(message->err)));
    batch->failed = true;
}

/* Takes `message`. An error of a partition ends the reading, whichever it is: librdkafka goes on
 * behind a batch whose sum is wrong, and stands for ever at one that it cannot unpack. What it
 * recovers from by itself (a leader that moved, a connection, a timeout) it does not post for a
 * partition; nor is what it says of the group, which we do not need, about one: such an error has
 * no topic, and 0 for its partition. */
void
ew_read_batch_take(struct ew_reader *reader, struct ew_read_batch *batch,
                   rd_kafka_message_t *message)
{
    int32_t at = message->partition - reader->first;
    bool ours = message->rkt != NULL && at >= 0 && at < reader->count;

    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR && ours) {
        reader->positions[at] = message->offset + 1;
        reader->left -= reader->left > 0;
        add(batch, message);
        return;
    }
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF && ours)
        reader->positions[at] = message->offset;
    else if (ours || message->err == RD_KAFKA_RESP_ERR__FATAL)
        give_up(reader, batch, message);
    rd_kafka_message_destroy(message);
}

/* Waits for the descriptor: librdkafka itself waits for points of wall time, for as much longer as
 * that clock is set back. */
static rd_kafka_message_t *
next_message(struct ew_reader *reader, int wait_ms)
{
    struct pollfd fd = {.fd = reader->wake->fd, .events = POLLIN};
    rd_kafka_message_t *message = rd_kafka_consumer_poll(reader->handle, 0);

    if (message != NULL)
        return message;
    (void)poll(&fd, 1, wait_ms);
    ew_wake_clear(reader->wake);
    return rd_kafka_consumer_poll(reader->handle, 0);
}

bool
ew_reader_at_new_mark(const struct ew_reader *reader)
{
    return !reader->at_mark_told && at_mark(reader);
}

void
ew_read_batch_post(struct ew_reader *reader, struct ew_read_batch *batch)
{
    batch->at_mark = at_mark(reader);
    reader->at_mark_told = batch->at_mark;
    ew_loop_post(reader->kafka->loop, on_batch, batch);
}

/* Fills a batch until there is something to tell. */
static void
fill(struct ew_reader *reader, struct ew_read_batch *batch)
{
    while (!ew_reader_ended(reader) && !batch->failed && !ew_read_batch_full(reader, batch)) {
        rd_kafka_message_t *message =
            next_message(reader, batch->count > 0 ? 1 : EW_READER_POLL_MS);

        if (message != NULL)
            ew_read_batch_take(reader, batch, message);
        else if (batch->count > 0)
            break;
        if (ew_reader_at_new_mark(reader))
            break;
    }
}

static bool
wait_until_wanted(struct ew_reader *reader)
{
    pthread_mutex_lock(&reader->lock);
    while (!reader->wanted && !ew_reader_ended(reader)) {
        struct timespec until;

        ew_deadline(&until, EW_READER_POLL_MS);
        pthread_cond_timedwait(&reader->changed, &reader->lock, &until);
    }
    reader->wanted = false;
    pthread_mutex_unlock(&reader->lock);
    return !ew_reader_ended(reader);
}

/* --- the beginning --- */

static bool
watermarks(struct ew_reader *reader, int32_t partition, int64_t *low, int64_t *high)
{
    const char *topic = reader->kafka->options.out[reader->options.topic];

    for (int i = 0; i < WATERMARK_TRIES && !ew_reader_ended(reader); i++) {
        if (ew_probe_watermarks(reader->kafka, topic, partition, low, high, WATERMARK_MS) ==
            RD_KAFKA_RESP_ERR_NO_ERROR)
            return true;
    }
    return false;
}

/* Where each partition begins and where its mark is. */
static bool
find_places(struct ew_reader *reader)
{
    for (int32_t i = 0; i < reader->count; i++) {
        int64_t low = 0;
        int64_t high = 0;

        if (!watermarks(reader, reader->first + i, &low, &high))
            return false;
        reader->marks[i] = high;
        /* What retention or compaction has taken is passed over, not an error; nor is a place that
         * is not yet written. */
        reader->positions[i] = reader->options.offset > low ? reader->options.offset : low;
        if (reader->positions[i] > high)
            reader->positions[i] = high;
    }
    return true;
}

/* --- by a handle of its own --- */

static bool
open_handle(struct ew_reader *reader)
{
    static const uint64_t ONE = 1;
    struct ew_handle_options handle = {.handle = EW_HANDLE_READER};
    struct ew_err err;

    if (ew_wake_new(&reader->wake, &err) != EW_OK ||
        ew_handle_new(&reader->kafka->options, &handle, &reader->handle, NULL) != EW_OK)
        return false;
    (void)rd_kafka_poll_set_consumer(reader->handle);
    reader->queue = rd_kafka_queue_get_consumer(reader->handle);
    rd_kafka_queue_io_event_enable(reader->queue, reader->wake->fd, &ONE, sizeof(ONE));
    return true;
}

static void
close_handle(struct ew_reader *reader)
{
    if (reader->handle == NULL)
        return;
    rd_kafka_queue_io_event_enable(reader->queue, -1, NULL, 0);
    rd_kafka_queue_destroy(reader->queue);
    rd_kafka_destroy_flags(reader->handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

static bool
assign(struct ew_reader *reader)
{
    const char *topic = reader->kafka->options.out[reader->options.topic];
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(reader->count);
    bool good;

    for (int32_t i = 0; i < reader->count; i++)
        rd_kafka_topic_partition_list_add(list, topic, reader->first + i)->offset =
            reader->positions[i];
    good = rd_kafka_assign(reader->handle, list) == RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_topic_partition_list_destroy(list);
    return good;
}

/* False: it cannot read. */
static bool
read_alone(struct ew_reader *reader)
{
    bool more = open_handle(reader) && assign(reader);
    bool good = more;

    while (more && wait_until_wanted(reader)) {
        struct ew_read_batch *batch = ew_read_batch_new(reader);

        fill(reader, batch);
        more = !batch->failed && reader->left != 0 && (reader->options.follow || !at_mark(reader));
        ew_read_batch_post(reader, batch);
    }
    close_handle(reader);
    return good;
}

static void
fail(struct ew_reader *reader)
{
    if (wait_until_wanted(reader)) {
        struct ew_read_batch *batch = ew_read_batch_new(reader);

        batch->failed = true;
        ew_read_batch_post(reader, batch);
    }
}

void
ew_reader_thread_ends(struct ew_kafka *kafka)
{
    pthread_mutex_lock(&kafka->readers_lock);
    kafka->readers--;
    pthread_cond_broadcast(&kafka->readers_changed);
    pthread_mutex_unlock(&kafka->readers_lock);
}

static bool
follows_one(const struct ew_reader *reader)
{
    return reader->options.follow && reader->options.partition >= 0;
}

static void *
run(void *arg)
{
    struct ew_reader *reader = arg;
    struct ew_kafka *kafka = reader->kafka;
    bool good = find_places(reader);

    if (good && follows_one(reader) && ew_follower_join(reader)) {
        ew_reader_thread_ends(kafka);
        return NULL;
    }
    if (!good || !read_alone(reader))
        fail(reader);
    ew_reader_unref(reader);
    ew_reader_thread_ends(kafka);
    return NULL;
}

/* --- what others call --- */

static enum ew_fault
reader_new(struct ew_kafka *kafka, const struct ew_reader_options *options, struct ew_reader **out)
{
    struct ew_reader *reader = ew_calloc(1, sizeof(*reader));

    atomic_init(&reader->refs, 2); /* the caller and the thread */
    reader->kafka = kafka;
    reader->options = *options;
    reader->wanted = true;
    reader->left = options->limit > 0 ? options->limit : -1;
    reader->first = options->partition >= 0 ? options->partition : 0;
    reader->count = options->partition >= 0 ? 1 : ew_kafka_partitions(kafka, options->topic);
    reader->positions = ew_calloc((size_t)reader->count + 1, sizeof(int64_t));
    reader->marks = ew_calloc((size_t)reader->count + 1, sizeof(int64_t));
    if (pthread_mutex_init(&reader->lock, NULL) != 0 || ew_cond_init(&reader->changed) != EW_OK) {
        free(reader->positions);
        free(reader->marks);
        free(reader);
        return EW_RETRY;
    }
    *out = reader;
    return EW_OK;
}

static bool
start_thread(struct ew_reader *reader)
{
    struct ew_kafka *kafka = reader->kafka;
    pthread_t thread;
    bool started;

    pthread_mutex_lock(&kafka->readers_lock);
    started = !atomic_load(&kafka->readers_end) && pthread_create(&thread, NULL, run, reader) == 0;
    if (started) {
        pthread_detach(thread);
        kafka->readers++;
    }
    pthread_mutex_unlock(&kafka->readers_lock);
    return started;
}

enum ew_fault
ew_reader_start(struct ew_kafka *kafka, const struct ew_reader_options *options,
                struct ew_reader **out, struct ew_err *err)
{
    struct ew_reader *reader;

    if (kafka->options.out[options->topic] == NULL ||
        options->partition >= ew_kafka_partitions(kafka, options->topic) ||
        (options->offset >= 0 && options->partition < 0))
        return ew_fail(err, EW_BUG, "reader-options",
                       "no such topic or partition, or an offset "
                       "without a partition");
    if (reader_new(kafka, options, &reader) != EW_OK)
        return ew_fail(err, EW_RETRY, "memory", "no memory for a reader");
    if (!start_thread(reader)) {
        ew_reader_unref(reader);
        /* The second of two references. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        ew_reader_unref(reader);
        return ew_fail(err, EW_RETRY, "thread", "no thread for a reader");
    }
    *out = reader;
    return EW_OK;
}

void
ew_reader_next(struct ew_reader *reader)
{
    pthread_mutex_lock(&reader->lock);
    reader->wanted = true;
    pthread_cond_signal(&reader->changed);
    if (reader->at_work != NULL)
        ew_wake_up(reader->at_work);
    pthread_mutex_unlock(&reader->lock);
}

void
ew_reader_stop(struct ew_reader *reader)
{
    if (reader == NULL)
        return;
    reader->stopped = true;
    atomic_store(&reader->stop, true);
    ew_reader_next(reader);
    ew_reader_unref(reader);
}

void
ew_readers_stop(struct ew_kafka *kafka)
{
    atomic_store(&kafka->readers_end, true);
    pthread_mutex_lock(&kafka->readers_lock);
    while (kafka->readers > 0)
        pthread_cond_wait(&kafka->readers_changed, &kafka->readers_lock);
    pthread_mutex_unlock(&kafka->readers_lock);
}
