/*
 * Reads and judges the topics: there, partitioned alike where they must be,
 * large enough, compacted where they are our memory, safe from the loss of a
 * broker. Changes nothing on the cluster.
 */
#include "topics_private.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "conf_private.h"

static const char *const OUT_NAMES[EW_TOPIC_COUNT] = {
    "events", "state", "inflight", "resume", "account", "parked", "dead-letters",
};

static const char *const IN_NAMES[EW_LANE_COUNT] = {
    "revocation requests", "resume", "enrollment requests", "renewal requests", "bulk requests",
};

static const char *const ANCHORS[EW_ANCHOR_COUNT] = {"__consumer_offsets", "__transaction_state"};

/* Calls fn for every topic that we name, and for the brokers' own two. */
static void
each(const struct ew_kafka_options *options, struct ew_topics *topics,
     void (*fn)(void *arg, const char *name, struct ew_topic_facts *facts), void *arg)
{
    for (int i = 0; i < EW_LANE_COUNT; i++) {
        if (options->in[i] != NULL)
            fn(arg, options->in[i], &topics->in[i]);
    }
    for (int i = 0; i < EW_TOPIC_COUNT; i++) {
        if (options->out[i] != NULL)
            fn(arg, options->out[i], &topics->out[i]);
    }
    for (int i = 0; i < EW_ANCHOR_COUNT; i++)
        fn(arg, ANCHORS[i], &topics->anchors[i]);
}

/* --- partitions --- */

static void
count_partitions(void *arg, const char *name, struct ew_topic_facts *facts)
{
    const struct rd_kafka_metadata *metadata = arg;

    for (int i = 0; i < metadata->topic_cnt; i++) {
        const struct rd_kafka_metadata_topic *topic = &metadata->topics[i];

        if (strcmp(topic->topic, name) != 0 || topic->err != RD_KAFKA_RESP_ERR_NO_ERROR)
            continue;
        facts->partitions = topic->partition_cnt;
        for (int n = 0; n < topic->partition_cnt; n++) {
            int replicas = topic->partitions[n].replica_cnt;

            if (n == 0 || replicas < facts->replicas)
                facts->replicas = replicas;
        }
    }
}

/* --- settings --- */

struct describe {
    rd_kafka_ConfigResource_t
        *wanted[(int)EW_LANE_COUNT + (int)EW_TOPIC_COUNT + (int)EW_ANCHOR_COUNT];
    size_t wanted_count;
    const rd_kafka_ConfigResource_t **got;
    size_t got_count;
};

static void
want(void *arg, const char *name, struct ew_topic_facts *facts)
{
    struct describe *describe = arg;

    if (facts->partitions == 0)
        return;
    for (size_t i = 0; i < describe->wanted_count; i++) {
        if (strcmp(rd_kafka_ConfigResource_name(describe->wanted[i]), name) == 0)
            return;
    }
    describe->wanted[describe->wanted_count++] =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name);
}

static void
read_entry(struct ew_topic_facts *facts, const char *name, const char *value)
{
    if (value == NULL)
        return;
    if (strcmp(name, "max.message.bytes") == 0)
        facts->max_message_bytes = strtoll(value, NULL, 10);
    if (strcmp(name, "min.compaction.lag.ms") == 0)
        facts->compaction_lag_ms = strtoll(value, NULL, 10);
    if (strcmp(name, "delete.retention.ms") == 0)
        facts->delete_retention_ms = strtoll(value, NULL, 10);
    if (strcmp(name, "cleanup.policy") == 0)
        facts->compacted = strcmp(value, "compact") == 0;
    if (strcmp(name, "min.insync.replicas") == 0)
        facts->min_insync = (int)strtol(value, NULL, 10);
    if (strcmp(name, "unclean.leader.election.enable") == 0)
        facts->unclean = strcmp(value, "true") == 0;
    if (strcmp(name, "message.timestamp.type") == 0)
        facts->append_time = strcmp(value, "LogAppendTime") == 0;
}

