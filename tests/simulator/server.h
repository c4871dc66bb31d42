/*
 * A listening port and its connections, with TLS or without, on one libuv loop. It reads whole
 * requests and hands them on; answers may come later, whole, in pieces, or not at all. It knows
 * nothing of SOAP.
 */
#pragma once

#include "http.h"
#include "settings.h"

#include <openssl/ssl.h>
#include <uv.h>

struct sim_conn;

enum sim_welcome { SIM_WELCOME_GO_ON, SIM_WELCOME_STALL, SIM_WELCOME_DROP };

struct sim_server_hooks {
    /* A whole request. It lives until the answer is sent. */
    void (*request)(void *context, struct sim_conn *conn, struct sim_http_request *request);
    /* The connection is gone; user is what sim_conn_set_user was given. */
    void (*closed)(void *context, void *user);
    /* Asked for each connection accepted; a stall holds its handshake back for *delay_ms (-1: until
     * sim_server_release). May be NULL. */
    enum sim_welcome (*welcome)(void *context, int64_t *delay_ms);
};

struct sim_server {
    uv_loop_t *loop;
    const struct sim_settings *settings;
    SSL_CTX *tls; /* borrowed; NULL: plain HTTP */
    bool fixed;   /* the settings' limits do not count: nobody locks himself out of this port */
    struct sim_server_hooks hooks;
    void *context;
    uv_tcp_t listeners[2]; /* 127.0.0.1 and ::1 */
    int listening;
    int port;
    struct sim_conn *conns;
    uint64_t accepted, handshakes, resumed;
};

/* Listens on loopback. port 0 chooses one. false with a message on stderr. */
bool sim_server_start(struct sim_server *server, int port);

/* Closes the listeners and every connection; the loop must run on for it to end. */
void sim_server_stop(struct sim_server *server);

/* Lets all held handshakes go on; returns how many. */
int sim_server_release(struct sim_server *server);

void sim_conn_set_user(struct sim_conn *conn, void *user);

/* Takes the user off again, unless another has come since. */
void sim_conn_forget(struct sim_conn *conn, const void *user);

/* The client's address; v4 as v4-mapped v6. */
void sim_conn_peer(const struct sim_conn *conn, unsigned char out[16]);

/* A whole answer. headers: lines ending in \r\n, or "". Closes afterwards if it must. */
void sim_conn_reply(struct sim_conn *conn, int status, const char *type, const char *headers,
                    const void *body, size_t len);

/* The head of such an answer alone, for one sent in pieces. */
void sim_conn_head(struct sim_conn *conn, struct sim_buf *out, int status, const char *type,
                   const char *headers, size_t len);

/* Raw bytes, for answers that are none or come in pieces. */
void sim_conn_send(struct sim_conn *conn, const void *data, size_t len);

/* Ends an answer sent in pieces: the next request may be read. */
void sim_conn_next(struct sim_conn *conn);

/* Closes once everything is sent. */
void sim_conn_finish(struct sim_conn *conn);

/* Closes now; with reset, by a TCP RST. */
void sim_conn_close(struct sim_conn *conn, bool reset);
