/*
 * The command line.
 */
#pragma once

#include "settings.h"

struct sim_options {
    const char *dir;
    const char *faults; /* a file with a JSON list, or NULL */
    int port, control_port;
};

/* Fills options and settings. -1: go on; otherwise the exit code (--help, a mistake). */
int sim_options_read(struct sim_options *options, struct sim_settings *settings, int argc,
                     char **argv);
