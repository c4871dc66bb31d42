/*
 * Wiring: the parts in the order of their start, and back.
 */
#include "options.h"
#include "sim.h"

#include <errno.h>
#include <libxml/parser.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* Thousands of connections at a time, or at least a word about why not. */
static void
sim_raise_files(void)
{
    enum { ENOUGH = 4096 };
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        if (limit.rlim_max < ENOUGH) {
            fprintf(stderr,
                    "epki-simulator: at most %llu files may be open, connections included; raise "
                    "the hard limit (ulimit -Hn) for more\n",
                    (unsigned long long)limit.rlim_max);
        }
    }
}

static bool
sim_open_dir(struct sim *sim, const char *dir)
{
    sim_put(sim->dir, sizeof(sim->dir), dir);
    if (mkdir(dir, 0755) && errno != EEXIST) {
        fprintf(stderr, "epki-simulator: %s: %s\n", dir, strerror(errno));
        return false;
    }
    return true;
}

/* The API password: made at the first start, read later on. */
static bool
sim_open_password(struct sim *sim)
{
    char path[4096];
    struct sim_buf text;
    (void)snprintf(path, sizeof(path), "%s/password", sim->dir);
    sim_buf_init(&text, 256);
    if (!sim_read_file(path, &text)) {
        unsigned char random[10];
        char hex[21];
        sim_random(random, sizeof(random));
        sim_hex(hex, random, sizeof(random));
        sim_buf_reset(&text);
        sim_buf_printf(&text, "%s\n", hex);
        if (!sim_write_file(path, text.data, text.len, 0600)) {
            fprintf(stderr, "epki-simulator: %s: %s\n", path, strerror(errno));
            sim_buf_deinit(&text);
            return false;
        }
    }
    size_t len = text.data ? strcspn(text.data, "\r\n") : 0;
    sim_put(sim->password, len < sizeof(sim->password) ? len + 1 : sizeof(sim->password),
            text.data);
    sim_buf_deinit(&text);
    return len > 0;
}

/* Each order took a licence, unless it gave it back. */
static void
sim_count_licences(struct sim *sim)
{
    for (size_t i = 0; i < sim->orders.count; i++) {
        const struct sim_order *order = sim->orders.list[i];
        struct sim_licence *pack = sim_licence_find(&sim->profiles, order->licence);
        if (pack && !order->licence_returned) {
            pack->used++;
        }
    }
    if (sim->settings.licences >= 0 && sim->profiles.licence_count) {
        sim->profiles.licences[0].total = sim->profiles.licences[0].used + sim->settings.licences;
        sim_profiles_save(&sim->profiles);
    }
    sim->settings.licences = -1;
}

static void
sim_recover_line(struct sim *sim, const struct sim_order *order, const char *operation)
{
    struct sim_entry entry = {.operation = operation,
                              .profile = order->profile,
                              .cn = order->cn,
                              .email = order->email,
                              .order_id = order->id,
                              .spki_sha256 = order->spki,
                              .result = "ok",
                              .fault = "recovered",
                              .recorded = true};
    sim_journal_write(&sim->journal, &entry);
}

/* It was cancelled or revoked after the last line was written. What nobody picks up expires without
 * a call, and so without a line. */
static bool
sim_ended_unseen(const struct sim_journal *journal, const struct sim_order *order)
{
    int64_t ended =
        order->revoke_requested.real ? order->revoke_requested.real : order->cancelled.real;
    char time[40];
    if (!ended || order->op == SIM_OP_ORDER_CERTIFICATE ||
        strcmp(order->id, journal->last_end) == 0) {
        return false;
    }
    sim_time_iso(ended, 0, time);
    return strcmp(time, journal->last_time) >= 0;
}

/* Killed between the two writes: the newest order, or the end of one, has no line yet. */
static void
sim_mend_journal(struct sim *sim)
{
    const struct sim_order *last =
        sim->orders.count ? sim->orders.list[sim->orders.count - 1] : NULL;
    const struct sim_order *changed = sim->orders.changed;
    if (last && strcmp(last->id, sim->journal.last_order) != 0) {
        sim_recover_line(sim, last,
                         last->op == SIM_OP_NONE ? "Portal" : sim_op_info(last->op)->name);
    } else if (changed && sim_ended_unseen(&sim->journal, changed)) {
        sim_recover_line(sim, changed, changed->revoke_requested.real ? "Revoke" : "Cancel");
    }
}

static bool
sim_open_faults(struct sim *sim, const char *path)
{
    json_error_t error;
    const char *problem = "a list is expected";
    json_t *list = path ? json_load_file(path, 0, &error) : json_array();
    bool ok = json_is_array(list);
    for (size_t i = 0; ok && i < json_array_size(list); i++) {
        ok = sim_faults_add(&sim->faults, json_array_get(list, i), &problem) != 0;
    }
    if (!ok) {
        fprintf(stderr, "epki-simulator: %s: %s\n", path, list ? problem : error.text);
    }
    json_decref(list);
    return ok;
}

