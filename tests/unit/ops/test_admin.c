/*
 * The admin port over real sockets: what a probe, Prometheus, a curious hand and an attacker get.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "ops/admin.h"

static struct ew_metrics *metrics;
static struct ew_admin *admin;
static int port;
static atomic_bool alive = true, ready = true;
static const char *ready_reason = "joined";

static bool
live_says(void *arg, const char **reason)
{
    if (arg != &alive)
        abort();
    *reason = alive ? "it turns" : "it stands still";
    return alive;
}

static bool
ready_says(void *arg, const char **reason)
{
    if (arg != &alive)
        abort();
    *reason = ready_reason;
    return ready;
}

static int
free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static struct ew_admin_options
options_of(const char *address, int number)
{
    return (struct ew_admin_options){.address = address,
                                     .port = number,
                                     .live = live_says,
                                     .ready = ready_says,
                                     .arg = &alive,
                                     .metrics = metrics};
}

/* Somebody may take the free port before us: another one, then. */
static int
set_up(void **state)
{
    struct ew_err err;

    (void)state;
    metrics = ew_metrics_new("9.9.9");
    for (int i = 0; i < 20; i++) {
        struct ew_admin_options options = options_of("127.0.0.1", port = free_port());

        if (ew_admin_start(&options, &admin, &err) == EW_OK)
            return 0;
    }
    return -1;
}

static int
tear_down(void **state)
{
    (void)state;
    ew_admin_stop(admin);
    ew_metrics_free(metrics);
    return 0;
}

/* --- a client of nothing but sockets --- */

static int patience_ms = 20000;

/* From another address of the loopback, as another peer. */
static int
dial_from(uint32_t peer)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval patience = {.tv_sec = patience_ms / 1000,
                                     .tv_usec = patience_ms % 1000 * 1000};
    const struct sockaddr_in own = {.sin_family = AF_INET,
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK + peer)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (bind(fd, (const struct sockaddr *)&own, sizeof(own)) != 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int
dial(void)
{
    return dial_from(0);
}

struct answer {
    int status; /* 0 = the connection ended without one */
    char text[128 * 1024];
    const char *body;
};

static void
send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);

        if (sent <= 0)
            return; /* the server has had enough: its answer is what counts */
        data += sent;
        len -= (size_t)sent;
    }
}

static void
read_answer(int fd, struct answer *out)
{
    size_t len = 0;
    ssize_t got;

    while (len < sizeof(out->text) - 1 &&
           (got = recv(fd, out->text + len, sizeof(out->text) - 1 - len, 0)) > 0)
        len += (size_t)got;
    close(fd);
    out->text[len] = '\0';
    out->status = 0;
    (void)sscanf(out->text, "HTTP/1.%*d %d", &out->status);
    out->body = strstr(out->text, "\r\n\r\n");
    out->body = out->body == NULL ? "" : out->body + 4;
}

static void
ask_raw(const char *data, size_t len, struct answer *out)
{
    int fd = dial();

    assert_true(fd >= 0);
    send_all(fd, data, len);
    (void)shutdown(fd, SHUT_WR);
    read_answer(fd, out);
}

static struct answer *
ask(const char *method, const char *target)
{
    static struct answer answer;
    char request[512];
    int len = snprintf(request, sizeof(request),
                       "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", method, target);

    ask_raw(request, (size_t)len, &answer);
    return &answer;
}

static bool
has_header(const struct answer *answer, const char *line)
{
    char find[128];
    const char *at;

    (void)snprintf(find, sizeof(find), "\r\n%s\r\n", line);
    at = strcasestr(answer->text, find);
    return at != NULL && at < answer->body;
}

/* --- the tests --- */

static void
test_probes(void **state)
{
    const struct answer *answer = ask("GET", "/livez");

    (void)state;
    assert_int_equal(answer->status, 200);
    assert_string_equal(answer->body, "ok: it turns\n");
    assert_true(has_header(answer, "Content-Type: text/plain; charset=utf-8"));
    assert_true(has_header(answer, "Cache-Control: no-store"));
    alive = false;
    answer = ask("GET", "/livez");
    assert_int_equal(answer->status, 503);
    assert_string_equal(answer->body, "not ok: it stands still\n");
    assert_int_equal(ask("GET", "/readyz")->status, 200); /* each asks its own question */
    alive = true;
    ready = false;
    ready_reason = "draining";
    assert_int_equal(ask("GET", "/readyz")->status, 503);
    assert_string_equal(ask("GET", "/readyz")->body, "not ok: draining\n");
    assert_int_equal(ask("GET", "/livez")->status, 200);
    ready = true;
    ready_reason = "joined";
    assert_string_equal(ask("GET", "/readyz")->body, "ok: joined\n");
    assert_int_equal(ask("GET", "/livez?verbose=1")->status, 200);
}

