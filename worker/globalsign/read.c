/*
 * A reply's meaning. An order that may have reached GlobalSign is unknown until a reply says
 * otherwise in a form that proves it: here stands what counts as proof.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "ca_private.h"

static void
judge(struct ew_ca_reading *reading, enum ew_ca_class cls, const char *problem, const char *message)
{
    reading->reply.cls = cls;
    reading->reply.problem = problem;
    reading->reply.message = message ? message : "";
}

/* Nothing proven: an order is unknown, everything else may be asked again. */
static void
judge_unproven(struct ew_ca_reading *reading, enum ew_ca_verb verb, const char *problem,
               const char *message)
{
    judge(reading, ew_ca_is_order(verb) ? EW_CA_UNKNOWN : EW_CA_TRY_LATER, problem, message);
}

/* The rooms below name their problems; to the flow they are the CA's. */
static const char *
ca_problem(const char *problem)
{
    static const struct {
        const char *theirs, *ours;
    } names[] = {
        {"http-dns", "ca-dns"},
        {"http-connect", "ca-connect"},
        {"http-connect-timeout", "ca-connect-timeout"},
        {"http-tls", "ca-tls"},
        {"http-certificate", "ca-tls-certificate"},
        {"http-gate", "ca-gate"},
        {"http-reset", "ca-reset"},
        {"http-timeout", "ca-timeout"},
        {"http-truncated", "ca-truncated"},
        {"http-too-large", "ca-reply-too-large"},
        {"http-protocol", "ca-protocol"},
        {"soap-empty", "ca-empty"},
        {"soap-html", "ca-html"},
        {"soap-dtd", "ca-dtd"},
        {"soap-limit", "ca-reply-too-large"},
        {"soap-malformed", "ca-malformed"},
        {"soap-envelope", "ca-malformed"},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(problem, names[i].theirs) == 0)
            return names[i].ours;
    return "ca-internal-error";
}

/* --- what did not come to a SOAP answer; false = read on --- */
static bool
judge_transport(struct ew_ca_reading *reading, const struct ew_ca_policy *policy,
                enum ew_ca_verb verb, const struct ew_http_result *result)
{
    if (!result->gate_passed) {
        judge(reading, EW_CA_NOT_SENT, ca_problem(result->problem ? result->problem : ""),
              result->detail);
    } else if (result->status == 429) {
        if (ew_ca_is_order(verb) && policy->throttle_is_unsent)
            judge(reading, EW_CA_NOT_SENT, "ca-throttled", "HTTP 429");
        else
            judge_unproven(reading, verb, "ca-throttled", "HTTP 429");
    } else if (verb == EW_CA_GET_ORDERS && result->too_large && result->status == 200) {
        judge(reading, EW_CA_OK, "ca-reply-too-large", "more orders than we read at once");
        reading->reply.capped = true;
    } else if (!result->complete) {
        judge_unproven(reading, verb, ca_problem(result->problem), result->detail);
    } else {
        return false;
    }
    return true;
}

/* SOAP answers come with 200, faults with 500 (400 in SOAP 1.2). */
static bool
judge_status(struct ew_ca_reading *reading, enum ew_ca_verb verb, int status)
{
    if (status == 200 || status == 400 || status == 500)
        return false;
    if (status == 502 || status == 503 || status == 504)
        judge_unproven(reading, verb, "ca-unavailable", "HTTP 502, 503 or 504");
    else if (status >= 300 && status < 400)
        judge_unproven(reading, verb, "ca-redirect", "a redirect, which is not followed");
    else if (status == 401 || status == 403 || status == 407)
        judge_unproven(reading, verb, "ca-forbidden", "refused by HTTP status");
    else
        judge_unproven(reading, verb, "ca-http-status", "an HTTP status that means nothing here");
    return true;
}

