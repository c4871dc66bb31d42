/*
 * A sweep for surplus orders: which it asks for, whom it lets go first, and that everything must
 * agree before one is ended.
 */
#include "world.h"

#include "surplus.h"

enum { INTERVAL = 4000, WINDOW = 600000 };

static struct ew_blob
state_with(const char *order_id, const char *serial)
{
    struct ew_state_record state = {.request_id = "r-1", .op = EW_OP_ENROLL, .key_count = 0};
    struct ew_blob blob;
    struct ew_buf value;
    struct ew_err err;

    state.first.result = EW_RES_ISSUED;
    state.first.op = EW_OP_ENROLL;
    state.first.has_certificate = true;
    state.first.certificate.order_id = order_id;
    state.first.certificate.serial = serial;
    ew_buf_init(&value, 65536);
    assert_int_equal(ew_wire_state_encode(&state, &value, &err), EW_OK);
    blob = (struct ew_blob){kept(value.data, value.len), value.len};
    ew_buf_deinit(&value);
    return blob;
}

static struct ew_blob
state_of(const char *order_id)
{
    return state_with(order_id, "1a");
}

static struct ew_read_record stated;

/* What Redis says that r-1 was answered with, and what the topics say. */
static void
answered_with(const char *redis, const char *topics)
{
    struct ew_blob state = state_of(topics);

    w.key_owner = "r-1";
    w.states = &stated;
    w.state_count = 1;
    w.view.state = EW_REC_DONE;
    w.view.outcome = state_of(redis);
    stated = (struct ew_read_record){
        .key = kept("r-1", 3), .key_len = 3, .value = state.data, .value_len = state.len};
}

static int
sweep_begin(void **ctx)
{
    int rc = world_begin(ctx);

    w.config.time.surplus_interval_ms = INTERVAL;
    w.config.time.surplus_window_ms = WINDOW;
    ew_surplus_watch(w.flow);
    return rc;
}

static void
order_is_listed(const char *order_id)
{
    struct ew_ca_order order = {.order_id = order_id,
                                .order_status = EW_CA_ST_ISSUED,
                                .cn = CN,
                                .certificate = certificate(NULL, NULL, NULL)};

    shows(LIST, &order, 1);
    for (int i = 0; i < 10; i++) /* one look after another */
        pass(10);
}

static void
sweeps(void)
{
    for (int i = 0; i < 100 && asked(LIST) == NULL; i++) {
        if (asked(PROFILES) != NULL)
            replies(PROFILES, (struct ew_ca_reply){.cls = EW_CA_OK});
        pass(100);
    }
    assert_non_null(asked(LIST));
}

static void
look_says(int status)
{
    struct ew_ca_order order = {.order_id = "CE2", .order_status = status, .certificate = ""};

    for (int i = 0; i < 100 && asked(LOOK) == NULL; i++)
        pass(100);
    assert_string_equal(asked(LOOK)->order_id, "CE2");
    shows(LOOK, &order, 1);
    pass(100);
}

static bool
counted(const char *line)
{
    struct ew_buf text;
    bool there;

    ew_buf_init(&text, 1 << 20);
    ew_metrics_render(w.metrics, &text);
    there = strstr(ew_buf_text(&text), line) != NULL;
    ew_buf_deinit(&text);
    return there;
}

static void
untouched(void)
{
    pass(2000);
    assert_string_equal(w.condemned, "");
    assert_null(asked(LOOK));
    assert_null(asked(CANCEL));
    assert_int_equal(w.account_events, 0);
}

/* By GlobalSign's clock, which is asked for first; up to the quiet period. */
static void
test_asks_by_the_clock_of_globalsign(void **ctx)
{
    (void)ctx;
    unheard();
    for (int i = 0; i < 100 && asked(PROFILES) == NULL; i++)
        pass(100);
    assert_null(asked(LIST));
    replies(PROFILES, (struct ew_ca_reply){.cls = EW_CA_OK});
    for (int i = 0; i < 1000 && asked(LIST) == NULL; i++)
        pass(100);
    assert_string_equal(asked(LIST)->cn, "");
    assert_int_equal(asked(LIST)->to_ms - asked(LIST)->from_ms, WINDOW - QUIET);
    assert_in_range(ca_now() - asked(LIST)->to_ms, QUIET, QUIET + 200);
    order_is_listed("CE1");
    assert_true(counted("epki_surplus_judged_total{verdict=\"foreign\"} 1\n"));
    assert_true(counted("epki_surplus_sweeps_total{result=\"whole\"} 1\n"));
    untouched();
}

