/*
 * The inside of http: what its files share. curl's types stay in this room.
 */
#pragma once

#include <curl/curl.h>

#include "base/list.h"
#include "http/http.h"

enum {
    EW_HTTP_CONNECT_MS = 10 * 1000,  /* default of connect_timeout_ms */
    EW_HTTP_TCP_MS = 15 * 1000,      /* default of tcp_timeout_ms */
    EW_HTTP_IDLE_S = 30,             /* a kept connection older than this is not used again */
    EW_HTTP_NAME_S = 10,             /* an address is asked for again after this time */
    EW_HTTP_KEPT_MAX = 1024,         /* connections that the cache counts, busy ones included */
    EW_HTTP_FIRST_REPLY = 16 * 1024, /* curl's receive buffer */
};

struct ew_http {
    struct ew_loop *loop;
    CURLM *multi;
    CURLSH *share;
    char *ca_file, *proxy;
    int connect_timeout_ms, tcp_timeout_ms;
    struct ew_timer timer; /* curl's one timer */
    struct ew_list sockets;
    struct ew_list calls;
    size_t in_flight;
    unsigned serving; /* depth of callbacks under way */
    bool doomed;      /* freed by one of them: goes when they have returned */
};

struct ew_http_call {
    struct ew_link link;
    struct ew_http *http;
    CURL *easy;
    struct curl_slist *headers;
    struct ew_buf body;  /* of the request */
    struct ew_buf reply; /* body of the reply */
    unsigned gate_calls; /* pre-request callbacks: one for each time curl wants to send */
    bool gate_passed;
    bool too_large;
    bool (*gate)(void *arg);
    void (*done)(void *arg, struct ew_http_result *result);
    void *arg;
    char detail[CURL_ERROR_SIZE];
};

/* Hooks the multi handle to the loop. */
EW_CHECK enum ew_fault ew_http_multi_start(struct ew_http *http, int max_connections,
                                           struct ew_err *err);
void ew_http_multi_stop(struct ew_http *http);

/* Sets every option of call->easy. */
EW_CHECK enum ew_fault ew_http_set_options(struct ew_http_call *call,
                                           const struct ew_http_request *request,
                                           struct ew_err *err);

/* Fills what the transfer came to; texts point into the call and its handle. */
void ew_http_result_read(struct ew_http_call *call, CURLcode code, struct ew_http_result *result);

/* Takes the call out of everything that could reach it. */
void ew_http_call_detach(struct ew_http_call *call);
/* Detaches and frees. */
void ew_http_call_free(struct ew_http_call *call);