static void
judge_fault(struct ew_ca_reading *reading, enum ew_ca_verb verb, const struct ew_soap_fault *fault)
{
    if (ew_ca_fault_is_refusal(fault))
        judge(reading, EW_CA_REJECTED, "ca-request-refused", fault->text);
    else
        judge_unproven(reading, verb, "ca-fault", fault->text);
}

/* --- the header: success code and errors --- */
static const struct ew_soap_node *
find_header(struct ew_soap_doc *doc, const struct ew_soap_node *response)
{
    /* Documented and sent differ: queries are known to answer with the other name. */
    static const char *const names[] = {"OrderResponseHeader", "QueryResponseHeader",
                                        "orderResponseHeader"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const struct ew_soap_node *header = ew_soap_child(doc, response, names[i]);

        if (header)
            return header;
    }
    return NULL;
}

static bool
is_hold_code(const struct ew_ca_policy *policy, int code)
{
    for (size_t i = 0; i < policy->hold_code_count; i++)
        if (policy->hold_codes[i] == code)
            return true;
    return false;
}

/* Class of one code; code 0 is one that is no number. */
static enum ew_ca_class
class_of(const struct ew_ca_policy *policy, enum ew_ca_verb verb, int code)
{
    if (code == 0)
        return ew_ca_is_order(verb) ? EW_CA_UNKNOWN : EW_CA_TRY_LATER;
    if (ew_ca_is_order(verb) && is_hold_code(policy, code))
        return EW_CA_LICENCE;
    return ew_ca_code_class(code, ew_ca_is_order(verb));
}

/* The worst error of the header, into class, code, field and message of the reply. Without any:
 * unproven. */
static void
read_errors(struct ew_ca_reading *reading, const struct ew_ca_policy *policy, enum ew_ca_verb verb,
            const struct ew_soap_node *header)
{
    struct ew_soap_doc *doc = reading->doc;
    const struct ew_soap_node *error = ew_soap_first(ew_soap_child(doc, header, "Errors"), "Error");
    int worst = 0;

    judge_unproven(reading, verb, "ca-no-code", "refused without a code");
    for (; error; error = ew_soap_next(error)) {
        enum ew_ca_class cls;
        int code = 0;

        if (*ew_soap_get(doc, error, "ErrorCode") == '\0' &&
            *ew_soap_get(doc, error, "ErrorMessage") == '\0')
            continue;
        (void)ew_soap_get_int(doc, error, "ErrorCode", &code);
        cls = class_of(policy, verb, code);
        if (ew_ca_class_rank(cls) <= worst)
            continue;
        worst = ew_ca_class_rank(cls);
        judge(reading, cls,
              ew_ca_is_order(verb) && is_hold_code(policy, code) ? "ca-licence"
                                                                 : ew_ca_code_find(code)->problem,
              ew_soap_get(doc, error, "ErrorMessage"));
        reading->reply.code = code;
        reading->reply.field = ew_soap_get(doc, error, "ErrorField");
    }
}

/* An id that may be stored, logged and sent back. */
static bool
is_order_id(const char *text)
{
    size_t len = strlen(text);

    if (len == 0 || len > EW_MAX_ORDER_ID)
        return false;
    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return false;
    return true;
}

/* --- orders --- */
static const char *
first_of(struct ew_soap_doc *doc, const struct ew_soap_node *parent, const char *one,
         const char *other)
{
    const char *text = ew_soap_get(doc, parent, one);

    return *text ? text : ew_soap_get(doc, parent, other);
}