static void
test_a_long_reason_is_cut(void **state)
{
    static char reason[1000];
    const struct answer *answer;

    (void)state;
    memset(reason, 'r', sizeof(reason) - 1);
    ready_reason = reason;
    answer = ask("GET", "/readyz");
    ready_reason = "joined";
    assert_int_equal(answer->status, 200);
    assert_int_equal(strlen(answer->body), 4 + 200 + 1);
    assert_int_equal(strspn(answer->body + 4, "r"), 200);
}

static void
test_metrics_are_what_is_counted(void **state)
{
    const struct answer *answer;
    struct ew_buf text;

    (void)state;
    ew_metric_add(metrics, EW_METRIC_DEAD_LETTERS, 0, 3);
    answer = ask("GET", "/metrics");
    assert_int_equal(answer->status, 200);
    assert_true(has_header(answer, "Content-Type: text/plain; version=0.0.4; charset=utf-8"));
    assert_non_null(strstr(answer->body, "\nepki_dead_letters_total 3\n"));
    ew_buf_init(&text, sizeof(answer->text));
    ew_metrics_render(metrics, &text);
    assert_false(text.overflowed);
    assert_string_equal(answer->body, ew_buf_text(&text));
    ew_buf_deinit(&text);
}

static void
test_other_paths_and_methods(void **state)
{
    static const char *const paths[] = {"/",       "/livez/", "/LIVEZ",    "/livezz", "/live",
                                        "//livez", "/debug",  "/../livez", "/%00",    "/metrics/x"};
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "get", "TRACE"};
    const struct answer *answer;

    (void)state;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        answer = ask("GET", paths[i]);
        if (answer->status != 404 && answer->status != 400)
            fail_msg("%s gave %d", paths[i], answer->status);
        assert_null(strstr(answer->body, "epki_"));
    }
    assert_string_equal(ask("GET", "/x")->body, "try /livez /readyz /metrics\n");
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        answer = ask(methods[i], "/metrics");
        if (answer->status != 405)
            fail_msg("%s gave %d", methods[i], answer->status);
        assert_true(has_header(answer, "Allow: GET, HEAD"));
        assert_null(strstr(answer->body, "epki_"));
    }
    answer = ask("HEAD", "/metrics");
    assert_int_equal(answer->status, 200);
    assert_string_equal(answer->body, "");
}

/* Whatever was sent, the next one is served. */
static void
survived(void)
{
    assert_int_equal(ask("GET", "/livez")->status, 200);
}

static void
test_oversize_requests(void **state)
{
    enum { SIZE = 4 * 1024 * 1024 };
    static struct answer answer;
    char *text = malloc(SIZE);
    int len;

    (void)state;
    memset(text, 'a', SIZE);
    memcpy(text, "GET /livez?", 11);
    ask_raw(text, SIZE, &answer); /* a target without end */
    assert_true(answer.status == 0 || (answer.status >= 400 && answer.status < 500));
    survived();
    len = snprintf(text, SIZE, "GET /livez HTTP/1.1\r\nHost: x\r\nX: ");
    text[len] = 'a';
    ask_raw(text, SIZE, &answer); /* a header without end */
    assert_true(answer.status == 0 || (answer.status >= 400 && answer.status < 500));
    survived();
    memset(text, 'a', SIZE);
    len = snprintf(text, SIZE, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n",
                   SIZE);
    text[len] = 'a';
    ask_raw(text, SIZE, &answer); /* a body without end: refused, never stored */
    assert_true(answer.status == 0 || answer.status == 405);
    survived();
    len = snprintf(text, SIZE, "GET /livez HTTP/1.1\r\nHost: x\r\n");
    while (len < SIZE - 40)
        len += snprintf(text + len, (size_t)(SIZE - len), "H%d: v\r\n", len);
    ask_raw(text, (size_t)len, &answer); /* headers without end */
    assert_true(answer.status == 0 || (answer.status >= 400 && answer.status < 500));
    survived();
    free(text);
}

