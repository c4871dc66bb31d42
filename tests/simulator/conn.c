/*
 * One connection: TCP, TLS over memory buffers, requests in, answers out. TLS lives in memory so
 * that a test can stop a connection at any byte, before or inside the handshake.
 */
#include "conn.h"

#include <netinet/in.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sim_conn {
    uv_tcp_t tcp;
    uv_timer_t timer; /* idle, or the end of a stall */
    struct sim_server *server;
    struct sim_conn *next, *prev;
    SSL *ssl;
    BIO *from_net, *to_net;
    struct sim_buf in;
    struct sim_http_parser parser;
    void *user;
    int handles; /* not closed yet */
    int writing; /* writes under way */
    bool busy;   /* a request waits for its answer */
    bool keep;   /* the connection stays open after that answer */
    bool stalled, counted, finishing, closed;
    bool parsing;
    char buffer[16384];
};

struct sim_write {
    uv_write_t request;
    struct sim_conn *conn;
    char data[];
};

static void
sim_conn_freed(uv_handle_t *handle)
{
    struct sim_conn *conn = handle->data;
    if (--conn->handles > 0) {
        return;
    }
    SSL_free(conn->ssl);
    sim_buf_deinit(&conn->in);
    sim_http_parser_deinit(&conn->parser);
    free(conn);
}

void
sim_conn_close(struct sim_conn *conn, bool reset)
{
    if (conn->closed) {
        return;
    }
    conn->closed = true;
    if (conn->next) {
        conn->next->prev = conn->prev;
    }
    if (conn->prev) {
        conn->prev->next = conn->next;
    } else {
        conn->server->conns = conn->next;
    }
    if (conn->user) {
        void *user = conn->user;
        conn->user = NULL;
        conn->server->hooks.closed(conn->server->context, user);
    }
    uv_close((uv_handle_t *)&conn->timer, sim_conn_freed);
    if (!reset || uv_tcp_close_reset(&conn->tcp, sim_conn_freed) != 0) {
        uv_close((uv_handle_t *)&conn->tcp, sim_conn_freed);
    }
}

void
sim_conn_close_all(struct sim_server *server)
{
    while (server->conns) {
        sim_conn_close(server->conns, false);
    }
}

static void sim_conn_parse(struct sim_conn *conn);

/* The next request waits while the client does not take the answers before it. */
static bool
sim_conn_clogged(const struct sim_conn *conn)
{
    enum { AHEAD = 1 << 20 };
    return uv_stream_get_write_queue_size((const uv_stream_t *)&conn->tcp) > AHEAD;
}

static void
sim_conn_written(uv_write_t *request, int status)
{
    struct sim_write *write = (struct sim_write *)(void *)request;
    struct sim_conn *conn = write->conn;
    free(write);
    conn->writing--;
    if (conn->closed) {
        return;
    }
    if (status < 0 || (conn->finishing && conn->writing == 0)) {
        sim_conn_close(conn, false);
    } else if (!conn->parsing && conn->in.len && !sim_conn_clogged(conn)) {
        sim_conn_parse(conn);
    }
}

static void
sim_conn_put(struct sim_conn *conn, const void *data, size_t len)
{
    struct sim_write *write = sim_alloc(sizeof(*write) + len);
    memcpy(write->data, data, len);
    write->conn = conn;
    uv_buf_t buf = uv_buf_init(write->data, (unsigned)len);
    conn->writing++;
    if (uv_write(&write->request, (uv_stream_t *)&conn->tcp, &buf, 1, sim_conn_written)) {
        conn->writing--;
        free(write);
        sim_conn_close(conn, false);
    }
}

/* Moves what TLS has written to the network. */
static void
sim_conn_flush(struct sim_conn *conn)
{
    char *data = NULL;
    long len = conn->ssl && !conn->closed ? BIO_get_mem_data(conn->to_net, &data) : 0;
    if (len > 0) {
        sim_conn_put(conn, data, (size_t)len);
        (void)BIO_reset(conn->to_net);
    }
}

void
sim_conn_send(struct sim_conn *conn, const void *data, size_t len)
{
    if (conn->closed || len == 0) {
        return;
    }
    if (!conn->ssl) {
        sim_conn_put(conn, data, len);
        return;
    }
    size_t done = 0;
    ERR_clear_error();
    if (SSL_write_ex(conn->ssl, data, len, &done) != 1) {
        sim_conn_close(conn, false);
        return;
    }
    sim_conn_flush(conn);
}

