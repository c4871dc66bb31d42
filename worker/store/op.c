/*
 * One command under way: built, sent as EVALSHA, sent again as EVAL when the server has forgotten
 * the script, told when its connection is lost. What is owed after a commit waits for the next one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/log.h"
#include "base/memory.h"
#include "store_private.h"
#include "x509/digest.h"

enum { DEBT_PAUSE_MS = 1000 };

static void on_reply(redisAsyncContext *ac, void *data, void *privdata);

/* --- building --- */

struct ew_op *
ew_op_new(struct ew_store *store, enum ew_script script, ew_op_reply *reply, void *arg)
{
    struct ew_op *op = ew_calloc(1, sizeof(*op));

    op->store = store;
    op->script = script;
    op->reply = reply;
    op->arg = arg;
    ew_buf_init(&op->bytes, EW_OP_MAX);
    return op;
}

void
ew_op_free(struct ew_op *op)
{
    ew_link_remove(&op->link);
    ew_buf_deinit(&op->bytes);
    free(op->more);
    free(op);
}

void
ew_op_arg(struct ew_op *op, const void *data, size_t len)
{
    if (op->argc == EW_OP_ARGS || len > EW_MAX_REDIS_VALUE) {
        op->broken = true;
        return;
    }
    if (len > 0)
        ew_buf_put(&op->bytes, data, len);
    op->len[op->argc++] = len;
}

void
ew_op_key(struct ew_op *op, const char *kind, const char *name)
{
    size_t before = op->bytes.len;

    if (op->argc == EW_OP_ARGS) {
        op->broken = true;
        return;
    }
    ew_buf_puts(&op->bytes, EW_STORE_PREFIX);
    ew_buf_puts(&op->bytes, kind);
    ew_buf_puts(&op->bytes, name);
    op->len[op->argc++] = op->bytes.len - before;
    op->keys++;
}

void
ew_op_text(struct ew_op *op, const char *text)
{
    ew_op_arg(op, text, text == NULL ? 0 : strlen(text));
}

void
ew_op_num(struct ew_op *op, int64_t num)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%" PRId64, num);
    ew_op_text(op, text);
}

void
ew_op_hex(struct ew_op *op, const uint8_t *data, size_t len)
{
    char text[65] = "";

    if (len * 2 < sizeof(text))
        ew_hex_encode(data, len, text);
    ew_op_text(op, text);
}

void
ew_op_issuer(struct ew_op *op, const char *issuer)
{
    uint8_t digest[32];

    if (issuer == NULL)
        issuer = "";
    ew_sha256(issuer, strlen(issuer), digest);
    ew_op_hex(op, digest, sizeof(digest));
}

void
ew_op_source(struct ew_op *op, const struct ew_source *source)
{
    char text[EW_SOURCE_TEXT];

    ew_source_text(source, text);
    ew_op_text(op, text);
}

/* --- sending --- */

static void
lose(struct ew_op *op)
{
    struct ew_store *store = op->store;

    ew_link_remove(&op->link);
    ew_list_append(&store->lost, &op->link);
    if (!ew_timer_armed(&store->flush))
        ew_timer_start(&store->flush, 0);
}

static void
owe(struct ew_op *op)
{
    struct ew_store *store = op->store;

    if (store->freeing || store->debt_count >= EW_DEBT_MAX ||
        store->debt_bytes + op->bytes.len > EW_DEBT_BYTES) {
        lose(op);
        return;
    }
    ew_link_remove(&op->link);
    ew_list_append(&store->debt, &op->link);
    store->debt_count++;
    store->debt_bytes += op->bytes.len;
}

static bool
send_op(struct ew_op *op)
{
    struct ew_store *store = op->store;
    const char *argv[EW_OP_ARGS + 3];
    size_t argvlen[EW_OP_ARGS + 3];
    const char *at = ew_buf_text(&op->bytes);
    char keys[12];
    char *text = NULL;
    int rc;

    argv[0] = op->by_text ? "EVAL" : "EVALSHA";
    argvlen[0] = strlen(argv[0]);
    argv[1] = store->sha[op->script];
    argvlen[1] = EW_SHA1_HEX;
    if (op->by_text)
        argv[1] = text = ew_script_text(op->script, &argvlen[1]);
    argvlen[2] = (size_t)snprintf(keys, sizeof(keys), "%u", op->keys);
    argv[2] = keys;
    for (unsigned i = 0; i < op->argc; i++) {
        argv[3 + i] = at;
        argvlen[3 + i] = op->len[i];
        at += op->len[i];
    }
    op->sent_ms = ew_loop_now(store->loop);
    ew_link_remove(&op->link);
    ew_list_append(&store->flight, &op->link);
    rc = redisAsyncCommandArgv(store->ac, on_reply, op, (int)op->argc + 3, argv, argvlen);
    free(text);
    if (rc != REDIS_OK)
        return false;
    if (op->debt)
        store->debt_flying++;
    if (!ew_timer_armed(&store->deadline))
        ew_deadline_begin(store);
    return true;
}

