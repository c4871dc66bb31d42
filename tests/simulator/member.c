#include "member.h"

#include <stdio.h>
#include <string.h>

static bool
sim_member_fits(const struct sim_member *member, const json_t *value)
{
    switch (member->kind) {
    case SIM_MEMBER_TEXT:
        return json_is_string(value) && (int64_t)json_string_length(value) >= member->min &&
               (int64_t)json_string_length(value) <= member->max;
    case SIM_MEMBER_WHOLE:
        return json_is_integer(value) && json_integer_value(value) >= member->min &&
               json_integer_value(value) <= member->max;
    case SIM_MEMBER_CHANCE:
        return json_is_number(value) && json_number_value(value) >= 0 &&
               json_number_value(value) <= 1;
    case SIM_MEMBER_FLAG:
        return json_is_boolean(value);
    case SIM_MEMBER_LIST:
        return json_is_array(value);
    }
    return false;
}

static void
sim_member_expected(const struct sim_member *member, char *out, size_t size)
{
    long long min = (long long)member->min;
    long long max = (long long)member->max;
    switch (member->kind) {
    case SIM_MEMBER_TEXT:
        (void)snprintf(out, size, "%s: a text of %lld to %lld bytes is expected", member->name, min,
                       max);
        break;
    case SIM_MEMBER_WHOLE:
        (void)snprintf(out, size, "%s: a whole number from %lld to %lld is expected", member->name,
                       min, max);
        break;
    case SIM_MEMBER_CHANCE:
        (void)snprintf(out, size, "%s: a number from 0 to 1 is expected", member->name);
        break;
    case SIM_MEMBER_FLAG:
        (void)snprintf(out, size, "%s: true or false is expected", member->name);
        break;
    case SIM_MEMBER_LIST:
        (void)snprintf(out, size, "%s: a list is expected", member->name);
        break;
    }
}

bool
sim_members_check(const json_t *object, const struct sim_member *members, size_t count,
                  const char **problem)
{
    static char text[160];
    const char *name;
    json_t *value;
    *problem = "an object is expected";
    if (!json_is_object(object)) {
        return false;
    }
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const struct sim_member *known = NULL;
        for (size_t i = 0; i < count; i++) {
            known = strcmp(members[i].name, name) == 0 ? &members[i] : known;
        }
        if (known && sim_member_fits(known, value)) {
            continue;
        }
        *problem = text;
        (void)snprintf(text, sizeof(text), "%.60s: no such member", name);
        if (known) {
            sim_member_expected(known, text, sizeof(text));
        }
        return false;
    }
    return true;
}
