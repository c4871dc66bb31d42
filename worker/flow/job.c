/*
 * Jobs, the lanes of their keys, and the runs of partitions: who lives how long, and the one
 * function that moves a job from state to state.
 */
#include "job.h"
#include "room.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/without.h"
#include "x509/digest.h"

/* --- runs --- */

void
ew_run_new(struct ew_flow *flow, struct ew_part *part)
{
    struct ew_run *run = ew_calloc(1, sizeof(*run));

    run->keys = ew_table_new();
    run->flow = flow;
    run->part = ew_part_ref(part);
    ew_list_init(&run->jobs);
    ew_list_append(&flow->runs, &run->link);
    ew_room_open(run);
}

struct ew_run *
ew_run_find(struct ew_flow *flow, const struct ew_part *part)
{
    for (struct ew_link *l = ew_list_first(&flow->runs); l != NULL;
         l = ew_list_next(&flow->runs, l)) {
        struct ew_run *run = EW_CONTAINER(l, struct ew_run, link);

        if (run->part == part)
            return run;
    }
    return NULL;
}

static void
free_lane(void *ctx, const char *name, void *lane)
{
    (void)ctx;
    (void)name;
    free(lane);
}

static void
run_free_if_empty(struct ew_run *run)
{
    if (!run->lost || run->job_count > 0)
        return;
    ew_link_remove(&run->link);
    ew_table_each(run->keys, free_lane, NULL);
    ew_table_free(run->keys);
    ew_part_unref(run->part);
    free(run);
}

void
ew_run_lose(struct ew_run *run)
{
    struct ew_link *link, *next;

    run->lost = true;
    ew_room_close(run);
    run->job_count++; /* keeps the run while its jobs go */
    for (link = ew_list_first(&run->jobs); link != NULL; link = next) {
        next = ew_list_next(&run->jobs, link);
        ew_job_drop(EW_CONTAINER(link, struct ew_job, in_run));
    }
    run->job_count--;
    run_free_if_empty(run);
}

void
ew_run_free(struct ew_run *run)
{
    struct ew_link *link;

    run->lost = true;
    ew_room_close(run);
    run->job_count++;
    while ((link = ew_list_first(&run->jobs)) != NULL) {
        struct ew_job *job = EW_CONTAINER(link, struct ew_job, in_run);

        /* Nobody calls back any more. */
        if (job->call != NULL)
            ew_ca_call_cancel(job->call);
        job->call = NULL;
        job->refs = 0;
        job->dropped = true;
        ew_job_end(job, EW_ST_DROPPED, "the worker ends");
    }
    run->job_count--;
    run_free_if_empty(run);
}

/* --- jobs --- */

static void
name_lane(const void *key, size_t len, char name[65])
{
    uint8_t digest[32];

    ew_sha256(key, len, digest);
    ew_hex_encode(digest, sizeof(digest), name);
}

bool
ew_run_busy_with(const struct ew_run *run, const char *record_key)
{
    char name[65];

    name_lane(record_key, strlen(record_key), name);
    return ew_table_get(run->keys, name) != NULL;
}

static void
join_lane(struct ew_job *job)
{
    struct ew_run *run = job->run;
    struct ew_key_lane *lane;
    char name[65];

    if (job->record->key == NULL || job->record->key_len == 0 || EW_WITHOUT(KEY_LANE))
        return; /* without a key there is no order to keep */
    name_lane(job->record->key, job->record->key_len, name);
    lane = ew_table_get(run->keys, name);
    if (lane == NULL) {
        lane = ew_calloc(1, sizeof(*lane));
        memcpy(lane->name, name, sizeof(name));
        ew_list_init(&lane->jobs);
        ew_table_put(run->keys, name, lane);
    }
    job->lane = lane;
    ew_list_append(&lane->jobs, &job->in_key);
}

static void
on_timer(void *arg)
{
    struct ew_job *job = arg;
    void (*fn)(struct ew_job *) = job->on_timer;

    job->on_timer = NULL;
    fn(job);
}

struct ew_job *
ew_job_new(struct ew_run *run, struct ew_record *record)
{
    struct ew_job *job = ew_calloc(1, sizeof(*job));
    struct ew_flow *flow = run->flow;

    job->arena = ew_arena_new(EW_MAX_FLOW_MEMORY);
    job->flow = flow;
    job->run = run;
    job->record = record;
    job->air = record->started || record->doubt;
    (void)snprintf(job->source.topic, sizeof(job->source.topic), "%s", ew_part_topic(run->part));
    job->source.partition = ew_part_number(run->part);
    job->source.offset = record->offset;
    job->lane_of = ew_part_lane(run->part);
    job->received_ms = ew_wall_ms(flow->options.clock);
    job->received_boot = job->since_ms = ew_loop_now(flow->loop);
    job->order_id = job->lost_orders = job->wait_id = job->target_id = "";
    job->room_offset = -1;
    ew_timer_init(&job->timer, flow->loop, on_timer, job);
    ew_list_append(&run->jobs, &job->in_run);
    run->job_count++;
    flow->job_count++;
    join_lane(job);
    return job;
}

