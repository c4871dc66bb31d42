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
    unsigned lanes;                                     /* bits: whose offsets they are */
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

/* Where a test build can be told to fail; nothing in others. True: as if the step had failed. */
enum ew_txn_step { EW_TXN_BEGUN, EW_TXN_PRODUCED, EW_TXN_SENT, EW_TXN_ENDED };
#ifdef EW_FAILPOINTS
bool ew_txn_fails(const struct ew_txn *txn, enum ew_txn_step step);
#else
static inline bool
ew_txn_fails(const struct ew_txn *txn, enum ew_txn_step step)
{
    (void)txn, (void)step;
    return false;
}
#endif

/* --- what an error means; tested by table --- */

/* For the items of an aborted transaction. */
enum ew_txn_result ew_txn_class(rd_kafka_resp_err_t code);
/* A topic takes no record, or no offset of its own: no right to write or to read, or not there. For
 * a moment so after a broker's restart, or until somebody does something. */
bool ew_txn_may_last(rd_kafka_resp_err_t code);
/* No right to a transactional id, the group, or the cluster: nothing can be committed at all. */
bool ew_txn_forbidden(rd_kafka_resp_err_t code);

bool ew_txn_is_fence(rd_kafka_resp_err_t code);
/* A membership of the group that is over. */
bool ew_txn_is_stale(rd_kafka_resp_err_t code);

/* Since when a topic has been closed, attempt after attempt. Zero: none has failed. */
struct ew_trouble {
    bool there;
    int64_t since_ms;
    int64_t last_ms;
};

/* Notes a failed attempt; whether it has gone on for so long that it will not pass by itself. */
bool ew_trouble_lasts(struct ew_trouble *trouble, int64_t began_ms, int64_t now_ms);
/* Which one it was is not known for every error: all topics or lanes of a failed transaction are
 * noted, those of one that goes through are cleared, and halving finds the one that is closed.
 * which: bits, as many as there are troubles. */
bool ew_troubles_last(struct ew_trouble *troubles, unsigned which, int64_t began_ms,
                      int64_t now_ms);
void ew_troubles_clear(struct ew_trouble *troubles, unsigned which);
/* Where its records go. */
unsigned ew_txn_topics(const struct ew_txn *txn);

/* --- partitions that neither take a record nor say why --- */

enum { EW_MUTES = 64 };

/* Without a leader, or with too few replicas in sync: what is sent there ends in a timeout, and so
 * does all that goes with it. */
struct ew_mute {
    enum ew_topic topic;
    int32_t partition;
    struct ew_trouble trouble;
    int64_t rests_ms; /* boot time: nothing is sent there before; 0: it is tried */
};

struct ew_mutes {
    struct ew_mute all[EW_MUTES];
};

/* A record for it was not delivered in time. After a while it is left alone, again and again but
 * for one attempt a minute. True: from now on. */
bool ew_mutes_note(struct ew_mutes *mutes, enum ew_topic topic, int32_t partition, int64_t began_ms,
                   int64_t now_ms);
/* partition: -1 = any */
bool ew_mutes_rest(const struct ew_mutes *mutes, enum ew_topic topic, int32_t partition,
                   int64_t now_ms);
void ew_mutes_clear(struct ew_mutes *mutes, enum ew_topic topic, int32_t partition);

/* Whether a record of the item would go to a partition that is left alone. thread: committer */
bool ew_producer_rests(const struct ew_producer *producer, const struct ew_item *item);
