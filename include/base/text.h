/*
 * Texts from outside, made to fit.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

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

/* Whether a list with one blank between its words has this one; no list has "". */
static inline bool
ew_text_has(const char *list, const char *word)
{
    size_t len = strlen(word);

    if (len == 0)
        return false;
    for (const char *at = list; *at != '\0'; at += strspn(at, " ")) {
        size_t one = strcspn(at, " ");

        if (one == len && memcmp(at, word, len) == 0)
            return true;
        at += one;
    }
    return false;
}
