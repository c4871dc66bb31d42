/*
 * Request records into domain requests, field by field within limits.
 */
#include <stdio.h>
#include <string.h>

#include "domain/rules.h"
#include "epki/v1/enrollment.pb-c.h"
#include "epki/v1/renewal.pb-c.h"
#include "epki/v1/revocation.pb-c.h"
#include "wire_private.h"

struct reading {
    struct ew_arena *arena;
    struct ew_request *out;
    struct ew_err *err;
    enum ew_fault
        fault; /* of the first problem; reading goes on, so that the event can be answered */
    bool no_memory;
};

static void
refuse(struct reading *r, const char *problem, const char *field, const char *advice,
       const char *detail)
{
    if (r->fault == EW_OK)
        r->fault = ew_fail_field(r->err, EW_REJECT, problem, field, advice, "%s", detail);
}

static const char *
text(struct reading *r, const char *value, size_t max, const char *field)
{
    char detail[64];

    if (strlen(value) > max) {
        (void)snprintf(detail, sizeof(detail), "more than %zu bytes", max);
        refuse(r, "too-long", field, "Shorten the field.", detail);
        return "";
    }
    return ew_keep_text(r->arena, value, &r->no_memory);
}

static const char *
request_id(struct reading *r, const char *value)
{
    if (ew_request_id_valid(value))
        return ew_keep_text(r->arena, value, &r->no_memory);
    refuse(r, "request-id", "request_id",
           "Give each request an id of 1-128 characters [A-Za-z0-9._:-].",
           value[0] == '\0' ? "it is missing" : "it is too long or has other characters");
    return NULL;
}

static const char *
setting_name(struct reading *r, const char *value, const char *field)
{
    if (value[0] == '\0')
        refuse(r, "missing", field, "Name a setting of the worker's settings file.",
               "it is missing");
    return text(r, value, EW_MAX_SETTING_NAME, field);
}

static const char *
ownership(struct reading *r, Epki__V1__Ownership value)
{
    switch (value) {
    case EPKI__V1__OWNERSHIP__OWNERSHIP_UNSPECIFIED:
        return "";
    case EPKI__V1__OWNERSHIP__OWNERSHIP_CORPORATE:
        return "corporate";
    case EPKI__V1__OWNERSHIP__OWNERSHIP_EMPLOYEE:
        return "employee";
    default:
        refuse(r, "unknown-value", "subject.ownership", "Use a value of the contract.",
               "a value this worker does not know");
        return "";
    }
}

static void
attributes(struct reading *r, const Epki__V1__Subject *from)
{
    struct ew_subject *to = &r->out->subject;

    for (size_t i = 0; i < from->n_attributes && i < EW_MAX_ATTRIBUTES; i++) {
        const Epki__V1__Attribute *attribute = from->attributes[i];
        struct ew_pair *pair = &to->attributes[to->attribute_count++];

        pair->name = text(r, attribute->name, EW_MAX_ATTRIBUTE_NAME, "subject.attributes.name");
        pair->value = text(r, attribute->value, EW_MAX_ATTRIBUTE, "subject.attributes.value");
        if (pair->name[0] == '\0')
            refuse(r, "missing", "subject.attributes.name", "Name every attribute.",
                   "an attribute without a name");
        for (size_t j = 0; j + 1 < to->attribute_count; j++)
            if (strcmp(to->attributes[j].name, pair->name) == 0)
                refuse(r, "attribute-twice", "subject.attributes", "Name an attribute once.",
                       pair->name);
    }
}

static void
subject(struct reading *r, const Epki__V1__Subject *from)
{
    struct ew_subject *to = &r->out->subject;
    Epki__V1__Subject none = EPKI__V1__SUBJECT__INIT;

    if (from == NULL)
        from = &none;
    to->user_id = text(r, from->user_id, EW_MAX_FACT, "subject.user_id");
    to->first_name = text(r, from->first_name, EW_MAX_FACT, "subject.first_name");
    to->last_name = text(r, from->last_name, EW_MAX_FACT, "subject.last_name");
    to->display_name = text(r, from->display_name, EW_MAX_FACT, "subject.display_name");
    to->email = text(r, from->email, EW_MAX_EMAIL, "subject.email");
    to->upn = text(r, from->upn, EW_MAX_UPN, "subject.upn");
    to->device_id = text(r, from->device_id, EW_MAX_FACT, "subject.device_id");
    to->device_serial = text(r, from->device_serial, EW_MAX_FACT, "subject.device_serial");
    to->platform = text(r, from->platform, EW_MAX_FACT, "subject.platform");
    to->platform_version = text(r, from->platform_version, EW_MAX_FACT, "subject.platform_version");
    to->ownership = ownership(r, from->ownership);
    attributes(r, from);
}

