/*
 * Proof of what comes back, or does not: whole and cut-off replies of every framing, limits, and
 * what each kind of end is called.
 */
#include "bench.h"

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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_incomplete_replies),
        cmocka_unit_test(test_complete_replies_of_every_framing),
        cmocka_unit_test(test_redirects_and_challenges_are_answers),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_replies_beyond_the_limit),
        cmocka_unit_test(test_a_reply_that_never_comes),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
