/*
 * The answer's transaction: event with its headers, state record, tombstone, rewritten target and
 * the mark DONE together; then Redis; then the job ends. A duplicate in Redis' debt heals itself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "job.h"

static void submit(struct ew_job *job);
static void submit_dead(struct ew_job *job);
static void submit_parked(struct ew_job *job);

/* --- after the commit --- */

static void
tell_redis(struct ew_job *job)
{
    struct ew_holder holder = ew_job_holder(job);

    if (job->answer_state.len > 0)
        ew_store_done(job->flow->store, &holder, job->digest, &job->answer_state, &job->index, NULL,
                      NULL);
    if (job->rewrite_state.len > 0)
        ew_store_rewrite(job->flow->store, job->target_id, job->rewrite_version,
                         &job->rewrite_state, NULL, NULL);
    if (job->parked)
        ew_store_park(job->flow->store, &holder, EW_REC_PARKED, ew_job_source(job), job->air, NULL,
                      NULL);
}

static void
count(struct ew_job *job)
{
    struct ew_metrics *metrics = job->flow->metrics;

    if (job->mark_only || job->dead || job->parked)
        return;
    ew_metric_add(metrics, EW_METRIC_EVENTS_PUBLISHED, (int)job->event.result, 1);
    ew_metric_observe(metrics, EW_METRIC_REQUEST_DURATION, (int)job->req.op,
                      ew_loop_now(job->flow->loop) - job->received_boot);
}

static void
on_committed(void *arg, enum ew_committed result, int64_t t0_ms, const struct ew_err *err)
{
    struct ew_job *job = ew_job_back(arg);

    (void)t0_ms;
    if (job == NULL)
        return;
    switch (result) {
    case EW_COMMITTED:
        (void)EW_FAILPOINT(ANSWER_KNOWN, job->req.request_id);
        ew_room_forget(job);
        tell_redis(job);
        count(job);
        ew_job_end(job, EW_ST_ANSWERED, job->mark_only ? "" : ew_result_name(job->event.result));
        return;
    case EW_COMMIT_LOST:
        ew_job_drop(job);
        return;
    case EW_COMMIT_STALE:
    case EW_COMMIT_REFUSED:
        EW_LOG(EW_LOG_ERROR, "flow", "Kafka refuses an answer", EW_FAULT_FIELDS(err),
               EW_STR("request_id", job->req.request_id));
        if (job->dead || job->parked) {
            job->reductions += strcmp(err->problem, "topic-closed") != 0;
            ew_job_retry(job, job->dead ? submit_dead : submit_parked);
            return;
        }
        if (strcmp(err->problem, "topic-closed") != 0) /* then size is not the cause */
            ew_answer_reduce(job); /* tried for ever then: the alarm is the log and age */
        ew_job_retry(job, submit);
        return;
    }
}

/* --- building --- */

/* What is built for one commit, and copied by it: it may be built again and again. */
static struct ew_arena *
scratch_new(void)
{
    struct ew_arena *scratch = ew_arena_new(EW_MAX_FLOW_MEMORY);

    if (scratch == NULL)
        abort();
    return scratch;
}

static size_t
headers_of(const struct ew_job *job, const struct ew_event *event, struct ew_arena *scratch,
           struct ew_header out[EW_MAX_HEADERS])
{
    struct ew_pair pairs[EW_MAX_HEADERS];
    size_t count = ew_wire_event_headers(event, job->flow->config->kafka.group,
                                         job->req.traceparent, job->req.tracestate, scratch, pairs);

    for (size_t i = 0; i < count; i++)
        out[i] = (struct ew_header){
            .name = pairs[i].name, .value = pairs[i].value, .len = strlen(pairs[i].value)};
    return count;
}

/* The record key of an event is the request's own: what belongs together stays in order. */
static void
key_of(const struct ew_job *job, struct ew_out *out)
{
    out->key = job->record->key;
    out->key_len = job->record->key_len;
    if (out->key == NULL || out->key_len == 0) {
        out->key = job->req.request_id;
        out->key_len = strlen(job->req.request_id);
    }
    if (job->original_key.len > 0) {
        out->key = job->original_key.data;
        out->key_len = job->original_key.len;
    }
}

