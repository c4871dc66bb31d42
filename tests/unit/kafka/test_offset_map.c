/*
 * The offset map against a plain reference set, its text against golden values,
 * its limits and hostile bytes. No Kafka here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kafka/offset_map.h"

static uint64_t seed_state = 42;

static uint32_t
chance(uint32_t below)
{
    seed_state = seed_state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(seed_state >> 33) % below;
}

static void
must(enum ew_fault fault)
{
    assert_int_equal(fault, EW_OK);
}

/* --- a reference: one byte per offset --- */

enum { REF_SIZE = 400000 };
enum ref_state { NEVER = 0, OPEN, STARTED, DONE };

struct ref {
    uint8_t state[REF_SIZE];
    int64_t next;
    int64_t frontier;
};

static int64_t
ref_base(const struct ref *ref)
{
    for (int64_t i = 0; i < ref->next; i++) {
        if (ref->state[i] == OPEN || ref->state[i] == STARTED)
            return i;
    }
    return ref->next;
}

static int64_t
ref_pick(const struct ref *ref, int64_t base)
{
    int64_t at = base + (int64_t)chance((uint32_t)(ref->next - base) + 1);

    for (int64_t i = at; i < ref->next; i++) {
        if (ref->state[i] == OPEN || ref->state[i] == STARTED)
            return i;
    }
    return -1;
}

static void
compare(const struct ref *ref, const struct ew_offset_map *map, int64_t base)
{
    size_t open = 0;

    assert_int_equal(ew_offset_map_base(map), base);
    for (int64_t i = base; i < ref->next; i++) {
        enum ew_offset_mark mark = ew_offset_map_mark(map, i);

        open += ref->state[i] == OPEN || ref->state[i] == STARTED;
        if (ref->state[i] == OPEN)
            assert_int_equal(mark, EW_OFF_UNTOUCHED);
        if (ref->state[i] == STARTED)
            assert_int_equal(mark, EW_OFF_STARTED);
        if (ref->state[i] == DONE)
            assert_int_equal(mark, EW_OFF_DONE);
    }
    assert_int_equal(ew_offset_map_open(map), open);
}

/* What another owner would see: a decoded map says the same of every offset
 * that was touched, and calls done only what was done or never existed. */
static struct ew_offset_map *
through_text(const struct ref *ref, const struct ew_offset_map *map, int64_t base)
{
    char text[EW_MAP_CHARS + 1];
    char again[EW_MAP_CHARS + 1];
    struct ew_offset_map *read = NULL;

    must(ew_offset_map_encode(map, text));
    assert_int_equal(strlen(text), ew_offset_map_chars(map));
    assert_int_equal(ew_offset_map_decode(base, text, strlen(text), &read), EW_MAP_OURS);
    must(ew_offset_map_encode(read, again));
    assert_string_equal(text, again);
    for (int64_t i = base; i < ref->next; i++) {
        enum ew_offset_mark mark = ew_offset_map_mark(read, i);

        if (ref->state[i] == OPEN)
            assert_int_equal(mark, EW_OFF_UNTOUCHED);
        if (ref->state[i] == STARTED)
            assert_int_equal(mark, EW_OFF_STARTED);
        if (ref->state[i] == DONE)
            assert_int_equal(mark, EW_OFF_DONE);
    }
    return read;
}

/* A new owner reads on from the base: done offsets are skipped, the others
 * received again. */
static struct ew_offset_map *
adopt(struct ref *ref, struct ew_offset_map *map, int64_t base)
{
    struct ew_offset_map *read = through_text(ref, map, base);
    int64_t end = base + (int64_t)chance((uint32_t)(ref->next - base) + 1);

    ew_offset_map_free(map);
    for (int64_t i = base; i < ref->next; i++) {
        if (ref->state[i] == NEVER || ref->state[i] == DONE)
            continue;
        if (i >= end && i >= ref->frontier) {
            /* Not fetched again: forgotten by both, to be received as new. */
            ref->state[i] = NEVER;
            continue;
        }
        must(ew_offset_map_receive(read, i));
    }
    while (ref->next > base && ref->next > ref->frontier && ref->state[ref->next - 1] == NEVER)
        ref->next--;
    return read;
}

