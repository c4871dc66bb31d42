/*
 * The operations that place an order: OrderPkcs12, OrderAndIssueCertificate, OrderCertificate,
 * OrderDS, Reissue. check refuses, commit books, answer tells.
 */
#include "sim.h"

#include <string.h>
#include <strings.h>

enum {
    INTERNAL = -1,
    MISSING = -102,
    COMBINATION = -105,
    STATE = -4005,
    ALREADY_REISSUED = -4016,
    KEY_USED = -6007,
    PRODUCT = -9901,
    KEY_REVOKED = -9940,
};

#define SMIME_ONLY "ePkiSmimeOnly"

static const char *
sim_text(struct sim_call *call, const char *path)
{
    const char *text = sim_soap_get(&call->soap, path);
    return text && *text ? text : NULL;
}

static void
sim_check_key(struct sim_call *call)
{
    const struct sim_settings *settings = &call->sim->settings;
    const char *csr = sim_text(call, "CSR");
    EVP_PKEY_free(call->key);
    call->key = NULL;
    int code = csr ? sim_csr_read(csr, &call->key) : 0;
    if (code) {
        sim_errors_add(&call->errors, code, "CSR");
    }
    if (!call->key) {
        return;
    }
    char spki[65];
    int64_t now = sim_real_ms();
    sim_spki_sha256(call->key, spki);
    for (const struct sim_order *order = sim_order_with_key(&call->sim->orders, spki); order;
         order = order->same_key) {
        int status = sim_order_status(order, now);
        bool gone = status == SIM_STATUS_CANCELLED || status == SIM_STATUS_CANCELLED_ISSUED;
        bool revoked = status == SIM_STATUS_REVOKED || status == SIM_STATUS_REVOKING;
        bool other = strcmp(order->cn, call->cn) != 0;
        if (revoked && !settings->revoked_key) {
            sim_errors_add(&call->errors, KEY_REVOKED, "CSR");
            return;
        }
        if (!gone && !revoked &&
            (settings->key_reuse == SIM_REUSE_REFUSE ||
             (settings->key_reuse == SIM_REUSE_OTHER_CN && other))) {
            sim_errors_add(&call->errors, KEY_USED, "CSR");
            return;
        }
    }
}

static void
sim_check_smime(struct sim_call *call, const struct sim_profile *profile)
{
    const char *email = sim_text(call, "DnAttributes.Email");
    const char *san = sim_text(call, "SANRFC822EmailAddress");
    const char *product = sim_text(call, "ProductCode");
    if (sim_text(call, "DnAttributes.OrganizationUnit")) {
        sim_errors_add(&call->errors, COMBINATION, "DnAttributes.OrganizationUnit");
    }
    if (!email) {
        sim_errors_add(&call->errors, MISSING, "DnAttributes.Email");
    } else if (!sim_profile_domain(profile, email)) {
        sim_errors_add(&call->errors, (int)call->sim->settings.domain_code, "DnAttributes.Email");
    }
    if (call->op != SIM_OP_ORDER_DS) {
        if (!san) {
            sim_errors_add(&call->errors, MISSING, "SANRFC822EmailAddress");
        } else if (email && strcasecmp(san, email) != 0) {
            sim_errors_add(&call->errors, COMBINATION, "SANRFC822EmailAddress");
        }
    }
    bool named =
        (sim_text(call, "DnAttributes.GivenName") && sim_text(call, "DnAttributes.SurName")) ||
        sim_text(call, "DnAttributes.Pseudonym");
    if (call->sim->settings.require_names && product && strcmp(product, "EPKIPSDept") != 0 &&
        !named) {
        sim_errors_add(&call->errors, MISSING, "DnAttributes.GivenName");
    }
}

static void
sim_check_profile(struct sim_call *call)
{
    const struct sim_settings *settings = &call->sim->settings;
    const char *field = sim_op_info(call->op)->profile;
    const struct sim_profile *profile = sim_profile_find(&call->sim->profiles, call->profile_id);
    const char *product = sim_text(call, "ProductCode");
    if (!profile) {
        sim_errors_add(&call->errors, (int)settings->profile_unknown_code, field);
        return;
    }
    if (profile->state != SIM_PROFILE_VALIDATED || sim_now_ms(settings) >= profile->not_after_ms) {
        sim_errors_add(&call->errors, (int)settings->profile_code, field);
        return;
    }
    if (!profile->smime && product && strcmp(product, SMIME_ONLY) == 0) {
        sim_errors_add(&call->errors, PRODUCT, "ProductCode");
    }
    if (!profile->efs && sim_soap_flag(&call->soap, "EFSOption")) {
        sim_errors_add(&call->errors, COMBINATION, "EFSOption");
    }
    if (!profile->upn && sim_text(call, "UPN")) {
        sim_errors_add(&call->errors, COMBINATION, "UPN");
    }
    if (profile->smime) {
        sim_check_smime(call, profile);
    }
}

