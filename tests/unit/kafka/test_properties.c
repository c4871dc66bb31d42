/*
 * Proof of the file with secret properties: what its lines say reaches librdkafka, what is wrong
 * with it is said by line, and nothing of what it holds is repeated. And what is set beside it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf_private.h"
#include "kafka/check.h"
#include "properties_private.h"

#define SECRET "hunter2"

static char path[] = "/tmp/epki-properties-XXXXXX";
static const struct ew_pair usual[] = {{"security.protocol", "plaintext"}};
static struct ew_kafka_options options = {.bootstrap = "127.0.0.1:1",
                                          .group = "g",
                                          .properties = usual,
                                          .property_count = 1,
                                          .properties_file = path};

static int
make_file(void **state)
{
    int fd = mkstemp(path);

    (void)state;
    return fd < 0 ? -1 : close(fd);
}

static int
remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void
write_file(const char *text, size_t len)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

struct found {
    int count;
    char all[1024];
};

static void
on_problem(void *arg, const struct ew_err *err)
{
    struct found *found = arg;
    size_t len = strlen(found->all);

    found->count++;
    assert_int_equal(err->fault, EW_HALT);
    assert_non_null(err->advice);
    (void)snprintf(found->all + len, sizeof(found->all) - len, "%s: %s\n", err->field, err->detail);
}

static struct found
check(const char *text, size_t len)
{
    struct found found = {.count = 0};
    int count;

    write_file(text, len);
    count = ew_kafka_check_file(&options, on_problem, &found);
    assert_int_equal(count, found.count);
    assert_null(strstr(found.all, SECRET));
    return found;
}

static void
has(const rd_kafka_t *rk, const char *name, const char *expected)
{
    char value[128] = "";
    size_t size = sizeof(value);

    assert_int_equal(
        rd_kafka_conf_get(rd_kafka_conf((rd_kafka_t *)(uintptr_t)rk), name, value, &size),
        RD_KAFKA_CONF_OK);
    assert_string_equal(value, expected);
}

static void
test_what_is_written_is_set(void **state)
{
    static const char text[] = "# of this deployment\r\n"
                               "\n"
                               "  sasl.username = worker\r\n"
                               "sasl.password=" SECRET "= #x \n"
                               "\t# more\n"
                               "client.rack=";
    const struct ew_handle_options handle = {.handle = EW_HANDLE_PROBE};
    struct ew_err err;
    rd_kafka_t *rk;

    (void)state;
    assert_int_equal(check(text, sizeof(text) - 1).count, 0);
    assert_int_equal(ew_handle_new(&options, &handle, &rk, &err), EW_OK);
    has(rk, "sasl.username", "worker");
    has(rk, "sasl.password", SECRET "= #x ");
    has(rk, "security.protocol", "plaintext");
    rd_kafka_destroy(rk);
}

static void
test_each_handle_reads_it_anew(void **state)
{
    const struct ew_handle_options handle = {.handle = EW_HANDLE_READER};
    struct ew_err err;
    rd_kafka_t *rk;

    (void)state;
    for (int i = 0; i < 2; i++) {
        const char *text = i == 0 ? "sasl.password=old" : "sasl.password=new";

        write_file(text, strlen(text));
        assert_int_equal(ew_handle_new(&options, &handle, &rk, &err), EW_OK);
        has(rk, "sasl.password", i == 0 ? "old" : "new");
        rd_kafka_destroy(rk);
    }
}

static void
test_what_is_wrong_is_said(void **state)
{
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"a\n", "kafka.properties_file: line 1: no name=value"},
        {SECRET "\n", "line 1: no name=value"},
        {"#\n\n=" SECRET "\n", "line 3: no name before the ="},
        {"client.rack=a\nclient.rack=" SECRET "\n", "line 2: a name that was there before"},
        {"security.protocol=ssl\n", "line 1: a name that kafka.properties has, too"},
        {"sasl.password=" SECRET "\x01\n", "line 1: a control character"},
        {"\nclient.rack=\x7f", "line 2: a control character"},
        {"group.id=" SECRET "\n", "group.id: this property must keep the worker's own value"},
        {"Isolation.Level=read_uncommitted\n", "Isolation.Level: this property must keep"},
        {"sasl.passwort=" SECRET "\n", "sasl.passwort: librdkafka does not know this property"},
        {"ssl.endpoint.identification.algorithm=" SECRET "\n", "librdkafka refuses this property"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct found found = check(rows[i].text, strlen(rows[i].text));

        if (found.count != 1 || strstr(found.all, rows[i].says) == NULL)
            fail_msg("row %zu: %d, %s", i, found.count, found.all);
    }
}

static void
test_every_bad_property_is_listed(void **state)
{
    static const char text[] = "group.id=a\nno.such=b\nclient.rack=c\nacks=0\n";
    struct found found;

    (void)state;
    found = check(text, sizeof(text) - 1);
    assert_int_equal(found.count, 3);
    assert_non_null(strstr(found.all, "group.id: "));
    assert_non_null(strstr(found.all, "no.such: "));
    assert_non_null(strstr(found.all, "acks: "));
}

static void
test_limits(void **state)
{
    static char big[16 * 1024 + 1];
    char many[65 * 8 + 1];
    struct found found;

    (void)state;
    memset(big, '#', sizeof(big));
    assert_int_equal(check(big, sizeof(big) - 1).count, 0);
    found = check(big, sizeof(big));
    assert_int_equal(found.count, 1);
    assert_non_null(strstr(found.all, "larger than 16 KiB"));
    for (int i = 0; i < 65; i++)
        (void)snprintf(many + (size_t)i * 8, 9, "x%04d=a\n", i);
    found = check(many, 65 * 8);
    assert_int_equal(found.count, 65); /* 64 that librdkafka does not know, and the last */
    assert_non_null(strstr(check("a\0b=c", 5).all, "a control character"));
    assert_int_equal(check("", 0).count, 0);
}

