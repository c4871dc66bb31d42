/*
 * Fills error values. Text from outside passes here on its way to logs, topics and people, so it is
 * made printable here.
 */
#include "base/err.h"

#include <stdio.h>
#include <string.h>

const char *
ew_fault_name(enum ew_fault fault)
{
    static const char *const names[] = {"ok", "retry", "reject", "halt", "bug"};

    return (unsigned)fault < sizeof(names) / sizeof(names[0]) ? names[fault] : "bug";
}

static void
make_printable(char *text)
{
    for (; *text != '\0'; text++)
        if (*text < 0x20 || *text > 0x7e)
            *text = '?';
}

static void
fill(struct ew_err *err, enum ew_fault fault, const char *problem, const char *field,
     const char *advice, const char *fmt, va_list args)
{
    err->fault = fault;
    err->problem = problem;
    err->advice = advice;
    (void)snprintf(err->field, sizeof(err->field), "%s", field);
    (void)vsnprintf(err->detail, sizeof(err->detail), fmt, args);
    make_printable(err->field);
    make_printable(err->detail);
}

enum ew_fault
ew_fail(struct ew_err *err, enum ew_fault fault, const char *problem, const char *fmt, ...)
{
    va_list args;

    if (err == NULL)
        return fault;
    va_start(args, fmt);
    fill(err, fault, problem, "", NULL, fmt, args);
    va_end(args);
    return fault;
}

enum ew_fault
ew_fail_field(struct ew_err *err, enum ew_fault fault, const char *problem, const char *field,
              const char *advice, const char *fmt, ...)
{
    va_list args;

    if (err == NULL)
        return fault;
    va_start(args, fmt);
    fill(err, fault, problem, field, advice, fmt, args);
    va_end(args);
    return fault;
}
