/*
 * Stable reads of committed offsets and their maps. Decides nothing.
 */
#include "committed_private.h"

enum ew_stable
ew_committed_read(rd_kafka_t *consumer, const char *topic, int32_t partition, int timeout_ms,
                  struct ew_committed_map *out, rd_kafka_resp_err_t *code)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *at = rd_kafka_topic_partition_list_add(list, topic, partition);
    enum ew_stable stable = EW_STABLE_NOT_YET;

    *code = rd_kafka_committed(consumer, list, timeout_ms);
    if (*code == RD_KAFKA_RESP_ERR_NO_ERROR)
        *code = at->err;
    /* A pending transaction ends in a timeout with offset -1001 and no error of
     * the partition: the offset alone must not be believed. */
    if (*code == RD_KAFKA_RESP_ERR_NO_ERROR && at->offset == RD_KAFKA_OFFSET_INVALID) {
        stable = EW_STABLE_MISSING;
    } else if (*code == RD_KAFKA_RESP_ERR_NO_ERROR && at->offset >= 0) {
        out->base = at->offset;
        out->map = NULL;
        /* Not NUL-terminated: only metadata_size counts. */
        out->kind = ew_offset_map_decode(at->offset, at->metadata, at->metadata_size, &out->map);
        stable = EW_STABLE_READ;
    }
    rd_kafka_topic_partition_list_destroy(list);
    return stable;
}
