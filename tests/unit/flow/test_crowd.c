/*
 * Waiting for others, many of them or for long: what that may cost those who do not wait.
 */
#include "world.h"

enum { CROWD = 40 };

static const struct ew_source first = {.topic = "epki.enrollment.requests", .offset = 700};

/* Their first one's offset is done, and Redis knows nothing of an answer: each asks the topics. */
static void
duplicates_wait(void)
{
    w.holder = first;
    w.view.state = EW_REC_CLAIMED;
    w.view.source = first;
    w.offset_state = EW_OFFSET_DONE;
    for (int i = 0; i < CROWD; i++) {
        w.claim_as = EW_CLAIM_WAIT;
        enrolls("r-1", "", false);
    }
}

static void
test_duplicates_read_the_topics_some_at_a_time(void **state)
{
    (void)state;
    w.config.kafka.partition_items = 10 * CROWD;
    duplicates_wait();
    w.readers_wait = true;
    pass(w.config.time.hold_max_ms / 2);
    assert_int_equal(w.readers_most, 1 + EW_LOOKING); /* the room has one */
    w.readers_wait = false;
    pass(w.config.time.hold_max_ms / 2 - 1000);
    assert_int_equal(w.readers_most, 1 + EW_LOOKING);
    assert_int_equal(w.mark_count, CROWD); /* each had its turn */
    for (size_t i = 0; i < w.mark_count; i++)
        assert_int_equal(w.marks[i], EW_MARK_DONE);
}

/* A person's decision among them. */
static void
test_who_comes_back_reads_its_record_beside_them(void **state)
{
    (void)state;
    w.config.kafka.partition_items = 10 * CROWD;
    w.config.time.poll_max_ms = 60000;
    is_pending();
    stays_pending_for(w.config.time.hold_max_ms + 1000);
    walked("leave answered");
    duplicates_wait();
    w.readers_wait = true;
    pass(w.config.time.hold_max_ms / 2);
    assert_int_equal(w.readers_most, 1 + EW_LOOKING);
    pass(w.config.time.poll_max_ms);
    assert_int_equal(w.resumes_published, 1);
    assert_int_equal(w.readers_most, 1 + EW_LOOKING + 1);
    w.readers_wait = false;
    pass(10 * w.config.time.retry_max_ms);
}

/* Each looks for the time of its order, of which another worker's record speaks. */
static void
test_those_who_look_for_times_read_some_at_a_time(void **state)
{
    (void)state;
    w.readers_wait = true;
    for (int i = 0; i < EW_FETCHING; i++)
        asks_for_their_key("r-1", true);
    pass(0);
    assert_int_equal(w.readers_most, 1 + EW_LOOKING);
    w.readers_wait = false;
    pass(10 * w.config.time.retry_max_ms);
    assert_int_equal(w.readers_most, 1 + EW_LOOKING);
    assert_int_equal(w.readers_begun, 1 + 2 * EW_FETCHING); /* each had its turn */
}

/* Redis is well, and says that its first one is in the room, as long as that may be. */
static void
test_a_duplicate_reads_the_topics_ever_more_rarely(void **state)
{
    (void)state;
    w.config.time.poll_max_ms = 3600000;
    is_pending();
    stays_pending_for(w.config.time.hold_max_ms + 1000);
    walked("leave answered");
    w.config.time.hold_max_ms = 900000;
    w.holder = w.view.source = (struct ew_source){.topic = "epki.enrollment.requests"};
    w.view.state = EW_REC_WAITING;
    w.offset_state = EW_OFFSET_DONE;
    w.claim_as = EW_CLAIM_WAIT;
    enrolls("r-1", "", false);
    w.readers_begun = 0;
    pass(w.config.time.hold_max_ms - 1000);
    walked("lookup claim wait_other");
    assert_in_range(w.readers_begun, 5, 7); /* of epki.inflight alone, after 10 s, 20, 40... */
}

/* Of r-1's certificate, which was ended before its request was answered: that waits. */
static void
asks_to_amend(int64_t number)
{
    char request_id[32];
    struct ew_resume amend = {.action = EW_RESUME_AMEND,
                              .request_id = request_id,
                              .source = first,
                              .reason = "",
                              .order_id = "CE1",
                              .status = EW_CERT_REVOKED,
                              .waiting_offset = -1};

    w.owner = "r-1";
    w.view.state = EW_REC_WAITING;
    (void)snprintf(request_id, sizeof(request_id), "r-revokes-%d", (int)number);
    ew_room_publish(w.flow, &amend);
}

/* The request may wait for days. */
static void
test_an_amendment_does_not_hold_its_partition(void **state)
{
    (void)state;
    asks_to_amend(1);
    pass(w.config.time.hold_max_ms - 2000);
    assert_int_equal(w.mark_count, 0);
    pass(w.config.time.hold_max_ms);
    assert_int_equal(w.mark_count, 1);
    assert_int_equal(w.resumes_published, 2);
    walked("publish answered");
    pass(10 * w.config.time.hold_max_ms);
    assert_in_range(w.resumes_published, 10, 13); /* one at a time, for ever */
    assert_int_equal(w.mark_count, w.resumes_published - 1);
    w.view.state = EW_REC_ABSENT;
    pass(w.config.time.hold_max_ms);
    assert_int_equal(w.mark_count, w.resumes_published);
    assert_int_equal(w.event_count, 0);
}

/* They wait long and cannot leave: who can makes room for what comes. Here it is a request that has
 * come back from the room and is pending still. */
