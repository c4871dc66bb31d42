/*
 * Memory that there is not ends the process; a limit that is reached does not.
 */
#include "failing.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/memory.h"

static void
test_what_is_given_is_there(void **state)
{
    char *bytes = ew_malloc(8), *zeroed = ew_calloc(2, 4), *nothing = ew_malloc(0);
    char *text = ew_strdup("text"), *cut = ew_strndup("text", 2);

    (void)state;
    memset(bytes, 'a', 8);
    bytes = ew_realloc(bytes, 4096);
    assert_memory_equal(bytes, "aaaaaaaa", 8);
    assert_memory_equal(zeroed, "\0\0\0\0\0\0\0", 8);
    assert_non_null(nothing);
    assert_string_equal(text, "text");
    assert_string_equal(cut, "te");
    free(bytes), free(zeroed), free(nothing), free(text), free(cut);
}

static void
test_an_arena_says_no_beyond_its_limit_alone(void **state)
{
    struct ew_arena *arena = ew_arena_new(20000);

    (void)state;
    for (int i = 0; i < 10; i++)
        assert_string_equal(ew_arena_strdup(arena, "a text that is kept"), "a text that is kept");
    assert_non_null(ew_arena_alloc(arena, 10000));
    assert_null(ew_arena_alloc(arena, 10000));
    assert_non_null(ew_arena_alloc(arena, 9000));
    ew_arena_free(arena);
}

static void
test_a_buffer_overflows_beyond_its_limit_alone(void **state)
{
    struct ew_buf buf, secret;
    uint8_t *taken;
    size_t len;

    (void)state;
    ew_buf_init(&buf, 1000);
    ew_buf_init_secret(&secret, 1000);
    for (int i = 0; i < 100; i++) {
        ew_buf_puts(&buf, "0123456789");
        ew_buf_printf(&secret, "%010d", i);
    }
    assert_false(buf.overflowed);
    assert_false(secret.overflowed);
    assert_int_equal(secret.len, 1000);
    ew_buf_putc(&buf, 'x');
    assert_true(buf.overflowed);
    taken = ew_buf_take(&secret, &len);
    assert_int_equal(len, 1000);
    free(taken);
    ew_buf_deinit(&buf);
}

int
main(int argc, char **argv)
{
    static const struct story stories[] = {
        {.name = "memory", .tell = test_what_is_given_is_there},
        {.name = "arena", .tell = test_an_arena_says_no_beyond_its_limit_alone},
        {.name = "buffer", .tell = test_a_buffer_overflows_beyond_its_limit_alone},
    };

    return failing_main(argc, argv, stories, sizeof(stories) / sizeof(stories[0]));
}
