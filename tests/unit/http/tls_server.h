/*
 * A small HTTPS server for tests: one thread a connection, answers by script, misbehaves on
 * demand below HTTP, counts what it saw. Not the simulator: it knows nothing of GlobalSign.
 */
#pragma once

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum tls_then { TLS_KEEP, TLS_CLOSE, TLS_ABRUPT, TLS_RESET, TLS_STALL };

/* What to do with one request, after it was read whole. */
struct tls_reply {
    const char *bytes; /* status line and all; NULL = nothing */
    enum tls_then then;
    int delay_ms;
};

enum { TLS_CONNECTIONS = 64, TLS_REQUEST_MAX = 64 * 1024 };

struct tls_server {
    int fd, port;
    SSL_CTX *ctx;
    char ca_file[64];
    char url[64];
    pthread_t thread;
    struct tls_reply script[16]; /* by the number of the request; the last one repeats */
    size_t script_len;
    atomic_bool stall_handshake;
    _Atomic int connections, requests, resumed;
    atomic_bool stopping;
    pthread_mutex_t lock;
    char last_request[TLS_REQUEST_MAX]; /* under lock */
    struct tls_connection {
        struct tls_server *server;
        int fd;
        pthread_t thread;
    } all[TLS_CONNECTIONS];
    int count;
};

/* Waits until there is something to read, or the server stops. */
static inline bool
tls_wait(struct tls_server *server, SSL *ssl, int fd)
{
    while (!server->stopping) {
        struct pollfd p = {.fd = fd, .events = POLLIN};

        if (ssl && SSL_pending(ssl) > 0)
            return true;
        if (poll(&p, 1, 20) > 0)
            return true;
    }
    return false;
}

static inline bool
tls_read_request(struct tls_connection *conn, SSL *ssl)
{
    struct tls_server *server = conn->server;
    char *text = calloc(1, TLS_REQUEST_MAX);
    size_t len = 0, want = SIZE_MAX;
    bool whole = false;

    while (!whole && len < TLS_REQUEST_MAX - 1 && tls_wait(server, ssl, conn->fd)) {
        int n = SSL_read(ssl, text + len, (int)(TLS_REQUEST_MAX - 1 - len));
        const char *end, *length;

        if (n <= 0)
            break;
        len += (size_t)n;
        text[len] = '\0';
        if (want == SIZE_MAX && (end = strstr(text, "\r\n\r\n")) != NULL) {
            length = strcasestr(text, "\r\nContent-Length: ");
            want = (size_t)(end + 4 - text) + (length ? (size_t)atoi(length + 18) : 0);
        }
        whole = len >= want;
    }
    if (whole) {
        pthread_mutex_lock(&server->lock);
        memcpy(server->last_request, text, len + 1);
        pthread_mutex_unlock(&server->lock);
    }
    free(text);
    return whole;
}

static inline bool
tls_answer(struct tls_connection *conn, SSL *ssl, const struct tls_reply *reply)
{
    struct linger now = {.l_onoff = 1};

    for (int waited = 0; waited < reply->delay_ms && !conn->server->stopping; waited += 10)
        usleep(10000);
    if (reply->bytes && *reply->bytes)
        SSL_write(ssl, reply->bytes, (int)strlen(reply->bytes));
    switch (reply->then) {
    case TLS_KEEP:
        return true;
    case TLS_CLOSE:
        SSL_shutdown(ssl);
        return false;
    case TLS_RESET:
        setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        return false;
    case TLS_STALL:
        while (!conn->server->stopping)
            usleep(10000);
        return false;
    case TLS_ABRUPT:
        return false;
    }
    return false;
}

