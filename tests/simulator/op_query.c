/*
 * GetProfiles, GetOrders and GetOrderByOrderId: filters, the cap, and the state as it was
 * view_lag_ms ago.
 */
#include "sim.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DAY_MS ((int64_t)86400000)

static int64_t
sim_view_ms(const struct sim_call *call)
{
    enum { LATE_MS = 5000 };
    int64_t lag = call->sim->settings.view_lag_ms;
    if (call->fault.kind == SIM_FAULT_LATE_VIEW) {
        lag = call->fault.delay_ms >= 0 ? call->fault.delay_ms : LATE_MS;
    }
    return sim_real_ms() - lag;
}

static const char *
sim_filter(struct sim_call *call, const char *group, const char *name)
{
    char path[80];
    (void)snprintf(path, sizeof(path), "%s.%s", group, name);
    const char *text = sim_soap_get(&call->soap, path);
    return text && *text ? text : NULL;
}

/* No filter, or equal. */
static bool
sim_equal(const char *filter, const char *value)
{
    return !filter || strcmp(filter, value) == 0;
}

struct sim_span {
    int64_t from, to;
    bool bounded;
};

static struct sim_span
sim_span_read(struct sim_call *call, const char *group, const char *what)
{
    char name[32];
    struct sim_span span = {INT64_MIN, INT64_MAX, false};
    (void)snprintf(name, sizeof(name), "%sFrom", what);
    const char *from = sim_filter(call, group, name);
    (void)snprintf(name, sizeof(name), "%sTo", what);
    const char *to = sim_filter(call, group, name);
    span.bounded = from || to;
    if (from) {
        sim_time_parse(from, &span.from);
    }
    if (to) {
        sim_time_parse(to, &span.to);
    }
    return span;
}

static bool
sim_span_holds(const struct sim_span *span, int64_t ms)
{
    return !span->bounded || (ms && ms >= span->from && ms <= span->to);
}

/* "An id that nobody could have" is answered otherwise than one that is just unknown. */
static bool
sim_id_malformed(const char *id)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    size_t prefix = strspn(id, letters);
    return prefix < 2 || strspn(id + prefix, "0123456789") != strlen(id + prefix) || !id[prefix];
}

void
sim_query_check(struct sim_call *call)
{
    struct sim *sim = call->sim;
    sim_orders_expire(sim);
    if (call->op != SIM_OP_GET_ORDER) {
        return;
    }
    const char *id = sim_soap_get(&call->soap, "OrderNo");
    call->order = sim_order_find(&sim->orders, id);
    if (call->order && sim_order_status(call->order, sim_view_ms(call)) == 0) {
        call->order = NULL;
    }
    if (!call->order) {
        sim_errors_add(&call->errors,
                       sim_id_malformed(id) ? -1 : (int)sim->settings.unknown_order_code,
                       "OrderNo");
    }
}

struct sim_view {
    const struct sim_order *order;
    int64_t at;
    int status;
    bool issued; /* a certificate can be seen */
};

static struct sim_view
sim_view_of(const struct sim_order *order, int64_t at)
{
    struct sim_view view = {order, at, sim_order_status(order, at), false};
    view.issued = order->cert.der && order->issued.real && order->issued.real <= at &&
                  view.status >= SIM_STATUS_ISSUED && view.status <= SIM_STATUS_REVOKED;
    return view;
}

static int
sim_view_cert_status(const struct sim *sim, const struct sim_view *view)
{
    return view->status == SIM_STATUS_CANCELLED_ISSUED ? (int)sim->settings.cancelled_cert_status
                                                       : view->status;
}

static int64_t
sim_seen(const struct sim_moment *moment, int64_t at)
{
    return moment->real && moment->real <= at ? moment->shown : 0;
}

static void
sim_write_validity(struct sim_answer *answer, int64_t from, int64_t to)
{
    if (!from) {
        sim_answer_text(answer, "ValidityPeriod", NULL);
        return;
    }
    sim_answer_start(answer, "ValidityPeriod");
    sim_answer_date(answer, "NotBefore", from);
    sim_answer_date(answer, "NotAfter", to);
    sim_answer_end(answer, "ValidityPeriod");
}

