/*
 * The transactional producer's handle: made, with a transactional id of its own; a transaction
 * aborted; buried when it is dead, for the next transaction to make another. What was learnt of
 * librdkafka 2.0.2 and 2.8.0:
 *  - fatal errors kill the handle, not the process; a new one gets a new transactional id;
 *  - code _FENCED may come flagged abortable, and its abort is then fatal;
 *  - an error that is flagged as nothing is treated as fatal.
 */
#include "producer_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "committer_private.h"
#include "conf_private.h"
#include "waits_private.h"

enum {
    ABORT_MS = 30000,
    WARM_MS = 5000,
    FENCE_WINDOW_MS = 60000,
    NO_FENCE = -1,
};

/* --- the handle --- */

/* Topics with log append time tell what the brokers' clock says. Until one does, each transaction
 * with a time that is refused leads from our clock to what was read, or back: that may be as wrong,
 * where it is hours old. A letter's own time that is refused says nothing of either: what it leads
 * astray the next refusal sets right. */
static void
learn_time(struct ew_producer *producer, const rd_kafka_message_t *message)
{
    rd_kafka_timestamp_type_t type;
    int64_t at = rd_kafka_message_timestamp(message, &type);
    uintptr_t round = (uintptr_t)message->_private >> EW_TXN_INDEX_BITS;

    if (message->err == RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP && round != producer->misdated_round) {
        producer->misdated_round = round;
        producer->time_refused = !producer->time_refused;
    }
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR && type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME)
        producer->log_ahead_ms = at - ew_kafka_now(producer->kafka);
}

/* EW_TOPIC_COUNT: none of ours */
static enum ew_topic
topic_of(const struct ew_producer *producer, const rd_kafka_message_t *message)
{
    for (int i = 0; i < EW_TOPIC_COUNT; i++) {
        const char *topic = producer->kafka->options.out[i];

        if (topic != NULL && strcmp(topic, rd_kafka_topic_name(message->rkt)) == 0)
            return (enum ew_topic)i;
    }
    return EW_TOPIC_COUNT;
}

static void
note_mute(struct ew_producer *producer, enum ew_topic topic, int32_t partition)
{
    if (topic < EW_TOPIC_COUNT && partition >= 0 &&
        ew_mutes_note(&producer->mutes, topic, partition, producer->began_ms,
                      ew_kafka_now(producer->kafka)))
        EW_LOG(EW_LOG_ERROR, EW_KAFKA_LOG, "a partition takes no record",
               EW_STR("topic", producer->kafka->options.out[topic]), EW_INT("partition", partition),
               EW_STR("advice", "See that it has a leader, and enough replicas in sync."));
}

static void
note_failure(struct ew_producer *producer, const rd_kafka_message_t *message)
{
    enum ew_topic topic = topic_of(producer, message);

    if (message->err == RD_KAFKA_RESP_ERR__MSG_TIMED_OUT || producer->timed_out)
        note_mute(producer, topic, message->partition);
    if (producer->failed != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    producer->failed = message->err;
    if (topic < EW_TOPIC_COUNT)
        producer->failed_topic = producer->kafka->options.out[topic];
}

/* Only in calls that serve the handle: the committer's thread. */
static void
on_delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    struct ew_producer *producer = opaque;

    (void)rk;
    learn_time(producer, message);
    if ((uintptr_t)message->_private >> EW_TXN_INDEX_BITS != producer->round)
        return;
    producer->outstanding--;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        note_failure(producer, message);
}

