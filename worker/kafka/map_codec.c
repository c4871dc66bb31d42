/*
 * The offset map as text: base64url (unpadded) of
 *   format byte, tag "epk", epoch u32, sequence u32 (big-endian),
 *   varint(frontier - base), varint(doubt - base),
 *   per open offset below the frontier: varint(gap from its predecessor << 1 |
 * started), CRC-32 (big-endian) of all that and of the base. The broker treats
 * it as a Java string and librdkafka 2.0.2 cuts reads at a NUL: hence ASCII.
 * The checksum is there because a map that lost its tail would read as "done".
 * Golden tests pin this.
 */
#include <string.h>

#include "kafka/offset_map.h"
#include "offset_map_private.h"

enum {
    FORMAT = 1,
    TAG_AT = 1,
    TAG_LEN = 3,
    EPOCH_AT = 4,
    SEQUENCE_AT = 8,
    HEADER = 12,
    CHECK = 4,
    MAX_BYTES = EW_MAP_CHARS / 4 * 3,
    MAX_VARINT = 10,
};

static const uint8_t TAG[TAG_LEN] = {'e', 'p', 'k'};

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* --- pieces --- */

static void
put_u32(uint8_t *out, uint32_t value)
{
    out[0] = (uint8_t)(value >> 24);
    out[1] = (uint8_t)(value >> 16);
    out[2] = (uint8_t)(value >> 8);
    out[3] = (uint8_t)value;
}

static uint32_t
get_u32(const uint8_t *in)
{
    return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

static size_t
varint_len(uint64_t value)
{
    size_t len = 1;

    while (value >= 0x80) {
        value >>= 7;
        len++;
    }
    return len;
}

static size_t
put_varint(uint8_t *out, uint64_t value)
{
    size_t len = 0;

    while (value >= 0x80) {
        out[len++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    out[len++] = (uint8_t)value;
    return len;
}

/* Only the shortest form, so that one map has one text. false: not a varint of
 * 63 bits. */
static bool
get_varint(const uint8_t *data, size_t len, size_t *at, uint64_t *out)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 63; shift += 7) {
        uint8_t byte;

        if (*at >= len)
            return false;
        byte = data[(*at)++];
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out = value;
            return byte != 0 || shift == 0;
        }
    }
    return false;
}

static uint32_t
crc32_add(uint32_t crc, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320U : crc >> 1;
    }
    return crc;
}

static uint32_t
checksum(const uint8_t *data, size_t len, int64_t base)
{
    uint8_t tail[8];

    put_u32(tail, (uint32_t)((uint64_t)base >> 32));
    put_u32(tail + 4, (uint32_t)(uint64_t)base);
    return ~crc32_add(crc32_add(0xffffffffU, data, len), tail, sizeof(tail));
}

static size_t
chars_of(size_t bytes)
{
    return (bytes * 4 + 2) / 3;
}

/* --- encoding --- */

static uint64_t
delta(int64_t value, int64_t base)
{
    return value > base ? (uint64_t)(value - base) : 0;
}

/* The number of entries that are listed: those below the frontier. */
static size_t
listed(const struct ew_offset_map *map)
{
    size_t low = 0;
    size_t high = map->count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (map->open[mid].offset < map->touched)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static size_t
bytes_of(const struct ew_offset_map *map)
{
    int64_t base = ew_offset_map_base(map);
    int64_t last = base;
    size_t bytes = HEADER + CHECK;
    size_t count = listed(map);

    bytes += varint_len(delta(map->touched, base)) + varint_len(delta(map->doubt, base));
    for (size_t i = 0; i < count; i++) {
        bytes += varint_len((uint64_t)(map->open[i].offset - last) << 1);
        last = map->open[i].offset;
    }
    return bytes;
}

size_t
ew_offset_map_chars(const struct ew_offset_map *map)
{
    return chars_of(bytes_of(map));
}

static size_t
put_map(const struct ew_offset_map *map, uint8_t *out)
{
    int64_t base = ew_offset_map_base(map);
    int64_t last = base;
    size_t count = listed(map);
    size_t len = HEADER;

    out[0] = FORMAT;
    memcpy(out + TAG_AT, TAG, TAG_LEN);
    put_u32(out + EPOCH_AT, map->epoch);
    put_u32(out + SEQUENCE_AT, map->sequence);
    len += put_varint(out + len, delta(map->touched, base));
    len += put_varint(out + len, delta(map->doubt, base));
    for (size_t i = 0; i < count; i++) {
        uint64_t gap = (uint64_t)(map->open[i].offset - last);

        len += put_varint(out + len, gap << 1 | (map->open[i].started ? 1 : 0));
        last = map->open[i].offset;
    }
    put_u32(out + len, checksum(out, len, base));
    return len + CHECK;
}

static void
to_text(const uint8_t *data, size_t len, char *out)
{
    uint32_t bits = 0;
    unsigned have = 0;

    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | data[i];
        have += 8;
        while (have >= 6) {
            have -= 6;
            *out++ = ALPHABET[bits >> have & 0x3f];
        }
    }
    if (have > 0)
        *out++ = ALPHABET[bits << (6 - have) & 0x3f];
    *out = '\0';
}

