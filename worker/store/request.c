/*
 * What is asked of a request record: reading it, claiming it, moving it. The rules are the
 * scripts'; here are only their arguments and replies.
 */
#include <string.h>

#include "store_private.h"

enum {
    LOOKUP_ITEMS = 1 + EW_VIEW_ITEMS,
    AWAIT_ITEMS = 2 + EW_VIEW_ITEMS,
    CLAIM_ITEMS = 4 + EW_VIEW_ITEMS,
};

static bool
read_canary(const redisReply *reply, enum ew_canary_state *out)
{
    int64_t state;

    if (!ew_reply_num(reply, 0, EW_CANARY_FOREIGN, &state))
        return false;
    *out = (enum ew_canary_state)state;
    return true;
}

static void
put_holder(struct ew_op *op, const struct ew_holder *holder, int attempt)
{
    ew_op_source(op, &holder->source);
    ew_op_num(op, holder->epoch);
    ew_op_num(op, attempt);
}

/* --- reading --- */

static void
on_lookup(struct ew_op *op, enum ew_fault fault, const redisReply *reply)
{
    struct ew_record_view view = {.order_id = ""};
    enum ew_canary_state canary = EW_CANARY_MISSING;

    if (fault == EW_OK && (!ew_reply_items(reply, LOOKUP_ITEMS) || !read_canary(reply, &canary) ||
                           !ew_reply_view(reply, 1, &view)))
        fault = ew_reply_bad(op);
    op->done.lookup(op->arg, fault, canary, fault == EW_OK ? &view : NULL);
}

void
ew_store_lookup(struct ew_store *store, const char *request_id,
                void (*done)(void *arg, enum ew_fault fault, enum ew_canary_state canary,
                             const struct ew_record_view *view),
                void *arg)
{
    struct ew_op *op = ew_op_new(store, EW_SCRIPT_LOOKUP, on_lookup, arg);

    op->done.lookup = done;
    ew_op_key(op, "canary", "");
    ew_op_key(op, "request:", request_id);
    ew_op_key(op, "stop:", request_id);
    ew_op_submit(op);
}

static void
on_awaited(struct ew_op *op, enum ew_fault fault, const redisReply *reply)
{
    struct ew_record_view view = {.order_id = ""};
    enum ew_canary_state canary = EW_CANARY_MISSING;
    int64_t circular = 0;

    if (fault == EW_OK &&
        (!ew_reply_items(reply, AWAIT_ITEMS) || !read_canary(reply, &canary) ||
         !ew_reply_num(reply, 1, 1, &circular) || !ew_reply_view(reply, 2, &view)))
        fault = ew_reply_bad(op);
    op->done.awaited(op->arg, fault, canary, fault == EW_OK ? &view : NULL, circular != 0);
}

void
ew_store_await(struct ew_store *store, const char *request_id, const char *other,
               void (*done)(void *arg, enum ew_fault fault, enum ew_canary_state canary,
                            const struct ew_record_view *view, bool circular),
               void *arg)
{
    struct ew_op *op = ew_op_new(store, EW_SCRIPT_AWAIT, on_awaited, arg);

    op->done.awaited = done;
    ew_op_key(op, "canary", "");
    ew_op_key(op, "request:", other);
    ew_op_key(op, "stop:", other);
    ew_op_key(op, "request:", request_id);
    ew_op_text(op, request_id);
    ew_op_text(op, other);
    ew_op_submit(op);
}

static void
on_found(struct ew_op *op, enum ew_fault fault, const redisReply *reply)
{
    enum ew_canary_state canary = EW_CANARY_MISSING;
    const char *id = "";

    if (fault == EW_OK && (!ew_reply_items(reply, 2) || !read_canary(reply, &canary) ||
                           !ew_reply_text(reply, 1, EW_MAX_REQUEST_ID, &id)))
        fault = ew_reply_bad(op);
    op->done.found(op->arg, fault, canary, fault == EW_OK ? id : "");
}

void
ew_store_by_order(struct ew_store *store, const char *order_id, ew_store_found *done, void *arg)
{
    struct ew_op *op = ew_op_new(store, EW_SCRIPT_FIND, on_found, arg);

    op->done.found = done;
    ew_op_key(op, "canary", "");
    ew_op_key(op, "order:", order_id);
    ew_op_submit(op);
}

void
ew_store_by_serial(struct ew_store *store, const char *issuer, const char *serial,
                   ew_store_found *done, void *arg)
{
    struct ew_op *op = ew_op_new(store, EW_SCRIPT_FIND, on_found, arg);

    op->done.found = done;
    ew_op_key(op, "canary", "");
    ew_op_issuer(op, issuer);
    ew_op_text(op, serial);
    ew_op_submit(op);
}

/* --- claiming --- */

