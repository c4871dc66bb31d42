/*
 * Proof of the records that the workers keep: round trips of each kind, impossible values refused,
 * and the keys of epki.inflight both ways.
 */
#include "epki/v1/internal.pb-c.h"
#include "samples.h"
#include "scratch.h"
#include "wire_private.h"

static void
same_source(const struct ew_source *a, const struct ew_source *b)
{
    assert_string_equal(a->topic, b->topic);
    assert_int_equal(a->partition, b->partition);
    assert_int_equal(a->offset, b->offset);
}

/* --- state --- */

static void
state_round_trip(void **state)
{
    struct ew_state_record record = sample_state(), read;

    (void)state;
    record.key_count = EW_MAX_ATTEMPTS;
    record.names.ou_count = EW_MAX_OUS;
    record.names.ous[2] = "c";
    for (int i = 0; i < EW_MAX_ATTEMPTS; i++)
        memset(record.keys[i], i, 32);
    assert_int_equal(ew_wire_state_encode(&record, &bytes, &err), EW_OK);
    assert_int_equal(ew_wire_state_decode(bytes.data, bytes.len, arena, &read, &err), EW_OK);
    assert_string_equal(read.request_id, record.request_id);
    assert_int_equal(read.op, record.op);
    assert_memory_equal(read.digest, record.digest, 32);
    same_source(&read.source, &record.source);
    assert_int_equal(read.status, EW_CERT_REVOKED);
    assert_int_equal(read.version, 5);
    assert_int_equal(read.keep_until_ms, record.keep_until_ms);
    assert_string_equal(read.names.cn, "ada");
    assert_string_equal(read.names.email, "ada@example.com");
    assert_string_equal(read.names.upn, "ada@corp");
    assert_int_equal(read.names.ou_count, 3);
    assert_string_equal(read.names.ous[2], "c");
    assert_int_equal(read.key_count, EW_MAX_ATTEMPTS);
    assert_memory_equal(read.keys, record.keys, sizeof(record.keys));
    assert_string_equal(read.first.event_id, record.first.event_id);
    assert_string_equal(read.first.certificate.serial, "1a2b3c");
    same_source(&read.first.first, &record.first.first);
}

/* An answer has the labels of its request and those of its setting, and is read back whole. */
static void
state_with_all_labels(void **state)
{
    enum { ALL = 2 * EW_MAX_LABELS };
    static char texts[ALL + 1][8];
    const char *labels[ALL + 1];
    struct ew_state_record record = sample_state(), read;

    (void)state;
    for (int i = 0; i <= ALL; i++) {
        (void)snprintf(texts[i], sizeof(texts[i]), "l%d", i);
        labels[i] = texts[i];
    }
    record.first.labels = labels;
    record.first.label_count = ALL;
    assert_int_equal(ew_wire_state_encode(&record, &bytes, &err), EW_OK);
    assert_int_equal(ew_wire_state_decode(bytes.data, bytes.len, arena, &read, &err), EW_OK);
    assert_int_equal(read.first.label_count, ALL);
    for (size_t i = 0; i < ALL; i++)
        assert_string_equal(read.first.labels[i], labels[i]);

    ew_buf_clear(&bytes);
    record.first.label_count++; /* nobody wrote that */
    assert_int_equal(ew_wire_state_encode(&record, &bytes, &err), EW_OK);
    assert_int_equal(ew_wire_state_decode(bytes.data, bytes.len, arena, &read, &err), EW_REJECT);
    assert_string_equal(err.problem, "too-many");
    assert_string_equal(err.field, "first.labels");
}

/* A state record with a digest and keys of these lengths; what else is in it is right. */
static enum ew_fault
read_state_with(size_t digest_len, size_t key_len, size_t keys, struct ew_state_record *read)
{
    ew_buf_clear(&bytes);
    put_string(&bytes, 1, "r");
    put_bytes(&bytes, 3, letters(digest_len), digest_len);
    for (size_t i = 0; i < keys; i++)
        put_bytes(&bytes, 10, letters(key_len), key_len);
    return ew_wire_state_decode(bytes.data, bytes.len, arena, read, &err);
}

