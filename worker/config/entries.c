/*
 * Accounts and settings: the lists of the file.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "config_private.h"
#include "domain/rules.h"

#define ROWS(rows) rows, sizeof(rows) / sizeof((rows)[0])
#define ACC(member) offsetof(struct ew_account, member)
#define SET(member) offsetof(struct ew_setting, member)

/* --- values with words of their own --- */

static const char *
next_item(struct ew_loading *loading, yaml_node_t *node, size_t index, const char *path)
{
    return ew_conf_text(loading, ew_conf_node(loading, node->data.sequence.items.start[index]),
                        path);
}

/* False: it cannot be read, which is said, and it counts as empty. */
static bool
list_length(struct ew_loading *loading, yaml_node_t *node, size_t max, size_t *count,
            const char *path)
{
    *count = 0;
    if (node == NULL)
        return true;
    if (node->type != YAML_SEQUENCE_NODE) {
        ew_conf_problem(loading, path, "Write a list.", "not a list");
        return false;
    }
    *count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    if (*count <= max)
        return true;
    ew_conf_problem(loading, path, "Shorten the list.", "more than %zu entries", max);
    *count = 0;
    return false;
}

static void
read_environment(struct ew_loading *loading, yaml_node_t *node, void *into, const char *path)
{
    struct ew_account *account = into;
    const char *text = node == NULL ? "prod" : ew_conf_text(loading, node, path);

    if (text == NULL)
        return;
    account->test = strcmp(text, "test") == 0;
    if (!account->test && strcmp(text, "prod") != 0)
        ew_conf_problem(loading, path, "Write prod or test.", "unknown: \"%s\"", text);
}

static void
read_share(struct ew_loading *loading, yaml_node_t *node, void *into, const char *path)
{
    static const char *const classes[EW_RATE_COUNT] = {"revocation", "query", "enrollment",
                                                       "renewal", "bulk"};
    static const int presets[EW_RATE_COUNT] = {20, 20, 20, 10, 5};
    struct ew_account *account = into;
    bool given[EW_RATE_COUNT] = {false};
    int64_t number, sum = 0;

    memcpy(account->share, presets, sizeof(presets));
    if (node == NULL)
        return;
    if (node->type != YAML_MAPPING_NODE) {
        ew_conf_problem(loading, path, "Write class: percent lines.", "not a mapping");
        return;
    }
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top && !ew_conf_enough(loading); pair++) {
        const char *key = ew_conf_text(loading, ew_conf_node(loading, pair->key), path);
        const char *value = ew_conf_text(loading, ew_conf_node(loading, pair->value), path);
        bool known = false;

        for (int c = 0; key != NULL && value != NULL && c < EW_RATE_COUNT; c++) {
            if (strcmp(classes[c], key) != 0)
                continue;
            known = true;
            if (given[c])
                ew_conf_problem(loading, path, "Write it once.", "%s is there twice", key);
            given[c] = true;
            if (!ew_conf_int(value, &number) || number < 1 || number > 100)
                ew_conf_problem(loading, path, "Give percent, 1-100.", "%s: %s", key, value);
            else
                account->share[c] = (int)number;
        }
        if (key != NULL && value != NULL && !known)
            ew_conf_problem(loading, path, "Use revocation, query, enrollment, renewal, bulk.",
                            "unknown class %s", key);
    }
    for (int c = 0; c < EW_RATE_COUNT; c++)
        sum += account->share[c];
    if (sum > 100)
        ew_conf_problem(loading, path, "Let the shares sum to at most 100.", "they sum to %lld",
                        (long long)sum);
}

static void
read_hold_codes(struct ew_loading *loading, yaml_node_t *node, void *into, const char *path)
{
    struct ew_account *account = into;
    size_t count;
    int64_t number;

    (void)list_length(loading, node, EW_MAX_HOLD_CODES, &count, path);
    for (size_t i = 0; i < count; i++) {
        const char *text = next_item(loading, node, i, path);

        if (text == NULL)
            continue;
        if (!ew_conf_int(text, &number) || number > -1 || number < -99999)
            ew_conf_problem(loading, path, "Give GlobalSign's negative numbers.", "not one: \"%s\"",
                            text);
        else
            account->hold_codes[account->hold_code_count++] = (int)number;
    }
}

