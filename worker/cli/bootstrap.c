/*
 * `epki-worker bootstrap`: the first start of a deployment, one after the group's offsets were
 * lost, or one with more partitions than before; said by the operator and never guessed.
 */
#include "cli/cli.h"
#include "kafka/check.h"

#include <stdio.h>

enum { TIMEOUT_MS = 20000 };

static const char FIRST[] = "bootstrapped: the group has its first commits, and Redis the canary";
static const char LATER[] = "bootstrapped: the group has its first commits; the canary is missing, "
                            "and the workers write it when they reach Redis";
static const char AGAIN[] =
    "bootstrapped again: where commits were missing the workers begin at the topics' beginning, "
    "and find out what became of each event before they order anything; a lost Redis they rebuild";

/* A canary in an empty Redis says that the deployment knows of all its requests, and would have
 * everything ordered again: where there is a past, it is left to the workers to rebuild. At a first
 * start nothing is touched where something of ours is in Redis. Kafka comes first: what ends
 * between the two, or within them, leaves what this command begins again, or what the workers
 * complete. */
static enum ew_fault
begin(const struct ew_kafka_options *kafka, const struct ew_store_options *store, int timeout_ms,
      enum ew_group_state state, struct ew_err *err)
{
    enum ew_fault fault = EW_OK;

    if (state == EW_GROUP_READY)
        return ew_fail_field(err, EW_REJECT, "already-bootstrapped", "kafka.group",
                             "Start the workers. If Redis was lost, they rebuild it.",
                             "the group has its commits");
    if (state == EW_GROUP_NEW)
        fault = ew_store_unused(store, err);
    return fault == EW_OK ? ew_kafka_bootstrap(kafka, timeout_ms, err) : fault;
}

/* Not needed, for the workers rebuild an empty Redis of empty topics: only quicker. */
static const char *
write_canary(const struct ew_store_options *store)
{
    struct ew_err err;
    char where[] = "bootstrap";

    if (ew_store_bootstrap(store, &err) == EW_OK)
        return FIRST;
    ew_cli_problem(where, &err);
    return LATER;
}

int
ew_cli_bootstrap(const struct ew_config *config)
{
    struct ew_kafka_options kafka;
    struct ew_store_options store;
    enum ew_group_state state = EW_GROUP_NEW;
    int timeout_ms = TIMEOUT_MS + config->kafka.transaction_ms; /* one may have been left open */
    struct ew_err err;
    char where[] = "bootstrap";

    ew_cli_kafka_options(config, "bootstrap", &kafka);
    ew_cli_store_options(config, &store);
    if (ew_kafka_group_state(&kafka, TIMEOUT_MS, &state, &err) != EW_OK ||
        begin(&kafka, &store, timeout_ms, state, &err) != EW_OK) {
        ew_cli_problem(where, &err);
        return EW_EXIT_FAILED;
    }
    (void)puts(state == EW_GROUP_NEW ? write_canary(&store) : AGAIN);
    return EW_EXIT_OK;
}