static void
read_settings(void *arg, const char *name, struct ew_topic_facts *facts)
{
    const struct describe *describe = arg;

    for (size_t i = 0; i < describe->got_count; i++) {
        const rd_kafka_ConfigResource_t *resource = describe->got[i];
        const rd_kafka_ConfigEntry_t **entries;
        size_t count;

        if (strcmp(rd_kafka_ConfigResource_name(resource), name) != 0 ||
            rd_kafka_ConfigResource_error(resource) != RD_KAFKA_RESP_ERR_NO_ERROR)
            continue;
        facts->configured = true;
        entries = rd_kafka_ConfigResource_configs(resource, &count);
        for (size_t n = 0; n < count; n++)
            read_entry(facts, rd_kafka_ConfigEntry_name(entries[n]),
                       rd_kafka_ConfigEntry_value(entries[n]));
    }
}

static enum ew_fault
read_configs(rd_kafka_t *handle, const struct ew_kafka_options *options, int timeout_ms,
             struct ew_topics *topics, struct ew_err *err)
{
    struct describe describe = {.wanted_count = 0};
    rd_kafka_queue_t *queue = rd_kafka_queue_new(handle);
    rd_kafka_AdminOptions_t *admin =
        rd_kafka_AdminOptions_new(handle, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    rd_kafka_event_t *event = NULL;
    enum ew_fault fault = EW_OK;
    char text[160];

    each(options, topics, want, &describe);
    (void)rd_kafka_AdminOptions_set_request_timeout(admin, timeout_ms, text, sizeof(text));
    if (describe.wanted_count > 0) {
        rd_kafka_DescribeConfigs(handle, describe.wanted, describe.wanted_count, admin, queue);
        event = rd_kafka_queue_poll(queue, timeout_ms + 1000);
    }
    if (event != NULL && rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        describe.got = rd_kafka_DescribeConfigs_result_resources(
            rd_kafka_event_DescribeConfigs_result(event), &describe.got_count);
        each(options, topics, read_settings, &describe);
    } else if (describe.wanted_count > 0) {
        fault = ew_fail_kafka(err, "topic-settings",
                              event != NULL ? rd_kafka_event_error(event)
                                            : RD_KAFKA_RESP_ERR__TIMED_OUT,
                              "the topics' settings cannot be read");
        err->advice = "Allow this user to describe the topics' configurations.";
    }
    if (event != NULL)
        rd_kafka_event_destroy(event);
    rd_kafka_ConfigResource_destroy_array(describe.wanted, describe.wanted_count);
    rd_kafka_AdminOptions_destroy(admin);
    rd_kafka_queue_destroy(queue);
    return fault;
}

enum ew_fault
ew_topics_read(rd_kafka_t *handle, const struct ew_kafka_options *options, int timeout_ms,
               struct ew_topics *out, struct ew_err *err)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t code = rd_kafka_metadata(handle, 1, NULL, &metadata, timeout_ms);
    enum ew_fault fault;

    memset(out, 0, sizeof(*out));
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        fault = ew_fail_kafka(err, "kafka-unreachable", code, "no answer from the brokers");
        err->advice = "Start the brokers, or correct kafka.bootstrap and kafka.properties.";
        return fault;
    }
    out->brokers = metadata->broker_cnt;
    each(options, out, count_partitions, (void *)(uintptr_t)metadata);
    rd_kafka_metadata_destroy(metadata);
    fault = read_configs(handle, options, timeout_ms, out, err);
    for (int i = 0; i < EW_LANE_COUNT; i++) {
        /* What comes back by the resume topic went out through our own limits. */
        if (i != EW_LANE_RESUME && out->in[i].max_message_bytes > out->input_max)
            out->input_max = out->in[i].max_message_bytes;
    }
    return fault;
}

