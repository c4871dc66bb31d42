/*
 * Leaving for the waiting room: when, and with what; and what stays there though its event is read
 * again.
 */
#include "tombstones.h"

static void
test_leaves_when_it_waits_too_long(void **state)
{
    struct ew_inflight_record record;

    (void)state;
    is_pending();
    stays_pending_for(w.config.time.hold_max_ms - 2000);
    walked("");
    stays_pending_for(3000);
    walked("leave answered");
    assert_int_equal(w.marks[w.mark_count - 1], EW_MARK_DONE);
    record = inflight(EW_INFLIGHT_WAITING);
    assert_string_equal(record.request_id, "r-1");
    assert_string_equal(record.source.topic, "epki.enrollment.requests");
    assert_string_equal(record.order_id, "CE1");
    assert_string_equal(record.reason, "pending");
    assert_true(record.has_ordered);
    assert_int_equal(record.attempt, 1);
    assert_int_equal(record.key_count, 1);
    assert_int_equal(record.lane, EW_LANE_ENROLLMENT);
    assert_true(record.record_value.len > 0);
    assert_int_equal(tombstones(), 0); /* WAITING replaced ORDERING under its key */
    assert_int_equal(w.parked_as, EW_REC_WAITING);
    assert_true(w.parked_ordered);
    assert_true(told(EW_RES_WAITING));
}

/* Refused once, it still says why it waits. */
static void
test_what_is_written_again_says_the_same(void **state)
{
    (void)state;
    w.refuse_done = 1;
    is_pending();
    stays_pending_for(w.config.time.hold_max_ms + 2000);
    walked("leave answered");
    assert_int_equal(w.refuse_done, 0);
    assert_string_equal(inflight(EW_INFLIGHT_WAITING).reason, "pending");
}

static struct ew_inflight_record
first_waiting(void)
{
    struct ew_inflight_record record = {.request_id = ""};
    struct ew_err err;

    for (size_t i = 0; i < w.inflight_count; i++)
        if (w.inflight[i].value != NULL &&
            ew_wire_inflight_decode(w.inflight[i].value, w.inflight[i].value_len, w.arena, &record,
                                    &err) == EW_OK &&
            record.kind == EW_INFLIGHT_WAITING)
            return record;
    fail_msg("nobody has left");
    return record;
}

/* When those who wait take a quarter of the partition's places. */
static void
test_leaves_early_when_many_wait(void **state)
{
    (void)state;
    w.config.kafka.partition_items = 8;
    enrolls("r-1", "", false);
    replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_LICENCE, .problem = "ca-licence"});
    pass(600);
    walked("lookup claim queue intent calling order held");
    enrolls("r-2", "", false);
    enrolls("r-3", "", false);
    enrolls("r-4", "", false);
    pass(600);
    assert_string_equal(first_waiting().request_id, "r-1"); /* the oldest */
}

/* In the room the quiet period would begin anew: an unknown order has its chance first. */
static void
test_an_unknown_order_does_not_leave_before_its_chance(void **state)
{
    struct ew_ca_order doubt = {
        .order_id = "CE9", .order_status = EW_CA_ST_INITIAL, .cn = CN, .certificate = ""};

    (void)state;
    w.config.time.hold_max_ms = 1000;
    enrolls("r-1", "", false);
    replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_UNKNOWN, .problem = "ca-timeout"});
    shows_for(LIST, 2 * QUIET, &doubt, 1);
    walked("lookup claim queue intent calling order reconcile");
    shows_for(LIST, 1500, &doubt, 1);
    walked("leave answered");
    assert_true(inflight(EW_INFLIGHT_WAITING).has_ordered);
}

static bool
asks_for_all(void)
{
    return asked(LIST) != NULL && asked(LIST)->cn[0] == '\0';
}

/* Whoever left in the middle would begin again, and need as long again. */
static void
test_nobody_leaves_in_the_middle_of_a_list(void **state)
{
    struct ew_ca_order doubt = {.order_id = "CE9",
                                .order_status = EW_CA_ST_INITIAL,
                                .cn = "Somebody Else",
                                .certificate = ""};

    (void)state;
    w.config.time.hold_max_ms = 1000;
    enrolls("r-1", "", false);
    replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_UNKNOWN, .problem = "ca-timeout"});
    for (int i = 0; i < 100 && !asks_for_all(); i++, pass(100))
        if (asked(LIST) != NULL && !asks_for_all())
            replies(LIST, (struct ew_ca_reply){.order_count = 0});
    assert_true(asks_for_all());
    pass(5 * QUIET);
    walked("lookup claim queue intent calling order reconcile");
    shows(LIST, &doubt, 1);
    pass(4 * QUIET); /* the next may take as long */
    walked("");
    for (int i = 0; i < 100 && asked(ORDER) == NULL; i++, pass(100))
        if (asked(LIST) != NULL)
            replies(LIST, (struct ew_ca_reply){.order_count = 0});
    assert_non_null(asked(ORDER)); /* nobody had it */
}

/* Its mark was lost, and an older one that is back says that it was started: its WAITING record is
 * under the name of this very event. */
