/*
 * The digest of a request, version 1: over names and values in a fixed order, each with its length,
 * so that no two requests share a text. Stored and compared across upgrades: never change it, add a
 * version 2.
 */
#include <stdlib.h>
#include <string.h>

#include "domain/rules.h"
#include "wire_private.h"

static void
put(struct ew_buf *text, const char *name, const void *value, size_t len)
{
    if (len == 0)
        return; /* absent and empty are the same */
    ew_buf_printf(text, "%s:%zu:", name, len);
    ew_buf_put(text, value, len);
    ew_buf_putc(text, '\n');
}

static void
put_text(struct ew_buf *text, const char *name, const char *value)
{
    if (value != NULL)
        put(text, name, value, strlen(value));
}

static void
put_number(struct ew_buf *text, const char *name, long value)
{
    ew_buf_printf(text, "%s=%ld\n", name, value);
}

static void
put_subject(struct ew_buf *text, const struct ew_subject *s)
{
    const char *const facts[][2] = {
        {"user_id", s->user_id},     {"first_name", s->first_name},
        {"last_name", s->last_name}, {"display_name", s->display_name},
        {"email", s->email},         {"upn", s->upn},
        {"device_id", s->device_id}, {"device_serial", s->device_serial},
        {"platform", s->platform},   {"platform_version", s->platform_version},
        {"ownership", s->ownership},
    };
    bool used[EW_MAX_ATTRIBUTES] = {false};

    for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++)
        put_text(text, facts[i][0], facts[i][1]);
    /* Attributes by name, whatever their order on the wire. */
    for (size_t n = 0; n < s->attribute_count; n++) {
        size_t least = EW_MAX_ATTRIBUTES;

        for (size_t i = 0; i < s->attribute_count; i++)
            if (!used[i] && (least == EW_MAX_ATTRIBUTES ||
                             strcmp(s->attributes[i].name, s->attributes[least].name) < 0))
                least = i;
        used[least] = true;
        put_text(text, "attribute", s->attributes[least].name);
        put_text(text, "value", s->attributes[least].value);
    }
}

void
ew_request_digest(const struct ew_request *request, const uint8_t *csr_spki, uint8_t out[32],
                  void (*sha256)(const void *data, size_t len, uint8_t out[32]))
{
    struct ew_buf text;
    uint8_t recipient[32];

    ew_buf_init(&text, (size_t)EW_MAX_RECORD * 2);
    ew_buf_puts(&text, "epki request digest 1\n");
    put_number(&text, "operation", request->op);
    put_text(&text, "setting", request->setting);
    put_subject(&text, &request->subject);
    put_number(&text, "key", request->key);
    if (request->key == EW_KEY_CSR && csr_spki != NULL)
        put(&text, "spki", csr_spki, 32);
    else if (request->key == EW_KEY_CSR)
        put_text(&text, "csr", request->csr);
    if (request->key == EW_KEY_WORKER)
        put_number(&text, "key_type", request->key_type_given ? (long)request->key_type : -1);
    if (ew_rules_seals(request)) {
        put_number(&text, "p12_format", request->p12_format);
        sha256(request->recipient, request->recipient_len, recipient);
        put(&text, "recipient", recipient, sizeof(recipient));
    }
    put_number(&text, "target", request->target.kind);
    put_text(&text, "target_request_id", request->target.request_id);
    put_text(&text, "target_issuer", request->target.issuer);
    put_text(&text, "target_serial", request->target.serial);
    put_text(&text, "target_setting", request->target.setting);
    put_text(&text, "target_order_id", request->target.order_id);
    put_number(&text, "reason", request->reason);
    put_number(&text, "removal", request->removal);
    if (text.overflowed)
        abort(); /* without memory: half a digest would take two requests for one */
    sha256(ew_buf_text(&text), text.len, out);
    ew_buf_deinit(&text);
}
