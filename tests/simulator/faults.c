/*
 * The table of faults, and choosing among those set.
 */
#include "faults.h"

#include "buf.h"

#include <stdlib.h>
#include <string.h>

static const struct sim_fault_type {
    const char *name;
    enum sim_fault_kind kind;
    enum sim_fault_stage stage;
    int code; /* of the business error it shows, unless told otherwise */
} types[] = {
    {"tls_stall", SIM_FAULT_TLS_STALL, SIM_STAGE_ACCEPT, 0},
    {"close_before_record", SIM_FAULT_CLOSE_BEFORE, SIM_STAGE_BEFORE, 0},
    {"close_after_record", SIM_FAULT_CLOSE_AFTER, SIM_STAGE_RECORD, 0},
    {"accept_then_drop", SIM_FAULT_ACCEPT_DROP, SIM_STAGE_REPLY, 0},
    {"hold_reply", SIM_FAULT_HOLD, SIM_STAGE_RECORD, 0},
    {"reset", SIM_FAULT_RESET, SIM_STAGE_BEFORE, 0},
    {"reset_after_record", SIM_FAULT_RESET_AFTER, SIM_STAGE_RECORD, 0},
    {"status_line_only", SIM_FAULT_STATUS_LINE, SIM_STAGE_REPLY, 0},
    {"truncated_xml", SIM_FAULT_TRUNCATED, SIM_STAGE_REPLY, 0},
    {"half_body", SIM_FAULT_HALF_BODY, SIM_STAGE_REPLY, 0},
    {"empty_body", SIM_FAULT_EMPTY_BODY, SIM_STAGE_REPLY, 0},
    {"html", SIM_FAULT_HTML, SIM_STAGE_BEFORE, 0},
    {"http_429", SIM_FAULT_HTTP_429, SIM_STAGE_BEFORE, 0},
    {"http_503", SIM_FAULT_HTTP_503, SIM_STAGE_BEFORE, 0},
    {"redirect", SIM_FAULT_REDIRECT, SIM_STAGE_BEFORE, 0},
    {"slow", SIM_FAULT_SLOW, SIM_STAGE_REPLY, 0},
    {"slow_body", SIM_FAULT_SLOW_BODY, SIM_STAGE_REPLY, 0},
    {"warning", SIM_FAULT_WARNING, SIM_STAGE_ISSUE, -9978},
    {"pending", SIM_FAULT_PENDING, SIM_STAGE_ISSUE, -5001},
    {"soap_fault_client", SIM_FAULT_SOAP_CLIENT, SIM_STAGE_BEFORE, 0},
    {"soap_fault_server", SIM_FAULT_SOAP_SERVER, SIM_STAGE_BEFORE, 0},
    {"error_code", SIM_FAULT_ERROR, SIM_STAGE_BEFORE, -1},
    {"wrong_password", SIM_FAULT_ERROR, SIM_STAGE_BEFORE, -4001},
    {"address_refused", SIM_FAULT_ERROR, SIM_STAGE_BEFORE, -4201},
    {"licences_out", SIM_FAULT_ERROR, SIM_STAGE_BEFORE, -6101},
    {"wrong_key", SIM_FAULT_WRONG_KEY, SIM_STAGE_ISSUE, 0},
    {"wrong_name", SIM_FAULT_WRONG_NAME, SIM_STAGE_ISSUE, 0},
    {"wrong_chain", SIM_FAULT_WRONG_CHAIN, SIM_STAGE_ISSUE, 0},
    {"wrong_eku", SIM_FAULT_WRONG_EKU, SIM_STAGE_ISSUE, 0},
    {"wrong_validity", SIM_FAULT_WRONG_VALIDITY, SIM_STAGE_ISSUE, 0},
    {"duplicate_order", SIM_FAULT_DUPLICATE, SIM_STAGE_ISSUE, 0},
};

void
sim_faults_clear(struct sim_faults *faults)
{
    while (faults->first) {
        sim_faults_remove(faults, faults->first->id);
    }
}

bool
sim_faults_remove(struct sim_faults *faults, long id)
{
    for (struct sim_fault **at = &faults->first; *at; at = &(*at)->next) {
        if ((*at)->id == id) {
            struct sim_fault *gone = *at;
            *at = gone->next;
            free(gone->cn);
            free(gone);
            return true;
        }
    }
    return false;
}

static int64_t
sim_spec_number(const json_t *spec, const char *name, int64_t otherwise)
{
    const json_t *value = json_object_get(spec, name);
    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

static const char *const members[] = {"operation",    "fault",    "count", "probability",   "cn",
                                      "profile",      "delay_ms", "skip",  "retry_after_s", "code",
                                      "success_code", "field",    "record"};

static bool
sim_spec_known(const json_t *spec)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)spec, name, value)
    {
        bool known = false;
        for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
            known = known || strcmp(members[i], name) == 0;
        }
        if (!known) {
            return false;
        }
    }
    return json_is_object(spec);
}

