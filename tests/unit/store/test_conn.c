/*
 * Proof of the connection: every command is told once and within its time, whatever happens to the
 * server; scripts that the server forgot heal; debts survive.
 */
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
    assert_true(ew_boot_ms(&ew_clock_system) - begin < 800);
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

/* What is owed after a commit waits until Redis takes it. */
static void
test_debt_that_is_refused_waits(void **state)
{
    static const char *const limits[][2] = {
        {"CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"},
        {"CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"}};
    struct fix *fix = *state;
    int downs = fix->downs;

    for (int i = 0; i < 2; i++) {
        struct tally tally = {.fix = fix};

        assert_int_equal(fix_fresh(state), 0);
        tell(&fix->redis, limits[i][0]);
        owe_many(&tally, 20);
        turn(fix, 1500);
        assert_int_equal(tally.told, 0);
        tell(&fix->redis, limits[i][1]);
        await(fix);
        assert_int_equal(tally.ok, 20);
    }
    assert_int_equal(fix->downs, downs);
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

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup(name, fix_fresh)
    const struct CMUnitTest tests[] = {
        ROW(test_script_flush),     ROW(test_black_hole),
        ROW(test_late_loop),        ROW(test_client_kill),
        ROW(test_free_under_way),   ROW(test_refusing_server),
        ROW(test_becomes_replica),  ROW(test_unfit_server),
        ROW(test_restart_and_debt), ROW(test_debt_that_is_refused_waits),
    };

    return cmocka_run_group_tests_name("store: connection", tests, fix_setup, fix_teardown);
}
