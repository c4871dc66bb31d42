/*
 * Clients that are no worker: they send requests, or get in a worker's way.
 */
#pragma once

#include <librdkafka/rdkafka.h>
#include <stddef.h>

/* settings: name, value, ..., NULL; beside the broker's address. */
rd_kafka_t *plain_client(rd_kafka_type_t type, const char *const *settings);
/* transactional_id: NULL = none. */
rd_kafka_t *plain_producer(const char *transactional_id);
/* read_committed, from the beginning; says where a partition ends. */
rd_kafka_t *plain_consumer(const char *group);

/* Sends count records "key-<first+i>" = "value-<first+i>" to a partition (-1: spread by number). */
void send_numbers(const char *topic, int partition, int partitions, int first, int count);
void send_sized(const char *topic, int partition, const char *key, size_t len);
