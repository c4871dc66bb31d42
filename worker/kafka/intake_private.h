/*
 * The consumer thread: membership, reading, and what it tells the loop.
 */
#pragma once

#include "kafka_private.h"

void *ew_intake_run(void *arg); /* the thread; of a struct ew_kafka */

/* Reads what may be read of each partition, once around. false: nothing more now; an io event, a
 * relief or the next turn's look brings us back. thread: consumer */
bool ew_intake_read(struct ew_kafka *kafka);
/* Says, now and then, why a partition is left alone whose log was replaced. thread: consumer */
void ew_intake_say_replaced(struct ew_kafka *kafka, struct ew_part *part);

/* librdkafka's rebalance callback. thread: consumer */
void ew_intake_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code,
                         rd_kafka_topic_partition_list_t *list, void *opaque);

/* Assigns a partition of ours anew, to be read from `position` on: what librdkafka has given up it
 * begins with again by no other means. false: not now. thread: consumer, outside of callbacks */
bool ew_intake_reassign(struct ew_kafka *kafka, struct ew_part *part);

/* librdkafka's word on what went wrong with the member. thread: consumer */
void ew_intake_error(rd_kafka_t *rk, int code, const char *reason, void *opaque);

/* Events, in order with the records. thread: consumer */
void ew_intake_tell_adopted(struct ew_kafka *kafka, struct ew_part *part);
void ew_intake_tell_lost(struct ew_kafka *kafka, struct ew_part *part);
