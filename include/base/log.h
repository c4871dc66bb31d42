/*
 * JSON lines on standard error, one object per line, written whole. Any thread.
 * Not a place for secrets: callers pass fields by name, and no field takes a body or a password.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum ew_log_level { EW_LOG_DEBUG, EW_LOG_INFO, EW_LOG_WARN, EW_LOG_ERROR };

/* Kinds of a field's value. A NULL string is left out. */
enum ew_log_kind { EW_LOG_END, EW_LOG_STR, EW_LOG_INT };

struct ew_log_field {
    const char *name; /* static */
    enum ew_log_kind kind;
    const char *str;
    int64_t num;
};

#define EW_STR(n, v) ((struct ew_log_field){.name = (n), .kind = EW_LOG_STR, .str = (v)})
#define EW_INT(n, v) ((struct ew_log_field){.name = (n), .kind = EW_LOG_INT, .num = (int64_t)(v)})
#define EW_FAULT_FIELDS(e)                                                                         \
    EW_STR("error_class", ew_fault_name((e)->fault)), EW_STR("problem", (e)->problem),             \
        EW_STR("field", (e)->field[0] ? (e)->field : NULL), EW_STR("detail", (e)->detail)

/* Lines below `level` are dropped. Default EW_LOG_INFO. Call before threads start. */
void ew_log_level(enum ew_log_level level);
/* "debug" "info" "warn" "error"; EW_REJECT otherwise. */
EW_CHECK enum ew_fault ew_log_level_parse(const char *name, enum ew_log_level *out);

/* logger = the room. A line longer than 4 KiB is cut at a field's end. */
void ew_log_write(enum ew_log_level level, const char *logger, const char *msg,
                  const struct ew_log_field *fields);

/* At least one field. */
#define EW_LOG(level, logger, msg, ...)                                                            \
    ew_log_write((level), (logger), (msg),                                                         \
                 (const struct ew_log_field[]){__VA_ARGS__, {.name = NULL}})
