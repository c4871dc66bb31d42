/*
 * A library context that offers little, and so finds it fast. To decode a public key OpenSSL before
 * 3.2 collects all decoders and all kinds of keys that its providers have, each time anew: three
 * quarters of the time that a certificate takes to be read. The provider in here is the default one
 * with its list of those cut down to what signs and is certified.
 */
#include <pthread.h>
#include <string.h>
#include <strings.h>

#include <openssl/core_dispatch.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/provider.h>

#include "x509_private.h"

enum { KEPT_MAX = 8 };

/* Constant once made. Never freed: certificates hold on to it. */
static struct {
    OSSL_PROVIDER *whole; /* the default provider */
    OSSL_LIB_CTX *ctx;    /* NULL = could not be made; the default one does the same, slowly */
    OSSL_ALGORITHM keys[KEPT_MAX + 1], decoders[KEPT_MAX + 1];
} slim;

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The names of an algorithm are separated by colons; the first is its usual one. */
static bool
is_kept(const OSSL_ALGORITHM *algorithm)
{
    static const char *const kinds[] = {"RSA", "RSA-PSS", "EC", "ED25519", "ED448"};
    size_t len = strcspn(algorithm->algorithm_names, ":");

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strlen(kinds[i]) == len && strncasecmp(algorithm->algorithm_names, kinds[i], len) == 0)
            return true;
    return false;
}

static bool
cut(int operation, const char *property, OSSL_ALGORITHM *kept)
{
    int no_cache = 0;
    const OSSL_ALGORITHM *all = OSSL_PROVIDER_query_operation(slim.whole, operation, &no_cache);
    size_t count = 0;

    for (; all != NULL && all->algorithm_names != NULL; all++) {
        if (!is_kept(all) || strstr(all->property_definition, property) == NULL)
            continue;
        if (count == KEPT_MAX)
            return false;
        kept[count++] = *all;
    }
    return count > 0;
}

static const OSSL_ALGORITHM *
query(void *context, int operation, int *no_cache)
{
    (void)context;
    switch (operation) {
    case OSSL_OP_KEYMGMT:
        *no_cache = 0;
        return slim.keys;
    case OSSL_OP_DECODER:
        *no_cache = 0;
        return slim.decoders;
    default:
        return OSSL_PROVIDER_query_operation(slim.whole, operation, no_cache);
    }
}

static int
init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
     void **context)
{
    static const OSSL_DISPATCH functions[] = {
        {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query},
        {0, NULL},
    };

    (void)handle;
    (void)in;
    *out = functions;
    *context = OSSL_PROVIDER_get0_provider_ctx(slim.whole);
    return 1;
}

static void
make(void)
{
    OSSL_LIB_CTX *ctx = OSSL_LIB_CTX_new();

    slim.whole = OSSL_PROVIDER_load(NULL, "default");
    if (ctx != NULL && slim.whole != NULL && cut(OSSL_OP_KEYMGMT, "", slim.keys) &&
        cut(OSSL_OP_DECODER, "structure=SubjectPublicKeyInfo", slim.decoders) &&
        OSSL_PROVIDER_add_builtin(ctx, "epki-slim", init) == 1 &&
        OSSL_PROVIDER_load(ctx, "epki-slim") != NULL)
        slim.ctx = ctx;
    else
        OSSL_LIB_CTX_free(ctx);
    ERR_clear_error();
}

static OSSL_LIB_CTX *
slim_ctx(void)
{
    (void)pthread_once(&once, make);
    return slim.ctx;
}

/* --- reading in it --- */

static X509 *
read_x509(OSSL_LIB_CTX *ctx, const uint8_t *der, size_t len)
{
    X509 *cert = X509_new_ex(ctx, NULL);
    const unsigned char *at = der;

    if (cert != NULL && d2i_X509(&cert, &at, (long)len) != NULL && at == der + len)
        return cert;
    X509_free(cert);
    return NULL;
}

X509 *
ew_x509_read(const uint8_t *der, size_t len)
{
    X509 *cert = read_x509(slim_ctx(), der, len);

    if (cert != NULL && X509_get0_pubkey(cert) == NULL) {
        X509_free(cert);
        cert = read_x509(NULL, der, len);
    }
    return cert;
}

/* Into nothing, not into a request of this context: OpenSSL 3.0 makes that one's key in the default
 * context, whatever its own is. */
static X509_REQ *
read_req(OSSL_LIB_CTX *ctx, const uint8_t *der, size_t len)
{
    const unsigned char *at = der;
    X509_REQ *req =
        (X509_REQ *)ASN1_item_d2i_ex(NULL, &at, (long)len, ASN1_ITEM_rptr(X509_REQ), ctx, NULL);

    if (req != NULL && at == der + len)
        return req;
    X509_REQ_free(req);
    return NULL;
}

X509_REQ *
ew_x509_req_read(const uint8_t *der, size_t len)
{
    X509_REQ *req = read_req(slim_ctx(), der, len);

    if (req != NULL && X509_REQ_get0_pubkey(req) == NULL) {
        X509_REQ_free(req);
        req = read_req(NULL, der, len);
    }
    return req;
}

bool
ew_x509_req_signed(X509_REQ *req)
{
    return X509_REQ_verify_ex(req, X509_REQ_get0_pubkey(req), slim_ctx(), NULL) == 1;
}
