/*
 * Proof of the account's limiter against a model of its own making, over random schedules with a
 * clock that the test moves.
 */
#include "redis_harness.h"
#include "store_private.h"

/* The script's text with the clock taken from its last two arguments. */
static char *
with_clock(enum ew_script script)
{
    static const char real[] = "redis.call('TIME')", ours[] = "{ARGV[#ARGV-1],ARGV[#ARGV]}";
    size_t len;
    char *text = ew_script_text(script, &len);
    char *at = strstr(text, real), *out = malloc(len + sizeof(ours));

    assert_non_null(at);
    assert_non_null(out);
    (void)snprintf(out, len + sizeof(ours), "%.*s%s%s", (int)(at - text), text, ours,
                   at + sizeof(real) - 1);
    assert_null(strstr(out, real));
    free(text);
    return out;
}

struct limits {
    int64_t interval;
    int burst;
    int share[EW_RATE_COUNT];
};

/* The model counts what is left, in microseconds; the script keeps the time of being full. */
struct model {
    struct limits limits;
    int64_t now, left, own[EW_RATE_COUNT];
    bool there;
};

static int64_t
own_interval(const struct limits *limits, int c)
{
    return limits->interval * 100 / limits->share[c];
}

static int64_t
own_size(const struct limits *limits, int c)
{
    int burst = limits->burst * limits->share[c] / 100;

    if (limits->share[c] == 0)
        return 0;
    return (burst < 1 ? 1 : burst) * own_interval(limits, c);
}

static int64_t
carry(int64_t left, int64_t passed, int64_t size, int64_t new_size, int64_t interval,
      int64_t new_interval)
{
    int64_t debt = size - left - passed;

    if (interval != new_interval) {
        int64_t scaled = debt * new_interval;

        debt = scaled >= 0 ? scaled / interval : -((-scaled + interval - 1) / interval);
    }
    if (debt < 0)
        debt = 0;
    return new_size - (debt > new_size ? new_size : debt);
}

static void
advance(struct model *model, int64_t now, const struct limits *limits)
{
    const struct limits *old = &model->limits;
    int64_t whole = limits->interval * limits->burst;

    if (!model->there)
        model->left = 0;
    else
        model->left = carry(model->left, now - model->now, old->interval * old->burst, whole,
                            old->interval, limits->interval);
    for (int c = 0; c < EW_RATE_COUNT; c++) {
        if (limits->share[c] == 0) {
            model->own[c] = 0;
            continue;
        }
        model->own[c] = model->there ? carry(model->own[c], now - model->now, own_size(old, c),
                                             own_size(limits, c), old->interval, limits->interval)
                                     : 0;
    }
    model->limits = *limits;
    model->now = now;
    model->there = true;
}

/* 0 = granted, otherwise microseconds to wait. */
static int64_t
model_take(struct model *model, int c)
{
    const struct limits *limits = &model->limits;
    int64_t one = limits->interval, reserve = limits->burst * c / 20 * one, wait = INT64_MAX, most;

    if (limits->share[c] > 0) {
        int64_t own = own_interval(limits, c);

        if (model->own[c] >= own && model->left >= one) {
            model->own[c] -= own;
            model->left -= one;
            return 0;
        }
        wait = own - model->own[c];
        if (one - model->left > wait)
            wait = one - model->left;
    }
    for (int d = 0; d < EW_RATE_COUNT; d++)
        if (d != c && limits->share[d] > 0)
            reserve += model->own[d] * limits->share[d] / 100;
    most = (limits->burst - (limits->burst / 5 < 1 ? 1 : limits->burst / 5)) * one;
    if (reserve > most)
        reserve = most;
    if (model->left - one >= reserve) {
        model->left -= one;
        return 0;
    }
    return one + reserve - model->left < wait ? one + reserve - model->left : wait;
}

static void
model_refund(struct model *model, int c)
{
    const struct limits *limits = &model->limits;
    int64_t whole = limits->interval * limits->burst;

    model->left += limits->interval;
    if (model->left > whole)
        model->left = whole;
    if (limits->share[c] > 0) {
        model->own[c] += own_interval(limits, c);
        if (model->own[c] > own_size(limits, c))
            model->own[c] = own_size(limits, c);
    }
}

