/*
 * Blocking calls for the command line: is this Redis fit for us, and the first canary of a
 * deployment. Not for the worker's loop.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "base/hex.h"
#include "store_private.h"

enum { SCAN_MAX = 1000000 };

static struct timeval
time_limit(int ms)
{
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
}

static enum ew_fault
no_reply(redisContext *context, redisReply *reply, const char *what, struct ew_err *err)
{
    enum ew_fault fault;

    if (reply != NULL && reply->type != REDIS_REPLY_ERROR)
        return EW_OK;
    fault = ew_fail_field(
        err, EW_RETRY, "redis-refused", "",
        reply == NULL ? "See what keeps Redis from answering, or raise redis.timeout_ms."
                      : "Correct redis.user and redis.password_file, or allow the user this.",
        "%s: %s", what, reply == NULL ? context->errstr : reply->str);
    freeReplyObject(reply);
    return fault;
}

static enum ew_fault
command(redisContext *context, int argc, const char **argv, redisReply **out, struct ew_err *err)
{
    redisReply *reply = redisCommandArgv(context, argc, argv, NULL);
    enum ew_fault fault = no_reply(context, reply, argv[0], err);

    if (fault == EW_OK)
        *out = reply;
    return fault;
}

/* What it says to a secret it may say with the secret in it. */
static enum ew_fault
simple(redisContext *context, int argc, const char **argv, bool secret, struct ew_err *err)
{
    redisReply *reply = redisCommandArgv(context, argc, argv, NULL);
    enum ew_fault fault;

    if (secret && reply != NULL && reply->type == REDIS_REPLY_ERROR)
        ew_reply_hush(reply);
    fault = no_reply(context, reply, argv[0], err);

    if (fault == EW_OK)
        freeReplyObject(reply);
    return fault;
}

static enum ew_fault
log_in(redisContext *context, const struct ew_store_options *options, struct ew_err *err)
{
    const char *argv[3] = {"AUTH"};
    struct ew_buf password;
    enum ew_fault fault;
    int argc = 1;

    if (options->password_file == NULL || options->password_file[0] == '\0')
        return EW_OK;
    ew_buf_init_secret(&password, 4096);
    fault = ew_password_read(options->password_file, &password, err);
    if (fault == EW_OK) {
        if (options->user != NULL && options->user[0] != '\0')
            argv[argc++] = options->user;
        argv[argc++] = ew_buf_text(&password);
        fault = simple(context, argc, argv, true, err);
    }
    ew_buf_deinit(&password);
    return fault;
}

static enum ew_fault
open_context(const struct ew_store_options *options, redisContext **out, struct ew_err *err)
{
    struct ew_url url;
    redisContext *context;
    enum ew_fault fault = ew_url_parse(options->url, &url, err);
    char db[12];
    const char *select[2] = {"SELECT", db};
    struct ssl_st *tls;

    if (fault != EW_OK)
        return fault;
    ew_store_init_library();
    context = redisConnectWithTimeout(url.host, ew_url_port(&url), time_limit(options->timeout_ms));
    if (context == NULL || context->err != 0 ||
        redisSetTimeout(context, time_limit(options->timeout_ms)) != REDIS_OK) {
        fault = ew_fail_field(err, EW_RETRY, "redis-unreachable", "redis.url",
                              "Start Redis, or correct its URL.", "%s:%s: %s", url.host, url.port,
                              context == NULL ? "out of memory" : context->errstr);
        redisFree(context);
        return fault;
    }
    ew_reply_bound(context);
    (void)snprintf(db, sizeof(db), "%d", url.db);
    fault = ew_tls_begin(context, &url, options->ca_file, &tls, err);
    if (fault == EW_OK)
        fault = log_in(context, options, err);
    if (fault == EW_OK && url.db != 0)
        fault = simple(context, 2, select, false, err);
    if (fault != EW_OK) {
        redisFree(context);
        return fault;
    }
    *out = context;
    return EW_OK;
}

/* --- check --- */

struct check {
    void (*problem)(void *arg, const struct ew_err *err);
    void *arg;
    int count;
};

static void
report(void *arg, const struct ew_err *err)
{
    struct check *check = arg;

    check->count++;
    if (check->problem != NULL)
        check->problem(check->arg, err);
}

