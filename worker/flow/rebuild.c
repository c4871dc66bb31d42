/*
 * Rebuilding Redis from the topics, by one worker of the fleet at a time: a nonce with a lease,
 * epki.inflight whole, only then epki.certificate.state, then the canary if the nonce still holds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/table.h"
#include "base/without.h"
#include "job.h"

enum {
    RENEW_MS = 3000,
    WINDOW_MAX = 256, /* restore scripts under way */
    WINDOW_MIN = 16,
    REPLICA_MARGIN_MS = 2000,
    AGAIN_MS = 5000, /* after one that failed */
    BAD_TOLD = 1000, /* records that do not decode: of so many it is kept why */
    BAD_SHOWN = 20,
};

/* The last value of a key, and where it stands. */
struct live {
    struct ew_blob key, value;
    int32_t partition;
    int64_t offset;
};

struct ew_rebuild {
    struct ew_flow *flow;
    char nonce[33];
    struct ew_timer timer; /* renews the lease */
    struct ew_timer start; /* waits for replicas to have caught up or been cut off */
    struct ew_reader *reader;
    enum ew_topic topic;
    struct ew_table *live;     /* epki.inflight: key in hexadecimal -> struct live */
    const struct live **queue; /* of them: what is still to be restored, from queue_at on */
    size_t queue_count, queue_at;
    struct ew_table *bad; /* epki.certificate.state: what does not decode; its value is why */
    size_t restored;
    unsigned bad_shown, under_way;
    bool at_mark, reading, finishing;
    const char *failed; /* why it will be given up; NULL = nothing is wrong */
    int64_t began;
};

static void read_topic(struct ew_rebuild *rebuild, enum ew_topic topic);
static void go_on(struct ew_rebuild *rebuild);

static void
free_live(void *ctx, const char *key, void *value)
{
    (void)ctx, (void)key;
    free(value);
}

static void
destroy(struct ew_rebuild *rebuild)
{
    ew_timer_cancel(&rebuild->timer);
    ew_timer_cancel(&rebuild->start);
    ew_reader_stop(rebuild->reader);
    ew_table_each(rebuild->live, free_live, NULL);
    ew_table_free(rebuild->live);
    ew_table_each(rebuild->bad, free_live, NULL);
    ew_table_free(rebuild->bad);
    free(rebuild->queue);
    free(rebuild);
}

void
ew_rebuild_free(struct ew_flow *flow)
{
    if (flow->rebuild != NULL)
        destroy(flow->rebuild);
    flow->rebuild = NULL;
}

static unsigned
window_of(const struct ew_rebuild *rebuild)
{
    return rebuild->flow->rebuild_window > 0 ? rebuild->flow->rebuild_window : WINDOW_MAX;
}

/* A Redis too slow for what was asked of it at once is asked for less the next time. */
static void
give_up(struct ew_rebuild *rebuild, const char *why)
{
    unsigned half = window_of(rebuild) / 2;

    rebuild->failed = why;
    rebuild->flow->rebuild_window = half > WINDOW_MIN ? half : WINDOW_MIN;
    EW_LOG(EW_LOG_WARN, "flow", "rebuild given up", EW_STR("why", why),
           EW_INT("restored", rebuild->restored));
    ew_reader_stop(rebuild->reader);
    rebuild->reader = NULL;
    rebuild->flow->rebuild_after = ew_loop_now(rebuild->flow->loop) + AGAIN_MS;
    if (rebuild->under_way == 0)
        ew_rebuild_free(rebuild->flow); /* the watch begins another one */
}

/* --- what stands under a key --- */

static struct live *
live_new(const struct ew_read_record *record)
{
    struct live *live = ew_malloc(sizeof(*live) + record->value_len + record->key_len);
    uint8_t *bytes;

    bytes = memcpy(live + 1, record->value, record->value_len);
    *live = (struct live){
        .value = {.data = bytes, .len = record->value_len},
        .key = {.data = memcpy(bytes + record->value_len, record->key, record->key_len),
                .len = record->key_len},
        .partition = record->partition,
        .offset = record->offset};
    return live;
}

/* The last value of each key counts: what a tombstone ended is nothing any more. live NULL =
 * nothing. */
static void
replace(struct ew_table *table, const struct ew_read_record *record, struct live *live)
{
    char *name = ew_malloc(record->key_len * 2 + 1);

    ew_hex_encode(record->key, record->key_len, name);
    free(ew_table_remove(table, name));
    if (live != NULL)
        ew_table_put(table, name, live);
    free(name);
}

