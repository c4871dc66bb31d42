/*
 * One request id that comes twice, in two partitions, and a Redis that may lose everything.
 *
 * The rooms `flow` and `store`: the claim, CLAIMED to CALLING, the verdicts of reconcile, duplicates
 * that wait, and the rebuild of Redis from epki.inflight and epki.certificate.state. Kafka is one
 * step here: what partition.pml shows is taken for granted, so a commit is one fenced transaction.
 */
#ifndef MOVES
#define MOVES 1 /* partitions that get another owner; the old one may not notice */
#endif
#ifndef CRASHES
#define CRASHES 0
#endif
#ifndef WIPES
#define WIPES 1
#endif
#ifndef DEBTS
#define DEBTS 1 /* writes of DONE that never reach Redis */
#endif
#ifndef LEASES
#define LEASES 0 /* rebuilds whose nonce is lost on the way */
#endif
#ifndef REBUILDERS
#define REBUILDERS 1
#endif

#define FLOWS 4 /* jobs: worker i/2, partition i%2 */
#define WORKER(i) ((i) / 2)
#define PART(i) ((i) % 2)
#define OTHER(i) (1 - PART(i))
#define REQUESTS 1
#define REQUEST(i) 0
#define ATTEMPTS 3
#define AWAITED(s) ((quiet[0] | quiet[1] | quiet[2] | quiet[3]) & (1 << s))
#define BEFORE_ACCEPT(r)

/* --- Kafka: the event's offset in each partition, the compacted topics --- */
#define EW_OFF_UNTOUCHED 0
#define EW_OFF_STARTED 1
#define EW_OFF_DONE 2
byte committed[2];
byte epoch[2];     /* of the map: raised by each adoption */
byte owner[2];     /* worker */
bool unadopted[2] = 1;
byte answers[2];
byte ordering;     /* EW_INFLIGHT_ORDERING, live: bits, by source */
bool answered;     /* a record in epki.certificate.state ... */
byte answer_source; /* ... and whose answer it is */

/* --- Redis: the request's record --- */
#define EW_REC_ABSENT 0
#define EW_REC_CLAIMED 1
#define EW_REC_CALLING 2
#define EW_REC_UNKNOWN 3
#define EW_REC_OUTCOME 4
#define EW_REC_DONE 5
byte rec, rec_source, rec_epoch;
bool mailbox;
bool canary = 1; /* and of this server's run */
byte nonce;      /* of the rebuild under way; 0: none */

/* --- a job --- */
byte job_epoch[FLOWS]; /* its run's: that of the adoption */
bool air[FLOWS];       /* an order may have been sent */
bool unsent[FLOWS];    /* its own last attempt surely was not */
bool verdict[FLOWS];   /* "none" */
byte search_canary[FLOWS]; /* the incarnation in which its quiet period began */
byte says[FLOWS];      /* its answer */
#define NOTHING 0
#define ISSUED 1
#define DUPLICATE 2
#define NO_CANARY_VALUE 15
byte looks[FLOWS]; /* at the topics, from WAIT_OTHER: epki.inflight was read */
#define LOOK_NOT 0
#define LOOK_LIVE 1
#define LOOK_NONE 2

byte moves, crashes, wipes, debts, leases;

#include "attempt.pml"

#define ALL_DONE (committed[0] == EW_OFF_DONE && committed[1] == EW_OFF_DONE)
#ifdef NO_FENCE
#define IS_FENCED(i) (0)
#else
#define IS_FENCED(i) (job_epoch[i] != epoch[PART(i)])
#endif
/* One incarnation of Redis, one value of the canary. */
#ifdef NO_CANARY
#define HAS_CANARY (1)
#else
#define HAS_CANARY (canary)
#endif
#define INCARNATION (HAS_CANARY -> wipes : NO_CANARY_VALUE)
#ifdef VERDICT_UNBOUND
#define IS_BOUND(i) (1)
#else
#define IS_BOUND(i) (search_canary[i] == wipes)
#endif

/* --- flow --- */

inline ew_verify_begin(j) { quiet[j] = 0; looks[j] = 0; ew_job_move(j, EW_ST_VERIFY) }

