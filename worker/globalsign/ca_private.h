/*
 * The inside of globalsign: writing bodies, reading replies and judging codes are pure and apart
 * from the calls, so that tests reach them without a network.
 */
#pragma once

#include "base/arena.h"
#include "base/list.h"
#include "globalsign/ca.h"
#include "http/http.h"
#include "soap/read.h"
#include "soap/write.h"

#define EW_CA_NAMESPACE "https://system.globalsign.com/cr/ws/"

enum {
    EW_CA_MAX_BODY = 64 * 1024,  /* bytes of a request; a CSR has 4,000 characters at most */
    EW_CA_CAP = 500,             /* orders of one answer from which on it is not believed whole */
    EW_CA_ORDER_MS = 120 * 1000, /* defaults of the options */
    EW_CA_QUERY_MS = 60 * 1000,
    EW_CA_CONNECT_MS = 10 * 1000,
};

enum ew_ca_verb {
    EW_CA_ORDER,
    EW_CA_GET_ORDERS,
    EW_CA_GET_ORDER,
    EW_CA_GET_PROFILES,
    EW_CA_CANCEL,
    EW_CA_REVOKE,
    EW_CA_ORDER_PKCS12,
};

static inline bool
ew_ca_is_order(enum ew_ca_verb verb)
{
    return verb == EW_CA_ORDER || verb == EW_CA_ORDER_PKCS12;
}

struct ew_ca_login {
    const char *user, *password;
};

/* One body each; the buffer is secret. Faults as ew_soap_end. */
EW_CHECK enum ew_fault ew_ca_write_order(struct ew_buf *out, const struct ew_ca_login *login,
                                         const struct ew_ca_order_request *request,
                                         struct ew_err *err);
EW_CHECK enum ew_fault ew_ca_write_get_orders(struct ew_buf *out, const struct ew_ca_login *login,
                                              const char *profile, const char *cn, int64_t from_ms,
                                              int64_t to_ms, struct ew_err *err);
EW_CHECK enum ew_fault ew_ca_write_get_order(struct ew_buf *out, const struct ew_ca_login *login,
                                             const char *order_id, struct ew_err *err);
EW_CHECK enum ew_fault ew_ca_write_get_profiles(struct ew_buf *out, const struct ew_ca_login *login,
                                                const char *profile, struct ew_err *err);
/* verb: EW_CA_CANCEL or EW_CA_REVOKE. */
EW_CHECK enum ew_fault ew_ca_write_end(struct ew_buf *out, const struct ew_ca_login *login,
                                       enum ew_ca_verb verb, const char *order_id,
                                       struct ew_err *err);

/* What a deployment may change in how replies are judged. */
struct ew_ca_policy {
    bool throttle_is_unsent;
    int hold_codes[EW_MAX_HOLD_CODES];
    size_t hold_code_count;
};

/* A reply and what its texts live in. */
struct ew_ca_reading {
    struct ew_ca_reply reply;
    struct ew_soap_doc *doc;
    struct ew_arena *arena;
    char message[EW_MAX_ERROR_TEXT + 1], field[EW_MAX_ERROR_FIELD + 1];
    struct ew_err err;
};

/* Never fails: what cannot be read is a class too. asked: the order id of the call, or "". The
 * http result must outlive the reading. */
void ew_ca_read(struct ew_ca_reading *reading, const struct ew_ca_policy *policy,
                enum ew_ca_verb verb, const char *asked, const struct ew_http_result *result);
void ew_ca_reading_deinit(struct ew_ca_reading *reading);

/* One row of GlobalSign's error table. */
struct ew_ca_code {
    int code;
    enum ew_ca_class on_order; /* EW_CA_OK: a warning, if an order id came with it */
    enum ew_ca_class on_other;
    const char *problem; /* static */
};

/* A row for every code; what the table does not know gets the row for unknown ones. */
const struct ew_ca_code *ew_ca_code_find(int code);
/* Which of several errors counts: the higher. */
int ew_ca_class_rank(enum ew_ca_class cls);
/* Does this fault's text prove that the request was refused before any business code saw it? */
bool ew_ca_fault_is_refusal(const struct ew_soap_fault *fault);
