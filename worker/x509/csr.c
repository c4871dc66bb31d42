/*
 * Reading a device's certificate signing request.
 */
#include "x509/csr.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>

#include "base/buf.h"
#include "base/hex.h"
#include "domain/limits.h"
#include "x509_private.h"

static enum ew_fault
reject(struct ew_err *err, const char *problem, const char *detail, const char *advice)
{
    ERR_clear_error();
    return ew_fail_field(err, EW_REJECT, problem, "key.csr", advice, "%s", detail);
}

/* The base64 of a text that is one PEM of this label with nothing but white space around it. */
static bool
pem_body(const char *text, size_t len, const char *label, const char **body, size_t *body_len)
{
    char header[64], footer[64];
    size_t header_len, footer_len;

    header_len = (size_t)snprintf(header, sizeof(header), "-----BEGIN %s-----", label);
    footer_len = (size_t)snprintf(footer, sizeof(footer), "-----END %s-----", label);
    for (; len > 0 && isspace((unsigned char)text[0]); len--)
        text++;
    while (len > 0 && isspace((unsigned char)text[len - 1]))
        len--;
    if (len < header_len + footer_len + 2 || memcmp(text, header, header_len) != 0 ||
        memcmp(text + len - footer_len, footer, footer_len) != 0)
        return false;
    *body = text + header_len;
    *body_len = len - header_len - footer_len;
    return isspace((unsigned char)(*body)[0]) && isspace((unsigned char)(*body)[*body_len - 1]);
}

/* Stricter than OpenSSL's reader of PEM, which passes over garbage, headers and what follows the
 * DER, and would ask for a password on the terminal: what we judge is what is sent. */
static X509_REQ *
parse(const char *pem, size_t len)
{
    const char *body;
    struct ew_buf der;
    size_t body_len;
    X509_REQ *req = NULL;

    if (!pem_body(pem, len, "CERTIFICATE REQUEST", &body, &body_len) &&
        !pem_body(pem, len, "NEW CERTIFICATE REQUEST", &body, &body_len))
        return NULL;
    ew_buf_init(&der, EW_MAX_CSR);
    if (ew_base64_decode(body, body_len, &der) == EW_OK && !der.overflowed && der.len > 0)
        req = ew_x509_req_read(der.data, der.len);
    ew_buf_deinit(&der);
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
        return reject(err, "csr-key-type", "no key of this kind or size is ordered for",
                      "Use RSA of 2048-8192 bits, or EC on P-256 or P-384, not compressed.");
    if (!ew_x509_req_signed(req))
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
    req = parse(pem, len);
    if (req == NULL)
        return reject(err, "csr-malformed", "not one PEM certificate request",
                      "Send one PKCS#10 in PEM, with its header and footer and nothing else.");
    fault = judge(req, out, err);
    X509_REQ_free(req);
    return fault;
}
