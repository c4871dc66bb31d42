/*
 * The life of a request as data: one table of states, what may follow each, and where a crash in it
 * resumes. The flow moves requests only through ew_state_may().
 */
#pragma once

#include <stdbool.h>

enum ew_state {
    EW_ST_RECEIVED,   /* decoded or about to be; nothing done */
    EW_ST_LOOKUP,     /* asking Redis what is known of the request id */
    EW_ST_CHECK,      /* pure rules, CSR, recipient, key made */
    EW_ST_CLAIM,      /* claiming the request id in Redis */
    EW_ST_WAIT_OTHER, /* another event holds the id, the key or the target */
    EW_ST_QUEUE,      /* waiting for a slot and a token */
    EW_ST_HELD,       /* waiting for people or an account to resume */
    EW_ST_INTENT,     /* the intent's transaction is on its way */
    EW_ST_CALLING,    /* Redis CLAIMED -> CALLING is on its way */
    EW_ST_ORDER,      /* the order's call is under way */
    EW_ST_PENDING,    /* the order exists, its certificate does not yet */
    EW_ST_RECONCILE,  /* finding out what became of an order */
    EW_ST_VERIFY,     /* does the certificate fit; sealing */
    EW_ST_UNDO,       /* cancelling an order that must not live */
    EW_ST_REVOKE,     /* revocation: reading, cancelling or revoking, confirming */
    EW_ST_STOP,       /* revocation of a target never seen: STOP is being set */
    EW_ST_PUBLISH,    /* the answer's transaction is on its way */
    EW_ST_LEAVE,      /* the transaction into the waiting room is on its way */
    EW_ST_ANSWERED,   /* answered or left or parked: done in the map */
    EW_ST_DROPPED,    /* the partition was lost: somebody else goes on */
    EW_ST_COUNT,
};

/* Where a crash in a state resumes. */
enum ew_restart {
    EW_RESTART_FRESH,     /* not started in the map: as if never seen */
    EW_RESTART_RECONCILE, /* started in the map: reconcile before anything else */
    EW_RESTART_NOTHING,   /* done in the map */
};

const char *ew_state_name(enum ew_state state);
bool ew_state_may(enum ew_state from, enum ew_state to);
enum ew_restart ew_state_restart(enum ew_state state);