static void
sim_check_licence(struct sim_call *call)
{
    const struct sim_settings *settings = &call->sim->settings;
    bool expired = false;
    if (!sim_licence_pick(&call->sim->profiles, sim_now_ms(settings), &expired)) {
        sim_errors_add(&call->errors,
                       (int)(expired ? settings->licence_expired_code : settings->licence_code),
                       NULL);
    }
}

static void
sim_check_reissue(struct sim_call *call)
{
    const char *id = sim_text(call, "TargetOrderID");
    const struct sim_order *target = sim_order_find(&call->sim->orders, id);
    if (!target) {
        sim_errors_add(&call->errors, (int)call->sim->settings.unknown_order_code, "TargetOrderID");
    } else if (target->reissued) {
        sim_errors_add(&call->errors, ALREADY_REISSUED, "TargetOrderID");
    } else if (sim_order_status(target, sim_real_ms()) != SIM_STATUS_ISSUED) {
        sim_errors_add(&call->errors, STATE, "TargetOrderID");
    }
}

void
sim_order_check(struct sim_call *call)
{
    if (call->op == SIM_OP_REISSUE) {
        sim_check_reissue(call);
        return;
    }
    sim_check_profile(call);
    if (!call->errors.count) {
        sim_check_key(call);
    }
    if (!call->errors.count) {
        sim_check_licence(call);
    }
}

bool
sim_order_sign(struct sim *sim, struct sim_order *order, EVP_PKEY *key, const struct sim_leaf *more,
               enum sim_fault_kind fault)
{
    const struct sim_profile *profile = sim_profile_find(&sim->profiles, order->profile);
    if (!profile) {
        return false;
    }
    bool smime_only = strcmp(order->product, SMIME_ONLY) == 0;
    struct sim_leaf leaf = *more;
    EVP_PKEY *other = fault == SIM_FAULT_WRONG_KEY ? sim_key_new(false) : NULL;
    leaf.country = profile->country;
    leaf.state = profile->state_name;
    leaf.locality = profile->locality;
    leaf.organization = profile->organization;
    for (size_t i = 0; i < 3; i++) {
        leaf.unit[i] = order->unit[i];
    }
    leaf.unit[3] = sim->settings.test_ou ? "For Test Use Only" : NULL;
    leaf.common_name = fault == SIM_FAULT_WRONG_NAME ? "Somebody Else" : order->cn;
    leaf.email = order->email;
    leaf.san_email = profile->smime ? order->email : NULL;
    leaf.upn = order->upn;
    leaf.sid = order->sid;
    leaf.surname = order->surname;
    leaf.given_name = order->given_name;
    leaf.pseudonym = order->pseudonym;
    leaf.efs = order->efs;
    leaf.client_auth = !smime_only && fault != SIM_FAULT_WRONG_EKU;
    leaf.email_protection = profile->smime || fault == SIM_FAULT_WRONG_EKU;
    leaf.rogue = fault == SIM_FAULT_WRONG_CHAIN;
    leaf.years = fault == SIM_FAULT_WRONG_VALIDITY ? 10 : order->years;
    leaf.key = other ? other : key;
    bool ok = sim_ca_issue(&sim->ca, &leaf, &order->cert);
    EVP_PKEY_free(other);
    return ok;
}

/* Copies the request's facts into the order. */
static void
sim_order_fill(struct sim_call *call, struct sim_order *order)
{
    order->op = call->op;
    order->requested = call->started;
    order->recorded = sim_moment_now(call->sim);
    sim_put(order->product, sizeof(order->product), sim_text(call, "ProductCode"));
    sim_put(order->profile, sizeof(order->profile), call->profile_id);
    order->cn = sim_copy(call->cn);
    order->email = sim_copy(sim_text(call, "DnAttributes.Email"));
    for (size_t i = 0; i < 3; i++) {
        order->unit[i] = sim_copy(sim_soap_get_at(&call->soap, "DnAttributes.OrganizationUnit", i));
    }
    order->upn = sim_copy(sim_text(call, "UPN"));
    order->sid = sim_copy(sim_text(call, "SID"));
    order->surname = sim_copy(sim_text(call, "DnAttributes.SurName"));
    order->given_name = sim_copy(sim_text(call, "DnAttributes.GivenName"));
    order->pseudonym = sim_copy(sim_text(call, "DnAttributes.Pseudonym"));
    order->efs = sim_soap_flag(&call->soap, "EFSOption");
    order->years = (int)sim_soap_number(&call->soap, "Year");
}

