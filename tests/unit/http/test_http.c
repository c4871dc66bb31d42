/*
 * Proof of http against a server that misbehaves: the gate, the refused repeat, limits, what is
 * trusted, and what each kind of end is called.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/http.h"
#include "tls_server.h"

#define OK_REPLY                                                                                   \
    "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\n"         \
    "Content-Length: 4\r\n\r\n<a/>"

struct bench {
    struct ew_loop *loop;
    struct ew_http *http;
    struct tls_server *server;
};

struct call {
    struct bench *bench;
    bool answer; /* of the gate */
    int gate_calls, done_calls;
    bool in_post;
    struct ew_http_result result; /* texts of it must not be read */
    char body[128], detail[300], type[64];
};

static struct bench
bench_open(const char *san, const struct tls_reply *script, size_t len,
           const struct ew_http_options *given)
{
    struct bench bench = {0};
    struct ew_http_options options = given ? *given : (struct ew_http_options){0};

    bench.server = tls_server_start(san, script, len);
    if (options.ca_file == NULL)
        options.ca_file = bench.server->ca_file;
    assert_int_equal(ew_loop_new(&ew_clock_system, 1, &bench.loop, NULL), EW_OK);
    assert_int_equal(ew_http_new(bench.loop, &options, &bench.http, NULL), EW_OK);
    return bench;
}

static void
bench_close(struct bench *bench)
{
    assert_int_equal(ew_http_in_flight(bench->http), 0);
    ew_http_free(bench->http);
    ew_loop_free(bench->loop);
    tls_server_stop(bench->server);
}

static bool
on_gate(void *arg)
{
    struct call *call = arg;

    call->gate_calls++;
    assert_int_equal(call->done_calls, 0);
    return call->answer;
}

static void
on_done(void *arg, struct ew_http_result *result)
{
    struct call *call = arg;

    assert_false(call->in_post);
    call->done_calls++;
    call->result = *result;
    snprintf(call->body, sizeof(call->body), "%s", ew_buf_text(&result->body));
    snprintf(call->detail, sizeof(call->detail), "%s", result->detail);
    snprintf(call->type, sizeof(call->type), "%s", result->content_type);
    if (ew_http_in_flight(call->bench->http) == 0)
        ew_loop_stop(call->bench->loop);
}

static struct ew_http_call *
post(struct call *call, struct bench *bench, const char *url, bool fresh, int timeout_ms)
{
    struct ew_buf body;
    struct ew_http_call *handle = NULL;

    ew_buf_init_secret(&body, 1000);
    ew_buf_puts(&body, "<order password='example'/>");
    call->bench = bench;
    call->in_post = true;
    assert_int_equal(
        ew_http_post(bench->http,
                     &(struct ew_http_request){.url = url ? url : bench->server->url,
                                               .content_type = "text/xml; charset=utf-8",
                                               .body = &body,
                                               .timeout_ms = timeout_ms,
                                               .max_reply = 100,
                                               .fresh = fresh,
                                               .gate = on_gate,
                                               .done = on_done,
                                               .arg = call},
                     &handle, NULL),
        EW_OK);
    call->in_post = false;
    assert_null(body.data); /* taken over */
    return handle;
}

/* One call from beginning to end. */
static struct call
run(struct bench *bench, bool fresh, bool answer)
{
    struct call call = {.answer = answer};

    post(&call, bench, NULL, fresh, 3000);
    ew_loop_run(bench->loop);
    assert_int_equal(call.done_calls, 1);
    return call;
}

static struct call
run_reply(const char *bytes, enum tls_then then)
{
    const struct tls_reply script[] = {{bytes, then, 0}};
    struct bench bench = bench_open("IP:127.0.0.1", script, 1, NULL);
    struct call call = run(&bench, true, true);

    assert_true(call.result.gate_passed);
    bench_close(&bench);
    return call;
}

