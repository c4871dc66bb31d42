/*
 * How a call ends: with a true answer, a spoiled one, or none.
 */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

enum { PIECES = 20, SLOW_BODY_MS = 2000 };

static const char SOAP_TYPE[] = "text/xml;charset=UTF-8";

/* Headers that the service was seen to send. The cookie means nothing. */
static void
sim_call_headers(char out[160])
{
    unsigned char random[16];
    char id[33];
    sim_random(random, sizeof(random));
    sim_hex(id, random, sizeof(random));
    (void)snprintf(out, 160,
                   "Set-Cookie: JSESSIONID=%s; Path=/cr\r\n"
                   "Strict-Transport-Security: max-age=60\r\n",
                   id);
}

void
sim_call_send(struct sim_call *call, int status, const struct sim_buf *body)
{
    char headers[160];
    sim_call_headers(headers);
    sim_conn_reply(call->conn, status, SOAP_TYPE, headers, body->data, body->len);
}

void
sim_conn_page(struct sim_conn *conn, int status, int64_t retry_after_s)
{
    struct sim_buf page;
    char headers[64] = "";
    sim_buf_init(&page, 4096);
    sim_buf_printf(&page,
                   "<!DOCTYPE html><html><head><title>%d</title></head><body><h1>%s</h1><p>The "
                   "service cannot be reached at the moment.<br></p></body></html>\n",
                   status, sim_http_reason(status));
    if (retry_after_s >= 0) {
        (void)snprintf(headers, sizeof(headers), "Retry-After: %lld\r\n", (long long)retry_after_s);
    }
    sim_conn_reply(conn, status, "text/html; charset=UTF-8", headers, page.data, page.len);
    sim_buf_deinit(&page);
}

static void
sim_call_soap_fault(struct sim_call *call, const char *code, const char *text)
{
    struct sim_buf body;
    sim_buf_init(&body, 4096);
    sim_fault_write(&body, code, text);
    sim_call_send(call, 500, &body);
    sim_buf_deinit(&body);
}

static void
sim_call_refuse(struct sim_call *call)
{
    struct sim_buf body;
    struct sim_answer answer;
    struct sim_errors errors = {0};
    sim_errors_add(&errors, call->fault.code, call->fault.field);
    sim_buf_init(&body, 65536);
    sim_answer_open(&answer, &body, &call->sim->settings, call->op, -1, &errors);
    sim_answer_close(&answer);
    sim_call_send(call, 200, &body);
    sim_buf_deinit(&body);
}

int
sim_call_success(const struct sim_call *call, struct sim_errors *notes)
{
    bool told = call->fault.kind == SIM_FAULT_WARNING || call->fault.kind == SIM_FAULT_PENDING;
    *notes = call->errors;
    if (notes->count) {
        return -1;
    }
    if (told && call->fault.success_code) {
        sim_errors_add(notes, call->fault.code, call->fault.field);
        return call->fault.success_code;
    }
    return 0;
}

/* Part of an answer, then the end. */
static void
sim_call_cut(struct sim_call *call, const void *data, size_t len)
{
    sim_conn_send(call->conn, data, len);
    sim_conn_finish(call->conn);
}

static void
sim_call_half(struct sim_call *call, const struct sim_buf *body)
{
    struct sim_buf out;
    sim_buf_init(&out, SIZE_MAX / 4);
    sim_conn_head(call->conn, &out, 200, SOAP_TYPE, "", body->len);
    sim_buf_add(&out, body->data, body->len / 2);
    sim_call_cut(call, out.data, out.len);
    sim_buf_deinit(&out);
}

static void
sim_call_piece(uv_timer_t *timer)
{
    struct sim_call *call = timer->data;
    size_t left = call->answer.len - call->sent;
    size_t piece = call->answer.len / PIECES + 1;
    piece = piece < left ? piece : left;
    if (call->conn && left) {
        sim_conn_send(call->conn, call->answer.data + call->sent, piece);
        call->sent += piece;
        return;
    }
    struct sim_conn *conn = call->conn;
    sim_call_free(call);
    if (conn) {
        sim_conn_next(conn);
    }
}

static void
sim_call_trickle(struct sim_call *call, const struct sim_buf *body)
{
    int64_t delay = call->fault.delay_ms >= 0 ? call->fault.delay_ms : SLOW_BODY_MS;
    struct sim_buf head;
    sim_buf_init(&head, 4096);
    sim_conn_head(call->conn, &head, 200, SOAP_TYPE, "", body->len);
    sim_conn_send(call->conn, head.data, head.len);
    sim_buf_deinit(&head);
    sim_buf_init(&call->answer, body->len);
    sim_buf_add(&call->answer, body->data, body->len);
    uint64_t step = (uint64_t)(delay / PIECES) + 1;
    uv_timer_start(&call->timer, sim_call_piece, step, step);
}

/* Spoiled or instead of it; true when the call is not over yet. */
static bool
sim_call_act(struct sim_call *call, const struct sim_buf *body)
{
    static const char status_line[] = "HTTP/1.1 200 OK\r\n";
    struct sim_conn *conn = call->conn;
    struct sim_buf none = {0};
    struct sim_buf part = body ? *body : none;
    switch (call->fault.kind) {
    case SIM_FAULT_CLOSE_BEFORE:
    case SIM_FAULT_ACCEPT_DROP:
        sim_conn_close(conn, false);
        break;
    case SIM_FAULT_RESET:
        sim_conn_close(conn, true);
        break;
    case SIM_FAULT_STATUS_LINE:
        sim_call_cut(call, status_line, sizeof(status_line) - 1);
        break;
    case SIM_FAULT_TRUNCATED:
        part.len /= 2;
        sim_call_send(call, 200, &part);
        break;
    case SIM_FAULT_HALF_BODY:
        sim_call_half(call, &part);
        break;
    case SIM_FAULT_EMPTY_BODY:
        sim_call_send(call, 200, &none);
        break;
    case SIM_FAULT_HTML:
        sim_conn_page(conn, 200, -1);
        break;
    case SIM_FAULT_HTTP_429:
        sim_conn_page(conn, 429, call->fault.retry_after_s);
        break;
    case SIM_FAULT_HTTP_503:
        sim_conn_page(conn, 503, call->fault.retry_after_s);
        break;
    case SIM_FAULT_HTTP_STATUS:
        sim_conn_page(conn, call->fault.code, call->fault.retry_after_s);
        break;
    case SIM_FAULT_REDIRECT:
        sim_conn_reply(conn, 302, "text/html", "Location: https://maintenance.invalid/sorry\r\n",
                       "", 0);
        break;
    case SIM_FAULT_SOAP_CLIENT:
        sim_call_soap_fault(call, "soap:Client", "Unmarshalling Error: simulated.");
        break;
    case SIM_FAULT_SOAP_SERVER:
        sim_call_soap_fault(call, "soap:Server", "Fault occurred while processing.");
        break;
    case SIM_FAULT_ERROR:
        sim_call_refuse(call);
        break;
    case SIM_FAULT_SLOW_BODY:
        sim_call_trickle(call, &part);
        return true;
    default:
        sim_call_send(call, 200, &part);
        break;
    }
    return false;
}

void
sim_call_misbehave(struct sim_call *call, struct sim_buf *body)
{
    if (call->conn && sim_call_act(call, body)) {
        return;
    }
    /* An answer already given has taken the connection away from the call. */
    sim_call_free(call);
}
