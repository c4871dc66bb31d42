/*
 * Coming back from the waiting room: when, and as what. The room that is read here is the one that
 * the flow itself wrote.
 */
#include "tombstones.h"

static struct ew_reader *
room_reader(void)
{
    for (size_t i = 0; i < READERS; i++)
        if (w.readers[i].live && w.readers[i].options.follow)
            return &w.readers[i];
    fail_msg("no room");
    return NULL;
}

/* Of the WAITING record. */
static int64_t
inflight_offset(void)
{
    struct ew_inflight_record record;
    struct ew_err err;
    size_t i = w.inflight_count;

    while (i-- > 0)
        if (w.inflight[i].value != NULL &&
            ew_wire_inflight_decode(w.inflight[i].value, w.inflight[i].value_len, w.arena, &record,
                                    &err) == EW_OK &&
            record.kind == EW_INFLIGHT_WAITING)
            return (int64_t)i;
    return -1;
}

/* Comes back by itself, looks before it orders, and answers under its first name. */
static void
test_comes_back_to_what_it_ordered(void **state)
{
    struct ew_ca_order issued = {.order_id = "CE1",
                                 .order_status = EW_CA_ST_ISSUED,
                                 .cn = CN,
                                 .certificate = certificate(NULL, NULL, NULL)};

    (void)state;
    is_pending();
    stays_pending_for(w.config.time.hold_max_ms + 1000);
    walked("leave answered");
    assert_int_equal(w.resumes_published, 0); /* not before it is due */
    stays_pending_for(w.config.time.poll_max_ms + 500);
    assert_int_equal(w.resumes_published, 1);
    walked("lookup claim reconcile pending");
    assert_true(w.claim.adopting);
    assert_string_equal(w.claim.holder.original.topic, "epki.enrollment.requests");
    assert_string_equal(w.claim.holder.source.topic, "epki.resume");
    looks_soon();
    assert_string_equal(asked(LOOK)->order_id, "CE1"); /* known: nothing needs to be searched */
    shows(LOOK, &issued, 1);
    walked("verify publish answered");
    assert_string_equal(answered(EW_RES_ISSUED)->source.topic, "epki.enrollment.requests");
    assert_int_equal(answered(EW_RES_ISSUED)->attempts, 1);
    /* Read again without its offset and Redis' memory of the resume, the original is known. */
    assert_string_equal(w.done_by.topic, "epki.enrollment.requests");
    assert_int_equal(tombstones(), 1); /* WAITING is gone with its answer */
    assert_null(asked(ORDER));
}

/* It is released again and again, but not without end: all that would lie in memory. */
static void
test_resumes_do_not_pile_up(void **state)
{
    int before = -1;

    (void)state;
    is_pending();
    stays_pending_for(w.config.time.hold_max_ms + 1000);
    walked("leave answered");
    w.publishing_stuck = true;
    for (int i = 0; i < 200 && w.publishes > before; i++) {
        before = w.publishes;
        pass(600000);
    }
    assert_int_equal(w.publishes, before);
    assert_true(before > 1);
    publishing_goes_on();
    pass(61000);
    assert_true(w.resumes_published > 0);
    assert_non_null(strstr(w.walk, "lookup claim reconcile pending"));
}

/* However many wait there: who came back has asked before it leaves again, else none ever would. */
static void
test_comes_back_to_ask(void **state)
{
    struct ew_ca_order issued = {.order_id = "CE1",
                                 .order_status = EW_CA_ST_ISSUED,
                                 .cn = CN,
                                 .certificate = certificate(NULL, NULL, NULL)};

    (void)state;
    w.config.kafka.partition_items = 1;
    w.config.time.poll_first_ms = w.config.time.poll_max_ms;
    is_pending();
    pass(600);
    walked("leave answered");
    pass(w.config.time.poll_max_ms + 1500);
    walked("lookup claim reconcile pending");
    assert_string_equal(asked(LOOK)->order_id, "CE1");
    shows(LOOK, &issued, 1);
    walked("verify publish answered");
}

