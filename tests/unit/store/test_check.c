/*
 * Proof of what the command line asks: whether a server is fit, and the bootstrap.
 */
#include "redis_harness.h"
#include "store_private.h"

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
    assert_int_equal(ew_store_unused(&options, &err), EW_OK);
    assert_int_equal(canary(fix), EW_CANARY_MISSING);
    assert_int_equal(ew_store_bootstrap(&options, &err), EW_OK);
    assert_int_equal(canary(fix), EW_CANARY_OK);
    assert_true(strlen(fix->canary_value) == 32 + 1 + 40);
    assert_int_equal(ew_store_bootstrap(&options, &err), EW_REJECT);
    assert_string_equal(err.problem, "already-bootstrapped");
    assert_int_equal(ew_store_unused(&options, &err), EW_REJECT);
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
        ROW(test_check),
        ROW(test_cluster_refused),
        cmocka_unit_test(test_judgement),
        ROW(test_bootstrap),
    };

    return cmocka_run_group_tests_name("store: check and bootstrap", tests, fix_setup,
                                       fix_teardown);
}
