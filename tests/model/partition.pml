/*
 * One partition of the requests' topic, two workers, two requests of one key (offsets 0 and 1).
 *
 * What Kafka gives and what the room `kafka` makes of it: membership and its generations, snapshots,
 * adoption outside the rebalance callback, transactions that are pending between their offsets and
 * their end, an end whose answer is lost, producers made anew, workers that sleep and wake deposed.
 * Redis is left out: every claim is granted. So this is what holds without Redis.
 */
#ifndef MOVES
#define MOVES 0 /* cooperative rebalances that take the partition away */
#endif
#ifndef EXPIRIES
#define EXPIRIES 1 /* sessions that expire while their worker lives: zombies */
#endif
#ifndef CRASHES
#define CRASHES 0
#endif
#ifndef LOST_ENDS
#define LOST_ENDS 1 /* answers to EndTxn that are lost, transactions that outlive their timeout */
#endif

#define FLOWS 4 /* jobs: worker i/2, offset i%2 */
#define WORKER(i) ((i) / 2)
#define OFFSET(i) ((i) % 2)
#define REQUESTS 2
#define REQUEST(i) OFFSET(i)
#define ATTEMPTS 3
#define AWAITED(s) ((quiet[0] | quiet[1] | quiet[2] | quiet[3]) & (1 << s))
/* Write-ahead: whatever reaches the CA stands in the committed map. */
#define BEFORE_ACCEPT(r) assert(committed[r] != EW_OFF_UNTOUCHED)

#define EW_OFF_UNTOUCHED 0
#define EW_OFF_STARTED 1
#define EW_OFF_DONE 2
#define NOBODY 2

/* --- Kafka --- */
byte generation = 1;
bool member[2] = 1;
byte owner;             /* by the coordinator's assignment */
bool taking;            /* a cooperative rebalance takes the partition from its owner */
byte committed[2];      /* the map as committed */
byte epoch, sequence;   /* of that map */
bool pending[2];        /* a worker's offsets wait for the end of its transaction */
bool ending[2];         /* its EndTxn has left */
byte sent_offset[2], sent_mark[2], sent_epoch[2], sent_sequence[2];
byte sent_map[4];       /* worker w: sent_map[2w], sent_map[2w+1] */
byte answers[2];

/* --- a worker --- */
byte snapshot_generation[2]; /* 0: no member */
bool snapshot_owns[2];
bool owned[2];               /* and not being taken away */
bool adopted[2];
byte map[4];                 /* of worker w: map[2w], map[2w+1] */
byte map_epoch[2], tried[2];

/* Its committer: one item under way. */
#define IDLE 0
#define QUEUED 1
#define BUILT 2   /* by a snapshot, with a t0 */
#define OPEN 3    /* offsets are sent */
#define ENDING 4  /* EndTxn is sent */
#define ENDED 5   /* its answer, "committed", is there and unread */
#define UNKNOWN 6 /* the handle is dead, EndTxn has no answer */
#define ADOPTION 2
byte committer[2];
byte item_offset[2], item_mark[2]; /* offset: of the job, or ADOPTION */
bool item_lost[2];                 /* the ownership it belongs to is over */
byte item_generation[2];           /* of the snapshot that it was built by */

byte moves, expiries, crashes, lost_ends;

#include "attempt.pml"

#define JOB(w) (2 * (w) + item_offset[w])
#define IS_ADOPTION(w) (item_offset[w] == ADOPTION)
#define ALL_DONE (committed[0] == EW_OFF_DONE && committed[1] == EW_OFF_DONE)

/* --- flow --- */

inline ew_verify_begin(j) { ew_job_move(j, EW_ST_VERIFY) }

inline ew_reconcile_begin(j) { ew_job_move(j, EW_ST_RECONCILE); quiet_begin(j) }

#include "ca.pml"

inline ew_job_drop(j)
{
    attempt_disarm(j);
    quiet[j] = 0;
    state[j] = EW_ST_DROPPED
}

inline ew_order_queue(j) { ew_job_move(j, EW_ST_QUEUE) }

/* The map says whether an order may be in the air. */
inline ew_admit(j)
{
    state[j] = EW_ST_RECEIVED;
    ew_job_move(j, EW_ST_LOOKUP);
    ew_job_move(j, EW_ST_CLAIM);
    if
    :: map[j] == EW_OFF_STARTED -> ew_reconcile_begin(j)
    :: else -> ew_order_queue(j)
    fi
}

inline ew_kafka_commit(w, offset, mark)
{
    item_offset[w] = offset;
    item_mark[w] = mark;
    item_lost[w] = 0;
    committer[w] = QUEUED
}

