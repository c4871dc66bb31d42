/*
 * Proof of the connection: every command is told once and within its time, whatever happens to the
 * server; scripts that the server forgot heal; debts survive; and what the command line asks.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include "redis_harness.h"
#include "store_private.h"

/* --- counting many commands at once --- */

struct tally {
    struct fix *fix;
    int told, ok, retry, left;
    int downs_seen; /* when the last one was told */
};

static void
count(struct tally *tally, enum ew_fault fault)
{
    tally->told++;
    tally->ok += fault == EW_OK;
    tally->retry += fault == EW_RETRY;
    tally->downs_seen = tally->fix->downs;
    if (--tally->left == 0)
        fired(tally->fix);
}

static void
on_lookup(void *arg, enum ew_fault fault, enum ew_canary_state canary_state,
          const struct ew_record_view *view)
{
    (void)canary_state;
    assert_true((fault == EW_OK) == (view != NULL));
    count(arg, fault);
}

static void
on_moved(void *arg, enum ew_fault fault, enum ew_transition result)
{
    (void)result;
    count(arg, fault);
}

static void
look_many(struct tally *tally, int n)
{
    char id[32];

    tally->left += n;
    for (int i = 0; i < n; i++) {
        int before = tally->told;

        (void)snprintf(id, sizeof(id), "r%d", i);
        ew_store_lookup(tally->fix->store, id, on_lookup, tally);
        assert_int_equal(tally->told, before); /* never from inside the call */
    }
}

static void
owe_many(struct tally *tally, int n)
{
    struct ew_done_index index = {.order_id = "", .issuer = "", .serial = "", .expire_ms = 60000};
    struct ew_blob state = blob_of("state");
    char id[32];

    tally->left += n;
    for (int i = 0; i < n; i++) {
        struct ew_claim c = claim_of(id, i, 1);

        (void)snprintf(id, sizeof(id), "owed%d", i);
        ew_store_done(tally->fix->store, &c.holder, c.digest, &state, &index, on_moved, tally);
    }
}

/* How many connections the server has ever had. */
static long long
connections(struct fix *fix)
{
    redisReply *reply = ask(&fix->redis, "INFO stats");
    const char *at = strstr(reply->str, "total_connections_received:");
    long long count_;

    assert_non_null(at);
    count_ = strtoll(strchr(at, ':') + 1, NULL, 10);
    freeReplyObject(reply);
    return count_;
}

/* --- the server forgets, stops, dies --- */

static void
test_script_flush(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("a", 1, 1);
    struct tally tally = {.fix = fix};

    tell(&fix->redis, "SCRIPT FLUSH");
    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
    tell(&fix->redis, "SCRIPT FLUSH");
    look_many(&tally, 300);
    owe_many(&tally, 300);
    await(fix);
    assert_int_equal(tally.ok, 600);
    assert_int_equal(fix->downs, 0);
    assert_true(ew_store_rtt_ms(fix->store) >= 0);
}

static void
test_black_hole(void **state)
{
    struct fix *fix = *state;
    struct tally tally = {.fix = fix};
    int ups = fix->ups, downs = fix->downs;
    int64_t begin;

    assert_int_equal(kill(fix->redis.pid, SIGSTOP), 0);
    begin = ew_boot_ms(&ew_clock_system);
    look_many(&tally, 50);
    await(fix);
    assert_in_range(ew_boot_ms(&ew_clock_system) - begin, 900, 1900);
    assert_int_equal(tally.told, 50);
    assert_int_equal(tally.retry, 50);
    assert_int_equal(tally.downs_seen, downs); /* told before "down" */
    await_count(fix, &fix->downs, downs + 1);
    assert_false(ew_store_is_up(fix->store));
    begin = ew_boot_ms(&ew_clock_system);
    look_many(&tally, 1); /* refused without waiting */
    await(fix);
    assert_true(ew_boot_ms(&ew_clock_system) - begin < 200);
    assert_int_equal(tally.retry, 51);
    turn(fix, 1500); /* a connection is accepted by the kernel, and its handshake times out */
    assert_false(ew_store_is_up(fix->store));
    assert_int_equal(kill(fix->redis.pid, SIGCONT), 0);
    await_count(fix, &fix->ups, ups + 1);
    assert_int_equal(lookup(fix, "x"), EW_REC_ABSENT);
    assert_int_equal(fix->downs, downs + 1);
}

