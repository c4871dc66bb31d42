/*
 * Waiting for another event, and what ends it: the other's answer, the deadline, the horizon, a
 * circle; and orders that are stopped or refused on their last step.
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
    w.config.time.hold_max_ms = 100 * 1000 * 1000; /* nobody leaves */
    w.offset_state = EW_OFFSET_OPEN;
    return 0;
}

static void
revokes_when(const char *request_id, const char *target, bool doubted)
{
    Epki__V1__RevocationRequest message = EPKI__V1__REVOCATION_REQUEST__INIT;
    struct ew_blob key = {.data = NULL, .len = 0};
    Epki__V1__Target which = EPKI__V1__TARGET__INIT;
    uint8_t bytes[1024];
    size_t len;

    which.target_case = EPKI__V1__TARGET__TARGET_REQUEST_ID;
    which.request_id = (char *)(uintptr_t)target;
    message.request_id = (char *)(uintptr_t)request_id;
    message.target = &which;
    len = epki__v1__revocation_request__get_packed_size(&message);
    assert_true(len <= sizeof(bytes));
    epki__v1__revocation_request__pack(&message, bytes);
    enter(&revocations, &key, kept(bytes, len), len, doubted);
    pass(0);
}

static void
revokes(const char *request_id, const char *target)
{
    revokes_when(request_id, target, false);
}

/* Another request holds the key; how it stands. */
static void
key_is_busy(enum ew_record_state holder)
{
    w.view.state = holder;
    w.view.source = (struct ew_source){.topic = "epki.enrollment.requests", .offset = 77};
    w.claim_as = EW_CLAIM_KEY_BUSY;
    enrolls("r-1", "", false);
    walked("lookup claim wait_other");
}

static void
test_a_key_is_waited_for(void **state)
{
    (void)state;
    key_is_busy(EW_REC_CALLING);
    pass(20000);
    walked("");
    w.view.state = EW_REC_DONE;
    pass(3000);
    walked("claim queue intent calling order");
}

/* What is parked keeps its key: asking for it again and again would only burn. */
static void
test_a_key_whose_holder_is_parked_is_waited_for(void **state)
{
    (void)state;
    key_is_busy(EW_REC_PARKED);
    pass(60000);
    walked("");
    w.view.state = EW_REC_DONE; /* the person has decided */
    pass(3000);
    walked("claim queue intent calling order");
}

static void
test_a_wait_ends_with_the_deadline(void **state)
{
    (void)state;
    w.deadline_ms = ca_now() + 10000;
    key_is_busy(EW_REC_PARKED);
    pass(9000);
    walked("");
    pass(4000);
    walked("publish answered");
    assert_string_equal(answered(EW_RES_REJECTED)->failure.problem, "deadline-passed");
}

static void
test_a_wait_ends_with_the_horizon(void **state)
{
    (void)state;
    w.config.time.horizon_ms = 30000;
    key_is_busy(EW_REC_PARKED);
    pass(29000);
    walked("");
    pass(4000);
    walked("publish answered");
    assert_string_equal(answered(EW_RES_REJECTED)->failure.problem, "awaited-too-long");
}

/* A duplicate's end is its first's, however long that takes. */
static void
test_a_duplicate_waits_beyond_the_horizon(void **state)
{
    (void)state;
    w.config.time.horizon_ms = 30000;
    w.view.state = EW_REC_CALLING;
    w.view.source = (struct ew_source){.topic = "epki.enrollment.requests", .offset = 77};
    w.claim_as = EW_CLAIM_WAIT;
    enrolls("r-1", "", false);
    pass(120000);
    walked("lookup claim wait_other");
}

static void
lies_in_the_room(const struct ew_inflight_record *record)
{
    struct ew_buf key, value;
    struct ew_err err;

    ew_buf_init(&key, 1024);
    ew_buf_init(&value, 65536);
    ew_wire_inflight_key(record->request_id, &record->source, &key);
    assert_int_equal(ew_wire_inflight_encode(record, &value, &err), EW_OK);
    w.inflight[w.inflight_count] = (struct ew_read_record){.offset = (int64_t)w.inflight_count,
                                                           .key = kept(key.data, key.len),
                                                           .key_len = key.len,
                                                           .value = kept(value.data, value.len),
                                                           .value_len = value.len};
    w.inflight_count++;
    ew_buf_deinit(&key);
    ew_buf_deinit(&value);
}

static struct ew_blob answer_of(const char *request_id, size_t context);

/* The first event was answered, and Redis did not hear of it; another that repeats it waits in the
 * room, where nobody answers it before this is known. */