static void
p12_format(struct reading *r, Epki__V1__Pkcs12Format format, const char *field)
{
    if (format > EPKI__V1__PKCS12_FORMAT__PKCS12_FORMAT_APPLE)
        refuse(r, "unknown-value", field, "Use a format of the contract.",
               "a format this worker does not know");
    r->out->p12_format =
        format == EPKI__V1__PKCS12_FORMAT__PKCS12_FORMAT_APPLE ? EW_P12_APPLE : EW_P12_MODERN;
}

static void
recipient(struct reading *r, const ProtobufCBinaryData *from, const char *field)
{
    struct ew_blob kept;

    if (from->len == 0 || from->len > EW_MAX_RECIPIENT) {
        refuse(r, "recipient", field, "Send the recipient's certificate, DER, at most 8192 bytes.",
               from->len == 0 ? "it is missing" : "more than 8192 bytes");
        return;
    }
    kept = ew_keep_blob(r->arena, from, &r->no_memory);
    r->out->recipient = kept.data;
    r->out->recipient_len = kept.len;
}

static void
worker_key(struct reading *r, const Epki__V1__WorkerKey *from)
{
    struct ew_request *to = r->out;

    to->key = EW_KEY_WORKER;
    to->key_type_given = from->type != EPKI__V1__KEY_TYPE__KEY_TYPE_UNSPECIFIED;
    switch (from->type) {
    case EPKI__V1__KEY_TYPE__KEY_TYPE_UNSPECIFIED:
    case EPKI__V1__KEY_TYPE__KEY_TYPE_RSA_2048:
        to->key_type = EW_KEY_RSA_2048;
        break;
    case EPKI__V1__KEY_TYPE__KEY_TYPE_RSA_3072:
        to->key_type = EW_KEY_RSA_3072;
        break;
    case EPKI__V1__KEY_TYPE__KEY_TYPE_EC_P256:
        to->key_type = EW_KEY_EC_P256;
        break;
    case EPKI__V1__KEY_TYPE__KEY_TYPE_EC_P384:
        to->key_type = EW_KEY_EC_P384;
        break;
    default:
        refuse(r, "unknown-value", "key.worker_key.type", "Use a key type of the contract.",
               "a key type this worker does not know");
    }
    p12_format(r, from->format, "key.worker_key.format");
    recipient(r, &from->recipient_certificate, "key.worker_key.recipient_certificate");
}

static void
globalsign_key(struct reading *r, const Epki__V1__GlobalSignKey *from)
{
    r->out->key = EW_KEY_GLOBALSIGN;
    p12_format(r, from->format, "key.globalsign_key.format");
    recipient(r, &from->recipient_certificate, "key.globalsign_key.recipient_certificate");
}

static void
key_choice(struct reading *r, const Epki__V1__KeyChoice *from)
{
    if (from != NULL && from->choice_case == EPKI__V1__KEY_CHOICE__CHOICE_CSR) {
        r->out->key = EW_KEY_CSR;
        r->out->csr = text(r, from->csr, EW_MAX_CSR, "key.csr");
    } else if (from != NULL && from->choice_case == EPKI__V1__KEY_CHOICE__CHOICE_WORKER_KEY) {
        worker_key(r, from->worker_key);
    } else if (from != NULL && from->choice_case == EPKI__V1__KEY_CHOICE__CHOICE_GLOBALSIGN_KEY) {
        globalsign_key(r, from->globalsign_key);
    } else {
        refuse(r, "missing", "key", "Send a CSR, or ask for a key.", "no key choice is there");
    }
}

