/*
 * What a test finds in topics and commits: answers, high watermarks, maps; and commits that are not
 * a worker's.
 */
#pragma once

#include <librdkafka/rdkafka.h>

#include "kafka/offset_map.h"
#include "site.h"

/* --- records --- */

/* Counts committed records by number in their key ("key-<n>"); counts[n] for n < max. */
int count_numbers(const char *topic, int *counts, int max);
/* The time in the last committed record with that number in its key, since 1970; -1: none. */
int64_t time_of_number(const char *topic, int number);
/* Fails unless the site's events hold exactly one answer for each number below count. */
void assert_each_once(struct site *site, int count);
/* As before, once that many answers are there. */
void await_each_once(struct site *site, int count);
int64_t high_watermark(const char *topic, int partition);

/* --- commits --- */

/* What the group has committed; map is the caller's; kind as decoded. */
struct seen {
    int64_t base;
    enum ew_map_kind kind;
    struct ew_offset_map *map;
    char text[EW_MAP_CHARS + 1];
};
void see_commit(struct site *site, enum ew_lane lane, int partition, struct seen *out);
/* By hand, as an operator does; metadata: NULL = none. */
void force_commit(struct site *site, enum ew_lane lane, int partition, int64_t offset,
                  const char *metadata);
/* A transaction of somebody who is no member, with an offset of the enrolment topic sent and still
 * open: the caller ends it and destroys the client. */
rd_kafka_t *open_commit(struct site *site, int partition, int64_t offset);
