/*
 * The operator's properties that are secret: lines of a file, read whenever a handle is made, and
 * wiped when it has them.
 */
#include "properties_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"

/* Never quotes the file. line 0: of the whole. */
static enum ew_fault
bad(struct ew_err *err, const char *path, int line, const char *what)
{
    char place[24] = "";

    if (line > 0)
        (void)snprintf(place, sizeof(place), "line %d: ", line);
    return ew_fail_field(err, EW_HALT, "kafka-properties-file", "kafka.properties_file",
                         "Write lines name=value with librdkafka's properties, such as "
                         "sasl.password, in a file that the worker may read.",
                         "%s%s: %s", place, what, path);
}

static bool
is_control(uint8_t c)
{
    return (c < 0x20 && c != '\t' && c != '\r' && c != '\n') || c == 0x7f;
}

static enum ew_fault
read_whole(const char *path, struct ew_buf *text, struct ew_err *err)
{
    FILE *file = fopen(path, "re");
    int line = 1;

    if (file == NULL)
        return bad(err, path, 0, strerror(errno));
    (void)setvbuf(file, NULL, _IONBF, 0); /* no copy in a buffer of the C library */
    for (int c; !text->overflowed && (c = getc(file)) != EOF;)
        ew_buf_putc(text, (char)c);
    (void)fclose(file);
    if (text->overflowed)
        return bad(err, path, 0, "it is larger than 16 KiB");
    for (size_t i = 0; i < text->len; i++) {
        if (is_control((uint8_t)text->data[i]))
            return bad(err, path, line, "a control character");
        line += text->data[i] == '\n';
    }
    return EW_OK;
}

/* Cuts a line in two. Blanks count where the value ends, for they may be a password's. */
static const char *
split(char *line, struct ew_pair *pair)
{
    char *value = strchr(line, '=');
    char *end = value;

    if (value == NULL)
        return "no name=value";
    *value++ = '\0';
    while (end > line && (end[-1] == ' ' || end[-1] == '\t'))
        *--end = '\0';
    pair->name = line;
    pair->value = value + strspn(value, " \t");
    return line[0] == '\0' ? "no name before the =" : NULL;
}

static bool
find(const struct ew_pair *pairs, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(pairs[i].name, name) == 0)
            return true;
    return false;
}

struct lines {
    const struct ew_kafka_options *options;
    struct ew_pair seen[EW_MAX_PROPERTIES];
    size_t count;
    ew_property_taker *take;
    void *arg;
};

static const char *
read_line(struct lines *lines, char *line)
{
    const struct ew_kafka_options *options = lines->options;
    struct ew_pair *pair = &lines->seen[lines->count];
    const char *wrong;

    if (lines->count == EW_MAX_PROPERTIES)
        return "more than 64 properties";
    if ((wrong = split(line, pair)) != NULL)
        return wrong;
    if (find(lines->seen, lines->count++, pair->name))
        return "a name that was there before";
    if (find(options->properties, options->property_count, pair->name))
        return "a name that kafka.properties has, too";
    return NULL;
}

static enum ew_fault
read_lines(struct lines *lines, char *text, struct ew_err *err)
{
    enum ew_fault fault = EW_OK;
    int number = 1;

    for (char *line = text, *next; fault == EW_OK && line != NULL; line = next, number++) {
        const char *wrong = NULL;
        size_t before = lines->count;

        if ((next = strchr(line, '\n')) != NULL)
            *next++ = '\0';
        line[strcspn(line, "\r")] = '\0';
        line += strspn(line, " \t");
        if (line[0] != '\0' && line[0] != '#')
            wrong = read_line(lines, line);
        if (wrong != NULL)
            fault = bad(err, lines->options->properties_file, number, wrong);
        else if (lines->count > before)
            fault = lines->take(lines->arg, &lines->seen[before], err);
    }
    return fault;
}

enum ew_fault
ew_properties_read(const struct ew_kafka_options *options, ew_property_taker *take, void *arg,
                   struct ew_err *err)
{
    struct lines lines = {.options = options, .take = take, .arg = arg};
    struct ew_buf text;
    enum ew_fault fault;

    if (options->properties_file == NULL)
        return EW_OK;
    ew_buf_init_secret(&text, EW_MAX_PROPERTIES_FILE);
    fault = read_whole(options->properties_file, &text, err);
    if (fault == EW_OK && text.len > 0)
        fault = read_lines(&lines, (char *)text.data, err);
    ew_buf_deinit(&text);
    return fault;
}
