/*
 * Proof of the account against a real Redis: its states, whose password it is, and the shared rate
 * as workers ask for it.
 */
#include "redis_harness.h"

static void
got_token(void *arg, enum ew_fault fault, const struct ew_token_reply *reply)
{
    struct fix *fix = arg;

    fix->fault = fault;
    if (fault == EW_OK) {
        fix->token = reply->result;
        fix->count = reply->count;
        fix->wait_ms = reply->wait_ms;
        fix->code = reply->code;
        (void)snprintf(fix->text, sizeof(fix->text), "%s", reply->problem);
    }
    fired(fix);
}

static const struct ew_rate fast = {
    .per_minute = 60000, .burst = 100, .share = {20, 20, 30, 15, 5}};

static enum ew_token
token_of(struct fix *fix, struct ew_store *store, enum ew_rate_class cls)
{
    ew_store_tokens(store, "main", &fast, cls, 1, got_token, fix);
    await(fix);
    assert_int_equal(fix->fault, EW_OK);
    return fix->token;
}

/* Waits as it is told while the rate says so. */
static enum ew_token
token(struct fix *fix, enum ew_rate_class cls)
{
    for (int i = 0; i < 100 && token_of(fix, fix->store, cls) == EW_TOKEN_WAIT; i++) {
        assert_in_range(fix->wait_ms, 1, 1000);
        turn(fix, (int)fix->wait_ms);
    }
    return fix->token;
}

static bool
account_open(struct fix *fix, const char *credentials)
{
    ew_store_account_open(fix->store, "main", credentials, got_flag, fix);
    return flag(fix);
}

static bool
resumed(struct fix *fix)
{
    ew_store_account_resumed(fix->store, "main", got_flag, fix);
    return flag(fix);
}

static bool
account_pause(struct fix *fix)
{
    ew_store_account_pause(fix->store, "main", -4001, "credentials", 0, got_flag, fix);
    return flag(fix);
}

static void
test_states(void **state)
{
    struct fix *fix = *state;

    assert_true(account_open(fix, "aa"));
    assert_false(account_open(fix, "aa"));
    assert_int_equal(token(fix, EW_RATE_ENROLLMENT), EW_TOKEN_PROBE);
    assert_int_equal(token(fix, EW_RATE_REVOCATION), EW_TOKEN_UNVERIFIED); /* one in the fleet */
    assert_in_range(fix->wait_ms, 1, 500);
    tell(&fix->redis, "HSET epki:v1:account:main probe 1"); /* its lease ran out */
    assert_int_equal(token(fix, EW_RATE_QUERY), EW_TOKEN_PROBE);
    assert_true(resumed(fix));
    assert_false(resumed(fix));
    assert_int_equal(token(fix, EW_RATE_BULK), EW_TOKEN_GRANTED);
    assert_true(account_pause(fix));
    assert_false(account_pause(fix)); /* one of the calls in flight: published once */
    assert_int_equal(token(fix, EW_RATE_REVOCATION), EW_TOKEN_PAUSED);
    assert_int_equal(fix->code, -4001);
    assert_string_equal(fix->text, "credentials");
    assert_false(account_open(fix, "aa"));
    assert_int_equal(token(fix, EW_RATE_QUERY), EW_TOKEN_PAUSED);
    assert_true(account_open(fix, "bb"));
    assert_int_equal(token(fix, EW_RATE_QUERY), EW_TOKEN_PROBE);
    assert_true(resumed(fix));
    assert_int_equal(token(fix, EW_RATE_QUERY), EW_TOKEN_GRANTED);
    assert_int_equal(fix->code, 0);
}

