/*
 * SHA-256, and a slow digest of passwords. Any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

void ew_sha256(const void *data, size_t len, uint8_t out[32]);
/* PBKDF2-HMAC-SHA-256 of 100,000 rounds, some 50 ms: so long does each guess take whoever has the
 * result and the salt. */
void ew_password_digest(const void *password, size_t len, const char *salt, uint8_t out[32]);
