/*
 * The offset map. First byte: hostile text as it is; hostile bytes behind a checksum that fits, so
 * that the fuzzer reaches what stands behind it; or operations against a plain reference.
 */
#include <string.h>

#include "fuzz.h"
#include "kafka/offset_map.h"

enum { HEADER = 12, BODY_MAX = 3056 };

/* --- text of bytes, independently of the codec --- */

static uint32_t
crc32_of(const uint8_t *data, size_t len)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < len; i++)
        for (int bit = 0; bit < 8; bit++) {
            bool odd = ((crc ^ (uint32_t)data[i] >> bit) & 1) != 0;

            crc = crc >> 1 ^ (odd ? 0xedb88320U : 0);
        }
    return crc ^ UINT32_MAX;
}

static size_t
base64url(const uint8_t *data, size_t len, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t chars = (len * 8 + 5) / 6;

    for (size_t i = 0; i < chars; i++) {
        size_t at = i * 6 / 8, shift = i * 6 % 8;
        unsigned pair = (unsigned)data[at] << 8 | (at + 1 < len ? data[at + 1] : 0U);

        out[i] = digits[pair >> (10 - shift) & 63];
    }
    return chars;
}

/* --- what holds of any map --- */

static void
check_map(const struct ew_offset_map *map)
{
    char text[EW_MAP_CHARS + 1], again[EW_MAP_CHARS + 1];
    int64_t base = ew_offset_map_base(map);
    struct ew_offset_map *read = NULL, *copy;

    if (ew_offset_map_open(map) > 0)
        MUST(ew_offset_map_mark(map, base) != EW_OFF_DONE);
    if (base > 0)
        MUST(ew_offset_map_mark(map, base - 1) == EW_OFF_DONE);
    if (ew_offset_map_encode(map, text) != EW_OK) {
        MUST(ew_offset_map_chars(map) > EW_MAP_CHARS);
        return;
    }
    MUST(strlen(text) == ew_offset_map_chars(map) && strlen(text) <= EW_MAP_CHARS);
    MUST(ew_offset_map_decode(base, text, strlen(text), &read) == EW_MAP_OURS);
    MUST(ew_offset_map_base(read) == base);
    MUST(ew_offset_map_epoch(read) == ew_offset_map_epoch(map));
    MUST(ew_offset_map_sequence(read) == ew_offset_map_sequence(map));
    MUST(ew_offset_map_encode(read, again) == EW_OK && strcmp(text, again) == 0);
    ew_offset_map_free(read);
    copy = ew_offset_map_copy(map);
    MUST(copy != NULL && ew_offset_map_encode(copy, again) == EW_OK && strcmp(text, again) == 0);
    ew_offset_map_free(copy);
}

/* The text lists open offsets only below one that was touched: after the last there is such a one.
 */
static void
check_frontier(const struct ew_offset_map *map)
{
    int64_t base = ew_offset_map_base(map), last = base;
    size_t open = 0;

    for (int64_t offset = base; offset < base + 64 && offset < INT64_MAX; offset++)
        if (ew_offset_map_mark(map, offset) == EW_OFF_STARTED ||
            (ew_offset_map_mark(map, offset) == EW_OFF_UNTOUCHED &&
             open < ew_offset_map_open(map))) {
            open++;
            last = offset;
        }
    if (open > 0 && open == ew_offset_map_open(map) && last < INT64_MAX - 1)
        MUST(ew_offset_map_mark(map, last) == EW_OFF_STARTED ||
             ew_offset_map_mark(map, last + 1) == EW_OFF_DONE);
}

/* What decoded must be the one text of that map, and must work as a map. */
static void
check_decoded(int64_t base, const char *text, size_t len)
{
    struct ew_offset_map *map = NULL;
    char again[EW_MAP_CHARS + 1];
    size_t open;

    if (ew_offset_map_decode(base, text, len, &map) != EW_MAP_OURS) {
        MUST(map == NULL);
        return;
    }
    MUST(ew_offset_map_base(map) == base && ew_offset_map_doubt(map) >= base);
    MUST(ew_offset_map_encode(map, again) == EW_OK);
    MUST(strlen(again) == len && memcmp(again, text, len) == 0);
    check_map(map);
    check_frontier(map);
    open = ew_offset_map_open(map);
    for (int64_t offset = base; open > 0 && offset < base + 64 && offset < INT64_MAX; offset++) {
        enum ew_offset_mark mark = ew_offset_map_mark(map, offset);
        enum ew_fault fault = ew_offset_map_receive(map, offset);

        MUST(mark != EW_OFF_DONE || fault == EW_BUG);
        if (fault == EW_OK)
            MUST(ew_offset_map_mark(map, offset) == mark);
    }
    check_map(map);
    ew_offset_map_free(map);
}

static void
hostile_text(struct fuzz_input *input)
{
    int64_t base = (int64_t)fuzz_number(input, 8);

    check_decoded(base, (const char *)input->at, input->left);
}