/* Without a wrong password the fleet tests a paused account itself, one query at a time. */
static void
test_retest(void **state)
{
    struct fix *fix = *state;

    assert_true(account_open(fix, "aa"));
    assert_int_equal(token(fix, EW_RATE_QUERY), EW_TOKEN_PROBE);
    ew_store_account_untested(fix->store, "main"); /* the network was down: at once again */
    assert_int_equal(token(fix, EW_RATE_QUERY), EW_TOKEN_PROBE);
    ew_store_account_pause(fix->store, "main", -4201, "address", 300, got_flag, fix);
    assert_true(flag(fix));
    assert_int_equal(token(fix, EW_RATE_QUERY), EW_TOKEN_PAUSED);
    turn(fix, 320);
    assert_int_equal(token(fix, EW_RATE_ENROLLMENT), EW_TOKEN_PROBE);
    assert_int_equal(token(fix, EW_RATE_ENROLLMENT), EW_TOKEN_PAUSED); /* one in the fleet */
    ew_store_account_pause(fix->store, "main", -4201, "address", 300, got_flag, fix);
    assert_false(flag(fix));
    turn(fix, 320);
    assert_int_equal(token(fix, EW_RATE_QUERY), EW_TOKEN_PROBE);
    assert_true(resumed(fix));
    assert_int_equal(token(fix, EW_RATE_QUERY), EW_TOKEN_GRANTED);
}

/* A worker that still has the old password neither tries it nor pauses the new one. */
static void
test_superseded(void **state)
{
    struct fix *fix = *state;
    struct ew_store *ours = fix->store;
    struct ew_store *old;

    fix_open(fix, NULL);
    old = fix->store;
    assert_true(account_open(fix, "old"));
    assert_int_equal(token(fix, EW_RATE_QUERY), EW_TOKEN_PROBE);
    assert_true(resumed(fix));
    fix->store = ours;
    assert_true(account_open(fix, "new"));
    fix->store = old;
    assert_false(account_pause(fix));
    assert_int_equal(token(fix, EW_RATE_QUERY), EW_TOKEN_PAUSED);
    assert_string_equal(fix->text, "credentials-superseded");
    assert_false(resumed(fix));
    ew_store_free(old);
    fix->store = ours;
    assert_int_equal(token(fix, EW_RATE_QUERY), EW_TOKEN_PROBE);
    assert_true(resumed(fix));
    assert_int_equal(token(fix, EW_RATE_QUERY), EW_TOKEN_GRANTED);
}

/* A second store, beside the one that is asked. */
static struct ew_store *
another(struct fix *fix)
{
    struct ew_store *ours = fix->store, *made;

    fix_open(fix, NULL);
    made = fix->store;
    fix->store = ours;
    return made;
}

/* Opens it as the one store or the other. */
static bool
opened_by(struct fix *fix, struct ew_store *store, const char *credentials)
{
    struct ew_store *ours = fix->store;
    bool changed;

    fix->store = store;
    changed = account_open(fix, credentials);
    fix->store = ours;
    return changed;
}

/* Redis was away for a moment: the old password is not tried again, nor the new one shut out. */
static void
test_superseded_comes_back(void **state)
{
    struct fix *fix = *state;
    struct ew_store *old = another(fix);

    assert_true(opened_by(fix, old, "before"));
    assert_true(account_open(fix, "after"));
    assert_int_equal(token(fix, EW_RATE_QUERY), EW_TOKEN_PROBE);
    assert_true(resumed(fix));
    assert_false(opened_by(fix, old, "before"));
    assert_int_equal(token_of(fix, old, EW_RATE_QUERY), EW_TOKEN_PAUSED);
    assert_string_equal(fix->text, "credentials-superseded");
    assert_int_equal(token(fix, EW_RATE_QUERY), EW_TOKEN_GRANTED);
    assert_false(account_open(fix, "after"));
    assert_int_equal(token(fix, EW_RATE_QUERY), EW_TOKEN_GRANTED);
    ew_store_free(old);
}

/* Redis forgot who came, and the old password is the first to be back. */
static void
test_superseded_comes_first_after_a_wipe(void **state)
{
    struct fix *fix = *state;
    struct ew_store *ours = fix->store, *old = another(fix);

    assert_true(opened_by(fix, old, "of old"));
    assert_true(account_open(fix, "of now"));
    tell(&fix->redis, "FLUSHALL");
    assert_true(opened_by(fix, old, "of old"));
    fix->store = old;
    assert_int_equal(token(fix, EW_RATE_QUERY), EW_TOKEN_PROBE);
    assert_true(account_pause(fix));
    fix->store = ours;
    assert_true(account_open(fix, "of now"));
    assert_int_equal(token(fix, EW_RATE_QUERY), EW_TOKEN_PROBE);
    assert_true(resumed(fix));
    assert_false(opened_by(fix, old, "of old"));
    assert_int_equal(token(fix, EW_RATE_QUERY), EW_TOKEN_GRANTED);
    ew_store_free(old);
}

