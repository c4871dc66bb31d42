/*
 * A store whose calls fail, once or from then on, against a real Redis: whoever asked is told that
 * it was not done, or what is so; it comes back by itself; and nobody gets another one's reply.
 */
#include "failing.h"

#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <netdb.h>
#include <sys/time.h>

#include "loop/loop.h"

FAILING(redisAsyncContext *, redisAsyncConnect, (const char *ip, int port), (ip, port), NULL)
FAILING(int, redisAsyncSetConnectCallback, (redisAsyncContext * ac, redisConnectCallback *fn),
        (ac, fn), REDIS_ERR)
FAILING(int, redisAsyncSetDisconnectCallback, (redisAsyncContext * ac, redisDisconnectCallback *fn),
        (ac, fn), REDIS_ERR)
FAILING(int, redisAsyncCommandArgv,
        (redisAsyncContext * ac, redisCallbackFn *fn, void *data, int argc, const char **argv,
         const size_t *len),
        (ac, fn, data, argc, argv, len), REDIS_ERR)
FAILING(redisContext *, redisConnectWithTimeout, (const char *ip, int port, struct timeval limit),
        (ip, port, limit), NULL)
FAILING(int, redisSetTimeout, (redisContext * context, const struct timeval limit),
        (context, limit), REDIS_ERR)
FAILING_KIND(OF_MEMORY, redisReader *, redisReaderCreate, (void), (), NULL)
FAILING(void *, redisCommandArgv,
        (redisContext * context, int argc, const char **argv, const size_t *len),
        (context, argc, argv, len), NULL)
FAILING(int, getaddrinfo,
        (const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **list),
        (host, port, hints, list), EAI_MEMORY)
FAILING(enum ew_fault, ew_watch_new,
        (struct ew_loop * loop, int fd, void (*ready)(void *arg, int events), void *arg,
         struct ew_watch **out, struct ew_err *err),
        (loop, fd, ready, arg, out, err), EW_RETRY)

#include "redis_harness.h"
#include "store_private.h"

enum { TRIES = 200, TRIES_IN_VAIN = 5, PAUSE_MS = 20 };

static struct redis server; /* for all stories */

/* Everything fails from some call on: nothing may come of it. */
static bool
in_vain(void)
{
    return failing_kind == OF_CALLS_ON && failing_at > 0;
}

static int
loop_begin(void **state)
{
    struct fix *fix = calloc(1, sizeof(*fix));

    assert_non_null(fix);
    fix->redis = server;
    assert_int_equal(ew_loop_new(&ew_clock_system, 1, &fix->loop, NULL), EW_OK);
    ew_timer_init(&fix->guard, fix->loop, on_guard, fix);
    *state = fix;
    return fix_fresh(state);
}

static int
store_begin(void **state)
{
    (void)loop_begin(state);
    fix_open(*state, NULL);
    return 0;
}

static int
end(void **state)
{
    struct fix *fix = *state;

    /* A look-up that is under way when the loop ends is told to nobody, and given back by nobody.
     */
    while (fix->store != NULL && fix->store->resolve != NULL)
        turn(fix, PAUSE_MS);
    ew_store_free(fix->store);
    ew_timer_cancel(&fix->guard);
    ew_loop_free(fix->loop);
    free(fix);
    return 0;
}

/* --- stories --- */

static void
test_it_connects(void **state)
{
    struct fix *fix = *state;
    struct ew_store_events events = {.arg = fix, .up = on_up, .down = on_down};
    struct ew_store_options options = {.timeout_ms = 2000};
    struct ew_err err;
    char url[64];

    (void)snprintf(url, sizeof(url), "redis://localhost:%d/1", fix->redis.port);
    options.url = url;
    assert_int_equal(ew_store_new(fix->loop, &options, &events, &fix->store, &err), EW_OK);
    if (in_vain()) {
        turn(fix, 300);
        assert_true(fix->downs <= fix->ups);
        return;
    }
    await_count(fix, &fix->ups, 1);
    assert_true(ew_store_is_up(fix->store));
}

/* Asks until it was done. False: in vain. */
static bool
done(struct fix *fix, void (*ask_for)(struct fix *fix))
{
    for (int i = 0; i < (in_vain() ? TRIES_IN_VAIN : TRIES); i++) {
        ask_for(fix);
        await(fix);
        if (fix->fault == EW_OK)
            return true;
        assert_int_equal(fix->fault, EW_RETRY);
        turn(fix, PAUSE_MS);
    }
    assert_true(in_vain());
    return false;
}