static void
sim_write_info(struct sim_call *call, struct sim_answer *answer, const struct sim_view *view)
{
    const struct sim_order *order = view->order;
    const char *user = call->sim->settings.username;
    int64_t cancelled = sim_seen(&order->cancelled, view->at);
    int64_t revoking = sim_seen(&order->revoke_requested, view->at);
    sim_answer_start(answer, "OrderInfo");
    sim_answer_text(answer, "OrderNo", order->id);
    sim_answer_number(answer, "OrderStatus", view->status);
    sim_answer_text(answer, "ProductCode", order->product);
    sim_answer_text(answer, "OriginalOrderIDForReIssue", order->reissue_of);
    sim_answer_text(answer, "ProfileNo", order->profile);
    sim_answer_text(answer, "LicenseNo", order->licence);
    sim_answer_date(answer, "RequestDate", order->requested.shown);
    sim_answer_text(answer, "RequestBeforeDate", NULL);
    sim_answer_text(answer, "RequestAfterDate", NULL);
    sim_answer_date(answer, "OrderDate", order->recorded.shown);
    sim_answer_date(answer, "IssueDate", view->issued ? order->issued.shown : 0);
    sim_answer_date(answer, "CancelRequestDate", cancelled);
    sim_answer_text(answer, "CancelRequestUser", cancelled ? user : NULL);
    sim_answer_date(answer, "CancelDate", cancelled);
    sim_answer_date(answer, "RevokeRequestDate", revoking);
    sim_answer_text(answer, "RevokeRequestUser", revoking ? user : NULL);
    sim_answer_date(answer, "RevokeDate", sim_seen(&order->revoked, view->at));
    sim_write_validity(answer, view->issued ? order->cert.not_before_ms : 0,
                       order->cert.not_after_ms);
    sim_answer_end(answer, "OrderInfo");
}

static void
sim_write_units(struct sim_answer *answer, char *const unit[3])
{
    sim_answer_start(answer, "OrganizationUnits");
    for (size_t i = 0; unit && i < 3; i++) {
        if (unit[i]) {
            sim_answer_text(answer, "OrganizationUnit", unit[i]);
        }
    }
    sim_answer_end(answer, "OrganizationUnits");
}

static void
sim_write_certificate(struct sim_call *call, struct sim_answer *answer, const struct sim_view *view)
{
    const struct sim_order *order = view->order;
    const struct sim_profile *profile = sim_profile_find(&call->sim->profiles, order->profile);
    sim_answer_start(answer, "CrCertificateInfo");
    sim_answer_number(answer, "CertificateStatus", sim_view_cert_status(call->sim, view));
    sim_answer_text(answer, "SerialNumber", view->issued ? order->cert.serial : NULL);
    sim_answer_date(answer, "StartDate", view->issued ? order->cert.not_before_ms : 0);
    sim_answer_date(answer, "EndDate", view->issued ? order->cert.not_after_ms : 0);
    sim_answer_text(answer, "Email", order->email);
    sim_answer_text(answer, "CommonName", order->cn);
    sim_write_units(answer, order->unit);
    sim_answer_text(answer, "Organization", profile ? profile->organization : NULL);
    sim_answer_text(answer, "Locality", profile ? profile->locality : NULL);
    sim_answer_text(answer, "State", profile ? profile->state_name : NULL);
    sim_answer_text(answer, "Country", profile ? profile->country : NULL);
    sim_answer_end(answer, "CrCertificateInfo");
}

static void
sim_write_fulfillment(struct sim_call *call, struct sim_answer *answer, const struct sim_view *view,
                      bool p7)
{
    const struct sim_ca *ca = &call->sim->ca;
    struct sim_buf text;
    sim_buf_init(&text, 1 << 20);
    sim_answer_start(answer, "Fulfillment");
    sim_answer_start(answer, "CrCertificate");
    sim_cert_text(ca, &view->order->cert, (enum sim_cert_format)call->sim->settings.cert_format,
                  &text);
    sim_answer_text(answer, "Certificate", text.data);
    sim_buf_reset(&text);
    if (p7) {
        sim_cert_text(ca, &view->order->cert, SIM_CERT_PKCS7, &text);
    }
    sim_answer_text(answer, "PKCS7Cert", text.data);
    sim_answer_end(answer, "CrCertificate");
    sim_answer_end(answer, "Fulfillment");
    sim_buf_deinit(&text);
}

