/*
 * Valid requests of the three kinds with shared parts; a test changes one thing, and has them read.
 */
#pragma once

#include "epki/v1/enrollment.pb-c.h"
#include "epki/v1/renewal.pb-c.h"
#include "epki/v1/revocation.pb-c.h"
#include "scratch.h"
#include "wire/wire.h"

static struct {
    Epki__V1__EnrollmentRequest enroll;
    Epki__V1__RenewalRequest renew;
    Epki__V1__RevocationRequest revoke;
    Epki__V1__Subject subject;
    Epki__V1__Attribute attribute[EW_MAX_ATTRIBUTES + 1];
    Epki__V1__Attribute *attributes[EW_MAX_ATTRIBUTES + 1];
    Epki__V1__KeyChoice key;
    Epki__V1__WorkerKey worker_key;
    Epki__V1__GlobalSignKey globalsign_key;
    Epki__V1__Target target;
    Epki__V1__IssuerAndSerial serial;
    Epki__V1__SettingAndOrder order;
    char *labels[EW_MAX_LABELS + 1];
} p;

static struct ew_request request;

__attribute__((unused)) static const enum ew_lane lane_of[] = {EW_LANE_ENROLLMENT, EW_LANE_RENEWAL,
                                                               EW_LANE_REVOCATION};

__attribute__((unused)) static void
fill_parts(void)
{
    static char names[EW_MAX_ATTRIBUTES + 1][8], value[] = "v", label[] = "l";

    memset(&p, 0, sizeof(p));
    epki__v1__subject__init(&p.subject);
    epki__v1__key_choice__init(&p.key);
    epki__v1__worker_key__init(&p.worker_key);
    epki__v1__global_sign_key__init(&p.globalsign_key);
    epki__v1__target__init(&p.target);
    epki__v1__issuer_and_serial__init(&p.serial);
    epki__v1__setting_and_order__init(&p.order);
    for (int i = 0; i <= EW_MAX_ATTRIBUTES; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "a%d", i);
        epki__v1__attribute__init(&p.attribute[i]);
        p.attribute[i].name = names[i];
        p.attribute[i].value = value;
        p.attributes[i] = &p.attribute[i];
    }
    p.subject.attributes = p.attributes;
    p.key.choice_case = EPKI__V1__KEY_CHOICE__CHOICE_CSR;
    p.key.csr = letters(3);
    p.target.target_case = EPKI__V1__TARGET__TARGET_REQUEST_ID;
    p.target.request_id = letters(3);
    for (int i = 0; i <= EW_MAX_LABELS; i++)
        p.labels[i] = label;
}

__attribute__((unused)) static int
begin_request(void **state)
{
    fill_parts();
    epki__v1__enrollment_request__init(&p.enroll);
    epki__v1__renewal_request__init(&p.renew);
    epki__v1__revocation_request__init(&p.revoke);
    p.enroll.request_id = p.renew.request_id = p.revoke.request_id = letters(1);
    p.enroll.setting = p.renew.setting = letters(4);
    p.enroll.subject = p.renew.subject = &p.subject;
    p.enroll.key = p.renew.key = &p.key;
    p.renew.target = p.revoke.target = &p.target;
    p.enroll.labels = p.renew.labels = p.revoke.labels = p.labels;
    return begin(state);
}

__attribute__((unused)) static void
pack(enum ew_lane lane)
{
    const ProtobufCMessage *message = lane == EW_LANE_REVOCATION ? &p.revoke.base
                                      : lane == EW_LANE_RENEWAL  ? &p.renew.base
                                                                 : &p.enroll.base;
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = malloc(len + 1);

    assert_non_null(packed);
    (void)protobuf_c_message_pack(message, packed);
    ew_buf_clear(&bytes);
    ew_buf_put(&bytes, packed, len);
    free(packed);
}

__attribute__((unused)) static enum ew_fault
read_bytes(enum ew_lane lane)
{
    uint8_t *copy = exactly(bytes.data, bytes.len);
    enum ew_fault fault;

    assert_false(bytes.overflowed);
    ew_arena_free(arena);
    arena = ew_arena_new(EW_MAX_FLOW_MEMORY);
    err = (struct ew_err){.problem = "none"};
    fault = ew_wire_request(lane, copy, bytes.len, arena, &request, &err);
    free(copy); /* the request keeps nothing of the record */
    return fault;
}

__attribute__((unused)) static void
good(enum ew_lane lane)
{
    pack(lane);
    if (read_bytes(lane) != EW_OK)
        fail_msg("lane %d: %s of %s: %s", lane, err.problem, err.field, err.detail);
    assert_non_null(request.request_id);
}

/* Refused, with the field and the rule, and answered. */
__attribute__((unused)) static void
bad_bytes(enum ew_lane lane, const char *field, const char *problem)
{
    assert_int_equal(read_bytes(lane), EW_REJECT);
    assert_string_equal(err.field, field);
    assert_string_equal(err.problem, problem);
    assert_true(err.detail[0] != '\0' && err.advice != NULL);
    assert_string_equal(request.request_id, "a");
    assert_int_equal(request.op, lane == EW_LANE_REVOCATION ? EW_OP_REVOKE
                                 : lane == EW_LANE_RENEWAL  ? EW_OP_RENEW
                                                            : EW_OP_ENROLL);
}

__attribute__((unused)) static void
bad(enum ew_lane lane, const char *field, const char *problem)
{
    pack(lane);
    bad_bytes(lane, field, problem);
}

static uint8_t recipient[EW_MAX_RECIPIENT + 1];

__attribute__((unused)) static void
ask_for_worker_key(void)
{
    p.key.choice_case = EPKI__V1__KEY_CHOICE__CHOICE_WORKER_KEY;
    p.key.worker_key = &p.worker_key;
    p.worker_key.recipient_certificate = (ProtobufCBinaryData){.len = 4, .data = recipient};
}

__attribute__((unused)) static void
ask_for_globalsign_key(void)
{
    p.key.choice_case = EPKI__V1__KEY_CHOICE__CHOICE_GLOBALSIGN_KEY;
    p.key.globalsign_key = &p.globalsign_key;
    p.globalsign_key.recipient_certificate = (ProtobufCBinaryData){.len = 4, .data = recipient};
}