/* A key's next record is admitted when its predecessor's answer has committed. */
#ifdef NO_LANE
#define IS_HEAD(i) (1)
#else
#define IS_HEAD(i) (OFFSET(i) == 0 || map[(i) - 1] == EW_OFF_DONE)
#endif

proctype Flow(byte i; byte w)
{
end:
    do
    :: d_step { state[i] == EW_ST_DROPPED && adopted[w] && owned[w] && map[i] != EW_OFF_DONE &&
                IS_HEAD(i) -> ew_admit(i) }

    /* The intent: durable before anything leaves. */
#ifdef NO_INTENT
    :: d_step { state[i] == EW_ST_QUEUE && CAN_ARM -> attempt_arm(i);
                ew_job_move(i, EW_ST_INTENT); ew_job_move(i, EW_ST_CALLING);
                ew_job_move(i, EW_ST_ORDER) }
#else
    :: d_step { state[i] == EW_ST_QUEUE && committer[w] == IDLE ->
                ew_job_move(i, EW_ST_INTENT);
                ew_kafka_commit(w, OFFSET(i), EW_OFF_STARTED) }
#endif

    /* The send gate. */
    :: d_step { AT_GATE(i) && owned[w] -> attempt[slot[i]] = SENT }
    :: d_step { AT_GATE(i) && AGED(i) ->
                if :: AWAITED(slot[i]) :: else -> stale++ fi;
                attempt_disarm(i); ew_job_move(i, EW_ST_CLAIM); ew_order_queue(i) }
    :: d_step { IS_SENT(i) && losses < LOSSES -> losses++; slot[i] = NO_SLOT;
                ew_reconcile_begin(i) }

    /* Found at once; none only after the quiet period. */
    :: d_step { state[i] == EW_ST_RECONCILE && IS_FOUND(OFFSET(i)) -> quiet[i] = 0;
                ew_verify_begin(i) }
    :: d_step { state[i] == EW_ST_RECONCILE && !shown[OFFSET(i)] && IS_QUIET(i) ->
                ew_job_move(i, EW_ST_CLAIM); ew_order_queue(i) }

    /* The answer: event and mark in one transaction. */
    :: d_step { state[i] == EW_ST_VERIFY && committer[w] == IDLE ->
                ew_job_move(i, EW_ST_PUBLISH);
#ifdef ANSWER_APART
                answers[OFFSET(i)]++; assert(answers[OFFSET(i)] <= 1);
#endif
                ew_kafka_commit(w, OFFSET(i), EW_OFF_DONE) }
    od
}

/* --- committer --- */

/* What was sent is known as long as it is pending or its outcome is being found out. */
inline txn_forget(w)
{
    if
    :: !pending[w] && (committer[w] == IDLE || committer[w] == QUEUED) ->
        sent_offset[w] = 0; sent_mark[w] = 0; sent_epoch[w] = 0; sent_sequence[w] = 0;
        sent_map[2 * w] = 0; sent_map[2 * w + 1] = 0
    :: else
    fi
}

inline item_end(w)
{
    committer[w] = IDLE;
    item_offset[w] = 0; item_mark[w] = 0; item_lost[w] = 0; item_generation[w] = 0;
    txn_forget(w)
}

/* EW_COMMIT_LOST, or an adoption that is given up. */
inline item_is_lost(w)
{
    if
    :: !IS_ADOPTION(w) && !item_lost[w] -> ew_job_drop(JOB(w))
    :: else
    fi;
    item_end(w)
}

inline item_is_committed(w)
{
    if
    :: item_lost[w] /* the job is gone */
    :: !item_lost[w] && IS_ADOPTION(w) -> adopted[w] = 1
    :: else ->
        map[JOB(w)] = item_mark[w];
        if
        :: item_mark[w] == EW_OFF_DONE -> ew_job_move(JOB(w), EW_ST_ANSWERED);
            state[JOB(w)] = EW_ST_DROPPED
        :: else -> ew_job_move(JOB(w), EW_ST_CALLING); ew_job_move(JOB(w), EW_ST_ORDER);
#ifdef T0_LATE
            attempt_arm(JOB(w))
#endif
        fi
    fi;
    item_end(w)
}

/* Surely not committed: built again, by another snapshot and with another t0. */
inline item_is_aborted(w)
{
    if
    :: !IS_ADOPTION(w) && !item_lost[w] -> attempt_disarm(JOB(w))
    :: else
    fi;
    committer[w] = QUEUED;
    txn_forget(w)
}

