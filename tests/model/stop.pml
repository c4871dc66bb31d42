/*
 * A revocation that overtakes its target: it names a request that nobody has seen yet, which may
 * arrive at any time, or never. STOP is a record of epki.inflight first and a flag in Redis second,
 * beside whatever record there is. The target has two workers that may own it, and one source: what
 * leaves for the waiting room comes back under it, with an epoch of its own.
 */
#ifndef MOVES
#define MOVES 1
#endif
#ifndef CRASHES
#define CRASHES 1 /* of the worker that revokes */
#endif
#ifndef WIPES
#define WIPES 1
#endif
#ifndef FAILOVERS
#define FAILOVERS 0 /* replicas that are promoted: they have the canary, but not the record */
#endif
#ifndef LEAVES
#define LEAVES 0 /* times that the target goes into the waiting room */
#endif

#define FLOWS 2 /* the target's jobs, by worker */
#define REQUESTS 1
#define REQUEST(i) 0
#define ATTEMPTS 2
#define AWAITED(s) ((quiet[0] | quiet[1]) & (1 << s))
/* What was answered as stopped or removed before its order must never be ordered. */
#define BEFORE_ACCEPT(r) assert(!removed && !rejected)

/* --- Kafka --- */
#define EW_OFF_UNTOUCHED 0
#define EW_OFF_STARTED 1
#define EW_OFF_DONE 2
bool arrived, absent; /* the target's event is there; it will never come */
byte committed, epoch, owner;
bool unadopted = 1;
bool ordering, waiting, stop_record; /* in epki.inflight */
bool has_ordered;           /* so says WAITING */
bool answered, rejected;    /* the target, in epki.certificate.state; as stopped */
bool removed, revoked;      /* the revocation's answers: before any order; of a certificate */

/* --- Redis --- */
#define EW_REC_ABSENT 0
#define EW_REC_CLAIMED 1
#define EW_REC_CALLING 2
#define EW_REC_UNKNOWN 3
#define EW_REC_WAITING 4
#define EW_REC_DONE 5
byte rec, rec_epoch;
bool rec_ordered; /* WAITING: it was ordered */
bool stop;
#define EW_CANARY_OK 0
#define EW_CANARY_MISSING 1
#define EW_CANARY_FOREIGN 2 /* of another server's run */
byte canary = EW_CANARY_OK;
#define HAS_CANARY (canary == EW_CANARY_OK)
byte nonce;

byte job_epoch[FLOWS];
bool air[FLOWS], unsent[FLOWS], verdict[FLOWS], stopped[FLOWS];
byte search_canary[FLOWS];
#define NO_CANARY_VALUE 15

byte moves, crashes, wipes, failovers, left;
bool absent_stop; /* its STOP is committed */

#include "attempt.pml"

byte revocation = EW_ST_RECEIVED;

#define IS_FENCED(i) (job_epoch[i] != epoch)
#define THIS_REDIS (wipes + failovers)
#define INCARNATION (HAS_CANARY -> THIS_REDIS : NO_CANARY_VALUE)
#define ALL_DONE ((absent || committed == EW_OFF_DONE) && revocation == EW_ST_ANSWERED)

inline ew_verify_begin(j) { quiet[j] = 0; ew_job_move(j, EW_ST_VERIFY) }

inline ew_reconcile_begin(j)
{
    if
    :: state[j] != EW_ST_RECONCILE -> ew_job_move(j, EW_ST_RECONCILE)
    :: else
    fi;
    air[j] = 1; verdict[j] = 0; search_canary[j] = INCARNATION;
    quiet_begin(j)
}

#include "ca.pml"

inline ew_job_drop(j)
{
    attempt_disarm(j);
    state[j] = EW_ST_DROPPED;
    job_epoch[j] = 0; air[j] = 0; unsent[j] = 0; verdict[j] = 0; stopped[j] = 0;
    search_canary[j] = 0; quiet[j] = 0
}

inline give_back(j) { attempt_disarm(j); unsent[j] = 1; ew_job_move(j, EW_ST_CLAIM) }

#define IS_HOLDER(i) (rec_epoch == job_epoch[i])
#define CALLED (rec == EW_REC_CALLING || rec == EW_REC_UNKNOWN)
#define IN_AIR(i) \
    (CALLED -> !(unsent[i] && IS_HOLDER(i)) : ((rec == EW_REC_WAITING && rec_ordered) || \
                                               (air[i] && !unsent[i])))

