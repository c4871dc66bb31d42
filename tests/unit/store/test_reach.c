/*
 * Proof of how a server is reached: by its URL, with a password, under a name that may be nobody's;
 * and of one that speaks something else, or more than is taken.
 */
#include <fcntl.h>

#include "base/memory.h"
#include "redis_harness.h"
#include "store_private.h"

#if HIREDIS_MAJOR >= 1
#include <hiredis/alloc.h>
#endif

static void
test_url(void **state)
{
    static const char *const bad[] = {"",
                                      "localhost:6379",
                                      "http://h",
                                      "redis://",
                                      "redis://:6379",
                                      "redis://h:0x1",
                                      "redis://h:65536",
                                      "redis://h:/0",
                                      "redis://h/abc",
                                      "redis://h/1/2",
                                      "redis://h/-1",
                                      "redis://[::1",
                                      "redis://[]:1",
                                      "redis://u:secret@h",
                                      "redis://h?db=1"};
    struct ew_url url;
    struct ew_err err;

    (void)state;
    assert_int_equal(ew_url_parse("redis://cache.example:7000/12", &url, &err), EW_OK);
    assert_string_equal(url.host, "cache.example");
    assert_string_equal(url.port, "7000");
    assert_int_equal(url.db, 12);
    assert_false(url.tls);
    assert_int_equal(ew_url_parse("redis://[fd00::1]/", &url, &err), EW_OK);
    assert_string_equal(url.host, "fd00::1");
    assert_string_equal(url.port, "6379");
    assert_int_equal(ew_url_parse("redis://h", &url, &err), EW_OK);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (ew_url_parse(bad[i], &url, &err) != EW_HALT)
            fail_msg("%s was taken", bad[i]);
        assert_null(strstr(err.detail, "secret"));
    }
#ifndef EW_HAVE_HIREDIS_SSL
    if (HIREDIS_MAJOR < 1) {
        assert_int_equal(ew_url_parse("rediss://h", &url, &err), EW_HALT);
        assert_string_equal(err.problem, "redis-tls");
    }
#endif
}

static void
write_password(struct fix *fix, char path[96], const char *password)
{
    int fd;

    (void)snprintf(path, 96, "%s/password", fix->redis.dir);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, password, strlen(password)), (ssize_t)strlen(password));
    close(fd);
}

static void
test_password(void **state)
{
    struct fix *fix = *state;
    char path[96], url[64];
    struct ew_store_options options = {.url = url, .password_file = path, .timeout_ms = 1000};
    int ups;

    (void)snprintf(url, sizeof(url), "redis://localhost:%d/3", fix->redis.port);
    ew_store_free(fix->store);
    tell(&fix->redis, "CONFIG SET requirepass s3cret");
    write_password(fix, path, "wrong\n");
    assert_int_equal(ew_store_check(&options, NULL, NULL), 1);
    ups = fix->ups;
    {
        struct ew_store_events events = {.arg = fix, .up = on_up, .down = on_down};
        struct ew_claim a = claim_of("in-db-3", 1, 1);

        assert_int_equal(ew_store_new(fix->loop, &options, &events, &fix->store, NULL), EW_OK);
        turn(fix, 500);
        assert_int_equal(fix->ups, ups);
        write_password(fix, path, "s3cret\n"); /* read anew for each connection */
        await_count(fix, &fix->ups, ups + 1);
        assert_int_equal(ew_store_bootstrap(&options, NULL), EW_OK);
        assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
        assert_int_equal(ew_store_check(&options, NULL, NULL), 0);
    }
    tell(&fix->redis, "CONFIG SET requirepass %s", "");
    tell(&fix->redis, "SELECT 3");
    assert_int_equal(ask_int(&fix->redis, "EXISTS epki:v1:request:in-db-3"), 1);
    tell(&fix->redis, "SELECT 0");
    ew_store_free(fix->store);
    fix_open(fix, NULL);
}

#if HIREDIS_MAJOR >= 1
/* Its copies of the password are wiped when it gives them back. */
static void
test_hiredis_wipes(void **state)
{
    (void)state;
    assert_ptr_equal(hiredisAllocFns.freeFn, ew_wipe_free);
    assert_ptr_equal(hiredisAllocFns.reallocFn, ew_wipe_realloc);
}
#endif

/* The handshake cannot be begun, which turns out where hiredis tells of the connection, and goes on
 * with it. */