/* Without any account the mistake is in their list, and was said there. */
static void
read_account_ref(struct ew_loading *loading, yaml_node_t *node, void *into, const char *path)
{
    struct ew_setting *setting = into;
    const char *name = ew_conf_text(loading, node, path);

    for (size_t i = 0; name != NULL && i < loading->config->account_count; i++)
        if (loading->config->accounts[i].name != NULL &&
            strcmp(loading->config->accounts[i].name, name) == 0)
            setting->account = &loading->config->accounts[i];
    if (name != NULL && setting->account == NULL && loading->config->account_count > 0)
        ew_conf_problem(loading, path, "Name an account of this file.", "no account %s", name);
}

/* What cannot be read counts as left out: what would follow from it is no mistake of its own. */
static void
read_keys(struct ew_loading *loading, yaml_node_t *node, void *into, const char *path)
{
    struct ew_setting *setting = into;
    int before = loading->problems;
    size_t count;

    (void)list_length(loading, node, 3, &count, path);
    for (size_t i = 0; i < count; i++) {
        const char *text = next_item(loading, node, i, path);

        if (text != NULL && strcmp(text, "csr") == 0)
            setting->csr_allowed = true;
        else if (text != NULL && strcmp(text, "worker") == 0)
            setting->worker_key_allowed = true;
        else if (text != NULL && strcmp(text, "globalsign") == 0)
            setting->globalsign_key_allowed = true;
        else if (text != NULL)
            ew_conf_problem(loading, path, "Use csr, worker, globalsign.", "unknown: \"%s\"", text);
    }
    if (node == NULL || loading->problems > before)
        setting->csr_allowed = true;
}

static void
read_key_types(struct ew_loading *loading, yaml_node_t *node, void *into, const char *path)
{
    static const char *const types[] = {
        [EW_KEY_RSA_2048] = "rsa-2048",
        [EW_KEY_RSA_3072] = "rsa-3072",
        [EW_KEY_EC_P256] = "ec-p256",
        [EW_KEY_EC_P384] = "ec-p384",
    };
    struct ew_setting *setting = into;
    int before = loading->problems;
    size_t count;

    (void)list_length(loading, node, 4, &count, path);
    for (size_t i = 0; i < count; i++) {
        const char *text = next_item(loading, node, i, path);
        bool known = false;

        for (size_t t = 0; text != NULL && t < sizeof(types) / sizeof(types[0]); t++) {
            if (strcmp(types[t], text) == 0) {
                setting->key_types |= 1u << t;
                known = true;
            }
        }
        if (text != NULL && !known)
            ew_conf_problem(loading, path, "Use rsa-2048, rsa-3072, ec-p256, ec-p384.",
                            "unknown: \"%s\"", text);
    }
    if (node == NULL || loading->problems > before) /* as with the keys */
        setting->key_types = 0xf;
}

static size_t
read_list(struct ew_loading *loading, yaml_node_t *node, const char **out, size_t max,
          size_t longest, const char *path)
{
    size_t count, kept = 0;

    (void)list_length(loading, node, max, &count, path);
    for (size_t i = 0; i < count; i++) {
        const char *text = next_item(loading, node, i, path);

        if (text != NULL && (text[0] == '\0' || strlen(text) > longest))
            ew_conf_problem(loading, path, "Shorten it.", "empty, or more than %zu bytes", longest);
        else if (text != NULL)
            out[kept++] = text;
    }
    return kept;
}

static void
read_ous(struct ew_loading *loading, yaml_node_t *node, void *into, const char *path)
{
    struct ew_setting *setting = into;
    struct ew_err err;

    setting->ou_count =
        read_list(loading, node, setting->ou_templates, EW_MAX_OUS, EW_MAX_TEMPLATE, path);
    for (size_t i = 0; i < setting->ou_count; i++)
        if (ew_template_check(setting->ou_templates[i], &err) != EW_OK)
            ew_conf_problem(loading, path, err.advice, "%s", err.detail);
}