static void
sim_write_events(struct sim_answer *answer, const struct sim_view *view)
{
    const struct sim_order *order = view->order;
    const struct {
        const char *name;
        int64_t when;
    } events[] = {
        {"ORDER_REQUEST", order->requested.shown},
        {"ORDER_ISSUE", view->issued ? order->issued.shown : 0},
        {"ORDER_CANCEL", sim_seen(&order->cancelled, view->at)},
        {"ORDER_REVOKE", sim_seen(&order->revoked, view->at)},
    };
    sim_answer_start(answer, "ModificationEvents");
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        if (events[i].when) {
            sim_answer_start(answer, "ModificationEvent");
            sim_answer_text(answer, "ModificationEventName", events[i].name);
            sim_answer_date(answer, "ModificationEventTimestamp", events[i].when);
            sim_answer_end(answer, "ModificationEvent");
        }
    }
    sim_answer_end(answer, "ModificationEvents");
}

/* Every client sends "true"; anything else is not returned. */
static bool
sim_wanted(struct sim_call *call, const char *group, const char *name)
{
    const char *text = sim_filter(call, group, name);
    return text && strcmp(text, "true") == 0;
}

struct sim_wants {
    bool info, fulfillment, p7, events;
};

static void
sim_write_detail(struct sim_call *call, struct sim_answer *answer, const struct sim_view *view,
                 const struct sim_wants *wants)
{
    sim_answer_start(answer, "OrderDetail");
    sim_write_info(call, answer, view);
    if (wants->info) {
        sim_write_certificate(call, answer, view);
    } else {
        sim_answer_text(answer, "CrCertificateInfo", NULL);
    }
    if (wants->fulfillment && view->issued) {
        sim_write_fulfillment(call, answer, view, wants->p7);
    } else {
        sim_answer_text(answer, "Fulfillment", NULL);
    }
    if (wants->events) {
        sim_write_events(answer, view);
    } else {
        sim_answer_text(answer, "ModificationEvents", NULL);
    }
    sim_answer_end(answer, "OrderDetail");
}

static bool
sim_cn_matches(const struct sim *sim, const char *filter, const char *cn)
{
    switch ((enum sim_cn_filter)sim->settings.cn_filter) {
    case SIM_CN_EXACT:
        return sim_equal(filter, cn);
    case SIM_CN_INSENSITIVE:
        return !filter || strcasecmp(filter, cn) == 0;
    case SIM_CN_PREFIX:
        return !filter || strncmp(filter, cn, strlen(filter)) == 0;
    }
    return false;
}

struct sim_order_filter {
    const char *product, *profile, *licence, *state, *cert_state, *cn;
    struct sim_span requested, issued;
};

static bool
sim_order_matches(const struct sim *sim, const struct sim_order_filter *filter,
                  const struct sim_view *view)
{
    char status[16];
    char cert_status[16];
    const struct sim_order *order = view->order;
    (void)snprintf(status, sizeof(status), "%d", view->status);
    (void)snprintf(cert_status, sizeof(cert_status), "%d", sim_view_cert_status(sim, view));
    return sim_equal(filter->product, order->product) &&
           sim_equal(filter->profile, order->profile) &&
           sim_equal(filter->licence, order->licence) && sim_equal(filter->state, status) &&
           sim_equal(filter->cert_state, cert_status) &&
           sim_span_holds(&filter->requested, order->requested.shown) &&
           sim_span_holds(&filter->issued, view->issued ? order->issued.shown : 0);
}

/* Orders that may match, in the order of their booking. */
struct sim_candidates {
    struct sim_order **list;
    size_t count;
    struct sim_order **own; /* to be freed; NULL: the list is the store's */
};

static struct sim_candidates
sim_named(const struct sim *sim, const char *cn)
{
    struct sim_candidates named = {0};
    for (struct sim_order *o = sim_order_with_cn(&sim->orders, cn); o; o = o->same_cn) {
        named.count++;
    }
    named.own = sim_alloc((named.count + 1) * sizeof(*named.own));
    named.list = named.own;
    size_t place = named.count; /* the newest comes first */
    for (struct sim_order *o = sim_order_with_cn(&sim->orders, cn); o; o = o->same_cn) {
        named.own[--place] = o;
    }
    return named;
}

