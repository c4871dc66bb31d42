/*
 * `epki-worker check`: reaches everything that the settings name and lists every problem at once.
 * Asks GlobalSign for profiles only; orders nothing.
 */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#include "globalsign/ca.h"
#include "kafka/check.h"
#include "loop/loop.h"

enum { TIMEOUT_MS = 15000 };

struct asking {
    const struct ew_config *config;
    const struct ew_account *account;
    struct ew_loop *loop;
    int problems;
};

static void
say(struct asking *asking, const struct ew_err *err)
{
    char where[] = "globalsign";

    ew_cli_problem(where, err);
    asking->problems++;
}

static const struct ew_ca_profile *
find_profile(const struct ew_ca_reply *reply, const char *id)
{
    for (size_t i = 0; i < reply->profile_count; i++)
        if (strcmp(reply->profiles[i].id, id) == 0)
            return &reply->profiles[i];
    return NULL;
}

static void
check_profiles(struct asking *asking, const struct ew_ca_reply *reply)
{
    struct ew_err err;

    for (size_t i = 0; i < asking->config->setting_count; i++) {
        const struct ew_setting *setting = &asking->config->settings[i];
        const struct ew_ca_profile *profile;

        if (setting->account != asking->account)
            continue;
        profile = find_profile(reply, setting->profile);
        if (profile != NULL) {
            (void)printf("setting %s: profile %s, state %s, organization %s\n", setting->name,
                         profile->id, profile->state, profile->organization);
            continue;
        }
        (void)ew_fail_field(&err, EW_HALT, "profile-unknown", setting->name,
                            "Correct the profile id; a profile that is being vetted may be missing "
                            "until GlobalSign has validated it.",
                            "the account does not see profile %s", setting->profile);
        say(asking, &err);
    }
}

static void
on_profiles(void *arg, const struct ew_ca_reply *reply)
{
    struct asking *asking = arg;
    struct ew_err err;

    if (reply->cls == EW_CA_OK) {
        (void)printf("account %s: reached, password accepted\n", asking->account->name);
        check_profiles(asking, reply);
    } else {
        (void)ew_fail_field(&err, EW_HALT, reply->problem, asking->account->name,
                            reply->cls == EW_CA_ACCOUNT
                                ? "Correct user and password, or register this address with the "
                                  "profile; do not repeat this, GlobalSign locks accounts."
                                : "Check the URL, the network and ca_file.",
                            "%s (code %d, HTTP %d)", reply->message, reply->code,
                            reply->http_status);
        say(asking, &err);
    }
    ew_loop_stop(asking->loop);
}

static int
ask_account(const struct ew_config *config, const struct ew_account *account)
{
    struct ew_ca_options options = {.url = account->url,
                                    .ca_file = account->ca_file,
                                    .user = account->user,
                                    .connect_ms = account->connect_ms,
                                    .tcp_ms = config->time.tcp_ms,
                                    .order_ms = account->order_ms,
                                    .query_ms = account->query_ms};
    struct asking asking = {.config = config, .account = account};
    struct ew_ca *ca = NULL;
    struct ew_buf password;
    struct ew_err err;

    ew_buf_init_secret(&password, EW_MAX_PASSWORD + 2);
    if (ew_loop_new(&ew_clock_system, 1, &asking.loop, &err) != EW_OK ||
        ew_config_secret(account->password_file, EW_MAX_PASSWORD, &password, &err) != EW_OK ||
        ew_ca_new(asking.loop, &options, &password, &ca, &err) != EW_OK) {
        say(&asking, &err);
    } else {
        (void)ew_ca_get_profiles(ca, NULL, on_profiles, &asking);
        ew_loop_run(asking.loop);
    }
    ew_buf_deinit(&password);
    ew_ca_free(ca);
    ew_loop_free(asking.loop);
    return asking.problems;
}

int
ew_cli_check(const struct ew_config *config)
{
    struct ew_kafka_options kafka;
    struct ew_store_options store;
    char kafka_name[] = "kafka", redis_name[] = "redis";
    int problems, before;

    (void)setvbuf(stdout, NULL, _IOLBF, 0); /* in order with what goes to standard error */
    ew_cli_kafka_options(config, "check", &kafka);
    ew_cli_store_options(config, &store);
    problems = ew_kafka_check(&kafka, TIMEOUT_MS, ew_cli_problem, kafka_name);
    if (problems == 0)
        (void)puts("kafka: reached, topics and their settings fit");
    before = problems;
    problems += ew_store_check(&store, ew_cli_problem, redis_name);
    if (problems == before)
        (void)puts("redis: reached, its settings fit");
    for (size_t i = 0; i < config->account_count; i++)
        problems += ask_account(config, &config->accounts[i]);
    if (problems == 0)
        (void)puts("no problems");
    else
        (void)fprintf(stderr, "%d problem%s\n", problems, problems == 1 ? "" : "s");
    return problems == 0 ? EW_EXIT_OK : EW_EXIT_FAILED;
}