static void
drop_handle(struct ew_producer *producer)
{
    if (producer->rk == NULL)
        return;
    producer->round++; /* what is still reported belongs to nobody */
    for (int i = 0; i < EW_TOPIC_COUNT; i++) {
        if (producer->topics[i] != NULL)
            rd_kafka_topic_destroy(producer->topics[i]);
        producer->topics[i] = NULL;
    }
    (void)rd_kafka_purge(producer->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_poll(producer->rk, 0);
    rd_kafka_destroy(producer->rk);
    producer->rk = NULL;
}

/* The first record to a topic whose metadata is unknown waits up to a second. */
static void
warm_up(struct ew_producer *producer)
{
    for (int i = 0; i < EW_TOPIC_COUNT; i++) {
        const struct rd_kafka_metadata *metadata = NULL;

        if (producer->kafka->options.out[i] == NULL)
            continue;
        ew_committer_tick(producer->kafka);
        producer->topics[i] =
            rd_kafka_topic_new(producer->rk, producer->kafka->options.out[i], NULL);
        if (producer->topics[i] != NULL &&
            rd_kafka_metadata(producer->rk, 0, producer->topics[i], &metadata, WARM_MS) ==
                RD_KAFKA_RESP_ERR_NO_ERROR)
            rd_kafka_metadata_destroy(metadata);
    }
}
static enum ew_fault
init_transactions(struct ew_producer *producer, int64_t until_ms, struct ew_err *err)
{
    for (;;) {
        rd_kafka_error_t *error;
        bool again;
        enum ew_fault fault;

        ew_committer_tick(producer->kafka);
        error = rd_kafka_init_transactions(producer->rk, EW_TXN_CALL_MS);
        if (error == NULL)
            return EW_OK;
        again = rd_kafka_error_is_retriable(error) && ew_mono_ms() < until_ms &&
                !ew_committer_expired(producer->kafka);
        fault = again ? EW_RETRY
                      : ew_fail_kafka(err, "init-transactions", rd_kafka_error_code(error),
                                      "the transactional producer cannot start");
        if (!again)
            ew_kafka_die_if_forbidden(producer->kafka, rd_kafka_error_code(error));
        rd_kafka_error_destroy(error);
        if (!again)
            return fault;
    }
}

enum ew_fault
ew_producer_make(struct ew_producer *producer, int timeout_ms, struct ew_err *err)
{
    const struct ew_kafka_options *options = &producer->kafka->options;
    struct ew_handle_options handle = {
        .handle = EW_HANDLE_PRODUCER,
        .transactional_id = producer->id,
        .record_max = producer->kafka->record_max,
        .batch_max = producer->kafka->batch_max,
        .opaque = producer,
        .delivered = on_delivered,
    };
    int64_t until_ms = ew_mono_ms() + timeout_ms;
    enum ew_fault fault;

    (void)snprintf(producer->id, sizeof(producer->id), "epki.%.100s.%.100s.%08x%08x",
                   options->group, options->instance, ew_random_u32(), ew_random_u32());
    fault = ew_handle_new(options, &handle, &producer->rk, err);
    if (fault != EW_OK)
        return fault;
    fault = init_transactions(producer, until_ms, err);
    if (fault != EW_OK) {
        drop_handle(producer);
        return fault;
    }
    warm_up(producer);
    return EW_OK;
}

enum ew_fault
ew_producer_new(struct ew_kafka *kafka, int timeout_ms, struct ew_producer **out,
                struct ew_err *err)
{
    struct ew_producer *producer = ew_calloc(1, sizeof(*producer));
    enum ew_fault fault;

    producer->kafka = kafka;
    producer->fenced_ms = NO_FENCE;
    fault = ew_producer_make(producer, timeout_ms, err);
    if (fault != EW_OK) {
        free(producer);
        return fault;
    }
    *out = producer;
    return EW_OK;
}

void
ew_producer_free(struct ew_producer *producer)
{
    if (producer == NULL)
        return;
    drop_handle(producer);
    free(producer);
}

/* --- errors --- */

/* A transaction that outlived its timeout was ended by the coordinator: that fence is our own. */
static void
note_fence(struct ew_producer *producer, rd_kafka_resp_err_t code)
{
    struct ew_kafka *kafka = producer->kafka;
    int64_t now = ew_kafka_now(kafka);
    struct ew_err err;

    if (!ew_txn_is_fence(code) || now - producer->began_ms >= kafka->options.transaction_ms)
        return;
    atomic_fetch_add(&kafka->counts.fenced, 1);
    if (producer->fenced_ms != NO_FENCE && now - producer->fenced_ms < FENCE_WINDOW_MS) {
        (void)ew_fail(&err, EW_HALT, "producer-fenced",
                      "transactional ids that nobody else has were fenced twice in a minute");
        ew_kafka_die(kafka, &err);
    }
    producer->fenced_ms = now;
}

void
ew_producer_bury(struct ew_producer *producer, rd_kafka_resp_err_t code, const char *text)
{
    EW_LOG(EW_LOG_WARN, EW_KAFKA_LOG, "the producer is made anew",
           EW_STR("code", rd_kafka_err2name(code)), EW_STR("detail", text));
    note_fence(producer, code);
    ew_kafka_die_if_forbidden(producer->kafka, code);
    drop_handle(producer);
    atomic_fetch_add(&producer->kafka->counts.recreated, 1);
}

void
ew_producer_abort(struct ew_producer *producer)
{
    int64_t until_ms = ew_mono_ms() + ABORT_MS;

    for (;;) {
        rd_kafka_error_t *error;
        bool again;

        ew_committer_tick(producer->kafka);
        error = rd_kafka_abort_transaction(producer->rk, EW_TXN_CALL_MS);
        if (error == NULL)
            return;
        again = rd_kafka_error_is_retriable(error) && !rd_kafka_error_is_fatal(error) &&
                ew_mono_ms() < until_ms && !ew_committer_expired(producer->kafka);
        if (!again)
            ew_producer_bury(producer, rd_kafka_error_code(error), rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
        if (!again)
            return;
    }
}

enum ew_txn_result
ew_producer_give_up(struct ew_producer *producer, rd_kafka_error_t *error, bool committing,
                    struct ew_err *err)
{
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    bool abortable = rd_kafka_error_txn_requires_abort(error) && !rd_kafka_error_is_fatal(error);
    enum ew_txn_result result = ew_txn_class(code);

    (void)ew_fail(err, EW_RETRY,
                  code == RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE ? "map-too-long"
                  : ew_txn_may_last(code)                             ? "topic-closed"
                                                                      : "transaction",
                  "%s: %s", rd_kafka_err2name(code), rd_kafka_error_string(error));
    if (ew_txn_is_stale(code))
        atomic_fetch_add(&producer->kafka->counts.fenced, 1);
    EW_LOG(EW_LOG_DEBUG, EW_KAFKA_LOG, "transaction failed", EW_STR("detail", err->detail));
    ew_kafka_die_if_forbidden(producer->kafka, code);
    if (abortable)
        ew_producer_abort(producer);
    else
        ew_producer_bury(producer, code, rd_kafka_error_string(error));
    /* Without an answer to EndTxn and without a handle that could ask again, only the maps know. */
    if (committing && producer->rk == NULL)
        result = EW_TXN_UNKNOWN;
    rd_kafka_error_destroy(error);
    return result;
}
