/*
 * Protobuf written byte by byte, by nobody's library: what an attacker or a newer client may send.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "domain/limits.h"

enum { BYTES_MAX = 2 * 1024 * 1024, TEXTS = 32 };

__attribute__((unused)) static void
put_varint(struct ew_buf *out, uint64_t value)
{
    for (; value > 0x7f; value >>= 7)
        ew_buf_putc(out, (char)((value & 0x7f) | 0x80));
    ew_buf_putc(out, (char)value);
}

__attribute__((unused)) static void
put_number(struct ew_buf *out, unsigned field, uint64_t value)
{
    put_varint(out, (uint64_t)field << 3);
    put_varint(out, value);
}

__attribute__((unused)) static void
put_bytes(struct ew_buf *out, unsigned field, const void *data, size_t len)
{
    put_varint(out, (uint64_t)field << 3 | 2);
    put_varint(out, len);
    ew_buf_put(out, data, len);
}

__attribute__((unused)) static void
put_string(struct ew_buf *out, unsigned field, const char *text)
{
    put_bytes(out, field, text, strlen(text));
}

/* The bytes as they are, with nothing readable behind them: the sanitizer sees a step too far. */
__attribute__((unused)) static uint8_t *
exactly(const void *data, size_t len)
{
    uint8_t *copy = malloc(len + (len == 0));

    assert_non_null(copy);
    if (len > 0)
        memcpy(copy, data, len);
    return copy;
}

/* n times 'a', until 31 more of them were asked for. */
__attribute__((unused)) static char *
letters(size_t n)
{
    static char texts[TEXTS][EW_MAX_RECORD];
    static unsigned next;
    char *text = texts[next++ % TEXTS];

    assert_true(n < EW_MAX_RECORD);
    memset(text, 'a', n);
    text[n] = '\0';
    return text;
}
