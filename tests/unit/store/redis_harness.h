/*
 * A store on a loop, connected to a server of its own, that a test can call as if it were
 * synchronous.
 */
#pragma once

#include "redis_server.h"
#include "store/store.h"

struct fix {
    struct redis redis;
    struct ew_loop *loop;
    struct ew_store *store;
    struct ew_timer guard;
    int ups, downs;
    bool fired, late;
    const int *wait_on; /* stop when it becomes more than wait_for */
    int wait_for;

    enum ew_fault fault;
    enum ew_transition moved;
    enum ew_stop_result stopped;
    bool flag;
    enum ew_canary_state canary;
    char canary_value[EW_CANARY_MAX];
    bool rebuilding;
    int64_t version;
    char text[256]; /* found id, other, problem */
    enum ew_claimed claimed;
    struct ew_record_view view;
    char order_id[80], outcome[256], wrapped[256], claim_canary[EW_CANARY_MAX];
    char lost_orders[1100], misfit[80];
    enum ew_token token;
    int count;
    int64_t wait_ms;
    int code;
};

static MAYBE void
fired(struct fix *fix)
{
    fix->fired = true;
    ew_loop_stop(fix->loop);
}

static MAYBE void
on_guard(void *arg)
{
    struct fix *fix = arg;

    fix->late = true;
    ew_loop_stop(fix->loop);
}

/* Runs the loop until a callback has fired. */
static MAYBE void
await(struct fix *fix)
{
    fix->late = false;
    ew_timer_start(&fix->guard, 20000);
    if (!fix->fired)
        ew_loop_run(fix->loop);
    ew_timer_cancel(&fix->guard);
    assert_false(fix->late);
    fix->fired = false;
}

static MAYBE void
on_pause(void *arg)
{
    fired(arg);
}

/* Lets the loop turn for a while. */
static MAYBE void
turn(struct fix *fix, int ms)
{
    struct ew_timer timer;

    ew_timer_init(&timer, fix->loop, on_pause, fix);
    ew_timer_start(&timer, ms);
    await(fix);
    ew_timer_cancel(&timer);
}

static MAYBE void
check_wait(struct fix *fix)
{
    if (fix->wait_on != NULL && *fix->wait_on >= fix->wait_for) {
        fix->wait_on = NULL;
        fired(fix);
    }
}

static MAYBE void
on_up(void *arg)
{
    struct fix *fix = arg;

    fix->ups++;
    check_wait(fix);
}

static MAYBE void
on_down(void *arg)
{
    struct fix *fix = arg;

    fix->downs++;
    check_wait(fix);
}

/* Until *count (ups, downs) has reached `wanted`. */
static MAYBE void
await_count(struct fix *fix, const int *count, int wanted)
{
    if (*count >= wanted)
        return;
    fix->wait_on = count;
    fix->wait_for = wanted;
    await(fix);
}

static MAYBE void
fix_open(struct fix *fix, const char *password_file)
{
    char url[64];
    struct ew_store_options options = {
        .url = url, .password_file = password_file, .timeout_ms = 1000};
    struct ew_store_events events = {.arg = fix, .up = on_up, .down = on_down};
    struct ew_err err;

    (void)snprintf(url, sizeof(url), "redis://127.0.0.1:%d/0", fix->redis.port);
    if (ew_store_new(fix->loop, &options, &events, &fix->store, &err) != EW_OK)
        fail_msg("%s: %s", err.problem, err.detail);
    await_count(fix, &fix->ups, fix->ups + 1);
}

static MAYBE int
fix_setup(void **state)
{
    struct fix *fix = calloc(1, sizeof(*fix));

    assert_non_null(fix);
    redis_start(&fix->redis, NULL);
    assert_int_equal(ew_loop_new(&ew_clock_system, 1, &fix->loop, NULL), EW_OK);
    ew_timer_init(&fix->guard, fix->loop, on_guard, fix);
    fix_open(fix, NULL);
    *state = fix;
    return 0;
}

static MAYBE int
fix_teardown(void **state)
{
    struct fix *fix = *state;

    ew_store_free(fix->store);
    ew_timer_cancel(&fix->guard);
    ew_loop_free(fix->loop);
    redis_stop(&fix->redis);
    free(fix);
    return 0;
}

/* Every test begins with a Redis that was bootstrapped and nothing else. */
static MAYBE int
fix_fresh(void **state)
{
    struct fix *fix = *state;
    char url[64];
    struct ew_store_options options = {.url = url, .timeout_ms = 1000};
    struct ew_err err;

    (void)snprintf(url, sizeof(url), "redis://127.0.0.1:%d", fix->redis.port);
    tell(&fix->redis, "FLUSHALL");
    if (ew_store_bootstrap(&options, &err) != EW_OK)
        fail_msg("%s: %s", err.problem, err.detail);
    return 0;
}

/* --- synchronous calls --- */

static MAYBE void
keep_view(struct fix *fix, const struct ew_record_view *view)
{
    fix->view = *view;
    (void)snprintf(fix->order_id, sizeof(fix->order_id), "%s", view->order_id);
    (void)snprintf(fix->outcome, sizeof(fix->outcome), "%.*s", (int)view->outcome.len,
                   (const char *)view->outcome.data);
    (void)snprintf(fix->lost_orders, sizeof(fix->lost_orders), "%s", view->lost_orders);
    (void)snprintf(fix->misfit, sizeof(fix->misfit), "%.*s", (int)view->misfit.len,
                   (const char *)view->misfit.data);
    fix->view.order_id = fix->order_id;
    fix->view.lost_orders = fix->lost_orders;
    fix->view.outcome = fix->view.misfit = (struct ew_blob){NULL, 0};
}

