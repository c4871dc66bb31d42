/*
 * Licence packs: valid for a year, used up one by one, in the order of their making.
 */
#include "buf.h"
#include "member.h"
#include "profiles.h"

#include <string.h>

#define YEAR_MS ((int64_t)365 * 86400000)

struct sim_licence *
sim_licence_find(struct sim_profiles *profiles, const char *id)
{
    for (size_t i = 0; i < profiles->licence_count; i++) {
        if (strcmp(profiles->licences[i].id, id) == 0) {
            return &profiles->licences[i];
        }
    }
    return NULL;
}

struct sim_licence *
sim_licence_pick(struct sim_profiles *profiles, int64_t now_ms, bool *expired)
{
    *expired = false;
    for (size_t i = 0; i < profiles->licence_count; i++) {
        struct sim_licence *pack = &profiles->licences[i];
        if (pack->used < pack->total && now_ms < pack->not_after_ms) {
            return pack;
        }
        *expired = *expired || pack->used < pack->total;
    }
    return NULL;
}

bool
sim_licence_change(struct sim_profiles *profiles, const json_t *change, const char **problem)
{
    static const struct sim_member members[] = {
        {"id", SIM_MEMBER_TEXT, 1, 31},
        {"total", SIM_MEMBER_WHOLE, 0, INT32_MAX},
        {"remaining", SIM_MEMBER_WHOLE, 0, INT32_MAX},
        {"not_after_ms", SIM_MEMBER_WHOLE, 0, INT64_MAX / 2},
    };
    if (!sim_members_check(change, members, sizeof(members) / sizeof(members[0]), problem)) {
        return false;
    }
    const char *id = json_string_value(json_object_get(change, "id"));
    const json_t *total = json_object_get(change, "total");
    const json_t *remaining = json_object_get(change, "remaining");
    const json_t *not_after = json_object_get(change, "not_after_ms");
    struct sim_licence *pack = id ? sim_licence_find(profiles, id) : NULL;
    *problem = "an id is expected, and room for the pack (32)";
    if (!pack) {
        if (!id || profiles->licence_count == SIM_LICENCES_MAX) {
            return false;
        }
        pack = &profiles->licences[profiles->licence_count++];
        *pack = (struct sim_licence){.not_after_ms = sim_real_ms() + YEAR_MS};
        sim_put(pack->id, sizeof(pack->id), id);
    }
    if (json_is_integer(total)) {
        pack->total = json_integer_value(total);
    } else if (json_is_integer(remaining)) {
        pack->total = pack->used + json_integer_value(remaining);
    }
    if (json_is_integer(not_after)) {
        pack->not_after_ms = json_integer_value(not_after);
    }
    return true;
}

json_t *
sim_licences_json(const struct sim_profiles *profiles, int64_t now_ms)
{
    json_t *list = json_array();
    for (size_t i = 0; i < profiles->licence_count; i++) {
        const struct sim_licence *pack = &profiles->licences[i];
        json_array_append_new(list,
                              json_pack("{s:s,s:I,s:I,s:I,s:I,s:b}", "id", pack->id, "total",
                                        (json_int_t)pack->total, "used", (json_int_t)pack->used,
                                        "remaining", (json_int_t)(pack->total - pack->used),
                                        "not_after_ms", (json_int_t)pack->not_after_ms, "expired",
                                        now_ms >= pack->not_after_ms));
    }
    return list;
}