static void
test_who_repeats_an_event_does_not_hide_its_answer(void **state)
{
    struct ew_source first = {.topic = "epki.enrollment.requests", .offset = 77};
    char text[EW_FIRST_TEXT];
    struct ew_inflight_record record = {
        .kind = EW_INFLIGHT_WAITING,
        .request_id = "r-1",
        .op = EW_OP_ENROLL,
        .source = {.topic = "epki.enrollment.requests", .offset = 5},
        .order_id = "",
        .reason = "wait_other",
        .due_ms = 1000000,
        .traceparent = "",
        .tracestate = "",
        .first_source = text};
    static struct ew_read_record stated;
    struct ew_blob answer = answer_of("r-1", 0);

    (void)state;
    ew_first_text(&first, text);
    lies_in_the_room(&record);
    stated = (struct ew_read_record){
        .key = "r-1", .key_len = 3, .value = answer.data, .value_len = answer.len};
    w.states = &stated;
    w.state_count = 1;
    w.offset_state = EW_OFFSET_DONE;
    w.view.state = EW_REC_OUTCOME;
    w.view.source = first;
    w.claim_as = EW_CLAIM_WAIT;
    enrolls("r-1", "", false);
    pass(15000);
    walked("lookup claim wait_other publish answered");
    assert_int_equal(w.event_count, 1);
    assert_true(w.dones > 0);
}

static void
test_a_circle_is_refused(void **state)
{
    (void)state;
    w.view.state = EW_REC_CLAIMED;
    w.view.source = (struct ew_source){.topic = "epki.renewal.requests", .offset = 7};
    w.stop_as = EW_STOP_IN_AIR;
    revokes("r-2", "r-1");
    pass(5000);
    assert_int_equal(w.event_count, 0);
    w.circular = true;
    pass(5000);
    assert_string_equal(answered(EW_RES_REJECTED)->failure.problem, "target-awaits-this");
}

/* --- the last step before the call --- */

static void
test_stopped_before_it_is_sent(void **state)
{
    (void)state;
    w.calling = EW_TR_STOPPED;
    enrolls("r-1", "", false);
    walked("lookup claim queue intent calling publish answered");
    assert_string_equal(answered(EW_RES_REJECTED)->failure.problem, "stopped-by-revocation");
    assert_null(asked(ORDER));
}

/* Not sent, and known not to be: nothing has to be looked for. */
static void
test_refused_before_it_is_sent(void **state)
{
    (void)state;
    w.calling = EW_TR_REFUSED;
    enrolls("r-1", "", false);
    walked("lookup claim queue intent calling");
    assert_null(asked(ORDER));
    w.calling = EW_TR_OK;
    pass(w.config.time.retry_max_ms);
    assert_true(w.claim.unsent);
    walked("claim queue intent calling order");
    assert_int_equal(inflight(EW_INFLIGHT_ORDERING).attempt, 2);
    assert_false(told(EW_RES_RECONCILING));
}

/* --- epochs above ours --- */

static void
is_fenced_by(const char *topic, uint32_t epoch)
{
    w.view.state = EW_REC_UNKNOWN;
    w.view.epoch = epoch;
    w.holder = (struct ew_source){.offset = 5};
    (void)snprintf(w.holder.topic, sizeof(w.holder.topic), "%s", topic);
    w.claim_as = EW_CLAIM_FENCED;
}

/* Kafka is asked for a higher one, and the claim is made again until that is there: whoever was
 * deposed hears of it meanwhile. */
static void
test_a_higher_epoch_is_outgrown(void **state)
{
    (void)state;
    is_fenced_by("epki.enrollment.requests", 4000000000);
    enrolls("r-1", "", false);
    walked("lookup claim");
    assert_int_equal(w.enrollments.outgrow, 4000000000);
    w.claim_as = EW_CLAIM_FENCED;
    pass(500);
    walked("");
    pass(500);
    walked("queue intent calling order");
}

/* An epoch says something of its own partition only. What left it for the waiting room is answered
 * there; the event's mark may have been lost with the group's offsets. */
static void
test_what_left_the_partition_is_asked_for_again(void **state)
{
    (void)state;
    is_fenced_by("epki.resume", 4000000000);
    enrolls("r-1", "", false);
    walked("lookup claim");
    w.claim_as = EW_CLAIM_FENCED;
    pass(2000);
    walked("");
    w.claim_as = EW_CLAIM_DONE;
    w.view.state = EW_REC_DONE;
    pass(2000);
    walked("publish answered");
    assert_int_equal(w.event_count, 0);
    assert_int_equal(w.enrollments.outgrow, 0);
}

/* --- what a revocation leaves undone --- */

static struct ew_blob
answer_of(const char *request_id, size_t context)
{
    struct ew_state_record state = {.request_id = request_id,
                                    .op = EW_OP_ENROLL,
                                    .status = EW_CERT_VALID,
                                    .names = {.cn = CN, .email = "", .upn = ""}};
    struct ew_buf bytes;
    struct ew_blob blob;
    struct ew_err err;

    state.first = (struct ew_event){.event_id = "e",
                                    .result = EW_RES_ISSUED,
                                    .op = EW_OP_ENROLL,
                                    .request_id = request_id,
                                    .setting = "vpn",
                                    .has_certificate = true,
                                    .certificate = {.order_id = "CE1",
                                                    .serial = "1a",
                                                    .issuer = "CN=Issuing",
                                                    .subject = "CN=Ada",
                                                    .sha256 = ""}};
    state.first.context = (struct ew_blob){calloc(1, context + 1), context};
    ew_buf_init(&bytes, EW_MAX_FLOW_MEMORY);
    assert_int_equal(ew_wire_state_encode(&state, &bytes, &err), EW_OK);
    blob = (struct ew_blob){kept(bytes.data, bytes.len), bytes.len};
    ew_buf_deinit(&bytes);
    free((void *)(uintptr_t)state.first.context.data);
    return blob;
}

