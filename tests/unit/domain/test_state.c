/*
 * The table of states, walked. What each state may be followed by stands here a second time, in
 * words; every pair is compared, so that no move is added or lost unseen. Then whole lives of
 * requests, and moves that would order twice or answer twice.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "domain/state.h"

static const struct {
    enum ew_state state;
    const char *name;
    const char *next;
    enum ew_restart restart;
} golden[] = {
    {EW_ST_RECEIVED, "received", "lookup claim publish dropped", EW_RESTART_FRESH},
    {EW_ST_LOOKUP, "lookup", "check claim dropped", EW_RESTART_FRESH},
    {EW_ST_CHECK, "check", "lookup claim dropped", EW_RESTART_FRESH},
    {EW_ST_CLAIM, "claim",
     "wait_other queue held pending reconcile verify revoke stop publish dropped",
     EW_RESTART_FRESH},
    {EW_ST_WAIT_OTHER, "wait_other", "claim queue held revoke stop publish leave dropped",
     EW_RESTART_FRESH},
    {EW_ST_QUEUE, "queue", "intent held publish leave dropped", EW_RESTART_FRESH},
    {EW_ST_HELD, "held", "claim verify publish leave dropped", EW_RESTART_RECONCILE},
    {EW_ST_INTENT, "intent", "claim queue calling dropped", EW_RESTART_RECONCILE},
    {EW_ST_CALLING, "calling", "claim order publish dropped", EW_RESTART_RECONCILE},
    {EW_ST_ORDER, "order", "claim held pending reconcile verify publish dropped",
     EW_RESTART_RECONCILE},
    {EW_ST_PENDING, "pending", "reconcile verify publish leave dropped", EW_RESTART_RECONCILE},
    {EW_ST_RECONCILE, "reconcile", "claim wait_other pending verify publish leave dropped",
     EW_RESTART_RECONCILE},
    {EW_ST_VERIFY, "verify", "claim held reconcile undo publish dropped", EW_RESTART_RECONCILE},
    {EW_ST_UNDO, "undo", "claim publish leave dropped", EW_RESTART_RECONCILE},
    {EW_ST_REVOKE, "revoke", "publish leave dropped", EW_RESTART_FRESH},
    {EW_ST_STOP, "stop", "wait_other revoke publish dropped", EW_RESTART_FRESH},
    {EW_ST_PUBLISH, "publish", "answered dropped", EW_RESTART_RECONCILE},
    {EW_ST_LEAVE, "leave", "publish answered dropped", EW_RESTART_RECONCILE},
    {EW_ST_ANSWERED, "answered", "", EW_RESTART_NOTHING},
    {EW_ST_DROPPED, "dropped", "", EW_RESTART_RECONCILE},
};

static bool
lists(const char *names, const char *name)
{
    char padded[128], word[32];

    (void)snprintf(padded, sizeof(padded), " %s ", names);
    (void)snprintf(word, sizeof(word), " %s ", name);
    return strstr(padded, word) != NULL;
}

static void
test_every_pair(void **state)
{
    (void)state;
    assert_int_equal(sizeof(golden) / sizeof(golden[0]), EW_ST_COUNT);
    for (int from = 0; from < EW_ST_COUNT; from++) {
        assert_int_equal(golden[from].state, from);
        assert_string_equal(ew_state_name(golden[from].state), golden[from].name);
        assert_int_equal(ew_state_restart(golden[from].state), golden[from].restart);
        for (int to = 0; to < EW_ST_COUNT; to++)
            if (ew_state_may(golden[from].state, golden[to].state) !=
                lists(golden[from].next, golden[to].name))
                fail_msg("%s -> %s", golden[from].name, golden[to].name);
    }
    assert_false(ew_state_may(EW_ST_RECEIVED, EW_ST_COUNT));
    assert_false(ew_state_may(EW_ST_COUNT, EW_ST_DROPPED));
    assert_false(ew_state_may((enum ew_state) - 1, EW_ST_CLAIM));
    assert_string_equal(ew_state_name(EW_ST_COUNT), "?");
}

static enum ew_state
state_named(const char *name, size_t len)
{
    for (int i = 0; i < EW_ST_COUNT; i++)
        if (strlen(golden[i].name) == len && strncmp(golden[i].name, name, len) == 0)
            return golden[i].state;
    fail_msg("no state %.*s", (int)len, name);
    return EW_ST_COUNT;
}

/* The first move of a walk that the table refuses, as "from to"; "" when all are allowed. */
static const char *
walk(const char *path)
{
    static char refused[64];
    enum ew_state from = EW_ST_RECEIVED;

    for (const char *at = path; *at != '\0';) {
        size_t len = strcspn(at, " ");
        enum ew_state to = state_named(at, len);

        if (!ew_state_may(from, to)) {
            (void)snprintf(refused, sizeof(refused), "%s %s", ew_state_name(from),
                           ew_state_name(to));
            return refused;
        }
        from = to;
        at += len + (at[len] == ' ');
    }
    return "";
}

