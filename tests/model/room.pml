/*
 * The waiting room: a request leaves its partition as a WAITING record of epki.inflight, comes back
 * through epki.resume, may leave again, and is answered once.
 *
 * Whoever owns the partition of epki.resume follows the same partition of epki.inflight and holds what
 * is due (worker/flow/room.c). Redis may be wiped and is rebuilt. Kafka's commits are one fenced step.
 */
#ifndef MOVES
#define MOVES 1
#endif
#ifndef CRASHES
#define CRASHES 0
#endif
#ifndef WIPES
#define WIPES 1
#endif
#ifndef LEAVES
#define LEAVES 2 /* times that the request goes into the room */
#endif
#ifndef REPEATS
#define REPEATS 0 /* resume records that are published a second time */
#endif
#ifndef DUPLICATES
#define DUPLICATES 0 /* other events of the request id, which wait for its answer */
#endif

#define FLOWS 4 /* jobs: worker i/2; i%2: 0 in the requests' partition, 1 in that of epki.resume */
#define WORKER(i) ((i) / 2)
#define PART(i) ((i) % 2)
#define IS_RESUME(i) ((i) % 2 == 1)
#define REQUESTS 1
#define REQUEST(i) 0
#define ATTEMPTS 3
#define AWAITED(s) ((quiet[0] | quiet[1] | quiet[2] | quiet[3]) & (1 << s))
#define BEFORE_ACCEPT(r)

/* --- Kafka --- */
#define EW_OFF_UNTOUCHED 0
#define EW_OFF_STARTED 1
#define EW_OFF_DONE 2
byte committed;  /* the original event's offset */
byte resumed;    /* offsets of epki.resume that are done; the next one is the head of its key */
bool started;    /* ... and this is the head's mark */
byte published;  /* records in epki.resume */
bool word;       /* what the last of them says: it was ordered */
byte epoch[2], owner[2];
bool unadopted[2] = 1;
byte answers;
/* epki.inflight: under the original source, and ORDERING of resumes under their own */
#define EW_INFLIGHT_ORDERING 1
#define EW_INFLIGHT_WAITING 2
byte inflight;
bool has_ordered; /* so says WAITING */
byte left;        /* how often it has left: which WAITING that is */
byte ordering;    /* bits, by offset in epki.resume */
bool answered;

/* --- Redis --- */
#define EW_REC_ABSENT 0
#define EW_REC_CLAIMED 1
#define EW_REC_CALLING 2
#define EW_REC_UNKNOWN 3
#define EW_REC_WAITING 4
#define EW_REC_DONE 5
byte rec, rec_epoch;
byte rec_source; /* 0: the original, else 1 + offset in epki.resume */
bool rec_resumes; /* its original is written beside it */
bool rec_ordered; /* WAITING: it was ordered */
bool canary = 1;
byte nonce;

/* --- a worker's partition, and what it knows of the room --- */
byte run_epoch[FLOWS]; /* 0: not adopted */
byte head[FLOWS];      /* of epki.resume: the offset that is next */
byte due[2];           /* the WAITING record in the index; 0: none */
bool due_ordered[2];
bool whole[2];

/* --- a job --- */
bool air[FLOWS], unsent[FLOWS], verdict[FLOWS];
byte search_canary[FLOWS];
bool nothing[FLOWS]; /* it no longer waits: done without an answer */
#define NO_CANARY_VALUE 15

bool asks_state, told; /* a duplicate: nothing of its first one is in epki.inflight; answered */

byte moves, crashes, wipes, repeats;

#include "attempt.pml"

#define SOURCE(i) (IS_RESUME(i) -> 1 + head[i] : 0)
#define IS_FENCED(i) (run_epoch[i] != epoch[PART(i)])
#define INCARNATION (canary -> wipes : NO_CANARY_VALUE)
#define ALL_DONE (committed == EW_OFF_DONE && inflight == 0 && published == resumed)

inline ew_verify_begin(j) { quiet[j] = 0; ew_job_move(j, EW_ST_VERIFY) }

inline ew_reconcile_begin(j)
{
    if
    :: state[j] != EW_ST_RECONCILE -> ew_job_move(j, EW_ST_RECONCILE)
    :: else
    fi;
    air[j] = 1;
    verdict[j] = 0;
    search_canary[j] = INCARNATION;
    quiet_begin(j)
}

#include "ca.pml"

