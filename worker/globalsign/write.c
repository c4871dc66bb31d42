/*
 * The bodies of the seven requests, elements in the order of the schema.
 */
#include "ca_private.h"

#include "base/clock.h"

static void
begin(struct ew_soap_writer *w, struct ew_buf *out, const struct ew_ca_login *login,
      const char *operation, const char *header)
{
    ew_soap_begin(w, out, EW_CA_NAMESPACE, operation);
    ew_soap_open(w, "Request");
    ew_soap_open(w, header);
    ew_soap_open(w, "AuthToken");
    ew_soap_text(w, "UserName", login->user);
    ew_soap_text(w, "Password", login->password);
    ew_soap_close(w);
    ew_soap_close(w);
}

static enum ew_fault
end(struct ew_soap_writer *w, struct ew_err *err)
{
    ew_soap_close(w);
    return ew_soap_end(w, err);
}

/* Where each element of an order stands. What is not set is not sent: the later elements are
 * fatal on a server that does not know them. Move a row if a server wants it elsewhere. */
enum slot_kind { SLOT_TEXT, SLOT_LINES_IF_SET, SLOT_INT, SLOT_IF_TRUE, SLOT_IF_SET, SLOT_NAMES };

#define SLOT(element, kind, member)                                                                \
    {(element), (kind), offsetof(struct ew_ca_order_request, member)}

static const struct slot {
    const char *element;
    enum slot_kind kind;
    size_t offset;
} order_slots[] = {
    SLOT("ProfileID", SLOT_TEXT, profile),
    SLOT("PKCS12PIN", SLOT_IF_SET, pin),
    SLOT("ProductCode", SLOT_TEXT, product),
    SLOT("Year", SLOT_INT, years),
    SLOT("CSR", SLOT_LINES_IF_SET, csr),
    SLOT("EFSOption", SLOT_IF_TRUE, efs),
    SLOT("UPN", SLOT_IF_SET, upn),
    SLOT("SID", SLOT_IF_SET, sid),                         /* since 2023 */
    SLOT("SANRFC822EmailAddress", SLOT_IF_SET, san_email), /* since 2023 */
    SLOT("DnAttributes", SLOT_NAMES, cn),
    SLOT("PickupPassword", SLOT_IF_SET, pickup_password),
};

static void
write_names(struct ew_soap_writer *w, const struct ew_ca_order_request *request)
{
    ew_soap_open(w, "DnAttributes");
    ew_soap_text(w, "CommonName", request->cn);
    for (size_t i = 0; i < request->ou_count; i++)
        ew_soap_text(w, "OrganizationUnit", request->ous[i]);
    ew_soap_text_if(w, "Email", request->email);
    ew_soap_close(w);
}

static void
write_slot(struct ew_soap_writer *w, const struct slot *slot,
           const struct ew_ca_order_request *request)
{
    const void *at = (const char *)request + slot->offset;

    switch (slot->kind) {
    case SLOT_TEXT:
        ew_soap_text(w, slot->element, *(const char *const *)at);
        break;
    case SLOT_LINES_IF_SET:
        if (*(const char *const *)at != NULL)
            ew_soap_lines(w, slot->element, *(const char *const *)at);
        break;
    case SLOT_INT:
        ew_soap_int(w, slot->element, *(const int *)at);
        break;
    case SLOT_IF_TRUE:
        if (*(const bool *)at)
            ew_soap_true(w, slot->element);
        break;
    case SLOT_IF_SET:
        ew_soap_text_if(w, slot->element, *(const char *const *)at);
        break;
    case SLOT_NAMES:
        write_names(w, request);
        break;
    }
}

enum ew_fault
ew_ca_write_order(struct ew_buf *out, const struct ew_ca_login *login,
                  const struct ew_ca_order_request *request, struct ew_err *err)
{
    struct ew_soap_writer w;

    begin(&w, out, login, request->csr == NULL ? "OrderPkcs12" : "OrderAndIssueCertificate",
          "OrderRequestHeader");
    for (size_t i = 0; i < sizeof(order_slots) / sizeof(order_slots[0]); i++)
        write_slot(&w, &order_slots[i], request);
    return end(&w, err);
}

static void
write_return_options(struct ew_soap_writer *w, const char *name)
{
    ew_soap_open(w, name);
    ew_soap_true(w, "ReturnCertificateInfo");
    ew_soap_true(w, "ReturnFulfillment");
    ew_soap_close(w);
}

static void
write_date(struct ew_soap_writer *w, const char *name, int64_t ms)
{
    char text[EW_TIME_TEXT];

    if (ms <= 0)
        return;
    ew_time_format(ms, text);
    ew_soap_text(w, name, text);
}

enum ew_fault
ew_ca_write_get_orders(struct ew_buf *out, const struct ew_ca_login *login, const char *profile,
                       const char *cn, int64_t from_ms, int64_t to_ms, struct ew_err *err)
{
    struct ew_soap_writer w;

    begin(&w, out, login, "GetOrders", "QueryRequestHeader");
    ew_soap_open(&w, "OrderQueryParam");
    ew_soap_text_if(&w, "ProfileOrderNo", profile);
    write_date(&w, "RequestDateFrom", from_ms);
    write_date(&w, "RequestDateTo", to_ms);
    ew_soap_text_if(&w, "CommonName", cn);
    ew_soap_close(&w);
    write_return_options(&w, "OrdersQueryOption");
    return end(&w, err);
}

enum ew_fault
ew_ca_write_get_order(struct ew_buf *out, const struct ew_ca_login *login, const char *order_id,
                      struct ew_err *err)
{
    struct ew_soap_writer w;

    begin(&w, out, login, "GetOrderByOrderId", "QueryRequestHeader");
    ew_soap_text(&w, "OrderNo", order_id);
    write_return_options(&w, "OrderQueryOption");
    return end(&w, err);
}

enum ew_fault
ew_ca_write_get_profiles(struct ew_buf *out, const struct ew_ca_login *login, const char *profile,
                         struct ew_err *err)
{
    struct ew_soap_writer w;

    begin(&w, out, login, "GetProfiles", "QueryRequestHeader");
    if (profile && *profile) {
        ew_soap_open(&w, "ProfileQueryParam");
        ew_soap_text(&w, "ProfileOrderNo", profile);
        ew_soap_close(&w);
    }
    return end(&w, err);
}

enum ew_fault
ew_ca_write_end(struct ew_buf *out, const struct ew_ca_login *login, enum ew_ca_verb verb,
                const char *order_id, struct ew_err *err)
{
    struct ew_soap_writer w;

    begin(&w, out, login, verb == EW_CA_CANCEL ? "Cancel" : "Revoke", "OrderRequestHeader");
    ew_soap_text(&w, "OrderID", order_id);
    return end(&w, err);
}
