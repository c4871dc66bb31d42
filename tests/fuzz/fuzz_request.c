/*
 * Records as they come from Kafka; the first byte says which. A request that is accepted keeps to
 * every limit and means the same however it is spelled on the wire. What workers write for each
 * other reads back as it was.
 */
#include <string.h>

#include "domain/rules.h"
#include "epki/v1/enrollment.pb-c.h"
#include "epki/v1/renewal.pb-c.h"
#include "epki/v1/revocation.pb-c.h"
#include "fuzz.h"
#include "wire_private.h"

/* --- limits of an accepted request --- */

static void
check_text(const char *text, size_t max)
{
    MUST(text != NULL && strlen(text) <= max);
}

static void
check_subject(const struct ew_subject *subject)
{
    check_text(subject->user_id, EW_MAX_FACT);
    check_text(subject->first_name, EW_MAX_FACT);
    check_text(subject->last_name, EW_MAX_FACT);
    check_text(subject->display_name, EW_MAX_FACT);
    check_text(subject->email, EW_MAX_EMAIL);
    check_text(subject->upn, EW_MAX_UPN);
    check_text(subject->device_id, EW_MAX_FACT);
    check_text(subject->device_serial, EW_MAX_FACT);
    check_text(subject->platform, EW_MAX_FACT);
    check_text(subject->platform_version, EW_MAX_FACT);
    MUST(subject->attribute_count <= EW_MAX_ATTRIBUTES);
    for (size_t i = 0; i < subject->attribute_count; i++) {
        check_text(subject->attributes[i].name, EW_MAX_ATTRIBUTE_NAME);
        check_text(subject->attributes[i].value, EW_MAX_ATTRIBUTE);
        MUST(subject->attributes[i].name[0] != '\0');
        for (size_t j = 0; j < i; j++)
            MUST(strcmp(subject->attributes[i].name, subject->attributes[j].name) != 0);
    }
}

static void
check_target(const struct ew_target *target)
{
    MUST(target->kind == EW_TARGET_REQUEST || target->kind == EW_TARGET_SERIAL ||
         target->kind == EW_TARGET_ORDER);
    if (target->kind == EW_TARGET_REQUEST)
        MUST(ew_request_id_valid(target->request_id));
    check_text(target->issuer, EW_MAX_ISSUER);
    check_text(target->serial, EW_MAX_SERIAL);
    check_text(target->order_id, EW_MAX_ORDER_ID);
    check_text(target->setting, EW_MAX_SETTING_NAME);
    if (target->kind == EW_TARGET_SERIAL) {
        MUST(target->issuer[0] != '\0' && target->serial[0] != '\0');
        MUST(target->serial[strspn(target->serial, "0123456789abcdef")] == '\0');
        MUST(target->serial[0] != '0' || target->serial[1] == '\0');
    }
    if (target->kind == EW_TARGET_ORDER)
        MUST(target->order_id[0] != '\0' && target->setting[0] != '\0');
}

static void
check_key(const struct ew_request *request)
{
    if (request->key == EW_KEY_CSR) {
        check_text(request->csr, EW_MAX_CSR);
    } else {
        MUST(request->key == EW_KEY_GLOBALSIGN ||
             (request->key == EW_KEY_WORKER && request->key_type <= EW_KEY_EC_P384));
        MUST(request->recipient_len >= 1 && request->recipient_len <= EW_MAX_RECIPIENT);
        MUST(request->recipient != NULL);
    }
}

static void
check_request(enum ew_lane lane, const struct ew_request *request)
{
    MUST(request->request_id != NULL && ew_request_id_valid(request->request_id));
    MUST(request->label_count <= EW_MAX_LABELS && request->context_len <= EW_MAX_CONTEXT);
    for (size_t i = 0; i < request->label_count; i++)
        check_text(request->labels[i], EW_MAX_LABEL);
    MUST(request->deadline_ms >= 0);
    check_subject(&request->subject);
    if (lane == EW_LANE_REVOCATION) {
        MUST(request->op == EW_OP_REVOKE && request->setting == NULL);
        MUST(request->reason >= 0 && request->reason <= 10 && request->reason != 6);
    } else {
        MUST(request->op == (lane == EW_LANE_RENEWAL ? EW_OP_RENEW : EW_OP_ENROLL));
        check_text(request->setting, EW_MAX_SETTING_NAME);
        MUST(request->setting[0] != '\0');
        check_key(request);
    }
    if (lane == EW_LANE_REVOCATION || lane == EW_LANE_RENEWAL)
        check_target(&request->target);
}

