/*
 * Lines are written with one write(2) each: a killed simulator leaves whole lines, or a torn last
 * one, which is cut off.
 */
#include "journal.h"

#include "buf.h"
#include "settings.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { JOURNAL_LINE_MAX = 65536, JOURNAL_TEXT_MAX = 512 };

static void
sim_journal_line(struct sim_journal *journal, const char *line, size_t len)
{
    json_t *object = json_loadb(line, len, 0, NULL);
    json_int_t seq = json_integer_value(json_object_get(object, "seq"));
    const char *order = json_string_value(json_object_get(object, "order_id"));
    const char *operation = json_string_value(json_object_get(object, "operation"));
    enum sim_op op = operation ? sim_op_find(operation) : SIM_OP_NONE;
    bool booking =
        operation && (strcmp(operation, "Portal") == 0 || sim_op_info(op)->kind == SIM_KIND_ORDER);
    if ((uint64_t)seq > journal->seq) {
        journal->seq = (uint64_t)seq;
    }
    if (order && json_is_true(json_object_get(object, "recorded"))) {
        bool end = op == SIM_OP_CANCEL || op == SIM_OP_REVOKE;
        if (booking) {
            sim_put(journal->last_order, sizeof(journal->last_order), order);
        } else if (end) {
            sim_put(journal->last_end, sizeof(journal->last_end), order);
        }
    }
    const char *time = json_string_value(json_object_get(object, "time"));
    sim_put(journal->last_time, sizeof(journal->last_time), time ? time : "");
    json_decref(object);
}

bool
sim_journal_open(struct sim_journal *journal, const char *dir)
{
    char path[4096];
    struct sim_buf text;
    memset(journal, 0, sizeof(*journal));
    (void)snprintf(path, sizeof(path), "%s/journal.jsonl", dir);
    sim_buf_init(&text, SIZE_MAX / 4);
    size_t used = 0;
    if (sim_read_file(path, &text)) {
        char *end = NULL;
        while (used < text.len && (end = memchr(text.data + used, '\n', text.len - used))) {
            sim_journal_line(journal, text.data + used, (size_t)(end - text.data) - used);
            used = (size_t)(end - text.data) + 1;
        }
    }
    sim_buf_deinit(&text);
    journal->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (journal->fd < 0 || ftruncate(journal->fd, (off_t)used)) {
        perror(path);
        return false;
    }
    return true;
}

void
sim_journal_close(struct sim_journal *journal)
{
    if (journal->fd >= 0) {
        close(journal->fd);
    }
    journal->fd = -1;
}

static void
sim_journal_text(json_t *object, const char *name, const char *value)
{
    size_t len = value ? strlen(value) : 0;
    if (len > JOURNAL_TEXT_MAX) {
        len = JOURNAL_TEXT_MAX;
        while (len && ((unsigned char)value[len] & 0xc0) == 0x80) {
            len--; /* not in the middle of a character */
        }
    }
    json_t *text = json_stringn(value ? value : "", len);
    json_object_set_new(object, name, text ? text : json_string("(not UTF-8)"));
}

void
sim_journal_write(struct sim_journal *journal, const struct sim_entry *entry)
{
    char time[40];
    sim_time_iso(sim_real_ms(), 0, time);
    json_t *object = json_object();
    sim_journal_text(object, "time", time);
    json_object_set_new(object, "seq", json_integer((json_int_t)++journal->seq));
    sim_journal_text(object, "operation", entry->operation);
    sim_journal_text(object, "profile", entry->profile);
    sim_journal_text(object, "cn", entry->cn);
    sim_journal_text(object, "email", entry->email);
    sim_journal_text(object, "order_id", entry->order_id);
    sim_journal_text(object, "spki_sha256", entry->spki_sha256);
    sim_journal_text(object, "result", entry->result);
    json_object_set_new(object, "code", json_integer(entry->code));
    sim_journal_text(object, "fault", entry->fault);
    json_object_set_new(object, "recorded", json_boolean(entry->recorded));
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    struct sim_buf line;
    sim_buf_init(&line, JOURNAL_LINE_MAX);
    sim_buf_printf(&line, "%s\n", text);
    free(text);
    if (line.full || write(journal->fd, line.data, line.len) != (ssize_t)line.len) {
        perror("epki-simulator: journal.jsonl");
        abort(); /* an audit that misses a line is worse than none */
    }
    sim_buf_deinit(&line);
}
