/*
 * Settings of librdkafka, in one place. The operator's own properties come last
 * but may not touch those that this room's promises rest on.
 */
#include "conf_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "domain/properties.h"
#include "kafka/check.h"
#include "properties_private.h"

enum {
    MAX_POLL_MS = 120000,
    PROBE_MS = 3000,
    FETCH_BYTES = 256 * 1024, /* per partition and fetch: what is prefetched
                                 cannot be given back */
};

struct setting {
    const char *name;
    const char *value;
};

static const struct setting COMMON[] = {
    {"client.id", "epki-worker"},
    {"socket.keepalive.enable", "true"},
    {"enable.metrics.push", "false"}, /* from 2.5; telemetry crashed up to 2.10 */
    {NULL, NULL},
};

static const struct setting CONSUMER[] = {
    {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"},
    {"auto.offset.reset", "error"}, /* a lost offset is an alarm, never a silent skip */
    {"enable.partition.eof", "true"},
    {"allow.auto.create.topics", "false"},
    {"check.crcs", "true"}, /* a damaged record is read again, and said; never a dead letter */
    {"fetch.wait.max.ms", "100"},
    {"fetch.error.backoff.ms", "200"},
    {"fetch.queue.backoff.ms", "100"}, /* from 2.2 */
    {NULL, NULL},
};

static const struct setting PRODUCER[] = {
    {"linger.ms", "0"},
    {"retry.backoff.ms", "10"}, /* EndTxn is answered before its markers: the next one waits this */
    {"acks", "all"},
    {NULL, NULL},
};

enum ew_fault
ew_fail_kafka(struct ew_err *err, const char *problem, rd_kafka_resp_err_t code, const char *what)
{
    enum ew_fault fault = EW_RETRY;

    switch (code) {
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE:
        fault = EW_HALT;
        break;
    default:
        break;
    }
    return ew_fail(err, fault, problem, "%s: %s", what, rd_kafka_err2str(code));
}

/* Any of librdkafka's threads. */
static void
on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    enum ew_log_level to = level <= 3   ? EW_LOG_ERROR
                           : level <= 4 ? EW_LOG_WARN
                           : level <= 6 ? EW_LOG_INFO
                                        : EW_LOG_DEBUG;

    EW_LOG(to, "librdkafka", "client", EW_STR("handle", rk != NULL ? rd_kafka_name(rk) : NULL),
           EW_STR("facility", facility), EW_STR("detail", text));
}

/* unknown: a name that this version does not know is passed over. */
static enum ew_fault
set(rd_kafka_conf_t *conf, const char *name, const char *value, bool unknown, struct ew_err *err)
{
    char text[160];
    rd_kafka_conf_res_t result = rd_kafka_conf_set(conf, name, value, text, sizeof(text));

    if (result == RD_KAFKA_CONF_OK || (unknown && result == RD_KAFKA_CONF_UNKNOWN))
        return EW_OK;
    /* The text may quote the value, and the value may be a password. */
    return ew_fail_field(err, EW_HALT, "kafka-property", name, "See librdkafka's CONFIGURATION.md.",
                         "librdkafka %s this property or its value",
                         result == RD_KAFKA_CONF_UNKNOWN ? "does not know" : "refuses");
}

static enum ew_fault
set_int(rd_kafka_conf_t *conf, const char *name, int value, struct ew_err *err)
{
    char text[16];

    (void)snprintf(text, sizeof(text), "%d", value);
    return set(conf, name, text, true, err);
}

static enum ew_fault
set_all(rd_kafka_conf_t *conf, const struct setting *settings, struct ew_err *err)
{
    enum ew_fault fault = EW_OK;

    for (; fault == EW_OK && settings->name != NULL; settings++)
        fault = set(conf, settings->name, settings->value, true, err);
    return fault;
}

/* What waits inside librdkafka follows from the partition's budget: a quarter of its bytes, and as
 * many records as may be worked on. */
static int
queued_kbytes(const struct ew_kafka_options *options)
{
    int64_t bytes = options->partition_bytes / 4;

    return (int)((bytes > FETCH_BYTES ? bytes : FETCH_BYTES) / 1024);
}

static enum ew_fault
set_member(rd_kafka_conf_t *conf, const struct ew_kafka_options *options, struct ew_err *err)
{
    int session = options->session_ms;
    enum ew_fault fault =
        set(conf, "partition.assignment.strategy", "cooperative-sticky", false, err);

    if (fault == EW_OK)
        fault = set_int(conf, "session.timeout.ms", session, err);
    if (fault == EW_OK)
        fault =
            set_int(conf, "heartbeat.interval.ms", session / 3 > 3000 ? 3000 : session / 3, err);
    if (fault == EW_OK)
        fault = set_int(conf, "max.poll.interval.ms", session > MAX_POLL_MS ? session : MAX_POLL_MS,
                        err);
    if (fault == EW_OK)
        fault = set_int(conf, "fetch.message.max.bytes", FETCH_BYTES, err);
    if (fault == EW_OK)
        fault = set_int(conf, "queued.max.messages.kbytes", queued_kbytes(options), err);
    if (fault == EW_OK)
        fault = set_int(conf, "queued.min.messages", options->partition_items, err);
    return fault;
}