static void
sim_order_fill_reissue(struct sim_call *call, struct sim_order *order)
{
    struct sim_order *target = sim_order_find(&call->sim->orders, sim_text(call, "TargetOrderID"));
    order->op = call->op;
    order->requested = call->started;
    order->recorded = sim_moment_now(call->sim);
    sim_put(order->product, sizeof(order->product), target->product);
    sim_put(order->profile, sizeof(order->profile), target->profile);
    sim_put(order->reissue_of, sizeof(order->reissue_of), target->id);
    order->cn = sim_copy(target->cn);
    order->email = sim_copy(target->email);
    for (size_t i = 0; i < 3; i++) {
        order->unit[i] = sim_copy(target->unit[i]);
    }
    order->upn = sim_copy(target->upn);
    order->sid = sim_copy(target->sid);
    order->surname = sim_copy(target->surname);
    order->given_name = sim_copy(target->given_name);
    order->pseudonym = sim_copy(target->pseudonym);
    order->efs = target->efs;
    order->years = target->years;
}

static void
sim_order_licence(struct sim_call *call, struct sim_order *order)
{
    bool expired = false;
    struct sim_licence *pack =
        sim_licence_pick(&call->sim->profiles, sim_now_ms(&call->sim->settings), &expired);
    if (pack) {
        pack->used++;
        sim_put(order->licence, sizeof(order->licence), pack->id);
    }
}

/* When the certificate comes. The order time has passed already where recording is at its end. */
static struct sim_moment
sim_order_due(const struct sim_call *call)
{
    const struct sim_settings *settings = &call->sim->settings;
    bool late = settings->record_at == SIM_RECORD_END && call->fault.stage != SIM_STAGE_RECORD;
    struct sim_moment due = sim_moment_now(call->sim);
    bool async = settings->async || call->fault.kind == SIM_FAULT_PENDING;
    return sim_moment_after(due,
                            (late ? 0 : call->order_ms) + (async ? settings->async_issue_ms : 0));
}

static bool
sim_order_certify(struct sim_call *call, struct sim_order *order)
{
    struct sim *sim = call->sim;
    if (!call->key) {
        /* OrderPkcs12: the CA makes the key. */
        call->key =
            sim->settings.p12_key == SIM_P12_EC ? sim_key_new(false) : sim_keys_take(&sim->keys);
    }
    sim_spki_sha256(call->key, order->spki);
    order->issued = sim_order_due(call);
    /* A held answer may be let go before its order time is over. */
    int64_t not_before =
        call->fault.kind == SIM_FAULT_HOLD ? order->requested.shown : order->issued.shown;
    struct sim_leaf more = {
        .template_oid = sim_text(call, "CertificateTemplate.Template"),
        .template_major = sim_text(call, "CertificateTemplate.MajorVersion"),
        .template_minor = sim_text(call, "CertificateTemplate.MinorVersion"),
        .not_before_ms = not_before,
    };
    if (!sim_order_sign(sim, order, call->key, &more, call->fault.kind)) {
        return false; /* a profile or name that no certificate can hold */
    }
    const char *pin =
        call->fault.kind == SIM_FAULT_WRONG_PIN ? "another1PIN" : sim_text(call, "PKCS12PIN");
    if (call->op == SIM_OP_ORDER_PKCS12 && !call->p12.len) {
        sim_cert_pkcs12(&sim->ca, &order->cert, call->key, pin, order->cn,
                        (enum sim_p12_encoding)sim->settings.p12_encoding, &call->p12);
    }
    return true;
}

bool
sim_order_pickup(struct sim *sim, struct sim_order *order, struct sim_moment when)
{
    struct sim_leaf more = {.not_before_ms = when.shown};
    EVP_PKEY *key = sim_key_new(false);
    bool ok = sim_order_sign(sim, order, key, &more, SIM_FAULT_NONE);
    if (ok) {
        sim_spki_sha256(key, order->spki);
        order->issued = when;
    }
    EVP_PKEY_free(key);
    return ok;
}

/* The certificate now, later, or when its user comes. */
static bool
sim_order_provide(struct sim_call *call, struct sim_order *order)
{
    struct sim *sim = call->sim;
    if (call->op != SIM_OP_ORDER_CERTIFICATE && call->op != SIM_OP_REISSUE) {
        return sim_order_certify(call, order);
    }
    if (sim->settings.pickup_ms >= 0) {
        return sim_order_pickup(sim, order,
                                sim_moment_after(sim_order_due(call), sim->settings.pickup_ms));
    }
    order->pickup = true;
    return true;
}

