/*
 * Members of the group; see member.h. Failures end the running test.
 */
#include "member.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients.h"
#include "harness.h"

/* --- what the room calls --- */

static void
note(struct member *member, int *counter)
{
    pthread_mutex_lock(&member->lock);
    (*counter)++;
    pthread_cond_broadcast(&member->changed);
    pthread_mutex_unlock(&member->lock);
}

static int64_t
member_boot_ms(void *self)
{
    struct member *member = self;

    return now_ms() + atomic_load(&member->clock_ahead);
}

static int64_t
member_wall_ms(void *self)
{
    (void)self;
    return ew_wall_ms(&ew_clock_system);
}

static void
on_adopted(void *arg, struct ew_part *part)
{
    struct member *member = arg;

    pthread_mutex_lock(&member->lock);
    member->parts[member->part_count++] = ew_part_ref(part);
    pthread_mutex_unlock(&member->lock);
    note(member, &member->adopted);
}

static void
on_lost(void *arg, struct ew_part *part)
{
    struct member *member = arg;

    pthread_mutex_lock(&member->lock);
    for (int i = 0; i < member->part_count; i++) {
        if (member->parts[i] == part) {
            member->parts[i] = member->parts[--member->part_count];
            ew_part_unref(part);
            break;
        }
    }
    pthread_mutex_unlock(&member->lock);
    note(member, &member->lost);
}

static void
on_fatal(void *arg, const struct ew_err *err)
{
    struct member *member = arg;

    snprintf(member->fatal_problem, sizeof(member->fatal_problem), "%s", err->problem);
    note(member, &member->fatal);
}

struct work {
    struct ew_link link;
    struct member *member;
    struct ew_record *record;
    struct ew_timer timer;
};

static void
count_result(struct member *member, enum ew_committed result)
{
    note(member, result == EW_COMMITTED      ? &member->committed
                 : result == EW_COMMIT_LOST  ? &member->lost_items
                 : result == EW_COMMIT_STALE ? &member->stale
                                             : &member->refused);
}

static void
on_answered(void *arg, enum ew_committed result, int64_t t0, const struct ew_err *err)
{
    struct work *work = arg;

    (void)t0;
    (void)err;
    count_result(work->member, result);
    ew_record_free(work->record);
    free(work);
}

static void
give_answer(void *arg)
{
    struct work *work = arg;
    struct ew_commit commit = {
        .part = work->record->part,
        .offset = work->record->offset,
        .mark = EW_MARK_DONE,
        .outs = {{.topic = EW_TOPIC_EVENTS,
                  .partition = -1,
                  .key = work->record->key,
                  .key_len = work->record->key_len,
                  .value = work->record->value,
                  .value_len = work->record->value_len}},
        .out_count = 1,
        .done = on_answered,
        .arg = work,
    };

    ew_link_remove(&work->link);
    ew_kafka_commit(work->member->kafka, &commit);
}

static void
on_intent(void *arg, enum ew_committed result, int64_t t0, const struct ew_err *err)
{
    struct work *work = arg;

    if (result != EW_COMMITTED) {
        on_answered(arg, result, t0, err);
        return;
    }
    note(work->member, &work->member->intents);
    ew_list_append(&work->member->works, &work->link); /* until its time comes */
    ew_timer_start(&work->timer, work->member->delay_ms);
}

static void
begin_work(struct member *member, struct ew_record *record)
{
    struct work *work = calloc(1, sizeof(*work));
    struct ew_commit commit = {.part = record->part,
                               .offset = record->offset,
                               .mark = EW_MARK_STARTED,
                               .done = on_intent,
                               .arg = work};

    work->member = member;
    work->record = record;
    ew_timer_init(&work->timer, member->loop, give_answer, work);
    if (record->started || member->policy == SPARSE)
        give_answer(work);
    else
        ew_kafka_commit(member->kafka, &commit);
}

static void
on_record(void *arg, struct ew_record *record)
{
    struct member *member = arg;

    bool keep = member->policy == HOLD ||
                (member->policy == SPARSE && record->offset % member->delay_ms == 0);

    pthread_mutex_lock(&member->lock);
    member->started_seen += record->started;
    member->doubt_seen += record->doubt;
    if (keep) {
        if (member->record_count == member->record_cap) {
            member->record_cap = member->record_cap * 2 + 64;
            member->records =
                realloc(member->records, (size_t)member->record_cap * sizeof(struct ew_record *));
        }
        member->records[member->record_count++] = record;
        pthread_cond_broadcast(&member->changed);
    }
    pthread_mutex_unlock(&member->lock);
    if (!keep)
        begin_work(member, record);
}