#define MAY_COMMIT(w) \
    (snapshot_owns[w] && !item_lost[w] && (IS_ADOPTION(w) || adopted[w]) && \
     (owned[w] || item_mark[w] == EW_OFF_DONE))
#ifdef T0_LATE
#define ARMS(w) (0)
#else
#define ARMS(w) (!IS_ADOPTION(w) && item_mark[w] == EW_OFF_STARTED)
#endif
/* The coordinator asks for member and generation, never for the partition's owner. */
#ifdef NO_SNAPSHOT
#define ACCEPTED_BY_GROUP(w) (member[w])
#else
#ifdef EMPTY_MEMBER
#define ACCEPTED_BY_GROUP(w) (!member[w] || item_generation[w] == generation)
#else
#define ACCEPTED_BY_GROUP(w) (member[w] && item_generation[w] == generation)
#endif
#endif
#ifdef UNSTABLE_READ
#define IS_STABLE (1)
#else
#define IS_STABLE (!pending[0] && !pending[1])
#endif
#ifdef NO_SEQUENCE
#define IS_THAT_ONE(w) (1)
#else
#define IS_THAT_ONE(w) (sequence == sent_sequence[w])
#endif

/* The map as this transaction would leave it. */
inline image_of(w)
{
    item_generation[w] = snapshot_generation[w];
    sent_offset[w] = item_offset[w];
    sent_mark[w] = item_mark[w];
    sent_epoch[w] = map_epoch[w];
    sent_sequence[w] = tried[w] + 1;
    sent_map[2 * w] = map[2 * w];
    sent_map[2 * w + 1] = map[2 * w + 1];
    if
    :: !IS_ADOPTION(w) -> sent_map[JOB(w)] = item_mark[w]
    :: else
    fi
}

inline send_offsets(w)
{
    pending[w] = 1;
    if :: !item_lost[w] -> tried[w]++ :: else fi;
    committer[w] = OPEN
}

proctype Committer(byte w)
{
end:
    do
    :: d_step { committer[w] == QUEUED && !MAY_COMMIT(w) -> item_is_lost(w) }
    :: d_step { committer[w] == QUEUED && MAY_COMMIT(w) && !pending[w] &&
                (!ARMS(w) || CAN_ARM) -> image_of(w);
                if :: ARMS(w) -> attempt_arm(JOB(w)) :: else fi;
                committer[w] = BUILT }
    :: d_step { committer[w] == BUILT ->
                if
                :: ACCEPTED_BY_GROUP(w) -> send_offsets(w)
                :: else -> item_is_aborted(w)
                fi }
    :: d_step { committer[w] == OPEN -> ending[w] = 1; committer[w] = ENDING }
    :: d_step { committer[w] == ENDED -> item_is_committed(w) }
    /* No answer to EndTxn: a new producer, and the committed map is read before anything else. */
    :: d_step { committer[w] == ENDING && lost_ends < LOST_ENDS -> lost_ends++;
                committer[w] = UNKNOWN }
#ifdef NO_REREAD
    :: d_step { committer[w] == UNKNOWN -> item_is_aborted(w) }
#else
    :: d_step { committer[w] == UNKNOWN && IS_STABLE && !IS_ADOPTION(w) ->
                if
                :: epoch != sent_epoch[w] -> item_is_lost(w)
                :: epoch == sent_epoch[w] && IS_THAT_ONE(w) -> item_is_committed(w)
                :: else -> item_is_aborted(w)
                fi }
    :: d_step { committer[w] == UNKNOWN && IS_ADOPTION(w) -> item_end(w) }
#endif
    od
}

/* --- the transactions' coordinator --- */

inline txn_apply(w)
{
    committed[0] = sent_map[2 * w];
    committed[1] = sent_map[2 * w + 1];
    epoch = sent_epoch[w];
    sequence = sent_sequence[w];
    if
    :: sent_offset[w] != ADOPTION && sent_mark[w] == EW_OFF_DONE ->
#ifndef ANSWER_APART
        answers[sent_offset[w]]++;
        assert(answers[sent_offset[w]] <= 1);
#endif
        assert(orders[sent_offset[w]] > 0);
        assert(sent_offset[w] == 0 || answers[0] > 0)
    :: else
    fi
}

inline txn_end(w) { pending[w] = 0; ending[w] = 0; txn_forget(w) }

/* Without a worker that waits for it, a transaction always comes to its timeout. */
#ifdef NO_TIMEOUT
#define MAY_TIME_OUT(w) (0)
#else
#define MAY_TIME_OUT(w) ((committer[w] != OPEN && committer[w] != ENDING) || lost_ends < LOST_ENDS)
#endif

