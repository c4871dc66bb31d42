/*
 * `epki-worker bootstrap`: the first start of a deployment, said by the operator and never guessed;
 * and later the first commits of partitions that were added.
 */
#include "cli/cli.h"
#include "kafka/check.h"

#include <stdio.h>

enum { TIMEOUT_MS = 20000 };

/* Redis first: it refuses when something of ours is there, and then nothing was touched. */
static enum ew_fault
begin(const struct ew_kafka_options *kafka, const struct ew_store_options *store,
      struct ew_err *err)
{
    enum ew_fault fault = ew_store_bootstrap(store, err);

    return fault == EW_OK ? ew_kafka_bootstrap(kafka, TIMEOUT_MS, err) : fault;
}

/* A canary in an empty Redis would say that the deployment knows of all its requests: beside
 * commits there was something to know, and the workers have to read it first. */
static enum ew_fault
bootstrap(const struct ew_kafka_options *kafka, const struct ew_store_options *store,
          struct ew_err *err)
{
    enum ew_group_state group;
    enum ew_fault fault = ew_kafka_group_state(kafka, TIMEOUT_MS, &group, err);

    if (fault != EW_OK)
        return fault;
    if (group == EW_GROUP_NEW)
        return begin(kafka, store, err);
    if (group == EW_GROUP_PARTIAL)
        return ew_kafka_bootstrap(kafka, TIMEOUT_MS, err);
    return ew_fail_field(err, EW_REJECT, "already-bootstrapped", "kafka.group",
                         "Bootstrap is for the first start of a deployment, and for partitions "
                         "that were added. After a loss the workers rebuild Redis by themselves.",
                         "the group has a commit on every input partition");
}

int
ew_cli_bootstrap(const struct ew_config *config)
{
    struct ew_kafka_options kafka;
    struct ew_store_options store;
    struct ew_err err;
    char where[] = "bootstrap";

    ew_cli_kafka_options(config, "bootstrap", &kafka);
    ew_cli_store_options(config, &store);
    if (bootstrap(&kafka, &store, &err) != EW_OK) {
        ew_cli_problem(where, &err);
        return EW_EXIT_FAILED;
    }
    (void)puts("bootstrapped: Redis carries the canary, the group its first commits");
    return EW_EXIT_OK;
}
