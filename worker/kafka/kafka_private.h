/*
 * The room's shared state. Each part of it belongs to one file, named there.
 */
#pragma once

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/list.h"
#include "kafka/kafka.h"
#include "part_private.h"
#include "snapshot_private.h"

#define EW_KAFKA_LOG "kafka"

struct ew_item;     /* committer_private.h */
struct ew_producer; /* txn_private.h */

/* Counters for ew_kafka_stats(). */
struct ew_kafka_counts {
    atomic_llong consumed, backlog, incomplete, commits, aborts, recreated, fenced, lost_items;
    atomic_llong adoptions, map_chars_max, consumer_tick, committer_tick;
    atomic_int owned, unadopted, alone;
    atomic_bool joined;
};

/* intake.c, rebalance.c: the consumer thread's own. */
struct ew_intake {
    pthread_t thread;
    bool running;
    struct ew_part **parts; /* owned now, in reading order */
    size_t count, cap;
    struct ew_part *served; /* whose queue is being read */
    bool reassigned;        /* one was assigned by us since the group was served last */
    int64_t counted_ms, roused_ms;
};

/* adopt.c: reads of committed maps, on a thread of their own. */
struct ew_adopter {
    pthread_t thread;
    bool running;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct ew_list adoptions; /* struct ew_adoption: lock */
    struct ew_list lookups;   /* struct ew_lookup: lock */
    bool stop;                /* lock */
};

/* committer.c */
struct ew_committer {
    pthread_t thread;
    bool running;
    pthread_mutex_t lock;
    pthread_cond_t changed;     /* work for the committer */
    pthread_cond_t settled;     /* items were answered */
    struct ew_list items;       /* struct ew_item, fenced: lock */
    struct ew_list publishes;   /* struct ew_item without a partition: lock */
    struct ew_list adoptions;   /* struct ew_adoption, read and ready to commit: lock */
    size_t queued;              /* lock; items and publishes not yet answered */
    int hurry;                  /* lock; > 0: no waiting for company */
    bool stop;                  /* lock */
    int64_t stop_by_ms;         /* lock; monotonic */
    struct ew_list held;        /* thread: STARTED items that wait for room in their map */
    struct ew_list unpublished; /* lock: published in vain, to be tried again */
    size_t map_budget;          /* thread: no offset is started that makes a map longer */
    int64_t budget_ms;          /* thread; monotonic: when that changed */
    int64_t publish_ms;         /* lock; monotonic: no publishing before */
    int64_t publish_pause_ms;   /* thread */
    int64_t tidied_ms;          /* thread */
    int64_t kept_alive_ms;      /* thread */
    bool late;                  /* loop: the loop has answers of what was submitted too late */
};

struct ew_kafka {
    struct ew_arena *arena; /* copies of the options */
    struct ew_kafka_options options;
    const struct ew_clock *clock;
    struct ew_loop *loop;
    struct ew_intake_events events;

    rd_kafka_t *consumer;
    rd_kafka_queue_t *consumer_queue;
    rd_kafka_t *probe; /* read_uncommitted, in no group: high watermarks and settings */
    struct ew_producer *producer;
    int record_max;     /* message.max.bytes of the producer */
    int64_t batch_max;  /* its batch.size at most */
    int64_t rebuild_ms; /* half of the time that tombstones of our memory stay */
    atomic_int partitions[EW_TOPIC_COUNT];

    struct ew_wake *wake;
    struct ew_ownership ownership;
    struct ew_intake intake;
    struct ew_adopter adopter;
    struct ew_committer committer;
    struct ew_kafka_counts counts;

    atomic_llong seen_ahead_ms; /* the newest record read, against our boot time; 0: none */

    atomic_bool started;  /* subscribed */
    atomic_bool assigned; /* librdkafka has had an assignment, if an empty one */
    atomic_bool replaced; /* a log that it read is another, or gone */
    atomic_bool draining; /* no new records */
    atomic_bool stopping; /* the consumer leaves */
    atomic_bool died;     /* fatal() was posted */

    pthread_mutex_t readers_lock;
    pthread_cond_t readers_changed;
    int readers;                  /* readers_lock; threads alive */
    struct ew_follower *follower; /* readers_lock; NULL = none yet. It ends with the readers */
    atomic_bool readers_end;

    bool leaked; /* a thread did not end in time: its memory must stay */
    void (*stopped)(void *arg);
    void *stopped_arg;
    pthread_t stopper;
    bool stopper_running;
};

/* Posts events.fatal once. Any thread. */
void ew_kafka_die(struct ew_kafka *kafka, const struct ew_err *err);
/* Nothing goes on without this right, and waiting does not give it. Before the start it is an error
 * like others. Any thread. */
void ew_kafka_die_if_forbidden(struct ew_kafka *kafka, rd_kafka_resp_err_t code);

static inline int64_t
ew_kafka_now(const struct ew_kafka *kafka)
{
    return ew_boot_ms(kafka->clock);
}

/* Before and between calls that wait for Kafka, none longer than some seconds: a tick that is old
 * says that a thread of ours is stuck, never that Kafka is away. Each thread its own. */
static inline void
ew_committer_tick(struct ew_kafka *kafka)
{
    atomic_store(&kafka->counts.committer_tick, ew_kafka_now(kafka));
}

static inline void
ew_intake_tick(struct ew_kafka *kafka)
{
    atomic_store(&kafka->counts.consumer_tick, ew_kafka_now(kafka));
}
