/*
 * The rules for single fields, as a table: required, length, format. What depends on profile,
 * licence or key is the operations'.
 */
#include "sim.h"

#include <ctype.h>
#include <string.h>

enum { MISSING = -102, INVALID = -101, TOO_LONG = -103, BAD_FORMAT = -104 };

enum sim_format { ANY, NAME, ALNUM, EMAIL, UPN, SID, OID, DIGITS, DATE, PRODUCT };

#define OP(name) (1u << SIM_OP_##name)
#define CSR_ORDERS (OP(ORDER_AND_ISSUE))
#define LINK_ORDERS (OP(ORDER_CERTIFICATE))
#define ORDERS (OP(ORDER_PKCS12) | CSR_ORDERS | LINK_ORDERS)
#define ALL_ORDERS (ORDERS | OP(ORDER_DS))

static const struct sim_rule {
    unsigned ops;
    const char *path;
    bool required;
    size_t min, max; /* characters */
    enum sim_format format;
} rules[] = {
    {ORDERS, "ProfileID", true, 1, 14, ALNUM},
    {OP(ORDER_DS), "ProfileOrderNo", true, 1, 14, ALNUM},
    {ALL_ORDERS, "ProductCode", true, 1, 32, PRODUCT},
    {CSR_ORDERS, "CSR", true, 1, 4000, ANY},
    {OP(ORDER_DS), "CSR", true, 1, 4000, ANY},
    {OP(ORDER_PKCS12), "PKCS12PIN", true, 8, 64, ALNUM},
    {OP(ORDER_DS), "IssueType", false, 1, 32, ANY},
    {ORDERS, "UPN", false, 1, 64, UPN},
    {ORDERS, "SID", false, 1, 64, SID},
    {ORDERS, "SANRFC822EmailAddress", false, 1, 255, EMAIL},
    {ORDERS, "SubscriberEmailAddress", false, 1, 255, EMAIL},
    {ALL_ORDERS, "DnAttributes.CommonName", true, 1, 64, NAME},
    {ALL_ORDERS, "DnAttributes.SurName", false, 1, 64, NAME},
    {ALL_ORDERS, "DnAttributes.GivenName", false, 1, 64, NAME},
    {ALL_ORDERS, "DnAttributes.Pseudonym", false, 1, 64, NAME},
    {ALL_ORDERS & ~LINK_ORDERS, "DnAttributes.Email", false, 1, 255, EMAIL},
    /* The link to the certificate goes there. */
    {LINK_ORDERS, "DnAttributes.Email", true, 1, 255, EMAIL},
    {CSR_ORDERS | OP(ORDER_DS), "PickupPassword", false, 8, 64, ALNUM},
    {LINK_ORDERS | OP(REISSUE), "PickupPassword", true, 8, 64, ALNUM},
    {CSR_ORDERS, "CertificateTemplate.Template", false, 1, 128, OID},
    {CSR_ORDERS, "CertificateTemplate.MajorVersion", false, 1, 9, DIGITS},
    {CSR_ORDERS, "CertificateTemplate.MinorVersion", false, 1, 9, DIGITS},
    {ALL_ORDERS, "EmailLanguage", false, 1, 16, ANY},
    {OP(CANCEL) | OP(REVOKE), "OrderID", true, 1, 64, ANY},
    {OP(REISSUE), "TargetOrderID", true, 1, 64, ANY},
    {OP(GET_ORDER), "OrderNo", true, 1, 64, ANY},
    {OP(GET_ORDERS), "OrderQueryParam.RequestDateFrom", false, 1, 40, DATE},
    {OP(GET_ORDERS), "OrderQueryParam.RequestDateTo", false, 1, 40, DATE},
    {OP(GET_ORDERS), "OrderQueryParam.IssueDateFrom", false, 1, 40, DATE},
    {OP(GET_ORDERS), "OrderQueryParam.IssueDateTo", false, 1, 40, DATE},
    {OP(GET_PROFILES), "ProfileQueryParam.RequestDateFrom", false, 1, 40, DATE},
    {OP(GET_PROFILES), "ProfileQueryParam.RequestDateTo", false, 1, 40, DATE},
    {OP(GET_PROFILES), "ProfileQueryParam.IssueDateFrom", false, 1, 40, DATE},
    {OP(GET_PROFILES), "ProfileQueryParam.IssueDateTo", false, 1, 40, DATE},
};

static const char *const products[] = {"EPKIPSPersonal", "EPKIPSPersonalPro", "EPKIPSDept",
                                       "ePkiSmimeOnly"};

