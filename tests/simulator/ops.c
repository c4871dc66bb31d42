/*
 * Tables: operations, error texts. The texts are our own words; clients match on the number.
 */
#include "ops.h"

#include "buf.h"

#include <string.h>

#define ORDER_HEADERS "OrderRequestHeader", "OrderResponseHeader"
#define QUERY_HEADERS "QueryRequestHeader", "QueryResponseHeader"

static const struct sim_op_info infos[SIM_OPS] = {
    [SIM_OP_NONE] = {"unknown", SIM_KIND_QUERY, QUERY_HEADERS, NULL, NULL},
    [SIM_OP_GET_PROFILES] = {"GetProfiles", SIM_KIND_QUERY, QUERY_HEADERS, NULL,
                             "ProfileQueryParam.ProfileOrderNo"},
    [SIM_OP_ORDER_PKCS12] = {"OrderPkcs12", SIM_KIND_ORDER, ORDER_HEADERS, "OrderID", "ProfileID"},
    [SIM_OP_ORDER_AND_ISSUE] = {"OrderAndIssueCertificate", SIM_KIND_ORDER, ORDER_HEADERS,
                                "OrderID", "ProfileID"},
    [SIM_OP_ORDER_CERTIFICATE] = {"OrderCertificate", SIM_KIND_ORDER, ORDER_HEADERS, "OrderID",
                                  "ProfileID"},
    [SIM_OP_CANCEL] = {"Cancel", SIM_KIND_CHANGE, ORDER_HEADERS, "OrderID", NULL},
    [SIM_OP_REVOKE] = {"Revoke", SIM_KIND_CHANGE, "OrderRequestHeader", "orderResponseHeader",
                       "orderNo", NULL},
    [SIM_OP_ORDER_DS] = {"OrderDS", SIM_KIND_ORDER, ORDER_HEADERS, "OrderID", "ProfileOrderNo"},
    [SIM_OP_GET_ORDERS] = {"GetOrders", SIM_KIND_QUERY, QUERY_HEADERS, NULL,
                           "OrderQueryParam.ProfileOrderNo"},
    [SIM_OP_GET_ORDER] = {"GetOrderByOrderId", SIM_KIND_QUERY, QUERY_HEADERS, "OrderNo", NULL},
    [SIM_OP_REISSUE] = {"Reissue", SIM_KIND_ORDER, ORDER_HEADERS, "OrderID", NULL},
};

const struct sim_op_info *
sim_op_info(enum sim_op op)
{
    return &infos[op];
}

enum sim_op
sim_op_find(const char *name)
{
    for (enum sim_op op = SIM_OP_GET_PROFILES; op < SIM_OPS; op++) {
        if (strcmp(infos[op].name, name) == 0) {
            return op;
        }
    }
    return SIM_OP_NONE;
}

void
sim_errors_add(struct sim_errors *errors, int code, const char *field)
{
    if (errors->count == SIM_ERRORS_MAX) {
        return;
    }
    struct sim_error *error = &errors->item[errors->count++];
    error->code = code;
    sim_put(error->field, sizeof(error->field), field);
}

const char *
sim_error_text(int code)
{
    static const struct {
        int code;
        const char *text;
    } texts[] = {
        {-1, "Internal system error. Please execute again."},
        {-101, "Invalid parameter entered."},
        {-102, "An essential parameter is missing."},
        {-103, "The parameter is too long or not one of the known values."},
        {-104, "The format of the parameter is invalid."},
        {-105, "The combination of parameters is invalid."},
        {-4001, "Login failed: user id or password is wrong."},
        {-4003, "The specified order id does not exist."},
        {-4005, "The operation is not possible in the present state."},
        {-4006, "The CSR is not acceptable."},
        {-4007, "The CSR cannot be parsed."},
        {-4016, "The order has already been reissued."},
        {-4201, "The IP address is not registered for this API."},
        {-5001, "The common name is held for a phishing check."},
        {-6007, "The public key of the CSR has been used previously."},
        {-6101, "The balance is not sufficient."},
        {-9401, "The profile does not exist or does not belong to this account."},
        {-9901, "The product is not available for this profile."},
        {-9902, "No permission for the specified order id."},
        {-9915, "The order has already been cancelled."},
        {-9933, "The requested validity is too long."},
        {-9936, "The key is too short or weak."},
        {-9938, "The state of the certificate has already been changed."},
        {-9939, "The account is invalid, stopped or locked."},
        {-9940, "The key belongs to a revoked certificate."},
        {-9961, "The curve of the key is not supported."},
        {-9962, "Compressed points are not supported."},
        {-9964, "The algorithm of the key is not supported."},
        {-9978, "The common name contains an unusual character."},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (texts[i].code == code) {
            return texts[i].text;
        }
    }
    return "The request was refused.";
}