static void
test_a_file_that_is_not_there(void **state)
{
    const struct ew_handle_options handle = {.handle = EW_HANDLE_PROBE};
    struct ew_kafka_options other = options;
    struct found found = {.count = 0};
    struct ew_err err;
    rd_kafka_t *rk = NULL;

    (void)state;
    other.properties_file = "/nowhere/at/all";
    assert_int_equal(ew_kafka_check_file(&other, on_problem, &found), 1);
    assert_non_null(strstr(found.all, "No such file or directory: /nowhere/at/all"));
    assert_int_equal(ew_handle_new(&other, &handle, &rk, &err), EW_HALT);
    assert_string_equal(err.problem, "kafka-properties-file");
    assert_null(rk);
    other.properties_file = NULL;
    assert_int_equal(ew_kafka_check_file(&other, on_problem, &found), 0);
}

/* The lowest of what librdkafka, the operator and the topics want. */
static void
test_batches_fit_the_topics(void **state)
{
    static const struct {
        const char *text;
        int64_t most;
        const char *expected;
    } rows[] = {
        {"", 0, "1000000"},
        {"", 300000, "300000"},
        {"", 2000000, "1000000"},
        {"batch.size=500000", 300000, "300000"},
        {"batch.size=16384", 300000, "16384"},
        {"batch.size=16384", 1, "1"},
    };
    struct ew_kafka_options producing = options;

    (void)state;
    producing.transaction_ms = 10000;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct ew_handle_options handle = {
            .handle = EW_HANDLE_PRODUCER, .transactional_id = "t", .batch_max = rows[i].most};
        struct ew_err err;
        rd_kafka_t *rk;

        write_file(rows[i].text, strlen(rows[i].text));
        assert_int_equal(ew_handle_new(&producing, &handle, &rk, &err), EW_OK);
        has(rk, "batch.size", rows[i].expected);
        rd_kafka_destroy(rk);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_is_set),
        cmocka_unit_test(test_each_handle_reads_it_anew),
        cmocka_unit_test(test_what_is_wrong_is_said),
        cmocka_unit_test(test_every_bad_property_is_listed),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_a_file_that_is_not_there),
        cmocka_unit_test(test_batches_fit_the_topics),
    };

    return cmocka_run_group_tests(tests, make_file, remove_file);
}
