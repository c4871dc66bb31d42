/*
 * Reading the command line; every mistake is said.
 */
#include "options.h"

#include "buf.h"
#include "sim.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
sim_help(void)
{
    printf(
        "epki-simulator: a stand-in for GlobalSign Enterprise PKI's GasOrderService\n\n"
        "epki-simulator --dir DIR --port N --control-port M [--faults FILE] [--set KEY=VALUE]...\n"
        "\n"
        "  --dir DIR         where keys, orders and the journal live; made when missing\n"
        "  --port N          https://localhost:N/cr/ws/GasOrderService; 0: any, see DIR/ports\n"
        "  --control-port M  http://127.0.0.1:M: faults, settings, state; 0: any\n"
        "  --faults FILE     faults from the start: a JSON list, as POST /faults takes it\n"
        "  --set KEY=VALUE   a switch; all of them also by POST /settings\n"
        "\n"
        "It prints \"ready\" once it serves, and ends at SIGTERM or SIGINT. Both ports are on "
        "loopback\n"
        "only. Exit code 2: the command line is wrong; 1: it cannot start.\n"
        "\n"
        "In DIR: password (of the API user), tls-ca.pem (trust this for the connection), "
        "chain.pem\n"
        "(issuing CA and root of what is issued), ports, journal.jsonl (one line for each call\n"
        "decided), orders.jsonl, profiles.json, ca/. All survive a restart; switches and faults "
        "do\n"
        "not.\n"
        "\n"
        "Members of a fault: fault; operation (any), cn, profile: whom it strikes; count (-1, no "
        "end),\n"
        "skip, probability, after_ms, for_ms: when; delay_ms, retry_after_s, code, field,\n"
        "success_code: what; record: true for an answer spoiled after the business was done, where "
        "a\n"
        "fault would otherwise come instead of it.\n"
        "\n"
        "Control port:\n");
    sim_control_help();
    printf("\nFaults:\n");
    sim_faults_help();
    printf("\nSwitches, with their defaults:\n");
    sim_settings_help();
}

static bool
sim_port(const char *text, int *port)
{
    char *end = NULL;
    long number = strtol(text, &end, 10);
    *port = (int)number;
    return end != text && !*end && number >= 0 && number <= 65535;
}

static bool
sim_option_set(struct sim_settings *settings, const char *text)
{
    char key[64];
    const char *equals = strchr(text, '=');
    size_t len = equals ? (size_t)(equals - text) : 0;
    const char *problem = "KEY=VALUE is expected";
    if (len && len < sizeof(key)) {
        sim_put(key, len + 1, text);
        if (sim_settings_set(settings, key, equals + 1, &problem)) {
            return true;
        }
        fprintf(stderr, "epki-simulator: --set %s: %s\n", key, problem);
        return false;
    }
    fprintf(stderr, "epki-simulator: --set: %s\n", problem);
    return false;
}

int
sim_options_read(struct sim_options *options, struct sim_settings *settings, int argc, char **argv)
{
    static const struct option known[] = {
        {"dir", required_argument, NULL, 'd'},
        {"port", required_argument, NULL, 'p'},
        {"control-port", required_argument, NULL, 'c'},
        {"faults", required_argument, NULL, 'f'},
        {"set", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    *options = (struct sim_options){.port = -1, .control_port = -1};
    bool ok = true;
    int option = 0;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'd':
            options->dir = optarg;
            break;
        case 'p':
            ok = sim_port(optarg, &options->port) && ok;
            break;
        case 'c':
            ok = sim_port(optarg, &options->control_port) && ok;
            break;
        case 'f':
            options->faults = optarg;
            break;
        case 's':
            ok = sim_option_set(settings, optarg) && ok;
            break;
        case 'h':
            sim_help();
            return 0;
        default:
            ok = false;
        }
    }
    if (!ok || optind != argc || !options->dir || options->port < 0 || options->control_port < 0) {
        fprintf(stderr, "epki-simulator: --dir, --port and --control-port are needed; --help\n");
        return 2;
    }
    if (strlen(options->dir) > 3000) {
        fprintf(stderr, "epki-simulator: --dir is too long\n");
        return 2;
    }
    return -1;
}
