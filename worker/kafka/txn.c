/*
 * The transactional producer: one transaction from begin to its certain end, what its errors leave
 * behind, and a new handle when the old one is dead. What was learnt of librdkafka 2.0.2 and 2.8.0:
 *  - fatal errors kill the handle, not the process; a new one gets a new transactional id;
 *  - code _FENCED may come flagged abortable, and its abort is then fatal;
 *  - commit, abort, send_offsets and init are resumed after a timeout by calling them again;
 *  - an error that is flagged as nothing is treated as fatal.
 */
#include "txn_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "committer_private.h"
#include "conf_private.h"
#include "waits_private.h"

enum {
    CALL_MS = 5000,     /* one call of librdkafka; then it is resumed */
    COMMIT_MS = 120000, /* then the outcome is read from the maps */
    ABORT_MS = 30000,
    INIT_MS = 15000,
    WARM_MS = 5000,
    POLL_MS = 20,
    FENCE_WINDOW_MS = 60000,
    INDEX_BITS = 12, /* of a delivery's opaque: item index; the rest counts transactions */
    NO_FENCE = -1,
    ERROR_MS = 500, /* between looks whether the transaction has failed behind our back */
};

struct ew_producer {
    struct ew_kafka *kafka;
    char id[256];
    rd_kafka_t *rk; /* NULL: dead, to be made anew */
    rd_kafka_topic_t *topics[EW_TOPIC_COUNT];
    uintptr_t round;            /* counts transactions, so that late deliveries are told apart */
    int outstanding;            /* deliveries of this round that have not been reported */
    rd_kafka_resp_err_t failed; /* first delivery of this round that failed */
    int64_t began_ms;
    int64_t fenced_ms;                         /* last fence that we did not cause */
    struct ew_trouble trouble[EW_TOPIC_COUNT]; /* topics that take no record */
};

/* --- the handle --- */

/* Only in calls that serve the handle: the committer's thread. */
static void
on_delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    struct ew_producer *producer = opaque;

    (void)rk;
    if ((uintptr_t)message->_private >> INDEX_BITS != producer->round)
        return;
    producer->outstanding--;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR &&
        producer->failed == RD_KAFKA_RESP_ERR_NO_ERROR)
        producer->failed = message->err;
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

/* The first record to a topic whose metadata is unknown waits up to a second.
 */
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
        error = rd_kafka_init_transactions(producer->rk, CALL_MS);
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

static enum ew_fault
make_handle(struct ew_producer *producer, int timeout_ms, struct ew_err *err)
{
    const struct ew_kafka_options *options = &producer->kafka->options;
    struct ew_handle_options handle = {
        .handle = EW_HANDLE_PRODUCER,
        .transactional_id = producer->id,
        .record_max = producer->kafka->record_max,
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
    struct ew_producer *producer = calloc(1, sizeof(*producer));
    enum ew_fault fault;

    if (producer == NULL)
        return ew_fail(err, EW_RETRY, "memory", "no memory for a producer");
    producer->kafka = kafka;
    producer->fenced_ms = NO_FENCE;
    fault = make_handle(producer, timeout_ms, err);
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

/* A transaction that outlived its timeout was ended by the coordinator: that
 * fence is our own. */
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
                      "somebody else uses our transactional ids: fenced twice in a minute");
        ew_kafka_die(kafka, &err);
    }
    producer->fenced_ms = now;
}

static void
bury(struct ew_producer *producer, rd_kafka_resp_err_t code, const char *text)
{
    EW_LOG(EW_LOG_WARN, EW_KAFKA_LOG, "the producer is made anew",
           EW_STR("code", rd_kafka_err2name(code)), EW_STR("detail", text));
    note_fence(producer, code);
    ew_kafka_die_if_forbidden(producer->kafka, code);
    drop_handle(producer);
    atomic_fetch_add(&producer->kafka->counts.recreated, 1);
}

