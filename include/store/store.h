/*
 * Redis: the index of request ids and its transitions, one Lua script each. Everything here is
 * asynchronous: done(arg, ...) comes once, on the loop, never from inside the call; texts in a
 * reply live only during the callback. Redis is a fast index and never the anchor of one-order
 * safety.
 *
 * Keys (prefix epki:v1:): canary, nonce, version, request:<id>, key:<sha256>, order:<order id>,
 * serial:<sha256 of issuer>:<serial>, wrapped:<id>, stop:<id>, account:<name>, limit:<account>,
 * lease:<name>
 * thread: loop
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "domain/outcome.h"
#include "domain/request.h"
#include "loop/loop.h"

struct ew_store;

struct ew_store_options {
    const char *url; /* redis://host:port[/db]; rediss:// needs hiredis 1.x */
    const char *user, *password_file, *ca_file; /* NULL = none */
    int timeout_ms; /* the oldest command waits so long and no reply comes: the connection goes */
};

struct ew_store_events {
    void *arg;
    void (*up)(void *arg);   /* connected (again), scripts loaded */
    void (*down)(void *arg); /* every callback under way has been told EW_RETRY */
};

/* Connects in the background and for ever (back-off with jitter). */
EW_CHECK enum ew_fault ew_store_new(struct ew_loop *loop, const struct ew_store_options *options,
                                    const struct ew_store_events *events, struct ew_store **out,
                                    struct ew_err *err);
void ew_store_free(struct ew_store *store);
bool ew_store_is_up(const struct ew_store *store);
/* Last round trip, milliseconds; -1 = none yet. */
int64_t ew_store_rtt_ms(const struct ew_store *store);

/* Blocking, for the command line: reachable, version, maxmemory-policy noeviction, not a cluster, a
 * primary, min-replicas-to-write >= 1 when replicas are attached. problem: EW_HALT = this Redis
 * must not be used as it is; EW_RETRY = it cannot be asked, or may become fit by itself. Returns
 * the number of problems. Each connection of a store is judged likewise before it is up. */
int ew_store_check(const struct ew_store_options *options,
                   void (*problem)(void *arg, const struct ew_err *err), void *arg);

/* --- the incarnation of Redis: "nonce:run-id"; only one is ever current --- */

enum { EW_CANARY_MAX = EW_MAX_CANARY + 1 };

enum ew_canary_state {
    EW_CANARY_OK,      /* there, and of this server's run id */
    EW_CANARY_MISSING, /* never written, or wiped */
    EW_CANARY_FOREIGN, /* of another run id: restarted or promoted; counts as a wipe */
};
void ew_store_canary(struct ew_store *store,
                     void (*done)(void *arg, enum ew_fault fault, enum ew_canary_state state,
                                  const char *value, bool rebuilding),
                     void *arg);
/* Blocking, for the command line. EW_REJECT when something of ours exists. */
EW_CHECK enum ew_fault ew_store_unused(const struct ew_store_options *options, struct ew_err *err);
/* First start of a deployment, blocking: writes the canary where nothing of ours exists. EW_REJECT
 * when something does. */
EW_CHECK enum ew_fault ew_store_bootstrap(const struct ew_store_options *options,
                                          struct ew_err *err);

/* Blocking, for the command line: a paused account is unverified again, so that one query of the
 * fleet tests it. changed: it was paused. */
EW_CHECK enum ew_fault ew_store_retry_account(const struct ew_store_options *options,
                                              const char *account, bool *changed,
                                              struct ew_err *err);

/* A rebuild: begin sets a nonce where none is (lease 10 s) and removes surviving request records
 * (wrapped keys stay); each restore and renew compares it; finish writes the canary if it still
 * holds. */
void ew_store_rebuild_begin(struct ew_store *store, const char *nonce,
                            void (*done)(void *arg, enum ew_fault fault, bool mine), void *arg);
void ew_store_rebuild_renew(struct ew_store *store, const char *nonce,
                            void (*done)(void *arg, enum ew_fault fault, bool mine), void *arg);
