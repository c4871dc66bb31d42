/*
 * Listeners: two loopback addresses, one port.
 */
#include "server.h"

#include "conn.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

enum { BACKLOG = 4096 };

static void
sim_server_accept(uv_stream_t *listener, int status)
{
    if (status == 0) {
        sim_conn_open(listener->data, listener);
    }
}

static int
sim_server_port(uv_tcp_t *listener)
{
    struct sockaddr_storage address;
    int len = sizeof(address);
    if (uv_tcp_getsockname(listener, (struct sockaddr *)&address, &len)) {
        return 0;
    }
    /* The port lies at the same place in both families. */
    const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&address;
    return ntohs(in->sin_port);
}

static int
sim_server_listen(struct sim_server *server, bool v6, int port)
{
    uv_tcp_t *listener = &server->listeners[server->listening];
    struct sockaddr_storage address;
    memset(&address, 0, sizeof(address));
    if (v6) {
        uv_ip6_addr("::1", port, (struct sockaddr_in6 *)(void *)&address);
    } else {
        uv_ip4_addr("127.0.0.1", port, (struct sockaddr_in *)(void *)&address);
    }
    uv_tcp_init(server->loop, listener);
    listener->data = server;
    server->listening++; /* initialised: must be closed, also if what follows fails */
    int rc = uv_tcp_bind(listener, (struct sockaddr *)&address, v6 ? UV_TCP_IPV6ONLY : 0);
    return rc ? rc : uv_listen((uv_stream_t *)listener, BACKLOG, sim_server_accept);
}

bool
sim_server_start(struct sim_server *server, int port)
{
    int rc = sim_server_listen(server, false, port);
    if (rc) {
        fprintf(stderr, "epki-simulator: 127.0.0.1:%d: %s\n", port, uv_strerror(rc));
        return false;
    }
    server->port = sim_server_port(&server->listeners[0]);
    /* Clients try ::1 first where localhost has both; a machine without IPv6 is fine too. */
    (void)sim_server_listen(server, true, server->port);
    return true;
}

void
sim_server_stop(struct sim_server *server)
{
    for (int i = 0; i < server->listening; i++) {
        uv_close((uv_handle_t *)&server->listeners[i], NULL);
    }
    server->listening = 0;
    sim_conn_close_all(server);
}
