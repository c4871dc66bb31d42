/*
 * What all models share: a job's moves, and an order's attempt on its way.
 *
 * The model defines FLOWS (jobs), REQUESTS, REQUEST(i) (of a job), ATTEMPTS (slots for attempts that
 * are not over), AWAITED(s) (somebody's quiet period waits for the attempt in s); then, before it
 * includes ca.pml, ew_verify_begin(i) and ew_reconcile_begin(i), which is how a job hears of a reply, and
 * BEFORE_ACCEPT(r), what must be true when an order arrives.
 */
#include "states.h"

#ifndef LOSSES
#define LOSSES 1 /* requests or replies lost between worker and CA */
#endif
#ifndef STALE
#define STALE 0 /* attempts that the gate finds too old though nobody waits for them */
#endif

byte state[FLOWS] = EW_ST_DROPPED; /* of each job; dropped: there is none */

inline ew_job_move(j, to)
{
    assert(EW_STATE_MAY(state[j], to));
    state[j] = to;
}

/*
 * An attempt begins when its t0 is noted and is over when the gate refused it, when it was lost, or
 * when the CA's lists show its order. Times of the real thing (send window, network, processing, lag
 * of the lists) add up to the quiet period; here a quiet period is: every attempt that had begun
 * when the wait began is over. Attempts that begin later are not covered.
 */
#define FREE 0
#define ARMED 1    /* t0 is noted; it may still pass the gate */
#define SENT 2     /* its bytes have left */
#define ACCEPTED 3 /* an order exists, the CA's lists do not show it yet */
#define NO_SLOT 7

byte attempt[ATTEMPTS];
byte request[ATTEMPTS];
byte slot[FLOWS] = NO_SLOT; /* a job's attempt */
byte quiet[FLOWS];          /* bits: the attempts that its quiet period still waits for */
byte orders[REQUESTS];      /* that the CA has accepted */
bool shown[REQUESTS];       /* by the CA's lists */
byte losses, stale;
hidden byte n, caller;

#define IS_QUIET(i) (quiet[i] == 0)
#ifdef STARTED_IS_ORDERED /* a start is taken for an order, the CA is not asked */
#define IS_FOUND(r) (1)
#else
#define IS_FOUND(r) (shown[r])
#endif
#ifdef LAG_IGNORED
#define COUNTS(s) (attempt[s] == ARMED || attempt[s] == SENT)
#else
#define COUNTS(s) (attempt[s] != FREE)
#endif

inline attempt_over(s)
{
    attempt[s] = FREE;
    request[s] = 0;
    for (n : 0 .. FLOWS - 1) { quiet[n] = quiet[n] & (255 - (1 << s)) };
    skip
}

/* The quiet period begins. */
inline quiet_begin(j)
{
    quiet[j] = 0;
#ifndef NO_QUIET
    for (n : 0 .. ATTEMPTS - 1) {
        if
        :: COUNTS(n) && request[n] == REQUEST(j) -> quiet[j] = quiet[j] | (1 << n)
        :: else
        fi
    };
    skip
#endif
}

#define CAN_ARM (attempt[0] == FREE || attempt[1] == FREE || attempt[ATTEMPTS - 1] == FREE)

inline attempt_arm(j)
{
    if
    :: attempt[0] == FREE -> slot[j] = 0
    :: attempt[0] != FREE && attempt[1] == FREE -> slot[j] = 1
    :: else -> slot[j] = ATTEMPTS - 1
    fi;
    attempt[slot[j]] = ARMED;
    request[slot[j]] = REQUEST(j)
}

/* Surely not sent; what was sent goes on without us. */
inline attempt_disarm(j)
{
    if
    :: slot[j] != NO_SLOT && attempt[slot[j]] == ARMED -> attempt_over(slot[j])
    :: else
    fi;
    slot[j] = NO_SLOT
}

#define AT_GATE(i) (state[i] == EW_ST_ORDER && slot[i] != NO_SLOT && attempt[slot[i]] == ARMED)
#define IS_SENT(i) (state[i] == EW_ST_ORDER && slot[i] != NO_SLOT && attempt[slot[i]] == SENT)
/* Too old: always, once somebody's quiet period counts on it. */
#define AGED(i) (stale < STALE || AWAITED(slot[i]))
