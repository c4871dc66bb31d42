/*
 * Files that no operator writes: too large, no file at all, no YAML, deep, full of anchors, and
 * those that would give more problems than anybody reads. All are refused, and soon.
 */
#include "settings_file.h"

#include <sys/stat.h>
#include <time.h>

static int64_t
now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int
load_path(const char *path)
{
    struct ew_config config;

    memset(&found, 0, sizeof(found));
    found.returned = ew_config_load(path, &config, hear, &found);
    return found.returned;
}

/* One problem, quickly. Minutes are what is guarded against; seconds leave room for slow machines.
 */
static void
refused_at_once(const void *data, size_t len, const char *detail)
{
    int64_t start = now_ms();

    write_bytes("extra", data, len);
    assert_int_equal(load_path(path_in("extra")), 1);
    assert_true(now_ms() - start < 5000);
    if (strstr(found.errs[0].detail, detail) == NULL)
        fail_msg("%s", all_problems());
}

/* `unit` over and over, up to the largest file that is read. */
static void
full_of(const char *unit, const char *detail)
{
    size_t len = EW_MAX_SETTINGS_FILE, step = strlen(unit);
    char *text = malloc(len);

    for (size_t i = 0; i < len; i++)
        text[i] = unit[i % step];
    refused_at_once(text, len, detail);
    free(text);
}

