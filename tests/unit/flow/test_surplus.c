/*
 * What an order at GlobalSign is, judged alone; and a sweep: which orders it asks for, whom it lets
 * go first, and that everything must agree before one is ended.
 */
#include "world.h"

#include "surplus.h"

enum { INTERVAL = 4000, WINDOW = 600000 };

/* --- the judgement --- */

static struct ew_claimant
claimant(enum ew_record_state state, const char *order_id)
{
    struct ew_claimant of = {.state = state};

    (void)snprintf(of.order_id, sizeof(of.order_id), "%s", order_id);
    return of;
}

static void
test_judgement(void **ctx)
{
    struct ew_claimant none = claimant(EW_REC_ABSENT, ""), ours = claimant(EW_REC_DONE, "CE1"),
                       other = claimant(EW_REC_DONE, "CE2"), bare = claimant(EW_REC_DONE, "");
    const struct {
        const struct ew_claimant *by_order, *by_key;
        enum ew_whose whose;
    } rows[] = {
        {NULL, NULL, EW_WHOSE_FOREIGN},     {NULL, &none, EW_WHOSE_FOREIGN},
        {&none, NULL, EW_WHOSE_FOREIGN},    {&none, &other, EW_WHOSE_FOREIGN},
        {&other, NULL, EW_WHOSE_FOREIGN},   {&other, &none, EW_WHOSE_FOREIGN},
        {&ours, NULL, EW_WHOSE_ANSWERED},   {NULL, &ours, EW_WHOSE_ANSWERED},
        {&ours, &other, EW_WHOSE_ANSWERED}, {&other, &ours, EW_WHOSE_ANSWERED},
        {NULL, &other, EW_WHOSE_SURPLUS},   {&other, &other, EW_WHOSE_SURPLUS},
        {NULL, &bare, EW_WHOSE_SURPLUS},    {&bare, &bare, EW_WHOSE_SURPLUS},
    };
    const struct ew_sight order = {.order_id = "CE1", .status = EW_CA_ST_ISSUED, .has_key = true};

    (void)ctx;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(ew_surplus_judge(&order, rows[i].by_order, rows[i].by_key), rows[i].whose);
}

/* What was delivered is not ended because GlobalSign told it under another id. */
static void
test_a_certificate_that_was_delivered_is_no_surplus(void **ctx)
{
    struct ew_claimant other = claimant(EW_REC_DONE, "CE2");
    struct ew_sight order = {.order_id = "CE1", .status = EW_CA_ST_ISSUED, .has_key = true};

    (void)ctx;
    assert_int_equal(ew_surplus_judge(&order, NULL, &other), EW_WHOSE_SURPLUS);
    memcpy(order.serial, "1a", 3);
    memcpy(other.serial, "1b", 3);
    assert_int_equal(ew_surplus_judge(&order, NULL, &other), EW_WHOSE_SURPLUS);
    memcpy(other.serial, "1a", 3);
    assert_int_equal(ew_surplus_judge(&order, NULL, &other), EW_WHOSE_ANSWERED);
    other.state = EW_REC_ABSENT;
    assert_int_equal(ew_surplus_judge(&order, NULL, &other), EW_WHOSE_FOREIGN);
}

/* In whatever state: it may take the order, and nobody else decides. */
static void
test_what_is_not_answered_keeps_its_orders(void **ctx)
{
    const struct ew_sight order = {.order_id = "CE1", .status = EW_CA_ST_ISSUED, .has_key = true};
    struct ew_claimant other = claimant(EW_REC_DONE, "CE2");

    (void)ctx;
    for (int s = EW_REC_CLAIMED; s < EW_REC_DONE; s++) {
        struct ew_claimant open = claimant((enum ew_record_state)s, "");

        assert_int_equal(ew_surplus_judge(&order, NULL, &open), EW_WHOSE_IN_FLIGHT);
        assert_int_equal(ew_surplus_judge(&order, &open, &other), EW_WHOSE_IN_FLIGHT);
        assert_int_equal(ew_surplus_judge(&order, &other, &open), EW_WHOSE_IN_FLIGHT);
    }
}

static void
test_what_has_ended_or_shows_no_key(void **ctx)
{
    static const int gone[] = {EW_CA_ST_CANCELLED, EW_CA_ST_CANCELLED_ISSUED, EW_CA_ST_REVOKING,
                               EW_CA_ST_REVOKED};
    struct ew_claimant other = claimant(EW_REC_DONE, "CE2");
    struct ew_sight order = {.order_id = "CE1", .has_key = true};

    (void)ctx;
    for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++) {
        order.status = gone[i];
        assert_int_equal(ew_surplus_judge(&order, NULL, &other), EW_WHOSE_ENDED);
    }
    order.status = EW_CA_ST_WAITING;
    order.has_key = false;
    assert_int_equal(ew_surplus_judge(&order, NULL, &other), EW_WHOSE_NAMELESS);
}

static void
test_what_does_not_decode_is_known_to_nobody(void **ctx)
{
    struct ew_claimant of = claimant(EW_REC_DONE, "CE1");
    struct ew_blob blob = {(const uint8_t *)"\xff", 1};

    (void)ctx;
    ew_surplus_answered(&blob, &of);
    assert_int_equal(of.state, EW_REC_ABSENT);
    assert_string_equal(of.order_id, "");
}

/* People ordered with it, however often it was tried. Where what was tried may come late, the
 * answer says something else; and any other refusal may have been booked. */
static void
test_a_key_that_was_used_before_is_anothers(void **ctx)
{
    const struct {
        int attempts;
        enum ew_failure_class cls;
        const char *problem;
        enum ew_record_state state;
    } rows[] = {
        {1, EW_FAIL_REFUSED, "key-used", EW_REC_ABSENT},
        {2, EW_FAIL_REFUSED, "key-used", EW_REC_ABSENT},
        {2, EW_FAIL_REFUSED, "key-used-unseen", EW_REC_DONE},
        {1, EW_FAIL_REFUSED, "ca-field", EW_REC_DONE},
        {1, EW_FAIL_CONFLICT, "key-used", EW_REC_DONE},
    };

    (void)ctx;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ew_state_record record = {.request_id = "r-1", .op = EW_OP_ENROLL};
        struct ew_claimant of = claimant(EW_REC_DONE, "CE1");
        struct ew_buf value;
        struct ew_err err;

        record.first = (struct ew_event){.result = EW_RES_REJECTED, .op = EW_OP_ENROLL};
        record.first.attempts = rows[i].attempts;
        record.first.failure = (struct ew_failure){.cls = rows[i].cls, .problem = rows[i].problem};
        ew_buf_init(&value, 65536);
        assert_int_equal(ew_wire_state_encode(&record, &value, &err), EW_OK);
        ew_surplus_answered(&(struct ew_blob){value.data, value.len}, &of);
        assert_int_equal(of.state, rows[i].state);
        assert_string_equal(of.order_id, "");
        ew_buf_deinit(&value);
    }
}

/* --- a sweep --- */

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
    w.view.state = EW_REC_UNKNOWN;
    sweeps();
    order_is_listed("CE2");
    untouched();
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
        cmocka_unit_test(test_judgement),
        cmocka_unit_test(test_a_certificate_that_was_delivered_is_no_surplus),
        cmocka_unit_test(test_what_is_not_answered_keeps_its_orders),
        cmocka_unit_test(test_a_key_that_was_used_before_is_anothers),
        cmocka_unit_test(test_what_has_ended_or_shows_no_key),
        cmocka_unit_test(test_what_does_not_decode_is_known_to_nobody),
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
