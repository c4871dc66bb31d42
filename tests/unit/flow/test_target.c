/*
 * A revocation by order id: it ends that order, whoever else's certificate the index leads to.
 */
#include "world.h"

#include "epki/v1/revocation.pb-c.h"

static struct ew_part revocations;

static int
begin(void **state)
{
    if (world_begin(state) != 0)
        return -1;
    adopt(&revocations, EW_LANE_REVOCATION, "epki.revocation.requests");
    return 0;
}

/* r-1 was answered with this order: delivered, or (serial "") rejected. */
static void
r_1_brought(const char *order_id, const char *serial)
{
    struct ew_state_record state = {.request_id = "r-1", .op = EW_OP_ENROLL, .key_count = 0};
    struct ew_buf value;
    struct ew_err err;

    state.status = serial[0] == '\0' ? EW_CERT_NONE : EW_CERT_VALID;
    state.first = (struct ew_event){.result = serial[0] == '\0' ? EW_RES_REJECTED : EW_RES_ISSUED,
                                    .op = EW_OP_ENROLL,
                                    .request_id = "r-1",
                                    .setting = "vpn",
                                    .has_certificate = serial[0] != '\0'};
    state.first.certificate.order_id = order_id;
    state.first.certificate.serial = serial;
    ew_buf_init(&value, 65536);
    assert_int_equal(ew_wire_state_encode(&state, &value, &err), EW_OK);
    w.owner = "r-1";
    w.view.state = EW_REC_DONE;
    w.view.outcome = (struct ew_blob){kept(value.data, value.len), value.len};
    ew_buf_deinit(&value);
}

static void
revokes_order(const char *order_id)
{
    Epki__V1__RevocationRequest message = EPKI__V1__REVOCATION_REQUEST__INIT;
    Epki__V1__SettingAndOrder order = EPKI__V1__SETTING_AND_ORDER__INIT;
    Epki__V1__Target which = EPKI__V1__TARGET__INIT;
    struct ew_blob key = {.data = NULL, .len = 0};
    uint8_t bytes[1024];
    size_t len;

    order.setting = (char *)(uintptr_t)"vpn";
    order.order_id = (char *)(uintptr_t)order_id;
    which.target_case = EPKI__V1__TARGET__TARGET_ORDER;
    which.order = &order;
    message.request_id = (char *)(uintptr_t)"r-9";
    message.target = &which;
    len = epki__v1__revocation_request__get_packed_size(&message);
    assert_true(len <= sizeof(bytes));
    epki__v1__revocation_request__pack(&message, bytes);
    enter(&revocations, &key, kept(bytes, len), len, false);
    pass(0);
}

static const struct ew_event *
is_revoked(const char *order_id)
{
    struct ew_ca_order order = {
        .order_id = order_id, .order_status = EW_CA_ST_ISSUED, .certificate = "", .cn = CN};
    const struct ew_event *answer;

    assert_string_equal(asked(LOOK)->order_id, order_id);
    shows(LOOK, &order, 1);
    assert_string_equal(asked(REVOKE)->order_id, order_id);
    replies(REVOKE, (struct ew_ca_reply){.order_id = order_id});
    order.order_status = EW_CA_ST_REVOKED;
    shows(LOOK, &order, 1);
    answer = answered(EW_RES_REVOKED);
    assert_string_equal(answer->certificate.order_id, order_id);
    assert_int_equal(w.resumes_published, 0); /* there is nothing to amend */
    return answer;
}

/* Of whom the last state record tells, and what. */
static void
state_says(const char *request_id, enum ew_cert_status status)
{
    struct ew_state_record record;
    struct ew_err err;

    assert_int_equal(ew_wire_state_decode(w.state.data, w.state.len, w.arena, &record, &err),
                     EW_OK);
    assert_string_equal(record.request_id, request_id);
    assert_int_equal(record.status, status);
}

static void
test_the_order_that_was_delivered(void **state)
{
    (void)state;
    r_1_brought("CE1", "1a");
    revokes_order("CE1");
    assert_string_equal(is_revoked("CE1")->target_request_id, "r-1");
    state_says("r-1", EW_CERT_REVOKED);
}

/* CE1 stays as it is whatever is asked of it, and GlobalSign says with this code that it may not
 * be. Returns how often it was asked to revoke, and to cancel it, until the revocation is answered.
 */
static void
is_refused_with(int code, int *revokes, int *cancels)
{
    struct ew_ca_order order = {
        .order_id = "CE1", .order_status = EW_CA_ST_ISSUED, .certificate = "", .cn = CN};
    struct ew_ca_reply refusal = {
        .cls = EW_CA_TRY_LATER, .code = code, .problem = "ca-unknown-code"};

    *revokes = *cancels = 0;
    for (int i = 0; i < 1000 && w.event_count == 0; i++) {
        if (asked(LOOK) != NULL)
            shows(LOOK, &order, 1);
        if (asked(REVOKE) != NULL)
            replies(REVOKE, refusal), (*revokes)++;
        if (asked(CANCEL) != NULL)
            replies(CANCEL, refusal), (*cancels)++;
        pass(500);
    }
}

/* Nobody documents the code of every refusal: what is said again and again is one. */
static void
test_a_code_that_does_not_pass_is_a_refusal(void **state)
{
    static const struct {
        int code, times;
    } cases[] = {{-54321, 5}, {-9943, 30}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int revokes, cancels;

        r_1_brought("CE1", "1a");
        revokes_order("CE1");
        is_refused_with(cases[i].code, &revokes, &cancels);
        assert_int_equal(revokes, cases[i].times);
        assert_int_equal(cancels, cases[i].times);
        assert_int_equal(answered(EW_RES_REJECTED)->failure.vendor_code, cases[i].code);
        (void)world_end(NULL);
        (void)begin(NULL);
    }
}