static void
test_surplus_is_told_and_ended(void **ctx)
{
    (void)ctx;
    answered_with("CE1", "CE1");
    sweeps();
    order_is_listed("CE2");
    assert_string_equal(w.condemned, "CE2");
    assert_int_equal(w.account_events, 1); /* before anything is done to it */
    look_says(EW_CA_ST_ISSUED);
    assert_string_equal(asked(CANCEL)->order_id, "CE2");
    replies(CANCEL, (struct ew_ca_reply){.cls = EW_CA_OK});
    look_says(EW_CA_ST_CANCELLED_ISSUED);
    assert_true(counted("epki_surplus_orders_total{result=\"ended\"} 1\n"));
    assert_true(counted("epki_surplus_judged_total{verdict=\"surplus\"} 1\n"));
    assert_int_equal(w.account_events, 1);
    assert_int_equal(w.lease_ms, INTERVAL);
}

/* Once it is ended, no sweep looks at it again. */
static void
test_nothing_is_ended_that_is_not_told(void **ctx)
{
    static const enum ew_committed results[] = {EW_COMMIT_REFUSED, EW_COMMIT_LOST};

    (void)ctx;
    answered_with("CE1", "CE1");
    for (int i = 0; i < 2; i++) {
        w.publish_as = results[i];
        sweeps();
        order_is_listed("CE2");
        pass(2000);
        assert_string_equal(w.condemned, "CE2");
        assert_int_equal(w.publishes, i + 1);
        assert_null(asked(LOOK));
        assert_null(asked(CANCEL));
    }
    assert_true(counted("epki_surplus_sweeps_total{result=\"partial\"} 2\n"));
    w.publish_as = EW_COMMITTED;
    sweeps();
    order_is_listed("CE2");
    assert_int_equal(w.account_events, 1);
    look_says(EW_CA_ST_ISSUED);
    assert_non_null(asked(CANCEL));
}

static void
test_is_ended_when_it_is_told(void **ctx)
{
    (void)ctx;
    answered_with("CE1", "CE1");
    w.publishing_stuck = true;
    sweeps();
    order_is_listed("CE2");
    pass(3 * INTERVAL);
    assert_string_equal(w.condemned, "CE2");
    assert_int_equal(w.publishes, 1);
    assert_null(asked(LOOK));
    publishing_goes_on();
    look_says(EW_CA_ST_ISSUED);
    assert_non_null(asked(CANCEL));
}

/* By now somebody else may be at it, or Redis was made anew. */
static void
test_is_left_when_it_is_told_too_late(void **ctx)
{
    (void)ctx;
    answered_with("CE1", "CE1");
    w.publishing_stuck = true;
    sweeps();
    order_is_listed("CE2");
    pass(61000);
    publishing_goes_on();
    pass(0);
    assert_null(asked(LOOK));
    assert_true(counted("epki_surplus_sweeps_total{result=\"partial\"} 1\n"));
}

/* Too late to cancel, and not to be revoked either: said, and tried again by the next sweep. */
static void
test_what_cannot_be_ended_is_told_again(void **ctx)
{
    (void)ctx;
    answered_with("CE1", "CE1");
    for (int sweep = 1; sweep <= 2; sweep++) {
        sweeps();
        order_is_listed("CE2");
        look_says(EW_CA_ST_ISSUED);
        replies(CANCEL, (struct ew_ca_reply){.cls = EW_CA_REJECTED, .code = -4005});
        look_says(EW_CA_ST_ISSUED);
        replies(REVOKE, (struct ew_ca_reply){.cls = EW_CA_REJECTED, .code = -4005});
        look_says(EW_CA_ST_ISSUED);
        assert_int_equal(w.account_events, 2 * sweep);
    }
    assert_true(counted("epki_surplus_orders_total{result=\"not_ended\"} 2\n"));
}

