/*
 * The table that the settings file is read by, and what reading carries along.
 */
#pragma once

#include <stdio.h>

#include <yaml.h>

#include "config/config.h"

enum ew_kind {
    EW_CONF_TEXT,
    EW_CONF_INT,
    EW_CONF_INT64,
    EW_CONF_BOOL,
    EW_CONF_FILE,     /* a path; the file must be there and readable */
    EW_CONF_SECRET,   /* likewise; not repeated in problems, for it may be the secret itself */
    EW_CONF_TEMPLATE, /* text with variables */
    EW_CONF_SPECIAL,  /* read by a function of its own */
};

struct ew_loading;

struct ew_key_row {
    const char *name;
    enum ew_kind kind;
    size_t offset; /* in the section's struct */
    bool required;
    int64_t min, max;   /* of numbers; of texts the shortest and longest length */
    const char *preset; /* default, NULL = none */
    const char *help;
    void (*special)(struct ew_loading *loading, yaml_node_t *node, void *into, const char *path);
};

struct ew_section {
    const char *name;
    const struct ew_key_row *rows;
    size_t count;
};

extern const struct ew_section ew_section_kafka, ew_section_redis, ew_section_time,
    ew_section_admin, ew_section_top, ew_section_account, ew_section_setting;

struct ew_loading {
    yaml_document_t *document;
    struct ew_config *config;
    void (*problem)(void *arg, const struct ew_err *err);
    void *arg;
    int problems;
};

/* Whether the file is what a settings file may be at all: one document of YAML, neither deep nor
 * full of anchors. Reads the file and rewinds it. */
bool ew_conf_scan(struct ew_loading *loading, FILE *file);
/* Reports; path is what the reader sees: "settings.vpn.years". Beyond a thousand it only counts. */
void ew_conf_problem(struct ew_loading *loading, const char *path, const char *advice,
                     const char *fmt, ...) EW_PRINTF(4, 5);
/* More has been found than anybody reads: stop looking. */
bool ew_conf_enough(const struct ew_loading *loading);
/* Reads a mapping by a section's rows: unknown, repeated and missing keys, types and ranges. node
 * NULL = all defaults. */
void ew_conf_section(struct ew_loading *loading, const struct ew_section *section,
                     yaml_node_t *node, void *into, const char *path);
/* The text of a scalar, copied; NULL (and a problem) otherwise. */
const char *ew_conf_text(struct ew_loading *loading, yaml_node_t *node, const char *path);
bool ew_conf_int(const char *text, int64_t *out);
yaml_node_t *ew_conf_node(struct ew_loading *loading, int index);

/* Kafka's topics and librdkafka's properties; topics.c. */
void ew_conf_topics(struct ew_loading *loading, yaml_node_t *node, void *into, const char *path);
void ew_conf_properties(struct ew_loading *loading, yaml_node_t *node, void *into,
                        const char *path);
void ew_conf_topics_help(FILE *out);
/* Lists of the file. */
void ew_conf_accounts(struct ew_loading *loading, yaml_node_t *node, void *into, const char *path);
void ew_conf_settings(struct ew_loading *loading, yaml_node_t *node, void *into, const char *path);
/* What no single key shows. */
void ew_conf_check(struct ew_loading *loading);
