/*
 * The connection: host names resolved off the loop, hiredis driven by the loop's watches, one
 * deadline for all commands, and connecting again for ever.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/backoff.h"
#include "base/log.h"
#include "base/memory.h"
#include "store_private.h"
#include "x509/tls.h"

enum { LOOKS = 4 }; /* in vain within the time limit: nobody is there */

/* A look-up under way on the pool. It outlives a store that is freed meanwhile. */
struct ew_resolve {
    struct ew_store *store;
    char host[EW_MAX_HOST + 1], port[8];
    unsigned turn;
    char address[INET6_ADDRSTRLEN + 16];
    int error;
};

static void connect_to(struct ew_store *store, const char *address);

/* --- trying again --- */

static void
retry_later(struct ew_store *store)
{
    static const struct ew_backoff backoff = {.first_ms = 100, .max_ms = 5000};

    store->state = EW_LINK_WAITING;
    ew_timer_cancel(&store->deadline);
    if (!store->freeing)
        ew_timer_start(&store->retry, ew_backoff_ms(&backoff, ++store->attempts, ew_random_u32()));
}

static void
complain(struct ew_store *store, const char *why)
{
    if (store->freeing || store->complained)
        return;
    store->complained = true;
    EW_LOG(EW_LOG_WARN, "store", "no connection to Redis; trying again", EW_STR("detail", why),
           EW_STR("host", store->url.host), EW_STR("port", store->url.port));
}

/* --- hiredis on the loop --- */

static void
watch_more(struct ew_store *store, int add, int remove)
{
    int events = (store->watched | add) & ~remove;

    if (store->watch != NULL && events != store->watched)
        ew_watch_set(store->watch, events);
    store->watched = events;
}

static void
add_read(void *data)
{
    watch_more(data, EW_READABLE, 0);
}

static void
del_read(void *data)
{
    watch_more(data, 0, EW_READABLE);
}

/* Most of the time the socket takes what there is: only the rest waits until it is writable. */
static void
add_write(void *data)
{
    struct ew_store *store = data;

    if (store->state == EW_LINK_UP && !store->writing)
        ew_ending_ask(&store->written);
    else
        watch_more(store, EW_WRITABLE, 0);
}

static void
del_write(void *data)
{
    watch_more(data, 0, EW_WRITABLE);
}

/* hiredis is about to free the context, and has run every callback: the one place where a
 * connection ends, whatever ended it. */
static void
cleanup(void *data)
{
    struct ew_store *store = data;

    ew_watch_free(store->watch);
    store->watch = NULL;
    store->watched = 0;
    store->ac = NULL;
    ew_ending_cancel(&store->written);
    ew_timer_cancel(&store->doomed);
    ew_flight_lost(store);
    retry_later(store);
    if (store->told_up && !store->freeing && !ew_timer_armed(&store->flush))
        ew_timer_start(&store->flush, 0);
}

static void
write_out(void *arg)
{
    struct ew_store *store = arg;

    if (store->ac == NULL)
        return;
    store->writing = true;
    redisAsyncHandleWrite(store->ac);
    store->writing = false;
}

/* hiredis may free the context in either call. */
static void
on_ready(void *arg, int events)
{
    struct ew_store *store = arg;

    if ((events & EW_READABLE) && store->ac != NULL)
        redisAsyncHandleRead(store->ac);
    if (events & EW_WRITABLE)
        write_out(store);
}

static void
on_connect(const redisAsyncContext *ac, int status)
{
    struct ew_store *store = ac->data;

    if (status != REDIS_OK)
        complain(store, ac->errstr == NULL || ac->errstr[0] == '\0' ? "refused" : ac->errstr);
    else
        ew_handshake_begin(store);
}

/* After cleanup(). hiredis does not say what is wrong with a certificate. */
static void
on_disconnect(const redisAsyncContext *ac, int status)
{
    struct ew_store *store = ac->data;
    const char *trouble = store->tls == NULL ? NULL : ew_tls_trouble(store->tls);

    if (status != REDIS_OK)
        complain(store, trouble != NULL                               ? trouble
                        : ac->errstr == NULL || ac->errstr[0] == '\0' ? "lost"
                                                                      : ac->errstr);
}

static bool
attach(struct ew_store *store)
{
    redisAsyncContext *ac = store->ac;
    struct ew_err err;

    if (ew_watch_new(store->loop, ac->c.fd, on_ready, store, &store->watch, &err) != EW_OK)
        return false;
    ew_reply_bound(&ac->c);
    ac->data = store;
    ac->ev.data = store;
    ac->ev.addRead = add_read;
    ac->ev.delRead = del_read;
    ac->ev.addWrite = add_write;
    ac->ev.delWrite = del_write;
    ac->ev.cleanup = cleanup;
    return redisAsyncSetConnectCallback(ac, on_connect) == REDIS_OK &&
           redisAsyncSetDisconnectCallback(ac, on_disconnect) == REDIS_OK;
}

static void
connect_to(struct ew_store *store, const char *address)
{
    struct ew_err err = {.detail = ""};

    store->ac = redisAsyncConnect(address, ew_url_port(&store->url));
    if (store->ac == NULL || store->ac->err != 0 ||
        ew_tls_begin(&store->ac->c, &store->url, store->ca_file, &store->tls, &err) != EW_OK ||
        !attach(store)) {
        complain(store, store->ac == NULL       ? "out of memory"
                        : err.detail[0] != '\0' ? err.detail
                                                : store->ac->errstr);
        if (store->ac != NULL && store->ac->ev.cleanup == NULL) {
            ew_watch_free(store->watch);
            store->watch = NULL;
            redisAsyncFree(store->ac);
            store->ac = NULL;
            retry_later(store);
        } else if (store->ac != NULL) {
            redisAsyncFree(store->ac); /* cleanup() tries again */
        } else {
            retry_later(store);
        }
        return;
    }
    store->state = EW_LINK_CONNECTING;
    store->handshake_due = ew_loop_now(store->loop) + store->timeout_ms;
    ew_deadline_begin(store);
}

