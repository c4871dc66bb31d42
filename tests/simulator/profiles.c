/*
 * Profiles: reading, writing, changing, and the two questions asked of them (domain, address).
 */
#include "profiles.h"

#include "buf.h"
#include "member.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DAY_MS ((int64_t)86400000)

enum { PROFILE_DAYS = 824, ID_MAX = 14 };

static const char *const state_names[] = {"vetting", "validated", "suspended"};

struct sim_profile *
sim_profile_find(struct sim_profiles *profiles, const char *id)
{
    for (size_t i = 0; i < profiles->count; i++) {
        if (strcmp(profiles->list[i].id, id) == 0) {
            return &profiles->list[i];
        }
    }
    return NULL;
}

json_t *
sim_profile_json(const struct sim_profile *profile)
{
    json_t *domains = json_array();
    json_t *ranges = json_array();
    for (size_t i = 0; i < profile->domain_count; i++) {
        json_array_append_new(domains, json_pack("{s:s,s:b}", "name", profile->domains[i].name,
                                                 "approved", profile->domains[i].approved));
    }
    for (size_t i = 0; i < profile->range_count; i++) {
        json_array_append_new(ranges, json_string(profile->ranges[i]));
    }
    return json_pack(
        "{s:s,s:s,s:b,s:b,s:b,s:s,s:s,s:s,s:s,s:o,s:o,s:I,s:I,s:I,s:I}", "id", profile->id, "state",
        state_names[profile->state], "smime", profile->smime, "efs", profile->efs, "upn",
        profile->upn, "country", profile->country, "state_name", profile->state_name, "locality",
        profile->locality, "organization", profile->organization, "domains", domains, "addresses",
        ranges, "requested_ms", (json_int_t)profile->requested_ms, "issued_ms",
        (json_int_t)profile->issued_ms, "not_after_ms", (json_int_t)profile->not_after_ms,
        "suspended_ms", (json_int_t)profile->suspended_ms);
}

static void
sim_take_text(const json_t *change, const char *name, char *out, size_t size)
{
    const char *text = json_string_value(json_object_get(change, name));
    if (text) {
        sim_put(out, size, text);
    }
}

static void
sim_take_flag(const json_t *change, const char *name, bool *out)
{
    const json_t *value = json_object_get(change, name);
    if (json_is_boolean(value)) {
        *out = json_is_true(value);
    }
}

static void
sim_take_time(const json_t *change, const char *name, int64_t *out)
{
    const json_t *value = json_object_get(change, name);
    if (json_is_integer(value)) {
        *out = json_integer_value(value);
    }
}

/* "a/8" as address and length of the prefix, both as for v4-mapped v6. */
static bool
sim_range_read(const char *text, unsigned char address[16], unsigned *bits)
{
    char host[64];
    sim_put(host, sizeof(host), text);
    char *slash = strchr(host, '/');
    if (slash) {
        *slash++ = 0;
    }
    unsigned long most = 128;
    memset(address, 0, 16);
    unsigned shift = 0;
    if (inet_pton(AF_INET, host, address + 12) == 1) {
        address[10] = address[11] = 0xff;
        most = 32;
        shift = 96;
    } else if (inet_pton(AF_INET6, host, address) != 1) {
        return false;
    }
    char *end = NULL;
    unsigned long length = slash ? strtoul(slash, &end, 10) : most;
    *bits = (unsigned)length + shift;
    return length <= most && (!slash || (end != slash && !*end));
}

static bool
sim_take_ranges(struct sim_profile *profile, const json_t *list)
{
    unsigned char address[16];
    unsigned bits = 0;
    size_t count = json_array_size(list);
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (count > SIM_RANGES_MAX || !text || !sim_range_read(text, address, &bits)) {
            return false;
        }
    }
    if (list) {
        profile->range_count = count;
        for (size_t i = 0; i < count; i++) {
            sim_put(profile->ranges[i], 64, json_string_value(json_array_get(list, i)));
        }
    }
    return true;
}

/* An item is a name (approved), or {"name", "approved"}. */
static bool
sim_take_domains(struct sim_profile *profile, const json_t *list)
{
    size_t count = json_array_size(list);
    if (!list) {
        return true;
    }
    if (count > SIM_DOMAINS_MAX) {
        return false;
    }
    profile->domain_count = count;
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(list, i);
        const json_t *name = json_is_object(item) ? json_object_get(item, "name") : item;
        const json_t *approved = json_object_get(item, "approved");
        size_t len = json_string_length(name);
        if (!len || len >= sizeof(profile->domains[i].name) ||
            (approved && !json_is_boolean(approved))) {
            return false;
        }
        sim_put(profile->domains[i].name, sizeof(profile->domains[i].name),
                json_string_value(name));
        profile->domains[i].approved = !approved || json_is_true(approved);
    }
    return true;
}

