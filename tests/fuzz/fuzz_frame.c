/*
 * Schema-registry framing: a second reading of the format, written from its description, must come
 * to the same; what was framed comes out as it went in.
 */
#include <string.h>

#include "fuzz.h"
#include "wire_private.h"

/* A zig-zag varint of at most 5 bytes; false when it does not end. */
static bool
take(const uint8_t *data, size_t len, size_t *at, int64_t *out)
{
    uint64_t raw = 0;

    for (int i = 0; i < 5; i++) {
        if (*at == len)
            return false;
        raw += (uint64_t)(data[*at] % 128) << (7 * i);
        if (data[(*at)++] < 128) {
            *out = raw % 2 == 0 ? (int64_t)(raw / 2) : -(int64_t)(raw / 2) - 1;
            return true;
        }
    }
    return false;
}

/* Bytes before the message; -1 when the frame is none or names another message. */
static int
header_of(const uint8_t *data, size_t len)
{
    size_t at = 5;
    int64_t count, index;

    if (len == 0 || data[0] != 0)
        return 0;
    if (len < 6 || !take(data, len, &at, &count))
        return -1;
    if (count == 0)
        return (int)at;
    if (count != 1 || !take(data, len, &at, &index) || index != 0)
        return -1;
    return (int)at;
}

static void
check_strip(const uint8_t *data, size_t size)
{
    const uint8_t *message = data;
    size_t len = size;
    struct ew_err err = {.fault = EW_OK};
    enum ew_fault fault = ew_frame_strip(&message, &len, &err);
    int header = header_of(data, size);

    if (fault != EW_OK) {
        MUST(fault == EW_REJECT && err.fault == EW_REJECT);
        MUST(strcmp(err.problem, "frame") == 0 || strcmp(err.problem, "frame-message") == 0);
        MUST(header == -1);
        return;
    }
    MUST(header >= 0);
    MUST(message == data + header && len == size - (size_t)header);
}

/* The same bytes behind a frame of ours, in both spellings of "the first message". */
static void
check_framed(const uint8_t *data, size_t size)
{
    static const uint8_t heads[2][7] = {{0, 1, 2, 3, 4, 0}, {0, 1, 2, 3, 4, 2, 0}};
    uint8_t *framed = malloc(size + 7);

    MUST(framed != NULL);
    for (size_t i = 0; i < 2; i++) {
        size_t head = 6 + i, len = head + size;
        const uint8_t *message = framed;

        memcpy(framed, heads[i], head);
        if (size > 0)
            memcpy(framed + head, data, size);
        MUST(ew_frame_strip(&message, &len, NULL) == EW_OK);
        MUST(len == size && (size == 0 || memcmp(message, data, size) == 0));
    }
    free(framed);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_strip(data, size);
    check_framed(data, size);
    return 0;
}
