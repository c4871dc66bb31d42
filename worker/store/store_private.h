/*
 * Inside the room: the connection, one command under way (an op), strict reading of replies.
 */
#pragma once

#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/table.h"
#include "scripts_private.h"
#include "store/store.h"

enum {
    EW_OP_ARGS = 64,             /* arguments of one command */
    EW_OP_MAX = 2 * 1024 * 1024, /* bytes of one command */
    EW_DEBT_MAX = 10000,         /* writes after commits that wait for Redis */
    EW_DEBT_BYTES = 64 * 1024 * 1024,
    EW_DEBT_WINDOW = 64,       /* of them under way */
    EW_LEASE_MS = 10000,       /* of a rebuild's nonce */
    EW_PROBE_LEASE_MS = 60000, /* of the one query that tests an account */
    EW_SOURCE_TEXT = 288,      /* "topic/partition/offset" */
    EW_SHA1_HEX = 40,
};

struct ew_url {
    char host[EW_MAX_HOST + 1];
    char port[8];
    int db;
    bool tls;
};

/* hiredis takes its memory from us. Before each connection, for the first of them. */
void ew_store_init_library(void);

/* redis://[//]host[:port][/db], rediss:// likewise; no user or password in it. */
EW_CHECK enum ew_fault ew_url_parse(const char *url, struct ew_url *out, struct ew_err *err);
int ew_url_port(const struct ew_url *url);
/* The first line of the file. Wipe with ew_buf_deinit. */
EW_CHECK enum ew_fault ew_password_read(const char *path, struct ew_buf *out, struct ew_err *err);

struct ew_op;
/* reply NULL when fault is not EW_OK. Comes once. */
typedef void ew_op_reply(struct ew_op *op, enum ew_fault fault, const redisReply *reply);

/* The caller's callback, by its type. */
union ew_done {
    void (*canary)(void *, enum ew_fault, enum ew_canary_state, const char *, bool);
    void (*flag)(void *, enum ew_fault, bool);
    void (*lookup)(void *, enum ew_fault, enum ew_canary_state, const struct ew_record_view *);
    void (*awaited)(void *, enum ew_fault, enum ew_canary_state, const struct ew_record_view *,
                    bool);
    ew_store_found *found;
    void (*claim)(void *, enum ew_fault, const struct ew_claim_reply *);
    ew_store_moved *moved;
    void (*order)(void *, enum ew_fault, bool, const char *);
    void (*owners)(void *, enum ew_fault, enum ew_canary_state, const struct ew_order_owners *);
    void (*version)(void *, enum ew_fault, int64_t);
    void (*stop)(void *, enum ew_fault, enum ew_stop_result);
    void (*token)(void *, enum ew_fault, const struct ew_token_reply *);
};

struct ew_op {
    struct ew_link link; /* in the store's flight, lost or debt list */
    struct ew_store *store;
    enum ew_script script;
    bool debt;    /* best effort, survives a lost connection */
    bool by_text; /* sent as EVAL: the server had forgotten the script */
    bool broken;  /* an argument did not fit: never sent */
    struct ew_buf bytes;
    size_t len[EW_OP_ARGS];
    unsigned argc, keys;
    int64_t sent_ms;
    ew_op_reply *reply;
    union ew_done done;
    void *arg;
    void *more; /* of the caller: malloc'ed, freed with the op */
};

/* Ops: new, keys first, then arguments, then submit, which takes the op over. Aborts when memory is
 * out: a lost command would be a lost request. */
struct ew_op *ew_op_new(struct ew_store *store, enum ew_script script, ew_op_reply *reply,
                        void *arg);
void ew_op_key(struct ew_op *op, const char *kind, const char *name);
void ew_op_arg(struct ew_op *op, const void *data, size_t len);
void ew_op_text(struct ew_op *op, const char *text);
void ew_op_num(struct ew_op *op, int64_t num);
void ew_op_hex(struct ew_op *op, const uint8_t *data, size_t len);
/* The SHA-256 of a name: long, and free text. */
void ew_op_issuer(struct ew_op *op, const char *issuer);
void ew_op_source(struct ew_op *op, const struct ew_source *source);
void ew_op_submit(struct ew_op *op);
void ew_op_free(struct ew_op *op);

enum ew_link_state { EW_LINK_WAITING, EW_LINK_RESOLVING, EW_LINK_CONNECTING, EW_LINK_UP };

struct ew_resolve;

struct ew_store {
    struct ew_loop *loop;
    struct ew_url url;
    char *user, *password_file, *ca_file;
    int timeout_ms;
    struct ew_store_events events;

