/*
 * The growing buffer and the helpers of buf.h.
 */
#include "buf.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void *
sim_alloc(size_t size)
{
    void *memory = calloc(1, size ? size : 1);
    if (!memory) {
        abort();
    }
    return memory;
}

void *
sim_realloc(void *old, size_t size)
{
    void *memory = realloc(old, size ? size : 1);
    if (!memory) {
        abort();
    }
    return memory;
}

char *
sim_copy(const char *text)
{
    if (!text) {
        return NULL;
    }
    size_t len = strlen(text) + 1;
    char *copy = sim_alloc(len);
    memcpy(copy, text, len);
    return copy;
}

void
sim_put(char *to, size_t size, const char *text)
{
    size_t len = text ? strlen(text) : 0;
    if (len >= size) {
        len = size - 1;
    }
    if (len) {
        memcpy(to, text, len);
    }
    to[len] = 0;
}

void
sim_buf_init(struct sim_buf *buf, size_t max)
{
    memset(buf, 0, sizeof(*buf));
    buf->max = max;
}

void
sim_buf_deinit(struct sim_buf *buf)
{
    free(buf->data);
    sim_buf_init(buf, buf->max);
}

void
sim_buf_reset(struct sim_buf *buf)
{
    buf->len = 0;
    buf->full = false;
    if (buf->data) {
        buf->data[0] = 0;
    }
}

void
sim_buf_add(struct sim_buf *buf, const void *data, size_t len)
{
    if (len > buf->max - buf->len) {
        buf->full = true;
        return;
    }
    if (buf->len + len + 1 > buf->cap) {
        size_t cap = buf->cap ? buf->cap : 256;
        while (cap < buf->len + len + 1) {
            cap *= 2;
        }
        buf->data = sim_realloc(buf->data, cap);
        buf->cap = cap;
    }
    if (len) {
        memcpy(buf->data + buf->len, data, len);
    }
    buf->len += len;
    buf->data[buf->len] = 0;
}

void
sim_buf_text(struct sim_buf *buf, const char *text)
{
    sim_buf_add(buf, text, strlen(text));
}

void
sim_buf_printf(struct sim_buf *buf, const char *fmt, ...)
{
    char small[512];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(small, sizeof(small), fmt, args);
    va_end(args);
    if (len < 0) {
        abort();
    }
    if ((size_t)len < sizeof(small)) {
        sim_buf_add(buf, small, (size_t)len);
        return;
    }
    char *large = sim_alloc((size_t)len + 1);
    va_start(args, fmt);
    (void)vsnprintf(large, (size_t)len + 1, fmt, args);
    va_end(args);
    sim_buf_add(buf, large, (size_t)len);
    free(large);
}

void
sim_buf_base64(struct sim_buf *buf, const void *data, size_t len)
{
    if (len > INT32_MAX / 2) {
        buf->full = true;
        return;
    }
    unsigned char *text = sim_alloc(len / 3 * 4 + 8);
    int used = EVP_EncodeBlock(text, data, (int)len);
    sim_buf_add(buf, text, (size_t)used);
    free(text);
}

void
sim_buf_drop(struct sim_buf *buf, size_t len)
{
    if (len >= buf->len) {
        sim_buf_reset(buf);
        return;
    }
    memmove(buf->data, buf->data + len, buf->len - len + 1);
    buf->len -= len;
}

void
sim_hex(char *out, const unsigned char *data, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[data[i] >> 4];
        out[2 * i + 1] = digits[data[i] & 15];
    }
    out[2 * len] = 0;
}

unsigned char *
sim_unbase64(const char *text, size_t *len)
{
    size_t in = strlen(text);
    if (in == 0 || in % 4 != 0 || in > INT32_MAX / 2) {
        return NULL;
    }
    unsigned char *out = sim_alloc(in / 4 * 3 + 4);
    int used = EVP_DecodeBlock(out, (const unsigned char *)text, (int)in);
    if (used < 0) {
        free(out);
        return NULL;
    }
    /* EVP_DecodeBlock counts the padding as data. */
    size_t padding = (size_t)(text[in - 1] == '=') + (size_t)(text[in - 2] == '=');
    *len = (size_t)used - padding;
    return out;
}

void
sim_random(void *out, size_t len)
{
    if (RAND_bytes(out, (int)len) != 1) {
        abort();
    }
}

bool
sim_read_file(const char *path, struct sim_buf *buf)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    char part[16384];
    ssize_t got;
    while ((got = read(fd, part, sizeof(part))) > 0) {
        sim_buf_add(buf, part, (size_t)got);
    }
    close(fd);
    return got == 0 && !buf->full;
}

bool
sim_write_file(const char *path, const void *data, size_t len, unsigned mode)
{
    char temporary[4096];
    int size = snprintf(temporary, sizeof(temporary), "%s.new", path);
    if (size < 0 || (size_t)size >= sizeof(temporary)) {
        errno = ENAMETOOLONG;
        return false;
    }
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0) {
        return false;
    }
    size_t done = 0;
    while (done < len) {
        ssize_t put = write(fd, (const char *)data + done, len - done);
        if (put <= 0) {
            close(fd);
            return false;
        }
        done += (size_t)put;
    }
    return close(fd) == 0 && rename(temporary, path) == 0;
}
