/*
 * The committer thread: the only caller of transactional APIs. Items go in,
 * answers come out on the loop.
 */
#pragma once

#include "adopt_private.h"
#include "kafka_private.h"
#include "txn_private.h"

enum {
    EW_BATCH_ITEMS = 200,
    EW_BATCH_BYTES = 4 * 1024 * 1024,
    EW_BATCH_ADOPTIONS = 64,
};

/* A copy of a struct ew_commit, or of what is to be published; one allocation.
 */
struct ew_item {
    struct ew_link link;
    struct ew_part *part; /* NULL: publish */
    int64_t offset;
    enum ew_mark mark;
    int64_t not_after_ms;
    int64_t queued_ms;
    ew_kafka_done *done;
    void *arg;
    enum ew_committed result;
    int64_t t0_ms;
    struct ew_err err;
    size_t bytes;
    size_t out_count;
    struct ew_out outs[EW_MAX_OUTS];
};

struct ew_item *ew_item_new(const struct ew_commit *commit);
void ew_item_free(struct ew_item *item);

void *ew_committer_run(void *arg); /* the thread; of a struct ew_kafka */

/* A partition that was read is to be committed with its new epoch. Takes it.
 * Any thread. */
void ew_committer_adopt(struct ew_kafka *kafka, struct ew_adoption *adoption);

/* Waits until nothing of these partitions is on its way, at most `ms`. thread:
 * consumer */
void ew_committer_flush(struct ew_kafka *kafka, struct ew_part *const *parts, size_t count,
                        int64_t ms);

/* Whether something of this partition is on its way. Any thread. */
bool ew_committer_has(struct ew_kafka *kafka, struct ew_part *part);

/* --- between committer.c and batch.c; thread: committer --- */

/* Items of one transaction, and what becomes of them. */
struct ew_round {
    struct ew_kafka *kafka;
    struct ew_list answered; /* struct ew_item with its result */
};

void ew_round_answer(struct ew_round *round, struct ew_item *item, enum ew_committed result);
/* Sends the answers to the loop. */
void ew_round_post(struct ew_round *round);

/* Commits fenced items, however often it takes; each gets its answer, or waits
 * in committer.held. */
void ew_batch_commit(struct ew_round *round, struct ew_item **items, size_t count);
/* Records that nobody publishes any more are logged. Any thread. */
void ew_committer_log_dropped(const struct ew_kafka *kafka, struct ew_item *const *items,
                              size_t count);
/* One attempt: what fails for a passing cause waits in committer.unpublished. */
void ew_batch_publish(struct ew_round *round, struct ew_item **items, size_t count);
void ew_batch_adopt(struct ew_kafka *kafka, struct ew_adoption **adoptions, size_t count);
/* Raises the epochs of partitions where that was asked for. */
void ew_batch_outgrow(struct ew_kafka *kafka);
/* Commits bases that moved with nothing else to say (markers); all: also those
 * that did not. */
void ew_batch_tidy(struct ew_kafka *kafka, bool all);
/* The process stops and its time is over: nothing is tried again. */
bool ew_committer_expired(struct ew_kafka *kafka);
