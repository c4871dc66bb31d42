/*
 * Loads the settings file. The tree comes from libyaml, not from a schema-bound reader: those stop
 * at their first error, and an operator wants all of them at once.
 */
#include "config/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_private.h"
#include "domain/rules.h"

enum { PATH_TEXT = 192, PROBLEMS_MAX = 1000 };

void
ew_conf_problem(struct ew_loading *loading, const char *path, const char *advice, const char *fmt,
                ...)
{
    struct ew_err err;
    char detail[200];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(detail, sizeof(detail), fmt, args);
    va_end(args);
    (void)ew_fail_field(&err, EW_HALT, "settings", path, advice, "%s", detail);
    if (++loading->problems <= PROBLEMS_MAX)
        loading->problem(loading->arg, &err);
}

bool
ew_conf_enough(const struct ew_loading *loading)
{
    return loading->problems > PROBLEMS_MAX;
}

yaml_node_t *
ew_conf_node(struct ew_loading *loading, int index)
{
    return yaml_document_get_node(loading->document, index);
}

const char *
ew_conf_text(struct ew_loading *loading, yaml_node_t *node, const char *path)
{
    const char *copy;

    if (node == NULL || node->type != YAML_SCALAR_NODE) {
        ew_conf_problem(loading, path, "Write a plain value.", "not a plain value");
        return NULL;
    }
    if (memchr(node->data.scalar.value, '\0', node->data.scalar.length) != NULL) {
        ew_conf_problem(loading, path, "Write a plain value.", "a NUL in it");
        return NULL;
    }
    copy = ew_arena_strndup(loading->config->memory, (const char *)node->data.scalar.value,
                            node->data.scalar.length);
    if (copy == NULL)
        ew_conf_problem(loading, path, "Shorten the file.", "too much text in all");
    return copy;
}

bool
ew_conf_int(const char *text, int64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' &&
           (isdigit((unsigned char)text[0]) || text[0] == '-');
}

/* --- one value --- */

static void
store_number(struct ew_loading *loading, const struct ew_key_row *row, const char *text, void *into,
             const char *path)
{
    int64_t number;

    if (!ew_conf_int(text, &number) || number < row->min || number > row->max) {
        ew_conf_problem(loading, path, row->help, "%s is not a number of %lld-%lld", text,
                        (long long)row->min, (long long)row->max);
        return;
    }
    if (row->kind == EW_CONF_INT)
        *(int *)into = (int)number;
    else
        *(int64_t *)into = number;
}

static bool
check_file(struct ew_loading *loading, const struct ew_key_row *row, const char *file,
           const char *path)
{
    const char *shown = row->kind == EW_CONF_SECRET ? "what stands there" : file;
    int before = loading->problems;
    struct stat st;

    /* The reason first: a long path may be cut. */
    if (stat(file, &st) != 0 || access(file, R_OK) != 0)
        ew_conf_problem(loading, path, "Give the path of a readable file.", "%s: %s",
                        strerror(errno), shown);
    else if (!S_ISREG(st.st_mode))
        ew_conf_problem(loading, path, "Give the path of a readable file.", "no file: %s", shown);
    else if (st.st_size == 0 || st.st_size > EW_MAX_CHAIN_FILE)
        ew_conf_problem(loading, path, "Give a file of 1 byte to 256 KiB.", "%lld bytes: %s",
                        (long long)st.st_size, shown);
    return loading->problems == before;
}

static void
store_text(struct ew_loading *loading, const struct ew_key_row *row, const char *text, void *into,
           const char *path)
{
    bool file = row->kind == EW_CONF_FILE || row->kind == EW_CONF_SECRET;
    size_t len = strlen(text);
    struct ew_err err;

    /* What follows from its want is no mistake beside that of its text. */
    if (row->kind == EW_CONF_FILE || row->kind == EW_CONF_TEMPLATE)
        *(const char **)into = text;
    if (len > (size_t)row->max || len < (size_t)row->min || (row->required && len == 0)) {
        ew_conf_problem(loading, path, row->help, "empty, or more than %lld characters",
                        (long long)row->max);
        return;
    }
    if (file && !check_file(loading, row, text, path))
        return;
    if (row->kind == EW_CONF_TEMPLATE && ew_template_check(text, &err) != EW_OK)
        ew_conf_problem(loading, path, err.advice, "%s", err.detail);
    *(const char **)into = text;
}

