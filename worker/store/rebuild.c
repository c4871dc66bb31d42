/*
 * Which incarnation of Redis this is, and the frame of a rebuild: the nonce, the sweep of what
 * survived, the lease, the new canary. What is restored in between is in done.c.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "store_private.h"

enum { SWEEP_COUNT = 500 };

static void
on_canary(struct ew_op *op, enum ew_fault fault, const redisReply *reply)
{
    int64_t state = EW_CANARY_MISSING, rebuilding = 0;
    const char *value = "";

    if (fault == EW_OK &&
        (!ew_reply_items(reply, 3) || !ew_reply_num(reply, 0, EW_CANARY_FOREIGN, &state) ||
         !ew_reply_text(reply, 1, EW_CANARY_MAX - 1, &value) ||
         !ew_reply_num(reply, 2, 1, &rebuilding)))
        fault = ew_reply_bad(op);
    if (fault != EW_OK)
        op->done.canary(op->arg, fault, EW_CANARY_MISSING, "", false);
    else
        op->done.canary(op->arg, EW_OK, (enum ew_canary_state)state, value, rebuilding == 1);
}

void
ew_store_canary(struct ew_store *store,
                void (*done)(void *arg, enum ew_fault fault, enum ew_canary_state state,
                             const char *value, bool rebuilding),
                void *arg)
{
    struct ew_op *op = ew_op_new(store, EW_SCRIPT_CANARY, on_canary, arg);

    op->done.canary = done;
    ew_op_key(op, "canary", "");
    ew_op_key(op, "nonce", "");
    ew_op_submit(op);
}

static void
put_nonce(struct ew_op *op, const char *nonce)
{
    size_t len = strlen(nonce);

    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)nonce[i]))
            op->broken = true; /* a colon ends it in Redis */
    if (len < 8 || len > 40)
        op->broken = true;
    ew_op_text(op, nonce);
}

/* --- begin: the nonce, then the sweep, one part after another --- */

static void sweep(struct ew_op *last, const char *cursor);

static void
on_sweep(struct ew_op *op, enum ew_fault fault, const redisReply *reply)
{
    bool ok = fault == EW_OK && reply->type == REDIS_REPLY_STRING && reply->len <= EW_MAX_CURSOR;

    if (fault == EW_OK && !ok)
        fault = ew_reply_bad(op);
    if (ok && reply->len > 0 && strcmp(reply->str, "0") != 0)
        sweep(op, reply->str);
    else
        op->done.flag(op->arg, fault, ok && reply->len > 0);
}

/* Goes on for the op whose reply is being read. */
static void
sweep(struct ew_op *last, const char *cursor)
{
    struct ew_op *op = ew_op_new(last->store, EW_SCRIPT_SWEEP, on_sweep, last->arg);

    op->done = last->done;
    op->more = last->more;
    last->more = NULL;
    ew_op_key(op, "nonce", "");
    put_nonce(op, op->more);
    ew_op_num(op, EW_LEASE_MS);
    ew_op_text(op, cursor);
    ew_op_num(op, SWEEP_COUNT);
    ew_op_submit(op);
}

static void
on_begin(struct ew_op *op, enum ew_fault fault, const redisReply *reply)
{
    int64_t mine = 0;

    if (fault == EW_OK && !ew_reply_int(reply, 1, &mine))
        fault = ew_reply_bad(op);
    if (fault == EW_OK && mine == 1)
        sweep(op, "0");
    else
        op->done.flag(op->arg, fault, false);
}

void
ew_store_rebuild_begin(struct ew_store *store, const char *nonce,
                       void (*done)(void *arg, enum ew_fault fault, bool mine), void *arg)
{
    struct ew_op *op = ew_op_new(store, EW_SCRIPT_BEGIN, on_begin, arg);

    op->done.flag = done;
    op->more = ew_strdup(nonce);
    ew_op_key(op, "canary", "");
    ew_op_key(op, "nonce", "");
    put_nonce(op, nonce);
    ew_op_num(op, EW_LEASE_MS);
    ew_op_submit(op);
}

void
ew_store_rebuild_renew(struct ew_store *store, const char *nonce,
                       void (*done)(void *arg, enum ew_fault fault, bool mine), void *arg)
{
    struct ew_op *op = ew_op_new(store, EW_SCRIPT_RENEW, ew_on_flag, arg);

    op->done.flag = done;
    ew_op_key(op, "nonce", "");
    put_nonce(op, nonce);
    ew_op_num(op, EW_LEASE_MS);
    ew_op_submit(op);
}

void
ew_store_rebuild_finish(struct ew_store *store, const char *nonce,
                        void (*done)(void *arg, enum ew_fault fault, bool mine), void *arg)
{
    struct ew_op *op = ew_op_new(store, EW_SCRIPT_FINISH, ew_on_flag, arg);

    op->done.flag = done;
    ew_op_key(op, "nonce", "");
    ew_op_key(op, "canary", "");
    put_nonce(op, nonce);
    ew_op_submit(op);
}
