/*
 * Every switch of the simulator: one table, one struct. Set at the start (--set key=value) and at
 * run time (POST /settings). Also the simulator's clock, because an offset is one of the switches.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sim_child_order { SIM_CHILDREN_ANY, SIM_CHILDREN_REFUSE };
enum sim_record { SIM_RECORD_START, SIM_RECORD_END };
enum sim_cn_filter { SIM_CN_EXACT, SIM_CN_INSENSITIVE, SIM_CN_PREFIX };
enum sim_unset { SIM_UNSET_NIL, SIM_UNSET_ABSENT, SIM_UNSET_EMPTY };
enum sim_cert_format { SIM_CERT_PEM, SIM_CERT_CRLF, SIM_CERT_PKCS7, SIM_CERT_BASE64 };
enum sim_p12_element { SIM_P12_BASE64, SIM_P12_BINARY };
enum sim_p12_encoding { SIM_P12_MODERN, SIM_P12_LEGACY };
enum sim_p12_key { SIM_P12_RSA2048, SIM_P12_EC };
enum sim_newer { SIM_NEWER_NONE, SIM_NEWER_OFF, SIM_NEWER_ANYWHERE, SIM_NEWER_ORDERED };
enum sim_query_header { SIM_HEADER_QUERY, SIM_HEADER_ORDER };
enum sim_key_reuse { SIM_REUSE_OTHER_CN, SIM_REUSE_REFUSE, SIM_REUSE_ALLOW };
enum sim_ca_key { SIM_CA_EC, SIM_CA_RSA2048 };

struct sim_settings {
    int64_t order_min_ms, order_max_ms, query_ms, change_ms;
    int64_t validation, child_order, record_at, cap, cn_filter, view_lag_ms;
    int64_t async, async_issue_ms, pickup_ms, pickup_days;
    int64_t empty, cert_format, p12_element, p12_encoding, p12_key;
    int64_t revoke_delay_ms, cancelled_cert_status, cancel_window_days;
    int64_t clock_offset_s, utc_offset_min, timestamp_12h;
    int64_t lockout, locked, licences;
    int64_t newer_elements, require_names, ascii_only, key_reuse, revoked_key, test_ou;
    int64_t licence_code, licence_expired_code, profile_code, profile_unknown_code, domain_code;
    int64_t cancel_late_code, revoke_early_code, unknown_order_code;
    int64_t query_header, keepalive, idle_ms, outage, rate_limit, parallel_limit, max_body;
    int64_t ca_key;
    char password[64], username[32];
    char profile_vetting[16], profile_validated[16], profile_suspended[16];
    char hash_type[16], renewal_type[16];
};

void sim_settings_init(struct sim_settings *settings);

/* Sets one switch from text. On failure *problem says what was expected; it lives until the next
 * call. */
bool sim_settings_set(struct sim_settings *settings, const char *key, const char *value,
                      const char **problem);

/* The same from JSON: numbers, booleans and text are all understood. */
bool sim_settings_set_json(struct sim_settings *settings, const char *key, const json_t *value,
                           const char **problem);

/* All switches as a JSON object; the password is only said to be set. The caller owns it. */
json_t *sim_settings_json(const struct sim_settings *settings);

/* One line for each switch, for --help. */
void sim_settings_help(void);

/* The host's clock, ms since 1970. */
int64_t sim_real_ms(void);

/* The simulator's clock: the host's and clock_offset_s. */
int64_t sim_now_ms(const struct sim_settings *settings);

/* "Mon, 23 Nov 2026 20:55:21 GMT". */
void sim_time_http(int64_t ms, char out[40]);

/* "2026-11-23T20:55:21.042+00:00", in a zone that lies utc_offset_min east of Greenwich. */
void sim_time_iso(int64_t ms, int64_t utc_offset_min, char out[40]);

/* Reads "yyyy-MM-ddTHH:mm:ss[.SSS](Z|+hh:mm|-hh:mm)". */
bool sim_time_parse(const char *text, int64_t *ms);
