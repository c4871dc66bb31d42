/*
 * Renewals: whose certificate may be replaced, and what its names are judged by.
 */
#include "world.h"

#include "epki/v1/renewal.pb-c.h"

static struct ew_part renewals;

static int
begin(void **state)
{
    if (world_begin(state) != 0)
        return -1;
    adopt(&renewals, EW_LANE_RENEWAL, "epki.renewal.requests");
    return 0;
}

/* r-0 was answered so, and Redis knows it. */
static void
target_is(enum ew_operation op, const struct ew_names *names)
{
    struct ew_state_record state = {
        .request_id = "r-0",
        .op = op,
        .source = {.topic = "epki.enrollment.requests"},
        .first = {.result = op == EW_OP_REVOKE ? EW_RES_REVOKED : EW_RES_ISSUED,
                  .request_id = "r-0",
                  .op = op,
                  .setting = "vpn",
                  .has_certificate = true,
                  .certificate = {.order_id = "CE0", .serial = "1a"}},
        .status = op == EW_OP_REVOKE ? EW_CERT_NONE : EW_CERT_VALID,
        .names = *names};
    struct ew_buf value;
    struct ew_err err;

    ew_buf_init(&value, EW_MAX_FLOW_MEMORY);
    assert_int_equal(ew_wire_state_encode(&state, &value, &err), EW_OK);
    w.target = (struct ew_blob){.data = kept(value.data, value.len), .len = value.len};
    ew_buf_deinit(&value);
}

static void
renews(Epki__V1__Target *target, bool started)
{
    Epki__V1__RenewalRequest message = EPKI__V1__RENEWAL_REQUEST__INIT;
    Epki__V1__KeyChoice key = EPKI__V1__KEY_CHOICE__INIT;
    struct ew_blob record_key = {.data = NULL, .len = 0};
    uint8_t bytes[4096];
    size_t len;

    w.attempt = 0;
    key.choice_case = EPKI__V1__KEY_CHOICE__CHOICE_CSR;
    key.csr = device_csr;
    message.request_id = (char *)(uintptr_t)"r-1";
    message.setting = (char *)(uintptr_t)"vpn";
    message.target = target;
    message.key = &key;
    len = epki__v1__renewal_request__get_packed_size(&message);
    assert_true(len <= sizeof(bytes));
    epki__v1__renewal_request__pack(&message, bytes);
    enter(&renewals, &record_key, kept(bytes, len), len, started);
    pass(0);
}

/* r-0, without facts. */
static void
renews_it(bool started)
{
    Epki__V1__Target target = EPKI__V1__TARGET__INIT;

    target.target_case = EPKI__V1__TARGET__TARGET_REQUEST_ID;
    target.request_id = (char *)(uintptr_t)"r-0";
    renews(&target, started);
}

static void
is_refused(const char *problem)
{
    const struct ew_event *event = answered(EW_RES_REJECTED);

    assert_int_equal(event->failure.cls, EW_FAIL_INVALID);
    assert_string_equal(event->failure.problem, problem);
    assert_true(event->failure.advice[0] != '\0');
    assert_null(asked(ORDER));
    (void)world_end(NULL);
    (void)begin(NULL);
}

static void
test_without_facts_it_has_its_targets_names(void **state)
{
    static const struct ew_names names = {.cn = CN, .email = "", .upn = ""};

    (void)state;
    target_is(EW_OP_ENROLL, &names);
    renews_it(false);
    walked(UNTIL_ORDER);
    assert_string_equal(asked(ORDER)->cn, CN);
    replies(ORDER,
            (struct ew_ca_reply){.order_id = "CE1", .certificate = certificate(NULL, NULL, NULL)});
    assert_string_equal(answered(EW_RES_RENEWED)->certificate.order_id, "CE1");
}