static void *
run_loop(void *arg)
{
    struct member *member = arg;

    ew_loop_run(member->loop);
    return NULL;
}

struct member *
member_start(struct site *site, enum policy policy, int delay_ms)
{
    struct member *member = calloc(1, sizeof(*member));
    struct ew_intake_events events = {.arg = member,
                                      .adopted = on_adopted,
                                      .record = on_record,
                                      .lost = on_lost,
                                      .fatal = on_fatal};
    struct ew_err err;

    member->site = site;
    member->policy = policy;
    member->delay_ms = delay_ms;
    member->clock =
        (struct ew_clock){.self = member, .boot_ms = member_boot_ms, .wall_ms = member_wall_ms};
    ew_list_init(&member->works);
    pthread_mutex_init(&member->lock, NULL);
    pthread_cond_init(&member->changed, NULL);
    REQUIRE(ew_loop_new(&member->clock, 1, &member->loop, &err) == EW_OK, "loop: %s", err.detail);
    REQUIRE(ew_kafka_new(&site->options, &member->clock, member->loop, &events, &member->kafka,
                         &err) == EW_OK,
            "kafka: %s %s %s", err.problem, err.field, err.detail);
    REQUIRE(ew_kafka_start(member->kafka, &err) == EW_OK, "start: %s", err.detail);
    pthread_create(&member->thread, NULL, run_loop, member);
    return member;
}

struct member *
member_hold(struct site *site, int count)
{
    struct member *member;

    send_numbers(site->in[EW_LANE_ENROLLMENT], 0, 1, 0, count);
    member = member_start(site, HOLD, 0);
    member_wait(member, &member->record_count, count);
    return member;
}

static void
on_stopped(void *arg)
{
    struct member *member = arg;
    struct ew_link *link;

    for (int i = 0; i < member->record_count; i++)
        ew_record_free(member->records[i]);
    member->record_count = 0;
    while ((link = ew_list_first(&member->works)) != NULL) { /* their time had not come */
        struct work *work = EW_CONTAINER(link, struct work, link);

        ew_link_remove(link);
        ew_timer_cancel(&work->timer);
        ew_record_free(work->record);
        free(work);
    }
    assert_true(ew_kafka_free(member->kafka));
    ew_loop_stop(member->loop);
}

static void
begin_stop(void *arg)
{
    struct member *member = arg;

    ew_kafka_drain(member->kafka);
    ew_kafka_stop(member->kafka, on_stopped, member);
}

void
member_stop(struct member *member)
{
    ew_loop_post(member->loop, begin_stop, member);
    member_join(member);
}

void
member_join(struct member *member)
{
    pthread_join(member->thread, NULL);
    ew_loop_free(member->loop);
    for (int i = 0; i < member->part_count; i++)
        ew_part_unref(member->parts[i]);
    free(member->records);
    pthread_cond_destroy(&member->changed);
    pthread_mutex_destroy(&member->lock);
    free(member);
}

bool
member_reaches(struct member *member, const int *counter, int value, int ms)
{
    int64_t until = now_ms() + ms;
    bool reached = false;

    while (!reached && now_ms() < until) {
        pthread_mutex_lock(&member->lock);
        reached = *counter >= value;
        pthread_mutex_unlock(&member->lock);
        if (!reached)
            sleep_ms(5);
    }
    return reached;
}

void
member_wait(struct member *member, const int *counter, int value)
{
    REQUIRE(member_reaches(member, counter, value, PATIENCE_MS), "waited in vain: %d of %d",
            member_read(member, counter), value);
}

int
member_read(struct member *member, const int *counter)
{
    int value;

    pthread_mutex_lock(&member->lock);
    value = *counter;
    pthread_mutex_unlock(&member->lock);
    return value;
}

struct ew_kafka_stats
member_stats(struct member *member)
{
    struct ew_kafka_stats stats;

    ew_kafka_stats(member->kafka, &stats);
    return stats;
}

struct ew_record *
member_find(struct member *member, int partition, int64_t offset)
{
    struct ew_record *found = NULL;

    pthread_mutex_lock(&member->lock);
    for (int i = 0; i < member->record_count; i++) {
        if (ew_part_number(member->records[i]->part) == partition &&
            member->records[i]->offset == offset)
            found = member->records[i];
    }
    pthread_mutex_unlock(&member->lock);
    return found;
}

