/*
 * Proof of the walk before unpacking: what protobuf-c would swallow is refused with the field's
 * path, and bombs are refused before they take memory.
 */
#include "bytes.h"
#include "epki/v1/enrollment.pb-c.h"
#include "wire_private.h"

enum { REQUEST_ID = 1, SETTING = 2, SUBJECT = 3, KEY = 4, LABELS = 5, CONTEXT = 6, DEADLINE = 7 };
enum { FIRST_NAME = 2, ATTRIBUTES = 12, NAME = 1, VALUE = 2, CSR = 1, WORKER_KEY = 2 };

static struct ew_buf bytes;

static int
begin(void **state)
{
    (void)state;
    ew_buf_init(&bytes, BYTES_MAX);
    return 0;
}

static int
end(void **state)
{
    (void)state;
    ew_buf_deinit(&bytes);
    return 0;
}

static enum ew_fault
walk(const void *data, size_t len, struct ew_err *err)
{
    uint8_t *copy = exactly(data, len);
    enum ew_fault fault =
        ew_walk(&epki__v1__enrollment_request__descriptor, copy, len, EW_MAX_REPEATED, err);

    free(copy);
    return fault;
}

static void
accepted(void)
{
    struct ew_err err = {0};

    assert_false(bytes.overflowed);
    if (walk(bytes.data, bytes.len, &err) != EW_OK)
        fail_msg("%s of %s: %s", err.problem, err.field, err.detail);
}

static void
refused(const char *problem, const char *field)
{
    struct ew_err err = {0};

    assert_false(bytes.overflowed);
    assert_int_equal(walk(bytes.data, bytes.len, &err), EW_REJECT);
    assert_string_equal(err.problem, problem);
    assert_string_equal(err.field, field);
    assert_true(err.detail[0] != '\0' && err.advice != NULL);
}

static void
put_attribute(struct ew_buf *subject, const char *name, const char *value)
{
    struct ew_buf attribute;

    ew_buf_init(&attribute, BYTES_MAX);
    put_string(&attribute, NAME, name);
    put_string(&attribute, VALUE, value);
    put_bytes(subject, ATTRIBUTES, attribute.data, attribute.len);
    ew_buf_deinit(&attribute);
}

/* A message within messages: subject.attributes[0].value = text. */
static void
put_deep_text(const void *text, size_t len)
{
    struct ew_buf attribute, subject;

    ew_buf_init(&attribute, BYTES_MAX);
    ew_buf_init(&subject, BYTES_MAX);
    put_string(&attribute, NAME, "n");
    put_bytes(&attribute, VALUE, text, len);
    put_bytes(&subject, ATTRIBUTES, attribute.data, attribute.len);
    put_bytes(&bytes, SUBJECT, subject.data, subject.len);
    ew_buf_deinit(&attribute);
    ew_buf_deinit(&subject);
}

static void
put_all(void)
{
    put_string(&bytes, REQUEST_ID, "r-1");
    put_string(&bytes, SETTING, "wifi");
    put_deep_text("J\xc3\xbcrgen \xe2\x82\xac \xf0\x9f\x98\x80", 16);
    put_bytes(&bytes, KEY, "\x0a\x03pem", 5);
    put_string(&bytes, LABELS, "a");
    put_string(&bytes, LABELS, "b");
    put_bytes(&bytes, CONTEXT, "\0\xff\xfe", 3); /* bytes, not text */
    put_number(&bytes, DEADLINE, UINT64_MAX);
}

static void
good_messages(void **state)
{
    (void)state;
    accepted(); /* of no bytes at all */
    put_all();
    accepted();
}

/* Cut anywhere, it is whole only where a field of the outermost message ends. */
static void
every_truncation(void **state)
{
    struct ew_err err;
    size_t whole = 0;

    (void)state;
    put_all();
    for (size_t len = 0; len < bytes.len; len++) {
        if (walk(bytes.data, len, &err) == EW_OK)
            whole++;
        else
            assert_string_equal(err.problem, "malformed");
    }
    assert_int_equal(whole, 8);
}

static void
text_is_utf8(void **state)
{
    static const char *const bad[] = {
        "\x80",             /* a continuation alone */
        "a\xff",            /* no lead byte */
        "\xc3",             /* cut off */
        "\xc3(",            /* its continuation is none */
        "\xc0\xaf",         /* overlong, two bytes */
        "\xe0\x9f\xbf",     /* overlong, three */
        "\xf0\x8f\xbf\xbf", /* overlong, four */
        "\xed\xa0\x80",     /* a surrogate */
        "\xf4\x90\x80\x80", /* beyond U+10FFFF */
        "\xf5\x80\x80\x80",
        "\xf0\x9f\x98",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ew_buf_clear(&bytes);
        put_string(&bytes, REQUEST_ID, bad[i]);
        refused("text-utf8", "request_id");
        ew_buf_clear(&bytes);
        put_deep_text(bad[i], strlen(bad[i]));
        refused("text-utf8", "subject.attributes.value");
    }
}

