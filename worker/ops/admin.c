/*
 * The admin port, on libmicrohttpd.
 */
#include "ops/admin.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <microhttpd.h>

#include "base/memory.h"

/* Nobody alone keeps the probes out. */
enum { CONNECTIONS_MAX = 32, PEER_MAX = 16, TIMEOUT_S = 5, METRICS_MAX = 256 * 1024 };

struct ew_admin {
    struct ew_admin_options options;
    struct MHD_Daemon *daemon;
};

static enum MHD_Result
reply(struct MHD_Connection *connection, unsigned status, const char *type, const char *text,
      size_t len)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(len, (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result result;

    if (response == NULL)
        return MHD_NO;
    (void)MHD_add_response_header(response, "Content-Type", type);
    (void)MHD_add_response_header(response, "Cache-Control", "no-store");
    if (status == 405)
        (void)MHD_add_response_header(response, "Allow", "GET, HEAD");
    result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result
probe(struct ew_admin *admin, struct MHD_Connection *connection,
      bool (*ask)(void *arg, const char **reason))
{
    const char *reason = "";
    bool good = ask(admin->options.arg, &reason);
    char text[256];

    (void)snprintf(text, sizeof(text), "%s: %.200s\n", good ? "ok" : "not ok", reason);
    return reply(connection, good ? 200 : 503, "text/plain; charset=utf-8", text, strlen(text));
}

static enum MHD_Result
metrics(struct ew_admin *admin, struct MHD_Connection *connection)
{
    struct ew_buf text;
    enum MHD_Result result;

    ew_buf_init(&text, METRICS_MAX);
    ew_metrics_render(admin->options.metrics, &text);
    if (text.overflowed)
        result = reply(connection, 500, "text/plain", "too large\n", 10);
    else
        result = reply(connection, 200, "text/plain; version=0.0.4; charset=utf-8",
                       ew_buf_text(&text), text.len);
    ew_buf_deinit(&text);
    return result;
}

static enum MHD_Result
on_request(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
           const char *version, const char *upload, size_t *upload_size, void **state)
{
    struct ew_admin *admin = arg;

    (void)version, (void)upload, (void)state;
    if (*upload_size > 0 || (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)) {
        *upload_size = 0;
        return reply(connection, 405, "text/plain", "GET only\n", 9);
    }
    if (strcmp(url, "/livez") == 0)
        return probe(admin, connection, admin->options.live);
    if (strcmp(url, "/readyz") == 0)
        return probe(admin, connection, admin->options.ready);
    if (strcmp(url, "/metrics") == 0)
        return metrics(admin, connection);
    return reply(connection, 404, "text/plain", "try /livez /readyz /metrics\n", 28);
}

enum ew_fault
ew_admin_start(const struct ew_admin_options *options, struct ew_admin **out, struct ew_err *err)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)options->port)};
    struct ew_admin *admin;

    if (inet_pton(AF_INET, options->address, &address.sin_addr) != 1)
        return ew_fail_field(err, EW_HALT, "admin-address", "admin.address",
                             "Give an IPv4 address, 0.0.0.0 for all.", "%s", options->address);
    admin = ew_calloc(1, sizeof(*admin));
    admin->options = *options;
    admin->daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO, (uint16_t)options->port, NULL, NULL,
        on_request, admin, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)TIMEOUT_S, MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)PEER_MAX,
        MHD_OPTION_END);
    if (admin->daemon == NULL) {
        free(admin);
        return ew_fail_field(err, EW_HALT, "admin-port", "admin.port",
                             "Choose a port that nobody uses.", "cannot listen on %s:%d",
                             options->address, options->port);
    }
    *out = admin;
    return EW_OK;
}

void
ew_admin_stop(struct ew_admin *admin)
{
    if (admin == NULL)
        return;
    MHD_stop_daemon(admin->daemon);
    free(admin);
}
