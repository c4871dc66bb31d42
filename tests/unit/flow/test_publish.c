/*
 * The answer's transaction: what happens when Kafka refuses it, and when somebody else owns the
 * partition by then.
 */
#include "world.h"

static char context[4001];

static void
is_issued(void)
{
    memset(context, 'c', sizeof(context) - 1);
    enrolls("r-1", context, false);
    replies(ORDER,
            (struct ew_ca_reply){.order_id = "CE1", .certificate = certificate(NULL, NULL, NULL)});
}

static void
test_whole(void **state)
{
    const struct ew_event *event;

    (void)state;
    is_issued();
    event = answered(EW_RES_ISSUED);
    assert_int_equal(event->context.len, sizeof(context) - 1);
    assert_string_equal(event->note, "");
}

static void
test_too_large_an_answer_is_reduced_and_says_so(void **state)
{
    const struct ew_event *event;

    (void)state;
    w.value_max = 3000;
    is_issued();
    assert_int_equal(w.dones, 0);            /* Redis hears of nothing that is not durable */
    assert_string_equal(w.certified, "r-1"); /* but for its name */
    pass(w.config.time.retry_max_ms);
    event = answered(EW_RES_ISSUED);
    assert_int_equal(event->context.len, 0);
    assert_int_equal(event->label_count, 0);
    assert_int_equal(event->certificate.chain_count, 0);
    assert_non_null(strstr(event->note, "left out"));
    assert_true(event->certificate.der.len > 0); /* what it is about stays */
    walked("lookup claim queue intent calling order verify publish answered");
    assert_int_equal(w.dones, 1);
}

/* What GlobalSign said of a refusal is cut when nothing else is left to leave out. */
static void
test_too_large_for_what_was_said(void **state)
{
    static char said[1025];
    const struct ew_event *event;

    (void)state;
    memset(said, 's', sizeof(said) - 1);
    w.value_max = 1000;
    enrolls("r-1", context, false);
    replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_REJECTED,
                                        .problem = "ca-refused",
                                        .code = -103,
                                        .field = "CommonName",
                                        .message = said});
    pass(3 * w.config.time.retry_max_ms);
    event = answered(EW_RES_REJECTED);
    assert_int_equal(strlen(event->failure.cause), 256);
    assert_int_equal(event->failure.vendor_code, -103);
    assert_int_equal(event->context.len, 0);
    assert_int_equal(w.dones, 1);
}

/* It cannot be made smaller: it is tried for ever, and nothing else is done with it. */
static void
test_too_large_even_when_reduced(void **state)
{
    (void)state;
    w.value_max = 100;
    is_issued();
    pass(60000);
    walked("lookup claim queue intent calling order verify publish");
    assert_int_equal(w.event_count, 0);
    w.value_max = SIZE_MAX; /* people raise the limit */
    pass(w.config.time.retry_max_ms);
    walked("answered");
    assert_string_equal(answered(EW_RES_ISSUED)->certificate.order_id, "CE1");
}

static void
assert_stays_whole(const char *refusal)
{
    w.refusal = refusal;
    w.value_max = 100;
    is_issued();
    pass(5000);
    w.value_max = SIZE_MAX;
    pass(w.config.time.retry_max_ms);
    assert_int_equal(answered(EW_RES_ISSUED)->context.len, sizeof(context) - 1);
}

static void
test_refused_for_its_topic_stays_whole(void **state)
{
    (void)state;
    assert_stays_whole("topic-closed");
}

static void
test_refused_for_its_map_stays_whole(void **state)
{
    (void)state;
    assert_stays_whole("map-too-long");
}

enum { OFTEN = 20000 };

static void
until_accepted(void)
{
    while (w.refuse_done > 0)
        pass(w.config.time.retry_max_ms);
    pass(w.config.time.retry_max_ms);
}

static void
test_refused_for_hours_keeps_its_headers(void **state)
{
    size_t headers;

    (void)state;
    is_issued();
    headers = w.event_headers;
    assert_true(headers > 5);
    w.event_count = 0;
    w.refuse_done = OFTEN;
    is_issued();
    until_accepted();
    answered(EW_RES_ISSUED);
    assert_int_equal(w.event_headers, headers);
}

static void
test_a_letter_refused_for_hours_keeps_its_story(void **state)
{
    const struct ew_blob no_key = {.len = 0};

    (void)state;
    w.refuse_done = OFTEN;
    enter(&w.enrollments, &no_key, "nonsense", 8, false);
    until_accepted();
    assert_int_equal(w.dead_letters, 1);
    assert_string_equal(w.letter, "malformed");

    w.refuse_done = OFTEN;
    w.claim_as = EW_CLAIM_PARKED;
    enrolls("r-1", "", false);
    until_accepted();
    assert_string_equal(w.letter, "duplicate-of-parked");
}

