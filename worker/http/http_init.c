/*
 * libcurl's global state, once in the process. Nothing here can be undone, and nothing needs to be.
 */
#include <pthread.h>
#include <signal.h>

#include "base/memory.h"
#include "http_private.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static CURLcode init_code;

static void
init(void)
{
    /* CURLOPT_NOSIGNAL leaves SIGPIPE to us: a peer that hangs up must not end the process. */
    (void)signal(SIGPIPE, SIG_IGN);
    /* curl copies a request's body, the password in it, into buffers of its own. */
    init_code = curl_global_init_mem(CURL_GLOBAL_DEFAULT, ew_malloc, ew_wipe_free, ew_wipe_realloc,
                                     ew_strdup, ew_calloc);
}

enum ew_fault
ew_http_init_library(struct ew_err *err)
{
    const curl_version_info_data *version;

    pthread_once(&once, init);
    if (init_code != CURLE_OK)
        return ew_fail(err, EW_HALT, "http-start", "curl_global_init: %s",
                       curl_easy_strerror(init_code));
    version = curl_version_info(CURLVERSION_NOW);
    if (version->version_num < 0x075700 || !(version->features & CURL_VERSION_SSL))
        return ew_fail(err, EW_HALT, "http-start", "libcurl %s is older than 7.87 or has no TLS",
                       version->version);
    return EW_OK;
}
