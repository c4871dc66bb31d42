/*
 * Reads on for all who follow a partition, with one thread and one handle: each handle fetches for
 * itself, and wakes by itself, as often as somebody writes. Each partition has a queue of its own,
 * so that what one follower does not ask for yet holds up no other.
 */
#include <poll.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "conf_private.h"
#include "part_private.h"
#include "reader_private.h"

struct ew_follower {
    struct ew_kafka *kafka;
    struct ew_wake *wake;
    struct ew_list joining; /* readers_lock */

    /* thread */
    rd_kafka_t *handle;
    struct ew_list reading;
};

static struct ew_reader *
reader_at(struct ew_link *link)
{
    return EW_CONTAINER(link, struct ew_reader, in_follower);
}

static const char *
topic_of(const struct ew_reader *reader)
{
    return reader->kafka->options.out[reader->options.topic];
}

static void
set_at_work(struct ew_reader *reader, struct ew_wake *wake)
{
    pthread_mutex_lock(&reader->lock);
    reader->at_work = wake;
    pthread_mutex_unlock(&reader->lock);
}

/* --- one partition of the handle's --- */

static bool
change(const struct ew_follower *follower, const struct ew_reader *reader, bool added)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_error_t *error;

    rd_kafka_topic_partition_list_add(list, topic_of(reader), reader->first)->offset =
        reader->positions[0];
    error = added ? rd_kafka_incremental_assign(follower->handle, list)
                  : rd_kafka_incremental_unassign(follower->handle, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (error == NULL)
        return true;
    EW_LOG(EW_LOG_ERROR, EW_KAFKA_LOG, "a partition cannot be followed",
           EW_STR("topic", topic_of(reader)), EW_INT("partition", reader->first),
           EW_STR("detail", rd_kafka_error_string(error)));
    rd_kafka_error_destroy(error);
    return false;
}

static void
leave(struct ew_follower *follower, struct ew_reader *reader)
{
    ew_link_remove(&reader->in_follower);
    if (reader->queue != NULL) {
        rd_kafka_queue_io_event_enable(reader->queue, -1, NULL, 0);
        (void)change(follower, reader, false);
        rd_kafka_queue_destroy(reader->queue);
        reader->queue = NULL;
    }
    set_at_work(reader, NULL);
    ew_reader_unref(reader);
}

static void
fail(struct ew_follower *follower, struct ew_reader *reader)
{
    struct ew_read_batch *batch = ew_read_batch_new(reader);

    batch->failed = true;
    ew_read_batch_post(reader, batch);
    leave(follower, reader);
}

/* Its queue first: what is forwarded once to the handle's cannot be held back. */
static bool
enter(struct ew_follower *follower, struct ew_reader *reader)
{
    static const uint64_t ONE = 1;
    rd_kafka_queue_t *queue =
        rd_kafka_queue_get_partition(follower->handle, topic_of(reader), reader->first);

    if (queue == NULL)
        return false;
    rd_kafka_queue_forward(queue, NULL);
    rd_kafka_queue_io_event_enable(queue, follower->wake->fd, &ONE, sizeof(ONE));
    if (!change(follower, reader, true)) {
        rd_kafka_queue_io_event_enable(queue, -1, NULL, 0);
        rd_kafka_queue_destroy(queue);
        return false;
    }
    reader->queue = queue;
    return true;
}

/* --- who comes and who goes --- */

static void
let_go(struct ew_follower *follower)
{
    struct ew_link *link, *next;

    for (link = ew_list_first(&follower->reading); link != NULL; link = next) {
        next = ew_list_next(&follower->reading, link);
        if (ew_reader_ended(reader_at(link)))
            leave(follower, reader_at(link));
    }
}

static struct ew_reader *
next_to_join(struct ew_follower *follower)
{
    struct ew_kafka *kafka = follower->kafka;
    struct ew_link *link;

    pthread_mutex_lock(&kafka->readers_lock);
    link = ew_list_first(&follower->joining);
    if (link != NULL)
        ew_link_remove(link);
    pthread_mutex_unlock(&kafka->readers_lock);
    return link == NULL ? NULL : reader_at(link);
}

static bool
is_taken(const struct ew_follower *follower, const struct ew_reader *reader)
{
    struct ew_link *link;

    for (link = ew_list_first(&follower->reading); link != NULL;
         link = ew_list_next(&follower->reading, link)) {
        if (reader_at(link)->first == reader->first &&
            reader_at(link)->options.topic == reader->options.topic)
            return true;
    }
    return false;
}

static bool
open_handle(struct ew_follower *follower)
{
    struct ew_handle_options handle = {.handle = EW_HANDLE_READER};

    if (follower->handle != NULL)
        return true;
    if (ew_handle_new(&follower->kafka->options, &handle, &follower->handle, NULL) != EW_OK)
        return false;
    (void)rd_kafka_poll_set_consumer(follower->handle);
    return true;
}

/* A partition has one follower: whoever follows it next has stopped the one before. */
static void
let_in(struct ew_follower *follower)
{
    struct ew_reader *reader;

    while ((reader = next_to_join(follower)) != NULL) {
        bool good;

        let_go(follower);
        good = !ew_reader_ended(reader) && !is_taken(follower, reader) && open_handle(follower) &&
               enter(follower, reader);
        ew_list_append(&follower->reading, &reader->in_follower);
        set_at_work(reader, follower->wake);
        if (!good)
            fail(follower, reader);
    }
}