inline unknown(j)
{
    if
    :: rec != EW_REC_ABSENT || HAS_CANARY -> rec = EW_REC_UNKNOWN; rec_epoch = job_epoch[j];
        rec_ordered = 0
    :: else
    fi;
    ew_reconcile_begin(j)
}

/* Reconcile first: a flag says nothing of what is in the air already. */
inline ew_store_claim(j)
{
    if
    :: rec == EW_REC_DONE || rec_epoch > job_epoch[j] -> ew_job_drop(j)
    :: rec != EW_REC_DONE && rec_epoch <= job_epoch[j] && !HAS_CANARY -> ew_reconcile_begin(j)
    :: else ->
        if
        :: verdict[j] && search_canary[j] != THIS_REDIS -> unknown(j)
#ifdef STOP_BEFORE_VERDICT
        :: !verdict[j] && IN_AIR(j) && !stop -> unknown(j)
#else
        :: !verdict[j] && IN_AIR(j) -> unknown(j)
#endif
        :: else ->
            if
            :: stop -> stopped[j] = 1; ew_job_move(j, EW_ST_PUBLISH)
            :: else ->
                rec = EW_REC_CLAIMED; rec_epoch = job_epoch[j]; rec_ordered = 0;
                air[j] = 0; unsent[j] = 0; verdict[j] = 0; search_canary[j] = 0;
                ew_job_move(j, EW_ST_QUEUE)
            fi
        fi
    fi
}

/* Redis is told of the room after the commit. */
inline ew_store_park(j, ordered)
{
    if
    :: rec != EW_REC_ABSENT && rec != EW_REC_DONE && rec_epoch <= job_epoch[j] ->
        rec = EW_REC_WAITING; rec_epoch = 0; rec_ordered = ordered
    :: else
    fi
}

#define MAY_LEAVE(i) (left < LEAVES && (state[i] == EW_ST_QUEUE || state[i] == EW_ST_RECONCILE))

proctype Flow(byte i)
{
    bool gone, ordered; /* it has just left, and had it ordered */
end:
    do
    :: d_step { state[i] == EW_ST_DROPPED && owner == i && unadopted && arrived &&
                committed != EW_OFF_DONE ->
                unadopted = 0; epoch++; job_epoch[i] = epoch;
                air[i] = (committed == EW_OFF_STARTED || (waiting && has_ordered));
                state[i] = EW_ST_RECEIVED; ew_job_move(i, EW_ST_LOOKUP);
                ew_job_move(i, EW_ST_CLAIM) }
    :: d_step { state[i] != EW_ST_DROPPED && (IS_FENCED(i) || unadopted) -> ew_job_drop(i);
                gone = 0; ordered = 0 }
    :: d_step { state[i] == EW_ST_CLAIM && (HAS_CANARY || (air[i] && !unsent[i])) ->
                ew_store_claim(i) }
    :: d_step { state[i] == EW_ST_QUEUE && CAN_ARM -> ew_job_move(i, EW_ST_INTENT);
                attempt_arm(i) }
    :: d_step { state[i] == EW_ST_INTENT ->
                if
                :: IS_FENCED(i) -> ew_job_drop(i)
                :: else -> committed = EW_OFF_STARTED; ordering = 1; air[i] = 1;
                    ew_job_move(i, EW_ST_CALLING)
                fi }
    :: d_step { state[i] == EW_ST_CALLING ->
                if
                :: HAS_CANARY && rec == EW_REC_CLAIMED && IS_HOLDER(i) && stop ->
                    attempt_disarm(i); stopped[i] = 1; ew_job_move(i, EW_ST_PUBLISH)
                :: HAS_CANARY && rec == EW_REC_CLAIMED && IS_HOLDER(i) && !stop ->
                    rec = EW_REC_CALLING; ew_job_move(i, EW_ST_ORDER)
                :: else -> give_back(i)
                fi }
    :: d_step { AT_GATE(i) -> attempt[slot[i]] = SENT }
    :: d_step { AT_GATE(i) && AGED(i) ->
                if :: AWAITED(slot[i]) :: else -> stale++ fi; give_back(i) }
    :: d_step { state[i] == EW_ST_RECONCILE && IS_FOUND(0) -> ew_verify_begin(i) }
    :: d_step { state[i] == EW_ST_RECONCILE && !shown[0] && IS_QUIET(i) -> verdict[i] = 1;
                ew_job_move(i, EW_ST_CLAIM) }
    /* Into the room, and back: a new run takes it from there. */
    :: d_step { MAY_LEAVE(i) ->
                ew_job_move(i, EW_ST_LEAVE);
                if
                :: IS_FENCED(i) -> ew_job_drop(i)
                :: else -> ordered = air[i] && !unsent[i]; gone = 1; left++;
                    waiting = 1; has_ordered = ordered; ordering = 0;
                    committed = EW_OFF_UNTOUCHED; unadopted = 1;
                    ew_job_move(i, EW_ST_ANSWERED)
                fi }
    :: d_step { state[i] == EW_ST_ANSWERED && gone -> ew_store_park(i, ordered);
                gone = 0; ordered = 0; ew_job_drop(i) }
    :: d_step { state[i] == EW_ST_VERIFY -> ew_job_move(i, EW_ST_PUBLISH) }
    /* Answered, so no longer to be stopped. */
    :: d_step { state[i] == EW_ST_PUBLISH ->
                if
                :: IS_FENCED(i) -> ew_job_drop(i)
                :: else ->
                    if
                    :: stopped[i] -> assert(orders[0] == 0); rejected = 1
                    :: else -> assert(orders[0] > 0)
                    fi;
                    committed = EW_OFF_DONE; ordering = 0; waiting = 0; has_ordered = 0;
                    answered = 1; stop_record = 0;
                    ew_job_move(i, EW_ST_ANSWERED)
                fi }
    :: d_step { state[i] == EW_ST_ANSWERED && !gone -> rec = EW_REC_DONE; rec_epoch = 0;
                rec_ordered = 0; stop = 0; ew_job_drop(i) }
    od
}

