/*
 * Keys, requests and certificates made by OpenSSL itself, as a CA or a device would make them.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "base/buf.h"
#include "base/err.h"
#include "domain/limits.h"

enum { MAKE_MAX = 512 * 1024 };
#define NOW_S 1700000000L /* when tests think it is */
#define NOW_MS (NOW_S * 1000LL)
#define DAY 86400L

/* An RSA key takes long to make: each size once. */
__attribute__((unused)) static EVP_PKEY *
rsa_key(unsigned bits)
{
    static EVP_PKEY *made[8];
    static unsigned sizes[8];

    for (size_t i = 0; i < 8; i++) {
        if (sizes[i] == 0) {
            sizes[i] = bits;
            made[i] = EVP_RSA_gen(bits);
            assert_non_null(made[i]);
        }
        if (sizes[i] == bits)
            return made[i];
    }
    fail();
    return NULL;
}

__attribute__((unused)) static EVP_PKEY *
ec_key(const char *curve)
{
    EVP_PKEY *key = EVP_EC_gen(curve);

    assert_non_null(key);
    return key;
}

struct cert_spec {
    const char *subject[8][2]; /* {"CN", "Ada"}; UTF-8 */
    EVP_PKEY *key;
    X509 *issuer; /* NULL: signed by itself */
    EVP_PKEY *issuer_key;
    long from_s, to_s;         /* 0: a year around now */
    const char *extensions[8]; /* "name=value" of OpenSSL's configuration */
    const char *serial;        /* hexadecimal, NULL = 1 */
};

static void
add_extension(X509 *cert, const struct cert_spec *spec, const char *text)
{
    X509V3_CTX ctx;
    char name[64];
    const char *value = strchr(text, '=') + 1;
    X509_EXTENSION *extension;

    (void)snprintf(name, sizeof(name), "%.*s", (int)(value - text - 1), text);
    X509V3_set_ctx(&ctx, spec->issuer == NULL ? cert : spec->issuer, cert, NULL, NULL, 0);
    X509V3_set_ctx_nodb(&ctx);
    extension = X509V3_EXT_nconf(NULL, &ctx, name, value);
    if (extension == NULL)
        fail_msg("extension %s", text);
    assert_int_equal(X509_add_ext(cert, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

__attribute__((unused)) static X509 *
make_cert(const struct cert_spec *spec)
{
    X509 *cert = X509_new();
    X509_NAME *name = X509_NAME_new();
    BIGNUM *serial = NULL;
    EVP_PKEY *signer = spec->issuer_key == NULL ? spec->key : spec->issuer_key;
    bool bare; /* signs without a digest of its own */

    assert_true(BN_hex2bn(&serial, spec->serial == NULL ? "1" : spec->serial) > 0);
    assert_non_null(BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(cert)));
    BN_free(serial);
    for (size_t i = 0; i < 8 && spec->subject[i][0] != NULL; i++)
        assert_int_equal(X509_NAME_add_entry_by_txt(name, spec->subject[i][0], MBSTRING_UTF8,
                                                    (const unsigned char *)spec->subject[i][1], -1,
                                                    -1, 0),
                         1);
    assert_int_equal(X509_set_version(cert, X509_VERSION_3), 1);
    assert_int_equal(X509_set_subject_name(cert, name), 1);
    assert_int_equal(X509_set_issuer_name(
                         cert, spec->issuer == NULL ? name : X509_get_subject_name(spec->issuer)),
                     1);
    X509_NAME_free(name);
    assert_int_equal(X509_set_pubkey(cert, spec->key), 1);
    assert_non_null(
        ASN1_TIME_set(X509_getm_notBefore(cert), spec->from_s == 0 ? NOW_S - DAY : spec->from_s));
    assert_non_null(
        ASN1_TIME_set(X509_getm_notAfter(cert), spec->to_s == 0 ? NOW_S + 364 * DAY : spec->to_s));
    for (size_t i = 0; i < 8 && spec->extensions[i] != NULL; i++)
        add_extension(cert, spec, spec->extensions[i]);
    bare = EVP_PKEY_is_a(signer, "ED25519") || EVP_PKEY_is_a(signer, "ED448");
    assert_true(X509_sign(cert, signer, bare ? NULL : EVP_sha256()) > 0);
    return cert;
}

/* A CA with a common name of its own; issuer NULL: a root. */
__attribute__((unused)) static X509 *
make_ca(const char *cn, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key)
{
    struct cert_spec spec = {.subject = {{"CN", cn}, {"O", "Example"}},
                             .key = key,
                             .issuer = issuer,
                             .issuer_key = issuer_key,
                             .from_s = NOW_S - 1000 * DAY,
                             .to_s = NOW_S + 3000 * DAY,
                             .extensions = {"basicConstraints=critical,CA:TRUE",
                                            "keyUsage=critical,keyCertSign,cRLSign",
                                            "subjectKeyIdentifier=hash"}};

    return make_cert(&spec);
}

/* Runs one of OpenSSL's writers into a buffer. */
#define WRITE_PEM(out, call)                                                                       \
    do {                                                                                           \
        BIO *bio = BIO_new(BIO_s_mem());                                                           \
        char *text;                                                                                \
        long text_len;                                                                             \
        assert_int_equal(call, 1);                                                                 \
        text_len = BIO_get_mem_data(bio, &text);                                                   \
        ew_buf_put(out, text, (size_t)text_len);                                                   \
        BIO_free(bio);                                                                             \
    } while (0)

__attribute__((unused)) static void
put_pem(struct ew_buf *out, X509 *cert)
{
    WRITE_PEM(out, PEM_write_bio_X509(bio, cert));
}

__attribute__((unused)) static void
put_der(struct ew_buf *out, X509 *cert)
{
    unsigned char *der = NULL;
    int len = i2d_X509(cert, &der);

    assert_true(len > 0);
    ew_buf_put(out, der, (size_t)len);
    OPENSSL_free(der);
}

/* A file with these bytes, for its owner alone; unlink it. */
struct temp_file {
    char path[64];
};

__attribute__((unused)) static struct temp_file
make_file(const void *data, size_t len)
{
    struct temp_file file = {.path = "/tmp/epki_unit_XXXXXX"};
    int fd = mkstemp(file.path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), (ssize_t)len);
    assert_int_equal(close(fd), 0);
    return file;
}

/* Nothing is left in OpenSSL's queue for whoever comes next. */
__attribute__((unused)) static void
no_errors_left(void)
{
    assert_int_equal(ERR_peek_error(), 0);
}
