/*
 * What the settings name, read as its rooms will read it, files above all: what is wrong with it is
 * a problem of the settings, said before anything begins.
 */
#include "cli/cli.h"

#include <stdio.h>

#include "globalsign/ca.h"
#include "kafka/check.h"
#include "x509/key.h"
#include "x509/p12.h"
#include "x509/verify.h"

struct reading {
    void (*problem)(void *arg, const struct ew_err *err);
    void *arg;
    int problems;
};

static void
say(struct reading *reading, const char *path, const struct ew_err *err)
{
    struct ew_err named;

    (void)ew_fail_field(&named, EW_HALT, err->problem, path, err->advice, "%s", err->detail);
    reading->problems++;
    reading->problem(reading->arg, &named);
}

static void
read_bundle(struct reading *reading, size_t setting, const char *key, const char *file, bool whole)
{
    struct ew_trust *trust = NULL;
    struct ew_err err;
    char path[64];

    (void)snprintf(path, sizeof(path), "settings[%zu].%s", setting, key);
    if (file != NULL && (ew_trust_load(file, &trust, &err) != EW_OK ||
                         (whole && ew_trust_complete(trust, &err) != EW_OK)))
        say(reading, path, &err);
    ew_trust_free(trust);
}

/* A key of GlobalSign's making comes once: whether it can be read is known before it is ordered. */
static void
read_theirs(struct reading *reading, const struct ew_setting *setting, size_t number)
{
    struct ew_err err;
    char path[64];

    (void)snprintf(path, sizeof(path), "settings[%zu].keys", number);
    if (setting->globalsign_key_allowed && ew_p12_ready(&err) != EW_OK)
        say(reading, path, &err);
}

/* What such a code means is the CA's room's to know, not the settings file's. */
static void
read_hold_codes(struct reading *reading, const struct ew_account *account, size_t number)
{
    struct ew_err err;
    char path[64];

    (void)snprintf(path, sizeof(path), "accounts[%zu].hold_codes", number);
    for (size_t i = 0; i < account->hold_code_count; i++)
        if (ew_ca_check_hold_code(account->hold_codes[i], &err) != EW_OK)
            say(reading, path, &err);
}

static int
read_properties(const struct ew_config *config,
                void (*problem)(void *arg, const struct ew_err *err), void *arg)
{
    struct ew_kafka_options options;

    ew_cli_kafka_options(config, "check", &options);
    return ew_kafka_check_file(&options, problem, arg);
}

int
ew_cli_files(const struct ew_config *config, void (*problem)(void *arg, const struct ew_err *err),
             void *arg)
{
    struct reading reading = {.problem = problem, .arg = arg};
    struct ew_keks *keks = NULL;
    struct ew_err err;

    if (config->kek_file != NULL && ew_keks_load(config->kek_file, &keks, &err) != EW_OK)
        say(&reading, "kek_file", &err);
    ew_keks_free(keks);
    for (size_t i = 0; i < config->account_count; i++)
        read_hold_codes(&reading, &config->accounts[i], i);
    for (size_t i = 0; i < config->setting_count; i++) {
        read_bundle(&reading, i, "chain_file", config->settings[i].chain_file, true);
        read_bundle(&reading, i, "recipients_file", config->settings[i].recipients_file, false);
        read_theirs(&reading, &config->settings[i], i);
    }
    return reading.problems + read_properties(config, problem, arg);
}