static void
test_a_good_reply(void **state)
{
    const struct tls_reply script[] = {{OK_REPLY, TLS_KEEP, 50}};
    struct bench bench = bench_open("IP:127.0.0.1", script, 1, NULL);
    struct call call = run(&bench, true, true);
    const char *sent = bench.server->last_request;

    (void)state;
    assert_int_equal(call.gate_calls, 1);
    assert_true(call.result.gate_passed);
    assert_true(call.result.complete);
    assert_null(call.result.problem);
    assert_int_equal(call.result.status, 200);
    assert_string_equal(call.body, "<a/>");
    assert_string_equal(call.type, "text/xml");
    assert_int_equal(call.result.date_ms, 1795428000000);
    assert_true(call.result.fresh);
    assert_in_range(call.result.total_ms, 50, 2900);
    /* The wire: what GlobalSign's server needs, and nothing that delays or invites more. */
    assert_non_null(strstr(sent, "POST /cr/ws HTTP/1.1\r\n"));
    assert_non_null(strstr(sent, "\r\nContent-Type: text/xml; charset=utf-8\r\n"));
    assert_non_null(strstr(sent, "\r\nSOAPAction: \"\"\r\n"));
    assert_non_null(strstr(sent, "\r\n\r\n<order password='example'/>"));
    assert_null(strcasestr(sent, "expect:"));
    assert_null(strcasestr(sent, "authorization"));
    bench_close(&bench);
}

static void
test_a_closed_gate_sends_nothing(void **state)
{
    const struct tls_reply script[] = {{OK_REPLY, TLS_KEEP, 0}};
    struct bench bench = bench_open("IP:127.0.0.1", script, 1, NULL);
    struct call call = run(&bench, true, false);

    (void)state;
    assert_int_equal(call.gate_calls, 1);
    assert_false(call.result.gate_passed);
    assert_string_equal(call.result.problem, "http-gate");
    usleep(50000);
    assert_int_equal(bench.server->requests, 0);
    bench_close(&bench);
}

/* libcurl repeats a POST by itself when a kept connection dies under it. */
static void
test_a_dead_kept_connection_sends_once(void **state)
{
    const enum tls_then ends[] = {TLS_CLOSE, TLS_ABRUPT, TLS_RESET};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        const struct tls_reply script[] = {
            {OK_REPLY, TLS_KEEP, 0}, {NULL, ends[i], 0}, {OK_REPLY, TLS_KEEP, 0}};
        struct bench bench = bench_open("IP:127.0.0.1", script, 3, NULL);
        struct call first = run(&bench, false, true);
        struct call second = run(&bench, false, true);

        assert_true(first.result.complete);
        assert_true(first.result.fresh);
        assert_int_equal(second.gate_calls, 1);
        assert_true(second.result.gate_passed); /* so its outcome is unknown */
        assert_false(second.result.complete);
        assert_string_equal(second.result.problem, "http-reset");
        usleep(50000);
        assert_int_equal(bench.server->requests, 2);
        bench_close(&bench);
    }
}

/* The same without the kept connection: no repeat to refuse. */
static void
test_a_fresh_connection_sends_once(void **state)
{
    const struct tls_reply script[] = {{OK_REPLY, TLS_KEEP, 0}, {NULL, TLS_CLOSE, 0}};
    struct bench bench = bench_open("IP:127.0.0.1", script, 2, NULL);
    struct call first = run(&bench, true, true);
    struct call second = run(&bench, true, true);

    (void)state;
    assert_true(first.result.complete);
    assert_string_equal(second.result.problem, "http-reset");
    assert_int_equal(bench.server->requests, 2);
    assert_int_equal(bench.server->connections, 2);
    bench_close(&bench);
}

static void
test_connections_kept_and_fresh(void **state)
{
    const struct tls_reply script[] = {{OK_REPLY, TLS_KEEP, 0}};
    struct bench bench = bench_open("IP:127.0.0.1", script, 1, NULL);

    (void)state;
    assert_true(run(&bench, false, true).result.fresh);
    assert_false(run(&bench, false, true).result.fresh);
    assert_int_equal(bench.server->connections, 1);
    for (int i = 0; i < 5; i++)
        assert_true(run(&bench, true, true).result.fresh);
    assert_int_equal(bench.server->connections, 6);
    assert_int_equal(bench.server->resumed, 5); /* no full handshake after the first */
    assert_false(run(&bench, false, true).result.fresh);
    bench_close(&bench);
}

