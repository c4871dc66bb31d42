/*
 * A deployment's topics and rights; see site.h. Failures end the running test.
 */
#include "site.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "clients.h"
#include "harness.h"

static const char *const LANES[EW_LANE_COUNT] = {"revocation", "resume", "enrollment", "renewal",
                                                 "bulk"};
static const char *const TOPICS[EW_TOPIC_COUNT] = {"events",  "state",  "inflight",    "resume",
                                                   "account", "parked", "dead-letters"};

void
site_name(struct site *site, const char *name)
{
    memset(site, 0, sizeof(*site));
    snprintf(site->group, sizeof(site->group), "%s-group", name);
    for (int i = 0; i < EW_LANE_COUNT; i++) {
        snprintf(site->in[i], sizeof(site->in[i]), "%s-%s%s", name, LANES[i],
                 i == EW_LANE_RESUME ? "" : "-requests");
        site->options.in[i] = site->in[i];
    }
    for (int i = 0; i < EW_TOPIC_COUNT; i++) {
        snprintf(site->out[i], sizeof(site->out[i]), "%s-%s", name, TOPICS[i]);
        site->options.out[i] = site->out[i];
    }
    site->options.bootstrap = getenv("KAFKA_BOOTSTRAP");
    site->options.group = site->group;
    site->options.instance = "test";
    site->options.session_ms = 6000;
    site->options.transaction_ms = 10000;
    site->options.partition_items = 500;
    site->options.partition_bytes = 16 * 1024 * 1024;
    site->options.commit_ms = 5;
    site->options.flush_ms = 3000;
}

/* --- topics --- */

/* Runs one admin call and checks that it was done. */
static void
administer(void (*call)(rd_kafka_t *rk, rd_kafka_queue_t *queue, const void *arg), const void *arg)
{
    rd_kafka_t *rk = plain_producer(NULL);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_event_t *event;

    call(rk, queue, arg);
    event = rd_kafka_queue_poll(queue, PATIENCE_MS);
    REQUIRE(event != NULL && rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR,
            "an admin call: %s", event != NULL ? rd_kafka_event_error_string(event) : "timeout");
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
}

static rd_kafka_NewTopic_t *
new_topic(const char *name, int partitions, bool memory, const char *max)
{
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(name, partitions, 1, NULL, 0);

    if (memory) {
        rd_kafka_NewTopic_set_config(topic, "cleanup.policy", "compact");
        rd_kafka_NewTopic_set_config(topic, "message.timestamp.type", "LogAppendTime");
        rd_kafka_NewTopic_set_config(topic, "min.compaction.lag.ms", "86400000");
    }
    rd_kafka_NewTopic_set_config(topic, "max.message.bytes", max);
    return topic;
}

static bool
has_leaders(rd_kafka_t *rk, const char *name)
{
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, name, NULL);
    const struct rd_kafka_metadata *metadata = NULL;
    bool there = rd_kafka_metadata(rk, 0, topic, &metadata, 5000) == RD_KAFKA_RESP_ERR_NO_ERROR &&
                 metadata->topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR &&
                 metadata->topics[0].partition_cnt;

    for (int i = 0; there && i < metadata->topics[0].partition_cnt; i++)
        there = metadata->topics[0].partitions[i].leader >= 0;
    if (metadata != NULL)
        rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(topic);
    return there;
}

/* The controller answers before the broker itself knows of the topics. */
static void
await_leaders(const struct site *site)
{
    rd_kafka_t *rk = plain_producer(NULL);

    for (int i = 0; i < EW_LANE_COUNT; i++)
        AWAIT(has_leaders(rk, site->in[i]));
    for (int i = 0; i < EW_TOPIC_COUNT; i++)
        AWAIT(has_leaders(rk, site->out[i]));
    rd_kafka_destroy(rk);
}

struct created {
    rd_kafka_NewTopic_t *topics[16];
    size_t count;
};

static void
create_topics(rd_kafka_t *rk, rd_kafka_queue_t *queue, const void *arg)
{
    const struct created *created = arg;

    rd_kafka_CreateTopics(rk, (rd_kafka_NewTopic_t **)created->topics, created->count, NULL, queue);
}

