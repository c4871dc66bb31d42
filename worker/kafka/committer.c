/*
 * The committer's queue and thread: what is submitted, which items make the
 * next transaction. How a transaction goes is in batch.c and txn.c.
 */
#include "committer_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "record_private.h"
#include "waits_private.h"

enum {
    IDLE_MS = 1000,
    HELD_MS = 50, /* between looks at what waits for room in its map, or for better times */
    HELD_AT_ONCE = 50,
    TIDY_MS = 3000,
    FLUSH_LOOK_MS = 1000,
    KEEP_ALIVE_MS = 3600000, /* an idle transactional id expires on the broker */
};

/* --- items --- */

struct ew_item *
ew_item_new(const struct ew_commit *commit)
{
    size_t bytes = 0;
    size_t header_count = 0;
    struct ew_item *item;
    struct ew_header *headers;
    char *at;

    for (size_t i = 0; i < commit->out_count; i++) {
        const struct ew_out *out = &commit->outs[i];

        bytes += out->key_len + out->value_len + ew_headers_bytes(out->headers, out->header_count);
        header_count += out->header_count;
    }
    item = ew_calloc(1, sizeof(*item) + bytes);
    headers = (struct ew_header *)(void *)(item + 1);
    at = (char *)(headers + header_count);
    item->part = commit->part != NULL ? ew_part_ref(commit->part) : NULL;
    item->offset = commit->offset;
    item->mark = commit->mark;
    item->not_after_ms = commit->not_after_ms;
    item->done = commit->done;
    item->arg = commit->arg;
    item->bytes = bytes;
    item->out_count = commit->out_count;
    for (size_t i = 0; i < commit->out_count; i++) {
        const struct ew_out *from = &commit->outs[i];

        item->outs[i] = *from;
        item->outs[i].key = ew_keep(&at, from->key, from->key_len);
        item->outs[i].value = ew_keep(&at, from->value, from->value_len);
        item->outs[i].headers = ew_keep_headers(&headers, &at, from->headers, from->header_count);
    }
    return item;
}

void
ew_item_free(struct ew_item *item)
{
    if (item == NULL)
        return;
    ew_part_unref(item->part);
    free(item);
}

/* --- answers --- */

struct answers {
    struct ew_list items;
};

static void
on_answers(void *arg)
{
    struct answers *answers = arg;
    struct ew_link *link;

    while ((link = ew_list_first(&answers->items)) != NULL) {
        struct ew_item *item = EW_CONTAINER(link, struct ew_item, link);

        ew_link_remove(link);
        if (item->done != NULL)
            item->done(item->arg, item->result, item->t0_ms, &item->err);
        ew_item_free(item);
    }
    free(answers);
}

void
ew_round_answer(struct ew_round *round, struct ew_item *item, enum ew_committed result)
{
    item->result = result;
    if (result == EW_COMMIT_LOST)
        atomic_fetch_add(&round->kafka->counts.lost_items, 1);
    ew_list_append(&round->answered, &item->link);
}

static void
post_answers(struct ew_kafka *kafka, struct ew_list *items)
{
    struct answers *answers = ew_malloc(sizeof(*answers));
    struct ew_link *link;

    ew_list_init(&answers->items);
    while ((link = ew_list_first(items)) != NULL) {
        ew_link_remove(link);
        ew_list_append(&answers->items, link);
    }
    ew_loop_post(kafka->loop, on_answers, answers);
}

void
ew_round_post(struct ew_round *round)
{
    struct ew_committer *committer = &round->kafka->committer;

    if (ew_list_empty(&round->answered))
        return;
    pthread_mutex_lock(&committer->lock);
    for (struct ew_link *link = ew_list_first(&round->answered); link != NULL;
         link = ew_list_next(&round->answered, link)) {
        struct ew_item *item = EW_CONTAINER(link, struct ew_item, link);

        committer->queued--;
        if (item->part != NULL)
            item->part->pending--;
    }
    /* Before whoever waits for them tells the loop that their partition is gone. */
    post_answers(round->kafka, &round->answered);
    pthread_cond_broadcast(&committer->settled);
    pthread_mutex_unlock(&committer->lock);
}

/* --- how long to wait --- */

static bool
may_publish(const struct ew_committer *committer)
{
    return ew_mono_ms() >= committer->publish_ms;
}

static int64_t
oldest_ms(const struct ew_committer *committer)
{
    const struct ew_link *first = ew_list_first(&committer->items);

    if (first == NULL && may_publish(committer))
        first = ew_list_first(&committer->unpublished);
    if (first == NULL && may_publish(committer))
        first = ew_list_first(&committer->publishes);
    return first != NULL ? EW_CONTAINER(first, struct ew_item, link)->queued_ms : -1;
}

/* --- what others call --- */

void
ew_committer_log_dropped(const struct ew_kafka *kafka, struct ew_item *const *items, size_t count)
{
    size_t counts[EW_TOPIC_COUNT] = {0};

    for (size_t i = 0; i < count; i++)
        counts[items[i]->outs[0].topic]++;
    for (int i = 0; i < EW_TOPIC_COUNT; i++) {
        if (counts[i] > 0)
            EW_LOG(EW_LOG_WARN, EW_KAFKA_LOG, "records are not published: the process stops",
                   EW_STR("topic", kafka->options.out[i]), EW_INT("records", counts[i]));
    }
}

