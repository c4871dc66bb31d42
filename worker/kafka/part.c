/*
 * Partitions, their budgets, and the records taken from them.
 * Which records are read, and what is committed, is decided elsewhere.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "kafka_private.h"
#include "record_private.h"

enum { SAID_MS = 60000 }; /* the same is not said again sooner */

/* --- waking --- */

enum ew_fault
ew_wake_new(struct ew_wake **out, struct ew_err *err)
{
    struct ew_wake *wake = ew_calloc(1, sizeof(*wake));

    wake->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (wake->fd < 0) {
        free(wake);
        return ew_fail(err, EW_RETRY, "eventfd", "eventfd: error %d", errno);
    }
    atomic_init(&wake->refs, 1);
    *out = wake;
    return EW_OK;
}

static struct ew_wake *
wake_ref(struct ew_wake *wake)
{
    atomic_fetch_add(&wake->refs, 1);
    return wake;
}

void
ew_wake_unref(struct ew_wake *wake)
{
    if (wake == NULL || atomic_fetch_sub(&wake->refs, 1) != 1)
        return;
    close(wake->fd);
    free(wake);
}

void
ew_wake_up(struct ew_wake *wake)
{
    uint64_t one = 1;
    ssize_t written;

    do
        written = write(wake->fd, &one, sizeof(one));
    while (written < 0 && errno == EINTR);
}

void
ew_wake_clear(struct ew_wake *wake)
{
    uint64_t count;
    ssize_t got;

    do
        got = read(wake->fd, &count, sizeof(count));
    while (got < 0 && errno == EINTR);
}

/* --- partitions --- */

struct ew_part *
ew_part_new(enum ew_lane lane, const char *topic, int32_t number, struct ew_wake *wake,
            const struct ew_kafka_options *options)
{
    struct ew_part *part = ew_calloc(1, sizeof(*part));
    size_t len = strlen(topic);

    if (len >= sizeof(part->topic) || pthread_mutex_init(&part->lock, NULL) != 0) {
        free(part);
        return NULL;
    }
    memcpy(part->topic, topic, len + 1);
    atomic_init(&part->refs, 1);
    atomic_init(&part->owned, true);
    part->alarm_ms = -1;
    part->trace.offset = -1;
    atomic_init(&part->adopted, false);
    atomic_init(&part->alone, false);
    atomic_init(&part->starved, false);
    atomic_init(&part->epoch, 0);
    atomic_init(&part->outgrow, 0);
    atomic_init(&part->bytes, 0);
    part->lane = lane;
    part->number = number;
    part->wake = wake_ref(wake);
    part->items_max = options->partition_items;
    part->bytes_max = options->partition_bytes;
    return part;
}

struct ew_part *
ew_part_ref(struct ew_part *part)
{
    atomic_fetch_add(&part->refs, 1);
    return part;
}

void
ew_part_unref(struct ew_part *part)
{
    if (part == NULL || atomic_fetch_sub(&part->refs, 1) != 1)
        return;
    ew_offset_map_free(part->map);
    pthread_mutex_destroy(&part->lock);
    ew_wake_unref(part->wake);
    free(part);
}

enum ew_lane
ew_part_lane(const struct ew_part *part)
{
    return part->lane;
}

const char *
ew_part_topic(const struct ew_part *part)
{
    return part->topic;
}

int32_t
ew_part_number(const struct ew_part *part)
{
    return part->number;
}

bool
ew_part_owned(const struct ew_part *part)
{
    return atomic_load(&part->owned);
}

uint32_t
ew_part_epoch(const struct ew_part *part)
{
    return atomic_load(&part->epoch);
}

void
ew_part_left_alone(const struct ew_part *part, int64_t now, int64_t *said_ms, const char *problem,
                   const char *advice)
{
    if (*said_ms >= 0 && now - *said_ms < SAID_MS)
        return;
    *said_ms = now;
    EW_LOG(EW_LOG_ERROR, EW_KAFKA_LOG, "partition is left alone", EW_STR("problem", problem),
           EW_STR("topic", part->topic), EW_INT("partition", part->number),
           EW_STR("advice", advice));
}

void
ew_part_outgrow(struct ew_part *part, uint32_t epoch)
{
    unsigned known = atomic_load(&part->outgrow);

    while (known < epoch && !atomic_compare_exchange_weak(&part->outgrow, &known, epoch))
        continue;
}

bool
ew_part_is(const struct ew_part *part, const char *topic, int32_t number)
{
    return part->number == number && strcmp(part->topic, topic) == 0;
}

struct ew_trace
ew_trace_of(const rd_kafka_message_t *message)
{
    rd_kafka_timestamp_type_t type;

    return (struct ew_trace){.offset = message->offset,
                             .timestamp_ms = rd_kafka_message_timestamp(message, &type),
                             .bytes = message->key_len + message->len};
}

static bool
room(struct ew_part *part)
{
    bool fits;

    pthread_mutex_lock(&part->lock);
    fits = part->handed < part->items_max;
    pthread_mutex_unlock(&part->lock);
    return fits && atomic_load(&part->bytes) < part->bytes_max;
}

bool
ew_part_has_room(struct ew_part *part)
{
    if (room(part))
        return true;
    /* Said first, asked again: whoever makes room in between sees the flag or we
     * see the room. */
    atomic_store(&part->starved, true);
    return room(part);
}

void
ew_part_relieved(struct ew_part *part)
{
    if (atomic_exchange(&part->starved, false))
        ew_wake_up(part->wake);
}

/* --- records --- */

struct ew_record *
ew_record_new(struct ew_part *part, const struct ew_record *from)
{
    struct ew_record *record = ew_malloc(ew_record_bytes(from));
    struct ew_header *headers;
    char *at;

    *record = *from;
    headers = (struct ew_header *)(void *)(record + 1);
    at = (char *)(headers + from->header_count);
    record->headers = ew_keep_headers(&headers, &at, from->headers, from->header_count);
    record->key = ew_keep(&at, from->key, from->key_len);
    record->value = ew_keep(&at, from->value, from->value_len);
    record->part = ew_part_ref(part);
    atomic_fetch_add(&part->bytes, (long long)ew_record_bytes(record));
    return record;
}

size_t
ew_record_bytes(const struct ew_record *record)
{
    return sizeof(*record) + ew_headers_bytes(record->headers, record->header_count) +
           record->key_len + record->value_len;
}

void
ew_record_free(struct ew_record *record)
{
    if (record == NULL)
        return;
    atomic_fetch_sub(&record->part->bytes, (long long)ew_record_bytes(record));
    ew_part_relieved(record->part);
    ew_part_unref(record->part);
    free(record);
}
