/*
 * Bytes as lower-case hexadecimal and as base64, both ways.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* out takes 2 * len + 1 bytes. */
void ew_hex_encode(const uint8_t *data, size_t len, char *out);
/* Exactly len bytes from exactly 2 * len digits, either case. */
EW_CHECK enum ew_fault ew_hex_decode(const char *text, uint8_t *out, size_t len);

/* Standard alphabet with padding, no line breaks. Appends. */
void ew_base64_encode(const uint8_t *data, size_t len, struct ew_buf *out);
/* White space is skipped; anything else outside the alphabet is EW_REJECT. Appends. */
EW_CHECK enum ew_fault ew_base64_decode(const char *text, size_t len, struct ew_buf *out);