static void
test_what_is_no_http(void **state)
{
    static const char *const rows[] = {
        "\r\n\r\n",
        "hello\r\n\r\n",
        "GET\r\n\r\n",
        "GET /livez\r\n\r\n",
        "GET /livez HTTP/9.9\r\n\r\n",
        "GET /livez HTTP/1.1\r\n\r\n",
        "GET /livez HTTP/1.1\r\nno colon\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /livez HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"};
    static struct answer answer;
    char bytes[4096];
    uint64_t seed = 3;

    (void)state;
    patience_ms = 300; /* to some of it the server waits for more */
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ask_raw(rows[i], strlen(rows[i]), &answer);
        if (strstr(answer.body, "epki_") != NULL ||
            (answer.status >= 500 && answer.status != 505)) /* 505: a version it does not speak */
            fail_msg("row %zu gave %d", i, answer.status);
    }
    for (int round = 0; round < 10; round++) {
        int fd = dial();

        for (size_t i = 0; i < sizeof(bytes); i++) {
            seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
            bytes[i] = (char)(seed >> 40);
        }
        assert_true(fd >= 0);
        send_all(fd, bytes, sizeof(bytes));
        close(fd);
    }
    patience_ms = 20000;
    survived();
}

static void *
ask_many(void *arg)
{
    struct answer *answer = malloc(sizeof(*answer));
    const char request[] = "GET /metrics HTTP/1.0\r\n\r\n";
    intptr_t good = 0;

    (void)arg;
    for (int i = 0; i < 25; i++) {
        ask_raw(request, sizeof(request) - 1, answer);
        good += answer->status == 200 && strstr(answer->body, "epki_redis_rtt_seconds ") != NULL;
    }
    free(answer);
    return (void *)good;
}

static void
test_side_by_side(void **state)
{
    pthread_t threads[6];
    void *good;

    (void)state;
    for (int i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_many, NULL), 0);
    for (int i = 0; i < 6; i++) {
        (void)pthread_join(threads[i], &good);
        assert_int_equal((intptr_t)good, 25);
    }
}

/* Connections that say nothing are shown the door, so that a probe gets in, if it has to wait. */
static void
test_idle_connections_do_not_stay(void **state)
{
    enum { IDLE = 32 };
    int fds[IDLE];

    (void)state;
    for (int i = 0; i < IDLE; i++)
        assert_true((fds[i] = dial_from(1 + (uint32_t)i % 2)) >= 0);
    survived();
    for (int i = 0; i < IDLE; i++)
        close(fds[i]);
}

/* One peer alone does not keep the others waiting, however slowly it speaks. */
static void
test_one_peer_leaves_room_for_others(void **state)
{
    enum { MANY = 40 };
    const struct answer *answer;
    int fds[MANY];
    const int before = patience_ms;

    (void)state;
    for (int i = 0; i < MANY; i++) {
        assert_true((fds[i] = dial_from(1)) >= 0);
        (void)send(fds[i], "G", 1, MSG_NOSIGNAL);
    }
    patience_ms = 1000; /* less than what idle ones are given */
    answer = ask("GET", "/livez");
    patience_ms = before;
    assert_int_equal(answer->status, 200);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
}

static void
test_refused_starts(void **state)
{
    static const char *const addresses[] = {"localhost", "::1", "", "127.0.0.1.1", "256.0.0.1"};
    struct ew_admin *other = NULL;
    struct ew_err err;

    (void)state;
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        struct ew_admin_options options = options_of(addresses[i], port);

        assert_int_equal(ew_admin_start(&options, &other, &err), EW_HALT);
        assert_string_equal(err.field, "admin.address");
    }
    struct ew_admin_options taken = options_of("127.0.0.1", port);

    assert_int_equal(ew_admin_start(&taken, &other, &err), EW_HALT);
    assert_string_equal(err.field, "admin.port");
    assert_non_null(err.advice);
    assert_null(other);
    survived();
    ew_admin_stop(NULL);
}

static void
test_the_port_is_free_after_the_stop(void **state)
{
    struct ew_admin_options options = options_of("127.0.0.1", port);
    struct ew_err err;

    (void)state;
    survived();
    ew_admin_stop(admin);
    assert_int_equal(dial(), -1);
    assert_int_equal(ew_admin_start(&options, &admin, &err), EW_OK);
    survived();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_probes),
        cmocka_unit_test(test_a_long_reason_is_cut),
        cmocka_unit_test(test_metrics_are_what_is_counted),
        cmocka_unit_test(test_other_paths_and_methods),
        cmocka_unit_test(test_oversize_requests),
        cmocka_unit_test(test_what_is_no_http),
        cmocka_unit_test(test_side_by_side),
        cmocka_unit_test(test_idle_connections_do_not_stay),
        cmocka_unit_test(test_one_peer_leaves_room_for_others),
        cmocka_unit_test(test_refused_starts),
        cmocka_unit_test(test_the_port_is_free_after_the_stop),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
