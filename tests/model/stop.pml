/*
 * A revocation that overtakes its target: it names a request that nobody has seen yet, which may
 * arrive at any time, or never. STOP is a record of epki.inflight first and a flag in Redis second,
 * beside whatever record there is. The target has one source and two workers that may own it.
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
bool ordering, stop_record; /* in epki.inflight */
bool answered, rejected;    /* the target, in epki.certificate.state; as stopped */
bool removed, revoked;      /* the revocation's answers: before any order; of a certificate */

/* --- Redis --- */
#define EW_REC_ABSENT 0
#define EW_REC_CLAIMED 1
#define EW_REC_CALLING 2
#define EW_REC_UNKNOWN 3
#define EW_REC_DONE 4
byte rec, rec_epoch;
bool stop;
bool canary = 1;
byte nonce;

byte job_epoch[FLOWS];
bool air[FLOWS], unsent[FLOWS], verdict[FLOWS], stopped[FLOWS];
byte search_canary[FLOWS];
#define NO_CANARY_VALUE 15

byte moves, crashes, wipes;
bool absent_stop; /* its STOP is committed */

#include "attempt.pml"

byte revocation = EW_ST_RECEIVED;

#define IS_FENCED(i) (job_epoch[i] != epoch)
#define INCARNATION (canary -> wipes : NO_CANARY_VALUE)
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
#define IN_AIR(i) (CALLED -> !(unsent[i] && IS_HOLDER(i)) : (air[i] && !unsent[i]))

inline unknown(j)
{
    if
    :: rec != EW_REC_ABSENT || canary -> rec = EW_REC_UNKNOWN; rec_epoch = job_epoch[j]
    :: else
    fi;
    ew_reconcile_begin(j)
}

/* Reconcile first: a flag says nothing of what is in the air already. */
inline ew_store_claim(j)
{
    if
    :: rec == EW_REC_DONE || rec_epoch > job_epoch[j] -> ew_job_drop(j)
    :: rec != EW_REC_DONE && rec_epoch <= job_epoch[j] && !canary -> ew_reconcile_begin(j)
    :: else ->
        if
        :: verdict[j] && search_canary[j] != wipes -> unknown(j)
#ifdef STOP_BEFORE_VERDICT
        :: !verdict[j] && IN_AIR(j) && !stop -> unknown(j)
#else
        :: !verdict[j] && IN_AIR(j) -> unknown(j)
#endif
        :: else ->
            if
            :: stop -> stopped[j] = 1; ew_job_move(j, EW_ST_PUBLISH)
            :: else ->
                rec = EW_REC_CLAIMED; rec_epoch = job_epoch[j];
                air[j] = 0; unsent[j] = 0; verdict[j] = 0; search_canary[j] = 0;
                ew_job_move(j, EW_ST_QUEUE)
            fi
        fi
    fi
}

proctype Flow(byte i)
{
end:
    do
    :: d_step { state[i] == EW_ST_DROPPED && owner == i && unadopted && arrived &&
                committed != EW_OFF_DONE ->
                unadopted = 0; epoch++; job_epoch[i] = epoch;
                air[i] = (committed == EW_OFF_STARTED);
                state[i] = EW_ST_RECEIVED; ew_job_move(i, EW_ST_LOOKUP);
                ew_job_move(i, EW_ST_CLAIM) }
    :: d_step { state[i] != EW_ST_DROPPED && (IS_FENCED(i) || unadopted) -> ew_job_drop(i) }
    :: d_step { state[i] == EW_ST_CLAIM && (canary || (air[i] && !unsent[i])) ->
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
                :: canary && rec == EW_REC_CLAIMED && IS_HOLDER(i) && stop ->
                    attempt_disarm(i); stopped[i] = 1; ew_job_move(i, EW_ST_PUBLISH)
                :: canary && rec == EW_REC_CLAIMED && IS_HOLDER(i) && !stop ->
                    rec = EW_REC_CALLING; ew_job_move(i, EW_ST_ORDER)
                :: else -> give_back(i)
                fi }
    :: d_step { AT_GATE(i) -> attempt[slot[i]] = SENT }
    :: d_step { AT_GATE(i) && AGED(i) ->
                if :: AWAITED(slot[i]) :: else -> stale++ fi; give_back(i) }
    :: d_step { state[i] == EW_ST_RECONCILE && IS_FOUND(0) -> ew_verify_begin(i) }
    :: d_step { state[i] == EW_ST_RECONCILE && !shown[0] && IS_QUIET(i) -> verdict[i] = 1;
                ew_job_move(i, EW_ST_CLAIM) }
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
                    committed = EW_OFF_DONE; ordering = 0; answered = 1; stop_record = 0;
                    ew_job_move(i, EW_ST_ANSWERED)
                fi }
    :: d_step { state[i] == EW_ST_ANSWERED -> rec = EW_REC_DONE; rec_epoch = 0; stop = 0;
                ew_job_drop(i) }
    od
}

