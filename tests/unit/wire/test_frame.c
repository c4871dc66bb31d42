/*
 * Proof of framing: raw protobuf untouched, Confluent's frame taken off, every truncation and every
 * other index list refused.
 */
#include "bytes.h"
#include "wire_private.h"

struct stripped {
    enum ew_fault fault;
    struct ew_err err;
    size_t at, len; /* where the protobuf begins, and its length */
};

static struct stripped
strip(const void *data, size_t len)
{
    struct stripped out = {.fault = EW_BUG};
    uint8_t *copy = exactly(data, len);
    const uint8_t *at = copy;

    out.len = len;
    out.fault = ew_frame_strip(&at, &out.len, &out.err);
    out.at = (size_t)(at - copy);
    free(copy);
    return out;
}

static void
accepts(const void *data, size_t len, size_t head)
{
    struct stripped out = strip(data, len);

    assert_int_equal(out.fault, EW_OK);
    assert_int_equal(out.at, head);
    assert_int_equal(out.len, len - head);
}

static void
refuses(const void *data, size_t len, const char *problem)
{
    struct stripped out = strip(data, len);

    assert_int_equal(out.fault, EW_REJECT);
    assert_string_equal(out.err.problem, problem);
    assert_int_equal(out.at, 0); /* a refused frame leaves the bytes where they were */
    assert_int_equal(out.len, len);
}

static void
raw_is_left_alone(void **state)
{
    (void)state;
    accepts("", 0, 0);
    accepts("\x0a\x01x", 3, 0);
    for (int first = 1; first < 256; first++) {
        uint8_t byte = (uint8_t)first;

        accepts(&byte, 1, 0);
    }
}

static void
first_message_in_both_forms(void **state)
{
    (void)state;
    accepts("\0\0\0\0\x07\0\x0a\x01x", 9, 6);         /* the short form of [0] */
    accepts("\0\0\0\0\x07\x02\0\x0a\x01x", 10, 7);    /* [0] written out */
    accepts("\0\xff\xff\xff\xff\0", 6, 6);            /* any schema id; an empty message */
    accepts("\0\0\0\0\x07\x82\0\x80\0\x0a\0", 11, 9); /* varints longer than need be */
}

static void
every_truncation_of_the_head(void **state)
{
    static const char frame[] = "\0\0\0\0\x07\x82\0\x80\0";

    (void)state;
    for (size_t len = 1; len < sizeof(frame) - 1; len++)
        refuses(frame, len, "frame");
    accepts(frame, sizeof(frame) - 1, sizeof(frame) - 1);
}

static void
other_messages(void **state)
{
    (void)state;
    refuses("\0\0\0\0\x07\x02\x02\x0a\0", 9, "frame-message");  /* [1]: the file's second */
    refuses("\0\0\0\0\x07\x04\0\0\x0a\0", 10, "frame-message"); /* [0,0]: one nested in it */
    refuses("\0\0\0\0\x07\x02\x01\x0a\0", 9, "frame-message");  /* [-1] */
    refuses("\0\0\0\0\x07\x10\0\0\0\0\0\0\0\0", 14, "frame-message");
}

static void
hostile_lists(void **state)
{
    (void)state;
    refuses("\0\0\0\0\x07\x01\0", 7, "frame");                    /* -1 of them */
    refuses("\0\0\0\0\x07\x12\0\0\0\0\0\0\0\0\0", 15, "frame");   /* nine */
    refuses("\0\0\0\0\x07\xfe\xff\xff\xff\x0f\0", 11, "frame");   /* two thousand million */
    refuses("\0\0\0\0\x07\x80\x80\x80\x80\x80\0\0", 12, "frame"); /* a varint without end */
    refuses("\0\0\0\0\x07\xff\xff\xff\xff\xff", 10, "frame");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raw_is_left_alone),
        cmocka_unit_test(first_message_in_both_forms),
        cmocka_unit_test(every_truncation_of_the_head),
        cmocka_unit_test(other_messages),
        cmocka_unit_test(hostile_lists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
