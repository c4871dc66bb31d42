/*
 * A growing byte buffer that cannot be made without its maximum. Not thread-safe.
 * Once a write did not fit, the buffer is `overflowed` and stays so: check once, at the end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct ew_buf {
    uint8_t *data; /* NUL-terminated whenever it is not NULL; the NUL is not counted */
    size_t len;
    size_t cap;
    size_t max;
    bool secret; /* wiped before being freed or moved */
    bool overflowed;
};

void ew_buf_init(struct ew_buf *buf, size_t max);
/* As ew_buf_init, for keys, PINs and request bodies that carry the password. */
void ew_buf_init_secret(struct ew_buf *buf, size_t max);
void ew_buf_deinit(struct ew_buf *buf);
/* Empties, keeps memory and limits. */
void ew_buf_clear(struct ew_buf *buf);

void ew_buf_put(struct ew_buf *buf, const void *data, size_t len);
void ew_buf_puts(struct ew_buf *buf, const char *text);
void ew_buf_putc(struct ew_buf *buf, char c);
void ew_buf_printf(struct ew_buf *buf, const char *fmt, ...) EW_PRINTF(2, 3);

/* Text of the buffer, "" when nothing was written. Borrowed until the next write. */
const char *ew_buf_text(const struct ew_buf *buf);
/* Gives the memory away (free() it); the buffer is empty afterwards. NULL when overflowed. */
uint8_t *ew_buf_take(struct ew_buf *buf, size_t *len);