void ew_store_rebuild_finish(struct ew_store *store, const char *nonce,
                             void (*done)(void *arg, enum ew_fault fault, bool mine), void *arg);

/* --- the request record --- */

enum ew_record_state {
    EW_REC_ABSENT,
    EW_REC_CLAIMED,
    EW_REC_CALLING,
    EW_REC_UNKNOWN,
    EW_REC_OUTCOME, /* what became of it is known (the blob), its answer not yet committed */
    EW_REC_WAITING, /* in the waiting room */
    EW_REC_PARKED,
    EW_REC_DONE, /* answered; the blob is the state record */
};

/* What is known of a request id, as every reply gives it. */
struct ew_record_view {
    enum ew_record_state state;
    uint8_t digest[32];
    struct ew_source source; /* who holds it */
    uint32_t epoch;
    int attempt;
    int vanished; /* orders sent that GlobalSign never got, as their verdicts say */
    bool has_spki;
    uint8_t spki[32];       /* SHA-256 of the public key of the last attempt */
    const char *order_id;   /* "" = not known */
    struct ew_blob outcome; /* OUTCOME, DONE, or the mailbox of a deposed worker, of this attempt: a
                               state record, or what the writer of ew_store_outcome() gave */
    const char *lost_orders; /* those that we end, or have ended, for their lost keys, a blank
                                between; at most EW_MAX_LOST_TEXT bytes */
    struct ew_blob misfit;   /* the one that we end, or have ended, because it does not fit, and how
                                the request is rejected: what ew_store_misfit() gave, len 0 = none */
    int64_t ca_date_ms; /* GlobalSign's clock before the last attempt was sent, 0 = not known */
    bool stopped;       /* a STOP flag lies beside it */
    struct ew_source stopped_by;
};

void ew_store_lookup(struct ew_store *store, const char *request_id,
                     void (*done)(void *arg, enum ew_fault fault, enum ew_canary_state canary,
                                  const struct ew_record_view *view),
                     void *arg);
/* The same, by a request that awaits the other's answer: its own record says so from then on.
 * circular: the other awaits, itself or through at most 64 others, who asks. */
void ew_store_await(struct ew_store *store, const char *request_id, const char *other,
                    void (*done)(void *arg, enum ew_fault fault, enum ew_canary_state canary,
                                 const struct ew_record_view *view, bool circular),
                    void *arg);
/* request id "" = unknown. */
typedef void ew_store_found(void *arg, enum ew_fault fault, enum ew_canary_state canary,
                            const char *request_id);
void ew_store_by_order(struct ew_store *store, const char *order_id, ew_store_found *done,
                       void *arg);
void ew_store_by_serial(struct ew_store *store, const char *issuer, const char *serial,
                        ew_store_found *done, void *arg);

/* Who is asking: the source whose answer it will be, and its owner epoch. */
struct ew_holder {
    const char *request_id;
    struct ew_source source;
    struct ew_source original; /* a resume: the event it continues; topic "" otherwise */
    uint32_t epoch;
};

struct ew_claim {
    struct ew_holder holder;
    uint8_t digest[32];
    bool has_spki; /* an order with this public key will follow */
    uint8_t spki[32];
    struct ew_blob wrapped; /* worker-made key, wrapped; stored unless one is there already */
    bool adopting;          /* started in the map: take over only to reconcile */
    bool unsent;            /* we know that our own last attempt was never sent */
    bool discard;           /* what was saved of its outcome is of an order that was ended */
    bool pardon;            /* people say: once more; what vanished before no longer counts */
    const char *verdict;    /* canary value under which a "none" quiet period began ("" = there
                               was none: STALE); NULL = no verdict. Accepted, the last attempt
                               has vanished, unless it was never called or is discarded */
};

