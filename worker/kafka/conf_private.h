/*
 * librdkafka handles with the settings that this room's promises rest on.
 */
#pragma once

#include <librdkafka/rdkafka.h>

#include "kafka/kafka.h"

enum ew_handle {
    EW_HANDLE_MEMBER,   /* the group's consumer */
    EW_HANDLE_READER,   /* read_committed, assigns by hand */
    EW_HANDLE_PROBE,    /* read_uncommitted: true high watermarks */
    EW_HANDLE_PRODUCER, /* transactional */
};

/* What differs from handle to handle; unset members are NULL. */
struct ew_handle_options {
    enum ew_handle handle;
    const char *transactional_id;
    int record_max;    /* of a producer, as the next; 0 = librdkafka's own */
    int64_t batch_max; /* however long the batches are that the operator wants */
    void *opaque;
    void (*rebalance)(rd_kafka_t *rk, rd_kafka_resp_err_t err,
                      rd_kafka_topic_partition_list_t *partitions, void *opaque);
    void (*error)(rd_kafka_t *rk, int code, const char *reason, void *opaque);
    void (*delivered)(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque);
};

EW_CHECK enum ew_fault ew_handle_new(const struct ew_kafka_options *options,
                                     const struct ew_handle_options *handle, rd_kafka_t **out,
                                     struct ew_err *err);

/* Calls problem for each of options->properties that is reserved, or that librdkafka does not take;
 * returns how many. */
int ew_properties_judge(const struct ew_kafka_options *options,
                        void (*problem)(void *arg, const struct ew_err *err), void *arg);

/* Fills err from librdkafka's error and returns the fault that it means. */
enum ew_fault ew_fail_kafka(struct ew_err *err, const char *problem, rd_kafka_resp_err_t code,
                            const char *what);