static bool
sim_open(struct sim *sim, const struct sim_options *options)
{
    sim->orders.fd = sim->journal.fd = sim->changes_fd = -1;
    if (!sim_open_dir(sim, options->dir) || !sim_open_password(sim) ||
        !sim_ca_open(&sim->ca, sim->dir, (enum sim_ca_key)sim->settings.ca_key) ||
        !sim_profiles_open(&sim->profiles, sim->dir, sim_now_ms(&sim->settings)) ||
        !sim_orders_open(&sim->orders, sim->dir) || !sim_journal_open(&sim->journal, sim->dir) ||
        !sim_changes_open(sim) || !sim_open_faults(sim, options->faults)) {
        return false;
    }
    sim_count_licences(sim);
    sim->initial = sim->settings;
    sim_mend_journal(sim);
    sim_changes_write(sim, "start", "");
    sim->schema = sim_schema_new();
    sim->tls = sim_ca_tls_context(&sim->ca);
    return true;
}

static bool
sim_write_ports(const struct sim *sim)
{
    char path[4096];
    char text[80];
    (void)snprintf(path, sizeof(path), "%s/ports", sim->dir);
    int len = snprintf(text, sizeof(text), "{\"port\":%d,\"control_port\":%d}\n", sim->api.port,
                       sim->control.port);
    return sim_write_file(path, text, (size_t)len, 0644);
}

static bool
sim_listen(struct sim *sim, const struct sim_options *options)
{
    sim->control = (struct sim_server){.loop = &sim->loop,
                                       .settings = &sim->settings,
                                       .fixed = true,
                                       .hooks = {.request = sim_control_request},
                                       .context = sim};
    sim->api = (struct sim_server){
        .loop = &sim->loop,
        .settings = &sim->settings,
        .tls = sim->tls,
        .hooks = {.request = sim_api_request, .closed = sim_api_closed, .welcome = sim_api_welcome},
        .context = sim};
    if (!sim_server_start(&sim->control, options->control_port) ||
        !sim_server_start(&sim->api, options->port) || !sim_write_ports(sim)) {
        return false;
    }
    (void)snprintf(sim->ca.base_url, sizeof(sim->ca.base_url), "http://127.0.0.1:%d",
                   sim->control.port);
    return true;
}

static void
sim_close(struct sim *sim)
{
    sim_keys_deinit(&sim->keys);
    SSL_CTX_free(sim->tls);
    sim_schema_free(sim->schema);
    sim_faults_clear(&sim->faults);
    sim_journal_close(&sim->journal);
    if (sim->changes_fd >= 0) {
        close(sim->changes_fd);
    }
    sim_orders_close(&sim->orders);
    sim_ca_close(&sim->ca);
    explicit_bzero(sim->password, sizeof(sim->password));
}

static void
sim_signalled(uv_signal_t *signal, int number)
{
    (void)number;
    uv_stop(signal->loop);
}

static void
sim_run(struct sim *sim)
{
    uv_signal_t term;
    uv_signal_t interrupt;
    uv_signal_init(&sim->loop, &term);
    uv_signal_init(&sim->loop, &interrupt);
    uv_signal_start(&term, sim_signalled, SIGTERM);
    uv_signal_start(&interrupt, sim_signalled, SIGINT);
    puts("ready");
    fflush(stdout);
    uv_run(&sim->loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&term, NULL);
    uv_close((uv_handle_t *)&interrupt, NULL);
    sim_server_stop(&sim->api);
    sim_server_stop(&sim->control);
    sim_calls_end(sim);
    sim_keys_stop(&sim->keys);
    uv_run(&sim->loop, UV_RUN_DEFAULT);
}

int
main(int argc, char **argv)
{
    struct sim_options options;
    struct sim *sim = sim_alloc(sizeof(*sim));
    sim_settings_init(&sim->settings);
    int code = sim_options_read(&options, &sim->settings, argc, argv);
    if (code >= 0) {
        free(sim);
        return code;
    }
    signal(SIGPIPE, SIG_IGN);
    sim_raise_files();
    xmlInitParser();
    uv_loop_init(&sim->loop);
    sim_keys_init(&sim->keys, &sim->loop);
    code = 1;
    if (sim_open(sim, &options)) {
        if (sim_listen(sim, &options)) {
            sim_run(sim);
            code = 0;
        } else {
            sim_server_stop(&sim->api);
            sim_server_stop(&sim->control);
            uv_run(&sim->loop, UV_RUN_DEFAULT);
        }
    }
    uv_loop_close(&sim->loop);
    sim_close(sim);
    xmlCleanupParser();
    free(sim);
    return code;
}