bool
ew_job_may_begin(const struct ew_job *job)
{
    const struct ew_key_lane *lane = job->lane;

    return lane == NULL || (!lane->stopped && ew_list_first(&lane->jobs) == &job->in_key);
}

/* The next of the key begins only now, when its predecessor's answer has committed. A partition
 * that is being given up takes no new order, but answers: behind a dropped job nothing may begin.
 */
static void
leave_lane(struct ew_job *job)
{
    struct ew_key_lane *lane = job->lane;
    struct ew_link *next;

    if (lane == NULL)
        return;
    job->lane = NULL;
    ew_link_remove(&job->in_key);
    if (job->state == EW_ST_DROPPED)
        lane->stopped = true;
    if (lane->stopped)
        return;
    next = ew_list_first(&lane->jobs);
    if (next == NULL) {
        (void)ew_table_remove(job->run->keys, lane->name);
        free(lane);
    } else {
        ew_admit(EW_CONTAINER(next, struct ew_job, in_key));
    }
}

static void
job_free(struct ew_job *job)
{
    struct ew_run *run = job->run;

    ew_cert_free(job->cert);
    ew_reconcile_forget(job);
    ew_their_key_forget(job);
    explicit_bzero(job->pin, sizeof(job->pin));
    ew_record_free(job->record);
    ew_arena_free(job->arena);
    ew_link_remove(&job->in_run);
    job->flow->job_count--;
    run->job_count--;
    free(job);
    run_free_if_empty(run);
}

void
ew_job_end(struct ew_job *job, enum ew_state last, const char *why)
{
    if (job->state != last)
        ew_job_move(job, last, why);
    job->dropped = true;
    ew_timer_cancel(&job->timer);
    ew_link_remove(&job->in_list);
    ew_turn_end(&job->turn, false);
    ew_setting_leave(job);
    ew_key_unwanted(job);
    leave_lane(job);
    if (job->refs == 0 && job->call == NULL)
        job_free(job);
}

/* An order leaves behind its gate only; of any other call nobody knows whether GlobalSign counts
 * it.
 */
static bool
is_unsent(const struct ew_job *job)
{
    return job->call == NULL || (job->state == EW_ST_ORDER && !job->gate_said_yes);
}

void
ew_job_drop(struct ew_job *job)
{
    if (job->dropped)
        return;
    ew_turn_end(&job->turn, is_unsent(job));
    /* What GlobalSign may have got is worth waiting for: the adopter finds it in the mailbox. */
    if (job->call != NULL && !job->gate_said_yes) {
        ew_ca_call_cancel(job->call);
        job->call = NULL;
    }
    /* There may be no other copy: Redis was away, or was wiped, when it was kept. */
    if (job->req.key == EW_KEY_GLOBALSIGN && job->wrapped.len > 0 && job->order_id[0] != '\0' &&
        !job->flow->ended)
        ew_outcome_leave(job);
    ew_job_end(job, EW_ST_DROPPED, "the partition went to another worker");
}

void
ew_first_text(const struct ew_source *first, char out[EW_FIRST_TEXT])
{
    out[0] = '\0';
    if (first->topic[0] != '\0')
        (void)snprintf(out, EW_FIRST_TEXT, "%s/%d/%lld", first->topic, first->partition,
                       (long long)first->offset);
}

struct ew_came
ew_job_came(const struct ew_job *job)
{
    const struct ew_record *record = job->record;

    if (job->original.topic[0] != '\0')
        return job->came;
    return (struct ew_came){.key = {record->key, record->key_len},
                            .value = {record->value, record->value_len},
                            .timestamp_ms = record->timestamp_ms > 0 ? record->timestamp_ms : 0,
                            .headers = record->headers,
                            .header_count = record->header_count};
}

void
ew_came_keep(const struct ew_came *came, struct ew_inflight_record *record)
{
    size_t bytes = came->key.len + came->value.len;

    for (size_t i = 0; i < came->header_count; i++)
        bytes += strlen(came->headers[i].name) + came->headers[i].len;
    record->record_key = came->key;
    record->record_value = came->value;
    record->record_ms = came->timestamp_ms;
    record->headers_left_out = came->headers_left_out;
    if (came->header_count > EW_MAX_KEPT_HEADERS || bytes > EW_MAX_RECORD) {
        record->headers_left_out = (int)came->header_count;
        return;
    }
    record->headers = came->headers;
    record->header_count = came->header_count;
}

void *
ew_job_out(struct ew_job *job)
{
    job->refs++;
    return job;
}

struct ew_job *
ew_job_back(void *arg)
{
    struct ew_job *job = arg;

    if (job->refs > 0)
        job->refs--;
    if (job->flow->ended)
        return NULL;
    if (!job->dropped)
        return job;
    if (job->refs == 0 && job->call == NULL)
        job_free(job);
    return NULL;
}

void
ew_job_release(struct ew_job *job)
{
    if (job->dropped && job->refs == 0 && job->call == NULL)
        job_free(job);
}