static bool
sim_all(const char *text, int (*is)(int))
{
    for (; *text; text++) {
        if ((unsigned char)*text > 127 || !is((unsigned char)*text)) {
            return false;
        }
    }
    return true;
}

/* One @ with something before it and a domain with a dot behind it; no white space, no control. */
static bool
sim_is_address(const char *text)
{
    const char *at = strchr(text, '@');
    const char *dot = at ? strchr(at + 2 - (at[1] == 0), '.') : NULL;
    return at && at != text && !strchr(at + 1, '@') && dot && dot[1] && sim_all(text, isgraph);
}

static bool
sim_is_name(const char *text, bool ascii_only)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c == 0x7f || (ascii_only && c > 127)) {
            return false;
        }
    }
    return true;
}

static bool
sim_is_oid(const char *text)
{
    ASN1_OBJECT *oid = OBJ_txt2obj(text, 1);
    ASN1_OBJECT_free(oid);
    return oid != NULL && isdigit((unsigned char)*text);
}

static bool
sim_is_product(enum sim_op op, const char *text)
{
    bool known = op == SIM_OP_ORDER_DS; /* its codes are unknown: any will do */
    for (size_t i = 0; i < sizeof(products) / sizeof(products[0]); i++) {
        known = known || strcmp(products[i], text) == 0;
    }
    return known;
}

static bool
sim_format_ok(const struct sim_call *call, enum sim_format format, const char *text)
{
    int64_t ms = 0;
    switch (format) {
    case ANY:
        return true;
    case NAME:
        return sim_is_name(text, call->sim->settings.ascii_only);
    case ALNUM:
        return sim_all(text, isalnum);
    case EMAIL:
        return sim_is_address(text);
    case UPN:
        return strchr(text, '@') && sim_is_name(text, call->sim->settings.ascii_only);
    case SID:
        return strncmp(text, "S-1-", 4) == 0 && strspn(text + 4, "0123456789-") == strlen(text + 4);
    case OID:
        return sim_is_oid(text);
    case DIGITS:
        return sim_all(text, isdigit);
    case DATE:
        return sim_time_parse(text, &ms);
    case PRODUCT:
        return true;
    }
    return false;
}

static size_t
sim_characters(const char *text)
{
    size_t count = 0;
    for (; *text; text++) {
        count += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return count;
}

static void
sim_rule_apply(struct sim_call *call, const struct sim_rule *rule, const char *text)
{
    size_t len = text ? sim_characters(text) : 0;
    int code = 0;
    if (len == 0) {
        code = rule->required ? MISSING : 0;
    } else if (len > rule->max) {
        code = TOO_LONG;
    } else if (len < rule->min || !sim_format_ok(call, rule->format, text)) {
        code = BAD_FORMAT;
    } else if (rule->format == PRODUCT && !sim_is_product(call->op, text)) {
        code = TOO_LONG; /* the code seen for a wrong word in an enumerated field */
    }
    if (code) {
        sim_errors_add(&call->errors, code, rule->path);
    }
}

static void
sim_rules_units(struct sim_call *call)
{
    static const struct sim_rule rule = {0, "DnAttributes.OrganizationUnit", true, 1, 64, NAME};
    for (size_t n = 0; n < 16; n++) {
        const char *text = sim_soap_get_at(&call->soap, rule.path, n);
        if (!text) {
            return;
        }
        if (n >= 3) {
            sim_errors_add(&call->errors, INVALID, rule.path);
            return;
        }
        sim_rule_apply(call, &rule, text);
    }
}

static void
sim_rules_year(struct sim_call *call)
{
    enum { TOO_LONG_VALIDITY = -9933 };
    long years = sim_soap_number(&call->soap, "Year");
    if (years < 1) {
        sim_errors_add(&call->errors, INVALID, "Year");
    } else if (years > 2) {
        sim_errors_add(&call->errors, TOO_LONG_VALIDITY, "Year");
    }
}

void
sim_rules_check(struct sim_call *call)
{
    unsigned op = 1u << call->op;
    if (call->soap.disorder[0] && call->sim->settings.child_order == SIM_CHILDREN_REFUSE) {
        sim_errors_add(&call->errors, INVALID, call->soap.disorder);
    }
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (rules[i].ops & op) {
            sim_rule_apply(call, &rules[i], sim_soap_get(&call->soap, rules[i].path));
        }
    }
    if (op & ALL_ORDERS) {
        sim_rules_year(call);
        sim_rules_units(call);
    }
}
