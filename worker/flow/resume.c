/*
 * Into the waiting room and out of it: what a job takes along when it leaves, and how a resume
 * record becomes that job again, under its original source.
 */
#include <stdlib.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/memory.h"
#include "job.h"
#include "room.h"

enum {
    SWEEP_MS = 500,
    ABSENT_GRACE_MS = 60000, /* for a STOP to be committed and set */
    READ_UP_MS = 30000,      /* a resume names a record that the room has not read: is it there? */
};

/* --- leaving --- */

static void leave(struct ew_job *job);

static void
on_left(void *arg, enum ew_committed result, int64_t t0_ms, const struct ew_err *err)
{
    struct ew_job *job = ew_job_back(arg);
    struct ew_holder holder;

    (void)t0_ms;
    if (job == NULL)
        return;
    if (result == EW_COMMITTED) {
        holder = ew_job_holder(job);
        ew_room_forget(job);
        ew_store_park(job->flow->store, &holder, EW_REC_WAITING, ew_job_source(job),
                      job->air && !job->unsent, NULL, NULL);
        ew_job_end(job, EW_ST_ANSWERED, "in the waiting room");
        return;
    }
    if (result == EW_COMMIT_LOST) {
        ew_job_drop(job); /* the adopter goes on */
        return;
    }
    EW_LOG(EW_LOG_ERROR, "flow", "Kafka refuses a WAITING record", EW_FAULT_FIELDS(err),
           EW_STR("request_id", job->req.request_id));
    ew_job_retry(job, leave);
}

static void
fill_waiting(struct ew_job *job, const char *first, struct ew_inflight_record *record)
{
    const struct ew_came came = ew_job_came(job);

    if (job->air && !job->unsent)
        ew_job_note_key(job);
    *record = (struct ew_inflight_record){.kind = EW_INFLIGHT_WAITING,
                                          .request_id = job->req.request_id,
                                          .op = job->req.op,
                                          .source = *ew_job_source(job),
                                          .epoch = ew_part_epoch(job->run->part),
                                          .attempt = job->attempt,
                                          .vanished = job->vanished,
                                          .key_count = job->key_count,
                                          .ca_date_ms = job->attempt_date_ms,
                                          .has_ordered = job->air && !job->unsent,
                                          .order_id = job->order_id,
                                          .reason = ew_state_name(job->state),
                                          .due_ms = job->flow->config->time.poll_max_ms,
                                          .since_ms = job->received_ms,
                                          .traceparent = job->req.traceparent,
                                          .tracestate = job->req.tracestate,
                                          .lane = job->lane_of,
                                          .first_source = first};
    memcpy(record->digest, job->digest, sizeof(record->digest));
    memcpy(record->keys, job->keys, sizeof(record->keys));
    ew_came_keep(&came, record);
    if (record->has_ordered)
        record->wrapped_key = job->wrapped;
}

static void
leave(struct ew_job *job)
{
    struct ew_commit commit = {.part = job->run->part,
                               .offset = job->source.offset,
                               .mark = EW_MARK_DONE,
                               .done = on_left};
    struct ew_inflight_record record;
    struct ew_buf key, own_key, value;
    struct ew_err err = {.problem = "overflow"};
    char first[EW_FIRST_TEXT] = "";

    if (job->wait == EW_WAIT_DUPLICATE) /* after a rebuild too the request is that one's */
        ew_first_text(&job->wait_source, first);
    fill_waiting(job, first, &record);
    ew_answer_progress(job, EW_RES_WAITING);
    ew_timer_cancel(&job->timer);
    ew_link_remove(&job->in_list);
    ew_turn_end(&job->turn, false);
    if (job->state != EW_ST_LEAVE)
        ew_job_move(job, EW_ST_LEAVE, "it waits too long to hold its partition");
    ew_buf_init(&key, 1024);
    ew_buf_init(&own_key, 1024);
    ew_buf_init(&value, (size_t)2 * EW_MAX_FLOW_MEMORY);
    ew_wire_inflight_key(job->req.request_id, &record.source, &key);
    if (ew_wire_inflight_encode(&record, &value, &err) != EW_OK || value.overflowed) {
        EW_LOG(EW_LOG_ERROR, "flow", "no WAITING record", EW_FAULT_FIELDS(&err));
        ew_answer_parked(job, "waiting-record-too-large", NULL);
    } else {
        commit.outs[0] = (struct ew_out){.topic = EW_TOPIC_INFLIGHT,
                                         .partition = ew_inflight_partition(job),
                                         .key = key.data,
                                         .key_len = key.len,
                                         .value = value.data,
                                         .value_len = value.len};
        commit.out_count = 1;
        /* The original's WAITING replaces its ORDERING; a resume's own needs a tombstone. */
        if (job->original.topic[0] != '\0') {
            ew_wire_inflight_key(job->req.request_id, &job->source, &own_key);
            commit.outs[commit.out_count++] =
                (struct ew_out){.topic = EW_TOPIC_INFLIGHT,
                                .partition = ew_inflight_partition(job),
                                .key = own_key.data,
                                .key_len = own_key.len};
        }
        commit.arg = ew_job_out(job);
        (void)EW_FAILPOINT(LEAVING, job->req.request_id);
        ew_kafka_commit(job->flow->kafka, &commit);
    }
    ew_buf_deinit(&key);
    ew_buf_deinit(&own_key);
    ew_buf_deinit(&value);
}