bool
ew_job_replied(struct ew_job *job, const struct ew_ca_reply *reply)
{
    job->call = NULL;
    ew_desk_learn(job->setting->desk, reply, false);
    if (job->dropped) {
        ew_job_release(job);
        return false;
    }
    ew_turn_end(&job->turn, reply->cls == EW_CA_NOT_SENT);
    return true;
}

void
ew_job_move(struct ew_job *job, enum ew_state to, const char *why)
{
    bool known = to == EW_ST_DROPPED || ew_state_may(job->state, to);
    int64_t now = ew_loop_now(job->flow->loop);

    EW_LOG(known ? EW_LOG_INFO : EW_LOG_ERROR, "flow", known ? "move" : "BUG: move",
           EW_STR("request_id", job->req.request_id), EW_STR("from", ew_state_name(job->state)),
           EW_STR("state", ew_state_name(to)), EW_STR("why", why),
           EW_STR("topic", job->source.topic), EW_INT("partition", job->source.partition),
           EW_INT("offset", job->source.offset), EW_INT("attempt", job->attempt),
           EW_STR("order_id", job->order_id[0] != '\0' ? job->order_id : NULL),
           EW_STR("trace", job->req.traceparent), EW_INT("duration_ms", now - job->since_ms));
    if (job->state != to)
        job->tries = 0;
    if (job->setting != NULL)
        job->setting->unknown += (to == EW_ST_RECONCILE) - (job->state == EW_ST_RECONCILE);
    job->state = to;
    job->since_ms = now;
}

void
ew_job_after(struct ew_job *job, int64_t delay_ms, void (*fn)(struct ew_job *job))
{
    job->on_timer = fn;
    ew_timer_start(&job->timer, delay_ms);
}

void
ew_job_retry(struct ew_job *job, void (*fn)(struct ew_job *job))
{
    struct ew_backoff backoff = {.first_ms = job->flow->config->time.retry_first_ms,
                                 .max_ms = job->flow->config->time.retry_max_ms};

    ew_job_after(job, ew_backoff_ms(&backoff, ++job->tries, ew_random_u32()), fn);
}

const char *
ew_job_text(struct ew_job *job, const char *text)
{
    const char *copy = ew_arena_strdup(job->arena, text);

    return copy == NULL ? "" : copy;
}

const char *
ew_job_same(struct ew_job *job, const char *now, const char *text)
{
    return now != NULL && strcmp(now, text) == 0 ? now : ew_job_text(job, text);
}

struct ew_blob
ew_job_keep(struct ew_job *job, const void *data, size_t len)
{
    const uint8_t *copy = len == 0 ? NULL : ew_arena_memdup(job->arena, data, len);

    return (struct ew_blob){.data = copy, .len = copy == NULL ? 0 : len};
}

const struct ew_source *
ew_job_source(const struct ew_job *job)
{
    return job->original.topic[0] != '\0' ? &job->original : &job->source;
}

static bool
is_same(const struct ew_source *a, const struct ew_source *b)
{
    return a->partition == b->partition && a->offset == b->offset &&
           strcmp(a->topic, b->topic) == 0;
}

bool
ew_job_is_source(const struct ew_job *job, const struct ew_source *source)
{
    return is_same(source, &job->source) || is_same(source, ew_job_source(job));
}

void
ew_job_note_key(struct ew_job *job)
{
    if (!job->has_spki)
        return;
    for (size_t i = 0; i < job->key_count; i++)
        if (memcmp(job->keys[i], job->spki, sizeof(job->spki)) == 0)
            return;
    if (job->key_count == EW_MAX_ATTEMPTS)
        job->key_count--; /* the last one is always the one to look for */
    memcpy(job->keys[job->key_count++], job->spki, sizeof(job->spki));
}

void
ew_job_take_key(struct ew_job *job, const uint8_t spki[32], const struct ew_buf *wrapped)
{
    struct ew_blob kept = ew_job_keep(job, wrapped->data, wrapped->len);

    if (kept.len == 0)
        return;
    job->wrapped = kept;
    memcpy(job->spki, spki, sizeof(job->spki));
    job->has_spki = true;
    ew_job_note_key(job);
}

void
ew_job_fail_with(struct ew_job *job, enum ew_failure_class cls, const char *problem,
                 const char *field, const char *cause, const char *advice)
{
    job->failure = (struct ew_failure){.cls = cls,
                                       .problem = problem,
                                       .field = ew_job_text(job, field),
                                       .cause = ew_job_text(job, cause),
                                       .advice = advice,
                                       .vendor_field = ""};
}

void
ew_job_fail(struct ew_job *job, enum ew_failure_class cls, const struct ew_err *err)
{
    ew_job_fail_with(job, cls, err->problem, err->field, err->detail,
                     err->advice == NULL ? "" : err->advice);
}

struct ew_holder
ew_job_holder(const struct ew_job *job)
{
    return (struct ew_holder){.request_id = job->req.request_id,
                              .source = job->source,
                              .original = job->original,
                              .epoch = ew_part_epoch(job->run->part)};
}
