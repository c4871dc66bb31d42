/*
 * Internal records: what is in the air, waits, is parked or stopped; and resume requests.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "epki/v1/internal.pb-c.h"
#include "wire_private.h"

/* A trace is only carried along: one that could not be read back must not cost the record. */
static char *
loan_trace(const char *trace)
{
    for (const char *at = trace; at != NULL && *at != '\0'; at++)
        if (*at < 0x20 || *at > 0x7e)
            return ew_loan("");
    return ew_loan(trace);
}

/* --- headers and time of the event's record --- */

struct envelope {
    Epki__V1__RecordEnvelope message;
    Epki__V1__RecordHeader headers[EW_MAX_KEPT_HEADERS], *list[EW_MAX_KEPT_HEADERS];
};

static Epki__V1__RecordEnvelope *
envelope_message(const struct ew_inflight_record *record, struct envelope *out)
{
    epki__v1__record_envelope__init(&out->message);
    out->message.timestamp_ms = record->record_ms;
    out->message.headers_left_out = record->headers_left_out;
    out->message.headers = out->list;
    for (size_t i = 0; i < record->header_count && i < EW_MAX_KEPT_HEADERS; i++) {
        const struct ew_header *header = &record->headers[i];
        struct ew_blob name = {(const uint8_t *)header->name, strlen(header->name)};
        struct ew_blob value = {header->value, header->value == NULL ? 0 : header->len};

        epki__v1__record_header__init(&out->headers[i]);
        out->headers[i].name = ew_loan_blob(name);
        out->headers[i].value = ew_loan_blob(value);
        out->headers[i].null = header->value == NULL;
        out->list[i] = &out->headers[i];
        out->message.n_headers = i + 1;
    }
    return &out->message;
}

static void
read_envelope(const Epki__V1__RecordEnvelope *from, struct ew_arena *arena,
              struct ew_inflight_record *out, bool *failed)
{
    struct ew_header *headers;

    if (from == NULL)
        return;
    out->record_ms = from->timestamp_ms;
    out->headers_left_out = from->headers_left_out;
    headers = ew_arena_alloc(arena, (from->n_headers + 1) * sizeof(*headers));
    *failed = *failed || headers == NULL;
    out->headers = headers;
    out->header_count = headers == NULL ? 0 : from->n_headers;
    for (size_t i = 0; i < out->header_count; i++) {
        const Epki__V1__RecordHeader *header = from->headers[i];
        struct ew_blob value = ew_keep_blob(arena, &header->value, failed);

        headers[i].name =
            ew_arena_strndup(arena, (const char *)header->name.data, header->name.len);
        *failed = *failed || headers[i].name == NULL;
        headers[i].value = header->null ? NULL : value.len > 0 ? (const void *)value.data : "";
        headers[i].len = header->null ? 0 : value.len;
    }
}

/* --- orders whose keys were lost: a list there, words with a blank between here --- */

struct lost {
    char text[EW_MAX_LOST_TEXT + 1], *ids[EW_MAX_LOST_ORDERS];
    size_t count;
};

static void
lost_message(const char *orders, struct lost *out)
{
    char *rest = out->text;

    out->count = 0;
    (void)snprintf(out->text, sizeof(out->text), "%s", orders == NULL ? "" : orders);
    for (char *id; out->count < EW_MAX_LOST_ORDERS && (id = strtok_r(rest, " ", &rest)) != NULL;)
        out->ids[out->count++] = id;
}

static const char *
read_lost(char *const *ids, size_t count, struct ew_arena *arena, bool *failed)
{
    char text[EW_MAX_LOST_TEXT + 1] = "";
    size_t len = 0;

    for (size_t i = 0; i < count && i < EW_MAX_LOST_ORDERS; i++)
        if (strlen(ids[i]) <= EW_MAX_ORDER_ID)
            len += (size_t)snprintf(text + len, sizeof(text) - len, len > 0 ? " %s" : "%s", ids[i]);
    return ew_keep_text(arena, text, failed);
}

static const char *
read_misfit(const ProtobufCBinaryData *from, struct ew_arena *arena, bool *failed)
{
    const char *text =
        from->len == 0 ? NULL : ew_arena_strndup(arena, (const char *)from->data, from->len);

    *failed = *failed || (text == NULL && from->len > 0);
    return text;
}

/* --- the record --- */

enum ew_fault
ew_wire_inflight_encode(const struct ew_inflight_record *record, struct ew_buf *out,
                        struct ew_err *err)
{
    Epki__V1__InflightRecord message = EPKI__V1__INFLIGHT_RECORD__INIT;
    Epki__V1__Source source, by;
    ProtobufCBinaryData keys[EW_MAX_ATTEMPTS];
    struct envelope envelope;
    struct lost lost;