/* --- one meaning --- */

struct decoded {
    struct ew_arena *arena;
    struct ew_request request;
    struct ew_err err;
    enum ew_fault fault;
};

/* Not SHA-256: enough to tell two digested texts apart. */
static void
mix(const void *data, size_t len, uint8_t out[32])
{
    uint64_t hash = 14695981039346656037U;

    memset(out, 0, 32);
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ ((const uint8_t *)data)[i]) * 1099511628211U;
    memcpy(out, &hash, sizeof(hash));
    memcpy(out + sizeof(hash), &len, sizeof(len));
}

static void
decode(struct decoded *out, enum ew_lane lane, const uint8_t *data, size_t len)
{
    *out = (struct decoded){.arena = ew_arena_new(EW_MAX_FLOW_MEMORY)};
    MUST(out->arena != NULL);
    out->fault = ew_wire_request(lane, data, len, out->arena, &out->request, &out->err);
    MUST(out->fault == EW_OK || out->fault == EW_REJECT);
    if (out->fault == EW_REJECT) {
        MUST(out->err.problem != NULL && out->err.fault == EW_REJECT);
        MUST(out->request.request_id == NULL || ew_request_id_valid(out->request.request_id));
    }
}

static void
check_same(const struct decoded *one, const struct decoded *other)
{
    uint8_t digest[2][32];

    MUST(one->fault == other->fault);
    if (one->fault != EW_OK) {
        MUST(strcmp(one->err.problem, other->err.problem) == 0);
        return;
    }
    ew_request_digest(&one->request, NULL, digest[0], mix);
    ew_request_digest(&other->request, NULL, digest[1], mix);
    MUST(memcmp(digest[0], digest[1], 32) == 0);
    MUST(strcmp(one->request.request_id, other->request.request_id) == 0);
    MUST(one->request.label_count == other->request.label_count);
    MUST(one->request.context_len == other->request.context_len);
    MUST(one->request.deadline_ms == other->request.deadline_ms);
    MUST(one->request.bulk_hint == other->request.bulk_hint);
}

/* As a registry's client would have sent it. */
static void
check_framed(const struct decoded *plain, enum ew_lane lane, const uint8_t *data, size_t len)
{
    struct decoded framed;
    uint8_t *copy;

    if (len == 0 || data[0] == 0 || len + 6 > EW_MAX_RECORD)
        return;
    copy = calloc(1, len + 6);
    MUST(copy != NULL);
    memcpy(copy + 6, data, len);
    decode(&framed, lane, copy, len + 6);
    check_same(plain, &framed);
    ew_arena_free(framed.arena);
    free(copy);
}

/* As another library would spell it: fields in order, numbers in their shortest form. */
static void
check_respelled(const struct decoded *plain, enum ew_lane lane, const uint8_t *data, size_t len)
{
    static const ProtobufCMessageDescriptor *const descriptors[EW_LANE_COUNT] = {
        [EW_LANE_REVOCATION] = &epki__v1__revocation_request__descriptor,
        [EW_LANE_ENROLLMENT] = &epki__v1__enrollment_request__descriptor,
        [EW_LANE_RENEWAL] = &epki__v1__renewal_request__descriptor,
        [EW_LANE_BULK] = &epki__v1__enrollment_request__descriptor,
    };
    ProtobufCMessage *message = NULL;
    struct decoded respelled;
    struct ew_buf buf;

    if (plain->fault != EW_OK || ew_frame_strip(&data, &len, NULL) != EW_OK ||
        ew_unpack(descriptors[lane], data, len, EW_MAX_REPEATED, &message, NULL) != EW_OK)
        return;
    ew_buf_init(&buf, EW_MAX_RECORD);
    if (ew_pack(message, &buf, NULL) == EW_OK) {
        decode(&respelled, lane, buf.data, buf.len);
        check_same(plain, &respelled);
        ew_arena_free(respelled.arena);
    }
    protobuf_c_message_free_unpacked(message, NULL);
    ew_buf_deinit(&buf);
}

