/*
 * The back-off function.
 */
#include "base/backoff.h"

int64_t
ew_backoff_ms(const struct ew_backoff *backoff, unsigned attempt, uint32_t random)
{
    int64_t full = backoff->first_ms, half;

    for (unsigned i = 1; i < attempt && full > 0 && full < backoff->max_ms; i++)
        full *= 2;
    if (full > backoff->max_ms)
        full = backoff->max_ms;
    if (full < 2)
        return 1;
    half = full / 2;
    return half + (int64_t)(random % (uint64_t)(full - half + 1));
}
