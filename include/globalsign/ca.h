/*
 * GlobalSign EPKI's verbs (GasOrderService, SOAP 1.1) as the flow sees them: asynchronous, each
 * answered by one reply that already says what to do. Knows no retries and no requests.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "domain/limits.h"
#include "loop/loop.h"

struct ew_ca;      /* one account at one endpoint */
struct ew_ca_call; /* one call under way */

/* What a reply means, whichever verb. The error table of GlobalSign's numbers leads here. */
enum ew_ca_class {
    EW_CA_OK,        /* done; an order's reply holds order id and certificate */
    EW_CA_PENDING,   /* the order exists (order_id is set), its certificate does not yet */
    EW_CA_NOT_SENT,  /* the send gate never said yes: surely nothing reached GlobalSign */
    EW_CA_UNKNOWN,   /* may or may not have been done: reconcile before anything else */
    EW_CA_KEY_USED,  /* -6007, -4004: GlobalSign knows this key or order: reconcile */
    EW_CA_REJECTED,  /* refused for good, nothing created */
    EW_CA_LICENCE,   /* -6101 and the account's hold codes: nothing created, wait for people */
    EW_CA_ACCOUNT,   /* -4001, -4201, -9200, -9939, -9403: the account pauses */
    EW_CA_ALREADY,   /* cancel or revoke: already cancelled or changed; confirm by query */
    EW_CA_NOT_FOUND, /* the order id is unknown to this account */
    EW_CA_TRY_LATER, /* queries, cancel, revoke only: harmless to repeat later */
};

const char *ew_ca_class_name(enum ew_ca_class cls);

struct ew_ca_options {
    const char *url;         /* https only */
    const char *ca_file;     /* PEM bundle TLS is verified against; NULL = the system's */
    const char *user;        /* PARnnnnn_name, at most 30 */
    int connect_ms;          /* DNS, connect and TLS together */
    int tcp_ms;              /* the kernel gives up sending what is not acknowledged for so long */
    int order_ms;            /* an order's total time */
    int query_ms;            /* any other call's total time */
    bool throttle_is_unsent; /* a 429 on an order proves that nothing was done (default: no) */
    const int *hold_codes;   /* more codes that count as EW_CA_LICENCE (licence or profile state);
                                each as ew_ca_check_hold_code() has it */
    size_t hold_code_count;
};

/* The password is taken over (the buffer is empty afterwards) and lives in this object only.
 * thread: loop, as everything below. */
EW_CHECK enum ew_fault ew_ca_new(struct ew_loop *loop, const struct ew_ca_options *options,
                                 struct ew_buf *password, struct ew_ca **out, struct ew_err *err);
/* Replaces the password for calls that begin later. */
void ew_ca_set_password(struct ew_ca *ca, struct ew_buf *password);
/* Calls under way are cancelled without their callback. NULL is fine. */
void ew_ca_free(struct ew_ca *ca);

/* GlobalSign's numbers for an order, and for the certificate of one. */
enum ew_ca_status {
    EW_CA_ST_NONE = 0,
    EW_CA_ST_INITIAL = 1,
    EW_CA_ST_WAITING = 2,
    EW_CA_ST_CANCELLED = 3, /* never issued */
    EW_CA_ST_ISSUED = 4,
    EW_CA_ST_CANCELLED_ISSUED = 5,
    EW_CA_ST_REVOKING = 6,
    EW_CA_ST_REVOKED = 7, /* anything above: neither issued nor final */
};

/* One order as a query shows it. Texts live as long as the reply. "" where nothing was sent. */
struct ew_ca_order {
    const char *order_id;
    int order_status;
    int cert_status;
    const char *profile;
    const char *product;
    const char *cn;
    const char *email;
    const char *serial;      /* as sent */
    int64_t request_ms;      /* CA time, 0 = not said, or not to be understood */
    const char *certificate; /* as sent: PEM, PKCS#7, base64; "" if there is none (yet) */
};

struct ew_ca_profile {
    const char *id;
    const char *state; /* an opaque word or number of GlobalSign's */
    const char *organization;
    const char *efs, *upn;
};

