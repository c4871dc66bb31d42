/*
 * Proof of what leaves: nothing before the gate says yes, once and never again by itself, over
 * connections kept and fresh.
 */
#include "bench.h"

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

/* What was sent and not acknowledged must not arrive when nobody counts on it any more. */
static void
test_the_kernel_gives_up_when_it_was_told_to(void **state)
{
    const struct tls_reply script[] = {{OK_REPLY, TLS_KEEP, 0}};
    const struct ew_http_options told = {.tcp_timeout_ms = 700};
    struct bench bench = bench_open("IP:127.0.0.1", script, 1, &told);

    (void)state;
    assert_int_equal(run(&bench, true, true).patience, 700);
    assert_int_equal(run(&bench, false, true).patience, 700);
    bench_close(&bench);
    bench = bench_open("IP:127.0.0.1", script, 1, NULL);
    assert_int_equal(run(&bench, true, true).patience, 15000);
    bench_close(&bench);
}

/* A thousand orders wait at once, for seconds. */
static void
test_no_buffers_while_it_waits(void **state)
{
    const struct tls_reply script[] = {{OK_REPLY, TLS_KEEP, 0}};
    struct bench bench = bench_open("IP:127.0.0.1", script, 1, NULL);

    (void)state;
    assert_true(run(&bench, true, true).frees);
    assert_true(run(&bench, false, true).frees);
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
        cmocka_unit_test(test_the_kernel_gives_up_when_it_was_told_to),
        cmocka_unit_test(test_no_buffers_while_it_waits),
        cmocka_unit_test(test_a_closed_gate_sends_nothing),
        cmocka_unit_test(test_a_dead_kept_connection_sends_once),
        cmocka_unit_test(test_a_fresh_connection_sends_once),
        cmocka_unit_test(test_connections_kept_and_fresh),
        cmocka_unit_test(test_many_at_once),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
