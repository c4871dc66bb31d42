/*
 * Replies of the CA: first byte the verb, second HTTP status and policy, the rest the body.
 * Whatever comes, an order counts as done, pending or refused only with the proof that this needs;
 * and a reply cut short says the same or nothing.
 */
#include <string.h>

#include "ca_private.h"
#include "fuzz.h"
#include "read_private.h"

static const char ASKED[] = "CEPS260302000124";

/* --- the document --- */

static size_t
count_elements(const xmlNode *node, int depth)
{
    size_t count = 0;

    for (; node != NULL; node = node->next) {
        MUST(node->type == XML_ELEMENT_NODE || node->type == XML_TEXT_NODE);
        if (node->type == XML_ELEMENT_NODE)
            count += 1 + count_elements(node->children, depth + 1);
    }
    MUST(count == 0 || depth <= EW_MAX_SOAP_DEPTH);
    return count;
}

static void
check_document(const void *data, size_t len)
{
    static const char *const problems[] = {"soap-empty", "soap-html",      "soap-dtd",
                                           "soap-limit", "soap-malformed", "soap-envelope"};
    struct ew_soap_doc *doc = NULL;
    struct ew_err err = {.fault = EW_OK};
    bool known = false;

    if (ew_soap_read(data, len, &doc, &err) != EW_OK) {
        for (size_t i = 0; i < sizeof(problems) / sizeof(problems[0]); i++)
            known = known || strcmp(err.problem, problems[i]) == 0;
        MUST(doc == NULL && err.fault == EW_REJECT && known);
        return;
    }
    MUST(doc->xml->intSubset == NULL && doc->xml->extSubset == NULL);
    MUST(count_elements(xmlDocGetRootElement(doc->xml), 1) <= EW_MAX_SOAP_ELEMENTS);
    MUST(ew_soap_name(ew_soap_answer(doc))[0] != '\0');
    ew_soap_free(doc);
}

/* --- the meaning --- */

static bool
good_id(const char *id)
{
    size_t len = strlen(id);

    for (size_t i = 0; i < len; i++)
        if (id[i] < '!' || id[i] > '~')
            return false;
    return len >= 1 && len <= EW_MAX_ORDER_ID;
}

static void
check_order(const struct ew_ca_reply *reply, bool with_key)
{
    const char *issue = with_key ? reply->pkcs12 : reply->certificate;
    bool done = reply->cls == EW_CA_OK || reply->cls == EW_CA_PENDING;

    MUST(reply->cls != EW_CA_ALREADY && reply->cls != EW_CA_NOT_FOUND &&
         reply->cls != EW_CA_TRY_LATER);
    MUST(reply->orders == NULL && reply->profiles == NULL);
    MUST(reply->cls != EW_CA_NOT_SENT || reply->http_status == 429);
    if (done) {
        MUST(reply->http_status == 200 && good_id(reply->order_id));
        MUST((reply->cls == EW_CA_OK) == (issue[0] != '\0'));
        MUST((with_key ? reply->certificate : reply->pkcs12)[0] == '\0');
    } else {
        MUST(reply->order_id[0] == '\0' && reply->certificate[0] == '\0' &&
             reply->pkcs12[0] == '\0');
        MUST(reply->problem != NULL);
    }
}

static void
check_other(const struct ew_ca_reply *reply, enum ew_ca_verb verb)
{
    MUST(reply->cls != EW_CA_UNKNOWN && reply->cls != EW_CA_PENDING &&
         reply->cls != EW_CA_NOT_SENT && reply->cls != EW_CA_KEY_USED);
    MUST(reply->cls == EW_CA_OK || (reply->order_count == 0 && reply->profile_count == 0));
    MUST(reply->cls == EW_CA_OK || reply->problem != NULL);
    if (reply->cls != EW_CA_OK)
        return;
    for (size_t i = 0; i < reply->order_count; i++)
        MUST(good_id(reply->orders[i].order_id) && reply->orders[i].certificate != NULL &&
             reply->orders[i].cn != NULL);
    if (verb == EW_CA_GET_ORDERS)
        MUST(reply->capped || reply->order_count < EW_CA_CAP);
    else if (verb == EW_CA_GET_ORDER)
        MUST(reply->order_count == 1 && strcmp(reply->orders[0].order_id, ASKED) == 0);
    else if (verb == EW_CA_GET_PROFILES)
        MUST(reply->profiles != NULL && reply->profile_count <= EW_MAX_ENTRIES);
    else
        MUST(reply->order_id[0] == '\0' || strcmp(reply->order_id, ASKED) == 0);
}

struct call {
    enum ew_ca_verb verb;
    struct ew_ca_policy policy;
    int status;
};

static void
read_reply(struct ew_ca_reading *reading, struct ew_http_result *result, const struct call *call,
           const uint8_t *data, size_t len)
{
    *result = (struct ew_http_result){.gate_passed = true,
                                      .status = call->status,
                                      .complete = true,
                                      .content_type = "text/xml",
                                      .detail = ""};
    ew_buf_init(&result->body, EW_MAX_REPLY);
    ew_buf_put(&result->body, data, len);
    ew_ca_read(reading, &call->policy, call->verb, ASKED, result);
}

static void
drop(struct ew_ca_reading *reading, struct ew_http_result *result)
{
    ew_ca_reading_deinit(reading);
    ew_buf_deinit(&result->body);
}

/* Cut somewhere: unproven, or only what does not count was cut off. */
static void
check_cut(const struct call *call, const struct ew_ca_reply *whole, const uint8_t *data, size_t len)
{
    struct ew_ca_reading reading;
    struct ew_http_result result;
    struct ew_soap_doc *doc = NULL;

    read_reply(&reading, &result, call, data, len);
    if (ew_soap_read(data, len, &doc, NULL) != EW_OK) {
        MUST(reading.reply.cls == EW_CA_UNKNOWN || reading.reply.cls == EW_CA_TRY_LATER ||
             reading.reply.cls == EW_CA_NOT_SENT);
    } else if (whole->problem == NULL) {
        MUST(reading.reply.cls == whole->cls && reading.reply.code == whole->code);
        MUST(strcmp(reading.reply.order_id, whole->order_id) == 0);
    }
    ew_soap_free(doc);
    drop(&reading, &result);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int statuses[] = {200, 200, 200, 200, 500, 400, 429, 503};
    struct fuzz_input input = {data, size};
    struct call call = {.verb = (enum ew_ca_verb)(fuzz_byte(&input) % (EW_CA_ORDER_PKCS12 + 1))};
    uint8_t how = fuzz_byte(&input);
    struct ew_ca_reading reading;
    struct ew_http_result result;

    call.status = statuses[how % 8];
    call.policy.throttle_is_unsent = (how & 8) != 0;
    if ((how & 16) != 0)
        call.policy.hold_codes[call.policy.hold_code_count++] = -9978;
    check_document(input.at, input.left);
    read_reply(&reading, &result, &call, input.at, input.left);
    MUST(reading.reply.gate_passed && reading.reply.http_status == call.status);
    MUST(reading.reply.order_id != NULL && reading.reply.certificate != NULL &&
         reading.reply.field != NULL && reading.reply.message != NULL);
    if (ew_ca_is_order(call.verb))
        check_order(&reading.reply, call.verb == EW_CA_ORDER_PKCS12);
    else
        check_other(&reading.reply, call.verb);
    check_cut(&call, &reading.reply, input.at, input.left / 2);
    if (input.left > 0)
        check_cut(&call, &reading.reply, input.at, input.left - 1);
    drop(&reading, &result);
    return 0;
}
