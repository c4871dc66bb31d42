/*
 * Proof of whom it talks to: nobody there, nobody but the right peer, nothing but TLS of today, and
 * no proxy in between.
 */
#include "bench.h"

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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_there_and_no_handshake),
        cmocka_unit_test(test_only_the_right_peer_is_trusted),
        cmocka_unit_test(test_old_tls_is_refused),
        cmocka_unit_test(test_plain_http_is_refused),
        cmocka_unit_test(test_proxy_of_the_environment_is_ignored),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