/* --- the revocation --- */

#ifdef STOP_WITHOUT_CANARY
#define MAY_STOP (1)
#else
#define MAY_STOP (canary)
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
    :: d_step { revocation == EW_ST_WAIT_OTHER && rec == EW_REC_CLAIMED && canary && !stop ->
                stop = 1 }
    :: d_step { revocation == EW_ST_WAIT_OTHER && rec == EW_REC_DONE && canary ->
                if
                :: rejected -> revocation_move(EW_ST_REVOKE);
                    revocation_move(EW_ST_PUBLISH)
                :: else -> end_certificate()
                fi }
    /* Redis may have lost that answer: told again from the topics (worker/flow/wait.c). */
    :: d_step { revocation == EW_ST_WAIT_OTHER && rec != EW_REC_ABSENT && rec != EW_REC_DONE &&
                committed == EW_OFF_DONE && answered && !ordering ->
                rec = EW_REC_DONE; rec_epoch = 0; stop = 0 }
#ifdef REDIS_FIRST
    :: d_step { revocation == EW_ST_WAIT_OTHER && rec == EW_REC_ABSENT && canary -> stop = 1;
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

proctype Rebuild()
{
    bool live, live_stop, answer;
end:
    do
    :: d_step { !canary && nonce == 0 -> nonce = 1 };
       d_step { if :: nonce == 1 -> rec = EW_REC_ABSENT; rec_epoch = 0; stop = 0 :: else fi };
       d_step { live = ordering; live_stop = stop_record };
       d_step {
           if
           :: nonce == 1 && live && rec == EW_REC_ABSENT -> rec = EW_REC_UNKNOWN; rec_epoch = 0
           :: else
           fi;
#ifndef STOP_FORGOTTEN
           if
           :: nonce == 1 && live_stop && rec != EW_REC_DONE -> stop = 1
           :: else
           fi;
#endif
           live = 0; live_stop = 0
       };
       d_step { answer = answered };
       d_step {
           if
           :: nonce == 1 && answer -> rec = EW_REC_DONE; rec_epoch = 0; stop = 0
           :: else
           fi;
           answer = 0
       };
       d_step { if :: nonce == 1 -> canary = 1; nonce = 0 :: else fi }
    od
}

proctype Faults()
{
end:
    do
    :: d_step { !arrived && !absent -> arrived = 1 }
    :: d_step { !arrived && !absent -> absent = 1 }
    :: d_step { moves < MOVES && committed != EW_OFF_DONE -> moves++; owner = 1 - owner;
                unadopted = 1 }
    :: d_step { wipes < WIPES && !ALL_DONE -> wipes++; canary = 0; nonce = 0; stop = 0;
                rec = EW_REC_ABSENT; rec_epoch = 0 }
    od
}

proctype Events() { ALL_DONE -> assert(removed + revoked == 1) }

init {
    atomic {
        run Flow(0); run Flow(1); run CA(); run Revocation(); run Rebuild(); run Faults();
        run Events()
    }
}
