/*
 * The waiting room: what waits long leaves its partition as a WAITING record in epki.inflight and
 * comes back through epki.resume. Who owns a partition of epki.resume follows the same partition of
 * epki.inflight and holds the due index; its view decides, not the bytes of a resume record.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/log.h"
#include "base/memory.h"
#include "job.h"
#include "room.h"

enum {
    LOOK_MS = 250,
    REPEAT_MS = 60000, /* a resume record that led nowhere is written again */
    RELEASE_MAX = 50,  /* entries released at each look */
    ON_WAY_MAX = 500,  /* resume records on their way to Kafka, of all rooms */
};

/* One WAITING record. */
struct due {
    char *request_id;
    struct ew_source source;
    int64_t offset;   /* in epki.inflight */
    int64_t due_boot; /* when it is released; counted from when we read it, by our clock alone */
    int64_t released; /* boot, 0 = not yet */
    bool parked;      /* comes back only when people say so */
    struct ew_setting_run *held; /* for people: licences, vetting, a paused account or setting */
};

struct ew_room {
    struct ew_run *run; /* of a partition of epki.resume */
    struct ew_reader *reader;
    struct ew_table *index; /* inflight key in hexadecimal -> struct due */
    struct ew_stops *stops;
    bool whole;             /* everything up to the mark was read */
    bool strayed;           /* said so */
    int64_t seen;           /* offset behind the last record read */
    struct ew_list callers; /* resume jobs that wait for that */
    struct ew_timer timer, again;
};

/* --- the index --- */

static void
due_free(struct due *due)
{
    if (due != NULL)
        free(due->request_id);
    free(due);
}

static char *
key_name(const void *key, size_t len)
{
    char *name = ew_malloc(2 * len + 1);

    ew_hex_encode(key, len, name);
    return name;
}

static struct ew_setting_run *
setting_of(struct ew_flow *flow, const struct ew_inflight_record *record, struct ew_arena *arena)
{
    struct ew_request request = {.setting = NULL};
    struct ew_err err;

    if (ew_wire_request(record->lane, record->record_value.data, record->record_value.len, arena,
                        &request, &err) != EW_OK)
        return NULL;
    return ew_flow_setting(flow, request.setting);
}

static struct due *
due_new(struct ew_flow *flow, const struct ew_inflight_record *record, int64_t offset,
        struct ew_arena *arena)
{
    struct due *due = ew_calloc(1, sizeof(*due));

    due->request_id = ew_strdup(record->request_id);
    due->source = record->source;
    due->offset = offset;
    due->due_boot = ew_loop_now(flow->loop) + record->due_ms;
    due->parked = record->kind == EW_INFLIGHT_PARKED;
    if (strcmp(record->reason, ew_state_name(EW_ST_HELD)) == 0 ||
        strcmp(record->reason, ew_state_name(EW_ST_QUEUE)) == 0)
        due->held = setting_of(flow, record, arena);
    return due;
}

static bool
waits(const struct ew_inflight_record *record)
{
    return record->kind == EW_INFLIGHT_WAITING || record->kind == EW_INFLIGHT_PARKED;
}

/* Its resumes go where its key belongs now, to a room that does not know it. Said once for a room:
 * all that it holds may be so. */
static void
look_where(struct ew_room *room, const struct ew_read_record *read,
           const struct ew_inflight_record *record)
{
    int32_t home;

    if (room->strayed)
        return;
    home = ew_kafka_partition_of(room->run->flow->kafka, EW_TOPIC_INFLIGHT, record->request_id,
                                 strlen(record->request_id));
    if (home == read->partition)
        return;
    room->strayed = true;
    EW_LOG(EW_LOG_ERROR, "flow", "a waiting request stands in a partition that is not its key's",
           EW_STR("problem", "inflight-strayed"), EW_STR("request_id", record->request_id),
           EW_INT("partition", read->partition), EW_INT("offset", read->offset),
           EW_INT("belongs_to", home),
           EW_STR("advice", "Was epki.inflight given more partitions? With all workers stopped, "
                            "write what stands in the wrong ones to the partitions of its request "
                            "ids, key and value as they are, and null values in the old places."));
}

