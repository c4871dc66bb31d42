/*
 * What there is in topics and commits; see witness.h. Failures end the running test.
 */
#include "witness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients.h"
#include "harness.h"

int64_t
high_watermark(const char *topic, int partition)
{
    const char *settings[] = {"group.id", "harness", "isolation.level", "read_uncommitted", NULL};
    rd_kafka_t *rk = plain_client(RD_KAFKA_CONSUMER, settings);
    int64_t low = -1;
    int64_t high = -1;

    rd_kafka_query_watermark_offsets(rk, topic, partition, &low, &high, 10000);
    rd_kafka_destroy(rk);
    return high;
}

static int
assign_all(rd_kafka_t *rk, const char *topic)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);
    int count;

    REQUIRE(rd_kafka_metadata(rk, 0, rkt, &metadata, 10000) == RD_KAFKA_RESP_ERR_NO_ERROR,
            "metadata of %s", topic);
    count = metadata->topics[0].partition_cnt;
    for (int i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_assign(rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(rkt);
    return count;
}

/* The number in a record's key; -1: none. */
static int
number_of(const rd_kafka_message_t *message)
{
    char key[32] = "";

    if (message->key_len <= 4 || message->key_len >= sizeof(key))
        return -1;
    memcpy(key, message->key, message->key_len);
    return atoi(key + 4);
}

/* Shows every committed record. */
static void
read_to_end(const char *topic, void (*see)(void *arg, const rd_kafka_message_t *message), void *arg)
{
    rd_kafka_t *rk = plain_consumer("harness");
    int left = assign_all(rk, topic);
    int64_t until = now_ms() + PATIENCE_MS;

    while (left > 0 && now_ms() < until) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(rk, 100);

        if (message == NULL)
            continue;
        if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
            left--;
        else if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR && number_of(message) >= 0)
            see(arg, message);
        rd_kafka_message_destroy(message);
    }
    REQUIRE(left == 0, "the end of %s was not reached", topic);
    rd_kafka_destroy(rk);
}

struct tally {
    int *counts;
    int max, total;
};

static void
tally_one(void *arg, const rd_kafka_message_t *message)
{
    struct tally *tally = arg;
    int number = number_of(message);

    if (number < tally->max)
        tally->counts[number]++;
    tally->total++;
}

int
count_numbers(const char *topic, int *counts, int max)
{
    struct tally tally = {.counts = counts, .max = max};

    memset(counts, 0, (size_t)max * sizeof(*counts));
    read_to_end(topic, tally_one, &tally);
    return tally.total;
}

struct dated {
    int number;
    int64_t time_ms;
};

static void
date_one(void *arg, const rd_kafka_message_t *message)
{
    struct dated *dated = arg;
    rd_kafka_timestamp_type_t type;

    if (number_of(message) == dated->number)
        dated->time_ms = rd_kafka_message_timestamp(message, &type);
}

int64_t
time_of_number(const char *topic, int number)
{
    struct dated dated = {.number = number, .time_ms = -1};

    read_to_end(topic, date_one, &dated);
    return dated.time_ms;
}

void
assert_each_once(struct site *site, int count)
{
    int *counts = calloc((size_t)count, sizeof(int));
    int total = count_numbers(site->out[EW_TOPIC_EVENTS], counts, count);
    int wrong = 0;

    for (int i = 0; i < count; i++) {
        if (counts[i] != 1 && wrong++ < 20)
            fprintf(stderr, "harness: key-%d: %d answers\n", i, counts[i]);
    }
    free(counts);
    REQUIRE(wrong == 0 && total == count, "%d of %d wrong, %d in all", wrong, count, total);
}

void
await_each_once(struct site *site, int count)
{
    int *counts = calloc((size_t)count, sizeof(int));

    AWAIT(count_numbers(site->out[EW_TOPIC_EVENTS], counts, count) >= count);
    free(counts);
    assert_each_once(site, count);
}

/* --- commits --- */

void
see_commit(struct site *site, enum ew_lane lane, int partition, struct seen *out)
{
    rd_kafka_t *rk = plain_consumer(site->group);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *at =
        rd_kafka_topic_partition_list_add(list, site->in[lane], partition);
    rd_kafka_resp_err_t code = rd_kafka_committed(rk, list, PATIENCE_MS);

    REQUIRE(code == RD_KAFKA_RESP_ERR_NO_ERROR, "committed: %s", rd_kafka_err2str(code));
    memset(out, 0, sizeof(*out));
    out->base = at->offset;
    out->kind = ew_offset_map_decode(at->offset, at->metadata, at->metadata_size, &out->map);
    if (at->metadata_size > 0)
        memcpy(out->text, at->metadata, at->metadata_size);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(rk);
}

void
force_commit(struct site *site, enum ew_lane lane, int partition, int64_t offset,
             const char *metadata)
{
    rd_kafka_t *rk = plain_consumer(site->group);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *at =
        rd_kafka_topic_partition_list_add(list, site->in[lane], partition);
    rd_kafka_resp_err_t code;

    at->offset = offset;
    at->metadata = metadata != NULL ? strdup(metadata) : NULL;
    at->metadata_size = metadata != NULL ? strlen(metadata) : 0;
    code = rd_kafka_commit(rk, list, 0);
    REQUIRE(code == RD_KAFKA_RESP_ERR_NO_ERROR, "commit: %s", rd_kafka_err2str(code));
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(rk);
}

rd_kafka_t *
open_commit(struct site *site, int partition, int64_t offset)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_consumer_group_metadata_t *nobody = rd_kafka_consumer_group_metadata_new(site->group);
    char id[80];
    rd_kafka_t *rk;

    snprintf(id, sizeof(id), "%s-nobody", site->group);
    rk = plain_producer(id);
    rd_kafka_topic_partition_list_add(list, site->in[EW_LANE_ENROLLMENT], partition)->offset =
        offset;
    assert_null(rd_kafka_init_transactions(rk, PATIENCE_MS));
    assert_null(rd_kafka_begin_transaction(rk));
    assert_null(rd_kafka_send_offsets_to_transaction(rk, list, nobody, PATIENCE_MS));
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_consumer_group_metadata_destroy(nobody);
    return rk;
}
