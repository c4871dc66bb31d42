/*
 * Helpers of the real-broker tests; see harness.h. Failures end the running test.
 */
#include "harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/log.h"

#define REQUIRE(cond, ...)                                                                         \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "harness: " __VA_ARGS__);                                              \
            fputc('\n', stderr);                                                                   \
            fail();                                                                                \
        }                                                                                          \
    } while (0)

int64_t
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void
sleep_ms(int ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

    while (nanosleep(&time, &time) != 0)
        continue;
}

static const char *
bootstrap(void)
{
    return getenv("KAFKA_BOOTSTRAP");
}

/* --- plain clients --- */

static rd_kafka_t *
client(rd_kafka_type_t type, const char *const *settings)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[200];
    rd_kafka_t *rk;

    rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap(), NULL, 0);
    rd_kafka_conf_set(conf, "log_level", "0", NULL, 0);
    for (; *settings != NULL; settings += 2)
        REQUIRE(rd_kafka_conf_set(conf, settings[0], settings[1], text, sizeof(text)) ==
                    RD_KAFKA_CONF_OK,
                "%s", text);
    rk = rd_kafka_new(type, conf, text, sizeof(text));
    REQUIRE(rk != NULL, "%s", text);
    return rk;
}

rd_kafka_t *
plain_producer(const char *transactional_id)
{
    const char *with[] = {"transactional.id",       transactional_id, "linger.ms", "1",
                          "transaction.timeout.ms", "20000",          NULL};
    const char *without[] = {"linger.ms", "1", "message.max.bytes", "3000000", NULL};

    return client(RD_KAFKA_PRODUCER, transactional_id != NULL ? with : without);
}

rd_kafka_t *
plain_consumer(const char *group)
{
    const char *settings[] = {"group.id",
                              group,
                              "enable.auto.commit",
                              "false",
                              "auto.offset.reset",
                              "earliest",
                              "enable.partition.eof",
                              "true",
                              "fetch.wait.max.ms",
                              "50",
                              NULL};
    rd_kafka_t *rk = client(RD_KAFKA_CONSUMER, settings);

    rd_kafka_poll_set_consumer(rk);
    return rk;
}

static void
send_one(rd_kafka_t *rk, const char *topic, int partition, const char *key, const void *value,
         size_t len)
{
    rd_kafka_resp_err_t code;

    while ((code = rd_kafka_producev(rk, RD_KAFKA_VTYPE_TOPIC, topic, RD_KAFKA_VTYPE_PARTITION,
                                     partition, RD_KAFKA_VTYPE_KEY, key, strlen(key),
                                     RD_KAFKA_VTYPE_VALUE, value, len, RD_KAFKA_VTYPE_MSGFLAGS,
                                     RD_KAFKA_MSG_F_COPY, RD_KAFKA_VTYPE_END)) ==
           RD_KAFKA_RESP_ERR__QUEUE_FULL)
        rd_kafka_poll(rk, 10);
    REQUIRE(code == RD_KAFKA_RESP_ERR_NO_ERROR, "produce: %s", rd_kafka_err2str(code));
}

void
send_numbers(const char *topic, int partition, int partitions, int first, int count)
{
    rd_kafka_t *rk = plain_producer(NULL);

    for (int i = first; i < first + count; i++) {
        char key[32];
        char value[32];

        snprintf(key, sizeof(key), "key-%d", i);
        snprintf(value, sizeof(value), "value-%d", i);
        send_one(rk, topic, partition >= 0 ? partition : i % partitions, key, value, strlen(value));
    }
    REQUIRE(rd_kafka_flush(rk, 30000) == RD_KAFKA_RESP_ERR_NO_ERROR, "flush");
    rd_kafka_destroy(rk);
}

void
send_sized(const char *topic, int partition, const char *key, size_t len)
{
    rd_kafka_t *rk = plain_producer(NULL);
    char *value = calloc(1, len + 1);

    send_one(rk, topic, partition, key, value, len);
    REQUIRE(rd_kafka_flush(rk, 30000) == RD_KAFKA_RESP_ERR_NO_ERROR, "flush");
    rd_kafka_destroy(rk);
    free(value);
}