static void
test_a_lost_mark_takes_nothing_out_of_the_room(void **state)
{
    (void)state;
    w.view.state = EW_REC_WAITING;
    w.claim_as = EW_CLAIM_DONE;
    enrolls("r-1", "", true);
    walked("lookup claim publish answered");
    assert_int_equal(w.marks[w.mark_count - 1], EW_MARK_DONE);
    assert_int_equal(tombstones(), 0);
    w.view.state = EW_REC_DONE;
    w.claim_as = EW_CLAIM_DONE;
    enrolls("r-2", "", true);
    walked("lookup claim publish answered");
    assert_int_equal(tombstones(), 1); /* of the ORDERING that its answer left behind */
}

/* Nor what stops it there. */
static void
test_a_lost_mark_lets_nothing_go_that_is_stopped(void **state)
{
    (void)state;
    w.view.stopped = true;
    w.view.stopped_by = (struct ew_source){.topic = "epki.revocation.requests", .offset = 7};
    w.view.state = EW_REC_WAITING;
    w.claim_as = EW_CLAIM_DONE;
    enrolls("r-1", "", true);
    walked("lookup claim publish answered");
    assert_int_equal(tombstones(), 0);
    w.view.state = EW_REC_DONE;
    w.claim_as = EW_CLAIM_DONE;
    enrolls("r-2", "", false);
    walked("lookup claim publish answered");
    assert_int_equal(tombstones(), 1); /* of the STOP, which is obeyed */
}

/* What has a call or a slot is busy, however old it is. */
static void
test_who_is_busy_stays(void **state)
{
    (void)state;
    is_pending();
    pass(10 * w.config.time.hold_max_ms);
    assert_non_null(asked(LOOK));
    walked("");
}

/* --- what the event came with --- */

static void
is_kept(const struct ew_header *headers, size_t count, int left_out, int64_t timestamp_ms)
{
    struct ew_inflight_record left = inflight(EW_INFLIGHT_WAITING);

    assert_int_equal(left.record_ms, timestamp_ms);
    assert_int_equal(left.headers_left_out, left_out);
    assert_int_equal(left.header_count, count);
    assert_int_equal(left.record_key.len, 0);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(left.headers[i].name, headers[i].name);
        assert_int_equal(left.headers[i].len, headers[i].len);
        assert_true((left.headers[i].value == NULL) == (headers[i].value == NULL));
        assert_memory_equal(left.headers[i].value, headers[i].value, headers[i].len);
    }
}

/* In the room once, and once more. */
static void
stays_with(const struct ew_header *headers, size_t count, size_t kept)
{
    int left_out = (int)(count - kept);
    int64_t at = world_wall(NULL);

    w.headers = headers;
    w.header_count = count;
    is_pending();
    stays_pending_for(w.config.time.hold_max_ms + 1000);
    is_kept(headers, kept, left_out, at);
    w.walk[0] = '\0';
    stays_pending_for(w.config.time.poll_max_ms + w.config.time.hold_max_ms + 3000);
    assert_true(w.resumes_published > 0);
    assert_non_null(strstr(w.walk, "leave answered"));
    is_kept(headers, kept, left_out, at);
    (void)world_end(NULL);
    (void)world_begin(NULL);
}

static void
test_headers_and_time_wait_with_their_event(void **state)
{
    static char much[EW_MAX_RECORD];
    static struct ew_header many[EW_MAX_KEPT_HEADERS + 1];
    struct ew_header odd[] = {{"a", "\xff\0", 2}, {"a", "", 0}, {"none", NULL, 0}};
    struct ew_header large = {"large", much, sizeof(much)};

    (void)state;
    for (size_t i = 0; i < sizeof(many) / sizeof(many[0]); i++)
        many[i] = (struct ew_header){"h", "x", 1};
    stays_with(odd, 3, 3);
    stays_with(many, EW_MAX_KEPT_HEADERS, EW_MAX_KEPT_HEADERS);
    stays_with(many, EW_MAX_KEPT_HEADERS + 1, 0);
    large.len = sizeof(much) / 2;
    stays_with(&large, 1, 1);
    large.len = sizeof(much);
    stays_with(&large, 1, 0);
}

/* Of a topic that was given more partitions. */
static void
test_what_stands_in_anothers_partition_is_told(void **state)
{
    (void)state;
    w.home = 3;
    is_pending();
    assert_int_equal(w.errors, 0); /* who has not left has a worker that knows it */
    stays_pending_for(w.config.time.hold_max_ms + 1000);
    walked("leave answered");
    assert_int_equal(w.errors, 1);
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
    const struct CMUnitTest tests[] = {
        ROW(test_leaves_when_it_waits_too_long),
        ROW(test_what_is_written_again_says_the_same),
        ROW(test_leaves_early_when_many_wait),
        ROW(test_what_stands_in_anothers_partition_is_told),
        ROW(test_an_unknown_order_does_not_leave_before_its_chance),
        ROW(test_nobody_leaves_in_the_middle_of_a_list),
        ROW(test_a_lost_mark_takes_nothing_out_of_the_room),
        ROW(test_a_lost_mark_lets_nothing_go_that_is_stopped),
        ROW(test_who_is_busy_stays),
        ROW(test_headers_and_time_wait_with_their_event),
    };

    return cmocka_run_group_tests(tests, keys_begin, keys_end);
}