/* Nobody would know of it afterwards: a repetition would be ordered anew. */
static void
test_an_answer_that_cannot_be_kept_is_not_given(void **state)
{
    struct ew_arena *whole;
    struct ew_job *job;

    (void)state;
    memset(context, 'c', sizeof(context) - 1);
    enrolls("r-1", context, false);
    job = EW_CONTAINER(ew_list_first(&ew_run_find(w.flow, &w.enrollments)->jobs), struct ew_job,
                       in_run);
    whole = job->arena;
    job->arena = ew_arena_new(3000); /* room for the certificate, not for the answer */
    replies(ORDER,
            (struct ew_ca_reply){.order_id = "CE1", .certificate = certificate(NULL, NULL, NULL)});
    assert_int_equal(w.event_count, 0);
    assert_string_equal(w.parked, "answer-cannot-be-kept");
    assert_int_equal(w.dones, 0);
    assert_true(w.parked_ordered); /* who tries it again looks for the order first */
    assert_string_equal(inflight(EW_INFLIGHT_PARKED).order_id, "CE1");
    ew_arena_free(whole);
}

static const char *
id_of_conflict(const char *request_id)
{
    adopts_again(&w.enrollments); /* the first offset comes again */
    w.event_count = 0;
    w.claim_as = EW_CLAIM_CONFLICT;
    enrolls(request_id, "", false);
    return ew_arena_strdup(w.arena, answered(EW_RES_REJECTED)->event_id);
}

/* Of the same event, whoever tells it; not of another request's in a topic that was made anew. */
static void
test_an_event_id_says_where_and_what(void **state)
{
    const char *first = id_of_conflict("r-1");

    (void)state;
    /* the SHA-256 of epki.enrollment.requests/0/0/answer/r-1 */
    assert_string_equal(first, "45ab5517c4261ecdec4b1eaae395ee85");
    assert_string_equal(id_of_conflict("r-1"), first);
    assert_string_not_equal(id_of_conflict("r-2"), first);
}

static void
test_lost_before_the_answer(void **state)
{
    (void)state;
    enrolls("r-1", "", false);
    w.commit_as = EW_COMMIT_LOST;
    replies(ORDER,
            (struct ew_ca_reply){.order_id = "CE1", .certificate = certificate(NULL, NULL, NULL)});
    walked("lookup claim queue intent calling order verify publish dropped");
    assert_int_equal(w.dones, 0);
    pass(60000);
    assert_int_equal(w.event_count, 0);
}

/* While a partition is given up it takes no new order, but answers would still commit: what comes
 * behind a dropped request under the same key is the adopter's too. */
static void
test_nothing_begins_behind_a_dropped_one(void **state)
{
    (void)state;
    w.record_key = "device-1";
    enrolls("r-1", "", false);
    enrolls("r-2", "", false);
    w.commit_as = EW_COMMIT_LOST;
    replies(ORDER,
            (struct ew_ca_reply){.order_id = "CE1", .certificate = certificate(NULL, NULL, NULL)});
    walked("lookup claim queue intent calling order verify publish dropped");
    enrolls("r-3", "", false);
    pass(60000);
    walked("");
    w.record_key = "device-2";
    enrolls("r-4", "", false);
    walked("lookup claim queue intent calling order");
}

/* A token that grew old, or an intent that Kafka refuses: nothing was sent, and it begins again. */
static void
test_intents_that_do_not_commit(void **state)
{
    static const enum ew_committed results[] = {EW_COMMIT_STALE, EW_COMMIT_REFUSED};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        w.commit_as = results[i];
        enrolls(i == 0 ? "r-1" : "r-2", "", false);
        pass(1000);
        walked("lookup claim queue intent claim queue intent calling order");
        assert_int_equal(w.refunds, i + 1);
        replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_REJECTED});
        walked("publish answered");
    }
}

/* A worker in step with transactions that are slower than a token lives. */
static void
test_an_intent_that_is_stale_each_time_takes_its_time(void **state)
{
    (void)state;
    w.commit_as = EW_COMMIT_STALE;
    enrolls("r-1", "", false);
    for (int64_t end = w.boot_ms + 60000; w.boot_ms < end; pass(10))
        w.commit_as = EW_COMMIT_STALE;
    assert_null(asked(ORDER));
    assert_in_range(w.refunds, 30, 70);
    assert_false(w.claim.unsent); /* no attempt was made */
    w.commit_as = EW_COMMITTED;
    pass(w.config.time.retry_max_ms);
    assert_non_null(asked(ORDER));
    assert_int_equal(inflight(EW_INFLIGHT_ORDERING).attempt, 1);
}