static void
read_domains(struct ew_loading *loading, yaml_node_t *node, void *into, const char *path)
{
    struct ew_setting *setting = into;

    setting->email_domain_count =
        read_list(loading, node, setting->email_domains, EW_MAX_DOMAINS, EW_MAX_DOMAIN, path);
}

static void
read_labels(struct ew_loading *loading, yaml_node_t *node, void *into, const char *path)
{
    struct ew_setting *setting = into;

    setting->label_count =
        read_list(loading, node, setting->labels, EW_MAX_LABELS, EW_MAX_LABEL, path);
}

/* --- the rows --- */

static const struct ew_key_row account_rows[] = {
    {"name", EW_CONF_TEXT, ACC(name), true, 0, EW_MAX_SETTING_NAME, NULL, "how settings call it",
     NULL},
    {"url", EW_CONF_TEXT, ACC(url), true, 0, EW_MAX_URL, NULL,
     "https://.../cr/ws/GasOrderService of GlobalSign", NULL},
    {"environment", EW_CONF_SPECIAL, 0, false, 0, 0, NULL, "prod or test (default prod)",
     read_environment},
    {"user", EW_CONF_TEXT, ACC(user), true, 0, EW_MAX_USER, NULL, "PARnnnnn_name", NULL},
    {"password_file", EW_CONF_SECRET, ACC(password_file), true, 0, EW_MAX_PATH, NULL,
     "file with the password", NULL},
    {"ca_file", EW_CONF_FILE, ACC(ca_file), false, 0, EW_MAX_PATH, NULL,
     "PEM bundle of roots for TLS (an intermediate alone is not trusted); default the system's",
     NULL},
    {"orders_in_flight", EW_CONF_INT, ACC(orders_in_flight), false, 1, 5000, "20",
     "orders at once, per worker", NULL},
    {"others_in_flight", EW_CONF_INT, ACC(others_in_flight), false, 1, 1000, "8",
     "revocations and queries at once, per worker", NULL},
    {"rate_per_minute", EW_CONF_INT64, ACC(rate_per_minute), false, 1, 6000000, "120",
     "calls of the whole fleet", NULL},
    {"burst", EW_CONF_INT, ACC(burst), false, 1, 100000, "10", "calls that may come at once", NULL},
    {"share", EW_CONF_SPECIAL, 0, false, 0, 0, NULL, "minimum share of the rate by class, percent",
     read_share},
    {"connect_ms", EW_CONF_INT, ACC(connect_ms), false, 100, 60000, "3500",
     "DNS, connect and TLS together; at least 1 s less than time.send_window_ms", NULL},
    {"order_ms", EW_CONF_INT, ACC(order_ms), false, 1000, 600000, "120000", "an order's time",
     NULL},
    {"query_ms", EW_CONF_INT, ACC(query_ms), false, 1000, 600000, "60000", "any other call's time",
     NULL},
    {"throttle_is_unsent", EW_CONF_BOOL, ACC(throttle_is_unsent), false, 0, 0, "false",
     "a 429 on an order proves that nothing was done", NULL},
    {"hold_codes", EW_CONF_SPECIAL, 0, false, 0, 0, NULL,
     "more error codes that mean: wait for licences or vetting", read_hold_codes},
};
static const struct ew_key_row setting_rows[] = {
    {"name", EW_CONF_TEXT, SET(name), true, 0, EW_MAX_SETTING_NAME, NULL, "how requests call it",
     NULL},
    {"description", EW_CONF_TEXT, SET(description), false, 0, EW_MAX_DESCRIPTION, NULL, "free text",
     NULL},
    {"account", EW_CONF_SPECIAL, 0, true, 0, 0, NULL, "name of an account", read_account_ref},
    {"profile", EW_CONF_TEXT, SET(profile), true, 0, EW_MAX_PROFILE, NULL,
     "GlobalSign's profile id, MP...", NULL},
    {"product", EW_CONF_TEXT, SET(product), false, 1, EW_MAX_PRODUCT, "EPKIPSPersonal",
     "product code", NULL},
    {"years", EW_CONF_INT, SET(years), false, 1, 3, "1", "validity", NULL},
    {"keys", EW_CONF_SPECIAL, 0, false, 0, 0, NULL,
     "whose keys: list of csr, worker, globalsign (default csr)", read_keys},
    {"key_types", EW_CONF_SPECIAL, 0, false, 0, 0, NULL,
     "of worker: list of rsa-2048, rsa-3072, ec-p256, ec-p384 (default all)", read_key_types},
    {"recipients_file", EW_CONF_FILE, SET(recipients_file), false, 0, EW_MAX_PATH, NULL,
     "PEM: what recipients of keys equal or chain to", NULL},
    {"chain_file", EW_CONF_FILE, SET(chain_file), true, 0, EW_MAX_PATH, NULL,
     "PEM: issuing CAs and roots that certificates must chain to", NULL},
    {"cn", EW_CONF_TEMPLATE, SET(cn_template), true, 0, EW_MAX_TEMPLATE, NULL,
     "template of the common name", NULL},
    {"email", EW_CONF_TEMPLATE, SET(email_template), false, 0, EW_MAX_TEMPLATE, NULL,
     "template of the e-mail address", NULL},
    {"upn", EW_CONF_TEMPLATE, SET(upn_template), false, 0, EW_MAX_TEMPLATE, NULL,
     "template of the user principal name", NULL},
    {"ous", EW_CONF_SPECIAL, 0, false, 0, 0, NULL, "up to 3 templates of organisational units",
     read_ous},
    {"email_domains", EW_CONF_SPECIAL, 0, false, 0, 0, NULL, "approved domains; none = any",
     read_domains},
    {"smime", EW_CONF_BOOL, SET(smime), false, 0, 0, "false", "an S/MIME profile", NULL},
    {"efs", EW_CONF_BOOL, SET(efs), false, 0, 0, "false", "encrypting file system usage", NULL},
    {"san_email", EW_CONF_BOOL, SET(san_email), false, 0, 0, "false",
     "send SANRFC822EmailAddress (APIs since 2023)", NULL},
    {"labels", EW_CONF_SPECIAL, 0, false, 0, 0, NULL, "list", read_labels},
};
const struct ew_section ew_section_account = {"account", ROWS(account_rows)};
const struct ew_section ew_section_setting = {"setting", ROWS(setting_rows)};