void
ew_op_submit(struct ew_op *op)
{
    struct ew_store *store = op->store;

    if (op->broken || op->bytes.overflowed) {
        EW_LOG(EW_LOG_ERROR, "store", "a command is too large for Redis",
               EW_STR("script", ew_scripts[op->script].name), EW_INT("bytes", op->bytes.len));
        op->broken = true;
        lose(op);
    } else if (op->debt) {
        owe(op);
        ew_debt_pump(store);
    } else if (store->state != EW_LINK_UP || store->freeing || !send_op(op)) {
        lose(op);
    }
}

/* A few at a time, so that a long debt does not stand before what is asked now. */
void
ew_debt_pump(struct ew_store *store)
{
    if (ew_timer_armed(&store->debt_pause))
        return;
    while (store->state == EW_LINK_UP && store->debt_flying < EW_DEBT_WINDOW &&
           !ew_list_empty(&store->debt)) {
        struct ew_op *op = EW_CONTAINER(ew_list_first(&store->debt), struct ew_op, link);

        store->debt_count--;
        store->debt_bytes -= op->bytes.len;
        if (!send_op(op)) {
            owe(op);
            return;
        }
    }
}

/* --- replies --- */

static bool
transient(const char *error)
{
    static const char *const codes[] = {"LOADING",    "BUSY",   "READONLY", "MASTERDOWN",
                                        "NOREPLICAS", "OOM",    "MISCONF",  "CLUSTERDOWN",
                                        "TRYAGAIN",   "NOAUTH", "NOPERM",   "UNKILLABLE"};

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (strncmp(error, codes[i], strlen(codes[i])) == 0)
            return true;
    return false;
}

static enum ew_fault
judge_error(const struct ew_op *op, const char *error)
{
    bool passing = transient(error);
    struct ew_err err;

    (void)ew_fail(&err, passing ? EW_RETRY : EW_BUG, "redis-error", "%.200s", error);
    EW_LOG(passing ? EW_LOG_WARN : EW_LOG_ERROR, "store", "Redis refused a script",
           EW_STR("script", ew_scripts[op->script].name), EW_FAULT_FIELDS(&err));
    return err.fault;
}

/* Without memory or replicas Redis refuses for a while: what is owed waits, and that is said once
 * in each pause. */
static void
put_off(struct ew_op *op, const char *error)
{
    struct ew_store *store = op->store;

    if (!ew_timer_armed(&store->debt_pause)) {
        (void)judge_error(op, error);
        ew_timer_start(&store->debt_pause, DEBT_PAUSE_MS);
    }
    op->by_text = false;
    owe(op);
}

static void
finish(struct ew_op *op, enum ew_fault fault, const redisReply *reply)
{
    ew_link_remove(&op->link);
    op->reply(op, fault, reply);
    ew_op_free(op);
}

static void
on_reply(redisAsyncContext *ac, void *data, void *privdata)
{
    struct ew_op *op = privdata;
    struct ew_store *store = op->store;
    const redisReply *reply = data;
    bool readonly = false;

    (void)ac;
    if (op->debt && store->debt_flying > 0)
        store->debt_flying--;
    if (reply == NULL) { /* the connection is going away: ew_flight_lost() tells all of them */
        return;
    }
    store->silent = 0;
    store->rtt_ms = ew_loop_now(store->loop) - op->sent_ms;
    if (reply->type == REDIS_REPLY_ERROR) {
        const char *error = reply->str == NULL ? "" : reply->str;

        if (strncmp(error, "NOSCRIPT", 8) == 0 && !op->by_text) {
            op->by_text = true;
            if (store->state != EW_LINK_UP || !send_op(op))
                lose(op);
            return;
        }
        readonly = strncmp(error, "READONLY", 8) == 0;
        if (op->debt && transient(error))
            put_off(op, error);
        else
            finish(op, judge_error(op, error), NULL);
    } else {
        finish(op, EW_OK, reply);
    }
    if (readonly)
        ew_conn_kill(store, "this server has become a replica");
    else if (!store->freeing)
        ew_debt_pump(store);
}

/* --- losing --- */

void
ew_flight_lost(struct ew_store *store)
{
    struct ew_link *link;

    store->debt_flying = 0;
    while ((link = ew_list_first(&store->flight)) != NULL) {
        struct ew_op *op = EW_CONTAINER(link, struct ew_op, link);

        op->by_text = false;
        if (op->debt)
            owe(op);
        else
            lose(op);
    }
}

void
ew_lost_flush(struct ew_store *store)
{
    struct ew_link *link;

    while ((link = ew_list_first(&store->lost)) != NULL) {
        struct ew_op *op = EW_CONTAINER(link, struct ew_op, link);

        finish(op, op->broken ? EW_BUG : EW_RETRY, NULL);
    }
}