static inline void *
tls_connection_thread(void *arg)
{
    struct tls_connection *conn = arg;
    struct tls_server *server = conn->server;
    SSL *ssl = SSL_new(server->ctx);
    bool open = true;

    SSL_set_fd(ssl, conn->fd);
    while (server->stall_handshake && !server->stopping)
        usleep(10000);
    if (tls_wait(server, NULL, conn->fd) && SSL_accept(ssl) == 1) {
        server->resumed += SSL_session_reused(ssl) ? 1 : 0;
        while (open && tls_read_request(conn, ssl)) {
            size_t n = (size_t)server->requests++;

            if (n >= server->script_len)
                n = server->script_len - 1;
            open = tls_answer(conn, ssl, &server->script[n]);
        }
    }
    SSL_free(ssl);
    close(conn->fd);
    return NULL;
}

static inline void *
tls_accept_thread(void *arg)
{
    struct tls_server *server = arg;

    while (tls_wait(server, NULL, server->fd) && server->count < TLS_CONNECTIONS) {
        struct tls_connection *conn = &server->all[server->count];

        conn->server = server;
        conn->fd = accept(server->fd, NULL, NULL);
        if (conn->fd < 0)
            continue;
        server->connections++;
        server->count++;
        pthread_create(&conn->thread, NULL, tls_connection_thread, conn);
    }
    return NULL;
}

/* A certificate of its own making for `name` (a SAN as OpenSSL writes it: "IP:127.0.0.1"). Each has
 * another subject, by which OpenSSL looks for issuers. */
static inline void
tls_make_certificate(struct tls_server *server, const char *name)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, name);
    static _Atomic int made;
    char subject[32];
    int fd;
    FILE *file;

    snprintf(subject, sizeof(subject), "test server %d", ++made);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)subject, -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    X509_set_pubkey(cert, key);
    X509_add_ext(cert, san, -1);
    X509_sign(cert, key, EVP_sha256());
    SSL_CTX_use_certificate(server->ctx, cert);
    SSL_CTX_use_PrivateKey(server->ctx, key);
    snprintf(server->ca_file, sizeof(server->ca_file), "/tmp/ew-test-ca-XXXXXX");
    fd = mkstemp(server->ca_file);
    file = fdopen(fd, "w");
    PEM_write_X509(file, cert);
    fclose(file);
    X509_EXTENSION_free(san);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static inline struct tls_server *
tls_server_start(const char *name, const struct tls_reply *script, size_t len)
{
    struct tls_server *server = calloc(1, sizeof(*server));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);

    memcpy(server->script, script, len * sizeof(*script));
    server->script_len = len;
    server->ctx = SSL_CTX_new(TLS_server_method());
    pthread_mutex_init(&server->lock, NULL);
    tls_make_certificate(server, name);
    server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(server->fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(server->fd, 64) != 0 ||
        getsockname(server->fd, (struct sockaddr *)&address, &size) != 0)
        abort();
    server->port = ntohs(address.sin_port);
    snprintf(server->url, sizeof(server->url), "https://127.0.0.1:%d/cr/ws", server->port);
    pthread_create(&server->thread, NULL, tls_accept_thread, server);
    return server;
}

/* Of a client's connection to it, as the kernel has it: after how many ms of silence about what was
 * sent it is given up. 0 = for ever, or no such connection. */
static inline unsigned
tls_client_patience(const struct tls_server *server)
{
    for (int fd = 0; fd < 1024; fd++) {
        struct sockaddr_in peer = {0};
        socklen_t size = sizeof(peer), len = sizeof(unsigned);
        unsigned ms = 0;

        if (getpeername(fd, (struct sockaddr *)&peer, &size) == 0 && peer.sin_family == AF_INET &&
            ntohs(peer.sin_port) == server->port &&
            getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, &len) == 0)
            return ms;
    }
    return 0;
}

static inline void
tls_server_stop(struct tls_server *server)
{
    server->stopping = true;
    pthread_join(server->thread, NULL);
    for (int i = 0; i < server->count; i++)
        pthread_join(server->all[i].thread, NULL);
    close(server->fd);
    unlink(server->ca_file);
    SSL_CTX_free(server->ctx);
    pthread_mutex_destroy(&server->lock);
    free(server);
}
