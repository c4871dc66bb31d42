/*
 * The transactional calls, wrapped by the linker: they can be stopped and let go again, fail, and
 * go out on nobody's word. Only one program's file may include this.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients.h"
#include "harness.h"
#include "member.h"
#include "snapshot_private.h"
#include "witness.h"

#define MAYBE __attribute__((unused))

struct gate {
    atomic_bool shut; /* the next call stops here; the one after it does not */
    atomic_bool open; /* it may go on */
    atomic_int stopped;
};

static struct gate at_offsets, at_commit;
static atomic_bool no_member; /* group metadata is that of nobody, as after a lost session */
static atomic_bool all_lost;  /* every revocation looks like a lost assignment */
static atomic_int sent, sent_by_nobody;
static atomic_bool no_publishing; /* transactions without offsets fail */
static atomic_bool has_offsets;
static atomic_int backoff_ms; /* retry.backoff.ms of the worker's producer */

rd_kafka_error_t *__real_rd_kafka_send_offsets_to_transaction(
    rd_kafka_t *rk, const rd_kafka_topic_partition_list_t *offsets,
    const rd_kafka_consumer_group_metadata_t *metadata, int timeout_ms);
rd_kafka_error_t *__wrap_rd_kafka_send_offsets_to_transaction(
    rd_kafka_t *rk, const rd_kafka_topic_partition_list_t *offsets,
    const rd_kafka_consumer_group_metadata_t *metadata, int timeout_ms);
rd_kafka_error_t *__real_rd_kafka_commit_transaction(rd_kafka_t *rk, int timeout_ms);
rd_kafka_error_t *__wrap_rd_kafka_commit_transaction(rd_kafka_t *rk, int timeout_ms);
rd_kafka_consumer_group_metadata_t *__real_rd_kafka_consumer_group_metadata(rd_kafka_t *rk);
rd_kafka_consumer_group_metadata_t *__wrap_rd_kafka_consumer_group_metadata(rd_kafka_t *rk);
int __real_rd_kafka_assignment_lost(rd_kafka_t *rk);
int __wrap_rd_kafka_assignment_lost(rd_kafka_t *rk);

static void
pass(struct gate *gate)
{
    bool shut = true;

    if (!atomic_compare_exchange_strong(&gate->shut, &shut, false))
        return;
    atomic_fetch_add(&gate->stopped, 1);
    while (!atomic_load(&gate->open))
        sleep_ms(2);
}

static MAYBE void
shut(struct gate *gate)
{
    atomic_store(&gate->open, false);
    atomic_store(&gate->stopped, 0);
    atomic_store(&gate->shut, true);
}

static MAYBE void
await_stop(struct gate *gate)
{
    AWAIT(atomic_load(&gate->stopped) > 0);
}

static MAYBE void
let_go(struct gate *gate)
{
    atomic_store(&gate->open, true);
}

/* Only the worker's own handles count: the tests commit as nobody to show what the broker takes. */
static bool
is_worker(const rd_kafka_t *rk)
{
    return strncmp(rd_kafka_name(rk), "epki-worker", 11) == 0;
}

static void
note_metadata(const rd_kafka_consumer_group_metadata_t *metadata)
{
    void *data = NULL;
    size_t len = 0;
    int32_t generation = -1;
    bool member = false;
    rd_kafka_error_t *error = rd_kafka_consumer_group_metadata_write(metadata, &data, &len);

    if (error != NULL)
        rd_kafka_error_destroy(error);
    else if (ew_group_metadata_decode(data, len, &generation, &member))
        rd_kafka_mem_free(NULL, data);
    atomic_fetch_add(&sent, 1);
    atomic_fetch_add(&sent_by_nobody, !member || generation < 0);
}

static void
note_backoff(rd_kafka_t *rk)
{
    char is[16] = "";
    size_t size = sizeof(is);

    rd_kafka_conf_get(rd_kafka_conf(rk), "retry.backoff.ms", is, &size);
    atomic_store(&backoff_ms, atoi(is));
}

rd_kafka_error_t *
__wrap_rd_kafka_send_offsets_to_transaction(rd_kafka_t *rk,
                                            const rd_kafka_topic_partition_list_t *offsets,
                                            const rd_kafka_consumer_group_metadata_t *metadata,
                                            int timeout_ms)
{
    if (is_worker(rk)) {
        note_metadata(metadata);
        note_backoff(rk);
        atomic_store(&has_offsets, true);
        pass(&at_offsets);
    }
    return __real_rd_kafka_send_offsets_to_transaction(rk, offsets, metadata, timeout_ms);
}

rd_kafka_error_t *
__wrap_rd_kafka_commit_transaction(rd_kafka_t *rk, int timeout_ms)
{
    if (is_worker(rk) && !atomic_exchange(&has_offsets, false) && atomic_load(&no_publishing))
        return rd_kafka_error_new(RD_KAFKA_RESP_ERR__FAIL, "no publishing");
    if (is_worker(rk))
        pass(&at_commit);
    return __real_rd_kafka_commit_transaction(rk, timeout_ms);
}

rd_kafka_consumer_group_metadata_t *
__wrap_rd_kafka_consumer_group_metadata(rd_kafka_t *rk)
{
    rd_kafka_consumer_group_metadata_t *metadata = __real_rd_kafka_consumer_group_metadata(rk);

    if (!atomic_load(&no_member))
        return metadata;
    rd_kafka_consumer_group_metadata_destroy(metadata);
    return rd_kafka_consumer_group_metadata_new("nobody-group");
}

int
__wrap_rd_kafka_assignment_lost(rd_kafka_t *rk)
{
    return atomic_load(&all_lost) ? 1 : __real_rd_kafka_assignment_lost(rk);
}

/* How many were answered so. */
static MAYBE int
results(struct member *member, struct answer *answers, int count, enum ew_committed result)
{
    int found = 0;

    for (int i = 0; i < count; i++) {
        member_wait_answer(member, &answers[i]);
        found += answers[i].result == result;
    }
    return found;
}
