/*
 * SHA-256. Any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

void ew_sha256(const void *data, size_t len, uint8_t out[32]);
