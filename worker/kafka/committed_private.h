/*
 * Stable reads of what the group has committed for one partition.
 */
#pragma once

#include <librdkafka/rdkafka.h>

#include "kafka/offset_map.h"

enum ew_stable {
    EW_STABLE_NOT_YET, /* timeout, pending transaction, error: says nothing about
                          the commit */
    EW_STABLE_MISSING, /* surely no commit */
    EW_STABLE_READ,
};

struct ew_committed_map {
    int64_t base;
    enum ew_map_kind kind;
    struct ew_offset_map *map; /* EW_MAP_OURS: the caller's */
};

/* Blocks up to timeout_ms. `consumer` must be read_committed: only then does
 * the broker hold back while transactional offsets are pending; the probe's
 * read says no more than whether there is a commit. *code: librdkafka's error
 * with EW_STABLE_NOT_YET. */
enum ew_stable ew_committed_read(rd_kafka_t *consumer, const char *topic, int32_t partition,
                                 int timeout_ms, struct ew_committed_map *out,
                                 rd_kafka_resp_err_t *code);