static void
note(struct ew_room *room, const struct ew_read_record *read)
{
    struct ew_arena *arena = ew_arena_new((size_t)4 * EW_MAX_FLOW_MEMORY);
    char *name = key_name(read->key, read->key_len);
    struct ew_inflight_record record;
    bool known = false;
    struct ew_err err;

    due_free(ew_table_remove(room->index, name));
    if (read->value != NULL) { /* else a tombstone: done with */
        known =
            ew_wire_inflight_decode(read->value, read->value_len, arena, &record, &err) == EW_OK;
        if (!known)
            EW_LOG(EW_LOG_ERROR, "flow", "an in-flight record does not decode: nobody works on it",
                   EW_INT("partition", read->partition), EW_INT("offset", read->offset),
                   EW_FAULT_FIELDS(&err));
    }
    if (known && waits(&record)) {
        look_where(room, read, &record);
        ew_table_put(room->index, name, due_new(room->run->flow, &record, read->offset, arena));
    }
    ew_stops_note(room->stops, name, read, known ? &record : NULL);
    free(name);
    ew_arena_free(arena);
}

static void start_reading(struct ew_room *room);

static void
restart(void *arg)
{
    start_reading(arg);
}

static void
on_batch(void *arg, const struct ew_read_record *records, size_t count, bool at_mark, bool failed)
{
    struct ew_room *room = arg;
    struct ew_link *link;

    for (size_t i = 0; i < count; i++) {
        if (records[i].key != NULL)
            note(room, &records[i]);
        room->seen = records[i].offset + 1;
    }
    if (failed) {
        ew_reader_stop(room->reader);
        room->reader = NULL;
        room->whole = false;
        ew_timer_start(&room->again, 1000);
        return;
    }
    if (at_mark && !room->whole) {
        room->whole = true;
        EW_LOG(EW_LOG_INFO, "flow", "waiting room is known",
               EW_INT("partition", ew_part_number(room->run->part)),
               EW_INT("waiting", ew_table_count(room->index)));
        while ((link = ew_list_first(&room->callers)) != NULL) {
            ew_link_remove(link);
            ew_resume_admit(EW_CONTAINER(link, struct ew_job, in_list));
        }
    }
    ew_reader_next(room->reader);
}

static void
start_reading(struct ew_room *room)
{
    struct ew_reader_options options = {.topic = EW_TOPIC_INFLIGHT,
                                        .partition = ew_part_number(room->run->part),
                                        .offset = -1,
                                        .follow = true,
                                        .batch = on_batch,
                                        .arg = room};
    struct ew_err err;

    if (ew_reader_start(room->run->flow->kafka, &options, &room->reader, &err) != EW_OK) {
        room->reader = NULL;
        ew_timer_start(&room->again, 1000);
    }
}

/* --- releasing --- */

static void
on_published(void *arg, enum ew_committed result, int64_t t0_ms, const struct ew_err *err)
{
    struct ew_flow *flow = arg;

    (void)result, (void)t0_ms, (void)err;
    flow->unpublished--;
}

void
ew_room_publish(struct ew_flow *flow, const struct ew_resume *resume)
{
    struct ew_buf value;
    struct ew_err err;

    ew_buf_init(&value, 65536);
    if (ew_wire_resume_encode(resume, &value, &err) == EW_OK) {
        struct ew_out out = {.topic = EW_TOPIC_RESUME,
                             .partition = -1,
                             .key = resume->request_id,
                             .key_len = strlen(resume->request_id),
                             .value = value.data,
                             .value_len = value.len};
        flow->unpublished++;
        ew_kafka_publish(flow->kafka, &out, on_published, flow);
    }
    ew_buf_deinit(&value);
}

struct release {
    struct ew_room *room;
    int64_t now;
    int left;
};

/* Once released it is out while anything of its request is at work here, or waits in line. */
static bool
is_out(const struct release *r, const struct due *due)
{
    return due->released != 0 &&
           (r->now - due->released < REPEAT_MS || ew_run_busy_with(r->room->run, due->request_id));
}

/* More than it takes in would lie in its topic, and be released again while it lies there. */
static bool
is_crowded(const struct ew_run *run)
{
    return (int64_t)run->job_count * 2 > run->flow->config->kafka.partition_items;
}

/* While nothing can be published, what was released would be released again, each time to lie in
 * memory once more. */
static int
may_release(const struct ew_run *run)
{
    int left = ON_WAY_MAX - run->flow->unpublished;

    if (is_crowded(run) || left <= 0)
        return 0;
    return left < RELEASE_MAX ? left : RELEASE_MAX;
}

/* Something stands in the way of the setting's orders. Then one request that is held tests the way;
 * the others would only come and go. */