void
site_init(struct site *site, const char *name, int partitions)
{
    struct created all = {.count = 0};
    char unique[48];

    snprintf(unique, sizeof(unique), "%s-%08x", name, ew_random_u32());
    site_name(site, unique);
    for (int i = 0; i < EW_LANE_COUNT; i++)
        all.topics[all.count++] =
            new_topic(site->in[i], i == EW_LANE_ENROLLMENT || i == EW_LANE_RESUME ? partitions : 1,
                      false, i == EW_LANE_RESUME ? "1200000" : "1000000");
    for (int i = 0; i < EW_TOPIC_COUNT; i++) {
        if (i != EW_TOPIC_RESUME)
            all.topics[all.count++] =
                new_topic(site->out[i], i == EW_TOPIC_INFLIGHT ? partitions : 1,
                          i == EW_TOPIC_STATE || i == EW_TOPIC_INFLIGHT, "1200000");
    }
    administer(create_topics, &all);
    rd_kafka_NewTopic_destroy_array(all.topics, all.count);
    await_leaders(site);
}

void
site_bootstrap(struct site *site)
{
    struct ew_err err;

    REQUIRE(ew_kafka_bootstrap(&site->options, PATIENCE_MS, &err) == EW_OK, "bootstrap: %s %s",
            err.problem, err.detail);
}

void
site_start(struct site *site, const char *name, int partitions)
{
    site_init(site, name, partitions);
    site_bootstrap(site);
}

/* --- what an operator does to them --- */

static void
delete_topic(rd_kafka_t *rk, rd_kafka_queue_t *queue, const void *arg)
{
    rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(arg);

    rd_kafka_DeleteTopics(rk, &topic, 1, NULL, queue);
    rd_kafka_DeleteTopic_destroy(topic);
}

void
site_delete_topic(const char *topic)
{
    rd_kafka_t *rk = plain_producer(NULL);

    administer(delete_topic, topic);
    AWAIT(!has_leaders(rk, topic)); /* or a record is still taken */
    rd_kafka_destroy(rk);
}

void
site_make_topic(const char *topic)
{
    struct created one = {.topics = {new_topic(topic, 1, false, "1000000")}, .count = 1};
    rd_kafka_t *rk = plain_producer(NULL);

    administer(create_topics, &one);
    rd_kafka_NewTopic_destroy_array(one.topics, one.count);
    AWAIT(has_leaders(rk, topic));
    rd_kafka_destroy(rk);
}

struct below {
    const char *topic;
    int partition;
    int64_t offset;
};

static void
delete_records(rd_kafka_t *rk, rd_kafka_queue_t *queue, const void *arg)
{
    const struct below *below = arg;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_DeleteRecords_t *request;

    rd_kafka_topic_partition_list_add(list, below->topic, below->partition)->offset = below->offset;
    request = rd_kafka_DeleteRecords_new(list);
    rd_kafka_DeleteRecords(rk, &request, 1, NULL, queue);
    rd_kafka_DeleteRecords_destroy(request);
    rd_kafka_topic_partition_list_destroy(list);
}

void
site_delete_records(const char *topic, int partition, int64_t before)
{
    struct below below = {.topic = topic, .partition = partition, .offset = before};

    administer(delete_records, &below);
}

struct right {
    rd_kafka_ResourceType_t type;
    const char *name;
    rd_kafka_AclOperation_t op;
};

/* Where there is a rule, what no rule allows is denied. */
static void
create_rules(rd_kafka_t *rk, rd_kafka_queue_t *queue, const void *arg)
{
    const struct right *right = arg;
    rd_kafka_AclBinding_t *rules[2];
    char text[200];

    rules[0] = rd_kafka_AclBinding_new(right->type, right->name, RD_KAFKA_RESOURCE_PATTERN_LITERAL,
                                       "User:*", "*", RD_KAFKA_ACL_OPERATION_ALL,
                                       RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW, text, sizeof(text));
    rules[1] = rd_kafka_AclBinding_new(right->type, right->name, RD_KAFKA_RESOURCE_PATTERN_LITERAL,
                                       "User:*", "*", right->op, RD_KAFKA_ACL_PERMISSION_TYPE_DENY,
                                       text, sizeof(text));
    REQUIRE(rules[0] != NULL && rules[1] != NULL, "%s", text);
    rd_kafka_CreateAcls(rk, rules, 2, NULL, queue);
    rd_kafka_AclBinding_destroy_array(rules, 2);
}

