/*
 * One partition during one ownership, as the threads of this room share it. Who
 * may touch what is said at each member.
 */
#pragma once

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "kafka/kafka.h"
#include "kafka/offset_map.h"

/* Wakes the consumer thread. Counted, because records outlive the thread. */
struct ew_wake {
    atomic_int refs;
    int fd; /* non-blocking eventfd: a blocking one can hang librdkafka's threads
             */
};

EW_CHECK enum ew_fault ew_wake_new(struct ew_wake **out, struct ew_err *err);
void ew_wake_unref(struct ew_wake *wake);
void ew_wake_up(struct ew_wake *wake);    /* any thread */
void ew_wake_clear(struct ew_wake *wake); /* the thread that waits */

/* A record that was read. A log that still has it is still the same. */
struct ew_trace {
    int64_t offset; /* -1: none */
    int64_t timestamp_ms;
    size_t bytes; /* of key and value */
};

struct ew_part {
    atomic_int refs;
    enum ew_lane lane;
    int32_t number;
    char topic[EW_MAX_TOPIC + 1];
    struct ew_wake *wake;
    int items_max;
    int64_t bytes_max;

    atomic_bool owned;   /* false: going or gone; the send gate is shut */
    atomic_bool adopted; /* set by the committer, after map and epoch; taken back by the consumer
                            where the log was replaced */
    atomic_bool alone;   /* assigned, and nobody works on it: people are told */
    atomic_bool starved; /* the consumer waits for room in the budget */
    atomic_uint epoch;
    atomic_uint outgrow; /* ours has to be above it; 0: none is known */
    atomic_llong bytes;  /* of records handed out and not freed */

    pthread_mutex_t lock;
    struct ew_offset_map *map; /* lock; NULL until adopted */
    int handed;                /* lock; received in this ownership and not done */
    int64_t committed_base;    /* lock */
    size_t map_chars;          /* lock; of the last commit */

    int64_t high; /* the log's end at adoption; set before `adopted` */

    /* Consumer thread; of an heir, whose log is to be the same, the adopter's until it is adopted.
     */
    struct ew_trace trace; /* the last record read */
    bool heir;        /* after an ownership that ended because a broker did not know the topic */
    int64_t old_high; /* of an heir: `high` of that ownership */

    /* Committer only: the sequence of the last attempt, whether it was committed
     * or not. */
    uint32_t tried;

    /* The committer's lock: items submitted and not yet answered. */
    int pending;

    /* Consumer thread only. */
    rd_kafka_queue_t *queue;
    bool reading;             /* adopted() was posted */
    bool fetching;            /* librdkafka has shown that it fetches the partition */
    bool unsought;            /* it has yet to be sent to `position` */
    bool given_up;            /* librdkafka fetches it no more until it is assigned anew */
    int64_t seek_fails_ms;    /* boot time since when no seek has worked, 0 = the last one did */
    bool fresh;               /* it was, and nothing has come since */
    int64_t leap;             /* where it began instead of at `position`, -1 = it did not */
    rd_kafka_message_t *held; /* did not fit the map */
    bool replaced;            /* its log may not be the one that was adopted */
    bool cut;                 /* and surely is not */
    int64_t renew_ms;         /* boot time of the next look at it, if it may be */
    int64_t alarm_ms;         /* boot time of the last word about that */
    int64_t retry_ms;         /* boot time of the next seek */
    int64_t position;         /* one past the last offset seen */
};

struct ew_part *ew_part_new(enum ew_lane lane, const char *topic, int32_t number,
                            struct ew_wake *wake, const struct ew_kafka_options *options);
struct ew_trace ew_trace_of(const rd_kafka_message_t *message);
/* Whether the budget takes another record; when not, the consumer is woken once
 * it does. */
bool ew_part_has_room(struct ew_part *part);
/* Notes that `part` may have room again. Any thread. */
void ew_part_relieved(struct ew_part *part);
/* Says so, and what to do, unless it was said a short while ago. said_ms: boot time of the last
 * word, -1 = none. */
void ew_part_left_alone(const struct ew_part *part, int64_t now, int64_t *said_ms,
                        const char *problem, const char *advice);
/* Whether both name the same partition. */
bool ew_part_is(const struct ew_part *part, const char *topic, int32_t number);
