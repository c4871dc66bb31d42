/*
 * Strict reading of replies: a shape that was not agreed is a fault, never a guess.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/log.h"
#include "store_private.h"

static const char *const state_names[] = {
    [EW_REC_ABSENT] = "",         [EW_REC_CLAIMED] = "claimed", [EW_REC_CALLING] = "calling",
    [EW_REC_UNKNOWN] = "unknown", [EW_REC_OUTCOME] = "outcome", [EW_REC_WAITING] = "waiting",
    [EW_REC_PARKED] = "parked",   [EW_REC_DONE] = "done",
};

/* --- lists --- */

#if HIREDIS_MAJOR < 1
typedef int ew_item_count;
#else
typedef size_t ew_item_count;
#endif

static void *(*create_array)(const redisReadTask *task, ew_item_count count);
static redisReplyObjectFunctions bounded;
static pthread_once_t bounded_once = PTHREAD_ONCE_INIT;

static void *
create_bounded(const redisReadTask *task, ew_item_count count)
{
    return count > EW_MAX_REDIS_ITEMS ? NULL : create_array(task, count);
}

/* hiredis keeps its functions to itself: a reader of its making shows them. */
static void
make_bounded(void)
{
    redisReader *reader = redisReaderCreate();

    if (reader == NULL)
        abort();
    bounded = *reader->fn;
    create_array = bounded.createArray;
    bounded.createArray = create_bounded;
    redisReaderFree(reader);
}

/* hiredis takes a list of any length at its word: one of 1,000,000,000, from something that is no
 * Redis, cost 8 GB and held the loop for seconds. */
void
ew_reply_bound(redisContext *context)
{
    pthread_once(&bounded_once, make_bounded);
    context->reader->fn = &bounded;
}

bool
ew_reply_items(const redisReply *reply, size_t count)
{
    return reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == count;
}

void
ew_reply_hush(redisReply *reply)
{
    if (reply->str == NULL)
        return;
    reply->len = strcspn(reply->str, " ");
    reply->str[reply->len] = '\0';
}

bool
ew_reply_blob(const redisReply *reply, size_t index, struct ew_blob *out)
{
    const redisReply *item;

    if (index >= reply->elements)
        return false;
    item = reply->element[index];
    if (item == NULL || item->type != REDIS_REPLY_STRING || item->str == NULL ||
        item->len > EW_MAX_REDIS_VALUE)
        return false;
    out->data = (const uint8_t *)item->str;
    out->len = item->len;
    return true;
}

bool
ew_reply_text(const redisReply *reply, size_t index, size_t max, const char **out)
{
    struct ew_blob blob;

    if (!ew_reply_blob(reply, index, &blob) || blob.len > max ||
        memchr(blob.data, '\0', blob.len) != NULL)
        return false;
    *out = (const char *)blob.data;
    return true;
}

/* Digits only, no sign, no leading blank. */
static bool
parse_num(const char *text, size_t len, int64_t max, int64_t *out)
{
    int64_t num = 0;

    if (len == 0 || len > 18)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        num = num * 10 + (text[i] - '0');
    }
    *out = num;
    return num <= max;
}

bool
ew_reply_num(const redisReply *reply, size_t index, int64_t max, int64_t *out)
{
    struct ew_blob blob;

    return ew_reply_blob(reply, index, &blob) &&
           parse_num((const char *)blob.data, blob.len, max, out);
}

bool
ew_reply_int(const redisReply *reply, int64_t max, int64_t *out)
{
    if (reply == NULL || reply->type != REDIS_REPLY_INTEGER || reply->integer < 0 ||
        reply->integer > max)
        return false;
    *out = reply->integer;
    return true;
}

void
ew_source_text(const struct ew_source *source, char out[EW_SOURCE_TEXT])
{
    if (source->topic[0] == '\0')
        out[0] = '\0';
    else
        (void)snprintf(out, EW_SOURCE_TEXT, "%.249s/%d/%lld", source->topic, source->partition,
                       (long long)source->offset);
}