static void
test_lives(void **state)
{
    static const char *const lives[] = {
        /* a device's CSR, ordered at the first try */
        "lookup claim queue intent calling order verify publish answered",
        /* a worker-made key */
        "lookup check claim queue intent calling order verify publish answered",
        /* undecodable: a dead letter */
        "publish answered",
        /* a duplicate of what was answered; of what is under way */
        "lookup claim publish answered",
        "lookup claim wait_other publish answered",
        "lookup claim wait_other claim publish answered",
        /* the intent was refused by a rebalance and built again */
        "lookup claim queue intent queue intent calling order verify publish answered",
        /* the gate refused: surely unsent, claimed again */
        "lookup claim queue intent calling order claim queue intent calling order verify publish "
        "answered",
        /* the reply was lost: found; or, after the quiet period, not found and ordered again */
        "lookup claim queue intent calling order reconcile verify publish answered",
        "lookup claim queue intent calling order reconcile claim queue intent calling order verify "
        "publish answered",
        /* adopted after a crash */
        "lookup claim reconcile pending verify publish answered",
        "lookup claim verify publish answered",
        /* an asynchronous order, in the partition and by the waiting room */
        "lookup claim queue intent calling order pending verify publish answered",
        "lookup claim queue intent calling order pending leave answered",
        /* no licence; the account paused while it queued */
        "lookup claim queue intent calling order held claim queue intent calling order verify "
        "publish answered",
        "lookup claim queue intent calling order held leave answered",
        "lookup claim queue leave answered",
        /* a certificate that does not fit: cancelled; or the setting is held and looked at again */
        "lookup claim queue intent calling order verify undo publish answered",
        "lookup claim queue intent calling order verify undo claim queue intent calling order "
        "verify publish answered",
        "lookup claim queue intent calling order verify held verify publish answered",
        /* its key is gone, and Redis does not say that the order is its own: another event's it is
         */
        "lookup claim reconcile verify claim wait_other publish answered",
        /* stopped by a revocation before the call */
        "lookup claim queue intent calling publish answered",
        /* revocations: at once, after its target's answer, of a target never seen */
        "lookup claim revoke publish answered",
        "lookup claim wait_other revoke publish answered",
        "lookup claim wait_other stop publish answered",
        "lookup claim stop wait_other revoke publish answered",
        /* a renewal that waits for what it renews */
        "lookup claim wait_other queue intent calling order verify publish answered",
        /* the partition is lost in the middle of a call */
        "lookup claim queue intent calling order dropped",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(lives) / sizeof(lives[0]); i++)
        if (walk(lives[i])[0] != '\0')
            fail_msg("%s refused in: %s", walk(lives[i]), lives[i]);
}

static void
test_what_must_never_be(void **state)
{
    static const struct {
        const char *path, *refused;
    } walks[] = {
        /* an order without claim, slot, intent or Redis' consent */
        {"lookup claim order", "claim order"},
        {"lookup claim queue order", "queue order"},
        {"lookup claim queue intent order", "intent order"},
        {"lookup check queue", "check queue"},
        /* an order repeated without a claim that says so */
        {"lookup claim queue intent calling order queue", "order queue"},
        {"lookup claim queue intent calling order intent", "order intent"},
        {"lookup claim queue intent calling order reconcile queue", "reconcile queue"},
        {"lookup claim queue intent calling order reconcile intent", "reconcile intent"},
        {"lookup claim queue intent calling order pending claim", "pending claim"},
        /* an answer without its transaction, or a second one */
        {"lookup claim answered", "claim answered"},
        {"lookup claim queue intent calling order verify answered", "verify answered"},
        {"publish answered publish", "answered publish"},
        {"publish publish", "publish publish"},
        {"lookup claim queue intent calling order dropped publish", "dropped publish"},
        {"publish answered dropped", "answered dropped"},
        /* a certificate that no verification has seen is not left for later as if it fitted */
        {"lookup claim queue intent calling order verify leave", "verify leave"},
        /* a revocation never orders */
        {"lookup claim revoke queue", "revoke queue"},
        {"lookup claim stop queue", "stop queue"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(walks) / sizeof(walks[0]); i++)
        assert_string_equal(walk(walks[i].path), walks[i].refused);
}

/* Whatever has begun to order resumes by reconciling; only what is not started begins afresh. */
static void
test_a_crash_never_orders_blindly(void **state)
{
    static const enum ew_state started[] = {
        EW_ST_INTENT,    EW_ST_CALLING, EW_ST_ORDER, EW_ST_PENDING, EW_ST_HELD,
        EW_ST_RECONCILE, EW_ST_VERIFY,  EW_ST_UNDO,  EW_ST_PUBLISH, EW_ST_LEAVE};

    (void)state;
    for (size_t i = 0; i < sizeof(started) / sizeof(started[0]); i++)
        assert_int_equal(ew_state_restart(started[i]), EW_RESTART_RECONCILE);
}

/* From every state that is not an end an end can be reached; nothing is stuck by the table. */
static void
test_every_state_can_end(void **state)
{
    bool ends[EW_ST_COUNT] = {[EW_ST_ANSWERED] = true}, grown = true;

    (void)state;
    while (grown) {
        grown = false;
        for (int from = 0; from < EW_ST_COUNT; from++)
            for (int to = 0; to < EW_ST_COUNT; to++)
                if (!ends[from] && ends[to] && ew_state_may((enum ew_state)from, (enum ew_state)to))
                    ends[from] = grown = true;
    }
    for (int i = 0; i < EW_ST_COUNT; i++)
        assert_int_equal(ends[i], i != EW_ST_DROPPED);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_pair),
        cmocka_unit_test(test_lives),
        cmocka_unit_test(test_what_must_never_be),
        cmocka_unit_test(test_a_crash_never_orders_blindly),
        cmocka_unit_test(test_every_state_can_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