static void
add_text_keyed(struct ew_commit *commit, enum ew_topic topic, const char *key,
               const struct ew_blob *value)
{
    commit->outs[commit->out_count++] = (struct ew_out){.topic = topic,
                                                        .partition = -1,
                                                        .key = key,
                                                        .key_len = strlen(key),
                                                        .value = value->data,
                                                        .value_len = value->len};
}

static void
add_tombstone(struct ew_job *job, struct ew_commit *commit, const char *request_id,
              const struct ew_source *source, struct ew_buf *key)
{
    int32_t partition =
        ew_kafka_partition_of(job->flow->kafka, EW_TOPIC_INFLIGHT, request_id, strlen(request_id));

    ew_wire_inflight_key(request_id, source, key);
    commit->outs[commit->out_count++] = (struct ew_out){
        .topic = EW_TOPIC_INFLIGHT, .partition = partition, .key = key->data, .key_len = key->len};
}

/* A certificate was ended, and its state record does not say so. */
static bool
leaves_undone(const struct ew_job *job)
{
    return job->amend && job->revoke_order != NULL && !job->mark_only &&
           (job->event.result == EW_RES_REVOKED || job->event.result == EW_RES_REMOVED);
}

static void
submit(struct ew_job *job)
{
    struct ew_commit commit = {.part = job->run->part,
                               .offset = job->source.offset,
                               .mark = EW_MARK_DONE,
                               .done = on_committed};
    struct ew_header headers[EW_MAX_HEADERS];
    struct ew_arena *scratch = scratch_new();
    struct ew_buf value, own_key, original_key, stop_key, amend;
    struct ew_err err = {.problem = "overflow"};

    ew_buf_init(&value, EW_MAX_FLOW_MEMORY);
    ew_buf_init(&own_key, 1024);
    ew_buf_init(&original_key, 1024);
    ew_buf_init(&stop_key, 1024);
    ew_buf_init(&amend, 4096);
    if (!job->mark_only) {
        if (ew_wire_event_encode(&job->event, &value, &err) != EW_OK || value.overflowed) {
            EW_LOG(EW_LOG_ERROR, "flow", "no event", EW_FAULT_FIELDS(&err),
                   EW_STR("request_id", job->req.request_id));
            ew_answer_reduce(job);
            ew_job_retry(job, submit);
            goto out;
        }
        commit.outs[0] =
            (struct ew_out){.topic = EW_TOPIC_EVENTS,
                            .partition = -1,
                            .value = value.data,
                            .value_len = value.len,
                            .headers = headers,
                            .header_count = headers_of(job, &job->event, scratch, headers)};
        key_of(job, &commit.outs[0]);
        commit.out_count = 1;
    }
    if (job->answer_state.len > 0)
        add_text_keyed(&commit, EW_TOPIC_STATE, job->req.request_id, &job->answer_state);
    if (job->rewrite_state.len > 0)
        add_text_keyed(&commit, EW_TOPIC_STATE, job->target_id, &job->rewrite_state);
    if (job->ordering || job->record->started)
        add_tombstone(job, &commit, job->req.request_id, &job->source, &own_key);
    if (job->original.topic[0] != '\0' && !job->mark_only)
        add_tombstone(job, &commit, job->req.request_id, &job->original, &original_key);
    /* Answered, so no longer to be stopped; or our own STOP, whose target appeared after all. */
    if (job->stopped)
        add_tombstone(job, &commit, job->req.request_id, &job->stopped_by, &stop_key);
    else if (job->absent_stop && job->target_state != EW_REC_ABSENT)
        add_tombstone(job, &commit, job->target_id, &job->source, &stop_key);
    if (leaves_undone(job) && ew_amend_out(job, &amend, &commit.outs[commit.out_count]))
        commit.out_count++;
    commit.arg = ew_job_out(job);
    ew_kafka_commit(job->flow->kafka, &commit);
out:
    ew_buf_deinit(&value);
    ew_buf_deinit(&own_key);
    ew_buf_deinit(&original_key);
    ew_buf_deinit(&stop_key);
    ew_buf_deinit(&amend);
    ew_arena_free(scratch);
}