static bool
parse_source(const char *text, struct ew_source *out)
{
    const char *offset = strrchr(text, '/');
    const char *partition = offset == NULL ? NULL : memrchr(text, '/', (size_t)(offset - text));
    int64_t num;
    size_t len;

    memset(out, 0, sizeof(*out));
    if (text[0] == '\0')
        return true;
    if (partition == NULL)
        return false;
    len = (size_t)(partition - text);
    if (len == 0 || len >= sizeof(out->topic) ||
        !parse_num(partition + 1, (size_t)(offset - partition - 1), INT32_MAX, &num))
        return false;
    out->partition = (int32_t)num;
    if (!parse_num(offset + 1, strlen(offset + 1), INT64_MAX, &out->offset))
        return false;
    memcpy(out->topic, text, len);
    return true;
}

bool
ew_reply_source(const redisReply *reply, size_t index, struct ew_source *out)
{
    const char *text;

    return ew_reply_text(reply, index, EW_SOURCE_TEXT - 1, &text) && parse_source(text, out);
}

static bool
parse_state(const char *name, enum ew_record_state *out)
{
    for (size_t i = 0; i < sizeof(state_names) / sizeof(state_names[0]); i++) {
        if (strcmp(name, state_names[i]) == 0) {
            *out = (enum ew_record_state)i;
            return true;
        }
    }
    return false;
}

static bool
parse_digest(const redisReply *reply, size_t index, uint8_t out[32], bool *there)
{
    const char *text;

    if (!ew_reply_text(reply, index, 64, &text))
        return false;
    *there = text[0] != '\0';
    return !*there || (strlen(text) == 64 && ew_hex_decode(text, out, 32) == EW_OK);
}

bool
ew_reply_view(const redisReply *reply, size_t first, struct ew_record_view *out)
{
    const char *state;
    int64_t epoch, attempt, vanished;
    bool has_digest;

    memset(out, 0, sizeof(*out));
    out->order_id = out->lost_orders = "";
    if (!ew_reply_text(reply, first, 16, &state) || !parse_state(state, &out->state) ||
        !parse_digest(reply, first + 1, out->digest, &has_digest) ||
        !ew_reply_source(reply, first + 2, &out->source) ||
        !ew_reply_num(reply, first + 3, UINT32_MAX, &epoch) ||
        !ew_reply_num(reply, first + 4, INT32_MAX, &attempt) ||
        !parse_digest(reply, first + 5, out->spki, &out->has_spki) ||
        !ew_reply_text(reply, first + 6, EW_MAX_ORDER_ID, &out->order_id) ||
        !ew_reply_blob(reply, first + 7, &out->outcome) ||
        !ew_reply_source(reply, first + 8, &out->stopped_by) ||
        !ew_reply_num(reply, first + 9, INT32_MAX, &vanished) ||
        !ew_reply_text(reply, first + 10, EW_MAX_LOST_TEXT, &out->lost_orders) ||
        !ew_reply_blob(reply, first + 11, &out->misfit) ||
        !ew_reply_num(reply, first + 12, INT64_MAX, &out->ca_date_ms))
        return false;
    out->epoch = (uint32_t)epoch;
    out->attempt = (int)attempt;
    out->vanished = (int)vanished;
    out->stopped = out->stopped_by.topic[0] != '\0';
    return out->state == EW_REC_ABSENT || (has_digest && out->source.topic[0] != '\0');
}

enum ew_fault
ew_reply_bad(const struct ew_op *op)
{
    EW_LOG(EW_LOG_ERROR, "store", "Redis gave a reply of the wrong shape",
           EW_STR("script", ew_scripts[op->script].name), EW_STR("error_class", "bug"));
    return EW_BUG;
}

void
ew_on_moved(struct ew_op *op, enum ew_fault fault, const redisReply *reply)
{
    int64_t result = EW_TR_REFUSED;

    if (fault == EW_OK && !ew_reply_int(reply, EW_TR_ANOTHERS, &result))
        fault = ew_reply_bad(op);
    if (op->done.moved != NULL)
        op->done.moved(op->arg, fault, fault == EW_OK ? (enum ew_transition)result : EW_TR_REFUSED);
}

void
ew_on_flag(struct ew_op *op, enum ew_fault fault, const redisReply *reply)
{
    int64_t result = 0;

    if (fault == EW_OK && !ew_reply_int(reply, 1, &result))
        fault = ew_reply_bad(op);
    if (op->done.flag != NULL)
        op->done.flag(op->arg, fault, fault == EW_OK && result == 1);
}
