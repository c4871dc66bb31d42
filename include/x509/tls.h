/*
 * Our end of a TLS connection to a server: 1.2 or newer, its certificate's chain and name checked.
 * thread: who has the connection
 */
#pragma once

#include "base/err.h"

struct ssl_st;     /* OpenSSL's SSL, for a library that speaks through one */
struct ssl_ctx_st; /* its SSL_CTX, for one that makes connections of it */

/* For a server of this host name or address. ca_file: PEM bundle of whom to trust, read anew by
 * each call; NULL = the system's. EW_HALT: it cannot be read. Free with ew_tls_free, unless another
 * library took it over. */
EW_CHECK enum ew_fault ew_tls_client(const char *host, const char *ca_file, struct ssl_st **out,
                                     struct ew_err *err);
void ew_tls_free(struct ssl_st *tls);

/* Connections made of this give their buffers back while nothing comes or goes: 34 KiB, of each
 * that waits for a reply. libcurl from 8.8 on leaves that to who uses it. */
void ew_tls_release_buffers(struct ssl_ctx_st *context);

/* What kept the handshake from its end, of the peer's certificate if it was that; NULL = nothing.
 * Static. */
const char *ew_tls_trouble(const struct ssl_st *tls);
