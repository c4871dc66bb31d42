/*
 * Reads a SOAP reply from a peer that may send anything: whole and well-formed, or an error. Found
 * by local name, since what is documented and what is sent differ. Knows no operations.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct ew_soap_doc;
struct ew_soap_node; /* an element; lives as long as its document */

struct ew_soap_fault {
    const char *code; /* local part: "Client", "Server"; "" if none */
    const char *text; /* for people, and to know refusals by; "" if none */
};

/* Bytes to a document. At most EW_MAX_REPLY bytes. EW_REJECT, with problem
 *   soap-empty      nothing but white space
 *   soap-html       HTML: somebody else's error page
 *   soap-dtd        a DTD, which SOAP forbids: nothing behind it was looked at
 *   soap-limit      too large, too deep, too many elements or attributes
 *   soap-malformed  not well-formed XML, or something behind it: truncated, garbage, NUL
 *   soap-envelope   XML, but no Envelope with one Body with one element in it */
EW_CHECK enum ew_fault ew_soap_read(const void *data, size_t len, struct ew_soap_doc **out,
                                    struct ew_err *err);
/* NULL is fine. */
void ew_soap_free(struct ew_soap_doc *doc);

/* The element in the body: an operation's answer, or a fault. */
const struct ew_soap_node *ew_soap_answer(const struct ew_soap_doc *doc);
/* True and filled in if the answer is a fault (SOAP 1.1 or 1.2). Texts live with the document. */
bool ew_soap_fault(struct ew_soap_doc *doc, struct ew_soap_fault *out);

/* Local name. */
const char *ew_soap_name(const struct ew_soap_node *node);
/* The only child of that local name; NULL if there is none, it is nil, or parent is NULL. */
const struct ew_soap_node *ew_soap_child(struct ew_soap_doc *doc, const struct ew_soap_node *parent,
                                         const char *name);
/* A list: the first child of that local name, then the next sibling of the same, or NULL. */
const struct ew_soap_node *ew_soap_first(const struct ew_soap_node *parent, const char *name);
const struct ew_soap_node *ew_soap_next(const struct ew_soap_node *node);

/* Text of the child without white space around it; "" when absent, nil, empty, or not text. Lives
 * with the document. parent may be NULL. */
const char *ew_soap_get(struct ew_soap_doc *doc, const struct ew_soap_node *parent,
                        const char *name);
/* The node's own text, likewise. */
const char *ew_soap_value(struct ew_soap_doc *doc, const struct ew_soap_node *node);
/* False when there is no value, or it is no int. */
bool ew_soap_get_int(struct ew_soap_doc *doc, const struct ew_soap_node *parent, const char *name,
                     int *out);

/* True once ew_soap_child or a getter has met a second child of the name that it was asked for, or
 * found its texts too many: what was read means nothing then. */
bool ew_soap_doubtful(const struct ew_soap_doc *doc);
