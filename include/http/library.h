/*
 * libcurl's global state, once in the process. Whoever initialises it first says where its memory
 * comes from, and librdkafka may be that: so before Kafka's first handle.
 */
#pragma once

#include "base/err.h"

/* libcurl takes its memory from us from now on, so that what it frees is wiped: it copies request
 * bodies, the password in them. EW_HALT: it is too old, or somebody gave it other memory before.
 * thread: main, before others; again is harmless. */
EW_CHECK enum ew_fault ew_http_init_library(struct ew_err *err);
