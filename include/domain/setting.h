/*
 * A certificate enrolment setting and the account it orders from: what the settings file says,
 * checked. Plain data; texts belong to the configuration that they came from.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "domain/limits.h"
#include "domain/request.h"

/* Classes of calls that share an account's rate. Order = priority, highest first. */
enum ew_rate_class {
    EW_RATE_REVOCATION,
    EW_RATE_QUERY,
    EW_RATE_ENROLLMENT,
    EW_RATE_RENEWAL,
    EW_RATE_BULK,
    EW_RATE_COUNT,
};

struct ew_account {
    const char *name;
    const char *url;           /* https */
    const char *user;          /* PARnnnnn_name */
    const char *password_file; /* never shown */
    const char *ca_file;       /* PEM for TLS, NULL = the system's */
    bool test;                 /* environment: test; the production host is refused with it */
    int orders_in_flight;      /* per worker; the adaptive limit's ceiling */
    int others_in_flight;      /* per worker: revocations and queries, a share of their own */
    int64_t rate_per_minute;   /* calls of the whole fleet */
    int burst;                 /* calls that may come at once */
    int share[EW_RATE_COUNT];  /* minimum share of the rate by class, percent; sum at most 100 */
    int connect_ms, order_ms, query_ms;
    bool throttle_is_unsent;
    int hold_codes[EW_MAX_HOLD_CODES];
    size_t hold_code_count;
};

struct ew_setting {
    const char *name;
    const char *description;
    const struct ew_account *account;
    const char *profile;
    const char *product;
    int years;
    bool csr_allowed; /* key policies */
    bool worker_key_allowed;
    bool globalsign_key_allowed;
    unsigned key_types;          /* bits 1 << enum ew_key_type that worker-made keys may have */
    const char *recipients_file; /* PEM: what a recipient must equal or chain to; NULL = keys of
                                    devices only */
    const char *chain_file;      /* PEM: issuing CAs and roots that certificates must chain to */
    const char *cn_template, *email_template, *upn_template; /* the last two may be NULL */
    const char *ou_templates[EW_MAX_OUS];
    size_t ou_count;
    const char *email_domains[EW_MAX_DOMAINS]; /* approved; none = e-mail is not restricted */
    size_t email_domain_count;
    bool smime;     /* S/MIME profile: e-mail required, no OU, emailProtection must come back */
    bool efs;       /* encrypting file system usage asked for */
    bool san_email; /* sends SANRFC822EmailAddress (2023+) */
    const char *labels[EW_MAX_LABELS];
    size_t label_count;
};

/* The names that an order asks for, rendered from templates and facts. */
struct ew_names {
    const char *cn;
    const char *email; /* "" = none, likewise below */
    const char *upn;
    const char *ous[EW_MAX_OUS];
    size_t ou_count;
};