static void
test_delivered_under_another_id_is_left(void **ctx)
{
    (void)ctx;
    answered_with("CE1", "CE1");
    w.view.outcome = state_with("CE1", "1"); /* as certificates of tests have it */
    sweeps();
    order_is_listed("CE2");
    assert_true(counted("epki_surplus_judged_total{verdict=\"answered\"} 1\n"));
    untouched();
}

static void
test_answered_is_left(void **ctx)
{
    (void)ctx;
    answered_with("CE2", "CE2");
    sweeps();
    order_is_listed("CE2");
    untouched();
    assert_true(counted("epki_surplus_judged_total{verdict=\"answered\"} 1\n"));
}

/* Redis says surplus, the topics do not: an index proves nothing. */
static void
test_the_topics_have_the_last_word(void **ctx)
{
    (void)ctx;
    answered_with("CE1", "CE2");
    sweeps();
    order_is_listed("CE2");
    untouched();
    w.state_count = 0; /* nor is it one when they know nothing at all */
    sweeps();
    order_is_listed("CE2");
    untouched();
    assert_true(counted("epki_surplus_sweeps_total{result=\"whole\"} 2\n"));
}

static void
test_in_flight_is_left(void **ctx)
{
    (void)ctx;
    answered_with("CE1", "CE1");
    for (int i = 0; i < 2; i++) {
        w.view.state = i == 0 ? EW_REC_WAITING : EW_REC_PARKED;
        sweeps();
        order_is_listed("CE2");
        untouched();
    }
    assert_true(counted("epki_surplus_judged_total{verdict=\"in_flight\"} 2\n"));
    assert_int_equal(w.dones, 0);
}

/* Its worker died before Redis heard of the answer: Redis is told, and the next sweep ends it. */
static void
test_an_answer_that_redis_did_not_hear_of(void **ctx)
{
    static const enum ew_record_state open[] = {EW_REC_OUTCOME, EW_REC_UNKNOWN, EW_REC_CALLING};

    (void)ctx;
    for (int i = 0; i < 3; i++) {
        answered_with("CE1", "CE1");
        w.view.state = open[i];
        sweeps();
        order_is_listed("CE2");
        untouched();
        assert_int_equal(w.dones, i + 1);
    }
    w.view.state = EW_REC_DONE;
    sweeps();
    order_is_listed("CE2");
    assert_string_equal(w.condemned, "CE2");
}

/* Nor do the topics know of one. */
static void
test_what_is_open_in_the_topics_as_well_is_left(void **ctx)
{
    (void)ctx;
    answered_with("CE1", "CE1");
    w.state_count = 0;
    w.view.state = EW_REC_OUTCOME;
    sweeps();
    order_is_listed("CE2");
    untouched();
    assert_int_equal(w.dones, 0);
    assert_true(counted("epki_surplus_judged_total{verdict=\"in_flight\"} 1\n"));
}

static void
test_taken_meanwhile_is_left(void **ctx)
{
    (void)ctx;
    answered_with("CE1", "CE1");
    w.condemn_as = EW_TR_REFUSED;
    sweeps();
    order_is_listed("CE2");
    assert_string_equal(w.condemned, "CE2");
    w.condemned[0] = '\0';
    untouched();
}

static void
test_nothing_without_a_canary(void **ctx)
{
    (void)ctx;
    answered_with("CE1", "CE1");
    sweeps();
    w.canary = "";
    order_is_listed("CE2");
    untouched();
    assert_true(counted("epki_surplus_sweeps_total{result=\"partial\"} 1\n"));
    pass(3 * INTERVAL);
    assert_null(asked(LIST));
    w.canary = CANARY;
    sweeps();
    order_is_listed("CE2");
    assert_string_equal(w.condemned, "CE2");
}