static const char *const claimed_names[] = {
    [EW_CLAIM_YES] = "yes",
    [EW_CLAIM_RECONCILE] = "reconcile",
    [EW_CLAIM_OUTCOME] = "outcome",
    [EW_CLAIM_DONE] = "done",
    [EW_CLAIM_DUPLICATE] = "duplicate",
    [EW_CLAIM_WAIT] = "wait",
    [EW_CLAIM_PARKED] = "parked",
    [EW_CLAIM_CONFLICT] = "conflict",
    [EW_CLAIM_KEY_BUSY] = "key-busy",
    [EW_CLAIM_STOPPED] = "stopped",
    [EW_CLAIM_FENCED] = "fenced",
    [EW_CLAIM_STALE] = "stale",
    [EW_CLAIM_NO_CANARY] = "no-canary",
};

static bool
read_claimed(const redisReply *reply, enum ew_claimed *out)
{
    const char *name;

    if (!ew_reply_text(reply, 0, 16, &name))
        return false;
    for (size_t i = 0; i < sizeof(claimed_names) / sizeof(claimed_names[0]); i++) {
        if (strcmp(name, claimed_names[i]) == 0) {
            *out = (enum ew_claimed)i;
            return true;
        }
    }
    return false;
}

static void
on_claim(struct ew_op *op, enum ew_fault fault, const redisReply *reply)
{
    struct ew_claim_reply out = {.result = EW_CLAIM_NO_CANARY};

    if (fault == EW_OK &&
        (!ew_reply_items(reply, CLAIM_ITEMS) || !read_claimed(reply, &out.result) ||
         !ew_reply_text(reply, 1, EW_CANARY_MAX - 1, &out.canary) ||
         !ew_reply_blob(reply, 2, &out.wrapped) ||
         !ew_reply_text(reply, 3, EW_MAX_REQUEST_ID, &out.other) ||
         !ew_reply_view(reply, 4, &out.view)))
        fault = ew_reply_bad(op);
    op->done.claim(op->arg, fault, fault == EW_OK ? &out : NULL);
}

void
ew_store_claim(struct ew_store *store, const struct ew_claim *claim,
               void (*done)(void *arg, enum ew_fault fault, const struct ew_claim_reply *reply),
               void *arg)
{
    struct ew_op *op = ew_op_new(store, EW_SCRIPT_CLAIM, on_claim, arg);
    const char *id = claim->holder.request_id;

    op->done.claim = done;
    ew_op_key(op, "canary", "");
    ew_op_key(op, "request:", id);
    ew_op_key(op, "stop:", id);
    ew_op_key(op, "wrapped:", id);
    ew_op_text(op, id);
    ew_op_source(op, &claim->holder.source);
    ew_op_num(op, claim->holder.epoch);
    ew_op_source(op, &claim->holder.original);
    ew_op_hex(op, claim->digest, sizeof(claim->digest));
    ew_op_hex(op, claim->spki, claim->has_spki ? sizeof(claim->spki) : 0);
    ew_op_arg(op, claim->wrapped.data, claim->wrapped.len);
    ew_op_num(op, claim->adopting);
    ew_op_num(op, claim->unsent);
    ew_op_num(op, claim->verdict != NULL);
    ew_op_text(op, claim->verdict);
    ew_op_num(op, claim->discard);
    ew_op_num(op, claim->pardon);
    ew_op_submit(op);
}

/* --- moving --- */

static struct ew_op *
moving(struct ew_store *store, enum ew_script script, ew_store_moved *done, void *arg)
{
    struct ew_op *op = ew_op_new(store, script, ew_on_moved, arg);

    op->done.moved = done;
    return op;
}

void
ew_store_calling(struct ew_store *store, const struct ew_holder *holder, int attempt,
                 int64_t ca_date_ms, ew_store_moved *done, void *arg)
{
    struct ew_op *op = moving(store, EW_SCRIPT_CALLING, done, arg);

    ew_op_key(op, "canary", "");
    ew_op_key(op, "request:", holder->request_id);
    ew_op_key(op, "stop:", holder->request_id);
    put_holder(op, holder, attempt);
    ew_op_num(op, ca_date_ms);
    ew_op_submit(op);
}

void
ew_store_unknown(struct ew_store *store, const struct ew_holder *holder, int attempt,
                 ew_store_moved *done, void *arg)
{
    struct ew_op *op = moving(store, EW_SCRIPT_UNKNOWN, done, arg);

    ew_op_key(op, "request:", holder->request_id);
    put_holder(op, holder, attempt);
    ew_op_submit(op);
}

void
ew_store_outcome(struct ew_store *store, const struct ew_holder *holder, int attempt,
                 const char *order_id, const struct ew_blob *outcome, const struct ew_made_key *key,
                 ew_store_moved *done, void *arg)
{
    struct ew_op *op = moving(store, EW_SCRIPT_OUTCOME, done, arg);

    ew_op_key(op, "request:", holder->request_id);
    ew_op_key(op, "wrapped:", holder->request_id);
    put_holder(op, holder, attempt);
    ew_op_source(op, &holder->original);
    ew_op_text(op, order_id);
    ew_op_arg(op, outcome->data, outcome->len);
    ew_op_arg(op, key == NULL ? NULL : key->wrapped.data, key == NULL ? 0 : key->wrapped.len);
    ew_op_hex(op, key == NULL ? NULL : key->spki, key == NULL ? 0 : 32);
    ew_op_submit(op);
}