enum ew_claimed {
    EW_CLAIM_YES,       /* CLAIMED for attempt `view->attempt`; wrapped = the key to use */
    EW_CLAIM_RECONCILE, /* ours, but a call may have been made: find out first (epoch raised,
                           UNKNOWN) */
    EW_CLAIM_OUTCOME,   /* ours, and the outcome is known: publish view->outcome */
    EW_CLAIM_DONE,      /* ours, and answered, or left for the room or for people: only its mark
                           was lost */
    EW_CLAIM_DUPLICATE, /* answered for another source: view->outcome is its state record */
    EW_CLAIM_WAIT,      /* another source holds it (view->source) and is not done */
    EW_CLAIM_PARKED,    /* another source's event is parked */
    EW_CLAIM_CONFLICT,  /* the id exists with another digest */
    EW_CLAIM_KEY_BUSY,  /* the public key belongs to another request: `other` */
    EW_CLAIM_STOPPED,   /* a revocation came first: view->stopped_by */
    EW_CLAIM_FENCED,    /* a higher epoch holds it: we are a zombie */
    EW_CLAIM_STALE,     /* the verdict is of another incarnation: the quiet period begins again */
    EW_CLAIM_NO_CANARY, /* nothing new is ordered now; the view still tells what is there */
};

struct ew_claim_reply {
    enum ew_claimed result;
    struct ew_record_view view;
    struct ew_blob wrapped; /* EW_CLAIM_YES and EW_CLAIM_RECONCILE of worker-made keys */
    const char *other;      /* EW_CLAIM_KEY_BUSY */
    const char *canary;     /* the canary's value now, "" = missing */
};

void ew_store_claim(struct ew_store *store, const struct ew_claim *claim,
                    void (*done)(void *arg, enum ew_fault fault,
                                 const struct ew_claim_reply *reply),
                    void *arg);

enum ew_transition {
    EW_TR_OK,
    EW_TR_REFUSED,   /* not in the state, or not ours any more */
    EW_TR_STOPPED,   /* calling: a revocation came first */
    EW_TR_NO_CANARY, /* calling, stop, losing, misfit: not now */
    EW_TR_ANOTHERS,  /* outcome: the order is recorded for another request; nothing was saved */
};
typedef void ew_store_moved(void *arg, enum ew_fault fault, enum ew_transition result);

/* CLAIMED -> CALLING for this attempt; anything but EW_TR_OK means: do not send. ca_date_ms: what
 * GlobalSign's clock says, 0 = not known. */
void ew_store_calling(struct ew_store *store, const struct ew_holder *holder, int attempt,
                      int64_t ca_date_ms, ew_store_moved *done, void *arg);
/* -> UNKNOWN. done may be NULL, here and below where marked (*). */
void ew_store_unknown(struct ew_store *store, const struct ew_holder *holder, int attempt,
                      ew_store_moved *done, void *arg);
struct ew_made_key {
    struct ew_blob wrapped;
    const uint8_t *spki; /* 32 bytes */
};
/* Saves what became of it: by the owner -> OUTCOME; by a deposed owner -> mailbox only. Of an
 * attempt that was not the last, nothing. order_id may be "". key: the worker-made key that it was
 * ordered for, stored unless one is there already; NULL = another's. (*) */
void ew_store_outcome(struct ew_store *store, const struct ew_holder *holder, int attempt,
                      const char *order_id, const struct ew_blob *outcome,
                      const struct ew_made_key *key, ew_store_moved *done, void *arg);
/* -> WAITING or PARKED (what vanished is forgotten: people decide), under the original source.
 * has_ordered: an order may exist, so whoever takes it from there reconciles first, whatever he has
 * read. (*) */
void ew_store_park(struct ew_store *store, const struct ew_holder *holder,
                   enum ew_record_state state, const struct ew_source *original, bool has_ordered,
                   ew_store_moved *done, void *arg);

/* -> DONE after the answer's commit: writes the state record, the indexes (order id, issuer and
 * serial, key digests), their expiry, and removes the wrapped key. Best effort: bounded queue,
 * dropped beyond 10,000 waiting. (*) */
struct ew_done_index {
    const char *order_id; /* "" = none */
    const char *issuer, *serial;
    const uint8_t (*keys)[32];
    size_t key_count;
    int64_t expire_ms; /* from now */
};
/* Before that commit: whose the certificate is, by issuer and serial. Whoever reads the answer may
 * name it at once, and its worker may die between the commit and DONE. Best effort, as DONE. */
