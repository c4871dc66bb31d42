/*
 * The room's life: handles and threads come and go here, and its numbers are read here.
 */
#include "kafka/kafka.h"

#include <stdlib.h>
#include <string.h>

#include "adopt_private.h"
#include "base/log.h"
#include "base/memory.h"
#include "committer_private.h"
#include "conf_private.h"
#include "intake_private.h"
#include "reader_private.h"
#include "topics_private.h"
#include "waits_private.h"

enum {
    ASK_MS = 10000,
    INIT_MS = 60000,
    JOIN_PAUSE_MS = 5,
    CLOSE_MS = 8000, /* for librdkafka's close, which has been seen to hang */
    OPTION_BYTES = 256 * 1024,
    RECORD_DEFAULT = 1048588, /* the broker's default of max.message.bytes */
};

/* --- options --- */

static enum ew_fault
check_options(const struct ew_kafka_options *options, struct ew_err *err)
{
    if (options->bootstrap == NULL || options->group == NULL || options->instance == NULL)
        return ew_fail(err, EW_HALT, "kafka-options", "bootstrap, group and instance are needed");
    if (options->partition_items < 1 || options->partition_items > EW_MAP_OPEN)
        return ew_fail_field(err, EW_HALT, "kafka-options", "partition_items", NULL,
                             "must be between 1 and %d", EW_MAP_OPEN);
    if (options->commit_ms < 0 || options->commit_ms > 1000)
        return ew_fail_field(err, EW_HALT, "kafka-options", "commit_ms", NULL,
                             "must be between 0 and 1000");
    if (options->partition_bytes < 1 || options->flush_ms < 0 || options->session_ms < 1 ||
        options->transaction_ms < 1000)
        return ew_fail(err, EW_HALT, "kafka-options", "a time or size is out of its range");
    return EW_OK;
}

static const char *
keep(struct ew_arena *arena, const char *text, bool *full)
{
    const char *kept = text != NULL ? ew_arena_strdup(arena, text) : NULL;

    *full = *full || (text != NULL && kept == NULL);
    return kept;
}

static enum ew_fault
copy_options(struct ew_kafka *kafka, const struct ew_kafka_options *from, struct ew_err *err)
{
    struct ew_kafka_options *to = &kafka->options;
    struct ew_pair *pairs;
    bool full = false;

    kafka->arena = ew_arena_new(OPTION_BYTES);
    pairs = ew_arena_alloc(kafka->arena, (from->property_count + 1) * sizeof(*pairs));
    if (pairs == NULL)
        return ew_fail(err, EW_RETRY, "memory", "no memory for the options");
    *to = *from;
    to->bootstrap = keep(kafka->arena, from->bootstrap, &full);
    to->group = keep(kafka->arena, from->group, &full);
    to->instance = keep(kafka->arena, from->instance, &full);
    to->properties_file = keep(kafka->arena, from->properties_file, &full);
    for (int i = 0; i < EW_LANE_COUNT; i++)
        to->in[i] = keep(kafka->arena, from->in[i], &full);
    for (int i = 0; i < EW_TOPIC_COUNT; i++)
        to->out[i] = keep(kafka->arena, from->out[i], &full);
    for (size_t i = 0; i < from->property_count; i++) {
        pairs[i].name = keep(kafka->arena, from->properties[i].name, &full);
        pairs[i].value = keep(kafka->arena, from->properties[i].value, &full);
    }
    to->properties = pairs;
    return full ? ew_fail(err, EW_HALT, "kafka-options", "the options are too long") : EW_OK;
}

/* --- making --- */

static enum ew_fault
init_locks(struct ew_kafka *kafka, struct ew_err *err)
{
    struct ew_committer *committer = &kafka->committer;

    ew_list_init(&kafka->adopter.adoptions);
    ew_list_init(&kafka->adopter.lookups);
    ew_list_init(&committer->items);
    ew_list_init(&committer->publishes);
    ew_list_init(&committer->adoptions);
    ew_list_init(&committer->held);
    committer->map_budget = EW_MAP_BUDGET;
    ew_list_init(&committer->unpublished);
    if (ew_ownership_init(&kafka->ownership) != EW_OK ||
        pthread_mutex_init(&kafka->adopter.lock, NULL) != 0 ||
        ew_cond_init(&kafka->adopter.changed) != EW_OK ||
        pthread_mutex_init(&committer->lock, NULL) != 0 ||
        ew_cond_init(&committer->changed) != EW_OK || ew_cond_init(&committer->settled) != EW_OK ||
        pthread_mutex_init(&kafka->readers_lock, NULL) != 0 ||
        ew_cond_init(&kafka->readers_changed) != EW_OK)
        return ew_fail(err, EW_RETRY, "memory", "no memory for locks");
    return EW_OK;
}

