/*
 * Birth and death of a store, and what it says of itself.
 */
#include "store/store.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "store_private.h"
#include "x509/tls.h"

enum { TIMEOUT_MIN_MS = 10, TIMEOUT_MAX_MS = 60000 };

static char *
copy(const char *text)
{
    return text == NULL || text[0] == '\0' ? NULL : ew_strdup(text);
}

/* hiredis writes to sockets that the server may have closed. */
static void
ignore_sigpipe(void)
{
    struct sigaction action;

    if (sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL) {
        action.sa_handler = SIG_IGN;
        (void)sigaction(SIGPIPE, &action, NULL);
    }
}

/* What each connection will read: what is wrong with it is told at the start. */
static enum ew_fault
check_tls(const struct ew_store *store, struct ew_err *err)
{
    struct ssl_st *tls;
    enum ew_fault fault = ew_tls_open(&store->url, store->ca_file, &tls, err);

    ew_tls_free(tls);
    return fault;
}

enum ew_fault
ew_store_new(struct ew_loop *loop, const struct ew_store_options *options,
             const struct ew_store_events *events, struct ew_store **out, struct ew_err *err)
{
    struct ew_store *store = ew_calloc(1, sizeof(*store));

    store->loop = loop;
    store->rtt_ms = -1;
    store->timeout_ms = options->timeout_ms;
    if (events != NULL)
        store->events = *events;
    ew_list_init(&store->flight);
    ew_list_init(&store->lost);
    ew_list_init(&store->debt);
    if (store->timeout_ms < TIMEOUT_MIN_MS || store->timeout_ms > TIMEOUT_MAX_MS) {
        free(store);
        return ew_fail(err, EW_HALT, "redis-timeout", "%d ms is not between %d and %d",
                       options->timeout_ms, TIMEOUT_MIN_MS, TIMEOUT_MAX_MS);
    }
    store->user = copy(options->user);
    store->password_file = copy(options->password_file);
    store->ca_file = copy(options->ca_file);
    store->logins = ew_table_new();
    ignore_sigpipe();
    ew_store_init_library();
    ew_conn_start(store);
    if (ew_url_parse(options->url, &store->url, err) != EW_OK || check_tls(store, err) != EW_OK) {
        ew_store_free(store);
        return EW_HALT;
    }
    *out = store;
    return EW_OK;
}

static void
free_value(void *ctx, const char *key, void *value)
{
    (void)ctx, (void)key;
    free(value);
}

/* Everything under way is told; what its callbacks ask for again is told at once, too. */
void
ew_store_free(struct ew_store *store)
{
    struct ew_link *link;

    if (store == NULL)
        return;
    ew_conn_close(store);
    ew_flight_lost(store);
    while ((link = ew_list_first(&store->debt)) != NULL) {
        ew_link_remove(link);
        ew_list_append(&store->lost, link);
    }
    ew_lost_flush(store);
    ew_timer_cancel(&store->flush);
    ew_table_each(store->logins, free_value, NULL);
    ew_table_free(store->logins);
    free(store->user);
    free(store->password_file);
    free(store->ca_file);
    free(store);
}

bool
ew_store_is_up(const struct ew_store *store)
{
    return store->state == EW_LINK_UP;
}

int64_t
ew_store_rtt_ms(const struct ew_store *store)
{
    return store->rtt_ms;
}
