/*
 * What a new connection says before it is used: who we are, which database, whether the server is
 * fit for us (it may be another one than before, or set up anew), and the scripts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "store_private.h"

char *
ew_script_text(enum ew_script script, size_t *len)
{
    const struct ew_script_text *source = &ew_scripts[script];
    char *text;
    size_t at = 0;

    *len = 0;
    for (int i = 0; i < EW_SCRIPT_PARTS && source->parts[i] != NULL; i++)
        *len += strlen(source->parts[i]);
    text = ew_malloc(*len + 1);
    for (int i = 0; i < EW_SCRIPT_PARTS && source->parts[i] != NULL; i++) {
        size_t part = strlen(source->parts[i]);

        memcpy(text + at, source->parts[i], part);
        at += part;
    }
    text[at] = '\0';
    return text;
}

static void
go_up(struct ew_store *store)
{
    EW_LOG(EW_LOG_INFO, "store", "connected to Redis", EW_STR("host", store->url.host),
           EW_STR("port", store->url.port));
    ew_timer_cancel(&store->deadline);
    store->state = EW_LINK_UP;
    store->attempts = 0;
    store->complained = false;
    store->unfit = 0;
    store->told_up = true;
    if (store->events.up != NULL)
        store->events.up(store->events.arg);
    if (store->state == EW_LINK_UP)
        ew_debt_pump(store);
}

/* Whether the handshake goes on. */
static bool
count_reply(struct ew_store *store, const redisReply *reply, const char *what)
{
    struct ew_err err;

    if (reply == NULL) /* the connection is going away */
        return false;
    if (reply->type == REDIS_REPLY_ERROR) {
        (void)ew_fail(&err, EW_RETRY, "redis-handshake", "%s: %.150s", what,
                      reply->str == NULL ? "" : reply->str);
        ew_conn_kill(store, err.detail);
        return false;
    }
    if (store->handshake_left > 0)
        store->handshake_left--;
    return true;
}

/* A server that does not know the command repeats what came with it: the password. */
static void
on_auth(redisAsyncContext *ac, void *data, void *privdata)
{
    redisReply *reply = data;

    if (reply != NULL && reply->type == REDIS_REPLY_ERROR)
        ew_reply_hush(reply);
    (void)count_reply(ac->data, reply, privdata);
}

static void
on_hello(redisAsyncContext *ac, void *data, void *privdata)
{
    (void)count_reply(ac->data, data, privdata);
}

static void
tell_unfit(void *arg, const struct ew_err *err)
{
    const struct ew_store *store = arg;

    EW_LOG(EW_LOG_ERROR, "store", "this Redis is not fit; nothing new is ordered",
           EW_FAULT_FIELDS(err), EW_STR("advice", err->advice), EW_STR("host", store->url.host),
           EW_STR("port", store->url.port));
}

/* Told again when something has changed, not at every attempt. */
static void
on_info(redisAsyncContext *ac, void *data, void *privdata)
{
    struct ew_store *store = ac->data;
    const redisReply *reply = data;
    const char *info;
    int unfit;

    if (!count_reply(store, reply, privdata))
        return;
    info = reply->type == REDIS_REPLY_STRING ? reply->str : NULL;
    unfit = ew_info_judge(info, NULL, NULL);
    if (unfit == 0)
        return;
    if (unfit != store->unfit)
        (void)ew_info_judge(info, tell_unfit, store);
    store->unfit = unfit;
    ew_conn_kill(store, "this Redis is not fit");
}

static void
on_loaded(redisAsyncContext *ac, void *data, void *privdata)
{
    struct ew_store *store = ac->data;
    const redisReply *reply = data;
    enum ew_script script = (enum ew_script)(uintptr_t)privdata;

    if (!count_reply(store, reply, ew_scripts[script].name))
        return;
    if (reply->type != REDIS_REPLY_STRING || reply->len != EW_SHA1_HEX) {
        ew_conn_kill(store, "SCRIPT LOAD gave no SHA-1");
        return;
    }
    memcpy(store->sha[script], reply->str, EW_SHA1_HEX);
    if (store->handshake_left == 0)
        go_up(store);
}

static bool
say(struct ew_store *store, redisCallbackFn *fn, void *privdata, int argc, const char **argv,
    const size_t *len)
{
    store->handshake_left++;
    return redisAsyncCommandArgv(store->ac, fn, privdata, argc, argv, len) == REDIS_OK;
}

static bool
say_auth(struct ew_store *store)
{
    struct ew_buf password;
    struct ew_err err;
    const char *argv[3] = {"AUTH"};
    size_t len[3] = {4};
    int argc = 1;
    bool said;

    if (store->password_file == NULL)
        return true;
    ew_buf_init_secret(&password, 4096);
    if (ew_password_read(store->password_file, &password, &err) != EW_OK) {
        ew_buf_deinit(&password);
        EW_LOG(EW_LOG_ERROR, "store", "no password for Redis", EW_FAULT_FIELDS(&err));
        return false;
    }
    if (store->user != NULL) {
        argv[argc] = store->user;
        len[argc++] = strlen(store->user);
    }
    argv[argc] = ew_buf_text(&password);
    len[argc++] = password.len;
    said = say(store, on_auth, (void *)(uintptr_t)"AUTH", argc, argv, len);
    ew_buf_deinit(&password);
    return said;
}

static bool
say_select(struct ew_store *store)
{
    char db[12];
    const char *argv[2] = {"SELECT", db};
    size_t len[2] = {6, 0};

    if (store->url.db == 0)
        return true;
    len[1] = (size_t)snprintf(db, sizeof(db), "%d", store->url.db);
    return say(store, on_hello, (void *)(uintptr_t)"SELECT", 2, argv, len);
}

static bool
say_info(struct ew_store *store)
{
    const char *argv[2] = {EW_INFO_COMMAND, EW_INFO_SECTIONS};
    size_t len[2] = {strlen(EW_INFO_COMMAND), strlen(EW_INFO_SECTIONS)};

    return say(store, on_info, (void *)(uintptr_t)EW_INFO_COMMAND, 2, argv, len);
}

static bool
say_script(struct ew_store *store, enum ew_script script)
{
    size_t len[3] = {6, 4, 0};
    char *text = ew_script_text(script, &len[2]);
    const char *argv[3] = {"SCRIPT", "LOAD", text};
    bool said = say(store, on_loaded, (void *)(uintptr_t)script, 3, argv, len);

    free(text);
    return said;
}

void
ew_handshake_begin(struct ew_store *store)
{
    bool said;

    store->handshake_left = 0;
    store->handshake_due = ew_loop_now(store->loop) + store->timeout_ms;
    said = say_auth(store) && say_select(store) && say_info(store);
    for (int i = 0; said && i < EW_SCRIPT_COUNT; i++)
        said = say_script(store, (enum ew_script)i);
    if (!said)
        ew_conn_doom(store, "the handshake cannot be sent");
}
