/*
 * The handle that reads in no group, and sees what is not committed.
 */
#pragma once

#include "kafka_private.h"

/* The log's begin and true end, of the leader that there is now. Blocks for twice the time; some
 * seconds longer where the leader does not answer. Any thread. */
rd_kafka_resp_err_t ew_probe_watermarks(struct ew_kafka *kafka, const char *topic, int32_t number,
                                        int64_t *low, int64_t *high, int timeout_ms);
/* The first record from `offset` on. Blocks for as long. One thread at a time. */
rd_kafka_resp_err_t ew_probe_record(struct ew_kafka *kafka, const char *topic, int32_t number,
                                    int64_t offset, struct ew_trace *out, int timeout_ms);
