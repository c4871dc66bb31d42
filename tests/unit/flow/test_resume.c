/*
 * What comes back from the waiting room, and how often: one at a time of each request, whoever says
 * that it is to be tried again.
 */
#include "world.h"

/* A decision to try r-1 again, under a record key of its own; NULL = without one. */
static void
decides_under(const char *record_key)
{
    struct ew_resume decision = {.action = EW_RESUME_RETRY,
                                 .request_id = "r-1",
                                 .reason = "",
                                 .source = {.topic = "epki.enrollment.requests"},
                                 .waiting_offset = -1};
    struct ew_blob key = {.data = (const uint8_t *)record_key,
                          .len = record_key == NULL ? 0 : strlen(record_key)};
    struct ew_buf value;
    struct ew_err err;

    ew_buf_init(&value, 1024);
    assert_int_equal(ew_wire_resume_encode(&decision, &value, &err), EW_OK);
    enter(&w.resumes, &key, kept(value.data, value.len), value.len, false);
    ew_buf_deinit(&value);
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

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
    const struct CMUnitTest tests[] = {
        ROW(test_a_decision_under_another_key_waits_its_turn),
    };

    return cmocka_run_group_tests(tests, keys_begin, keys_end);
}