static void
submit(struct ew_kafka *kafka, struct ew_item *item, struct ew_list *list)
{
    struct ew_committer *committer = &kafka->committer;
    bool stopped;

    item->queued_ms = ew_mono_ms();
    pthread_mutex_lock(&committer->lock);
    stopped = committer->stop;
    if (!stopped) {
        bool first = oldest_ms(committer) < 0;

        ew_list_append(list, &item->link);
        committer->queued++;
        if (item->part != NULL)
            item->part->pending++;
        /* Company for a transaction that waits needs no waking. */
        if (first || committer->hurry > 0 || committer->queued >= EW_BATCH_ITEMS)
            pthread_cond_signal(&committer->changed);
    }
    pthread_mutex_unlock(&committer->lock);
    if (stopped) {
        struct ew_list lost;

        committer->late = true;
        if (item->part == NULL)
            ew_committer_log_dropped(kafka, &item, 1);
        ew_list_init(&lost);
        item->result = EW_COMMIT_LOST;
        ew_list_append(&lost, &item->link);
        post_answers(kafka, &lost);
    }
}

void
ew_kafka_commit(struct ew_kafka *kafka, const struct ew_commit *commit)
{
    submit(kafka, ew_item_new(commit), &kafka->committer.items);
}

void
ew_kafka_publish(struct ew_kafka *kafka, const struct ew_out *out, ew_kafka_done *done, void *arg)
{
    struct ew_commit commit = {.outs = {*out}, .out_count = 1, .done = done, .arg = arg};

    submit(kafka, ew_item_new(&commit), &kafka->committer.publishes);
}

void
ew_committer_adopt(struct ew_kafka *kafka, struct ew_adoption *adoption)
{
    struct ew_committer *committer = &kafka->committer;
    bool stopped;

    pthread_mutex_lock(&committer->lock);
    stopped = committer->stop;
    if (!stopped) {
        ew_list_append(&committer->adoptions, &adoption->link);
        pthread_cond_signal(&committer->changed);
    }
    pthread_mutex_unlock(&committer->lock);
    if (stopped)
        ew_adoption_free(adoption);
}

static bool
any_pending(struct ew_part *const *parts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (parts[i]->pending > 0)
            return true;
    }
    return false;
}

void
ew_committer_flush(struct ew_kafka *kafka, struct ew_part *const *parts, size_t count, int64_t ms)
{
    struct ew_committer *committer = &kafka->committer;
    int64_t until_ms = ew_mono_ms() + ms;
    struct timespec until;

    pthread_mutex_lock(&committer->lock);
    committer->hurry++;
    pthread_cond_signal(&committer->changed);
    while (any_pending(parts, count) && ew_mono_ms() < until_ms) {
        int64_t left = until_ms - ew_mono_ms();

        ew_deadline(&until, left < FLUSH_LOOK_MS ? left : FLUSH_LOOK_MS);
        (void)pthread_cond_timedwait(&committer->settled, &committer->lock, &until);
        ew_intake_tick(kafka);
    }
    committer->hurry--;
    pthread_mutex_unlock(&committer->lock);
}

bool
ew_committer_has(struct ew_kafka *kafka, struct ew_part *part)
{
    bool pending;

    pthread_mutex_lock(&kafka->committer.lock);
    pending = part->pending > 0;
    pthread_mutex_unlock(&kafka->committer.lock);
    return pending;
}

bool
ew_committer_expired(struct ew_kafka *kafka)
{
    bool expired;

    pthread_mutex_lock(&kafka->committer.lock);
    expired = kafka->committer.stop && ew_mono_ms() >= kafka->committer.stop_by_ms;
    pthread_mutex_unlock(&kafka->committer.lock);
    return expired;
}

/* --- the thread --- */

struct picked {
    struct ew_item *items[EW_BATCH_ITEMS];
    size_t count;
    size_t bytes;
};

static bool
pick(struct picked *picked, struct ew_item *item)
{
    if (picked->count == EW_BATCH_ITEMS ||
        (picked->count > 0 && picked->bytes + item->bytes > EW_BATCH_BYTES))
        return false;
    ew_link_remove(&item->link);
    picked->items[picked->count++] = item;
    picked->bytes += item->bytes;
    return true;
}

/* Whether an intent of this partition already waits for room: then others wait
 * behind it. */
static bool
waits(const struct ew_committer *committer, const struct ew_part *part)
{
    for (struct ew_link *link = ew_list_first(&committer->held); link != NULL;
         link = ew_list_next(&committer->held, link)) {
        if (EW_CONTAINER(link, struct ew_item, link)->part == part)
            return true;
    }
    return false;
}

static void
pick_held(struct ew_committer *committer, struct picked *picked)
{
    struct ew_link *link;

    while (picked->count < HELD_AT_ONCE && (link = ew_list_first(&committer->held)) != NULL) {
        if (!pick(picked, EW_CONTAINER(link, struct ew_item, link)))
            break;
    }
}