void ew_store_certified(struct ew_store *store, const char *request_id,
                        const struct ew_done_index *index);
void ew_store_done(struct ew_store *store, const struct ew_holder *holder, const uint8_t digest[32],
                   const struct ew_blob *state, const struct ew_done_index *index,
                   ew_store_moved *done, void *arg);
/* Rewrites the state record of another, answered request (its certificate was revoked): only a
 * higher version replaces a lower one. (*) */
void ew_store_rewrite(struct ew_store *store, const char *request_id, int64_t version,
                      const struct ew_blob *state, ew_store_moved *done, void *arg);

/* An order found at GlobalSign: taken for this request unless it is recorded for another one.
 * EW_RETRY as well where nobody has it and no canary stands: while Redis is rebuilt its answer may
 * follow. attempt: whose order it is, 0 = not known; the request's record tells it from then on if
 * that is its last, and its holder's. */
void ew_store_take_order(struct ew_store *store, const struct ew_holder *holder, int attempt,
                         const char *order_id,
                         void (*done)(void *arg, enum ew_fault fault, bool mine, const char *other),
                         void *arg);
/* Before an order of this attempt is ended because its key is lost: who finds it ended knows then
 * by whom. Refused where the key is there, brought back by a worker that had lost the partition;
 * unusable: one of GlobalSign's making is there, and no key. EW_TR_NO_CANARY: a Redis that is not
 * whole does not know what is there. */
void ew_store_losing(struct ew_store *store, const struct ew_holder *holder, int attempt,
                     const char *order_id, bool unusable, ew_store_moved *done, void *arg);
/* Before an order is ended because it does not fit, and before that is told: who finds it ended, or
 * does not find it, knows then how to reject its request. EW_TR_NO_CANARY: a Redis that is not
 * whole may forget it. EW_TR_REFUSED: another has the request. */
void ew_store_misfit(struct ew_store *store, const struct ew_holder *holder,
                     const struct ew_blob *misfit, ew_store_moved *done, void *arg);
/* A version for a rewrite, higher than any before. */
void ew_store_next_version(struct ew_store *store,
                           void (*done)(void *arg, enum ew_fault fault, int64_t version),
                           void *arg);

/* STOP beside whatever is there. absent_only: only if the target is absent (its own STOP
 * counts as absent); otherwise also beside CLAIMED and WAITING. expire_ms: the horizon. */
enum ew_stop_result {
    EW_STOP_SET,    /* absent before: nothing will be ordered */
    EW_STOP_BESIDE, /* set beside a record that had not been called: its flow will answer stopped */
    EW_STOP_IN_AIR, /* CALLING, UNKNOWN, OUTCOME: too late, wait for its answer */
    EW_STOP_ANSWERED, /* DONE or PARKED: nothing to stop */
    EW_STOP_NO_CANARY,
};
void ew_store_stop(struct ew_store *store, const char *target, const struct ew_source *by,
                   bool absent_only, int64_t expire_ms,
                   void (*done)(void *arg, enum ew_fault fault, enum ew_stop_result result),
                   void *arg);

/* --- orders that GlobalSign has beyond what was answered --- */

/* Work that one worker of the fleet does for all: taken where nobody has it, and prolonged by who
 * has it (the same token). It is not given back: what is left of it is the pause until the next. A
 * hint, as Redis can be wiped: whoever relies on it must be harmless beside another. */
void ew_store_lease(struct ew_store *store, const char *name, const char *token, int64_t lease_ms,
                    void (*done)(void *arg, enum ew_fault fault, bool mine), void *arg);

/* Request ids, "" = unknown. Several requests may have used the key: the last of them, and only the
 * last can be without an answer. */
struct ew_order_owners {
    const char *by_order, *by_key;
};
void ew_store_owners(struct ew_store *store, const char *order_id, const uint8_t key[32],
                     void (*done)(void *arg, enum ew_fault fault, enum ew_canary_state canary,
                                  const struct ew_order_owners *owners),
                     void *arg);