inline ew_job_end(j)
{
    attempt_disarm(j);
    state[j] = EW_ST_DROPPED;
    air[j] = 0; unsent[j] = 0; verdict[j] = 0; search_canary[j] = 0; nothing[j] = 0; quiet[j] = 0
}

inline ew_room_close(w) { due[w] = 0; due_ordered[w] = 0; whole[w] = 0 }

inline ew_run_lose(j)
{
    ew_job_end(j);
    run_epoch[j] = 0;
    head[j] = 0;
    if :: IS_RESUME(j) -> ew_room_close(WORKER(j)) :: else fi
}

inline ew_claim_begin(j) { ew_job_move(j, EW_ST_CLAIM) }

inline give_back(j) { attempt_disarm(j); unsent[j] = 1; ew_claim_begin(j) }

/* --- store --- */

/* A resume goes on with what its original or an earlier resume of it holds. */
#ifdef TAKE_NARROW
#define IS_MINE(i) (rec_source == SOURCE(i) || \
    (IS_RESUME(i) && rec_source == 0 && (rec == EW_REC_CLAIMED || rec == EW_REC_WAITING)))
#else
#ifdef RESUME_NARROW
#define IS_MINE(i) (rec_source == SOURCE(i) || (IS_RESUME(i) && rec_source == 0))
#else
#define IS_MINE(i) (rec_source == SOURCE(i) || \
    (IS_RESUME(i) && (rec_source == 0 || rec_resumes)))
#endif
#endif
#define IS_ZOMBIE(i) (!IS_RESUME(i) && (rec_resumes || rec == EW_REC_WAITING))
#define SAME_PART(i) ((rec_source == 0) == !IS_RESUME(i))
#define IS_HOLDER(i) (rec_source == SOURCE(i) && rec_epoch == run_epoch[i])
#define CALLED (rec == EW_REC_CALLING || rec == EW_REC_UNKNOWN)
#define IN_AIR(i) \
    (CALLED -> !(unsent[i] && IS_HOLDER(i)) : ((rec == EW_REC_WAITING && rec_ordered) || \
                                               (air[i] && !verdict[i] && !unsent[i])))

#ifdef WORD_OF_RESUME
#define NO_LONGER_WAITS(w) (0)
#else
#define NO_LONGER_WAITS(w) (due[w] == 0)
#endif

inline own(j, st)
{
    rec = st; rec_source = SOURCE(j); rec_resumes = IS_RESUME(j); rec_epoch = run_epoch[j];
    rec_ordered = 0
}

inline unknown(j)
{
    if
    :: rec != EW_REC_ABSENT || canary -> own(j, EW_REC_UNKNOWN)
    :: else
    fi;
    ew_reconcile_begin(j)
}

inline no_canary(j)
{
    if
    :: air[j] && !unsent[j] -> ew_reconcile_begin(j)
    :: else
    fi
}

inline take(j)
{
    own(j, EW_REC_CLAIMED);
    air[j] = 0; unsent[j] = 0; verdict[j] = 0; search_canary[j] = 0;
    ew_job_move(j, EW_ST_QUEUE)
}

inline ew_store_claim(j)
{
    if
    :: rec == EW_REC_DONE -> nothing[j] = 1;
        ew_job_move(j, EW_ST_PUBLISH)
    /* A resume goes on, or it has left: this is the original's zombie. */
    :: rec != EW_REC_DONE && IS_ZOMBIE(j) -> ew_run_lose(j)
    :: rec != EW_REC_DONE && !IS_ZOMBIE(j) && IS_MINE(j) && SAME_PART(j) &&
       rec_epoch > run_epoch[j] -> ew_run_lose(j)
    :: rec != EW_REC_DONE && rec != EW_REC_ABSENT && !IS_ZOMBIE(j) && !IS_MINE(j) && canary ->
        ew_job_move(j, EW_ST_WAIT_OTHER)
    :: else ->
        if
        :: !canary -> no_canary(j)
        :: canary && verdict[j] && search_canary[j] != wipes -> unknown(j)
        :: canary && !verdict[j] && IN_AIR(j) -> unknown(j)
        :: else -> take(j)
        fi
    fi
}

#ifdef ORIGINAL_FORGOTTEN
#define RESTORES_ORIGINAL 0
#else
#define RESTORES_ORIGINAL 1
#endif
#define MAY_CLAIM(i) (canary || (air[i] && !unsent[i]))

/* --- the room --- */

