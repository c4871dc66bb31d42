/*
 * What became of a request: the events we publish and the records we keep. Plain data.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "domain/limits.h"
#include "domain/request.h"
#include "domain/setting.h"

enum ew_result {
    EW_RES_NONE,
    /* answers: terminal, exactly one for each event */
    EW_RES_ISSUED,
    EW_RES_RENEWED,
    EW_RES_REVOKED,
    EW_RES_REMOVED,
    EW_RES_REJECTED,
    /* progress: not terminal */
    EW_RES_PENDING,     /* ordered, GlobalSign has not issued yet */
    EW_RES_HELD,        /* waits for people: vetting, licences, a paused account */
    EW_RES_WAITING,     /* waits for another request (duplicate, target, key) */
    EW_RES_RECONCILING, /* an order's outcome is unknown and being found out */
};

const char *ew_result_name(enum ew_result result);
bool ew_result_terminal(enum ew_result result);

enum ew_failure_class {
    EW_FAIL_NONE,
    EW_FAIL_INVALID,  /* the event breaks a rule of the contract or the setting */
    EW_FAIL_CONFLICT, /* the same request id with another content */
    EW_FAIL_REFUSED,  /* GlobalSign refused */
    EW_FAIL_STOPPED,  /* a revocation came first, or people ended it */
    EW_FAIL_EXPIRED,  /* its deadline, or what it waits for took longer than the horizon */
    EW_FAIL_MISMATCH, /* the certificate did not fit; it was cancelled */
    EW_FAIL_ACCOUNT,  /* progress only: account or profile cannot order now */
    EW_FAIL_INTERNAL,
};

struct ew_failure {
    enum ew_failure_class cls;
    const char *problem;      /* machine name, "csr-signature" */
    const char *field;        /* of the event, "" if none */
    const char *cause;        /* plain text */
    const char *advice;       /* what to do */
    int vendor_code;          /* 0 = none */
    const char *vendor_field; /* "" if none */
};

struct ew_blob {
    const uint8_t *data;
    size_t len;
};

struct ew_certificate {
    struct ew_blob der;
    struct ew_blob chain[EW_MAX_CHAIN]; /* issuing CA first, without the root */
    size_t chain_count;
    const char *serial;           /* lower-case hexadecimal without leading zeros */
    const char *issuer, *subject; /* RFC 4514 */
    int64_t not_before_ms, not_after_ms;
    const char *sha256; /* fingerprint, hexadecimal */
    const char *order_id;
    struct ew_blob sealed_pkcs12; /* CMS EnvelopedData, all but keys of devices */
    struct ew_blob sealed_pin;
};

struct ew_event {
    const char *event_id; /* unique and stable: CloudEvents ce_id */
    enum ew_result result;
    enum ew_operation op;
    const char *request_id;
    struct ew_source source;
    const char *setting;
    const char *const *labels;
    size_t label_count;
    struct ew_blob context;
    struct ew_failure failure; /* cls EW_FAIL_NONE = absent */
    bool has_certificate;
    struct ew_certificate certificate;
    bool duplicate; /* then first: where the request was first seen */
    struct ew_source first;
    const char *replaces_request_id; /* renewal: what it replaces, as far as known, or "" */
    const char *replaces_serial;
    const char *replaces_order_id;
    const char *target_request_id; /* revocation: whose certificate, as far as known, or "" */
    int reason;                    /* revocation */
    int attempts;                  /* claims, also those after which nothing was sent */
    int64_t received_ms, ordered_ms, answered_ms; /* wall clock of the worker, 0 = not reached */
    bool test;                                    /* the account is a test account */
    const char *note; /* what was left out or is peculiar, "" if nothing */
};

enum ew_cert_status { EW_CERT_NONE, EW_CERT_VALID, EW_CERT_REVOKED, EW_CERT_REMOVED };

/* The value of epki.certificate.state and of an answered request in Redis. */
struct ew_state_record {
    const char *request_id;
    enum ew_operation op;
    uint8_t digest[32];
    struct ew_source source;
    struct ew_event first; /* the first outcome, whole */
    enum ew_cert_status status;
    int64_t version;                   /* raised each time the certificate's status changes */
    int64_t keep_until_ms;             /* wall clock: end of the horizon of duplicates */
    struct ew_names names;             /* as ordered */
    uint8_t keys[EW_MAX_ATTEMPTS][32]; /* SHA-256 of the public key of every attempt */
    size_t key_count;
};

enum ew_inflight_kind {
    EW_INFLIGHT_ORDERING,
    EW_INFLIGHT_WAITING,
    EW_INFLIGHT_PARKED,
    EW_INFLIGHT_STOP
};

/* The value of epki.inflight. Key: request id, NUL, topic, NUL, partition, NUL, offset, as text. */
struct ew_inflight_record {
    enum ew_inflight_kind kind;
    const char *request_id;
    enum ew_operation op;
    uint8_t digest[32];
    struct ew_source source; /* the original event's */
    uint32_t epoch;
    int attempt;
    int vanished; /* of the attempts: sent, and GlobalSign never got them */
    uint8_t keys[EW_MAX_ATTEMPTS][32];
    size_t key_count;
    int64_t ca_date_ms;      /* the last Date of the CA the sender had seen, 0 = none */
    bool has_ordered;        /* WAITING: reconcile first */
    const char *order_id;    /* ORDERING: only while it is ended, for its lost key or as a misfit */
    const char *lost_orders; /* all but STOP: ended for that, or about to be; a blank between */
    const char *misfit; /* all but STOP: the order that is ended because it does not fit, and how
                           the request is rejected, as Redis keeps it; NULL = none */
    const char *reason;
    int64_t due_ms;                          /* WAITING: how long, from when it is read */
    int64_t since_ms;                        /* WAITING, STOP: wall clock when it began */
    struct ew_blob wrapped_key;              /* WAITING with an order and a worker-made key */
    struct ew_blob record_key, record_value; /* WAITING, PARKED: the event as it came */
    int64_t record_ms;                       /* its timestamp, 0 = none */
    const struct ew_header *headers;         /* at most EW_MAX_KEPT_HEADERS */
    size_t header_count;
    int headers_left_out; /* instead: how many were too large or too many to be kept */
    const char *traceparent, *tracestate;
    struct ew_source by; /* STOP: the revocation's source; ORDERING of a resume: the event's that
                            it continues */
    enum ew_lane lane;   /* the original event's */
    const char
        *first_source; /* a duplicate that is PARKED or WAITING: text naming the first, or "" */
};

/* epki.account.events */
struct ew_account_event {
    const char *account;
    const char *type; /* "paused", "resumed", "compensated", "surplus" ... */
    const char *problem, *cause, *advice;
    int vendor_code;
    int64_t time_ms;
    const char *request_id, *order_id; /* "" if none */
};
