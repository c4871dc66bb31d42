/*
 * Log lines as a reader sees them: every one is a JSON object in valid UTF-8 whatever the fields
 * hold, none is longer than a pipe takes whole, and those of several threads never mix.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <ctype.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"

/* --- standard error, into a pipe --- */

static int pipe_out = -1, saved = -1;

static void
capture(void)
{
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    saved = dup(STDERR_FILENO);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
    pipe_out = ends[0];
}

static void
let_go(void)
{
    (void)dup2(saved, STDERR_FILENO);
    close(saved);
}

/* The one line that was written. */
static void
read_line(char out[2 * PIPE_BUF])
{
    ssize_t len = read(pipe_out, out, 2 * PIPE_BUF - 1);

    close(pipe_out);
    assert_true(len > 0 && len <= PIPE_BUF);
    out[len] = '\0';
    assert_ptr_equal(strchr(out, '\n'), out + len - 1);
}

static void
line_of(const struct ew_log_field *fields, const char *msg, char out[2 * PIPE_BUF])
{
    capture();
    ew_log_write(EW_LOG_ERROR, "room", msg, fields);
    let_go();
    read_line(out);
}

/* --- a strict reader of one flat JSON object: names, strings and whole numbers --- */

struct reader {
    const unsigned char *at;
    const char *wrong;
};

static void
utf8(struct reader *r)
{
    static const struct {
        unsigned low, high;
        int more;
    } lengths[] = {{0x80, 0x7ff, 1}, {0x800, 0xffff, 2}, {0x10000, 0x10ffff, 3}};
    unsigned lead = *r->at++;
    int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    unsigned code = lead & (0x3fu >> more);

    for (int i = 0; i < more; i++, r->at++) {
        if ((*r->at & 0xc0) != 0x80) {
            r->wrong = "a broken sequence";
            return;
        }
        code = code << 6 | (*r->at & 0x3fu);
    }
    if (lead < 0xc0 || lead > 0xf7 || code < lengths[more - 1].low ||
        code > lengths[more - 1].high || (code >= 0xd800 && code <= 0xdfff))
        r->wrong = "no character";
}

static void
string(struct reader *r)
{
    if (*r->at++ != '"') {
        r->wrong = "no string";
        return;
    }
    while (r->wrong == NULL && *r->at != '"') {
        if (*r->at < 0x20) {
            r->wrong = "a bare control character";
        } else if (*r->at == '\\' && r->at[1] == 'u') {
            for (int i = 2; i < 6; i++)
                if (!isxdigit(r->at[i]))
                    r->wrong = "a short escape";
            r->at += 6;
        } else if (*r->at == '\\') {
            if (strchr("\"\\/bfnrt", r->at[1]) == NULL)
                r->wrong = "an unknown escape";
            r->at += 2;
        } else if (*r->at < 0x80) {
            r->at++;
        } else {
            utf8(r);
        }
    }
    r->at += r->wrong == NULL;
}

static void
value(struct reader *r)
{
    if (*r->at == '"') {
        string(r);
        return;
    }
    r->at += *r->at == '-';
    if (!isdigit(*r->at))
        r->wrong = "no value";
    while (isdigit(*r->at))
        r->at++;
}

static void
expect_json(const char *line)
{
    struct reader r = {.at = (const unsigned char *)line};

    if (*r.at++ != '{')
        r.wrong = "no object";
    while (r.wrong == NULL) {
        string(&r);
        if (r.wrong == NULL && *r.at++ != ':')
            r.wrong = "no colon";
        if (r.wrong == NULL)
            value(&r);
        if (r.wrong == NULL && *r.at != ',')
            break;
        r.at++;
    }
    if (r.wrong == NULL && strcmp((const char *)r.at, "}\n") != 0)
        r.wrong = "no end";
    if (r.wrong != NULL)
        fail_msg("%s in %s", r.wrong, line);
}

/* --- the tests --- */

static void
test_a_plain_line(void **state)
{
    char line[2 * PIPE_BUF];

    (void)state;
    capture();
    EW_LOG(EW_LOG_WARN, "flow", "move", EW_STR("request_id", "r-1"), EW_STR("absent", NULL),
           EW_INT("offset", INT64_MIN));
    let_go();
    read_line(line);
    expect_json(line);
    assert_int_equal(strncmp(line, "{\"ts\":\"2", 8), 0);
    assert_string_equal(strstr(line, "Z\","),
                        "Z\",\"level\":\"warn\",\"logger\":\"flow\",\"msg\":\"move\","
                        "\"request_id\":\"r-1\",\"offset\":-9223372036854775808}\n");
}

