/*
 * GlobalSign's error numbers as data. They are matched by number, never by text. No list of EPKI's
 * own was to be had: the numbers are those of the account platform that all of GlobalSign's SOAP
 * services share, as its clients and recorded traffic know them.
 */
#include <string.h>

#include "ca_private.h"

#define ROW(c, order, other, problem) {(c), EW_CA_##order, EW_CA_##other, (problem)}

static const struct ew_ca_code codes[] = {
    /* Something failed inside: an order may have been made before that. */
    ROW(-1, UNKNOWN, TRY_LATER, "ca-internal"), /* also for an order id it cannot read */
    ROW(-201, UNKNOWN, TRY_LATER, "ca-internal"),
    ROW(-300, UNKNOWN, TRY_LATER, "ca-internal"),
    ROW(-301, UNKNOWN, TRY_LATER, "ca-internal"),
    ROW(-9942, UNKNOWN, TRY_LATER, "ca-internal"),
    ROW(-9943, UNKNOWN, TRY_LATER, "ca-internal"), /* could not issue, or has changed already */
    ROW(-9100, UNKNOWN, TRY_LATER, "ca-internal"),
    /* Warnings: the order exists. */
    ROW(-2001, OK, TRY_LATER, "ca-mail-not-sent"),
    ROW(-5001, OK, TRY_LATER, "ca-name-check"),
    ROW(-6035, OK, TRY_LATER, "ca-validity-warning"),
    /* The request is wrong. */
    ROW(-101, REJECTED, REJECTED, "ca-parameter"),
    ROW(-102, REJECTED, REJECTED, "ca-parameter-missing"),
    ROW(-109, REJECTED, REJECTED, "ca-parameter-missing"),
    ROW(-103, REJECTED, REJECTED, "ca-parameter-length"),
    ROW(-104, REJECTED, REJECTED, "ca-parameter-format"),
    ROW(-105, REJECTED, REJECTED, "ca-parameter-combination"),
    ROW(-4006, REJECTED, REJECTED, "ca-csr"),
    ROW(-4007, REJECTED, REJECTED, "ca-csr"),
    ROW(-6002, REJECTED, REJECTED, "ca-certificate"),
    ROW(-6017, REJECTED, REJECTED, "ca-name"),
    ROW(-6018, REJECTED, REJECTED, "ca-name"),
    ROW(-6021, REJECTED, REJECTED, "ca-name"),
    ROW(-9101, REJECTED, REJECTED, "ca-name"),
    ROW(-9978, REJECTED, REJECTED, "ca-name"), /* a warning when a certificate came with it */
    ROW(-9933, REJECTED, REJECTED, "ca-validity"),
    ROW(-9949, REJECTED, REJECTED, "ca-validity"),
    ROW(-9936, REJECTED, REJECTED, "ca-key"),
    ROW(-9940, REJECTED, REJECTED, "ca-key"), /* or a date in the past */
    ROW(-9961, REJECTED, REJECTED, "ca-key"),
    ROW(-9962, REJECTED, REJECTED, "ca-key"),
    ROW(-9964, REJECTED, REJECTED, "ca-key"),
    /* Perhaps our own order that we lost sight of. */
    ROW(-6007, KEY_USED, REJECTED, "ca-key-used"),
    ROW(-4004, KEY_USED, REJECTED, "ca-order-exists"),
    /* The account. */
    ROW(-4001, ACCOUNT, ACCOUNT, "ca-login"),
    ROW(-4201, ACCOUNT, ACCOUNT, "ca-address"),
    ROW(-9200, ACCOUNT, ACCOUNT, "ca-permission"),
    ROW(-9403, ACCOUNT, ACCOUNT, "ca-permission"),
    ROW(-9939, ACCOUNT, ACCOUNT, "ca-account-locked"),
    /* Refused by rule. */
    ROW(-9025, REJECTED, REJECTED, "ca-refused"),
    ROW(-4005, REJECTED, REJECTED, "ca-refused"),
    ROW(-4008, REJECTED, REJECTED, "ca-refused"),
    ROW(-6102, REJECTED, REJECTED, "ca-refused"),
    ROW(-4083, REJECTED, REJECTED, "ca-profile"),
    ROW(-9401, REJECTED, REJECTED, "ca-profile"),
    ROW(-9404, REJECTED, REJECTED, "ca-profile"),
    ROW(-9430, REJECTED, REJECTED, "ca-profile"),
    ROW(-9440, REJECTED, REJECTED, "ca-profile"),
    ROW(-9443, REJECTED, REJECTED, "ca-profile"),
    ROW(-9444, REJECTED, REJECTED, "ca-profile"),
    ROW(-9445, REJECTED, REJECTED, "ca-profile"),
    ROW(-9450, REJECTED, REJECTED, "ca-profile"),
    ROW(-9901, REJECTED, REJECTED, "ca-product"),
    ROW(-9934, REJECTED, REJECTED, "ca-name-banned"),
    ROW(-9952, REJECTED, REJECTED, "ca-name-banned"),
    ROW(-9953, REJECTED, REJECTED, "ca-name-banned"),
    ROW(-9971, REJECTED, REJECTED, "ca-name-banned"),
    /* Nothing left to order with. */
    ROW(-6101, LICENCE, TRY_LATER, "ca-licence"),
    ROW(-9911, LICENCE, TRY_LATER, "ca-licence"),
    ROW(-9912, LICENCE, TRY_LATER, "ca-licence"),
    /* Order ids. */
    ROW(-4003, REJECTED, NOT_FOUND, "ca-not-found"),
    ROW(-9916, REJECTED, NOT_FOUND, "ca-not-found"),
    ROW(-9902, REJECTED, NOT_FOUND, "ca-not-found"), /* another account's */
    ROW(-9915, REJECTED, ALREADY, "ca-already"),
    ROW(-9938, REJECTED, ALREADY, "ca-already"),
    ROW(-4016, REJECTED, ALREADY, "ca-already"),
};