static void
test_incomplete_replies(void **state)
{
    static const struct {
        const char *bytes;
        enum tls_then then;
        const char *problem;
        int status;
    } cases[] = {
        {NULL, TLS_CLOSE, "http-reset", 0},
        {NULL, TLS_RESET, "http-reset", 0},
        {"HTTP/1.1 200 OK\r\n", TLS_CLOSE, NULL, 0}, /* checked below: versions differ in words */
        {"HTTP/1.1 200 OK\r\n\r\n", TLS_CLOSE, "http-truncated", 200},
        {"HTTP/1.1 200 OK\r\n\r\n", TLS_ABRUPT, NULL, 200},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<a/", TLS_CLOSE, "http-truncated", 200},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<a/", TLS_ABRUPT, NULL, 200},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n<a/\r\n", TLS_CLOSE, NULL, 200},
        {"<html>no HTTP at all</html>", TLS_CLOSE, "http-protocol", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct call call = run_reply(cases[i].bytes, cases[i].then);

        assert_false(call.result.complete);
        assert_non_null(call.result.problem);
        if (cases[i].problem)
            assert_string_equal(call.result.problem, cases[i].problem);
        if (cases[i].status)
            assert_int_equal(call.result.status, cases[i].status);
    }
}

static void
test_complete_replies_of_every_framing(void **state)
{
    struct call call;

    (void)state;
    call = run_reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n<a/>\r\n0\r\n\r\n",
                     TLS_KEEP);
    assert_true(call.result.complete);
    assert_string_equal(call.body, "<a/>");
    call = run_reply("HTTP/1.1 200 OK\r\n\r\n<a/>", TLS_CLOSE); /* ends with its connection */
    assert_true(call.result.complete);
    assert_string_equal(call.body, "<a/>");
    call = run_reply("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", TLS_KEEP);
    assert_true(call.result.complete);
    assert_int_equal(call.result.body.len, 0);
    assert_int_equal(call.result.date_ms, 0);
}

static void
test_redirects_and_challenges_are_answers(void **state)
{
    struct call call;

    (void)state;
    call = run_reply("HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:1/\r\n"
                     "Content-Length: 0\r\n\r\n",
                     TLS_KEEP);
    assert_int_equal(call.result.status, 302);
    assert_true(call.result.complete);
    call = run_reply("HTTP/1.1 401 No\r\nWWW-Authenticate: Digest realm=\"x\", nonce=\"y\"\r\n"
                     "Content-Length: 0\r\n\r\n",
                     TLS_KEEP);
    assert_int_equal(call.result.status, 401);
    call = run_reply("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n", TLS_KEEP);
    assert_int_equal(call.result.status, 417);
    assert_int_equal(call.gate_calls, 1);
}

static void
test_retry_after(void **state)
{
    struct call call;

    (void)state;
    call = run_reply("HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", TLS_KEEP);
    assert_int_equal(call.result.status, 503);
    assert_int_equal(call.result.retry_after_ms, 7000);
    call = run_reply("HTTP/1.1 429 Slow\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\n"
                     "Retry-After: Mon, 23 Nov 2026 10:00:30 GMT\r\nContent-Length: 0\r\n\r\n",
                     TLS_KEEP);
    assert_int_equal(call.result.retry_after_ms, 30000); /* by their clock, not ours */
    call = run_reply("HTTP/1.1 429 Slow\r\nRetry-After: 99999999999999999999\r\n"
                     "Content-Length: 0\r\n\r\n",
                     TLS_KEEP);
    assert_int_equal(call.result.retry_after_ms, 24 * 3600 * 1000);
    call =
        run_reply("HTTP/1.1 429 Slow\r\nRetry-After: soon\r\nContent-Length: 0\r\n\r\n", TLS_KEEP);
    assert_int_equal(call.result.retry_after_ms, 0);
}