static void
serial_target(struct reading *r, const Epki__V1__IssuerAndSerial *from)
{
    struct ew_target *to = &r->out->target;
    const char *at = from->serial;
    char serial[EW_MAX_SERIAL + 1] = "";

    while (at[0] == '0' && at[1] != '\0')
        at++;
    if (at[0] == '\0' || strlen(at) > EW_MAX_SERIAL ||
        strspn(at, "0123456789abcdefABCDEF") != strlen(at)) {
        refuse(r, "serial", "target.serial.serial", "Give up to 40 hexadecimal digits.",
               "not a serial number");
        return;
    }
    for (size_t i = 0; at[i] != '\0'; i++)
        serial[i] = (char)(at[i] >= 'A' && at[i] <= 'F' ? at[i] - 'A' + 'a' : at[i]);
    to->kind = EW_TARGET_SERIAL;
    to->serial = ew_keep_text(r->arena, serial, &r->no_memory);
    to->issuer = text(r, from->issuer, EW_MAX_ISSUER, "target.serial.issuer");
    if (to->issuer[0] == '\0')
        refuse(r, "missing", "target.serial.issuer", "Name the issuer as the event said it.",
               "it is missing");
}

static void
target(struct reading *r, const Epki__V1__Target *from)
{
    struct ew_target *to = &r->out->target;

    to->request_id = to->issuer = to->serial = to->setting = to->order_id = "";
    switch (from == NULL ? EPKI__V1__TARGET__TARGET__NOT_SET : from->target_case) {
    case EPKI__V1__TARGET__TARGET_REQUEST_ID:
        to->kind = EW_TARGET_REQUEST;
        to->request_id = text(r, from->request_id, EW_MAX_REQUEST_ID, "target.request_id");
        if (!ew_request_id_valid(from->request_id))
            refuse(r, "request-id", "target.request_id", "Name a request id.", "not a request id");
        return;
    case EPKI__V1__TARGET__TARGET_SERIAL:
        serial_target(r, from->serial);
        return;
    case EPKI__V1__TARGET__TARGET_ORDER:
        to->kind = EW_TARGET_ORDER;
        to->setting = setting_name(r, from->order->setting, "target.order.setting");
        to->order_id = text(r, from->order->order_id, EW_MAX_ORDER_ID, "target.order.order_id");
        if (to->order_id[0] == '\0')
            refuse(r, "missing", "target.order.order_id", "Name GlobalSign's order id.",
                   "it is missing");
        return;
    default:
        refuse(r, "missing", "target",
               "Name a request id, an issuer and serial, or a setting and order id.",
               "no target is there");
    }
}

static void
carried(struct reading *r, size_t n_labels, char **labels, const ProtobufCBinaryData *context)
{
    struct ew_blob blob;

    for (size_t i = 0; i < n_labels && i < EW_MAX_LABELS; i++)
        r->out->labels[r->out->label_count++] = text(r, labels[i], EW_MAX_LABEL, "labels");
    if (context->len > EW_MAX_CONTEXT) {
        refuse(r, "too-long", "context", "Keep the context under 4 KiB; reference what is larger.",
               "more than 4096 bytes");
        return;
    }
    blob = ew_keep_blob(r->arena, context, &r->no_memory);
    r->out->context = blob.data;
    r->out->context_len = blob.len;
}

static void
deadline(struct reading *r, int64_t value)
{
    if (value < 0)
        refuse(r, "deadline", "deadline_ms", "Give milliseconds since 1970, or nothing.",
               "it is negative");
    else
        r->out->deadline_ms = value;
}

static void
read_enrollment(struct reading *r, const ProtobufCMessage *message)
{
    const Epki__V1__EnrollmentRequest *from = (const void *)message;

    r->out->op = EW_OP_ENROLL;
    r->out->request_id = request_id(r, from->request_id);
    r->out->setting = setting_name(r, from->setting, "setting");
    subject(r, from->subject);
    key_choice(r, from->key);
    carried(r, from->n_labels, from->labels, &from->context);
    deadline(r, from->deadline_ms);
    r->out->bulk_hint = from->lane == EPKI__V1__LANE_HINT__LANE_HINT_BULK;
}

static void
read_renewal(struct reading *r, const ProtobufCMessage *message)
{
    const Epki__V1__RenewalRequest *from = (const void *)message;

    r->out->op = EW_OP_RENEW;
    r->out->request_id = request_id(r, from->request_id);
    r->out->setting = setting_name(r, from->setting, "setting");
    target(r, from->target);
    subject(r, from->subject);
    key_choice(r, from->key);
    carried(r, from->n_labels, from->labels, &from->context);
    deadline(r, from->deadline_ms);
    r->out->bulk_hint = from->lane == EPKI__V1__LANE_HINT__LANE_HINT_BULK;
}

