/*
 * A member of the group as the tests see it: a loop on its own thread with an ew_kafka on it.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/list.h"
#include "kafka/kafka.h"
#include "site.h"

enum policy {
    HOLD,   /* keep records; the test decides */
    ANSWER, /* intent, then done with an answer */
    SPARSE, /* keep one in delay_ms, done at once with the others */
};

struct member {
    struct site *site;
    enum policy policy;
    int delay_ms;             /* ANSWER: between intent and answer */
    enum ew_topic answers_to; /* what is submitted goes to this topic */
    struct ew_loop *loop;
    struct ew_kafka *kafka;
    pthread_t thread;
    struct ew_clock clock;
    atomic_llong clock_ahead;

    struct ew_list works; /* loop: not answered yet */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct ew_record **records; /* HOLD: as they came */
    int record_count, record_cap;
    int adopted, lost, fatal;
    int intents;                               /* committed */
    int committed, lost_items, stale, refused; /* results */
    int started_seen, doubt_seen;
    struct ew_part *parts[64]; /* adopted, not lost */
    int part_count;
    bool stopped;
    char fatal_problem[64];
};

struct member *member_start(struct site *site, enum policy policy, int delay_ms);
/* Sends key-0 to key-<count-1> to the enrolment topic's partition 0, and starts a member that holds
 * them all. */
struct member *member_hold(struct site *site, int count);
/* Drains, stops, frees. */
void member_stop(struct member *member);
/* The same of one whose loop ends by itself, with its room stopped and freed. */
void member_join(struct member *member);

/* Waits until *counter >= value. */
void member_wait(struct member *member, const int *counter, int value);
/* The same, but not for ever: false after ms. */
bool member_reaches(struct member *member, const int *counter, int value, int ms);
int member_read(struct member *member, const int *counter);
struct ew_kafka_stats member_stats(struct member *member);

/* Of the enrolment topic. */
bool member_owns(struct member *member, int partition);
uint32_t member_epoch(struct member *member, int partition);
void member_outgrow(struct member *member, int partition, uint32_t epoch);
/* The held record of an offset and partition, or NULL. */
struct ew_record *member_find(struct member *member, int partition, int64_t offset);

/* --- commits by hand --- */

struct answer {
    enum ew_committed result;
    int64_t t0_ms;
    struct ew_err err;
    bool there;
};
/* Submits and waits. outs: 0 = none; value of len bytes to the events topic otherwise. */
struct answer member_commit(struct member *member, struct ew_record *record, enum ew_mark mark,
                            int64_t not_after_ms, const char *key, size_t value_len);
/* Submits; *answer is filled later (member_wait_answer). */
void member_submit(struct member *member, struct ew_record *record, enum ew_mark mark,
                   int64_t not_after_ms, const char *key, size_t value_len, struct answer *answer);
void member_wait_answer(struct member *member, const struct answer *answer);
/* Runs fn(arg) on the member's loop and waits for it. */
void member_call(struct member *member, void (*fn)(void *arg), void *arg);
