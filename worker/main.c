/*
 * The process: what must be so before anything else, then the command.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "http/library.h"
#include "x509/library.h"

/* Passwords and keys are in memory: no core dumps, no debugger of another user. */
static void
keep_memory_private(void)
{
    struct rlimit none = {.rlim_cur = 0, .rlim_max = 0};

    if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0) != 0)
        perror("epki-worker: core dumps stay on");
}

/* A connection for each order in flight: the usual soft limit of 1,024 is the shell's, not ours. */
static void
open_files(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return;
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0)
        perror("epki-worker: the limit of open files stays as it is");
}

int
main(int argc, char **argv)
{
    struct ew_err err;

    if (ew_x509_init_library(&err) != EW_OK || ew_http_init_library(&err) != EW_OK) {
        (void)fprintf(stderr, "epki-worker: %s\n", err.detail);
        return EW_EXIT_FAILED;
    }
    keep_memory_private();
    open_files();
    (void)umask(077);
    (void)signal(SIGPIPE, SIG_IGN); /* a closed connection is an error to handle, not an end */
    return ew_cli_main(argc, argv);
}