/* A loop that comes late has not listened: that is not Redis's silence. */
static void
test_late_loop(void **state)
{
    struct fix *fix = *state;
    struct tally tally = {.fix = fix};
    int downs = fix->downs;

    for (int i = 1; i <= 2; i++) {
        look_many(&tally, 1000);
        pause_ms(1300);
        await(fix);
        assert_int_equal(tally.ok, i * 1000);
    }
    assert_int_equal(fix->downs, downs);
}

static void
test_restart_and_debt(void **state)
{
    struct fix *fix = *state;
    struct tally tally = {.fix = fix}, many = {.fix = fix};
    int ups = fix->ups, downs = fix->downs;

    redis_kill(&fix->redis);
    await_count(fix, &fix->downs, downs + 1);
    owe_many(&tally, 200);
    turn(fix, 200);
    assert_int_equal(tally.told, 0);
    redis_spawn(&fix->redis, NULL);
    await_count(fix, &fix->ups, ups + 1);
    if (tally.left > 0)
        await(fix);
    assert_int_equal(tally.ok, 200);
    assert_int_equal(canary(fix), EW_CANARY_MISSING); /* nothing was saved: a wipe */
    assert_int_equal(lookup(fix, "owed199"), EW_REC_DONE);

    redis_kill(&fix->redis);
    await_count(fix, &fix->downs, downs + 2);
    owe_many(&many, EW_DEBT_MAX + 25);
    turn(fix, 100);
    assert_int_equal(many.told, 25);
    assert_int_equal(many.retry, 25);
    redis_spawn(&fix->redis, NULL);
    await(fix);
    assert_int_equal(many.ok, EW_DEBT_MAX);
    assert_int_equal(fix_fresh(state), 0);
}

/* Commands that are under way when the connection is cut. */
static void
test_client_kill(void **state)
{
    struct fix *fix = *state;
    struct tally tally = {.fix = fix};
    int ups = fix->ups;

    look_many(&tally, 20);
    owe_many(&tally, 20);
    tell(&fix->redis, "CLIENT KILL TYPE normal SKIPME yes");
    await(fix);
    assert_int_equal(tally.told, 40);
    assert_int_equal(tally.ok + tally.retry, 40);
    assert_true(tally.ok >= 20); /* debts are sent again */
    await_count(fix, &fix->ups, ups + 1);
}

static void
test_free_under_way(void **state)
{
    struct fix *fix = *state;
    struct tally tally = {.fix = fix, .left = 1 << 20};

    look_many(&tally, 10);
    owe_many(&tally, 100);
    ew_store_free(fix->store);
    assert_int_equal(tally.told, 110);
    assert_int_equal(tally.retry, 110);
    ew_store_free(NULL);
    fix_open(fix, NULL);
}

static void
test_refusing_server(void **state)
{
    struct fix *fix = *state;

    /* Scripts cannot write under this limit: a passing fault, not a bug. */
    struct ew_claim a = claim_of("oom", 1, 1);

    tell(&fix->redis, "CONFIG SET maxmemory 1");
    ew_store_claim(fix->store, &a, got_claim, fix);
    await(fix);
    tell(&fix->redis, "CONFIG SET maxmemory 0");
    assert_int_equal(fix->fault, EW_RETRY);
    assert_int_equal(lookup(fix, "oom"), EW_REC_ABSENT);
    tell(&fix->redis, "CONFIG SET min-replicas-to-write 1");
    ew_store_claim(fix->store, &a, got_claim, fix);
    await(fix);
    tell(&fix->redis, "CONFIG SET min-replicas-to-write 0");
    assert_int_equal(fix->fault, EW_RETRY);
    assert_int_equal(claim(fix, &a), EW_CLAIM_YES);
}

