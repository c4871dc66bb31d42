/*
 * What a JSON object given to the simulator may hold: a table, checked before anything is done.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum sim_member_kind {
    SIM_MEMBER_TEXT,  /* min to max bytes long */
    SIM_MEMBER_WHOLE, /* min to max */
    SIM_MEMBER_CHANCE,
    SIM_MEMBER_FLAG,
    SIM_MEMBER_LIST,
};

struct sim_member {
    const char *name;
    enum sim_member_kind kind;
    int64_t min, max;
};

/* An object of known members of the right kinds. false: *problem says what was expected, and where
 * (it lives until the next call). */
bool sim_members_check(const json_t *object, const struct sim_member *members, size_t count,
                       const char **problem);
