/*
 * What must be true of the cluster before work begins, and the first commits of a deployment.
 * Blocking calls, for the command line only. thread: main, without a running ew_kafka.
 */
#pragma once

#include "kafka/kafka.h"

/* Called for each problem found: what is wrong, and what to do. */
typedef void ew_problem(void *arg, const struct ew_err *err);

/* The properties suit every handle that a worker makes; brokers reachable; all topics there, the
 * input topics readable; resume and inflight with the same number of partitions; output topics
 * allow the input's max.message.bytes + 64 KiB; state and inflight compacted with LogAppendTime,
 * late enough for a rebuild to read what is written meanwhile; isolation level not overridden to
 * read_uncommitted. Initialises no transactional id. Returns the number of problems.
 */
int ew_kafka_check(const struct ew_kafka_options *options, int timeout_ms, ew_problem *problem,
                   void *arg);

/* Whether options->properties_file is lines of properties that librdkafka takes and that are not
 * the worker's own; reaches nobody. Returns the number of problems; no file has none. */
int ew_kafka_check_file(const struct ew_kafka_options *options, ew_problem *problem, void *arg);

enum ew_group_state {
    EW_GROUP_NEW,     /* no commit, and nothing was ever answered: a beginning */
    EW_GROUP_LOST,    /* no commit, but the topics hold what we wrote */
    EW_GROUP_PARTIAL, /* some input partitions lack a commit */
    EW_GROUP_READY,   /* every input partition has one */
};

/* Where the group has committed, and what we have ever written. Does not wait for transactions that
 * are open: adoption does, partition by partition. */
EW_CHECK enum ew_fault ew_kafka_group_state(const struct ew_kafka_options *options, int timeout_ms,
                                            enum ew_group_state *out, struct ew_err *err);
/* Commits an empty map at each input partition's beginning where the group has no commit. Unless
 * the group is new, that commit was lost, with what it said of calls made: what the log holds
 * counts as in doubt. The group must have no members. */
EW_CHECK enum ew_fault ew_kafka_bootstrap(const struct ew_kafka_options *options, int timeout_ms,
                                          struct ew_err *err);
