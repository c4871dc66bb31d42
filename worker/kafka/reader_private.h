/*
 * What readers share: one begins with a thread and a handle of its own; one that follows goes on in
 * the follower, which reads for all of them.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "kafka_private.h"

enum {
    EW_READER_RECORDS = 500, /* of a batch */
    EW_READER_POLL_MS = 50,  /* how long a stop may go unseen */
};

struct ew_reader {
    atomic_int refs;
    struct ew_kafka *kafka;
    struct ew_reader_options options;
    bool stopped; /* loop: no batch any more */
    atomic_bool stop;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool wanted;             /* lock: the next batch was asked for */
    struct ew_wake *at_work; /* lock: the follower's, once that reads for it */

    /* thread: its own, then the follower's */
    rd_kafka_t *handle;
    rd_kafka_queue_t *queue;
    struct ew_wake *wake;
    int32_t first, count;       /* partitions */
    int64_t *positions, *marks; /* by partition - first */
    int left;                   /* of the limit; -1 = none */
    bool at_mark_told;
    struct ew_link in_follower;
};

/* What goes to the loop; keeps librdkafka's messages alive that the records point into. */
struct ew_read_batch {
    struct ew_reader *reader;
    size_t count;
    size_t bytes;
    bool at_mark, failed;
    rd_kafka_message_t *messages[EW_READER_RECORDS];
    struct ew_read_record records[EW_READER_RECORDS];
};

/* --- reader.c --- */
void ew_reader_unref(struct ew_reader *reader);
/* Nobody waits for it any more. Any thread. */
bool ew_reader_ended(const struct ew_reader *reader);
struct ew_read_batch *ew_read_batch_new(struct ew_reader *reader);
void ew_read_batch_free(struct ew_read_batch *batch);
bool ew_read_batch_full(const struct ew_reader *reader, const struct ew_read_batch *batch);
/* Takes `message`. */
void ew_read_batch_take(struct ew_reader *reader, struct ew_read_batch *batch,
                        rd_kafka_message_t *message);
/* Says whether it is at the mark, and gives it to the loop. */
void ew_read_batch_post(struct ew_reader *reader, struct ew_read_batch *batch);
/* The mark is reached, and the loop has not heard so. */
bool ew_reader_at_new_mark(const struct ew_reader *reader);
/* Makes every reader give up and waits for their threads. Not the loop's own call path. */
void ew_readers_stop(struct ew_kafka *kafka);

/* --- follower.c --- */
/* Reads on for it, from its positions; takes the thread's reference. False: it cannot. */
bool ew_follower_join(struct ew_reader *reader);
/* Of readers_lock; the last of the readers' threads goes. */
void ew_reader_thread_ends(struct ew_kafka *kafka);
