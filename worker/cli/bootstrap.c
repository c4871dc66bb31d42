/*
 * `epki-worker bootstrap`: the first start of a deployment, said by the operator and never guessed.
 */
#include "cli/cli.h"
#include "kafka/check.h"

#include <stdio.h>

enum { TIMEOUT_MS = 20000 };

int
ew_cli_bootstrap(const struct ew_config *config)
{
    struct ew_kafka_options kafka;
    struct ew_store_options store;
    struct ew_err err;
    char where[] = "bootstrap";

    ew_cli_kafka_options(config, "bootstrap", &kafka);
    ew_cli_store_options(config, &store);
    /* Redis first: it refuses when something of ours is there, and then nothing was touched. */
    if (ew_store_bootstrap(&store, &err) != EW_OK ||
        ew_kafka_bootstrap(&kafka, TIMEOUT_MS, &err) != EW_OK) {
        ew_cli_problem(where, &err);
        return EW_EXIT_FAILED;
    }
    (void)puts("bootstrapped: Redis carries the canary, the group its first commits");
    return EW_EXIT_OK;
}