static void
first_problem(void *arg, const struct ew_err *err)
{
    struct ew_err *first = arg;

    EW_LOG(EW_LOG_ERROR, EW_KAFKA_LOG, "topic check", EW_FAULT_FIELDS(err),
           EW_STR("advice", err->advice));
    if (first->fault == EW_OK)
        *first = *err;
}

static enum ew_fault
look_at_topics(struct ew_kafka *kafka, struct ew_err *err)
{
    struct ew_topics topics;
    struct ew_err first = {.fault = EW_OK};
    enum ew_fault fault = ew_topics_read(kafka->probe, &kafka->options, ASK_MS, &topics, err);

    if (fault != EW_OK)
        return fault;
    if (ew_topics_judge(&topics, &kafka->options, first_problem, &first) > 0) {
        if (err != NULL)
            *err = first;
        return first.fault;
    }
    for (int i = 0; i < EW_TOPIC_COUNT; i++)
        atomic_store(&kafka->partitions[i], topics.out[i].partitions);
    kafka->rebuild_ms = topics.out[EW_TOPIC_STATE].delete_retention_ms / 2;
    if (kafka->rebuild_ms > topics.out[EW_TOPIC_INFLIGHT].delete_retention_ms / 2)
        kafka->rebuild_ms = topics.out[EW_TOPIC_INFLIGHT].delete_retention_ms / 2;
    kafka->record_max =
        (int)(topics.input_max > RECORD_DEFAULT ? topics.input_max : RECORD_DEFAULT) +
        EW_RECORD_ENVELOPE;
    kafka->batch_max = ew_topics_batch_max(&topics);
    return EW_OK;
}

static enum ew_fault
open_consumer(struct ew_kafka *kafka, struct ew_err *err)
{
    static const uint64_t ONE = 1;
    struct ew_handle_options handle = {
        .handle = EW_HANDLE_MEMBER,
        .opaque = kafka,
        .rebalance = ew_intake_rebalance,
        .error = ew_intake_error,
    };
    enum ew_fault fault = ew_handle_new(&kafka->options, &handle, &kafka->consumer, err);

    if (fault != EW_OK)
        return fault;
    (void)rd_kafka_poll_set_consumer(kafka->consumer);
    kafka->consumer_queue = rd_kafka_queue_get_consumer(kafka->consumer);
    rd_kafka_queue_io_event_enable(kafka->consumer_queue, kafka->wake->fd, &ONE, sizeof(ONE));
    return EW_OK;
}

static enum ew_fault
open_all(struct ew_kafka *kafka, struct ew_err *err)
{
    struct ew_handle_options probe = {.handle = EW_HANDLE_PROBE};
    enum ew_fault fault = ew_wake_new(&kafka->wake, err);

    if (fault == EW_OK)
        fault = ew_handle_new(&kafka->options, &probe, &kafka->probe, err);
    if (fault == EW_OK)
        fault = look_at_topics(kafka, err);
    if (fault == EW_OK)
        fault = open_consumer(kafka, err);
    if (fault == EW_OK)
        fault = ew_producer_new(kafka, INIT_MS, &kafka->producer, err);
    return fault;
}

enum ew_fault
ew_kafka_new(const struct ew_kafka_options *options, const struct ew_clock *clock,
             struct ew_loop *loop, const struct ew_intake_events *events, struct ew_kafka **out,
             struct ew_err *err)
{
    struct ew_kafka *kafka;
    enum ew_fault fault = check_options(options, err);

    if (fault != EW_OK)
        return fault;
    kafka = ew_calloc(1, sizeof(*kafka));
    kafka->clock = clock;
    kafka->loop = loop;
    kafka->events = *events;
    fault = init_locks(kafka, err);
    if (fault == EW_OK)
        fault = copy_options(kafka, options, err);
    if (fault == EW_OK)
        fault = open_all(kafka, err);
    if (fault != EW_OK) {
        (void)ew_kafka_free(kafka);
        return fault;
    }
    *out = kafka;
    return EW_OK;
}

