/*
 * PKCS#12 and CMS: the only ways out for a private key.
 */
#include "x509/p12.h"

#include <string.h>

#include <openssl/bio.h>
#include <openssl/cms.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pkcs12.h>

#include "base/clock.h"
#include "x509/seal.h"
#include "x509_private.h"

enum { ITERATIONS_MODERN = 10000, ITERATIONS_APPLE = 2048 };

void
ew_pin_generate(struct ew_buf *out)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    uint8_t byte;

    for (int left = EW_PIN_LENGTH; left > 0;) {
        ew_random_bytes(&byte, 1);
        byte &= 63;
        if (byte >= sizeof(alphabet) - 1)
            continue; /* drawn again: every character is equally likely */
        ew_buf_putc(out, alphabet[byte]);
        left--;
    }
}

static STACK_OF(X509) * chain_of(const struct ew_trust *trust, const struct ew_cert *cert)
{
    struct ew_blob ders[EW_MAX_CHAIN];
    size_t count = ew_trust_chain(trust, cert, ders, EW_MAX_CHAIN);
    STACK_OF(X509) *chain = sk_X509_new_null();

    for (size_t i = 0; chain != NULL && i < count; i++) {
        const unsigned char *at = ders[i].data;
        X509 *ca = d2i_X509(NULL, &at, (long)ders[i].len);

        if (ca != NULL && sk_X509_push(chain, ca) == 0)
            X509_free(ca);
    }
    return chain;
}

static PKCS12 *
build(const struct ew_key *key, const struct ew_cert *cert, STACK_OF(X509) * chain, const char *pin,
      enum ew_p12_format format)
{
    bool modern = format == EW_P12_MODERN;
    int pbe = modern ? NID_aes_256_cbc : NID_pbe_WithSHA1And3_Key_TripleDES_CBC;
    int iterations = modern ? ITERATIONS_MODERN : ITERATIONS_APPLE;
    PKCS12 *p12 = PKCS12_create(pin, cert->facts.cn, key->pkey, cert->x509, chain, pbe, pbe,
                                iterations, -1, 0);

    if (p12 != NULL && PKCS12_set_mac(p12, pin, -1, NULL, 0, iterations,
                                      modern ? EVP_sha256() : EVP_sha1()) != 1) {
        PKCS12_free(p12);
        p12 = NULL;
    }
    return p12;
}

enum ew_fault
ew_p12_build(const struct ew_key *key, const struct ew_cert *cert, const struct ew_trust *trust,
             const char *pin, enum ew_p12_format format, struct ew_buf *out, struct ew_err *err)
{
    STACK_OF(X509) *chain = chain_of(trust, cert);
    PKCS12 *p12 = chain == NULL ? NULL : build(key, cert, chain, pin, format);
    unsigned char *der = NULL;
    int len = p12 == NULL ? -1 : i2d_PKCS12(p12, &der);
    enum ew_fault fault = EW_OK;

    if (len <= 0)
        fault = ew_openssl_fail(err, EW_RETRY, "pkcs12", "building a PKCS#12");
    else {
        ew_buf_put(out, der, (size_t)len);
        OPENSSL_clear_free(der, (size_t)len);
        fault = ew_written(out, err);
    }
    PKCS12_free(p12);
    sk_X509_pop_free(chain, X509_free);
    return fault;
}

static bool
sealable(X509 *cert)
{
    EVP_PKEY *key = cert == NULL ? NULL : X509_get0_pubkey(cert);

    return key != NULL && ew_pubkey_judge(key, 2048, true, NULL, NULL)[0] == '\0';
}

enum ew_fault
ew_seal(const void *data, size_t len, const uint8_t *recipient, size_t recipient_len,
        struct ew_buf *out, struct ew_err *err)
{
    const unsigned char *at = recipient;
    X509 *cert = d2i_X509(NULL, &at, (long)recipient_len);
    STACK_OF(X509) *to = sk_X509_new_null();
    BIO *in = BIO_new_mem_buf(data, (int)len);
    CMS_ContentInfo *cms = NULL;
    unsigned char *der = NULL;
    bool good = sealable(cert);
    enum ew_fault fault = EW_OK;
    int der_len = -1;

    if (good && to != NULL && in != NULL && sk_X509_push(to, cert) > 0)
        cms = CMS_encrypt(to, in, EVP_aes_256_cbc(), CMS_BINARY);
    if (cms != NULL)
        der_len = i2d_CMS_ContentInfo(cms, &der);
    if (!good)
        fault = ew_openssl_fail(err, EW_REJECT, "seal", "no certificate to seal to");
    else if (der_len <= 0)
        fault = ew_openssl_fail(err, EW_RETRY, "seal", "sealing to the recipient");
    else {
        ew_buf_put(out, der, (size_t)der_len);
        fault = ew_written(out, err);
    }
    OPENSSL_free(der);
    CMS_ContentInfo_free(cms);
    BIO_free(in);
    sk_X509_free(to);
    X509_free(cert);
    return fault;
}
