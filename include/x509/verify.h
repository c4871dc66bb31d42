/*
 * Does a certificate fit what was asked for? And the bundles it must chain to. Any thread; a loaded
 * bundle is constant.
 */
#pragma once

#include "x509/cert.h"

struct ew_trust; /* a PEM bundle: issuing CAs and roots, or the recipients that a setting allows */

/* At most EW_MAX_CHAIN_FILE bytes and EW_MAX_BUNDLE certificates; EW_HALT names what is wrong. */
EW_CHECK enum ew_fault ew_trust_load(const char *path, struct ew_trust **out, struct ew_err *err);
/* Does every certificate of the bundle lead, by signatures in it, to a root in it? Then one of its
 * issuing CAs is trusted as it stands, and ew_cert_verify need not go up to the root for every
 * certificate. EW_HALT names the first that does not. No clock is asked. */
EW_CHECK enum ew_fault ew_trust_complete(const struct ew_trust *trust, struct ew_err *err);
void ew_trust_free(struct ew_trust *trust);

struct ew_expect {
    uint8_t spki_sha256[32];
    const char *cn;              /* this and ous: as RFC 5280, 7.1 compares names */
    const char *email;           /* "" = none asked for; else it must be among the certificate's */
    const char *upn;             /* "" likewise */
    const char *ous[EW_MAX_OUS]; /* each must be there; GlobalSign may add its own */
    size_t ou_count;
    unsigned need_eku;
    int years;
    int64_t now_ms; /* the CA's Date */
};

/* The first two mean: cancel and reject. The others: hold, the setting or the CA has changed. */
enum ew_verdict {
    EW_CERT_OK,
    EW_CERT_WRONG_KEY,
    EW_CERT_WRONG_NAME,
    EW_CERT_WRONG_CHAIN,
    EW_CERT_WRONG_USAGE,
    EW_CERT_WRONG_VALIDITY,
};
/* The bundle is one that ew_trust_complete found whole; the certificate must be signed by one of
 * its CAs, and that be valid now. What constrains names above that CA, in a root,
 * say, is not applied to the certificate. err is filled for all but EW_CERT_OK. */
enum ew_verdict ew_cert_verify(const struct ew_cert *cert, const struct ew_trust *trust,
                               const struct ew_expect *expect, struct ew_err *err);

/* The chain of cert from the bundle: issuing CA first, without the root; of CAs with one name and
 * key the one that is valid longest. DER, borrowed from trust. */
size_t ew_trust_chain(const struct ew_trust *trust, const struct ew_cert *cert, struct ew_blob *out,
                      size_t max);