void
sim_conn_finish(struct sim_conn *conn)
{
    if (conn->closed || conn->finishing) {
        return;
    }
    conn->finishing = true;
    if (conn->ssl && SSL_is_init_finished(conn->ssl)) {
        SSL_shutdown(conn->ssl);
        sim_conn_flush(conn);
    }
    if (!conn->closed && conn->writing == 0) {
        sim_conn_close(conn, false);
    }
}

enum { FIXED_IDLE_MS = 60000, FIXED_BODY = 16 << 20 };

static size_t
sim_conn_max_body(const struct sim_conn *conn)
{
    return conn->server->fixed ? FIXED_BODY : (size_t)conn->server->settings->max_body;
}

static void sim_conn_timeout(uv_timer_t *timer);

static void
sim_conn_arm(struct sim_conn *conn)
{
    int64_t ms = conn->server->fixed ? FIXED_IDLE_MS : conn->server->settings->idle_ms;
    uv_timer_start(&conn->timer, sim_conn_timeout, (uint64_t)ms, 0);
}

void
sim_conn_head(struct sim_conn *conn, struct sim_buf *out, int status, const char *type,
              const char *headers, size_t len)
{
    char date[40];
    sim_time_http(sim_now_ms(conn->server->settings), date);
    sim_buf_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, sim_http_reason(status), date);
    if (type) {
        sim_buf_printf(out, "Content-Type: %s\r\n", type);
    }
    sim_buf_printf(out, "Content-Length: %zu\r\n%sConnection: %s\r\n\r\n", len, headers,
                   conn->keep ? "keep-alive" : "close");
}

void
sim_conn_reply(struct sim_conn *conn, int status, const char *type, const char *headers,
               const void *body, size_t len)
{
    struct sim_buf out;
    sim_buf_init(&out, SIZE_MAX / 4);
    sim_conn_head(conn, &out, status, type, headers, len);
    sim_buf_add(&out, body, len);
    sim_conn_send(conn, out.data, out.len);
    sim_buf_deinit(&out);
    sim_conn_next(conn);
}

void
sim_conn_next(struct sim_conn *conn)
{
    if (conn->closed) {
        return;
    }
    conn->busy = false;
    conn->user = NULL;
    if (!conn->keep) {
        sim_conn_finish(conn);
        return;
    }
    sim_http_parser_reset(&conn->parser, sim_conn_max_body(conn));
    sim_conn_arm(conn);
    if (!conn->parsing) {
        sim_conn_parse(conn);
    }
}

static void
sim_conn_bad(struct sim_conn *conn, int status)
{
    static const char body[] = "bad request\n";
    conn->busy = true;
    conn->keep = false;
    sim_conn_reply(conn, status, "text/plain", "", body, sizeof(body) - 1);
}

static void
sim_conn_parse(struct sim_conn *conn)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    conn->parsing = true;
    while (!conn->closed && !conn->busy && !conn->finishing && !sim_conn_clogged(conn)) {
        enum sim_http_step step = sim_http_parse(&conn->parser, &conn->in);
        if (step == SIM_HTTP_MORE) {
            break;
        }
        if (step == SIM_HTTP_CONTINUE) {
            sim_conn_send(conn, go_on, sizeof(go_on) - 1);
        } else if (step == SIM_HTTP_BAD) {
            sim_conn_bad(conn, conn->parser.status);
        } else {
            conn->busy = true;
            conn->keep = !conn->parser.request.close && conn->server->settings->keepalive;
            uv_timer_stop(&conn->timer);
            conn->server->hooks.request(conn->server->context, conn, &conn->parser.request);
        }
    }
    conn->parsing = false;
}

/* Feeds what came from the network to TLS and takes the clear text out. */
static bool
sim_conn_decrypt(struct sim_conn *conn)
{
    char clear[16384];
    size_t got = 0;
    ERR_clear_error(); /* SSL_get_error looks at the whole queue */
    while (SSL_read_ex(conn->ssl, clear, sizeof(clear), &got) == 1) {
        sim_buf_add(&conn->in, clear, got);
    }
    int reason = SSL_get_error(conn->ssl, 0);
    if (!conn->counted && SSL_is_init_finished(conn->ssl)) {
        conn->counted = true;
        conn->server->handshakes++;
        conn->server->resumed += SSL_session_reused(conn->ssl) ? 1 : 0;
    }
    sim_conn_flush(conn);
    return reason == SSL_ERROR_WANT_READ && !conn->in.full;
}

static void
sim_conn_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct sim_conn *conn = handle->data;
    *buf = uv_buf_init(conn->buffer, sizeof(conn->buffer));
}