/* The order is nobody's and will be ended: no request that uses its key from now on takes it for
 * its own. EW_TR_REFUSED = the owners are others by now, or not answered. */
void ew_store_condemn(struct ew_store *store, const char *order_id, const uint8_t key[32],
                      const struct ew_order_owners *owners, int64_t expire_ms, ew_store_moved *done,
                      void *arg);

/* --- restore, during a rebuild; each compares the nonce and writes only where nothing is --- */

void ew_store_restore_state(struct ew_store *store, const char *nonce, const char *request_id,
                            const uint8_t digest[32], const struct ew_source *source,
                            int64_t version, const struct ew_blob *state,
                            const struct ew_done_index *index, ew_store_moved *done, void *arg);
/* ORDERING comes back as UNKNOWN with epoch 0, with the orders that ew_store_losing was told
 * of; WAITING and PARKED as themselves; STOP as a flag that lives for stop_ms. Of
 * several events of one request the one nearest to an order has its id; one that repeats another
 * only as long as nothing is known of that. */
void ew_store_restore_inflight(struct ew_store *store, const char *nonce,
                               const struct ew_inflight_record *record, int64_t stop_ms,
                               ew_store_moved *done, void *arg);

/* --- the account: shared rate and state, one script --- */

struct ew_rate {
    int64_t per_minute;
    int burst;
    int share[EW_RATE_COUNT]; /* percent */
};

enum ew_token {
    EW_TOKEN_GRANTED,    /* `count` of them */
    EW_TOKEN_WAIT,       /* wait_ms */
    EW_TOKEN_PAUSED,     /* the account is paused: `problem`, `code` */
    EW_TOKEN_UNVERIFIED, /* after start or a change of credentials: another worker's one query is
                            under way; wait_ms */
    EW_TOKEN_PROBE,      /* granted, and it must be a query: this worker tests the account */
};

struct ew_token_reply {
    enum ew_token result;
    int count;
    int64_t wait_ms;
    int code;
    const char *problem;
};

enum { EW_TOKENS_MAX = 64 };

/* Asks for `want` tokens (1 to EW_TOKENS_MAX) of one class; fewer may be granted. */
void ew_store_tokens(struct ew_store *store, const char *account, const struct ew_rate *rate,
                     enum ew_rate_class cls, int want,
                     void (*done)(void *arg, enum ew_fault fault,
                                  const struct ew_token_reply *reply),
                     void *arg);
/* Gives one back: the call was surely not made. */
void ew_store_refund(struct ew_store *store, const char *account, const struct ew_rate *rate,
                     enum ew_rate_class cls);
/* Everyone waits until now + delay (Retry-After). */
void ew_store_not_before(struct ew_store *store, const char *account, int64_t delay_ms);

/* credentials: a digest of user and password; a change makes a paused account unverified again.
 * changed: this call made the transition (who made it publishes it).
 *
 * The credentials of the latest store to open an account for the first time are the newest: all
 * others are refused tokens. One that opens it again, for Redis was away, changes nothing of that.
 * After a wipe, or where Redis came back without the newest, whoever opens it again first is
 * believed; if those are old credentials, they are tried once at most before the next store with
 * newer ones puts itself in their place, and a pause that they caused ends with that. */
typedef void ew_store_account_moved(void *arg, enum ew_fault fault, bool changed);
void ew_store_account_open(struct ew_store *store, const char *account, const char *credentials,
                           ew_store_account_moved *done, void *arg);
/* The query that tested the account, new or paused, was accepted. */
void ew_store_account_resumed(struct ew_store *store, const char *account,
                              ew_store_account_moved *done, void *arg);
/* The query that was to test it said nothing about it: the next one may. */
void ew_store_account_untested(struct ew_store *store, const char *account);
/* retest_ms: after that, one query of the fleet tests it (EW_TOKEN_PROBE); 0 = people resume it. */
void ew_store_account_pause(struct ew_store *store, const char *account, int code,
                            const char *problem, int64_t retest_ms, ew_store_account_moved *done,
                            void *arg);