static MAYBE void
got_claim(void *arg, enum ew_fault fault, const struct ew_claim_reply *reply)
{
    struct fix *fix = arg;

    fix->fault = fault;
    if (fault == EW_OK) {
        fix->claimed = reply->result;
        keep_view(fix, &reply->view);
        (void)snprintf(fix->wrapped, sizeof(fix->wrapped), "%.*s", (int)reply->wrapped.len,
                       (const char *)reply->wrapped.data);
        (void)snprintf(fix->text, sizeof(fix->text), "%s", reply->other);
        (void)snprintf(fix->claim_canary, sizeof(fix->claim_canary), "%s", reply->canary);
    }
    fired(fix);
}

static MAYBE enum ew_claimed
claim(struct fix *fix, const struct ew_claim *ask_for)
{
    ew_store_claim(fix->store, ask_for, got_claim, fix);
    await(fix);
    assert_int_equal(fix->fault, EW_OK);
    return fix->claimed;
}

static MAYBE void
got_lookup(void *arg, enum ew_fault fault, enum ew_canary_state canary,
           const struct ew_record_view *view)
{
    struct fix *fix = arg;

    fix->fault = fault;
    fix->canary = canary;
    if (fault == EW_OK)
        keep_view(fix, view);
    fired(fix);
}

static MAYBE enum ew_record_state
lookup(struct fix *fix, const char *id)
{
    ew_store_lookup(fix->store, id, got_lookup, fix);
    await(fix);
    assert_int_equal(fix->fault, EW_OK);
    return fix->view.state;
}

static MAYBE void
got_awaited(void *arg, enum ew_fault fault, enum ew_canary_state canary,
            const struct ew_record_view *view, bool circular)
{
    struct fix *fix = arg;

    fix->flag = circular;
    got_lookup(arg, fault, canary, view);
}

static MAYBE void
got_moved(void *arg, enum ew_fault fault, enum ew_transition result)
{
    struct fix *fix = arg;

    fix->fault = fault;
    fix->moved = result;
    fired(fix);
}

static MAYBE enum ew_transition
moved(struct fix *fix)
{
    await(fix);
    assert_int_equal(fix->fault, EW_OK);
    return fix->moved;
}

static MAYBE void
got_flag(void *arg, enum ew_fault fault, bool value)
{
    struct fix *fix = arg;

    fix->fault = fault;
    fix->flag = value;
    fired(fix);
}

static MAYBE bool
flag(struct fix *fix)
{
    await(fix);
    assert_int_equal(fix->fault, EW_OK);
    return fix->flag;
}

static MAYBE void
got_canary(void *arg, enum ew_fault fault, enum ew_canary_state state, const char *value,
           bool rebuilding)
{
    struct fix *fix = arg;

    fix->fault = fault;
    fix->canary = state;
    fix->rebuilding = rebuilding;
    (void)snprintf(fix->canary_value, sizeof(fix->canary_value), "%s", value);
    fired(fix);
}

static MAYBE enum ew_canary_state
canary(struct fix *fix)
{
    ew_store_canary(fix->store, got_canary, fix);
    await(fix);
    assert_int_equal(fix->fault, EW_OK);
    return fix->canary;
}

static MAYBE void
got_found(void *arg, enum ew_fault fault, enum ew_canary_state state, const char *id)
{
    struct fix *fix = arg;

    fix->fault = fault;
    fix->canary = state;
    (void)snprintf(fix->text, sizeof(fix->text), "%s", id);
    fired(fix);
}

static MAYBE const char *
found(struct fix *fix)
{
    await(fix);
    assert_int_equal(fix->fault, EW_OK);
    return fix->text;
}

static MAYBE void
got_order(void *arg, enum ew_fault fault, bool mine, const char *other)
{
    struct fix *fix = arg;

    (void)snprintf(fix->text, sizeof(fix->text), "%s", other);
    got_flag(arg, fault, mine);
}

static MAYBE void
got_version(void *arg, enum ew_fault fault, int64_t version)
{
    struct fix *fix = arg;

    fix->fault = fault;
    fix->version = version;
    fired(fix);
}

static MAYBE void
got_stop(void *arg, enum ew_fault fault, enum ew_stop_result result)
{
    struct fix *fix = arg;

    fix->fault = fault;
    fix->stopped = result;
    fired(fix);
}

static MAYBE enum ew_stop_result
stop(struct fix *fix, const char *target, const struct ew_source *by, bool absent_only)
{
    ew_store_stop(fix->store, target, by, absent_only, 60000, got_stop, fix);
    await(fix);
    assert_int_equal(fix->fault, EW_OK);
    return fix->stopped;
}

/* --- things that requests are made of --- */

static MAYBE struct ew_source
source_of(const char *topic, int32_t partition, int64_t offset)
{
    struct ew_source source = {.partition = partition, .offset = offset};

    (void)snprintf(source.topic, sizeof(source.topic), "%s", topic);
    return source;
}

/* A claim of `id` by requests/0/offset, with a digest made of one byte. */
static MAYBE struct ew_claim
claim_of(const char *id, int64_t offset, uint32_t epoch)
{
    struct ew_claim out = {.holder = {.request_id = id, .epoch = epoch}};

    out.holder.source = source_of("requests", 0, offset);
    memset(out.digest, 0xd1, sizeof(out.digest));
    return out;
}

static MAYBE struct ew_blob
blob_of(const char *text)
{
    return (struct ew_blob){.data = (const uint8_t *)text, .len = strlen(text)};
}
