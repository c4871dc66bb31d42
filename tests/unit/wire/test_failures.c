/*
 * Without memory nothing is read by halves, and nothing that is sound is refused: a request that
 * does not unpack would be a dead letter.
 */
#include "failing.h"

#include "bytes.h"
#include "samples.h"

enum { RECORDS = 5 }; /* that a worker writes */

/* What each story begins with, or is to come to, made while nothing fails. */
static struct sample {
    uint8_t data[64 * 1024];
    size_t len;
} samples[RECORDS];

static uint8_t digest[32];

static void
must(enum ew_fault fault, const struct ew_err *err)
{
    if (fault != EW_OK)
        fail_msg("%s: %s", err->problem, err->detail);
}

static void
keep(struct ew_buf *bytes, struct sample *sample)
{
    assert_true(bytes->len > 0 && bytes->len <= sizeof(sample->data));
    memcpy(sample->data, bytes->data, bytes->len);
    sample->len = bytes->len;
    ew_buf_deinit(bytes);
}

static void
must_be(struct ew_buf *bytes, const struct sample *sample)
{
    assert_int_equal(bytes->len, sample->len);
    assert_memory_equal(bytes->data, sample->data, sample->len);
    ew_buf_deinit(bytes);
}

/* --- requests --- */

static void
put_enrollment(struct ew_buf *out, const char *note)
{
    struct ew_buf subject, key;

    ew_buf_init(&subject, BYTES_MAX);
    ew_buf_init(&key, BYTES_MAX);
    put_string(&subject, 2, "Ada");
    put_string(&subject, 3, "Lovelace");
    put_string(&subject, 5, "ada@example.com");
    put_string(&key, 1, "a CSR");
    put_string(out, 1, "r-1");
    put_string(out, 2, "vpn");
    put_bytes(out, 3, subject.data, subject.len);
    put_bytes(out, 4, key.data, key.len);
    put_string(out, 5, note);
    ew_buf_deinit(&subject);
    ew_buf_deinit(&key);
}

static void
digest_of(const void *data, size_t len, uint8_t out[32])
{
    const uint8_t *bytes = data;

    memset(out, 0, 32);
    for (size_t i = 0; i < len; i++)
        out[i % 32] = (uint8_t)(out[i % 32] * 31 + bytes[i]);
}

static enum ew_fault
read_request(struct ew_arena *arena, struct ew_request *request, struct ew_err *err)
{
    return ew_wire_request(EW_LANE_ENROLLMENT, samples[0].data, samples[0].len, arena, request,
                           err);
}

static int
begin_enrollment(void **state)
{
    struct ew_arena *arena = ew_arena_new(EW_MAX_FLOW_MEMORY);
    struct ew_request request;
    struct ew_err err = {.problem = ""};
    struct ew_buf bytes;

    (void)state;
    ew_buf_init(&bytes, BYTES_MAX);
    put_enrollment(&bytes, "berlin");
    keep(&bytes, &samples[0]);
    must(read_request(arena, &request, &err), &err);
    ew_request_digest(&request, NULL, digest, digest_of);
    ew_arena_free(arena);
    return 0;
}

static void
test_a_request_is_read(void **state)
{
    struct ew_arena *arena = ew_arena_new(EW_MAX_FLOW_MEMORY);
    struct ew_request request;
    struct ew_err err = {.problem = ""};
    uint8_t found[32];

    (void)state;
    must(read_request(arena, &request, &err), &err);
    assert_string_equal(request.request_id, "r-1");
    assert_string_equal(request.setting, "vpn");
    assert_string_equal(request.subject.first_name, "Ada");
    assert_string_equal(request.subject.email, "ada@example.com");
    assert_string_equal(request.csr, "a CSR");
    assert_int_equal(request.label_count, 1);
    assert_string_equal(request.labels[0], "berlin");
    ew_request_digest(&request, NULL, found, digest_of);
    assert_memory_equal(found, digest, sizeof(found));
    ew_arena_free(arena);
}

static int
begin_refused(void **state)
{
    struct ew_buf bytes;

    (void)state;
    ew_buf_init(&bytes, BYTES_MAX);
    put_enrollment(&bytes, "berlin");
    put_string(&bytes, 2, "wifi"); /* a second setting */
    keep(&bytes, &samples[0]);
    return 0;
}

/* Whoever sent it gets an answer. */
static void
test_a_refused_one_keeps_its_id(void **state)
{
    struct ew_arena *arena = ew_arena_new(EW_MAX_FLOW_MEMORY);
    struct ew_request request;
    struct ew_err err = {.problem = ""};

    (void)state;
    assert_int_equal(read_request(arena, &request, &err), EW_REJECT);
    assert_string_equal(err.problem, "field-twice");
    assert_non_null(request.request_id);
    assert_string_equal(request.request_id, "r-1");
    ew_arena_free(arena);
}

/* --- what the worker writes and reads again --- */

static void
write_event(struct ew_buf *out, struct ew_err *err)
{
    struct ew_event event = sample_event();

    must(ew_wire_event_encode(&event, out, err), err);
}

