/*
 * The command line: what it understands, what it answers with.
 */
#pragma once

#include "config/config.h"
#include "kafka/kafka.h"
#include "store/store.h"

enum {
    EW_EXIT_OK = 0,
    EW_EXIT_FAILED = 1,
    EW_EXIT_USAGE = 2, /* bad usage or settings: everything that is wrong was said, nothing begun */
};

/* Reads the arguments, loads the settings file, runs the command. Returns the exit code. */
int ew_cli_main(int argc, char **argv);

/* The commands. thread: main */
int ew_cli_check(const struct ew_config *config);
int ew_cli_bootstrap(const struct ew_config *config);
int ew_cli_resume(const struct ew_config *config);

/* Reads the key-encryption keys, PEM bundles and properties that the settings name, and looks
 * whether OpenSSL can read the keys that they allow. Returns the number of problems. */
int ew_cli_files(const struct ew_config *config,
                 void (*problem)(void *arg, const struct ew_err *err), void *arg);

/* The settings as the rooms take them; everything in them is borrowed from config. */
void ew_cli_kafka_options(const struct ew_config *config, const char *instance,
                          struct ew_kafka_options *out);
void ew_cli_store_options(const struct ew_config *config, struct ew_store_options *out);

/* Prints a problem and what to do about it on standard error, in words; arg: const char * of what
 * was being checked. Fits ew_config_load, ew_kafka_check and ew_store_check. */
void ew_cli_problem(void *arg, const struct ew_err *err);
