/*
 * One transaction of the producer from its begin to its certain end. Commit, send_offsets and init
 * are resumed after a timeout by calling them again.
 */
#include <stdio.h>

#include "base/log.h"
#include "base/without.h"
#include "committer_private.h"
#include "producer_private.h"
#include "waits_private.h"

enum {
    COMMIT_MS = 120000, /* then the outcome is read from the maps */
    INIT_MS = 15000,
    POLL_MS = 20,
    ERROR_MS = 500, /* between looks whether the transaction has failed behind our back */
    NEAR_MS = 60000,
};

/* --- the records --- */

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
partition_of(const struct ew_producer *producer, const struct ew_out *out)
{
    if (out->partition >= 0)
        return out->partition;
    if (out->key == NULL)
        return RD_KAFKA_PARTITION_UA;
    return ew_kafka_partition_of(producer->kafka, out->topic, out->key, out->key_len);
}

/* Brokers refuse what is more than an hour ahead of their clock (message.timestamp.after.max.ms),
 * and ours may be. Before they have told theirs, the newest record that we read is of a time that
 * they took. What they tell is older by as long as it took to hear it, so a clock of ours that is
 * near theirs is the better one. 0: librdkafka's now. */
static int64_t
time_of(const struct ew_producer *producer, const struct ew_out *out)
{
    int64_t ahead = producer->log_ahead_ms, theirs, apart;

    if (out->timestamp_ms > 0)
        return out->timestamp_ms;
    if (ahead == 0 && producer->time_refused)
        ahead = atomic_load(&producer->kafka->seen_ahead_ms);
    if (ahead == 0)
        return 0;
    theirs = ew_kafka_now(producer->kafka) + ahead;
    apart = theirs - ew_wall_ms(producer->kafka->clock);
    return apart > -NEAR_MS && apart < NEAR_MS ? 0 : theirs;
}

bool
ew_producer_rests(const struct ew_producer *producer, const struct ew_item *item)
{
    for (size_t n = 0; n < item->out_count; n++) {
        if (ew_mutes_rest(&producer->mutes, item->outs[n].topic,
                          partition_of(producer, &item->outs[n]), ew_kafka_now(producer->kafka)))
            return true;
    }
    return false;
}

static void
clear_mutes(struct ew_producer *producer, const struct ew_txn *txn)
{
    for (size_t i = 0; i < txn->count; i++) {
        for (size_t n = 0; n < txn->items[i]->out_count; n++) {
            const struct ew_out *out = &txn->items[i]->outs[n];
            int32_t partition = partition_of(producer, out);

            if (partition >= 0)
                ew_mutes_clear(&producer->mutes, out->topic, partition);
        }
    }
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
            out->value_len, RD_KAFKA_VTYPE_TIMESTAMP, time_of(producer, out),
            RD_KAFKA_VTYPE_MSGFLAGS, RD_KAFKA_MSG_F_COPY, RD_KAFKA_VTYPE_OPAQUE, (void *)opaque,
            RD_KAFKA_VTYPE_HEADERS, headers, RD_KAFKA_VTYPE_END);
    else if (topic != NULL)
        code = rd_kafka_producev(producer->rk, RD_KAFKA_VTYPE_TOPIC, topic,
                                 RD_KAFKA_VTYPE_PARTITION, partition, RD_KAFKA_VTYPE_KEY, out->key,
                                 out->key_len, RD_KAFKA_VTYPE_VALUE, out->value, out->value_len,
                                 RD_KAFKA_VTYPE_TIMESTAMP, time_of(producer, out),
                                 RD_KAFKA_VTYPE_MSGFLAGS, RD_KAFKA_MSG_F_COPY,
                                 RD_KAFKA_VTYPE_OPAQUE, (void *)opaque, RD_KAFKA_VTYPE_END);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR && headers != NULL)
        rd_kafka_headers_destroy(headers);
    return code;
}