static struct sim_order *
sim_order_book(struct sim_call *call)
{
    struct sim *sim = call->sim;
    struct sim_order *order = sim_order_new(&sim->orders, call->started.shown);
    if (call->op == SIM_OP_REISSUE) {
        sim_order_fill_reissue(call, order);
    } else {
        sim_order_fill(call, order);
    }
    if (!sim_order_provide(call, order)) {
        sim_order_free(order);
        sim_errors_add(&call->errors, INTERNAL, NULL);
        sim_call_journal(call, "error", INTERNAL);
        return NULL;
    }
    if (call->op == SIM_OP_REISSUE) {
        struct sim_order *target = sim_order_find(&sim->orders, order->reissue_of);
        target->reissued = true;
        sim_order_save(&sim->orders, target);
    } else {
        sim_order_licence(call, order);
    }
    sim_order_save(&sim->orders, order);
    call->order = order;
    call->recorded = true;
    sim_call_journal(call, "ok", 0);
    return order;
}

void
sim_order_commit(struct sim_call *call)
{
    struct sim_order *first = sim_order_book(call);
    if (first && call->fault.kind == SIM_FAULT_DUPLICATE && call->op != SIM_OP_REISSUE) {
        sim_order_book(call);
        call->order = first;
    }
}

static void
sim_order_p12(struct sim_call *call, struct sim_answer *answer)
{
    struct sim_buf text;
    sim_buf_init(&text, 1 << 21);
    bool half = call->fault.kind == SIM_FAULT_SPOILT_P12;
    bool none = call->fault.kind == SIM_FAULT_NO_P12;
    sim_buf_base64(&text, call->p12.data, none ? 0 : half ? call->p12.len / 2 : call->p12.len);
    bool binary = call->sim->settings.p12_element == SIM_P12_BINARY;
    sim_answer_text(answer, "BASE64PKCS12", binary ? NULL : text.data);
    sim_answer_text(answer, "PKCS12", binary ? text.data : NULL);
    sim_buf_deinit(&text);
}

/* The one whose certificate is told; the fault may want another's. */
static const struct sim_order *
sim_order_told(const struct sim_call *call)
{
    const struct sim_order *other = NULL;
    if (call->fault.kind == SIM_FAULT_OTHER_ORDER) {
        other = sim_order_find(&call->sim->orders, call->fault.field);
    }
    return other ? other : call->order;
}

static const char *
sim_order_told_id(const struct sim_call *call)
{
    bool other =
        call->fault.kind == SIM_FAULT_OTHER_ID || call->fault.kind == SIM_FAULT_OTHER_ORDER;
    return other ? call->fault.field : call->order->id;
}

static void
sim_order_cert(struct sim_call *call, struct sim_answer *answer, const char *element)
{
    const struct sim_order *order = sim_order_told(call);
    struct sim_buf text;
    sim_buf_init(&text, 1 << 20);
    if (sim_order_status(order, sim_real_ms()) == SIM_STATUS_ISSUED) {
        sim_cert_text(&call->sim->ca, &order->cert,
                      (enum sim_cert_format)call->sim->settings.cert_format, &text);
    }
    sim_answer_text(answer, element, text.data);
    sim_buf_deinit(&text);
}

static void
sim_order_ready(struct sim_call *call)
{
    struct sim_order *order = call->order;
    struct sim_moment now = sim_moment_now(call->sim);
    bool async = call->sim->settings.async || call->fault.kind == SIM_FAULT_PENDING;
    bool linked = call->op == SIM_OP_ORDER_CERTIFICATE || call->op == SIM_OP_REISSUE;
    /* Let go early, or the timer was a millisecond fast. */
    if (!async && !linked && order->issued.real > now.real) {
        order->issued = now;
        sim_order_save(&call->sim->orders, order);
    }
}

void
sim_order_answer(struct sim_call *call, struct sim_buf *out)
{
    struct sim_answer answer;
    struct sim_errors notes;
    int success = sim_call_success(call, &notes);
    if (call->order) {
        sim_order_ready(call);
    }
    sim_answer_open(&answer, out, &call->sim->settings, call->op, success, &notes);
    sim_answer_text(&answer, "OrderID", call->order ? sim_order_told_id(call) : NULL);
    if (call->order && call->op == SIM_OP_ORDER_PKCS12) {
        sim_order_p12(call, &answer);
    } else if (call->order && call->op == SIM_OP_ORDER_AND_ISSUE) {
        sim_order_cert(call, &answer, "CERT");
    } else if (call->order && call->op == SIM_OP_ORDER_DS) {
        sim_order_cert(call, &answer, "Certificate");
    }
    sim_answer_close(&answer);
}
