/*
 * What the tests against a real broker share: topics, plain clients, and members (a loop on its own
 * thread with an ew_kafka on it). Not a test itself.
 */
#pragma once

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/list.h"
#include "kafka/check.h"
#include "kafka/kafka.h"
#include "kafka/offset_map.h"

/* --- a deployment of its own for each test --- */

struct site {
    char group[64];
    char in[EW_LANE_COUNT][80];
    char out[EW_TOPIC_COUNT][80];
    struct ew_kafka_options options;
};

/* Creates all topics. partitions: of the enrolment, resume and inflight topics; the rest have 1. */
void site_init(struct site *site, const char *name, int partitions);
/* As site_init for topics that are there already (another process made them). */
void site_name(struct site *site, const char *name);
void site_bootstrap(struct site *site);
void site_set_config(const char *topic, const char *name, const char *value);

void site_delete_topic(const char *topic);
/* Everybody's right to do op is taken from a topic or a group, and given back. Nobody has used it
 * with a right before. */
void site_deny(rd_kafka_ResourceType_t type, const char *name, rd_kafka_AclOperation_t op);
void site_allow_all(rd_kafka_ResourceType_t type, const char *name);

/* --- plain clients --- */

/* Sends count records "key-<first+i>" = "value-<first+i>" to a partition (-1: spread by number). */
void send_numbers(const char *topic, int partition, int partitions, int first, int count);
void send_sized(const char *topic, int partition, const char *key, size_t len);
rd_kafka_t *plain_producer(const char *transactional_id);
rd_kafka_t *plain_consumer(const char *group);
/* Counts committed records by number in their key ("key-<n>"); counts[n] for n < max. */
int count_numbers(const char *topic, int *counts, int max);
/* Fails unless the site's events hold exactly one answer for each number below count. */
void assert_each_once(struct site *site, int count);
/* As before, once the answers are all there; fails when they are not after ms. */
void await_each_once(struct site *site, int count, int ms);

/* What the group has committed; map is the caller's; kind as decoded. */
struct seen {
    int64_t base;
    enum ew_map_kind kind;
    struct ew_offset_map *map;
    char text[EW_MAP_CHARS + 1];
};
void see_commit(struct site *site, enum ew_lane lane, int partition, struct seen *out);
void force_commit(struct site *site, enum ew_lane lane, int partition, int64_t offset,
                  const char *metadata);
int64_t high_watermark(const char *topic, int partition);

/* --- members --- */

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
/* Drains, stops, frees. */
void member_stop(struct member *member);
/* Waits until *counter >= value; fails the test after ms. */
void member_wait(struct member *member, const int *counter, int value, int ms);
bool member_reaches(struct member *member, const int *counter, int value, int ms);
int member_read(struct member *member, const int *counter);
/* The held record of an offset and partition, or NULL. */
struct ew_record *member_find(struct member *member, int partition, int64_t offset);
bool member_owns(struct member *member, int partition);
uint32_t member_epoch(struct member *member, int partition);

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
void member_wait_answer(struct member *member, struct answer *answer, int ms);
/* Runs fn(arg) on the member's loop and waits for it. */
void member_call(struct member *member, void (*fn)(void *arg), void *arg);

int64_t now_ms(void);
void sleep_ms(int ms);
