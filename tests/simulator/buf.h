/*
 * A growing byte buffer with a maximum given at birth, and the few helpers that every file needs:
 * memory that does not fail (the simulator stops instead), hex, base64, small files.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define SIM_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))

struct sim_buf {
    char *data; /* always followed by a NUL once something was added; NULL when empty */
    size_t len;
    size_t cap;
    size_t max;
    bool full; /* something did not fit: sticky, the rest was left out */
};

void sim_buf_init(struct sim_buf *buf, size_t max);
void sim_buf_deinit(struct sim_buf *buf);
void sim_buf_reset(struct sim_buf *buf);
void sim_buf_add(struct sim_buf *buf, const void *data, size_t len);
void sim_buf_text(struct sim_buf *buf, const char *text);
void sim_buf_printf(struct sim_buf *buf, const char *fmt, ...) SIM_PRINTF(2, 3);
void sim_buf_base64(struct sim_buf *buf, const void *data, size_t len);

/* Removes the first len bytes. */
void sim_buf_drop(struct sim_buf *buf, size_t len);

/* Zeroed memory; ends the process when there is none. */
void *sim_alloc(size_t size);

/* As realloc, ending the process when there is no memory. */
void *sim_realloc(void *old, size_t size);

/* A copy of text owned by the caller; NULL stays NULL. */
char *sim_copy(const char *text);

/* Copies into a fixed array, cut to its size. */
void sim_put(char *to, size_t size, const char *text);

/* Lower-case hex and a NUL: out holds 2 * len + 1. */
void sim_hex(char *out, const unsigned char *data, size_t len);

/* Decodes base64 without line breaks. NULL when it is none; the caller frees. */
unsigned char *sim_unbase64(const char *text, size_t *len);

/* Random bytes from the system; ends the process when there are none. */
void sim_random(void *out, size_t len);

/* Reads a whole file of at most buf->max bytes. */
bool sim_read_file(const char *path, struct sim_buf *buf);

/* Writes a file whole or not at all (a temporary one, then rename). */
bool sim_write_file(const char *path, const void *data, size_t len, unsigned mode);
