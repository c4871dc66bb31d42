/*
 * Checks before work, and the first commits of a deployment. Blocking; for the
 * command line.
 */
#include "kafka/check.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "committed_private.h"
#include "conf_private.h"
#include "topics_private.h"
#include "waits_private.h"

enum {
    WATERMARK_MS = 2000,
    READ_MS = 100, /* per look at what has come */
};

static enum ew_fault
open_handle(const struct ew_kafka_options *options, enum ew_handle kind, rd_kafka_t **out,
            struct ew_err *err)
{
    struct ew_handle_options handle = {.handle = kind};

    return ew_handle_new(options, &handle, out, err);
}

/* Properties that are fine one by one may not go together: librdkafka looks when a handle is made.
 * These two ask more of them than a probe does; neither reaches for its group or its id. */
static int
judge_handles(const struct ew_kafka_options *options, ew_problem *problem, void *arg)
{
    static const struct ew_handle_options HANDLES[] = {
        {.handle = EW_HANDLE_PRODUCER, .transactional_id = "epki.check"},
        {.handle = EW_HANDLE_MEMBER}};
    int count = 0;

    for (size_t i = 0; i < sizeof(HANDLES) / sizeof(HANDLES[0]); i++) {
        rd_kafka_t *handle;
        struct ew_err err;

        if (ew_handle_new(options, &HANDLES[i], &handle, &err) == EW_OK) {
            rd_kafka_destroy(handle);
        } else {
            problem(arg, &err);
            count++;
        }
    }
    return count;
}

/* --- the right to read --- */

/* What reading at the end of each input topic's first partition has come to. */
struct tries {
    const struct ew_kafka_options *options;
    rd_kafka_resp_err_t codes[EW_LANE_COUNT];
};

static bool
begin_tries(rd_kafka_t *probe, const struct ew_topics *topics, struct tries *tries)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(EW_LANE_COUNT);
    bool good;

    for (int i = 0; i < EW_LANE_COUNT; i++) {
        tries->codes[i] = RD_KAFKA_RESP_ERR_NO_ERROR;
        if (topics->in[i].partitions == 0)
            continue;
        tries->codes[i] = RD_KAFKA_RESP_ERR__TIMED_OUT;
        rd_kafka_topic_partition_list_add(list, tries->options->in[i], 0)->offset =
            RD_KAFKA_OFFSET_END;
    }
    good = rd_kafka_assign(probe, list) == RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_topic_partition_list_destroy(list);
    return good;
}

static bool
undecided(const struct tries *tries)
{
    for (int i = 0; i < EW_LANE_COUNT; i++) {
        if (tries->codes[i] != RD_KAFKA_RESP_ERR_NO_ERROR &&
            tries->codes[i] != RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
            return true;
    }
    return false;
}

static void
note_try(struct tries *tries, const rd_kafka_message_t *message)
{
    const char *topic = message->rkt != NULL ? rd_kafka_topic_name(message->rkt) : NULL;
    bool end = message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;

    for (int i = 0; topic != NULL && i < EW_LANE_COUNT; i++) {
        if (tries->options->in[i] != NULL && strcmp(topic, tries->options->in[i]) == 0)
            tries->codes[i] = end ? RD_KAFKA_RESP_ERR_NO_ERROR : message->err;
    }
}

/* Whoever may describe a topic may join the group for it, but neither read nor commit. */
static int
judge_rights(rd_kafka_t *probe, const struct ew_kafka_options *options,
             const struct ew_topics *topics, int timeout_ms, ew_problem *problem, void *arg)
{
    int64_t until_ms = ew_mono_ms() + timeout_ms;
    struct tries tries = {.options = options};
    bool trying = begin_tries(probe, topics, &tries);
    int count = 0;

    while (trying && undecided(&tries) && ew_mono_ms() < until_ms) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(probe, READ_MS);

        if (message == NULL)
            continue;
        note_try(&tries, message);
        rd_kafka_message_destroy(message);
    }
    (void)rd_kafka_assign(probe, NULL);
    for (int i = 0; i < EW_LANE_COUNT; i++) {
        struct ew_err err;

        if (tries.codes[i] == RD_KAFKA_RESP_ERR_NO_ERROR)
            continue;
        (void)ew_fail_field(&err, EW_HALT, "topic-unreadable", options->in[i],
                            "Allow this user Read and Describe on the topic, and see that its "
                            "partitions have leaders.",
                            "nothing can be read: %s", rd_kafka_err2str(tries.codes[i]));
        problem(arg, &err);
        count++;
    }
    return count;
}

