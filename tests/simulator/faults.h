/*
 * Faults on demand: which call meets which misbehaviour, how often. It only chooses; the doing is
 * the call's.
 */
#pragma once

#include "ops.h"

#include <jansson.h>
#include <stdint.h>

enum sim_fault_kind {
    SIM_FAULT_NONE,
    SIM_FAULT_TLS_STALL,
    SIM_FAULT_CONNECTION_DROP,
    SIM_FAULT_CLOSE_BEFORE,
    SIM_FAULT_CLOSE_AFTER,
    SIM_FAULT_ACCEPT_DROP,
    SIM_FAULT_HOLD,
    SIM_FAULT_RESET,
    SIM_FAULT_RESET_AFTER,
    SIM_FAULT_STATUS_LINE,
    SIM_FAULT_TRUNCATED,
    SIM_FAULT_HALF_BODY,
    SIM_FAULT_EMPTY_BODY,
    SIM_FAULT_HTML,
    SIM_FAULT_HTTP_429,
    SIM_FAULT_HTTP_503,
    SIM_FAULT_HTTP_STATUS,
    SIM_FAULT_REDIRECT,
    SIM_FAULT_SLOW,
    SIM_FAULT_SLOW_BODY,
    SIM_FAULT_LATE_VIEW,
    SIM_FAULT_WARNING,
    SIM_FAULT_PENDING,
    SIM_FAULT_SOAP_CLIENT,
    SIM_FAULT_SOAP_SERVER,
    SIM_FAULT_ERROR,
    SIM_FAULT_WRONG_KEY,
    SIM_FAULT_WRONG_NAME,
    SIM_FAULT_WRONG_CHAIN,
    SIM_FAULT_WRONG_EKU,
    SIM_FAULT_WRONG_VALIDITY,
    SIM_FAULT_DUPLICATE,
    SIM_FAULT_WRONG_PIN,
    SIM_FAULT_SPOILT_P12,
    SIM_FAULT_NO_P12,
    SIM_FAULT_OTHER_ID,
    SIM_FAULT_OTHER_ORDER,
};

/* Where in a call's life it strikes. */
enum sim_fault_stage {
    SIM_STAGE_ACCEPT, /* before TLS */
    SIM_STAGE_BEFORE, /* instead of the business; nothing is recorded */
    SIM_STAGE_RECORD, /* right after the order is recorded, before its order time */
    SIM_STAGE_ISSUE,  /* changes what is done */
    SIM_STAGE_REPLY,  /* changes the answer, at its time */
};

struct sim_fault {
    long id;
    const char *name; /* static */
    enum sim_fault_kind kind;
    enum sim_fault_stage stage;
    char operation[32]; /* "*": any */
    char profile[32];   /* "": any */
    char *cn;           /* exact; NULL: any */
    int64_t count;      /* left; -1: without end */
    int64_t skip;       /* matching calls still let pass */
    double probability;
    int64_t delay_ms;          /* -1: not said */
    int64_t retry_after_s;     /* -1: not said */
    int64_t from_ms, until_ms; /* of the host's clock: it strikes in between only */
    int code;
    int success_code;
    char field[64];
    uint64_t hits;
    struct sim_fault *next;
};

struct sim_faults {
    struct sim_fault *first;
    long last_id;
};

void sim_faults_clear(struct sim_faults *faults);
bool sim_faults_remove(struct sim_faults *faults, long id);

/* Adds one from JSON. 0: *problem says what is wrong. */
long sim_faults_add(struct sim_faults *faults, const json_t *spec, const char **problem);
json_t *sim_faults_json(const struct sim_faults *faults);

/* One line for each fault, for --help. */
void sim_faults_help(void);

/* The first that strikes this call (accept: this connection), counted. The copy's cn is NULL. */
struct sim_fault sim_faults_pick(struct sim_faults *faults, bool accept, const char *operation,
                                 const char *cn, const char *profile);