static void
test_replies_beyond_the_limit(void **state)
{
    char bytes[1000];
    struct call call;

    (void)state;
    snprintf(bytes, sizeof(bytes), "HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n%0101d", 0);
    call = run_reply(bytes, TLS_KEEP);
    assert_true(call.result.too_large);
    assert_false(call.result.complete);
    assert_string_equal(call.result.problem, "http-too-large");
    snprintf(bytes, sizeof(bytes), "HTTP/1.1 200 OK\r\n\r\n%0101d", 0); /* no length told */
    call = run_reply(bytes, TLS_CLOSE);
    assert_true(call.result.too_large);
    assert_string_equal(call.result.problem, "http-too-large");
    snprintf(bytes, sizeof(bytes), "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n%0100d", 0);
    call = run_reply(bytes, TLS_KEEP);
    assert_true(call.result.complete);
    assert_int_equal(call.result.body.len, 100);
}

static void
test_nobody_there_and_no_handshake(void **state)
{
    const struct tls_reply script[] = {{OK_REPLY, TLS_KEEP, 0}};
    const struct ew_http_options quick = {.connect_timeout_ms = 200};
    struct bench bench = bench_open("IP:127.0.0.1", script, 1, &quick);
    struct call call = {.answer = true};

    (void)state;
    post(&call, &bench, "https://127.0.0.1:1/", true, 3000);
    ew_loop_run(bench.loop);
    assert_string_equal(call.result.problem, "http-connect");
    assert_false(call.result.gate_passed);
    assert_int_equal(call.gate_calls, 0);

    call = (struct call){.answer = true};
    post(&call, &bench, "https://no-such-host.invalid/", true, 3000);
    ew_loop_run(bench.loop);
    assert_non_null(call.result.problem);
    assert_false(call.result.gate_passed);

    bench.server->stall_handshake = true;
    call = run(&bench, true, true);
    assert_string_equal(call.result.problem, "http-connect-timeout");
    assert_in_range(call.result.total_ms, 190, 1500);
    assert_false(call.result.gate_passed);
    assert_int_equal(call.gate_calls, 0);
    bench_close(&bench);
}

static void
test_a_reply_that_never_comes(void **state)
{
    const struct tls_reply script[] = {{NULL, TLS_STALL, 0}};
    struct bench bench = bench_open("IP:127.0.0.1", script, 1, NULL);
    struct call call = {.answer = true};

    (void)state;
    post(&call, &bench, NULL, true, 300);
    ew_loop_run(bench.loop);
    assert_string_equal(call.result.problem, "http-timeout");
    assert_true(call.result.gate_passed);
    assert_int_equal(bench.server->requests, 1);
    bench_close(&bench);
}

static void
test_only_the_right_peer_is_trusted(void **state)
{
    const struct tls_reply script[] = {{OK_REPLY, TLS_KEEP, 0}};
    struct bench bench = bench_open("IP:127.0.0.2", script, 1, NULL);
    const struct ew_http_options system = {.ca_file = "/etc/ssl/certs/ca-certificates.crt"};
    struct call call = run(&bench, true, true);
    struct ew_http *http = NULL;

    (void)state;
    assert_string_equal(call.result.problem, "http-certificate"); /* another name */
    assert_false(call.result.gate_passed);
    bench_close(&bench);
    if (access(system.ca_file, R_OK) == 0) {
        bench = bench_open("IP:127.0.0.1", script, 1, &system);
        call = run(&bench, true, true);
        assert_string_equal(call.result.problem, "http-certificate"); /* unknown issuer */
        assert_int_equal(bench.server->requests, 0);
        bench_close(&bench);
    }
    bench = bench_open("IP:127.0.0.1", script, 1, NULL);
    assert_int_equal(
        ew_http_new(bench.loop, &(struct ew_http_options){.ca_file = "/none"}, &http, NULL),
        EW_HALT);
    assert_null(http);
    bench_close(&bench);
}

static void
test_old_tls_is_refused(void **state)
{
    const struct tls_reply script[] = {{OK_REPLY, TLS_KEEP, 0}};
    struct bench bench = bench_open("IP:127.0.0.1", script, 1, NULL);
    struct call call;

    (void)state;
    SSL_CTX_set_max_proto_version(bench.server->ctx, TLS1_1_VERSION);
    SSL_CTX_set_security_level(bench.server->ctx, 0);
    call = run(&bench, true, true);
    assert_string_equal(call.result.problem, "http-tls");
    assert_false(call.result.gate_passed);
    bench_close(&bench);
}