static void
test_amendments_count_in_the_quarter(void **state)
{
    (void)state;
    w.config.time.hold_max_ms = 1000;
    enrolls("r-1", "", false);
    replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_PENDING, .order_id = "CE1"});
    stays_pending_for(2000);
    w.config.time.hold_max_ms = 1000000;
    stays_pending_for(w.config.time.poll_max_ms + 2000);
    walked("lookup claim queue intent calling order pending leave answered lookup claim reconcile "
           "pending");
    for (int64_t i = 0; i < w.config.kafka.partition_items / 4 - 2; i++)
        asks_to_amend(i);
    stays_pending_for(2000);
    walked("");
    asks_to_amend(99);
    stays_pending_for(1000);
    walked("leave answered");
    assert_int_equal(w.resumes_published, 25); /* r-1's, and of each amendment its own alone */
}

/* Of an order whose fate is unknown, that another worker had begun with. */
static void
looks_for_its_order(int number)
{
    char request_id[16];

    (void)snprintf(request_id, sizeof(request_id), "r-%d", number);
    enrolls(request_id, "", true);
}

/* A crowd that looks for its orders together, one of them for the next pass. */
static void
crowd_looks(void)
{
    w.config.kafka.partition_items = 10 * CROWD;
    w.config.time.poll_max_ms = 3600000; /* nobody comes back */
    for (int i = 1; i < CROWD; i++)
        looks_for_its_order(i);
    pass(1000);
    looks_for_its_order(CROWD);
}

static void
test_a_paused_account_keeps_no_crowd_here(void **state)
{
    (void)state;
    w.token = EW_TOKEN_PAUSED;
    crowd_looks();
    pass(w.config.time.hold_max_ms - 2000);
    assert_int_equal(w.flow->job_count, CROWD);
    pass(3000);
    assert_int_equal(w.flow->job_count, 0);
    assert_int_equal(w.marks[w.mark_count - 1], EW_MARK_DONE);
    assert_string_equal(inflight(EW_INFLIGHT_WAITING).reason, "reconcile");
    assert_true(inflight(EW_INFLIGHT_WAITING).has_ordered);
    w.token = EW_TOKEN_GRANTED;
    pass(10000);
    assert_null(asked(LIST)); /* for nobody */
    looks_for_its_order(0);
    shows_for(LIST, QUIET + 2500, NULL, 0);
    assert_non_null(asked(ORDER)); /* the last list is of all names again */
}

/* The only slot is r-1's, whose own event comes once more and waits; r-2 is next. */
static void
waits_beside_the_only_slot(void)
{
    one_slot();
    enrolls("r-1", "", false);
    walked(UNTIL_ORDER);
    w.view.state = EW_REC_CALLING;
    w.view.source = w.holder = (struct ew_source){.topic = "epki.enrollment.requests"};
    w.claim_as = EW_CLAIM_WAIT;
    enrolls("r-1", "", false);
    walked("lookup claim wait_other");
    enrolls("r-2", "", false);
    pass(1000);
    walked("lookup claim queue");
}

/* Neither the duplicate nor its first one, where that is in doubt or pending, keeps r-2 from it. */
static void
test_who_waits_holds_no_slot(void **state)
{
    static const struct {
        enum ew_ca_class cls;
        const char *walk;
    } rows[] = {
        {EW_CA_OK, "verify publish answered intent calling order"},
        {EW_CA_PENDING, "pending intent calling order"},
        {EW_CA_UNKNOWN, "reconcile intent calling order"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ew_ca_reply reply = {.cls = rows[i].cls};

        waits_beside_the_only_slot();
        reply.order_id = reply.cls == EW_CA_UNKNOWN ? "" : "CE1";
        reply.certificate = reply.cls == EW_CA_OK ? certificate(NULL, NULL, NULL) : "";
        replies(ORDER, reply);
        walked(rows[i].walk);
        assert_non_null(asked(ORDER));
        (void)world_end(NULL);
        (void)world_begin(NULL);
    }
}

/* Its first one's end is enough, while the slot is another's. */
static void
test_a_duplicate_goes_on_without_a_slot(void **state)
{
    (void)state;
    waits_beside_the_only_slot();
    w.view.state = EW_REC_PARKED;
    w.claim_as = EW_CLAIM_PARKED;
    pass(3000);
    walked("claim publish answered");
    assert_non_null(asked(ORDER));
}

/* It had slot and token, and somebody else holds its id when it claims it once more. */
static void
test_who_comes_to_wait_gives_its_slot_back(void **state)
{
    (void)state;
    one_slot();
    w.commit_as = EW_COMMIT_STALE;
    enrolls("r-1", "", false);
    walked("lookup claim queue intent");
    w.view.state = EW_REC_CALLING;
    w.view.source = w.holder = first;
    w.claim_as = EW_CLAIM_WAIT;
    pass(1000);
    walked("claim wait_other");
    enrolls("r-2", "", false);
    walked(UNTIL_ORDER);
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
    const struct CMUnitTest tests[] = {
        ROW(test_duplicates_read_the_topics_some_at_a_time),
        ROW(test_who_comes_back_reads_its_record_beside_them),
        ROW(test_those_who_look_for_times_read_some_at_a_time),
        ROW(test_a_duplicate_reads_the_topics_ever_more_rarely),
        ROW(test_an_amendment_does_not_hold_its_partition),
        ROW(test_amendments_count_in_the_quarter),
        ROW(test_a_paused_account_keeps_no_crowd_here),
        ROW(test_who_waits_holds_no_slot),
        ROW(test_a_duplicate_goes_on_without_a_slot),
        ROW(test_who_comes_to_wait_gives_its_slot_back),
    };

    return cmocka_run_group_tests(tests, keys_begin, keys_end);
}
