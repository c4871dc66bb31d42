/*
 * Every key of the settings file: type, range, default, meaning. Reads the file, prints the help.
 */
#include <stddef.h>
#include <string.h>

#include "config_private.h"

#define AT(type, member) offsetof(type, member)
#define ROWS(rows) rows, sizeof(rows) / sizeof((rows)[0])
#define CONF(member) AT(struct ew_config, member)

static void read_kafka(struct ew_loading *loading, yaml_node_t *node, void *into, const char *path);
static void read_redis(struct ew_loading *loading, yaml_node_t *node, void *into, const char *path);
static void read_time(struct ew_loading *loading, yaml_node_t *node, void *into, const char *path);
static void read_admin(struct ew_loading *loading, yaml_node_t *node, void *into, const char *path);

static const struct ew_key_row kafka_rows[] = {
    {"bootstrap", EW_CONF_TEXT, CONF(kafka.bootstrap), true, 0, EW_MAX_URL, NULL,
     "brokers, host:port,host:port", NULL},
    {"group", EW_CONF_TEXT, CONF(kafka.group), false, 1, EW_MAX_GROUP, "epki-worker",
     "consumer group; one per deployment, never two on the same topics", NULL},
    {"instance", EW_CONF_TEXT, CONF(kafka.instance), false, 0, EW_MAX_INSTANCE, "",
     "name of this process; empty = the host's name", NULL},
    {"topics", EW_CONF_SPECIAL, 0, false, 0, 0, NULL, "names of topics, where they differ",
     ew_conf_topics},
    {"properties", EW_CONF_SPECIAL, 0, false, 0, 0, NULL,
     "passed to librdkafka, such as security.protocol", ew_conf_properties},
    {"properties_file", EW_CONF_SECRET, CONF(kafka.properties_file), false, 0, EW_MAX_PATH, NULL,
     "file with the secret ones, lines name=value, such as sasl.password", NULL},
    {"session_ms", EW_CONF_INT, CONF(kafka.session_ms), false, 1000, 300000, "30000",
     "session.timeout.ms", NULL},
    {"transaction_ms", EW_CONF_INT, CONF(kafka.transaction_ms), false, 1000, 300000, "10000",
     "transaction.timeout.ms", NULL},
    {"partition_items", EW_CONF_INT, CONF(kafka.partition_items), false, 1, 1500, "1000",
     "records of one partition that may be worked on at once", NULL},
    {"partition_bytes", EW_CONF_INT64, CONF(kafka.partition_bytes), false, 1048576, 1073741824,
     "16777216", "their bytes", NULL},
    {"commit_ms", EW_CONF_INT, CONF(kafka.commit_ms), false, 0, 1000, "200",
     "a transaction waits at most so long for company", NULL},
    {"flush_ms", EW_CONF_INT, CONF(kafka.flush_ms), false, 100, 30000, "3000",
     "bound of the flush when partitions are taken away", NULL},
};
static const struct ew_key_row redis_rows[] = {
    {"url", EW_CONF_TEXT, CONF(redis.url), true, 0, EW_MAX_URL, NULL,
     "redis://host:port[/db], or rediss:// (TLS, with hiredis 1.x)", NULL},
    {"user", EW_CONF_TEXT, CONF(redis.user), false, 1, EW_MAX_REDIS_USER, NULL,
     "user of Redis' access lists, with password_file; default: the default user", NULL},
    {"password_file", EW_CONF_SECRET, CONF(redis.password_file), false, 0, EW_MAX_PATH, NULL,
     "file with the password", NULL},
    {"ca_file", EW_CONF_FILE, CONF(redis.ca_file), false, 0, EW_MAX_PATH, NULL,
     "PEM bundle for rediss://", NULL},
    {"timeout_ms", EW_CONF_INT, CONF(redis.timeout_ms), false, 50, 60000, "2000",
     "a command that takes longer breaks the connection", NULL},
    {"max_lag_ms", EW_CONF_INT, CONF(redis.max_lag_ms), false, 0, 600000, "0",
     "min-replicas-max-lag of the server, which counts seconds, when it has replicas", NULL},
};
static const struct ew_key_row time_rows[] = {
    {"send_window_ms", EW_CONF_INT, CONF(time.send_window_ms), false, 2000, 60000, "5000",
     "an order leaves within this time of its intent, or not at all", NULL},
    {"tcp_ms", EW_CONF_INT, CONF(time.tcp_ms), false, 500, 120000, "15000",
     "the kernel gives up sending after this time", NULL},
    {"processing_ms", EW_CONF_INT, CONF(time.processing_ms), false, 500, 3600000, "120000",
     "GlobalSign has processed or dropped a request by then", NULL},
    {"visibility_ms", EW_CONF_INT, CONF(time.visibility_ms), false, 100, 3600000, "30000",
     "an order shows in queries by then", NULL},
    {"margin_ms", EW_CONF_INT, CONF(time.margin_ms), false, 100, 3600000, "10000",
     "added to the quiet period", NULL},
    {"hold_max_ms", EW_CONF_INT, CONF(time.hold_max_ms), false, 1000, 86400000, "900000",
     "what waits longer goes to the waiting room", NULL},
    {"account_retest_ms", EW_CONF_INT, CONF(time.account_retest_ms), false, 1000, 86400000,
     "300000", "a paused account is tested by one query this often; never after a wrong password",
     NULL},
    {"revocation_wait_ms", EW_CONF_INT, CONF(time.revocation_wait_ms), false, 1000, 86400000,
     "900000", "a revocation waits so long for a target never seen", NULL},
    {"poll_first_ms", EW_CONF_INT, CONF(time.poll_first_ms), false, 100, 3600000, "30000",
     "first question for a pending certificate", NULL},
    {"poll_max_ms", EW_CONF_INT, CONF(time.poll_max_ms), false, 100, 3600000, "600000",
     "longest pause between questions, and in the waiting room", NULL},
    {"retry_first_ms", EW_CONF_INT, CONF(time.retry_first_ms), false, 10, 600000, "500",
     "first back-off", NULL},
    {"retry_max_ms", EW_CONF_INT, CONF(time.retry_max_ms), false, 10, 3600000, "60000",
     "longest back-off", NULL},
    {"drain_ms", EW_CONF_INT, CONF(time.drain_ms), false, 0, 600000, "60000",
     "SIGTERM: how long work in flight may take", NULL},
    {"horizon_ms", EW_CONF_INT64, CONF(time.horizon_ms), false, 60000, 31536000000, "2592000000",
     "how long duplicates are recognised after a certificate's end", NULL},
    {"reconcile_first_ms", EW_CONF_INT, CONF(time.reconcile_first_ms), false, 100, 600000, "2000",
     "first pause between queries for an unknown order", NULL},
    {"reconcile_max_ms", EW_CONF_INT, CONF(time.reconcile_max_ms), false, 100, 3600000, "60000",
     "longest pause between them", NULL},
    {"surplus_interval_ms", EW_CONF_INT, CONF(time.surplus_interval_ms), false, 0, 86400000,
     "3600000", "GlobalSign's orders are compared with what was answered this often; 0 = never",
     NULL},
    {"surplus_window_ms", EW_CONF_INT64, CONF(time.surplus_window_ms), false, 10000, 31536000000,
     "172800000", "of the orders so far back by GlobalSign's clock, at most horizon_ms", NULL},
};
static const struct ew_key_row admin_rows[] = {
    {"address", EW_CONF_TEXT, CONF(admin_address), false, 1, EW_MAX_ADDRESS, "127.0.0.1",
     "IPv4 address of /livez, /readyz and /metrics", NULL},
    {"port", EW_CONF_INT, CONF(admin_port), false, 0, 65535, "9090", "its port, 0 = none", NULL},
};
static const struct ew_key_row top_rows[] = {
    {"kafka", EW_CONF_SPECIAL, 0, true, 0, 0, NULL, "see below", read_kafka},
    {"redis", EW_CONF_SPECIAL, 0, true, 0, 0, NULL, "see below", read_redis},
    {"time", EW_CONF_SPECIAL, 0, false, 0, 0, NULL, "see below", read_time},
    {"admin", EW_CONF_SPECIAL, 0, false, 0, 0, NULL, "see below", read_admin},
    {"kek_file", EW_CONF_SECRET, CONF(kek_file), false, 0, EW_MAX_PATH, NULL,
     "key-encryption keys, needed where keys are delivered", NULL},
    {"log_level", EW_CONF_TEXT, CONF(log_level), false, 0, EW_MAX_LOG_LEVEL, "info",
     "debug, info, warn, error", NULL},
    {"accounts", EW_CONF_SPECIAL, 0, true, 0, 0, NULL, "list; see below", ew_conf_accounts},
    {"settings", EW_CONF_SPECIAL, 0, true, 0, 0, NULL, "list; see below", ew_conf_settings},
};