static void
test_a_resume_that_comes_twice_is_nothing(void **state)
{
    struct ew_ca_order issued = {.order_id = "CE1",
                                 .order_status = EW_CA_ST_ISSUED,
                                 .cn = CN,
                                 .certificate = certificate(NULL, NULL, NULL)};
    struct ew_resume again = {.action = EW_RESUME_RETRY,
                              .request_id = "r-1",
                              .reason = "",
                              .source = {.topic = "epki.enrollment.requests"}};

    (void)state;
    is_pending();
    stays_pending_for(w.config.time.hold_max_ms + w.config.time.poll_max_ms + 1500);
    looks_soon();
    shows(LOOK, &issued, 1);
    answered(EW_RES_ISSUED);
    w.walk[0] = '\0';
    ew_room_publish(w.flow, &again);
    pass(0);
    walked("publish answered");
    answered(EW_RES_ISSUED); /* and still only that one */
    assert_int_equal(w.marks[w.mark_count - 1], EW_MARK_DONE);
}

/* A person's decision about a record that the room, which reads slowly, has not come to yet. */
static void
a_decision_comes_before_its_record(int64_t at)
{
    struct ew_resume decision = {.action = EW_RESUME_RETRY,
                                 .request_id = "r-1",
                                 .reason = "",
                                 .source = {.topic = "epki.enrollment.requests"},
                                 .waiting_offset = at};

    room_reader()->wants = false;
    is_pending();
    w.inflight_count -= (size_t)(at == 0); /* its ORDERING */
    stays_pending_for(w.config.time.hold_max_ms + 1000);
    walked("leave answered");
    assert_int_equal(inflight_offset(), at);
    ew_room_publish(w.flow, &decision);
    stays_pending_for(600000);
    walked(""); /* neither done nor forgotten */
    room_reader()->wants = true;
    while (w.walk[0] == '\0')
        stays_pending_for(100);
    assert_non_null(strstr(w.walk, "lookup claim")); /* it is tried again */
}

static void
test_a_decision_waits_for_its_record(void **state)
{
    (void)state;
    a_decision_comes_before_its_record(1);
}

static void
test_a_decision_about_the_first_record(void **state)
{
    (void)state;
    a_decision_comes_before_its_record(0);
}

/* A name that people got wrong. */
static void
test_a_decision_about_nothing(void **state)
{
    struct ew_resume decision = {.action = EW_RESUME_END,
                                 .request_id = "r-1",
                                 .reason = "",
                                 .source = {.topic = "epki.enrollment.requests"},
                                 .waiting_offset = 1000000};

    (void)state;
    ew_room_publish(w.flow, &decision);
    pass(60000);
    walked("publish answered");
    assert_int_equal(w.event_count, 0);
}

/* What left without an order begins afresh, under the same key. */
static void
test_comes_back_without_an_order(void **state)
{
    (void)state;
    w.config.time.hold_max_ms = 3000;
    enrolls("r-1", "", false);
    w.vanished = 2;
    for (int i = 0; i < 200 && w.parked_as != EW_REC_WAITING; i++) {
        if (asked(ORDER) != NULL)
            replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_LICENCE, .problem = "ca-licence"});
        pass(100);
    }
    assert_false(inflight(EW_INFLIGHT_WAITING).has_ordered);
    assert_false(w.parked_ordered);
    assert_string_equal(inflight(EW_INFLIGHT_WAITING).reason, "held");
    assert_int_equal(inflight(EW_INFLIGHT_WAITING).vanished, 2);
    w.vanished = 0; /* Redis may forget: the record does not */
    w.walk[0] = '\0';
    for (int i = 0; i < 200 && asked(ORDER) == NULL; i++)
        pass(100);
    walked("lookup claim queue intent calling order");
    assert_false(told(EW_RES_RECONCILING));
    assert_int_equal(inflight(EW_INFLIGHT_ORDERING).vanished, 2);
    assert_string_equal(inflight(EW_INFLIGHT_ORDERING).source.topic, "epki.resume");
    assert_string_equal(inflight(EW_INFLIGHT_ORDERING).by.topic, "epki.enrollment.requests");
    replies(ORDER,
            (struct ew_ca_reply){.order_id = "CE2", .certificate = certificate(NULL, NULL, NULL)});
    assert_string_equal(answered(EW_RES_ISSUED)->source.topic, "epki.enrollment.requests");
    assert_int_equal(tombstones(), 2); /* of its own ORDERING and of the WAITING it came from */
}