    ew_source_message(&record->source, &source);
    message.kind = (Epki__V1__InflightKind)(record->kind + 1);
    message.request_id = ew_loan(record->request_id);
    message.operation = (Epki__V1__Operation)record->op;
    message.digest = (ProtobufCBinaryData){.len = 32, .data = (uint8_t *)(uintptr_t)record->digest};
    message.source = &source;
    message.epoch = record->epoch;
    message.attempt = record->attempt;
    message.n_keys = ew_keys_message((const uint8_t(*)[32])record->keys, record->key_count, keys);
    message.keys = keys;
    message.ca_date_ms = record->ca_date_ms;
    message.has_ordered = record->has_ordered;
    message.order_id = ew_loan(record->order_id);
    message.reason = ew_loan(record->reason);
    message.due_ms = record->due_ms;
    message.since_ms = record->since_ms;
    message.wrapped_key = ew_loan_blob(record->wrapped_key);
    message.record_key = ew_loan_blob(record->record_key);
    message.record_value = ew_loan_blob(record->record_value);
    if (record->record_ms != 0 || record->header_count > 0 || record->headers_left_out > 0)
        message.record_envelope = envelope_message(record, &envelope);
    message.traceparent = loan_trace(record->traceparent);
    message.tracestate = loan_trace(record->tracestate);
    if (record->by.topic[0] != '\0') {
        ew_source_message(&record->by, &by);
        message.by = &by;
    }
    message.lane = (int32_t)record->lane;
    message.first_source = ew_loan(record->first_source);
    message.vanished = record->vanished;
    lost_message(record->lost_orders, &lost);
    message.lost_order_ids = lost.ids;
    message.n_lost_order_ids = lost.count;
    if (record->misfit != NULL)
        message.misfit =
            ew_loan_blob((struct ew_blob){(const uint8_t *)record->misfit, strlen(record->misfit)});
    return ew_pack(&message.base, out, err);
}

static const char *
text_or_null(struct ew_arena *arena, const char *text, bool *failed)
{
    return text[0] == '\0' ? NULL : ew_keep_text(arena, text, failed);
}

static enum ew_fault
read_inflight(const Epki__V1__InflightRecord *from, struct ew_arena *arena,
              struct ew_inflight_record *out, struct ew_err *err)
{
    bool failed = false;

    if (from->kind < EPKI__V1__INFLIGHT_KIND__INFLIGHT_KIND_ORDERING ||
        from->kind > EPKI__V1__INFLIGHT_KIND__INFLIGHT_KIND_STOP || from->digest.len != 32 ||
        from->request_id[0] == '\0' || from->lane < 0 || from->lane >= EW_LANE_COUNT ||
        from->lane == EW_LANE_RESUME || from->attempt < 0 || from->vanished < 0)
        return ew_fail(err, EW_REJECT, "malformed", "an inflight record with impossible values");
    memset(out, 0, sizeof(*out));
    out->kind = (enum ew_inflight_kind)(from->kind - 1);
    out->request_id = ew_keep_text(arena, from->request_id, &failed);
    out->op = (enum ew_operation)from->operation;
    memcpy(out->digest, from->digest.data, 32);
    ew_keep_source(from->source, &out->source);
    out->epoch = from->epoch;
    out->attempt = from->attempt;
    out->key_count = ew_keys_read(from->keys, from->n_keys, out->keys);
    out->ca_date_ms = from->ca_date_ms;
    out->has_ordered = from->has_ordered;
    out->order_id = ew_keep_text(arena, from->order_id, &failed);
    out->reason = ew_keep_text(arena, from->reason, &failed);
    out->due_ms = from->due_ms;
    out->since_ms = from->since_ms;
    out->wrapped_key = ew_keep_blob(arena, &from->wrapped_key, &failed);
    out->record_key = ew_keep_blob(arena, &from->record_key, &failed);
    out->record_value = ew_keep_blob(arena, &from->record_value, &failed);
    read_envelope(from->record_envelope, arena, out, &failed);
    out->traceparent = text_or_null(arena, from->traceparent, &failed);
    out->tracestate = text_or_null(arena, from->tracestate, &failed);
    ew_keep_source(from->by, &out->by);
    out->lane = (enum ew_lane)from->lane;
    out->first_source = ew_keep_text(arena, from->first_source, &failed);
    out->vanished = from->vanished;
    out->lost_orders = read_lost(from->lost_order_ids, from->n_lost_order_ids, arena, &failed);
    out->misfit = read_misfit(&from->misfit, arena, &failed);
    return failed ? ew_fail(err, EW_RETRY, "out-of-memory", "an inflight record") : EW_OK;
}

enum ew_fault
ew_wire_inflight_decode(const void *data, size_t len, struct ew_arena *arena,
                        struct ew_inflight_record *out, struct ew_err *err)
{
    ProtobufCMessage *message;
    enum ew_fault fault = ew_unpack(&epki__v1__inflight_record__descriptor, data, len,
                                    EW_MAX_REPEATED_OURS, &message, err);

