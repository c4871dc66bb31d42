/*
 * The table of faults, and choosing among those set.
 */
#include "faults.h"

#include "buf.h"
#include "member.h"
#include "settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NO_CODE = 0, HTTP_MIN = 200, HTTP_MAX = 599 };

static const struct sim_fault_type {
    const char *name;
    enum sim_fault_kind kind;
    enum sim_fault_stage stage;
    int code; /* of the business error it shows, unless told otherwise */
    const char *help;
} types[] = {
    {"tls_stall", SIM_FAULT_TLS_STALL, SIM_STAGE_ACCEPT, NO_CODE,
     "the handshake is held for delay_ms, or until /release"},
    {"connection_drop", SIM_FAULT_CONNECTION_DROP, SIM_STAGE_ACCEPT, NO_CODE,
     "the connection is closed as soon as it is accepted"},
    {"close_before_record", SIM_FAULT_CLOSE_BEFORE, SIM_STAGE_BEFORE, NO_CODE,
     "closed after the request was read; nothing is recorded"},
    {"close_after_record", SIM_FAULT_CLOSE_AFTER, SIM_STAGE_RECORD, NO_CODE,
     "closed right after recording"},
    {"accept_then_drop", SIM_FAULT_ACCEPT_DROP, SIM_STAGE_REPLY, NO_CODE,
     "closed when the answer is due; the order stands"},
    {"hold_reply", SIM_FAULT_HOLD, SIM_STAGE_RECORD, NO_CODE,
     "recorded; the answer waits for delay_ms, or until /release"},
    {"reset", SIM_FAULT_RESET, SIM_STAGE_BEFORE, NO_CODE, "TCP reset; nothing is recorded"},
    {"reset_after_record", SIM_FAULT_RESET_AFTER, SIM_STAGE_RECORD, NO_CODE,
     "TCP reset right after recording"},
    {"status_line_only", SIM_FAULT_STATUS_LINE, SIM_STAGE_REPLY, NO_CODE,
     "HTTP/1.1 200 OK, then closed"},
    {"truncated_xml", SIM_FAULT_TRUNCATED, SIM_STAGE_REPLY, NO_CODE,
     "a whole HTTP answer with the first half of the XML"},
    {"half_body", SIM_FAULT_HALF_BODY, SIM_STAGE_REPLY, NO_CODE,
     "half of what Content-Length says, then closed"},
    {"empty_body", SIM_FAULT_EMPTY_BODY, SIM_STAGE_REPLY, NO_CODE, "200 without a body"},
    {"html", SIM_FAULT_HTML, SIM_STAGE_BEFORE, NO_CODE, "200 and a page of HTML"},
    {"http_429", SIM_FAULT_HTTP_429, SIM_STAGE_BEFORE, NO_CODE, "429, with retry_after_s if given"},
    {"http_503", SIM_FAULT_HTTP_503, SIM_STAGE_BEFORE, NO_CODE, "503, with retry_after_s if given"},
    {"http_status", SIM_FAULT_HTTP_STATUS, SIM_STAGE_BEFORE, 502,
     "a page of HTML with the status in code (502)"},
    {"redirect", SIM_FAULT_REDIRECT, SIM_STAGE_BEFORE, NO_CODE, "302 to another host"},
    {"slow", SIM_FAULT_SLOW, SIM_STAGE_REPLY, NO_CODE, "answers delay_ms (10000) later"},
    {"slow_body", SIM_FAULT_SLOW_BODY, SIM_STAGE_REPLY, NO_CODE,
     "the body trickles for delay_ms (2000)"},
    {"late_view", SIM_FAULT_LATE_VIEW, SIM_STAGE_REPLY, NO_CODE,
     "a query shows the state of delay_ms (5000) ago"},
    {"warning", SIM_FAULT_WARNING, SIM_STAGE_ISSUE, -9978,
     "success with success_code (1) and the error in code (-9978)"},
    {"pending", SIM_FAULT_PENDING, SIM_STAGE_ISSUE, -5001,
     "as warning, and the certificate follows async_issue_ms later"},
    {"soap_fault_client", SIM_FAULT_SOAP_CLIENT, SIM_STAGE_BEFORE, NO_CODE,
     "500 and a SOAP fault soap:Client"},
    {"soap_fault_server", SIM_FAULT_SOAP_SERVER, SIM_STAGE_BEFORE, NO_CODE,
     "500 and a SOAP fault soap:Server"},
    {"error_code", SIM_FAULT_ERROR, SIM_STAGE_BEFORE, -1, "refused with code (-1) and field"},
    {"wrong_password", SIM_FAULT_ERROR, SIM_STAGE_BEFORE, -4001, "refused with -4001"},
    {"account_locked", SIM_FAULT_ERROR, SIM_STAGE_BEFORE, -9939, "refused with -9939"},
    {"address_refused", SIM_FAULT_ERROR, SIM_STAGE_BEFORE, -4201, "refused with -4201"},
    {"licences_out", SIM_FAULT_ERROR, SIM_STAGE_BEFORE, -6101, "refused with -6101"},
    {"wrong_key", SIM_FAULT_WRONG_KEY, SIM_STAGE_ISSUE, NO_CODE, "a certificate for another key"},
    {"wrong_name", SIM_FAULT_WRONG_NAME, SIM_STAGE_ISSUE, NO_CODE, "... for another name"},
    {"wrong_chain", SIM_FAULT_WRONG_CHAIN, SIM_STAGE_ISSUE, NO_CODE, "... by an unknown CA"},
    {"wrong_eku", SIM_FAULT_WRONG_EKU, SIM_STAGE_ISSUE, NO_CODE, "... with e-mail usage only"},
    {"wrong_validity", SIM_FAULT_WRONG_VALIDITY, SIM_STAGE_ISSUE, NO_CODE, "... for ten years"},
    {"duplicate_order", SIM_FAULT_DUPLICATE, SIM_STAGE_ISSUE, NO_CODE,
     "two orders are booked, the first one is told"},
    {"wrong_pin", SIM_FAULT_WRONG_PIN, SIM_STAGE_ISSUE, NO_CODE, "a PKCS#12 under another PIN"},
    {"spoilt_pkcs12", SIM_FAULT_SPOILT_P12, SIM_STAGE_ISSUE, NO_CODE, "half a PKCS#12"},
    {"no_pkcs12", SIM_FAULT_NO_P12, SIM_STAGE_ISSUE, NO_CODE, "the order id alone"},
    {"other_id", SIM_FAULT_OTHER_ID, SIM_STAGE_ISSUE, NO_CODE,
     "the id in field in place of the order's own"},
    {"other_order", SIM_FAULT_OTHER_ORDER, SIM_STAGE_ISSUE, NO_CODE,
     "id and certificate of the order in field in place of the order's own"},
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

static const struct sim_member members[] = {
    {"fault", SIM_MEMBER_TEXT, 1, 40},
    {"operation", SIM_MEMBER_TEXT, 1, 31},
    {"cn", SIM_MEMBER_TEXT, 1, 1024},
    {"profile", SIM_MEMBER_TEXT, 1, 31},
    {"field", SIM_MEMBER_TEXT, 0, 63},
    {"count", SIM_MEMBER_WHOLE, -1, INT32_MAX},
    {"skip", SIM_MEMBER_WHOLE, 0, INT32_MAX},
    {"delay_ms", SIM_MEMBER_WHOLE, -1, INT32_MAX},
    {"after_ms", SIM_MEMBER_WHOLE, 0, INT32_MAX},
    {"for_ms", SIM_MEMBER_WHOLE, 1, INT32_MAX},
    {"retry_after_s", SIM_MEMBER_WHOLE, -1, INT32_MAX},
    {"code", SIM_MEMBER_WHOLE, -99999, HTTP_MAX},
    {"success_code", SIM_MEMBER_WHOLE, 0, 1},
    {"probability", SIM_MEMBER_CHANCE, 0, 0},
    {"record", SIM_MEMBER_FLAG, 0, 0},
};

static int64_t
sim_spec_number(const json_t *spec, const char *name, int64_t otherwise)
{
    const json_t *value = json_object_get(spec, name);
    return value ? json_integer_value(value) : otherwise;
}

/* An answer that is none after all: the business is done, the answer shows otherwise. */
static void
sim_fault_record(struct sim_fault *fault, const json_t *record)
{
    if (json_is_true(record) && fault->stage == SIM_STAGE_BEFORE) {
        fault->stage = SIM_STAGE_REPLY;
    }
}

/* Can it do anything to a call of this kind? */
static bool
sim_fault_fits(const struct sim_fault *fault, enum sim_op op)
{
    bool key_given = op == SIM_OP_ORDER_AND_ISSUE || op == SIM_OP_ORDER_DS;
    bool order = sim_op_info(op)->kind == SIM_KIND_ORDER;
    switch (fault->kind) {
    case SIM_FAULT_LATE_VIEW:
        return sim_op_info(op)->kind == SIM_KIND_QUERY;
    case SIM_FAULT_WRONG_KEY:
        return key_given;
    case SIM_FAULT_WRONG_NAME:
    case SIM_FAULT_WRONG_CHAIN:
    case SIM_FAULT_WRONG_EKU:
    case SIM_FAULT_WRONG_VALIDITY:
        return key_given || op == SIM_OP_ORDER_PKCS12;
    case SIM_FAULT_DUPLICATE:
        return order && op != SIM_OP_REISSUE;
    case SIM_FAULT_PENDING:
    case SIM_FAULT_OTHER_ID:
        return order;
    case SIM_FAULT_OTHER_ORDER:
        return key_given;
    case SIM_FAULT_WRONG_PIN:
    case SIM_FAULT_SPOILT_P12:
    case SIM_FAULT_NO_P12:
        return op == SIM_OP_ORDER_PKCS12;
    default:
        return true;
    }
}

static bool
sim_fault_type(struct sim_fault *fault, const char *name)
{
    for (size_t i = 0; name && i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(types[i].name, name) == 0) {
            fault->name = types[i].name;
            fault->kind = types[i].kind;
            fault->stage = types[i].stage;
            fault->code = types[i].code;
            return true;
        }
    }
    return false;
}

