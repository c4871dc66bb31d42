/*
 * Opening a PKCS#12 that somebody else made. In an OpenSSL of its own: old servers encrypt with
 * RC2, which only the legacy provider has, and nothing else of ours may get weaker for that.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pkcs12.h>
#include <openssl/provider.h>

#include "base/hex.h"
#include "base/memory.h"
#include "x509/p12.h"
#include "x509_private.h"

struct library {
    OSSL_LIB_CTX *ctx;
    OSSL_PROVIDER *usual, *legacy; /* legacy NULL = not installed */
};

static void
library_open(struct library *library)
{
    library->ctx = OSSL_LIB_CTX_new();
    library->usual = OSSL_PROVIDER_load(library->ctx, "default");
    library->legacy = OSSL_PROVIDER_load(library->ctx, "legacy");
    ERR_clear_error();
}

static void
library_close(struct library *library)
{
    if (library->legacy != NULL)
        (void)OSSL_PROVIDER_unload(library->legacy);
    if (library->usual != NULL)
        (void)OSSL_PROVIDER_unload(library->usual);
    OSSL_LIB_CTX_free(library->ctx);
}

static PKCS12 *
read_der(const struct library *library, const void *der, size_t len)
{
    PKCS12 *p12 = PKCS12_init_ex(NID_pkcs7_data, library->ctx, NULL);
    const unsigned char *at = der;

    if (p12 != NULL && len <= INT32_MAX && d2i_PKCS12(&p12, &at, (long)len) != NULL &&
        at == (const unsigned char *)der + len)
        return p12;
    PKCS12_free(p12);
    return NULL;
}

/* The same key in the library that everything else uses. */
static enum ew_fault
take_key(EVP_PKEY *pkey, struct ew_key **out, struct ew_err *err)
{
    PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(pkey);
    struct ew_key *key = ew_calloc(1, sizeof(*key));
    enum ew_fault fault = EW_OK;

    if (p8 != NULL)
        key->pkey = EVP_PKCS82PKEY(p8);
    PKCS8_PRIV_KEY_INFO_free(p8);
    if (key->pkey == NULL) {
        free(key);
        fault = ew_openssl_fail(err, EW_REJECT, "pkcs12-content", "the key of a PKCS#12");
    } else {
        *out = key;
    }
    return fault;
}

static enum ew_fault
take_cert(X509 *x509, struct ew_buf *out, struct ew_err *err)
{
    unsigned char *der = NULL;
    int len = i2d_X509(x509, &der);

    if (len <= 0)
        return ew_openssl_fail(err, EW_REJECT, "pkcs12-content", "the certificate of a PKCS#12");
    ew_base64_encode(der, (size_t)len, out);
    OPENSSL_free(der);
    return ew_written(out, err);
}

static enum ew_fault
too_slow(struct ew_err *err)
{
    return ew_openssl_fail(err, EW_REJECT, "pkcs12-rounds",
                           "a PKCS#12 that takes more than a million rounds over its PIN");
}

static enum ew_fault
check_pin(PKCS12 *p12, const char *pin, struct ew_err *err)
{
    if (!ew_p12_rounds_fit(p12, NULL))
        return too_slow(err);
    if (PKCS12_verify_mac(p12, pin, -1) != 1)
        return ew_openssl_fail(err, EW_REJECT, "pkcs12-pin", "the PIN does not open a PKCS#12");
    return ew_p12_rounds_fit(p12, pin) ? EW_OK : too_slow(err);
}

static enum ew_fault
open_with(const struct library *library, const void *der, size_t len, const char *pin,
          struct ew_key **key, struct ew_buf *cert, struct ew_err *err)
{
    PKCS12 *p12 = read_der(library, der, len);
    EVP_PKEY *pkey = NULL;
    X509 *x509 = NULL;
    enum ew_fault fault = EW_OK;

    if (p12 == NULL)
        fault = ew_openssl_fail(err, EW_REJECT, "pkcs12-malformed", "not a PKCS#12");
    else
        fault = check_pin(p12, pin, err);
    if (fault == EW_OK &&
        (PKCS12_parse(p12, pin, &pkey, &x509, NULL) != 1 || pkey == NULL || x509 == NULL))
        fault = ew_openssl_fail(err, EW_REJECT, "pkcs12-content",
                                "no key with its certificate in a PKCS#12");
    if (fault == EW_OK)
        fault = take_cert(x509, cert, err);
    if (fault == EW_OK)
        fault = take_key(pkey, key, err);
    EVP_PKEY_free(pkey);
    X509_free(x509);
    PKCS12_free(p12);
    return fault;
}

enum ew_fault
ew_p12_open(const void *der, size_t len, const char *pin, struct ew_key **key, struct ew_buf *cert,
            struct ew_err *err)
{
    struct library library;
    enum ew_fault fault;

    library_open(&library);
    if (library.ctx == NULL || library.usual == NULL)
        fault = ew_openssl_fail(err, EW_RETRY, "out-of-memory", "opening a PKCS#12");
    else
        fault = open_with(&library, der, len, pin, key, cert, err);
    library_close(&library);
    return fault;
}

enum ew_fault
ew_p12_ready(struct ew_err *err)
{
    struct library library;
    EVP_CIPHER *rc2 = NULL;
    enum ew_fault fault = EW_OK;

    library_open(&library);
    if (library.legacy != NULL)
        rc2 = EVP_CIPHER_fetch(library.ctx, "RC2-40-CBC", NULL);
    if (rc2 == NULL)
        fault =
            ew_fail_field(err, EW_HALT, "openssl-legacy", "",
                          "Install it: legacy.so of OpenSSL's modules, in Debian 13's package "
                          "openssl-provider-legacy. Or allow no keys of GlobalSign's making.",
                          "OpenSSL's legacy provider is missing, and keys that GlobalSign makes "
                          "may come encrypted with RC2");
    EVP_CIPHER_free(rc2);
    ERR_clear_error();
    library_close(&library);
    return fault;
}
