/*
 * What the flow has deleted in epki.inflight.
 */
#pragma once

#include "world.h"

static MAYBE size_t
tombstones(void)
{
    size_t count = 0;

    for (size_t i = 0; i < w.inflight_count; i++)
        count += w.inflight[i].value == NULL;
    return count;
}