    enum ew_link_state state;
    bool freeing;
    bool told_up;
    unsigned attempts; /* to connect, since it was last up */
    redisAsyncContext *ac;
    struct ssl_st *tls; /* below it, and its own until it has told of its end; NULL = none */
    struct ew_watch *watch;
    int watched;              /* events */
    struct ew_ending written; /* the commands of a turn of the loop go out at once */
    bool writing;
    struct ew_resolve *resolve;
    struct ew_timer retry;    /* to connect again */
    struct ew_timer deadline; /* looks for silence while a command or the handshake is under way */
    unsigned silent;          /* looks in a row without a reply */
    struct ew_timer flush;    /* tells what was lost */
    struct ew_timer doomed;   /* cuts a connection that cannot be cut at once */
    const char *doom;         /* why; static */
    int64_t handshake_due;
    unsigned handshake_left; /* replies */
    bool complained;         /* about the connection, since it was last up */
    int unfit;               /* problems told of the server, since it was last up */
    int64_t rtt_ms;
    char sha[EW_SCRIPT_COUNT][EW_SHA1_HEX + 1];

    struct ew_list flight; /* sent, oldest first */
    struct ew_list lost;   /* to be told EW_RETRY */
    struct ew_list debt;   /* waits to be sent */
    size_t debt_count, debt_bytes;
    unsigned debt_flying;
    struct ew_timer debt_pause; /* Redis has refused some of it for now */
    struct ew_table *logins;    /* account -> struct ew_login, malloc'ed */
};

/* What an account was last opened with. */
struct ew_login {
    int64_t place; /* among all that came to the account, as Redis told it; 0 = not yet */
    char credentials[];
};

/* The TLS session for a connection there: NULL where the URL wants none. */
EW_CHECK enum ew_fault ew_tls_open(const struct ew_url *url, const char *ca_file,
                                   struct ssl_st **out, struct ew_err *err);
/* Puts one below a connection, whose own it is then. EW_RETRY: a blocking one has said why the
 * server is not trusted; of another that is not known yet. */
EW_CHECK enum ew_fault ew_tls_begin(redisContext *context, const struct ew_url *url,
                                    const char *ca_file, struct ssl_st **out, struct ew_err *err);

/* The parts of the connection. */
void ew_conn_start(struct ew_store *store);
/* Cuts it; what was under way is lost, a new one is tried. */
void ew_conn_kill(struct ew_store *store, const char *why);
/* The same a little later: from on_connect, behind which hiredis goes on with its context. */
void ew_conn_doom(struct ew_store *store, const char *why);
void ew_conn_close(struct ew_store *store);
void ew_handshake_begin(struct ew_store *store);
/* The text of a script; free() it. */
char *ew_script_text(enum ew_script script, size_t *len);
/* INFO's text judged (NULL = none): calls problem (may be NULL) for each, EW_RETRY for one that may
 * pass by itself. Returns how many. */
#define EW_INFO_COMMAND "INFO"
#define EW_INFO_SECTIONS "everything"
int ew_info_judge(const char *info, void (*problem)(void *arg, const struct ew_err *err),
                  void *arg);
void ew_flight_lost(struct ew_store *store);
/* From now on something is waited for. */
void ew_deadline_begin(struct ew_store *store);
void ew_debt_pump(struct ew_store *store);
void ew_lost_flush(struct ew_store *store);

/* --- replies: false = not what was agreed, and the log says so --- */
/* Makes this connection refuse a list of more than EW_MAX_REDIS_ITEMS. */
void ew_reply_bound(redisContext *context);
bool ew_reply_items(const redisReply *reply, size_t count);
bool ew_reply_blob(const redisReply *reply, size_t index, struct ew_blob *out);
/* Leaves the first word of an error, its code. */
void ew_reply_hush(redisReply *reply);
/* Without NUL, at most max bytes. Borrowed from the reply. */
bool ew_reply_text(const redisReply *reply, size_t index, size_t max, const char **out);
/* A decimal number of 0 to max. */
bool ew_reply_num(const redisReply *reply, size_t index, int64_t max, int64_t *out);
/* An integer reply of 0 to max. */
bool ew_reply_int(const redisReply *reply, int64_t max, int64_t *out);
bool ew_reply_source(const redisReply *reply, size_t index, struct ew_source *out);
/* The items of view(). */
enum { EW_VIEW_ITEMS = 13 };
bool ew_reply_view(const redisReply *reply, size_t first, struct ew_record_view *out);
enum ew_fault ew_reply_bad(const struct ew_op *op);

void ew_source_text(const struct ew_source *source, char out[EW_SOURCE_TEXT]);
/* Replies that are one number, for ew_store_moved and for flags. */
void ew_on_moved(struct ew_op *op, enum ew_fault fault, const redisReply *reply);
void ew_on_flag(struct ew_op *op, enum ew_fault fault, const redisReply *reply);
