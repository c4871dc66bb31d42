/*
 * What the files of this room share.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include "epki/v1/certificate_event.pb-c.h"
#include "epki/v1/common.pb-c.h"
#include "wire/wire.h"

/* Walks the bytes by the descriptor before anything is unpacked: wire types, lengths, UTF-8, no NUL
 * in strings, no singular field or oneof twice, at most `most` of a repeated one, depth at most
 * EW_MAX_NESTING. err names the field's path. */
EW_CHECK enum ew_fault ew_walk(const ProtobufCMessageDescriptor *descriptor, const uint8_t *data,
                               size_t len, unsigned most, struct ew_err *err);

/* The content of a length-delimited field of the outermost message; false when there is none or the
 * message is malformed. */
bool ew_walk_find(const uint8_t *data, size_t len, unsigned id, const uint8_t **out,
                  size_t *out_len);

/* Walks, then unpacks. The message is freed with protobuf_c_message_free_unpacked. */
EW_CHECK enum ew_fault ew_unpack(const ProtobufCMessageDescriptor *descriptor, const void *data,
                                 size_t len, unsigned most, ProtobufCMessage **out,
                                 struct ew_err *err);
/* Packs into out. EW_BUG when it does not fit. */
EW_CHECK enum ew_fault ew_pack(const ProtobufCMessage *message, struct ew_buf *out,
                               struct ew_err *err);

/* Confluent framing: moves to where the protobuf begins. Raw protobuf stays as it is. */
EW_CHECK enum ew_fault ew_frame_strip(const uint8_t **data, size_t *len, struct ew_err *err);

/* Copies into the arena; "" for NULL and without memory (noted in *failed). */
const char *ew_keep_text(struct ew_arena *arena, const char *text, bool *failed);
struct ew_blob ew_keep_blob(struct ew_arena *arena, const ProtobufCBinaryData *data, bool *failed);
/* Stays empty without a topic that Kafka could have. */
void ew_keep_source(const Epki__V1__Source *from, struct ew_source *to);

/* An event as message; the parts live as long as `parts` and the event. */
struct ew_event_parts {
    Epki__V1__CertificateEvent event;
    Epki__V1__Source source, first;
    Epki__V1__Failure failure;
    Epki__V1__Certificate certificate;
    ProtobufCBinaryData chain[EW_MAX_CHAIN];
};
void ew_event_message(const struct ew_event *event, struct ew_event_parts *parts);
EW_CHECK enum ew_fault ew_event_read(const Epki__V1__CertificateEvent *message,
                                     struct ew_arena *arena, struct ew_event *out,
                                     struct ew_err *err);
void ew_source_message(const struct ew_source *source, Epki__V1__Source *out);
/* Lists of 32-byte digests; both return how many. */
size_t ew_keys_message(const uint8_t (*keys)[32], size_t count,
                       ProtobufCBinaryData out[EW_MAX_ATTEMPTS]);
size_t ew_keys_read(const ProtobufCBinaryData *from, size_t count, uint8_t (*out)[32]);
/* protobuf-c takes char *; it does not write through them when it packs. */
char *ew_loan(const char *text);
ProtobufCBinaryData ew_loan_blob(struct ew_blob blob);
