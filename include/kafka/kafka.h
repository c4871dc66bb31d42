/*
 * What Kafka is to the flow: records come in by partition, answers go out in generation-fenced
 * transactions that also say which offsets are started and done. Bytes only; no protobuf here.
 *
 * Threads: a consumer thread (group, rebalance, adoption, one un-forwarded queue per partition), a
 * committer thread (the only caller of transactional APIs), readers. All callbacks of this header
 * run on the loop, unless said otherwise.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "domain/request.h"
#include "loop/loop.h"

struct ew_kafka;

enum ew_topic {
    EW_TOPIC_EVENTS,       /* answers and progress */
    EW_TOPIC_STATE,        /* compacted: answers by request id */
    EW_TOPIC_INFLIGHT,     /* compacted, internal: ORDERING, WAITING, PARKED, STOP */
    EW_TOPIC_RESUME,       /* internal: out here, in by EW_LANE_RESUME */
    EW_TOPIC_ACCOUNT,      /* account events */
    EW_TOPIC_PARKED,       /* needs a decision */
    EW_TOPIC_DEAD_LETTERS, /* could not be decoded */
    EW_TOPIC_COUNT,
};

struct ew_kafka_options {
    const char *bootstrap;
    const char *group;
    const char *instance;             /* part of the transactional id */
    const char *in[EW_LANE_COUNT];    /* topic names by lane */
    const char *out[EW_TOPIC_COUNT];  /* topic names */
    const struct ew_pair *properties; /* passed to librdkafka, e.g. security.protocol */
    size_t property_count;
    const char *properties_file; /* more of them, name=value lines: the secret ones; NULL = none */
    int session_ms;              /* session.timeout.ms */
    int transaction_ms;          /* transaction.timeout.ms */
    int partition_items;         /* records handed out and not done, per partition; at most 1,500 */
    int64_t partition_bytes;     /* their bytes, per partition */
    int commit_ms;               /* group commit: wait at most so long for company (0-1000) */
    int flush_ms;                /* bound for the flush when partitions are taken away */
};

/* --- partitions we own --- */

/* One partition for as long as we own it once; counted references. A new ownership of the same
 * partition is a new object. */
struct ew_part;

struct ew_part *ew_part_ref(struct ew_part *part); /* any thread */
void ew_part_unref(struct ew_part *part);          /* any thread */
enum ew_lane ew_part_lane(const struct ew_part *part);
const char *ew_part_topic(const struct ew_part *part);
int32_t ew_part_number(const struct ew_part *part);
/* Ours and not being taken away: the send gate's question. Any thread. */
bool ew_part_owned(const struct ew_part *part);
/* The owner epoch of the offset map, raised by our adoption. */
uint32_t ew_part_epoch(const struct ew_part *part);
/* Somebody has worked under a higher epoch: a newer owner, or one whose epochs were lost with the
 * group's offsets. Within a second or so ours is above it, if Kafka takes a commit that says so: a
 * newer owner's partition takes none of ours. Any thread. */
void ew_part_outgrow(struct ew_part *part, uint32_t epoch);

/* --- in --- */

struct ew_record {
    struct ew_part *part; /* a reference of this record's own */
    int64_t offset;
    int64_t timestamp_ms; /* -1 = none */
    const void *key;      /* NULL = none */
    size_t key_len;
    const void *value; /* NULL = tombstone */
    size_t value_len;
    const struct ew_header *headers;
    size_t header_count;
    bool started; /* the map says that a call may have been made: reconcile before ordering */
    bool doubt;   /* the partition's map was lost (foreign commit): treat as started */
};

/* Gives the record's memory back to its partition's budget (which may make the consumer read on).
 * Does not mark anything done. Any thread. */
void ew_record_free(struct ew_record *record);
/* What it takes of that budget. */
size_t ew_record_bytes(const struct ew_record *record);

struct ew_intake_events {
    void *arg;
    void (*adopted)(void *arg, struct ew_part *part);
    /* The record is given away: ew_record_free() it. Offsets of a partition come in order. */
    void (*record)(void *arg, struct ew_record *record);
    /* No commit of this partition will succeed any more; drop its unsent work. Calls in flight may
     * finish for the mailbox. */
    void (*lost)(void *arg, struct ew_part *part);
    /* Kafka says that this process must end (fenced twice in a minute, fatal client error). */
    void (*fatal)(void *arg, const struct ew_err *err);
};

/* Connects, checks topics and their settings (check.h), initialises transactions. Records flow
 * once ew_kafka_start() was called. thread: main */
EW_CHECK enum ew_fault ew_kafka_new(const struct ew_kafka_options *options,
                                    const struct ew_clock *clock, struct ew_loop *loop,
                                    const struct ew_intake_events *events, struct ew_kafka **out,
                                    struct ew_err *err);
EW_CHECK enum ew_fault ew_kafka_start(struct ew_kafka *kafka, struct ew_err *err);
/* Drain: no new records from now on, membership and commits go on. thread: loop */
void ew_kafka_drain(struct ew_kafka *kafka);
/* Flushes what was submitted, leaves the group, joins the threads; stopped(arg) on the loop, after
 * the last answer. Bounded by flush_ms and a few seconds for librdkafka's close. thread: loop */
void ew_kafka_stop(struct ew_kafka *kafka, void (*stopped)(void *arg), void *arg);
/* false: a thread hangs in librdkafka and is left behind with all that it uses, the loop among
 * that. */
bool ew_kafka_free(struct ew_kafka *kafka);

/* --- out --- */

