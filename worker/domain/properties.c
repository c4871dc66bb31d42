/*
 * The one list of what nobody else may set, for the settings file and for the room that sets them.
 */
#include "domain/properties.h"

#include <stddef.h>
#include <strings.h>

static const char *const FIXED[] = {
    "acks",
    "allow.auto.create.topics",
    "auto.offset.reset",
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "isolation.level",
    "linger.ms",
    "metadata.broker.list", /* bootstrap.servers */
    "partition.assignment.strategy",
    "queue.buffering.max.ms", /* linger.ms */
    "request.required.acks",  /* acks */
    "retry.backoff.ms",
    "session.timeout.ms",
    "transaction.timeout.ms",
    "transactional.id",
};

bool
ew_property_fixed(const char *name)
{
    for (size_t i = 0; i < sizeof(FIXED) / sizeof(FIXED[0]); i++)
        if (strcasecmp(FIXED[i], name) == 0)
            return true;
    return false;
}
