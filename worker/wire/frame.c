/*
 * Confluent's schema-registry framing told from raw protobuf: no protobuf field has number 0, so a
 * leading zero byte can only be a frame.
 */
#include "wire_private.h"

enum { ID_LEN = 4 };

/* Zig-zag varint of at most 5 bytes. */
static bool
zigzag(const uint8_t **at, const uint8_t *end, int64_t *out)
{
    uint64_t raw = 0;

    for (unsigned shift = 0; shift < 35 && *at < end; shift += 7) {
        uint8_t byte = *(*at)++;

        raw |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *out = (int64_t)(raw >> 1) ^ -(int64_t)(raw & 1);
            return true;
        }
    }
    return false;
}

static enum ew_fault
bad_list(struct ew_err *err)
{
    return ew_fail(err, EW_REJECT, "frame", "its message-index list is malformed");
}

enum ew_fault
ew_frame_strip(const uint8_t **data, size_t *len, struct ew_err *err)
{
    const uint8_t *at = *data, *end = *data + *len;
    int64_t indexes, index;

    if (*len == 0 || at[0] != 0)
        return EW_OK;
    if (*len < 1 + ID_LEN + 1)
        return ew_fail(err, EW_REJECT, "frame", "a schema-registry frame of %zu bytes is cut off",
                       *len);
    at += 1 + ID_LEN; /* the schema's id: the topic says which message it must be */
    if (!zigzag(&at, end, &indexes) || indexes < 0 || indexes > EW_MAX_FRAME_INDEXES)
        return bad_list(err);
    /* A count of 0 stands for the list [0]: the first message of its file, as all requests are. */
    for (int64_t i = 0; i < indexes; i++) {
        if (!zigzag(&at, end, &index))
            return bad_list(err);
        if (index != 0 || indexes != 1)
            return ew_fail_field(err, EW_REJECT, "frame-message", "",
                                 "Send the first message of the file that the topic belongs to.",
                                 "its message index names another message");
    }
    *len = (size_t)(end - at);
    *data = at;
    return EW_OK;
}