/* --- the revocation --- */

#ifdef STOP_WITHOUT_CANARY
#define MAY_STOP (1)
#elif defined(STOP_WITHOUT_RUN_ID)
#define MAY_STOP (canary != EW_CANARY_MISSING)
#else
#define MAY_STOP (HAS_CANARY)
#endif

/* Its own STOP, set before it crashed, counts as absent. */
#ifdef OWN_STOP_APPEARED
#define IS_ABSENT (rec == EW_REC_ABSENT && !stop)
#else
#define IS_ABSENT (rec == EW_REC_ABSENT)
#endif

inline revocation_move(to)
{
    assert(EW_STATE_MAY(revocation, to));
    revocation = to
}

inline removed_before_order()
{
    assert(orders[0] == 0);
    removed = 1;
#ifdef STOP_ENDS_WITH_REMOVED
    stop_record = 0;
#endif
    revocation_move(EW_ST_ANSWERED)
}

inline end_certificate()
{
    revoked = 1;
    if :: absent_stop -> stop_record = 0 :: else fi; /* its target appeared after all */
    revocation_move(EW_ST_REVOKE);
    revocation_move(EW_ST_PUBLISH);
    revocation_move(EW_ST_ANSWERED)
}

proctype Revocation()
{
end:
    do
    :: d_step { revocation == EW_ST_RECEIVED -> revocation_move(EW_ST_LOOKUP);
                revocation_move(EW_ST_CLAIM); revocation_move(EW_ST_WAIT_OTHER) }
    /* Not answered yet: a flag that refuses what was not sent; then its answer is awaited. */
    :: d_step { revocation == EW_ST_WAIT_OTHER && (rec == EW_REC_CLAIMED ||
                rec == EW_REC_WAITING) && HAS_CANARY && !stop -> stop = 1 }
    :: d_step { revocation == EW_ST_WAIT_OTHER && rec == EW_REC_DONE && HAS_CANARY ->
                if
                :: rejected -> revocation_move(EW_ST_REVOKE);
                    revocation_move(EW_ST_PUBLISH)
                :: else -> end_certificate()
                fi }
    /* Redis may have lost that answer: told again from the topics (worker/flow/wait.c). */
    :: d_step { revocation == EW_ST_WAIT_OTHER && rec != EW_REC_ABSENT && rec != EW_REC_DONE &&
                committed == EW_OFF_DONE && answered && !ordering && !waiting ->
                rec = EW_REC_DONE; rec_epoch = 0; rec_ordered = 0; stop = 0 }
#ifdef REDIS_FIRST
    :: d_step { revocation == EW_ST_WAIT_OTHER && rec == EW_REC_ABSENT && HAS_CANARY ->
                stop = 1;
                revocation_move(EW_ST_STOP) }
    :: d_step { revocation == EW_ST_STOP -> stop_record = 1;
                revocation_move(EW_ST_PUBLISH) }
#else
    /* Absent for so long that STOP is committed, then set where the target is still absent. */
    :: d_step { revocation == EW_ST_WAIT_OTHER && IS_ABSENT -> stop_record = 1;
                absent_stop = 1; revocation_move(EW_ST_STOP) }
#ifdef ABSENT_UNASKED
    :: d_step { revocation == EW_ST_STOP -> revocation_move(EW_ST_PUBLISH) }
#endif
    :: d_step { revocation == EW_ST_STOP && MAY_STOP ->
                if
                :: rec == EW_REC_ABSENT -> stop = 1; revocation_move(EW_ST_PUBLISH)
                :: else -> revocation_move(EW_ST_WAIT_OTHER)
                fi }
#endif
    :: d_step { revocation == EW_ST_PUBLISH -> removed_before_order() }
    :: d_step { crashes < CRASHES && revocation != EW_ST_RECEIVED &&
                revocation != EW_ST_ANSWERED -> crashes++; revocation = EW_ST_RECEIVED;
                absent_stop = 0 }
    od
}

