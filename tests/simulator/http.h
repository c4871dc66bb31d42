/*
 * HTTP/1.1 as a server reads it: one request at a time out of a buffer, within limits. It writes
 * heads too; bodies and connections are conn.h's.
 */
#pragma once

#include "buf.h"

#include <stdint.h>

enum { SIM_HTTP_HEAD_MAX = 16384 };

struct sim_http_request {
    char method[12];
    char path[256];
    char query[512];
    char content_type[128];
    char soap_action[256];
    bool has_soap_action;
    bool close;  /* the client does not want the connection kept */
    bool expect; /* the client waits for 100 Continue */
    bool chunked;
    bool has_length;
    size_t length; /* of the body, when not chunked */
    struct sim_buf body;
};

enum sim_http_step {
    SIM_HTTP_MORE,     /* more bytes are needed */
    SIM_HTTP_CONTINUE, /* the head is read and 100 Continue is awaited; parse on after it */
    SIM_HTTP_DONE,     /* the request is whole; its bytes are taken out of the buffer */
    SIM_HTTP_BAD,      /* answer parser->status and close */
};

struct sim_http_parser {
    struct sim_http_request request;
    bool head_done;
    size_t chunk_left; /* bytes of the chunk being read, and its line end */
    bool in_trailer;
    size_t trailer_len;
    int status;
};

void sim_http_parser_init(struct sim_http_parser *parser, size_t max_body);
void sim_http_parser_deinit(struct sim_http_parser *parser);

/* Ready for the next request of the connection. */
void sim_http_parser_reset(struct sim_http_parser *parser, size_t max_body);

/* Consumes bytes of in. */
enum sim_http_step sim_http_parse(struct sim_http_parser *parser, struct sim_buf *in);

/* "Not Found" for 404. */
const char *sim_http_reason(int status);
