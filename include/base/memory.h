/*
 * Memory. Without it the process ends, here and inside the libraries that let themselves be told so
 * (x509, soap, wire, store and http do). Whoever went on would take what did not fit for what is
 * not there: a reply without its end for a whole one, a request that does not unpack for one that
 * cannot be decoded, a key that does not open for a lost one. Nothing is lost by the end: what is
 * durable says where to go on, as after any crash. A limit that is reached is another matter, and
 * an error of its own.
 * Any thread. What they give is given back with free().
 */
#pragma once

#include <stddef.h>

#define EW_NEVER_NULL __attribute__((returns_nonnull, warn_unused_result))

EW_NEVER_NULL void *ew_malloc(size_t size);
/* Zeroed. */
EW_NEVER_NULL void *ew_calloc(size_t count, size_t size);
EW_NEVER_NULL void *ew_realloc(void *memory, size_t size);
EW_NEVER_NULL char *ew_strdup(const char *text);
/* At most len bytes of it, and a NUL. */
EW_NEVER_NULL char *ew_strndup(const char *text, size_t len);

/* For libraries that copy secrets: what they give back, or grow out of, is wiped. */
void ew_wipe_free(void *memory);
EW_NEVER_NULL void *ew_wipe_realloc(void *memory, size_t size);