static bool
sim_take_state(struct sim_profile *profile, const char *name, int64_t now_ms)
{
    for (size_t i = 0; name && i < 3; i++) {
        if (strcmp(name, state_names[i]) != 0) {
            continue;
        }
        profile->state = (enum sim_profile_state)i;
        if (profile->state == SIM_PROFILE_VALIDATED && !profile->issued_ms) {
            profile->issued_ms = now_ms;
            profile->not_after_ms = now_ms + PROFILE_DAYS * DAY_MS;
        }
        profile->suspended_ms = profile->state == SIM_PROFILE_SUSPENDED ? now_ms : 0;
        return true;
    }
    return !name;
}

static const struct sim_member members[] = {
    {"id", SIM_MEMBER_TEXT, 1, 14},
    {"state", SIM_MEMBER_TEXT, 1, 16},
    {"smime", SIM_MEMBER_FLAG, 0, 0},
    {"efs", SIM_MEMBER_FLAG, 0, 0},
    {"upn", SIM_MEMBER_FLAG, 0, 0},
    {"country", SIM_MEMBER_TEXT, 2, 2},
    {"state_name", SIM_MEMBER_TEXT, 0, 64},
    {"locality", SIM_MEMBER_TEXT, 0, 64},
    {"organization", SIM_MEMBER_TEXT, 0, 64},
    {"domains", SIM_MEMBER_LIST, 0, 0},
    {"addresses", SIM_MEMBER_LIST, 0, 0},
    {"requested_ms", SIM_MEMBER_WHOLE, 0, INT64_MAX / 2},
    {"issued_ms", SIM_MEMBER_WHOLE, 0, INT64_MAX / 2},
    {"not_after_ms", SIM_MEMBER_WHOLE, 0, INT64_MAX / 2},
    {"suspended_ms", SIM_MEMBER_WHOLE, 0, INT64_MAX / 2},
};

bool
sim_profile_change(struct sim_profiles *profiles, const char *id, const json_t *change,
                   int64_t now_ms, const char **problem)
{
    struct sim_profile *profile = sim_profile_find(profiles, id);
    if (!sim_members_check(change, members, sizeof(members) / sizeof(members[0]), problem)) {
        return false;
    }
    *problem = "an id of 1 to 14 characters is expected, and room for the profile";
    if (!profile) {
        if (profiles->count == SIM_PROFILES_MAX || !*id || strlen(id) > ID_MAX) {
            return false;
        }
        profile = &profiles->list[profiles->count];
        *profile =
            (struct sim_profile){.efs = true, .upn = true, .country = "US", .requested_ms = now_ms};
        sim_put(profile->id, sizeof(profile->id), id);
        sim_put(profile->organization, sizeof(profile->organization), "Example Corp");
    }
    struct sim_profile next = *profile;
    *problem = "state: vetting, validated or suspended is expected";
    if (!sim_take_state(&next, json_string_value(json_object_get(change, "state")), now_ms)) {
        return false;
    }
    *problem = "addresses: up to 16 texts like 10.0.0.0/8 or ::1 are expected";
    if (!sim_take_ranges(&next, json_object_get(change, "addresses"))) {
        return false;
    }
    *problem = "domains: up to 16 names or {name, approved} are expected";
    if (!sim_take_domains(&next, json_object_get(change, "domains"))) {
        return false;
    }
    sim_take_flag(change, "smime", &next.smime);
    sim_take_flag(change, "efs", &next.efs);
    sim_take_flag(change, "upn", &next.upn);
    sim_take_text(change, "country", next.country, sizeof(next.country));
    sim_take_text(change, "state_name", next.state_name, sizeof(next.state_name));
    sim_take_text(change, "locality", next.locality, sizeof(next.locality));
    sim_take_text(change, "organization", next.organization, sizeof(next.organization));
    sim_take_time(change, "requested_ms", &next.requested_ms);
    sim_take_time(change, "issued_ms", &next.issued_ms);
    sim_take_time(change, "not_after_ms", &next.not_after_ms);
    sim_take_time(change, "suspended_ms", &next.suspended_ms);
    *profile = next;
    profiles->count += profile == &profiles->list[profiles->count];
    return true;
}