/* The new one is back before the rebuild's sweep, the old one after it. */
static void
test_superseded_comes_after_the_sweep(void **state)
{
    static const char nonce[] = "0123456789abcdef0123456789abcdef";
    struct fix *fix = *state;
    struct ew_store *old = another(fix);

    assert_true(opened_by(fix, old, "of yesterday"));
    assert_true(account_open(fix, "of today"));
    tell(&fix->redis, "FLUSHALL");
    assert_true(account_open(fix, "of today"));
    ew_store_rebuild_begin(fix->store, nonce, got_flag, fix);
    assert_true(flag(fix)); /* what was there is swept away */
    assert_false(opened_by(fix, old, "of yesterday"));
    ew_store_rebuild_finish(fix->store, nonce, got_flag, fix);
    assert_true(flag(fix));
    assert_int_equal(token_of(fix, old, EW_RATE_QUERY), EW_TOKEN_PAUSED);
    assert_string_equal(fix->text, "credentials-superseded");
    assert_int_equal(token(fix, EW_RATE_QUERY), EW_TOKEN_PROBE);
    ew_store_free(old);
}

static void
test_not_before(void **state)
{
    struct fix *fix = *state;

    assert_true(account_open(fix, "aa"));
    assert_int_equal(token(fix, EW_RATE_QUERY), EW_TOKEN_PROBE);
    assert_true(resumed(fix));
    ew_store_not_before(fix->store, "main", 2000);
    ew_store_not_before(fix->store, "main", 100); /* the longer one holds */
    assert_int_equal(token_of(fix, fix->store, EW_RATE_REVOCATION), EW_TOKEN_WAIT);
    assert_in_range(fix->wait_ms, 1000, 2000);
    turn(fix, 2010);
    assert_int_equal(token(fix, EW_RATE_REVOCATION), EW_TOKEN_GRANTED);
    ew_store_not_before(fix->store, "main", INT64_MAX);
    assert_int_equal(token_of(fix, fix->store, EW_RATE_REVOCATION), EW_TOKEN_WAIT);
    assert_in_range(fix->wait_ms, 3590000, 3600000);
    /* A clock that stepped back by years must not shut the account for years. */
    tell(&fix->redis, "HSET epki:v1:account:main nb 9000000000000000");
    assert_int_equal(token_of(fix, fix->store, EW_RATE_REVOCATION), EW_TOKEN_WAIT);
    assert_in_range(fix->wait_ms, 3590000, 3600000);
    ew_store_not_before(fix->store, "main", 10);
    turn(fix, 30);
    assert_int_equal(token(fix, EW_RATE_REVOCATION), EW_TOKEN_GRANTED);
}

/* Several workers, real time: together no more than the rate. */
struct client {
    struct fix *fix;
    struct ew_store *store;
    struct ew_timer timer;
    enum ew_rate_class cls;
    int granted;
    bool over;
};

static void client_ask(void *arg);

static const struct ew_rate slow = {.per_minute = 6000, .burst = 10, .share = {20, 20, 30, 15, 5}};

static void
client_told(void *arg, enum ew_fault fault, const struct ew_token_reply *reply)
{
    struct client *client = arg;

    if (client->over || fault != EW_OK)
        return;
    client->granted += reply->result == EW_TOKEN_GRANTED;
    ew_timer_start(&client->timer, reply->result == EW_TOKEN_GRANTED ? 0 : reply->wait_ms);
}

static void
client_ask(void *arg)
{
    struct client *client = arg;

    ew_store_tokens(client->store, "main", &slow, client->cls, 1, client_told, client);
}