static enum ew_fault
subscribe(struct ew_kafka *kafka, struct ew_err *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(EW_LANE_COUNT);
    rd_kafka_resp_err_t code;

    for (int i = 0; i < EW_LANE_COUNT; i++)
        rd_kafka_topic_partition_list_add(list, kafka->options.in[i], RD_KAFKA_PARTITION_UA);
    code = rd_kafka_subscribe(kafka->consumer, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return ew_fail_kafka(err, "subscribe", code, "the input topics");
    return EW_OK;
}

static enum ew_fault
start_thread(struct ew_kafka *kafka, pthread_t *thread, bool *running, void *(*run)(void *arg),
             struct ew_err *err)
{
    *running = pthread_create(thread, NULL, run, kafka) == 0;
    return *running ? EW_OK : ew_fail(err, EW_RETRY, "thread", "no thread to be had");
}

enum ew_fault
ew_kafka_start(struct ew_kafka *kafka, struct ew_err *err)
{
    int64_t now = ew_kafka_now(kafka);
    enum ew_fault fault;

    atomic_store(&kafka->counts.consumer_tick, now);
    atomic_store(&kafka->counts.committer_tick, now);
    atomic_store(&kafka->started, true);
    fault = subscribe(kafka, err);
    if (fault == EW_OK)
        fault = start_thread(kafka, &kafka->committer.thread, &kafka->committer.running,
                             ew_committer_run, err);
    if (fault == EW_OK)
        fault = start_thread(kafka, &kafka->adopter.thread, &kafka->adopter.running, ew_adopter_run,
                             err);
    if (fault == EW_OK)
        fault =
            start_thread(kafka, &kafka->intake.thread, &kafka->intake.running, ew_intake_run, err);
    return fault;
}

/* --- ending --- */

void
ew_kafka_drain(struct ew_kafka *kafka)
{
    atomic_store(&kafka->draining, true);
}

/* By monotonic time, which pthread_timedjoin_np does not know: no step of the wall clock makes us
 * leave a consumer behind, or wait for it for ever. */
static bool
joins(pthread_t thread, int64_t ms)
{
    const struct timespec pause = {.tv_nsec = JOIN_PAUSE_MS * 1000000L};
    int64_t until = ew_mono_ms() + ms;

    while (pthread_tryjoin_np(thread, NULL) != 0) {
        if (ew_mono_ms() > until)
            return false;
        (void)nanosleep(&pause, NULL);
    }
    return true;
}

static void
stop_consumer(struct ew_kafka *kafka)
{
    atomic_store(&kafka->stopping, true);
    ew_wake_up(kafka->wake);
    if (joins(kafka->intake.thread, kafka->options.flush_ms + CLOSE_MS)) {
        kafka->intake.running = false;
        return;
    }
    EW_LOG(EW_LOG_ERROR, EW_KAFKA_LOG, "the consumer does not close; leaving it behind",
           EW_STR("problem", "consumer-close"));
    pthread_detach(kafka->intake.thread);
    kafka->leaked = true;
}

static void
stop_committer(struct ew_kafka *kafka)
{
    struct ew_committer *committer = &kafka->committer;

    pthread_mutex_lock(&committer->lock);
    committer->stop = true;
    committer->stop_by_ms = ew_mono_ms() + kafka->options.flush_ms;
    pthread_cond_signal(&committer->changed);
    pthread_mutex_unlock(&committer->lock);
    ew_ownership_close(&kafka->ownership);
    if (committer->running)
        pthread_join(committer->thread, NULL);
    committer->running = false;
}

static void
stop_adopter(struct ew_kafka *kafka)
{
    struct ew_adopter *adopter = &kafka->adopter;

    pthread_mutex_lock(&adopter->lock);
    adopter->stop = true;
    pthread_cond_signal(&adopter->changed);
    pthread_mutex_unlock(&adopter->lock);
    if (adopter->running)
        pthread_join(adopter->thread, NULL);
    adopter->running = false;
}

/* Adoption first: its reads go through the consumer's handle. The consumer's
 * last rebalance still needs the committer for its flush. */
static void
stop_threads(struct ew_kafka *kafka)
{
    atomic_store(&kafka->draining, true);
    stop_adopter(kafka);
    if (kafka->intake.running)
        stop_consumer(kafka);
    stop_committer(kafka);
    ew_readers_stop(kafka);
}

static void
on_stopped(void *arg)
{
    struct ew_kafka *kafka = arg;

    if (kafka->committer.late) { /* they stand behind this one, and nobody runs the loop later */
        kafka->committer.late = false;
        ew_loop_post(kafka->loop, on_stopped, kafka);
        return;
    }
    pthread_join(kafka->stopper, NULL);
    kafka->stopper_running = false;
    kafka->stopped(kafka->stopped_arg);
}

static void *
run_stopper(void *arg)
{
    struct ew_kafka *kafka = arg;

    stop_threads(kafka);
    ew_loop_post(kafka->loop, on_stopped, kafka);
    return NULL;
}

void
ew_kafka_stop(struct ew_kafka *kafka, void (*stopped)(void *arg), void *arg)
{
    kafka->stopped = stopped;
    kafka->stopped_arg = arg;
    kafka->stopper_running = pthread_create(&kafka->stopper, NULL, run_stopper, kafka) == 0;
    if (!kafka->stopper_running)
        abort();
}

/* Before 2.4, librdkafka's cooperative-sticky assignor ends the process when a member is destroyed
 * that joined and was not given its first assignment yet. And one that has read a topic which was
 * deleted may wait for its own threads for ever. Such a handle is left to the exit: it is closed,
 * so the group knows. */
static bool
may_destroy(struct ew_kafka *kafka)
{
    if (atomic_load(&kafka->replaced))
        return false;
    return rd_kafka_version() >= 0x02040000 || atomic_load(&kafka->assigned) ||
           !atomic_load(&kafka->started);
}

static void
close_handles(struct ew_kafka *kafka)
{
    ew_producer_free(kafka->producer);
    if (kafka->consumer_queue != NULL) {
        rd_kafka_queue_io_event_enable(kafka->consumer_queue, -1, NULL, 0);
        rd_kafka_queue_destroy(kafka->consumer_queue);
    }
    if (kafka->consumer != NULL && may_destroy(kafka))
        rd_kafka_destroy(kafka->consumer);
    if (kafka->probe != NULL)
        rd_kafka_destroy(kafka->probe);
}

bool
ew_kafka_free(struct ew_kafka *kafka)
{
    if (kafka == NULL)
        return true;
    if (kafka->intake.running || kafka->committer.running || kafka->adopter.running)
        stop_threads(kafka);
    if (kafka->leaked)
        return false;
    ew_adoptions_drop(&kafka->adopter.adoptions); /* assigned when the adopter had ended */
    ew_adoptions_drop(&kafka->committer.adoptions);
    close_handles(kafka);
    for (size_t i = 0; i < kafka->intake.count; i++)
        ew_part_unref(kafka->intake.parts[i]);
    free(kafka->intake.parts);
    ew_ownership_deinit(&kafka->ownership);
    ew_wake_unref(kafka->wake);
    ew_arena_free(kafka->arena);
    free(kafka);
    return true;
}

struct death {
    struct ew_kafka *kafka;
    struct ew_err err;
};

static void
on_death(void *arg)
{
    struct death *death = arg;

    death->kafka->events.fatal(death->kafka->events.arg, &death->err);
    free(death);
}

void
ew_kafka_die(struct ew_kafka *kafka, const struct ew_err *err)
{
    struct death *death;

    if (atomic_exchange(&kafka->died, true))
        return;
    EW_LOG(EW_LOG_ERROR, EW_KAFKA_LOG, "the process must end", EW_FAULT_FIELDS(err),
           EW_STR("advice", err->advice));
    death = ew_malloc(sizeof(*death));
    death->kafka = kafka;
    death->err = *err;
    ew_loop_post(kafka->loop, on_death, death);
}

/* --- partitions and numbers --- */

int32_t
ew_kafka_partitions(struct ew_kafka *kafka, enum ew_topic topic)
{
    return atomic_load(&kafka->partitions[topic]);
}

int32_t
ew_kafka_partition_of(struct ew_kafka *kafka, enum ew_topic topic, const void *key, size_t len)
{
    return rd_kafka_msg_partitioner_murmur2(NULL, key, len, ew_kafka_partitions(kafka, topic), NULL,
                                            NULL);
}

void
ew_kafka_stats(const struct ew_kafka *kafka, struct ew_kafka_stats *out)
{
    const struct ew_kafka_counts *counts = &kafka->counts;

    *out = (struct ew_kafka_stats){
        .consumed = atomic_load(&counts->consumed),
        .backlog = atomic_load(&counts->backlog),
        .incomplete = atomic_load(&counts->incomplete),
        .commits = atomic_load(&counts->commits),
        .aborts = atomic_load(&counts->aborts),
        .recreated = atomic_load(&counts->recreated),
        .fenced = atomic_load(&counts->fenced),
        .lost_items = atomic_load(&counts->lost_items),
        .adoptions = atomic_load(&counts->adoptions),
        .map_chars_max = atomic_load(&counts->map_chars_max),
        .consumer_tick_ms = atomic_load(&counts->consumer_tick),
        .committer_tick_ms = atomic_load(&counts->committer_tick),
        .partitions_owned = atomic_load(&counts->owned),
        .partitions_unadopted = atomic_load(&counts->unadopted),
        .partitions_alone = atomic_load(&counts->alone),
        .joined = atomic_load(&counts->joined),
    };
}

int64_t
ew_kafka_rebuild_ms(const struct ew_kafka *kafka)
{
    return kafka->rebuild_ms;
}