static void
read_order(struct ew_ca_reading *reading, enum ew_ca_verb verb, const struct ew_soap_node *response,
           int success)
{
    struct ew_ca_reply *reply = &reading->reply;
    const char *order_id = ew_soap_get(reading->doc, response, "OrderID");
    bool has_key = verb == EW_CA_ORDER_PKCS12;
    const char *issue = has_key ? first_of(reading->doc, response, "BASE64PKCS12", "PKCS12")
                                : ew_soap_get(reading->doc, response, "CERT");
    bool issued = is_order_id(order_id) && *issue;
    /* Refused, but with what a warning has: GlobalSign's -9978 and the like. */
    bool only_warned = success < 0 && (reply->cls == EW_CA_OK || (reply->code == -9978 && issued));

    if (success < 0 && !only_warned) {
        if (*order_id && reply->cls != EW_CA_KEY_USED)
            judge(reading, EW_CA_UNKNOWN, "ca-refused-with-order", reply->message);
        return;
    }
    /* GlobalSign has been seen to name another operation of the same kind. */
    if (strncmp(ew_soap_name(ew_soap_answer(reading->doc)), "Order", 5) != 0) {
        judge(reading, EW_CA_UNKNOWN, "ca-wrong-answer", "not an answer to an order");
        return;
    }
    if (!is_order_id(order_id)) {
        judge(reading, EW_CA_UNKNOWN, "ca-no-order-id", "success without an order id");
        return;
    }
    reply->warning = success != 0;
    reply->order_id = order_id;
    reply->certificate = has_key ? "" : issue;
    reply->pkcs12 = has_key ? issue : "";
    reply->cls = issued ? EW_CA_OK : EW_CA_PENDING;
}