static struct sim_candidates
sim_candidates(const struct sim *sim, const struct sim_order_filter *filter)
{
    if (filter->cn && sim->settings.cn_filter == SIM_CN_EXACT) {
        return sim_named(sim, filter->cn);
    }
    size_t first =
        filter->requested.bounded ? sim_orders_from(&sim->orders, filter->requested.from) : 0;
    return (struct sim_candidates){.list = first ? sim->orders.list + first : sim->orders.list,
                                   .count = sim->orders.count - first};
}

static void
sim_write_orders(struct sim_call *call, struct sim_answer *answer)
{
    static const char group[] = "OrderQueryParam";
    static const char option[] = "OrdersQueryOption";
    struct sim *sim = call->sim;
    int64_t at = sim_view_ms(call);
    int64_t total = 0;
    struct sim_wants wants = {.info = sim_wanted(call, option, "ReturnCertificateInfo"),
                              .fulfillment = sim_wanted(call, option, "ReturnFulfillment")};
    struct sim_order_filter filter = {
        .product = sim_filter(call, group, "ProductCode"),
        .profile = sim_filter(call, group, "ProfileOrderNo"),
        .licence = sim_filter(call, group, "LicenseOrderNo"),
        .state = sim_filter(call, group, "OrderState"),
        .cert_state = sim_filter(call, group, "CertState"),
        .cn = sim_filter(call, group, "CommonName"),
        .requested = sim_span_read(call, group, "RequestDate"),
        .issued = sim_span_read(call, group, "IssueDate"),
    };
    struct sim_buf details;
    struct sim_answer inner = *answer;
    sim_buf_init(&details, (size_t)1 << 27);
    inner.out = &details;
    struct sim_candidates candidates = sim_candidates(sim, &filter);
    for (size_t i = 0; i < candidates.count; i++) {
        const struct sim_order *order = candidates.list[i];
        if (!sim_cn_matches(sim, filter.cn, order->cn)) {
            continue;
        }
        struct sim_view view = sim_view_of(order, at);
        if (view.status && sim_order_matches(sim, &filter, &view) && total++ < sim->settings.cap) {
            sim_write_detail(call, &inner, &view, &wants);
        }
    }
    free(candidates.own);
    sim_answer_number(answer, "TotalCount", total);
    sim_answer_start(answer, "OrderDetails");
    if (details.len) {
        sim_buf_add(answer->out, details.data, details.len);
    }
    sim_answer_end(answer, "OrderDetails");
    sim_buf_deinit(&details);
}

static void
sim_write_order(struct sim_call *call, struct sim_answer *answer)
{
    static const char option[] = "OrderQueryOption";
    struct sim_view view = sim_view_of(call->order, sim_view_ms(call));
    struct sim_wants wants = {.info = sim_wanted(call, option, "ReturnCertificateInfo"),
                              .fulfillment = sim_wanted(call, option, "ReturnFulfillment"),
                              .p7 = sim_wanted(call, option, "ReturnP7"),
                              .events = sim_wanted(call, option, "ReturnModEvents")};
    sim_answer_text(answer, "OrderNo", call->order->id);
    sim_write_detail(call, answer, &view, &wants);
}

static const char *
sim_profile_state(const struct sim *sim, const struct sim_profile *profile)
{
    switch (profile->state) {
    case SIM_PROFILE_VETTING:
        return sim->settings.profile_vetting;
    case SIM_PROFILE_VALIDATED:
        return sim->settings.profile_validated;
    case SIM_PROFILE_SUSPENDED:
        return sim->settings.profile_suspended;
    }
    return "";
}