#ifdef MARK_BEFORE_ADOPTION
#define MAY_READ_ROOM(i) (owner[1] == WORKER(i))
#define ROOM_IS_WHOLE(i) (run_epoch[i] > 0 && due[WORKER(i)] > 0)
#else
#define MAY_READ_ROOM(i) (run_epoch[i] > 0)
#define ROOM_IS_WHOLE(i) (0)
#endif

/* Everything up to a watermark taken now. */
inline read_room(w)
{
    whole[w] = (run_epoch[2 * w + 1] > 0);
    if
    :: inflight == EW_INFLIGHT_WAITING -> due[w] = left; due_ordered[w] = has_ordered
    :: else -> due[w] = 0; due_ordered[w] = 0
    fi
}

inline ew_room_forget(w) { due[w] = 0; due_ordered[w] = 0 }

/* The owner's view decides, not the record of the resume. */
inline ew_resume_admit(j)
{
    state[j] = EW_ST_RECEIVED;
    air[j] = started && head[j] == resumed;
    if
    :: NO_LONGER_WAITS(WORKER(j)) -> nothing[j] = 1; ew_job_move(j, EW_ST_PUBLISH)
    :: else ->
#ifdef WORD_OF_RESUME
        air[j] = air[j] || word;
#elif !defined(NO_CARRY)
        air[j] = air[j] || due_ordered[WORKER(j)];
#endif
        ew_job_move(j, EW_ST_LOOKUP);
        ew_claim_begin(j)
    fi
}

/* --- committed together --- */

#ifdef NO_TOMBSTONE
#define SETTLE_RESUME(j) skip
#else
#define SETTLE_RESUME(j) ordering = ordering & (255 - (1 << head[j]))
#endif

inline mark_done(j)
{
    if
    :: IS_RESUME(j) -> SETTLE_RESUME(j); resumed++; head[j]++; started = 0
    :: else -> committed = EW_OFF_DONE
    fi
}

inline commit_intent(j)
{
    if
    :: IS_RESUME(j) -> started = 1; ordering = ordering | (1 << head[j])
    :: else -> committed = EW_OFF_STARTED; inflight = EW_INFLIGHT_ORDERING
    fi
}

inline commit_answer(j)
{
    if
    :: !nothing[j] ->
        assert(orders[0] > 0);
        answers++;
        assert(answers <= 1);
        answered = 1;
        inflight = 0; has_ordered = 0
    :: else
    fi;
    mark_done(j)
}

inline commit_waiting(j)
{
#ifdef TOMBSTONE_LAST /* of ORDERING, under the same key as WAITING */
    inflight = (IS_RESUME(j) -> EW_INFLIGHT_WAITING : 0);
#else
    inflight = EW_INFLIGHT_WAITING;
#endif
    has_ordered = air[j] && !unsent[j];
    left++;
    mark_done(j)
}

/* Redis is told of the room after the commit, by what holds the record. */
inline ew_store_park(j, source, ordered)
{
    if
    :: rec != EW_REC_ABSENT && rec != EW_REC_DONE &&
       (rec_source == source || rec_source == 0 || (rec_resumes && IS_RESUME(j))) &&
       !(rec_source == source && rec_epoch > run_epoch[j]) ->
        rec = EW_REC_WAITING; rec_source = 0; rec_resumes = 0; rec_epoch = 0; rec_ordered = ordered
    :: else
    fi
}

/* Else it is published again, or by who owns the partition no longer. */
#define IS_NEW(i) (published == resumed && !IS_FENCED(i))
#define MAY_LEAVE(i) \
    (left < LEAVES && (state[i] == EW_ST_QUEUE || state[i] == EW_ST_RECONCILE || \
                       state[i] == EW_ST_PENDING || state[i] == EW_ST_WAIT_OTHER))
#define MAY_SEND(i) (canary && rec == EW_REC_CLAIMED && IS_HOLDER(i))

