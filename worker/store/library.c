/*
 * hiredis' global state, once in the process.
 */
#include <pthread.h>

#include "base/memory.h"
#include "store_private.h"

#if HIREDIS_MAJOR >= 1
#include <hiredis/alloc.h>
#endif

/* One that has no room for a callback goes on, and gives the command's reply to the next one; and
 * what it sends, the password of AUTH too, it copies into buffers of its own. 0.14 cannot be told:
 * it ends the process there by itself, and wipes nothing. */
static void
init(void)
{
#if HIREDIS_MAJOR >= 1
    hiredisAllocFuncs functions = {.mallocFn = ew_malloc,
                                   .callocFn = ew_calloc,
                                   .reallocFn = ew_wipe_realloc,
                                   .strdupFn = ew_strdup,
                                   .freeFn = ew_wipe_free};

    (void)hiredisSetAllocators(&functions);
#endif
}

void
ew_store_init_library(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, init);
}