/* --- the lists --- */

static void
read_entries(struct ew_loading *loading, yaml_node_t *node, const struct ew_section *section,
             char *entries, size_t size, size_t *count, const char *path)
{
    size_t length = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    char where[128];

    if (entries == NULL) {
        ew_conf_problem(loading, path, "Shorten the file.", "too much text in all");
        return;
    }
    for (size_t i = 0; i < length && !ew_conf_enough(loading); i++) {
        (void)snprintf(where, sizeof(where), "%s[%zu]", path, i);
        *count = i + 1;
        ew_conf_section(loading, section, ew_conf_node(loading, node->data.sequence.items.start[i]),
                        entries + i * size, where);
    }
}

void
ew_conf_accounts(struct ew_loading *loading, yaml_node_t *node, void *into, const char *path)
{
    struct ew_config *config = into;
    size_t length;

    if (!list_length(loading, node, EW_MAX_ACCOUNTS, &length, path))
        return;
    if (length == 0) {
        ew_conf_problem(loading, path, "Describe at least one account.", "no account");
        return;
    }
    config->accounts = ew_arena_alloc(config->memory, length * sizeof(*config->accounts));
    read_entries(loading, node, &ew_section_account, (char *)config->accounts,
                 sizeof(*config->accounts), &config->account_count, path);
}

void
ew_conf_settings(struct ew_loading *loading, yaml_node_t *node, void *into, const char *path)
{
    struct ew_config *config = into;
    size_t length;

    if (!list_length(loading, node, EW_MAX_SETTINGS, &length, path))
        return;
    if (length == 0) {
        ew_conf_problem(loading, path, "Describe at least one setting.", "no setting");
        return;
    }
    config->settings = ew_arena_alloc(config->memory, length * sizeof(*config->settings));
    read_entries(loading, node, &ew_section_setting, (char *)config->settings,
                 sizeof(*config->settings), &config->setting_count, path);
}