proctype Flow(byte i)
{
    bool ordered, gone; /* of what has just committed: it left, and had it ordered */
    byte was;
end:
    do
    :: d_step { run_epoch[i] == 0 && owner[PART(i)] == WORKER(i) && unadopted[PART(i)] ->
                unadopted[PART(i)] = 0; epoch[PART(i)]++; run_epoch[i] = epoch[PART(i)];
                if
                :: IS_RESUME(i) -> head[i] = resumed
                :: !IS_RESUME(i) && committed != EW_OFF_DONE ->
                    air[i] = (committed == EW_OFF_STARTED);
                    state[i] = EW_ST_RECEIVED; ew_job_move(i, EW_ST_LOOKUP); ew_claim_begin(i)
                :: else
                fi }
    :: d_step { run_epoch[i] > 0 && (IS_FENCED(i) || unadopted[PART(i)]) -> ew_run_lose(i);
                was = 0; ordered = 0; gone = 0 }

    /* The room: read past a watermark before the first resume, followed ever after. */
    :: d_step { IS_RESUME(i) && MAY_READ_ROOM(i) && (!whole[WORKER(i)] ||
                due[WORKER(i)] != (inflight == EW_INFLIGHT_WAITING -> left : 0)) ->
                read_room(WORKER(i)) }
    :: d_step { IS_RESUME(i) && ROOM_IS_WHOLE(i) && !whole[WORKER(i)] -> whole[WORKER(i)] = 1 }
    :: d_step { IS_RESUME(i) && whole[WORKER(i)] && due[WORKER(i)] > 0 &&
                (IS_NEW(i) || repeats < REPEATS) ->
                if :: IS_NEW(i) :: else -> repeats++ fi;
                word = due_ordered[WORKER(i)]; published++ }
    :: d_step { IS_RESUME(i) && state[i] == EW_ST_DROPPED && whole[WORKER(i)] &&
                head[i] < published -> ew_resume_admit(i) }

    :: d_step { state[i] == EW_ST_CLAIM && MAY_CLAIM(i) -> ew_store_claim(i) }
    :: d_step { state[i] == EW_ST_WAIT_OTHER && (rec == EW_REC_ABSENT || rec == EW_REC_DONE ||
                IS_MINE(i)) -> ew_claim_begin(i) }

    :: d_step { state[i] == EW_ST_QUEUE && CAN_ARM -> ew_job_move(i, EW_ST_INTENT);
                attempt_arm(i) }
    :: d_step { state[i] == EW_ST_INTENT ->
                if
                :: IS_FENCED(i) -> ew_run_lose(i)
                :: else -> commit_intent(i); air[i] = 1; ew_job_move(i, EW_ST_CALLING)
                fi }
    :: d_step { state[i] == EW_ST_CALLING ->
                if
                :: MAY_SEND(i) -> rec = EW_REC_CALLING; ew_job_move(i, EW_ST_ORDER)
                :: else -> give_back(i)
                fi }
    :: d_step { AT_GATE(i) -> attempt[slot[i]] = SENT }
    :: d_step { AT_GATE(i) && AGED(i) ->
                if :: AWAITED(slot[i]) :: else -> stale++ fi; give_back(i) }

    :: d_step { state[i] == EW_ST_RECONCILE && IS_FOUND(0) -> ew_verify_begin(i) }
    :: d_step { state[i] == EW_ST_RECONCILE && shown[0] && left < LEAVES -> quiet[i] = 0;
                ew_job_move(i, EW_ST_PENDING) } /* found, not issued yet */
    :: d_step { state[i] == EW_ST_PENDING -> ew_verify_begin(i) }
    :: d_step { state[i] == EW_ST_RECONCILE && !shown[0] && IS_QUIET(i) -> verdict[i] = 1;
                ew_claim_begin(i) }
    :: d_step { state[i] == EW_ST_RECONCILE && rec == EW_REC_DONE ->
                quiet[i] = 0; nothing[i] = 1; ew_job_move(i, EW_ST_PUBLISH) }

    /* Into the room. */
    :: d_step { MAY_LEAVE(i) ->
                ew_job_move(i, EW_ST_LEAVE);
                if
                :: IS_FENCED(i) -> ew_run_lose(i)
                :: else -> was = SOURCE(i); ordered = air[i] && !unsent[i];
                    commit_waiting(i);
                    if :: IS_RESUME(i) -> ew_room_forget(WORKER(i)) :: else fi;
                    gone = 1;
                    ew_job_move(i, EW_ST_ANSWERED)
                fi }
    :: d_step { state[i] == EW_ST_ANSWERED && gone ->
                ew_store_park(i, was, ordered); was = 0; ordered = 0; gone = 0; ew_job_end(i) }

    :: d_step { state[i] == EW_ST_VERIFY -> ew_job_move(i, EW_ST_PUBLISH) }
    :: d_step { state[i] == EW_ST_PUBLISH ->
                if
                :: IS_FENCED(i) -> ew_run_lose(i)
                :: else -> commit_answer(i);
                    if :: IS_RESUME(i) && !nothing[i] -> ew_room_forget(WORKER(i)) :: else fi;
                    ew_job_move(i, EW_ST_ANSWERED)
                fi }
    :: d_step { state[i] == EW_ST_ANSWERED && !gone ->
                if
                :: !nothing[i] -> rec = EW_REC_DONE; rec_source = 0; rec_epoch = 0;
                    rec_resumes = 0; rec_ordered = 0
                :: else
                fi;
                ew_job_end(i) }
    od
}