static void
state_with_impossible_values(void **state)
{
    struct ew_state_record read;

    (void)state;
    assert_int_equal(read_state_with(31, 32, 1, &read), EW_REJECT);
    assert_int_equal(read_state_with(33, 32, 1, &read), EW_REJECT);
    assert_int_equal(read_state_with(0, 32, 1, &read), EW_REJECT);
    /* What is no digest of a key is left out, and no more are read than there is room for. */
    assert_int_equal(read_state_with(32, 31, 3, &read), EW_OK);
    assert_int_equal(read.key_count, 0);
    assert_int_equal(read_state_with(32, 32, EW_MAX_ATTEMPTS + 1, &read), EW_OK);
    assert_int_equal(read.key_count, EW_MAX_ATTEMPTS);
    put_bytes(&bytes, 9, "\x22\x01k\x22\x01l\x22\x01m\x22\x01n", 12); /* names of four OUs */
    assert_int_equal(ew_wire_state_decode(bytes.data, bytes.len, arena, &read, &err), EW_OK);
    assert_int_equal(read.names.ou_count, EW_MAX_OUS);
    ew_buf_clear(&bytes);
    put_bytes(&bytes, 3, letters(32), 32); /* no request id */
    assert_int_equal(ew_wire_state_decode(bytes.data, bytes.len, arena, &read, &err), EW_REJECT);
    assert_int_equal(ew_wire_state_decode(NULL, 0, arena, &read, &err), EW_REJECT);
}

/* --- inflight --- */

static struct ew_inflight_record
through_the_wire(const struct ew_inflight_record *record)
{
    struct ew_inflight_record read;

    ew_buf_clear(&bytes);
    assert_int_equal(ew_wire_inflight_encode(record, &bytes, &err), EW_OK);
    assert_int_equal(ew_wire_inflight_decode(bytes.data, bytes.len, arena, &read, &err), EW_OK);
    return read;
}

/* Bytes that are no text, an empty value and a null one. */
static void
same_envelope(const struct ew_inflight_record *read, const struct ew_inflight_record *record)
{
    assert_int_equal(read->record_ms, record->record_ms);
    assert_int_equal(read->headers_left_out, record->headers_left_out);
    assert_int_equal(read->header_count, record->header_count);
    for (size_t i = 0; i < read->header_count; i++) {
        assert_string_equal(read->headers[i].name, record->headers[i].name);
        assert_int_equal(read->headers[i].len, record->headers[i].len);
        assert_true((read->headers[i].value == NULL) == (record->headers[i].value == NULL));
        assert_memory_equal(read->headers[i].value, record->headers[i].value,
                            record->headers[i].len);
    }
}

