/*
 * The one error type. It says what to DO, not which library failed; foreign errors are
 * translated into it by the room that owns the library.
 */
#pragma once

#include <stdarg.h>

#define EW_CHECK __attribute__((warn_unused_result))
#define EW_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))

enum ew_fault {
    EW_OK = 0,
    EW_RETRY,  /* nobody's fault: the same call may succeed later */
    EW_REJECT, /* the requester's fault: a final answer, never repeated as it is */
    EW_HALT,   /* the operator's fault: stop taking work and say so (password, settings) */
    EW_BUG,    /* impossible: fail this piece of work, keep the process */
};

/* A value owned by the caller; needs no free. No secret ever goes into it. Text from outside is
 * escaped to printable ASCII by ew_fail(). */
struct ew_err {
    enum ew_fault fault;
    const char *problem; /* static machine name, "csr-signature" */
    const char *advice;  /* static text: what to do; NULL when the problem says it */
    char field[64];      /* the field of the input that is at fault, or "" */
    char detail[224];    /* for people */
};

/* Fills *err (which may be NULL) and returns fault. Overwrites what was there. */
enum ew_fault ew_fail(struct ew_err *err, enum ew_fault fault, const char *problem, const char *fmt,
                      ...) EW_PRINTF(4, 5);

/* As ew_fail, naming the field (copied, cut at 63) and the advice (static). */
enum ew_fault ew_fail_field(struct ew_err *err, enum ew_fault fault, const char *problem,
                            const char *field, const char *advice, const char *fmt, ...)
    EW_PRINTF(6, 7);

/* "ok", "retry", "reject", "halt", "bug". Static. */
const char *ew_fault_name(enum ew_fault fault);
