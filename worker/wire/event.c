/*
 * Certificate events, account events, and their headers.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "epki/v1/account_event.pb-c.h"
#include "wire_private.h"

/* --- out --- */

static void
failure_message(const struct ew_failure *failure, Epki__V1__Failure *out)
{
    epki__v1__failure__init(out);
    out->failure_class = (Epki__V1__FailureClass)failure->cls;
    out->problem = ew_loan(failure->problem);
    out->field = ew_loan(failure->field);
    out->cause = ew_loan(failure->cause);
    out->advice = ew_loan(failure->advice);
    out->vendor_code = failure->vendor_code;
    out->vendor_field = ew_loan(failure->vendor_field);
}

static void
certificate_message(const struct ew_certificate *certificate, struct ew_event_parts *parts)
{
    Epki__V1__Certificate *out = &parts->certificate;

    epki__v1__certificate__init(out);
    out->der = ew_loan_blob(certificate->der);
    for (size_t i = 0; i < certificate->chain_count; i++)
        parts->chain[i] = ew_loan_blob(certificate->chain[i]);
    out->n_chain = certificate->chain_count;
    out->chain = parts->chain;
    out->serial = ew_loan(certificate->serial);
    out->issuer = ew_loan(certificate->issuer);
    out->subject = ew_loan(certificate->subject);
    out->not_before_ms = certificate->not_before_ms;
    out->not_after_ms = certificate->not_after_ms;
    out->sha256 = ew_loan(certificate->sha256);
    out->order_id = ew_loan(certificate->order_id);
    out->sealed_pkcs12 = ew_loan_blob(certificate->sealed_pkcs12);
    out->sealed_pin = ew_loan_blob(certificate->sealed_pin);
}

void
ew_event_message(const struct ew_event *event, struct ew_event_parts *parts)
{
    Epki__V1__CertificateEvent *out = &parts->event;

    epki__v1__certificate_event__init(out);
    out->event_id = ew_loan(event->event_id);
    out->result = (Epki__V1__Result)event->result;
    out->operation = (Epki__V1__Operation)event->op;
    out->request_id = ew_loan(event->request_id);
    ew_source_message(&event->source, &parts->source);
    out->source = &parts->source;
    out->setting = ew_loan(event->setting);
    out->n_labels = event->label_count;
    out->labels = (char **)(uintptr_t)event->labels;
    out->context = ew_loan_blob(event->context);
    if (event->failure.cls != EW_FAIL_NONE) {
        failure_message(&event->failure, &parts->failure);
        out->failure = &parts->failure;
    }
    if (event->has_certificate ||
        (event->certificate.order_id != NULL && event->certificate.order_id[0] != '\0')) {
        certificate_message(&event->certificate, parts);
        out->certificate = &parts->certificate;
    }
    if (event->duplicate) {
        ew_source_message(&event->first, &parts->first);
        out->duplicate_of = &parts->first;
    }
    out->replaces_request_id = ew_loan(event->replaces_request_id);
    out->replaces_serial = ew_loan(event->replaces_serial);
    out->replaces_order_id = ew_loan(event->replaces_order_id);
    out->target_request_id = ew_loan(event->target_request_id);
    out->revocation_reason = event->reason;
    out->attempts = event->attempts;
    out->received_ms = event->received_ms;
    out->ordered_ms = event->ordered_ms;
    out->answered_ms = event->answered_ms;
    out->test = event->test;
    out->note = ew_loan(event->note);
}

enum ew_fault
ew_wire_event_encode(const struct ew_event *event, struct ew_buf *out, struct ew_err *err)
{
    struct ew_event_parts parts;

    ew_event_message(event, &parts);
    return ew_pack(&parts.event.base, out, err);
}

/* --- in --- */

static void
read_failure(const Epki__V1__Failure *from, struct ew_arena *arena, struct ew_failure *out,
             bool *failed)
{
    out->cls = (enum ew_failure_class)from->failure_class;
    out->problem = ew_keep_text(arena, from->problem, failed);
    out->field = ew_keep_text(arena, from->field, failed);
    out->cause = ew_keep_text(arena, from->cause, failed);
    out->advice = ew_keep_text(arena, from->advice, failed);
    out->vendor_code = from->vendor_code;
    out->vendor_field = ew_keep_text(arena, from->vendor_field, failed);
}

static void
read_certificate(const Epki__V1__Certificate *from, struct ew_arena *arena,
                 struct ew_certificate *out, bool *failed)
{
    out->der = ew_keep_blob(arena, &from->der, failed);
    for (size_t i = 0; i < from->n_chain && i < EW_MAX_CHAIN; i++)
        out->chain[out->chain_count++] = ew_keep_blob(arena, &from->chain[i], failed);
    out->serial = ew_keep_text(arena, from->serial, failed);
    out->issuer = ew_keep_text(arena, from->issuer, failed);
    out->subject = ew_keep_text(arena, from->subject, failed);
    out->not_before_ms = from->not_before_ms;
    out->not_after_ms = from->not_after_ms;
    out->sha256 = ew_keep_text(arena, from->sha256, failed);
    out->order_id = ew_keep_text(arena, from->order_id, failed);
    out->sealed_pkcs12 = ew_keep_blob(arena, &from->sealed_pkcs12, failed);
    out->sealed_pin = ew_keep_blob(arena, &from->sealed_pin, failed);
}

