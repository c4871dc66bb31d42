/*
 * Orders that GlobalSign has beyond what was answered: what a worker that slept too long between
 * gate and first byte, or a CA slower than promised, can leave behind. In the background one worker
 * of the fleet reads the orders of a profile and compares them with the index; one that is ours and
 * nobody's is reported and ended. Ours is what carries a public key of our records: people order in
 * the portal too, and theirs is counted and never touched.
 */
#pragma once

#include "job.h"

/* --- surplus_judge.c: what an order is, from what is known alone --- */

/* In the order of the labels of EW_METRIC_SURPLUS_JUDGED. */
enum ew_whose {
    EW_WHOSE_ENDED,     /* cancelled or revoked: whatever it was, it harms nobody */
    EW_WHOSE_NAMELESS,  /* shows no certificate: nothing to know it by yet */
    EW_WHOSE_FOREIGN,   /* no key of ours */
    EW_WHOSE_ANSWERED,  /* the one that an answer names, or whose certificate it brought */
    EW_WHOSE_IN_FLIGHT, /* of a request without an answer, which may still take it */
    EW_WHOSE_SURPLUS,   /* its key is an answered request's, and no answer names it */
    EW_WHOSE_COUNT,
};

/* A request that an order may belong to. */
struct ew_claimant {
    enum ew_record_state state; /* ABSENT = nothing is known of it (any more) */
    /* Of the certificate that its answer brought, "" = none. */
    char order_id[EW_MAX_ORDER_ID + 1], serial[EW_MAX_SERIAL + 1];
};

struct ew_sight {
    char order_id[EW_MAX_ORDER_ID + 1];
    int status; /* enum ew_ca_status */
    bool has_key;
    uint8_t key[32];
    char serial[EW_MAX_SERIAL + 1]; /* of its certificate */
};

/* by_order: who has the order's id in the index; by_key: who used its key last; NULL = nobody, and
 * they may be the same. */
enum ew_whose ew_surplus_judge(const struct ew_sight *order, const struct ew_claimant *by_order,
                               const struct ew_claimant *by_key);
/* What a state record's bytes say. ABSENT: bytes that do not decode, for they are known to nobody,
 * and an answer that says that GlobalSign knew the key before any order of the request. */
void ew_surplus_answered(const struct ew_blob *state, struct ew_claimant *out);

/* --- surplus.c --- */

/* Begins to sweep, unless time.surplus_interval_ms is 0: the first setting of an account's profile
 * stands for all that share it. */
void ew_surplus_watch(struct ew_flow *flow);
void ew_surplus_free(struct ew_surplus *surplus); /* NULL is fine */

/* --- between surplus.c and surplus_order.c --- */

enum { EW_BY_ORDER, EW_BY_KEY, EW_CLAIMS };

struct ew_claim_on {
    char id[EW_MAX_REQUEST_ID + 1]; /* "" = nobody's */
    struct ew_claimant of;
    bool doubted; /* open in Redis, which may not have heard of its answer */
};

struct ew_surplus {
    struct ew_setting_run *setting;
    struct ew_flow *flow;
    struct ew_desk *desk;
    struct ew_timer timer;
    void (*then)(struct ew_surplus *surplus); /* after the timer, or once the lease is ours */
    char lease[EW_MAX_SETTING_NAME + 80];
    char token[33];

    bool working;
    struct ew_turn turn;
    struct ew_ca_call *call;
    struct ew_windows windows;
    bool more, torn;
    size_t counts[EW_WHOSE_COUNT];

    struct ew_sight *orders; /* the part in hand */
    size_t count, at;
    struct ew_claim_on claims[EW_CLAIMS]; /* on orders[at] */
    int asked;                            /* which of them is being looked up */
    bool in_topics;                       /* ... there, not in Redis */
    int64_t judged;                       /* boot: when it was found to be a surplus */
    struct ew_end end;
    unsigned tries;
};

/* Whose orders[at] is; a surplus is ended. Then ew_surplus_next() or ew_surplus_stop(). */
void ew_surplus_look_at(struct ew_surplus *surplus);
void ew_surplus_next(struct ew_surplus *surplus, enum ew_whose whose);
/* Ends the sweep; cut_short NULL = all was seen. */
void ew_surplus_stop(struct ew_surplus *surplus, const char *cut_short);
/* then() comes if nothing is in the way and the lease is still ours; else the sweep ends. */
void ew_surplus_step(struct ew_surplus *surplus, void (*then)(struct ew_surplus *surplus));
void ew_surplus_after(struct ew_surplus *surplus, int64_t delay_ms,
                      void (*then)(struct ew_surplus *surplus));
void ew_surplus_held(struct ew_turn *turn, int code, const char *problem);