static void
test_becomes_replica(void **state)
{
    struct fix *fix = *state;
    struct ew_claim a = claim_of("a", 1, 1);
    int downs = fix->downs, ups = fix->ups;

    tell(&fix->redis, "REPLICAOF 127.0.0.1 1");
    ew_store_claim(fix->store, &a, got_claim, fix);
    await(fix);
    assert_int_equal(fix->fault, EW_RETRY);
    await_count(fix, &fix->downs, downs + 1); /* the name may lead to another server now */
    tell(&fix->redis, "REPLICAOF NO ONE");
    await_count(fix, &fix->ups, ups + 1);
    assert_int_equal(lookup(fix, "a"), EW_REC_ABSENT);
}

/* A server that may drop a record: no connection to it is used, until it has been set right. */
static void
test_unfit_server(void **state)
{
    struct fix *fix = *state;
    int downs = fix->downs, ups = fix->ups;
    long long tries;

    tell(&fix->redis, "CONFIG SET maxmemory-policy allkeys-lru");
    tell(&fix->redis, "CLIENT KILL TYPE normal SKIPME yes");
    await_count(fix, &fix->downs, downs + 1);
    tries = connections(fix);
    turn(fix, 1500);
    assert_int_equal(fix->ups, ups);
    assert_false(ew_store_is_up(fix->store));
    assert_in_range(connections(fix) - tries, 1, 20); /* tried again, further and further apart */
    tell(&fix->redis, "CONFIG SET maxmemory-policy noeviction");
    await_count(fix, &fix->ups, ups + 1);
    assert_int_equal(lookup(fix, "a"), EW_REC_ABSENT);
}

/* What INFO says of replicas; a server in a failover may become fit by itself. */
static void
on_judged(void *arg, const struct ew_err *err)
{
    char *text = arg;

    (void)snprintf(text + strlen(text), 200 - strlen(text), "%s/%d ", err->problem,
                   (int)err->fault);
}

