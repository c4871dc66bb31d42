/*
 * One verb: POST over HTTPS, asynchronous on the loop, within time and size limits, with a gate
 * that lets the request go, or not, once the connection stands. Knows no SOAP and no retries:
 * libcurl's own silent repeat of a request is refused here. thread: loop, all of it (ew_http_new
 * may run in main before the loop runs).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "loop/loop.h"

struct ew_http;      /* connections, TLS sessions and names of one kind of peer */
struct ew_http_call; /* one request under way */

struct ew_http_options {
    const char *ca_file;    /* PEM bundle, the only one trusted; NULL = the system's bundle */
    const char *proxy;      /* NULL = none: the environment is never asked */
    int connect_timeout_ms; /* DNS, TCP and TLS together; 0 = 10,000 */
    int tcp_timeout_ms;     /* data that the peer does not acknowledge: then the kernel gives the
                               connection up, also one whose process is gone; 0 = 15,000 */
    int max_connections;    /* open at once; what goes beyond waits within its total time. 0 = no
                               limit: the caller bounds what it has in flight */
};

/* Initialises libcurl and ignores SIGPIPE, once in the process. EW_HALT: unreadable ca_file. */
EW_CHECK enum ew_fault ew_http_new(struct ew_loop *loop, const struct ew_http_options *options,
                                   struct ew_http **out, struct ew_err *err);
/* Cancels what is under way, without callbacks. Never from inside a gate. NULL is fine. */
void ew_http_free(struct ew_http *http);

/* All texts are borrowed for the callback. */
struct ew_http_result {
    bool gate_passed;   /* the gate said yes: bytes may have left this machine */
    int status;         /* 0 = no status line came */
    bool complete;      /* the reply ended where HTTP says; one that ends with its connection
                           counts if it has a body: the reader must see whether that is whole */
    bool too_large;     /* cut at max_reply */
    struct ew_buf body; /* what came of it, also of an incomplete one. To keep it, copy the struct
                           and ew_buf_init the original */
    int64_t date_ms;    /* Date of the reply, ms since 1970; 0 = none or unreadable */
    int64_t retry_after_ms;   /* 0 = not said */
    const char *content_type; /* "" if none */
    const char *problem; /* static: why it is not complete, "http-timeout"; NULL when complete */
    const char *detail;  /* libcurl's words, "" if none; from outside: escape before showing */
    int64_t connect_ms;  /* DNS, TCP and TLS; 0 on a kept connection */
    int64_t total_ms;
    bool fresh; /* a connection was made for this call */
};

struct ew_http_request {
    const char *url;          /* https only */
    const char *content_type; /* static */
    struct ew_buf *body;      /* taken over, also on failure (the caller's is empty then); wiped */
    int timeout_ms;           /* in all, waiting for a connection included */
    size_t max_reply;         /* bytes of body */
    bool fresh;               /* on a connection of its own, closed afterwards */
    /* Called at most once, when the connection stands and no byte of the request has left; false
     * means that none will. NULL = yes. It must not call this room. */
    bool (*gate)(void *arg);
    /* Called once, never from inside ew_http_post; the call is gone when it begins. */
    void (*done)(void *arg, struct ew_http_result *result);
    void *arg;
};

/* *out may be used until done begins. EW_RETRY without memory, EW_BUG for a URL that is not https:
 * then done is not called. The request itself is borrowed for the call. */
EW_CHECK enum ew_fault ew_http_post(struct ew_http *http, const struct ew_http_request *request,
                                    struct ew_http_call **out, struct ew_err *err);
/* Gives the call up: done will not be called. What has left has left. */
void ew_http_cancel(struct ew_http_call *call);
/* Calls under way. */
size_t ew_http_in_flight(const struct ew_http *http);
