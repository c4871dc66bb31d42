/*
 * Worker-made keys: made, turned into a CSR, and back.
 */
#include "x509/key.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/memory.h"
#include "x509_private.h"

enum ew_fault
ew_key_generate(enum ew_key_type type, struct ew_key **out, struct ew_err *err)
{
    struct ew_key *key = ew_calloc(1, sizeof(*key));

    switch (type) {
    case EW_KEY_RSA_2048:
        key->pkey = EVP_RSA_gen(2048);
        break;
    case EW_KEY_RSA_3072:
        key->pkey = EVP_RSA_gen(3072);
        break;
    case EW_KEY_EC_P256:
        key->pkey = EVP_EC_gen("P-256");
        break;
    case EW_KEY_EC_P384:
        key->pkey = EVP_EC_gen("P-384");
        break;
    }
    if (key->pkey == NULL) {
        free(key);
        return ew_openssl_fail(err, EW_RETRY, "key-generation", "making a key");
    }
    *out = key;
    return EW_OK;
}

void
ew_key_free(struct ew_key *key)
{
    if (key == NULL)
        return;
    EVP_PKEY_free(key->pkey); /* clears private numbers */
    free(key);
}

static X509_REQ *
make_request(EVP_PKEY *pkey, const char *cn)
{
    X509_REQ *req = X509_REQ_new();
    X509_NAME *name = X509_NAME_new();

    if (req == NULL || name == NULL || X509_REQ_set_version(req, X509_REQ_VERSION_1) != 1 ||
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1,
                                   0) != 1 ||
        X509_REQ_set_subject_name(req, name) != 1 || X509_REQ_set_pubkey(req, pkey) != 1 ||
        X509_REQ_sign(req, pkey, EVP_sha256()) == 0) {
        X509_REQ_free(req);
        req = NULL;
    }
    X509_NAME_free(name);
    return req;
}

enum ew_fault
ew_key_csr(const struct ew_key *key, const char *cn, struct ew_buf *pem, struct ew_err *err)
{
    X509_REQ *req = make_request(key->pkey, cn);
    BIO *bio = BIO_new(BIO_s_mem());
    enum ew_fault fault = EW_OK;
    char *text;
    long len;

    if (req == NULL || bio == NULL || PEM_write_bio_X509_REQ(bio, req) != 1) {
        fault = ew_openssl_fail(err, EW_RETRY, "csr-making", "making a CSR");
    } else {
        len = BIO_get_mem_data(bio, &text);
        ew_buf_put(pem, text, (size_t)len);
        fault = ew_written(pem, err);
    }
    BIO_free(bio);
    X509_REQ_free(req);
    return fault;
}

enum ew_fault
ew_key_spki_sha256(const struct ew_key *key, uint8_t out[32], struct ew_err *err)
{
    if (ew_pubkey_sha256(key->pkey, out) != EW_OK)
        return ew_openssl_fail(err, EW_BUG, "key-encoding", "encoding a public key");
    return EW_OK;
}
