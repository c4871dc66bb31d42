/*
 * What the compacted topics say of one request id: epki.inflight first, then
 * epki.certificate.state, each up to a watermark taken when its reading begins. Reversed, an answer
 * that moves from one to the other in between would be seen in neither.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job.h"

struct look {
    struct ew_flow *flow;
    char id[EW_MAX_REQUEST_ID + 1];
    struct ew_reader *reader;
    enum ew_topic topic;
    struct ew_topic_view view;
    struct ew_buf state;
    ew_topics_done *done;
    void *arg;
};

static void begin(struct look *look, enum ew_topic topic);

static void
finish(struct look *look, enum ew_fault fault)
{
    ew_reader_stop(look->reader);
    look->view.state = (struct ew_blob){.data = look->state.data, .len = look->state.len};
    look->done(look->arg, fault, &look->view);
    ew_buf_deinit(&look->state);
    free(look);
}

static void
see_inflight(struct look *look, const struct ew_read_record *record)
{
    struct ew_inflight_record inflight;
    const char *id;
    struct ew_source source;
    struct ew_err err;
    struct ew_arena *arena = ew_arena_new(EW_MAX_FLOW_MEMORY);

    if (arena != NULL &&
        ew_wire_inflight_key_read(record->key, record->key_len, arena, &id, &source) == EW_OK &&
        strcmp(id, look->id) == 0) {
        if (record->value == NULL) {
            look->view.waiting = look->view.parked = false;
        } else if (ew_wire_inflight_decode(record->value, record->value_len, arena, &inflight,
                                           &err) == EW_OK) {
            look->view.waiting =
                inflight.kind == EW_INFLIGHT_WAITING || inflight.kind == EW_INFLIGHT_ORDERING;
            look->view.parked = inflight.kind == EW_INFLIGHT_PARKED;
        }
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
        ew_reader_stop(look->reader);
        look->reader = NULL;
        begin(look, EW_TOPIC_STATE);
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
ew_topics_look(struct ew_flow *flow, const char *request_id, ew_topics_done *done, void *arg)
{
    struct look *look = calloc(1, sizeof(*look));

    if (look == NULL)
        abort();
    look->flow = flow;
    (void)snprintf(look->id, sizeof(look->id), "%s", request_id);
    ew_buf_init(&look->state, EW_MAX_FLOW_MEMORY);
    look->done = done;
    look->arg = arg;
    begin(look, EW_TOPIC_INFLIGHT);
}