int
ew_store_check(const struct ew_store_options *options,
               void (*problem)(void *arg, const struct ew_err *err), void *arg)
{
    struct check check = {.problem = problem, .arg = arg};
    const char *argv[2] = {EW_INFO_COMMAND, EW_INFO_SECTIONS};
    redisContext *context = NULL;
    redisReply *reply;
    struct ew_err err;

    if (open_context(options, &context, &err) != EW_OK) {
        report(&check, &err);
        return check.count;
    }
    if (command(context, 2, argv, &reply, &err) != EW_OK) {
        report(&check, &err);
    } else {
        (void)ew_info_judge(reply->type == REDIS_REPLY_STRING ? reply->str : NULL, report, &check);
        freeReplyObject(reply);
    }
    redisFree(context);
    return check.count;
}

/* --- bootstrap --- */

/* EW_REJECT when a key of ours is there. */
static enum ew_fault
nothing_of_ours(redisContext *context, struct ew_err *err)
{
    char cursor[EW_MAX_CURSOR + 1] = "0";
    enum ew_fault fault = EW_OK;

    for (int turns = 0; turns < SCAN_MAX && fault == EW_OK; turns++) {
        const char *argv[6] = {"SCAN", cursor, "MATCH", EW_STORE_PREFIX "*", "COUNT", "1000"};
        redisReply *reply;

        fault = command(context, 6, argv, &reply, err);
        if (fault != EW_OK)
            return fault;
        if (!ew_reply_items(reply, 2) || reply->element[0]->type != REDIS_REPLY_STRING ||
            reply->element[0]->len >= sizeof(cursor))
            fault = ew_fail(err, EW_BUG, "redis-reply", "SCAN gave a reply of the wrong shape");
        else if (reply->element[1]->elements > 0)
            fault = ew_fail_field(err, EW_REJECT, "already-bootstrapped", "redis",
                                  "Bootstrap is for the first start of a deployment only. After a "
                                  "loss the workers rebuild Redis by themselves.",
                                  "Redis already holds keys %s*", EW_STORE_PREFIX);
        else
            memcpy(cursor, reply->element[0]->str, reply->element[0]->len + 1);
        freeReplyObject(reply);
        if (fault == EW_OK && strcmp(cursor, "0") == 0)
            return EW_OK;
    }
    return fault != EW_OK ? fault : ew_fail(err, EW_BUG, "redis-reply", "SCAN does not end");
}

static enum ew_fault
write_canary(redisContext *context, struct ew_err *err)
{
    uint8_t random[16];
    char nonce[33];
    size_t len;
    char *text = ew_script_text(EW_SCRIPT_BOOTSTRAP, &len);
    const char *argv[6] = {"EVAL", text, "2", EW_STORE_PREFIX "canary", EW_STORE_PREFIX "nonce",
                           nonce};
    redisReply *reply;
    enum ew_fault fault;

    ew_random_bytes(random, sizeof(random));
    ew_hex_encode(random, sizeof(random), nonce);
    fault = command(context, 6, argv, &reply, err);
    free(text);
    if (fault != EW_OK)
        return fault;
    if (reply->type != REDIS_REPLY_INTEGER || reply->integer != 1)
        fault = ew_fail(err, EW_REJECT, "already-bootstrapped",
                        "another bootstrap came first, or the workers");
    freeReplyObject(reply);
    return fault;
}

static enum ew_fault
look(const struct ew_store_options *options, bool write, struct ew_err *err)
{
    redisContext *context = NULL;
    enum ew_fault fault = open_context(options, &context, err);

    if (fault != EW_OK)
        return fault;
    fault = nothing_of_ours(context, err);
    if (fault == EW_OK && write)
        fault = write_canary(context, err);
    redisFree(context);
    return fault;
}

enum ew_fault
ew_store_unused(const struct ew_store_options *options, struct ew_err *err)
{
    return look(options, false, err);
}

enum ew_fault
ew_store_bootstrap(const struct ew_store_options *options, struct ew_err *err)
{
    return look(options, true, err);
}

/* --- resume --- */

enum ew_fault
ew_store_retry_account(const struct ew_store_options *options, const char *account, bool *changed,
                       struct ew_err *err)
{
    char key[256];
    size_t len;
    char *text = ew_script_text(EW_SCRIPT_ACCOUNT, &len);
    const char *argv[9] = {"EVAL", text, "1", key, "retry", "", "0", "", "0"};
    redisContext *context = NULL;
    redisReply *reply;
    enum ew_fault fault = open_context(options, &context, err);

    (void)snprintf(key, sizeof(key), "%saccount:%s", EW_STORE_PREFIX, account);
    if (fault == EW_OK) {
        fault = command(context, 9, argv, &reply, err);
        if (fault == EW_OK) {
            *changed = reply->type == REDIS_REPLY_INTEGER && reply->integer == 1;
            freeReplyObject(reply);
        }
        redisFree(context);
    }
    free(text);
    return fault;
}
