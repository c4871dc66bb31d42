/*
 * What server.c and conn.c say to each other.
 */
#pragma once

#include "server.h"

/* Accepts one connection of the listener. */
void sim_conn_open(struct sim_server *server, uv_stream_t *listener);

void sim_conn_close_all(struct sim_server *server);