static const struct ew_ca_code unknown = ROW(0, REJECTED, TRY_LATER, "ca-unknown-code");

const struct ew_ca_code *
ew_ca_code_find(int code)
{
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (codes[i].code == code)
            return &codes[i];
    return &unknown;
}

enum ew_ca_class
ew_ca_code_class(int code, bool is_order)
{
    const struct ew_ca_code *row = ew_ca_code_find(code);

    return is_order ? row->on_order : row->on_other;
}

enum ew_fault
ew_ca_check_hold_code(int code, struct ew_err *err)
{
    enum ew_ca_class cls = ew_ca_code_class(code, true);

    if (cls == EW_CA_REJECTED || cls == EW_CA_LICENCE)
        return EW_OK;
    return ew_fail_field(err, EW_HALT, "ca-hold-codes", "hold_codes",
                         "Leave it out: such an order is looked for, or the account is paused; "
                         "only what surely created nothing may be ordered again.",
                         "%d may leave an order, or stands for the account", code);
}

int
ew_ca_class_rank(enum ew_ca_class cls)
{
    static const int ranks[] = {
        [EW_CA_ACCOUNT] = 9,  [EW_CA_KEY_USED] = 8,  [EW_CA_REJECTED] = 7, [EW_CA_LICENCE] = 6,
        [EW_CA_ALREADY] = 5,  [EW_CA_NOT_FOUND] = 4, [EW_CA_UNKNOWN] = 3,  [EW_CA_TRY_LATER] = 2,
        [EW_CA_NOT_SENT] = 1, [EW_CA_PENDING] = 1,   [EW_CA_OK] = 1,
    };

    return ranks[cls];
}

const char *
ew_ca_class_name(enum ew_ca_class cls)
{
    static const char *const names[] = {
        [EW_CA_OK] = "ok",
        [EW_CA_PENDING] = "pending",
        [EW_CA_NOT_SENT] = "not-sent",
        [EW_CA_UNKNOWN] = "unknown",
        [EW_CA_KEY_USED] = "key-used",
        [EW_CA_REJECTED] = "rejected",
        [EW_CA_LICENCE] = "licence",
        [EW_CA_ACCOUNT] = "account",
        [EW_CA_ALREADY] = "already",
        [EW_CA_NOT_FOUND] = "not-found",
        [EW_CA_TRY_LATER] = "try-later",
    };

    if ((size_t)cls >= sizeof(names) / sizeof(names[0]))
        return "?";
    return names[cls];
}

/* How Apache CXF refuses a request that it could not take apart or find an operation for. With
 * "Server" a text may have been passed on from behind the business code, so the code must fit too.
 */
static const struct {
    const char *code, *start;
} refusals[] = {
    {"Client", "Unmarshalling Error:"},
    {"Client", "Message part "}, /* ... was not recognized: no such operation */
    {"Client", "Unexpected wrapper element "},
    {"Client", "Unexpected element "},
    {"Client", "Error reading XMLStreamReader"},
    {"Client", "Received event DTD"},
    {"Server", "The given SOAPAction "}, /* ... does not match an operation */
    {"MustUnderstand", "MustUnderstand headers:"},
    {"VersionMismatch", ""},
};

bool
ew_ca_fault_is_refusal(const struct ew_soap_fault *fault)
{
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
        if (strcmp(fault->code, refusals[i].code) == 0 &&
            strncmp(fault->text, refusals[i].start, strlen(refusals[i].start)) == 0)
            return true;
    return false;
}