/* A duplicate that has come back leaves when the one that it waits for has come back behind it. */
static void
test_a_duplicate_does_not_block_its_first(void **state)
{
    (void)state;
    w.config.time.poll_max_ms = 60000;
    is_pending();
    stays_pending_for(w.config.time.hold_max_ms + 1000);
    walked("leave answered");
    assert_string_equal(inflight(EW_INFLIGHT_WAITING).first_source, "");
    w.config.time.poll_max_ms = 3000;
    w.holder = w.view.source = (struct ew_source){.topic = "epki.enrollment.requests", .offset = 0};
    w.view.state = EW_REC_WAITING;
    w.claim_as = EW_CLAIM_WAIT;
    enrolls("r-1", "", false);
    pass(w.config.time.hold_max_ms + 1000);
    walked("lookup claim wait_other leave answered");
    assert_string_equal(inflight(EW_INFLIGHT_WAITING).first_source, "epki.enrollment.requests/0/0");
    w.claim_as = EW_CLAIM_WAIT;
    pass(4000);
    walked("lookup claim wait_other");
    pass(60000 - w.config.time.hold_max_ms - 4000); /* who looks just then leaves a sweep later */
    walked("leave answered lookup claim reconcile pending");
    assert_int_equal(w.resumes_published, 2);
    assert_non_null(asked(LOOK));
}

/* Shows the same list to whoever asks for one; since: when the one of the whole profile begins. */
static void
lists_for(int64_t ms, const struct ew_ca_order *orders, size_t count, int64_t *since)
{
    for (int64_t end = w.boot_ms + ms; w.boot_ms < end; pass(100))
        while (asked(LIST) != NULL) {
            if (asked(LIST)->cn[0] == '\0')
                *since = asked(LIST)->from_ms;
            shows(LIST, orders, count);
        }
}

/* Who adopted it knows from the record alone how old the order may be. The room keeps that. */
static void
test_what_was_adopted_is_looked_for_as_far_back_after_the_room(void **state)
{
    struct ew_ca_order doubt = {
        .order_id = "CE9", .order_status = EW_CA_ST_INITIAL, .cn = CN, .certificate = ""};
    int64_t came, since = INT64_MAX;

    (void)state;
    w.age_ms = INT64_C(5) * 24 * 3600 * 1000;
    came = world_wall(NULL) - w.age_ms;
    enrolls("r-1", "", true);
    w.age_ms = 0;
    for (int stay = 0; stay < 2; stay++) {
        lists_for(w.config.time.hold_max_ms + 1000, &doubt, 1, &since);
        assert_int_equal(w.parked_as, EW_REC_WAITING);
        w.parked_as = EW_REC_ABSENT;
        lists_for(w.config.time.poll_max_ms + 500, &doubt, 1, &since);
    }
    since = INT64_MAX;
    lists_for(QUIET + 2500, NULL, 0, &since);
    assert_non_null(asked(ORDER));
    assert_true(since < came);
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
    const struct CMUnitTest tests[] = {
        ROW(test_comes_back_to_what_it_ordered),
        ROW(test_comes_back_to_ask),
        ROW(test_resumes_do_not_pile_up),
        ROW(test_a_resume_that_comes_twice_is_nothing),
        ROW(test_a_decision_waits_for_its_record),
        ROW(test_a_decision_about_the_first_record),
        ROW(test_a_decision_about_nothing),
        ROW(test_comes_back_without_an_order),
        ROW(test_a_duplicate_does_not_block_its_first),
        ROW(test_what_was_adopted_is_looked_for_as_far_back_after_the_room),
    };

    return cmocka_run_group_tests(tests, keys_begin, keys_end);
}