inline ew_reconcile_begin(j)
{
    if
    :: state[j] != EW_ST_RECONCILE -> ew_job_move(j, EW_ST_RECONCILE)
    :: else
    fi;
    verdict[j] = 0;
    search_canary[j] = INCARNATION;
    quiet_begin(j)
}

#include "ca.pml"

inline ew_job_drop(j)
{
    attempt_disarm(j);
    state[j] = EW_ST_DROPPED;
    job_epoch[j] = 0; air[j] = 0; unsent[j] = 0; verdict[j] = 0; search_canary[j] = 0;
    says[j] = 0; looks[j] = 0; quiet[j] = 0
}

inline ew_claim_begin(j) { ew_job_move(j, EW_ST_CLAIM) }

inline ew_publish(j, what) { says[j] = what; ew_job_move(j, EW_ST_PUBLISH) }

inline give_back(j) { attempt_disarm(j); unsent[j] = 1; ew_claim_begin(j) }

/* --- store: the claim's script and what its replies lead to --- */

#define IS_MINE(i) (rec != EW_REC_ABSENT && rec_source == PART(i))
#ifdef NO_EPOCH
#define IS_OUTDATED(i) (0)
#define IS_HOLDER(i) (rec_source == PART(i))
#else
#define IS_OUTDATED(i) (rec_epoch > job_epoch[i])
#define IS_HOLDER(i) (rec_source == PART(i) && rec_epoch == job_epoch[i])
#endif
#define CALLED (rec == EW_REC_CALLING || rec == EW_REC_UNKNOWN)
/* What was called or adopted is in the air, unless its own sender knows better. */
#define IN_AIR(i) \
    (CALLED -> !(unsent[i] && IS_HOLDER(i)) : (air[i] && !verdict[i] && !unsent[i]))

inline own(j, st) { rec = st; rec_source = PART(j); rec_epoch = job_epoch[j] }

inline take(j)
{
    own(j, EW_REC_CLAIMED);
    mailbox = 0;
    air[j] = 0; unsent[j] = 0; verdict[j] = 0; search_canary[j] = 0;
    ew_job_move(j, EW_ST_QUEUE)
}

inline unknown(j)
{
    if
    :: rec != EW_REC_ABSENT || HAS_CANARY -> own(j, EW_REC_UNKNOWN)
    :: else
    fi;
    air[j] = 1;
    ew_reconcile_begin(j)
}

/* Nothing new while Redis is not whole; what is in the air is looked for. */
inline no_canary(j)
{
    if
    :: air[j] && !unsent[j] -> ew_reconcile_begin(j)
    :: else
    fi
}

inline ew_store_claim(j)
{
    if
    :: IS_MINE(j) && rec == EW_REC_DONE -> ew_publish(j, NOTHING)
    :: IS_MINE(j) && rec != EW_REC_DONE && IS_OUTDATED(j) -> ew_job_drop(j)
    :: IS_MINE(j) && !IS_OUTDATED(j) && rec != EW_REC_DONE &&
       (rec == EW_REC_OUTCOME || (verdict[j] && mailbox)) ->
        own(j, EW_REC_OUTCOME); air[j] = 1; ew_verify_begin(j)
    :: rec != EW_REC_ABSENT && !IS_MINE(j) ->
        if
        :: !HAS_CANARY -> no_canary(j)
        :: HAS_CANARY && rec == EW_REC_DONE -> ew_publish(j, DUPLICATE)
        :: else -> ew_job_move(j, EW_ST_WAIT_OTHER)
        fi
    :: else ->
        if
        :: verdict[j] && !HAS_CANARY -> no_canary(j)
        :: verdict[j] && HAS_CANARY && !IS_BOUND(j) -> unknown(j)
        :: !verdict[j] && IN_AIR(j) -> unknown(j)
        :: (!verdict[j] && !IN_AIR(j) && HAS_CANARY) || (verdict[j] && HAS_CANARY && IS_BOUND(j)) ->
            take(j)
        :: else -> no_canary(j)
        fi
    fi
}

