/*
 * TLS to servers.
 */
#include "x509/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "x509_private.h"

static SSL_CTX *
context_new(const char *ca_file)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    bool trusts = false;

    if (ctx != NULL && SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1)
        trusts = (ca_file == NULL ? SSL_CTX_set_default_verify_paths(ctx)
                                  : SSL_CTX_load_verify_file(ctx, ca_file)) == 1;
    if (!trusts) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    return ctx;
}

/* The certificate must be for this host; only a name may be asked for in the handshake. */
static bool
expect_host(SSL *ssl, const char *host)
{
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1)
        return true;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

enum ew_fault
ew_tls_client(const char *host, const char *ca_file, struct ssl_st **out, struct ew_err *err)
{
    SSL_CTX *ctx = context_new(ca_file);
    SSL *ssl = ctx == NULL ? NULL : SSL_new(ctx);

    SSL_CTX_free(ctx); /* ssl has a share in it */
    if (ssl == NULL || !expect_host(ssl, host)) {
        SSL_free(ssl);
        return ew_openssl_fail(err, EW_HALT, "tls", ca_file == NULL ? host : ca_file);
    }
    ERR_clear_error();
    *out = ssl;
    return EW_OK;
}

void
ew_tls_release_buffers(struct ssl_ctx_st *context)
{
    (void)SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
}

void
ew_tls_free(struct ssl_st *tls)
{
    SSL_free(tls);
}

const char *
ew_tls_trouble(const struct ssl_st *tls)
{
    long verdict = SSL_get_verify_result(tls);

    if (verdict != X509_V_OK)
        return X509_verify_cert_error_string(verdict);
    return SSL_is_init_finished(tls) ? NULL : "no TLS handshake";
}
