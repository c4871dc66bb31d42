/*
 * Where logs begin and end, whoever leads them, and what stands at a place.
 */
#include "probe_private.h"

/* librdkafka asks the leader that it remembers, and waits for it however short the call's timeout
 * (2.0.2): one that is gone would be asked in vain although there has long been another. */
static rd_kafka_resp_err_t
learn_leaders(struct ew_kafka *kafka, const char *name, int timeout_ms)
{
    rd_kafka_topic_t *topic = rd_kafka_topic_new(kafka->probe, name, NULL);
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__FAIL;

    if (topic != NULL)
        code = rd_kafka_metadata(kafka->probe, 0, topic, &metadata, timeout_ms);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_metadata_destroy(metadata);
    if (topic != NULL)
        rd_kafka_topic_destroy(topic);
    return code;
}

rd_kafka_resp_err_t
ew_probe_watermarks(struct ew_kafka *kafka, const char *topic, int32_t number, int64_t *low,
                    int64_t *high, int timeout_ms)
{
    rd_kafka_resp_err_t code = learn_leaders(kafka, topic, timeout_ms);

    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return code;
    return rd_kafka_query_watermark_offsets(kafka->probe, topic, number, low, high, timeout_ms);
}

rd_kafka_resp_err_t
ew_probe_record(struct ew_kafka *kafka, const char *topic, int32_t number, int64_t offset,
                struct ew_trace *out, int timeout_ms)
{
    rd_kafka_topic_t *handle = rd_kafka_topic_new(kafka->probe, topic, NULL);
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__FAIL;

    if (handle != NULL && rd_kafka_consume_start(handle, number, offset) == 0) {
        rd_kafka_message_t *message = rd_kafka_consume(handle, number, timeout_ms);

        code = message != NULL ? message->err : RD_KAFKA_RESP_ERR__TIMED_OUT;
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
            *out = ew_trace_of(message);
        if (message != NULL)
            rd_kafka_message_destroy(message);
        (void)rd_kafka_consume_stop(handle, number);
    }
    if (handle != NULL)
        rd_kafka_topic_destroy(handle);
    return code;
}