/* Ends the transaction; a handle that cannot even do that is dead. */
static void
abort_transaction(struct ew_producer *producer)
{
    int64_t until_ms = ew_mono_ms() + ABORT_MS;

    for (;;) {
        rd_kafka_error_t *error;
        bool again;

        ew_committer_tick(producer->kafka);
        error = rd_kafka_abort_transaction(producer->rk, CALL_MS);
        if (error == NULL)
            return;
        again = rd_kafka_error_is_retriable(error) && !rd_kafka_error_is_fatal(error) &&
                ew_mono_ms() < until_ms && !ew_committer_expired(producer->kafka);
        if (!again)
            bury(producer, rd_kafka_error_code(error), rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
        if (!again)
            return;
    }
}

/* An error of a transactional call: what it leaves behind. Consumes `error`. */
static enum ew_txn_result
give_up(struct ew_producer *producer, rd_kafka_error_t *error, bool committing, struct ew_err *err)
{
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    bool abortable = rd_kafka_error_txn_requires_abort(error) && !rd_kafka_error_is_fatal(error);
    enum ew_txn_result result = ew_txn_class(code);

    (void)ew_fail(err, EW_RETRY, "transaction", "%s: %s", rd_kafka_err2name(code),
                  rd_kafka_error_string(error));
    if (ew_txn_is_stale(code))
        atomic_fetch_add(&producer->kafka->counts.fenced, 1);
    EW_LOG(EW_LOG_DEBUG, EW_KAFKA_LOG, "transaction failed", EW_STR("detail", err->detail));
    ew_kafka_die_if_forbidden(producer->kafka, code);
    if (abortable)
        abort_transaction(producer);
    else
        bury(producer, code, rd_kafka_error_string(error));
    /* Without an answer to EndTxn and without a handle that could ask again, only
     * the maps know. */
    if (committing && producer->rk == NULL)
        result = EW_TXN_UNKNOWN;
    rd_kafka_error_destroy(error);
    return result;
}

/* --- the steps --- */

static rd_kafka_headers_t *
headers_of(const struct ew_out *out)
{
    rd_kafka_headers_t *headers;

    if (out->header_count == 0)
        return NULL;
    headers = rd_kafka_headers_new(out->header_count);
    for (size_t i = 0; i < out->header_count; i++)
        (void)rd_kafka_header_add(headers, out->headers[i].name, -1, out->headers[i].value,
                                  out->headers[i].value != NULL ? (ssize_t)out->headers[i].len
                                                                : -1);
    return headers;
}

static int32_t
partition_of(struct ew_producer *producer, const struct ew_out *out)
{
    if (out->partition >= 0)
        return out->partition;
    if (out->key == NULL)
        return RD_KAFKA_PARTITION_UA;
    return ew_kafka_partition_of(producer->kafka, out->topic, out->key, out->key_len);
}

/* librdkafka takes the headers only when it takes the record. The types are spelt out because its
 * macros for them are not ISO C. */
static rd_kafka_resp_err_t
produce_once(struct ew_producer *producer, const struct ew_out *out, uintptr_t opaque)
{
    const char *topic = producer->kafka->options.out[out->topic];
    rd_kafka_headers_t *headers = headers_of(out);
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__INVALID_ARG;
    int partition = partition_of(producer, out);

    if (topic != NULL && headers != NULL)
        code = rd_kafka_producev(
            producer->rk, RD_KAFKA_VTYPE_TOPIC, topic, RD_KAFKA_VTYPE_PARTITION, partition,
            RD_KAFKA_VTYPE_KEY, out->key, out->key_len, RD_KAFKA_VTYPE_VALUE, out->value,
            out->value_len, RD_KAFKA_VTYPE_TIMESTAMP, out->timestamp_ms, RD_KAFKA_VTYPE_MSGFLAGS,
            RD_KAFKA_MSG_F_COPY, RD_KAFKA_VTYPE_OPAQUE, (void *)opaque, RD_KAFKA_VTYPE_HEADERS,
            headers, RD_KAFKA_VTYPE_END);
    else if (topic != NULL)
        code = rd_kafka_producev(
            producer->rk, RD_KAFKA_VTYPE_TOPIC, topic, RD_KAFKA_VTYPE_PARTITION, partition,
            RD_KAFKA_VTYPE_KEY, out->key, out->key_len, RD_KAFKA_VTYPE_VALUE, out->value,
            out->value_len, RD_KAFKA_VTYPE_TIMESTAMP, out->timestamp_ms, RD_KAFKA_VTYPE_MSGFLAGS,
            RD_KAFKA_MSG_F_COPY, RD_KAFKA_VTYPE_OPAQUE, (void *)opaque, RD_KAFKA_VTYPE_END);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR && headers != NULL)
        rd_kafka_headers_destroy(headers);
    return code;
}