static void
forget(struct ew_table *table, const struct ew_read_record *record)
{
    replace(table, record, NULL);
}

static void
remember(struct ew_table *table, const struct ew_read_record *record)
{
    replace(table, record, record->value == NULL ? NULL : live_new(record));
}

/* --- restoring --- */

static const char AWAY[] = "Redis did not answer";
static const char TAKEN[] = "the nonce is another worker's, or Redis was wiped again";

/* Without it a rebuilt Redis would let its request be ordered a second time. */
static void
unreadable(struct ew_rebuild *rebuild, enum ew_topic topic, const struct ew_blob *key,
           int32_t partition, int64_t offset, const struct ew_err *err)
{
    const struct ew_config *config = rebuild->flow->config;
    struct ew_buf name;

    ew_buf_init(&name, EW_MAX_OWN_KEY + 1);
    for (size_t i = 0; i < key->len; i++) /* its parts end with a NUL */
        ew_buf_put(&name, key->data[i] == '\0' ? "/" : (const char *)&key->data[i], 1);
    EW_LOG(EW_LOG_ERROR, "flow", "a record does not decode: nothing is ordered without it",
           EW_STR("topic", config->kafka.out[topic]), EW_INT("partition", partition),
           EW_INT("offset", offset), EW_STR("key", ew_buf_text(&name)), EW_FAULT_FIELDS(err),
           EW_STR("advice",
                  "If a newer worker wrote it, let that one rebuild. Else find out at GlobalSign "
                  "what became of the request, then write a record that tells it, or a null value, "
                  "under the same key."));
    ew_buf_deinit(&name);
    rebuild->failed = "a record does not decode";
}

static void
on_restored(void *arg, enum ew_fault fault, enum ew_transition result)
{
    struct ew_rebuild *rebuild = arg;

    rebuild->under_way--;
    if (fault != EW_OK)
        rebuild->failed = AWAY;
    else if (result == EW_TR_NO_CANARY)
        rebuild->failed = TAKEN;
    else
        rebuild->restored++;
    go_on(rebuild);
}

/* One that stands behind it, under the same key, may mend it. */
static void
note_bad(struct ew_rebuild *rebuild, const struct ew_read_record *record, const struct ew_err *err)
{
    struct ew_read_record said = *record;

    said.value = ew_table_count(rebuild->bad) < BAD_TOLD ? err->detail : "";
    said.value_len = strlen(said.value) + 1;
    remember(rebuild->bad, &said);
}

/* What decodes is restored as it comes. */
static void
restore_state(struct ew_rebuild *rebuild, const struct ew_read_record *record)
{
    struct ew_arena *arena = ew_arena_new(EW_MAX_FLOW_MEMORY);
    struct ew_state_record state;
    struct ew_blob blob = {.data = record->value, .len = record->value_len};
    struct ew_done_index index;
    struct ew_err err;

    if (ew_wire_state_decode(record->value, record->value_len, arena, &state, &err) != EW_OK) {
        note_bad(rebuild, record, &err);
        ew_arena_free(arena);
        return;
    }
    if (ew_table_count(rebuild->bad) > 0)
        forget(rebuild->bad, record);
    index = ew_answer_index(&state, ew_wall_ms(rebuild->flow->options.clock));
    if (index.expire_ms > 0) {
        rebuild->under_way++;
        ew_store_restore_state(rebuild->flow->store, rebuild->nonce, state.request_id, state.digest,
                               &state.source, state.version, &blob, &index, on_restored, rebuild);
    }
    ew_arena_free(arena);
}

/* How long a STOP still holds back its target; the horizon where the record does not say since
 * when. */
static int64_t
stop_left(const struct ew_rebuild *rebuild, const struct ew_inflight_record *record)
{
    const struct ew_flow *flow = rebuild->flow;
    int64_t horizon_ms = flow->config->time.horizon_ms;

    if (record->since_ms <= 0)
        return horizon_ms;
    return record->since_ms + horizon_ms - ew_wall_ms(flow->options.clock);
}

