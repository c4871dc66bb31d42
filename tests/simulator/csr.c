/*
 * Reading a certificate request as the CA does: what it refuses, by which code. The subject of
 * the request is ignored.
 */
#include "ca.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

enum {
    CSR_UNACCEPTABLE = -4006,
    CSR_UNPARSABLE = -4007,
    KEY_WEAK = -9936,
    KEY_CURVE = -9961,
    KEY_COMPRESSED = -9962,
    KEY_ALGORITHM = -9964,
};

void
sim_spki_sha256(EVP_PKEY *key, char out[65])
{
    unsigned char *der = NULL;
    unsigned char digest[32];
    unsigned size = 0;
    int len = i2d_PUBKEY(key, &der);
    if (len > 0 && EVP_Digest(der, (size_t)len, digest, &size, EVP_sha256(), NULL) == 1) {
        sim_hex(out, digest, sizeof(digest));
    } else {
        out[0] = 0;
    }
    OPENSSL_free(der);
}

static X509_REQ *
sim_csr_pem(const char *text)
{
    BIO *memory = BIO_new_mem_buf(text, -1);
    X509_REQ *request = PEM_read_bio_X509_REQ(memory, NULL, NULL, NULL);
    BIO_free(memory);
    return request;
}

/* Base64 of the DER without armour; white space is skipped. */
static X509_REQ *
sim_csr_bare(const char *text)
{
    struct sim_buf packed;
    sim_buf_init(&packed, 65536);
    for (; *text; text++) {
        if (!strchr(" \t\r\n", *text)) {
            sim_buf_add(&packed, text, 1);
        }
    }
    size_t len = 0;
    unsigned char *der = packed.len && !packed.full ? sim_unbase64(packed.data, &len) : NULL;
    const unsigned char *at = der;
    X509_REQ *request = der ? d2i_X509_REQ(NULL, &at, (long)len) : NULL;
    if (request && at != der + len) {
        X509_REQ_free(request);
        request = NULL;
    }
    free(der);
    sim_buf_deinit(&packed);
    return request;
}

static int
sim_key_ec(EVP_PKEY *key, X509_REQ *request)
{
    char group[64] = "";
    size_t len = 0;
    if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group),
                                       &len) != 1 ||
        (strcmp(group, "prime256v1") != 0 && strcmp(group, "secp384r1") != 0)) {
        return KEY_CURVE;
    }
    const unsigned char *point = NULL;
    int size = 0;
    X509_PUBKEY *pub = X509_REQ_get_X509_PUBKEY(request);
    if (!X509_PUBKEY_get0_param(NULL, &point, &size, NULL, pub) || size < 1 || point[0] != 4) {
        return KEY_COMPRESSED;
    }
    return 0;
}

static int
sim_key_check(EVP_PKEY *key, X509_REQ *request)
{
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
        return EVP_PKEY_get_bits(key) < 2048 ? KEY_WEAK : 0;
    case EVP_PKEY_EC:
        return sim_key_ec(key, request);
    default:
        return KEY_ALGORITHM;
    }
}

int
sim_csr_read(const char *text, EVP_PKEY **key)
{
    X509_REQ *request = strstr(text, "-----BEGIN") ? sim_csr_pem(text) : sim_csr_bare(text);
    EVP_PKEY *found = request ? X509_REQ_get_pubkey(request) : NULL;
    int code = CSR_UNPARSABLE;
    if (found) {
        code = sim_key_check(found, request);
        if (!code && X509_REQ_verify(request, found) != 1) {
            code = CSR_UNACCEPTABLE;
        }
    }
    if (code) {
        EVP_PKEY_free(found);
        found = NULL;
    }
    X509_REQ_free(request);
    ERR_clear_error();
    *key = found;
    return code;
}
