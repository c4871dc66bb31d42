/*
 * The ten operations of the WSDL, and what a business refusal consists of.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum sim_op {
    SIM_OP_NONE,
    SIM_OP_GET_PROFILES,
    SIM_OP_ORDER_PKCS12,
    SIM_OP_ORDER_AND_ISSUE,
    SIM_OP_ORDER_CERTIFICATE,
    SIM_OP_CANCEL,
    SIM_OP_REVOKE,
    SIM_OP_ORDER_DS,
    SIM_OP_GET_ORDERS,
    SIM_OP_GET_ORDER,
    SIM_OP_REISSUE,
    SIM_OPS,
};

enum sim_op_kind { SIM_KIND_QUERY, SIM_KIND_ORDER, SIM_KIND_CHANGE };

struct sim_op_info {
    const char *name;
    enum sim_op_kind kind;
    const char *auth;    /* element of the request that holds AuthToken */
    const char *header;  /* element of the answer that holds SuccessCode */
    const char *id;      /* element of the answer that names the order; NULL: none */
    const char *profile; /* path of the profile in the request; NULL: none */
};

const struct sim_op_info *sim_op_info(enum sim_op op);
enum sim_op sim_op_find(const char *name);

enum { SIM_ERRORS_MAX = 8 };

struct sim_error {
    int code;
    char field[64]; /* dotted path below Request; "" when it is about no field */
};

/* The refusals of one call, in the order found. */
struct sim_errors {
    size_t count;
    struct sim_error item[SIM_ERRORS_MAX];
};

void sim_errors_add(struct sim_errors *errors, int code, const char *field);

/* The text that goes with a code. */
const char *sim_error_text(int code);