static rd_kafka_resp_err_t
produce_all(struct ew_producer *producer, const struct ew_txn *txn)
{
    uintptr_t opaque = producer->round << INDEX_BITS;

    for (size_t i = 0; i < txn->count; i++) {
        for (size_t n = 0; n < txn->items[i]->out_count; n++) {
            rd_kafka_resp_err_t code;

            while ((code = produce_once(producer, &txn->items[i]->outs[n], opaque | i)) ==
                   RD_KAFKA_RESP_ERR__QUEUE_FULL) {
                ew_committer_tick(producer->kafka);
                rd_kafka_poll(producer->rk, POLL_MS);
            }
            if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
                return code;
            producer->outstanding++;
        }
    }
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* What the transaction failed with, if it did: the deliveries of a partition that the broker keeps
 * out of it only say that they were purged, or nothing. A begin within a transaction changes
 * nothing and tells. */
static rd_kafka_resp_err_t
failed_already(struct ew_producer *producer)
{
    rd_kafka_error_t *error = rd_kafka_begin_transaction(producer->rk);
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;

    if (error != NULL && rd_kafka_error_code(error) != RD_KAFKA_RESP_ERR__STATE)
        code = rd_kafka_error_code(error);
    if (error != NULL)
        rd_kafka_error_destroy(error);
    return code;
}

/* Before commit: a commit that has to flush first costs the flush's own
 * rounding. */
static rd_kafka_resp_err_t
drain(struct ew_producer *producer)
{
    int64_t until_ms = ew_mono_ms() + producer->kafka->options.transaction_ms;
    int64_t look_ms = ew_mono_ms() + ERROR_MS;

    while (producer->outstanding > 0 && producer->failed == RD_KAFKA_RESP_ERR_NO_ERROR) {
        int64_t now_ms = ew_mono_ms();

        if (now_ms >= until_ms || ew_committer_expired(producer->kafka))
            return RD_KAFKA_RESP_ERR__TIMED_OUT;
        ew_committer_tick(producer->kafka);
        if (now_ms >= look_ms) {
            producer->failed = failed_already(producer);
            look_ms = now_ms + ERROR_MS;
        }
        rd_kafka_poll(producer->rk, POLL_MS);
    }
    if (producer->failed == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
        producer->failed == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT) {
        rd_kafka_resp_err_t code = failed_already(producer);

        if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
            producer->failed = code;
    }
    return producer->failed;
}

static enum ew_txn_result
produce_and_drain(struct ew_producer *producer, const struct ew_txn *txn, struct ew_err *err)
{
    rd_kafka_resp_err_t code = produce_all(producer, txn);
    rd_kafka_resp_err_t fatal;
    char text[160];

    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        code = drain(producer);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return EW_TXN_COMMITTED;
    (void)ew_fail(err, EW_RETRY, ew_txn_may_last(code) ? "topic-closed" : "produce", "%s: %s",
                  rd_kafka_err2name(code), rd_kafka_err2str(code));
    EW_LOG(EW_LOG_WARN, EW_KAFKA_LOG, "a record was not taken", EW_STR("detail", err->detail));
    /* The deliveries of a dead handle only say that they were purged. */
    fatal = rd_kafka_fatal_error(producer->rk, text, sizeof(text));
    if (fatal != RD_KAFKA_RESP_ERR_NO_ERROR)
        bury(producer, fatal, text);
    else
        abort_transaction(producer);
    ew_kafka_die_if_forbidden(producer->kafka, code);
    if (ew_txn_may_last(code) &&
        ew_troubles_last(producer->trouble, txn, producer->began_ms, ew_kafka_now(producer->kafka)))
        return EW_TXN_REFUSED;
    return ew_txn_class(code);
}

static enum ew_txn_result
send_offsets(struct ew_producer *producer, const struct ew_txn *txn, struct ew_err *err)
{
    int64_t until_ms = ew_mono_ms() + producer->kafka->options.transaction_ms;

    for (;;) {
        rd_kafka_error_t *error;

        ew_committer_tick(producer->kafka);
        error = rd_kafka_send_offsets_to_transaction(producer->rk, txn->offsets, txn->metadata,
                                                     CALL_MS);
        if (error == NULL)
            return EW_TXN_COMMITTED;
        if (!rd_kafka_error_is_retriable(error) || ew_committer_expired(producer->kafka))
            return give_up(producer, error, false, err);
        if (ew_mono_ms() >= until_ms) {
            (void)ew_fail(err, EW_RETRY, "send-offsets", "%s", rd_kafka_error_string(error));
            rd_kafka_error_destroy(error);
            abort_transaction(producer);
            return EW_TXN_ABORTED;
        }
        rd_kafka_error_destroy(error);
    }
}

static enum ew_txn_result
commit(struct ew_producer *producer, struct ew_err *err)
{
    int64_t until_ms = ew_mono_ms() + COMMIT_MS;

    for (;;) {
        rd_kafka_error_t *error;

        ew_committer_tick(producer->kafka);
        error = rd_kafka_commit_transaction(producer->rk, CALL_MS);
        if (error == NULL)
            return EW_TXN_COMMITTED;
        if (!rd_kafka_error_is_retriable(error) || ew_mono_ms() >= until_ms ||
            ew_committer_expired(producer->kafka))
            return give_up(producer, error, true, err);
        rd_kafka_error_destroy(error);
    }
}

/* As if the step before had failed. */
static enum ew_txn_result
failed_on_purpose(struct ew_producer *producer, enum ew_txn_step step, struct ew_err *err)
{
    (void)ew_fail(err, EW_RETRY, "failpoint", "made to fail");
    if (step == EW_TXN_ENDED) {
        bury(producer, RD_KAFKA_RESP_ERR__FAIL, "made to fail");
        return EW_TXN_UNKNOWN;
    }
    abort_transaction(producer);
    return EW_TXN_ABORTED;
}

enum ew_txn_result
ew_producer_run(struct ew_producer *producer, const struct ew_txn *txn, struct ew_err *err)
{
    rd_kafka_error_t *error;
    enum ew_txn_result result;

    if (producer->rk == NULL && make_handle(producer, INIT_MS, err) != EW_OK) {
        EW_LOG(EW_LOG_WARN, EW_KAFKA_LOG, "no producer", EW_FAULT_FIELDS(err));
        return EW_TXN_ABORTED;
    }
    producer->round++;
    producer->outstanding = 0;
    producer->failed = RD_KAFKA_RESP_ERR_NO_ERROR;
    producer->began_ms = ew_kafka_now(producer->kafka);
    error = rd_kafka_begin_transaction(producer->rk);
    if (error != NULL)
        return give_up(producer, error, false, err);
    if (ew_txn_fails(txn, EW_TXN_BEGUN))
        return failed_on_purpose(producer, EW_TXN_BEGUN, err);
    result = txn->count > 0 ? produce_and_drain(producer, txn, err) : EW_TXN_COMMITTED;
    if (result == EW_TXN_COMMITTED && ew_txn_fails(txn, EW_TXN_PRODUCED))
        return failed_on_purpose(producer, EW_TXN_PRODUCED, err);
    if (result == EW_TXN_COMMITTED && txn->offsets != NULL)
        result = send_offsets(producer, txn, err);
    if (result == EW_TXN_COMMITTED && ew_txn_fails(txn, EW_TXN_SENT))
        return failed_on_purpose(producer, EW_TXN_SENT, err);
    if (result == EW_TXN_COMMITTED)
        result = commit(producer, err);
    if (result == EW_TXN_COMMITTED && ew_txn_fails(txn, EW_TXN_ENDED))
        return failed_on_purpose(producer, EW_TXN_ENDED, err);
    if (result == EW_TXN_COMMITTED)
        ew_troubles_clear(producer->trouble, txn);
    return result;
}