static void
restore_inflight(struct ew_rebuild *rebuild, const struct live *live)
{
    struct ew_arena *arena = ew_arena_new((size_t)2 * EW_MAX_FLOW_MEMORY);
    struct ew_inflight_record record;
    struct ew_err err;
    int64_t left;

    if (ew_wire_inflight_decode(live->value.data, live->value.len, arena, &record, &err) == EW_OK) {
        left = stop_left(rebuild, &record);
        if (record.kind != EW_INFLIGHT_STOP || left > 0) {
            rebuild->under_way++;
            ew_store_restore_inflight(rebuild->flow->store, rebuild->nonce, &record, left,
                                      on_restored, rebuild);
        }
    } else {
        unreadable(rebuild, EW_TOPIC_INFLIGHT, &live->key, live->partition, live->offset, &err);
    }
    ew_arena_free(arena);
}

static void
say_bad(void *ctx, const char *key, void *value)
{
    struct ew_rebuild *rebuild = ctx;
    const struct live *live = value;
    struct ew_err err;

    (void)key;
    (void)ew_fail(&err, EW_REJECT, "malformed", "%s", (const char *)live->value.data);
    if (++rebuild->bad_shown <= BAD_SHOWN)
        unreadable(rebuild, EW_TOPIC_STATE, &live->key, live->partition, live->offset, &err);
}

static void
enqueue(void *ctx, const char *key, void *value)
{
    struct ew_rebuild *rebuild = ctx;
    const struct live *live = value;

    (void)key;
    rebuild->queue[rebuild->queue_count++] = live;
}

static void
enqueue_all(struct ew_rebuild *rebuild)
{
    rebuild->queue = ew_calloc(ew_table_count(rebuild->live) + 1, sizeof(*rebuild->queue));
    ew_table_each(rebuild->live, enqueue, rebuild);
}

/* All at once would miss the deadline of the first command. */
static void
restore_some(struct ew_rebuild *rebuild)
{
    while (rebuild->failed == NULL && rebuild->under_way < window_of(rebuild) &&
           rebuild->queue_at < rebuild->queue_count)
        restore_inflight(rebuild, rebuild->queue[rebuild->queue_at++]);
}

/* --- the end --- */

static void
on_finished(void *arg, enum ew_fault fault, bool mine)
{
    struct ew_rebuild *rebuild = arg;
    struct ew_flow *flow = rebuild->flow;

    EW_LOG(EW_LOG_INFO, "flow", fault == EW_OK && mine ? "redis rebuilt" : "rebuild lost",
           EW_INT("restored", rebuild->restored),
           EW_INT("duration_ms", ew_loop_now(flow->loop) - rebuild->began));
    if (fault == EW_OK && mine)
        flow->rebuild_window = 0;
    ew_rebuild_free(flow);
    ew_canary_check(flow);
}

static void
finish(struct ew_rebuild *rebuild)
{
    rebuild->finishing = true;
    ew_timer_cancel(&rebuild->timer);
    ew_store_rebuild_finish(rebuild->flow->store, rebuild->nonce, on_finished, rebuild);
}

/* Tombstones written since it began may be gone soon: what was read no longer fits together. */
static bool
is_late(const struct ew_rebuild *rebuild)
{
    const struct ew_flow *flow = rebuild->flow;

    return ew_loop_now(flow->loop) - rebuild->began > ew_kafka_rebuild_ms(flow->kafka);
}

static void
go_on(struct ew_rebuild *rebuild)
{
    if (rebuild->failed == NULL && is_late(rebuild)) {
        EW_LOG(EW_LOG_ERROR, "flow",
               "the rebuild takes longer than tombstones stay: it starts over",
               EW_INT("limit_ms", ew_kafka_rebuild_ms(rebuild->flow->kafka)),
               EW_STR("advice", "Raise delete.retention.ms and min.compaction.lag.ms of "
                                "epki.inflight and epki.certificate.state."));
        rebuild->failed = "it takes longer than tombstones stay";
    }
    if (rebuild->failed != NULL) {
        if (rebuild->under_way == 0)
            give_up(rebuild, rebuild->failed);
        return;
    }
    if (!rebuild->at_mark) {
        if (rebuild->reader != NULL && !rebuild->reading &&
            rebuild->under_way <= window_of(rebuild) / 2) {
            rebuild->reading = true;
            ew_reader_next(rebuild->reader);
        }
        return;
    }
    restore_some(rebuild);
    if (rebuild->failed != NULL && rebuild->under_way == 0) {
        give_up(rebuild, rebuild->failed);
        return;
    }
    if (rebuild->under_way > 0 || rebuild->failed != NULL || rebuild->finishing)
        return;
    if (rebuild->topic == EW_TOPIC_INFLIGHT) {
        read_topic(rebuild, EW_TOPIC_STATE);
        return;
    }
    finish(rebuild);
}