int64_t
ew_topics_batch_max(const struct ew_topics *topics)
{
    int64_t least = topics->out[0].max_message_bytes;

    for (int i = 1; i < EW_TOPIC_COUNT; i++) {
        if (topics->out[i].max_message_bytes < least)
            least = topics->out[i].max_message_bytes;
    }
    return least > EW_BATCH_SPARE ? least - EW_BATCH_SPARE : 1;
}

/* --- judging --- */

enum { DELETE_RETENTION_MIN_MS = 3600000 };

struct judge {
    ew_problem *problem;
    void *arg;
    int count;
};

static void
report(struct judge *judge, const struct ew_err *err)
{
    judge->count++;
    judge->problem(judge->arg, err);
}

static void
judge_there(struct judge *judge, const char *name, const char *role,
            const struct ew_topic_facts *facts)
{
    struct ew_err err;

    if (name == NULL) {
        (void)ew_fail_field(&err, EW_HALT, "topic-unnamed", role, "Name the topic.",
                            "no topic is named for %s", role);
        report(judge, &err);
    } else if (facts->partitions == 0) {
        (void)ew_fail_field(&err, EW_HALT, "topic-missing", name,
                            "Create it, or allow this user to describe it.",
                            "the topic for %s is not there, or may not be seen", role);
        report(judge, &err);
    } else if (!facts->configured) {
        (void)ew_fail_field(&err, EW_HALT, "topic-settings", name,
                            "Allow this user to describe the topic's configuration.",
                            "its settings cannot be read");
        report(judge, &err);
    }
}

static void
judge_size(struct judge *judge, const char *name, const struct ew_topic_facts *facts, int64_t least)
{
    struct ew_err err;

    if (name == NULL || !facts->configured || facts->max_message_bytes >= least)
        return;
    (void)ew_fail_field(&err, EW_HALT, "topic-record-size", name, "Raise its max.message.bytes.",
                        "max.message.bytes is %" PRId64 ", needed: %" PRId64
                        " (the input topics' and our envelope)",
                        facts->max_message_bytes, least);
    report(judge, &err);
}

/* A rebuild reads both topics within half of the time that a tombstone stays. What was written
 * meanwhile must not be compacted before it is read. */
static void
judge_times(struct judge *judge, const char *name, const struct ew_topic_facts *facts)
{
    struct ew_err err;

    if (facts->delete_retention_ms < DELETE_RETENTION_MIN_MS) {
        (void)ew_fail_field(
            &err, EW_HALT, "topic-delete-retention", name, "Set delete.retention.ms=86400000.",
            "delete.retention.ms is %" PRId64 ": too short to rebuild Redis within half of it",
            facts->delete_retention_ms);
        report(judge, &err);
    }
    if (facts->compaction_lag_ms <= facts->delete_retention_ms / 2) {
        (void)ew_fail_field(&err, EW_HALT, "topic-compaction-lag", name,
                            "Set min.compaction.lag.ms=86400000.",
                            "min.compaction.lag.ms is %" PRId64
                            ", needed: more than half of delete.retention.ms (%" PRId64 ")",
                            facts->compaction_lag_ms, facts->delete_retention_ms);
        report(judge, &err);
    }
}

static void
judge_memory(struct judge *judge, const char *name, const struct ew_topic_facts *facts)
{
    struct ew_err err;

    if (name == NULL || !facts->configured)
        return;
    if (!facts->compacted) {
        (void)ew_fail_field(&err, EW_HALT, "topic-not-compacted", name,
                            "Set cleanup.policy=compact.",
                            "cleanup.policy must be exactly compact: this topic is our memory");
        report(judge, &err);
    }
    if (!facts->append_time) {
        (void)ew_fail_field(&err, EW_HALT, "topic-timestamps", name,
                            "Set message.timestamp.type=LogAppendTime.",
                            "message.timestamp.type must be LogAppendTime");
        report(judge, &err);
    }
    judge_times(judge, name, facts);
}