enum ew_mark {
    EW_MARK_NONE,    /* records only (progress, STOP), still fenced by the partition's ownership */
    EW_MARK_STARTED, /* the intent: durable before a byte of the order leaves */
    EW_MARK_DONE,    /* the answer: the offset is finished */
};

struct ew_out {
    enum ew_topic topic;
    int32_t partition; /* -1 = by key (murmur2, as Java's default) */
    const void *key;
    size_t key_len;
    const void *value; /* NULL = tombstone */
    size_t value_len;
    int64_t timestamp_ms; /* 0 = when it is sent */
    const struct ew_header *headers;
    size_t header_count;
};

/* An answer: event, state record, another's state record, three tombstones (of what it ordered, of
 * what it comes from, of a STOP) and an amendment. */
enum { EW_MAX_OUTS = 7 };

enum ew_committed {
    EW_COMMITTED,    /* durable */
    EW_COMMIT_LOST,  /* the partition is no longer ours, or being taken away: drop the work; or the
                      * process stops */
    EW_COMMIT_STALE, /* EW_MARK_STARTED only: built later than not_after_ms; nothing was done */
    EW_COMMIT_REFUSED, /* Kafka refuses this item alone (too large): err says why */
};

/* t0_ms: boot time noted before the transaction that carried it was built. Once, on the loop. */
typedef void ew_kafka_done(void *arg, enum ew_committed result, int64_t t0_ms,
                           const struct ew_err *err);

/* One item of a transaction. Everything it points to is copied by ew_kafka_commit(). */
struct ew_commit {
    struct ew_part *part;
    int64_t offset;
    enum ew_mark mark;
    int64_t not_after_ms; /* boot time; 0 = none */
    struct ew_out outs[EW_MAX_OUTS];
    size_t out_count;
    ew_kafka_done *done;
    void *arg;
};

/* Queues an item; items of one partition commit in the order of their submission. thread: loop */
void ew_kafka_commit(struct ew_kafka *kafka, const struct ew_commit *commit);

/* A record outside the order's path (account events, resumes): own non-fenced transaction, tried
 * until Kafka takes it, perhaps twice, or refuses it, or the process stops. What is not published
 * is logged; done, with t0_ms 0, may be NULL. thread: loop */
void ew_kafka_publish(struct ew_kafka *kafka, const struct ew_out *out, ew_kafka_done *done,
                      void *arg);

/* --- what others have committed --- */

enum ew_offset_state { EW_OFFSET_OPEN, EW_OFFSET_STARTED, EW_OFFSET_DONE, EW_OFFSET_UNREADABLE };

/* Stable read of the committed map of any partition of the input topics; done once on the loop. */
void ew_kafka_offset_state(struct ew_kafka *kafka, const struct ew_source *source,
                           void (*done)(void *arg, enum ew_offset_state state), void *arg);

/* How long a rebuild of Redis may take: half of the time that tombstones of epki.inflight and
 * epki.certificate.state stay, as it was at the start. */
int64_t ew_kafka_rebuild_ms(const struct ew_kafka *kafka);

/* The partition of out-topic `topic` that a key falls into. */
int32_t ew_kafka_partition_of(struct ew_kafka *kafka, enum ew_topic topic, const void *key,
                              size_t len);
int32_t ew_kafka_partitions(struct ew_kafka *kafka, enum ew_topic topic);

/* --- reading our own compacted topics --- */

struct ew_read_record {
    int32_t partition;
    int64_t offset;
    int64_t timestamp_ms;
    const void *key;
    size_t key_len;
    const void *value; /* NULL = tombstone */
    size_t value_len;
};

struct ew_reader;

struct ew_reader_options {
    enum ew_topic topic;
    int32_t partition; /* -1 = all */
    int64_t offset;    /* -1 = from the beginning; >= 0 needs a partition; at most the end */
    int limit;         /* stop after so many records; 0 = none */
    size_t most;       /* records of a batch; 0 = as the reader likes */
    bool follow;       /* go on after the mark */
    /* A batch, in order within a partition, on the loop. The next one comes after ew_reader_next().
     * at_mark: everything up to the high watermark (read_uncommitted) that was taken after
     * ew_reader_start() has been given, read_committed; true once and ever after. failed: the
     * reader has given up, also at a batch that cannot be read: nothing is passed over (and
     * nothing more will come); start another. */
    void (*batch)(void *arg, const struct ew_read_record *records, size_t count, bool at_mark,
                  bool failed);
    void *arg;
};

/* thread: loop */
EW_CHECK enum ew_fault ew_reader_start(struct ew_kafka *kafka,
                                       const struct ew_reader_options *options,
                                       struct ew_reader **out, struct ew_err *err);
/* Asks for the next batch. Not after at_mark without follow. */
void ew_reader_next(struct ew_reader *reader);
/* No batch comes after this. Its memory goes when its thread ends. NULL is fine. */
void ew_reader_stop(struct ew_reader *reader);

/* --- numbers for metrics; any thread --- */
struct ew_kafka_stats {
    int64_t consumed, backlog, incomplete, commits, aborts, recreated, fenced, lost_items,
        adoptions;
    int64_t map_chars_max;    /* longest offset map now */
    int64_t consumer_tick_ms; /* boot time of the consumer thread's last turn */
    int64_t committer_tick_ms;
    int partitions_owned;
    int partitions_unadopted;
    int partitions_alone; /* of those owned: nobody works on them, as the log says why */
    bool joined;
};
void ew_kafka_stats(const struct ew_kafka *kafka, struct ew_kafka_stats *out);
