/*
 * What the cluster says of our topics.
 */
#pragma once

#include <librdkafka/rdkafka.h>

#include "kafka/check.h"

enum {
    EW_RECORD_ENVELOPE = 64 * 1024, /* what our own envelope may add to an input record */
    EW_BATCH_SPARE = 4 * 1024,      /* a topic that packs batches anew may make one longer */
};

struct ew_topic_facts {
    int partitions; /* 0 = not there, or not to be seen */
    int64_t max_message_bytes;
    bool configured; /* the settings could be read */
    bool compacted;  /* cleanup.policy is exactly "compact" */
    bool append_time;
    int64_t compaction_lag_ms;
    int64_t delete_retention_ms; /* how long a tombstone stays */
    int replicas;                /* of the partition that has fewest */
    int min_insync;
    bool unclean; /* a replica that lags may become the leader */
};

/* Where the brokers keep a group's commits and transactions; made at their first use. */
enum ew_anchor {
    EW_ANCHOR_OFFSETS,
    EW_ANCHOR_TRANSACTIONS,
    EW_ANCHOR_COUNT,
};

struct ew_topics {
    struct ew_topic_facts in[EW_LANE_COUNT];
    struct ew_topic_facts out[EW_TOPIC_COUNT];
    struct ew_topic_facts anchors[EW_ANCHOR_COUNT];
    int brokers;
    int64_t input_max; /* largest max.message.bytes of the input topics */
};

/* EW_RETRY when no broker answers. handle: any. */
EW_CHECK enum ew_fault ew_topics_read(rd_kafka_t *handle, const struct ew_kafka_options *options,
                                      int timeout_ms, struct ew_topics *out, struct ew_err *err);
/* How long a batch may be for every topic that we write to; at least 1. */
int64_t ew_topics_batch_max(const struct ew_topics *topics);
/* Judges; returns the number of problems. */
int ew_topics_judge(const struct ew_topics *topics, const struct ew_kafka_options *options,
                    ew_problem *problem, void *arg);