static void
test_no_password_file(void **state)
{
    struct fix *fix = *state;
    char url[64], path[96];
    struct ew_store_options options = {.url = url, .password_file = path, .timeout_ms = 1000};
    struct ew_store_events events = {.arg = fix, .up = on_up, .down = on_down};
    struct ew_store *other;

    (void)snprintf(url, sizeof(url), "redis://127.0.0.1:%d", fix->redis.port);
    write_password(fix, path, "s3cret\n");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(ew_store_new(fix->loop, &options, &events, &other, NULL), EW_OK);
    turn(fix, 500);
    assert_false(ew_store_is_up(other));
    write_password(fix, path, "s3cret\n");
    tell(&fix->redis, "CONFIG SET requirepass s3cret");
    await_count(fix, &fix->ups, fix->ups + 1);
    assert_true(ew_store_is_up(other));
    ew_store_free(other);
    tell(&fix->redis, "AUTH s3cret");
    tell(&fix->redis, "CONFIG SET requirepass %s", "");
    (void)unlink(path);
}

static void
test_unknown_name(void **state)
{
    struct fix *fix = *state;
    struct ew_store_options options = {.url = "redis://no-such-host.invalid:1", .timeout_ms = 200};
    struct ew_store_events events = {.arg = fix, .up = on_up};
    struct ew_store *store;
    int ups = fix->ups;

    assert_int_equal(ew_store_new(fix->loop, &options, &events, &store, NULL), EW_OK);
    turn(fix, 300);
    assert_int_equal(fix->ups, ups);
    ew_store_free(store);
    turn(fix, 50);
}

/* A server that speaks something else. */
static void
test_garbage(void **state)
{
    struct fix *fix = *state;
    struct ew_store_options options = {.timeout_ms = 200};
    struct ew_store_events events = {.arg = fix, .up = on_up};
    struct ew_store *store;
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof(address);
    char url[64];
    int ups = fix->ups, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pid_t pid;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    assert_int_equal(listen(fd, 8), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        static const char *const says[] = {"HTTP/1.1 400 Bad Request\r\n\r\n", "*-5\r\n", ":1\r\n",
                                           "$40\r\nshort\r\n", "*1000000000\r\n"};

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (size_t i = 0;; i++) {
            int peer = accept(fd, NULL, NULL);
            const char *text = says[i % (sizeof(says) / sizeof(says[0]))];
            char sink[256];

            if (peer < 0 || read(peer, sink, sizeof(sink)) < 0 ||
                write(peer, text, strlen(text)) < 0)
                _exit(1);
            pause_ms(20);
            close(peer);
        }
    }
    close(fd);
    (void)snprintf(url, sizeof(url), "redis://127.0.0.1:%d", ntohs(address.sin_port));
    options.url = url;
    assert_int_equal(ew_store_new(fix->loop, &options, &events, &store, NULL), EW_OK);
    turn(fix, 3000);
    assert_int_equal(fix->ups, ups);
    ew_store_free(store);
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
}

static int
answer_of(const char *bytes)
{
    redisContext context = {.reader = redisReaderCreate()};
    void *reply = NULL;
    int result;

    assert_non_null(context.reader);
    ew_reply_bound(&context);
    assert_int_equal(redisReaderFeed(context.reader, bytes, strlen(bytes)), REDIS_OK);
    result = redisReaderGetReply(context.reader, &reply);
    if (reply != NULL)
        freeReplyObject(reply);
    redisReaderFree(context.reader);
    return result;
}

/* A list is taken up to its limit, and not made room for beyond. */
static void
test_long_list(void **state)
{
    (void)state;
    assert_int_equal(answer_of("*1\r\n:1\r\n"), REDIS_OK);
    assert_int_equal(answer_of("*100000\r\n"), REDIS_OK);
    assert_int_equal(answer_of("*100001\r\n"), REDIS_ERR);
    assert_int_equal(answer_of("*1\r\n*1000000000\r\n"), REDIS_ERR);
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup(name, fix_fresh)
    const struct CMUnitTest tests[] = {
#if HIREDIS_MAJOR >= 1
        ROW(test_hiredis_wipes),
#endif
        cmocka_unit_test(test_url), ROW(test_password), ROW(test_no_password_file),
        ROW(test_unknown_name),     ROW(test_garbage),  ROW(test_long_list),
    };

    return cmocka_run_group_tests_name("store: reaching a server", tests, fix_setup, fix_teardown);
}