    if (fault != EW_OK)
        return fault;
    fault = read_inflight((const Epki__V1__InflightRecord *)message, arena, out, err);
    protobuf_c_message_free_unpacked(message, NULL);
    return fault;
}

/* --- keys --- */

void
ew_wire_inflight_key(const char *request_id, const struct ew_source *source, struct ew_buf *out)
{
    ew_buf_clear(out);
    ew_buf_put(out, request_id, strlen(request_id) + 1);
    ew_buf_put(out, source->topic, strlen(source->topic) + 1);
    ew_buf_printf(out, "%d", source->partition);
    ew_buf_putc(out, '\0');
    ew_buf_printf(out, "%lld", (long long)source->offset);
}

/* The next part of a key up to its NUL, copied; NULL at the end. */
static const char *
part(const char **at, const char *end, struct ew_arena *arena)
{
    const char *nul = memchr(*at, '\0', (size_t)(end - *at)), *begin = *at;
    size_t len = nul == NULL ? (size_t)(end - *at) : (size_t)(nul - *at);

    *at = nul == NULL ? end : nul + 1;
    return ew_arena_strndup(arena, begin, len);
}

static bool
number(const char *text, int64_t *out)
{
    char *end;

    if (text == NULL || text[0] < '0' || text[0] > '9' || strlen(text) > 18)
        return false;
    *out = strtoll(text, &end, 10);
    return *end == '\0';
}

enum ew_fault
ew_wire_inflight_key_read(const void *key, size_t len, struct ew_arena *arena,
                          const char **request_id, struct ew_source *source)
{
    const char *at = key, *end = at + len, *topic;
    int64_t partition;

    if (len == 0 || len > EW_MAX_OWN_KEY || end[-1] == '\0')
        return EW_REJECT;
    *request_id = part(&at, end, arena);
    topic = part(&at, end, arena);
    memset(source, 0, sizeof(*source));
    if (*request_id == NULL || **request_id == '\0' || topic == NULL ||
        strlen(topic) >= sizeof(source->topic) || !number(part(&at, end, arena), &partition) ||
        partition > INT32_MAX || !number(part(&at, end, arena), &source->offset) || at != end)
        return EW_REJECT;
    memcpy(source->topic, topic, strlen(topic));
    source->partition = (int32_t)partition;
    return EW_OK;
}

/* --- resume requests --- */

enum ew_fault
ew_wire_resume_encode(const struct ew_resume *resume, struct ew_buf *out, struct ew_err *err)
{
    Epki__V1__ResumeRequest message = EPKI__V1__RESUME_REQUEST__INIT;
    Epki__V1__Source source, by;

    ew_source_message(&resume->source, &source);
    ew_source_message(&resume->by, &by);
    message.action = (Epki__V1__ResumeAction)(resume->action + 1);
    message.request_id = ew_loan(resume->request_id);
    message.source = &source;
    message.reason = ew_loan(resume->reason);
    message.by = &by;
    message.waiting_offset = resume->waiting_offset;
    message.order_id = ew_loan(resume->order_id);
    message.status = (Epki__V1__CertificateStatus)resume->status;
    return ew_pack(&message.base, out, err);
}

enum ew_fault
ew_wire_resume_decode(const void *data, size_t len, struct ew_arena *arena, struct ew_resume *out,
                      struct ew_err *err)
{
    ProtobufCMessage *message;
    const Epki__V1__ResumeRequest *from;
    bool failed = false;
    enum ew_fault fault = ew_unpack(&epki__v1__resume_request__descriptor, data, len,
                                    EW_MAX_REPEATED_OURS, &message, err);

    if (fault != EW_OK)
        return fault;
    from = (const Epki__V1__ResumeRequest *)message;
    memset(out, 0, sizeof(*out));
    out->action = (enum ew_resume_action)(from->action - 1);
    out->request_id = ew_keep_text(arena, from->request_id, &failed);
    ew_keep_source(from->source, &out->source);
    out->reason = ew_keep_text(arena, from->reason, &failed);
    ew_keep_source(from->by, &out->by);
    out->waiting_offset = from->waiting_offset;
    out->order_id = ew_keep_text(arena, from->order_id, &failed);
    out->status = (enum ew_cert_status)from->status;
    if (failed)
        fault = ew_fail(err, EW_RETRY, "out-of-memory", "a resume request");
    else if (out->request_id[0] == '\0' || out->source.topic[0] == '\0' ||
             from->action < EPKI__V1__RESUME_ACTION__RESUME_ACTION_RETRY ||
             from->action > EPKI__V1__RESUME_ACTION__RESUME_ACTION_AMEND ||
             (out->action == EW_RESUME_AMEND &&
              (out->order_id[0] == '\0' || (int)from->status < 0 ||
               (int)from->status > EW_CERT_REMOVED)))
        fault = ew_fail(err, EW_REJECT, "malformed", "a resume request with impossible values");
    protobuf_c_message_free_unpacked(message, NULL);
    return fault;
}