/*
 * A duplicate that waits, in a partition of its own: for Redis, and, because Redis forgets, for the
 * topics once the offset of its first one is done. What it does where it may claim: request.pml.
 */
#ifdef DONE_IS_ANSWERED
#define IS_OVER (1)
#else
#define IS_OVER (inflight == 0 && ordering == 0)
#endif

proctype Duplicate()
{
end:
    do
    :: d_step { !told && canary && rec == EW_REC_DONE -> asks_state = 0; told = 1 }
    :: d_step { !told && !asks_state && committed == EW_OFF_DONE && IS_OVER -> asks_state = 1 }
    :: d_step { asks_state -> assert(answered); /* else it is parked */
                asks_state = 0; told = 1 }
    od
}

/* --- a rebuild of Redis --- */

proctype Rebuild()
{
    byte live, orders_live;
    bool answer;
end:
    do
    :: d_step { !canary && nonce == 0 -> nonce = 1 };
       d_step { if :: nonce == 1 -> rec = EW_REC_ABSENT; rec_source = 0; rec_resumes = 0;
                    rec_epoch = 0; rec_ordered = 0
                :: else fi };
       d_step { live = inflight; orders_live = ordering };
       /* ORDERING before WAITING; it is restored under the source that wrote it. */
       d_step {
           if
           :: nonce == 1 && rec == EW_REC_ABSENT &&
              (live == EW_INFLIGHT_ORDERING || orders_live != 0) ->
               rec = EW_REC_UNKNOWN; rec_epoch = 0;
               rec_source = (orders_live == 0 -> 0 : ((orders_live & 1) -> 1 : 
                             ((orders_live & 2) -> 2 : 3)));
               rec_resumes = RESTORES_ORIGINAL && orders_live != 0
           :: nonce == 1 && rec == EW_REC_ABSENT && live == EW_INFLIGHT_WAITING &&
              orders_live == 0 ->
               rec = EW_REC_WAITING; rec_epoch = 0; rec_source = 0; rec_ordered = 1
           :: else
           fi;
           live = 0; orders_live = 0
       };
       d_step { answer = answered };
       d_step {
           if
           :: nonce == 1 && answer -> rec = EW_REC_DONE; rec_source = 0; rec_resumes = 0;
               rec_epoch = 0; rec_ordered = 0
           :: else
           fi;
           answer = 0
       };
       d_step { if :: nonce == 1 -> canary = 1; nonce = 0 :: else fi }
    od
}

/* --- faults --- */

inline move_to_other(p) { owner[p] = 1 - owner[p]; unadopted[p] = 1 }

inline crash(w)
{
    ew_run_lose(2 * w);
    ew_run_lose(2 * w + 1);
    if :: owner[0] == w -> move_to_other(0) :: else fi;
    if :: owner[1] == w -> move_to_other(1) :: else fi
}

proctype Faults()
{
end:
    do
    :: d_step { moves < MOVES && committed != EW_OFF_DONE -> moves++; move_to_other(0) }
    :: d_step { moves < MOVES && !ALL_DONE -> moves++; move_to_other(1) }
    :: d_step { crashes < CRASHES && !ALL_DONE -> crashes++; crash(0) }
    :: d_step { crashes < CRASHES && !ALL_DONE -> crashes++; crash(1) }
    :: d_step { wipes < WIPES && !ALL_DONE -> wipes++; canary = 0; nonce = 0; rec = EW_REC_ABSENT;
                rec_source = 0; rec_resumes = 0; rec_epoch = 0; rec_ordered = 0 }
    od
}

proctype Events()
{
    d_step { ALL_DONE && (told || !DUPLICATES) ->
             assert(answers == 1 && answered); assert(answered && ordering == 0) }
}

init {
    d_step { owner[1] = 1 };
    atomic {
        run Flow(0); run Flow(1); run Flow(2); run Flow(3);
#if DUPLICATES > 0
        run Duplicate();
#endif
        run CA(); run Rebuild(); run Faults(); run Events()
    }
}