static struct ew_part *
part_of(struct member *member, int partition)
{
    for (int i = 0; i < member->part_count; i++) {
        if (ew_part_number(member->parts[i]) == partition &&
            ew_part_lane(member->parts[i]) == EW_LANE_ENROLLMENT)
            return member->parts[i];
    }
    return NULL;
}

bool
member_owns(struct member *member, int partition)
{
    struct ew_part *part;
    bool owns;

    pthread_mutex_lock(&member->lock);
    part = part_of(member, partition);
    owns = part != NULL && ew_part_owned(part);
    pthread_mutex_unlock(&member->lock);
    return owns;
}

uint32_t
member_epoch(struct member *member, int partition)
{
    struct ew_part *part;
    uint32_t epoch;

    pthread_mutex_lock(&member->lock);
    part = part_of(member, partition);
    epoch = part != NULL ? ew_part_epoch(part) : 0;
    pthread_mutex_unlock(&member->lock);
    return epoch;
}

void
member_outgrow(struct member *member, int partition, uint32_t epoch)
{
    pthread_mutex_lock(&member->lock);
    ew_part_outgrow(part_of(member, partition), epoch);
    pthread_mutex_unlock(&member->lock);
}

/* --- commits by hand --- */

struct submit {
    struct member *member;
    struct answer *answer;
    struct ew_commit commit;
    char key[32];
    char *value;
};

static void
on_submitted(void *arg, enum ew_committed result, int64_t t0, const struct ew_err *err)
{
    struct submit *submit = arg;
    struct member *member = submit->member;

    count_result(member, result);
    pthread_mutex_lock(&member->lock);
    submit->answer->result = result;
    submit->answer->t0_ms = t0;
    if (err != NULL)
        submit->answer->err = *err;
    submit->answer->there = true;
    pthread_cond_broadcast(&member->changed);
    pthread_mutex_unlock(&member->lock);
    free(submit);
}

static void
do_submit(void *arg)
{
    struct submit *submit = arg;
    char *value = submit->value;

    ew_kafka_commit(submit->member->kafka, &submit->commit);
    free(value); /* everything was copied */
}

void
member_submit(struct member *member, struct ew_record *record, enum ew_mark mark,
              int64_t not_after_ms, const char *key, size_t value_len, struct answer *answer)
{
    struct submit *submit = calloc(1, sizeof(*submit));

    answer->there = false;
    submit->member = member;
    submit->answer = answer;
    submit->commit.part = record->part;
    submit->commit.offset = record->offset;
    submit->commit.mark = mark;
    submit->commit.not_after_ms = not_after_ms;
    submit->commit.done = on_submitted;
    submit->commit.arg = submit;
    if (key != NULL) {
        snprintf(submit->key, sizeof(submit->key), "%s", key);
        submit->value = calloc(1, value_len + 1);
        submit->commit.outs[0] = (struct ew_out){.topic = member->answers_to,
                                                 .partition = -1,
                                                 .key = submit->key,
                                                 .key_len = strlen(submit->key),
                                                 .value = submit->value,
                                                 .value_len = value_len};
        submit->commit.out_count = 1;
    }
    ew_loop_post(member->loop, do_submit, submit);
}

static bool
is_there(struct member *member, const struct answer *answer)
{
    bool there;

    pthread_mutex_lock(&member->lock);
    there = answer->there;
    pthread_mutex_unlock(&member->lock);
    return there;
}

void
member_wait_answer(struct member *member, const struct answer *answer)
{
    AWAIT(is_there(member, answer));
}

struct answer
member_commit(struct member *member, struct ew_record *record, enum ew_mark mark,
              int64_t not_after_ms, const char *key, size_t value_len)
{
    struct answer answer = {.there = false};

    REQUIRE(record != NULL, "no such record");
    member_submit(member, record, mark, not_after_ms, key, value_len, &answer);
    member_wait_answer(member, &answer);
    return answer;
}

struct call {
    void (*fn)(void *arg);
    void *arg;
    atomic_bool ran;
};

static void
do_call(void *arg)
{
    struct call *call = arg;

    call->fn(call->arg);
    atomic_store(&call->ran, true);
}

void
member_call(struct member *member, void (*fn)(void *arg), void *arg)
{
    struct call call = {.fn = fn, .arg = arg};

    ew_loop_post(member->loop, do_call, &call);
    while (!atomic_load(&call.ran))
        sleep_ms(1);
}
