/*
 * Leases, whose an order at GlobalSign is, and giving up one that is nobody's.
 */
#include "base/hex.h"
#include "store_private.h"

void
ew_store_lease(struct ew_store *store, const char *name, const char *token, int64_t lease_ms,
               void (*done)(void *arg, enum ew_fault fault, bool mine), void *arg)
{
    struct ew_op *op = ew_op_new(store, EW_SCRIPT_LEASE, ew_on_flag, arg);

    op->done.flag = done;
    ew_op_key(op, "lease:", name);
    ew_op_text(op, token);
    ew_op_num(op, lease_ms < 1 ? 1 : lease_ms);
    ew_op_submit(op);
}

static void
on_owners(struct ew_op *op, enum ew_fault fault, const redisReply *reply)
{
    struct ew_order_owners owners = {.by_order = "", .by_key = ""};
    int64_t canary = EW_CANARY_MISSING;

    if (fault == EW_OK &&
        (!ew_reply_items(reply, 3) || !ew_reply_num(reply, 0, EW_CANARY_FOREIGN, &canary) ||
         !ew_reply_text(reply, 1, EW_MAX_REQUEST_ID, &owners.by_order) ||
         !ew_reply_text(reply, 2, EW_MAX_REQUEST_ID, &owners.by_key)))
        fault = ew_reply_bad(op);
    op->done.owners(op->arg, fault, (enum ew_canary_state)canary, fault == EW_OK ? &owners : NULL);
}

static struct ew_op *
about(struct ew_store *store, enum ew_script script, ew_op_reply *reply, const char *order_id,
      const uint8_t key[32], void *arg)
{
    struct ew_op *op = ew_op_new(store, script, reply, arg);
    char hex[65];

    ew_hex_encode(key, 32, hex);
    ew_op_key(op, "canary", "");
    ew_op_key(op, "order:", order_id);
    ew_op_key(op, "key:", hex);
    return op;
}

void
ew_store_owners(struct ew_store *store, const char *order_id, const uint8_t key[32],
                void (*done)(void *arg, enum ew_fault fault, enum ew_canary_state canary,
                             const struct ew_order_owners *owners),
                void *arg)
{
    struct ew_op *op = about(store, EW_SCRIPT_OWNERS, on_owners, order_id, key, arg);

    op->done.owners = done;
    ew_op_submit(op);
}

void
ew_store_condemn(struct ew_store *store, const char *order_id, const uint8_t key[32],
                 const struct ew_order_owners *owners, int64_t expire_ms, ew_store_moved *done,
                 void *arg)
{
    struct ew_op *op = about(store, EW_SCRIPT_CONDEMN, ew_on_moved, order_id, key, arg);

    op->done.moved = done;
    ew_op_text(op, owners->by_order);
    ew_op_text(op, owners->by_key);
    ew_op_num(op, expire_ms < 1 ? 1 : expire_ms);
    ew_op_submit(op);
}