bool
sim_profile_domain(const struct sim_profile *profile, const char *email)
{
    const char *at = strrchr(email, '@');
    const char *domain = at ? at + 1 : "";
    size_t len = strlen(domain);
    for (size_t i = 0; i < profile->domain_count; i++) {
        const char *name = profile->domains[i].name;
        size_t size = strlen(name);
        if (profile->domains[i].approved && size && len >= size &&
            strcasecmp(domain + len - size, name) == 0 &&
            (len == size || domain[len - size - 1] == '.')) {
            return true;
        }
    }
    return false;
}

static bool
sim_prefix_equal(const unsigned char *a, const unsigned char *b, unsigned bits)
{
    unsigned whole = bits / 8;
    unsigned rest = bits % 8;
    unsigned mask = rest ? (0xffu << (8 - rest)) & 0xffu : 0;
    return memcmp(a, b, whole) == 0 && (!rest || (a[whole] & mask) == (b[whole] & mask));
}

bool
sim_profile_address(const struct sim_profile *profile, const unsigned char peer[16])
{
    for (size_t i = 0; i < profile->range_count; i++) {
        unsigned char address[16];
        unsigned bits = 0;
        if (sim_range_read(profile->ranges[i], address, &bits) &&
            sim_prefix_equal(address, peer, bits)) {
            return true;
        }
    }
    return profile->range_count == 0;
}

static const char FIRST_START[] =
    "{\"profiles\":["
    "{\"id\":\"MP202601150001\",\"state\":\"validated\",\"state_name\":\"Oregon\","
    "\"locality\":\"Bend\"},"
    "{\"id\":\"MP202601150002\",\"state\":\"validated\",\"smime\":true,"
    "\"state_name\":\"Oregon\",\"locality\":\"Bend\",\"domains\":[\"example.com\","
    "{\"name\":\"pending.example.org\",\"approved\":false}]},"
    "{\"id\":\"MP202601150003\",\"state\":\"vetting\",\"state_name\":\"Oregon\","
    "\"locality\":\"Bend\"}],"
    "\"licences\":[{\"id\":\"ML202601150007\",\"total\":1000000}]}";

static bool
sim_profiles_read(struct sim_profiles *profiles, const json_t *root, int64_t now_ms)
{
    size_t i;
    const json_t *item;
    const char *problem = NULL;
    json_array_foreach(json_object_get(root, "profiles"), i, item)
    {
        const char *id = json_string_value(json_object_get(item, "id"));
        if (!id || !sim_profile_change(profiles, id, item, now_ms, &problem)) {
            return false;
        }
    }
    json_array_foreach(json_object_get(root, "licences"), i, item)
    {
        static const char *const derived[] = {"used", "remaining", "expired"};
        for (size_t n = 0; n < 3; n++) {
            json_object_del((json_t *)(uintptr_t)item, derived[n]);
        }
        if (!sim_licence_change(profiles, item, &problem)) {
            return false;
        }
    }
    return profiles->count > 0;
}

bool
sim_profiles_open(struct sim_profiles *profiles, const char *dir, int64_t now_ms)
{
    struct sim_buf text;
    memset(profiles, 0, sizeof(*profiles));
    (void)snprintf(profiles->path, sizeof(profiles->path), "%s/profiles.json", dir);
    sim_buf_init(&text, 1 << 20);
    bool known = sim_read_file(profiles->path, &text);
    json_t *root = json_loads(known ? text.data : FIRST_START, 0, NULL);
    /* Vetted a month ago, so that no date of today lies on an edge. */
    bool ok = sim_profiles_read(profiles, root, known ? now_ms : now_ms - 30 * DAY_MS);
    json_decref(root);
    sim_buf_deinit(&text);
    if (!ok || (!known && !sim_profiles_save(profiles))) {
        fprintf(stderr, "epki-simulator: %s: cannot be read or written\n", profiles->path);
        return false;
    }
    return true;
}

bool
sim_profiles_save(const struct sim_profiles *profiles)
{
    json_t *list = json_array();
    for (size_t i = 0; i < profiles->count; i++) {
        json_array_append_new(list, sim_profile_json(&profiles->list[i]));
    }
    json_t *root =
        json_pack("{s:o,s:o}", "profiles", list, "licences", sim_licences_json(profiles, 0));
    char *text = json_dumps(root, JSON_INDENT(1));
    bool ok = sim_write_file(profiles->path, text, strlen(text), 0600);
    free(text);
    json_decref(root);
    return ok;
}
