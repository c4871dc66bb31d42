/*
 * `epki-worker resume`: people have mended what paused an account; one query of the fleet tests it.
 */
#include "cli/cli.h"

#include <stdio.h>

int
ew_cli_resume(const struct ew_config *config)
{
    struct ew_store_options store;
    struct ew_err err;
    char where[] = "redis";
    int problems = 0;

    ew_cli_store_options(config, &store);
    for (size_t i = 0; i < config->account_count; i++) {
        const char *name = config->accounts[i].name;
        bool changed = false;

        if (ew_store_retry_account(&store, name, &changed, &err) != EW_OK) {
            ew_cli_problem(where, &err);
            problems++;
            continue;
        }
        (void)printf(changed ? "account %s: was paused; the workers test it with one query\n"
                             : "account %s: is not paused\n",
                     name);
    }
    return problems == 0 ? EW_EXIT_OK : EW_EXIT_FAILED;
}
