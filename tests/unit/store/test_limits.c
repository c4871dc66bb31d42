/*
 * What a server and its settings may give at most, and one beyond: a fault, and nothing of it is
 * used.
 */
#include <fcntl.h>

#include "store_private.h"
#include "transitions.h"

static char *
letters(size_t count)
{
    static char text[EW_MAX_REDIS_VALUE + 2];

    memset(text, 'a', count);
    text[count] = '\0';
    return text;
}

/* --- values of our keys, by somebody else's hands --- */

static void
test_a_value(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("a", 1, 3);

    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    assert_int_equal(done(fix, &a, "answer"), EW_TR_OK);
    tell(&fix->redis, "HSET epki:v1:request:a out %s", letters(EW_MAX_REDIS_VALUE));
    assert_int_equal(lookup(fix, "a"), EW_REC_DONE);
    tell(&fix->redis, "HSET epki:v1:request:a out %s", letters(EW_MAX_REDIS_VALUE + 1));
    ew_store_lookup(fix->store, "a", got_lookup, fix);
    await(fix);
    assert_int_equal(fix->fault, EW_BUG);
}

static void
test_an_order_id(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("a", 1, 3);

    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    tell(&fix->redis, "HSET epki:v1:request:a oid %s", letters(EW_MAX_ORDER_ID));
    assert_int_equal(lookup(fix, "a"), EW_REC_CLAIMED);
    assert_int_equal(strlen(fix->order_id), EW_MAX_ORDER_ID);
    tell(&fix->redis, "HSET epki:v1:request:a oid %s", letters(EW_MAX_ORDER_ID + 1));
    ew_store_lookup(fix->store, "a", got_lookup, fix);
    await(fix);
    assert_int_equal(fix->fault, EW_BUG);
}

static void
test_a_request_id(void **state)
{
    struct fix *fix = *state;

    tell(&fix->redis, "SET epki:v1:order:CE1 %s", letters(EW_MAX_REQUEST_ID));
    ew_store_by_order(fix->store, "CE1", got_found, fix);
    assert_int_equal(strlen(found(fix)), EW_MAX_REQUEST_ID);
    tell(&fix->redis, "SET epki:v1:order:CE1 %s", letters(EW_MAX_REQUEST_ID + 1));
    ew_store_by_order(fix->store, "CE1", got_found, fix);
    await(fix);
    assert_int_equal(fix->fault, EW_BUG);
}

static void
test_the_canary(void **state)
{
    struct fix *fix = *state;

    tell(&fix->redis, "SET epki:v1:canary %s", letters(EW_MAX_CANARY));
    assert_int_equal(canary(fix), EW_CANARY_FOREIGN);
    assert_int_equal(strlen(fix->canary_value), EW_MAX_CANARY);
    tell(&fix->redis, "SET epki:v1:canary %s", letters(EW_MAX_CANARY + 1));
    ew_store_canary(fix->store, got_canary, fix);
    await(fix);
    assert_int_equal(fix->fault, EW_BUG);
}

static void
got_token(void *arg, enum ew_fault fault, const struct ew_token_reply *reply)
{
    struct fix *fix = arg;

    fix->fault = fault;
    if (fault == EW_OK)
        (void)snprintf(fix->text, sizeof(fix->text), "%s", reply->problem);
    fired(fix);
}

static void
ask_token(struct fix *fix, size_t problem_len)
{
    static const struct ew_rate rate = {
        .per_minute = 60000, .burst = 100, .share = {20, 20, 30, 15, 5}};

    tell(&fix->redis, "HSET epki:v1:account:main st paused code -1 nb 99999999999999999 problem %s",
         letters(problem_len));
    ew_store_tokens(fix->store, "main", &rate, EW_RATE_QUERY, 1, got_token, fix);
    await(fix);
}

static void
test_an_accounts_problem(void **state)
{
    struct fix *fix = *state;

    ask_token(fix, EW_MAX_PROBLEM);
    assert_int_equal(fix->fault, EW_OK);
    assert_int_equal(strlen(fix->text), EW_MAX_PROBLEM);
    ask_token(fix, EW_MAX_PROBLEM + 1);
    assert_int_equal(fix->fault, EW_BUG);
}

