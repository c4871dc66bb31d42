/*
 * The hash table against a plain array, through thousands of random steps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/table.h"

enum { KEYS = 1000, STEPS = 50000 };

static uint32_t
chance(uint32_t below)
{
    static uint64_t seed = 7;

    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(seed >> 33) % below;
}

static void
key_of(uint32_t number, char out[32])
{
    (void)snprintf(out, 32, "request-%u", number);
}

static void
see(void *ctx, const char *key, void *value)
{
    int *seen = ctx;
    unsigned number;

    assert_int_equal(sscanf(key, "request-%u", &number), 1);
    assert_true(number < KEYS);
    assert_non_null(value);
    seen[number]++;
}

static void
test_against_an_array(void **state)
{
    static int values[STEPS];
    void *reference[KEYS] = {NULL};
    int seen[KEYS] = {0};
    struct ew_table *table = ew_table_new();
    size_t count = 0;
    char key[32];

    (void)state;
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t number = chance(KEYS);

        key_of(number, key);
        if (chance(3) < 2) {
            count += reference[number] == NULL;
            reference[number] = &values[step];
            ew_table_put(table, key, &values[step]);
        } else {
            count -= reference[number] != NULL;
            assert_ptr_equal(ew_table_remove(table, key), reference[number]);
            reference[number] = NULL;
        }
        assert_ptr_equal(ew_table_get(table, key), reference[number]);
        assert_int_equal(ew_table_count(table), count);
    }
    ew_table_each(table, see, seen);
    for (uint32_t i = 0; i < KEYS; i++) {
        key_of(i, key);
        assert_ptr_equal(ew_table_get(table, key), reference[i]);
        assert_int_equal(seen[i], reference[i] != NULL);
    }
    ew_table_free(table);
}

static void
test_the_table_owns_its_keys(void **state)
{
    struct ew_table *table = ew_table_new();
    char key[] = "here";
    int value;

    (void)state;
    ew_table_put(table, key, &value);
    ew_table_put(table, "", &value);
    key[0] = 't';
    assert_null(ew_table_get(table, key));
    assert_ptr_equal(ew_table_get(table, "here"), &value);
    assert_ptr_equal(ew_table_get(table, ""), &value);
    assert_null(ew_table_remove(table, "nowhere"));
    ew_table_free(table);
    ew_table_free(NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_an_array),
        cmocka_unit_test(test_the_table_owns_its_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