static void
step(struct ref *ref, struct ew_offset_map *map, uint32_t receive_odds)
{
    uint32_t dice = chance(100);
    int64_t base = ref_base(ref);
    int64_t at;

    if (dice < receive_odds) {
        int64_t offset = ref->next + (chance(10) == 0 ? chance(40) : 0);
        enum ew_fault fault = ew_offset_map_receive(map, offset);

        if (ew_offset_map_open(map) < EW_MAP_OPEN)
            must(fault);
        if (fault != EW_OK)
            return;
        ref->state[offset] = OPEN;
        ref->next = offset + 1;
        return;
    }
    at = ref_pick(ref, base);
    if (at < 0)
        return;
    if (dice % 2 == 0) {
        must(ew_offset_map_start(map, at));
        ref->state[at] = STARTED;
    } else {
        must(ew_offset_map_finish(map, at));
        ref->state[at] = DONE;
        assert_int_equal(ew_offset_map_finish(map, at), EW_BUG);
    }
    if (at + 1 > ref->frontier)
        ref->frontier = at + 1;
}

static void
test_random_orders(void **state)
{
    struct ref *ref = calloc(1, sizeof(*ref));
    struct ew_offset_map *map = ew_offset_map_new(0);

    (void)state;
    assert_non_null(ref);
    for (int i = 0; i < 100000; i++) {
        step(ref, map, i / 10000 % 2 == 0 ? 60 : 30);
        if (i % 101 == 0) {
            int64_t base = ref_base(ref);

            compare(ref, map, base);
            ew_offset_map_free(through_text(ref, map, base));
        }
        if (i % 997 == 0)
            map = adopt(ref, map, ref_base(ref));
    }
    assert_int_equal(ew_offset_map_vanished(map), 0);
    ew_offset_map_free(map);
    free(ref);
}

/* --- golden --- */

struct golden {
    int64_t base;
    uint32_t epoch, sequence;
    int receive; /* offsets base .. base + receive - 1 */
    int started, done, doubt;
    const char *text;
};

/* Made by another program (Python, zlib.crc32), not by the code under test. */
static const struct golden GOLDEN[] = {
    {0, 0u, 0, 0, -1, -1, 0, "AWVwawAAAAAAAAAAAABfsmAE"},
    {1000, 7u, 258, 0, -1, -1, 0, "AWVwawAAAAcAAAECAACChqM5"},
    {5, 1u, 2, 3, 0, -1, 0, "AWVwawAAAAEAAAACAQABMfyp9g"},
    {5, 1u, 3, 4, 1, 3, 0, "AWVwawAAAAEAAAADBAAAAwJe-1Yw"},
    {1099511627776, 4294967295u, 9, 20, 15, 19, 300,
     "AWVwa_____8AAAAJFKwCAAICAgICAgICAgICAgICAwICAlSvni4"},
};

static void
test_golden(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(GOLDEN) / sizeof(GOLDEN[0]); i++) {
        const struct golden *golden = &GOLDEN[i];
        struct ew_offset_map *map = ew_offset_map_new(golden->base);
        struct ew_offset_map *read = NULL;
        char text[EW_MAP_CHARS + 1];

        ew_offset_map_set_epoch(map, golden->epoch);
        ew_offset_map_set_sequence(map, golden->sequence);
        for (int n = 0; n < golden->receive; n++)
            must(ew_offset_map_receive(map, golden->base + n));
        if (golden->started >= 0)
            must(ew_offset_map_start(map, golden->base + golden->started));
        if (golden->done >= 0)
            must(ew_offset_map_finish(map, golden->base + golden->done));
        if (golden->doubt > 0)
            ew_offset_map_set_doubt(map, golden->base + golden->doubt);
        must(ew_offset_map_encode(map, text));
        assert_string_equal(text, golden->text);
        assert_int_equal(ew_offset_map_decode(golden->base, text, strlen(text), &read),
                         EW_MAP_OURS);
        assert_int_equal(ew_offset_map_epoch(read), golden->epoch);
        assert_int_equal(ew_offset_map_sequence(read), golden->sequence);
        assert_int_equal(ew_offset_map_doubt(read), golden->base + golden->doubt);
        ew_offset_map_free(read);
        ew_offset_map_free(map);
    }
}

