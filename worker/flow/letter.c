/*
 * What has no answer: dead letters and parked records. The event's own record, unchanged, with the
 * story in headers beside its own, in the transaction that marks it done; a parked one also lies in
 * epki.inflight, from where people bring it back.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/memory.h"
#include "job.h"
#include "room.h"

static void submit_dead(struct ew_job *job);
static void submit_parked(struct ew_job *job);

static void
on_committed(void *arg, enum ew_committed result, int64_t t0_ms, const struct ew_err *err)
{
    struct ew_job *job = ew_job_back(arg);
    struct ew_holder holder;

    (void)t0_ms;
    if (job == NULL)
        return;
    switch (result) {
    case EW_COMMITTED:
        (void)EW_FAILPOINT(ANSWER_KNOWN, job->req.request_id);
        ew_room_forget(job);
        holder = ew_job_holder(job);
        if (job->parked)
            ew_store_park(job->flow->store, &holder, EW_REC_PARKED, ew_job_source(job), job->air,
                          NULL, NULL);
        ew_job_end(job, EW_ST_ANSWERED, job->letter_problem);
        return;
    case EW_COMMIT_LOST:
        ew_job_drop(job);
        return;
    case EW_COMMIT_STALE:
    case EW_COMMIT_REFUSED:
        EW_LOG(EW_LOG_ERROR, "flow", "Kafka refuses a record without an answer",
               EW_FAULT_FIELDS(err), EW_STR("request_id", job->req.request_id));
        job->reductions += ew_may_be_too_large(err);
        ew_job_retry(job, job->parked ? submit_parked : submit_dead);
        return;
    }
}

/* --- the letter --- */

enum {
    LETTER_HEADERS = 16, /* beside the record's own */
};

struct letter {
    struct ew_arena *scratch; /* of its texts */
    struct ew_header *headers;
    size_t count;
};

/* value: lives as long as the letter. */
static void
add_header(struct letter *letter, const char *name, const char *value)
{
    letter->headers[letter->count++] =
        (struct ew_header){.name = name, .value = value, .len = strlen(value)};
}

static void
add_number(struct letter *letter, const char *name, int64_t value)
{
    char text[24];
    const char *copy;

    (void)snprintf(text, sizeof(text), "%lld", (long long)value);
    copy = ew_arena_strdup(letter->scratch, text);
    add_header(letter, name, copy == NULL ? "" : copy);
}

static void
letter_begin(const struct ew_job *job, struct letter *letter, const char *stage, const char *state)
{
    const struct ew_source *source = ew_job_source(job);
    const struct ew_came came = ew_job_came(job);
    const char *order_id = job->letter_order != NULL ? job->letter_order : job->order_id;

    letter->scratch = ew_arena_new(EW_MAX_FLOW_MEMORY);
    letter->headers = ew_calloc(came.header_count + LETTER_HEADERS, sizeof(*letter->headers));
    letter->count = 0;
    for (size_t i = 0; i < came.header_count; i++)
        letter->headers[letter->count++] = came.headers[i];
    add_header(letter, "__connect.errors.topic", source->topic);
    add_number(letter, "__connect.errors.partition", source->partition);
    add_number(letter, "__connect.errors.offset", source->offset);
    add_header(letter, "__connect.errors.stage", stage);
    add_header(letter, "__connect.errors.exception.class.name", job->letter_problem);
    add_header(letter, "__connect.errors.exception.message",
               job->letter_message != NULL ? job->letter_message : job->letter_problem);
    if (job->req.request_id != NULL)
        add_header(letter, "x-request-id", job->req.request_id);
    add_number(letter, "x-attempt", job->attempt);
    add_header(letter, "x-state", state);
    if (order_id[0] != '\0')
        add_header(letter, "x-ca-order-id", order_id);
    add_number(letter, "x-first-seen", job->received_ms);
    add_header(letter, "x-worker", job->flow->options.instance);
    add_header(letter, "x-group", job->flow->config->kafka.group);
    if (came.headers_left_out > 0) /* too large or too many to be kept while it waited */
        add_number(letter, "x-headers-left-out", came.headers_left_out);
}

static void
letter_end(struct letter *letter)
{
    free(letter->headers);
    ew_arena_free(letter->scratch);
}

/* The record's own, unless the broker refused it: a time that it takes in one topic may be too far
 * off for another. */
static int64_t
letter_time(const struct ew_job *job)
{
    return job->reductions == 0 ? ew_job_came(job).timestamp_ms : 0;
}

static void
commit_letter(struct ew_job *job, enum ew_topic topic, const struct letter *letter,
              struct ew_commit *commit)
{
    const struct ew_came came = ew_job_came(job);

    commit->part = job->run->part;
    commit->offset = job->source.offset;
    commit->mark = EW_MARK_DONE;
    commit->done = on_committed;
    commit->outs[commit->out_count++] = (struct ew_out){.topic = topic,
                                                        .partition = -1,
                                                        .key = came.key.data,
                                                        .key_len = came.key.len,
                                                        .value = came.value.data,
                                                        .value_len = came.value.len,
                                                        .timestamp_ms = letter_time(job),
                                                        .headers = letter->headers,
                                                        .header_count = letter->count};
    commit->arg = ew_job_out(job);
    (void)EW_FAILPOINT(PARKING, job->req.request_id);
    ew_kafka_commit(job->flow->kafka, commit);
}