static void
test_a_deposed_sender_sends_nothing(void **state)
{
    (void)state;
    w.commit_as = EW_COMMIT_LOST;
    enrolls("r-1", "", false);
    walked("lookup claim queue intent dropped");
    assert_null(asked(ORDER));
}

/* The token of a call that was surely not made is the next owner's. */
static void
test_who_loses_the_partition_gives_back_what_he_did_not_spend(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct ew_ca_call *call;

        enrolls("r-1", "", false);
        call = asked(ORDER);
        if (i > 0)
            assert_true(call->gate(call->arg));
        call->gate = NULL;
        if (i == 2) {
            replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_UNKNOWN, .problem = "ca-timeout"});
            assert_non_null(asked(LIST)); /* it may have come to GlobalSign */
        }
        adopts_again(&w.enrollments);
        pass(0);
        assert_int_equal(w.refunds, i == 0 ? 1 : 0);
        (void)world_end(NULL);
        (void)world_begin(NULL);
    }
}

static void
note_drained(void *arg)
{
    *(bool *)arg = true;
}

/* What the reply brings is for the adopter's mailbox. */
static void
test_a_drain_waits_for_the_reply_to_an_order_that_another_has_now(void **state)
{
    bool drained = false;
    struct ew_ca_call *call;

    (void)state;
    enrolls("r-1", "", false);
    call = asked(ORDER);
    assert_true(call->gate(call->arg));
    call->gate = NULL;
    adopts_again(&w.enrollments);
    ew_flow_drain(w.flow, 10000, note_drained, &drained);
    pass(1000);
    assert_false(drained);
    replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_UNKNOWN, .problem = "ca-timeout"});
    pass(1000);
    assert_true(drained);
}

/* --- the gate: once, in time, and only while the partition is ours --- */

static void
test_gate_opens_once(void **state)
{
    struct ew_ca_call *call;

    (void)state;
    enrolls("r-1", "", false);
    call = asked(ORDER);
    assert_true(call->gate(call->arg));
    assert_false(call->gate(call->arg));
}

static void
test_gate_is_shut_when_the_intent_is_old(void **state)
{
    struct ew_ca_call *call;

    (void)state;
    enrolls("r-1", "", false);
    call = asked(ORDER);
    pass(w.config.time.send_window_ms + 1);
    assert_false(call->gate(call->arg));
    replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_NOT_SENT}); /* a new intent, no reconcile */
    pass(1000);
    walked("lookup claim queue intent calling order claim queue intent calling order");
    assert_true(w.claim.unsent);
}

static void
test_gate_is_shut_when_the_partition_is_gone(void **state)
{
    struct ew_ca_call *call;

    (void)state;
    enrolls("r-1", "", false);
    call = asked(ORDER);
    w.enrollments.owned = false;
    assert_false(call->gate(call->arg));
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
    const struct CMUnitTest tests[] = {
        ROW(test_whole),
        ROW(test_too_large_an_answer_is_reduced_and_says_so),
        ROW(test_too_large_for_what_was_said),
        ROW(test_too_large_even_when_reduced),
        ROW(test_refused_for_its_topic_stays_whole),
        ROW(test_refused_for_its_map_stays_whole),
        ROW(test_refused_for_hours_keeps_its_headers),
        ROW(test_a_letter_refused_for_hours_keeps_its_story),
        ROW(test_an_answer_that_cannot_be_kept_is_not_given),
        ROW(test_an_event_id_says_where_and_what),
        ROW(test_lost_before_the_answer),
        ROW(test_nothing_begins_behind_a_dropped_one),
        ROW(test_intents_that_do_not_commit),
        ROW(test_an_intent_that_is_stale_each_time_takes_its_time),
        ROW(test_a_deposed_sender_sends_nothing),
        ROW(test_who_loses_the_partition_gives_back_what_he_did_not_spend),
        ROW(test_a_drain_waits_for_the_reply_to_an_order_that_another_has_now),
        ROW(test_gate_opens_once),
        ROW(test_gate_is_shut_when_the_intent_is_old),
        ROW(test_gate_is_shut_when_the_partition_is_gone),
    };

    return cmocka_run_group_tests(tests, keys_begin, keys_end);
}
