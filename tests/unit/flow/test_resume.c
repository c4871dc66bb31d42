/*
 * What comes back from the waiting room, and how often: one at a time of each request, whoever says
 * that it is to be tried again.
 */
#include "world.h"

static void
decides(enum ew_resume_action action, const char *record_key, const char *by)
{
    struct ew_resume decision = {.action = action,
                                 .request_id = "r-1",
                                 .reason = "",
                                 .source = {.topic = "epki.enrollment.requests"},
                                 .waiting_offset = -1};
    struct ew_blob key = {.data = (const uint8_t *)record_key,
                          .len = record_key == NULL ? 0 : strlen(record_key)};
    struct ew_buf value;
    struct ew_err err;

    (void)snprintf(decision.by.topic, sizeof(decision.by.topic), "%s", by);
    ew_buf_init(&value, 1024);
    assert_int_equal(ew_wire_resume_encode(&decision, &value, &err), EW_OK);
    enter(&w.resumes, &key, kept(value.data, value.len), value.len, false);
    ew_buf_deinit(&value);
}

/* A decision to try r-1 again, under a record key of its own; NULL = without one. */
static void
decides_under(const char *record_key)
{
    decides(EW_RESUME_RETRY, record_key, "");
}

/* It asked for the end of what waited, and that has been parked since: it is no decision. */
static void
test_a_revocation_decides_nothing_for_people(void **state)
{
    static const char *const by[] = {"epki.revocation.requests", ""};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        w.setting.name = "renamed";
        w.doubted = true;
        enrolls("r-1", "", false);
        pass(0);
        assert_string_equal(w.parked, "setting-gone");
        pass(10000); /* the room has read it */
        w.walk[0] = '\0';
        w.event_count = 0;
        decides(EW_RESUME_END, "r-1", by[i]);
        pass(1000);
        if (by[i][0] != '\0')
            assert_int_equal(w.event_count, 0);
        else
            assert_int_equal(answered(EW_RES_REJECTED)->failure.cls, EW_FAIL_STOPPED);
        (void)world_end(NULL);
        (void)world_begin(NULL);
    }
}

/* The request's own resume is at work; a person, who does not know that, says the same under a
 * record key of their own. */
static void
test_a_decision_under_another_key_waits_its_turn(void **state)
{
    static const char *const keys[] = {"ada/vpn", "r-2", "r-11", "", NULL};
    struct ew_ca_order issued = {.order_id = "CE1",
                                 .order_status = EW_CA_ST_ISSUED,
                                 .cn = CN,
                                 .certificate = certificate(NULL, NULL, NULL)};

    (void)state;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        is_pending();
        stays_pending_for(w.config.time.hold_max_ms + w.config.time.poll_max_ms + 1500);
        walked("leave answered lookup claim reconcile pending");
        decides_under(keys[i]);
        w.claim_as = EW_CLAIM_OUTCOME; /* whoever claims now is told of the order */
        w.outcome = w.saved;
        pass(0);
        walked("publish answered"); /* it comes again, under the request's id */
        assert_int_equal(w.resumes_published, 2);
        looks_soon();
        shows(LOOK, &issued, 1);
        walked("verify publish answered publish answered");
        (void)answered(EW_RES_ISSUED); /* and no other */
        assert_int_equal(w.flow->job_count, 0);
        (void)world_end(NULL);
        (void)world_begin(NULL);
    }
}

static void
has_times_of_production(void)
{
    w.config.time.hold_max_ms = 900000;
    w.config.time.poll_first_ms = 30000;
    w.config.time.poll_max_ms = 600000;
    w.config.time.retry_max_ms = 60000;
}

/* It may stay as long as one that has just come. */
static void
test_what_is_at_work_is_not_released_again(void **state)
{
    (void)state;
    has_times_of_production();
    is_pending();
    stays_pending_for(w.config.time.hold_max_ms + w.config.time.poll_max_ms + 1000);
    walked("leave answered lookup claim reconcile pending");
    stays_pending_for(w.config.time.hold_max_ms - 60000);
    walked("");
    assert_int_equal(w.resumes_published, 1);
    assert_int_equal(w.flow->job_count, 1);
    stays_pending_for(w.config.time.poll_max_ms + 120000);
    walked("leave answered lookup claim reconcile pending");
    assert_int_equal(w.resumes_published, 2);
}

static void
has_no_licence_for(int64_t ms)
{
    for (int64_t end = w.boot_ms + ms; w.boot_ms < end; pass(100))
        while (asked(ORDER) != NULL)
            replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_LICENCE, .problem = "ca-licence"});
}

static void
test_one_that_is_held_tests_the_way_as_long_as_it_stays(void **state)
{
    int64_t stay;

    (void)state;
    has_times_of_production();
    stay = w.config.time.hold_max_ms;
    w.config.time.hold_max_ms = 1000;
    enrolls("r-1", "", false);
    has_no_licence_for(100);
    enrolls("r-2", "", false);
    has_no_licence_for(5000);
    assert_int_equal(w.flow->job_count, 0); /* both have left */
    w.config.time.hold_max_ms = (int)stay;
    has_no_licence_for(w.config.time.poll_max_ms);
    assert_int_equal(w.resumes_published, 1);
    has_no_licence_for(stay - 60000);
    assert_int_equal(w.resumes_published, 1);
    assert_int_equal(w.flow->job_count, 1);
    has_no_licence_for(120000);
    assert_int_equal(w.resumes_published, 2); /* the other one, when it has left */
}

/* Whoever makes room there: then it comes. */
static void
test_nothing_is_released_into_a_crowd(void **state)
{
    struct ew_resume amend = {.action = EW_RESUME_AMEND,
                              .reason = "",
                              .source = {.topic = "epki.revocation.requests"},
                              .order_id = "CE9",
                              .status = EW_CERT_REVOKED,
                              .waiting_offset = -1};

    (void)state;
    is_pending();
    stays_pending_for(w.config.time.hold_max_ms + 1000);
    walked("leave answered");
    w.config.kafka.partition_items = 8;
    w.owner = "r-9";
    w.view.state = EW_REC_WAITING;
    for (int i = 0; i < 5; i++) {
        amend.request_id = (const char *[]){"r-2", "r-3", "r-4", "r-5", "r-6"}[i];
        ew_room_publish(w.flow, &amend);
    }
    stays_pending_for(3 * w.config.time.poll_max_ms);
    walked("");
    assert_int_equal(w.resumes_published, 5);
    w.view.state = EW_REC_ABSENT; /* there is nothing to amend */
    for (int i = 0; i < 100 && w.resumes_published == 5; i++)
        pass(100);
    assert_int_equal(w.resumes_published, 6);
    pass(0);
    assert_non_null(strstr(w.walk, "lookup claim"));
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
    const struct CMUnitTest tests[] = {
        ROW(test_a_revocation_decides_nothing_for_people),
        ROW(test_a_decision_under_another_key_waits_its_turn),
        ROW(test_what_is_at_work_is_not_released_again),
        ROW(test_one_that_is_held_tests_the_way_as_long_as_it_stays),
        ROW(test_nothing_is_released_into_a_crowd),
    };

    return cmocka_run_group_tests(tests, keys_begin, keys_end);
}
