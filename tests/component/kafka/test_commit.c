/*
 * Consuming and committing on a real broker (KAFKA_BOOTSTRAP): the plain way, budgets, and what
 * becomes of items that cannot be committed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness.h"

static void
test_answers_once(void **state)
{
    struct site site;
    struct member *member;
    struct seen seen;
    int counts[600];

    (void)state;
    site_init(&site, "once", 3);
    site_bootstrap(&site);
    send_numbers(site.in[EW_LANE_ENROLLMENT], -1, 3, 0, 600);
    member = member_start(&site, ANSWER, 1);
    member_wait(member, &member->adopted, 9, 20000); /* 3 + 3 resume + 3 other lanes */
    member_wait(member, &member->committed, 600, 20000);
    assert_int_equal(count_numbers(site.out[EW_TOPIC_EVENTS], counts, 600), 600);
    for (int i = 0; i < 600; i++)
        assert_int_equal(counts[i], 1);
    member_stop(member);
    for (int i = 0; i < 3; i++) {
        see_commit(&site, EW_LANE_ENROLLMENT, i, &seen);
        assert_int_equal(seen.kind, EW_MAP_OURS);
        assert_int_equal(seen.base, 200);
        assert_int_equal(ew_offset_map_open(seen.map), 0);
        ew_offset_map_free(seen.map);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_once),
    };

    if (getenv("KAFKA_BOOTSTRAP") == NULL) {
        fprintf(stderr, "KAFKA_BOOTSTRAP is not set\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
