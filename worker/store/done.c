/*
 * Around the answer's commit: the name of its certificate before it, DONE after it. The answer is
 * in Kafka then, so these writes are a debt: they wait for Redis in a bounded queue, survive a lost
 * connection, and may be lost for good.
 */
#include <string.h>

#include "store_private.h"

enum { EXPIRE_MIN_MS = 1000 };

static struct ew_op *
owing(struct ew_store *store, enum ew_script script, ew_store_moved *done, void *arg)
{
    struct ew_op *op = ew_op_new(store, script, ew_on_moved, arg);

    op->debt = true;
    op->done.moved = done;
    return op;
}

static void
put_index(struct ew_op *op, const struct ew_done_index *index)
{
    ew_op_text(op, index->order_id);
    ew_op_issuer(op, index->issuer);
    ew_op_text(op, index->serial);
    for (size_t i = 0; i < index->key_count; i++)
        ew_op_hex(op, index->keys[i], sizeof(index->keys[i]));
}

static int64_t
expiry(const struct ew_done_index *index)
{
    return index->expire_ms < EXPIRE_MIN_MS ? EXPIRE_MIN_MS : index->expire_ms;
}

void
ew_store_certified(struct ew_store *store, const char *request_id,
                   const struct ew_done_index *index)
{
    struct ew_op *op = owing(store, EW_SCRIPT_CERTIFIED, NULL, NULL);

    ew_op_text(op, request_id);
    ew_op_num(op, expiry(index));
    ew_op_issuer(op, index->issuer);
    ew_op_text(op, index->serial);
    ew_op_submit(op);
}

void
ew_store_done(struct ew_store *store, const struct ew_holder *holder, const uint8_t digest[32],
              const struct ew_blob *state, const struct ew_done_index *index, ew_store_moved *done,
              void *arg)
{
    struct ew_op *op = owing(store, EW_SCRIPT_DONE, done, arg);

    ew_op_key(op, "request:", holder->request_id);
    ew_op_key(op, "wrapped:", holder->request_id);
    ew_op_key(op, "stop:", holder->request_id);
    ew_op_text(op, holder->request_id);
    ew_op_source(op, &holder->source);
    ew_op_hex(op, digest, 32);
    ew_op_arg(op, state->data, state->len);
    ew_op_num(op, expiry(index));
    put_index(op, index);
    ew_op_submit(op);
}

void
ew_store_rewrite(struct ew_store *store, const char *request_id, int64_t version,
                 const struct ew_blob *state, ew_store_moved *done, void *arg)
{
    struct ew_op *op = owing(store, EW_SCRIPT_REWRITE, done, arg);

    ew_op_key(op, "request:", request_id);
    ew_op_num(op, version);
    ew_op_arg(op, state->data, state->len);
    ew_op_submit(op);
}

static void
on_version(struct ew_op *op, enum ew_fault fault, const redisReply *reply)
{
    const redisReply list = {.type = REDIS_REPLY_ARRAY,
                             .elements = 1,
                             .element = (redisReply *[]){(redisReply *)(uintptr_t)reply}};
    int64_t version = 0;

    if (fault == EW_OK && !ew_reply_num(&list, 0, INT64_MAX, &version))
        fault = ew_reply_bad(op);
    op->done.version(op->arg, fault, version);
}

void
ew_store_next_version(struct ew_store *store,
                      void (*done)(void *arg, enum ew_fault fault, int64_t version), void *arg)
{
    struct ew_op *op = ew_op_new(store, EW_SCRIPT_VERSION, on_version, arg);

    op->done.version = done;
    ew_op_key(op, "version", "");
    ew_op_submit(op);
}

/* --- the same, restored from the topics --- */

void
ew_store_restore_state(struct ew_store *store, const char *nonce, const char *request_id,
                       const uint8_t digest[32], const struct ew_source *source, int64_t version,
                       const struct ew_blob *state, const struct ew_done_index *index,
                       ew_store_moved *done, void *arg)
{
    struct ew_op *op = ew_op_new(store, EW_SCRIPT_RESTORE_STATE, ew_on_moved, arg);

    op->done.moved = done;
    ew_op_key(op, "nonce", "");
    ew_op_key(op, "request:", request_id);
    ew_op_key(op, "wrapped:", request_id);
    ew_op_key(op, "stop:", request_id);
    ew_op_key(op, "version", "");
    ew_op_text(op, request_id);
    ew_op_text(op, nonce);
    ew_op_source(op, source);
    ew_op_hex(op, digest, 32);
    ew_op_arg(op, state->data, state->len);
    ew_op_num(op, expiry(index));
    ew_op_num(op, version);
    put_index(op, index);
    ew_op_submit(op);
}

static const char *
inflight_state(enum ew_inflight_kind kind)
{
    switch (kind) {
    case EW_INFLIGHT_ORDERING:
        return "unknown";
    case EW_INFLIGHT_WAITING:
        return "waiting";
    case EW_INFLIGHT_PARKED:
        return "parked";
    case EW_INFLIGHT_STOP:
        break;
    }
    return "stop";
}

void
ew_store_restore_inflight(struct ew_store *store, const char *nonce,
                          const struct ew_inflight_record *record, int64_t stop_ms,
                          ew_store_moved *done, void *arg)
{
    struct ew_op *op = ew_op_new(store, EW_SCRIPT_RESTORE_INFLIGHT, ew_on_moved, arg);
    bool stop = record->kind == EW_INFLIGHT_STOP;

    op->done.moved = done;
    ew_op_key(op, "nonce", "");
    ew_op_key(op, "request:", record->request_id);
    ew_op_key(op, "wrapped:", record->request_id);
    ew_op_key(op, "stop:", record->request_id);
    ew_op_text(op, record->request_id);
    ew_op_text(op, nonce);
    ew_op_source(op, stop ? &record->by : &record->source);
    ew_op_hex(op, record->digest, sizeof(record->digest));
    ew_op_text(op, inflight_state(record->kind));
    ew_op_num(op, record->attempt < 1 ? 1 : record->attempt);
    ew_op_text(op, record->order_id);
    ew_op_arg(op, record->wrapped_key.data, record->wrapped_key.len);
    ew_op_num(op, stop_ms < EXPIRE_MIN_MS ? EXPIRE_MIN_MS : stop_ms);
    ew_op_num(op, record->vanished);
    if (!stop && record->by.topic[0] != '\0')
        ew_op_source(op, &record->by);
    else
        ew_op_text(op, "");
    ew_op_num(op, record->ca_date_ms);
    ew_op_text(op, record->first_source == NULL ? "" : record->first_source);
    ew_op_text(op, record->lost_orders == NULL ? "" : record->lost_orders);
    ew_op_text(op, record->misfit == NULL ? "" : record->misfit);
    for (size_t i = 0; i < record->key_count; i++)
        ew_op_hex(op, record->keys[i], sizeof(record->keys[i]));
    ew_op_submit(op);
}