/* An answer that is none after all: the business is done, the answer shows otherwise. */
static void
sim_fault_record(struct sim_fault *fault, const json_t *record)
{
    if (json_is_true(record) && fault->stage == SIM_STAGE_BEFORE) {
        fault->stage = SIM_STAGE_REPLY;
    }
}

static bool
sim_fault_fill(struct sim_fault *fault, const json_t *spec, const char **problem)
{
    const char *name = json_string_value(json_object_get(spec, "fault"));
    const char *operation = json_string_value(json_object_get(spec, "operation"));
    const json_t *probability = json_object_get(spec, "probability");
    *problem = "no such fault";
    for (size_t i = 0; name && i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(types[i].name, name) == 0) {
            fault->name = types[i].name;
            fault->kind = types[i].kind;
            fault->stage = types[i].stage;
            fault->code = types[i].code;
        }
    }
    if (!fault->kind) {
        return false;
    }
    *problem = "no such operation";
    sim_put(fault->operation, sizeof(fault->operation), operation ? operation : "*");
    if (strcmp(fault->operation, "*") != 0 && !sim_op_find(fault->operation)) {
        return false;
    }
    fault->count = sim_spec_number(spec, "count", -1);
    fault->skip = sim_spec_number(spec, "skip", 0);
    fault->delay_ms = sim_spec_number(spec, "delay_ms", -1);
    fault->retry_after_s = sim_spec_number(spec, "retry_after_s", -1);
    fault->code = (int)sim_spec_number(spec, "code", fault->code);
    fault->success_code = (int)sim_spec_number(spec, "success_code", 1);
    fault->probability = json_is_number(probability) ? json_number_value(probability) : 1.0;
    fault->cn = sim_copy(json_string_value(json_object_get(spec, "cn")));
    sim_put(fault->profile, sizeof(fault->profile),
            json_string_value(json_object_get(spec, "profile")));
    sim_put(fault->field, sizeof(fault->field), json_string_value(json_object_get(spec, "field")));
    sim_fault_record(fault, json_object_get(spec, "record"));
    return true;
}

long
sim_faults_add(struct sim_faults *faults, const json_t *spec, const char **problem)
{
    *problem = "an object with known members is expected";
    if (!sim_spec_known(spec)) {
        return 0;
    }
    struct sim_fault *fault = sim_alloc(sizeof(*fault));
    if (!sim_fault_fill(fault, spec, problem)) {
        free(fault->cn);
        free(fault);
        return 0;
    }
    fault->id = ++faults->last_id;
    struct sim_fault **last = &faults->first;
    while (*last) {
        last = &(*last)->next;
    }
    *last = fault;
    return fault->id;
}

json_t *
sim_faults_json(const struct sim_faults *faults)
{
    json_t *list = json_array();
    for (const struct sim_fault *fault = faults->first; fault; fault = fault->next) {
        json_t *item =
            json_pack("{s:I,s:s,s:s,s:I,s:I,s:f,s:I,s:I}", "id", (json_int_t)fault->id, "fault",
                      fault->name, "operation", fault->operation, "count", (json_int_t)fault->count,
                      "skip", (json_int_t)fault->skip, "probability", fault->probability,
                      "delay_ms", (json_int_t)fault->delay_ms, "hits", (json_int_t)fault->hits);
        if (fault->cn) {
            json_object_set_new(item, "cn", json_string(fault->cn));
        }
        if (fault->profile[0]) {
            json_object_set_new(item, "profile", json_string(fault->profile));
        }
        json_array_append_new(list, item);
    }
    return list;
}

static bool
sim_fault_matches(const struct sim_fault *fault, bool accept, const char *operation, const char *cn,
                  const char *profile)
{
    if ((fault->stage == SIM_STAGE_ACCEPT) != accept || fault->count == 0) {
        return false;
    }
    if (accept) {
        return true; /* nothing of the call is known yet */
    }
    return (strcmp(fault->operation, "*") == 0 || strcmp(fault->operation, operation) == 0) &&
           (!fault->cn || (cn && strcmp(fault->cn, cn) == 0)) &&
           (!fault->profile[0] || (profile && strcmp(fault->profile, profile) == 0));
}

static bool
sim_chance(double probability)
{
    uint32_t draw = 0;
    if (probability >= 1.0) {
        return true;
    }
    sim_random(&draw, sizeof(draw));
    return (double)draw / 4294967296.0 < probability;
}

struct sim_fault
sim_faults_pick(struct sim_faults *faults, bool accept, const char *operation, const char *cn,
                const char *profile)
{
    struct sim_fault none = {.delay_ms = -1, .retry_after_s = -1};
    for (struct sim_fault *fault = faults->first; fault; fault = fault->next) {
        if (!sim_fault_matches(fault, accept, operation, cn, profile)) {
            continue;
        }
        if (fault->skip > 0) {
            fault->skip--;
            continue;
        }
        if (!sim_chance(fault->probability)) {
            continue;
        }
        fault->count -= fault->count > 0;
        fault->hits++;
        struct sim_fault copy = *fault;
        copy.cn = NULL;
        copy.next = NULL;
        return copy;
    }
    return none;
}