void
ew_publish(struct ew_job *job)
{
    ew_turn_end(&job->turn, false);
    ew_job_move(job, EW_ST_PUBLISH, job->mark_only ? "nothing" : ew_result_name(job->event.result));
    submit(job);
}

/* --- progress: fenced like everything else, waited for by nobody --- */

static void
on_progress(void *arg, enum ew_committed result, int64_t t0_ms, const struct ew_err *err)
{
    (void)arg, (void)result, (void)t0_ms, (void)err; /* progress may be lost */
}

void
ew_publish_progress(struct ew_job *job, const struct ew_event *event)
{
    struct ew_commit commit = {.part = job->run->part,
                               .offset = job->source.offset,
                               .mark = EW_MARK_NONE,
                               .done = on_progress};
    struct ew_header headers[EW_MAX_HEADERS];
    struct ew_arena *scratch = scratch_new();
    struct ew_buf value;
    struct ew_err err;

    ew_buf_init(&value, EW_MAX_FLOW_MEMORY);
    if (ew_wire_event_encode(event, &value, &err) == EW_OK && !value.overflowed) {
        commit.outs[0] = (struct ew_out){.topic = EW_TOPIC_EVENTS,
                                         .partition = -1,
                                         .value = value.data,
                                         .value_len = value.len,
                                         .headers = headers,
                                         .header_count = headers_of(job, event, scratch, headers)};
        key_of(job, &commit.outs[0]);
        commit.out_count = 1;
        ew_kafka_commit(job->flow->kafka, &commit);
        ew_metric_add(job->flow->metrics, EW_METRIC_EVENTS_PUBLISHED, (int)event->result, 1);
    }
    ew_buf_deinit(&value);
    ew_arena_free(scratch);
}

/* --- dead letters and parked records: bytes unchanged, the story in the headers --- */

/* Of the event itself, where the job came back from the waiting room. */
static struct ew_blob
original_key(const struct ew_job *job)
{
    return job->original.topic[0] != '\0'
               ? job->original_key
               : (struct ew_blob){.data = job->record->key, .len = job->record->key_len};
}

static struct ew_blob
original_value(const struct ew_job *job)
{
    return job->original.topic[0] != '\0'
               ? job->original_value
               : (struct ew_blob){.data = job->record->value, .len = job->record->value_len};
}

enum {
    LETTER_HEADERS = 16, /* beside the record's own */
    FIRST_TEXT = 320,    /* topic/partition/offset */
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
letter_begin(const struct ew_job *job, struct letter *letter, const char *stage,
             const char *message, const char *state)
{
    const struct ew_source *source = ew_job_source(job);

    letter->scratch = scratch_new();
    letter->headers = calloc(job->record->header_count + LETTER_HEADERS, sizeof(*letter->headers));
    if (letter->headers == NULL)
        abort();
    letter->count = 0;
    for (size_t i = 0; i < job->record->header_count; i++)
        letter->headers[letter->count++] = job->record->headers[i];
    add_header(letter, "__connect.errors.topic", source->topic);
    add_number(letter, "__connect.errors.partition", source->partition);
    add_number(letter, "__connect.errors.offset", source->offset);
    add_header(letter, "__connect.errors.stage", stage);
    add_header(letter, "__connect.errors.exception.class.name", job->letter_problem);
    add_header(letter, "__connect.errors.exception.message", message);
    if (job->req.request_id != NULL)
        add_header(letter, "x-request-id", job->req.request_id);
    add_number(letter, "x-attempt", job->attempt);
    add_header(letter, "x-state", state);
    if (job->order_id[0] != '\0')
        add_header(letter, "x-ca-order-id", job->order_id);
    add_number(letter, "x-first-seen", job->received_ms);
    add_header(letter, "x-worker", job->flow->options.instance);
    add_header(letter, "x-group", job->flow->config->kafka.group);
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
    bool kept =
        job->original.topic[0] == '\0' && job->reductions == 0 && job->record->timestamp_ms > 0;

    return kept ? job->record->timestamp_ms : 0;
}

static void
commit_letter(struct ew_job *job, enum ew_topic topic, const struct letter *letter,
              struct ew_commit *commit)
{
    struct ew_blob key = original_key(job), text = original_value(job);

