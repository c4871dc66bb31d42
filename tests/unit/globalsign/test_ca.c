/*
 * Proof of the calls over TLS: gate, fresh and kept connections, the order that is sent once, what
 * cannot begin, and lifetimes. What replies mean is proven in test_read.c.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../http/tls_server.h"
#include "ca_private.h"

#define PASSWORD "Secret-4711"

struct bench {
    struct ew_loop *loop;
    struct ew_ca *ca;
    struct tls_server *server;
};

/* What a callback saw; texts are copied. */
struct seen {
    struct bench *bench;
    bool answer; /* of the gate */
    bool free_in_done;
    int gate_calls, done_calls;
    unsigned patience; /* of the kernel, when the gate was asked */
    struct ew_ca_reply reply;
    char order_id[80], certificate[200], message[300], field[80];
};

/* An HTTP reply made of a fixture; lives for the test program. */
static char *
http_reply(const char *name)
{
    static char texts[8][8192];
    static size_t next;
    char path[512], body[4096], *text = texts[next++ % 8];
    FILE *file;
    size_t n;

    snprintf(path, sizeof(path), "%s/tests/unit/globalsign/replies/%s", EW_SOURCE_DIR, name);
    file = fopen(path, "rb");
    assert_non_null(file);
    n = fread(body, 1, sizeof(body) - 1, file);
    body[n] = '\0';
    fclose(file);
    snprintf(text, sizeof(texts[0]),
             "HTTP/1.1 200 OK\r\nContent-Type: text/xml;charset=UTF-8\r\n"
             "Set-Cookie: JSESSIONID=0123456789ABCDEF; Path=/cr\r\n"
             "Date: Mon, 23 Nov 2026 10:00:00 GMT\r\nContent-Length: %zu\r\n\r\n%s",
             n, body);
    return text;
}

static struct ew_buf
secret(const char *text)
{
    struct ew_buf buf;

    ew_buf_init_secret(&buf, 100);
    ew_buf_puts(&buf, text);
    return buf;
}

static struct bench
bench_open(const struct tls_reply *script, size_t len)
{
    struct bench bench = {0};
    struct ew_buf password = secret(PASSWORD);

    bench.server = tls_server_start("IP:127.0.0.1", script, len);
    assert_int_equal(ew_loop_new(&ew_clock_system, 1, &bench.loop, NULL), EW_OK);
    assert_int_equal(ew_ca_new(bench.loop,
                               &(struct ew_ca_options){.url = bench.server->url,
                                                       .ca_file = bench.server->ca_file,
                                                       .user = "PAR00001_api",
                                                       .connect_ms = 1000,
                                                       .tcp_ms = 700,
                                                       .order_ms = 500,
                                                       .query_ms = 500},
                               &password, &bench.ca, NULL),
                     EW_OK);
    assert_null(password.data);
    return bench;
}

static void
bench_close(struct bench *bench)
{
    ew_ca_free(bench->ca);
    ew_loop_free(bench->loop);
    tls_server_stop(bench->server);
}

static bool
on_gate(void *arg)
{
    struct seen *seen = arg;

    seen->gate_calls++;
    seen->patience = tls_client_patience(seen->bench->server);
    return seen->answer;
}

static void
on_done(void *arg, const struct ew_ca_reply *reply)
{
    struct seen *seen = arg;

    seen->done_calls++;
    seen->reply = *reply;
    snprintf(seen->order_id, sizeof(seen->order_id), "%s", reply->order_id);
    snprintf(seen->certificate, sizeof(seen->certificate), "%s", reply->certificate);
    snprintf(seen->message, sizeof(seen->message), "%s", reply->message);
    snprintf(seen->field, sizeof(seen->field), "%s", reply->field);
    if (seen->free_in_done) {
        ew_ca_free(seen->bench->ca);
        seen->bench->ca = NULL;
    }
    ew_loop_stop(seen->bench->loop);
}

static const struct ew_ca_order_request request = {
    .profile = "MP202601150001",
    .product = "EPKIPSPersonal",
    .years = 1,
    .csr = "-----BEGIN CERTIFICATE REQUEST-----\nMIIC\n-----END CERTIFICATE REQUEST-----\n",
    .cn = "Ada Example",
};