static void
inflight_of_each_kind(void **state)
{
    (void)state;
    for (int kind = EW_INFLIGHT_ORDERING; kind <= EW_INFLIGHT_STOP; kind++) {
        struct ew_inflight_record record = sample_inflight(), read;

        record.kind = (enum ew_inflight_kind)kind;
        record.lane = EW_LANE_ENROLLMENT + (kind & 1);
        read = through_the_wire(&record);
        assert_int_equal(read.kind, kind);
        assert_int_equal(read.lane, record.lane);
        assert_string_equal(read.request_id, record.request_id);
        assert_int_equal(read.op, record.op);
        assert_memory_equal(read.digest, record.digest, 32);
        same_source(&read.source, &record.source);
        assert_int_equal(read.epoch, 6);
        assert_int_equal(read.attempt, 2);
        assert_int_equal(read.vanished, 1);
        assert_int_equal(read.key_count, 2);
        assert_memory_equal(read.keys, record.keys, 64);
        assert_int_equal(read.ca_date_ms, record.ca_date_ms);
        assert_true(read.has_ordered);
        assert_string_equal(read.order_id, "CEPK0001");
        assert_string_equal(read.reason, "pending");
        assert_int_equal(read.due_ms, 60000);
        assert_int_equal(read.since_ms, record.since_ms);
        assert_int_equal(read.wrapped_key.len, record.wrapped_key.len);
        assert_memory_equal(read.wrapped_key.data, record.wrapped_key.data, read.wrapped_key.len);
        assert_int_equal(read.record_key.len, 8);
        assert_memory_equal(read.record_key.data, "ada\0wifi", 8);
        assert_int_equal(read.record_value.len, record.record_value.len);
        same_envelope(&read, &record);
        assert_string_equal(read.traceparent, record.traceparent);
        assert_string_equal(read.tracestate, record.tracestate);
        assert_string_equal(read.first_source, record.first_source);
        same_source(&read.by, &record.by);
        assert_string_equal(read.lost_orders, record.lost_orders);
        assert_string_equal(read.misfit, record.misfit);
    }
}

/* As many as there may be, each as long as it may be; what is more is left out. */
static void
inflight_with_lost_orders(void **state)
{
    struct ew_inflight_record record = sample_inflight();
    char text[EW_MAX_LOST_TEXT + 2 * EW_MAX_ORDER_ID], *at = text;

    (void)state;
    for (int i = 0; i <= EW_MAX_LOST_ORDERS; i++)
        at += sprintf(at, "%s%0*d", i == 0 ? "" : " ", EW_MAX_ORDER_ID, i);
    record.lost_orders = text;
    text[EW_MAX_LOST_TEXT - 1] = '\0';
    assert_string_equal(through_the_wire(&record).lost_orders, text);
    record.lost_orders = NULL;
    assert_string_equal(through_the_wire(&record).lost_orders, "");
}

static void
inflight_with_little_in_it(void **state)
{
    struct ew_inflight_record record = {.kind = EW_INFLIGHT_ORDERING, .request_id = "r"}, read;

    (void)state;
    read = through_the_wire(&record);
    assert_int_equal(read.kind, EW_INFLIGHT_ORDERING);
    assert_string_equal(read.order_id, "");
    assert_string_equal(read.by.topic, "");
    assert_null(read.traceparent); /* absent is NULL, as in a request */
    assert_null(read.tracestate);
    assert_null(read.misfit);
    assert_null(read.wrapped_key.data);
    assert_int_equal(read.key_count, 0);
    assert_int_equal(read.header_count, 0);
    assert_int_equal(read.record_ms, 0);
}

/* Trace headers are anybody's bytes, and protobuf's strings are not. */
static void
inflight_with_a_broken_trace(void **state)
{
    static const char *const broken[] = {"\xff", "00-\xc3\xa9", "a\nb", "\x7f"};

    (void)state;
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        struct ew_inflight_record record = sample_inflight(), read;

        record.traceparent = broken[i];
        read = through_the_wire(&record);
        assert_null(read.traceparent);
        assert_string_equal(read.tracestate, "vendor=1");
        record = sample_inflight();
        record.tracestate = broken[i];
        read = through_the_wire(&record);
        assert_null(read.tracestate);
        assert_non_null(read.traceparent);
    }
}

/* The event as it came may be as large as a record can be. */
static void
inflight_with_the_largest_event(void **state)
{
    struct ew_inflight_record record = sample_inflight(), read;

    (void)state;
    record.record_value =
        (struct ew_blob){(const uint8_t *)letters(EW_MAX_RECORD - 1), EW_MAX_RECORD - 1};
    record.record_key = (struct ew_blob){(const uint8_t *)letters(EW_MAX_OWN_KEY), EW_MAX_OWN_KEY};
    read = through_the_wire(&record);
    assert_int_equal(read.record_value.len, EW_MAX_RECORD - 1);
    assert_memory_equal(read.record_value.data, record.record_value.data, EW_MAX_RECORD - 1);
}