    commit->part = job->run->part;
    commit->offset = job->source.offset;
    commit->mark = EW_MARK_DONE;
    commit->done = on_committed;
    commit->outs[commit->out_count++] = (struct ew_out){.topic = topic,
                                                        .partition = -1,
                                                        .key = key.data,
                                                        .key_len = key.len,
                                                        .value = text.data,
                                                        .value_len = text.len,
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

    letter_begin(job, &letter, "decode", job->letter_message, "poison");
    ew_buf_init(&own_key, 1024);
    ew_buf_init(&key, 1024);
    /* What waited in the room must not come back as the same letter again. */
    if (job->original.topic[0] != '\0') {
        add_tombstone(job, &commit, job->req.request_id, &job->source, &own_key);
        add_tombstone(job, &commit, job->req.request_id, &job->original, &key);
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
    job->dead = true;
    job->letter_problem = err->problem;
    job->letter_message = ew_job_text(job, message);
    ew_metric_add(job->flow->metrics, EW_METRIC_DEAD_LETTERS, 0, 1);
    ew_job_move(job, EW_ST_PUBLISH, err->problem);
    submit_dead(job);
}

static void
fill_parked(struct ew_job *job, const char *first, struct ew_inflight_record *record)
{
    if (job->air)
        ew_job_note_key(job);
    *record = (struct ew_inflight_record){.kind = EW_INFLIGHT_PARKED,
                                          .request_id = job->req.request_id,
                                          .op = job->req.op,
                                          .source = *ew_job_source(job),
                                          .attempt = job->attempt,
                                          .key_count = job->key_count,
                                          .ca_date_ms = ew_reconcile_since(job),
                                          .order_id = job->order_id,
                                          .reason = job->letter_problem,
                                          .has_ordered = job->air,
                                          .since_ms = job->received_ms,
                                          .lane = job->lane_of,
                                          .traceparent = job->req.traceparent,
                                          .tracestate = job->req.tracestate,
                                          .record_key = original_key(job),
                                          .record_value = original_value(job),
                                          .first_source = first};
    memcpy(record->digest, job->digest, sizeof(record->digest));
    memcpy(record->keys, job->keys, sizeof(record->keys));
    if (job->air)
        record->wrapped_key = job->wrapped;
}

/* The event that a parked one repeats, "" = none. */
static void
first_text(const struct ew_job *job, char out[FIRST_TEXT])
{
    const struct ew_source *first = &job->letter_first;

    out[0] = '\0';
    if (first->topic[0] != '\0')
        (void)snprintf(out, FIRST_TEXT, "%s/%d/%lld", first->topic, first->partition,
                       (long long)first->offset);
}

static void
submit_parked(struct ew_job *job)
{
    struct letter letter;
    struct ew_commit commit = {.out_count = 0};
    struct ew_inflight_record record;
    struct ew_buf key, own_key, value;
    struct ew_err err = {.problem = "overflow"};
    char first[FIRST_TEXT];

    first_text(job, first);
    fill_parked(job, first, &record);
    letter_begin(job, &letter, "flow", job->letter_problem, "parked");
    if (first[0] != '\0')
        add_header(&letter, "x-duplicate-of", first);
    ew_buf_init(&key, 1024);
    ew_buf_init(&own_key, 1024);
    ew_buf_init(&value, (size_t)2 * EW_MAX_FLOW_MEMORY);
    /* In place of its ORDERING or WAITING; what a resume wrote under its own name goes. */
    ew_wire_inflight_key(job->req.request_id, &record.source, &key);
    if (job->original.topic[0] != '\0')
        add_tombstone(job, &commit, job->req.request_id, &job->source, &own_key);
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