static void
test_files_that_are_none(void **state)
{
    char long_path[3000];

    (void)state;
    assert_int_equal(load_path(path_in("nowhere")), 1);
    assert_non_null(strstr(found.errs[0].detail, "No such file"));
    assert_int_equal(load_path(test_dir), 1);
    assert_non_null(strstr(found.errs[0].detail, "no file"));
    assert_int_equal(mkfifo(path_in("pipe"), 0600), 0);
    assert_int_equal(load_path(path_in("pipe")), 1); /* and does not wait for a writer */
    assert_non_null(strstr(found.errs[0].detail, "no file"));
    assert_int_equal(load_path("/dev/zero"), 1);
    memset(long_path, 'a', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = '\0';
    long_path[0] = '/';
    for (size_t i = 200; i < sizeof(long_path) - 1; i += 200)
        long_path[i] = '/';
    assert_int_equal(load_path(long_path), 1);
    assert_non_null(strstr(found.errs[0].detail, "No such file")); /* not cut away by the path */
}

static void
test_size(void **state)
{
    size_t good = strlen(good_file);
    char *text = malloc(EW_MAX_SETTINGS_FILE + 2);
    struct ew_config config;
    char *whole;

    (void)state;
    whole = replaced(good_file, "DIR", test_dir);
    good = strlen(whole);
    memcpy(text, whole, good);
    memset(text + good, '\n', EW_MAX_SETTINGS_FILE + 1 - good);
    free(whole);
    write_bytes("extra", text, EW_MAX_SETTINGS_FILE);
    memset(&found, 0, sizeof(found));
    assert_int_equal(ew_config_load(path_in("extra"), &config, hear, &found), 0);
    ew_config_free(&config);
    refused_at_once(text, EW_MAX_SETTINGS_FILE + 1, "1048577 bytes");
    free(text);
}

static void
test_no_yaml(void **state)
{
    static const char *const rows[] = {"a: b: c\n", "\t- x\n",       "a: [1\n",  "{",
                                       "a: \"x\n",  "*a\n",          "\x01\x02", "\xff\xfe\xff",
                                       "%TAG\n",    "a: \xc3\x28\n", "!<x"};
    uint8_t bytes[256];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        refused_at_once(rows[i], strlen(rows[i]), "line ");
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    refused_at_once(bytes, sizeof(bytes), "line ");
    refused_at_once("", 0, "empty");
    refused_at_once("# nothing\n", 10, "empty");
    refused_at_once("just words\n", 11, "not a mapping");
    refused_at_once("- a\n- b\n", 8, "not a mapping");
    refused_at_once("a: 1\n---\nb: 2\n", 14, "second document");
}

static void
test_deep_nesting(void **state)
{
    (void)state;
    full_of("[", "more than 16 levels");
    full_of("{a: ", "more than 16 levels");
    full_of("- ", "more than 16 levels");
    full_of("? ", "more than 16 levels");
    full_of("[[{a: [", "more than 16 levels");
}

static void
test_anchors_and_aliases(void **state)
{
    char *text = calloc(1, 2 * 1024 * 1024);
    size_t len = 0;

    (void)state;
    for (int i = 0; len < EW_MAX_SETTINGS_FILE - 20; i++)
        len += (size_t)sprintf(text + len, "- &a%d x\n", i);
    refused_at_once(text, len, "line 65: more than 64 anchors");
    len = (size_t)sprintf(text, "- &a x\n");
    for (int i = 0; i < 4097; i++)
        len += (size_t)sprintf(text + len, "- *a\n");
    refused_at_once(text, len, "more than 4096 aliases");
    /* Nine to the twentieth, were it unfolded. */
    len = (size_t)sprintf(text, "a: &a [x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i <= 20; i++)
        len += (size_t)sprintf(text + len, "%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n",
                               'a' + i, 'a' + i, 'a' + i - 1, 'a' + i - 1, 'a' + i - 1, 'a' + i - 1,
                               'a' + i - 1, 'a' + i - 1, 'a' + i - 1, 'a' + i - 1, 'a' + i - 1);
    write_bytes("extra", text, len);
    assert_int_equal(load_path(path_in("extra")), 21 + 4); /* unknown keys, missing ones */
    free(text);
}

static void
test_a_node_within_itself(void **state)
{
    static const char text[] =
        "&a {kafka: *a, redis: *a, time: *a, admin: *a, accounts: [*a, *a], settings: [*a]}\n";

    (void)state;
    write_text("extra", text);
    assert_true(load_path(path_in("extra")) > 20);
    assert_non_null(problem_at("kafka.bootstrap", "missing"));
    assert_non_null(problem_at("settings[0].name", "missing"));
}

/* One mapping of unknown keys in every entry: millions of problems, of which a thousand are said.
 */
static void
test_a_flood_of_problems(void **state)
{
    char *text = calloc(1, EW_MAX_SETTINGS_FILE);
    size_t len = (size_t)sprintf(text, "time: &m\n");
    int64_t start = now_ms();

    (void)state;
    for (int i = 0; i < 50000; i++)
        len += (size_t)sprintf(text + len, "  k%d: 1\n", i);
    len += (size_t)sprintf(text + len, "accounts: [*m");
    for (int i = 1; i < EW_MAX_ACCOUNTS; i++)
        len += (size_t)sprintf(text + len, ",*m");
    len += (size_t)sprintf(text + len, "]\nsettings: [*m");
    for (int i = 1; i < EW_MAX_SETTINGS; i++)
        len += (size_t)sprintf(text + len, ",*m");
    len += (size_t)sprintf(text + len, "]\n");
    write_bytes("extra", text, len);
    free(text);
    assert_true(load_path(path_in("extra")) > 1000);
    assert_true(now_ms() - start < 10000);
    assert_int_equal(found.heard, 1001);
    assert_non_null(strstr(found.errs[1000].detail, "not listed"));
    assert_non_null(problem_at("kafka", "missing"));
}

static void
test_named_files(void **state)
{
    char *bytes = calloc(1, EW_MAX_CHAIN_FILE + 1);
    struct ew_config config;

    (void)state;
    write_bytes("extra", bytes, EW_MAX_CHAIN_FILE);
    if (load_with("DIR/chain.pem", "DIR/extra", &config) != 0)
        fail_msg("%s", all_problems());
    ew_config_free(&config);
    write_bytes("extra", bytes, EW_MAX_CHAIN_FILE + 1);
    assert_int_equal(load_with("DIR/chain.pem", "DIR/extra", &config), 1);
    assert_non_null(problem_at("settings[0].chain_file", "262145 bytes"));
    write_bytes("extra", "", 0);
    assert_int_equal(load_with("DIR/chain.pem", "DIR/extra", &config), 1);
    assert_non_null(problem_at("settings[0].chain_file", "0 bytes"));
    free(bytes);
}

/* A text of a megabyte that is written once and named again and again. */
static void
test_texts_unfolded(void **state)
{
    enum { LONG = 900 * 1024, TIMES = EW_MAX_PROPERTIES };
    char *text = calloc(1, EW_MAX_SETTINGS_FILE);
    size_t len = (size_t)sprintf(text, "kafka:\n  properties:\n    p0: &t ");
    int64_t start = now_ms();

    (void)state;
    memset(text + len, 'a', LONG);
    len += LONG;
    for (int i = 1; i < TIMES; i++)
        len += (size_t)sprintf(text + len, "\n    p%d: *t", i);
    len += (size_t)sprintf(text + len, "\n");
    write_bytes("extra", text, len);
    free(text);
    assert_true(load_path(path_in("extra")) > 0);
    assert_true(now_ms() - start < 10000);
    assert_true((size_t)EW_MAX_SETTINGS_MEMORY < (size_t)LONG * TIMES);
    assert_non_null(problem_at("kafka.properties", "too much text"));
}

/* --- secrets --- */

static enum ew_fault
secret(const char *bytes, size_t len, size_t max, struct ew_buf *out, struct ew_err *err)
{
    write_bytes("extra", bytes, len);
    ew_buf_init_secret(out, max + 2);
    return ew_config_secret(path_in("extra"), max, out, err);
}

static void
test_secret_files(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *secret; /* NULL = refused */
    } rows[] = {
        {"hunter2", 7, "hunter2"},
        {"hunter2\n", 8, "hunter2"},
        {"hunter2\r\n", 9, "hunter2"},
        {" hunter2 ", 9, " hunter2 "},
        {"p\xc3\xa4ss", 5, "p\xc3\xa4ss"},
        {"0123456789", 10, "0123456789"},
        {"0123456789\n", 11, "0123456789"},
        {"0123456789\r\n", 12, "0123456789"},
        {"01234567890", 11, NULL},
        {"012345678901234567890", 21, NULL},
        {"", 0, NULL},
        {"\n", 1, NULL},
        {"\r\n", 2, NULL},
        {"hunter2\n\n", 9, NULL},
        {"hunter2\r", 8, NULL},
        {"hun\nter2", 8, NULL},
        {"hun\0ter2", 8, NULL},
        {"hunter2\t", 8, NULL},
    };
    struct ew_buf out;
    struct ew_err err;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum ew_fault fault = secret(rows[i].bytes, rows[i].len, 10, &out, &err);

        assert_int_equal(fault, rows[i].secret == NULL ? EW_HALT : EW_OK);
        if (rows[i].secret != NULL) {
            assert_int_equal(out.len, strlen(rows[i].secret));
            assert_string_equal(ew_buf_text(&out), rows[i].secret);
        } else {
            assert_null(strstr(err.detail, "hun"));
            assert_null(strstr(err.detail, "01234"));
        }
        ew_buf_deinit(&out);
    }
    assert_int_equal(ew_config_secret(path_in("nowhere"), 10, &out, &err), EW_HALT);
    ew_buf_init_secret(&out, 12);
    assert_int_equal(ew_config_secret(test_dir, 10, &out, &err), EW_HALT);
    ew_buf_deinit(&out);
}

