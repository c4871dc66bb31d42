/*
 * Writes JSON lines: everything escaped, invalid UTF-8 replaced, one write(2) per line.
 */
#include "base/log.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

/* With its end a line is no longer than what a pipe takes whole from several writers. */
enum { LINE_MAX_BYTES = PIPE_BUF - 2 };

struct line {
    char text[PIPE_BUF];
    size_t len;
    bool full;
};

static enum ew_log_level lowest = EW_LOG_INFO;
static const char *const level_names[] = {"debug", "info", "warn", "error"};

void
ew_log_level(enum ew_log_level level)
{
    lowest = level;
}

enum ew_fault
ew_log_level_parse(const char *name, enum ew_log_level *out)
{
    for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *out = (enum ew_log_level)i;
            return EW_OK;
        }
    }
    return EW_REJECT;
}

static void
put(struct line *line, const char *data, size_t len)
{
    if (line->full || len > LINE_MAX_BYTES - line->len) {
        line->full = true;
        return;
    }
    memcpy(line->text + line->len, data, len);
    line->len += len;
}

/* Bytes of the UTF-8 sequence at `text`, 0 if it is none. */
static size_t
sequence(const unsigned char *text)
{
    size_t len = text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;

    if (text[0] < 0xc2 || text[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
        (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f))
        return 0;
    return len;
}

/* Bytes at `text` that stand in JSON as they are. */
static size_t
plain(const unsigned char *text)
{
    size_t len = 0;

    while (text[len] >= 0x20 && text[len] < 0x7f && text[len] != '"' && text[len] != '\\')
        len++;
    return len;
}

static void
put_string(struct line *line, const char *string)
{
    const unsigned char *at = (const unsigned char *)string;

    put(line, "\"", 1);
    while (*at != '\0') {
        char escaped[8];
        size_t len = plain(at);

        if (len == 0 && *at >= 0x80)
            len = sequence(at);
        if (len > 0) {
            put(line, (const char *)at, len);
            at += len;
            continue;
        }
        if (*at == '"' || *at == '\\') {
            (void)snprintf(escaped, sizeof(escaped), "\\%c", *at);
            put(line, escaped, 2);
        } else if (*at < 0x80) {
            (void)snprintf(escaped, sizeof(escaped), "\\u%04x", *at);
            put(line, escaped, 6);
        } else {
            put(line, "\\ufffd", 6);
        }
        at++;
    }
    put(line, "\"", 1);
}

static void
put_field(struct line *line, const struct ew_log_field *field)
{
    size_t before = line->len;
    char number[24];

    if (field->kind == EW_LOG_STR && field->str == NULL)
        return;
    put(line, ",", 1);
    put_string(line, field->name);
    put(line, ":", 1);
    if (field->kind == EW_LOG_STR) {
        put_string(line, field->str);
    } else {
        (void)snprintf(number, sizeof(number), "%lld", (long long)field->num);
        put(line, number, strlen(number));
    }
    if (line->full)
        line->len = before; /* cut at a field's end: the line stays JSON */
}

void
ew_log_write(enum ew_log_level level, const char *logger, const char *msg,
             const struct ew_log_field *fields)
{
    struct line line = {.len = 0};
    char time[EW_TIME_TEXT];

    if (level < lowest)
        return;
    ew_time_format(ew_wall_ms(&ew_clock_system), time);
    put(&line, "{\"ts\":", 6);
    put_string(&line, time);
    put(&line, ",\"level\":", 9);
    put_string(&line, level_names[level]);
    put(&line, ",\"logger\":", 10);
    put_string(&line, logger);
    put_field(&line, &EW_STR("msg", msg));
    for (; fields->name != NULL && !line.full; fields++)
        put_field(&line, fields);
    memcpy(line.text + line.len, "}\n", 2);
    if (write(STDERR_FILENO, line.text, line.len + 2) < 0)
        return; /* a log that cannot be written has nowhere to say so */
}