static void
request(enum ew_lane lane, const uint8_t *data, size_t len)
{
    struct decoded plain;

    decode(&plain, lane, data, len);
    if (plain.fault == EW_OK)
        check_request(lane, &plain.request);
    check_framed(&plain, lane, data, len);
    check_respelled(&plain, lane, data, len);
    ew_arena_free(plain.arena);
}

/* --- records of our own: read, written, read and written again --- */

enum { RECORD_MAX = 1024 * 1024 };

union record {
    struct ew_event event;
    struct ew_state_record state;
    struct ew_inflight_record inflight;
    struct ew_resume resume;
};

enum kind { EVENT, STATE, INFLIGHT, RESUME, KINDS };

static enum ew_fault
record_read(enum kind kind, const void *data, size_t len, struct ew_arena *arena, union record *out)
{
    if (kind == EVENT)
        return ew_wire_event_decode(data, len, arena, &out->event, NULL);
    if (kind == STATE)
        return ew_wire_state_decode(data, len, arena, &out->state, NULL);
    if (kind == INFLIGHT)
        return ew_wire_inflight_decode(data, len, arena, &out->inflight, NULL);
    return ew_wire_resume_decode(data, len, arena, &out->resume, NULL);
}

static enum ew_fault
record_write(enum kind kind, const union record *record, struct ew_buf *out)
{
    if (kind == EVENT)
        return ew_wire_event_encode(&record->event, out, NULL);
    if (kind == STATE)
        return ew_wire_state_encode(&record->state, out, NULL);
    if (kind == INFLIGHT)
        return ew_wire_inflight_encode(&record->inflight, out, NULL);
    return ew_wire_resume_encode(&record->resume, out, NULL);
}

static void
record(enum kind kind, const uint8_t *data, size_t len)
{
    struct ew_arena *arena = ew_arena_new(RECORD_MAX);
    union record first, second;
    struct ew_buf one, other;

    MUST(arena != NULL);
    ew_buf_init(&one, RECORD_MAX);
    ew_buf_init(&other, RECORD_MAX);
    if (record_read(kind, data, len, arena, &first) == EW_OK) {
        MUST(record_write(kind, &first, &one) == EW_OK);
        MUST(record_read(kind, one.data, one.len, arena, &second) == EW_OK);
        MUST(record_write(kind, &second, &other) == EW_OK);
        MUST(one.len == other.len && (one.len == 0 || memcmp(one.data, other.data, one.len) == 0));
    }
    ew_buf_deinit(&one);
    ew_buf_deinit(&other);
    ew_arena_free(arena);
}

static void
inflight_key(const uint8_t *data, size_t len)
{
    struct ew_arena *arena = ew_arena_new(RECORD_MAX);
    const char *id = NULL, *again = NULL;
    struct ew_source source, copy;
    struct ew_buf key;

    MUST(arena != NULL);
    ew_buf_init(&key, 2 * EW_MAX_OWN_KEY);
    if (ew_wire_inflight_key_read(data, len, arena, &id, &source) == EW_OK) {
        ew_wire_inflight_key(id, &source, &key);
        MUST(ew_wire_inflight_key_read(key.data, key.len, arena, &again, &copy) == EW_OK);
        MUST(strcmp(id, again) == 0 && strcmp(source.topic, copy.topic) == 0);
        MUST(source.partition == copy.partition && source.offset == copy.offset);
    }
    ew_buf_deinit(&key);
    ew_arena_free(arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum ew_lane lanes[] = {EW_LANE_REVOCATION, EW_LANE_ENROLLMENT, EW_LANE_RENEWAL,
                                         EW_LANE_BULK};
    struct fuzz_input input = {data, size};
    unsigned what = fuzz_byte(&input) % 9U;

    if (what < 4)
        request(lanes[what], input.at, input.left);
    else if (what < 8)
        record((enum kind)(what - 4), input.at, input.left);
    else
        inflight_key(input.at, input.left);
    return 0;
}