static void
text_to_the_edges_of_unicode(void **state)
{
    (void)state;
    put_string(&bytes, REQUEST_ID,
               "\x01\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"
               "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf");
    accepted();
}

static void
text_holds_no_nul(void **state)
{
    (void)state;
    put_bytes(&bytes, SETTING, "wifi\0admin", 10);
    refused("text-nul", "setting");
    ew_buf_clear(&bytes);
    put_deep_text("\0", 1);
    refused("text-nul", "subject.attributes.value");
}

static void
malformed_tags_and_values(void **state)
{
    static const struct {
        const char *data;
        size_t len;
        const char *field;
    } cases[] = {
        {"\x02\x00", 2, ""}, /* field 0 */
        {"\x0b\x0c", 2, ""}, /* a group */
        {"\x0e\x00", 2, ""}, /* wire type 6 */
        {"\x0f", 1, ""},     /* wire type 7 */
        {"\x0a\x05"
         "abc",
         5, ""},                                                  /* longer than what is there */
        {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, ""}, /* as long as can be said */
        {"\x38\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11, ""}, /* a varint beyond 64 bits */
        {"\x38\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 12, ""},
        {"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01\x00", 11, ""}, /* a tag beyond all fields */
        {"\x0d\x00\x00\x00\x00", 5, "request_id"},                /* text as a fixed32 */
        {"\x08\x01", 2, "request_id"},                            /* text as a number */
        {"\x3a\x01\x01", 3, "deadline_ms"},                       /* a number as bytes */
        {"\x18\x01", 2, "subject"},                               /* a message as a number */
        {"\x1a\x02\x10\x01", 4, "subject.first_name"},
        {"\x1a\x01\x12", 3, "subject"}, /* cut off within */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ew_buf_clear(&bytes);
        ew_buf_put(&bytes, cases[i].data, cases[i].len);
        refused("malformed", cases[i].field);
    }
}

static void
singular_fields_once(void **state)
{
    (void)state;
    put_string(&bytes, REQUEST_ID, "a");
    put_string(&bytes, REQUEST_ID, "a");
    refused("field-twice", "request_id");
    ew_buf_clear(&bytes);
    put_bytes(&bytes, SUBJECT, "\x12\x01x", 3); /* protobuf would merge the two */
    put_bytes(&bytes, SUBJECT, "\x1a\x01y", 3);
    refused("field-twice", "subject");
    ew_buf_clear(&bytes);
    put_bytes(&bytes, SUBJECT, "\x12\x01x\x12\x01y", 6);
    refused("field-twice", "subject.first_name");
    ew_buf_clear(&bytes);
    put_number(&bytes, DEADLINE, 0);
    put_number(&bytes, DEADLINE, 0);
    refused("field-twice", "deadline_ms");
}

static void
one_choice_of_a_oneof(void **state)
{
    (void)state;
    put_bytes(&bytes, KEY, "\x0a\x01x\x12\x00", 5);
    refused("oneof-twice", "key.worker_key");
    ew_buf_clear(&bytes);
    put_bytes(&bytes, KEY, "\x12\x00\x0a\x01x", 5);
    refused("oneof-twice", "key.csr");
    ew_buf_clear(&bytes);
    put_bytes(&bytes, KEY, "\x0a\x01x\x0a\x01x", 6);
    refused("field-twice", "key.csr");
}

static void
unknown_fields_are_counted(void **state)
{
    (void)state;
    for (int i = 0; i < 16; i++) {
        put_number(&bytes, 100, 1);
        put_bytes(&bytes, 536870911, "\0\xff", 2); /* the highest number there is; no text rules */
        put_varint(&bytes, 200 << 3 | 1);
        ew_buf_put(&bytes, "12345678", 8);
        put_varint(&bytes, 200 << 3 | 5);
        ew_buf_put(&bytes, "1234", 4);
    }
    accepted();
    put_number(&bytes, 100, 1);
    refused("too-many", "");
}

static void
repeated_fields_are_counted(void **state)
{
    struct ew_buf subject;

    (void)state;
    for (int i = 0; i < 64; i++)
        put_string(&bytes, LABELS, "l");
    accepted();
    put_string(&bytes, LABELS, "l");
    refused("too-many", "labels");

    ew_buf_clear(&bytes);
    ew_buf_init(&subject, BYTES_MAX);
    for (int i = 0; i < 64; i++)
        put_attribute(&subject, "n", "v");
    put_bytes(&bytes, SUBJECT, subject.data, subject.len);
    accepted();
    ew_buf_clear(&bytes);
    put_attribute(&subject, "n", "v");
    put_bytes(&bytes, SUBJECT, subject.data, subject.len);
    refused("too-many", "subject.attributes");
    ew_buf_deinit(&subject);
}

/* No message of the contract nests as deeply; a descriptor that holds itself stands in for one. */
static void
depth_is_bounded(void **state)
{
    static ProtobufCMessageDescriptor nested;
    static ProtobufCFieldDescriptor field;
    static const ProtobufCIntRange ranges[] = {{1, 0}, {0, 1}};
    static const unsigned by_name[] = {0};
    uint8_t levels[32] = {0};
    struct ew_err err = {0};

    (void)state;
    field = (ProtobufCFieldDescriptor){.name = "in",
                                       .id = 1,
                                       .label = PROTOBUF_C_LABEL_NONE,
                                       .type = PROTOBUF_C_TYPE_MESSAGE,
                                       .descriptor = &nested};
    nested = epki__v1__enrollment_request__descriptor;
    nested.n_fields = 1;
    nested.fields = &field;
    nested.fields_sorted_by_name = by_name;
    nested.n_field_ranges = 1;
    nested.field_ranges = ranges;
    for (int depth = 0; depth <= 12; depth++) {
        for (int i = 0; i < depth; i++) {
            levels[2 * i] = 1 << 3 | 2;
            levels[2 * i + 1] = (uint8_t)(2 * (depth - i - 1));
        }
        assert_int_equal(ew_walk(&nested, levels, (size_t)(2 * depth), 1, &err),
                         depth <= 8 ? EW_OK : EW_REJECT);
        if (depth > 8)
            assert_string_equal(err.problem, "too-deep");
    }
}

/* --- bombs --- */

static void *
counted_alloc(void *total, size_t size)
{
    *(size_t *)total += size;
    return malloc(size);
}

static void
counted_free(void *total, void *data)
{
    (void)total;
    free(data);
}

/* What protobuf-c by itself takes to unpack the bytes. */
static size_t
unpacked_size(void)
{
    size_t total = 0;
    ProtobufCAllocator allocator = {counted_alloc, counted_free, &total};
    ProtobufCMessage *message = protobuf_c_message_unpack(&epki__v1__enrollment_request__descriptor,
                                                          &allocator, bytes.len, bytes.data);

    assert_non_null(message);
    protobuf_c_message_free_unpacked(message, &allocator);
    return total;
}

static void
bomb(const char *problem, const char *field)
{
    ProtobufCMessage *message = NULL;
    struct ew_err err = {0};

    assert_in_range(bytes.len, EW_MAX_RECORD - 64, EW_MAX_RECORD);
    assert_true(unpacked_size() > 1024 * 1024);
    refused(problem, field);
    assert_int_equal(ew_unpack(&epki__v1__enrollment_request__descriptor, bytes.data, bytes.len,
                               EW_MAX_REPEATED, &message, &err),
                     EW_REJECT);
    assert_null(message);
}

static void
bombs_of_256_kib(void **state)
{
    struct ew_buf subject;

    (void)state;
    ew_buf_init(&subject, BYTES_MAX);
    while (subject.len < EW_MAX_RECORD - 32) /* empty attributes: 2 bytes each */
        put_bytes(&subject, ATTRIBUTES, "", 0);
    put_bytes(&bytes, SUBJECT, subject.data, subject.len);
    bomb("too-many", "subject.attributes");
    ew_buf_deinit(&subject);

    ew_buf_clear(&bytes);
    while (bytes.len < EW_MAX_RECORD - 2)
        put_string(&bytes, LABELS, "");
    bomb("too-many", "labels");

    ew_buf_clear(&bytes);
    while (bytes.len < EW_MAX_RECORD - 3)
        put_number(&bytes, 100, 1);
    bomb("too-many", "");
}

static void
what_is_allowed_costs_little(void **state)
{
    struct ew_buf subject;

    (void)state;
    ew_buf_init(&subject, BYTES_MAX);
    for (int i = 0; i < 64; i++) {
        put_bytes(&subject, ATTRIBUTES, "", 0);
        put_string(&bytes, LABELS, "");
        put_number(&bytes, 100, 1);
    }
    put_bytes(&bytes, SUBJECT, subject.data, subject.len);
    accepted();
    assert_in_range(unpacked_size(), 64, 16 * 1024);
    ew_buf_deinit(&subject);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(good_messages, begin, end),
        cmocka_unit_test_setup_teardown(every_truncation, begin, end),
        cmocka_unit_test_setup_teardown(text_is_utf8, begin, end),
        cmocka_unit_test_setup_teardown(text_to_the_edges_of_unicode, begin, end),
        cmocka_unit_test_setup_teardown(text_holds_no_nul, begin, end),
        cmocka_unit_test_setup_teardown(malformed_tags_and_values, begin, end),
        cmocka_unit_test_setup_teardown(singular_fields_once, begin, end),
        cmocka_unit_test_setup_teardown(one_choice_of_a_oneof, begin, end),
        cmocka_unit_test_setup_teardown(unknown_fields_are_counted, begin, end),
        cmocka_unit_test_setup_teardown(repeated_fields_are_counted, begin, end),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test_setup_teardown(bombs_of_256_kib, begin, end),
        cmocka_unit_test_setup_teardown(what_is_allowed_costs_little, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