static void
read_labels(const Epki__V1__CertificateEvent *from, struct ew_arena *arena, struct ew_event *out,
            bool *failed)
{
    const char **labels = ew_arena_alloc(arena, (from->n_labels + 1) * sizeof(char *));

    if (labels == NULL) {
        *failed = true;
        return;
    }
    for (size_t i = 0; i < from->n_labels; i++)
        labels[i] = ew_keep_text(arena, from->labels[i], failed);
    out->labels = labels;
    out->label_count = from->n_labels;
}

enum ew_fault
ew_event_read(const Epki__V1__CertificateEvent *from, struct ew_arena *arena, struct ew_event *out,
              struct ew_err *err)
{
    bool failed = false;

    memset(out, 0, sizeof(*out));
    out->event_id = ew_keep_text(arena, from->event_id, &failed);
    out->result = (enum ew_result)from->result;
    out->op = (enum ew_operation)from->operation;
    out->request_id = ew_keep_text(arena, from->request_id, &failed);
    ew_keep_source(from->source, &out->source);
    out->setting = ew_keep_text(arena, from->setting, &failed);
    read_labels(from, arena, out, &failed);
    out->context = ew_keep_blob(arena, &from->context, &failed);
    out->failure.problem = out->failure.field = out->failure.cause = out->failure.advice = "";
    out->failure.vendor_field = "";
    if (from->failure != NULL)
        read_failure(from->failure, arena, &out->failure, &failed);
    out->certificate.serial = out->certificate.issuer = out->certificate.subject = "";
    out->certificate.sha256 = out->certificate.order_id = "";
    if (from->certificate != NULL)
        read_certificate(from->certificate, arena, &out->certificate, &failed);
    out->has_certificate = out->certificate.serial[0] != '\0' || out->certificate.der.len > 0;
    out->duplicate = from->duplicate_of != NULL;
    ew_keep_source(from->duplicate_of, &out->first);
    out->replaces_request_id = ew_keep_text(arena, from->replaces_request_id, &failed);
    out->replaces_serial = ew_keep_text(arena, from->replaces_serial, &failed);
    out->replaces_order_id = ew_keep_text(arena, from->replaces_order_id, &failed);
    out->target_request_id = ew_keep_text(arena, from->target_request_id, &failed);
    out->reason = from->revocation_reason;
    out->attempts = from->attempts;
    out->received_ms = from->received_ms;
    out->ordered_ms = from->ordered_ms;
    out->answered_ms = from->answered_ms;
    out->test = from->test;
    out->note = ew_keep_text(arena, from->note, &failed);
    return failed ? ew_fail(err, EW_RETRY, "out-of-memory", "an event") : EW_OK;
}

enum ew_fault
ew_wire_event_decode(const void *data, size_t len, struct ew_arena *arena, struct ew_event *out,
                     struct ew_err *err)
{
    ProtobufCMessage *message;
    enum ew_fault fault = ew_unpack(&epki__v1__certificate_event__descriptor, data, len,
                                    EW_MAX_REPEATED_OURS, &message, err);

    if (fault != EW_OK)
        return fault;
    fault = ew_event_read((const Epki__V1__CertificateEvent *)message, arena, out, err);
    protobuf_c_message_free_unpacked(message, NULL);
    return fault;
}

enum ew_fault
ew_wire_account_encode(const struct ew_account_event *event, struct ew_buf *out, struct ew_err *err)
{
    Epki__V1__AccountEvent message = EPKI__V1__ACCOUNT_EVENT__INIT;

    message.account = ew_loan(event->account);
    message.type = ew_loan(event->type);
    message.problem = ew_loan(event->problem);
    message.cause = ew_loan(event->cause);
    message.advice = ew_loan(event->advice);
    message.vendor_code = event->vendor_code;
    message.time_ms = event->time_ms;
    message.request_id = ew_loan(event->request_id);
    message.order_id = ew_loan(event->order_id);
    return ew_pack(&message.base, out, err);
}

/* --- CloudEvents, binary mode over Kafka --- */

static void
add(struct ew_pair *pairs, size_t *count, const char *name, const char *value)
{
    if (value != NULL && value[0] != '\0' && *count < EW_MAX_HEADERS)
        pairs[(*count)++] = (struct ew_pair){.name = name, .value = value};
}

size_t
ew_wire_event_headers(const struct ew_event *event, const char *group, const char *traceparent,
                      const char *tracestate, struct ew_arena *arena,
                      struct ew_pair out[EW_MAX_HEADERS])
{
    char type[64], source[256], time[EW_TIME_TEXT]; /* a group has 200 bytes at most */
    size_t count = 0;

    (void)snprintf(type, sizeof(type), "epki.certificate.%s.v1", ew_result_name(event->result));
    (void)snprintf(source, sizeof(source), "/epki-worker/%s", group);
    ew_time_format(event->answered_ms, time);
    add(out, &count, "ce_specversion", "1.0");
    add(out, &count, "ce_id", event->event_id);
    add(out, &count, "ce_source", ew_arena_strdup(arena, source));
    add(out, &count, "ce_type", ew_arena_strdup(arena, type));
    add(out, &count, "ce_time", ew_arena_strdup(arena, time));
    add(out, &count, "ce_subject", event->request_id);
    add(out, &count, "content-type", "application/protobuf");
    add(out, &count, "traceparent", traceparent);
    add(out, &count, "tracestate", tracestate);
    return count;
}