/* A claim that changes nothing is not worth a step: without the canary, nothing new. */
#define MAY_CLAIM(i) \
    (HAS_CANARY || (air[i] && !unsent[i]) || (IS_MINE(i) && (rec == EW_REC_DONE || \
     rec == EW_REC_OUTCOME || mailbox || IS_OUTDATED(i) || CALLED)))

#ifdef CALLING_NOT_AWAITED
#define MAY_SEND(i) (1)
#else
#define MAY_SEND(i) (HAS_CANARY && rec == EW_REC_CLAIMED && IS_HOLDER(i))
#endif

/* The answer of a call that was not ours alone to hear: a deposed owner leaves it in the mailbox. */
inline ew_store_outcome(source, ep)
{
    if
    :: CALLED && rec_source == source && rec_epoch <= ep -> rec = EW_REC_OUTCOME; rec_epoch = ep
    :: !CALLED && rec != EW_REC_ABSENT && rec != EW_REC_DONE && rec_source == source -> mailbox = 1
    :: CALLED && rec_source == source && rec_epoch > ep -> mailbox = 1
    :: else
    fi
}

#ifdef ONE_KEY
#define SETTLE(i) ordering = 0
#else
#define SETTLE(i) ordering = ordering & (3 - (1 << PART(i)))
#endif

proctype Flow(byte i)
{
end:
    do
    /* Adopted: the old owner's commits are refused from here on. */
    :: d_step { state[i] == EW_ST_DROPPED && owner[PART(i)] == WORKER(i) && unadopted[PART(i)] &&
                committed[PART(i)] != EW_OFF_DONE ->
                unadopted[PART(i)] = 0; epoch[PART(i)]++; job_epoch[i] = epoch[PART(i)];
                air[i] = (committed[PART(i)] == EW_OFF_STARTED);
                state[i] = EW_ST_RECEIVED; ew_job_move(i, EW_ST_LOOKUP); ew_claim_begin(i) }
    /* A deposed owner may notice at any time, or go on. */
    :: d_step { state[i] != EW_ST_DROPPED && (job_epoch[i] != epoch[PART(i)] ||
                unadopted[PART(i)]) -> ew_job_drop(i) }

    :: d_step { state[i] == EW_ST_CLAIM && MAY_CLAIM(i) -> ew_store_claim(i) }

    /* The intent: STARTED and ORDERING in one transaction; t0 is noted before. */
    :: d_step { state[i] == EW_ST_QUEUE && CAN_ARM -> ew_job_move(i, EW_ST_INTENT);
                attempt_arm(i) }
    :: d_step { state[i] == EW_ST_INTENT ->
#ifdef INTENT_IN_REDIS /* CALLING alone says it */
                air[i] = 1;
                ew_job_move(i, EW_ST_CALLING) }
#else
                if
                :: IS_FENCED(i) -> ew_job_drop(i)
                :: else ->
                    committed[PART(i)] = EW_OFF_STARTED;
#ifndef NO_ORDERING
#ifdef ONE_KEY
                    answered = 0; ordering = 1 << PART(i);
#else
                    ordering = ordering | (1 << PART(i));
#endif
#endif
                    air[i] = 1;
                    ew_job_move(i, EW_ST_CALLING)
                fi }