struct sim {
    struct redis *redis;
    char *token, *refund;
    int64_t now;
};

static redisReply *
run_script(struct sim *sim, const char *text, int cls, const struct limits *limits)
{
    char args[8][24], seconds[24], micros[24];
    const char *argv[20] = {"EVAL", text, "2", "epki:v1:account:sim", "epki:v1:limit:sim"};
    int argc = 5;

    (void)snprintf(args[0], 24, "%d", cls);
    (void)snprintf(args[1], 24, "%lld", (long long)limits->interval);
    (void)snprintf(args[2], 24, "%d", limits->burst);
    for (int i = 0; i < EW_RATE_COUNT; i++)
        (void)snprintf(args[3 + i], 24, "%d", limits->share[i]);
    for (int i = 0; i < 8; i++)
        argv[argc++] = args[i];
    (void)snprintf(seconds, sizeof(seconds), "%lld", (long long)(sim->now / 1000000));
    (void)snprintf(micros, sizeof(micros), "%lld", (long long)(sim->now % 1000000));
    if (text == sim->token) {
        argv[argc++] = "60000";
        argv[argc++] = ""; /* credentials: not the limiter's business */
        argv[argc++] = "1";
    }
    argv[argc++] = seconds;
    argv[argc++] = micros;
    return redisCommandArgv(sim->redis->probe, argc, argv, NULL);
}

/* 0 = granted, otherwise milliseconds to wait. */
static int64_t
sim_take(struct sim *sim, int cls, const struct limits *limits)
{
    redisReply *reply = run_script(sim, sim->token, cls, limits);
    int64_t wait;

    assert_non_null(reply);
    if (reply->type != REDIS_REPLY_ARRAY)
        fail_msg("%s", reply->str);
    wait = strtoll(reply->element[1]->str, NULL, 10);
    assert_true(strcmp(reply->element[0]->str, wait == 0 ? "granted" : "wait") == 0);
    freeReplyObject(reply);
    return wait;
}

static void
sim_begin(struct sim *sim, struct fix *fix)
{
    sim->redis = &fix->redis;
    sim->token = with_clock(EW_SCRIPT_TOKEN);
    sim->refund = with_clock(EW_SCRIPT_REFUND);
    sim->now = INT64_C(1795369752186612);
    tell(&fix->redis, "DEL epki:v1:limit:sim");
    tell(&fix->redis, "HSET epki:v1:account:sim st ok");
}

static void
sim_end(struct sim *sim)
{
    free(sim->token);
    free(sim->refund);
}

static uint64_t rng = 88172645463325252ull;

static uint32_t
chance(uint32_t below)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)(rng >> 11) % below;
}

static void
random_limits(struct limits *limits)
{
    int left = 100;

    limits->interval = 1000 + chance(200000);
    limits->burst = 1 + (int)chance(40);
    for (int c = 0; c < EW_RATE_COUNT; c++) {
        limits->share[c] = (int)chance((uint32_t)(left < 40 ? left : 40) + 1);
        left -= limits->share[c];
    }
}

static void
test_against_model(void **state)
{
    struct fix *fix = *state;
    struct sim sim;

    sim_begin(&sim, fix);
    for (int round = 0; round < 30; round++) {
        struct limits limits;
        struct model model = {.there = false};
        int granted = 0;

        random_limits(&limits);
        tell(&fix->redis, "DEL epki:v1:limit:sim");
        for (int step = 0; step < 400; step++) {
            int cls = (int)chance(EW_RATE_COUNT);
            int64_t want, got;

            if (chance(60) == 0)
                sim.now += limits.interval * limits.burst * 2; /* idle */
            else if (chance(80) == 0)
                sim.now -= chance(3000000); /* a clock set back */
            else
                sim.now += chance((uint32_t)limits.interval * 2);
            if (chance(100) == 0)
                random_limits(&limits);
            advance(&model, sim.now, &limits);
            if (granted > 0 && chance(20) == 0) {
                redisReply *reply = run_script(&sim, sim.refund, cls, &limits);

                assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
                freeReplyObject(reply);
                model_refund(&model, cls);
                continue;
            }
            want = model_take(&model, cls);
            got = sim_take(&sim, cls, &limits);
            if ((want + 999) / 1000 != got)
                fail_msg("round %d step %d class %d: model %lld us, script %lld ms", round, step,
                         cls, (long long)want, (long long)got);
            granted += want == 0;
        }
        assert_true(granted > 20);
    }
    sim_end(&sim);
}

