/*
 * The account's shared rate and state: arguments and replies of its scripts.
 */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "store_private.h"

enum { MINUTE_US = 60 * 1000 * 1000, BURST_MAX = 100000, RETEST_MAX_MS = 86400000 };

static const char *
credentials_of(const struct ew_store *store, const char *account)
{
    const struct ew_login *login = ew_table_get(store->logins, account);

    return login == NULL ? "" : login->credentials;
}

static int64_t
within(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

static void
put_rate(struct ew_op *op, const struct ew_rate *rate, enum ew_rate_class cls)
{
    ew_op_num(op, cls);
    ew_op_num(op, MINUTE_US / within(rate->per_minute, 1, MINUTE_US));
    ew_op_num(op, within(rate->burst, 1, BURST_MAX));
    for (int i = 0; i < EW_RATE_COUNT; i++)
        ew_op_num(op, within(rate->share[i], 0, 100));
}

/* --- tokens --- */

static const char *const token_names[] = {
    [EW_TOKEN_GRANTED] = "granted",       [EW_TOKEN_WAIT] = "wait",   [EW_TOKEN_PAUSED] = "paused",
    [EW_TOKEN_UNVERIFIED] = "unverified", [EW_TOKEN_PROBE] = "probe",
};

static bool
read_token(const redisReply *reply, enum ew_token *out)
{
    const char *name;

    if (!ew_reply_text(reply, 0, 16, &name))
        return false;
    for (size_t i = 0; i < sizeof(token_names) / sizeof(token_names[0]); i++) {
        if (strcmp(name, token_names[i]) == 0) {
            *out = (enum ew_token)i;
            return true;
        }
    }
    return false;
}

/* GlobalSign's codes are negative. */
static bool
read_code(const redisReply *reply, size_t index, int *out)
{
    const char *text;
    char *end;
    long code;

    if (!ew_reply_text(reply, index, 12, &text) || text[0] == '\0')
        return false;
    code = strtol(text, &end, 10);
    *out = (int)within(code, INT32_MIN, INT32_MAX);
    return *end == '\0';
}

static void
on_token(struct ew_op *op, enum ew_fault fault, const redisReply *reply)
{
    struct ew_token_reply out = {.result = EW_TOKEN_WAIT, .problem = ""};
    int64_t count = 0;

    if (fault == EW_OK &&
        (!ew_reply_items(reply, 5) || !read_token(reply, &out.result) ||
         !ew_reply_num(reply, 1, INT64_MAX, &out.wait_ms) || !read_code(reply, 2, &out.code) ||
         !ew_reply_text(reply, 3, EW_MAX_PROBLEM, &out.problem) ||
         !ew_reply_num(reply, 4, EW_TOKENS_MAX, &count)))
        fault = ew_reply_bad(op);
    out.count = (int)count;
    op->done.token(op->arg, fault, fault == EW_OK ? &out : NULL);
}

void
ew_store_tokens(struct ew_store *store, const char *account, const struct ew_rate *rate,
                enum ew_rate_class cls, int want,
                void (*done)(void *arg, enum ew_fault fault, const struct ew_token_reply *reply),
                void *arg)
{
    struct ew_op *op = ew_op_new(store, EW_SCRIPT_TOKEN, on_token, arg);

    op->done.token = done;
    ew_op_key(op, "account:", account);
    ew_op_key(op, "limit:", account);
    put_rate(op, rate, cls);
    ew_op_num(op, EW_PROBE_LEASE_MS);
    ew_op_text(op, credentials_of(store, account));
    ew_op_num(op, within(want, 1, EW_TOKENS_MAX));
    ew_op_submit(op);
}

void
ew_store_refund(struct ew_store *store, const char *account, const struct ew_rate *rate,
                enum ew_rate_class cls)
{
    struct ew_op *op = ew_op_new(store, EW_SCRIPT_REFUND, ew_on_moved, NULL);

    ew_op_key(op, "account:", account);
    ew_op_key(op, "limit:", account);
    put_rate(op, rate, cls);
    ew_op_submit(op);
}

void
ew_store_not_before(struct ew_store *store, const char *account, int64_t delay_ms)
{
    struct ew_op *op = ew_op_new(store, EW_SCRIPT_NOT_BEFORE, ew_on_moved, NULL);

    ew_op_key(op, "account:", account);
    ew_op_num(op, within(delay_ms, 0, INT32_MAX));
    ew_op_submit(op);
}

/* --- the state --- */

static void
move(struct ew_store *store, const char *account, const char *what, int code, const char *problem,
     int64_t retest_ms, ew_store_account_moved *done, void *arg)
{
    struct ew_op *op = ew_op_new(store, EW_SCRIPT_ACCOUNT, ew_on_flag, arg);
    const char *text = problem == NULL ? "" : problem;

    op->done.flag = done;
    ew_op_key(op, "account:", account);
    ew_op_text(op, what);
    ew_op_text(op, credentials_of(store, account));
    ew_op_num(op, code);
    ew_op_arg(op, text, strnlen(text, EW_MAX_PROBLEM));
    ew_op_num(op, within(retest_ms, 0, RETEST_MAX_MS));
    ew_op_submit(op);
}

static void
on_open(struct ew_op *op, enum ew_fault fault, const redisReply *reply)
{
    int64_t changed = 0, place = 0;

    if (fault == EW_OK && (!ew_reply_items(reply, 2) || !ew_reply_num(reply, 0, 1, &changed) ||
                           !ew_reply_num(reply, 1, INT64_MAX, &place)))
        fault = ew_reply_bad(op);
    if (fault == EW_OK)
        ((struct ew_login *)ew_table_get(op->store->logins, op->more))->place = place;
    if (op->done.flag != NULL)
        op->done.flag(op->arg, fault, fault == EW_OK && changed == 1);
}

/* Who has other credentials than before comes for the first time. */
static const struct ew_login *
login_with(struct ew_store *store, const char *account, const char *credentials)
{
    struct ew_login *login = ew_table_get(store->logins, account);
    size_t size = strlen(credentials) + 1;

    if (login != NULL && strcmp(login->credentials, credentials) == 0)
        return login;
    free(login);
    login = ew_calloc(1, sizeof(*login) + size);
    memcpy(login->credentials, credentials, size);
    ew_table_put(store->logins, account, login);
    return login;
}

void
ew_store_account_open(struct ew_store *store, const char *account, const char *credentials,
                      ew_store_account_moved *done, void *arg)
{
    const struct ew_login *login = login_with(store, account, credentials);
    struct ew_op *op = ew_op_new(store, EW_SCRIPT_OPEN, on_open, arg);

    op->done.flag = done;
    op->more = ew_strdup(account);
    ew_op_key(op, "account:", account);
    ew_op_text(op, login->credentials);
    ew_op_num(op, login->place);
    ew_op_submit(op);
}

void
ew_store_account_resumed(struct ew_store *store, const char *account, ew_store_account_moved *done,
                         void *arg)
{
    move(store, account, "resumed", 0, NULL, 0, done, arg);
}

void
ew_store_account_untested(struct ew_store *store, const char *account)
{
    move(store, account, "untested", 0, NULL, 0, NULL, NULL);
}

void
ew_store_account_pause(struct ew_store *store, const char *account, int code, const char *problem,
                       int64_t retest_ms, ew_store_account_moved *done, void *arg)
{
    move(store, account, "paused", code, problem, retest_ms, done, arg);
}