#endif
    /* CLAIMED to CALLING is awaited; refused means unsent. */
    :: d_step { state[i] == EW_ST_CALLING ->
                if
                :: MAY_SEND(i) -> ew_job_move(i, EW_ST_ORDER);
                    if :: rec == EW_REC_CLAIMED && IS_HOLDER(i) -> rec = EW_REC_CALLING :: else fi
                :: else -> give_back(i)
                fi }
    :: d_step { AT_GATE(i) -> attempt[slot[i]] = SENT }
    :: d_step { AT_GATE(i) && AGED(i) ->
                if :: AWAITED(slot[i]) :: else -> stale++ fi; give_back(i) }
    :: d_step { IS_SENT(i) && losses < LOSSES -> losses++; slot[i] = NO_SLOT;
                ew_reconcile_begin(i) }
    /* Redis is told of what is known, which may be lost. */
    :: d_step { state[i] == EW_ST_RECONCILE && rec == EW_REC_CALLING && IS_HOLDER(i) ->
                rec = EW_REC_UNKNOWN }
    :: d_step { state[i] == EW_ST_VERIFY && CALLED && rec_source == PART(i) ->
                ew_store_outcome(PART(i), job_epoch[i]) }

    /* Found at once; none only after the quiet period. */
    :: d_step { state[i] == EW_ST_RECONCILE && IS_FOUND(0) -> ew_verify_begin(i) }
    :: d_step { state[i] == EW_ST_RECONCILE && !shown[0] && IS_QUIET(i) -> verdict[i] = 1;
                ew_claim_begin(i) }
    :: d_step { state[i] == EW_ST_RECONCILE && IS_MINE(i) && rec == EW_REC_DONE ->
                quiet[i] = 0; ew_publish(i, NOTHING) }
    :: d_step { state[i] == EW_ST_RECONCILE && rec != EW_REC_ABSENT && rec != EW_REC_DONE &&
                (rec == EW_REC_OUTCOME || mailbox) -> ew_verify_begin(i) }

    /* A duplicate waits: for Redis, and, because Redis forgets, for Kafka. */
    :: d_step { state[i] == EW_ST_WAIT_OTHER && (rec == EW_REC_DONE || rec == EW_REC_ABSENT) ->
                looks[i] = 0; ew_claim_begin(i) }
#ifndef OWN_AWAITED /* a record of one's own, claimed by one's own zombie, answers nobody */
    :: d_step { state[i] == EW_ST_WAIT_OTHER && IS_MINE(i) -> looks[i] = 0; ew_claim_begin(i) }
#endif
#ifndef NO_LOOK
    :: d_step { state[i] == EW_ST_WAIT_OTHER && looks[i] == LOOK_NOT &&
                committed[OTHER(i)] == EW_OFF_DONE ->
                looks[i] = (ordering != 0 -> LOOK_LIVE : LOOK_NONE) }
    :: d_step { state[i] == EW_ST_WAIT_OTHER && looks[i] == LOOK_LIVE -> looks[i] = LOOK_NOT }
    :: d_step { state[i] == EW_ST_WAIT_OTHER && looks[i] == LOOK_NONE -> looks[i] = LOOK_NOT;
                assert(answered); /* else it is parked */
                ew_publish(i, DUPLICATE) }
#endif

    /* The answer: event, mark, state record and tombstone in one transaction. */
    :: d_step { state[i] == EW_ST_VERIFY -> ew_publish(i, ISSUED) }
    :: d_step { state[i] == EW_ST_PUBLISH ->
                if
                :: IS_FENCED(i) -> ew_job_drop(i)
                :: else ->
                    if
                    :: says[i] == ISSUED -> assert(orders[0] > 0); answered = 1;
                        answer_source = PART(i)
                    :: says[i] == DUPLICATE -> assert(answers[OTHER(i)] == 1)
                    :: else -> assert(answers[PART(i)] == 1)
                    fi;
                    if
                    :: says[i] != NOTHING -> answers[PART(i)]++; assert(answers[PART(i)] <= 1)
                    :: else
                    fi;
                    committed[PART(i)] = EW_OFF_DONE;
                    SETTLE(i);
                    ew_job_move(i, EW_ST_ANSWERED)
                fi }
    /* Redis last. */
    :: d_step { state[i] == EW_ST_ANSWERED ->
                if
                :: says[i] == ISSUED && rec != EW_REC_DONE ->
                    own(i, EW_REC_DONE); rec_epoch = 0; mailbox = 0
                :: else
                fi;
                ew_job_drop(i) }
    :: d_step { state[i] == EW_ST_ANSWERED && debts < DEBTS -> debts++; ew_job_drop(i) }
    od
}

