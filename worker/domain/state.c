/*
 * The table of states: what may follow each, and where a crash in it resumes. A revocation never
 * starts an order, so it restarts fresh wherever it was.
 */
#include "domain/state.h"

#include <stddef.h>

#define BIT(state) (1u << (state))

static const struct {
    const char *name;
    unsigned next;
    enum ew_restart restart;
} states[] = {
    [EW_ST_RECEIVED] = {"received", BIT(EW_ST_LOOKUP) | BIT(EW_ST_PUBLISH) | BIT(EW_ST_CLAIM),
                        EW_RESTART_FRESH},
    [EW_ST_LOOKUP] = {"lookup", BIT(EW_ST_CHECK) | BIT(EW_ST_CLAIM), EW_RESTART_FRESH},
    [EW_ST_CHECK] = {"check", BIT(EW_ST_LOOKUP) | BIT(EW_ST_CLAIM), EW_RESTART_FRESH},
    [EW_ST_CLAIM] = {"claim",
                     BIT(EW_ST_QUEUE) | BIT(EW_ST_WAIT_OTHER) | BIT(EW_ST_PUBLISH) |
                         BIT(EW_ST_RECONCILE) | BIT(EW_ST_REVOKE) | BIT(EW_ST_PENDING) |
                         BIT(EW_ST_VERIFY) | BIT(EW_ST_STOP) | BIT(EW_ST_HELD),
                     EW_RESTART_FRESH},
    [EW_ST_WAIT_OTHER] = {"wait_other",
                          BIT(EW_ST_CLAIM) | BIT(EW_ST_PUBLISH) | BIT(EW_ST_LEAVE) |
                              BIT(EW_ST_REVOKE) | BIT(EW_ST_STOP) | BIT(EW_ST_QUEUE) |
                              BIT(EW_ST_HELD),
                          EW_RESTART_FRESH},
    [EW_ST_QUEUE] = {"queue",
                     BIT(EW_ST_INTENT) | BIT(EW_ST_HELD) | BIT(EW_ST_PUBLISH) | BIT(EW_ST_LEAVE),
                     EW_RESTART_FRESH},
    [EW_ST_HELD] = {"held",
                    BIT(EW_ST_CLAIM) | BIT(EW_ST_LEAVE) | BIT(EW_ST_VERIFY) | BIT(EW_ST_PUBLISH),
                    EW_RESTART_RECONCILE},
    [EW_ST_INTENT] = {"intent", BIT(EW_ST_CALLING) | BIT(EW_ST_QUEUE) | BIT(EW_ST_CLAIM),
                      EW_RESTART_RECONCILE},
    [EW_ST_CALLING] = {"calling", BIT(EW_ST_ORDER) | BIT(EW_ST_CLAIM) | BIT(EW_ST_PUBLISH),
                       EW_RESTART_RECONCILE},
    [EW_ST_ORDER] = {"order",
                     BIT(EW_ST_VERIFY) | BIT(EW_ST_PENDING) | BIT(EW_ST_RECONCILE) |
                         BIT(EW_ST_CLAIM) | BIT(EW_ST_HELD) | BIT(EW_ST_PUBLISH),
                     EW_RESTART_RECONCILE},
    [EW_ST_PENDING] = {"pending",
                       BIT(EW_ST_VERIFY) | BIT(EW_ST_LEAVE) | BIT(EW_ST_PUBLISH) |
                           BIT(EW_ST_RECONCILE),
                       EW_RESTART_RECONCILE},
    [EW_ST_RECONCILE] = {"reconcile",
                         BIT(EW_ST_VERIFY) | BIT(EW_ST_PENDING) | BIT(EW_ST_CLAIM) |
                             BIT(EW_ST_PUBLISH) | BIT(EW_ST_LEAVE) | BIT(EW_ST_WAIT_OTHER),
                         EW_RESTART_RECONCILE},
    [EW_ST_VERIFY] = {"verify",
                      BIT(EW_ST_PUBLISH) | BIT(EW_ST_UNDO) | BIT(EW_ST_HELD) | BIT(EW_ST_CLAIM) |
                          BIT(EW_ST_RECONCILE),
                      EW_RESTART_RECONCILE},
    [EW_ST_UNDO] = {"undo", BIT(EW_ST_PUBLISH) | BIT(EW_ST_CLAIM) | BIT(EW_ST_LEAVE),
                    EW_RESTART_RECONCILE},
    [EW_ST_REVOKE] = {"revoke", BIT(EW_ST_PUBLISH) | BIT(EW_ST_LEAVE), EW_RESTART_FRESH},
    [EW_ST_STOP] = {"stop", BIT(EW_ST_PUBLISH) | BIT(EW_ST_WAIT_OTHER) | BIT(EW_ST_REVOKE),
                    EW_RESTART_FRESH},
    [EW_ST_PUBLISH] = {"publish", BIT(EW_ST_ANSWERED), EW_RESTART_RECONCILE},
    [EW_ST_LEAVE] = {"leave", BIT(EW_ST_ANSWERED) | BIT(EW_ST_PUBLISH), EW_RESTART_RECONCILE},
    [EW_ST_ANSWERED] = {"answered", 0, EW_RESTART_NOTHING},
    [EW_ST_DROPPED] = {"dropped", 0, EW_RESTART_RECONCILE},
};
_Static_assert(sizeof(states) / sizeof(states[0]) == EW_ST_COUNT, "one row per state");

const char *
ew_state_name(enum ew_state state)
{
    return (unsigned)state < EW_ST_COUNT ? states[state].name : "?";
}

bool
ew_state_may(enum ew_state from, enum ew_state to)
{
    if ((unsigned)from >= EW_ST_COUNT || (unsigned)to >= EW_ST_COUNT)
        return false;
    /* A lost partition ends any work that is not done. */
    if (to == EW_ST_DROPPED)
        return from != EW_ST_ANSWERED && from != EW_ST_DROPPED;
    return (states[from].next & BIT(to)) != 0;
}

enum ew_restart
ew_state_restart(enum ew_state state)
{
    return states[state].restart;
}
