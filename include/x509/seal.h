/*
 * Sealing to a recipient: CMS EnvelopedData (RFC 5652), AES-256-CBC, DER. Any thread; off the loop.
 * EW_REJECT: that is no certificate, or none to whose key anything can be sealed. EW_RETRY: that is
 * not the cause (chance failed, say), or `out` has no room.
 */
#pragma once

#include "base/buf.h"
#include "x509/verify.h"

EW_CHECK enum ew_fault ew_seal(const void *data, size_t len, const uint8_t *recipient,
                               size_t recipient_len, struct ew_buf *out, struct ew_err *err);

/* A DER certificate that equals or chains to one of `allowed`, is valid at now_ms (0: at
 * whatever time), and has a key of
 * RSA 2048+ or EC P-256+. EW_REJECT with problem "recipient" and its field's
 * path in the request. */
EW_CHECK enum ew_fault ew_recipient_check(const uint8_t *der, size_t len,
                                          const struct ew_trust *allowed, int64_t now_ms,
                                          struct ew_err *err);
