/*
 * Writing answers the way the service does: no XML declaration, no white space, prefixes soap and
 * ns2, children in no namespace, xsi:nil (or nothing, or empty) where there is no value.
 */
#pragma once

#include "buf.h"
#include "ops.h"
#include "settings.h"

struct sim_answer {
    struct sim_buf *out;
    const struct sim_settings *settings;
    enum sim_op op;
};

/* Opens envelope and Response and writes the header. */
void sim_answer_open(struct sim_answer *answer, struct sim_buf *out,
                     const struct sim_settings *settings, enum sim_op op, int success,
                     const struct sim_errors *errors);
void sim_answer_close(struct sim_answer *answer);

void sim_answer_start(struct sim_answer *answer, const char *name);
void sim_answer_end(struct sim_answer *answer, const char *name);

/* An element with text; NULL or "": one without a value. */
void sim_answer_text(struct sim_answer *answer, const char *name, const char *text);
void sim_answer_number(struct sim_answer *answer, const char *name, long long number);

/* A date; 0: without a value. */
void sim_answer_date(struct sim_answer *answer, const char *name, int64_t ms);

/* A whole SOAP fault; code is "soap:Client" and the like. */
void sim_fault_write(struct sim_buf *out, const char *code, const char *text);

/* Text with the five characters of XML escaped, and carriage returns. */
void sim_xml_escape(struct sim_buf *out, const char *text);
