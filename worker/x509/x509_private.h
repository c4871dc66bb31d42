/*
 * What the files of this room share of OpenSSL.
 */
#pragma once

#include <openssl/evp.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>

#include "base/buf.h"
#include "base/err.h"
#include "x509/cert.h"
#include "x509/key.h"
#include "x509/verify.h"

struct ew_key {
    EVP_PKEY *pkey;
};

struct ew_cert {
    X509 *x509;
    uint8_t *der;
    size_t der_len;
    struct ew_cert_facts facts;
    char
        *texts[3 + 2 * EW_MAX_CERT_NAMES + 4]; /* what facts point to; freed with the certificate */
    size_t text_count;
};

struct ew_trust {
    X509_STORE *store;
    STACK_OF(X509) * certs;
    struct ew_blob *ders; /* of certs, in order */
};

/* The fault with OpenSSL's reason as detail; its error queue is empty afterwards. */
enum ew_fault ew_openssl_fail(struct ew_err *err, enum ew_fault fault, const char *problem,
                              const char *what);

/* EW_RETRY when what was written into out did not fit: half a key is none. */
EW_CHECK enum ew_fault ew_written(const struct ew_buf *out, struct ew_err *err);

/* Whether a PKCS#12 can be opened in a moment: a million rounds over its PIN for each part, four in
 * all. pin NULL: as far as that can be seen without opening; then, with the PIN that its MAC proved
 * right, what is inside. */
bool ew_p12_rounds_fit(const PKCS12 *p12, const char *pin);

/* SHA-256 over the SubjectPublicKeyInfo's DER. */
EW_CHECK enum ew_fault ew_pubkey_sha256(EVP_PKEY *pkey, uint8_t out[32]);
/* The same of an encoded one, given as what its SEQUENCE holds. False: it is of no usual kind, or
 * none at all; then only reading it tells. */
bool ew_spki_sha256(struct ew_blob spki, uint8_t out[32]);
enum {
    EW_DER_INTEGER = 0x02,
    EW_DER_BITS = 0x03,
    EW_DER_SEQUENCE = 0x30,
    EW_DER_VERSION = 0xa0, /* of a certificate */
};
/* The DER element at the front of `in`, if it has this tag: what it holds, and `in` past it. */
bool ew_der_take(struct ew_blob *in, uint8_t tag, struct ew_blob *content);
/* Of a DER certificate with a key of a usual kind; false: it is another, or none. */
bool ew_x509_identify(struct ew_blob cert, struct ew_cert_id *out);
/* RSA of min_rsa bits to EW_MAX_RSA, EC on P-256, P-384 (P-521 when `any_curve`). "" when it is
 * good, otherwise the problem: "key-weak" or "key-type". type and bits are filled when not NULL. */
const char *ew_pubkey_judge(EVP_PKEY *pkey, int min_rsa, bool any_curve, const char **type,
                            int *bits);

/* Exactly one DER certificate or request; NULL when it is none. Read in a library context that
 * knows the keys that sign and no others, in a quarter of the time; one with another key is read in
 * the default context. Any thread. The caller frees it. */
X509 *ew_x509_read(const uint8_t *der, size_t len);
X509_REQ *ew_x509_req_read(const uint8_t *der, size_t len);
/* By its own key, of a kind that signs. */
bool ew_x509_req_signed(X509_REQ *req);
