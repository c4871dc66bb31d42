/*
 * Reading a device's certificate signing request.
 */
#include "x509/csr.h"

#include <ctype.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "domain/limits.h"
#include "x509_private.h"

static enum ew_fault
reject(struct ew_err *err, const char *problem, const char *detail, const char *advice)
{
    ERR_clear_error();
    return ew_fail_field(err, EW_REJECT, problem, "csr", advice, "%s", detail);
}

/* Only white space may stand before the header and after the footer: what we judge is what is sent.
 */
static bool
stands_alone(const char *pem, size_t len)
{
    static const char header[] = "-----BEGIN ", footer[] = "CERTIFICATE REQUEST-----";
    size_t at = 0, end = len;

    if (memchr(pem, '\0', len) != NULL)
        return false;
    while (at < len && isspace((unsigned char)pem[at]))
        at++;
    while (end > at && isspace((unsigned char)pem[end - 1]))
        end--;
    if (end - at < sizeof(header) + sizeof(footer) ||
        memcmp(pem + at, header, sizeof(header) - 1) != 0 ||
        memcmp(pem + end - (sizeof(footer) - 1), footer, sizeof(footer) - 1) != 0)
        return false;
    for (size_t i = at + 1; i + sizeof(header) - 1 < end; i++)
        if (memcmp(pem + i, header, sizeof(header) - 1) == 0)
            return false;
    return true;
}

static X509_REQ *
parse(const char *pem, size_t len)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)len);
    X509_REQ *req = bio == NULL ? NULL : PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);

    BIO_free(bio);
    return req;
}

static enum ew_fault
judge(X509_REQ *req, struct ew_csr *out, struct ew_err *err)
{
    EVP_PKEY *pkey = X509_REQ_get0_pubkey(req);
    struct ew_csr csr = {.bits = 0};
    const char *problem;

    if (pkey == NULL)
        return reject(err, "csr-key-type", "the public key cannot be read",
                      "Use RSA of 2048 bits and more, or EC on P-256 or P-384.");
    problem = ew_pubkey_judge(pkey, 2048, false, &csr.key_type, &csr.bits);
    if (strcmp(problem, "key-weak") == 0)
        return reject(err, "csr-key-weak", "the RSA key has fewer than 2048 bits",
                      "Make a key of 2048 bits or more.");
    if (problem[0] != '\0')
        return reject(err, "csr-key-type", "GlobalSign takes no key of this kind",
                      "Use RSA of 2048-8192 bits, or EC on P-256 or P-384, not compressed.");
    if (X509_REQ_verify(req, pkey) != 1)
        return reject(err, "csr-signature", "the request's own signature does not verify",
                      "Sign the request with the private key of the public key in it.");
    if (ew_pubkey_sha256(pkey, csr.spki_sha256) != EW_OK)
        return reject(err, "csr-malformed", "the public key cannot be encoded", "Make a new CSR.");
    *out = csr;
    return EW_OK;
}

enum ew_fault
ew_csr_read(const char *pem, size_t len, struct ew_csr *out, struct ew_err *err)
{
    X509_REQ *req;
    enum ew_fault fault;

    if (len == 0 || len > EW_MAX_CSR)
        return reject(err, "csr-size", len == 0 ? "it is empty" : "more than 4000 characters",
                      "Send one PEM request of at most 4000 characters.");
    req = stands_alone(pem, len) ? parse(pem, len) : NULL;
    if (req == NULL)
        return reject(err, "csr-malformed", "not one PEM certificate request",
                      "Send one PKCS#10 in PEM, with its header and footer and nothing else.");
    fault = judge(req, out, err);
    X509_REQ_free(req);
    return fault;
}
