/*
 * Adopts partitions: a stable read of the committed map, looked at with
 * suspicion, handed to the committer with a raised epoch. Also answers what
 * others have committed (offset states).
 */
#include "adopt_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "committed_private.h"
#include "committer_private.h"
#include "probe_private.h"
#include "renew_private.h"
#include "waits_private.h"

enum {
    READ_MS = 400, /* per try: one blocked partition must not hold up the others */
    AGAIN_MS = 50,
    REST_MS = 5000, /* between tries of a partition that must be left alone */
    WATERMARK_MS = 2000,
    LOOKUP_MS = 500,
};

struct ew_lookup {
    struct ew_link link;
    struct ew_loop *loop;
    struct ew_source source;
    void (*done)(void *arg, enum ew_offset_state state);
    void *arg;
    enum ew_offset_state state;
};

/* --- adoption --- */

void
ew_adoption_free(struct ew_adoption *adoption)
{
    if (adoption == NULL)
        return;
    ew_offset_map_free(adoption->map);
    ew_part_unref(adoption->part);
    free(adoption);
}

void
ew_adoptions_drop(struct ew_list *adoptions)
{
    struct ew_link *link;

    while ((link = ew_list_first(adoptions)) != NULL) {
        ew_link_remove(link);
        ew_adoption_free(EW_CONTAINER(link, struct ew_adoption, link));
    }
}

static void
queue_adoption(struct ew_kafka *kafka, struct ew_adoption *adoption)
{
    struct ew_adopter *adopter = &kafka->adopter;

    pthread_mutex_lock(&adopter->lock);
    ew_list_append(&adopter->adoptions, &adoption->link);
    pthread_cond_signal(&adopter->changed);
    pthread_mutex_unlock(&adopter->lock);
}

void
ew_adopt_request(struct ew_kafka *kafka, struct ew_part *part)
{
    struct ew_adoption *adoption = ew_calloc(1, sizeof(*adoption));

    adoption->part = ew_part_ref(part);
    adoption->alarm_ms = -1;
    atomic_fetch_add(&kafka->counts.unadopted, 1);
    queue_adoption(kafka, adoption);
}

void
ew_adopt_again(struct ew_kafka *kafka, struct ew_adoption *adoption, int64_t delay_ms)
{
    ew_offset_map_free(adoption->map);
    adoption->map = NULL;
    adoption->next_ms = ew_kafka_now(kafka) + delay_ms;
    queue_adoption(kafka, adoption);
}

static void
leave_alone(struct ew_kafka *kafka, struct ew_adoption *adoption, const char *problem,
            const char *advice)
{
    int64_t now = ew_kafka_now(kafka);

    adoption->next_ms = now + REST_MS;
    atomic_store(&adoption->part->alone, true);
    ew_part_left_alone(adoption->part, now, &adoption->alarm_ms, problem, advice);
}

/* An epoch above all that the lost map may have had: epochs only ever rise by
 * one per adoption. Where a clock was wrong, it is outgrown once that shows. */
static uint32_t
fresh_epoch(const struct ew_kafka *kafka)
{
    return (uint32_t)(ew_wall_ms(kafka->clock) / 1000);
}

static bool
foreign(struct ew_kafka *kafka, struct ew_adoption *adoption, int64_t base, int64_t high)
{
    adoption->map = ew_offset_map_new(base);
    ew_offset_map_set_doubt(adoption->map, high);
    ew_offset_map_set_epoch(adoption->map, fresh_epoch(kafka));
    EW_LOG(EW_LOG_WARN, EW_KAFKA_LOG, "foreign commit: what is open may have been started",
           EW_STR("topic", adoption->part->topic), EW_INT("partition", adoption->part->number),
           EW_INT("base", base), EW_INT("doubt_below", high));
    return true;
}

