/*
 * Orders that GlobalSign has not issued yet: how often they are asked for, and what is told of
 * them.
 */
#include "world.h"

enum { MINUTE = 60000 };

static int64_t asked_at[64];
static int questions;

/* Until it has left for the room; each question gets this reply. */
static void
note_questions(const struct ew_ca_reply *reply)
{
    w.config.time.hold_max_ms = 40 * MINUTE;
    w.config.time.poll_first_ms = MINUTE / 2;
    w.config.time.poll_max_ms = 10 * MINUTE;
    questions = 0;
    is_pending();
    for (asked_at[0] = w.boot_ms; w.walk[0] == '\0'; pass(100))
        if (asked(LOOK) != NULL) {
            assert_true(++questions < 64);
            asked_at[questions] = w.boot_ms;
            replies(LOOK, *reply);
        }
    walked("leave answered");
}

/* Between half of it and the whole, as every back-off; the world looks each 100 ms. */
static void
test_the_pauses_grow_from_poll_first_to_poll_max(void **state)
{
    static const struct ew_ca_order waits = {
        .order_id = "CE1", .order_status = EW_CA_ST_WAITING, .certificate = ""};
    static const struct ew_ca_reply replies_with[] = {
        {.orders = &waits, .order_count = 1}, {.order_count = 0}, {.cls = EW_CA_TRY_LATER}};

    (void)state;
    for (size_t i = 0; i < sizeof(replies_with) / sizeof(replies_with[0]); i++) {
        int64_t full = MINUTE / 2;

        note_questions(&replies_with[i]);
        assert_in_range(questions, 8, 12);
        assert_in_range(asked_at[1] - asked_at[0], full, full + 100);
        for (int q = 2; q <= questions; q++) {
            assert_in_range(asked_at[q] - asked_at[q - 1], full / 2, full + 100);
            full = full * 2 < w.config.time.poll_max_ms ? full * 2 : w.config.time.poll_max_ms;
        }
        (void)world_end(NULL);
        (void)world_begin(NULL);
    }
}

/* --- deposed with its order in the air --- */

static void
is_told_late(struct ew_ca_reply reply)
{
    struct ew_ca_call *call = asked(ORDER);

    assert_true(call->gate(call->arg));
    call->gate = NULL;
    is_lost(&w.enrollments);
    replies(ORDER, reply);
    assert_int_equal(w.flow->job_count, 0);
    is_adopted(&w.enrollments);
    w.remembers = true;
}

/* Without its id the adopter would look for it, and not find: it has no certificate that shows its
 * key, and is in the way of all others of its profile. */
static void
test_a_deposed_worker_tells_of_its_order(void **state)
{
    (void)state;
    enrolls("r-1", "", false);
    is_told_late((struct ew_ca_reply){.cls = EW_CA_PENDING, .order_id = "CE1"});
    assert_string_equal(w.saved_order, "CE1");
    assert_int_equal(w.saved.len, 0);
    enrolls("r-1", "", true);
    walked("lookup claim reconcile pending");
    assert_null(asked(LIST));
    pass(w.config.time.poll_first_ms);
    assert_string_equal(asked(LOOK)->order_id, "CE1");
}

/* Its key would have come with this reply: it is worth nothing, and the adopter finds it by name
 * and time. */
static void
test_a_deposed_worker_tells_of_no_order_without_its_key(void **state)
{
    (void)state;
    enrolls_for_their_key("r-1", false);
    is_told_late((struct ew_ca_reply){.cls = EW_CA_PENDING, .order_id = "CE1"});
    assert_string_equal(w.saved_order, "");
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
    const struct CMUnitTest tests[] = {
        ROW(test_the_pauses_grow_from_poll_first_to_poll_max),
        ROW(test_a_deposed_worker_tells_of_its_order),
        ROW(test_a_deposed_worker_tells_of_no_order_without_its_key),
    };

    return cmocka_run_group_tests(tests, keys_begin, keys_end);
}