static struct seen
order(struct bench *bench, bool answer)
{
    struct seen seen = {.bench = bench, .answer = answer};

    assert_non_null(ew_ca_order(bench->ca, &request, on_gate, on_done, &seen));
    assert_int_equal(seen.done_calls, 0);
    ew_loop_run(bench->loop);
    assert_int_equal(seen.done_calls, 1);
    return seen;
}

static struct seen
query(struct bench *bench)
{
    struct seen seen = {.bench = bench};

    ew_ca_get_orders(bench->ca, "MP1", "Ada Example", 0, 0, on_done, &seen);
    ew_loop_run(bench->loop);
    assert_int_equal(seen.done_calls, 1);
    return seen;
}

static void
test_an_order(void **state)
{
    const struct tls_reply script[] = {{http_reply("order_issued.xml"), TLS_KEEP, 0}};
    struct bench bench = bench_open(script, 1);
    struct seen seen = order(&bench, true);

    (void)state;
    assert_int_equal(seen.reply.cls, EW_CA_OK);
    assert_int_equal(seen.gate_calls, 1);
    assert_int_equal(seen.patience, 700);
    assert_string_equal(seen.order_id, "CEPS260302000124");
    assert_non_null(strstr(seen.certificate, "MIIF"));
    assert_int_equal(seen.reply.date_ms, 1795428000000);
    assert_non_null(strstr(bench.server->last_request, "<Password>" PASSWORD "</Password>"));
    assert_null(strcasestr(bench.server->last_request, "cookie"));
    bench_close(&bench);
}

static void
test_a_closed_gate(void **state)
{
    const struct tls_reply script[] = {{http_reply("order_issued.xml"), TLS_KEEP, 0}};
    struct bench bench = bench_open(script, 1);
    struct seen seen = order(&bench, false);

    (void)state;
    assert_int_equal(seen.reply.cls, EW_CA_NOT_SENT);
    assert_false(seen.reply.gate_passed);
    assert_string_equal(seen.reply.problem, "ca-gate");
    usleep(50000);
    assert_int_equal(bench.server->requests, 0);
    bench_close(&bench);
}

/* Orders stand on connections of their own, so that none can die under them and none is repeated;
 * queries share kept ones. */
static void
test_connections(void **state)
{
    const struct tls_reply script[] = {
        {http_reply("orders.xml"), TLS_KEEP, 0},
        {http_reply("orders.xml"), TLS_KEEP, 0},
        {http_reply("order_issued.xml"), TLS_KEEP, 0},
        {http_reply("order_issued.xml"), TLS_KEEP, 0},
        {http_reply("orders.xml"), TLS_CLOSE, 0},
        {NULL, TLS_CLOSE, 0},
    };
    struct bench bench = bench_open(script, 6);

    (void)state;
    assert_int_equal(query(&bench).reply.order_count, 2);
    assert_int_equal(query(&bench).reply.order_count, 2);
    assert_int_equal(bench.server->connections, 1);
    assert_int_equal(order(&bench, true).reply.cls, EW_CA_OK);
    assert_int_equal(order(&bench, true).reply.cls, EW_CA_OK);
    assert_int_equal(bench.server->connections, 3);
    assert_int_equal(bench.server->resumed, 2);
    assert_int_equal(query(&bench).reply.cls, EW_CA_OK);
    assert_int_equal(order(&bench, true).reply.cls, EW_CA_UNKNOWN); /* read, then hung up */
    assert_int_equal(bench.server->requests, 6);
    bench_close(&bench);
}

static void
test_a_silent_server(void **state)
{
    const struct tls_reply script[] = {{NULL, TLS_STALL, 0}};
    struct bench bench = bench_open(script, 1);
    struct seen seen = order(&bench, true);

    (void)state;
    assert_int_equal(seen.reply.cls, EW_CA_UNKNOWN);
    assert_string_equal(seen.reply.problem, "ca-timeout");
    seen = query(&bench);
    assert_int_equal(seen.reply.cls, EW_CA_TRY_LATER);
    assert_string_equal(seen.reply.problem, "ca-timeout");
    bench_close(&bench);
}

/* A list that would be longer counts as capped, by its length alone; one that breaks off within the
 * limit is no list. */
