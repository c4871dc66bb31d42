/*
 * STOP records past their horizon. The target's answer takes them away; of a target that never came
 * they stay until duplicates of it are no longer told apart, and then go by the owner of the
 * partition: nobody is held back by them any more, and their flag in Redis has expired.
 */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "job.h"
#include "room.h"

enum {
    LOOK_MS = 2000,
    REPEAT_MS = 60000, /* a tombstone that has not been read by then is written again */
    AT_ONCE = 100,     /* tombstones at each look */
};

struct stop {
    int64_t until_ms; /* wall */
    int64_t asked;    /* boot, 0 = no tombstone is on its way */
    size_t key_len;
    uint8_t key[]; /* in epki.inflight */
};

struct ew_stops {
    struct ew_run *run; /* of a partition of epki.resume */
    struct ew_table *index;
    int64_t looked; /* boot */
    int left;       /* of AT_ONCE */
};

struct ew_stops *
ew_stops_new(struct ew_run *run)
{
    struct ew_stops *stops = ew_calloc(1, sizeof(*stops));

    stops->index = ew_table_new();
    stops->run = run;
    return stops;
}

static void
free_stop(void *ctx, const char *key, void *value)
{
    (void)ctx, (void)key;
    free(value);
}

void
ew_stops_free(struct ew_stops *stops)
{
    ew_table_each(stops->index, free_stop, NULL);
    ew_table_free(stops->index);
    free(stops);
}

void
ew_stops_note(struct ew_stops *stops, const char *name, const struct ew_read_record *read,
              const struct ew_inflight_record *record)
{
    const struct ew_flow *flow = stops->run->flow;
    struct stop *stop;
    int64_t since;

    free(ew_table_remove(stops->index, name));
    if (record == NULL || record->kind != EW_INFLIGHT_STOP)
        return;
    stop = ew_calloc(1, sizeof(*stop) + read->key_len);
    since = record->since_ms > 0 ? record->since_ms : read->timestamp_ms;
    stop->until_ms = since + flow->config->time.horizon_ms;
    stop->key_len = read->key_len;
    memcpy(stop->key, read->key, read->key_len);
    ew_table_put(stops->index, name, stop);
}

static void
on_committed(void *arg, enum ew_committed result, int64_t t0_ms, const struct ew_err *err)
{
    (void)arg, (void)result, (void)t0_ms, (void)err; /* what was not written is asked for again */
}

static void
end(void *ctx, const char *name, void *value)
{
    struct ew_stops *stops = ctx;
    const struct ew_flow *flow = stops->run->flow;
    struct stop *stop = value;
    struct ew_commit commit = {
        .part = stops->run->part, .mark = EW_MARK_NONE, .out_count = 1, .done = on_committed};

    (void)name;
    if (stops->left == 0 || ew_wall_ms(flow->options.clock) <= stop->until_ms ||
        (stop->asked != 0 && stops->looked - stop->asked < REPEAT_MS))
        return;
    stops->left--;
    stop->asked = stops->looked;
    commit.outs[0] = (struct ew_out){.topic = EW_TOPIC_INFLIGHT,
                                     .partition = ew_part_number(stops->run->part),
                                     .key = stop->key,
                                     .key_len = stop->key_len};
    ew_kafka_commit(flow->kafka, &commit);
}

void
ew_stops_look(struct ew_stops *stops, int64_t now)
{
    if (now - stops->looked < LOOK_MS)
        return;
    stops->looked = now;
    stops->left = AT_ONCE;
    ew_table_each(stops->index, end, stops);
}