static void
test_hostile_values(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"a\"b\\c/d", "a\\\"b\\\\c/d"},
        {"\n\r\t\x01\x1f\x7f", "\\u000a\\u000d\\u0009\\u0001\\u001f\\u007f"},
        {"\"}\n{\"level\":\"forged", "\\\"}\\u000a{\\\"level\\\":\\\"forged"},
        {"J\xc3\xbcrgen \xf0\x9f\x94\x91", "J\xc3\xbcrgen \xf0\x9f\x94\x91"},
        {"\xff\xfe", "\\ufffd\\ufffd"},
        {"\xc0\xaf", "\\ufffd\\ufffd"},            /* overlong */
        {"\xe0\x80\xaf", "\\ufffd\\ufffd\\ufffd"}, /* overlong */
        {"\xf0\x80\x80\xaf", "\\ufffd\\ufffd\\ufffd\\ufffd"},
        {"\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd"},            /* half of a pair */
        {"\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd"}, /* beyond the last */
        {"cut \xe2\x82", "cut \\ufffd\\ufffd"},
        {"\xf5zz", "\\ufffdzz"},
    };
    char line[2 * PIPE_BUF], expected[256];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct ew_log_field fields[] = {EW_STR("v", rows[i].in), {.name = NULL}};

        line_of(fields, "m", line);
        expect_json(line);
        (void)snprintf(expected, sizeof(expected), "\"v\":\"%s\"}\n", rows[i].out);
        assert_string_equal(strstr(line, "\"v\":"), expected);
    }
}

static void
test_random_bytes_stay_json(void **state)
{
    char line[2 * PIPE_BUF], text[80], name[20];
    uint64_t seed = 99;

    (void)state;
    for (int round = 0; round < 3000; round++) {
        const struct ew_log_field fields[] = {
            EW_STR(name, text), EW_INT("n", round), {.name = NULL}};

        for (size_t i = 0; i < sizeof(text) - 1; i++) {
            seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
            text[i] = (char)((seed >> 40) % 255 + 1);
            if (i < sizeof(name) - 1)
                name[i] = text[i];
        }
        text[sizeof(text) - 1] = name[sizeof(name) - 1] = '\0';
        line_of(fields, text, line);
        expect_json(line);
    }
}

static void
test_long_lines_are_cut_at_a_field(void **state)
{
    enum { ROOM = 6000 };
    char line[2 * PIPE_BUF], text[ROOM + 1];

    (void)state;
    memset(text, 'x', ROOM);
    for (size_t len = 3900; len <= 4200; len++) {
        const struct ew_log_field fields[] = {
            EW_STR("before", "kept"), EW_STR("long", text), EW_STR("after", "a"), {.name = NULL}};

        text[len] = '\0';
        line_of(fields, "m", line);
        text[len] = 'x';
        expect_json(line);
        assert_non_null(strstr(line, "\"before\":\"kept\""));
        if (strstr(line, "\"long\"") == NULL)
            assert_null(strstr(line, "\"after\"")); /* cut there, not holed */
    }
    text[ROOM] = '\0';
    line_of((const struct ew_log_field[]){EW_STR("a", "b"), {.name = NULL}}, text, line);
    expect_json(line); /* a message that does not fit is left out, the line stays JSON */
    assert_null(strstr(line, "xxx"));
    memset(text, '\x01', ROOM);
    line_of((const struct ew_log_field[]){EW_STR("a", text), {.name = NULL}}, "m", line);
    expect_json(line);
}

static void
test_levels(void **state)
{
    enum ew_log_level level;
    char line[2 * PIPE_BUF];

    (void)state;
    assert_int_equal(ew_log_level_parse("debug", &level), EW_OK);
    assert_int_equal(level, EW_LOG_DEBUG);
    assert_int_equal(ew_log_level_parse("error", &level), EW_OK);
    assert_int_equal(level, EW_LOG_ERROR);
    assert_int_equal(ew_log_level_parse("ERROR", &level), EW_REJECT);
    assert_int_equal(ew_log_level_parse("", &level), EW_REJECT);
    capture();
    ew_log_level(EW_LOG_WARN);
    EW_LOG(EW_LOG_INFO, "a", "dropped", EW_INT("n", 1));
    EW_LOG(EW_LOG_WARN, "a", "written", EW_INT("n", 1));
    ew_log_level(EW_LOG_INFO);
    let_go();
    read_line(line);
    assert_non_null(strstr(line, "written"));
    assert_null(strstr(line, "dropped"));
}

enum { WRITERS = 4, LINES = 200 };

static void *
write_lines(void *arg)
{
    char text[4000];

    memset(text, *(const char *)arg, sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    for (int i = 0; i < LINES; i++)
        EW_LOG(EW_LOG_INFO, "t", "m", EW_STR("text", text));
    return NULL;
}

static void
test_threads_do_not_mix(void **state)
{
    static const char letters[WRITERS] = {'a', 'b', 'c', 'd'};
    pthread_t threads[WRITERS];
    char line[2 * PIPE_BUF];
    int count[WRITERS] = {0};
    FILE *in;

    (void)state;
    capture();
    in = fdopen(pipe_out, "r");
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, write_lines, (void *)(uintptr_t)&letters[i]), 0);
    for (int i = 0; i < WRITERS * LINES; i++) {
        const char *text;

        assert_non_null(fgets(line, sizeof(line), in));
        expect_json(line);
        text = strstr(line, "\"text\":\"") + 8;
        assert_int_equal(strspn(text, (const char[]){text[0], '\0'}), 3999);
        count[text[0] - 'a']++;
    }
    for (int i = 0; i < WRITERS; i++) {
        (void)pthread_join(threads[i], NULL);
        assert_int_equal(count[i], LINES);
    }
    let_go();
    (void)fclose(in);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_plain_line),
        cmocka_unit_test(test_hostile_values),
        cmocka_unit_test(test_random_bytes_stay_json),
        cmocka_unit_test(test_long_lines_are_cut_at_a_field),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_threads_do_not_mix),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
