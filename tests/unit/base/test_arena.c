/*
 * The arena: its limit, alignment, zeroes, copies.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdalign.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"

static void
test_memory_is_zeroed_aligned_and_apart(void **state)
{
    enum { PIECES = 2000 };
    struct ew_arena *arena = ew_arena_new(1024 * 1024);
    uint8_t *pieces[PIECES];

    (void)state;
    for (size_t i = 0; i < PIECES; i++) {
        size_t size = 1 + i % 97;

        pieces[i] = ew_arena_alloc(arena, size);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % alignof(max_align_t), 0);
        for (size_t j = 0; j < size; j++)
            assert_int_equal(pieces[i][j], 0);
        memset(pieces[i], (int)(i % 251) + 1, size);
    }
    for (size_t i = 0; i < PIECES; i++)
        for (size_t j = 0; j < 1 + i % 97; j++)
            assert_int_equal(pieces[i][j], i % 251 + 1);
    ew_arena_free(arena);
}

static void
test_limit_is_exact_and_a_refusal_costs_nothing(void **state)
{
    struct ew_arena *arena = ew_arena_new(100);

    (void)state;
    assert_non_null(ew_arena_alloc(arena, 60));
    assert_null(ew_arena_alloc(arena, 41));
    assert_int_equal(ew_arena_used(arena), 60);
    assert_non_null(ew_arena_alloc(arena, 40));
    assert_int_equal(ew_arena_used(arena), 100);
    assert_null(ew_arena_alloc(arena, 1));
    assert_non_null(ew_arena_alloc(arena, 0));
    ew_arena_free(arena);
}

static void
test_a_piece_larger_than_a_block(void **state)
{
    struct ew_arena *arena = ew_arena_new(1024 * 1024);
    uint8_t *small = ew_arena_alloc(arena, 10), *large = ew_arena_alloc(arena, 300000);

    (void)state;
    assert_non_null(small);
    assert_non_null(large);
    memset(large, 0xaa, 300000);
    assert_int_equal(small[9], 0);
    assert_non_null(ew_arena_alloc(arena, 10));
    ew_arena_free(arena);
}

static void
test_sizes_near_the_end_of_arithmetic(void **state)
{
    struct ew_arena *arena = ew_arena_new(SIZE_MAX);

    (void)state;
    assert_null(ew_arena_alloc(arena, SIZE_MAX));
    assert_null(ew_arena_alloc(arena, SIZE_MAX - alignof(max_align_t)));
    assert_null(ew_arena_alloc(arena, SIZE_MAX / 2 + 1));
    assert_null(ew_arena_strndup(arena, "", SIZE_MAX));
    assert_int_equal(ew_arena_used(arena), 0);
    ew_arena_free(arena);
}

static void
test_copies(void **state)
{
    struct ew_arena *arena = ew_arena_new(64);
    char text[] = "settings";
    char *whole = ew_arena_strdup(arena, text), *part = ew_arena_strndup(arena, text, 3);
    uint8_t *bytes = ew_arena_memdup(arena, "a\0b", 3);

    (void)state;
    text[0] = 'X';
    assert_string_equal(whole, "settings");
    assert_string_equal(part, "set");
    assert_memory_equal(bytes, "a\0b", 3);
    assert_string_equal(ew_arena_strndup(arena, NULL, 0), "");
    assert_null(ew_arena_strndup(arena, text, 63)); /* its NUL counts */
    ew_arena_free(arena);
    ew_arena_free(NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_is_zeroed_aligned_and_apart),
        cmocka_unit_test(test_limit_is_exact_and_a_refusal_costs_nothing),
        cmocka_unit_test(test_a_piece_larger_than_a_block),
        cmocka_unit_test(test_sizes_near_the_end_of_arithmetic),
        cmocka_unit_test(test_copies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
