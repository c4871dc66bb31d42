/*
 * The answer's transaction: event with its headers, state record, tombstone, rewritten target and
 * the mark DONE together; then Redis; then the job ends. A duplicate in Redis' debt heals itself.
 */
#include <stdlib.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "job.h"
#include "room.h"

static void submit(struct ew_job *job);

/* --- after the commit --- */

static void
tell_redis(struct ew_job *job)
{
    struct ew_holder holder = ew_job_holder(job);

    /* As a rebuild restores it: whoever reads the original again, or resumes it, knows it by that.
     */
    if (job->original.topic[0] != '\0')
        holder.source = job->original;
    if (job->answer_state.len > 0)
        ew_store_done(job->flow->store, &holder, job->digest, &job->answer_state, &job->index, NULL,
                      NULL);
    if (job->rewrite_state.len > 0)
        ew_store_rewrite(job->flow->store, job->target_id, job->rewrite_version,
                         &job->rewrite_state, NULL, NULL);
}

static void
count(struct ew_job *job)
{
    struct ew_metrics *metrics = job->flow->metrics;

    if (job->mark_only)
        return;
    ew_metric_add(metrics, EW_METRIC_EVENTS_PUBLISHED, (int)job->event.result, 1);
    ew_metric_observe(metrics, EW_METRIC_REQUEST_DURATION, (int)job->req.op,
                      ew_loop_now(job->flow->loop) - job->received_boot);
}

bool
ew_may_be_too_large(const struct ew_err *err)
{
    return strcmp(err->problem, "topic-closed") != 0 && strcmp(err->problem, "map-too-long") != 0;
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
        if (ew_may_be_too_large(err))
            ew_answer_reduce(job); /* tried for ever then: the alarm is the log and age */
        ew_job_retry(job, submit);
        return;
    }
}

/* --- building --- */

/* What is built for one commit, and copied by it: it may be built again and again. */
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
    if (job->came.key.len > 0) {
        out->key = job->came.key.data;
        out->key_len = job->came.key.len;
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

void
ew_publish_tombstone(const struct ew_job *job, struct ew_commit *commit, const char *request_id,
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
    struct ew_arena *scratch = ew_arena_new(EW_MAX_FLOW_MEMORY);
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
    /* In doubt its start may be forgotten, and its record there all the same. */
    if ((job->ordering || job->record->started || job->record->doubt) && !job->elsewhere)
        ew_publish_tombstone(job, &commit, job->req.request_id, &job->source, &own_key);
    if (job->original.topic[0] != '\0' && !job->mark_only)
        ew_publish_tombstone(job, &commit, job->req.request_id, &job->original, &original_key);
    /* Answered, so no longer to be stopped; or our own STOP, whose target appeared after all. */
    if (job->stopped && !job->elsewhere)
        ew_publish_tombstone(job, &commit, job->req.request_id, &job->stopped_by, &stop_key);
    else if (job->absent_stop && job->target_state != EW_REC_ABSENT)
        ew_publish_tombstone(job, &commit, job->target_id, &job->source, &stop_key);
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
    struct ew_arena *scratch = ew_arena_new(EW_MAX_FLOW_MEMORY);
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