static bool
hindered(const struct ew_setting_run *setting)
{
    return setting->paused || setting->test_at != 0 || setting->desk->paused;
}

static void
count_out(void *ctx, const char *key, void *value)
{
    struct release *r = ctx;
    const struct due *due = value;

    (void)key;
    if (due->held != NULL && is_out(r, due))
        due->held->out++;
}

static void
release(void *ctx, const char *key, void *value)
{
    struct release *r = ctx;
    struct due *due = value;
    struct ew_resume resume = {.action = EW_RESUME_RETRY,
                               .request_id = due->request_id,
                               .source = due->source,
                               .reason = "",
                               .waiting_offset = due->offset};

    (void)key;
    if (r->left == 0 || due->parked || r->now < due->due_boot || is_out(r, due) ||
        (due->held != NULL && hindered(due->held) && due->held->out > 0))
        return;
    r->left--;
    if (due->held != NULL)
        due->held->out++;
    due->released = r->now;
    ew_room_publish(r->room->run->flow, &resume);
}

static void
on_look(void *arg)
{
    struct ew_room *room = arg;
    struct ew_flow *flow = room->run->flow;
    struct release r = {
        .room = room, .now = ew_loop_now(flow->loop), .left = may_release(room->run)};

    if (room->whole && !room->run->lost && !flow->draining) {
        for (size_t i = 0; i < flow->setting_count; i++)
            flow->settings[i].out = 0;
        ew_table_each(room->index, count_out, &r);
        ew_table_each(room->index, release, &r);
        ew_stops_look(room->stops, r.now);
    }
    ew_timer_start(&room->timer, LOOK_MS);
}

/* --- birth and death, with the run of its partition --- */

void
ew_room_open(struct ew_run *run)
{
    struct ew_room *room;

    if (ew_part_lane(run->part) != EW_LANE_RESUME)
        return;
    room = ew_calloc(1, sizeof(*room));
    room->index = ew_table_new();
    room->run = run;
    room->stops = ew_stops_new(run);
    ew_list_init(&room->callers);
    ew_timer_init(&room->timer, run->flow->loop, on_look, room);
    ew_timer_init(&room->again, run->flow->loop, restart, room);
    ew_timer_start(&room->timer, LOOK_MS);
    run->room = room;
    start_reading(room);
}

static void
free_entry(void *ctx, const char *key, void *value)
{
    (void)ctx, (void)key;
    due_free(value);
}

void
ew_room_close(struct ew_run *run)
{
    struct ew_room *room = run->room;
    struct ew_link *link;

    if (room == NULL)
        return;
    run->room = NULL;
    while ((link = ew_list_first(&room->callers)) != NULL)
        ew_link_remove(link);
    ew_timer_cancel(&room->timer);
    ew_timer_cancel(&room->again);
    ew_reader_stop(room->reader);
    ew_stops_free(room->stops);
    ew_table_each(room->index, free_entry, NULL);
    ew_table_free(room->index);
    free(room);
}

bool
ew_room_entry(struct ew_run *run, const char *request_id, const struct ew_source *source,
              int64_t *offset)
{
    struct ew_buf key;
    struct due *due;
    char *name;

    ew_buf_init(&key, 1024);
    ew_wire_inflight_key(request_id, source, &key);
    name = key_name(key.data, key.len);
    due = ew_table_get(run->room->index, name);
    if (due != NULL)
        *offset = due->offset;
    free(name);
    ew_buf_deinit(&key);
    return due != NULL;
}

bool
ew_room_saw(const struct ew_run *run, int64_t offset)
{
    return run->room->seen > offset;
}

void
ew_room_forget(struct ew_job *job)
{
    struct ew_room *room = job->run->room;
    struct ew_buf key;
    struct due *due;
    char *name;

    if (room == NULL || job->room_offset < 0)
        return;
    ew_buf_init(&key, 1024);
    ew_wire_inflight_key(job->req.request_id, &job->original, &key);
    name = key_name(key.data, key.len);
    due = ew_table_get(room->index, name);
    if (due != NULL && due->offset == job->room_offset)
        due_free(ew_table_remove(room->index, name));
    free(name);
    ew_buf_deinit(&key);
}

bool
ew_room_ready(struct ew_run *run, struct ew_job *job)
{
    if (run->room == NULL)
        return false;
    if (!run->room->whole)
        ew_list_append(&run->room->callers, &job->in_list);
    return run->room->whole;
}