static void
test_fleet(void **state)
{
    struct fix *fix = *state;
    struct client clients[4 * EW_RATE_COUNT];
    struct ew_store *first = fix->store, *stores[4];
    const size_t n = sizeof(clients) / sizeof(clients[0]);
    int64_t begin, took;
    int sum = 0;

    tell(&fix->redis, "HSET epki:v1:account:main st ok");
    for (size_t i = 0; i < 4; i++) {
        fix_open(fix, NULL);
        stores[i] = fix->store;
    }
    fix->store = first;
    begin = ew_boot_ms(&ew_clock_system);
    for (size_t i = 0; i < n; i++) {
        clients[i] =
            (struct client){.fix = fix, .store = stores[i % 4], .cls = (enum ew_rate_class)(i / 4)};
        ew_timer_init(&clients[i].timer, fix->loop, client_ask, &clients[i]);
        ew_timer_start(&clients[i].timer, 0);
    }
    turn(fix, 2000);
    took = ew_boot_ms(&ew_clock_system) - begin;
    for (size_t i = 0; i < n; i++) {
        clients[i].over = true;
        ew_timer_cancel(&clients[i].timer);
        sum += clients[i].granted;
    }
    for (size_t i = 0; i < 4; i++)
        ew_store_free(stores[i]);
    /* Empty at first: what was granted is what flowed in, at 100 a second. */
    assert_in_range(sum, 120, took / 10 + 2);
}

static void
test_refund(void **state)
{
    struct fix *fix = *state;
    const struct ew_rate rate = {.per_minute = 1, .burst = 1, .share = {0, 0, 0, 0, 0}};

    tell(&fix->redis, "HSET epki:v1:account:main st ok");
    ew_store_refund(fix->store, "main", &rate, EW_RATE_BULK); /* nothing there: nothing to give */
    ew_store_tokens(fix->store, "main", &rate, EW_RATE_BULK, 1, got_token, fix);
    await(fix);
    assert_int_equal(fix->token, EW_TOKEN_WAIT);
    assert_in_range(fix->wait_ms, 59000, 60000);
    ew_store_refund(fix->store, "main", &rate, EW_RATE_BULK);
    ew_store_tokens(fix->store, "main", &rate, EW_RATE_BULK, 1, got_token, fix);
    await(fix);
    assert_int_equal(fix->token, EW_TOKEN_GRANTED);
    ew_store_tokens(fix->store, "main", &rate, EW_RATE_BULK, 1, got_token, fix);
    await(fix);
    assert_int_equal(fix->token, EW_TOKEN_WAIT);
}

/* Several at once are as many as one after the other would have been. */
static void
test_several(void **state)
{
    struct fix *fix = *state;
    const struct ew_rate rate = {.per_minute = 60, .burst = 10, .share = {0, 0, 0, 0, 0}};

    tell(&fix->redis, "HSET epki:v1:account:main st ok");
    ew_store_tokens(fix->store, "main", &rate, EW_RATE_REVOCATION, 4, got_token, fix);
    await(fix);
    assert_int_equal(fix->token, EW_TOKEN_WAIT);
    tell(&fix->redis, "HSET epki:v1:limit:main s 0");
    ew_store_tokens(fix->store, "main", &rate, EW_RATE_REVOCATION, 4, got_token, fix);
    await(fix);
    assert_int_equal(fix->token, EW_TOKEN_GRANTED);
    assert_int_equal(fix->count, 4);
    ew_store_tokens(fix->store, "main", &rate, EW_RATE_REVOCATION, 20, got_token, fix);
    await(fix);
    assert_int_equal(fix->token, EW_TOKEN_GRANTED);
    assert_in_range(fix->count, 6, 7); /* a second may have passed */
    ew_store_tokens(fix->store, "main", &rate, EW_RATE_REVOCATION, 20, got_token, fix);
    await(fix);
    assert_int_equal(fix->token, EW_TOKEN_WAIT);
    assert_int_equal(fix->count, 0);
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup(name, fix_fresh)
    const struct CMUnitTest tests[] = {
        ROW(test_states),
        ROW(test_retest),
        ROW(test_superseded),
        ROW(test_superseded_comes_back),
        ROW(test_superseded_comes_first_after_a_wipe),
        ROW(test_superseded_comes_after_the_sweep),
        ROW(test_not_before),
        ROW(test_fleet),
        ROW(test_refund),
        ROW(test_several),
    };

    return cmocka_run_group_tests_name("store: account", tests, fix_setup, fix_teardown);
}
