/*
 * Protections that a worker built for tests goes without when it is told to: what watches over the
 * promises has to notice each. Only with EW_FAILPOINTS; the shipped binary goes without none, and
 * does not know their names.
 *
 * Told by the environment variable EPKI_WITHOUT: names separated by commas.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

/* Each with what is done without it. */
#define EW_PROTECTIONS_TABLE(X)                                                                    \
    X(INTENT, "intent", "orders are sent and Kafka is not told before")                            \
    X(ORDERING, "ordering-record", "intents leave no record for a Redis that is lost")             \
    X(CALLING, "awaited-calling", "orders are sent whatever Redis says to it")                     \
    X(QUIET, "quiet-period", "an order that is not seen at once is believed not to be there")      \
    X(OPEN_OFFSETS, "open-offsets", "commits pass over what is open below the last that is done")  \
    X(SNAPSHOT, "snapshot", "commits go out as the member of that moment, whatever it owns")       \
    X(MEMBERSHIP, "membership", "commits go out as nobody's, which Kafka takes from anybody")      \
    X(CANARY, "canary", "a Redis that was lost is ordered by before it is rebuilt")                \
    X(SENT_ONCE, "sent-once", "orders take any connection, and libcurl may send them again")       \
    X(REREAD, "reread", "a commit whose outcome is not known is made again")                       \
    X(TOGETHER, "together", "answers are committed first, and then that they were given")          \
    X(KEY_LANE, "key-lane", "events of one key are worked on side by side")

#ifdef EW_FAILPOINTS

#define EW_WITHOUT_NAME(id, name, text) EW_WITHOUT_##id,
enum ew_protection { EW_PROTECTIONS_TABLE(EW_WITHOUT_NAME) EW_WITHOUT_COUNT };
#undef EW_WITHOUT_NAME

/* Reads EPKI_WITHOUT; EW_REJECT says which name is not known. Before threads start. */
EW_CHECK enum ew_fault ew_without_arm(struct ew_err *err);
/* A line for each: name, tab, text. On standard output. */
void ew_without_list(void);
/* Any thread. The first time that it is true is logged. */
bool ew_without(enum ew_protection protection);

#define EW_WITHOUT(id) ew_without(EW_WITHOUT_##id)

#else

#define EW_WITHOUT(id) false

#endif
