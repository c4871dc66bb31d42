/*
 * The request parser. Strict where a mistake would hide a client's fault: lengths, chunk sizes,
 * line ends.
 */
#include "http.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

void
sim_http_parser_init(struct sim_http_parser *parser, size_t max_body)
{
    memset(parser, 0, sizeof(*parser));
    sim_buf_init(&parser->request.body, max_body);
}

void
sim_http_parser_deinit(struct sim_http_parser *parser)
{
    sim_buf_deinit(&parser->request.body);
}

void
sim_http_parser_reset(struct sim_http_parser *parser, size_t max_body)
{
    sim_http_parser_deinit(parser);
    sim_http_parser_init(parser, max_body);
}

static enum sim_http_step
sim_http_bad(struct sim_http_parser *parser, int status)
{
    parser->status = status;
    return SIM_HTTP_BAD;
}

/* Cuts the word up to one of the stops, which must come, and moves behind it. */
static char *
sim_http_word(char **at, char stop)
{
    char *word = *at;
    char *end = strchr(word, stop);
    if (!end || end == word) {
        return NULL;
    }
    *end = 0;
    *at = end + 1;
    return word;
}

static bool
sim_http_request_line(struct sim_http_request *request, char *line)
{
    char *method = sim_http_word(&line, ' ');
    char *target = method ? sim_http_word(&line, ' ') : NULL;
    if (!target || (strcmp(line, "HTTP/1.1") != 0 && strcmp(line, "HTTP/1.0") != 0)) {
        return false;
    }
    char *query = strchr(target, '?');
    if (query) {
        *query++ = 0;
    }
    if (strlen(method) >= sizeof(request->method) || strlen(target) >= sizeof(request->path) ||
        (query && strlen(query) >= sizeof(request->query))) {
        return false;
    }
    sim_put(request->method, sizeof(request->method), method);
    sim_put(request->path, sizeof(request->path), target);
    sim_put(request->query, sizeof(request->query), query);
    request->close = strcmp(line, "HTTP/1.0") == 0;
    return true;
}

static bool
sim_http_length(struct sim_http_request *request, const char *value)
{
    char *end = NULL;
    if (*value < '0' || *value > '9' || request->has_length) {
        return false; /* two lengths are how requests are smuggled */
    }
    request->has_length = true;
    unsigned long long length = strtoull(value, &end, 10);
    request->length = (size_t)length;
    return *end == 0;
}

static bool
sim_http_header(struct sim_http_request *request, char *line)
{
    char *value = strchr(line, ':');
    if (!value || value == line || line + strcspn(line, " \t") < value) {
        return false;
    }
    *value++ = 0;
    value += strspn(value, " \t");
    size_t len = strlen(value);
    while (len && (value[len - 1] == ' ' || value[len - 1] == '\t')) {
        value[--len] = 0;
    }
    if (strcasecmp(line, "Content-Length") == 0) {
        return sim_http_length(request, value);
    }
    if (strcasecmp(line, "Transfer-Encoding") == 0) {
        request->chunked = strcasecmp(value, "chunked") == 0;
        return request->chunked;
    }
    if (strcasecmp(line, "Connection") == 0) {
        request->close = request->close ? strcasecmp(value, "keep-alive") != 0
                                        : strcasestr(value, "close") != NULL;
    } else if (strcasecmp(line, "Expect") == 0) {
        request->expect = strcasecmp(value, "100-continue") == 0;
    } else if (strcasecmp(line, "Content-Type") == 0) {
        sim_put(request->content_type, sizeof(request->content_type), value);
    } else if (strcasecmp(line, "SOAPAction") == 0) {
        request->has_soap_action = true;
        sim_put(request->soap_action, sizeof(request->soap_action), value);
    }
    return true;
}

static bool
sim_http_head(struct sim_http_request *request, char *head)
{
    bool first = true;
    while (*head) {
        char *end = strstr(head, "\r\n");
        if (end) {
            *end = 0;
        }
        if (first ? !sim_http_request_line(request, head) : !sim_http_header(request, head)) {
            return false;
        }
        first = false;
        head = end ? end + 2 : head + strlen(head);
    }
    return !first;
}