static void
store(struct ew_loading *loading, const struct ew_key_row *row, const char *text, void *section,
      const char *path)
{
    void *into = (char *)section + row->offset;

    if (row->kind == EW_CONF_INT || row->kind == EW_CONF_INT64)
        store_number(loading, row, text, into, path);
    else if (row->kind != EW_CONF_BOOL)
        store_text(loading, row, text, into, path);
    else if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        *(bool *)into = text[0] == 't';
    else
        ew_conf_problem(loading, path, row->help, "%s is neither true nor false", text);
}

/* --- one mapping --- */

static void
join(char out[PATH_TEXT], const char *path, const char *key)
{
    (void)snprintf(out, PATH_TEXT, "%s%s%s", path, path[0] != '\0' ? "." : "", key);
}

static size_t
find_row(const struct ew_section *section, const char *key)
{
    size_t i = 0;

    while (i < section->count && strcmp(section->rows[i].name, key) != 0)
        i++;
    return i;
}

/* Finds each row's node; says what is unknown or twice. */
static void
match_keys(struct ew_loading *loading, const struct ew_section *section, yaml_node_t *node,
           yaml_node_t **found, const char *path)
{
    char where[PATH_TEXT];

    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top && !ew_conf_enough(loading); pair++) {
        const char *key = ew_conf_text(loading, ew_conf_node(loading, pair->key), path);
        size_t row;

        if (key == NULL)
            continue;
        join(where, path, key);
        row = find_row(section, key);
        if (row == section->count)
            ew_conf_problem(loading, where,
                            "Remove it, or see `epki-worker settings` for the keys.",
                            "unknown key");
        else if (found[row] != NULL)
            ew_conf_problem(loading, where, "Write it once.", "the key is there twice");
        else
            found[row] = ew_conf_node(loading, pair->value);
    }
}

void
ew_conf_section(struct ew_loading *loading, const struct ew_section *section, yaml_node_t *node,
                void *into, const char *path)
{
    yaml_node_t *found[32] = {NULL};
    char where[PATH_TEXT];

    if (node != NULL && node->type != YAML_MAPPING_NODE) {
        ew_conf_problem(loading, path, "Write key: value lines.", "not a mapping");
        return;
    }
    if (node != NULL)
        match_keys(loading, section, node, found, path);
    for (size_t i = 0; i < section->count; i++) {
        const struct ew_key_row *row = &section->rows[i];
        const char *text = row->preset;

        join(where, path, row->name);
        if (found[i] == NULL && row->required) {
            ew_conf_problem(loading, where, row->help, "it is missing");
            continue;
        }
        if (row->kind == EW_CONF_SPECIAL) {
            row->special(loading, found[i], into, where);
            continue;
        }
        if (found[i] != NULL)
            text = ew_conf_text(loading, found[i], where);
        if (text != NULL)
            store(loading, row, text, into, where);
    }
}

/* --- the file --- */

static bool
load_document(struct ew_loading *loading, FILE *file)
{
    yaml_parser_t parser;
    bool good = false;

    if (yaml_parser_initialize(&parser) != 1) {
        ew_conf_problem(loading, "", NULL, "out of memory");
        return false;
    }
    yaml_parser_set_input_file(&parser, file);
    if (yaml_parser_load(&parser, loading->document) != 1)
        ew_conf_problem(loading, "", "Correct the YAML.", "line %zu: %s",
                        parser.problem_mark.line + 1,
                        parser.problem == NULL ? "malformed" : parser.problem);
    else
        good = true;
    yaml_parser_delete(&parser);
    return good;
}

/* Looked at before it is opened: opening a pipe would wait for its writer. */
static FILE *
open_settings(struct ew_loading *loading, const char *path)
{
    FILE *file = NULL;
    struct stat st;

    if (stat(path, &st) != 0 || (S_ISREG(st.st_mode) && (file = fopen(path, "re")) == NULL)) {
        ew_conf_problem(loading, "", "Give the path of the settings file.", "%s: %s",
                        strerror(errno), path);
    } else if (file == NULL) {
        ew_conf_problem(loading, "", "Give the path of the settings file.", "no file: %s", path);
    } else if (st.st_size > EW_MAX_SETTINGS_FILE) {
        ew_conf_problem(loading, "", "Keep the settings file within 1 MiB.", "%lld bytes: %s",
                        (long long)st.st_size, path);
        (void)fclose(file);
        file = NULL;
    }
    return file;
}