/* It came from a setting that allows other names, or this one allowed them once. */
static void
test_the_targets_names_are_judged_by_the_setting(void **state)
{
    static const char *const domains[] = {"example.com"};
    static const struct {
        struct ew_names names;
        bool smime;
        const char *problem;
    } rows[] = {
        {{.cn = CN, .email = "ada@example.org", .upn = ""}, false, "email-domain"},
        {{.cn = CN, .email = "", .upn = ""}, true, "email-missing"},
        {{.cn = CN, .email = "ada@example.com", .upn = "", .ous = {"Sales"}, .ou_count = 1},
         true,
         "ou-forbidden"},
        {{.cn = "", .email = "", .upn = ""}, false, "name-empty"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        w.setting.email_domains[0] = domains[0];
        w.setting.email_domain_count = 1;
        w.setting.smime = rows[i].smime;
        target_is(EW_OP_ENROLL, &rows[i].names);
        renews_it(false);
        walked("lookup claim publish answered");
        is_refused(rows[i].problem);
    }
}

/* Its answer names the certificate that it revoked, and no names. */
static void
test_a_revocation_is_not_renewed(void **state)
{
    static const struct ew_names names = {.cn = CN, .email = "", .upn = ""};

    (void)state;
    target_is(EW_OP_REVOKE, &names);
    renews_it(false);
    walked("lookup claim publish answered");
    is_refused("target-has-no-certificate");
}

/* One that was sent before is looked for under whatever names it had; another is not ordered. */
static void
test_forbidden_names_lead_to_the_order_in_the_air(void **state)
{
    static const struct ew_names names = {.cn = CN, .email = "", .upn = ""};
    struct ew_ca_order order = {.order_id = "CE1",
                                .order_status = EW_CA_ST_ISSUED,
                                .cn = CN,
                                .email = "",
                                .certificate = certificate(NULL, NULL, NULL)};

    (void)state;
    for (int found = 0; found < 2; found++) {
        w.setting.smime = found == 0;
        w.setting.email_domain_count = 0;
        target_is(EW_OP_ENROLL, &names);
        renews_it(true);
        walked("lookup claim reconcile");
        assert_string_equal(asked(LIST)->cn, CN);
        if (found) {
            shows(LIST, &order, 1);
            walked("verify publish answered");
            assert_string_equal(answered(EW_RES_RENEWED)->certificate.order_id, "CE1");
        } else {
            shows_for(LIST, QUIET + 2500, NULL, 0);
            walked("claim publish answered");
            is_refused("email-missing");
        }
    }
}

/* Nobody here issued it, and its names are the setting's own: each time that it is ordered. */
static void
test_an_unknown_target_has_no_names(void **state)
{
    Epki__V1__Target target = EPKI__V1__TARGET__INIT;
    Epki__V1__SettingAndOrder order = EPKI__V1__SETTING_AND_ORDER__INIT;

    (void)state;
    w.setting.cn_template = CN;
    target.target_case = EPKI__V1__TARGET__TARGET_ORDER;
    target.order = &order;
    order.setting = (char *)(uintptr_t)"vpn";
    order.order_id = (char *)(uintptr_t)"CE0";
    renews(&target, false);
    walked(UNTIL_ORDER);
    replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_NOT_SENT, .problem = "ca-connect"});
    pass(w.config.time.retry_max_ms);
    walked(ORDERED_AGAIN);
    assert_string_equal(asked(ORDER)->cn, CN);
}

/* Its target is in the air: it holds no slot, and goes on when that is done. */
static void
test_who_awaits_its_target_holds_no_slot(void **state)
{
    static const struct ew_names names = {.cn = CN, .email = "", .upn = ""};

    (void)state;
    one_slot();
    w.view.state = EW_REC_CALLING;
    w.view.source = (struct ew_source){.topic = "epki.enrollment.requests", .offset = 77};
    renews_it(false);
    walked("lookup claim wait_other");
    enrolls("r-2", "", false);
    walked(UNTIL_ORDER);
    target_is(EW_OP_ENROLL, &names);
    w.view.state = EW_REC_DONE;
    pass(2200);
    walked("queue");
    replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_PENDING, .order_id = "CE2"});
    walked("pending intent calling order");
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, begin, world_end)
    const struct CMUnitTest tests[] = {
        ROW(test_without_facts_it_has_its_targets_names),
        ROW(test_the_targets_names_are_judged_by_the_setting),
        ROW(test_a_revocation_is_not_renewed),
        ROW(test_forbidden_names_lead_to_the_order_in_the_air),
        ROW(test_an_unknown_target_has_no_names),
        ROW(test_who_awaits_its_target_holds_no_slot),
    };

    return cmocka_run_group_tests(tests, keys_begin, keys_end);
}
