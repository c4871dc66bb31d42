/*
 * The calls: one account, its password, and what is under way. What bodies say and replies mean is
 * in write.c and read.c.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "ca_private.h"

struct ew_ca {
    struct ew_loop *loop;
    struct ew_http *http;
    char *url, *user;
    struct ew_buf password;
    int order_ms, query_ms;
    struct ew_ca_policy policy;
    struct ew_list calls;
};

struct ew_ca_call {
    struct ew_link link;
    enum ew_ca_verb verb;
    struct ew_ca_policy policy; /* a copy: the account may be gone when done has run */
    struct ew_http_call *http_call;
    struct ew_timer stillborn; /* tells of a call that could not begin */
    struct ew_err err;         /* why */
    char asked[EW_MAX_ORDER_ID + 1];
    bool (*gate)(void *arg);
    ew_ca_done *done;
    void *arg;
};

static enum ew_fault
check_login(const struct ew_ca *ca, struct ew_err *err)
{
    struct ew_ca_login login = {ca->user, ew_buf_text(&ca->password)};
    struct ew_buf trial;
    enum ew_fault fault;

    if (*ca->user == '\0' || strlen(ca->user) > EW_MAX_USER)
        return ew_fail_field(err, EW_HALT, "ca-user", "user", "1 to 30 characters",
                             "user name of %zu characters", strlen(ca->user));
    if (ca->password.len == 0 || ca->password.len > EW_MAX_PASSWORD)
        return ew_fail_field(err, EW_HALT, "ca-password", "password_file", "1 to 30 characters",
                             "password of %zu characters", ca->password.len);
    ew_buf_init_secret(&trial, EW_CA_MAX_BODY);
    fault = ew_ca_write_get_profiles(&trial, &login, NULL, err);
    ew_buf_deinit(&trial);
    if (fault != EW_OK)
        return ew_fail(err, EW_HALT, "ca-password",
                       "user name or password is not UTF-8 or holds a control character");
    return EW_OK;
}

static int
or_default(int value, int otherwise)
{
    return value > 0 ? value : otherwise;
}

static enum ew_fault
copy_options(struct ew_ca *ca, const struct ew_ca_options *options, struct ew_err *err)
{
    if (options->url == NULL || strncasecmp(options->url, "https://", 8) != 0)
        return ew_fail_field(err, EW_HALT, "ca-url", "url", "an https URL", "not an https URL");
    if (options->hold_code_count > EW_MAX_HOLD_CODES)
        return ew_fail_field(err, EW_HALT, "ca-hold-codes", "hold_codes", "at most 16",
                             "%zu hold codes", options->hold_code_count);
    for (size_t i = 0; i < options->hold_code_count; i++)
        if (ew_ca_check_hold_code(options->hold_codes[i], err) != EW_OK)
            return EW_HALT;
    ca->url = ew_strdup(options->url);
    ca->user = ew_strdup(options->user ? options->user : "");
    ca->order_ms = or_default(options->order_ms, EW_CA_ORDER_MS);
    ca->query_ms = or_default(options->query_ms, EW_CA_QUERY_MS);
    ca->policy.throttle_is_unsent = options->throttle_is_unsent;
    ca->policy.hold_code_count = options->hold_code_count;
    for (size_t i = 0; i < options->hold_code_count; i++)
        ca->policy.hold_codes[i] = options->hold_codes[i];
    return EW_OK;
}

enum ew_fault
ew_ca_new(struct ew_loop *loop, const struct ew_ca_options *options, struct ew_buf *password,
          struct ew_ca **out, struct ew_err *err)
{
    struct ew_ca *ca = ew_calloc(1, sizeof(*ca));
    enum ew_fault fault;

