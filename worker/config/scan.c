/*
 * A first pass over the file's events, before a tree is built from it: libyaml's loader looks
 * through every anchor for each new one and through every level of nesting for each token, so that
 * 1 MiB can cost it minutes. A settings file needs little of either.
 */
#include <stdio.h>
#include <string.h>

#include "config_private.h"

struct scan {
    struct ew_loading *loading;
    size_t depth, anchors, aliases, documents;
    size_t line;
    bool done;
};

static bool
refuse(struct scan *scan, const char *advice, const char *what)
{
    ew_conf_problem(scan->loading, "", advice, "line %zu: %s", scan->line, what);
    return false;
}

static bool
enter(struct scan *scan, const yaml_char_t *anchor)
{
    if (anchor != NULL && ++scan->anchors > EW_MAX_YAML_ANCHORS)
        return refuse(scan, "Write the values out.", "more than 64 anchors");
    if (scan->depth > EW_MAX_YAML_DEPTH)
        return refuse(scan, "Settings are never nested so deep.", "more than 16 levels");
    return true;
}

static bool
see(struct scan *scan, const yaml_event_t *event)
{
    scan->line = event->start_mark.line + 1;
    switch (event->type) {
    case YAML_STREAM_END_EVENT:
        scan->done = true;
        return true;
    case YAML_DOCUMENT_START_EVENT:
        return ++scan->documents == 1 ||
               refuse(scan, "Remove it and the --- before it.", "a second document");
    case YAML_SCALAR_EVENT:
        return enter(scan, event->data.scalar.anchor);
    case YAML_SEQUENCE_START_EVENT:
        scan->depth++;
        return enter(scan, event->data.sequence_start.anchor);
    case YAML_MAPPING_START_EVENT:
        scan->depth++;
        return enter(scan, event->data.mapping_start.anchor);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        scan->depth--;
        return true;
    case YAML_ALIAS_EVENT:
        return ++scan->aliases <= EW_MAX_YAML_ALIASES ||
               refuse(scan, "Write the values out.", "more than 4096 aliases");
    default:
        return true;
    }
}

bool
ew_conf_scan(struct ew_loading *loading, FILE *file)
{
    struct scan scan = {.loading = loading};
    yaml_parser_t parser;
    yaml_event_t event;
    bool good = true;

    if (yaml_parser_initialize(&parser) != 1) {
        ew_conf_problem(loading, "", NULL, "out of memory");
        return false;
    }
    yaml_parser_set_input_file(&parser, file);
    while (good && !scan.done) {
        if (yaml_parser_parse(&parser, &event) != 1) {
            scan.line = parser.problem_mark.line + 1;
            good = refuse(&scan, "Correct the YAML.",
                          parser.problem == NULL ? "malformed" : parser.problem);
            break;
        }
        good = see(&scan, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    if (fseek(file, 0, SEEK_SET) != 0)
        good = refuse(&scan, "Name a regular file.", "the file cannot be read twice");
    return good;
}