static void
test_plain_http_is_refused(void **state)
{
    const struct tls_reply script[] = {{OK_REPLY, TLS_KEEP, 0}};
    struct bench bench = bench_open("IP:127.0.0.1", script, 1, NULL);
    struct ew_buf body;
    struct ew_http_call *handle = NULL;
    struct ew_err err;

    (void)state;
    ew_buf_init_secret(&body, 100);
    ew_buf_puts(&body, "secret");
    assert_int_equal(ew_http_post(bench.http,
                                  &(struct ew_http_request){.url = "http://127.0.0.1/",
                                                            .content_type = "text/xml",
                                                            .body = &body,
                                                            .timeout_ms = 100,
                                                            .max_reply = 100,
                                                            .done = on_done},
                                  &handle, &err),
                     EW_BUG);
    assert_string_equal(err.problem, "http-url");
    assert_null(body.data);
    assert_null(handle);
    bench_close(&bench);
}

/* The environment must not be able to send the password through somebody's proxy. */
static void
test_proxy_of_the_environment_is_ignored(void **state)
{
    const struct tls_reply script[] = {{OK_REPLY, TLS_KEEP, 0}};
    struct bench bench;

    (void)state;
    setenv("https_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    bench = bench_open("IP:127.0.0.1", script, 1, NULL);
    assert_true(run(&bench, true, true).result.complete);
    bench_close(&bench);
    unsetenv("https_proxy");
    unsetenv("ALL_PROXY");
}

static void
on_stop(void *arg)
{
    ew_loop_stop(arg);
}

static void
test_cancel_and_free_call_nobody(void **state)
{
    const struct tls_reply script[] = {{NULL, TLS_STALL, 0}};
    struct bench bench = bench_open("IP:127.0.0.1", script, 1, NULL);
    struct call calls[3] = {{.answer = true}, {.answer = true}, {.answer = true}};
    struct ew_http_call *handles[3];
    struct ew_timer timer;

    (void)state;
    for (size_t i = 0; i < 3; i++)
        handles[i] = post(&calls[i], &bench, NULL, true, 3000);
    ew_http_cancel(handles[0]); /* before anything happened */
    ew_timer_init(&timer, bench.loop, on_stop, bench.loop);
    ew_timer_start(&timer, 200);
    ew_loop_run(bench.loop);
    assert_int_equal(calls[1].gate_calls, 1);
    ew_http_cancel(handles[1]); /* in the air */
    ew_http_cancel(NULL);
    ew_timer_start(&timer, 50);
    ew_loop_run(bench.loop);
    assert_int_equal(ew_http_in_flight(bench.http), 1);
    ew_http_free(bench.http); /* with one in the air */
    bench.http = NULL;
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(calls[i].done_calls, 0);
    ew_loop_free(bench.loop);
    tls_server_stop(bench.server);
}

/* From inside a callback: the next call, the end of another one, the end of everything. */
struct chain {
    struct bench *bench;
    struct call next;
    struct ew_http_call *other;
};

static void
on_first_done(void *arg, struct ew_http_result *result)
{
    struct chain *chain = arg;

    assert_true(result->complete);
    ew_http_cancel(chain->other);
    post(&chain->next, chain->bench, NULL, false, 3000);
}

static void
test_posting_and_cancelling_inside_done(void **state)
{
    const struct tls_reply script[] = {{OK_REPLY, TLS_KEEP, 20}};
    struct bench bench = bench_open("IP:127.0.0.1", script, 1, NULL);
    struct tls_server *silent = tls_server_start("IP:127.0.0.1", script, 1);
    struct chain chain = {.bench = &bench, .next = {.answer = true}};
    struct call other = {.answer = true};
    struct ew_http_call *first = NULL;
    struct ew_buf body;

    (void)state;
    silent->stall_handshake = true;
    ew_buf_init_secret(&body, 100);
    assert_int_equal(ew_http_post(bench.http,
                                  &(struct ew_http_request){.url = bench.server->url,
                                                            .content_type = "text/xml",
                                                            .body = &body,
                                                            .timeout_ms = 3000,
                                                            .max_reply = 100,
                                                            .done = on_first_done,
                                                            .arg = &chain},
                                  &first, NULL),
                     EW_OK);
    chain.other = post(&other, &bench, silent->url, true, 3000);
    ew_loop_run(bench.loop);
    assert_true(chain.next.result.complete);
    assert_int_equal(other.done_calls, 0);
    bench_close(&bench);
    tls_server_stop(silent);
}

static void
on_done_free(void *arg, struct ew_http_result *result)
{
    struct bench *bench = arg;

    assert_true(result->complete);
    ew_http_free(bench->http);
    bench->http = NULL;
    ew_loop_stop(bench->loop);
}

static void
test_free_inside_done(void **state)
{
    const struct tls_reply script[] = {{OK_REPLY, TLS_KEEP, 0}};
    struct bench bench = bench_open("IP:127.0.0.1", script, 1, NULL);
    struct tls_server *silent = tls_server_start("IP:127.0.0.1", script, 1);
    struct call other = {.answer = true};
    struct ew_http_call *first = NULL;
    struct ew_buf body;

    (void)state;
    silent->stall_handshake = true;
    ew_buf_init_secret(&body, 100);
    assert_int_equal(ew_http_post(bench.http,
                                  &(struct ew_http_request){.url = bench.server->url,
                                                            .content_type = "text/xml",
                                                            .body = &body,
                                                            .timeout_ms = 3000,
                                                            .max_reply = 100,
                                                            .done = on_done_free,
                                                            .arg = &bench},
                                  &first, NULL),
                     EW_OK);
    post(&other, &bench, silent->url, true, 3000);
    ew_loop_run(bench.loop);
    assert_null(bench.http);
    assert_int_equal(other.done_calls, 0);
    ew_loop_free(bench.loop);
    tls_server_stop(bench.server);
    tls_server_stop(silent);
}

static void
test_many_at_once(void **state)
{
    enum { MANY = 40 };
    const struct tls_reply script[] = {{OK_REPLY, TLS_KEEP, 100}};
    const struct ew_http_options few = {.max_connections = 20};
    struct bench bench = bench_open("IP:127.0.0.1", script, 1, &few);
    static struct call calls[MANY];

    (void)state;
    for (size_t i = 0; i < MANY; i++) {
        calls[i].answer = true;
        post(&calls[i], &bench, NULL, i % 2 == 0, 5000);
    }
    assert_int_equal(ew_http_in_flight(bench.http), MANY);
    ew_loop_run(bench.loop);
    for (size_t i = 0; i < MANY; i++)
        assert_true(calls[i].result.complete);
    assert_int_equal(bench.server->requests, MANY);
    bench_close(&bench);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_good_reply),
        cmocka_unit_test(test_a_closed_gate_sends_nothing),
        cmocka_unit_test(test_a_dead_kept_connection_sends_once),
        cmocka_unit_test(test_a_fresh_connection_sends_once),
        cmocka_unit_test(test_connections_kept_and_fresh),
        cmocka_unit_test(test_incomplete_replies),
        cmocka_unit_test(test_complete_replies_of_every_framing),
        cmocka_unit_test(test_redirects_and_challenges_are_answers),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_replies_beyond_the_limit),
        cmocka_unit_test(test_nobody_there_and_no_handshake),
        cmocka_unit_test(test_a_reply_that_never_comes),
        cmocka_unit_test(test_only_the_right_peer_is_trusted),
        cmocka_unit_test(test_old_tls_is_refused),
        cmocka_unit_test(test_plain_http_is_refused),
        cmocka_unit_test(test_proxy_of_the_environment_is_ignored),
        cmocka_unit_test(test_cancel_and_free_call_nobody),
        cmocka_unit_test(test_posting_and_cancelling_inside_done),
        cmocka_unit_test(test_free_inside_done),
        cmocka_unit_test(test_many_at_once),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
