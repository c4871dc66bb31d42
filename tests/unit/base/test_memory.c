/*
 * Proof of memory that is wiped: the whole of each piece, before it is given back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"

static const void *wiped; /* last */
static size_t wiped_len;
static int wipes;

/* In place of the C library's. */
void
explicit_bzero(void *memory, size_t len)
{
    wiped = memory;
    wiped_len = len;
    wipes++;
    for (volatile uint8_t *at = memory; len > 0; len--)
        *at++ = 0;
}

static int
begin(void **state)
{
    (void)state;
    wipes = 0;
    return 0;
}

static void
test_giving_back(void **state)
{
    char *secret = ew_malloc(100);

    (void)state;
    ew_wipe_free(NULL);
    assert_int_equal(wipes, 0);
    memset(secret, 's', 100);
    ew_wipe_free(secret);
    assert_int_equal(wipes, 1);
    assert_ptr_equal(wiped, secret);
    assert_true(wiped_len >= 100);
}

static void
test_growing(void **state)
{
    char *secret = ew_wipe_realloc(NULL, 100), *larger;

    (void)state;
    memset(secret, 's', 100);
    larger = ew_wipe_realloc(secret, 100000);
    assert_ptr_not_equal(larger, secret);
    assert_int_equal(wipes, 1);
    assert_ptr_equal(wiped, secret);
    assert_true(wiped_len >= 100);
    for (int i = 0; i < 100; i++)
        assert_int_equal(larger[i], 's');
    ew_wipe_free(larger);
}

static void
test_shrinking(void **state)
{
    char *secret = ew_wipe_realloc(NULL, 100000), *smaller;

    (void)state;
    memset(secret, 's', 100000);
    assert_ptr_equal(ew_wipe_realloc(secret, 90000), secret); /* it fits */
    assert_int_equal(wipes, 0);
    smaller = ew_wipe_realloc(secret, 100);
    assert_ptr_equal(wiped, secret);
    assert_true(wiped_len >= 100000);
    for (int i = 0; i < 100; i++)
        assert_int_equal(smaller[i], 's');
    ew_wipe_free(smaller);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_giving_back, begin),
        cmocka_unit_test_setup(test_growing, begin),
        cmocka_unit_test_setup(test_shrinking, begin),
    };

    return cmocka_run_group_tests_name("base: memory", tests, NULL, NULL);
}
