/*
 * Proof of calls that are given up, from outside and from inside a callback: nobody is called back
 * any more.
 */
#include "bench.h"

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
    while (calls[1].gate_calls == 0 || calls[2].gate_calls == 0) { /* or their 3 s are over */
        assert_int_equal(calls[1].done_calls + calls[2].done_calls, 0);
        ew_timer_start(&timer, 10);
        ew_loop_run(bench.loop);
    }
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

/* With a callback of the test's own. */
static void
post_to(struct bench *bench, void (*done)(void *, struct ew_http_result *), void *arg)
{
    struct ew_http_call *handle = NULL;
    struct ew_buf body;

    ew_buf_init_secret(&body, 100);
    assert_int_equal(ew_http_post(bench->http,
                                  &(struct ew_http_request){.url = bench->server->url,
                                                            .content_type = "text/xml",
                                                            .body = &body,
                                                            .timeout_ms = 3000,
                                                            .max_reply = 100,
                                                            .done = done,
                                                            .arg = arg},
                                  &handle, NULL),
                     EW_OK);
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

    (void)state;
    silent->stall_handshake = true;
    post_to(&bench, on_first_done, &chain);
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

    (void)state;
    silent->stall_handshake = true;
    post_to(&bench, on_done_free, &bench);
    post(&other, &bench, silent->url, true, 3000);
    ew_loop_run(bench.loop);
    assert_null(bench.http);
    assert_int_equal(other.done_calls, 0);
    ew_loop_free(bench.loop);
    tls_server_stop(bench.server);
    tls_server_stop(silent);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cancel_and_free_call_nobody),
        cmocka_unit_test(test_posting_and_cancelling_inside_done),
        cmocka_unit_test(test_free_inside_done),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
