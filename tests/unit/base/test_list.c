/*
 * The intrusive list: order, removal anywhere, a link's own knowledge of being in one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"

struct item {
    int number;
    struct ew_link link;
};

static void
expect(const struct ew_list *list, const int *numbers, size_t count)
{
    struct ew_link *link = ew_list_first(list);

    for (size_t i = 0; i < count; i++) {
        assert_non_null(link);
        assert_int_equal(EW_CONTAINER(link, struct item, link)->number, numbers[i]);
        link = ew_list_next(list, link);
    }
    assert_null(link);
    assert_int_equal(ew_list_empty(list), count == 0);
}

static void
test_order_and_removal(void **state)
{
    struct item items[4] = {{.number = 0}, {.number = 1}, {.number = 2}, {.number = 3}};
    struct ew_list list;

    (void)state;
    ew_list_init(&list);
    expect(&list, NULL, 0);
    ew_link_remove(&items[0].link); /* in no list: harmless */
    for (size_t i = 0; i < 4; i++) {
        assert_false(ew_link_linked(&items[i].link));
        ew_list_append(&list, &items[i].link);
        assert_true(ew_link_linked(&items[i].link));
    }
    expect(&list, (const int[]){0, 1, 2, 3}, 4);
    ew_link_remove(&items[1].link);
    expect(&list, (const int[]){0, 2, 3}, 3);
    ew_link_remove(&items[1].link);
    ew_link_remove(&items[0].link);
    ew_link_remove(&items[3].link);
    expect(&list, (const int[]){2}, 1);
    ew_list_append(&list, &items[0].link);
    expect(&list, (const int[]){2, 0}, 2);
    ew_link_remove(&items[2].link);
    ew_link_remove(&items[0].link);
    expect(&list, NULL, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order_and_removal)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