static bool
reason_known(int reason)
{
    return reason >= 0 && reason <= 10 && reason != 6 && reason != 7 && reason != 8;
}

static void
read_revocation(struct reading *r, const ProtobufCMessage *message)
{
    const Epki__V1__RevocationRequest *from = (const void *)message;

    r->out->op = EW_OP_REVOKE;
    r->out->request_id = request_id(r, from->request_id);
    target(r, from->target);
    subject(r, NULL);
    if (!reason_known((int)from->reason))
        refuse(r, "reason", "reason", "Use an RFC 5280 reason other than certificateHold.",
               "a reason that cannot be carried out");
    r->out->reason = (int)from->reason;
    if (from->removal > EPKI__V1__REMOVAL__REMOVAL_REMOVE)
        refuse(r, "unknown-value", "removal", "Use a value of the contract.",
               "a value this worker does not know");
    r->out->removal =
        from->removal == EPKI__V1__REMOVAL__REMOVAL_REMOVE ? EW_REVOKE_REMOVE : EW_REVOKE_REVOKE;
    carried(r, from->n_labels, from->labels, &from->context);
}

static const struct {
    const ProtobufCMessageDescriptor *descriptor;
    void (*read)(struct reading *r, const ProtobufCMessage *message);
} lanes[EW_LANE_COUNT] = {
    [EW_LANE_REVOCATION] = {&epki__v1__revocation_request__descriptor, read_revocation},
    [EW_LANE_ENROLLMENT] = {&epki__v1__enrollment_request__descriptor, read_enrollment},
    [EW_LANE_RENEWAL] = {&epki__v1__renewal_request__descriptor, read_renewal},
    [EW_LANE_BULK] = {&epki__v1__enrollment_request__descriptor, read_enrollment},
};

/* The id of a message that the walk refused for what every parser would have let pass: whoever sent
 * it gets an answer. Only what cannot be decoded is a dead letter. */
static const char *
refused_id(struct reading *r, const uint8_t *data, size_t len)
{
    enum { REQUEST_ID = 1 }; /* in every request */
    const uint8_t *at;
    size_t id_len;
    const char *id;

    if (strcmp(r->err->problem, "malformed") == 0 || strcmp(r->err->problem, "text-utf8") == 0 ||
        !ew_walk_find(data, len, REQUEST_ID, &at, &id_len) || id_len > EW_MAX_REQUEST_ID ||
        memchr(at, '\0', id_len) != NULL)
        return NULL;
    id = ew_arena_strndup(r->arena, (const char *)at, id_len);
    return id != NULL && ew_request_id_valid(id) ? id : NULL;
}

enum ew_fault
ew_wire_request(enum ew_lane lane, const void *value, size_t len, struct ew_arena *arena,
                struct ew_request *out, struct ew_err *err)
{
    struct reading r = {.arena = arena, .out = out, .err = err, .fault = EW_OK};
    const uint8_t *data = value;
    const char *id = NULL;
    ProtobufCMessage *message = NULL;

    memset(out, 0, sizeof(*out));
    if (len > EW_MAX_RECORD)
        return ew_fail(err, EW_REJECT, "record-size", "%zu bytes, more than 256 KiB", len);
    r.fault = ew_frame_strip(&data, &len, err);
    if (r.fault != EW_OK)
        return r.fault;
    r.fault = ew_unpack(lanes[lane].descriptor, data, len, EW_MAX_REPEATED, &message, err);
    if (r.fault != EW_OK &&
        ((id = refused_id(&r, data, len)) == NULL ||
         ew_unpack(lanes[lane].descriptor, "", 0, EW_MAX_REPEATED, &message, err) != EW_OK))
        return r.fault;
    lanes[lane].read(&r, message);
    protobuf_c_message_free_unpacked(message, NULL);
    if (id != NULL)
        out->request_id = id;
    if (r.no_memory) {
        out->request_id = NULL;
        return ew_fail(err, EW_REJECT, "too-large", "the request takes too much memory");
    }
    return r.fault;
}
