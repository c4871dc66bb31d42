/*
 * The glue between curl's multi handle and the loop: curl says which descriptors and which one
 * timer it wants, the loop says when they are ready.
 */
#include <stdlib.h>

#include "base/memory.h"
#include "http_private.h"

struct ew_http_socket {
    struct ew_link link;
    struct ew_http *http;
    curl_socket_t fd;
    struct ew_watch *watch;
};

static void
finish(struct ew_http_call *call, CURLcode code)
{
    struct ew_http_result result = {0};
    void (*done)(void *arg, struct ew_http_result *result) = call->done;
    void *arg = call->arg;

    ew_http_result_read(call, code, &result);
    result.body = call->reply;
    ew_buf_init(&call->reply, 0);
    ew_http_call_detach(call); /* first: the callback may cancel, start or free what it likes */
    done(arg, &result);
    ew_buf_deinit(&result.body);
    ew_http_call_free(call);
}

/* Never inside one of curl's callbacks. */
static void
serve(struct ew_http *http, curl_socket_t fd, int mask)
{
    CURLMsg *message;
    int count;

    http->serving++;
    /* A failure of the multi handle itself shows as failed transfers, or as their timeouts. */
    (void)curl_multi_socket_action(http->multi, fd, mask, &count);
    while (!http->doomed && (message = curl_multi_info_read(http->multi, &count)) != NULL) {
        struct ew_http_call *call = NULL;
        CURLcode code = message->data.result;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
        finish(call, code);
    }
    if (--http->serving == 0 && http->doomed)
        ew_http_free(http);
}

static void
on_timer(void *arg)
{
    serve(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int
on_curl_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct ew_http *http = arg;

    (void)multi;
    if (timeout_ms < 0)
        ew_timer_cancel(&http->timer);
    else
        ew_timer_start(&http->timer, timeout_ms); /* also 0: served in the loop's next turn */
    return 0;
}

static void
on_ready(void *arg, int events)
{
    struct ew_http_socket *sock = arg;
    int mask = 0;

    if (events & EW_READABLE)
        mask |= CURL_CSELECT_IN;
    if (events & EW_WRITABLE)
        mask |= CURL_CSELECT_OUT;
    serve(sock->http, sock->fd, mask); /* may free sock */
}

static void
drop_socket(struct ew_http_socket *sock)
{
    ew_watch_free(sock->watch);
    ew_link_remove(&sock->link);
    free(sock);
}

static struct ew_http_socket *
add_socket(struct ew_http *http, curl_socket_t fd)
{
    struct ew_http_socket *sock = ew_calloc(1, sizeof(*sock));

    sock->http = http;
    sock->fd = fd;
    if (ew_watch_new(http->loop, fd, on_ready, sock, &sock->watch, NULL) != EW_OK) {
        free(sock);
        return NULL;
    }
    ew_list_append(&http->sockets, &sock->link);
    curl_multi_assign(http->multi, fd, sock);
    return sock;
}

static int
on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct ew_http *http = arg;
    struct ew_http_socket *sock = socket_arg;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (sock)
            drop_socket(sock);
        return 0;
    }
    if (sock == NULL)
        sock = add_socket(http, fd);
    /* Without a watch this transfer ends by its timeout. An error told to curl here would end all
     * transfers of the handle, and make every order under way an unknown one. */
    if (sock)
        ew_watch_set(sock->watch, (what & CURL_POLL_IN ? EW_READABLE : 0) |
                                      (what & CURL_POLL_OUT ? EW_WRITABLE : 0));
    return 0;
}

enum ew_fault
ew_http_multi_start(struct ew_http *http, int max_connections, struct ew_err *err)
{
    CURLM *multi = curl_multi_init();

    if (multi == NULL)
        return ew_fail(err, EW_RETRY, "out-of-memory", "no memory for http");
    http->multi = multi;
    ew_timer_init(&http->timer, http->loop, on_timer, http);
    if (curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket) != CURLM_OK ||
        curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, http) != CURLM_OK ||
        curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_curl_timer) != CURLM_OK ||
        curl_multi_setopt(multi, CURLMOPT_TIMERDATA, http) != CURLM_OK ||
        curl_multi_setopt(multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING) != CURLM_OK ||
        curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)EW_HTTP_KEPT_MAX) != CURLM_OK ||
        curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)max_connections) != CURLM_OK)
        return ew_fail(err, EW_HALT, "http-start", "libcurl refuses an option");
    return EW_OK;
}

void
ew_http_multi_stop(struct ew_http *http)
{
    struct ew_link *link;

    if (http->multi == NULL)
        return;
    curl_multi_cleanup(http->multi);
    http->multi = NULL;
    ew_timer_cancel(&http->timer);
    while ((link = ew_list_first(&http->sockets)) != NULL)
        drop_socket(EW_CONTAINER(link, struct ew_http_socket, link));
}
