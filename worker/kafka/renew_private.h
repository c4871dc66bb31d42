/*
 * A partition that was left alone because a broker did not know its topic: brokers that have just
 * started say so for a moment. It is begun anew, as another ownership, if its log is the same.
 */
#pragma once

#include "kafka_private.h"

enum { EW_RENEW_MS = 30000 }; /* how long it is left alone at least */

#define EW_RENEW_BY_HAND                                                                           \
    "Stop the workers, set the group's offsets for it to the beginning, and start them again."

/* Those whose time has come get an heir, which is to be adopted. thread: consumer */
void ew_renew_due(struct ew_kafka *kafka);

enum ew_same { EW_SAME_LOG, EW_OTHER_LOG, EW_LOG_NOT_READ };

/* Whether an heir's log, which begins at `low` and ends at `high` now, is the one that was read
 * before. thread: adopter */
enum ew_same ew_renew_judge(struct ew_kafka *kafka, const struct ew_part *heir, int64_t low,
                            int64_t high);