/* Half an index knows few keys: what it does not know is not therefore somebody else's. */
static void
test_nobody_is_a_stranger_without_a_canary(void **ctx)
{
    (void)ctx;
    sweeps();
    w.canary = "";
    order_is_listed("CE2");
    pass(1000);
    assert_true(counted("epki_surplus_judged_total{verdict=\"foreign\"} 0\n"));
    assert_true(counted("epki_surplus_sweeps_total{result=\"partial\"} 1\n"));
}

static void
test_another_worker_does_it(void **ctx)
{
    (void)ctx;
    w.leases = false;
    pass(5 * INTERVAL);
    assert_null(asked(PROFILES));
    assert_null(asked(LIST));
    w.leases = true;
    sweeps();
}

/* Each part that is cut off is halved; one of a second is judged as it is, and the sweep goes on
 * behind it. */
static void
test_a_list_that_is_cut_off(void **ctx)
{
    int64_t from = 0, end, seen;
    int parts = 0;

    (void)ctx;
    sweeps();
    from = asked(LIST)->from_ms;
    seen = from;
    end = asked(LIST)->to_ms;
    while (seen < end && parts++ < 200) {
        int64_t to = asked(LIST)->to_ms;
        bool cut = from + 3000 > asked(LIST)->from_ms; /* too many within the first seconds */

        assert_int_equal(asked(LIST)->from_ms, seen);
        if (!cut || to - seen <= 1000)
            seen = to;
        replies(LIST, (struct ew_ca_reply){.capped = cut});
        pass(1100);
    }
    assert_int_equal(seen, end);
    assert_true(counted("epki_surplus_sweeps_total{result=\"partial\"} 1\n"));
}

static int gone;

static void
goes(struct ew_turn *turn)
{
    gone++;
    ew_turn_end(turn, false);
}

static void
is_held(struct ew_turn *turn, int code, const char *problem)
{
    (void)turn, (void)code, (void)problem;
}

static void
test_other_queries_go_first(void **ctx)
{
    struct ew_turn other = {.go = goes, .held = is_held};

    (void)ctx;
    gone = 0;
    w.token = EW_TOKEN_WAIT;
    ew_desk_ask(w.flow->settings[0].desk, &other, EW_RATE_QUERY);
    pass(3 * INTERVAL);
    assert_int_equal(w.flow->settings[0].desk->waiting[EW_RATE_QUERY], 1); /* not two */
    w.token = EW_TOKEN_GRANTED;
    sweeps();
    assert_int_equal(gone, 1);
}

static void
test_switched_off(void **ctx)
{
    (void)ctx;
    ew_surplus_watch(w.flow); /* of a world where the interval is 0 */
    pass(20 * INTERVAL);
    assert_null(asked(PROFILES));
    assert_null(asked(LIST));
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, sweep_begin, world_end)
    const struct CMUnitTest tests[] = {
        ROW(test_asks_by_the_clock_of_globalsign),
        ROW(test_surplus_is_told_and_ended),
        ROW(test_nothing_is_ended_that_is_not_told),
        ROW(test_is_ended_when_it_is_told),
        ROW(test_is_left_when_it_is_told_too_late),
        ROW(test_what_cannot_be_ended_is_told_again),
        ROW(test_delivered_under_another_id_is_left),
        ROW(test_answered_is_left),
        ROW(test_the_topics_have_the_last_word),
        ROW(test_in_flight_is_left),
        ROW(test_an_answer_that_redis_did_not_hear_of),
        ROW(test_what_is_open_in_the_topics_as_well_is_left),
        ROW(test_taken_meanwhile_is_left),
        ROW(test_nothing_without_a_canary),
        ROW(test_nobody_is_a_stranger_without_a_canary),
        ROW(test_another_worker_does_it),
        ROW(test_a_list_that_is_cut_off),
        ROW(test_other_queries_go_first),
        cmocka_unit_test_setup_teardown(test_switched_off, world_begin, world_end),
    };

    return cmocka_run_group_tests_name("flow: surplus", tests, keys_begin, keys_end);
}