static void
test_a_reply_beyond_the_limit(void **state)
{
    char within[100], beyond[100];
    const struct tls_reply script[] = {{beyond, TLS_CLOSE, 0}, {within, TLS_CLOSE, 0}};
    struct bench bench;
    struct seen seen;

    (void)state;
    snprintf(beyond, sizeof(beyond), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n<",
             EW_MAX_REPLY + 1);
    snprintf(within, sizeof(within), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n<",
             EW_MAX_REPLY);
    bench = bench_open(script, 2);
    seen = query(&bench);
    assert_int_equal(seen.reply.cls, EW_CA_OK);
    assert_true(seen.reply.capped);
    seen = query(&bench);
    assert_int_equal(seen.reply.cls, EW_CA_TRY_LATER);
    assert_false(seen.reply.capped);
    bench_close(&bench);
}

static void
test_every_other_verb(void **state)
{
    const struct tls_reply script[] = {{http_reply("order_detail.xml"), TLS_KEEP, 0},
                                       {http_reply("profiles.xml"), TLS_KEEP, 0},
                                       {http_reply("cancelled.xml"), TLS_KEEP, 0},
                                       {http_reply("revoked.xml"), TLS_KEEP, 0}};
    struct bench bench = bench_open(script, 4);
    struct seen seen = {.bench = &bench};

    (void)state;
    ew_ca_get_order(bench.ca, "CEPS1", on_done, &seen);
    ew_loop_run(bench.loop);
    assert_int_equal(seen.reply.cls, EW_CA_OK);
    assert_int_equal(seen.reply.order_count, 1);
    ew_ca_get_profiles(bench.ca, NULL, on_done, &seen);
    ew_loop_run(bench.loop);
    assert_int_equal(seen.reply.profile_count, 1);
    ew_ca_cancel(bench.ca, "CEPS1", on_done, &seen);
    ew_loop_run(bench.loop);
    assert_int_equal(seen.reply.cls, EW_CA_OK);
    assert_non_null(strstr(bench.server->last_request, "<ws:Cancel>"));
    ew_ca_revoke(bench.ca, "CEPS1", on_done, &seen);
    ew_loop_run(bench.loop);
    assert_int_equal(seen.reply.cls, EW_CA_OK);
    assert_string_equal(seen.order_id, "CEPS1");
    assert_non_null(strstr(bench.server->last_request, "<ws:Revoke>"));
    assert_int_equal(seen.done_calls, 4);
    bench_close(&bench);
}

/* Said later, never inside the verb; and nothing leaves. */
static void
test_what_cannot_be_written(void **state)
{
    const struct tls_reply script[] = {{http_reply("order_issued.xml"), TLS_KEEP, 0}};
    struct bench bench = bench_open(script, 1);
    struct ew_ca_order_request bad = request;
    struct seen seen = {.bench = &bench, .answer = true};
    struct ew_buf password = secret("pass\nword");
    struct ew_ca_call *call;

    (void)state;
    bad.cn = "\xff";
    ew_ca_order(bench.ca, &bad, on_gate, on_done, &seen);
    assert_int_equal(seen.done_calls, 0);
    ew_loop_run(bench.loop);
    assert_int_equal(seen.reply.cls, EW_CA_REJECTED);
    assert_string_equal(seen.reply.problem, "ca-text");
    assert_string_equal(seen.field, "CommonName");
    assert_int_equal(seen.gate_calls, 0);

    call = ew_ca_order(bench.ca, &bad, on_gate, on_done, &seen);
    ew_ca_call_cancel(call);

    ew_ca_set_password(bench.ca, &password);
    ew_ca_order(bench.ca, &request, on_gate, on_done, &seen);
    ew_loop_run(bench.loop);
    assert_int_equal(seen.reply.cls, EW_CA_ACCOUNT);
    assert_null(strstr(seen.message, "pass"));
    assert_int_equal(seen.done_calls, 2);
    assert_int_equal(bench.server->requests, 0);
    bench_close(&bench);
}

static void
test_a_new_password(void **state)
{
    const struct tls_reply script[] = {{http_reply("orders.xml"), TLS_KEEP, 0}};
    struct bench bench = bench_open(script, 1);
    struct ew_buf password = secret("another");

    (void)state;
    ew_ca_set_password(bench.ca, &password);
    assert_null(password.data);
    query(&bench);
    assert_non_null(strstr(bench.server->last_request, "<Password>another</Password>"));
    bench_close(&bench);
}