/* --- queries --- */
/* "2026-03-02T18:04:05.000+00:00"; fractions do not count. */
static int64_t
read_date(const char *text)
{
    struct tm tm = {.tm_isdst = 0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    long east;

    if (rest != NULL && *rest == '.')
        rest += 1 + strspn(rest + 1, "0123456789");
    if (rest == NULL || (*rest != '\0' && strptime(rest, "%z", &tm) == NULL))
        return 0;
    east = tm.tm_gmtoff; /* timegm() takes it for its own */
    return ((int64_t)timegm(&tm) - east) * 1000;
}

static bool
read_detail(struct ew_soap_doc *doc, const struct ew_soap_node *detail, struct ew_ca_order *order)
{
    const struct ew_soap_node *info = ew_soap_child(doc, detail, "OrderInfo");
    const struct ew_soap_node *cert = ew_soap_child(doc, detail, "CrCertificateInfo");
    const struct ew_soap_node *issued =
        ew_soap_child(doc, ew_soap_child(doc, detail, "Fulfillment"), "CrCertificate");

    order->order_id = ew_soap_get(doc, info, "OrderNo");
    order->profile = ew_soap_get(doc, info, "ProfileNo");
    order->product = ew_soap_get(doc, info, "ProductCode");
    order->request_ms = read_date(ew_soap_get(doc, info, "RequestDate"));
    (void)ew_soap_get_int(doc, info, "OrderStatus", &order->order_status);
    (void)ew_soap_get_int(doc, cert, "CertificateStatus", &order->cert_status);
    order->cn = ew_soap_get(doc, cert, "CommonName");
    order->email = ew_soap_get(doc, cert, "Email");
    order->serial = ew_soap_get(doc, cert, "SerialNumber");
    order->certificate = first_of(doc, issued, "Certificate", "PKCS7Cert");
    return is_order_id(order->order_id);
}

static size_t
count_entries(const struct ew_soap_node *list, const char *name)
{
    size_t count = 0;

    for (const struct ew_soap_node *n = ew_soap_first(list, name); n; n = ew_soap_next(n))
        count++;
    return count;
}

/* Zeroed room for the entries of a list; NULL when there are too many. */
static void *
entries_new(struct ew_ca_reading *reading, size_t count, size_t size)
{
    if (count > EW_MAX_ENTRIES)
        return NULL;
    reading->arena = ew_arena_new((count + 1) * size + 64);
    return ew_arena_alloc(reading->arena, (count + 1) * size);
}

static bool
read_orders(struct ew_ca_reading *reading, const struct ew_soap_node *response)
{
    struct ew_soap_doc *doc = reading->doc;
    const struct ew_soap_node *list = ew_soap_child(doc, response, "OrderDetails");
    size_t count = count_entries(list, "OrderDetail"), i = 0;
    struct ew_ca_order *orders = entries_new(reading, count, sizeof(*orders));
    int total = -1;

    if (orders == NULL)
        return false;
    for (const struct ew_soap_node *n = ew_soap_first(list, "OrderDetail"); n; n = ew_soap_next(n))
        if (!read_detail(doc, n, &orders[i++]))
            return false; /* an order that cannot be named might be ours */
    reading->reply.orders = orders;
    reading->reply.order_count = count;
    /* Without a total nothing says that this is all. */
    reading->reply.capped = !ew_soap_get_int(doc, response, "TotalCount", &total) || total < 0 ||
                            (size_t)total > count || count >= EW_CA_CAP;
    return true;
}

static bool
read_one_order(struct ew_ca_reading *reading, const struct ew_soap_node *response,
               const char *asked)
{
    const struct ew_soap_node *detail = ew_soap_child(reading->doc, response, "OrderDetail");
    struct ew_ca_order *order = entries_new(reading, 1, sizeof(*order));

    if (order == NULL || detail == NULL || !read_detail(reading->doc, detail, order) ||
        strcmp(order->order_id, asked) != 0)
        return false;
    reading->reply.orders = order;
    reading->reply.order_count = 1;
    reading->reply.order_id = order->order_id;
    return true;
}

static bool
read_profiles(struct ew_ca_reading *reading, const struct ew_soap_node *response)
{
    struct ew_soap_doc *doc = reading->doc;
    const struct ew_soap_node *list = ew_soap_child(doc, response, "ProfileDetails");
    size_t count = count_entries(list, "ProfileDetail"), i = 0;
    struct ew_ca_profile *profiles = entries_new(reading, count, sizeof(*profiles));

    if (profiles == NULL)
        return false;
    for (const struct ew_soap_node *n = ew_soap_first(list, "ProfileDetail"); n;
         n = ew_soap_next(n)) {
        const struct ew_soap_node *info = ew_soap_child(doc, n, "ProfileInfo");
        const struct ew_soap_node *options = ew_soap_child(doc, n, "ProfileAttributes");
        struct ew_ca_profile *profile = &profiles[i++];

        profile->id = ew_soap_get(doc, info, "ProfileOrderNo");
        profile->state = ew_soap_get(doc, info, "ProfileOrderState");
        profile->organization =
            ew_soap_get(doc, ew_soap_child(doc, n, "ProfileDnAttributes"), "Organization");
        profile->efs = ew_soap_get(doc, options, "EFSOption");
        profile->upn = ew_soap_get(doc, options, "UPN");
    }
    reading->reply.profiles = profiles;
    reading->reply.profile_count = count;
    return true;
}

/* Cancel and revoke repeat the order id, revoke under another name. */
static bool
read_end(struct ew_ca_reading *reading, const struct ew_soap_node *response, const char *asked)
{
    const char *order_id = first_of(reading->doc, response, "OrderID", "orderNo");

    if (*order_id && strcmp(order_id, asked) != 0)
        return false;
    reading->reply.order_id = order_id;
    return true;
}

static void
read_success(struct ew_ca_reading *reading, enum ew_ca_verb verb, const char *asked,
             const struct ew_soap_node *response, int success)
{
    bool fits = false;

    reading->reply.cls = EW_CA_OK;
    reading->reply.warning = success != 0;
    if (verb == EW_CA_GET_ORDERS)
        fits = read_orders(reading, response);
    else if (verb == EW_CA_GET_ORDER)
        fits = read_one_order(reading, response, asked);
    else if (verb == EW_CA_GET_PROFILES)
        fits = read_profiles(reading, response);
    else
        fits = read_end(reading, response, asked);
    if (!fits)
        judge_unproven(reading, verb, "ca-wrong-answer", "not an answer to what was asked");
}

static void
read_business(struct ew_ca_reading *reading, const struct ew_ca_policy *policy,
              enum ew_ca_verb verb, const char *asked)
{
    struct ew_soap_doc *doc = reading->doc;
    const struct ew_soap_node *response = ew_soap_child(doc, ew_soap_answer(doc), "Response");
    const struct ew_soap_node *header = find_header(doc, response);
    int success;

    if (!ew_soap_get_int(doc, header, "SuccessCode", &success)) {
        judge_unproven(reading, verb, "ca-malformed", "an answer without a success code");
        return;
    }
    read_errors(reading, policy, verb, header);
    if (success >= 0 && reading->reply.code == 0)
        judge(reading, EW_CA_OK, NULL, "");
    if (ew_ca_is_order(verb))
        read_order(reading, verb, response, success);
    else if (success >= 0)
        read_success(reading, verb, asked, response, success);
}

/* Nothing of a reply that is not believed may be used. */
static void
forget(struct ew_ca_reply *reply)
{
    reply->order_id = reply->certificate = reply->pkcs12 = reply->field = "";
    reply->orders = NULL;
    reply->profiles = NULL;
    reply->order_count = reply->profile_count = 0;
    reply->code = 0;
    reply->warning = reply->capped = false;
}

static void
read_body(struct ew_ca_reading *reading, const struct ew_ca_policy *policy, enum ew_ca_verb verb,
          const char *asked, const struct ew_http_result *result)
{
    struct ew_soap_fault fault;

    if (ew_soap_read(result->body.data ? (const void *)result->body.data : "", result->body.len,
                     &reading->doc, &reading->err) != EW_OK) {
        judge_unproven(reading, verb, ca_problem(reading->err.problem), reading->err.detail);
        return;
    }
    if (ew_soap_fault(reading->doc, &fault))
        judge_fault(reading, verb, &fault);
    else if (result->status != 200)
        judge_unproven(reading, verb, "ca-http-status", "an answer with an error's HTTP status");
    else
        read_business(reading, policy, verb, asked);
    if (ew_soap_doubtful(reading->doc)) {
        forget(&reading->reply);
        judge_unproven(reading, verb, "ca-malformed", "an answer that says one thing twice");
    }
}

/* These go into events and records, where something as long as a reply would leave no room. */
static void
bound_texts(struct ew_ca_reading *reading)
{
    struct ew_ca_reply *reply = &reading->reply;

    memcpy(reading->message, reply->message, ew_text_fit(reply->message, EW_MAX_ERROR_TEXT));
    memcpy(reading->field, reply->field, ew_text_fit(reply->field, EW_MAX_ERROR_FIELD));
    reply->message = reading->message;
    reply->field = reading->field;
}

void
ew_ca_read(struct ew_ca_reading *reading, const struct ew_ca_policy *policy, enum ew_ca_verb verb,
           const char *asked, const struct ew_http_result *result)
{
    struct ew_ca_reply *reply = &reading->reply;

    *reading = (struct ew_ca_reading){0};
    reply->gate_passed = result->gate_passed;
    reply->http_status = result->status;
    reply->date_ms = result->date_ms;
    reply->retry_after_ms = result->retry_after_ms;
    reply->duration_ms = result->total_ms;
    reply->order_id = reply->certificate = reply->pkcs12 = "";
    reply->field = reply->message = "";
    if (!judge_transport(reading, policy, verb, result) &&
        !judge_status(reading, verb, result->status))
        read_body(reading, policy, verb, asked, result);
    if (reply->cls == EW_CA_UNKNOWN || reply->cls == EW_CA_TRY_LATER) {
        int code = reply->code;
        const char *field = reply->field;

        forget(reply);
        reply->code = code;
        reply->field = field;
    }
    bound_texts(reading);
}

void
ew_ca_reading_deinit(struct ew_ca_reading *reading)
{
    ew_soap_free(reading->doc);
    ew_arena_free(reading->arena);
}