struct ew_ca_reply {
    enum ew_ca_class cls;
    bool gate_passed;       /* bytes may have left this machine */
    int http_status;        /* 0 = none came */
    int code;               /* GlobalSign's error number, 0 = none */
    const char *field;      /* its ErrorField, "" if none; 256 bytes at most */
    const char *message;    /* its text, or ours for a transport problem; for people; 1 KiB */
    const char *problem;    /* static machine name: "ca-timeout", "ca-html", "ca-licence" ... */
    bool warning;           /* SuccessCode 1 */
    int64_t date_ms;        /* the reply's HTTP Date, 0 = none. The only clock of the CA we use */
    int64_t retry_after_ms; /* 0 = not said */
    int64_t duration_ms;
    const char *order_id;             /* "" if none */
    const char *certificate;          /* order: CERT as sent, "" if none */
    const char *pkcs12;               /* order of a key: as sent, base64, "" if none */
    const struct ew_ca_order *orders; /* queries */
    size_t order_count;
    /* Of EW_CA_OK: fewer orders were returned than TotalCount says, or 500 and more, or the reply
     * was over the size limit: the list proves nothing by what it lacks. */
    bool capped;
    const struct ew_ca_profile *profiles;
    size_t profile_count;
};

/* Called once, on the loop, never from inside the verb, also where nothing could be sent: a verb
 * returns its call, never NULL. The reply is borrowed for the call. */
typedef void ew_ca_done(void *arg, const struct ew_ca_reply *reply);

struct ew_ca_order_request {
    const char *profile, *product;
    int years;
    const char *csr; /* PEM; NULL = GlobalSign makes the key */
    const char *pin; /* then: what its PKCS#12 is encrypted with, 8-64 letters and digits */
    bool efs;
    const char *upn;       /* NULL or "" = not sent, likewise below */
    const char *sid;       /* 2023+, only where the setting switches it on */
    const char *san_email; /* 2023+, S/MIME profiles */
    const char *cn;
    const char *ous[EW_MAX_OUS];
    size_t ou_count;
    const char *email;
    const char *pickup_password; /* with a CSR only */
};

/* OrderAndIssueCertificate, or OrderPkcs12 where GlobalSign makes the key, on a fresh connection.
 * The answer to the latter is the only time that the key is told: EW_CA_PENDING has none. gate(arg)
 * runs on the loop just before the first byte would leave (DNS, TCP and TLS are done), at most once
 * with effect; false = nothing is sent.
 */
struct ew_ca_call *ew_ca_order(struct ew_ca *ca, const struct ew_ca_order_request *request,
                               bool (*gate)(void *arg), ew_ca_done *done, void *arg);

/* GetOrders with certificates. from/to (CA time, epoch ms) 0 = no date filter; cn NULL = no filter.
 */
struct ew_ca_call *ew_ca_get_orders(struct ew_ca *ca, const char *profile, const char *cn,
                                    int64_t from_ms, int64_t to_ms, ew_ca_done *done, void *arg);
/* GetOrderByOrderId with certificate; the one order is orders[0]. */
struct ew_ca_call *ew_ca_get_order(struct ew_ca *ca, const char *order_id, ew_ca_done *done,
                                   void *arg);
/* profile NULL = all. */
struct ew_ca_call *ew_ca_get_profiles(struct ew_ca *ca, const char *profile, ew_ca_done *done,
                                      void *arg);
struct ew_ca_call *ew_ca_cancel(struct ew_ca *ca, const char *order_id, ew_ca_done *done,
                                void *arg);
struct ew_ca_call *ew_ca_revoke(struct ew_ca *ca, const char *order_id, ew_ca_done *done,
                                void *arg);

/* Gives a call up: its callback will not come. The caller knows what that leaves open. */
void ew_ca_call_cancel(struct ew_ca_call *call);

/* Only an order refused with a code of which it is sure that it created nothing, and the account
 * goes on, may wait and be placed again. Codes that nobody knows may. EW_HALT: this one may not. */
EW_CHECK enum ew_fault ew_ca_check_hold_code(int code, struct ew_err *err);

/* The error table, for tests and documentation: class of a code on an order / on another call. */
enum ew_ca_class ew_ca_code_class(int code, bool is_order);