static enum ew_fault
set_consumer(rd_kafka_conf_t *conf, const struct ew_kafka_options *options,
             const struct ew_handle_options *handle, struct ew_err *err)
{
    bool probe = handle->handle == EW_HANDLE_PROBE;
    enum ew_fault fault = set_all(conf, CONSUMER, err);

    if (fault == EW_OK)
        fault = set(conf, "group.id", options->group, false, err);
    if (fault == EW_OK)
        fault =
            set(conf, "isolation.level", probe ? "read_uncommitted" : "read_committed", false, err);
    if (fault == EW_OK && probe) /* its calls wait for as long, whatever their own timeout */
        fault = set_int(conf, "socket.timeout.ms", PROBE_MS, err);
    if (fault == EW_OK && handle->handle == EW_HANDLE_MEMBER)
        fault = set_member(conf, options, err);
    if (handle->rebalance != NULL)
        rd_kafka_conf_set_rebalance_cb(conf, handle->rebalance);
    if (handle->error != NULL)
        rd_kafka_conf_set_error_cb(conf, handle->error);
    return fault;
}

/* The brokers measure a whole batch by max.message.bytes, and librdkafka sends as one whatever
 * waits for a partition. One record always goes. */
static enum ew_fault
set_batch(rd_kafka_conf_t *conf, int64_t most, struct ew_err *err)
{
    char text[32];
    size_t size = sizeof(text);

    if (most == 0 || rd_kafka_conf_get(conf, "batch.size", text, &size) != RD_KAFKA_CONF_OK ||
        strtoll(text, NULL, 10) <= most)
        return EW_OK;
    return set_int(conf, "batch.size", (int)most, err);
}

static enum ew_fault
set_producer(rd_kafka_conf_t *conf, const struct ew_kafka_options *options,
             const struct ew_handle_options *handle, struct ew_err *err)
{
    enum ew_fault fault = set_all(conf, PRODUCER, err);

    if (fault == EW_OK)
        fault = set(conf, "transactional.id", handle->transactional_id, false, err);
    if (fault == EW_OK)
        fault = set_int(conf, "transaction.timeout.ms", options->transaction_ms, err);
    if (fault == EW_OK)
        fault = set_int(conf, "message.timeout.ms", options->transaction_ms, err);
    if (fault == EW_OK && handle->record_max > 0)
        fault = set_int(conf, "message.max.bytes", handle->record_max, err);
    if (fault == EW_OK)
        fault = set_batch(conf, handle->batch_max, err);
    rd_kafka_conf_set_dr_msg_cb(conf, handle->delivered);
    return fault;
}

static enum ew_fault
set_property(void *arg, const struct ew_pair *pair, struct ew_err *err)
{
    if (ew_property_fixed(pair->name))
        return ew_fail_field(err, EW_HALT, "kafka-property-reserved", pair->name,
                             "Remove it: the worker sets it itself.",
                             "this property must keep the worker's own value");
    return set(arg, pair->name, pair->value, false, err);
}

static enum ew_fault
set_properties(rd_kafka_conf_t *conf, const struct ew_kafka_options *options, struct ew_err *err)
{
    enum ew_fault fault = EW_OK;

    for (size_t i = 0; fault == EW_OK && i < options->property_count; i++)
        fault = set_property(conf, &options->properties[i], err);
    return fault == EW_OK ? ew_properties_read(options, set_property, conf, err) : fault;
}

struct judging {
    void (*problem)(void *arg, const struct ew_err *err);
    void *arg;
    int count;
};

static void
say(struct judging *judging, const struct ew_err *err)
{
    judging->problem(judging->arg, err);
    judging->count++;
}

/* On a configuration that nothing is made of. Goes on with the next, whatever this one is. */
static enum ew_fault
judge(void *arg, const struct ew_pair *pair, struct ew_err *err)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    if (set_property(conf, pair, err) != EW_OK)
        say(arg, err);
    rd_kafka_conf_destroy(conf);
    return EW_OK;
}

int
ew_properties_judge(const struct ew_kafka_options *options,
                    void (*problem)(void *arg, const struct ew_err *err), void *arg)
{
    struct judging judging = {.problem = problem, .arg = arg};
    struct ew_err err;

    for (size_t i = 0; i < options->property_count; i++)
        (void)judge(&judging, &options->properties[i], &err);
    return judging.count;
}

int
ew_kafka_check_file(const struct ew_kafka_options *options,
                    void (*problem)(void *arg, const struct ew_err *err), void *arg)
{
    struct judging judging = {.problem = problem, .arg = arg};
    struct ew_err err;

    if (ew_properties_read(options, judge, &judging, &err) != EW_OK)
        say(&judging, &err);
    return judging.count;
}

enum ew_fault
ew_handle_new(const struct ew_kafka_options *options, const struct ew_handle_options *handle,
              rd_kafka_t **out, struct ew_err *err)
{
    bool producer = handle->handle == EW_HANDLE_PRODUCER;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[160];
    enum ew_fault fault = set(conf, "bootstrap.servers", options->bootstrap, false, err);

    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_opaque(conf, handle->opaque);
    if (fault == EW_OK)
        fault = set_all(conf, COMMON, err);
    if (fault == EW_OK)
        fault = set_properties(conf, options, err);
    if (fault == EW_OK)
        fault = producer ? set_producer(conf, options, handle, err)
                         : set_consumer(conf, options, handle, err);
    if (fault == EW_OK) {
        *out = rd_kafka_new(producer ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, conf, text,
                            sizeof(text));
        if (*out != NULL)
            return EW_OK;
        fault =
            ew_fail_field(err, EW_HALT, "kafka-handle", "kafka.properties",
                          "Correct kafka.properties, or the file of kafka.properties_file, as "
                          "librdkafka says.",
                          "librdkafka makes no %s: %s", producer ? "producer" : "consumer", text);
    }
    rd_kafka_conf_destroy(conf);
    return fault;
}