/* STOP stands beside whatever else is restored, never in its place. */
#ifdef STOP_FORGOTTEN
#define IS_COVERED (1)
#elif defined(STOP_UNDER_ORDERING)
#define IS_COVERED (live)
#elif defined(STOP_UNDER_WAITING)
#define IS_COVERED (live_waiting)
#elif defined(STOP_UNDER_ORDERED)
#define IS_COVERED (live_waiting && live_ordered)
#else
#define IS_COVERED (0)
#endif
#ifdef STOP_OVER_WAITING
#define RESTORES_WAITING (live_waiting && !live && !live_stop)
#else
#define RESTORES_WAITING (live_waiting && !live)
#endif

inline read_inflight()
{
    d_step { live = ordering; live_waiting = waiting; live_ordered = has_ordered;
             live_stop = stop_record }
}
inline read_state() { d_step { answer = answered } }

inline ew_store_restore_inflight()
{
    d_step {
        if
        :: nonce == 1 && live && rec == EW_REC_ABSENT -> rec = EW_REC_UNKNOWN; rec_epoch = 0
        :: nonce == 1 && RESTORES_WAITING && rec == EW_REC_ABSENT ->
            rec = EW_REC_WAITING; rec_epoch = 0; rec_ordered = 1
        :: else
        fi;
        if
        :: nonce == 1 && live_stop && rec != EW_REC_DONE && !IS_COVERED -> stop = 1
        :: else
        fi;
        live = 0; live_waiting = 0; live_ordered = 0; live_stop = 0
    }
}

proctype Rebuild()
{
    bool live, live_waiting, live_ordered, live_stop, answer;
end:
    do
    :: d_step { !HAS_CANARY && nonce == 0 -> nonce = 1; canary = EW_CANARY_MISSING };
       d_step { if :: nonce == 1 -> rec = EW_REC_ABSENT; rec_epoch = 0; rec_ordered = 0; stop = 0
                :: else fi };
#ifdef STATE_FIRST
       read_state();
#endif
       read_inflight();
       ew_store_restore_inflight();
#ifndef STATE_FIRST
       read_state();
#endif
       d_step {
           if
           :: nonce == 1 && answer -> rec = EW_REC_DONE; rec_epoch = 0; rec_ordered = 0; stop = 0
           :: else
           fi;
           answer = 0
       };
       d_step { if :: nonce == 1 -> canary = EW_CANARY_OK; nonce = 0 :: else fi }
    od
}

/* --- faults --- */

inline lose_redis() { nonce = 0; stop = 0; rec = EW_REC_ABSENT; rec_epoch = 0; rec_ordered = 0 }

proctype Faults()
{
end:
    do
    :: d_step { !arrived && !absent -> arrived = 1 }
    :: d_step { !arrived && !absent -> absent = 1 }
    :: d_step { moves < MOVES && committed != EW_OFF_DONE -> moves++; owner = 1 - owner;
                unadopted = 1 }
    :: d_step { wipes < WIPES && !ALL_DONE -> wipes++; canary = EW_CANARY_MISSING; lose_redis() }
    :: d_step { failovers < FAILOVERS && !ALL_DONE && canary != EW_CANARY_MISSING -> failovers++;
                canary = EW_CANARY_FOREIGN; lose_redis() }
    od
}

proctype Events() { ALL_DONE -> assert(removed + revoked == 1) }

init {
    atomic {
        run Flow(0); run Flow(1); run CA(); run Revocation(); run Rebuild(); run Faults();
        run Events()
    }
}