static rd_kafka_resp_err_t
produce_all(struct ew_producer *producer, const struct ew_txn *txn)
{
    uintptr_t opaque = producer->round << EW_TXN_INDEX_BITS;

    for (size_t i = 0; i < txn->count; i++) {
        for (size_t n = 0; n < txn->items[i]->out_count; n++) {
            rd_kafka_resp_err_t code;

            while ((code = produce_once(producer, &txn->items[i]->outs[n], opaque | i)) ==
                   RD_KAFKA_RESP_ERR__QUEUE_FULL) {
                ew_committer_tick(producer->kafka);
                rd_kafka_poll(producer->rk, POLL_MS);
            }
            if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
                producer->failed_topic = producer->kafka->options.out[txn->items[i]->outs[n].topic];
                return code;
            }
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

/* Before commit: a commit that has to flush first costs the flush's own rounding. */
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

        producer->failed_topic = NULL; /* that of another record is why */
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
            producer->failed = code;
    }
    return producer->failed;
}

/* All that it may be: halving leaves one. */
static void
name_topics(const struct ew_producer *producer, const struct ew_txn *txn, char *text, size_t max)
{
    unsigned which = ew_txn_topics(txn);
    size_t len = 0;

    text[0] = '\0';
    if (producer->failed_topic != NULL) {
        (void)snprintf(text, max, "%s", producer->failed_topic);
        return;
    }
    for (int i = 0; i < EW_TOPIC_COUNT && len < max; i++) {
        const char *topic = producer->kafka->options.out[i];

        if ((which >> i & 1U) != 0 && topic != NULL)
            len += (size_t)snprintf(text + len, max - len, "%s%s", len > 0 ? " or " : "", topic);
    }
}

/* For so long that halving has to find the one of them that is. */
static bool
is_closed(struct ew_producer *producer, struct ew_trouble *troubles, unsigned which,
          rd_kafka_resp_err_t code)
{
    return ew_txn_may_last(code) &&
           ew_troubles_last(troubles, which, producer->began_ms, ew_kafka_now(producer->kafka));
}

/* What is not delivered is told of by the abort. The coordinator has the abort written where no
 * record could be, and goes on with this handle once it was: another one need not wait, nor do we
 * for an answer, or there would be a gap between attempts. */
static void
abort_late(struct ew_producer *producer)
{
    rd_kafka_error_t *error;

    if (ew_committer_expired(producer->kafka)) {
        ew_producer_abort(producer);
        return;
    }
    ew_committer_tick(producer->kafka);
    producer->timed_out = true;
    error = rd_kafka_abort_transaction(producer->rk, EW_TXN_CALL_MS);
    producer->timed_out = false;
    if (error != NULL)
        rd_kafka_error_destroy(error);
    ew_producer_bury(producer, RD_KAFKA_RESP_ERR__TIMED_OUT, "records were not delivered");
}

static enum ew_txn_result
produce_and_drain(struct ew_producer *producer, const struct ew_txn *txn, struct ew_err *err)
{
    rd_kafka_resp_err_t code = produce_all(producer, txn);
    rd_kafka_resp_err_t fatal;
    char text[160], topics[160];

    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        code = drain(producer);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return EW_TXN_COMMITTED;
    name_topics(producer, txn, topics, sizeof(topics));
    (void)ew_fail(err, EW_RETRY, ew_txn_may_last(code) ? "topic-closed" : "produce", "%s: %s: %s",
                  rd_kafka_err2name(code), rd_kafka_err2str(code), topics);
    EW_LOG(EW_LOG_WARN, EW_KAFKA_LOG, "a record was not taken", EW_STR("detail", err->detail));
    /* The deliveries of a dead handle only say that they were purged. */
    fatal = rd_kafka_fatal_error(producer->rk, text, sizeof(text));
    if (fatal != RD_KAFKA_RESP_ERR_NO_ERROR)
        ew_producer_bury(producer, fatal, text);
    else if (code == RD_KAFKA_RESP_ERR__TIMED_OUT || code == RD_KAFKA_RESP_ERR__MSG_TIMED_OUT)
        abort_late(producer);
    else
        ew_producer_abort(producer);
    ew_kafka_die_if_forbidden(producer->kafka, code);
    if (is_closed(producer, producer->out, ew_txn_topics(txn), code))
        return EW_TXN_REFUSED;
    return ew_txn_class(code);
}