static void
on_batch(void *arg, const struct ew_read_record *records, size_t count, bool at_mark, bool failed)
{
    struct ew_rebuild *rebuild = arg;

    rebuild->reading = false;
    for (size_t i = 0; i < count; i++) {
        if (records[i].key == NULL)
            continue;
        if (rebuild->topic == EW_TOPIC_INFLIGHT)
            remember(rebuild->live, &records[i]);
        else if (records[i].value != NULL)
            restore_state(rebuild, &records[i]);
        else
            forget(rebuild->bad, &records[i]);
    }
    if (failed) {
        rebuild->failed = "the topic cannot be read";
    } else if (at_mark) {
        rebuild->at_mark = true;
        ew_reader_stop(rebuild->reader);
        rebuild->reader = NULL;
        if (rebuild->topic == EW_TOPIC_INFLIGHT)
            enqueue_all(rebuild);
        else
            ew_table_each(rebuild->bad, say_bad, rebuild);
    }
    go_on(rebuild);
}

static void
read_topic(struct ew_rebuild *rebuild, enum ew_topic topic)
{
    struct ew_reader_options options = {
        .topic = topic, .partition = -1, .offset = -1, .batch = on_batch, .arg = rebuild};
    struct ew_err err;

    /* State records are restored as they come: half a window of them while the other is under way.
     */
    if (topic == EW_TOPIC_STATE)
        options.most = window_of(rebuild) / 2;
    rebuild->topic = topic;
    rebuild->at_mark = false;
    rebuild->reading = true; /* the first batch comes unasked */
    if (ew_reader_start(rebuild->flow->kafka, &options, &rebuild->reader, &err) != EW_OK) {
        rebuild->reader = NULL;
        give_up(rebuild, "no reader can be started");
    }
}

/* --- the beginning --- */

static void
on_renewed(void *arg, enum ew_fault fault, bool mine)
{
    struct ew_rebuild *rebuild = arg;

    rebuild->under_way--;
    if (fault != EW_OK) {
        rebuild->failed = AWAY;
    } else if (!mine) {
        rebuild->failed = TAKEN;
    } else if (!rebuild->finishing) {
        ew_timer_start(&rebuild->timer, RENEW_MS);
    }
    go_on(rebuild);
}

static void
on_renew(void *arg)
{
    struct ew_rebuild *rebuild = arg;

    rebuild->under_way++;
    ew_store_rebuild_renew(rebuild->flow->store, rebuild->nonce, on_renewed, rebuild);
}

static void
on_start(void *arg)
{
    if (EW_WITHOUT(CANARY))
        finish(arg);
    else
        read_topic(arg, EW_TOPIC_INFLIGHT);
}

static void
on_begun(void *arg, enum ew_fault fault, bool mine)
{
    struct ew_rebuild *rebuild = arg;
    int lag = rebuild->flow->config->redis.max_lag_ms;

    if (fault != EW_OK || !mine) {
        ew_rebuild_free(rebuild->flow); /* somebody else rebuilds */
        return;
    }
    EW_LOG(EW_LOG_WARN, "flow", "rebuilding redis from the topics",
           EW_STR("nonce", rebuild->nonce));
    ew_timer_start(&rebuild->timer, RENEW_MS);
    ew_timer_start(&rebuild->start, lag > 0 ? lag + REPLICA_MARGIN_MS : 0);
}

void
ew_rebuild_begin(struct ew_flow *flow)
{
    struct ew_rebuild *rebuild;
    uint8_t random[16];

    if (flow->rebuild != NULL || flow->draining || ew_loop_now(flow->loop) < flow->rebuild_after)
        return;
    rebuild = ew_calloc(1, sizeof(*rebuild));
    rebuild->live = ew_table_new();
    rebuild->bad = ew_table_new();
    rebuild->flow = flow;
    rebuild->began = ew_loop_now(flow->loop);
    ew_random_bytes(random, sizeof(random));
    ew_hex_encode(random, sizeof(random), rebuild->nonce);
    ew_timer_init(&rebuild->timer, flow->loop, on_renew, rebuild);
    ew_timer_init(&rebuild->start, flow->loop, on_start, rebuild);
    flow->rebuild = rebuild;
    ew_store_rebuild_begin(flow->store, rebuild->nonce, on_begun, rebuild);
}
