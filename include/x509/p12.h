/*
 * PKCS#12 of a key, its certificate and chain: made for whoever asked, opened where GlobalSign made
 * the key. Off the loop; any thread. EW_RETRY also when `out` has no room.
 */
#pragma once

#include "x509/key.h"
#include "x509/verify.h"

enum { EW_PIN_LENGTH = 20 };

/* EW_PIN_LENGTH letters and digits, each equally likely. Appended; out should be a secret buffer.
 */
void ew_pin_generate(struct ew_buf *out);

/* EW_P12_MODERN: AES-256-CBC under PBKDF2, MAC with SHA-256. EW_P12_APPLE: 3DES and a MAC with
 * SHA-1, which iOS before 15 needs. Appends DER; out should be a secret buffer. */
EW_CHECK enum ew_fault ew_p12_build(const struct ew_key *key, const struct ew_cert *cert,
                                    const struct ew_trust *trust, const char *pin,
                                    enum ew_p12_format format, struct ew_buf *out,
                                    struct ew_err *err);

/* Opens one that somebody else made (DER): its key, and the certificate of that key, which is
 * appended to cert as base64. AES, 3DES, and RC2 where ew_p12_ready(). EW_REJECT:
 * pkcs12-malformed, pkcs12-rounds (of more than a million over the PIN, or one that cannot be
 * counted), pkcs12-pin, or pkcs12-content: no such pair in it. */
EW_CHECK enum ew_fault ew_p12_open(const void *der, size_t len, const char *pin,
                                   struct ew_key **key, struct ew_buf *cert, struct ew_err *err);

/* EW_HALT: OpenSSL's legacy provider is not installed, and a PKCS#12 of an old server (RC2) would
 * not open: its key comes once, so that is to be known before it is ordered. */
EW_CHECK enum ew_fault ew_p12_ready(struct ew_err *err);
