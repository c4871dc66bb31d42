/*
 * The error matrix of transactions, and the patience with topics that are closed.
 */
#include "txn_private.h"

#include <string.h>

#include "committer_private.h"

enum {
    LASTS_MS = 30000,   /* a restarted broker has its rights and topics back by then */
    GAP_MS = 20000,     /* without an attempt: what failed before says nothing of now */
    FORGET_MS = 600000, /* likewise, when it had lasted */
    REST_MS = 60000,    /* each attempt holds up everything for as long as a transaction may take */
};

enum ew_txn_result
ew_txn_class(rd_kafka_resp_err_t code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
    case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
    case RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE:
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
        return EW_TXN_REFUSED;
    default:
        return EW_TXN_ABORTED;
    }
}

bool
ew_txn_may_last(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
           code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
           code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
}

bool
ew_txn_forbidden(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED ||
           code == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED ||
           code == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
}

void
ew_kafka_die_if_forbidden(struct ew_kafka *kafka, rd_kafka_resp_err_t code)
{
    struct ew_err err;

    if (!ew_txn_forbidden(code) || !atomic_load(&kafka->started))
        return;
    (void)ew_fail_field(
        &err, EW_HALT, "kafka-forbidden", "kafka",
        "Allow this user Write and Describe on the transactional ids that begin "
        "with epki. and the group's name, Read on the group, and IdempotentWrite on "
        "the cluster where the brokers are older than 3.0.",
        "Kafka forbids what every commit needs: %s", rd_kafka_err2str(code));
    ew_kafka_die(kafka, &err);
}

bool
ew_txn_is_fence(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR__FENCED || code == RD_KAFKA_RESP_ERR_PRODUCER_FENCED ||
           code == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH;
}

bool
ew_txn_is_stale(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION ||
           code == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID ||
           code == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID;
}

bool
ew_trouble_lasts(struct ew_trouble *trouble, int64_t began_ms, int64_t now_ms)
{
    bool lasted = trouble->last_ms - trouble->since_ms > LASTS_MS;

    if (!trouble->there || began_ms - trouble->last_ms > (lasted ? FORGET_MS : GAP_MS))
        trouble->since_ms = now_ms;
    trouble->there = true;
    trouble->last_ms = now_ms;
    return now_ms - trouble->since_ms > LASTS_MS;
}

void
ew_troubles_clear(struct ew_trouble *troubles, unsigned which)
{
    for (; which != 0; which >>= 1, troubles++) {
        if ((which & 1U) != 0)
            memset(troubles, 0, sizeof(*troubles));
    }
}

bool
ew_troubles_last(struct ew_trouble *troubles, unsigned which, int64_t began_ms, int64_t now_ms)
{
    bool lasts = false;

    for (; which != 0; which >>= 1, troubles++) {
        if ((which & 1U) != 0 && ew_trouble_lasts(troubles, began_ms, now_ms))
            lasts = true;
    }
    return lasts;
}

unsigned
ew_txn_topics(const struct ew_txn *txn)
{
    unsigned topics = 0;

    for (size_t i = 0; i < txn->count; i++) {
        for (size_t n = 0; n < txn->items[i]->out_count; n++)
            topics |= 1U << txn->items[i]->outs[n].topic;
    }
    return topics;
}

static bool
is_mute(const struct ew_mute *mute, enum ew_topic topic, int32_t partition)
{
    return mute->trouble.there && mute->topic == topic &&
           (partition < 0 || mute->partition == partition);
}

bool
ew_mutes_note(struct ew_mutes *mutes, enum ew_topic topic, int32_t partition, int64_t began_ms,
              int64_t now_ms)
{
    struct ew_mute *mute = &mutes->all[0];
    bool resting;

    for (int i = 0; i < EW_MUTES && !is_mute(mute, topic, partition); i++) {
        if (is_mute(&mutes->all[i], topic, partition) ||
            mutes->all[i].trouble.last_ms < mute->trouble.last_ms)
            mute = &mutes->all[i];
    }
    if (!is_mute(mute, topic, partition))
        *mute = (struct ew_mute){.topic = topic, .partition = partition};
    resting = mute->rests_ms > now_ms;
    if (ew_trouble_lasts(&mute->trouble, began_ms, now_ms))
        mute->rests_ms = now_ms + REST_MS;
    return !resting && mute->rests_ms > now_ms;
}

bool
ew_mutes_rest(const struct ew_mutes *mutes, enum ew_topic topic, int32_t partition, int64_t now_ms)
{
    for (int i = 0; i < EW_MUTES; i++) {
        if (is_mute(&mutes->all[i], topic, partition) && mutes->all[i].rests_ms > now_ms)
            return true;
    }
    return false;
}

void
ew_mutes_clear(struct ew_mutes *mutes, enum ew_topic topic, int32_t partition)
{
    for (int i = 0; i < EW_MUTES; i++) {
        if (is_mute(&mutes->all[i], topic, partition))
            memset(&mutes->all[i], 0, sizeof(mutes->all[i]));
    }
}