/* --- a rebuild of Redis --- */
#ifdef CANARY_EARLY
#define MAY_FINISH(me) (1)
#else
#define MAY_FINISH(me) (nonce == me)
#endif
#ifdef RESTORE_UNFENCED
#define MAY_RESTORE(me) (1)
#else
#define MAY_RESTORE(me) (nonce == me)
#endif
#ifdef REBUILD_OVERWRITES
#define IS_VACANT (1)
#else
#define IS_VACANT (rec == EW_REC_ABSENT)
#endif
#ifdef RESTORE_CLAIMED
#define RESTORED EW_REC_CLAIMED
#else
#define RESTORED EW_REC_UNKNOWN
#endif

inline read_inflight() { d_step { live = ordering } }
inline read_state() { d_step { answer = answered; source = answer_source } }

inline ew_store_restore_inflight(me, from)
{
    d_step {
        if
        :: MAY_RESTORE(me) && (live & (1 << from)) && IS_VACANT ->
            rec = RESTORED; rec_source = from; rec_epoch = 0; mailbox = 0
        :: else
        fi
    }
}

inline ew_store_restore_state(me)
{
    d_step {
        if
        :: MAY_RESTORE(me) && answer && rec != EW_REC_DONE ->
            rec = EW_REC_DONE; rec_source = source; rec_epoch = 0; mailbox = 0
        :: else
        fi;
        answer = 0; source = 0; live = 0
    }
}

inline ew_store_rebuild_finish(me)
{
    d_step {
        if
        :: MAY_FINISH(me) -> canary = 1; nonce = 0
        :: else
        fi
    }
}

proctype Rebuild(byte me)
{
    byte live, source;
    bool answer;
end:
    do
    :: d_step { !canary && nonce == 0 -> nonce = me };
#ifdef CANARY_BEFORE
       ew_store_rebuild_finish(me);
#endif
       d_step { if :: nonce == me -> rec = EW_REC_ABSENT; rec_source = 0; rec_epoch = 0; mailbox = 0
                :: else fi };
#ifdef STATE_FIRST
       read_state(); read_inflight();
#else
       read_inflight();
#endif
       ew_store_restore_inflight(me, 0);
       ew_store_restore_inflight(me, 1);
#ifndef STATE_FIRST
       read_state();
#endif
       ew_store_restore_state(me);
       ew_store_rebuild_finish(me)
    od
}

/* --- faults --- */

inline move_to_other(p) { owner[p] = 1 - owner[p]; unadopted[p] = 1 }

inline crash(w)
{
    ew_job_drop(2 * w);
    ew_job_drop(2 * w + 1);
    if :: owner[0] == w -> move_to_other(0) :: else fi;
    if :: owner[1] == w -> move_to_other(1) :: else fi
}

#define LIVES(w) (state[2 * w] != EW_ST_DROPPED || state[2 * w + 1] != EW_ST_DROPPED)

proctype Faults()
{
end:
    do
    :: d_step { moves < MOVES && committed[0] != EW_OFF_DONE -> moves++; move_to_other(0) }
    :: d_step { moves < MOVES && committed[1] != EW_OFF_DONE -> moves++; move_to_other(1) }
    :: d_step { crashes < CRASHES && LIVES(0) -> crashes++; crash(0) }
    :: d_step { crashes < CRASHES && LIVES(1) -> crashes++; crash(1) }
    :: d_step { wipes < WIPES && !ALL_DONE -> wipes++; canary = 0; nonce = 0; mailbox = 0;
                rec = EW_REC_ABSENT; rec_source = 0; rec_epoch = 0 }
#ifdef NO_RUN_ID /* a promoted replica has the canary, but not the record */
    :: d_step { wipes < WIPES && !ALL_DONE -> wipes++; mailbox = 0;
                rec = EW_REC_ABSENT; rec_source = 0; rec_epoch = 0 }
#endif
    :: d_step { leases < LEASES && nonce > 0 -> leases++; nonce = 0 }
    od
}

proctype Events()
{
    d_step { ALL_DONE -> assert(answers[0] == 1 && answers[1] == 1);
             assert(answered && ordering == 0) }
}

init {
    d_step { owner[1] = 1 };
    atomic {
        run Flow(0); run Flow(1); run Flow(2); run Flow(3);
        run CA(); run Rebuild(1);
#if REBUILDERS > 1
        run Rebuild(2);
#endif
        run Faults(); run Events()
    }
}
