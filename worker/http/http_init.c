/*
 * libcurl's global state. Nothing here can be undone, and nothing needs to be.
 */
#include <pthread.h>
#include <signal.h>

#include "base/memory.h"
#include "http/library.h"
#include "http_private.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static CURLcode init_code;
static bool probing, is_ours; /* by whoever initialises it, before there are others */

static void *
take(size_t size)
{
    if (probing)
        is_ours = true;
    return ew_malloc(size);
}

/* Who comes second is told that all is well, and is not listened to. */
static void
probe(void)
{
    struct curl_slist *list;

    probing = true;
    list = curl_slist_append(NULL, "probe");
    probing = false;
    curl_slist_free_all(list);
}

static void
init(void)
{
    /* CURLOPT_NOSIGNAL leaves SIGPIPE to us: a peer that hangs up must not end the process. */
    (void)signal(SIGPIPE, SIG_IGN);
    init_code = curl_global_init_mem(CURL_GLOBAL_DEFAULT, take, ew_wipe_free, ew_wipe_realloc,
                                     ew_strdup, ew_calloc);
    if (init_code == CURLE_OK)
        probe();
}

enum ew_fault
ew_http_init_library(struct ew_err *err)
{
    const curl_version_info_data *version;

    pthread_once(&once, init);
    if (init_code != CURLE_OK)
        return ew_fail(err, EW_HALT, "http-start", "curl_global_init: %s",
                       curl_easy_strerror(init_code));
    if (!is_ours)
        return ew_fail(err, EW_HALT, "http-start", "libcurl was given other memory than ours");
    version = curl_version_info(CURLVERSION_NOW);
    if (version->version_num < 0x075700 || !(version->features & CURL_VERSION_SSL))
        return ew_fail(err, EW_HALT, "http-start", "libcurl %s is older than 7.87 or has no TLS",
                       version->version);
    return EW_OK;
}
