/*
 * What only several keys together show.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "config_private.h"

static const char production_host[] = "system.globalsign.com";

static void
check_url(struct ew_loading *loading, const struct ew_account *account, const char *path)
{
    const char *host;
    size_t len;

    if (strncmp(account->url, "https://", 8) != 0) {
        ew_conf_problem(loading, path, "Use https: the password travels in every call.",
                        "the URL does not begin with https://");
        return;
    }
    host = account->url + 8;
    if (memchr(host, '@', strcspn(host, "/?#")) != NULL) {
        ew_conf_problem(loading, path, "Use the keys user and password_file.",
                        "a user or password in the URL");
        return;
    }
    len = strcspn(host, ":/?#");
    while (len > 0 && host[len - 1] == '.') /* the same host, written to its root */
        len--;
    if (len == 0)
        ew_conf_problem(loading, path, "Write https://host/path.", "no host in the URL");
    if (account->test && len == sizeof(production_host) - 1 &&
        strncasecmp(host, production_host, len) == 0)
        ew_conf_problem(loading, path, "Use the test host, or environment: prod.",
                        "a test account on GlobalSign's production host");
}

static bool
good_user(const char *user)
{
    const char *rest = user + 3;

    if (strncmp(user, "PAR", 3) != 0)
        return false;
    rest += strspn(rest, "0123456789");
    return rest > user + 3 && rest[0] == '_' && rest[1] != '\0';
}

static void
check_password(struct ew_loading *loading, const char *file, const char *path)
{
    struct ew_buf secret;
    struct ew_err err;

    ew_buf_init_secret(&secret, EW_MAX_PASSWORD + 2);
    if (ew_config_secret(file, EW_MAX_PASSWORD, &secret, &err) != EW_OK)
        ew_conf_problem(loading, path, err.advice, "%s", err.detail);
    ew_buf_deinit(&secret);
}

static void
check_account(struct ew_loading *loading, size_t index)
{
    const struct ew_account *account = &loading->config->accounts[index];
    char path[64];

    (void)snprintf(path, sizeof(path), "accounts[%zu].url", index);
    if (account->url != NULL)
        check_url(loading, account, path);
    (void)snprintf(path, sizeof(path), "accounts[%zu].user", index);
    if (account->user != NULL && !good_user(account->user))
        ew_conf_problem(loading, path, "Write PAR, digits, _, name: as GlobalSign gave it.",
                        "not a GlobalSign API user");
    (void)snprintf(path, sizeof(path), "accounts[%zu].password_file", index);
    if (account->password_file != NULL)
        check_password(loading, account->password_file, path);
    (void)snprintf(path, sizeof(path), "accounts[%zu].connect_ms", index);
    if (account->connect_ms > loading->config->time.send_window_ms - 1000)
        ew_conf_problem(loading, path, "Lower it, or raise time.send_window_ms.",
                        "connecting may take longer than the send window less 1 s");
    (void)snprintf(path, sizeof(path), "accounts[%zu].name", index);
    for (size_t i = 0; account->name != NULL && i < index; i++)
        if (loading->config->accounts[i].name != NULL &&
            strcmp(loading->config->accounts[i].name, account->name) == 0)
            ew_conf_problem(loading, path, "Give each account a name of its own.", "used before");
}

static const yaml_node_t *
value_of(struct ew_loading *loading, const yaml_node_t *map, const char *name)
{
    if (map == NULL || map->type != YAML_MAPPING_NODE)
        return NULL;
    for (const yaml_node_pair_t *pair = map->data.mapping.pairs.start;
         pair < map->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = ew_conf_node(loading, pair->key);

        if (key->type == YAML_SCALAR_NODE &&
            strcmp((const char *)key->data.scalar.value, name) == 0)
            return ew_conf_node(loading, pair->value);
    }
    return NULL;
}

/* A key at the top, or below one there; also where its file was refused: that is said already. */
static bool
is_said(struct ew_loading *loading, const char *section, const char *name)
{
    const yaml_node_t *map = yaml_document_get_root_node(loading->document);

    return value_of(loading, section == NULL ? map : value_of(loading, map, section), name) != NULL;
}

