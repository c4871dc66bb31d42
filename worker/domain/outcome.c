/*
 * Names of results.
 */
#include "domain/outcome.h"

static const char *const names[] = {"none",     "issued",  "renewed", "revoked", "removed",
                                    "rejected", "pending", "held",    "waiting", "reconciling"};

const char *
ew_result_name(enum ew_result result)
{
    return (unsigned)result < sizeof(names) / sizeof(names[0]) ? names[result] : "none";
}

bool
ew_result_terminal(enum ew_result result)
{
    return result >= EW_RES_ISSUED && result <= EW_RES_REJECTED;
}