void
ew_store_park(struct ew_store *store, const struct ew_holder *holder, enum ew_record_state state,
              const struct ew_source *original, bool has_ordered, ew_store_moved *done, void *arg)
{
    struct ew_op *op = moving(store, EW_SCRIPT_PARK, done, arg);

    ew_op_key(op, "request:", holder->request_id);
    ew_op_key(op, "wrapped:", holder->request_id);
    ew_op_source(op, &holder->source);
    ew_op_num(op, holder->epoch);
    ew_op_text(op, state == EW_REC_PARKED ? "parked" : "waiting");
    ew_op_source(op, original);
    ew_op_num(op, has_ordered);
    ew_op_submit(op);
}

void
ew_store_losing(struct ew_store *store, const struct ew_holder *holder, int attempt,
                const char *order_id, bool unusable, ew_store_moved *done, void *arg)
{
    struct ew_op *op = moving(store, EW_SCRIPT_LOSING, done, arg);

    ew_op_key(op, "canary", "");
    ew_op_key(op, "request:", holder->request_id);
    ew_op_key(op, "wrapped:", holder->request_id);
    ew_op_source(op, &holder->source);
    ew_op_num(op, holder->epoch);
    ew_op_num(op, attempt);
    ew_op_text(op, order_id);
    ew_op_num(op, unusable);
    ew_op_num(op, EW_MAX_LOST_ORDERS);
    ew_op_text(op, holder->request_id);
    ew_op_submit(op);
}

void
ew_store_misfit(struct ew_store *store, const struct ew_holder *holder,
                const struct ew_blob *misfit, ew_store_moved *done, void *arg)
{
    struct ew_op *op = moving(store, EW_SCRIPT_MISFIT, done, arg);

    ew_op_key(op, "canary", "");
    ew_op_key(op, "request:", holder->request_id);
    ew_op_source(op, &holder->source);
    ew_op_num(op, holder->epoch);
    ew_op_source(op, &holder->original);
    ew_op_arg(op, misfit->data, misfit->len);
    ew_op_submit(op);
}

static void
on_order(struct ew_op *op, enum ew_fault fault, const redisReply *reply)
{
    enum { ANOTHERS, MINE, UNSAID };
    const char *other = "";
    int64_t mine = ANOTHERS;

    if (fault == EW_OK && (!ew_reply_items(reply, 2) || !ew_reply_num(reply, 0, UNSAID, &mine) ||
                           !ew_reply_text(reply, 1, EW_MAX_REQUEST_ID, &other)))
        fault = ew_reply_bad(op);
    if (fault == EW_OK && mine == UNSAID)
        fault = EW_RETRY;
    op->done.order(op->arg, fault, fault == EW_OK && mine == MINE, fault == EW_OK ? other : "");
}

void
ew_store_take_order(struct ew_store *store, const struct ew_holder *holder, int attempt,
                    const char *order_id,
                    void (*done)(void *arg, enum ew_fault fault, bool mine, const char *other),
                    void *arg)
{
    struct ew_op *op = ew_op_new(store, EW_SCRIPT_TAKE_ORDER, on_order, arg);

    op->done.order = done;
    ew_op_key(op, "canary", "");
    ew_op_key(op, "order:", order_id);
    ew_op_key(op, "request:", holder->request_id);
    put_holder(op, holder, attempt);
    ew_op_source(op, &holder->original);
    ew_op_text(op, holder->request_id);
    ew_op_text(op, order_id);
    ew_op_submit(op);
}

static void
on_stop(struct ew_op *op, enum ew_fault fault, const redisReply *reply)
{
    int64_t result = EW_STOP_NO_CANARY;

    if (fault == EW_OK && !ew_reply_int(reply, EW_STOP_NO_CANARY, &result))
        fault = ew_reply_bad(op);
    op->done.stop(op->arg, fault, fault == EW_OK ? (enum ew_stop_result)result : EW_STOP_NO_CANARY);
}

void
ew_store_stop(struct ew_store *store, const char *target, const struct ew_source *by,
              bool absent_only, int64_t expire_ms,
              void (*done)(void *arg, enum ew_fault fault, enum ew_stop_result result), void *arg)
{
    struct ew_op *op = ew_op_new(store, EW_SCRIPT_STOP, on_stop, arg);

    op->done.stop = done;
    ew_op_key(op, "canary", "");
    ew_op_key(op, "request:", target);
    ew_op_key(op, "stop:", target);
    ew_op_source(op, by);
    ew_op_num(op, absent_only);
    ew_op_num(op, expire_ms < 1 ? 1 : expire_ms);
    ew_op_submit(op);
}