static void
judge_pairs(struct judge *judge, const struct ew_topics *topics,
            const struct ew_kafka_options *options)
{
    const struct ew_topic_facts *resume = &topics->out[EW_TOPIC_RESUME];
    const struct ew_topic_facts *inflight = &topics->out[EW_TOPIC_INFLIGHT];
    const char *in = options->in[EW_LANE_RESUME];
    const char *out = options->out[EW_TOPIC_RESUME];
    struct ew_err err;

    if (in != NULL && out != NULL && strcmp(in, out) != 0) {
        (void)ew_fail_field(&err, EW_HALT, "resume-differs", in, "Name the same topic twice.",
                            "resumes go out to another topic than they come in from");
        report(judge, &err);
    }
    if (resume->partitions > 0 && inflight->partitions > 0 &&
        resume->partitions != inflight->partitions) {
        (void)ew_fail_field(&err, EW_HALT, "partitions-differ", out,
                            "Give both topics the same number of partitions.",
                            "%d partitions, but %s has %d", resume->partitions,
                            options->out[EW_TOPIC_INFLIGHT], inflight->partitions);
        report(judge, &err);
    }
}

/* What may be lost with one broker, of three and more, is no record of what was ordered. A topic
 * whose settings may not be seen is passed over: a missing one of ours was told of before. */
static void
judge_durable(struct judge *judge, const char *name, const struct ew_topic_facts *facts,
              int brokers)
{
    int replicas = brokers < 3 ? brokers : 3;
    int insync = replicas > 1 ? replicas - 1 : 1;
    struct ew_err err;

    if (name == NULL || facts->partitions == 0 || !facts->configured)
        return;
    if (facts->replicas < replicas || facts->min_insync < insync) {
        (void)ew_fail_field(&err, EW_HALT, "topic-replicas", name,
                            "Give it 3 replicas and min.insync.replicas=2, as far as there are "
                            "brokers.",
                            "%d replicas, min.insync.replicas %d, on %d brokers: what was ordered "
                            "could be forgotten with a broker",
                            facts->replicas, facts->min_insync, brokers);
        report(judge, &err);
    }
    if (facts->unclean) {
        (void)ew_fail_field(&err, EW_HALT, "topic-unclean-election", name,
                            "Set unclean.leader.election.enable=false.",
                            "a replica that lacks the last records may become the leader");
        report(judge, &err);
    }
}

int
ew_topics_judge(const struct ew_topics *topics, const struct ew_kafka_options *options,
                ew_problem *problem, void *arg)
{
    static const enum ew_topic LARGE[] = {EW_TOPIC_EVENTS, EW_TOPIC_STATE,        EW_TOPIC_INFLIGHT,
                                          EW_TOPIC_RESUME, EW_TOPIC_DEAD_LETTERS, EW_TOPIC_PARKED};
    struct judge judge = {.problem = problem, .arg = arg};
    int64_t least = topics->input_max + EW_RECORD_ENVELOPE;

    for (int i = 0; i < EW_LANE_COUNT; i++)
        judge_there(&judge, options->in[i], IN_NAMES[i], &topics->in[i]);
    for (int i = 0; i < EW_TOPIC_COUNT; i++) {
        if (i != EW_TOPIC_RESUME)
            judge_there(&judge, options->out[i], OUT_NAMES[i], &topics->out[i]);
    }
    for (size_t i = 0; i < sizeof(LARGE) / sizeof(LARGE[0]); i++)
        judge_size(&judge, options->out[LARGE[i]], &topics->out[LARGE[i]], least);
    judge_memory(&judge, options->out[EW_TOPIC_STATE], &topics->out[EW_TOPIC_STATE]);
    judge_memory(&judge, options->out[EW_TOPIC_INFLIGHT], &topics->out[EW_TOPIC_INFLIGHT]);
    judge_pairs(&judge, topics, options);
    for (int i = 0; i < EW_TOPIC_COUNT; i++)
        judge_durable(&judge, options->out[i], &topics->out[i], topics->brokers);
    for (int i = 0; i < EW_ANCHOR_COUNT; i++)
        judge_durable(&judge, ANCHORS[i], &topics->anchors[i], topics->brokers);
    return judge.count;
}
