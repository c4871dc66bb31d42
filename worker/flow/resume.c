/*
 * Out of the waiting room: how a resume record becomes the job again that left, under its original
 * source.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "job.h"
#include "room.h"

enum { READ_UP_MS = 30000 }; /* a resume names a record that the room has not read: is it there? */

struct fetch {
    struct ew_flow *flow;
    struct ew_job *job;
    struct ew_reader *reader;
};

static void
keep_event(struct ew_job *job, const struct ew_inflight_record *record)
{
    struct ew_header *headers =
        ew_arena_alloc(job->arena, (record->header_count + 1) * sizeof(*headers));

    job->came = (struct ew_came){
        .key = ew_job_keep(job, record->record_key.data, record->record_key.len),
        .value = ew_job_keep(job, record->record_value.data, record->record_value.len),
        .timestamp_ms = record->record_ms,
        .headers = headers,
        .header_count = headers == NULL ? 0 : record->header_count,
        .headers_left_out = record->headers_left_out};
    for (size_t i = 0; i < job->came.header_count; i++) {
        const struct ew_header *from = &record->headers[i];

        headers[i].name = ew_job_text(job, from->name);
        headers[i].value =
            from->value == NULL ? NULL : ew_arena_memdup(job->arena, from->value, from->len);
        headers[i].len = headers[i].value == NULL ? 0 : from->len;
    }
}

static const char *
text_or_null(struct ew_job *job, const char *text)
{
    return text == NULL ? NULL : ew_job_text(job, text);
}

static void
become(struct ew_job *job, const struct ew_inflight_record *record)
{
    struct ew_err err;
    enum ew_fault fault;

    if (job->ended_by_event && record->kind == EW_INFLIGHT_PARKED) {
        ew_answer_nothing(job, "it was parked meanwhile, and people decide");
        return;
    }
    job->original = record->source;
    job->lane_of = record->lane;
    keep_event(job, record);
    job->attempt = record->attempt;
    job->vanished = record->kind == EW_INFLIGHT_PARKED ? 1 : record->vanished;
    job->attempt_date_ms = record->ca_date_ms;
    job->received_ms = record->since_ms;
    memcpy(job->keys, record->keys, sizeof(job->keys));
    job->key_count = record->key_count;
    /* One that had begun ordered anew: Redis knows that attempt's order and key. Or it was ending
     * this one for its lost key: whether that is so Redis says before anything follows. */
    if (!job->record->started || ew_text_has(record->lost_orders, record->order_id))
        job->order_id = ew_job_text(job, record->order_id);
    job->lost_orders = ew_job_text(job, record->lost_orders);
    if (record->misfit != NULL)
        job->misfit = ew_job_text(job, record->misfit);
    job->wrapped = ew_job_keep(job, record->wrapped_key.data, record->wrapped_key.len);
    job->air = job->air || record->has_ordered;
    fault = ew_wire_request(job->lane_of, job->came.value.data, job->came.value.len, job->arena,
                            &job->req, &err);
    if (job->req.request_id == NULL) {
        job->req.request_id = ew_job_text(job, record->request_id); /* names what is removed */
        ew_answer_dead_letter(job, &err);
        return;
    }
    job->req.traceparent = text_or_null(job, record->traceparent);
    job->req.tracestate = text_or_null(job, record->tracestate);
    if (job->req.key == EW_KEY_GLOBALSIGN && job->record->started) { /* of the attempt before */
        job->wrapped.len = 0;
        job->attempt_date_ms = 0;
    }
    /* GlobalSign's key is known by its digest only once it has come. */
    if (job->air && !job->record->started && job->key_count > 0 &&
        (job->req.key == EW_KEY_WORKER || job->wrapped.len > 0)) {
        memcpy(job->spki, job->keys[job->key_count - 1], sizeof(job->spki));
        job->has_spki = true;
    }
    job->ended_by_people = job->ended_by_people && record->kind == EW_INFLIGHT_PARKED;
    job->pardoned = record->kind == EW_INFLIGHT_PARKED && !job->record->started;
    job->cancelled_known = job->pardoned && strcmp(record->reason, EW_CANCELLED_REASON) == 0;
    ew_admit_decoded(job, fault == EW_OK ? NULL : &err);
}

/* The record that the index told of, or what compaction has left in its place: false. */
static bool
is_fetched(const struct ew_job *job, const struct ew_read_record *read, struct ew_arena *arena,
           struct ew_inflight_record *record)
{
    struct ew_err err;

    return read->value != NULL && read->offset == job->room_offset &&
           ew_wire_inflight_decode(read->value, read->value_len, arena, record, &err) == EW_OK &&
           strcmp(record->request_id, job->req.request_id) == 0;
}

/* The job that it was for, NULL when that is gone. */
static struct ew_job *
fetch_end(struct fetch *fetch)
{
    struct ew_job *job = ew_job_back(fetch->job);

    ew_reader_stop(fetch->reader);
    fetch->flow->fetching--;
    free(fetch);
    return job;
}

static void
on_fetched(void *arg, const struct ew_read_record *records, size_t count, bool at_mark, bool failed)
{
    struct ew_job *job = fetch_end(arg);
    struct ew_arena *arena = ew_arena_new((size_t)2 * EW_MAX_FLOW_MEMORY);
    struct ew_inflight_record record;

    (void)at_mark;
    if (job != NULL) {
        if (!failed && count > 0 && is_fetched(job, &records[0], arena, &record))
            become(job, &record);
        else
            ew_job_retry(job, ew_resume_admit); /* the index will say what stands */
    }
    ew_arena_free(arena);
}