/* An heir's log must be shown to be the one from before. */
static bool
may_renew(struct ew_kafka *kafka, struct ew_adoption *adoption, int64_t low, int64_t high)
{
    enum ew_same same =
        adoption->part->heir ? ew_renew_judge(kafka, adoption->part, low, high) : EW_SAME_LOG;

    if (same == EW_OTHER_LOG)
        leave_alone(kafka, adoption, "log-replaced", "The topic was made again. " EW_RENEW_BY_HAND);
    else if (same == EW_LOG_NOT_READ)
        adoption->next_ms = ew_kafka_now(kafka) + REST_MS;
    return same == EW_SAME_LOG;
}

/* true: adoption->map is ready to be committed. */
static bool
judge(struct ew_kafka *kafka, struct ew_adoption *adoption, struct ew_committed_map *read)
{
    struct ew_part *part = adoption->part;
    int64_t low;
    int64_t high;

    if (read->kind == EW_MAP_NEWER || read->kind == EW_MAP_BROKEN) {
        leave_alone(kafka, adoption, read->kind == EW_MAP_NEWER ? "map-newer" : "map-broken",
                    read->kind == EW_MAP_NEWER
                        ? "Run the version of the worker that wrote it, or a newer one."
                        : "Its commit was damaged or moved by hand; see the runbook.");
        return false;
    }
    if (ew_probe_watermarks(kafka, part->topic, part->number, &low, &high, WATERMARK_MS) !=
        RD_KAFKA_RESP_ERR_NO_ERROR) {
        adoption->next_ms = ew_kafka_now(kafka) + (part->heir ? REST_MS : AGAIN_MS);
        return false;
    }
    if (read->base < low || read->base > high) {
        leave_alone(kafka, adoption,
                    read->base < low ? "base-before-log-start" : "base-after-log-end",
                    "Requests were deleted unread, or the topic was made anew; see "
                    "the runbook.");
        return false;
    }
    if (!may_renew(kafka, adoption, low, high))
        return false;
    part->high = high;
    if (read->kind == EW_MAP_FOREIGN)
        return foreign(kafka, adoption, read->base, high);
    adoption->map = read->map;
    read->map = NULL;
    ew_offset_map_set_epoch(adoption->map, ew_offset_map_epoch(adoption->map) + 1);
    return true;
}

/* true: done with it here. */
static bool
adopt(struct ew_kafka *kafka, struct ew_adoption *adoption)
{
    struct ew_committed_map read = {.base = -1};
    rd_kafka_resp_err_t code;
    bool ready = false;

    if (!ew_part_owned(adoption->part)) {
        atomic_fetch_sub(&kafka->counts.unadopted, 1);
        ew_adoption_free(adoption);
        return true;
    }
    switch (ew_committed_read(kafka->consumer, adoption->part->topic, adoption->part->number,
                              READ_MS, &read, &code)) {
    case EW_STABLE_NOT_YET:
        adoption->next_ms = ew_kafka_now(kafka) + AGAIN_MS;
        EW_LOG(EW_LOG_DEBUG, EW_KAFKA_LOG, "map not stable yet",
               EW_STR("topic", adoption->part->topic), EW_INT("partition", adoption->part->number),
               EW_STR("detail", rd_kafka_err2str(code)));
        break;
    case EW_STABLE_MISSING:
        leave_alone(kafka, adoption, "commit-missing",
                    "Run `epki-worker bootstrap` once per deployment; see the runbook.");
        break;
    case EW_STABLE_READ:
        ready = judge(kafka, adoption, &read);
        ew_offset_map_free(read.map);
        break;
    }
    if (ready)
        ew_committer_adopt(kafka, adoption);
    return ready;
}

/* --- look-ups --- */

static enum ew_offset_state
state_of(const struct ew_committed_map *read, int64_t offset)
{
    enum ew_offset_mark mark;

    if (offset < read->base)
        return EW_OFFSET_DONE;
    if (read->kind != EW_MAP_OURS)
        return EW_OFFSET_UNREADABLE;
    mark = ew_offset_map_mark(read->map, offset);
    if (mark == EW_OFF_DONE)
        return EW_OFFSET_DONE;
    if (mark == EW_OFF_STARTED || offset < ew_offset_map_doubt(read->map))
        return EW_OFFSET_STARTED;
    return EW_OFFSET_OPEN;
}

