/*
 * The journal: one JSON line for each call decided, which is what audits count. Appended for ever,
 * flushed before the answer. No password, no PIN.
 */
#pragma once

#include "ops.h"

#include <stdint.h>

struct sim_entry {
    const char *operation;
    const char *profile, *cn, *email, *order_id, *spki_sha256; /* NULL: none */
    const char *result; /* "ok", "error" (business refusal), "fault" (not decided, or SOAP fault) */
    int code;           /* of the refusal; 0: none */
    const char *fault;  /* the misbehaviour asked for; NULL: none */
    bool recorded;      /* the call changed what the CA knows */
};

struct sim_journal {
    int fd;
    uint64_t seq;
    /* As loaded: of the last line of an order, of a cancellation or revocation, and of all. */
    char last_order[32], last_end[32], last_time[40];
};

/* Goes on after the last whole line of what is there. */
bool sim_journal_open(struct sim_journal *journal, const char *dir);
void sim_journal_close(struct sim_journal *journal);
void sim_journal_write(struct sim_journal *journal, const struct sim_entry *entry);
