/*
 * Adoption of new partitions and look-ups of committed offsets: both are stable
 * reads, both block, so they have a thread of their own.
 */
#pragma once

#include "kafka_private.h"

/* A partition on its way to be ours: read here, committed by the committer. */
struct ew_adoption {
    struct ew_link link;
    struct ew_part *part;
    struct ew_offset_map *map; /* once read: epoch raised, sequence not yet */
    int64_t next_ms;           /* boot time of the next try */
    int64_t alarm_ms;          /* boot time of the last word about it, -1 = none */
};

void *ew_adopter_run(void *arg); /* the thread; of a struct ew_kafka */

/* Queues a new partition. Any thread. */
void ew_adopt_request(struct ew_kafka *kafka, struct ew_part *part);
/* Back from the committer: to be read again after delay_ms. Takes `adoption`.
 * Any thread. */
void ew_adopt_again(struct ew_kafka *kafka, struct ew_adoption *adoption, int64_t delay_ms);
void ew_adoption_free(struct ew_adoption *adoption);
/* All that a list holds, when nobody works on it any more. */
void ew_adoptions_drop(struct ew_list *adoptions);
