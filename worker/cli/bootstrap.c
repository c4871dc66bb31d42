/*
 * `epki-worker bootstrap`: the first start of a deployment, one after the group's offsets were
 * lost, or one with more partitions than before; said by the operator and never guessed.
 */
#include "cli/cli.h"
#include "kafka/check.h"

#include <stdio.h>

enum { TIMEOUT_MS = 20000 };

static const char FIRST[] = "bootstrapped: Redis carries the canary, the group its first commits";
static const char AGAIN[] =
    "bootstrapped again: where commits were missing the workers begin at the topics' beginning, "
    "and find out what became of each event before they order anything; a lost Redis they rebuild";

/* A canary in an empty Redis says that the deployment knows of all its requests, and would have
 * everything ordered again: where there is a past, it is left to the workers to rebuild. At a first
 * start Redis refuses when something of ours is there, and then nothing was touched. */
static enum ew_fault
begin(const struct ew_kafka_options *kafka, const struct ew_store_options *store,
      enum ew_group_state state, struct ew_err *err)
{
    enum ew_fault fault = EW_OK;

    if (state == EW_GROUP_READY)
        return ew_fail_field(err, EW_REJECT, "already-bootstrapped", "kafka.group",
                             "Start the workers. If Redis was lost, they rebuild it.",
                             "the group has its commits");
    if (state == EW_GROUP_NEW)
        fault = ew_store_bootstrap(store, err);
    return fault == EW_OK ? ew_kafka_bootstrap(kafka, TIMEOUT_MS, err) : fault;
}

int
ew_cli_bootstrap(const struct ew_config *config)
{
    struct ew_kafka_options kafka;
    struct ew_store_options store;
    enum ew_group_state state = EW_GROUP_NEW;
    struct ew_err err;
    char where[] = "bootstrap";

    ew_cli_kafka_options(config, "bootstrap", &kafka);
    ew_cli_store_options(config, &store);
    if (ew_kafka_group_state(&kafka, TIMEOUT_MS, &state, &err) != EW_OK ||
        begin(&kafka, &store, state, &err) != EW_OK) {
        ew_cli_problem(where, &err);
        return EW_EXIT_FAILED;
    }
    (void)puts(state == EW_GROUP_NEW ? FIRST : AGAIN);
    return EW_EXIT_OK;
}
