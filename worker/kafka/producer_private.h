/*
 * The producer's handle, for those who run transactions on it. thread: committer
 */
#pragma once

#include "txn_private.h"

enum {
    EW_TXN_CALL_MS = 5000,  /* one call of librdkafka; then it is resumed */
    EW_TXN_INDEX_BITS = 12, /* of a delivery's opaque: item index; the rest counts transactions */
};

struct ew_producer {
    struct ew_kafka *kafka;
    char id[256];
    rd_kafka_t *rk; /* NULL: dead, to be made anew */
    rd_kafka_topic_t *topics[EW_TOPIC_COUNT];
    uintptr_t round;            /* counts transactions, so that late deliveries are told apart */
    int outstanding;            /* deliveries of this round that have not been reported */
    rd_kafka_resp_err_t failed; /* first delivery of this round that failed */
    const char *failed_topic;   /* whose record was the first not to be taken; NULL: not known */
    bool timed_out;             /* what is not delivered by now, was not in time */
    int64_t began_ms;
    int64_t log_ahead_ms;     /* the brokers' clock against our boot time; 0: not heard */
    bool time_refused;        /* they do not take what our own clock says */
    uintptr_t misdated_round; /* the last one of which they did not take a time */
    int64_t fenced_ms;        /* last fence that we did not cause */
    struct ew_trouble out[EW_TOPIC_COUNT]; /* topics that take no record */
    struct ew_trouble in[EW_LANE_COUNT];   /* topics whose offsets may not be committed */
    struct ew_mutes mutes;
};

/* Makes a handle where there is none. */
EW_CHECK enum ew_fault ew_producer_make(struct ew_producer *producer, int timeout_ms,
                                        struct ew_err *err);
/* Ends the transaction; a handle that cannot even do that is dead. */
void ew_producer_abort(struct ew_producer *producer);
/* The handle is dead. */
void ew_producer_bury(struct ew_producer *producer, rd_kafka_resp_err_t code, const char *text);
/* An error of a transactional call: what it leaves behind. Consumes `error`. */
enum ew_txn_result ew_producer_give_up(struct ew_producer *producer, rd_kafka_error_t *error,
                                       bool committing, struct ew_err *err);