static void
submit_dead(struct ew_job *job)
{
    struct letter letter;
    struct ew_commit commit = {.out_count = 0};
    struct ew_buf own_key, key;

    letter_begin(job, &letter, "decode", "poison");
    ew_buf_init(&own_key, 1024);
    ew_buf_init(&key, 1024);
    /* What waited in the room must not come back as the same letter again. */
    if (job->original.topic[0] != '\0') {
        ew_publish_tombstone(job, &commit, job->req.request_id, &job->source, &own_key);
        ew_publish_tombstone(job, &commit, job->req.request_id, &job->original, &key);
    }
    commit_letter(job, EW_TOPIC_DEAD_LETTERS, &letter, &commit);
    letter_end(&letter);
    ew_buf_deinit(&own_key);
    ew_buf_deinit(&key);
}

void
ew_answer_dead_letter(struct ew_job *job, const struct ew_err *err)
{
    char message[400];

    (void)snprintf(message, sizeof(message), "%s%s%s", err->field, err->field[0] ? ": " : "",
                   err->detail);
    job->letter_problem = err->problem;
    job->letter_message = ew_job_text(job, message);
    ew_metric_add(job->flow->metrics, EW_METRIC_DEAD_LETTERS, 0, 1);
    ew_job_move(job, EW_ST_PUBLISH, err->problem);
    submit_dead(job);
}

static void
fill_parked(struct ew_job *job, const char *first, struct ew_inflight_record *record)
{
    const struct ew_came came = ew_job_came(job);

    if (job->air)
        ew_job_note_key(job);
    *record = (struct ew_inflight_record){.kind = EW_INFLIGHT_PARKED,
                                          .request_id = job->req.request_id,
                                          .op = job->req.op,
                                          .source = *ew_job_source(job),
                                          .attempt = job->attempt,
                                          .key_count = job->key_count,
                                          .ca_date_ms = job->attempt_date_ms,
                                          .order_id = job->order_id,
                                          .lost_orders = job->lost_orders,
                                          .misfit = job->misfit,
                                          .reason = job->letter_problem,
                                          .has_ordered = job->air,
                                          .since_ms = job->received_ms,
                                          .lane = job->lane_of,
                                          .traceparent = job->req.traceparent,
                                          .tracestate = job->req.tracestate,
                                          .first_source = first};
    memcpy(record->digest, job->digest, sizeof(record->digest));
    memcpy(record->keys, job->keys, sizeof(record->keys));
    ew_came_keep(&came, record);
    if (job->air)
        record->wrapped_key = job->wrapped;
}

static void
submit_parked(struct ew_job *job)
{
    struct letter letter;
    struct ew_commit commit = {.out_count = 0};
    struct ew_inflight_record record;
    struct ew_buf key, own_key, value;
    struct ew_err err = {.problem = "overflow"};
    char first[EW_FIRST_TEXT];

    ew_first_text(&job->letter_first, first);
    fill_parked(job, first, &record);
    letter_begin(job, &letter, "flow", "parked");
    if (first[0] != '\0')
        add_header(&letter, "x-duplicate-of", first);
    ew_buf_init(&key, 1024);
    ew_buf_init(&own_key, 1024);
    ew_buf_init(&value, (size_t)2 * EW_MAX_FLOW_MEMORY);
    /* In place of its ORDERING or WAITING; what a resume wrote under its own name goes. */
    ew_wire_inflight_key(job->req.request_id, &record.source, &key);
    if (job->original.topic[0] != '\0')
        ew_publish_tombstone(job, &commit, job->req.request_id, &job->source, &own_key);
    if (ew_wire_inflight_encode(&record, &value, &err) == EW_OK && !value.overflowed)
        commit.outs[commit.out_count++] = (struct ew_out){.topic = EW_TOPIC_INFLIGHT,
                                                          .partition = ew_inflight_partition(job),
                                                          .key = key.data,
                                                          .key_len = key.len,
                                                          .value = value.data,
                                                          .value_len = value.len};
    else
        EW_LOG(EW_LOG_ERROR, "flow", "no PARKED record", EW_FAULT_FIELDS(&err),
               EW_STR("request_id", job->req.request_id));
    commit_letter(job, EW_TOPIC_PARKED, &letter, &commit);
    letter_end(&letter);
    ew_buf_deinit(&key);
    ew_buf_deinit(&own_key);
    ew_buf_deinit(&value);
}

void
ew_answer_parked(struct ew_job *job, const char *reason, const struct ew_source *first)
{
    job->parked = true;
    job->letter_problem = reason;
    if (first != NULL)
        job->letter_first = *first;
    ew_turn_end(&job->turn, false);
    ew_job_move(job, EW_ST_PUBLISH, reason);
    EW_LOG(EW_LOG_ERROR, "flow", "parked: a person decides",
           EW_STR("request_id", job->req.request_id), EW_STR("why", reason));
    ew_metric_add(job->flow->metrics, EW_METRIC_PARKED_EVENTS, 0, 1);
    submit_parked(job);
}
