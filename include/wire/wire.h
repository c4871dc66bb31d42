/*
 * Protobuf bytes to domain structs and back, within limits. Any thread; nothing is shared.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "domain/outcome.h"
#include "domain/request.h"

/*
 * Reads a request record of a lane (never EW_LANE_RESUME): raw protobuf, or Confluent framing
 * (leading 0x00). A descriptor-driven walk checks UTF-8, NUL, counts, lengths and depth before
 * anything is unpacked. EW_REJECT: *out holds what could be read, of a message that the walk
 * refused the id alone; out->request_id == NULL means that the event cannot even be answered and
 * belongs to the dead letters. err, never NULL, names the field.
 */
EW_CHECK enum ew_fault ew_wire_request(enum ew_lane lane, const void *value, size_t len,
                                       struct ew_arena *arena, struct ew_request *out,
                                       struct ew_err *err);

/* Digest version 1: operation, setting, subject facts, key choice,
 * target, and the public key or recipient only where the event carries one. Not context, labels,
 * deadline, lane, trace; not protobuf bytes. csr_spki: SHA-256 of the CSR's public key, or NULL. */
void ew_request_digest(const struct ew_request *request, const uint8_t *csr_spki, uint8_t out[32],
                       void (*sha256)(const void *data, size_t len, uint8_t out[32]));

EW_CHECK enum ew_fault ew_wire_event_encode(const struct ew_event *event, struct ew_buf *out,
                                            struct ew_err *err);
EW_CHECK enum ew_fault ew_wire_event_decode(const void *data, size_t len, struct ew_arena *arena,
                                            struct ew_event *out, struct ew_err *err);
EW_CHECK enum ew_fault ew_wire_state_encode(const struct ew_state_record *state, struct ew_buf *out,
                                            struct ew_err *err);
EW_CHECK enum ew_fault ew_wire_state_decode(const void *data, size_t len, struct ew_arena *arena,
                                            struct ew_state_record *out, struct ew_err *err);
EW_CHECK enum ew_fault ew_wire_inflight_encode(const struct ew_inflight_record *record,
                                               struct ew_buf *out, struct ew_err *err);
EW_CHECK enum ew_fault ew_wire_inflight_decode(const void *data, size_t len, struct ew_arena *arena,
                                               struct ew_inflight_record *out, struct ew_err *err);
/* The resume topic carries a ResumeRequest: the key of the WAITING or PARKED record it is about,
 * and what to do. */
enum ew_resume_action { EW_RESUME_RETRY, EW_RESUME_END, EW_RESUME_AMEND };
struct ew_resume {
    enum ew_resume_action action;
    const char *request_id;
    struct ew_source source;    /* the original event's; AMEND: who ended the order */
    const char *reason;         /* END: problem name of the answer, "stopped" */
    struct ew_source by;        /* END: who asked */
    int64_t waiting_offset;     /* offset of the WAITING record in epki.inflight, -1 = unknown */
    const char *order_id;       /* AMEND: of the answer whose state record is to be amended */
    enum ew_cert_status status; /* AMEND */
};
EW_CHECK enum ew_fault ew_wire_resume_encode(const struct ew_resume *resume, struct ew_buf *out,
                                             struct ew_err *err);
EW_CHECK enum ew_fault ew_wire_resume_decode(const void *data, size_t len, struct ew_arena *arena,
                                             struct ew_resume *out, struct ew_err *err);
EW_CHECK enum ew_fault ew_wire_account_encode(const struct ew_account_event *event,
                                              struct ew_buf *out, struct ew_err *err);

/* Key of epki.inflight for a request id and source, and back. */
void ew_wire_inflight_key(const char *request_id, const struct ew_source *source,
                          struct ew_buf *out);
EW_CHECK enum ew_fault ew_wire_inflight_key_read(const void *key, size_t len,
                                                 struct ew_arena *arena, const char **request_id,
                                                 struct ew_source *source);

/* CloudEvents binary-mode headers of an event as text pairs in the arena: ce_specversion, ce_id,
 * ce_source, ce_type, ce_time, ce_subject, content-type, traceparent, tracestate. Returns how many.
 * The source names the group, not the worker: source and id together are the same whoever repeats
 * an event. */
enum { EW_MAX_HEADERS = 24 };
size_t ew_wire_event_headers(const struct ew_event *event, const char *group,
                             const char *traceparent, const char *tracestate,
                             struct ew_arena *arena, struct ew_pair out[EW_MAX_HEADERS]);
