/*
 * hiredis' global state, once in the process.
 */
#include <pthread.h>
#include <stdlib.h>

#include "base/memory.h"
#include "store_private.h"

#if HIREDIS_MAJOR >= 1
#include <hiredis/alloc.h>
#endif

/* One that has no room for a callback goes on, and gives the command's reply to the next one. 0.14
 * cannot be told, but ends the process there by itself. */
static void
init(void)
{
#if HIREDIS_MAJOR >= 1
    hiredisAllocFuncs functions = {.mallocFn = ew_malloc,
                                   .callocFn = ew_calloc,
                                   .reallocFn = ew_realloc,
                                   .strdupFn = ew_strdup,
                                   .freeFn = free};

    (void)hiredisSetAllocators(&functions);
#endif
}

void
ew_store_init_library(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, init);
}