static void
inflight_with_impossible_values(void **state)
{
    enum { KIND = 1, DIGEST = 4, ATTEMPT = 7, KEYS = 8, LANE = 21, VANISHED = 23 };
    static const struct {
        unsigned field;
        uint64_t value;
    } cases[] = {{KIND, 0},
                 {KIND, 5},
                 {KIND, UINT64_MAX},
                 {LANE, EW_LANE_COUNT},
                 {LANE, UINT64_MAX},
                 {LANE, EW_LANE_RESUME},
                 {ATTEMPT, UINT64_MAX},
                 {VANISHED, UINT64_MAX}};
    struct ew_inflight_record read;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ew_buf_clear(&bytes);
        put_number(&bytes, cases[i].field, cases[i].value);
        if (cases[i].field != KIND)
            put_number(&bytes, KIND, 1);
        put_string(&bytes, 2, "r");
        put_bytes(&bytes, DIGEST, letters(32), 32);
        assert_int_equal(ew_wire_inflight_decode(bytes.data, bytes.len, arena, &read, &err),
                         EW_REJECT);
        assert_string_equal(err.problem, "malformed");
    }
    ew_buf_clear(&bytes);
    put_number(&bytes, KIND, 1);
    put_string(&bytes, 2, "r");
    put_bytes(&bytes, DIGEST, letters(32), 32);
    assert_int_equal(ew_wire_inflight_decode(bytes.data, bytes.len, arena, &read, &err), EW_OK);
    put_bytes(&bytes, KEYS, letters(20), 20);
    assert_int_equal(ew_wire_inflight_decode(bytes.data, bytes.len, arena, &read, &err), EW_OK);
    assert_int_equal(read.key_count, 0);
}

static void
every_truncation(void **state)
{
    struct ew_inflight_record inflight = sample_inflight(), read;
    struct ew_state_record answered = sample_state(), read_answered;
    enum ew_fault fault;

    (void)state;
    assert_int_equal(ew_wire_inflight_encode(&inflight, &bytes, &err), EW_OK);
    for (size_t len = 0; len < bytes.len; len++) {
        uint8_t *copy = exactly(bytes.data, len);

        fault = ew_wire_inflight_decode(copy, len, arena, &read, &err);
        assert_true(fault == EW_OK || fault == EW_REJECT);
        free(copy);
    }
    ew_buf_clear(&bytes);
    assert_int_equal(ew_wire_state_encode(&answered, &bytes, &err), EW_OK);
    for (size_t len = 0; len < bytes.len; len++) {
        uint8_t *copy = exactly(bytes.data, len);

        fault = ew_wire_state_decode(copy, len, arena, &read_answered, &err);
        assert_true(fault == EW_OK || fault == EW_REJECT);
        free(copy);
    }
}

static void
without_memory(void **state)
{
    struct ew_inflight_record inflight = sample_inflight(), read;
    struct ew_arena *small = ew_arena_new(16);

    (void)state;
    assert_int_equal(ew_wire_inflight_encode(&inflight, &bytes, &err), EW_OK);
    assert_int_equal(ew_wire_inflight_decode(bytes.data, bytes.len, small, &read, &err), EW_RETRY);
    ew_arena_free(small);
}

/* --- keys of epki.inflight --- */

