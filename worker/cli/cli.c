/*
 * Arguments, help, and the way from the settings file to a command.
 */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/without.h"
#include "cli/run.h"

static const char help[] =
    "epki-worker " EW_VERSION ": certificates from Kafka events, by GlobalSign EPKI\n"
    "\n"
    "  epki-worker run --config FILE        consume requests, order, publish answers\n"
    "  epki-worker bootstrap --config FILE  first start of a deployment, once: Redis' canary and "
    "the\n"
    "                                       group's first commits\n"
    "  epki-worker check --config FILE      reach Kafka, Redis and the API, list every problem;\n"
    "                                       spends no licence\n"
    "  epki-worker resume --config FILE     have the workers test paused accounts, once each\n"
    "  epki-worker settings                 every key of the settings file\n"
    "  epki-worker --version | --help\n"
    "\n"
    "Exit codes: 0 good, 1 failed, 2 bad usage or settings.\n";

static const struct {
    const char *name;
    int (*run)(const struct ew_config *config);
} commands[] = {{"run", ew_cli_run},
                {"bootstrap", ew_cli_bootstrap},
                {"check", ew_cli_check},
                {"resume", ew_cli_resume}};

void
ew_cli_problem(void *arg, const struct ew_err *err)
{
    const char *where = arg;

    (void)fprintf(stderr, "%s: %s%s%s%s%s%s\n", where, err->field, err->field[0] ? ": " : "",
                  err->detail, err->advice != NULL && err->advice[0] ? "\n    " : "",
                  err->advice == NULL ? "" : err->advice,
                  err->fault == EW_BUG ? " (this is a bug)" : "");
}

void
ew_cli_kafka_options(const struct ew_config *config, const char *instance,
                     struct ew_kafka_options *out)
{
    *out = (struct ew_kafka_options){.bootstrap = config->kafka.bootstrap,
                                     .group = config->kafka.group,
                                     .instance = instance,
                                     .properties = config->kafka.properties,
                                     .property_count = config->kafka.property_count,
                                     .properties_file = config->kafka.properties_file,
                                     .session_ms = config->kafka.session_ms,
                                     .transaction_ms = config->kafka.transaction_ms,
                                     .partition_items = config->kafka.partition_items,
                                     .partition_bytes = config->kafka.partition_bytes,
                                     .commit_ms = config->kafka.commit_ms,
                                     .flush_ms = config->kafka.flush_ms};
    memcpy(out->in, config->kafka.in, sizeof(out->in));
    memcpy(out->out, config->kafka.out, sizeof(out->out));
}

void
ew_cli_store_options(const struct ew_config *config, struct ew_store_options *out)
{
    *out = (struct ew_store_options){.url = config->redis.url,
                                     .user = config->redis.user,
                                     .password_file = config->redis.password_file,
                                     .ca_file = config->redis.ca_file,
                                     .timeout_ms = config->redis.timeout_ms};
}

static int
usage(const char *what)
{
    (void)fprintf(stderr, "epki-worker: %s\nTry epki-worker --help.\n", what);
    return EW_EXIT_USAGE;
}

static int
with_config(int (*run)(const struct ew_config *config), const char *path)
{
    struct ew_config config;
    enum ew_log_level level = EW_LOG_INFO;
    void *where = (void *)(uintptr_t)path;
    int problems = ew_config_load(path, &config, ew_cli_problem, where), code;

    if (problems == 0 && (problems = ew_cli_files(&config, ew_cli_problem, where)) > 0)
        ew_config_free(&config);
    if (problems > 0) {
        (void)fprintf(stderr, "%d problem%s; nothing was started.\n", problems,
                      problems == 1 ? "" : "s");
        return EW_EXIT_USAGE;
    }
    if (config.log_level != NULL && ew_log_level_parse(config.log_level, &level) == EW_OK)
        ew_log_level(level);
    code = run(&config);
    ew_config_free(&config);
    return code;
}

#ifdef EW_FAILPOINTS
static bool
arm(void)
{
    static char where[] = "environment";
    struct ew_err err;

    if (ew_failpoints_arm(&err) == EW_OK && ew_without_arm(&err) == EW_OK)
        return true;
    ew_cli_problem(where, &err);
    return false;
}
#endif

int
ew_cli_main(int argc, char **argv)
{
    const char *path = NULL;
    char problem[128];

    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        (void)puts("epki-worker " EW_VERSION);
        return EW_EXIT_OK;
    }
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        (void)fputs(help, stdout);
        return EW_EXIT_OK;
    }
    if (argc == 2 && strcmp(argv[1], "settings") == 0) {
        ew_config_help(stdout);
        return EW_EXIT_OK;
    }
#ifdef EW_FAILPOINTS
    if (argc == 2 && strcmp(argv[1], "failpoints") == 0) {
        ew_failpoints_list();
        return EW_EXIT_OK;
    }
    if (argc == 2 && strcmp(argv[1], "protections") == 0) {
        ew_without_list();
        return EW_EXIT_OK;
    }
    if (!arm())
        return EW_EXIT_USAGE;
#endif
    if (argc < 2)
        return usage("a command is missing");
    if (argc == 4 && strcmp(argv[2], "--config") == 0)
        path = argv[3];
    else if (argc == 3 && strncmp(argv[2], "--config=", 9) == 0)
        path = argv[2] + 9;
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        if (path == NULL || path[0] == '\0')
            return usage("give --config FILE, and nothing else");
        return with_config(commands[i].run, path);
    }
    (void)snprintf(problem, sizeof(problem), "unknown command: %s", argv[1]);
    return usage(problem);
}