static void
load(struct ew_loading *loading, const char *path)
{
    FILE *file = open_settings(loading, path);
    yaml_document_t document;

    if (file == NULL)
        return;
    loading->document = &document;
    if (ew_conf_scan(loading, file) && load_document(loading, file)) {
        yaml_node_t *root = yaml_document_get_root_node(&document);

        if (root == NULL)
            ew_conf_problem(loading, "", "See deploy/local/worker.yaml.in.", "the file is empty");
        else {
            ew_conf_section(loading, &ew_section_top, root, loading->config, "");
            ew_conf_check(loading);
        }
        yaml_document_delete(&document);
    }
    (void)fclose(file);
}

static void
say_rest(struct ew_loading *loading)
{
    struct ew_err err;

    (void)ew_fail_field(&err, EW_HALT, "settings", "", "Correct these first.",
                        "more than %d problems; the rest is not listed", PROBLEMS_MAX);
    loading->problem(loading->arg, &err);
}

int
ew_config_load(const char *path, struct ew_config *out,
               void (*problem)(void *arg, const struct ew_err *err), void *arg)
{
    struct ew_config config = {.memory = ew_arena_new(EW_MAX_SETTINGS_MEMORY)};
    struct ew_loading loading = {.config = &config, .problem = problem, .arg = arg};

    load(&loading, path);
    if (ew_conf_enough(&loading))
        say_rest(&loading);
    if (loading.problems > 0)
        ew_config_free(&config);
    else
        *out = config;
    return loading.problems;
}

void
ew_config_free(struct ew_config *config)
{
    ew_arena_free(config->memory);
    memset(config, 0, sizeof(*config));
}

const struct ew_setting *
ew_config_setting(const struct ew_config *config, const char *name)
{
    for (size_t i = 0; i < config->setting_count; i++)
        if (strcmp(config->settings[i].name, name) == 0)
            return &config->settings[i];
    return NULL;
}

int64_t
ew_config_quiet_ms(const struct ew_config *config)
{
    return (int64_t)config->time.send_window_ms + config->time.tcp_ms + config->time.processing_ms +
           config->time.visibility_ms + config->time.margin_ms;
}

/* One newline at the end is the editor's; any other control character is an accident that would
 * cost a failed login, and those lock accounts. */
static const char *
trim_secret(struct ew_buf *secret)
{
    size_t len = secret->len;

    if (len > 0 && secret->data[len - 1] == '\n')
        len--;
    if (len > 0 && len < secret->len && secret->data[len - 1] == '\r')
        len--;
    secret->len = len;
    if (len == 0)
        return "is empty";
    secret->data[len] = '\0';
    for (size_t i = 0; i < len; i++)
        if (secret->data[i] < 0x20 || secret->data[i] == 0x7f)
            return "holds more than one line, or a control character";
    return NULL;
}

enum ew_fault
ew_config_secret(const char *path, size_t max, struct ew_buf *out, struct ew_err *err)
{
    FILE *file = fopen(path, "re");
    const char *wrong;

    if (file == NULL)
        return ew_fail_field(err, EW_HALT, "secret-file", "", "Give the path of a readable file.",
                             "%s: %s", strerror(errno), path);
    (void)setvbuf(file, NULL, _IONBF, 0); /* no copy in a buffer of the C library */
    for (int c; !out->overflowed && (c = getc(file)) != EOF;)
        ew_buf_putc(out, (char)c);
    (void)fclose(file);
    wrong = trim_secret(out);
    if (out->overflowed || out->len > max)
        wrong = "is too long";
    if (wrong != NULL)
        return ew_fail_field(err, EW_HALT, "secret-file", "",
                             "Write the secret into the file, and nothing else.",
                             "the file %s (at most %zu characters): %s", wrong, max, path);
    return EW_OK;
}
