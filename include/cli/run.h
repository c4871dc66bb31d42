/*
 * `epki-worker run`: the boot order of the service, top to bottom, and its mirror image at the end.
 */
#pragma once

#include "config/config.h"

/* Runs until SIGTERM or SIGINT (drains) or a second signal (stops at once); one that comes while it
 * still looks for Kafka and Redis ends the process with 0. Returns the exit code: 0 after a drain,
 * 1 when the start or Kafka failed; the log says why. thread: main */
int ew_cli_run(const struct ew_config *config);
