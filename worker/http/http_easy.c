/*
 * One transfer: every option it has, and the callbacks that curl makes for it. What is not
 * said here is libcurl's default.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/failpoint.h"
#include "base/without.h"
#include "http_private.h"
#include "x509/tls.h"

/* A thousand calls wait at once, each with both buffers, and a request or a reply is a few KiB.
 * libcurl's own sizes (64 and 16 KiB) were half of the worker's memory. */
enum { SEND_BUFFER = 16 * 1024, RECEIVE_BUFFER = 4 * 1024 };

/* curl sends a request again by itself when a kept connection died before the first byte of the
 * reply. For an order that would be a second certificate: the second time is refused whatever the
 * caller says. */
static int
on_before_request(void *arg, char *remote, char *local, int remote_port, int local_port)
{
    struct ew_http_call *call = arg;

    (void)remote, (void)local, (void)remote_port, (void)local_port;
    if (++call->gate_calls > 1 && !EW_WITHOUT(SENT_ONCE))
        return CURL_PREREQFUNC_ABORT;
    if (call->gate && !call->gate(call->arg))
        return CURL_PREREQFUNC_ABORT;
    call->gate_passed = true;
    return CURL_PREREQFUNC_OK;
}

static size_t
on_body(char *data, size_t size, size_t count, void *arg)
{
    struct ew_http_call *call = arg;

    (void)EW_FAILPOINT(REPLY_BEGUN, NULL);
    ew_buf_put(&call->reply, data, size * count);
    if (call->reply.overflowed) {
        call->too_large = true;
        return 0; /* another number than was given: an error */
    }
    return size * count;
}

static int
on_socket_made(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    const struct ew_http *http = arg;
    unsigned timeout_ms = (unsigned)http->tcp_timeout_ms;

    (void)purpose;
    /* Without it the kernel would keep trying for a quarter of an hour, long after "no such order"
     * was believed. */
    if (setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms)) != 0)
        return CURL_SOCKOPT_ERROR;
    return CURL_SOCKOPT_OK;
}

static CURLcode
on_tls_context(CURL *easy, void *context, void *arg)
{
    (void)easy, (void)arg;
    ew_tls_release_buffers(context);
    return CURLE_OK;
}

static bool
set_headers(struct ew_http_call *call, const char *content_type)
{
    static const char *const fixed[] = {
        "SOAPAction: \"\"",
        "Expect:", /* none: waiting for "100 Continue" would split the request in two */
        "Accept: text/xml",
        "Accept-Encoding: identity",
        "User-Agent: epki-worker",
    };
    char type[128];

    (void)snprintf(type, sizeof(type), "Content-Type: %s", content_type);
    for (size_t i = 0; i <= sizeof(fixed) / sizeof(fixed[0]); i++) {
        struct curl_slist *longer = curl_slist_append(call->headers, i == 0 ? type : fixed[i - 1]);

        if (longer == NULL)
            return false;
        call->headers = longer;
    }
    return curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers) == CURLE_OK;
}

#define SET(option, value) (curl_easy_setopt(easy, (option), (value)) == CURLE_OK)

static bool
set_tls(CURL *easy, const struct ew_http *http)
{
    /* No CAPATH: Debian's default would trust the system's CAs besides ca_file, and keeps libcurl
     * from caching the store: it would read the whole bundle for every connection. */
    if ((http->ca_file && !SET(CURLOPT_CAINFO, http->ca_file)) || !SET(CURLOPT_CAPATH, NULL))
        return false;
    return SET(CURLOPT_SSL_VERIFYPEER, 1L) && SET(CURLOPT_SSL_VERIFYHOST, 2L) &&
           SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) &&
           SET(CURLOPT_SSL_CTX_FUNCTION, on_tls_context) &&
           SET(CURLOPT_SSL_OPTIONS, (long)CURLSSLOPT_NO_PARTIALCHAIN); /* and no early data */
}

static bool
set_connection(CURL *easy, const struct ew_http *http, bool fresh)
{
    return SET(CURLOPT_SHARE, http->share) && SET(CURLOPT_PROXY, http->proxy) &&
           SET(CURLOPT_NOSIGNAL, 1L) && SET(CURLOPT_PROTOCOLS_STR, "https") &&
           SET(CURLOPT_QUICK_EXIT, 1L) && /* never wait in here for a name server's thread */
           SET(CURLOPT_FOLLOWLOCATION, 0L) && SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L) &&
           SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
           SET(CURLOPT_CONNECTTIMEOUT_MS, (long)http->connect_timeout_ms) &&
           SET(CURLOPT_DNS_CACHE_TIMEOUT, (long)EW_HTTP_NAME_S) &&
           SET(CURLOPT_SOCKOPTFUNCTION, on_socket_made) && SET(CURLOPT_SOCKOPTDATA, http) &&
           SET(CURLOPT_FRESH_CONNECT, fresh ? 1L : 0L) &&
           SET(CURLOPT_FORBID_REUSE, fresh ? 1L : 0L) &&
           SET(CURLOPT_MAXAGE_CONN, (long)EW_HTTP_IDLE_S);
}

static bool
set_transfer(CURL *easy, struct ew_http_call *call, const struct ew_http_request *request)
{
    return SET(CURLOPT_URL, request->url) && SET(CURLOPT_PRIVATE, call) &&
           SET(CURLOPT_ERRORBUFFER, call->detail) && SET(CURLOPT_POST, 1L) &&
           SET(CURLOPT_POSTFIELDS, ew_buf_text(&call->body)) &&
           SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.len) &&
           SET(CURLOPT_TIMEOUT_MS, (long)request->timeout_ms) &&
           SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)request->max_reply) &&
           SET(CURLOPT_UPLOAD_BUFFERSIZE, (long)SEND_BUFFER) &&
           SET(CURLOPT_BUFFERSIZE, (long)RECEIVE_BUFFER) && SET(CURLOPT_WRITEFUNCTION, on_body) &&
           SET(CURLOPT_WRITEDATA, call) && SET(CURLOPT_PREREQFUNCTION, on_before_request) &&
           SET(CURLOPT_PREREQDATA, call);
}

enum ew_fault
ew_http_set_options(struct ew_http_call *call, const struct ew_http_request *request,
                    struct ew_err *err)
{
    call->easy = curl_easy_init();
    if (call->easy == NULL || call->body.overflowed || !set_tls(call->easy, call->http) ||
        !set_connection(call->easy, call->http, request->fresh && !EW_WITHOUT(SENT_ONCE)) ||
        !set_transfer(call->easy, call, request) || !set_headers(call, request->content_type))
        return ew_fail(err, EW_RETRY, "http-start", "no memory for a request, or it is too long");
    return EW_OK;
}
