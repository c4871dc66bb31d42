/*
 * The bounded buffer. Grows by doubling up to its maximum; secrets are wiped before memory moves.
 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

void
ew_buf_init(struct ew_buf *buf, size_t max)
{
    *buf = (struct ew_buf){.max = max};
}

void
ew_buf_init_secret(struct ew_buf *buf, size_t max)
{
    *buf = (struct ew_buf){.max = max, .secret = true};
}

void
ew_buf_deinit(struct ew_buf *buf)
{
    if (buf->secret && buf->data != NULL)
        explicit_bzero(buf->data, buf->cap);
    free(buf->data);
    *buf = (struct ew_buf){.max = buf->max, .secret = buf->secret};
}

void
ew_buf_clear(struct ew_buf *buf)
{
    if (buf->secret && buf->data != NULL)
        explicit_bzero(buf->data, buf->cap);
    buf->len = 0;
    buf->overflowed = false;
    if (buf->data != NULL)
        buf->data[0] = '\0';
}

/* Room for `more` bytes and the NUL. realloc would leave a copy of a secret behind. */
static bool
reserve(struct ew_buf *buf, size_t more)
{
    size_t cap = buf->cap == 0 ? 64 : buf->cap;
    uint8_t *data;

    if (buf->overflowed || more > buf->max - buf->len) {
        buf->overflowed = true;
        return false;
    }
    if (buf->len + more + 1 <= buf->cap)
        return true;
    while (cap < buf->len + more + 1)
        cap *= 2;
    if (cap > buf->max + 1)
        cap = buf->max + 1;
    data = ew_malloc(cap);
    if (buf->data != NULL) {
        memcpy(data, buf->data, buf->len);
        if (buf->secret)
            explicit_bzero(buf->data, buf->cap);
        free(buf->data);
    }
    buf->data = data;
    buf->cap = cap;
    return true;
}

void
ew_buf_put(struct ew_buf *buf, const void *data, size_t len)
{
    if (!reserve(buf, len))
        return;
    if (len > 0)
        memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

void
ew_buf_puts(struct ew_buf *buf, const char *text)
{
    ew_buf_put(buf, text, strlen(text));
}

void
ew_buf_putc(struct ew_buf *buf, char c)
{
    ew_buf_put(buf, &c, 1);
}

void
ew_buf_printf(struct ew_buf *buf, const char *fmt, ...)
{
    va_list args, again;
    int len;

    va_start(args, fmt);
    va_copy(again, args);
    len = vsnprintf(NULL, 0, fmt, args);
    if (len < 0)
        buf->overflowed = true;
    else if (reserve(buf, (size_t)len)) {
        (void)vsnprintf((char *)buf->data + buf->len, (size_t)len + 1, fmt, again);
        buf->len += (size_t)len;
    }
    va_end(again);
    va_end(args);
}

const char *
ew_buf_text(const struct ew_buf *buf)
{
    return buf->data == NULL ? "" : (const char *)buf->data;
}

uint8_t *
ew_buf_take(struct ew_buf *buf, size_t *len)
{
    uint8_t *data = NULL;

    *len = 0;
    if (!buf->overflowed && reserve(buf, 0)) {
        buf->data[buf->len] = '\0';
        data = buf->data;
        *len = buf->len;
        buf->data = NULL;
    }
    ew_buf_deinit(buf);
    return data;
}
