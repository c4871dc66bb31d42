/*
 * One transaction on one producer handle, and what its errors mean.
 */
#pragma once

#include <librdkafka/rdkafka.h>

#include "kafka/kafka.h"

struct ew_item;
struct ew_producer;

enum ew_txn_result {
    EW_TXN_COMMITTED,
    EW_TXN_ABORTED, /* surely not committed; a passing cause */
    EW_TXN_REFUSED, /* surely not committed; some item's own fault */
    EW_TXN_UNKNOWN, /* the answer to EndTxn is missing and the handle is dead:
                       re-read the maps */
};

struct ew_txn {
    rd_kafka_topic_partition_list_t *offsets;           /* NULL = none */
    const rd_kafka_consumer_group_metadata_t *metadata; /* with offsets */
    struct ew_item *const *items;                       /* whose outs are produced */
    size_t count;
};

/* Creates the handle and initialises transactions. Blocks up to timeout_ms. */
EW_CHECK enum ew_fault ew_producer_new(struct ew_kafka *kafka, int timeout_ms,
                                       struct ew_producer **out, struct ew_err *err);
void ew_producer_free(struct ew_producer *producer);
/* Runs one transaction to its end. err is filled unless committed. thread:
 * committer */
enum ew_txn_result ew_producer_run(struct ew_producer *producer, const struct ew_txn *txn,
                                   struct ew_err *err);

/* The transactional id now; for tests, while nothing is being committed. */
void ew_producer_id(const struct ew_producer *producer, char out[256]);

/* What an error means for the items of an aborted transaction; tested by table.
 */
enum ew_txn_result ew_txn_class(rd_kafka_resp_err_t code);
