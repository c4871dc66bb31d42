/*
 * Into the waiting room: what a job takes along when it leaves, and who is told to.
 */
#include <string.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "job.h"
#include "room.h"

enum {
    SWEEP_MS = 500,
    ABSENT_GRACE_MS = 60000, /* for a STOP to be committed and set */
};

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
                                          .lost_orders = job->lost_orders,
                                          .misfit = job->misfit,
                                          .reason = ew_state_name(job->left_from),
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

    if (job->state != EW_ST_LEAVE) /* where Kafka refused the record it is the second time */
        job->left_from = job->state;
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

/* Its record says which order it ends, and why: whoever has it next goes on with that. */
static bool
ends_what_is_kept(const struct ew_job *job)
{
    return !job->ended_by_people &&
           (ew_misfit_is_kept(job) || ew_text_has(job->lost_orders, job->order_id));
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
    case EW_ST_REVOKE:
        return job->turn.told; /* the account is paused */
    case EW_ST_UNDO:
        return job->turn.told && ends_what_is_kept(job);
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
        /* What another began may stand in a record that its own would replace: which keys it
         * ordered with, which order is ended, and why. Redis tells that. */
        if (job->state != EW_ST_WAIT_OTHER && ew_owner_unheard(job)) {
            ew_owner_listen(job);
            continue;
        }
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
