/*
 * A deployment of its own for each test: group, topics and the options that name them.
 */
#pragma once

#include <librdkafka/rdkafka.h>

#include "kafka/check.h"
#include "kafka/kafka.h"

struct site {
    char group[64];
    char in[EW_LANE_COUNT][80];
    char out[EW_TOPIC_COUNT][80];
    struct ew_kafka_options options;
};

/* Creates all topics and bootstraps the group. partitions: of the enrolment, resume and inflight
 * topics; the rest have 1. */
void site_start(struct site *site, const char *name, int partitions);
/* The same in two steps. */
void site_init(struct site *site, const char *name, int partitions);
void site_bootstrap(struct site *site);
/* As site_init for topics that are there already (another process made them). */
void site_name(struct site *site, const char *name);

/* --- what an operator does to them --- */

/* Returns once the broker says so itself. */
void site_set_config(const char *topic, const char *name, const char *value);
void site_delete_topic(const char *topic);
/* The same name again, as site_init made a request topic of one partition. */
void site_make_topic(const char *topic);
/* Records below offset `before`. */
void site_delete_records(const char *topic, int partition, int64_t before);
/* Everybody's right to do op is taken from a topic or a group, and given back. Nobody has used it
 * with a right before. */
void site_deny(rd_kafka_ResourceType_t type, const char *name, rd_kafka_AclOperation_t op);
void site_allow_all(rd_kafka_ResourceType_t type, const char *name);