int
ew_kafka_check(const struct ew_kafka_options *options, int timeout_ms, ew_problem *problem,
               void *arg)
{
    rd_kafka_t *probe;
    struct ew_topics topics;
    struct ew_err err;
    int count = ew_properties_judge(options, problem, arg); /* isolation.level among them */

    if (count > 0)
        return count;
    if (open_handle(options, EW_HANDLE_PROBE, &probe, &err) != EW_OK) {
        problem(arg, &err);
        return 1;
    }
    count = judge_handles(options, problem, arg);
    if (ew_topics_read(probe, options, timeout_ms, &topics, &err) != EW_OK) {
        problem(arg, &err);
        count++;
    } else {
        count += ew_topics_judge(&topics, options, problem, arg) +
                 judge_rights(probe, options, &topics, timeout_ms, problem, arg);
    }
    rd_kafka_destroy(probe);
    return count;
}

/* --- the group's commits --- */

struct group {
    int commits;
    rd_kafka_topic_partition_list_t *missing; /* input partitions without one */
};

static enum ew_fault
read_commit(rd_kafka_t *reader, const char *topic, int32_t partition, int64_t until_ms,
            struct group *group, struct ew_err *err)
{
    struct ew_committed_map read = {.base = -1};
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    enum ew_stable stable = EW_STABLE_NOT_YET;

    while (stable == EW_STABLE_NOT_YET) {
        int64_t left = until_ms - ew_mono_ms();

        if (left <= 0)
            return ew_fail_kafka(err, "commit-unreadable", code, topic);
        stable = ew_committed_read(reader, topic, partition, (int)left, &read, &code);
    }
    ew_offset_map_free(read.map);
    if (stable == EW_STABLE_READ)
        group->commits++;
    else
        (void)rd_kafka_topic_partition_list_add(group->missing, topic, partition);
    return EW_OK;
}

static enum ew_fault
read_commits(rd_kafka_t *reader, const struct ew_kafka_options *options, int timeout_ms,
             struct group *group, struct ew_err *err)
{
    int64_t until_ms = ew_mono_ms() + timeout_ms;
    struct ew_topics topics;
    enum ew_fault fault = ew_topics_read(reader, options, timeout_ms, &topics, err);

    for (int i = 0; fault == EW_OK && i < EW_LANE_COUNT; i++) {
        if (options->in[i] != NULL && topics.in[i].partitions == 0)
            fault = ew_fail_field(err, EW_HALT, "topic-missing", options->in[i],
                                  "Create it, or allow this user to describe it.",
                                  "the topic is not there, or may not be seen");
        for (int n = 0; fault == EW_OK && n < topics.in[i].partitions; n++)
            fault = read_commit(reader, options->in[i], n, until_ms, group, err);
    }
    return fault;
}

/* A topic that was just made may not have its leader yet. */
static enum ew_fault
read_marks(rd_kafka_t *reader, const char *topic, int32_t partition, int64_t until_ms, int64_t *low,
           int64_t *high, struct ew_err *err)
{
    rd_kafka_resp_err_t code;

    do
        code = rd_kafka_query_watermark_offsets(reader, topic, partition, low, high, WATERMARK_MS);
    while (code != RD_KAFKA_RESP_ERR_NO_ERROR && ew_mono_ms() < until_ms);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return ew_fail_kafka(err, "watermark", code, topic);
    return EW_OK;
}

/* Whether any of the topics that every request ends in was ever written to. */
static enum ew_fault
read_past(rd_kafka_t *reader, const struct ew_kafka_options *options, int timeout_ms, bool *past,
          struct ew_err *err)
{
    static const enum ew_topic ENDS[] = {EW_TOPIC_INFLIGHT, EW_TOPIC_STATE, EW_TOPIC_EVENTS,
                                         EW_TOPIC_PARKED, EW_TOPIC_DEAD_LETTERS};
    int64_t until_ms = ew_mono_ms() + timeout_ms;
    struct ew_topics topics;
    enum ew_fault fault = ew_topics_read(reader, options, timeout_ms, &topics, err);

    *past = false;
    for (size_t i = 0; fault == EW_OK && i < sizeof(ENDS) / sizeof(ENDS[0]); i++) {
        for (int n = 0; fault == EW_OK && !*past && n < topics.out[ENDS[i]].partitions; n++) {
            int64_t low = 0, high = 0;

            fault = read_marks(reader, options->out[ENDS[i]], n, until_ms, &low, &high, err);
            *past = high > 0;
        }
    }
    return fault;
}

