/*
 * The orders: what the CA knows, for ever. Kept in memory and in orders.jsonl, one line for each
 * state, the last one counts. It knows no rules; those are the operations'.
 */
#pragma once

#include "ca.h"
#include "map.h"
#include "ops.h"

/* A point of time by the host's clock and by the simulator's. real 0: not yet. */
struct sim_moment {
    int64_t real, shown;
};

enum sim_status {
    SIM_STATUS_INITIAL = 1,
    SIM_STATUS_CANCELLED = 3,
    SIM_STATUS_ISSUED = 4,
    SIM_STATUS_CANCELLED_ISSUED = 5,
    SIM_STATUS_REVOKING = 6,
    SIM_STATUS_REVOKED = 7,
};

struct sim_order {
    char id[32];
    enum sim_op op; /* SIM_OP_NONE: placed in the portal by somebody else */
    char product[32], profile[32], licence[32];
    char *cn, *email, *unit[3];
    char *upn, *sid;
    char *surname, *given_name, *pseudonym;
    int shown_status; /* set from outside: shown instead of the real one; 0: not set */
    bool efs;
    int years;
    char spki[65]; /* of the key asked for; "" while there is none */
    struct sim_cert cert;
    bool pickup; /* waits for its user */
    bool reissued, licence_returned, saved;
    char reissue_of[32];
    /* issued may lie ahead: the certificate exists, and is shown when its time comes. */
    struct sim_moment requested, recorded, issued, cancelled, revoke_requested, revoked;
    struct sim_order *same_key; /* the one before it with this key */
    struct sim_order *same_cn;
};

struct sim_orders {
    struct sim_order **list; /* in the order of their booking */
    int64_t *latest;         /* of each place in it: no order up to there was requested later */
    size_t count, size;
    struct sim_map by_id, by_key, by_cn;
    bool picked_up;            /* there was one that waits for its user */
    struct sim_order *changed; /* as loaded: the one that was written last */
    int fd;
};

bool sim_orders_open(struct sim_orders *orders, const char *dir);
void sim_orders_close(struct sim_orders *orders);

/* A new order with its id; not known to anybody until saved. */
struct sim_order *sim_order_new(struct sim_orders *orders, int64_t shown_ms);

/* Only for one that was never saved. */
void sim_order_free(struct sim_order *order);

/* Writes the order's state; the first time also makes it known. */
void sim_order_save(struct sim_orders *orders, struct sim_order *order);

struct sim_order *sim_order_find(const struct sim_orders *orders, const char *id);

/* The newest order for a public key, or NULL. */
struct sim_order *sim_order_with_key(const struct sim_orders *orders, const char *spki);

/* The newest order for exactly this common name, or NULL. */
struct sim_order *sim_order_with_cn(const struct sim_orders *orders, const char *cn);

/* Before this place in the list none was requested at that time (the simulator's) or later. */
size_t sim_orders_from(const struct sim_orders *orders, int64_t shown_ms);

/* The state at a moment of the host's clock. 0: not visible yet. */
int sim_order_status(const struct sim_order *order, int64_t real_ms);

/* Lists it as JSON for people and tests: no certificate unless asked for. */
json_t *sim_order_json(const struct sim_order *order, int64_t real_ms, bool with_cert);
