/*
 * The admin port: /livez, /readyz and /metrics over plain HTTP, on a thread of its own.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/metric.h"

struct ew_admin;

struct ew_admin_options {
    const char *address; /* an IPv4 address to listen on */
    int port;            /* 1-65535 */
    /* Called on the admin thread, any number at once; *reason is static text for the reply,
     * cut at 200 bytes. */
    bool (*live)(void *arg, const char **reason);
    bool (*ready)(void *arg, const char **reason);
    void *arg;
    const struct ew_metrics *metrics;
};

/* EW_HALT when the port cannot be had. thread: main */
EW_CHECK enum ew_fault ew_admin_start(const struct ew_admin_options *options, struct ew_admin **out,
                                      struct ew_err *err);
/* Waits for replies under way. NULL is fine. thread: main */
void ew_admin_stop(struct ew_admin *admin);