/* Offsets of a topic that we may not read are not taken, nor those of others that go with them. */
static enum ew_txn_result
offsets_failed(struct ew_producer *producer, const struct ew_txn *txn, rd_kafka_error_t *error,
               struct ew_err *err)
{
    bool closed = is_closed(producer, producer->in, txn->lanes, rd_kafka_error_code(error));
    enum ew_txn_result result = ew_producer_give_up(producer, error, false, err);

    return closed ? EW_TXN_REFUSED : result;
}

static enum ew_txn_result
send_offsets(struct ew_producer *producer, const struct ew_txn *txn, struct ew_err *err)
{
    int64_t until_ms = ew_mono_ms() + producer->kafka->options.transaction_ms;

    for (;;) {
        rd_kafka_error_t *error;

        ew_committer_tick(producer->kafka);
        error = rd_kafka_send_offsets_to_transaction(producer->rk, txn->offsets, txn->metadata,
                                                     EW_TXN_CALL_MS);
        if (error == NULL)
            return EW_TXN_COMMITTED;
        if (!rd_kafka_error_is_retriable(error) || ew_committer_expired(producer->kafka))
            return offsets_failed(producer, txn, error, err);
        if (ew_mono_ms() >= until_ms) {
            (void)ew_fail(err, EW_RETRY, "send-offsets", "%s", rd_kafka_error_string(error));
            rd_kafka_error_destroy(error);
            ew_producer_abort(producer);
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
        error = rd_kafka_commit_transaction(producer->rk, EW_TXN_CALL_MS);
        if (error == NULL)
            return EW_TXN_COMMITTED;
        if (!rd_kafka_error_is_retriable(error) || ew_mono_ms() >= until_ms ||
            ew_committer_expired(producer->kafka))
            return ew_producer_give_up(producer, error, true, err);
        rd_kafka_error_destroy(error);
    }
}

/* As if the step before had failed. */
static enum ew_txn_result
failed_on_purpose(struct ew_producer *producer, enum ew_txn_step step, struct ew_err *err)
{
    (void)ew_fail(err, EW_RETRY, "failpoint", "made to fail");
    if (step == EW_TXN_ENDED) {
        ew_producer_bury(producer, RD_KAFKA_RESP_ERR__FAIL, "made to fail");
        return EW_TXN_UNKNOWN;
    }
    ew_producer_abort(producer);
    return EW_TXN_ABORTED;
}

/* The records by themselves, and another transaction for what is to follow. */
static enum ew_txn_result
commit_apart(struct ew_producer *producer, struct ew_err *err)
{
    enum ew_txn_result result = commit(producer, err);
    rd_kafka_error_t *error;

    if (result != EW_TXN_COMMITTED)
        return result;
    error = rd_kafka_begin_transaction(producer->rk);
    return error == NULL ? result : ew_producer_give_up(producer, error, false, err);
}

enum ew_txn_result
ew_producer_run(struct ew_producer *producer, const struct ew_txn *txn, struct ew_err *err)
{
    rd_kafka_error_t *error;
    enum ew_txn_result result;

    if (producer->rk == NULL && ew_producer_make(producer, INIT_MS, err) != EW_OK) {
        EW_LOG(EW_LOG_WARN, EW_KAFKA_LOG, "no producer", EW_FAULT_FIELDS(err));
        return EW_TXN_ABORTED;
    }
    producer->round++;
    producer->outstanding = 0;
    producer->failed = RD_KAFKA_RESP_ERR_NO_ERROR;
    producer->failed_topic = NULL;
    producer->began_ms = ew_kafka_now(producer->kafka);
    error = rd_kafka_begin_transaction(producer->rk);
    if (error != NULL)
        return ew_producer_give_up(producer, error, false, err);
    if (ew_txn_fails(txn, EW_TXN_BEGUN))
        return failed_on_purpose(producer, EW_TXN_BEGUN, err);
    result = txn->count > 0 ? produce_and_drain(producer, txn, err) : EW_TXN_COMMITTED;
    if (result == EW_TXN_COMMITTED && txn->count > 0 && EW_WITHOUT(TOGETHER))
        result = commit_apart(producer, err);
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
    if (result == EW_TXN_COMMITTED) {
        ew_troubles_clear(producer->out, ew_txn_topics(txn));
        ew_troubles_clear(producer->in, txn->lanes);
        clear_mutes(producer, txn);
    }
    return result;
}
