/*
 * State records: the answers by request id.
 */
#include <string.h>

#include "epki/v1/internal.pb-c.h"
#include "wire_private.h"

/* --- lists of 32-byte digests --- */

size_t
ew_keys_message(const uint8_t (*keys)[32], size_t count, ProtobufCBinaryData out[EW_MAX_ATTEMPTS])
{
    for (size_t i = 0; i < count; i++)
        out[i] = (ProtobufCBinaryData){.len = 32, .data = (uint8_t *)(uintptr_t)keys[i]};
    return count;
}

size_t
ew_keys_read(const ProtobufCBinaryData *from, size_t count, uint8_t (*out)[32])
{
    size_t read = 0;

    for (size_t i = 0; i < count && read < EW_MAX_ATTEMPTS; i++)
        if (from[i].len == 32)
            memcpy(out[read++], from[i].data, 32);
    return read;
}

enum ew_fault
ew_wire_state_encode(const struct ew_state_record *state, struct ew_buf *out, struct ew_err *err)
{
    Epki__V1__CertificateState message = EPKI__V1__CERTIFICATE_STATE__INIT;
    Epki__V1__Names names = EPKI__V1__NAMES__INIT;
    Epki__V1__Source source;
    ProtobufCBinaryData keys[EW_MAX_ATTEMPTS];
    struct ew_event_parts first;

    ew_event_message(&state->first, &first);
    ew_source_message(&state->source, &source);
    names.cn = ew_loan(state->names.cn);
    names.email = ew_loan(state->names.email);
    names.upn = ew_loan(state->names.upn);
    names.n_ous = state->names.ou_count;
    names.ous = (char **)(uintptr_t)state->names.ous;
    message.request_id = ew_loan(state->request_id);
    message.operation = (Epki__V1__Operation)state->op;
    message.digest = (ProtobufCBinaryData){.len = 32, .data = (uint8_t *)(uintptr_t)state->digest};
    message.source = &source;
    message.first = &first.event;
    message.status = (Epki__V1__CertificateStatus)state->status;
    message.version = state->version;
    message.keep_until_ms = state->keep_until_ms;
    message.names = &names;
    message.n_keys = ew_keys_message((const uint8_t(*)[32])state->keys, state->key_count, keys);
    message.keys = keys;
    return ew_pack(&message.base, out, err);
}

static void
read_names(const Epki__V1__Names *from, struct ew_arena *arena, struct ew_names *out, bool *failed)
{
    out->cn = out->email = out->upn = "";
    if (from == NULL)
        return;
    out->cn = ew_keep_text(arena, from->cn, failed);
    out->email = ew_keep_text(arena, from->email, failed);
    out->upn = ew_keep_text(arena, from->upn, failed);
    for (size_t i = 0; i < from->n_ous && i < EW_MAX_OUS; i++)
        out->ous[out->ou_count++] = ew_keep_text(arena, from->ous[i], failed);
}

static enum ew_fault
read_state(const Epki__V1__CertificateState *from, struct ew_arena *arena,
           struct ew_state_record *out, struct ew_err *err)
{
    Epki__V1__CertificateEvent none = EPKI__V1__CERTIFICATE_EVENT__INIT;
    bool failed = false;
    enum ew_fault fault;

    if (from->digest.len != 32 || from->request_id[0] == '\0')
        return ew_fail(err, EW_REJECT, "malformed", "a state record without id or digest");
    memset(out, 0, sizeof(*out));
    out->request_id = ew_keep_text(arena, from->request_id, &failed);
    out->op = (enum ew_operation)from->operation;
    memcpy(out->digest, from->digest.data, 32);
    ew_keep_source(from->source, &out->source);
    out->status = (enum ew_cert_status)from->status;
    out->version = from->version;
    out->keep_until_ms = from->keep_until_ms;
    read_names(from->names, arena, &out->names, &failed);
    out->key_count = ew_keys_read(from->keys, from->n_keys, out->keys);
    fault = ew_event_read(from->first == NULL ? &none : from->first, arena, &out->first, err);
    if (fault == EW_OK && failed)
        fault = ew_fail(err, EW_RETRY, "out-of-memory", "a state record");
    return fault;
}

enum ew_fault
ew_wire_state_decode(const void *data, size_t len, struct ew_arena *arena,
                     struct ew_state_record *out, struct ew_err *err)
{
    ProtobufCMessage *message;
    enum ew_fault fault = ew_unpack(&epki__v1__certificate_state__descriptor, data, len,
                                    EW_MAX_REPEATED_OURS, &message, err);

    if (fault != EW_OK)
        return fault;
    fault = read_state((const Epki__V1__CertificateState *)message, arena, out, err);
    protobuf_c_message_free_unpacked(message, NULL);
    return fault;
}