    ca->loop = loop;
    ew_list_init(&ca->calls);
    ew_ca_set_password(ca, password);
    fault = copy_options(ca, options, err);
    if (fault == EW_OK)
        fault = check_login(ca, err);
    if (fault == EW_OK)
        fault = ew_http_new(loop,
                            &(struct ew_http_options){.ca_file = options->ca_file,
                                                      .connect_timeout_ms = or_default(
                                                          options->connect_ms, EW_CA_CONNECT_MS),
                                                      .tcp_timeout_ms = options->tcp_ms},
                            &ca->http, err);
    if (fault != EW_OK) {
        ew_ca_free(ca);
        return fault;
    }
    *out = ca;
    return EW_OK;
}

void
ew_ca_set_password(struct ew_ca *ca, struct ew_buf *password)
{
    ew_buf_deinit(&ca->password);
    ca->password = *password;
    ca->password.secret = true;
    ew_buf_init_secret(password, 0);
}

void
ew_ca_free(struct ew_ca *ca)
{
    struct ew_link *link;

    if (ca == NULL)
        return;
    while ((link = ew_list_first(&ca->calls)) != NULL)
        ew_ca_call_cancel(EW_CONTAINER(link, struct ew_ca_call, link));
    ew_http_free(ca->http);
    ew_buf_deinit(&ca->password);
    free(ca->url);
    free(ca->user);
    free(ca);
}

void
ew_ca_call_cancel(struct ew_ca_call *call)
{
    if (call == NULL)
        return;
    ew_link_remove(&call->link);
    ew_timer_cancel(&call->stillborn);
    ew_http_cancel(call->http_call);
    free(call);
}

/* Nothing was sent: the fault says whose doing it is. */
static void
on_stillborn(void *arg)
{
    struct ew_ca_call *call = arg;
    const struct ew_err *err = &call->err;
    bool login = strcmp(err->field, "UserName") == 0 || strcmp(err->field, "Password") == 0;
    struct ew_ca_reply reply = {
        .cls = err->fault != EW_REJECT ? EW_CA_NOT_SENT
               : login                 ? EW_CA_ACCOUNT
                                       : EW_CA_REJECTED,
        .problem = err->fault != EW_REJECT ? "ca-internal-error"
                   : login                 ? "ca-password"
                                           : "ca-text",
        .field = err->field,
        .message = err->detail,
        .order_id = "",
        .certificate = "",
        .pkcs12 = "",
    };

    ew_link_remove(&call->link);
    call->done(call->arg, &reply);
    free(call);
}

static void
on_http_done(void *arg, struct ew_http_result *result)
{
    struct ew_ca_call *call = arg;
    struct ew_ca_reading reading;

    ew_link_remove(&call->link);
    ew_ca_read(&reading, &call->policy, call->verb, call->asked, result);
    call->done(call->arg, &reading.reply);
    ew_ca_reading_deinit(&reading);
    free(call);
}

static bool
on_gate(void *arg)
{
    struct ew_ca_call *call = arg;

    return call->gate == NULL || call->gate(call->arg);
}

static struct ew_ca_call *
new_call(struct ew_ca *ca, enum ew_ca_verb verb, const char *asked, ew_ca_done *done, void *arg)
{
    struct ew_ca_call *call = ew_calloc(1, sizeof(*call));

    call->verb = verb;
    call->policy = ca->policy;
    call->done = done;
    call->arg = arg;
    strncpy(call->asked, asked ? asked : "", sizeof(call->asked) - 1);
    ew_timer_init(&call->stillborn, ca->loop, on_stillborn, call);
    ew_list_append(&ca->calls, &call->link);
    return call;
}

/* Sends a written body, or lets the loop tell why not. fault, call->err: of the writing. */
static struct ew_ca_call *
begin(struct ew_ca *ca, struct ew_ca_call *call, struct ew_buf *body, enum ew_fault fault)
{
    bool order = ew_ca_is_order(call->verb);

    if (fault == EW_OK)
        fault = ew_http_post(ca->http,
                             &(struct ew_http_request){
                                 .url = ca->url,
                                 .content_type = "text/xml; charset=utf-8",
                                 .body = body,
                                 .timeout_ms = order ? ca->order_ms : ca->query_ms,
                                 .max_reply = EW_MAX_REPLY,
                                 .fresh = order,
                                 .gate = on_gate,
                                 .done = on_http_done,
                                 .arg = call,
                             },
                             &call->http_call, &call->err);
    if (fault != EW_OK)
        ew_timer_start(&call->stillborn, 0);
    ew_buf_deinit(body);
    return call;
}

