/*
 * The settings file (YAML): read whole, checked whole, all problems listed at once.
 */
#pragma once

#include <stdio.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "domain/setting.h"

struct ew_config {
    struct {
        const char *bootstrap, *group, *instance; /* instance: default the host's name */
        const char *in[EW_LANE_COUNT];
        const char *out[7]; /* by enum ew_topic of kafka/kafka.h, same order */
        const struct ew_pair *properties;
        size_t property_count;
        const char *properties_file; /* NULL = none */
        int session_ms, transaction_ms, partition_items, commit_ms, flush_ms;
        int64_t partition_bytes;
    } kafka;
    struct {
        const char *url;                            /* redis://host:port/db or rediss:// */
        const char *user, *password_file, *ca_file; /* NULL = none */
        int timeout_ms;
        int max_lag_ms; /* min-replicas-max-lag of the server, when it has replicas */
    } redis;
    struct {
        int tcp_ms;         /* how long the kernel may go on sending an unacknowledged request */
        int send_window_ms; /* W_send: an order leaves within this time of its intent, or not */
        int processing_ms;  /* T_proc: GlobalSign has processed or dropped a request by then */
        int visibility_ms;  /* T_vis: by then an order shows in queries */
        int margin_ms;
        int hold_max_ms;                  /* longer waits leave the partition */
        int account_retest_ms;            /* pause between tests of a paused account */
        int revocation_wait_ms;           /* a target never seen: wait so long before STOP */
        int poll_first_ms, poll_max_ms;   /* asking for a pending certificate */
        int retry_first_ms, retry_max_ms; /* back-off */
        int drain_ms;                     /* SIGTERM: how long work in flight may take */
        int64_t horizon_ms; /* how long duplicates are recognised after a certificate's end */
        int reconcile_first_ms, reconcile_max_ms;
        int surplus_interval_ms;   /* pause between looks for surplus orders, 0 = never */
        int64_t surplus_window_ms; /* how far back they look */
    } time;
    const char *kek_file; /* key-encryption keys for worker-made keys, NULL = none */
    const char *log_level;
    const char *admin_address; /* "127.0.0.1", "0.0.0.0" */
    int admin_port;            /* 0 = none */
    struct ew_account *accounts;
    size_t account_count;
    struct ew_setting *settings;
    size_t setting_count;
    struct ew_arena *memory; /* owner of all texts */
};

/* problem(arg, err): once for each problem found (a thousand, then once for all others); err->field
 * is the path ("settings[2].years"). Returns the number of problems; 0 means that *out is whole and
 * the caller's to free. Checks the files that it names too (present, readable, size), https, a test
 * account on the production host.
 */
int ew_config_load(const char *path, struct ew_config *out,
                   void (*problem)(void *arg, const struct ew_err *err), void *arg);
void ew_config_free(struct ew_config *config);

/* Every key: type, range, default, meaning; from the table that also reads the file. */
void ew_config_help(FILE *out);

const struct ew_setting *ew_config_setting(const struct ew_config *config, const char *name);

/* The quiet period after which "not found" is believed, milliseconds: send window, TCP, processing,
 * visibility and margin together. */
int64_t ew_config_quiet_ms(const struct ew_config *config);
/* Reads a secret file into a secret buffer: one line of at most max bytes, its end dropped. */
EW_CHECK enum ew_fault ew_config_secret(const char *path, size_t max, struct ew_buf *out,
                                        struct ew_err *err);
