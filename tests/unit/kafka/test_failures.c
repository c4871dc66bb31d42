/*
 * Without memory an offset map is not taken for a broken one (whose partition nobody adopts any
 * more), and none loses an offset.
 */
#include "failing.h"

#include "kafka/offset_map.h"

enum { BASE = 1000, RECEIVED = 100 };

static void
must(enum ew_fault fault)
{
    assert_int_equal(fault, EW_OK);
}

/* Every third is done, every fifth of the others started. */
static enum ew_offset_mark
wanted(int64_t i)
{
    return i % 3 == 0 ? EW_OFF_DONE : i % 5 == 0 ? EW_OFF_STARTED : EW_OFF_UNTOUCHED;
}

static void
must_be_as_wanted(const struct ew_offset_map *map)
{
    for (int64_t i = 1; i < RECEIVED; i++)
        assert_int_equal(ew_offset_map_mark(map, BASE + i), wanted(i));
    assert_int_equal(ew_offset_map_base(map), BASE + 1);
}

static struct ew_offset_map *
filled(void)
{
    struct ew_offset_map *map = ew_offset_map_new(BASE);

    for (int64_t i = 0; i < RECEIVED; i++)
        must(ew_offset_map_receive(map, BASE + i));
    for (int64_t i = 0; i < RECEIVED; i++) {
        if (wanted(i) == EW_OFF_DONE)
            must(ew_offset_map_finish(map, BASE + i));
        else if (wanted(i) == EW_OFF_STARTED)
            must(ew_offset_map_start(map, BASE + i));
    }
    return map;
}

static void
test_a_map_is_whole(void **state)
{
    struct ew_offset_map *map = filled(), *copy = ew_offset_map_copy(map), *read = NULL;
    char text[EW_MAP_CHARS + 1];

    (void)state;
    must_be_as_wanted(map);
    must_be_as_wanted(copy);
    must(ew_offset_map_encode(copy, text));
    assert_int_equal(ew_offset_map_decode(BASE + 1, text, strlen(text), &read), EW_MAP_OURS);
    must_be_as_wanted(read);
    for (int64_t i = 1; i < RECEIVED; i++)
        if (wanted(i) != EW_OFF_DONE)
            must(ew_offset_map_receive(read, BASE + i));
    must(ew_offset_map_receive(read, BASE + RECEIVED));
    must_be_as_wanted(read);
    ew_offset_map_free(map);
    ew_offset_map_free(copy);
    ew_offset_map_free(read);
}

int
main(int argc, char **argv)
{
    static const struct story stories[] = {{.name = "map", .tell = test_a_map_is_whole}};

    return failing_main(argc, argv, stories, sizeof(stories) / sizeof(stories[0]));
}