static enum ew_fault
read_group(rd_kafka_t *reader, const struct ew_kafka_options *options, int timeout_ms,
           struct group *group, enum ew_group_state *state, struct ew_err *err)
{
    enum ew_fault fault = read_commits(reader, options, timeout_ms, group, err);
    bool past = false;

    if (fault == EW_OK && group->commits == 0)
        fault = read_past(reader, options, timeout_ms, &past, err);
    if (fault == EW_OK)
        *state = group->missing->cnt == 0 ? EW_GROUP_READY
                 : group->commits > 0     ? EW_GROUP_PARTIAL
                 : past                   ? EW_GROUP_LOST
                                          : EW_GROUP_NEW;
    return fault;
}

enum ew_fault
ew_kafka_group_state(const struct ew_kafka_options *options, int timeout_ms,
                     enum ew_group_state *out, struct ew_err *err)
{
    struct group group = {.commits = 0};
    rd_kafka_t *probe;
    enum ew_fault fault = open_handle(options, EW_HANDLE_PROBE, &probe, err);

    if (fault != EW_OK)
        return fault;
    group.missing = rd_kafka_topic_partition_list_new(16);
    fault = read_group(probe, options, timeout_ms, &group, out, err);
    rd_kafka_topic_partition_list_destroy(group.missing);
    rd_kafka_destroy(probe);
    return fault;
}

/* --- bootstrap --- */

/* Epochs count up from the second of the bootstrap, so that a deployment whose
 * commits were lost starts above every epoch that Redis may still know, but for a clock that was
 * wrong: then they are outgrown. */
static void
put_empty_map(rd_kafka_topic_partition_t *at, int64_t doubt)
{
    struct ew_offset_map *map = ew_offset_map_new(at->offset);
    char text[EW_MAP_CHARS + 1];

    ew_offset_map_set_epoch(map, (uint32_t)(ew_wall_ms(&ew_clock_system) / 1000));
    ew_offset_map_set_doubt(map, doubt);
    if (ew_offset_map_encode(map, text) != EW_OK)
        abort(); /* an empty one fits */
    ew_offset_map_free(map);
    at->metadata = ew_strdup(text);
    at->metadata_size = strlen(text);
}

static enum ew_fault
put_maps(rd_kafka_t *reader, rd_kafka_topic_partition_list_t *missing, bool lost, int64_t until_ms,
         struct ew_err *err)
{
    enum ew_fault fault = EW_OK;

    for (int i = 0; fault == EW_OK && i < missing->cnt; i++) {
        rd_kafka_topic_partition_t *at = &missing->elems[i];
        int64_t end = 0;

        fault = read_marks(reader, at->topic, at->partition, until_ms, &at->offset, &end, err);
        if (fault == EW_OK)
            put_empty_map(at, lost ? end : at->offset);
    }
    return fault;
}

/* The broker refuses a commit without membership while the group has members.
 */
static enum ew_fault
commit(rd_kafka_t *reader, const rd_kafka_topic_partition_list_t *missing, struct ew_err *err)
{
    rd_kafka_resp_err_t code;

    if (missing->cnt == 0)
        return EW_OK;
    code = rd_kafka_commit(reader, missing, 0);
    for (int i = 0; code == RD_KAFKA_RESP_ERR_NO_ERROR && i < missing->cnt; i++)
        code = missing->elems[i].err;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return EW_OK;
    if (code == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID || code == RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION)
        return ew_fail_field(err, EW_HALT, "group-has-members", "", "Stop all workers first.",
                             "the group has members: %s", rd_kafka_err2str(code));
    return ew_fail_kafka(err, "bootstrap-commit", code, "the first commits");
}

enum ew_fault
ew_kafka_bootstrap(const struct ew_kafka_options *options, int timeout_ms, struct ew_err *err)
{
    int64_t until_ms = ew_mono_ms() + timeout_ms;
    struct group group = {.commits = 0};
    enum ew_group_state state;
    rd_kafka_t *reader;
    enum ew_fault fault = open_handle(options, EW_HANDLE_READER, &reader, err);

    if (fault != EW_OK)
        return fault;
    group.missing = rd_kafka_topic_partition_list_new(16);
    fault = read_group(reader, options, timeout_ms, &group, &state, err);
    if (fault == EW_OK)
        fault = put_maps(reader, group.missing, state != EW_GROUP_NEW, until_ms, err);
    if (fault == EW_OK)
        fault = commit(reader, group.missing, err);
    rd_kafka_topic_partition_list_destroy(group.missing);
    rd_kafka_destroy(reader);
    return fault;
}
