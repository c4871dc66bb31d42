/*
 * floor URL CA-FILE BODY-FILE ORDERS IN-FLIGHT PER-SECOND
 *
 * What an order costs on the wire, whoever sends it: a TLS connection of its own with the session
 * of an earlier one, one POST of BODY-FILE, the reply read to its end. libcurl, OpenSSL and epoll,
 * with nothing between them: no XML, no checks, no memory per order. ORDERS are begun PER-SECOND,
 * at most IN-FLIGHT at once; then the program's own CPU time is printed as JSON.
 */
#include <curl/curl.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>

enum { BODY_MAX = 64 * 1024, REPLY_MAX = 32 * 1024, EVENTS = 256, PATIENCE_MS = 120 * 1000 };
/* The worker's: curl's own sizes would make the floor the higher one. */
enum { SEND_BUFFER = 16 * 1024, RECEIVE_BUFFER = 4 * 1024 };

struct client {
    const char *url, *ca_file;
    char body[BODY_MAX];
    size_t body_len;
    long orders, most, rate;
    CURLM *multi;
    CURLSH *share; /* the TLS session, and the name */
    struct curl_slist *headers;
    int epoll;
    double begun, timer; /* ms; timer: when curl wants to be called, below 0 = not */
    long started, done, resumed;
    struct order *idle;
};

struct order {
    struct client *client;
    struct order *next; /* of the idle ones */
    CURL *easy;
    char problem[CURL_ERROR_SIZE];
    size_t len;
    char reply[REPLY_MAX];
};

static void
die(const char *what, const char *detail)
{
    (void)fprintf(stderr, "floor: %s: %s\n", what, detail);
    exit(1);
}

static double
now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* --- what curl calls --- */

static int
on_connected(void *arg, char *remote, char *local, int remote_port, int local_port)
{
    struct order *order = arg;
    const struct curl_tlssessioninfo *tls = NULL;

    (void)remote, (void)local, (void)remote_port, (void)local_port;
    if (curl_easy_getinfo(order->easy, CURLINFO_TLS_SSL_PTR, &tls) != CURLE_OK ||
        tls->backend != CURLSSLBACKEND_OPENSSL || tls->internals == NULL)
        die("libcurl", "not with OpenSSL");
    order->client->resumed += SSL_session_reused(tls->internals);
    return CURL_PREREQFUNC_OK;
}

static size_t
on_reply(char *data, size_t size, size_t count, void *arg)
{
    struct order *order = arg;
    size_t len = size * count;

    if (len >= REPLY_MAX - order->len)
        return 0; /* ends the transfer */
    memcpy(order->reply + order->len, data, len);
    order->len += len;
    return len;
}

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    struct client *client = arg;
    struct epoll_event event = {.data.fd = fd};

    (void)easy;
    if (what & CURL_POLL_IN)
        event.events |= EPOLLIN;
    if (what & CURL_POLL_OUT)
        event.events |= EPOLLOUT;
    if (what == CURL_POLL_REMOVE)
        (void)epoll_ctl(client->epoll, EPOLL_CTL_DEL, fd, NULL); /* it may be closed already */
    else if (epoll_ctl(client->epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) != 0)
        die("epoll_ctl", strerror(errno));
    (void)curl_multi_assign(client->multi, fd, what == CURL_POLL_REMOVE ? NULL : client);
    return 0;
}

static int
on_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct client *client = arg;

    (void)multi;
    client->timer = timeout_ms < 0 ? -1 : now_ms() + (double)timeout_ms;
    return 0;
}

/* --- orders --- */

#define SET(option, value) (curl_easy_setopt(easy, (option), (value)) == CURLE_OK)

static bool
set_options(CURL *easy, struct order *order)
{
    const struct client *client = order->client;

    return SET(CURLOPT_URL, client->url) && SET(CURLOPT_CAINFO, client->ca_file) &&
           SET(CURLOPT_CAPATH, NULL) && SET(CURLOPT_SHARE, client->share) &&
           SET(CURLOPT_PROXY, "") && SET(CURLOPT_NOSIGNAL, 1L) &&
           SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
           SET(CURLOPT_FRESH_CONNECT, 1L) && SET(CURLOPT_FORBID_REUSE, 1L) &&
           SET(CURLOPT_HTTPHEADER, client->headers) && SET(CURLOPT_POST, 1L) &&
           SET(CURLOPT_POSTFIELDS, client->body) &&
           SET(CURLOPT_POSTFIELDSIZE, (long)client->body_len) &&
           SET(CURLOPT_TIMEOUT_MS, (long)PATIENCE_MS) &&
           SET(CURLOPT_PREREQFUNCTION, on_connected) && SET(CURLOPT_PREREQDATA, order) &&
           SET(CURLOPT_WRITEFUNCTION, on_reply) && SET(CURLOPT_WRITEDATA, order) &&
           SET(CURLOPT_ERRORBUFFER, order->problem) &&
           SET(CURLOPT_UPLOAD_BUFFERSIZE, (long)SEND_BUFFER) &&
           SET(CURLOPT_BUFFERSIZE, (long)RECEIVE_BUFFER) && SET(CURLOPT_PRIVATE, order);
}

static struct order *
new_order(struct client *client)
{
    struct order *order = calloc(1, sizeof(*order));

    if (order == NULL)
        die("order", "no memory");
    order->client = client;
    order->easy = curl_easy_init();
    if (order->easy == NULL || !set_options(order->easy, order))
        die("libcurl", "refuses an option");
    return order;
}