static rd_kafka_AclBindingFilter_t *
rules_of(const struct right *right)
{
    char text[200];
    rd_kafka_AclBindingFilter_t *filter = rd_kafka_AclBindingFilter_new(
        right->type, right->name, RD_KAFKA_RESOURCE_PATTERN_LITERAL, NULL, NULL,
        RD_KAFKA_ACL_OPERATION_ANY, RD_KAFKA_ACL_PERMISSION_TYPE_ANY, text, sizeof(text));

    REQUIRE(filter != NULL, "%s", text);
    return filter;
}

static void
delete_rules(rd_kafka_t *rk, rd_kafka_queue_t *queue, const void *arg)
{
    rd_kafka_AclBindingFilter_t *filter = rules_of(arg);

    rd_kafka_DeleteAcls(rk, &filter, 1, NULL, queue);
    rd_kafka_AclBinding_destroy(filter);
}

static bool
has_rules(rd_kafka_t *rk, const struct right *right)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_AclBindingFilter_t *filter = rules_of(right);
    rd_kafka_event_t *event;
    size_t count = 0;

    rd_kafka_DescribeAcls(rk, filter, NULL, queue);
    event = rd_kafka_queue_poll(queue, PATIENCE_MS);
    REQUIRE(event != NULL && rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR,
            "the rules of %s cannot be read", right->name);
    (void)rd_kafka_DescribeAcls_result_acls(rd_kafka_event_DescribeAcls_result(event), &count);
    rd_kafka_event_destroy(event);
    rd_kafka_AclBinding_destroy(filter);
    rd_kafka_queue_destroy(queue);
    return count > 0;
}

/* The controller answers before the broker itself goes by it. */
static void
rule(const struct right *right, bool there)
{
    rd_kafka_t *rk = plain_producer(NULL);

    administer(there ? create_rules : delete_rules, right);
    AWAIT(has_rules(rk, right) == there);
    rd_kafka_destroy(rk);
}

void
site_deny(rd_kafka_ResourceType_t type, const char *name, rd_kafka_AclOperation_t op)
{
    struct right right = {.type = type, .name = name, .op = op};

    rule(&right, true);
}

void
site_allow_all(rd_kafka_ResourceType_t type, const char *name)
{
    struct right right = {.type = type, .name = name};

    rule(&right, false);
}

static bool
has_config(rd_kafka_t *rk, const char *topic, const char *name, const char *value)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_ConfigResource_t *asked = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    const rd_kafka_ConfigResource_t **got = NULL;
    const rd_kafka_ConfigEntry_t **entries = NULL;
    rd_kafka_event_t *event;
    size_t count = 0;
    bool has = false;

    rd_kafka_DescribeConfigs(rk, &asked, 1, NULL, queue);
    event = rd_kafka_queue_poll(queue, 10000);
    if (event != NULL && rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR)
        got = rd_kafka_DescribeConfigs_result_resources(
            rd_kafka_event_DescribeConfigs_result(event), &count);
    if (count == 1)
        entries = rd_kafka_ConfigResource_configs(got[0], &count);
    for (size_t i = 0; entries != NULL && i < count; i++) {
        const char *is = rd_kafka_ConfigEntry_value(entries[i]);

        if (strcmp(rd_kafka_ConfigEntry_name(entries[i]), name) == 0)
            has = is != NULL && strcmp(is, value) == 0;
    }
    if (event != NULL)
        rd_kafka_event_destroy(event);
    rd_kafka_ConfigResource_destroy(asked);
    rd_kafka_queue_destroy(queue);
    return has;
}

struct setting {
    const char *topic, *name, *value;
};

static void
alter_config(rd_kafka_t *rk, rd_kafka_queue_t *queue, const void *arg)
{
    const struct setting *setting = arg;
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, setting->topic);

    rd_kafka_ConfigResource_set_config(resource, setting->name, setting->value);
    rd_kafka_AlterConfigs(rk, &resource, 1, NULL, queue);
    rd_kafka_ConfigResource_destroy(resource);
}

void
site_set_config(const char *topic, const char *name, const char *value)
{
    struct setting setting = {.topic = topic, .name = name, .value = value};
    rd_kafka_t *rk = plain_producer(NULL);

    administer(alter_config, &setting);
    AWAIT(has_config(rk, topic, name, value));
    rd_kafka_destroy(rk);
}
