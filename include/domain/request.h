/*
 * A request as the worker works on it: decoded, checked for size, not yet judged.
 * Plain data; every pointer lives in the arena that the request was decoded into.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "domain/limits.h"

/* The topics that requests come from. Order = reading order of the consumer. */
enum ew_lane {
    EW_LANE_REVOCATION,
    EW_LANE_RESUME, /* internal: what comes back from the waiting room */
    EW_LANE_ENROLLMENT,
    EW_LANE_RENEWAL,
    EW_LANE_BULK,
    EW_LANE_COUNT,
};

/* Where a record stood. */
struct ew_source {
    char topic[EW_MAX_TOPIC + 1];
    int32_t partition;
    int64_t offset;
};

enum ew_operation { EW_OP_NONE, EW_OP_ENROLL, EW_OP_RENEW, EW_OP_REVOKE };

/* Part of the digest: never renumbered. */
enum ew_key_choice { EW_KEY_NONE, EW_KEY_CSR, EW_KEY_WORKER, EW_KEY_GLOBALSIGN };

enum ew_key_type { EW_KEY_RSA_2048, EW_KEY_RSA_3072, EW_KEY_EC_P256, EW_KEY_EC_P384 };

enum ew_p12_format { EW_P12_MODERN, EW_P12_APPLE };

enum ew_target_kind { EW_TARGET_NONE, EW_TARGET_REQUEST, EW_TARGET_SERIAL, EW_TARGET_ORDER };

enum ew_removal { EW_REVOKE_REVOKE, EW_REVOKE_REMOVE };

struct ew_pair {
    const char *name;
    const char *value;
};

/* Of a record. */
struct ew_header {
    const char *name;  /* NUL-terminated */
    const void *value; /* NULL = null value */
    size_t len;
};

struct ew_subject {
    const char *user_id, *first_name, *last_name, *display_name, *email, *upn;
    const char *device_id, *device_serial, *platform, *platform_version, *ownership;
    struct ew_pair attributes[EW_MAX_ATTRIBUTES];
    size_t attribute_count;
};

struct ew_target {
    enum ew_target_kind kind;
    const char *request_id;
    const char *issuer; /* RFC 4514 */
    const char *serial; /* lower-case hexadecimal without leading zeros */
    const char *setting;
    const char *order_id;
};

struct ew_request {
    enum ew_operation op;
    const char *request_id;
    const char *setting; /* NULL for a revocation */
    struct ew_subject subject;

    enum ew_key_choice key;
    const char *csr; /* PEM, NUL-terminated */
    enum ew_key_type key_type;
    bool key_type_given; /* otherwise the setting chooses */
    enum ew_p12_format p12_format;
    const uint8_t *recipient; /* DER certificate the PKCS#12 is sealed to */
    size_t recipient_len;

    struct ew_target target; /* renewals and revocations */
    int reason;              /* RFC 5280 CRLReason, 0 = unspecified */
    enum ew_removal removal;

    const char *labels[EW_MAX_LABELS];
    size_t label_count;
    const uint8_t *context;
    size_t context_len;
    int64_t deadline_ms; /* wall clock, 0 = none */
    bool bulk_hint;      /* lowers an enrolment or renewal to the bulk lane's class */

    const char *traceparent, *tracestate; /* from the record's headers, or NULL */
};