/* --- names --- */

static void
resolve_work(void *arg)
{
    struct ew_resolve *resolve = arg;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *list = NULL, *at;
    unsigned count = 0, wanted;

    resolve->error = getaddrinfo(resolve->host, resolve->port, &hints, &list);
    if (resolve->error != 0)
        return;
    for (at = list; at != NULL; at = at->ai_next)
        count++;
    wanted = count == 0 ? 0 : resolve->turn % count;
    for (at = list; at != NULL && wanted > 0; at = at->ai_next)
        wanted--;
    resolve->error = at == NULL ? EAI_NONAME
                                : getnameinfo(at->ai_addr, at->ai_addrlen, resolve->address,
                                              sizeof(resolve->address), NULL, 0, NI_NUMERICHOST);
    freeaddrinfo(list);
}

static void
resolve_done(void *arg)
{
    struct ew_resolve *resolve = arg;
    struct ew_store *store = resolve->store;

    if (store != NULL) {
        store->resolve = NULL;
        if (resolve->error == 0) {
            connect_to(store, resolve->address);
        } else {
            complain(store, gai_strerror(resolve->error));
            retry_later(store);
        }
    }
    free(resolve);
}

static void
resolve(struct ew_store *store)
{
    struct ew_resolve *work = ew_calloc(1, sizeof(*work));

    work->store = store;
    work->turn = store->attempts;
    memcpy(work->host, store->url.host, sizeof(work->host));
    memcpy(work->port, store->url.port, sizeof(work->port));
    store->resolve = work;
    store->state = EW_LINK_RESOLVING;
    ew_loop_offload(store->loop, resolve_work, resolve_done, work);
}

static void
on_retry(void *arg)
{
    struct ew_store *store = arg;
    uint8_t address[16];

    if (inet_pton(AF_INET, store->url.host, address) == 1 ||
        inet_pton(AF_INET6, store->url.host, address) == 1)
        connect_to(store, store->url.host);
    else
        resolve(store);
}

/* --- deadlines ---
 *
 * Time alone would blame Redis for a loop that was late itself: its commands lie unsent, and the
 * replies unread, when it wakes up. So the time limit is looked at in parts, at most one in a turn
 * of the loop, and the socket is served before each look. */

static void
look_again(struct ew_store *store)
{
    ew_timer_start(&store->deadline, store->timeout_ms / LOOKS + 1);
}

void
ew_deadline_begin(struct ew_store *store)
{
    store->silent = 0;
    look_again(store);
}

static void
on_deadline(void *arg)
{
    struct ew_store *store = arg;
    struct ew_link *link = ew_list_first(&store->flight);
    bool connecting = store->state == EW_LINK_CONNECTING;
    int64_t due = store->handshake_due;

    if (!connecting && link == NULL)
        return;
    if (!connecting)
        due = EW_CONTAINER(link, struct ew_op, link)->sent_ms + store->timeout_ms;
    if (++store->silent < LOOKS || ew_loop_now(store->loop) < due)
        look_again(store);
    else
        ew_conn_kill(store, connecting ? "no connection within the time limit"
                                       : "no reply within the time limit");
}

void
ew_conn_kill(struct ew_store *store, const char *why)
{
    redisAsyncContext *ac = store->ac;

    if (ac == NULL || (ac->c.flags & REDIS_FREEING))
        return;
    complain(store, why);
    store->state = EW_LINK_WAITING;
    redisAsyncFree(ac);
}

void
ew_conn_doom(struct ew_store *store, const char *why)
{
    store->doom = why;
    ew_timer_start(&store->doomed, 0);
}

static void
on_doomed(void *arg)
{
    struct ew_store *store = arg;

    ew_conn_kill(store, store->doom);
}

/* --- life --- */

static void
on_debt_pause(void *arg)
{
    ew_debt_pump(arg);
}

/* What was lost is told first, then that the connection is down. */
static void
on_flush(void *arg)
{
    struct ew_store *store = arg;

    ew_lost_flush(store);
    if (store->told_up && store->state != EW_LINK_UP) {
        store->told_up = false;
        if (store->events.down != NULL)
            store->events.down(store->events.arg);
    }
}

void
ew_conn_start(struct ew_store *store)
{
    ew_timer_init(&store->retry, store->loop, on_retry, store);
    ew_timer_init(&store->deadline, store->loop, on_deadline, store);
    ew_timer_init(&store->flush, store->loop, on_flush, store);
    ew_timer_init(&store->debt_pause, store->loop, on_debt_pause, store);
    ew_timer_init(&store->doomed, store->loop, on_doomed, store);
    ew_ending_init(&store->written, store->loop, write_out, store);
    ew_timer_start(&store->retry, 0);
}

void
ew_conn_close(struct ew_store *store)
{
    store->freeing = true;
    if (store->resolve != NULL)
        store->resolve->store = NULL;
    if (store->ac != NULL)
        redisAsyncFree(store->ac);
    ew_timer_cancel(&store->retry);
    ew_timer_cancel(&store->deadline);
    ew_timer_cancel(&store->flush);
    ew_timer_cancel(&store->debt_pause);
    ew_timer_cancel(&store->doomed);
    ew_ending_cancel(&store->written);
}
