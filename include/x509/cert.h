/*
 * Certificates as GlobalSign sends them, read into facts. Any thread; a read certificate is
 * constant.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "domain/limits.h"
#include "domain/outcome.h"

struct ew_cert;

enum ew_eku {
    EW_EKU_CLIENT_AUTH = 1,
    EW_EKU_EMAIL_PROTECTION = 2,
    EW_EKU_EFS = 4,             /* 1.3.6.1.4.1.311.10.3.4 */
    EW_EKU_SMARTCARD_LOGON = 8, /* 1.3.6.1.4.1.311.20.2.2 */
    EW_EKU_SERVER_AUTH = 16,
    EW_EKU_OTHER = 32,
};

/* Texts are UTF-8 and live as long as the certificate. Missing ones are "". */
struct ew_cert_facts {
    const char *serial;  /* lower-case hexadecimal without leading zeros */
    const char *issuer;  /* RFC 4514 */
    const char *subject; /* RFC 4514 */
    const char *cn;
    const char *ous[EW_MAX_CERT_NAMES];
    size_t ou_count;
    const char *emails[EW_MAX_CERT_NAMES]; /* of the subject and of the alternative names */
    size_t email_count;
    const char *upn;                     /* otherName 1.3.6.1.4.1.311.20.2.3 */
    int64_t not_before_ms, not_after_ms; /* since 1970 */
    uint8_t spki_sha256[32];
    const char *sha256; /* fingerprint, lower-case hexadecimal */
    unsigned eku;       /* enum ew_eku; 0 = no extension */
    bool is_ca;
};

struct ew_cert_id {
    uint8_t spki_sha256[32];
    char serial[EW_MAX_SERIAL + 1]; /* as above; "" = longer than RFC 5280 allows */
};

/* PEM certificate, PEM PKCS#7, DER or bare base64 of either, with any line ends. Of a PKCS#7 it is
 * the certificate that issued no other. EW_REJECT: cert-malformed. */
EW_CHECK enum ew_fault ew_cert_read(const char *text, size_t len, struct ew_cert **out,
                                    struct ew_err *err);
/* Of the same texts what a certificate is known by, in a fraction of the time: the rest of it is
 * not looked at, and may be malformed. */
EW_CHECK enum ew_fault ew_cert_identify(const char *text, size_t len, struct ew_cert_id *out,
                                        struct ew_err *err);
void ew_cert_free(struct ew_cert *cert);
const struct ew_cert_facts *ew_cert_facts(const struct ew_cert *cert);
/* Borrowed from the certificate. */
struct ew_blob ew_cert_der(const struct ew_cert *cert);