static void
is_revoked_by(const char *request_id, size_t context)
{
    struct ew_ca_order order = {
        .order_id = "CE1", .order_status = EW_CA_ST_ISSUED, .certificate = "", .cn = CN};

    w.owner = "r-1";
    w.view.state = EW_REC_DONE;
    w.view.outcome = answer_of("r-1", context);
    revokes(request_id, "r-1");
    shows(LOOK, &order, 1);
    replies(REVOKE, (struct ew_ca_reply){.order_id = "CE1"});
    order.order_status = EW_CA_ST_REVOKED;
    shows(LOOK, &order, 1);
    (void)answered(EW_RES_REVOKED);
}

/* Of two largest that the job has room for only one: the answer goes out, and the target's record
 * is tried again alone, and then given up aloud. */
static void
test_a_state_record_that_cannot_be_rewritten_is_said(void **state)
{
    (void)state;
    is_revoked_by("r-2", EW_MAX_FLOW_MEMORY / 2);
    assert_int_equal(w.resumes_published, 1);
    assert_int_equal(w.errors, 2);
    assert_non_null(strstr(w.advised, "epki.certificate.state"));
    assert_non_null(strstr(w.advised, "target=r-1"));
}

static void
test_a_state_record_is_rewritten_with_the_answer(void **state)
{
    struct ew_state_record record;
    struct ew_err err;

    (void)state;
    is_revoked_by("r-2", 4000);
    assert_int_equal(w.resumes_published, 0);
    assert_int_equal(w.errors, 0);
    assert_int_equal(ew_wire_state_decode(w.state.data, w.state.len, w.arena, &record, &err),
                     EW_OK);
    assert_string_equal(record.request_id, "r-1");
    assert_int_equal(record.status, EW_CERT_REVOKED);
}

/* Offsets were lost: what may have been begun with is an order, and a revocation places none. */
static void
test_a_revocation_in_doubt_is_one_like_others(void **state)
{
    (void)state;
    w.view.state = EW_REC_PARKED;
    revokes_when("r-9", "r-1", true);
    walked("lookup claim publish answered");
    assert_string_equal(answered(EW_RES_REJECTED)->failure.problem, "target-parked");
}

/* A Redis that was rebuilt knows of what waits in the room only that it may have ordered. */
static void
test_a_revocation_that_may_have_ordered_has_not(void **state)
{
    (void)state;
    w.view.state = EW_REC_PARKED;
    w.claim_as = EW_CLAIM_RECONCILE;
    revokes("r-9", "r-1");
    walked("lookup claim publish answered");
    assert_true(w.claim.unsent);
    assert_string_equal(answered(EW_RES_REJECTED)->failure.problem, "target-parked");
}

/* Nor is anything looked for while Redis is away. */
static void
test_a_revocation_in_doubt_waits_for_redis(void **state)
{
    (void)state;
    w.store.away = true;
    revokes_when("r-9", "r-1", true);
    pass(2000);
    walked("lookup claim");
    w.store.away = false;
    w.view.state = EW_REC_PARKED;
    pass(5000);
    walked("publish answered");
    assert_string_equal(answered(EW_RES_REJECTED)->failure.problem, "target-parked");
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, begin, world_end)
    const struct CMUnitTest tests[] = {
        ROW(test_a_revocation_in_doubt_is_one_like_others),
        ROW(test_a_revocation_that_may_have_ordered_has_not),
        ROW(test_a_revocation_in_doubt_waits_for_redis),
        ROW(test_a_key_is_waited_for),
        ROW(test_a_key_whose_holder_is_parked_is_waited_for),
        ROW(test_a_wait_ends_with_the_deadline),
        ROW(test_a_wait_ends_with_the_horizon),
        ROW(test_a_duplicate_waits_beyond_the_horizon),
        ROW(test_who_repeats_an_event_does_not_hide_its_answer),
        ROW(test_a_circle_is_refused),
        ROW(test_stopped_before_it_is_sent),
        ROW(test_refused_before_it_is_sent),
        ROW(test_a_higher_epoch_is_outgrown),
        ROW(test_what_left_the_partition_is_asked_for_again),
        ROW(test_a_state_record_that_cannot_be_rewritten_is_said),
        ROW(test_a_state_record_is_rewritten_with_the_answer),
    };

    return cmocka_run_group_tests(tests, keys_begin, keys_end);
}