enum ew_fault
ew_offset_map_encode(const struct ew_offset_map *map, char out[EW_MAP_CHARS + 1])
{
    uint8_t bytes[MAX_BYTES];

    if (bytes_of(map) > MAX_BYTES)
        return EW_RETRY;
    to_text(bytes, put_map(map, bytes), out);
    return EW_OK;
}

/* --- decoding --- */

static int
digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '-')
        return 62;
    return c == '_' ? 63 : -1;
}

/* Decodes until the end or the first foreign character. `whole`: the text ended
 * properly. */
static size_t
from_text(const char *text, size_t len, uint8_t out[MAX_BYTES], bool *whole)
{
    uint32_t bits = 0;
    unsigned have = 0;
    size_t bytes = 0;

    *whole = false;
    for (size_t i = 0; i < len; i++) {
        int value = digit(text[i]);

        if (value < 0 || i >= EW_MAP_CHARS)
            return bytes;
        bits = bits << 6 | (uint32_t)value;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[bytes++] = (uint8_t)(bits >> have);
        }
    }
    *whole = have < 6 && (bits & ((1U << have) - 1)) == 0;
    return bytes;
}

static bool
get_open(struct ew_offset_map *map, const uint8_t *data, size_t len, size_t *at, int64_t *last)
{
    uint64_t value;
    uint64_t gap;
    struct ew_open open = {.offset = 0};

    if (!get_varint(data, len, at, &value))
        return false;
    gap = value >> 1;
    /* The base is the first open offset, and no offset is listed twice. */
    if ((map->count == 0) != (gap == 0) || gap >= (uint64_t)(map->touched - *last))
        return false;
    open.offset = *last + (int64_t)gap;
    open.started = (value & 1) != 0;
    *last = open.offset;
    ew_offset_map_append(map, &open);
    return true;
}

/* data: all but the checksum. */
static bool
get_map(struct ew_offset_map *map, const uint8_t *data, size_t len, int64_t base)
{
    uint64_t frontier;
    uint64_t doubt;
    int64_t last = base;
    size_t at = HEADER;

    if (!get_varint(data, len, &at, &frontier) || !get_varint(data, len, &at, &doubt))
        return false;
    if (frontier > (uint64_t)(INT64_MAX - base) || doubt > (uint64_t)(INT64_MAX - base))
        return false;
    map->touched = base + (int64_t)frontier;
    map->doubt = base + (int64_t)doubt;
    while (at < len) {
        if (!get_open(map, data, len, &at, &last))
            return false;
    }
    /* A frontier above the base means that the base itself is open. The last
     * listed offset is below the frontier, so an untouched one cannot be the
     * frontier's own. */
    if ((frontier == 0) != (map->count == 0))
        return false;
    return map->count == 0 || last + 1 < map->touched || map->open[map->count - 1].started;
}

enum ew_map_kind
ew_offset_map_decode(int64_t base, const char *text, size_t len, struct ew_offset_map **out)
{
    uint8_t data[MAX_BYTES];
    bool whole;
    struct ew_offset_map *map;
    size_t size = text != NULL ? from_text(text, len, data, &whole) : 0;

    if (size < TAG_AT + TAG_LEN || memcmp(data + TAG_AT, TAG, TAG_LEN) != 0)
        return EW_MAP_FOREIGN;
    if (data[0] != FORMAT)
        return EW_MAP_NEWER;
    if (!whole || base < 0 || size < HEADER + CHECK)
        return EW_MAP_BROKEN;
    size -= CHECK;
    if (get_u32(data + size) != checksum(data, size, base))
        return EW_MAP_BROKEN;
    map = ew_offset_map_new(base);
    if (!get_map(map, data, size, base)) {
        ew_offset_map_free(map);
        return EW_MAP_BROKEN;
    }
    map->epoch = get_u32(data + EPOCH_AT);
    map->sequence = get_u32(data + SEQUENCE_AT);
    *out = map;
    return EW_MAP_OURS;
}