static void
answer_lookup(void *arg)
{
    struct ew_lookup *lookup = arg;

    lookup->done(lookup->arg, lookup->state);
    free(lookup);
}

static void
look_up(struct ew_kafka *kafka, struct ew_lookup *lookup)
{
    struct ew_committed_map read = {.base = -1};
    rd_kafka_resp_err_t code;

    lookup->state = EW_OFFSET_UNREADABLE;
    if (ew_committed_read(kafka->consumer, lookup->source.topic, lookup->source.partition,
                          LOOKUP_MS, &read, &code) == EW_STABLE_READ) {
        lookup->state = state_of(&read, lookup->source.offset);
        ew_offset_map_free(read.map);
    }
    ew_loop_post(lookup->loop, answer_lookup, lookup);
}

void
ew_kafka_offset_state(struct ew_kafka *kafka, const struct ew_source *source,
                      void (*done)(void *arg, enum ew_offset_state state), void *arg)
{
    struct ew_adopter *adopter = &kafka->adopter;
    struct ew_lookup *lookup = ew_calloc(1, sizeof(*lookup));
    bool stopped;

    lookup->loop = kafka->loop;
    lookup->source = *source;
    lookup->done = done;
    lookup->arg = arg;
    lookup->state = EW_OFFSET_UNREADABLE;
    pthread_mutex_lock(&adopter->lock);
    stopped = adopter->stop;
    if (!stopped) {
        ew_list_append(&adopter->lookups, &lookup->link);
        pthread_cond_signal(&adopter->changed);
    }
    pthread_mutex_unlock(&adopter->lock);
    if (stopped)
        ew_loop_post(kafka->loop, answer_lookup, lookup);
}

/* --- the thread --- */

static struct ew_adoption *
due_adoption(struct ew_adopter *adopter, int64_t now)
{
    for (struct ew_link *link = ew_list_first(&adopter->adoptions); link != NULL;
         link = ew_list_next(&adopter->adoptions, link)) {
        struct ew_adoption *adoption = EW_CONTAINER(link, struct ew_adoption, link);

        if (adoption->next_ms <= now || !ew_part_owned(adoption->part))
            return adoption;
    }
    return NULL;
}

static void
turn(struct ew_kafka *kafka, struct ew_adopter *adopter)
{
    struct ew_adoption *adoption = due_adoption(adopter, ew_kafka_now(kafka));
    struct ew_link *link = ew_list_first(&adopter->lookups);

    if (adoption != NULL)
        ew_link_remove(&adoption->link);
    if (link != NULL)
        ew_link_remove(link);
    if (adoption == NULL && link == NULL) {
        struct timespec until;

        ew_deadline(&until, AGAIN_MS);
        if (ew_list_empty(&adopter->adoptions))
            pthread_cond_wait(&adopter->changed, &adopter->lock);
        else
            pthread_cond_timedwait(&adopter->changed, &adopter->lock, &until);
        return;
    }
    pthread_mutex_unlock(&adopter->lock);
    if (adoption != NULL && !adopt(kafka, adoption))
        queue_adoption(kafka, adoption);
    if (link != NULL)
        look_up(kafka, EW_CONTAINER(link, struct ew_lookup, link));
    pthread_mutex_lock(&adopter->lock);
}

void *
ew_adopter_run(void *arg)
{
    struct ew_kafka *kafka = arg;
    struct ew_adopter *adopter = &kafka->adopter;
    struct ew_link *link;

    pthread_mutex_lock(&adopter->lock);
    while (!adopter->stop)
        turn(kafka, adopter);
    ew_adoptions_drop(&adopter->adoptions);
    while ((link = ew_list_first(&adopter->lookups)) != NULL) {
        ew_link_remove(link);
        ew_loop_post(kafka->loop, answer_lookup, EW_CONTAINER(link, struct ew_lookup, link));
    }
    pthread_mutex_unlock(&adopter->lock);
    return NULL;
}