static struct ew_ca_login
login_of(const struct ew_ca *ca)
{
    return (struct ew_ca_login){ca->user, ew_buf_text(&ca->password)};
}

struct ew_ca_call *
ew_ca_order(struct ew_ca *ca, const struct ew_ca_order_request *request, bool (*gate)(void *arg),
            ew_ca_done *done, void *arg)
{
    enum ew_ca_verb verb = request->csr == NULL ? EW_CA_ORDER_PKCS12 : EW_CA_ORDER;
    struct ew_ca_call *call = new_call(ca, verb, NULL, done, arg);
    struct ew_ca_login login = login_of(ca);
    struct ew_buf body;
    enum ew_fault fault;

    call->gate = gate;
    ew_buf_init_secret(&body, EW_CA_MAX_BODY);
    fault = ew_ca_write_order(&body, &login, request, &call->err);
    return begin(ca, call, &body, fault);
}

struct ew_ca_call *
ew_ca_get_orders(struct ew_ca *ca, const char *profile, const char *cn, int64_t from_ms,
                 int64_t to_ms, ew_ca_done *done, void *arg)
{
    struct ew_ca_call *call = new_call(ca, EW_CA_GET_ORDERS, NULL, done, arg);
    struct ew_ca_login login = login_of(ca);
    struct ew_buf body;
    enum ew_fault fault;

    ew_buf_init_secret(&body, EW_CA_MAX_BODY);
    fault = ew_ca_write_get_orders(&body, &login, profile, cn, from_ms, to_ms, &call->err);
    return begin(ca, call, &body, fault);
}

struct ew_ca_call *
ew_ca_get_order(struct ew_ca *ca, const char *order_id, ew_ca_done *done, void *arg)
{
    struct ew_ca_call *call = new_call(ca, EW_CA_GET_ORDER, order_id, done, arg);
    struct ew_ca_login login = login_of(ca);
    struct ew_buf body;
    enum ew_fault fault;

    ew_buf_init_secret(&body, EW_CA_MAX_BODY);
    fault = ew_ca_write_get_order(&body, &login, order_id, &call->err);
    return begin(ca, call, &body, fault);
}

struct ew_ca_call *
ew_ca_get_profiles(struct ew_ca *ca, const char *profile, ew_ca_done *done, void *arg)
{
    struct ew_ca_call *call = new_call(ca, EW_CA_GET_PROFILES, NULL, done, arg);
    struct ew_ca_login login = login_of(ca);
    struct ew_buf body;
    enum ew_fault fault;

    ew_buf_init_secret(&body, EW_CA_MAX_BODY);
    fault = ew_ca_write_get_profiles(&body, &login, profile, &call->err);
    return begin(ca, call, &body, fault);
}

static struct ew_ca_call *
end_order(struct ew_ca *ca, enum ew_ca_verb verb, const char *order_id, ew_ca_done *done, void *arg)
{
    struct ew_ca_call *call = new_call(ca, verb, order_id, done, arg);
    struct ew_ca_login login = login_of(ca);
    struct ew_buf body;
    enum ew_fault fault;

    ew_buf_init_secret(&body, EW_CA_MAX_BODY);
    fault = ew_ca_write_end(&body, &login, verb, order_id, &call->err);
    return begin(ca, call, &body, fault);
}

struct ew_ca_call *
ew_ca_cancel(struct ew_ca *ca, const char *order_id, ew_ca_done *done, void *arg)
{
    return end_order(ca, EW_CA_CANCEL, order_id, done, arg);
}

struct ew_ca_call *
ew_ca_revoke(struct ew_ca *ca, const char *order_id, ew_ca_done *done, void *arg)
{
    return end_order(ca, EW_CA_REVOKE, order_id, done, arg);
}
