/*
 * Kafka's part that has no fixed keys: names of topics, and properties passed to librdkafka.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "config_private.h"
#include "domain/properties.h"

/* By the order of enum ew_lane and of Kafka's out topics. */
static const struct {
    const char *key, *preset;
} in_topics[EW_LANE_COUNT] =
    {
        [EW_LANE_REVOCATION] = {"revocation", "epki.revocation.requests"},
        [EW_LANE_RESUME] = {"resume", "epki.resume"},
        [EW_LANE_ENROLLMENT] = {"enrollment", "epki.enrollment.requests"},
        [EW_LANE_RENEWAL] = {"renewal", "epki.renewal.requests"},
        [EW_LANE_BULK] = {"bulk", "epki.enrollment.bulk.requests"},
},
  out_topics[] = {
      {"events", "epki.certificate.events"}, {"state", "epki.certificate.state"},
      {"inflight", "epki.inflight"},         {"resume", "epki.resume"},
      {"account", "epki.account.events"},    {"parked", "epki.parked"},
      {"dead_letters", "epki.dead-letters"},
};

enum { OUT_TOPICS = sizeof(out_topics) / sizeof(out_topics[0]) };
_Static_assert(OUT_TOPICS == sizeof((struct ew_config){0}.kafka.out) / sizeof(char *),
               "one name per topic");

/* Where the name of a topic goes: resume is read and written, so it has two places. */
static size_t
places_of(struct ew_config *config, const char *key, const char **places[2])
{
    size_t count = 0;

    for (size_t i = 0; i < EW_LANE_COUNT; i++)
        if (strcmp(in_topics[i].key, key) == 0)
            places[count++] = &config->kafka.in[i];
    for (size_t i = 0; i < OUT_TOPICS; i++)
        if (strcmp(out_topics[i].key, key) == 0)
            places[count++] = &config->kafka.out[i];
    return count;
}

/* Kafka's own rule. */
static bool
good_name(const char *name)
{
    size_t len = strlen(name);

    return len >= 1 && len <= EW_MAX_TOPIC && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

static void
set_topic(struct ew_loading *loading, const char *key, const char *name, const char *path)
{
    const char **places[2];
    size_t count = places_of(loading->config, key, places);

    if (count == 0) {
        ew_conf_problem(loading, path, "Use a key that `epki-worker settings` lists.",
                        "unknown topic %s", key);
        return;
    }
    if (!good_name(name)) {
        ew_conf_problem(loading, path, "Use 1-249 characters of A-Z a-z 0-9 . _ -",
                        "the name of %s", key);
        return;
    }
    if (*places[0] != NULL) {
        ew_conf_problem(loading, path, "Write it once.", "%s is there twice", key);
        return;
    }
    for (size_t i = 0; i < count; i++)
        *places[i] = name;
}

static void
set_presets(struct ew_config *config)
{
    for (size_t i = 0; i < EW_LANE_COUNT; i++)
        if (config->kafka.in[i] == NULL)
            config->kafka.in[i] = in_topics[i].preset;
    for (size_t i = 0; i < OUT_TOPICS; i++)
        if (config->kafka.out[i] == NULL)
            config->kafka.out[i] = out_topics[i].preset;
}

/* Two roles on one topic would read each other's records as their own. */
static void
check_distinct(struct ew_loading *loading, const char *path)
{
    const char *names[EW_LANE_COUNT + OUT_TOPICS];
    size_t count = 0;

    for (size_t i = 0; i < EW_LANE_COUNT; i++)
        names[count++] = loading->config->kafka.in[i];
    for (size_t i = 0; i < OUT_TOPICS; i++)
        if (strcmp(out_topics[i].key, "resume") != 0)
            names[count++] = loading->config->kafka.out[i];
    for (size_t i = 0; i < count; i++)
        for (size_t j = i + 1; j < count; j++)
            if (strcmp(names[i], names[j]) == 0)
                ew_conf_problem(loading, path, "Give each a topic of its own.",
                                "two of them are called %s", names[i]);
}

void
ew_conf_topics(struct ew_loading *loading, yaml_node_t *node, void *into, const char *path)
{
    (void)into;
    if (node != NULL && node->type != YAML_MAPPING_NODE) {
        ew_conf_problem(loading, path, "Write topic: name lines.", "not a mapping");
        return;
    }
    for (yaml_node_pair_t *pair = node == NULL ? NULL : node->data.mapping.pairs.start;
         pair != NULL && pair < node->data.mapping.pairs.top && !ew_conf_enough(loading); pair++) {
        const char *key = ew_conf_text(loading, ew_conf_node(loading, pair->key), path);
        const char *name = ew_conf_text(loading, ew_conf_node(loading, pair->value), path);

        if (key != NULL && name != NULL)
            set_topic(loading, key, name, path);
    }
    set_presets(loading->config);
    check_distinct(loading, path);
}

void
ew_conf_topics_help(FILE *out)
{
    (void)fprintf(out, "  topics:\n");
    for (size_t i = 0; i < EW_LANE_COUNT; i++)
        (void)fprintf(out, "    %-18s (default %s)\n", in_topics[i].key, in_topics[i].preset);
    for (size_t i = 0; i < OUT_TOPICS; i++)
        if (strcmp(out_topics[i].key, "resume") != 0)
            (void)fprintf(out, "    %-18s (default %s)\n", out_topics[i].key, out_topics[i].preset);
}

/* The settings file is no place for a secret: it is shown, kept and passed on. */
static bool
secret(const char *name)
{
    static const char *const names[] = {"sasl.password",
                                        "ssl.key.password",
                                        "ssl.keystore.password",
                                        "ssl.key.pem",
                                        "sasl.oauthbearer.client.secret",
                                        "sasl.oauthbearer.config"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcasecmp(names[i], name) == 0)
            return true;
    return false;
}

static bool
has_property(const struct ew_config *config, const char *name)
{
    for (size_t i = 0; i < config->kafka.property_count; i++)
        if (strcmp(config->kafka.properties[i].name, name) == 0)
            return true;
    return false;
}

void
ew_conf_properties(struct ew_loading *loading, yaml_node_t *node, void *into, const char *path)
{
    struct ew_config *config = into;
    struct ew_pair *pairs;

    if (node == NULL)
        return;
    if (node->type != YAML_MAPPING_NODE) {
        ew_conf_problem(loading, path, "Write property: value lines.", "not a mapping");
        return;
    }
    pairs = ew_arena_alloc(config->memory, EW_MAX_PROPERTIES * sizeof(*pairs));
    if (pairs == NULL) {
        ew_conf_problem(loading, path, "Shorten the file.", "too much text in all");
        return;
    }
    config->kafka.properties = pairs;
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top && !ew_conf_enough(loading); pair++) {
        const char *name = ew_conf_text(loading, ew_conf_node(loading, pair->key), path);
        const char *value = ew_conf_text(loading, ew_conf_node(loading, pair->value), path);

        if (name == NULL || value == NULL)
            continue;
        if (ew_property_fixed(name))
            ew_conf_problem(loading, path, "Leave it to the worker: its promises hang on it.",
                            "%s cannot be set", name);
        else if (secret(name))
            ew_conf_problem(loading, path, "Put it into the file that kafka.properties_file names.",
                            "%s is a secret", name);
        else if (has_property(config, name))
            ew_conf_problem(loading, path, "Write it once.", "%s is there twice", name);
        else if (config->kafka.property_count == EW_MAX_PROPERTIES)
            ew_conf_problem(loading, path, "Use fewer.", "more than 64 properties");
        else
            pairs[config->kafka.property_count++] = (struct ew_pair){.name = name, .value = value};
    }
}