static void
check_setting(struct ew_loading *loading, size_t index)
{
    const struct ew_setting *setting = &loading->config->settings[index];
    bool seals = setting->worker_key_allowed || setting->globalsign_key_allowed;
    char path[64];

    (void)snprintf(path, sizeof(path), "settings[%zu]", index);
    if (seals && setting->recipients_file == NULL)
        ew_conf_problem(loading, path, "Add recipients_file, or let keys be csr alone.",
                        "keys to deliver without a list of recipients");
    if (seals && !is_said(loading, NULL, "kek_file"))
        ew_conf_problem(loading, path, "Add kek_file at the top of the file.",
                        "keys to deliver without key-encryption keys");
    if (setting->worker_key_allowed && setting->key_types == 0)
        ew_conf_problem(loading, path, "List the types in key_types.",
                        "worker-made keys of no type");
    if (!seals && !setting->csr_allowed)
        ew_conf_problem(loading, path, "List csr, worker or globalsign.", "no key policy is left");
    if (setting->smime && setting->email_template == NULL)
        ew_conf_problem(loading, path, "Add an email template.", "S/MIME without an e-mail");
    if (setting->smime && setting->ou_count > 0)
        ew_conf_problem(loading, path, "Remove ous: S/MIME profiles forbid them.",
                        "S/MIME with organisational units");
    for (size_t i = 0; setting->name != NULL && i < index; i++)
        if (loading->config->settings[i].name != NULL &&
            strcmp(loading->config->settings[i].name, setting->name) == 0)
            ew_conf_problem(loading, path, "Give each setting a name of its own.",
                            "the name %s was used before", setting->name);
}

static void
check_redis(struct ew_loading *loading)
{
    const char *url = loading->config->redis.url;

    if (url != NULL && strncmp(url, "redis://", 8) != 0 && strncmp(url, "rediss://", 9) != 0)
        ew_conf_problem(loading, "redis.url", "Write redis://host:port/db, or rediss:// for TLS.",
                        "the URL does not begin with redis:// or rediss://");
    if (url != NULL && strchr(url, '@') != NULL)
        ew_conf_problem(loading, "redis.url", "Use the keys user and password_file.",
                        "a user or password in the URL");
    if (loading->config->redis.user != NULL && !is_said(loading, "redis", "password_file"))
        ew_conf_problem(loading, "redis.user", "Add redis.password_file.", "a user, no password");
}

/* Pauses that grow: the first is no longer than the longest. */
static void
check_pauses(struct ew_loading *loading)
{
    const struct ew_config *config = loading->config;
    const struct {
        const char *path;
        int first, max;
    } rows[] = {
        {"time.poll_first_ms", config->time.poll_first_ms, config->time.poll_max_ms},
        {"time.retry_first_ms", config->time.retry_first_ms, config->time.retry_max_ms},
        {"time.reconcile_first_ms", config->time.reconcile_first_ms, config->time.reconcile_max_ms},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].first > rows[i].max)
            ew_conf_problem(loading, rows[i].path, "Lower it, or raise the longest pause.",
                            "%d is longer than the longest pause, %d", rows[i].first, rows[i].max);
}

/* What is younger than the quiet period is not judged: a window within it would show nothing. */
static void
check_surplus(struct ew_loading *loading)
{
    const struct ew_config *config = loading->config;
    int64_t window = config->time.surplus_window_ms;

    if (window > config->time.horizon_ms)
        window = config->time.horizon_ms;
    if (config->time.surplus_interval_ms > 0 && window <= ew_config_quiet_ms(config))
        ew_conf_problem(loading, "time.surplus_window_ms",
                        "Raise it (and horizon_ms), or set surplus_interval_ms to 0.",
                        "%lld is not longer than the quiet period, %lld", (long long)window,
                        (long long)ew_config_quiet_ms(config));
}

void
ew_conf_check(struct ew_loading *loading)
{
    struct ew_config *config = loading->config;
    enum ew_log_level level;
    struct in_addr address;

    /* Sections that were left out still have their defaults. */
    if (config->time.send_window_ms == 0)
        ew_conf_section(loading, &ew_section_time, NULL, config, "time");
    if (config->admin_address == NULL)
        ew_conf_section(loading, &ew_section_admin, NULL, config, "admin");
    if (config->log_level != NULL && ew_log_level_parse(config->log_level, &level) != EW_OK)
        ew_conf_problem(loading, "log_level", "Use debug, info, warn or error.", "unknown: \"%s\"",
                        config->log_level);
    if (inet_pton(AF_INET, config->admin_address, &address) != 1)
        ew_conf_problem(loading, "admin.address", "Give an IPv4 address, 0.0.0.0 for all.", "%s",
                        config->admin_address);
    check_redis(loading);
    check_pauses(loading);
    check_surplus(loading);
    for (size_t i = 0; i < config->account_count; i++)
        check_account(loading, i);
    for (size_t i = 0; i < config->setting_count; i++)
        check_setting(loading, i);
}