/* Whom it may strike. */
static bool
sim_fault_aim(struct sim_fault *fault, const json_t *spec, const char **problem)
{
    const char *operation = json_string_value(json_object_get(spec, "operation"));
    const char *cn = json_string_value(json_object_get(spec, "cn"));
    const char *profile = json_string_value(json_object_get(spec, "profile"));
    enum sim_op op = operation ? sim_op_find(operation) : SIM_OP_NONE;
    bool any = !operation || strcmp(operation, "*") == 0;
    *problem = "no such operation";
    if (!any && op == SIM_OP_NONE) {
        return false;
    }
    *problem = "this fault strikes connections: it knows no operation, cn or profile";
    if (fault->stage == SIM_STAGE_ACCEPT && (!any || cn || profile)) {
        return false;
    }
    *problem = "this fault has nothing to strike in that operation";
    if (!any && !sim_fault_fits(fault, op)) {
        return false;
    }
    sim_put(fault->operation, sizeof(fault->operation), any ? "*" : operation);
    sim_put(fault->profile, sizeof(fault->profile), profile);
    fault->cn = sim_copy(cn);
    return true;
}

static bool
sim_fault_fill(struct sim_fault *fault, const json_t *spec, const char **problem)
{
    const json_t *probability = json_object_get(spec, "probability");
    int64_t now = sim_real_ms();
    if (!sim_members_check(spec, members, sizeof(members) / sizeof(members[0]), problem)) {
        return false;
    }
    *problem = "no such fault";
    if (!sim_fault_type(fault, json_string_value(json_object_get(spec, "fault")))) {
        return false;
    }
    fault->code = (int)sim_spec_number(spec, "code", fault->code);
    *problem = "code: an HTTP status from 200 to 599 is expected";
    if (fault->kind == SIM_FAULT_HTTP_STATUS && fault->code < HTTP_MIN) {
        return false;
    }
    if (!sim_fault_aim(fault, spec, problem)) {
        return false;
    }
    fault->count = sim_spec_number(spec, "count", -1);
    fault->skip = sim_spec_number(spec, "skip", 0);
    fault->delay_ms = sim_spec_number(spec, "delay_ms", -1);
    fault->retry_after_s = sim_spec_number(spec, "retry_after_s", -1);
    fault->success_code = (int)sim_spec_number(spec, "success_code", 1);
    fault->from_ms = now + sim_spec_number(spec, "after_ms", 0);
    fault->until_ms = INT64_MAX;
    if (json_object_get(spec, "for_ms")) {
        fault->until_ms = fault->from_ms + sim_spec_number(spec, "for_ms", 0);
    }
    fault->probability = probability ? json_number_value(probability) : 1.0;
    sim_put(fault->field, sizeof(fault->field), json_string_value(json_object_get(spec, "field")));
    sim_fault_record(fault, json_object_get(spec, "record"));
    return true;
}

