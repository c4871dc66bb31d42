/*
 * Events that are read again because the group's commits were lost: each may long have its answer,
 * and only a whole Redis knows.
 */
#include "reconcile.h"

static const struct ew_source first = {.topic = "epki.enrollment.requests"};

static int
doubt_begin(void **state)
{
    int rc = world_begin(state);

    w.doubted = true;
    return rc;
}

/* Nothing tells an order of it from others: people decide, but not about what was answered. */
static void
without_a_setting(void)
{
    w.setting.name = "renamed";
    w.canary = "";
    enrolls("r-1", "", false);
    pass(60000);
    walked("lookup claim reconcile");
    assert_string_equal(w.letter, "");
    assert_int_equal(w.event_count, 0);
}

static void
test_what_cannot_be_looked_for_and_was_answered(void **state)
{
    (void)state;
    without_a_setting();
    w.view.state = EW_REC_DONE; /* restored, before the canary is back */
    w.view.source = first;
    pass(5000);
    walked("publish answered");
    assert_string_equal(w.letter, "");
    assert_int_equal(w.event_count, 0);
}

static void
test_what_cannot_be_looked_for_and_was_not(void **state)
{
    (void)state;
    without_a_setting();
    w.store.away = true;
    w.canary = CANARY;
    pass(60000);
    assert_string_equal(w.letter, "");
    w.view.source = w.holder = (struct ew_source){.topic = "epki.enrollment.requests"};
    w.view.state = EW_REC_UNKNOWN;
    w.misfit = (struct ew_blob){.data = (const uint8_t *)"CE1\ncert-key\n\n\nx", .len = 16};
    w.store.away = false;
    pass(5000);
    assert_string_equal(w.letter, "setting-gone");
    assert_string_equal(inflight(EW_INFLIGHT_PARKED).misfit, "CE1\ncert-key\n\n\nx");
}

static void
test_without_names_it_waits_for_redis_as_well(void **state)
{
    (void)state;
    w.setting.cn_template = "${device_id}";
    w.canary = "";
    enrolls("r-1", "", false);
    pass(60000);
    assert_string_equal(w.letter, "");
    w.canary = CANARY;
    pass(5000);
    assert_string_equal(w.letter, "names-unknown");
}

/* What no settings would have let pass was never ordered: it is answered like any other. */
static void
test_what_was_never_valid_is_rejected(void **state)
{
    char kept_letter = device_csr[40];

    (void)state;
    device_csr[40] = '!';
    enrolls("r-1", "", false);
    device_csr[40] = kept_letter;
    walked("lookup claim publish answered");
    assert_int_equal(answered(EW_RES_REJECTED)->failure.cls, EW_FAIL_INVALID);
    assert_string_equal(w.letter, "");
}

/* Whoever began with it left an ORDERING record, and the mark that would say so is lost. */
static void
test_what_it_left_in_flight_goes_with_its_answer(void **state)
{
    struct ew_ca_order order = order_of("CE1", EW_CA_ST_ISSUED, certificate(NULL, NULL, NULL));
    const struct ew_read_record *last;

    (void)state;
    enrolls("r-1", "", false);
    walked("lookup claim reconcile");
    shows_for(LIST, QUIET, &order, 1);
    (void)answered(EW_RES_ISSUED);
    assert_true(w.inflight_count > 0);
    last = &w.inflight[w.inflight_count - 1];
    assert_null(last->value);
    assert_memory_equal(last->key, "r-1\0epki.enrollment.requests\0", 29);
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, doubt_begin, world_end)
    const struct CMUnitTest tests[] = {
        ROW(test_what_cannot_be_looked_for_and_was_answered),
        ROW(test_what_cannot_be_looked_for_and_was_not),
        ROW(test_without_names_it_waits_for_redis_as_well),
        ROW(test_what_was_never_valid_is_rejected),
        ROW(test_what_it_left_in_flight_goes_with_its_answer),
    };

    return cmocka_run_group_tests(tests, keys_begin, keys_end);
}