static enum sim_http_step
sim_http_take_head(struct sim_http_parser *parser, struct sim_buf *in)
{
    char *end = in->len ? memmem(in->data, in->len, "\r\n\r\n", 4) : NULL;
    if (!end) {
        return in->len > SIM_HTTP_HEAD_MAX ? sim_http_bad(parser, 431) : SIM_HTTP_MORE;
    }
    size_t len = (size_t)(end - in->data) + 4;
    *end = 0;
    struct sim_http_request *request = &parser->request;
    if (len > SIM_HTTP_HEAD_MAX || memchr(in->data, 0, len - 4) ||
        !sim_http_head(request, in->data)) {
        return sim_http_bad(parser, 400);
    }
    sim_buf_drop(in, len);
    parser->head_done = true;
    if (request->chunked && request->has_length) {
        return sim_http_bad(parser, 400);
    }
    if (!request->chunked && request->length > request->body.max) {
        return sim_http_bad(parser, 413);
    }
    if (request->expect && in->len == 0 && (request->chunked || request->length)) {
        return SIM_HTTP_CONTINUE;
    }
    return SIM_HTTP_DONE;
}

/* Reads a chunk-size line; false when it is not whole yet. */
static enum sim_http_step
sim_http_chunk_size(struct sim_http_parser *parser, struct sim_buf *in, bool *last)
{
    char *end = in->len ? memmem(in->data, in->len, "\r\n", 2) : NULL;
    if (!end) {
        return in->len > 256 ? sim_http_bad(parser, 400) : SIM_HTTP_MORE;
    }
    *end = 0;
    size_t digits = strspn(in->data, "0123456789abcdefABCDEF");
    if (!digits || (in->data[digits] && in->data[digits] != ';')) {
        return sim_http_bad(parser, 400);
    }
    unsigned long long size = strtoull(in->data, NULL, 16);
    if (size > parser->request.body.max) {
        return sim_http_bad(parser, 413);
    }
    sim_buf_drop(in, (size_t)(end - in->data) + 2);
    *last = size == 0;
    parser->chunk_left = size ? (size_t)size + 2 : 0;
    return SIM_HTTP_DONE;
}

static enum sim_http_step
sim_http_trailer(struct sim_http_parser *parser, struct sim_buf *in)
{
    for (;;) {
        char *end = in->len ? memmem(in->data, in->len, "\r\n", 2) : NULL;
        if (!end) {
            return in->len > SIM_HTTP_HEAD_MAX ? sim_http_bad(parser, 431) : SIM_HTTP_MORE;
        }
        bool empty = end == in->data;
        size_t len = (size_t)(end - in->data) + 2;
        sim_buf_drop(in, len);
        parser->trailer_len += len;
        if (parser->trailer_len > SIM_HTTP_HEAD_MAX) {
            return sim_http_bad(parser, 431);
        }
        if (empty) {
            return SIM_HTTP_DONE;
        }
    }
}

static enum sim_http_step
sim_http_chunks(struct sim_http_parser *parser, struct sim_buf *in)
{
    while (!parser->in_trailer) {
        if (parser->chunk_left == 0) {
            enum sim_http_step step = sim_http_chunk_size(parser, in, &parser->in_trailer);
            if (step != SIM_HTTP_DONE) {
                return step;
            }
            continue;
        }
        if (in->len < parser->chunk_left) {
            return SIM_HTTP_MORE;
        }
        if (memcmp(in->data + parser->chunk_left - 2, "\r\n", 2) != 0) {
            return sim_http_bad(parser, 400);
        }
        sim_buf_add(&parser->request.body, in->data, parser->chunk_left - 2);
        if (parser->request.body.full) {
            return sim_http_bad(parser, 413);
        }
        sim_buf_drop(in, parser->chunk_left);
        parser->chunk_left = 0;
    }
    return sim_http_trailer(parser, in);
}

enum sim_http_step
sim_http_parse(struct sim_http_parser *parser, struct sim_buf *in)
{
    if (!parser->head_done) {
        enum sim_http_step step = sim_http_take_head(parser, in);
        if (step != SIM_HTTP_DONE) {
            return step;
        }
    }
    if (parser->request.chunked) {
        return sim_http_chunks(parser, in);
    }
    if (in->len < parser->request.length) {
        return SIM_HTTP_MORE;
    }
    if (parser->request.length) {
        sim_buf_add(&parser->request.body, in->data, parser->request.length);
        sim_buf_drop(in, parser->request.length);
    }
    return SIM_HTTP_DONE;
}

const char *
sim_http_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {100, "Continue"},
        {200, "OK"},
        {302, "Found"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {409, "Conflict"},
        {413, "Content Too Large"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (reasons[i].status == status) {
            return reasons[i].reason;
        }
    }
    return "Unknown";
}