/* Clients of the classes in `greedy` ask every `poll` microseconds for `seconds`; grants by class.
 */
static void
greed(struct sim *sim, const struct limits *limits, unsigned greedy, int64_t poll, int seconds,
      int grants[EW_RATE_COUNT])
{
    int64_t end = sim->now + (int64_t)seconds * 1000000;
    int64_t next[EW_RATE_COUNT];

    memset(grants, 0, sizeof(*grants) * EW_RATE_COUNT);
    for (int c = 0; c < EW_RATE_COUNT; c++)
        next[c] = sim->now;
    for (; sim->now < end; sim->now += poll) {
        for (int i = 0; i < EW_RATE_COUNT; i++) {
            int c = EW_RATE_COUNT - 1 - i; /* the lowest class asks first */
            int64_t wait;

            if (!(greedy & (1u << c)) || sim->now < next[c])
                continue;
            wait = sim_take(sim, c, limits);
            grants[c] += wait == 0;
            next[c] = sim->now + (wait == 0 ? poll : wait * 1000);
        }
    }
}

static void
test_shares(void **state)
{
    struct fix *fix = *state;
    const struct limits limits = {.interval = 20000, .burst = 20, .share = {20, 20, 30, 15, 5}};
    const int seconds = 30, all = 50 * seconds; /* 50 calls a second */
    int grants[EW_RATE_COUNT], sum = 0;
    struct sim sim;

    sim_begin(&sim, fix);
    greed(&sim, &limits, 0x1f, 5000, seconds, grants);
    for (int c = 0; c < EW_RATE_COUNT; c++) {
        sum += grants[c];
        assert_in_range(grants[c], all * limits.share[c] / 100 * 95 / 100, all);
    }
    assert_in_range(sum, all * 97 / 100, all + limits.burst);
    assert_true(grants[EW_RATE_REVOCATION] > all * 25 / 100); /* what is nobody's goes to the top */

    sim.now += 10000000;
    greed(&sim, &limits, 1u << EW_RATE_BULK, 5000, seconds, grants); /* alone: all of the rate */
    assert_in_range(grants[EW_RATE_BULK], all * 95 / 100, all + limits.burst);

    sim.now += 10000000;
    greed(&sim, &limits, 1u << EW_RATE_BULK | 1u, 5000, seconds, grants);
    assert_true(grants[EW_RATE_REVOCATION] > 2 * grants[EW_RATE_BULK]);
    assert_in_range(grants[EW_RATE_BULK], all * 5 / 100 * 95 / 100, all / 2);
    sim_end(&sim);
}

/* At no time more than the burst at once, whoever asks. */
static void
test_ceiling(void **state)
{
    struct fix *fix = *state;
    struct sim sim;

    sim_begin(&sim, fix);
    for (int round = 0; round < 20; round++) {
        struct limits limits;
        int granted = 0;

        random_limits(&limits);
        tell(&fix->redis, "DEL epki:v1:limit:sim");
        assert_true(sim_take(&sim, 0, &limits) > 0); /* missing: no free burst */
        sim.now += limits.interval * limits.burst * 10;
        for (int i = 0; i < 400; i++)
            granted += sim_take(&sim, (int)chance(EW_RATE_COUNT), &limits) == 0;
        assert_in_range(granted, limits.burst / 5, limits.burst);
        sim.now += 10 * limits.interval;
        granted = 0;
        for (int i = 0; i < 400; i++)
            granted += sim_take(&sim, (int)chance(EW_RATE_COUNT), &limits) == 0;
        assert_true(granted <= limits.burst);
    }
    sim_end(&sim);
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup(name, fix_fresh)
    const struct CMUnitTest tests[] = {
        ROW(test_against_model),
        ROW(test_shares),
        ROW(test_ceiling),
    };

    return cmocka_run_group_tests_name("store: limiter", tests, fix_setup, fix_teardown);
}