static void
hostile_bytes(struct fuzz_input *input)
{
    uint8_t bytes[HEADER + BODY_MAX + 8] = {1, 'e', 'p', 'k'};
    char text[(sizeof(bytes) * 8 + 5) / 6];
    uint64_t base = fuzz_number(input, 8) >> 1;
    size_t len = HEADER;
    uint32_t crc;

    while (input->left > 0 && len < HEADER + BODY_MAX)
        bytes[len++] = fuzz_byte(input);
    for (int i = 0; i < 8; i++)
        bytes[len + (size_t)i] = (uint8_t)(base >> (56 - 8 * i));
    crc = crc32_of(bytes, len + 8);
    for (int i = 0; i < 4; i++)
        bytes[len + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
    check_decoded((int64_t)base, text, base64url(bytes, len + 4, text));
}

/* --- operations against a reference: one byte per offset --- */

enum { OFFSETS = 512, STEPS = 128 };
enum ref { NEVER, UNTOUCHED, STARTED, DONE };

struct pair {
    struct ew_offset_map *map;
    uint8_t ref[OFFSETS];
    int64_t next; /* of the reference: lowest offset not yet received */
};

static int64_t
ref_base(const struct pair *pair)
{
    for (int64_t i = 0; i < pair->next; i++)
        if (pair->ref[i] == UNTOUCHED || pair->ref[i] == STARTED)
            return i;
    return pair->next;
}

static void
compare(const struct pair *pair)
{
    static const enum ew_offset_mark marks[] = {
        [UNTOUCHED] = EW_OFF_UNTOUCHED, [STARTED] = EW_OFF_STARTED, [DONE] = EW_OFF_DONE};
    size_t open = 0;

    MUST(ew_offset_map_base(pair->map) == ref_base(pair));
    for (int64_t i = 0; i < pair->next; i++) {
        open += pair->ref[i] == UNTOUCHED || pair->ref[i] == STARTED;
        if (pair->ref[i] != NEVER)
            MUST(ew_offset_map_mark(pair->map, i) == marks[pair->ref[i]]);
    }
    MUST(ew_offset_map_open(pair->map) == open);
    check_map(pair->map);
}

static void
receive(struct pair *pair, int64_t gap)
{
    int64_t offset = pair->next + gap;

    if (offset >= OFFSETS || ew_offset_map_open(pair->map) >= EW_MAP_OPEN)
        return;
    MUST(ew_offset_map_receive(pair->map, offset) == EW_OK);
    pair->ref[offset] = UNTOUCHED;
    pair->next = offset + 1;
}

static void
start_or_finish(struct pair *pair, int64_t offset, bool finish)
{
    uint8_t *ref = &pair->ref[offset];
    bool open = *ref == UNTOUCHED || *ref == STARTED;
    enum ew_fault fault =
        finish ? ew_offset_map_finish(pair->map, offset) : ew_offset_map_start(pair->map, offset);

    MUST(fault == (open ? EW_OK : EW_BUG));
    if (open)
        *ref = finish ? DONE : STARTED;
}

/* The partition goes to a new owner, which has the text only and reads on from its base. */
static void
adopt(struct pair *pair)
{
    char text[EW_MAP_CHARS + 1];
    int64_t base = ref_base(pair);
    struct ew_offset_map *read = NULL;

    if (ew_offset_map_encode(pair->map, text) != EW_OK)
        return;
    MUST(ew_offset_map_decode(base, text, strlen(text), &read) == EW_MAP_OURS);
    for (int64_t i = base; i < pair->next; i++) {
        if (pair->ref[i] == DONE)
            MUST(ew_offset_map_mark(read, i) == EW_OFF_DONE);
        else if (pair->ref[i] != NEVER)
            MUST(ew_offset_map_receive(read, i) == EW_OK);
    }
    ew_offset_map_at_end(read, pair->next);
    MUST(ew_offset_map_vanished(read) == 0);
    ew_offset_map_free(pair->map);
    pair->map = read;
}

static void
operations(struct fuzz_input *input)
{
    struct pair pair = {.map = ew_offset_map_new(0)};
    int steps = 0;

    MUST(pair.map != NULL);
    while (input->left > 0 && steps++ < STEPS) {
        uint8_t what = fuzz_byte(input);
        int64_t where = (int64_t)fuzz_number(input, 2) % OFFSETS;

        if (what < 96)
            for (int i = 0; i <= what; i++)
                receive(&pair, where % 8 == 0 ? where / 8 % 4 : 0);
        else if (what < 224)
            start_or_finish(&pair, where, what >= 160);
        else if (what < 240)
            adopt(&pair);
        else
            ew_offset_map_set_sequence(pair.map, ew_offset_map_sequence(pair.map) + 1);
        if (steps % 32 == 0)
            compare(&pair);
    }
    ew_offset_map_at_end(pair.map, pair.next);
    compare(&pair);
    ew_offset_map_free(pair.map);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    uint8_t mode = fuzz_byte(&input);

    if (mode % 3 == 0)
        hostile_text(&input);
    else if (mode % 3 == 1)
        hostile_bytes(&input);
    else
        operations(&input);
    return 0;
}