static void
keys_round_trip(void **state)
{
    static const struct {
        const char *id, *topic;
        int32_t partition;
        int64_t offset;
    } cases[] = {{"e-1", "epki.enrollment.requests", 0, 0},
                 {"a", "t", INT32_MAX, 999999999999999999},
                 {NULL, NULL, 7, 4294967297}};
    char id[EW_MAX_REQUEST_ID + 1], topic[250];

    (void)state;
    (void)snprintf(id, sizeof(id), "%s", letters(EW_MAX_REQUEST_ID));
    (void)snprintf(topic, sizeof(topic), "%s", letters(249));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ew_source source = {.partition = cases[i].partition, .offset = cases[i].offset};
        struct ew_source read;
        const char *text;

        (void)snprintf(source.topic, sizeof(source.topic), "%s",
                       cases[i].topic == NULL ? topic : cases[i].topic);
        ew_wire_inflight_key(cases[i].id == NULL ? id : cases[i].id, &source, &bytes);
        assert_int_equal(ew_wire_inflight_key_read(bytes.data, bytes.len, arena, &text, &read),
                         EW_OK);
        assert_string_equal(text, cases[i].id == NULL ? id : cases[i].id);
        same_source(&read, &source);
    }
    ew_wire_inflight_key("e-1", &(struct ew_source){.topic = "t", .partition = 2, .offset = 30},
                         &bytes);
    assert_int_equal(bytes.len, 10);
    assert_memory_equal(bytes.data,
                        "e-1\0t\0"
                        "2\0"
                        "30",
                        10);
}

/* A key in which each NUL is written as '|'. */
static enum ew_fault
key_read(const char *text)
{
    char key[300];
    size_t len = strlen(text);
    struct ew_source source;
    const char *id;

    assert_true(len < sizeof(key));
    for (size_t i = 0; i < len; i++)
        key[i] = text[i] == '|' ? '\0' : text[i];
    return ew_wire_inflight_key_read(key, len, arena, &id, &source);
}

static void
hostile_keys(void **state)
{
    static const char *const keys[] = {
        "",
        "e-1",
        "e-1|t",
        "e-1|t|1",
        "e-1|t|1|",
        "|t|1|2",   /* no request id */
        "e|t|1|2|", /* one NUL too many: another key than the one we write */
        "e|t|1|2|3",
        "e|t|-1|2",
        "e|t|+1|2",
        "e|t| 1|2",
        "e|t|1x|2",
        "e|t|2147483648|2",
        "e|t|1|9999999999999999999",
    };
    char topic[300];

    (void)state;
    assert_int_equal(key_read("e|t|1|2"), EW_OK);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        assert_int_equal(key_read(keys[i]), EW_REJECT);
    (void)snprintf(topic, sizeof(topic), "e|%.249s|1|2", letters(250));
    assert_int_equal(key_read(topic), EW_OK);
    (void)snprintf(topic, sizeof(topic), "e|%.250s|1|2", letters(250));
    assert_int_equal(key_read(topic), EW_REJECT);
}

/* Whole in every other way. */
static enum ew_fault
key_of_length(size_t len)
{
    static const char rest[] = "\0t\0"
                               "1\0"
                               "2";
    struct ew_source source;
    const char *id;

    ew_buf_clear(&bytes);
    ew_buf_puts(&bytes, letters(len - sizeof(rest) + 1));
    ew_buf_put(&bytes, rest, sizeof(rest) - 1);
    assert_int_equal(bytes.len, len);
    return ew_wire_inflight_key_read(bytes.data, bytes.len, arena, &id, &source);
}

static void
keys_have_their_length(void **state)
{
    (void)state;
    assert_int_equal(key_of_length(EW_MAX_OWN_KEY), EW_OK);
    assert_int_equal(key_of_length(EW_MAX_OWN_KEY + 1), EW_REJECT);
}

/* --- resume requests --- */

