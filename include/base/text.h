/*
 * Texts from outside, made to fit.
 */
#pragma once

#include <stddef.h>

/* Bytes of UTF-8 text, max at most, that end where a character does. */
static inline size_t
ew_text_fit(const char *text, size_t max)
{
    size_t len = 0;

    while (len <= max && text[len] != '\0')
        len++;
    if (len <= max)
        return len;
    for (len = max; len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80;)
        len--;
    return len;
}
