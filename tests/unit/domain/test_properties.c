/*
 * Proof of which of librdkafka's properties are the operator's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "domain/properties.h"

static void
test_the_workers_own(void **state)
{
    static const char *const own[] = {"isolation.level",    "ISOLATION.level",   "acks",
                                      "transactional.id",   "linger.ms",         "group.id",
                                      "enable.auto.commit", "session.timeout.ms"};
    /* Other names of the same. */
    static const char *const aliases[] = {"request.required.acks", "queue.buffering.max.ms",
                                          "metadata.broker.list"};

    (void)state;
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        assert_true(ew_property_fixed(own[i]));
    for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++)
        assert_true(ew_property_fixed(aliases[i]));
}

static void
test_the_operators(void **state)
{
    static const char *const theirs[] = {
        "security.protocol", "sasl.mechanisms", "client.rack", "acks.of.another", "ack", ""};

    (void)state;
    for (size_t i = 0; i < sizeof(theirs) / sizeof(theirs[0]); i++)
        assert_false(ew_property_fixed(theirs[i]));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_workers_own),
        cmocka_unit_test(test_the_operators),
    };

    return cmocka_run_group_tests_name("domain: properties", tests, NULL, NULL);
}
