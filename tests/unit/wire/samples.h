/*
 * One of everything that the worker publishes, with every field set. Their bytes stand in
 * tests/contract.
 */
#pragma once

#include <string.h>

#include "wire/wire.h"

#define BLOB(text) ((struct ew_blob){(const uint8_t *)(text), sizeof(text) - 1})

__attribute__((unused)) static struct ew_event
sample_event(void)
{
    static const char *const labels[] = {"fleet", "berlin"};

    return (struct ew_event){
        .event_id = "0123456789abcdef0123456789abcdef",
        .result = EW_RES_RENEWED,
        .op = EW_OP_RENEW,
        .request_id = "renew-1",
        .source = {.topic = "epki.renewal.requests", .partition = 3, .offset = 4294967297},
        .setting = "wifi",
        .labels = labels,
        .label_count = 2,
        .context = BLOB("\x00\x01\xfe\xff"),
        .failure = {.cls = EW_FAIL_MISMATCH,
                    .problem = "cert-key",
                    .field = "key.csr",
                    .cause = "another key",
                    .advice = "ask",
                    .vendor_code = -6007,
                    .vendor_field = "CSR"},
        .has_certificate = true,
        .certificate = {.der = BLOB("\x30\x82leaf"),
                        .chain = {BLOB("\x30\x82one"), BLOB("\x30\x82two")},
                        .chain_count = 2,
                        .serial = "1a2b3c",
                        .issuer = "CN=Issuing CA,O=Example",
                        .subject = "CN=J\xc3\xbcrgen",
                        .not_before_ms = 1700000000000,
                        .not_after_ms = 1731536000000,
                        .sha256 = "00ff",
                        .order_id = "CEPK0001",
                        .sealed_pkcs12 = BLOB("\x30\x80p12"),
                        .sealed_pin = BLOB("\x30\x80pin")},
        .duplicate = true,
        .first = {.topic = "epki.renewal.requests", .partition = 1, .offset = 7},
        .replaces_request_id = "enroll-1",
        .replaces_serial = "0f",
        .replaces_order_id = "CEPK0000",
        .target_request_id = "enroll-2",
        .reason = 4,
        .attempts = 2,
        .received_ms = 1700000000001,
        .ordered_ms = 1700000000002,
        .answered_ms = 1700000000003,
        .test = true,
        .note = "chain left out"};
}

__attribute__((unused)) static struct ew_account_event
sample_account(void)
{
    return (struct ew_account_event){.account = "main",
                                     .type = "paused",
                                     .problem = "credentials",
                                     .cause = "wrong password",
                                     .advice = "replace it",
                                     .vendor_code = -4001,
                                     .time_ms = 1700000000000,
                                     .request_id = "enroll-1",
                                     .order_id = "CEPK0001"};
}

__attribute__((unused)) static struct ew_state_record
sample_state(void)
{
    struct ew_state_record state = {
        .request_id = "renew-1",
        .op = EW_OP_RENEW,
        .source = {.topic = "epki.renewal.requests", .partition = 3, .offset = 4294967297},
        .first = sample_event(),
        .status = EW_CERT_REVOKED,
        .version = 5,
        .keep_until_ms = 1734128000000,
        .names = {.cn = "ada",
                  .email = "ada@example.com",
                  .upn = "ada@corp",
                  .ous = {"a", "b"},
                  .ou_count = 2},
        .key_count = 2};

    memset(state.digest, 0xd1, sizeof(state.digest));
    memset(state.keys[0], 0xa0, 32);
    memset(state.keys[1], 0xa1, 32);
    return state;
}

/* A STOP: the one kind that carries every field. */
__attribute__((unused)) static struct ew_inflight_record
sample_inflight(void)
{
    static const struct ew_header headers[] = {
        {"traceparent", "\xff\0x", 3}, {"empty", "", 0}, {"none", NULL, 0}};
    struct ew_inflight_record record = {
        .kind = EW_INFLIGHT_STOP,
        .request_id = "enroll-1",
        .op = EW_OP_ENROLL,
        .source = {.topic = "epki.enrollment.requests", .partition = 2, .offset = 99},
        .epoch = 6,
        .attempt = 2,
        .key_count = 2,
        .ca_date_ms = 1700000000000,
        .has_ordered = true,
        .order_id = "CEPK0001",
        .reason = "pending",
        .due_ms = 60000,
        .since_ms = 1700000000001,
        .wrapped_key = BLOB("\x01\x02k1wrapped"),
        .record_key = BLOB("ada\0wifi"),
        .record_value = BLOB("\x0a\x08"
                             "enroll-1"),
        .traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        .tracestate = "vendor=1",
        .by = {.topic = "epki.revocation.requests", .partition = 1, .offset = 5},
        .lane = EW_LANE_BULK,
        .first_source = "epki.enrollment.requests/2/98",
        .vanished = 1,
        .lost_orders = "CEPK0000 CEPK0001",
        .misfit = "CEPK0001\ncert-key\n\nAsk.\nthe key of \xc3\xa9\nand another",
        .record_ms = 1700000000002,
        .headers = headers,
        .header_count = 3,
        .headers_left_out = 3};

    memset(record.digest, 0xd2, sizeof(record.digest));
    memset(record.keys[0], 0xb0, 32);
    memset(record.keys[1], 0xb1, 32);
    return record;
}

__attribute__((unused)) static struct ew_resume
sample_resume(void)
{
    return (struct ew_resume){
        .action = EW_RESUME_END,
        .request_id = "enroll-1",
        .source = {.topic = "epki.enrollment.requests", .partition = 2, .offset = 99},
        .reason = "stopped",
        .by = {.topic = "epki.revocation.requests", .partition = 1, .offset = 5},
        .waiting_offset = 12345};
}