const struct ew_section ew_section_kafka = {"kafka", ROWS(kafka_rows)};
const struct ew_section ew_section_redis = {"redis", ROWS(redis_rows)};
const struct ew_section ew_section_time = {"time", ROWS(time_rows)};
const struct ew_section ew_section_admin = {"admin", ROWS(admin_rows)};
const struct ew_section ew_section_top = {"", ROWS(top_rows)};

static void
read_kafka(struct ew_loading *loading, yaml_node_t *node, void *into, const char *path)
{
    ew_conf_section(loading, &ew_section_kafka, node, into, path);
}

static void
read_redis(struct ew_loading *loading, yaml_node_t *node, void *into, const char *path)
{
    ew_conf_section(loading, &ew_section_redis, node, into, path);
}

static void
read_time(struct ew_loading *loading, yaml_node_t *node, void *into, const char *path)
{
    ew_conf_section(loading, &ew_section_time, node, into, path);
}

static void
read_admin(struct ew_loading *loading, yaml_node_t *node, void *into, const char *path)
{
    ew_conf_section(loading, &ew_section_admin, node, into, path);
}

/* --- help --- */

static void
print_section(FILE *out, const struct ew_section *section, const char *head)
{
    (void)fprintf(out, "%s\n", head);
    for (size_t i = 0; i < section->count; i++) {
        const struct ew_key_row *row = &section->rows[i];

        (void)fprintf(out, "  %-20s %s", row->name, row->help);
        if (row->kind == EW_CONF_INT || row->kind == EW_CONF_INT64)
            (void)fprintf(out, " [%lld-%lld]", (long long)row->min, (long long)row->max);
        if (row->preset != NULL && row->preset[0] != '\0')
            (void)fprintf(out, " (default %s)", row->preset);
        (void)fprintf(out, "%s\n", row->required ? " (required)" : "");
    }
}

void
ew_config_help(FILE *out)
{
    print_section(out, &ew_section_top, "The settings file (YAML). At the top:");
    print_section(out, &ew_section_kafka, "kafka:");
    ew_conf_topics_help(out);
    print_section(out, &ew_section_redis, "redis:");
    print_section(out, &ew_section_time, "time:");
    print_section(out, &ew_section_admin, "admin:");
    print_section(out, &ew_section_account, "accounts: a list of");
    print_section(out, &ew_section_setting, "settings: a list of");
}