/* --- reading --- */

static bool
is_wanted(struct ew_reader *reader)
{
    bool wanted;

    pthread_mutex_lock(&reader->lock);
    wanted = reader->wanted;
    pthread_mutex_unlock(&reader->lock);
    return wanted;
}

static void
post(struct ew_reader *reader, struct ew_read_batch *batch)
{
    pthread_mutex_lock(&reader->lock);
    reader->wanted = false;
    pthread_mutex_unlock(&reader->lock);
    ew_read_batch_post(reader, batch);
}

/* What there is, or that the mark is reached; without waiting. */
static void
serve(struct ew_follower *follower, struct ew_reader *reader)
{
    struct ew_read_batch *batch = NULL;
    rd_kafka_message_t *message;
    bool failed = false;

    while (!failed && (batch == NULL || !ew_read_batch_full(reader, batch)) &&
           (message = rd_kafka_consume_queue(reader->queue, 0)) != NULL) {
        if (batch == NULL)
            batch = ew_read_batch_new(reader);
        ew_read_batch_take(reader, batch, message);
        failed = batch->failed;
    }
    if (batch == NULL && ew_reader_at_new_mark(reader))
        batch = ew_read_batch_new(reader);
    if (batch == NULL)
        return;
    if (batch->count > 0 || failed || ew_reader_at_new_mark(reader))
        post(reader, batch);
    else
        ew_read_batch_free(batch);
    if (failed)
        leave(follower, reader);
}

/* What is told of no partition, librdkafka has logged. A handle that is done for, or that gives a
 * record past its partition's queue, is given up: all begin anew, so that nothing is passed over.
 */
static void
serve_handle(struct ew_follower *follower)
{
    rd_kafka_message_t *message;
    struct ew_link *link;
    bool sound = true;

    while (sound && follower->handle != NULL &&
           (message = rd_kafka_consumer_poll(follower->handle, 0)) != NULL) {
        sound =
            message->err != RD_KAFKA_RESP_ERR_NO_ERROR && message->err != RD_KAFKA_RESP_ERR__FATAL;
        rd_kafka_message_destroy(message);
    }
    if (sound)
        return;
    EW_LOG(EW_LOG_ERROR, EW_KAFKA_LOG, "the handle that follows is given up",
           EW_STR("advice", "All who follow begin anew; see what librdkafka has logged before."));
    while ((link = ew_list_first(&follower->reading)) != NULL)
        fail(follower, reader_at(link));
    rd_kafka_destroy_flags(follower->handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    follower->handle = NULL;
}

static void
serve_all(struct ew_follower *follower)
{
    struct ew_link *link, *next;

    for (link = ew_list_first(&follower->reading); link != NULL; link = next) {
        next = ew_list_next(&follower->reading, link);
        if (is_wanted(reader_at(link)))
            serve(follower, reader_at(link));
    }
}

static void
end(struct ew_follower *follower)
{
    struct ew_kafka *kafka = follower->kafka;
    struct ew_reader *reader;
    struct ew_link *link;

    while ((link = ew_list_first(&follower->reading)) != NULL)
        leave(follower, reader_at(link));
    while ((reader = next_to_join(follower)) != NULL)
        ew_reader_unref(reader);
    if (follower->handle != NULL)
        rd_kafka_destroy_flags(follower->handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    ew_wake_unref(follower->wake);
    free(follower);
    ew_reader_thread_ends(kafka);
}

static void *
run(void *arg)
{
    struct ew_follower *follower = arg;

    while (!atomic_load(&follower->kafka->readers_end)) {
        struct pollfd fd = {.fd = follower->wake->fd, .events = POLLIN};

        (void)poll(&fd, 1, EW_READER_POLL_MS);
        ew_wake_clear(follower->wake);
        let_go(follower);
        let_in(follower);
        serve_handle(follower);
        serve_all(follower);
    }
    end(follower);
    return NULL;
}

/* --- what readers call --- */

/* With readers_lock; NULL: it cannot be. */
static struct ew_follower *
follower_of(struct ew_kafka *kafka)
{
    struct ew_follower *follower = kafka->follower;
    struct ew_err err;
    pthread_t thread;

    if (follower != NULL)
        return follower;
    follower = ew_calloc(1, sizeof(*follower));
    follower->kafka = kafka;
    ew_list_init(&follower->joining);
    ew_list_init(&follower->reading);
    if (ew_wake_new(&follower->wake, &err) != EW_OK ||
        pthread_create(&thread, NULL, run, follower) != 0) {
        ew_wake_unref(follower->wake);
        free(follower);
        return NULL;
    }
    pthread_detach(thread);
    kafka->readers++;
    kafka->follower = follower;
    return follower;
}

bool
ew_follower_join(struct ew_reader *reader)
{
    struct ew_kafka *kafka = reader->kafka;
    struct ew_follower *follower = NULL;

    pthread_mutex_lock(&kafka->readers_lock);
    if (!atomic_load(&kafka->readers_end))
        follower = follower_of(kafka);
    if (follower != NULL) {
        ew_list_append(&follower->joining, &reader->in_follower);
        ew_wake_up(follower->wake);
    }
    pthread_mutex_unlock(&kafka->readers_lock);
    return follower != NULL;
}
