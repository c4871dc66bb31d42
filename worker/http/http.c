/*
 * Calls: beginning, end and giving up. The options of a transfer, the loop's glue and the reading
 * of results have files of their own.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/memory.h"
#include "http/library.h"
#include "http_private.h"

static enum ew_fault
copy_options(struct ew_http *http, const struct ew_http_options *options, struct ew_err *err)
{
    http->connect_timeout_ms =
        options->connect_timeout_ms > 0 ? options->connect_timeout_ms : EW_HTTP_CONNECT_MS;
    http->tcp_timeout_ms = options->tcp_timeout_ms > 0 ? options->tcp_timeout_ms : EW_HTTP_TCP_MS;
    if (options->ca_file) {
        if (access(options->ca_file, R_OK) != 0)
            return ew_fail_field(err, EW_HALT, "http-ca-file", "ca_file",
                                 "name a readable PEM file", "cannot read %s", options->ca_file);
        http->ca_file = ew_strdup(options->ca_file);
    }
    /* An empty proxy, not none: with none curl would ask the environment. */
    http->proxy = ew_strdup(options->proxy ? options->proxy : "");
    return EW_OK;
}

static enum ew_fault
share_sessions(struct ew_http *http, struct ew_err *err)
{
    http->share = curl_share_init();
    /* All on the loop's thread: no locks. Without the shared sessions a fresh connection would
     * begin with a full handshake each time. */
    if (http->share == NULL ||
        curl_share_setopt(http->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) != CURLSHE_OK ||
        curl_share_setopt(http->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS) != CURLSHE_OK)
        return ew_fail(err, EW_RETRY, "http-start", "curl_share: no memory or no support");
    return EW_OK;
}

enum ew_fault
ew_http_new(struct ew_loop *loop, const struct ew_http_options *options, struct ew_http **out,
            struct ew_err *err)
{
    struct ew_http *http;
    enum ew_fault fault = ew_http_init_library(err);

    if (fault != EW_OK)
        return fault;
    http = ew_calloc(1, sizeof(*http));
    http->loop = loop;
    ew_list_init(&http->sockets);
    ew_list_init(&http->calls);
    fault = copy_options(http, options, err);
    if (fault == EW_OK)
        fault = share_sessions(http, err);
    if (fault == EW_OK)
        fault = ew_http_multi_start(http, options->max_connections, err);
    if (fault != EW_OK) {
        ew_http_free(http);
        return fault;
    }
    *out = http;
    return EW_OK;
}

void
ew_http_free(struct ew_http *http)
{
    struct ew_link *link;

    if (http == NULL)
        return;
    while ((link = ew_list_first(&http->calls)) != NULL)
        ew_http_call_free(EW_CONTAINER(link, struct ew_http_call, link));
    if (http->serving > 0) {
        http->doomed = true;
        return;
    }
    ew_http_multi_stop(http);
    if (http->share)
        curl_share_cleanup(http->share);
    free(http->ca_file);
    free(http->proxy);
    free(http);
}

static enum ew_fault
check_url(const char *url, struct ew_err *err)
{
    if (strncasecmp(url, "https://", 8) != 0)
        return ew_fail(err, EW_BUG, "http-url", "not an https URL: %s", url);
    return EW_OK;
}

static struct ew_http_call *
new_call(struct ew_http *http, const struct ew_http_request *request)
{
    struct ew_http_call *call = ew_calloc(1, sizeof(*call));

    call->http = http;
    call->gate = request->gate;
    call->done = request->done;
    call->arg = request->arg;
    call->body = *request->body;
    call->body.secret = true;
    ew_buf_init_secret(request->body, 0);
    ew_buf_init(&call->reply, request->max_reply);
    ew_list_append(&http->calls, &call->link);
    http->in_flight++;
    return call;
}

enum ew_fault
ew_http_post(struct ew_http *http, const struct ew_http_request *request, struct ew_http_call **out,
             struct ew_err *err)
{
    struct ew_http_call *call = new_call(http, request);
    enum ew_fault fault;

    fault = check_url(request->url, err);
    if (fault == EW_OK)
        fault = ew_http_set_options(call, request, err);
    if (fault == EW_OK && curl_multi_add_handle(http->multi, call->easy) != CURLM_OK)
        fault = ew_fail(err, EW_RETRY, "http-start", "curl_multi_add_handle failed");
    if (fault != EW_OK) {
        ew_http_call_free(call);
        return fault;
    }
    *out = call;
    return EW_OK;
}

void
ew_http_call_detach(struct ew_http_call *call)
{
    if (!ew_link_linked(&call->link))
        return;
    ew_link_remove(&call->link);
    call->http->in_flight--;
    if (call->easy)
        curl_multi_remove_handle(call->http->multi, call->easy); /* harmless if never added */
}

void
ew_http_call_free(struct ew_http_call *call)
{
    ew_http_call_detach(call);
    if (call->easy)
        curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->headers);
    ew_buf_deinit(&call->body);
    ew_buf_deinit(&call->reply);
    free(call);
}

void
ew_http_cancel(struct ew_http_call *call)
{
    if (call)
        ew_http_call_free(call);
}

size_t
ew_http_in_flight(const struct ew_http *http)
{
    return http->in_flight;
}
