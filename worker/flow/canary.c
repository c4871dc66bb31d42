/*
 * Watching which incarnation of Redis this is. A missing or foreign canary stops new orders at once
 * and makes one worker of the fleet rebuild.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "job.h"

enum { WATCH_MS = 1000 };

static void
on_canary(void *arg, enum ew_fault fault, enum ew_canary_state state, const char *value,
          bool rebuilding)
{
    struct ew_flow *flow = arg;
    bool had = flow->canary[0] != '\0';

    flow->canary_asking = false;
    if (fault != EW_OK)
        return;
    if (state == EW_CANARY_OK) {
        if (strcmp(flow->canary, value) != 0)
            EW_LOG(EW_LOG_INFO, "flow", "redis incarnation", EW_STR("canary", value));
        (void)snprintf(flow->canary, sizeof(flow->canary), "%s", value);
        return;
    }
    flow->canary[0] = '\0';
    if (had)
        EW_LOG(EW_LOG_ERROR, "flow", "redis was wiped or replaced: no new orders until rebuilt",
               EW_STR("state", state == EW_CANARY_MISSING ? "missing" : "foreign"));
    for (size_t i = 0; had && i < flow->desk_count; i++)
        ew_desk_open(flow->desks[i]); /* every account starts unverified afterwards */
    if (!rebuilding)
        ew_rebuild_begin(flow);
}

void
ew_canary_check(struct ew_flow *flow)
{
    if (flow->canary_asking || flow->store == NULL || !ew_store_is_up(flow->store))
        return;
    flow->canary_asking = true;
    ew_store_canary(flow->store, on_canary, flow);
}

static void
on_watch(void *arg)
{
    struct ew_flow *flow = arg;

    ew_canary_check(flow);
    ew_timer_start(&flow->canary_timer, WATCH_MS);
}

void
ew_canary_watch(struct ew_flow *flow)
{
    ew_timer_init(&flow->canary_timer, flow->loop, on_watch, flow);
    ew_timer_start(&flow->canary_timer, 0);
}