/* --- meaning --- */

static void
test_markers_and_end(void **state)
{
    struct ew_offset_map *map = ew_offset_map_new(10);

    (void)state;
    must(ew_offset_map_receive(map, 10));
    must(ew_offset_map_receive(map, 12)); /* 11 is a transaction marker */
    must(ew_offset_map_finish(map, 12));
    assert_int_equal(ew_offset_map_base(map), 10);
    must(ew_offset_map_finish(map, 10));
    assert_int_equal(ew_offset_map_base(map), 13);
    ew_offset_map_at_end(map, 16);
    assert_int_equal(ew_offset_map_base(map), 16);
    ew_offset_map_at_end(map, 14);
    assert_int_equal(ew_offset_map_base(map), 16);
    assert_int_equal(ew_offset_map_receive(map, 15), EW_BUG);
    assert_int_equal(ew_offset_map_start(map, 15), EW_BUG);
    must(ew_offset_map_receive(map, 16));
    must(ew_offset_map_start(map, 16));
    must(ew_offset_map_start(map, 16));
    assert_int_equal(ew_offset_map_mark(map, 16), EW_OFF_STARTED);
    assert_int_equal(ew_offset_map_mark(map, 15), EW_OFF_DONE);
    assert_int_equal(ew_offset_map_mark(map, 17), EW_OFF_UNTOUCHED);
    ew_offset_map_free(map);
}

static void
test_vanished(void **state)
{
    struct ew_offset_map *map = ew_offset_map_new(0);
    struct ew_offset_map *read = NULL;
    char text[EW_MAP_CHARS + 1];

    (void)state;
    for (int i = 0; i < 5; i++)
        must(ew_offset_map_receive(map, i));
    must(ew_offset_map_finish(map, 4));
    must(ew_offset_map_finish(map, 2));
    must(ew_offset_map_encode(map, text));
    assert_int_equal(ew_offset_map_decode(0, text, strlen(text), &read), EW_MAP_OURS);
    must(ew_offset_map_receive(read, 1)); /* 0 is gone from the log */
    assert_int_equal(ew_offset_map_vanished(read), 1);
    assert_int_equal(ew_offset_map_receive(read, 2), EW_BUG); /* done: not received again */
    ew_offset_map_at_end(read, 5);
    assert_int_equal(ew_offset_map_vanished(read), 2);
    assert_int_equal(ew_offset_map_base(read), 1);
    must(ew_offset_map_finish(read, 1));
    assert_int_equal(ew_offset_map_base(read), 5);
    ew_offset_map_free(read);
    ew_offset_map_free(map);
}

/* The limits hold the text below the broker's limit whatever is finished, so
 * DONE always fits. */
static void
test_worst_case_fits(void **state)
{
    struct ew_offset_map *map = ew_offset_map_new(0);
    char text[EW_MAP_CHARS + 1];
    int64_t offset = 0;

    (void)state;
    for (int i = 0; i < EW_MAP_OPEN; i++) {
        must(ew_offset_map_receive(map, offset));
        offset += i < 12 ? 8192 : 64; /* as many long gaps as the window takes */
    }
    assert_int_equal(ew_offset_map_receive(map, offset), EW_RETRY);
    assert_true(offset < EW_MAP_WINDOW);
    ew_offset_map_set_doubt(map, INT64_MAX / 2);
    must(ew_offset_map_finish(map, offset - 64));
    assert_true(ew_offset_map_chars(map) > EW_MAP_BUDGET);
    assert_true(ew_offset_map_chars(map) <= EW_MAP_CHARS);
    must(ew_offset_map_encode(map, text));
    ew_offset_map_free(map);
}