proctype Coordinator(byte w)
{
end:
    do
    :: d_step { pending[w] && ending[w] -> txn_apply(w);
                if :: committer[w] == ENDING -> committer[w] = ENDED :: else fi;
                txn_end(w) }
    :: d_step { pending[w] && MAY_TIME_OUT(w) ->
                if
                :: committer[w] == OPEN || committer[w] == ENDING ->
                    lost_ends++; committer[w] = UNKNOWN
                :: else
                fi;
                txn_end(w) }
    od
}

/* --- the consumer: its rebalance callbacks, and adoption outside them --- */

inline let_go(w)
{
    snapshot_owns[w] = 0;
    owned[w] = 0;
    adopted[w] = 0;
    map[2 * w] = 0;
    map[2 * w + 1] = 0;
    map_epoch[w] = 0;
    tried[w] = 0;
    if :: committer[w] != IDLE -> item_lost[w] = 1 :: else fi;
    ew_job_drop(2 * w);
    ew_job_drop(2 * w + 1)
}

inline ew_ownership_take(w) { snapshot_generation[w] = generation }

#ifdef NO_EPOCH
#define NEXT_EPOCH epoch
#else
#define NEXT_EPOCH (epoch + 1)
#endif

/* The map as the group knows it, to be committed with a raised epoch. */
inline ew_committed_read(w)
{
    map[2 * w] = committed[0];
    map[2 * w + 1] = committed[1];
    map_epoch[w] = NEXT_EPOCH;
    tried[w] = sequence;
    ew_kafka_commit(w, ADOPTION, EW_OFF_UNTOUCHED)
}

#define HAS_CALLBACK(w) (member[w] && snapshot_generation[w] != generation)

proctype Consumer(byte w)
{
end:
    do
    /* Assigned, or kept in another generation. */
    :: d_step { HAS_CALLBACK(w) && owner == w && !taking -> ew_ownership_take(w);
                if :: !snapshot_owns[w] -> snapshot_owns[w] = 1; owned[w] = 1 :: else fi }
    :: d_step { HAS_CALLBACK(w) && owner != w -> ew_ownership_take(w) }
    /* Revoked: a snapshot to flush with, the flush (as long as it lasts), the last snapshot. */
    :: d_step { HAS_CALLBACK(w) && owner == w && taking -> ew_ownership_take(w); owned[w] = 0 }
    :: d_step { member[w] && !HAS_CALLBACK(w) && owner == w && taking -> let_go(w);
                generation++; owner = 1 - w; taking = 0 }
    /* Lost: no flush. Then it joins again. */
    :: d_step { !member[w] && snapshot_generation[w] > 0 -> let_go(w);
                snapshot_generation[w] = 0 }
    :: d_step { !member[w] && snapshot_generation[w] == 0 -> member[w] = 1; generation++ }
    /* Adoption: nothing is read of the partition before it is committed. */
    :: d_step { snapshot_owns[w] && owned[w] && !adopted[w] && committer[w] == IDLE && IS_STABLE ->
                ew_committed_read(w) }
    od
}

/* --- faults --- */

inline expire(w)
{
    member[w] = 0;
    generation++;
    if :: owner == w -> owner = 1 - w; taking = 0 :: else fi
}

inline crash(w)
{
    let_go(w);
    item_end(w);
    snapshot_generation[w] = 0;
    expire(w)
}

proctype Faults()
{
end:
    do
    :: d_step { moves < MOVES && !ALL_DONE && !taking && member[0] && member[1] -> moves++;
                taking = 1; generation++ }
    :: d_step { expiries < EXPIRIES && !ALL_DONE && member[owner] -> expiries++; expire(owner) }
    :: d_step { crashes < CRASHES && !ALL_DONE && snapshot_generation[0] > 0 -> crashes++;
                crash(0) }
    :: d_step { crashes < CRASHES && !ALL_DONE && snapshot_generation[1] > 0 -> crashes++;
                crash(1) }
    od
}

/* Nobody waits for ever: where nothing can happen any more, both events are answered. */
proctype Events() { ALL_DONE }

init {
    atomic {
        run Flow(0, 0); run Flow(1, 0); run Flow(2, 1); run Flow(3, 1);
        run Committer(0); run Committer(1);
        run Coordinator(0); run Coordinator(1);
        run Consumer(0); run Consumer(1);
        run CA(); run Faults(); run Events()
    }
}