/* --- a cursor, of a server that is none --- */

/* Says the first text to whoever comes first, and from then on that all was scanned. */
static pid_t
serve(const char *first, char url[64])
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pid_t pid;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    assert_int_equal(listen(fd, 8), 0);
    (void)snprintf(url, 64, "redis://127.0.0.1:%d", ntohs(address.sin_port));
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int peer = accept(fd, NULL, NULL);
        const char *says = first;
        char sink[256];

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (read(peer, sink, sizeof(sink)) > 0) {
            if (write(peer, says, strlen(says)) < 0)
                break;
            says = "*2\r\n$1\r\n0\r\n*0\r\n";
        }
        _exit(0);
    }
    close(fd);
    return pid;
}

static enum ew_fault
scanned(size_t digits, struct ew_err *err)
{
    char url[64], first[64];
    struct ew_store_options options = {.url = url, .timeout_ms = 5000};
    enum ew_fault fault;
    pid_t pid;

    (void)snprintf(first, sizeof(first), "*2\r\n$%zu\r\n%0*d\r\n*0\r\n", digits, (int)digits, 7);
    pid = serve(first, url);
    fault = ew_store_unused(&options, err);
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    return fault;
}

static void
test_a_cursor(void **state)
{
    struct ew_err err;

    (void)state;
    assert_int_equal(scanned(EW_MAX_CURSOR, &err), EW_OK);
    assert_int_equal(scanned(EW_MAX_CURSOR + 1, &err), EW_BUG);
    assert_string_equal(err.problem, "redis-reply");
}

/* --- where it is, and its password --- */

static enum ew_fault
parsed(size_t host_len)
{
    char text[EW_MAX_HOST + 16];
    struct ew_url url;
    struct ew_err err;

    (void)snprintf(text, sizeof(text), "redis://%.*s:1", EW_MAX_HOST + 1, letters(host_len));
    return ew_url_parse(text, &url, &err);
}

static void
test_a_host(void **state)
{
    (void)state;
    assert_int_equal(parsed(EW_MAX_HOST), EW_OK);
    assert_int_equal(parsed(EW_MAX_HOST + 1), EW_HALT);
}

static enum ew_fault
read_password(struct fix *fix, size_t len, const char *behind, size_t *got)
{
    char path[96];
    struct ew_buf out;
    struct ew_err err;
    enum ew_fault fault;
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/password", fix->redis.dir);
    file = fopen(path, "we");
    assert_non_null(file);
    (void)fprintf(file, "%s%s", letters(len), behind);
    (void)fclose(file);
    ew_buf_init_secret(&out, 4096);
    fault = ew_password_read(path, &out, &err);
    *got = out.len;
    ew_buf_deinit(&out);
    (void)unlink(path);
    return fault;
}

static void
test_a_password(void **state)
{
    static const char *const behind[] = {"", "\n", "\r\nmore\n"};
    struct fix *fix = *state;
    size_t got;

    for (size_t i = 0; i < sizeof(behind) / sizeof(behind[0]); i++) {
        assert_int_equal(read_password(fix, EW_MAX_REDIS_PASSWORD, behind[i], &got), EW_OK);
        assert_int_equal(got, EW_MAX_REDIS_PASSWORD);
        assert_int_equal(read_password(fix, EW_MAX_REDIS_PASSWORD + 1, behind[i], &got), EW_HALT);
        assert_int_equal(got, 0);
    }
    assert_int_equal(read_password(fix, 0, "\nsecond", &got), EW_HALT);
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup(name, fix_fresh)
    const struct CMUnitTest tests[] = {
        ROW(test_a_value),
        ROW(test_an_order_id),
        ROW(test_a_request_id),
        ROW(test_the_canary),
        ROW(test_an_accounts_problem),
        cmocka_unit_test(test_a_cursor),
        cmocka_unit_test(test_a_host),
        ROW(test_a_password),
    };

    return cmocka_run_group_tests_name("store: limits", tests, fix_setup, fix_teardown);
}