/* A password where its file was meant is not repeated for the log; one that GlobalSign could not
 * have given is found before it costs a login. */
static void
test_passwords(void **state)
{
    struct ew_config config;

    (void)state;
    assert_int_equal(load_with("DIR/password", "s3cret-typed-here", &config), 1);
    assert_non_null(problem_at("accounts[0].password_file", "No such file"));
    assert_null(strstr(all_problems(), "s3cret"));
    write_text("extra", "0123456789012345678901234567890\n"); /* 31: one more than GlobalSign's */
    assert_int_equal(load_with("DIR/password", "DIR/extra", &config), 1);
    assert_non_null(problem_at("accounts[0].password_file", "too long"));
    assert_null(strstr(all_problems(), "0123456789"));
    write_text("extra", "012345678901234567890123456789\n");
    assert_int_equal(load_with("DIR/password", "DIR/extra", &config), 0);
    ew_config_free(&config);
    write_text("extra", "two\nlines\n");
    assert_int_equal(load_with("DIR/password", "DIR/extra", &config), 1);
    assert_non_null(problem_at("accounts[0].password_file", "more than one line"));
    write_text("extra", "");
    assert_int_equal(load_with("DIR/password", "DIR/extra", &config), 1);
    assert_non_null(problem_at("accounts[0].password_file", "0 bytes"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_that_are_none),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_no_yaml),
        cmocka_unit_test(test_deep_nesting),
        cmocka_unit_test(test_anchors_and_aliases),
        cmocka_unit_test(test_a_node_within_itself),
        cmocka_unit_test(test_a_flood_of_problems),
        cmocka_unit_test(test_texts_unfolded),
        cmocka_unit_test(test_named_files),
        cmocka_unit_test(test_secret_files),
        cmocka_unit_test(test_passwords),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