static void
test_options_are_checked(void **state)
{
    static const int orders_may_stand[] = {-4005, -1};
    static const struct {
        struct ew_ca_options options;
        const char *password, *problem;
    } cases[] = {
        {{.url = "http://127.0.0.1/", .user = "u"}, "p", "ca-url"},
        {{.user = "u"}, "p", "ca-url"},
        {{.url = "https://127.0.0.1/", .user = ""}, "p", "ca-user"},
        {{.url = "https://127.0.0.1/", .user = "1234567890123456789012345678901"}, "p", "ca-user"},
        {{.url = "https://127.0.0.1/", .user = "u"}, "", "ca-password"},
        {{.url = "https://127.0.0.1/", .user = "u"},
         "1234567890123456789012345678901",
         "ca-password"},
        {{.url = "https://127.0.0.1/", .user = "u"}, "p\n", "ca-password"},
        {{.url = "https://127.0.0.1/", .user = "u", .ca_file = "/none"}, "p", "http-ca-file"},
        {{.url = "https://127.0.0.1/", .user = "u", .hold_code_count = EW_MAX_HOLD_CODES + 1},
         "p",
         "ca-hold-codes"},
        {{.url = "https://127.0.0.1/",
          .user = "u",
          .hold_codes = orders_may_stand,
          .hold_code_count = 2},
         "p",
         "ca-hold-codes"},
    };
    struct ew_loop *loop = NULL;

    (void)state;
    assert_int_equal(ew_loop_new(&ew_clock_system, 1, &loop, NULL), EW_OK);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ew_buf password = secret(cases[i].password);
        struct ew_ca *ca = NULL;
        struct ew_err err;

        assert_int_equal(ew_ca_new(loop, &cases[i].options, &password, &ca, &err), EW_HALT);
        assert_string_equal(err.problem, cases[i].problem);
        assert_null(ca);
        assert_null(password.data);
    }
    ew_ca_free(NULL);
    ew_ca_call_cancel(NULL);
    ew_loop_free(loop);
}

static void
on_stop(void *arg)
{
    ew_loop_stop(arg);
}

static void
test_cancel_and_free(void **state)
{
    const struct tls_reply script[] = {{NULL, TLS_STALL, 0}};
    struct bench bench = bench_open(script, 1);
    struct seen one = {.bench = &bench, .answer = true}, two = one;
    struct ew_ca_call *call = ew_ca_order(bench.ca, &request, on_gate, on_done, &one);
    struct ew_timer timer;

    (void)state;
    ew_ca_order(bench.ca, &request, on_gate, on_done, &two);
    ew_timer_init(&timer, bench.loop, on_stop, bench.loop);
    ew_timer_start(&timer, 150);
    ew_loop_run(bench.loop);
    assert_int_equal(one.gate_calls, 1);
    ew_ca_call_cancel(call);
    ew_ca_free(bench.ca); /* with the other one in the air */
    bench.ca = NULL;
    ew_timer_start(&timer, 50);
    ew_loop_run(bench.loop);
    assert_int_equal(one.done_calls + two.done_calls, 0);
    bench_close(&bench);
}

static void
test_free_inside_done(void **state)
{
    const struct tls_reply script[] = {{http_reply("order_issued.xml"), TLS_KEEP, 0}};
    struct bench bench = bench_open(script, 1);
    struct seen seen = {.bench = &bench, .answer = true, .free_in_done = true};

    (void)state;
    ew_ca_order(bench.ca, &request, on_gate, on_done, &seen);
    ew_loop_run(bench.loop);
    assert_int_equal(seen.done_calls, 1);
    assert_null(bench.ca);
    bench_close(&bench);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_order),
        cmocka_unit_test(test_a_closed_gate),
        cmocka_unit_test(test_connections),
        cmocka_unit_test(test_a_silent_server),
        cmocka_unit_test(test_every_other_verb),
        cmocka_unit_test(test_what_cannot_be_written),
        cmocka_unit_test(test_a_new_password),
        cmocka_unit_test(test_options_are_checked),
        cmocka_unit_test(test_a_reply_beyond_the_limit),
        cmocka_unit_test(test_cancel_and_free),
        cmocka_unit_test(test_free_inside_done),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