/* Called with the lock. Answers must not wait behind intents that wait for
 * room. */
static void
pick_items(struct ew_committer *committer, struct picked *picked)
{
    struct ew_link *link;

    pick_held(committer, picked);
    while ((link = ew_list_first(&committer->items)) != NULL) {
        struct ew_item *item = EW_CONTAINER(link, struct ew_item, link);

        if (item->mark == EW_MARK_STARTED && waits(committer, item->part)) {
            ew_link_remove(link);
            ew_list_append(&committer->held, link);
        } else if (!pick(picked, item)) {
            break;
        }
    }
}

/* The end waits for no pause: what fails once more is tried again until its time is over. */
static void
pick_publishes(struct ew_committer *committer, struct picked *picked)
{
    struct ew_link *link;

    if (!committer->stop && !may_publish(committer))
        return;
    while ((link = ew_list_first(&committer->unpublished)) != NULL ||
           (link = ew_list_first(&committer->publishes)) != NULL) {
        if (!pick(picked, EW_CONTAINER(link, struct ew_item, link)))
            break;
    }
}

static size_t
pick_adoptions(struct ew_committer *committer, struct ew_adoption **adoptions)
{
    struct ew_link *link;
    size_t count = 0;

    while (count < EW_BATCH_ADOPTIONS && (link = ew_list_first(&committer->adoptions)) != NULL) {
        ew_link_remove(link);
        adoptions[count++] = EW_CONTAINER(link, struct ew_adoption, link);
    }
    return count;
}

/* How long the next transaction may wait for company or work; 0 = now. Called
 * with the lock. */
static int64_t
patience(const struct ew_kafka *kafka)
{
    const struct ew_committer *committer = &kafka->committer;
    int64_t oldest = oldest_ms(committer);
    int64_t left;

    if (!ew_list_empty(&committer->adoptions))
        return 0;
    if (oldest < 0 && committer->queued > 0)
        return HELD_MS; /* what waits for room, or to be published again */
    if (oldest < 0)
        return committer->stop ? 0 : IDLE_MS;
    if (committer->stop || committer->hurry > 0 || committer->queued >= EW_BATCH_ITEMS)
        return 0;
    left = oldest + kafka->options.commit_ms - ew_mono_ms();
    return left > 0 ? left : 0;
}

static void
wait_for_work(struct ew_kafka *kafka)
{
    struct ew_committer *committer = &kafka->committer;
    struct timespec until;
    bool idle = oldest_ms(committer) < 0;
    int64_t ms = patience(kafka);

    if (ms == 0)
        return;
    ew_deadline(&until, ms);
    while (pthread_cond_timedwait(&committer->changed, &committer->lock, &until) == 0) {
        int64_t now_ms = patience(kafka);

        if (now_ms == 0)
            return;
        /* The first item of a transaction has come: from here on it only waits for
         * company. */
        if (idle && oldest_ms(committer) >= 0) {
            idle = false;
            ew_deadline(&until, now_ms);
        }
    }
}

static void
tidy(struct ew_kafka *kafka)
{
    struct ew_committer *committer = &kafka->committer;
    int64_t now = ew_mono_ms();

    if (now - committer->tidied_ms < TIDY_MS)
        return;
    ew_batch_tidy(kafka, now - committer->kept_alive_ms >= KEEP_ALIVE_MS);
    committer->tidied_ms = now;
    if (now - committer->kept_alive_ms >= KEEP_ALIVE_MS)
        committer->kept_alive_ms = now;
}

/* false: stopped, and nothing is left. */
static bool
turn(struct ew_kafka *kafka)
{
    struct ew_committer *committer = &kafka->committer;
    struct ew_round round = {.kafka = kafka};
    struct picked items = {.count = 0};
    struct picked publishes = {.count = 0};
    struct ew_adoption *adoptions[EW_BATCH_ADOPTIONS];
    size_t adoption_count;
    bool stop;

    ew_list_init(&round.answered);
    pthread_mutex_lock(&committer->lock);
    wait_for_work(kafka);
    adoption_count = pick_adoptions(committer, adoptions);
    pick_items(committer, &items);
    pick_publishes(committer, &publishes);
    stop = committer->stop && committer->queued == 0;
    pthread_mutex_unlock(&committer->lock);

    ew_committer_tick(kafka);
    if (adoption_count > 0)
        ew_batch_adopt(kafka, adoptions, adoption_count);
    if (items.count > 0)
        ew_batch_commit(&round, items.items, items.count);
    ew_round_post(&round);
    if (publishes.count > 0)
        ew_batch_publish(&round, publishes.items, publishes.count);
    ew_round_post(&round);
    ew_batch_outgrow(kafka);
    if (!stop)
        tidy(kafka);
    return !stop;
}

void *
ew_committer_run(void *arg)
{
    struct ew_kafka *kafka = arg;

    kafka->committer.kept_alive_ms = ew_mono_ms();
    while (turn(kafka))
        continue;
    return NULL;
}
