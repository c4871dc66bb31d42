/*
 * Beginning a partition anew; see renew_private.h.
 */
#include "renew_private.h"

#include <stdlib.h>

#include "adopt_private.h"
#include "base/log.h"
#include "committer_private.h"
#include "probe_private.h"

enum { READ_MS = 2000 };

static struct ew_part *
heir_of(struct ew_kafka *kafka, struct ew_part *part)
{
    struct ew_part *heir =
        ew_part_new(part->lane, part->topic, part->number, kafka->wake, &kafka->options);

    if (heir == NULL)
        abort(); /* a partition that nobody works on is worse than a restart */
    heir->heir = true;
    heir->trace = part->trace;
    heir->old_high = part->high;
    heir->fetching = part->fetching;
    heir->given_up = part->given_up;
    heir->queue = part->queue;
    part->queue = NULL;
    atomic_store(&heir->alone, true);
    return heir;
}

/* What it had under way must have been answered: its commit would not be refused, for the
 * generation is the same, and the heir's map would not know of it. */
static bool
is_due(struct ew_kafka *kafka, struct ew_part *part)
{
    return part->replaced && !part->cut && !part->reading &&
           ew_kafka_now(kafka) >= part->renew_ms && !ew_committer_has(kafka, part);
}

void
ew_renew_due(struct ew_kafka *kafka)
{
    struct ew_intake *intake = &kafka->intake;

    for (size_t i = 0; i < intake->count; i++) {
        struct ew_part *part = intake->parts[i];

        if (!is_due(kafka, part))
            continue;
        intake->parts[i] = heir_of(kafka, part);
        ew_ownership_keep(&kafka->ownership, intake->parts, intake->count);
        EW_LOG(EW_LOG_INFO, EW_KAFKA_LOG, "partition is looked at again",
               EW_STR("topic", part->topic), EW_INT("partition", part->number));
        ew_adopt_request(kafka, intake->parts[i]);
        ew_part_unref(part);
    }
}

/* A log's beginning only rises, so what was seen and lies before it was deleted from it. */
enum ew_same
ew_renew_judge(struct ew_kafka *kafka, const struct ew_part *heir, int64_t low, int64_t high)
{
    const struct ew_trace *seen = &heir->trace;
    struct ew_trace now = {.offset = -1};

    if (seen->offset < 0 && !heir->fetching) /* nothing was read of it: as after a rebalance */
        return high >= heir->old_high ? EW_SAME_LOG : EW_OTHER_LOG;
    if (seen->offset < 0) /* it was empty */
        return low >= heir->old_high ? EW_SAME_LOG : EW_OTHER_LOG;
    if (seen->offset < low)
        return EW_SAME_LOG;
    if (seen->offset >= high)
        return EW_OTHER_LOG;
    if (ew_probe_record(kafka, heir->topic, heir->number, seen->offset, &now, READ_MS) !=
        RD_KAFKA_RESP_ERR_NO_ERROR)
        return EW_LOG_NOT_READ;
    return now.offset == seen->offset && now.timestamp_ms == seen->timestamp_ms &&
                   now.bytes == seen->bytes
               ? EW_SAME_LOG
               : EW_OTHER_LOG;
}