long
sim_faults_add(struct sim_faults *faults, const json_t *spec, const char **problem)
{
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

void
sim_faults_help(void)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        printf("  %-20s %s\n", types[i].name, types[i].help);
    }
}

json_t *
sim_faults_json(const struct sim_faults *faults)
{
    json_t *list = json_array();
    for (const struct sim_fault *fault = faults->first; fault; fault = fault->next) {
        json_t *item = json_pack(
            "{s:I,s:s,s:s,s:I,s:I,s:f,s:I,s:I,s:i,s:I}", "id", (json_int_t)fault->id, "fault",
            fault->name, "operation", fault->operation, "count", (json_int_t)fault->count, "skip",
            (json_int_t)fault->skip, "probability", fault->probability, "delay_ms",
            (json_int_t)fault->delay_ms, "retry_after_s", (json_int_t)fault->retry_after_s, "code",
            fault->code, "hits", (json_int_t)fault->hits);
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
    int64_t now = sim_real_ms();
    if ((fault->stage == SIM_STAGE_ACCEPT) != accept || fault->count == 0 || now < fault->from_ms ||
        now >= fault->until_ms) {
        return false;
    }
    if (accept) {
        return true; /* nothing of the call is known yet */
    }
    return (strcmp(fault->operation, "*") == 0 ? sim_fault_fits(fault, sim_op_find(operation))
                                               : strcmp(fault->operation, operation) == 0) &&
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