static void
ask_claim(struct fix *fix)
{
    struct ew_claim wanted = claim_of("r-1", 1, 1);

    ew_store_claim(fix->store, &wanted, got_claim, fix);
}

static void
ask_calling(struct fix *fix)
{
    struct ew_claim wanted = claim_of("r-1", 1, 1);

    ew_store_calling(fix->store, &wanted.holder, 1, 0, got_moved, fix);
}

static void
ask_outcome(struct fix *fix)
{
    struct ew_claim wanted = claim_of("r-1", 1, 1);
    struct ew_blob outcome = blob_of("a certificate");

    ew_store_outcome(fix->store, &wanted.holder, 1, "CE1", &outcome, NULL, got_moved, fix);
}

/* Owed until Redis has it; whatever it answers has it sent again. */
static void
ask_done(struct fix *fix)
{
    struct ew_claim wanted = claim_of("r-1", 1, 1);
    struct ew_done_index index = {
        .order_id = "CE1", .issuer = "CN=CA", .serial = "1a", .expire_ms = 60000};
    struct ew_blob answer = blob_of("an answer");

    ew_store_done(fix->store, &wanted.holder, wanted.digest, &answer, &index, NULL, NULL);
    ew_store_lookup(fix->store, "r-1", got_lookup, fix);
}

static void
ask_lookup(struct fix *fix)
{
    ew_store_lookup(fix->store, "r-1", got_lookup, fix);
}

static void
ask_order(struct fix *fix)
{
    ew_store_by_order(fix->store, "CE1", got_found, fix);
}

static void
ask_version(struct fix *fix)
{
    ew_store_next_version(fix->store, got_version, fix);
}

/* Each command tells by its answer that it is its own. */
static void
test_a_request_goes_its_way(void **state)
{
    struct fix *fix = *state;

    if (!done(fix, ask_claim))
        return;
    assert_int_equal(fix->claimed, EW_CLAIM_YES);
    assert_int_equal(fix->view.attempt, 1);
    if (!done(fix, ask_calling))
        return;
    assert_int_equal(fix->moved, EW_TR_OK);
    if (!done(fix, ask_outcome))
        return;
    assert_int_equal(fix->moved, EW_TR_OK);
    if (!done(fix, ask_lookup))
        return;
    assert_int_equal(fix->view.state, EW_REC_OUTCOME);
    assert_string_equal(fix->outcome, "a certificate");
    if (!done(fix, ask_done))
        return;
    if (!done(fix, ask_order))
        return;
    assert_string_equal(fix->text, "r-1");
    if (!done(fix, ask_version))
        return;
    assert_true(fix->version > 1000000); /* of its time, in microseconds */
    do {
        if (!done(fix, ask_lookup))
            return;
    } while (fix->view.state != EW_REC_DONE && !in_vain());
    if (in_vain())
        return;
    assert_string_equal(fix->outcome, "an answer");
}

static int
empty_begin(void **state)
{
    (void)loop_begin(state);
    tell(&server, "FLUSHALL");
    return 0;
}

/* Either it was done, or it was said that it was not; and then it can be repeated. */
static void
test_the_first_start(void **state)
{
    struct fix *fix = *state;
    struct ew_store_options options = {.timeout_ms = 2000};
    struct ew_err err = {.problem = ""};
    enum ew_fault fault;
    char url[64];

    (void)snprintf(url, sizeof(url), "redis://127.0.0.1:%d/0", fix->redis.port);
    options.url = url;
    fault = ew_store_bootstrap(&options, &err);
    if (fault != EW_OK)
        assert_int_equal(fault, EW_RETRY);
    atomic_store(&failing_on, false);
    if (fault != EW_OK)
        assert_int_equal(ew_store_bootstrap(&options, &err), EW_OK);
    assert_int_equal(ew_store_bootstrap(&options, &err), EW_REJECT);
}

int
main(int argc, char **argv)
{
    static const struct story stories[] = {
        {.name = "connection", .tell = test_it_connects, .begin = loop_begin, .end = end},
        {.name = "request", .tell = test_a_request_goes_its_way, .begin = store_begin, .end = end},
        {.name = "bootstrap", .tell = test_the_first_start, .begin = empty_begin, .end = end},
    };
    int code;

    redis_start(&server, NULL);
    code = failing_main(argc, argv, stories, sizeof(stories) / sizeof(stories[0]));
    redis_stop(&server);
    return code;
}
