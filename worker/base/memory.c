/*
 * Memory that is there, or the end.
 */
#include "base/memory.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

/* The C library may give nothing for nothing: a byte is always something. */
static size_t
some(size_t size)
{
    return size == 0 ? 1 : size;
}

static void *
checked(void *memory, size_t size)
{
    if (memory != NULL)
        return memory;
    EW_LOG(EW_LOG_ERROR, "base", "out of memory", EW_INT("bytes", size)); /* needs none */
    abort();
}

void *
ew_malloc(size_t size)
{
    return checked(malloc(some(size)), size);
}

void *
ew_calloc(size_t count, size_t size)
{
    return checked(calloc(some(count), some(size)), size);
}

void *
ew_realloc(void *memory, size_t size)
{
    return checked(realloc(memory, some(size)), size);
}

char *
ew_strndup(const char *text, size_t len)
{
    size_t all = strnlen(text, len);
    char *copy = ew_malloc(all + 1);

    memcpy(copy, text, all);
    copy[all] = '\0';
    return copy;
}

char *
ew_strdup(const char *text)
{
    return ew_strndup(text, strlen(text));
}

void
ew_wipe_free(void *memory)
{
    if (memory != NULL)
        explicit_bzero(memory, malloc_usable_size(memory));
    free(memory);
}

/* What fits is left where it is, unless much of it would lie idle. */
void *
ew_wipe_realloc(void *memory, size_t size)
{
    size_t old = memory == NULL ? 0 : malloc_usable_size(memory);
    void *other;

    if (memory != NULL && size <= old && size > old / 2)
        return memory;
    other = ew_malloc(size);
    if (memory != NULL)
        memcpy(other, memory, old < size ? old : size);
    ew_wipe_free(memory);
    return other;
}
