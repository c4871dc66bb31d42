/*
 * Certificates in the forms that an answer may carry: PEM, PKCS#7, base64, PKCS#12; and the CRL.
 */
#include "ca.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/pkcs7.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

static X509 *
sim_cert_x509(const struct sim_cert *cert)
{
    const unsigned char *at = cert->der;
    return d2i_X509(NULL, &at, (long)cert->len);
}

static void
sim_bio_text(BIO *memory, struct sim_buf *out)
{
    char *data = NULL;
    long len = BIO_get_mem_data(memory, &data);
    sim_buf_add(out, data, (size_t)len);
}

/* LF lines, no final line end: the form seen on the test system. */
static void
sim_cert_pem(const struct sim_cert *cert, const char *newline, struct sim_buf *out)
{
    struct sim_buf text;
    sim_buf_init(&text, SIZE_MAX / 4);
    sim_buf_base64(&text, cert->der, cert->len);
    sim_buf_printf(out, "-----BEGIN CERTIFICATE-----%s", newline);
    for (size_t at = 0; at < text.len; at += 64) {
        size_t len = text.len - at < 64 ? text.len - at : 64;
        sim_buf_add(out, text.data + at, len);
        sim_buf_text(out, newline);
    }
    sim_buf_text(out, "-----END CERTIFICATE-----");
    sim_buf_deinit(&text);
}

static void
sim_cert_pkcs7(const struct sim_ca *ca, const struct sim_cert *cert, struct sim_buf *out)
{
    PKCS7 *bundle = PKCS7_new();
    BIO *memory = BIO_new(BIO_s_mem());
    X509 *leaf = sim_cert_x509(cert);
    if (bundle && memory && leaf && PKCS7_set_type(bundle, NID_pkcs7_signed) &&
        PKCS7_content_new(bundle, NID_pkcs7_data) && PKCS7_add_certificate(bundle, leaf) &&
        PKCS7_add_certificate(bundle, ca->issuing) && PKCS7_add_certificate(bundle, ca->root) &&
        PEM_write_bio_PKCS7(memory, bundle)) {
        sim_bio_text(memory, out);
    }
    X509_free(leaf);
    BIO_free(memory);
    PKCS7_free(bundle);
}

void
sim_cert_text(const struct sim_ca *ca, const struct sim_cert *cert, enum sim_cert_format format,
              struct sim_buf *out)
{
    switch (format) {
    case SIM_CERT_PEM:
        sim_cert_pem(cert, "\n", out);
        break;
    case SIM_CERT_CRLF:
        sim_cert_pem(cert, "\r\n", out);
        break;
    case SIM_CERT_PKCS7:
        sim_cert_pkcs7(ca, cert, out);
        break;
    case SIM_CERT_BASE64:
        sim_buf_base64(out, cert->der, cert->len);
        break;
    }
}

bool
sim_cert_pkcs12(const struct sim_ca *ca, const struct sim_cert *cert, EVP_PKEY *key,
                const char *pin, const char *name, enum sim_p12_encoding encoding,
                struct sim_buf *out)
{
    bool legacy = encoding == SIM_P12_LEGACY;
    /* RC2-40, which old servers used for the certificates, is not in every OpenSSL: 3DES. */
    int cipher = legacy ? NID_pbe_WithSHA1And3_Key_TripleDES_CBC : NID_aes_256_cbc;
    X509 *leaf = sim_cert_x509(cert);
    STACK_OF(X509) *chain = sk_X509_new_null();
    sk_X509_push(chain, ca->issuing);
    sk_X509_push(chain, ca->root);
    PKCS12 *p12 =
        PKCS12_create(pin, name, key, leaf, chain, cipher, cipher, 2048, legacy ? 1 : -1, 0);
    bool ok =
        p12 && PKCS12_set_mac(p12, pin, -1, NULL, 0, 2048, legacy ? EVP_sha1() : EVP_sha256()) == 1;
    unsigned char *der = NULL;
    int len = ok ? i2d_PKCS12(p12, &der) : -1;
    if (len > 0) {
        sim_buf_add(out, der, (size_t)len);
    } else {
        ERR_print_errors_fp(stderr);
    }
    OPENSSL_free(der);
    PKCS12_free(p12);
    sk_X509_free(chain);
    X509_free(leaf);
    return len > 0;
}

X509_CRL *
sim_crl_begin(const struct sim_ca *ca, int64_t now_ms, int64_t number)
{
    X509_CRL *crl = X509_CRL_new();
    time_t now = (time_t)(now_ms / 1000);
    ASN1_TIME *this_update = ASN1_TIME_adj(NULL, now, 0, 0);
    ASN1_TIME *next_update = ASN1_TIME_adj(NULL, now, 7, 0);
    ASN1_INTEGER *value = ASN1_INTEGER_new();
    bool ok = crl && this_update && next_update && value && X509_CRL_set_version(crl, 1) &&
              X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->issuing)) &&
              X509_CRL_set1_lastUpdate(crl, this_update) &&
              X509_CRL_set1_nextUpdate(crl, next_update) && ASN1_INTEGER_set_int64(value, number) &&
              X509_CRL_add1_ext_i2d(crl, NID_crl_number, value, 0, 0) == 1;
    ASN1_TIME_free(this_update);
    ASN1_TIME_free(next_update);
    ASN1_INTEGER_free(value);
    if (!ok) {
        X509_CRL_free(crl);
        return NULL;
    }
    return crl;
}

bool
sim_crl_add(X509_CRL *crl, const struct sim_cert *cert, int64_t when_ms)
{
    X509 *leaf = sim_cert_x509(cert);
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_TIME *when = ASN1_TIME_adj(NULL, (time_t)(when_ms / 1000), 0, 0);
    bool ok = leaf && entry && when &&
              X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(leaf)) &&
              X509_REVOKED_set_revocationDate(entry, when) && X509_CRL_add0_revoked(crl, entry);
    if (!ok) {
        X509_REVOKED_free(entry);
    }
    ASN1_TIME_free(when);
    X509_free(leaf);
    return ok;
}

bool
sim_crl_end(const struct sim_ca *ca, X509_CRL *crl, struct sim_buf *out)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, ca->issuing, NULL, NULL, crl, 0);
    X509_EXTENSION *extension =
        X509V3_EXT_conf_nid(NULL, &context, NID_authority_key_identifier, "keyid");
    unsigned char *der = NULL;
    bool ok = extension && X509_CRL_add_ext(crl, extension, -1) && X509_CRL_sort(crl) &&
              X509_CRL_sign(crl, ca->issuing_key, EVP_sha256());
    int len = ok ? i2d_X509_CRL(crl, &der) : -1;
    if (len > 0) {
        sim_buf_add(out, der, (size_t)len);
    }
    OPENSSL_free(der);
    X509_EXTENSION_free(extension);
    return len > 0;
}
