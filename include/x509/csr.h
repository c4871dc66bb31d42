/*
 * Certificate signing requests of devices: is this one that GlobalSign will take? Any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct ew_csr {
    uint8_t spki_sha256[32]; /* of the SubjectPublicKeyInfo, DER */
    const char *key_type;    /* "RSA", "EC P-256", "EC P-384"; static */
    int bits;
};

/* One PEM request, at most EW_MAX_CSR characters, nothing but white space around it and no headers
 * in it; its signature verifies; RSA of 2048 bits to EW_MAX_RSA, or EC P-256 or P-384, named
 * and not compressed (GlobalSign's key rules but for EW_MAX_RSA). EW_REJECT with field "key.csr"
 * and problem csr-size, csr-malformed, csr-signature, csr-key-weak or csr-key-type. */
EW_CHECK enum ew_fault ew_csr_read(const char *pem, size_t len, struct ew_csr *out,
                                   struct ew_err *err);
