/*
 * What the gauge of the shared rate says, by which the number of workers is held.
 */
#include "world.h"

static void
go(struct ew_turn *turn)
{
    (void)turn;
}

static bool
saturated(void)
{
    struct ew_buf text;
    bool is;

    ew_buf_init(&text, 1 << 20);
    ew_flow_gauges(w.flow);
    ew_metrics_render(w.metrics, &text);
    is = strstr(ew_buf_text(&text), "\nepki_rate_saturated 1\n") != NULL;
    assert_true(is || strstr(ew_buf_text(&text), "\nepki_rate_saturated 0\n") != NULL);
    ew_buf_deinit(&text);
    return is;
}

static void
test_what_waits_goes_with_its_partition(void **state)
{
    (void)state;
    assert_false(saturated());
    w.token = EW_TOKEN_WAIT;
    enrolls("r-1", "", false);
    pass(0);
    assert_true(saturated());
    is_lost(&w.enrollments);
    assert_false(saturated());
    pass(1000);
    assert_false(saturated());
}

/* The reply comes when nothing waits any more. */
static void
test_what_waited_has_gone(void **state)
{
    struct ew_turn turn = {.go = go};

    (void)state;
    w.token = EW_TOKEN_WAIT;
    ew_desk_ask(w.flow->desks[0], &turn, EW_RATE_BULK);
    ew_desk_wake(w.flow->desks[0]); /* it is asked for, and the reply is on its way */
    ew_turn_end(&turn, false);
    pass(1000);
    assert_false(saturated());
}

static void
test_one_class_is_held(void **state)
{
    struct ew_turn bulk = {.go = go}, query = {.go = go};

    (void)state;
    w.token = EW_TOKEN_WAIT;
    ew_desk_ask(w.flow->desks[0], &bulk, EW_RATE_BULK);
    pass(0);
    w.token = EW_TOKEN_GRANTED;
    ew_desk_ask(w.flow->desks[0], &query, EW_RATE_QUERY);
    pass(0);
    assert_true(query.granted && !bulk.granted);
    assert_true(saturated());
    pass(1000);
    assert_true(bulk.granted);
    assert_false(saturated());
    ew_turn_end(&query, false);
    ew_turn_end(&bulk, false);
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
    const struct CMUnitTest tests[] = {
        ROW(test_what_waits_goes_with_its_partition),
        ROW(test_what_waited_has_gone),
        ROW(test_one_class_is_held),
    };

    return cmocka_run_group_tests_name("flow: rate", tests, keys_begin, keys_end);
}