static void
start_order(struct client *client)
{
    struct order *order = client->idle ? client->idle : new_order(client);

    client->idle = order->next;
    order->next = NULL;
    order->len = 0;
    client->started++;
    if (curl_multi_add_handle(client->multi, order->easy) != CURLM_OK)
        die("libcurl", "curl_multi_add_handle");
}

static void
end_order(struct order *order, CURLcode code)
{
    struct client *client = order->client;
    long status = 0;

    (void)curl_easy_getinfo(order->easy, CURLINFO_RESPONSE_CODE, &status);
    order->reply[order->len] = '\0';
    if (code != CURLE_OK)
        die(curl_easy_strerror(code), order->problem);
    if (status != 200 || strstr(order->reply, "-----END CERTIFICATE-----") == NULL)
        die("no certificate came", order->reply);
    (void)curl_multi_remove_handle(client->multi, order->easy);
    order->next = client->idle;
    client->idle = order;
    client->done++;
}

/* --- the loop --- */

/* Begins what is due; says in how many ms the next one is, below 0 = when another has ended. */
static int
start_due(struct client *client)
{
    double wait = 0;

    while (client->started < client->orders && client->started - client->done < client->most) {
        wait = client->begun + (double)client->started * 1e3 / (double)client->rate - now_ms();
        if (wait > 0)
            return (int)wait + 1;
        start_order(client);
    }
    return -1;
}

static int
sooner(const struct client *client, int wait_ms)
{
    double timer_ms = client->timer - now_ms();

    if (client->timer < 0 || (wait_ms >= 0 && wait_ms < timer_ms))
        return wait_ms;
    return timer_ms > 0 ? (int)timer_ms + 1 : 0;
}

static void
turn(struct client *client)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(client->epoll, events, EVENTS, sooner(client, start_due(client)));
    int left;
    CURLMsg *message;

    for (int i = 0; i < n; i++) {
        int mask = (events[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                   (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                   (events[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);

        (void)curl_multi_socket_action(client->multi, events[i].data.fd, mask, &left);
    }
    if (client->timer >= 0 && client->timer <= now_ms()) {
        client->timer = -1;
        (void)curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &left);
    }
    while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
        struct order *order = NULL;

        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &order);
        end_order(order, message->data.result);
    }
}

/* --- beginning and end --- */

static void
read_body(struct client *client, const char *path)
{
    FILE *file = fopen(path, "rb");

    if (file == NULL)
        die(path, strerror(errno));
    client->body_len = fread(client->body, 1, BODY_MAX, file);
    if (client->body_len == 0 || client->body_len == BODY_MAX)
        die(path, "empty, or too long");
    (void)fclose(file);
}

static void
open_client(struct client *client)
{
    static const char *const headers[] = {"Content-Type: text/xml; charset=utf-8",
                                          "SOAPAction: \"\"", "Expect:", "Accept: text/xml"};

    client->timer = -1;
    client->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (client->epoll < 0)
        die("epoll_create1", strerror(errno));
    if (curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK)
        die("libcurl", "curl_global_init");
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
        client->headers = curl_slist_append(client->headers, headers[i]);
    client->multi = curl_multi_init();
    client->share = curl_share_init();
    (void)curl_share_setopt(client->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    (void)curl_share_setopt(client->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
    (void)curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    (void)curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    (void)curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
}

static void
close_client(struct client *client)
{
    struct order *order;

    while ((order = client->idle) != NULL) {
        client->idle = order->next;
        curl_easy_cleanup(order->easy);
        free(order);
    }
    curl_multi_cleanup(client->multi);
    (void)curl_share_cleanup(client->share);
    curl_slist_free_all(client->headers);
    curl_global_cleanup();
}

static double
ms_between(struct timeval from, struct timeval to)
{
    return (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_usec - from.tv_usec) / 1e3;
}

static void
run(struct client *client)
{
    struct rusage first, last;
    double orders = (double)client->orders;

    (void)getrusage(RUSAGE_SELF, &first);
    client->begun = now_ms();
    while (client->done < client->orders)
        turn(client);
    (void)getrusage(RUSAGE_SELF, &last);
    printf("{\"orders\": %ld, \"resumed\": %ld, \"seconds\": %.1f, \"user_ms\": %.3f, "
           "\"system_ms\": %.3f}\n",
           client->done, client->resumed, (now_ms() - client->begun) / 1e3,
           ms_between(first.ru_utime, last.ru_utime) / orders,
           ms_between(first.ru_stime, last.ru_stime) / orders);
}

static long
number(const char *text)
{
    char *end;
    long value = strtol(text, &end, 10);

    if (*end != '\0' || value < 1 || value > 1000000)
        die(text, "not a number of 1 to 1000000");
    return value;
}

int
main(int argc, char **argv)
{
    static struct client client;

    if (argc != 7) {
        (void)fprintf(stderr, "usage: floor URL CA-FILE BODY-FILE ORDERS IN-FLIGHT PER-SECOND\n");
        return 2;
    }
    client.url = argv[1];
    client.ca_file = argv[2];
    read_body(&client, argv[3]);
    client.orders = number(argv[4]);
    client.most = number(argv[5]);
    client.rate = number(argv[6]);
    open_client(&client);
    run(&client);
    close_client(&client);
    return 0;
}
