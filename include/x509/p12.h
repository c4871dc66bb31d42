/*
 * PKCS#12 of a worker-made key, its certificate and chain. Off the loop; any thread. EW_RETRY also
 * when `out` has no room.
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