static void
sim_conn_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    struct sim_conn *conn = stream->data;
    if (len == 0 || conn->closed) {
        return;
    }
    if (len < 0) {
        sim_conn_close(conn, false);
        return;
    }
    bool open = true;
    if (!conn->ssl) {
        sim_buf_add(&conn->in, buf->base, (size_t)len);
    } else {
        open = BIO_write(conn->from_net, buf->base, (int)len) == len && sim_conn_decrypt(conn);
    }
    /* A request that comes together with the client's goodbye counts all the same. */
    if (!conn->closed && !conn->in.full && !conn->parsing) {
        sim_conn_parse(conn);
    }
    if (!open || conn->in.full) {
        sim_conn_close(conn, false);
    }
}

static void
sim_conn_begin(struct sim_conn *conn)
{
    conn->stalled = false;
    sim_conn_arm(conn);
    if (uv_read_start((uv_stream_t *)&conn->tcp, sim_conn_alloc, sim_conn_read)) {
        sim_conn_close(conn, false);
    }
}

static void
sim_conn_timeout(uv_timer_t *timer)
{
    struct sim_conn *conn = timer->data;
    if (conn->stalled) {
        sim_conn_begin(conn);
    } else {
        sim_conn_close(conn, false);
    }
}

static void
sim_conn_tls(struct sim_conn *conn)
{
    conn->ssl = SSL_new(conn->server->tls);
    conn->from_net = BIO_new(BIO_s_mem());
    conn->to_net = BIO_new(BIO_s_mem());
    if (!conn->ssl || !conn->from_net || !conn->to_net) {
        abort();
    }
    BIO_set_mem_eof_return(conn->from_net, -1);
    BIO_set_mem_eof_return(conn->to_net, -1);
    SSL_set_bio(conn->ssl, conn->from_net, conn->to_net);
    SSL_set_accept_state(conn->ssl);
}

void
sim_conn_open(struct sim_server *server, uv_stream_t *listener)
{
    struct sim_conn *conn = sim_alloc(sizeof(*conn));
    conn->server = server;
    conn->handles = 2;
    uv_tcp_init(server->loop, &conn->tcp);
    uv_timer_init(server->loop, &conn->timer);
    conn->tcp.data = conn->timer.data = conn;
    size_t max_body = sim_conn_max_body(conn);
    sim_buf_init(&conn->in, max_body + 4 * SIM_HTTP_HEAD_MAX);
    sim_http_parser_init(&conn->parser, max_body);
    conn->next = server->conns;
    if (conn->next) {
        conn->next->prev = conn;
    }
    server->conns = conn;
    server->accepted++;
    if (uv_accept(listener, (uv_stream_t *)&conn->tcp)) {
        sim_conn_close(conn, false);
        return;
    }
    uv_tcp_nodelay(&conn->tcp, 1);
    if (server->tls) {
        sim_conn_tls(conn);
    }
    int64_t delay_ms = -1;
    switch (server->hooks.welcome ? server->hooks.welcome(server->context, &delay_ms)
                                  : SIM_WELCOME_GO_ON) {
    case SIM_WELCOME_GO_ON:
        sim_conn_begin(conn);
        break;
    case SIM_WELCOME_STALL:
        conn->stalled = true;
        if (delay_ms >= 0) {
            uv_timer_start(&conn->timer, sim_conn_timeout, (uint64_t)delay_ms, 0);
        }
        break;
    case SIM_WELCOME_DROP:
        sim_conn_close(conn, false);
        break;
    }
}

int
sim_server_release(struct sim_server *server)
{
    int count = 0;
    struct sim_conn *next = NULL;
    for (struct sim_conn *conn = server->conns; conn; conn = next) {
        next = conn->next;
        if (conn->stalled) {
            count++;
            sim_conn_begin(conn);
        }
    }
    return count;
}

void
sim_conn_set_user(struct sim_conn *conn, void *user)
{
    conn->user = user;
}

void
sim_conn_forget(struct sim_conn *conn, const void *user)
{
    if (conn->user == user) {
        conn->user = NULL;
    }
}

void
sim_conn_peer(const struct sim_conn *conn, unsigned char out[16])
{
    struct sockaddr_storage address;
    int len = sizeof(address);
    memset(out, 0, 16);
    if (uv_tcp_getpeername(&conn->tcp, (struct sockaddr *)&address, &len)) {
        return;
    }
    if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)&address;
        memcpy(out, &in6->sin6_addr, 16);
    } else {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&address;
        out[10] = out[11] = 0xff;
        memcpy(out + 12, &in->sin_addr, 4);
    }
}
