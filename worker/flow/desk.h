/*
 * One account at work: its calls in flight, its queue by class, its shared rate. A turn is one
 * call's place: asked for, granted with slot and token, ended. Knows no requests.
 */
#pragma once

#include "base/list.h"
#include "flow/flow.h"
#include "globalsign/ca.h"
#include "wire/wire.h"

struct ew_desk;

enum { EW_ACCOUNT_EVENT_MAX = 16 * 1024 };

struct ew_turn {
    struct ew_link link;
    struct ew_desk *desk; /* NULL while not asked for */
    enum ew_rate_class cls;
    bool granted;
    bool told;        /* of the pause */
    int64_t token_ms; /* boot time at which the token was granted */
    void (*go)(struct ew_turn *turn);
    void (*held)(struct ew_turn *turn, int code, const char *problem); /* the account is paused;
                                                                         the turn stays queued */
};

struct ew_desk {
    struct ew_flow *flow;
    const struct ew_account *account;
    struct ew_ca *ca;
    struct ew_rate rate;
    struct ew_list queue[EW_RATE_COUNT];
    int waiting[EW_RATE_COUNT];
    int flying[EW_RATE_COUNT];
    bool asking[EW_RATE_COUNT];
    struct ew_timer timer[EW_RATE_COUNT];
    int limit;          /* adaptive ceiling of orders in flight */
    int grown;          /* successes since the last raise */
    int least;          /* half of the limit at least_boot: orders sent before take it no lower */
    int64_t least_boot; /* when the first failed of those in the air; boot, ms */
    bool paused;
    bool accepted;                 /* GlobalSign took a call of ours, at some time */
    bool saturated[EW_RATE_COUNT]; /* the shared rate said wait, last time, to who still waits */
    bool probing;
    int code; /* why paused */
    char problem[EW_MAX_PROBLEM + 1];
    int refused_code; /* what GlobalSign last refused the account with */
    const char *refused_problem;
    int64_t ca_date_ms; /* the last Date the CA sent, and when we saw it (boot) */
    int64_t ca_date_boot;
    struct ew_turn clock_turn; /* of the query that asks for it */
    struct ew_ca_call *clock_call;
    bool clockless; /* it answered, and sent none */
    char credentials[5];
};

EW_CHECK enum ew_fault ew_desk_new(struct ew_flow *flow, const struct ew_account *account,
                                   struct ew_desk **out, struct ew_err *err);
void ew_desk_free(struct ew_desk *desk);
/* Registers the account in Redis; after start and after each return of Redis. */
void ew_desk_open(struct ew_desk *desk);

/* Queues for a slot and a token; go() comes later, never at once. */
void ew_desk_ask(struct ew_desk *desk, struct ew_turn *turn, enum ew_rate_class cls);
/* The call is over (or was never asked for, or waits): slot back, and with unsent the token. */
void ew_turn_end(struct ew_turn *turn, bool unsent);
/* What every reply teaches: date, pauses, Retry-After, the adaptive limit. */
void ew_desk_learn(struct ew_desk *desk, const struct ew_ca_reply *reply, bool was_order);
/* Publishes what happened to the account; fills in its name and the time, and logs it. */
void ew_desk_event(struct ew_desk *desk, struct ew_account_event *event);
/* The record alone, for who publishes it himself; out points into value. False: there is none. */
bool ew_desk_event_out(struct ew_desk *desk, struct ew_account_event *event, struct ew_buf *value,
                       struct ew_out *out);

/* --- ca_clock.c --- */
void ew_desk_clock_init(struct ew_desk *desk);
void ew_desk_clock_free(struct ew_desk *desk);
/* The CA's now by its own Date, 0 = never heard. */
int64_t ew_desk_ca_now(const struct ew_desk *desk);
/* What deadlines and certificates are judged by: the CA's now, which is the same for every worker;
 * our own only where the CA tells none; 0 = it is not known yet, and nothing is judged by it. */
int64_t ew_desk_now(const struct ew_desk *desk);
/* Whether that is known. If not it is asked for: no order is sent before, and who needs it for
 * anything else comes again. */
bool ew_desk_timed(struct ew_desk *desk);
int ew_desk_flying(const struct ew_desk *desk);

/* --- between desk.c (the queues) and account.c (how the account stands) --- */

/* Calls of a class that may begin now. An order's class may take slots that leave the others the
 * minimum they are waiting for. */
int ew_desk_free_slots(const struct ew_desk *desk, enum ew_rate_class cls);
/* An order that took so long was answered at now (boot, ms): a tenth less when GlobalSign
 * struggled, but not less than half for all that were in the air together; else a sixteenth more,
 * one at least, after as many as may fly, and only while at least half of them do. */
void ew_desk_adapt(struct ew_desk *desk, int64_t now, int64_t took_ms, bool struggled);
/* While the account is believed to be paused Redis is asked from time to time. */
void ew_desk_watch_pause(struct ew_desk *desk);
/* Paused: everyone in the queue is told, once. */
void ew_desk_set_paused(struct ew_desk *desk, bool paused, int code, const char *problem);
void ew_desk_tell_held(struct ew_desk *desk);
/* A query was answered, be it with an error of the query's own: the account was accepted. */
bool ew_ca_spoke(enum ew_ca_class cls);
void ew_desk_probe(struct ew_desk *desk); /* this worker's query tests the account */
/* Of some setting of the account's: about all of them the answer may be longer than is read. */
const char *ew_desk_profile(const struct ew_desk *desk);
void ew_desk_wake(struct ew_desk *desk);       /* everyone who waits asks for tokens now */
void ew_desk_look_later(struct ew_desk *desk); /* ... or once a paused account is looked at again */
void ew_desk_credentials(struct ew_desk *desk, const struct ew_buf *password);