int64_t
high_watermark(const char *topic, int partition)
{
    const char *settings[] = {"group.id", "harness", "isolation.level", "read_uncommitted", NULL};
    rd_kafka_t *rk = client(RD_KAFKA_CONSUMER, settings);
    int64_t low = -1;
    int64_t high = -1;

    rd_kafka_query_watermark_offsets(rk, topic, partition, &low, &high, 10000);
    rd_kafka_destroy(rk);
    return high;
}

static int
assign_all(rd_kafka_t *rk, const char *topic)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);
    int count;

    REQUIRE(rd_kafka_metadata(rk, 0, rkt, &metadata, 10000) == RD_KAFKA_RESP_ERR_NO_ERROR,
            "metadata of %s", topic);
    count = metadata->topics[0].partition_cnt;
    for (int i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_assign(rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(rkt);
    return count;
}

int
count_numbers(const char *topic, int *counts, int max)
{
    rd_kafka_t *rk = plain_consumer("harness");
    int left = assign_all(rk, topic);
    int64_t until = now_ms() + 20000;
    int total = 0;

    memset(counts, 0, (size_t)max * sizeof(*counts));
    while (left > 0 && now_ms() < until) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(rk, 100);
        char key[32] = "";

        if (message == NULL)
            continue;
        if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            left--;
        } else if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR && message->key_len > 4 &&
                   message->key_len < sizeof(key)) {
            int number;

            memcpy(key, message->key, message->key_len);
            number = atoi(key + 4);
            if (number >= 0 && number < max)
                counts[number]++;
            total++;
        }
        rd_kafka_message_destroy(message);
    }
    REQUIRE(left == 0, "the end of %s was not reached", topic);
    rd_kafka_destroy(rk);
    return total;
}

void
assert_each_once(struct site *site, int count)
{
    int *counts = calloc((size_t)count, sizeof(int));
    int total = count_numbers(site->out[EW_TOPIC_EVENTS], counts, count);
    int wrong = 0;

    for (int i = 0; i < count; i++) {
        if (counts[i] != 1 && wrong++ < 20)
            fprintf(stderr, "harness: key-%d: %d answers\n", i, counts[i]);
    }
    free(counts);
    REQUIRE(wrong == 0 && total == count, "%d of %d wrong, %d in all", wrong, count, total);
}

void
await_each_once(struct site *site, int count, int ms)
{
    int64_t until = now_ms() + ms;
    int *counts = calloc((size_t)count, sizeof(int));

    while (count_numbers(site->out[EW_TOPIC_EVENTS], counts, count) < count && now_ms() < until)
        sleep_ms(200);
    free(counts);
    assert_each_once(site, count);
}

/* --- sites --- */

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
    site->options.bootstrap = bootstrap();
    site->options.group = site->group;
    site->options.instance = "test";
    site->options.session_ms = 6000;
    site->options.transaction_ms = 10000;
    site->options.partition_items = 500;
    site->options.partition_bytes = 16 * 1024 * 1024;
    site->options.commit_ms = 5;
    site->options.flush_ms = 3000;
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
await_leaders(rd_kafka_t *rk, const struct site *site)
{
    int64_t until = now_ms() + 60000;

    for (int i = 0; i < (int)EW_LANE_COUNT + (int)EW_TOPIC_COUNT; i++) {
        const char *name = i < EW_LANE_COUNT ? site->in[i] : site->out[i - (int)EW_LANE_COUNT];

        while (!has_leaders(rk, name)) {
            REQUIRE(now_ms() < until, "%s does not come up", name);
            sleep_ms(50);
        }
    }
}

static void
create(const struct site *site, rd_kafka_NewTopic_t **topics, size_t count)
{
    rd_kafka_t *rk = plain_producer(NULL);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_event_t *event;

    rd_kafka_CreateTopics(rk, topics, count, NULL, queue);
    event = rd_kafka_queue_poll(queue, 30000);
    REQUIRE(event != NULL && rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR,
            "create topics: %s", event != NULL ? rd_kafka_event_error_string(event) : "timeout");
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    await_leaders(rk, site);
    rd_kafka_destroy(rk);
}