static void
test_window(void **state)
{
    struct ew_offset_map *map = ew_offset_map_new(7);

    (void)state;
    must(ew_offset_map_receive(map, 7000000)); /* nothing open: the base goes along */
    assert_int_equal(ew_offset_map_base(map), 7000000);
    assert_int_equal(ew_offset_map_receive(map, 7000000 + EW_MAP_WINDOW), EW_RETRY);
    must(ew_offset_map_receive(map, 7000000 + EW_MAP_WINDOW - 1));
    must(ew_offset_map_finish(map, 7000000));
    must(ew_offset_map_receive(map, 7000000 + EW_MAP_WINDOW));
    ew_offset_map_free(map);
}

/* --- hostile --- */

static void
test_kinds(void **state)
{
    struct ew_offset_map *map = NULL;

    (void)state;
    assert_int_equal(ew_offset_map_decode(3, NULL, 0, &map), EW_MAP_FOREIGN);
    assert_int_equal(ew_offset_map_decode(3, "", 0, &map), EW_MAP_FOREIGN);
    assert_int_equal(ew_offset_map_decode(3, "hello there", 11, &map), EW_MAP_FOREIGN);
    assert_int_equal(ew_offset_map_decode(3, "AWVw", 4, &map), EW_MAP_FOREIGN);
    /* format 2 of ours, of which nothing else is known */
    assert_int_equal(ew_offset_map_decode(3, "AmVwazzzz!", 10, &map), EW_MAP_NEWER);
    assert_int_equal(ew_offset_map_decode(3, "AWVwawAAAAAA", 12, &map), EW_MAP_BROKEN);
    /* right text, other base: an operator moved the offset and kept the metadata
     */
    assert_int_equal(ew_offset_map_decode(1, "AWVwawAAAAAAAAAAAABfsmAE", 24, &map), EW_MAP_BROKEN);
    assert_null(map);
}

/* Neither a cut nor a flipped character may decode: a lost tail would read as
 * "done". */
static void
test_damage_is_seen(void **state)
{
    struct ew_offset_map *map = ew_offset_map_new(100);
    struct ew_offset_map *read = NULL;
    char text[EW_MAP_CHARS + 1];
    size_t len;

    (void)state;
    for (int i = 0; i < 60; i++)
        must(ew_offset_map_receive(map, 100 + i * 3));
    must(ew_offset_map_start(map, 100 + 30 * 3));
    must(ew_offset_map_finish(map, 100 + 59 * 3));
    must(ew_offset_map_encode(map, text));
    len = strlen(text);
    for (size_t cut = 0; cut < len; cut++)
        assert_int_not_equal(ew_offset_map_decode(100, text, cut, &read), EW_MAP_OURS);
    for (size_t at = 0; at < len; at++) {
        char kept = text[at];

        for (int c = 1; c < 256; c++) {
            if ((char)c == kept)
                continue;
            text[at] = (char)c;
            assert_int_not_equal(ew_offset_map_decode(100, text, len, &read), EW_MAP_OURS);
        }
        text[at] = kept;
    }
    ew_offset_map_free(map);
}

static void
test_noise(void **state)
{
    char text[EW_MAP_CHARS * 2];

    (void)state;
    for (int i = 0; i < 20000; i++) {
        size_t len = chance(sizeof(text));
        struct ew_offset_map *map = NULL;

        if (i > 100)
            len %= 80;
        for (size_t n = 0; n < len; n++)
            text[n] = (char)chance(256);
        if (i % 2 == 0 && len > 6)
            memcpy(text, "AWVwaw", 6);
        assert_int_not_equal(ew_offset_map_decode(chance(1000), text, len, &map), EW_MAP_OURS);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_orders),   cmocka_unit_test(test_golden),
        cmocka_unit_test(test_markers_and_end), cmocka_unit_test(test_vanished),
        cmocka_unit_test(test_worst_case_fits), cmocka_unit_test(test_window),
        cmocka_unit_test(test_kinds),           cmocka_unit_test(test_damage_is_seen),
        cmocka_unit_test(test_noise),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