/* What the room has not read of it yet is below the topic's end; what is not was never written. */
static void
on_probed(void *arg, const struct ew_read_record *records, size_t count, bool at_mark, bool failed)
{
    struct ew_job *job = fetch_end(arg);

    (void)records, (void)at_mark;
    if (job == NULL)
        return;
    if (failed || count > 0)
        ew_job_after(job, READ_UP_MS, ew_resume_admit);
    else
        ew_answer_nothing(job, "what it names was never written");
}

/* Reads epki.inflight from the offset on: one record at most. */
static void
fetch_begin(struct ew_job *job, int64_t offset,
            void (*batch)(void *arg, const struct ew_read_record *records, size_t count,
                          bool at_mark, bool failed))
{
    struct ew_reader_options options = {.topic = EW_TOPIC_INFLIGHT,
                                        .partition = job->source.partition,
                                        .offset = offset,
                                        .limit = 1,
                                        .batch = batch};
    struct fetch *fetch;
    struct ew_err err;

    if (job->flow->fetching >= EW_FETCHING) {
        ew_job_retry(job, ew_resume_admit);
        return;
    }
    options.arg = fetch = ew_calloc(1, sizeof(*fetch));
    fetch->flow = job->flow;
    fetch->job = ew_job_out(job);
    fetch->flow->fetching++;
    if (ew_reader_start(job->flow->kafka, &options, &fetch->reader, &err) != EW_OK) {
        fetch->reader = NULL;
        if (fetch_end(fetch) != NULL)
            ew_job_retry(job, ew_resume_admit);
    }
}

/* --- a resume that comes again, where it belongs --- */

static void
on_again(void *arg, enum ew_committed result, int64_t t0_ms, const struct ew_err *err)
{
    struct ew_job *job = ew_job_back(arg);

    (void)t0_ms;
    if (job == NULL)
        return;
    if (result == EW_COMMITTED) {
        ew_job_end(job, EW_ST_ANSWERED, "it comes again");
    } else if (result == EW_COMMIT_LOST) {
        ew_job_drop(job);
    } else {
        EW_LOG(EW_LOG_ERROR, "flow", "Kafka refuses a resume", EW_FAULT_FIELDS(err),
               EW_STR("request_id", job->req.request_id));
        ew_job_retry(job, ew_resume_again);
    }
}

void
ew_resume_again(struct ew_job *job)
{
    const struct ew_record *record = job->record;
    struct ew_commit commit = {.part = job->run->part,
                               .offset = job->source.offset,
                               .mark = EW_MARK_DONE,
                               .out_count = 1,
                               .done = on_again};

    commit.outs[0] = (struct ew_out){.topic = EW_TOPIC_RESUME,
                                     .partition = -1,
                                     .key = job->req.request_id,
                                     .key_len = strlen(job->req.request_id),
                                     .value = record->value,
                                     .value_len = record->value_len};
    if (job->state != EW_ST_PUBLISH)
        ew_job_move(job, EW_ST_PUBLISH, "it is published again");
    commit.arg = ew_job_out(job);
    ew_kafka_commit(job->flow->kafka, &commit);
}

/* The room reads at its own pace; a name that people wrote may be wrong. */
static void
await_room(struct ew_job *job, int64_t offset)
{
    if (ew_loop_now(job->flow->loop) - job->received_boot < READ_UP_MS)
        ew_job_retry(job, ew_resume_admit);
    else
        fetch_begin(job, offset, on_probed);
}

/* Two resumes of one request never work at once: they have one partition, and there one lane. */
static bool
is_astray(struct ew_job *job)
{
    const struct ew_record *record = job->record;
    size_t len = strlen(job->req.request_id);

    return ew_inflight_partition(job) != job->source.partition || record->key_len != len ||
           memcmp(record->key, job->req.request_id, len) != 0;
}

static void
admit(struct ew_job *job, const struct ew_resume *resume)
{
    if (resume->action == EW_RESUME_AMEND) {
        ew_amend_admit(job, resume);
        return;
    }
    job->req.request_id = ew_job_same(job, job->req.request_id, resume->request_id);
    job->ended_by_people = resume->action == EW_RESUME_END && resume->by.topic[0] == '\0';
    job->ended_by_event = resume->action == EW_RESUME_END && !job->ended_by_people;
    if (is_astray(job)) /* somebody else's record key, or partitioner */
        ew_resume_again(job);
    else if (ew_room_entry(job->run, resume->request_id, &resume->source, &job->room_offset))
        fetch_begin(job, job->room_offset, on_fetched);
    else if (resume->waiting_offset >= 0 && !ew_room_saw(job->run, resume->waiting_offset))
        await_room(job, resume->waiting_offset);
    else
        ew_answer_nothing(job, "it no longer waits");
}

/* Again and again, while what it names cannot be read: nothing of it may fill the job's arena. */
void
ew_resume_admit(struct ew_job *job)
{
    struct ew_arena *arena;
    struct ew_resume resume;
    struct ew_err err;

    if (!ew_room_ready(job->run, job))
        return; /* called again when the room is known */
    if (job->record->value == NULL) {
        (void)ew_fail(&err, EW_REJECT, "tombstone", "the value is null");
        ew_answer_dead_letter(job, &err);
        return;
    }
    arena = ew_arena_new(EW_MAX_FLOW_MEMORY);
    if (ew_wire_resume_decode(job->record->value, job->record->value_len, arena, &resume, &err) !=
        EW_OK)
        ew_answer_dead_letter(job, &err);
    else
        admit(job, &resume);
    ew_arena_free(arena);
}

void
ew_room_end(struct ew_job *job)
{
    struct ew_resume resume = {.action = EW_RESUME_END,
                               .request_id = job->target_id,
                               .source = job->target_source,
                               .reason = "stopped-by-revocation",
                               .by = job->source,
                               .waiting_offset = -1};

    if (job->target_state == EW_REC_WAITING)
        ew_room_publish(job->flow, &resume);
}