static void
read_event(struct ew_arena *arena, const struct sample *from, struct ew_buf *out,
           struct ew_err *err)
{
    struct ew_event event;

    must(ew_wire_event_decode(from->data, from->len, arena, &event, err), err);
    must(ew_wire_event_encode(&event, out, err), err);
}

static void
write_state(struct ew_buf *out, struct ew_err *err)
{
    struct ew_state_record record = sample_state();

    must(ew_wire_state_encode(&record, out, err), err);
}

static void
read_state(struct ew_arena *arena, const struct sample *from, struct ew_buf *out,
           struct ew_err *err)
{
    struct ew_state_record record;

    must(ew_wire_state_decode(from->data, from->len, arena, &record, err), err);
    must(ew_wire_state_encode(&record, out, err), err);
}

static void
write_inflight(struct ew_buf *out, struct ew_err *err)
{
    struct ew_inflight_record record = sample_inflight();

    must(ew_wire_inflight_encode(&record, out, err), err);
}

static void
read_inflight(struct ew_arena *arena, const struct sample *from, struct ew_buf *out,
              struct ew_err *err)
{
    struct ew_inflight_record record;

    must(ew_wire_inflight_decode(from->data, from->len, arena, &record, err), err);
    must(ew_wire_inflight_encode(&record, out, err), err);
}

static void
write_resume(struct ew_buf *out, struct ew_err *err)
{
    struct ew_resume resume = sample_resume();

    must(ew_wire_resume_encode(&resume, out, err), err);
}

static void
read_resume(struct ew_arena *arena, const struct sample *from, struct ew_buf *out,
            struct ew_err *err)
{
    struct ew_resume resume;

    must(ew_wire_resume_decode(from->data, from->len, arena, &resume, err), err);
    must(ew_wire_resume_encode(&resume, out, err), err);
}

static void
write_account(struct ew_buf *out, struct ew_err *err)
{
    struct ew_account_event event = sample_account();

    must(ew_wire_account_encode(&event, out, err), err);
}

static const struct {
    void (*write)(struct ew_buf *out, struct ew_err *err);
    void (*read)(struct ew_arena *arena, const struct sample *from, struct ew_buf *out,
                 struct ew_err *err); /* NULL: others do */
} records[RECORDS] = {{write_event, read_event},
                      {write_state, read_state},
                      {write_inflight, read_inflight},
                      {write_resume, read_resume},
                      {write_account, NULL}};

static void
written(size_t i, struct ew_buf *out)
{
    struct ew_err err = {.problem = ""};

    ew_buf_init(out, BYTES_MAX);
    records[i].write(out, &err);
}

static int
begin_records(void **state)
{
    struct ew_buf bytes;

    (void)state;
    for (size_t i = 0; i < RECORDS; i++) {
        written(i, &bytes);
        keep(&bytes, &samples[i]);
    }
    return 0;
}

static void
test_records_are_written_whole(void **state)
{
    struct ew_buf bytes;

    (void)state;
    for (size_t i = 0; i < RECORDS; i++) {
        written(i, &bytes);
        must_be(&bytes, &samples[i]);
    }
}

/* Written again it is the same. */
static void
test_records_are_read_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < RECORDS; i++) {
        struct ew_arena *arena = ew_arena_new(EW_MAX_FLOW_MEMORY);
        struct ew_err err = {.problem = ""};
        struct ew_buf bytes;

        ew_buf_init(&bytes, BYTES_MAX);
        if (records[i].read != NULL) {
            records[i].read(arena, &samples[i], &bytes, &err);
            must_be(&bytes, &samples[i]);
        }
        ew_arena_free(arena);
    }
}

static void
test_keys_and_headers_are_whole(void **state)
{
    struct ew_arena *arena = ew_arena_new(EW_MAX_FLOW_MEMORY);
    struct ew_source source = {.topic = "requests", .partition = 2, .offset = 99}, read;
    struct ew_event event = sample_event();
    struct ew_pair headers[EW_MAX_HEADERS];
    struct ew_buf key;
    const char *id;

    (void)state;
    ew_buf_init(&key, 1024);
    ew_wire_inflight_key("r-1", &source, &key);
    assert_int_equal(ew_wire_inflight_key_read(key.data, key.len, arena, &id, &read), EW_OK);
    assert_string_equal(id, "r-1");
    assert_string_equal(read.topic, "requests");
    assert_int_equal(read.offset, 99);
    assert_int_equal(ew_wire_event_headers(&event, "group", "00-1-1-01", "a=b", arena, headers), 9);
    ew_buf_deinit(&key);
    ew_arena_free(arena);
}

int
main(int argc, char **argv)
{
    static const struct story stories[] = {
        {.name = "request", .tell = test_a_request_is_read, .begin = begin_enrollment},
        {.name = "refused", .tell = test_a_refused_one_keeps_its_id, .begin = begin_refused},
        {.name = "written", .tell = test_records_are_written_whole, .begin = begin_records},
        {.name = "read", .tell = test_records_are_read_whole, .begin = begin_records},
        {.name = "keys", .tell = test_keys_and_headers_are_whole},
    };

    return failing_main(argc, argv, stories, sizeof(stories) / sizeof(stories[0]));
}