void
site_init(struct site *site, const char *name, int partitions)
{
    rd_kafka_NewTopic_t *topics[16];
    size_t count = 0;
    char unique[48];

    snprintf(unique, sizeof(unique), "%s-%08x", name, ew_random_u32());
    site_name(site, unique);
    for (int i = 0; i < EW_LANE_COUNT; i++)
        topics[count++] =
            new_topic(site->in[i], i == EW_LANE_ENROLLMENT || i == EW_LANE_RESUME ? partitions : 1,
                      false, i == EW_LANE_RESUME ? "1200000" : "1000000");
    for (int i = 0; i < EW_TOPIC_COUNT; i++) {
        if (i != EW_TOPIC_RESUME)
            topics[count++] = new_topic(site->out[i], i == EW_TOPIC_INFLIGHT ? partitions : 1,
                                        i == EW_TOPIC_STATE || i == EW_TOPIC_INFLIGHT, "1200000");
    }
    create(site, topics, count);
    rd_kafka_NewTopic_destroy_array(topics, count);
}

void
site_bootstrap(struct site *site)
{
    struct ew_err err;

    REQUIRE(ew_kafka_bootstrap(&site->options, 20000, &err) == EW_OK, "bootstrap: %s %s",
            err.problem, err.detail);
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

void
site_set_config(const char *topic, const char *name, const char *value)
{
    rd_kafka_t *rk = plain_producer(NULL);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    int64_t until = now_ms() + 30000;
    rd_kafka_event_t *event;

    rd_kafka_ConfigResource_set_config(resource, name, value);
    rd_kafka_AlterConfigs(rk, &resource, 1, NULL, queue);
    event = rd_kafka_queue_poll(queue, 30000);
    REQUIRE(event != NULL && rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR, "alter");
    rd_kafka_event_destroy(event);
    rd_kafka_ConfigResource_destroy(resource);
    rd_kafka_queue_destroy(queue);
    while (!has_config(rk, topic, name, value)) {
        REQUIRE(now_ms() < until, "%s of %s does not change", name, topic);
        sleep_ms(50);
    }
    rd_kafka_destroy(rk);
}

void
see_commit(struct site *site, enum ew_lane lane, int partition, struct seen *out)
{
    rd_kafka_t *rk = plain_consumer(site->group);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *at =
        rd_kafka_topic_partition_list_add(list, site->in[lane], partition);
    rd_kafka_resp_err_t code = rd_kafka_committed(rk, list, 20000);

    REQUIRE(code == RD_KAFKA_RESP_ERR_NO_ERROR, "committed: %s", rd_kafka_err2str(code));
    memset(out, 0, sizeof(*out));
    out->base = at->offset;
    out->kind = ew_offset_map_decode(at->offset, at->metadata, at->metadata_size, &out->map);
    if (at->metadata_size > 0)
        memcpy(out->text, at->metadata, at->metadata_size);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(rk);
}

void
force_commit(struct site *site, enum ew_lane lane, int partition, int64_t offset,
             const char *metadata)
{
    rd_kafka_t *rk = plain_consumer(site->group);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *at =
        rd_kafka_topic_partition_list_add(list, site->in[lane], partition);
    rd_kafka_resp_err_t code;

    at->offset = offset;
    at->metadata = metadata != NULL ? strdup(metadata) : NULL;
    at->metadata_size = metadata != NULL ? strlen(metadata) : 0;
    code = rd_kafka_commit(rk, list, 0);
    REQUIRE(code == RD_KAFKA_RESP_ERR_NO_ERROR, "commit: %s", rd_kafka_err2str(code));
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(rk);
}

/* Runs one admin call and checks that it was done. */
static void
administer(void (*call)(rd_kafka_t *rk, rd_kafka_queue_t *queue, const void *arg), const void *arg)
{
    rd_kafka_t *rk = plain_producer(NULL);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_event_t *event;

    call(rk, queue, arg);
    event = rd_kafka_queue_poll(queue, 30000);
    REQUIRE(event != NULL && rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR,
            "an admin call: %s", event != NULL ? rd_kafka_event_error_string(event) : "timeout");
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
}

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
    administer(delete_topic, topic);
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

static void
delete_rules(rd_kafka_t *rk, rd_kafka_queue_t *queue, const void *arg)
{
    const struct right *right = arg;
    char text[200];
    rd_kafka_AclBindingFilter_t *filter = rd_kafka_AclBindingFilter_new(
        right->type, right->name, RD_KAFKA_RESOURCE_PATTERN_LITERAL, NULL, NULL,
        RD_KAFKA_ACL_OPERATION_ANY, RD_KAFKA_ACL_PERMISSION_TYPE_ANY, text, sizeof(text));

    REQUIRE(filter != NULL, "%s", text);
    rd_kafka_DeleteAcls(rk, &filter, 1, NULL, queue);
    rd_kafka_AclBinding_destroy(filter);
}

void
site_deny(rd_kafka_ResourceType_t type, const char *name, rd_kafka_AclOperation_t op)
{
    struct right right = {.type = type, .name = name, .op = op};

    administer(create_rules, &right);
}

void
site_allow_all(rd_kafka_ResourceType_t type, const char *name)
{
    struct right right = {.type = type, .name = name};

    administer(delete_rules, &right);
}

/* --- members --- */

static void
note(struct member *member, int *counter)
{
    pthread_mutex_lock(&member->lock);
    (*counter)++;
    pthread_cond_broadcast(&member->changed);
    pthread_mutex_unlock(&member->lock);
}

static int64_t
member_boot_ms(void *self)
{
    struct member *member = self;

    return now_ms() + atomic_load(&member->clock_ahead);
}

static int64_t
member_wall_ms(void *self)
{
    (void)self;
    return ew_wall_ms(&ew_clock_system);
}

static void
on_adopted(void *arg, struct ew_part *part)
{
    struct member *member = arg;

    pthread_mutex_lock(&member->lock);
    member->parts[member->part_count++] = ew_part_ref(part);
    pthread_mutex_unlock(&member->lock);
    note(member, &member->adopted);
}

static void
on_lost(void *arg, struct ew_part *part)
{
    struct member *member = arg;

    pthread_mutex_lock(&member->lock);
    for (int i = 0; i < member->part_count; i++) {
        if (member->parts[i] == part) {
            member->parts[i] = member->parts[--member->part_count];
            ew_part_unref(part);
            break;
        }
    }
    pthread_mutex_unlock(&member->lock);
    note(member, &member->lost);
}

static void
on_fatal(void *arg, const struct ew_err *err)
{
    struct member *member = arg;

    snprintf(member->fatal_problem, sizeof(member->fatal_problem), "%s", err->problem);
    note(member, &member->fatal);
}

struct work {
    struct ew_link link;
    struct member *member;
    struct ew_record *record;
    struct ew_timer timer;
};

static void
count_result(struct member *member, enum ew_committed result)
{
    note(member, result == EW_COMMITTED      ? &member->committed
                 : result == EW_COMMIT_LOST  ? &member->lost_items
                 : result == EW_COMMIT_STALE ? &member->stale
                                             : &member->refused);
}

static void
on_answered(void *arg, enum ew_committed result, int64_t t0, const struct ew_err *err)
{
    struct work *work = arg;

    (void)t0;
    (void)err;
    count_result(work->member, result);
    ew_record_free(work->record);
    free(work);
}

static void
give_answer(void *arg)
{
    struct work *work = arg;
    struct ew_commit commit = {
        .part = work->record->part,
        .offset = work->record->offset,
        .mark = EW_MARK_DONE,
        .outs = {{.topic = EW_TOPIC_EVENTS,
                  .partition = -1,
                  .key = work->record->key,
                  .key_len = work->record->key_len,
                  .value = work->record->value,
                  .value_len = work->record->value_len}},
        .out_count = 1,
        .done = on_answered,
        .arg = work,
    };

    ew_link_remove(&work->link);
    ew_kafka_commit(work->member->kafka, &commit);
}

static void
on_intent(void *arg, enum ew_committed result, int64_t t0, const struct ew_err *err)
{
    struct work *work = arg;

    if (result != EW_COMMITTED) {
        on_answered(arg, result, t0, err);
        return;
    }
    note(work->member, &work->member->intents);
    ew_list_append(&work->member->works, &work->link); /* until its time comes */
    ew_timer_start(&work->timer, work->member->delay_ms);
}

static void
begin_work(struct member *member, struct ew_record *record)
{
    struct work *work = calloc(1, sizeof(*work));
    struct ew_commit commit = {.part = record->part,
                               .offset = record->offset,
                               .mark = EW_MARK_STARTED,
                               .done = on_intent,
                               .arg = work};

    work->member = member;
    work->record = record;
    ew_timer_init(&work->timer, member->loop, give_answer, work);
    if (record->started || member->policy == SPARSE)
        give_answer(work);
    else
        ew_kafka_commit(member->kafka, &commit);
}

static void
on_record(void *arg, struct ew_record *record)
{
    struct member *member = arg;

    bool keep = member->policy == HOLD ||
                (member->policy == SPARSE && record->offset % member->delay_ms == 0);

    pthread_mutex_lock(&member->lock);
    member->started_seen += record->started;
    member->doubt_seen += record->doubt;
    if (keep) {
        if (member->record_count == member->record_cap) {
            member->record_cap = member->record_cap * 2 + 64;
            member->records =
                realloc(member->records, (size_t)member->record_cap * sizeof(struct ew_record *));
        }
        member->records[member->record_count++] = record;
        pthread_cond_broadcast(&member->changed);
    }
    pthread_mutex_unlock(&member->lock);
    if (!keep)
        begin_work(member, record);
}

static void *
run_loop(void *arg)
{
    struct member *member = arg;

    ew_loop_run(member->loop);
    return NULL;
}

struct member *
member_start(struct site *site, enum policy policy, int delay_ms)
{
    struct member *member = calloc(1, sizeof(*member));
    struct ew_intake_events events = {.arg = member,
                                      .adopted = on_adopted,
                                      .record = on_record,
                                      .lost = on_lost,
                                      .fatal = on_fatal};
    struct ew_err err;

    member->site = site;
    member->policy = policy;
    member->delay_ms = delay_ms;
    member->clock =
        (struct ew_clock){.self = member, .boot_ms = member_boot_ms, .wall_ms = member_wall_ms};
    ew_list_init(&member->works);
    pthread_mutex_init(&member->lock, NULL);
    pthread_cond_init(&member->changed, NULL);
    REQUIRE(ew_loop_new(&member->clock, 1, &member->loop, &err) == EW_OK, "loop: %s", err.detail);
    REQUIRE(ew_kafka_new(&site->options, &member->clock, member->loop, &events, &member->kafka,
                         &err) == EW_OK,
            "kafka: %s %s %s", err.problem, err.field, err.detail);
    REQUIRE(ew_kafka_start(member->kafka, &err) == EW_OK, "start: %s", err.detail);
    pthread_create(&member->thread, NULL, run_loop, member);
    return member;
}

static void
on_stopped(void *arg)
{
    struct member *member = arg;
    struct ew_link *link;

    for (int i = 0; i < member->record_count; i++)
        ew_record_free(member->records[i]);
    member->record_count = 0;
    while ((link = ew_list_first(&member->works)) != NULL) { /* their time had not come */
        struct work *work = EW_CONTAINER(link, struct work, link);

        ew_link_remove(link);
        ew_timer_cancel(&work->timer);
        ew_record_free(work->record);
        free(work);
    }
    ew_kafka_free(member->kafka);
    ew_loop_stop(member->loop);
}

static void
begin_stop(void *arg)
{
    struct member *member = arg;

    ew_kafka_drain(member->kafka);
    ew_kafka_stop(member->kafka, on_stopped, member);
}

void
member_stop(struct member *member)
{
    ew_loop_post(member->loop, begin_stop, member);
    pthread_join(member->thread, NULL);
    ew_loop_free(member->loop);
    for (int i = 0; i < member->part_count; i++)
        ew_part_unref(member->parts[i]);
    free(member->records);
    pthread_cond_destroy(&member->changed);
    pthread_mutex_destroy(&member->lock);
    free(member);
}

bool
member_reaches(struct member *member, const int *counter, int value, int ms)
{
    int64_t until = now_ms() + ms;
    bool reached = false;

    while (!reached && now_ms() < until) {
        pthread_mutex_lock(&member->lock);
        reached = *counter >= value;
        pthread_mutex_unlock(&member->lock);
        if (!reached)
            sleep_ms(5);
    }
    return reached;
}

void
member_wait(struct member *member, const int *counter, int value, int ms)
{
    REQUIRE(member_reaches(member, counter, value, ms), "waited in vain: %d of %d",
            member_read(member, counter), value);
}

int
member_read(struct member *member, const int *counter)
{
    int value;

    pthread_mutex_lock(&member->lock);
    value = *counter;
    pthread_mutex_unlock(&member->lock);
    return value;
}

struct ew_record *
member_find(struct member *member, int partition, int64_t offset)
{
    struct ew_record *found = NULL;

    pthread_mutex_lock(&member->lock);
    for (int i = 0; i < member->record_count; i++) {
        if (ew_part_number(member->records[i]->part) == partition &&
            member->records[i]->offset == offset)
            found = member->records[i];
    }
    pthread_mutex_unlock(&member->lock);
    return found;
}

static struct ew_part *
part_of(struct member *member, int partition)
{
    for (int i = 0; i < member->part_count; i++) {
        if (ew_part_number(member->parts[i]) == partition &&
            ew_part_lane(member->parts[i]) == EW_LANE_ENROLLMENT)
            return member->parts[i];
    }
    return NULL;
}

bool
member_owns(struct member *member, int partition)
{
    struct ew_part *part;
    bool owns;

    pthread_mutex_lock(&member->lock);
    part = part_of(member, partition);
    owns = part != NULL && ew_part_owned(part);
    pthread_mutex_unlock(&member->lock);
    return owns;
}

uint32_t
member_epoch(struct member *member, int partition)
{
    struct ew_part *part;
    uint32_t epoch;

    pthread_mutex_lock(&member->lock);
    part = part_of(member, partition);
    epoch = part != NULL ? ew_part_epoch(part) : 0;
    pthread_mutex_unlock(&member->lock);
    return epoch;
}

/* --- commits by hand --- */

struct submit {
    struct member *member;
    struct answer *answer;
    struct ew_commit commit;
    char key[32];
    char *value;
};

static void
on_submitted(void *arg, enum ew_committed result, int64_t t0, const struct ew_err *err)
{
    struct submit *submit = arg;
    struct member *member = submit->member;

    count_result(member, result);
    pthread_mutex_lock(&member->lock);
    submit->answer->result = result;
    submit->answer->t0_ms = t0;
    if (err != NULL)
        submit->answer->err = *err;
    submit->answer->there = true;
    pthread_cond_broadcast(&member->changed);
    pthread_mutex_unlock(&member->lock);
    free(submit);
}

static void
do_submit(void *arg)
{
    struct submit *submit = arg;
    char *value = submit->value;

    ew_kafka_commit(submit->member->kafka, &submit->commit);
    free(value); /* everything was copied */
}

void
member_submit(struct member *member, struct ew_record *record, enum ew_mark mark,
              int64_t not_after_ms, const char *key, size_t value_len, struct answer *answer)
{
    struct submit *submit = calloc(1, sizeof(*submit));

    answer->there = false;
    submit->member = member;
    submit->answer = answer;
    submit->commit.part = record->part;
    submit->commit.offset = record->offset;
    submit->commit.mark = mark;
    submit->commit.not_after_ms = not_after_ms;
    submit->commit.done = on_submitted;
    submit->commit.arg = submit;
    if (key != NULL) {
        snprintf(submit->key, sizeof(submit->key), "%s", key);
        submit->value = calloc(1, value_len + 1);
        submit->commit.outs[0] = (struct ew_out){.topic = member->answers_to,
                                                 .partition = -1,
                                                 .key = submit->key,
                                                 .key_len = strlen(submit->key),
                                                 .value = submit->value,
                                                 .value_len = value_len};
        submit->commit.out_count = 1;
    }
    ew_loop_post(member->loop, do_submit, submit);
}

void
member_wait_answer(struct member *member, struct answer *answer, int ms)
{
    int64_t until = now_ms() + ms;
    bool there = false;

    while (!there && now_ms() < until) {
        pthread_mutex_lock(&member->lock);
        there = answer->there;
        pthread_mutex_unlock(&member->lock);
        if (!there)
            sleep_ms(2);
    }
    REQUIRE(there, "no answer to a commit");
}

struct answer
member_commit(struct member *member, struct ew_record *record, enum ew_mark mark,
              int64_t not_after_ms, const char *key, size_t value_len)
{
    struct answer answer = {.there = false};

    REQUIRE(record != NULL, "no such record");
    member_submit(member, record, mark, not_after_ms, key, value_len, &answer);
    member_wait_answer(member, &answer, 30000);
    return answer;
}

struct call {
    void (*fn)(void *arg);
    void *arg;
    atomic_bool ran;
};

static void
do_call(void *arg)
{
    struct call *call = arg;

    call->fn(call->arg);
    atomic_store(&call->ran, true);
}

void
member_call(struct member *member, void (*fn)(void *arg), void *arg)
{
    struct call call = {.fn = fn, .arg = arg};

    ew_loop_post(member->loop, do_call, &call);
    while (!atomic_load(&call.ran))
        sleep_ms(1);
}