static void
resume_round_trip(void **state)
{
    struct ew_resume resume = sample_resume(), read;

    (void)state;
    for (int action = EW_RESUME_RETRY; action <= EW_RESUME_AMEND; action++) {
        resume.action = (enum ew_resume_action)action;
        resume.order_id = action == EW_RESUME_AMEND ? "CE7" : "";
        resume.status = action == EW_RESUME_AMEND ? EW_CERT_REMOVED : EW_CERT_NONE;
        resume.waiting_offset = action == EW_RESUME_END ? -1 : INT64_MAX;
        ew_buf_clear(&bytes);
        assert_int_equal(ew_wire_resume_encode(&resume, &bytes, &err), EW_OK);
        assert_int_equal(ew_wire_resume_decode(bytes.data, bytes.len, arena, &read, &err), EW_OK);
        assert_int_equal(read.action, action);
        assert_string_equal(read.request_id, resume.request_id);
        same_source(&read.source, &resume.source);
        same_source(&read.by, &resume.by);
        assert_string_equal(read.reason, "stopped");
        assert_string_equal(read.order_id, resume.order_id);
        assert_int_equal(read.status, resume.status);
        assert_int_equal(read.waiting_offset, resume.waiting_offset);
    }
}

static void
resume_with_impossible_values(void **state)
{
    static const char source[] = {2 << 3 | 2, 1, 'r', 3 << 3 | 2, 3, 0x0a, 1, 't'};
    struct ew_resume read;

    (void)state;
    ew_buf_put(&bytes, source, sizeof(source));
    assert_int_equal(ew_wire_resume_decode(bytes.data, bytes.len, arena, &read, &err), EW_REJECT);
    put_number(&bytes, 1, 1);
    assert_int_equal(ew_wire_resume_decode(bytes.data, bytes.len, arena, &read, &err), EW_OK);
    ew_buf_clear(&bytes);
    ew_buf_put(&bytes, source, sizeof(source));
    put_number(&bytes, 1, 4); /* what a newer worker asks is not guessed at */
    assert_int_equal(ew_wire_resume_decode(bytes.data, bytes.len, arena, &read, &err), EW_REJECT);
    ew_buf_clear(&bytes);
    ew_buf_put(&bytes, source, sizeof(source));
    put_number(&bytes, 1, 3); /* of which order? */
    assert_int_equal(ew_wire_resume_decode(bytes.data, bytes.len, arena, &read, &err), EW_REJECT);
    put_string(&bytes, 7, "CE1");
    assert_int_equal(ew_wire_resume_decode(bytes.data, bytes.len, arena, &read, &err), EW_OK);
    put_number(&bytes, 8, EW_CERT_REMOVED + 1);
    assert_int_equal(ew_wire_resume_decode(bytes.data, bytes.len, arena, &read, &err), EW_REJECT);
    ew_buf_clear(&bytes);
    put_number(&bytes, 1, 1);
    ew_buf_put(&bytes, source, 3); /* no source */
    assert_int_equal(ew_wire_resume_decode(bytes.data, bytes.len, arena, &read, &err), EW_REJECT);
    assert_int_equal(ew_wire_resume_decode(NULL, 0, arena, &read, &err), EW_REJECT);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(state_round_trip, begin, end),
        cmocka_unit_test_setup_teardown(state_with_all_labels, begin, end),
        cmocka_unit_test_setup_teardown(state_with_impossible_values, begin, end),
        cmocka_unit_test_setup_teardown(inflight_of_each_kind, begin, end),
        cmocka_unit_test_setup_teardown(inflight_with_lost_orders, begin, end),
        cmocka_unit_test_setup_teardown(inflight_with_little_in_it, begin, end),
        cmocka_unit_test_setup_teardown(inflight_with_a_broken_trace, begin, end),
        cmocka_unit_test_setup_teardown(inflight_with_the_largest_event, begin, end),
        cmocka_unit_test_setup_teardown(inflight_with_impossible_values, begin, end),
        cmocka_unit_test_setup_teardown(every_truncation, begin, end),
        cmocka_unit_test_setup_teardown(without_memory, begin, end),
        cmocka_unit_test_setup_teardown(keys_round_trip, begin, end),
        cmocka_unit_test_setup_teardown(hostile_keys, begin, end),
        cmocka_unit_test_setup_teardown(keys_have_their_length, begin, end),
        cmocka_unit_test_setup_teardown(resume_round_trip, begin, end),
        cmocka_unit_test_setup_teardown(resume_with_impossible_values, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