/* A surplus, or one that was ended for its lost key: the good one stays. */
static void
test_an_order_beside_the_one_that_was_delivered(void **state)
{
    const struct ew_event *answer;

    (void)state;
    r_1_brought("CE1", "1a");
    revokes_order("CE2");
    answer = is_revoked("CE2");
    assert_string_equal(answer->target_request_id, "");
    assert_string_equal(answer->certificate.serial, "");
    state_says("r-9", EW_CERT_NONE);
}

/* GlobalSign would not end it then. */
static void
test_the_order_of_a_rejected_request(void **state)
{
    (void)state;
    r_1_brought("CE2", "");
    revokes_order("CE2");
    (void)is_revoked("CE2");
    state_says("r-9", EW_CERT_NONE);
}

/* The account is paused: it waits in the room, and is done when it comes back. */
static void
test_a_revocation_that_cannot_ask_leaves(void **state)
{
    (void)state;
    r_1_brought("CE1", "1a");
    w.token = EW_TOKEN_PAUSED;
    revokes_order("CE1");
    pass(w.config.time.hold_max_ms + 2000);
    assert_string_equal(inflight(EW_INFLIGHT_WAITING).reason, "revoke");
    w.token = EW_TOKEN_GRANTED;
    for (int i = 0; i < 1000 && asked(LOOK) == NULL; i++)
        pass(100);
    w.resumes_published = 0;
    (void)is_revoked("CE1");
    state_says("r-1", EW_CERT_REVOKED);
}

/* --- what a revocation left undone --- */

static void
asks_to_amend(const char *order_id)
{
    struct ew_resume amend = {.action = EW_RESUME_AMEND,
                              .request_id = "r-9",
                              .source = {.topic = "epki.revocation.requests"},
                              .reason = "",
                              .order_id = order_id,
                              .status = EW_CERT_REVOKED,
                              .waiting_offset = -1};

    ew_room_publish(w.flow, &amend);
    pass(0);
}

static void
amends(const char *order_id)
{
    asks_to_amend(order_id);
    walked("publish answered");
    assert_int_equal(w.event_count, 0);
}

static void
test_an_amendment_of_the_delivered_order(void **state)
{
    (void)state;
    r_1_brought("CE1", "1a");
    amends("CE1");
    state_says("r-1", EW_CERT_REVOKED);
}

static void
test_an_amendment_of_an_order_beside_it(void **state)
{
    (void)state;
    r_1_brought("CE1", "1a");
    amends("CE2");
    assert_int_equal(w.state.len, 0);
}

/* The answer stands in the topics, and Redis did not hear of it: nobody else asks for it. */
static void
test_an_amendment_of_an_answer_that_redis_lost(void **state)
{
    static struct ew_read_record stated;

    (void)state;
    r_1_brought("CE1", "1a");
    stated = (struct ew_read_record){
        .key = "r-1", .key_len = 3, .value = w.view.outcome.data, .value_len = w.view.outcome.len};
    w.states = &stated;
    w.state_count = 1;
    w.view.state = EW_REC_OUTCOME;
    w.view.source = (struct ew_source){.topic = "epki.enrollment.requests", .offset = 77};
    w.config.time.hold_max_ms = 1000000;
    w.offset_state = EW_OFFSET_OPEN;
    asks_to_amend("CE1");
    pass(15000);
    assert_int_equal(w.dones, 0);
    w.offset_state = EW_OFFSET_DONE;
    for (int i = 0; i < 200 && w.dones == 0; i++)
        pass(100);
    assert_int_equal(w.dones, 1);
    w.view.state = EW_REC_DONE;
    pass(5000);
    walked("publish answered");
    state_says("r-1", EW_CERT_REVOKED);
}

/* Each time whole partitions are read, and a request may wait for people for days. */
static void
test_an_amendment_asks_kafka_ever_more_rarely(void **state)
{
    int begun;

    (void)state;
    r_1_brought("CE1", "1a");
    w.view.state = EW_REC_WAITING;
    w.view.source = (struct ew_source){.topic = "epki.enrollment.requests", .offset = 77};
    w.config.time.hold_max_ms = 100 * 1000 * 1000;
    w.offset_state = EW_OFFSET_DONE;
    asks_to_amend("CE1");
    begun = w.readers_begun;
    pass(600 * 1000);
    assert_in_range(w.readers_begun - begun, 10, 14); /* two topics, after 10 s, 20, 40... */
    walked("");
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, begin, world_end)
    const struct CMUnitTest tests[] = {
        ROW(test_the_order_that_was_delivered),
        ROW(test_a_code_that_does_not_pass_is_a_refusal),
        ROW(test_an_order_beside_the_one_that_was_delivered),
        ROW(test_the_order_of_a_rejected_request),
        ROW(test_a_revocation_that_cannot_ask_leaves),
        ROW(test_an_amendment_of_the_delivered_order),
        ROW(test_an_amendment_of_an_order_beside_it),
        ROW(test_an_amendment_of_an_answer_that_redis_lost),
        ROW(test_an_amendment_asks_kafka_ever_more_rarely),
    };

    return cmocka_run_group_tests_name("flow: target", tests, keys_begin, keys_end);
}