static void
sim_write_profile(struct sim *sim, struct sim_answer *answer, const struct sim_profile *profile)
{
    sim_answer_start(answer, "ProfileDetail");
    sim_answer_start(answer, "ProfileInfo");
    sim_answer_text(answer, "ProfileOrderNo", profile->id);
    sim_answer_text(answer, "ProfileOrderState", sim_profile_state(sim, profile));
    sim_answer_date(answer, "RequestDate", profile->requested_ms);
    sim_answer_text(answer, "RequestBeforeDate", NULL);
    sim_answer_text(answer, "RequestAfterDate", NULL);
    sim_answer_date(answer, "OrderDate", profile->requested_ms);
    sim_answer_date(answer, "IssueDate", profile->issued_ms);
    sim_answer_text(answer, "CancelRequestDate", NULL);
    sim_answer_text(answer, "CancelDate", NULL);
    sim_answer_date(answer, "SuspendRequestDate", profile->suspended_ms);
    sim_answer_date(answer, "SuspendDate", profile->suspended_ms);
    sim_write_validity(answer, profile->issued_ms, profile->not_after_ms);
    sim_answer_end(answer, "ProfileInfo");
    sim_answer_start(answer, "ProfileDnAttributes");
    sim_answer_text(answer, "CommonName", NULL);
    sim_answer_text(answer, "Organization", profile->organization);
    sim_write_units(answer, NULL);
    sim_answer_text(answer, "StateOrProvince", profile->state_name);
    sim_answer_text(answer, "Locality", profile->locality);
    sim_answer_text(answer, "Country", profile->country);
    sim_answer_end(answer, "ProfileDnAttributes");
    sim_answer_start(answer, "ProfileAttributes");
    sim_answer_text(answer, "HashType", sim->settings.hash_type);
    sim_answer_text(answer, "EFSOption", profile->efs ? "true" : "false");
    sim_answer_text(answer, "UPN", profile->upn ? "true" : "false");
    sim_answer_text(answer, "RenewalType", sim->settings.renewal_type);
    sim_answer_text(answer, "NonExportable", "false");
    sim_answer_text(answer, "NonRepudiation", "false");
    sim_answer_text(answer, "OCSPOption", "false");
    sim_answer_end(answer, "ProfileAttributes");
    sim_answer_end(answer, "ProfileDetail");
}

static void
sim_write_profiles(struct sim_call *call, struct sim_answer *answer)
{
    static const char group[] = "ProfileQueryParam";
    struct sim *sim = call->sim;
    int total = 0;
    const char *id = sim_filter(call, group, "ProfileOrderNo");
    const char *state = sim_filter(call, group, "ProfileOrderState");
    const char *locality = sim_filter(call, group, "Locality");
    const char *province = sim_filter(call, group, "StateOrProvince");
    const char *organization = sim_filter(call, group, "Organization");
    const char *user = sim_filter(call, group, "ContractorUserId");
    struct sim_span requested = sim_span_read(call, group, "RequestDate");
    struct sim_span issued = sim_span_read(call, group, "IssueDate");
    struct sim_buf details;
    struct sim_answer inner = *answer;
    sim_buf_init(&details, 1 << 20);
    inner.out = &details;
    for (size_t i = 0; i < sim->profiles.count; i++) {
        const struct sim_profile *profile = &sim->profiles.list[i];
        if (sim_equal(id, profile->id) && sim_equal(state, sim_profile_state(sim, profile)) &&
            sim_equal(locality, profile->locality) && sim_equal(province, profile->state_name) &&
            sim_equal(organization, profile->organization) &&
            sim_equal(user, sim->settings.username) &&
            !sim_filter(call, group, "OrganizationUnit") &&
            sim_span_holds(&requested, profile->requested_ms) &&
            sim_span_holds(&issued, profile->issued_ms)) {
            total++;
            sim_write_profile(sim, &inner, profile);
        }
    }
    sim_answer_number(answer, "TotalCount", total);
    sim_answer_start(answer, "ProfileDetails");
    if (details.len) {
        sim_buf_add(answer->out, details.data, details.len);
    }
    sim_answer_end(answer, "ProfileDetails");
    sim_buf_deinit(&details);
}

void
sim_query_answer(struct sim_call *call, struct sim_buf *out)
{
    struct sim_answer answer;
    struct sim_errors notes;
    int success = sim_call_success(call, &notes);
    sim_answer_open(&answer, out, &call->sim->settings, call->op, success, &notes);
    if (call->errors.count) {
        if (call->op == SIM_OP_GET_ORDER) {
            sim_answer_text(&answer, "OrderNo", NULL);
            sim_answer_text(&answer, "OrderDetail", NULL);
        }
    } else if (call->op == SIM_OP_GET_ORDERS) {
        sim_write_orders(call, &answer);
    } else if (call->op == SIM_OP_GET_ORDER) {
        sim_write_order(call, &answer);
    } else {
        sim_write_profiles(call, &answer);
    }
    sim_answer_close(&answer);
}
