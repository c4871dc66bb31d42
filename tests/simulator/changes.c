/*
 * What people and tests change through the control port, for audits: control.jsonl has one line at
 * each start and one after each change, with the state that it led to. Which calls met it, the
 * journal's sequence number says.
 */
#include "sim.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

bool
sim_changes_open(struct sim *sim)
{
    char path[4096];
    (void)snprintf(path, sizeof(path), "%s/control.jsonl", sim->dir);
    sim->changes_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (sim->changes_fd < 0) {
        perror(path);
    }
    return sim->changes_fd >= 0;
}

static json_t *
sim_changes_profiles(const struct sim *sim)
{
    json_t *list = json_array();
    for (size_t i = 0; i < sim->profiles.count; i++) {
        json_array_append_new(list, sim_profile_json(&sim->profiles.list[i]));
    }
    return list;
}

void
sim_changes_write(struct sim *sim, const char *method, const char *path)
{
    char time[40];
    sim_time_iso(sim_real_ms(), 0, time);
    json_t *line = json_pack(
        "{s:s,s:I,s:s,s:s,s:o,s:o,s:o,s:o}", "time", time, "after", (json_int_t)sim->journal.seq,
        "method", method, "path", path, "settings", sim_settings_json(&sim->settings), "faults",
        sim_faults_json(&sim->faults), "profiles", sim_changes_profiles(sim), "licences",
        sim_licences_json(&sim->profiles, sim_now_ms(&sim->settings)));
    struct sim_buf out;
    char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
    sim_buf_init(&out, SIZE_MAX / 4);
    sim_buf_printf(&out, "%s\n", text ? text : "");
    if (!text || out.full || write(sim->changes_fd, out.data, out.len) != (ssize_t)out.len) {
        perror("epki-simulator: control.jsonl");
        abort();
    }
    sim_buf_deinit(&out);
    free(text);
    json_decref(line);
}
