/*
 * The table of switches: name, kind, place, default, limits, and what it does.
 */
#include "settings.h"

#include "buf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum sim_kind { KIND_INT, KIND_BOOL, KIND_CHOICE, KIND_TEXT, KIND_SECRET };

struct sim_switch {
    const char *name;
    enum sim_kind kind;
    size_t offset;
    const char *initial;
    int64_t min, max;    /* of a number; max is the size of a text */
    const char *choices; /* "a|b|c", in the order of the enum */
    const char *help;
};

#define AT(member) offsetof(struct sim_settings, member)
#define INT(name, initial, min, max, help)                                                         \
    {#name, KIND_INT, AT(name), initial, min, max, NULL, help}
#define BOOL(name, initial, help) {#name, KIND_BOOL, AT(name), initial, 0, 1, NULL, help}
#define CHOICE(name, initial, choices, help)                                                       \
    {#name, KIND_CHOICE, AT(name), initial, 0, 0, choices, help}
#define TEXT(name, initial, help)                                                                  \
    {#name, KIND_TEXT, AT(name), initial, 0, sizeof(((struct sim_settings *)0)->name), NULL, help}
#define CODE(name, initial, help) INT(name, initial, -99999, -1, help)

enum { HOUR_MS = 3600000, DAY_MS = 86400000 };

static const struct sim_switch switches[] = {
    INT(order_min_ms, "5000", 0, HOUR_MS, "shortest order time"),
    INT(order_max_ms, "7000", 0, HOUR_MS, "longest order time; uniform in between"),
    INT(query_ms, "200", 0, HOUR_MS, "time of a query, and of a refusal"),
    INT(change_ms, "200", 0, HOUR_MS, "time of Cancel and Revoke"),
    BOOL(validation, "on", "schema validation, as Apache CXF does it"),
    CHOICE(child_order, "any", "any|refuse",
           "without validation: children out of the schema's order are taken, or refused (-101)"),
    CHOICE(record_at, "start", "start|end", "when an order is booked within its order time"),
    INT(cap, "500", 1, 100000, "most orders in one GetOrders answer"),
    CHOICE(cn_filter, "exact", "exact|insensitive|prefix", "GetOrders' CommonName filter"),
    INT(view_lag_ms, "0", 0, DAY_MS, "queries show the state of that long ago"),
    BOOL(async, "off", "orders answer without certificate, which follows"),
    INT(async_issue_ms, "2000", 0, DAY_MS, "how much later an asynchronous order is issued"),
    INT(pickup_ms, "-1", -1, DAY_MS, "when the user picks up a certificate; -1: when told to"),
    INT(pickup_days, "30", 1, 365, "an order not picked up is cancelled after that"),
    CHOICE(empty, "nil", "nil|absent|empty", "how an element without a value is sent"),
    CHOICE(cert_format, "pem", "pem|crlf|pkcs7|base64", "content of CERT"),
    CHOICE(p12_element, "base64", "base64|binary", "BASE64PKCS12 or PKCS12"),
    CHOICE(p12_encoding, "modern", "modern|legacy", "AES-256 with SHA-256, or 3DES with SHA-1"),
    CHOICE(p12_key, "rsa2048", "rsa2048|ec", "keys made for OrderPkcs12; ec (P-256) is quick"),
    INT(revoke_delay_ms, "500", 0, DAY_MS, "status 6 that long, then 7"),
    INT(cancelled_cert_status, "4", 1, 10, "CertificateStatus of an issued, cancelled order"),
    INT(cancel_window_days, "7", 0, 365, "an issued certificate can be cancelled that long"),
    INT(clock_offset_s, "0", -3153600000, 3153600000, "the CA's clock against the host's"),
    INT(utc_offset_min, "0", -840, 840, "zone of the dates in answers"),
    BOOL(timestamp_12h, "off", "Timestamp with the 12-hour-clock bug"),
    INT(lockout, "0", 0, 1000, "wrong passwords in a row that lock the account; 0: never"),
    BOOL(locked, "off", "the account is locked (-9939)"),
    INT(licences, "-1", -1, 1000000000, "licences left in the first pack; -1: as it is"),
    CHOICE(newer_elements, "off", "none|off|anywhere|ordered",
           "none: SID and SANRFC822EmailAddress are unknown; off: the WSDL as it is; anywhere, "
           "ordered: also SubscriberEmailAddress, SurName, GivenName, Pseudonym"),
    BOOL(require_names, "off", "S/MIME personal orders need GivenName and SurName, or Pseudonym"),
    BOOL(ascii_only, "off", "names that are not ASCII are refused"),
    CHOICE(key_reuse, "refuse_other_cn", "refuse_other_cn|refuse|allow", "a known public key"),
    CHOICE(revoked_key, "refuse", "refuse|allow", "a key of a revoked certificate (-9940)"),
    BOOL(test_ou, "off", "adds OU=For Test Use Only, as the test system does"),
    CODE(licence_code, "-6101", "no licence left (invented)"),
    CODE(licence_expired_code, "-6101", "licence pack expired (invented)"),
    CODE(profile_code, "-4005", "profile in vetting, suspended or expired (invented)"),
    CODE(profile_unknown_code, "-9401", "no such profile (invented)"),
    CODE(domain_code, "-101", "e-mail domain not approved (invented)"),
    CODE(cancel_late_code, "-4005", "Cancel after the window (invented)"),
    CODE(revoke_early_code, "-4005", "Revoke before the issue (invented)"),
    CODE(unknown_order_code, "-4003", "no such order"),
    CHOICE(query_header, "query", "query|order", "QueryResponseHeader or OrderResponseHeader"),
    BOOL(keepalive, "on", "connections stay open after an answer"),
    INT(idle_ms, "60000", 1, DAY_MS, "an idle connection is closed after that"),
    BOOL(outage, "off", "maintenance: every call is answered 503 and a page of HTML"),
    INT(rate_limit, "0", 0, 1000000, "calls in a second before 429; 0: no limit"),
    INT(parallel_limit, "0", 0, 1000000, "orders at a time before 503; 0: no limit"),
    INT(max_body, "1048576", 1024, 67108864, "most bytes of a request"),
    CHOICE(ca_key, "ec", "ec|rsa2048", "keys of the CAs; read when the directory is first made"),
    {"password", KIND_SECRET, AT(password), "", 0, 64, NULL,
     "the password asked for from now on; empty: the one in the file"},
    TEXT(username, "PAR00001_api", "the API user"),
    TEXT(profile_vetting, "1", "ProfileOrderState of a profile in vetting"),
    TEXT(profile_validated, "4", "ProfileOrderState of a validated profile"),
    TEXT(profile_suspended, "5", "ProfileOrderState of a suspended profile"),
    TEXT(hash_type, "SHA256", "HashType of every profile"),
    TEXT(renewal_type, "0", "RenewalType of every profile"),
};

enum { SWITCHES = sizeof(switches) / sizeof(switches[0]) };

static int64_t *
sim_number(struct sim_settings *settings, const struct sim_switch *sw)
{
    return (int64_t *)(void *)((char *)settings + sw->offset);
}

static char *
sim_words(struct sim_settings *settings, const struct sim_switch *sw)
{
    return (char *)settings + sw->offset;
}

static const char *
sim_choice_name(const struct sim_switch *sw, int64_t value, char out[32])
{
    const char *at = sw->choices;
    for (int64_t i = 0; i < value && at; i++) {
        at = strchr(at, '|');
        at = at ? at + 1 : NULL;
    }
    size_t len = at ? strcspn(at, "|") : 0;
    len = len < 31 ? len : 31;
    memcpy(out, at ? at : "", len);
    out[len] = 0;
    return out;
}

static bool
sim_set_choice(struct sim_settings *settings, const struct sim_switch *sw, const char *value)
{
    char name[32];
    for (int64_t i = 0; *sim_choice_name(sw, i, name); i++) {
        if (strcmp(name, value) == 0) {
            *sim_number(settings, sw) = i;
            return true;
        }
    }
    return false;
}

static bool
sim_set_bool(struct sim_settings *settings, const struct sim_switch *sw, const char *value)
{
    static const char *const yes[] = {"on", "true", "1", "yes"};
    static const char *const no[] = {"off", "false", "0", "no"};
    for (size_t i = 0; i < 4; i++) {
        if (strcasecmp(value, yes[i]) == 0 || strcasecmp(value, no[i]) == 0) {
            *sim_number(settings, sw) = strcasecmp(value, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

static bool
sim_set_int(struct sim_settings *settings, const struct sim_switch *sw, const char *value)
{
    char *end = NULL;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    if (errno || end == value || *end || number < sw->min || number > sw->max) {
        return false;
    }
    *sim_number(settings, sw) = number;
    return true;
}

static bool
sim_set_one(struct sim_settings *settings, const struct sim_switch *sw, const char *value,
            const char **problem)
{
    static char limits[128];
    switch (sw->kind) {
    case KIND_INT:
        *problem = limits;
        (void)snprintf(limits, sizeof(limits), "a number from %lld to %lld is expected",
                       (long long)sw->min, (long long)sw->max);
        return sim_set_int(settings, sw, value);
    case KIND_BOOL:
        *problem = "on or off is expected";
        return sim_set_bool(settings, sw, value);
    case KIND_CHOICE:
        *problem = limits;
        (void)snprintf(limits, sizeof(limits), "one of %s is expected", sw->choices);
        return sim_set_choice(settings, sw, value);
    case KIND_TEXT:
    case KIND_SECRET:
        *problem = "the text is too long";
        if (strlen(value) >= (size_t)sw->max) {
            return false;
        }
        sim_put(sim_words(settings, sw), (size_t)sw->max, value);
        return true;
    }
    return false;
}

static const struct sim_switch *
sim_switch_find(const char *key)
{
    for (size_t i = 0; i < SWITCHES; i++) {
        if (strcmp(switches[i].name, key) == 0) {
            return &switches[i];
        }
    }
    return NULL;
}

void
sim_settings_init(struct sim_settings *settings)
{
    memset(settings, 0, sizeof(*settings));
    for (size_t i = 0; i < SWITCHES; i++) {
        const char *problem = NULL;
        if (!sim_set_one(settings, &switches[i], switches[i].initial, &problem)) {
            abort();
        }
    }
}

bool
sim_settings_set(struct sim_settings *settings, const char *key, const char *value,
                 const char **problem)
{
    const struct sim_switch *sw = sim_switch_find(key);
    *problem = "no such setting";
    return sw && sim_set_one(settings, sw, value, problem);
}

bool
sim_settings_set_json(struct sim_settings *settings, const char *key, const json_t *value,
                      const char **problem)
{
    char number[32];
    if (json_is_string(value)) {
        return sim_settings_set(settings, key, json_string_value(value), problem);
    }
    if (json_is_boolean(value)) {
        return sim_settings_set(settings, key, json_is_true(value) ? "on" : "off", problem);
    }
    if (json_is_integer(value)) {
        (void)snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(value));
        return sim_settings_set(settings, key, number, problem);
    }
    *problem = "a number, a boolean or a text is expected";
    return false;
}

json_t *
sim_settings_json(const struct sim_settings *settings)
{
    json_t *object = json_object();
    struct sim_settings copy = *settings;
    char name[32];
    for (size_t i = 0; i < SWITCHES; i++) {
        const struct sim_switch *sw = &switches[i];
        json_t *value = NULL;
        switch (sw->kind) {
        case KIND_INT:
            value = json_integer(*sim_number(&copy, sw));
            break;
        case KIND_BOOL:
            value = json_boolean(*sim_number(&copy, sw));
            break;
        case KIND_CHOICE:
            value = json_string(sim_choice_name(sw, *sim_number(&copy, sw), name));
            break;
        case KIND_TEXT:
            value = json_string(sim_words(&copy, sw));
            break;
        case KIND_SECRET:
            value = json_string(*sim_words(&copy, sw) ? "(set)" : "");
            break;
        }
        json_object_set_new(object, sw->name, value);
    }
    return object;
}

void
sim_settings_help(void)
{
    for (size_t i = 0; i < SWITCHES; i++) {
        const struct sim_switch *sw = &switches[i];
        const char *values = sw->choices ? sw->choices : sw->kind == KIND_BOOL ? "on|off" : "";
        printf("  %s=%s  %s%s%s%s\n", sw->name, sw->initial, *values ? "[" : "", values,
               *values ? "] " : "", sw->help);
    }
}
