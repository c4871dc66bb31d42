/*
 * Profiles (what an organisation was vetted for) and licence packs. Kept in profiles.json.
 */
#pragma once

#include "settings.h"

enum { SIM_PROFILES_MAX = 64, SIM_DOMAINS_MAX = 16, SIM_RANGES_MAX = 16, SIM_LICENCES_MAX = 32 };

enum sim_profile_state { SIM_PROFILE_VETTING, SIM_PROFILE_VALIDATED, SIM_PROFILE_SUSPENDED };

struct sim_domain {
    char name[128];
    bool approved;
};

struct sim_profile {
    char id[32];
    enum sim_profile_state state;
    bool smime, efs, upn;
    char country[3], state_name[65], locality[65], organization[65];
    struct sim_domain domains[SIM_DOMAINS_MAX];
    size_t domain_count;
    char ranges[SIM_RANGES_MAX][64]; /* "10.0.0.0/8"; none: every address may call */
    size_t range_count;
    int64_t requested_ms, issued_ms, not_after_ms, suspended_ms; /* 0: not yet */
};

struct sim_licence {
    char id[32];
    int64_t total, used, not_after_ms;
};

struct sim_profiles {
    struct sim_profile list[SIM_PROFILES_MAX];
    size_t count;
    struct sim_licence licences[SIM_LICENCES_MAX];
    size_t licence_count;
    char path[4096];
};

/* Reads the file, or makes the profiles and the pack that the README names. */
bool sim_profiles_open(struct sim_profiles *profiles, const char *dir, int64_t now_ms);
bool sim_profiles_save(const struct sim_profiles *profiles);

struct sim_profile *sim_profile_find(struct sim_profiles *profiles, const char *id);

/* Sets members from JSON, making the profile if it is new. false: *problem says what is wrong. */
bool sim_profile_change(struct sim_profiles *profiles, const char *id, const json_t *change,
                        int64_t now_ms, const char **problem);
json_t *sim_profile_json(const struct sim_profile *profile);

/* Is the e-mail's domain, or a domain above it, approved? */
bool sim_profile_domain(const struct sim_profile *profile, const char *email);

/* May the address (v6, or v4-mapped) call for the profile? */
bool sim_profile_address(const struct sim_profile *profile, const unsigned char peer[16]);

/* A pack with a licence left; NULL: none, *expired says whether that is why. */
struct sim_licence *sim_licence_pick(struct sim_profiles *profiles, int64_t now_ms, bool *expired);
struct sim_licence *sim_licence_find(struct sim_profiles *profiles, const char *id);

/* Makes or changes a pack: {"id", "total" or "remaining", "not_after_ms"}. */
bool sim_licence_change(struct sim_profiles *profiles, const json_t *change, const char **problem);
json_t *sim_licences_json(const struct sim_profiles *profiles, int64_t now_ms);
