/*
 * What the compacted topics say of one request id: epki.inflight first, then, unless it waits
 * there, epki.certificate.state, each up to a watermark taken when its reading begins. Reversed, an
 * answer that moves from one to the other in between would be seen in neither.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/log.h"
#include "base/memory.h"
#include "job.h"
#include "room.h"

struct look {
    struct ew_flow *flow;
    char id[EW_MAX_REQUEST_ID + 1];
    struct ew_reader *reader;
    enum ew_topic topic;
    struct ew_topic_view view;
    struct ew_table *kinds; /* epki.inflight: key in hexadecimal -> what stands under it */
    struct ew_buf state;
    ew_topics_done *done;
    void *arg;
};

/* What may stand under a key. */
static char tag_waiting, tag_parked;

static void begin(struct look *look, enum ew_topic topic);

static void
sum_up(void *ctx, const char *key, void *value)
{
    struct look *look = ctx;

    (void)key;
    if (value == &tag_parked)
        look->view.parked = true;
    else
        look->view.waiting = true;
}

static void
finish(struct look *look, enum ew_fault fault)
{
    ew_reader_stop(look->reader);
    look->flow->fetching--;
    ew_table_free(look->kinds);
    look->view.state = (struct ew_blob){.data = look->state.data, .len = look->state.len};
    look->done(look->arg, fault, &look->view);
    ew_buf_deinit(&look->state);
    free(look);
}

/* A STOP says nothing of their state, nor does what repeats another event: it waits for the answer
 * of that one, which may stand in epki.certificate.state already. */
static void *
kind_of(const struct ew_inflight_record *inflight)
{
    switch (inflight->kind) {
    case EW_INFLIGHT_PARKED:
        return &tag_parked;
    case EW_INFLIGHT_STOP:
        return NULL;
    case EW_INFLIGHT_WAITING:
        return inflight->first_source[0] != '\0' ? NULL : &tag_waiting;
    case EW_INFLIGHT_ORDERING:
        break;
    }
    return &tag_waiting;
}

/* The last value of each key counts. */
static void
see_inflight(struct look *look, const struct ew_read_record *record)
{
    struct ew_inflight_record inflight;
    const char *id;
    struct ew_source source;
    struct ew_err err;
    struct ew_arena *arena = ew_arena_new(2 * (size_t)EW_MAX_FLOW_MEMORY);
    char name[2 * 1024 + 1];
    void *kind = NULL;

    if (record->key_len * 2 < sizeof(name) &&
        ew_wire_inflight_key_read(record->key, record->key_len, arena, &id, &source) == EW_OK &&
        strcmp(id, look->id) == 0) {
        if (record->value != NULL && ew_wire_inflight_decode(record->value, record->value_len,
                                                             arena, &inflight, &err) == EW_OK)
            kind = kind_of(&inflight);
        if (kind == &tag_waiting)
            look->view.ca_date_ms = inflight.ca_date_ms;
        ew_hex_encode(record->key, record->key_len, name);
        (void)ew_table_remove(look->kinds, name);
        if (kind != NULL)
            ew_table_put(look->kinds, name, kind);
    }
    ew_arena_free(arena);
}

static void
see_state(struct look *look, const struct ew_read_record *record)
{
    if (record->key_len != strlen(look->id) || memcmp(record->key, look->id, record->key_len) != 0)
        return;
    ew_buf_clear(&look->state);
    if (record->value != NULL)
        ew_buf_put(&look->state, record->value, record->value_len);
}

/* Whatever was answered of a request that waits, nobody here needs to know. */
static void
end_inflight(struct look *look)
{
    ew_table_each(look->kinds, sum_up, look);
    if (look->view.waiting) {
        finish(look, EW_OK);
        return;
    }
    ew_reader_stop(look->reader);
    look->reader = NULL;
    begin(look, EW_TOPIC_STATE);
}

static void
on_batch(void *arg, const struct ew_read_record *records, size_t count, bool at_mark, bool failed)
{
    struct look *look = arg;

    for (size_t i = 0; i < count; i++) {
        if (records[i].key == NULL)
            continue;
        if (look->topic == EW_TOPIC_INFLIGHT)
            see_inflight(look, &records[i]);
        else
            see_state(look, &records[i]);
    }
    if (failed) {
        finish(look, EW_RETRY);
    } else if (!at_mark) {
        ew_reader_next(look->reader);
    } else if (look->topic == EW_TOPIC_INFLIGHT) {
        end_inflight(look);
    } else {
        finish(look, EW_OK);
    }
}

static void
begin(struct look *look, enum ew_topic topic)
{
    struct ew_reader_options options = {
        .topic = topic,
        .partition = ew_kafka_partition_of(look->flow->kafka, topic, look->id, strlen(look->id)),
        .offset = -1,
        .batch = on_batch,
        .arg = look};
    struct ew_err err;

    look->topic = topic;
    if (ew_reader_start(look->flow->kafka, &options, &look->reader, &err) != EW_OK) {
        look->reader = NULL;
        finish(look, EW_RETRY);
    }
}

void
ew_topics_heal(struct ew_flow *flow, const char *request_id, const struct ew_state_record *state,
               const struct ew_blob *text, ew_store_moved *done, void *arg)
{
    struct ew_holder holder = {.request_id = request_id, .source = state->source};
    struct ew_done_index index = ew_answer_index(state, ew_wall_ms(flow->options.clock));

    EW_LOG(EW_LOG_WARN, "flow", "redis had lost an answer: told again from the topics",
           EW_STR("request_id", request_id));
    ew_store_done(flow->store, &holder, state->digest, text, &index, done, arg);
}

bool
ew_topics_busy(const struct ew_flow *flow)
{
    return flow->fetching >= EW_LOOKING;
}

void
ew_topics_look(struct ew_flow *flow, const char *request_id, ew_topics_done *done, void *arg)
{
    struct look *look = ew_calloc(1, sizeof(*look));

    look->kinds = ew_table_new();
    look->flow = flow;
    flow->fetching++;
    (void)snprintf(look->id, sizeof(look->id), "%s", request_id);
    ew_buf_init(&look->state, EW_MAX_FLOW_MEMORY);
    look->done = done;
    look->arg = arg;
    begin(look, EW_TOPIC_INFLIGHT);
}