/* Idle and waiting for something that may take long. */
static bool
may_leave(const struct ew_job *job)
{
    if (job->dropped || job->refs > 0 || job->call != NULL || job->turn.granted)
        return false;
    switch (job->state) {
    case EW_ST_HELD:
        return true;
    case EW_ST_PENDING: /* who came back for it has asked, or cannot: else nobody ever would */
        return job->original.topic[0] == '\0' || job->tries > 0 || job->turn.told;
    case EW_ST_WAIT_OTHER: /* a target never seen has a time of its own to appear in */
        return job->wait != EW_WAIT_NONE ||
               ew_loop_now(job->flow->loop) - job->wait_since >
                   job->flow->config->time.revocation_wait_ms + ABSENT_GRACE_MS;
    case EW_ST_RECONCILE: /* not before it had its chance, nor in the middle of a long list that
                             goes on: in the room everything begins anew */
        return job->search.quiet_until != 0 &&
               (!ew_link_linked(&job->in_list) || ew_scan_held(&job->setting->scan)) &&
               ew_loop_now(job->flow->loop) > job->search.chance_until;
    case EW_ST_QUEUE:
        return job->turn.told; /* the account is paused */
    default:
        return false;
    }
}

/* Of those who came back under one request id the first event may stand behind its duplicate, which
 * waits for it. */
static bool
in_the_way(const struct ew_job *job)
{
    return job->wait == EW_WAIT_DUPLICATE && job->original.topic[0] != '\0' && job->lane != NULL &&
           ew_list_next(&job->lane->jobs, &job->in_key) != NULL;
}

/* Jobs that wait for long, and what they take of their partition's budget. */
struct waiters {
    int64_t items, bytes;
};

static void
count_waiter(struct waiters *waiters, const struct ew_job *job, int sign)
{
    waiters->items += sign;
    waiters->bytes += sign * (int64_t)ew_record_bytes(job->record);
}

/* It goes by itself, and not into the room: it only counts among those that take room here. */
static bool
amends(const struct ew_job *job)
{
    return job->revoke_order != NULL && job->req.op == EW_OP_NONE && !job->dropped;
}

static bool
take_a_quarter(const struct waiters *waiters, const struct ew_config *config)
{
    return waiters->items * 4 >= config->kafka.partition_items ||
           waiters->bytes * 4 >= config->kafka.partition_bytes;
}

static void
sweep_run(struct ew_run *run)
{
    const struct ew_flow *flow = run->flow;
    int64_t now = ew_loop_now(flow->loop), limit = flow->config->time.hold_max_ms;
    struct waiters waiters = {0, 0};
    struct ew_link *link, *next;

    for (link = ew_list_first(&run->jobs); link != NULL; link = ew_list_next(&run->jobs, link)) {
        const struct ew_job *job = EW_CONTAINER(link, struct ew_job, in_run);

        if (may_leave(job) || amends(job))
            count_waiter(&waiters, job, 1);
    }
    for (link = ew_list_first(&run->jobs); link != NULL; link = next) {
        struct ew_job *job = EW_CONTAINER(link, struct ew_job, in_run);

        next = ew_list_next(&run->jobs, link);
        if (!may_leave(job))
            continue;
        if (now - job->received_boot > limit || in_the_way(job) ||
            take_a_quarter(&waiters, flow->config)) {
            count_waiter(&waiters, job, -1);
            leave(job); /* the list is in order of arrival: the oldest first */
        }
    }
}

static void
on_sweep(void *arg)
{
    struct ew_flow *flow = arg;

    if (!flow->draining)
        for (struct ew_link *r = ew_list_first(&flow->runs); r != NULL;
             r = ew_list_next(&flow->runs, r))
            sweep_run(EW_CONTAINER(r, struct ew_run, link));
    ew_timer_start(&flow->sweep_timer, SWEEP_MS);
}

void
ew_room_sweep(struct ew_flow *flow)
{
    ew_timer_init(&flow->sweep_timer, flow->loop, on_sweep, flow);
    ew_timer_start(&flow->sweep_timer, SWEEP_MS);
}

/* --- coming back --- */

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

    job->original = record->source;
    job->lane_of = record->lane;
    keep_event(job, record);
    job->attempt = record->attempt;
    job->vanished = record->kind == EW_INFLIGHT_PARKED ? 1 : record->vanished;
    job->attempt_date_ms = record->ca_date_ms;
    job->received_ms = record->since_ms;
    memcpy(job->keys, record->keys, sizeof(job->keys));
    job->key_count = record->key_count;
    /* One that had begun ordered anew: Redis knows that attempt's order and key. */
    job->order_id = job->record->started ? "" : ew_job_text(job, record->order_id);
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

void
ew_resume_admit(struct ew_job *job)
{
    struct ew_resume resume;
    struct ew_err err;

    if (!ew_room_ready(job->run, job))
        return; /* called again when the room is known */
    if (job->record->value == NULL ||
        ew_wire_resume_decode(job->record->value, job->record->value_len, job->arena, &resume,
                              &err) != EW_OK) {
        if (job->record->value == NULL)
            (void)ew_fail(&err, EW_REJECT, "tombstone", "the value is null");
        ew_answer_dead_letter(job, &err);
        return;
    }
    if (resume.action == EW_RESUME_AMEND) {
        ew_amend_admit(job, &resume);
        return;
    }
    job->req.request_id = resume.request_id;
    job->ended_by_people = resume.action == EW_RESUME_END;
    if (is_astray(job)) /* somebody else's record key, or partitioner */
        ew_resume_again(job);
    else if (ew_room_entry(job->run, resume.request_id, &resume.source, &job->room_offset))
        fetch_begin(job, job->room_offset, on_fetched);
    else if (resume.waiting_offset >= 0 && !ew_room_saw(job->run, resume.waiting_offset))
        await_room(job, resume.waiting_offset);
    else
        ew_answer_nothing(job, "it no longer waits");
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
