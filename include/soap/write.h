/*
 * Writes a SOAP 1.1 request into a secret buffer: the operation in its namespace by prefix,
 * everything below it in none, which is the one shape that every mode of the peer's stack accepts.
 * Knows no operations.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

enum { EW_SOAP_MAX_OPEN = 16 };

/* A value; no free. Errors stick: write on, ask ew_soap_end. */
struct ew_soap_writer {
    struct ew_buf *out;
    const char *open[EW_SOAP_MAX_OPEN]; /* names of the open elements, outermost first */
    size_t depth;
    const char *bad_field; /* first element whose text cannot be sent */
    bool misused;
};

/* Opens the envelope, its body and ns:operation. out stays the caller's. Names are static, here
 * and below. */
void ew_soap_begin(struct ew_soap_writer *writer, struct ew_buf *out, const char *ns,
                   const char *operation);
void ew_soap_open(struct ew_soap_writer *writer, const char *name);
void ew_soap_close(struct ew_soap_writer *writer);

/* <name>text</name>, escaped. Text must be UTF-8 without control characters. NULL counts as "". */
void ew_soap_text(struct ew_soap_writer *writer, const char *name, const char *text);
/* The same, nothing at all for NULL or "": absent, never nil. */
void ew_soap_text_if(struct ew_soap_writer *writer, const char *name, const char *text);
/* Text of several lines (PEM): tabs and line ends are let through too. */
void ew_soap_lines(struct ew_soap_writer *writer, const char *name, const char *text);
void ew_soap_int(struct ew_soap_writer *writer, const char *name, int value);
void ew_soap_true(struct ew_soap_writer *writer, const char *name);

/* Closes what is open. EW_REJECT "soap-text" names the element whose text is not UTF-8 or holds a
 * control character; EW_BUG when the request outgrew its buffer or the calls did not pair. */
EW_CHECK enum ew_fault ew_soap_end(struct ew_soap_writer *writer, struct ew_err *err);
