/*
 * OpenSSL's memory. For nothing it expects nothing, and to give back what is resized to nothing.
 */
#include "x509/library.h"

#include <stdlib.h>

#include <openssl/crypto.h>

#include "base/memory.h"

static void *
take(size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return size == 0 ? NULL : ew_malloc(size);
}

static void
give(void *memory, const char *file, int line)
{
    (void)file, (void)line;
    free(memory);
}

static void *
resize(void *memory, size_t size, const char *file, int line)
{
    if (size > 0)
        return ew_realloc(memory, size);
    give(memory, file, line);
    return NULL;
}

enum ew_fault
ew_x509_init_library(struct ew_err *err)
{
    if (CRYPTO_set_mem_functions(take, resize, give) != 1)
        return ew_fail(err, EW_BUG, "openssl-memory", "OpenSSL was used before it was set up");
    return EW_OK;
}