static void
test_judgement(void **state)
{
    static const struct {
        const char *info, *problem;
        enum ew_fault fault;
    } rows[] = {
        {"redis_version:7.0.15\r\nmaxmemory_policy:noeviction\r\nrole:master\r\n"
         "connected_slaves:1\r\nmin_slaves_good_slaves:1\r\ncluster_enabled:0\r\n",
         NULL, EW_OK},
        {"redis_version:7.0.15\r\nmaxmemory_policy:noeviction\r\nrole:master\r\n"
         "connected_slaves:1\r\ncluster_enabled:0\r\n",
         "redis-min-replicas", EW_HALT},
        {"redis_version:6.2.1\r\nmaxmemory_policy:noeviction\r\nrole:master\r\n", "redis-version",
         EW_HALT},
        {"redis_version:8.0.0\r\nmaxmemory_policy:volatile-ttl\r\nrole:master\r\n",
         "redis-eviction", EW_HALT},
        {"redis_version:8.0.0\r\nmaxmemory_policy:noeviction\r\nrole:slave\r\n", "redis-role",
         EW_RETRY},
        {NULL, "redis-info", EW_HALT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[200] = "", wanted[64] = "";

        if (rows[i].problem != NULL)
            (void)snprintf(wanted, sizeof(wanted), "%s/%d ", rows[i].problem, (int)rows[i].fault);
        assert_int_equal(ew_info_judge(rows[i].info, on_judged, text), rows[i].problem != NULL);
        assert_string_equal(text, wanted);
    }
}

/* --- logging in, names --- */

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

/* --- the URL --- */

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

/* --- check and bootstrap --- */

static char problems[256];

static void
on_problem(void *arg, const struct ew_err *err)
{
    (void)arg;
    (void)strncat(problems, err->problem, sizeof(problems) - strlen(problems) - 2);
    (void)strncat(problems, " ", 2);
}

static const char *
check(const struct redis *redis)
{
    char url[64];
    struct ew_store_options options = {.url = url, .timeout_ms = 500};
    int count_;

    (void)snprintf(url, sizeof(url), "redis://127.0.0.1:%d", redis->port);
    problems[0] = '\0';
    count_ = ew_store_check(&options, on_problem, NULL);
    assert_true((count_ == 0) == (problems[0] == '\0'));
    return problems;
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

static void
test_check(void **state)
{
    struct fix *fix = *state;
    struct redis replica, gone = {.port = free_port()};
    char port[12];
    const char *extra[] = {"--replicaof", "127.0.0.1", port, NULL};

    (void)snprintf(port, sizeof(port), "%d", fix->redis.port);
    assert_string_equal(check(&fix->redis), "");
    assert_string_equal(check(&gone), "redis-unreachable ");
    tell(&fix->redis, "CONFIG SET maxmemory-policy allkeys-lru");
    assert_string_equal(check(&fix->redis), "redis-eviction ");
    tell(&fix->redis, "CONFIG SET maxmemory-policy noeviction");
    tell(&fix->redis, "CONFIG SET repl-diskless-sync-delay 0");
    redis_start(&replica, extra);
    for (int i = 0; i < 200 && strcmp(check(&fix->redis), "redis-min-replicas ") != 0; i++)
        pause_ms(50);
    assert_string_equal(problems, "redis-min-replicas ");
    assert_string_equal(check(&replica), "redis-role ");
    tell(&fix->redis, "CONFIG SET min-replicas-to-write 1");
    assert_string_equal(check(&fix->redis), "");
    tell(&fix->redis, "CONFIG SET min-replicas-to-write 0");
    redis_stop(&replica);
}

static void
test_cluster_refused(void **state)
{
    struct redis cluster;
    char bus[12];
    const char *extra[] = {"--cluster-enabled", "yes", "--cluster-port", bus, NULL};
    char path[96];

    (void)state;
    (void)snprintf(bus, sizeof(bus), "%d", free_port());
    redis_start(&cluster, extra);
    assert_string_equal(check(&cluster), "redis-cluster ");
    (void)snprintf(path, sizeof(path), "%s/nodes.conf", cluster.dir);
    redis_kill(&cluster);
    (void)unlink(path);
    redis_stop(&cluster);
}

static void
test_bootstrap(void **state)
{
    struct fix *fix = *state;
    char url[64];
    struct ew_store_options options = {.url = url, .timeout_ms = 1000};
    struct ew_err err;

    (void)snprintf(url, sizeof(url), "redis://127.0.0.1:%d", fix->redis.port);
    tell(&fix->redis, "FLUSHALL");
    tell(&fix->redis, "SET somebody:else 1");
    assert_int_equal(canary(fix), EW_CANARY_MISSING);
    assert_int_equal(ew_store_bootstrap(&options, &err), EW_OK);
    assert_int_equal(canary(fix), EW_CANARY_OK);
    assert_true(strlen(fix->canary_value) == 32 + 1 + 40);
    assert_int_equal(ew_store_bootstrap(&options, &err), EW_REJECT);
    assert_string_equal(err.problem, "already-bootstrapped");
    tell(&fix->redis, "DEL epki:v1:canary");
    tell(&fix->redis, "SET epki:v1:wrapped:x 1");
    assert_int_equal(ew_store_bootstrap(&options, &err), EW_REJECT);
    assert_int_equal(canary(fix), EW_CANARY_MISSING);
    options.timeout_ms = 1;
    assert_int_equal(ew_store_new(fix->loop, &options, NULL, NULL, &err), EW_HALT);
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup(name, fix_fresh)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_url),
        ROW(test_script_flush),
        ROW(test_black_hole),
        ROW(test_late_loop),
        ROW(test_client_kill),
        ROW(test_free_under_way),
        ROW(test_refusing_server),
        ROW(test_becomes_replica),
        ROW(test_password),
        ROW(test_no_password_file),
        ROW(test_unknown_name),
        ROW(test_garbage),
        ROW(test_long_list),
        ROW(test_check),
        ROW(test_cluster_refused),
        ROW(test_unfit_server),
        cmocka_unit_test(test_judgement),
        ROW(test_bootstrap),
        ROW(test_restart_and_debt),
    };

    return cmocka_run_group_tests_name("store: connection", tests, fix_setup, fix_teardown);
}
