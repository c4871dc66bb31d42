/*
 * A loop, an http and the server that it talks to; calls that tell what was called back.
 */
#pragma once

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http_private.h"
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
    struct ew_http_call *handle;
    /* when the gate was asked: */
    unsigned patience; /* the kernel's */
    bool frees;        /* the connection keeps no buffers while it waits */
    bool in_post;
    struct ew_http_result result; /* texts of it must not be read */
    char body[128], detail[300], type[64];
};

static inline struct bench
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

static inline void
bench_close(struct bench *bench)
{
    assert_int_equal(ew_http_in_flight(bench->http), 0);
    ew_http_free(bench->http);
    ew_loop_free(bench->loop);
    tls_server_stop(bench->server);
}

static inline bool
frees_buffers(struct ew_http_call *handle)
{
    struct curl_tlssessioninfo *info = NULL;

    assert_int_equal(curl_easy_getinfo(handle->easy, CURLINFO_TLS_SSL_PTR, &info), CURLE_OK);
    assert_non_null(info->internals);
    return (SSL_get_mode((SSL *)info->internals) & SSL_MODE_RELEASE_BUFFERS) != 0;
}

static inline bool
on_gate(void *arg)
{
    struct call *call = arg;

    call->gate_calls++;
    assert_int_equal(call->done_calls, 0);
    call->patience = tls_client_patience(call->bench->server);
    call->frees = frees_buffers(call->handle);
    return call->answer;
}

static inline void
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

static inline struct ew_http_call *
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
    call->handle = handle;
    assert_null(body.data); /* taken over */
    return handle;
}

/* One call from beginning to end. */
static inline struct call
run(struct bench *bench, bool fresh, bool answer)
{
    struct call call = {.answer = answer};

    post(&call, bench, NULL, fresh, 3000);
    ew_loop_run(bench->loop);
    assert_int_equal(call.done_calls, 1);
    return call;
}

static inline struct call
run_reply(const char *bytes, enum tls_then then)
{
    const struct tls_reply script[] = {{bytes, then, 0}};
    struct bench bench = bench_open("IP:127.0.0.1", script, 1, NULL);
    struct call call = run(&bench, true, true);

    assert_true(call.result.gate_passed);
    bench_close(&bench);
    return call;
}
