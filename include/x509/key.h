/*
 * Keys that the worker makes for a request, and the key-encryption keys that wrap them at rest.
 * Private keys never leave this room in clear but for a PKCS#12 that is sealed at once.
 * Any thread; making one takes up to a second: off the loop. EW_RETRY also when `out` has no room.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "domain/request.h"

struct ew_key;

EW_CHECK enum ew_fault ew_key_generate(enum ew_key_type type, struct ew_key **out,
                                       struct ew_err *err);
/* NULL is fine. The key is wiped. */
void ew_key_free(struct ew_key *key);
/* A PKCS#10 in PEM with this common name (UTF8String), SHA-256, appended to pem. */
EW_CHECK enum ew_fault ew_key_csr(const struct ew_key *key, const char *cn, struct ew_buf *pem,
                                  struct ew_err *err);
EW_CHECK enum ew_fault ew_key_spki_sha256(const struct ew_key *key, uint8_t out[32],
                                          struct ew_err *err);

/* Key-encryption keys of the fleet: a secret file of lines `id:base64 of 32 bytes`; the first one
 * wraps, all of them unwrap (rotation). At most 16; ids of 1-16 characters [A-Za-z0-9._-]. */
struct ew_keks;
EW_CHECK enum ew_fault ew_keks_load(const char *path, struct ew_keks **out, struct ew_err *err);
void ew_keks_free(struct ew_keks *keks);

/* AES-256-GCM with a random nonce; aad binds it to its request. Appends to out: format 1, length
 * and text of the key id, nonce, tag, ciphertext of the PKCS#8. */
EW_CHECK enum ew_fault ew_key_wrap(const struct ew_key *key, const struct ew_keks *keks,
                                   const void *aad, size_t aad_len, struct ew_buf *out,
                                   struct ew_err *err);
/* EW_HALT when the key id is not in the file (keks NULL = there is none), or is another key's
 * there; EW_REJECT when this is no wrapped key; EW_RETRY when that could not be found out. */
EW_CHECK enum ew_fault ew_key_unwrap(const void *data, size_t len, const struct ew_keks *keks,
                                     const void *aad, size_t aad_len, struct ew_key **out,
                                     struct ew_err *err);
