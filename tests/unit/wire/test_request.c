/*
 * Proof of reading requests: every field of the three kinds, every limit at its value and one
 * beyond, every rule, and who gets an answer or a dead letter.
 */
#include "bytes.h"
#include "epki/v1/enrollment.pb-c.h"
#include "epki/v1/renewal.pb-c.h"
#include "epki/v1/revocation.pb-c.h"
#include "wire/wire.h"

/* Valid requests of the three kinds with shared parts; a test changes one thing. */
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
static char names[EW_MAX_ATTRIBUTES + 1][8], value[] = "v", label[] = "l";

static struct ew_arena *arena;
static struct ew_buf bytes;
static struct ew_request request;
static struct ew_err err;

static void
fill_parts(void)
{
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

static int
begin(void **state)
{
    (void)state;
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
    ew_buf_init(&bytes, BYTES_MAX);
    arena = ew_arena_new(EW_MAX_FLOW_MEMORY);
    assert_non_null(arena);
    return 0;
}

static int
end(void **state)
{
    (void)state;
    ew_buf_deinit(&bytes);
    ew_arena_free(arena);
    arena = NULL;
    return 0;
}

static void
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

static enum ew_fault
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

static void
good(enum ew_lane lane)
{
    pack(lane);
    if (read_bytes(lane) != EW_OK)
        fail_msg("lane %d: %s of %s: %s", lane, err.problem, err.field, err.detail);
    assert_non_null(request.request_id);
}

/* Refused, with the field and the rule, and answered. */
static void
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

static void
bad(enum ew_lane lane, const char *field, const char *problem)
{
    pack(lane);
    bad_bytes(lane, field, problem);
}

/* --- every field --- */

static void
enrollment_with_csr(void **state)
{
    (void)state;
    p.subject.user_id = (char[]){"u-1"};
    p.subject.first_name = (char[]){"Ada"};
    p.subject.last_name = (char[]){"Lovelace"};
    p.subject.display_name = (char[]){"Ada L."};
    p.subject.email = (char[]){"ada@example.com"};
    p.subject.upn = (char[]){"ada@corp.example.com"};
    p.subject.device_id = (char[]){"d-1"};
    p.subject.device_serial = (char[]){"C02"};
    p.subject.platform = (char[]){"ios"};
    p.subject.platform_version = (char[]){"17.2"};
    p.subject.ownership = EPKI__V1__OWNERSHIP__OWNERSHIP_EMPLOYEE;
    p.subject.n_attributes = 2;
    p.enroll.n_labels = 2;
    p.enroll.context = (ProtobufCBinaryData){.len = 3, .data = (uint8_t[]){0, 255, 1}};
    p.enroll.deadline_ms = 1700000000123;
    p.enroll.lane = EPKI__V1__LANE_HINT__LANE_HINT_BULK;
    good(EW_LANE_ENROLLMENT);
    assert_int_equal(request.op, EW_OP_ENROLL);
    assert_string_equal(request.request_id, "a");
    assert_string_equal(request.setting, "aaaa");
    assert_string_equal(request.subject.user_id, "u-1");
    assert_string_equal(request.subject.first_name, "Ada");
    assert_string_equal(request.subject.last_name, "Lovelace");
    assert_string_equal(request.subject.display_name, "Ada L.");
    assert_string_equal(request.subject.email, "ada@example.com");
    assert_string_equal(request.subject.upn, "ada@corp.example.com");
    assert_string_equal(request.subject.device_id, "d-1");
    assert_string_equal(request.subject.device_serial, "C02");
    assert_string_equal(request.subject.platform, "ios");
    assert_string_equal(request.subject.platform_version, "17.2");
    assert_string_equal(request.subject.ownership, "employee");
    assert_int_equal(request.subject.attribute_count, 2);
    assert_string_equal(request.subject.attributes[1].name, "a1");
    assert_string_equal(request.subject.attributes[1].value, "v");
    assert_int_equal(request.key, EW_KEY_CSR);
    assert_string_equal(request.csr, "aaa");
    assert_int_equal(request.label_count, 2);
    assert_string_equal(request.labels[1], "l");
    assert_int_equal(request.context_len, 3);
    assert_memory_equal(request.context, "\0\xff\1", 3);
    assert_int_equal(request.deadline_ms, 1700000000123);
    assert_true(request.bulk_hint);
    assert_int_equal(request.target.kind, EW_TARGET_NONE);
}

static void
ask_for_worker_key(void)
{
    static uint8_t recipient[EW_MAX_RECIPIENT + 1];

    p.key.choice_case = EPKI__V1__KEY_CHOICE__CHOICE_WORKER_KEY;
    p.key.worker_key = &p.worker_key;
    p.worker_key.recipient_certificate = (ProtobufCBinaryData){.len = 4, .data = recipient};
}

static void
worker_made_keys(void **state)
{
    static const struct {
        Epki__V1__KeyType type;
        enum ew_key_type is;
    } types[] = {
        {EPKI__V1__KEY_TYPE__KEY_TYPE_UNSPECIFIED, EW_KEY_RSA_2048},
        {EPKI__V1__KEY_TYPE__KEY_TYPE_RSA_2048, EW_KEY_RSA_2048},
        {EPKI__V1__KEY_TYPE__KEY_TYPE_RSA_3072, EW_KEY_RSA_3072},
        {EPKI__V1__KEY_TYPE__KEY_TYPE_EC_P256, EW_KEY_EC_P256},
        {EPKI__V1__KEY_TYPE__KEY_TYPE_EC_P384, EW_KEY_EC_P384},
    };

    (void)state;
    ask_for_worker_key();
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        p.worker_key.type = types[i].type;
        good(EW_LANE_BULK);
        assert_int_equal(request.key, EW_KEY_WORKER);
        assert_int_equal(request.key_type, types[i].is);
        assert_int_equal(request.key_type_given, i > 0);
        assert_int_equal(request.p12_format, EW_P12_MODERN);
        assert_int_equal(request.recipient_len, 4);
        assert_memory_equal(request.recipient, "\0\0\0\0", 4);
        assert_null(request.csr);
    }
    p.worker_key.format = EPKI__V1__PKCS12_FORMAT__PKCS12_FORMAT_APPLE;
    good(EW_LANE_RENEWAL);
    assert_int_equal(request.p12_format, EW_P12_APPLE);
}

static void
ask_for_globalsign_key(void)
{
    static uint8_t recipient[EW_MAX_RECIPIENT + 1];

    p.key.choice_case = EPKI__V1__KEY_CHOICE__CHOICE_GLOBALSIGN_KEY;
    p.key.globalsign_key = &p.globalsign_key;
    p.globalsign_key.recipient_certificate = (ProtobufCBinaryData){.len = 4, .data = recipient};
}

static void
keys_made_by_globalsign(void **state)
{
    (void)state;
    ask_for_globalsign_key();
    good(EW_LANE_BULK);
    assert_int_equal(request.key, EW_KEY_GLOBALSIGN);
    assert_false(request.key_type_given);
    assert_int_equal(request.p12_format, EW_P12_MODERN);
    assert_int_equal(request.recipient_len, 4);
    assert_memory_equal(request.recipient, "\0\0\0\0", 4);
    assert_null(request.csr);
    p.globalsign_key.format = EPKI__V1__PKCS12_FORMAT__PKCS12_FORMAT_APPLE;
    good(EW_LANE_RENEWAL);
    assert_int_equal(request.p12_format, EW_P12_APPLE);
}

static void
renewal_names_its_target(void **state)
{
    (void)state;
    p.target.request_id = (char[]){"e-1"};
    good(EW_LANE_RENEWAL);
    assert_int_equal(request.op, EW_OP_RENEW);
    assert_string_equal(request.setting, "aaaa");
    assert_int_equal(request.target.kind, EW_TARGET_REQUEST);
    assert_string_equal(request.target.request_id, "e-1");
    assert_string_equal(request.target.serial, "");
    p.renew.subject = NULL; /* then the target's names are used */
    good(EW_LANE_RENEWAL);
    assert_string_equal(request.subject.email, "");
    assert_string_equal(request.subject.ownership, "");
    assert_int_equal(request.subject.attribute_count, 0);
}

static void
revocation_with_every_target(void **state)
{
    (void)state;
    p.revoke.reason = EPKI__V1__REVOCATION_REASON__REVOCATION_REASON_SUPERSEDED;
    p.revoke.removal = EPKI__V1__REMOVAL__REMOVAL_REMOVE;
    p.revoke.n_labels = 1;
    good(EW_LANE_REVOCATION);
    assert_int_equal(request.op, EW_OP_REVOKE);
    assert_int_equal(request.reason, 4);
    assert_int_equal(request.removal, EW_REVOKE_REMOVE);
    assert_int_equal(request.label_count, 1);
    assert_null(request.setting);
    assert_int_equal(request.target.kind, EW_TARGET_REQUEST);

    p.target.target_case = EPKI__V1__TARGET__TARGET_SERIAL;
    p.target.serial = &p.serial;
    p.serial.issuer = (char[]){"CN=CA"};
    p.serial.serial = (char[]){"000AbCdEf0"};
    p.revoke.removal = EPKI__V1__REMOVAL__REMOVAL_UNSPECIFIED;
    good(EW_LANE_REVOCATION);
    assert_int_equal(request.target.kind, EW_TARGET_SERIAL);
    assert_string_equal(request.target.issuer, "CN=CA");
    assert_string_equal(request.target.serial, "abcdef0");
    assert_int_equal(request.removal, EW_REVOKE_REVOKE);
    p.serial.serial = (char[]){"00"};
    good(EW_LANE_REVOCATION);
    assert_string_equal(request.target.serial, "0");

    p.target.target_case = EPKI__V1__TARGET__TARGET_ORDER;
    p.target.order = &p.order;
    p.order.setting = (char[]){"wifi"};
    p.order.order_id = (char[]){"CEPK1"};
    good(EW_LANE_REVOCATION);
    assert_int_equal(request.target.kind, EW_TARGET_ORDER);
    assert_string_equal(request.target.setting, "wifi");
    assert_string_equal(request.target.order_id, "CEPK1");
}

/* --- every limit --- */

static void
set_request_id(size_t n)
{
    p.enroll.request_id = p.renew.request_id = p.revoke.request_id = letters(n);
}

static void
set_setting(size_t n)
{
    p.enroll.setting = p.renew.setting = letters(n);
}

#define SET_FACT(fact)                                                                             \
    static void set_##fact(size_t n)                                                               \
    {                                                                                              \
        p.subject.fact = letters(n);                                                               \
    }
SET_FACT(user_id)
SET_FACT(first_name)
SET_FACT(last_name)
SET_FACT(display_name)
SET_FACT(email)
SET_FACT(upn)
SET_FACT(device_id)
SET_FACT(device_serial)
SET_FACT(platform)
SET_FACT(platform_version)

static void
set_attributes(size_t n)
{
    p.subject.n_attributes = n;
}

static void
set_attribute_name(size_t n)
{
    p.subject.n_attributes = 1;
    p.attribute[0].name = letters(n);
}

static void
set_attribute(size_t n)
{
    p.subject.n_attributes = 1;
    p.attribute[0].value = letters(n);
}

static void
set_labels(size_t n)
{
    p.enroll.n_labels = p.renew.n_labels = p.revoke.n_labels = n;
}

static void
set_label(size_t n)
{
    set_labels(1);
    p.labels[0] = letters(n);
}

static void
set_context(size_t n)
{
    p.enroll.context = p.renew.context = p.revoke.context =
        (ProtobufCBinaryData){.len = n, .data = (uint8_t *)letters(n)};
}

static void
set_csr(size_t n)
{
    p.key.csr = letters(n);
}

static void
set_recipient(size_t n)
{
    ask_for_worker_key();
    p.worker_key.recipient_certificate.len = n;
}

static void
set_globalsign_recipient(size_t n)
{
    ask_for_globalsign_key();
    p.globalsign_key.recipient_certificate.len = n;
}

static void
set_target_request_id(size_t n)
{
    p.target.request_id = letters(n);
}

static void
set_serial(size_t n)
{
    p.target.target_case = EPKI__V1__TARGET__TARGET_SERIAL;
    p.target.serial = &p.serial;
    p.serial.issuer = letters(1);
    p.serial.serial = letters(n);
}

static void
set_issuer(size_t n)
{
    set_serial(1);
    p.serial.issuer = letters(n);
}

static void
set_order_id(size_t n)
{
    p.target.target_case = EPKI__V1__TARGET__TARGET_ORDER;
    p.target.order = &p.order;
    p.order.setting = letters(1);
    p.order.order_id = letters(n);
}

static void
set_target_setting(size_t n)
{
    set_order_id(1);
    p.order.setting = letters(n);
}

enum {
    ENROLL = 1,
    RENEW = 2,
    REVOKE = 4,
    ORDERS = ENROLL | RENEW,
    TARGETS = RENEW | REVOKE,
    ALL = 7
};

static const struct limit {
    void (*set)(size_t n);
    size_t max;
    const char *field, *problem;
    unsigned kinds;
    size_t least; /* below it the field counts as missing; 0 = it may be absent */
} limits[] = {
    {set_setting, EW_MAX_SETTING_NAME, "setting", "too-long", ORDERS, 1},
    {set_user_id, EW_MAX_FACT, "subject.user_id", "too-long", ORDERS, 0},
    {set_first_name, EW_MAX_FACT, "subject.first_name", "too-long", ORDERS, 0},
    {set_last_name, EW_MAX_FACT, "subject.last_name", "too-long", ORDERS, 0},
    {set_display_name, EW_MAX_FACT, "subject.display_name", "too-long", ORDERS, 0},
    {set_email, EW_MAX_EMAIL, "subject.email", "too-long", ORDERS, 0},
    {set_upn, EW_MAX_UPN, "subject.upn", "too-long", ORDERS, 0},
    {set_device_id, EW_MAX_FACT, "subject.device_id", "too-long", ORDERS, 0},
    {set_device_serial, EW_MAX_FACT, "subject.device_serial", "too-long", ORDERS, 0},
    {set_platform, EW_MAX_FACT, "subject.platform", "too-long", ORDERS, 0},
    {set_platform_version, EW_MAX_FACT, "subject.platform_version", "too-long", ORDERS, 0},
    {set_attributes, EW_MAX_ATTRIBUTES, "subject.attributes", "too-many", ORDERS, 0},
    {set_attribute_name, EW_MAX_ATTRIBUTE_NAME, "subject.attributes.name", "too-long", ORDERS, 1},
    {set_attribute, EW_MAX_ATTRIBUTE, "subject.attributes.value", "too-long", ORDERS, 0},
    {set_labels, EW_MAX_LABELS, "labels", "too-many", ALL, 0},
    {set_label, EW_MAX_LABEL, "labels", "too-long", ALL, 0},
    {set_context, EW_MAX_CONTEXT, "context", "too-long", ALL, 0},
    {set_csr, EW_MAX_CSR, "key.csr", "too-long", ORDERS, 0},
    {set_recipient, EW_MAX_RECIPIENT, "key.worker_key.recipient_certificate", "recipient", ORDERS,
     1},
    {set_globalsign_recipient, EW_MAX_RECIPIENT, "key.globalsign_key.recipient_certificate",
     "recipient", ORDERS, 1},
    {set_target_request_id, EW_MAX_REQUEST_ID, "target.request_id", "too-long", TARGETS, 0},
    {set_serial, EW_MAX_SERIAL, "target.serial.serial", "serial", TARGETS, 1},
    {set_issuer, EW_MAX_ISSUER, "target.serial.issuer", "too-long", TARGETS, 1},
    {set_order_id, EW_MAX_ORDER_ID, "target.order.order_id", "too-long", TARGETS, 1},
    {set_target_setting, EW_MAX_SETTING_NAME, "target.order.setting", "too-long", TARGETS, 1},
};
static const enum ew_lane lane_of[] = {EW_LANE_ENROLLMENT, EW_LANE_RENEWAL, EW_LANE_REVOCATION};

static void
every_limit(void **state)
{
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        const struct limit *limit = &limits[i];

        for (unsigned kind = 0; kind < 3; kind++) {
            if ((limit->kinds & 1u << kind) == 0)
                continue;
            (void)end(state);
            (void)begin(state);
            limit->set(limit->max);
            good(lane_of[kind]);
            limit->set(limit->max + 1);
            bad(lane_of[kind], limit->field, limit->problem);
        }
    }
}

static void
what_must_not_be_empty(void **state)
{
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        const struct limit *limit = &limits[i];

        for (unsigned kind = 0; kind < 3; kind++) {
            if ((limit->kinds & 1u << kind) == 0 || limit->least == 0)
                continue;
            (void)end(state);
            (void)begin(state);
            limit->set(1);
            good(lane_of[kind]);
            limit->set(0);
            pack(lane_of[kind]);
            assert_int_equal(read_bytes(lane_of[kind]), EW_REJECT);
            assert_string_equal(err.field, limit->field);
            assert_non_null(request.request_id);
        }
    }
}

static void
request_ids(void **state)
{
    static const char *const bad_ids[] = {"", " ", "a b", "a/b", "\xc3\xa9", "a\n", "a\x7f"};

    (void)state;
    for (unsigned kind = 0; kind < 3; kind++) {
        set_request_id(EW_MAX_REQUEST_ID);
        good(lane_of[kind]);
        assert_int_equal(strlen(request.request_id), EW_MAX_REQUEST_ID);
        set_request_id(EW_MAX_REQUEST_ID + 1);
        pack(lane_of[kind]);
        assert_int_equal(read_bytes(lane_of[kind]), EW_REJECT);
        assert_string_equal(err.problem, "request-id");
        assert_string_equal(err.field, "request_id");
        assert_null(request.request_id); /* a dead letter */
    }
    for (size_t i = 0; i < sizeof(bad_ids) / sizeof(bad_ids[0]); i++) {
        p.enroll.request_id = (char *)(uintptr_t)bad_ids[i];
        pack(EW_LANE_ENROLLMENT);
        assert_int_equal(read_bytes(EW_LANE_ENROLLMENT), EW_REJECT);
        assert_string_equal(err.problem, "request-id");
        assert_null(request.request_id);
    }
    p.enroll.request_id = (char[]){"AZaz09._:-"};
    good(EW_LANE_ENROLLMENT);
}

/* Padded with a field of a newer contract to the byte. */
static void
pad_to(size_t size)
{
    size_t head = 5; /* two bytes of tag, three of length */

    pack(EW_LANE_ENROLLMENT);
    put_bytes(&bytes, 100, letters(size - bytes.len - head), size - bytes.len - head);
    assert_int_equal(bytes.len, size);
}

static void
record_size(void **state)
{
    (void)state;
    pad_to(EW_MAX_RECORD);
    assert_int_equal(read_bytes(EW_LANE_ENROLLMENT), EW_OK);
    pad_to(EW_MAX_RECORD + 1);
    assert_int_equal(read_bytes(EW_LANE_ENROLLMENT), EW_REJECT);
    assert_string_equal(err.problem, "record-size");
    assert_null(request.request_id);
}

/* Everything at its largest at once still fits the memory of one request. */
static void
all_limits_together(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
        if ((limits[i].kinds & RENEW) != 0 && limits[i].set != set_recipient)
            limits[i].set(limits[i].max);
    for (int i = 0; i < EW_MAX_ATTRIBUTES; i++) {
        static char long_names[EW_MAX_ATTRIBUTES][EW_MAX_ATTRIBUTE_NAME + 1];

        (void)snprintf(long_names[i], sizeof(long_names[i]), "%0*d", EW_MAX_ATTRIBUTE_NAME, i);
        p.attribute[i].name = long_names[i];
        p.attribute[i].value = p.attribute[0].value;
        p.labels[i] = p.labels[0];
    }
    set_attributes(EW_MAX_ATTRIBUTES);
    set_labels(EW_MAX_LABELS);
    set_request_id(EW_MAX_REQUEST_ID);
    good(EW_LANE_RENEWAL);
    assert_in_range(ew_arena_used(arena), 80 * 1024, EW_MAX_FLOW_MEMORY / 2);
}

/* --- every rule --- */

static void
key_choices(void **state)
{
    (void)state;
    p.key.choice_case = EPKI__V1__KEY_CHOICE__CHOICE__NOT_SET;
    bad(EW_LANE_ENROLLMENT, "key", "missing");
    p.enroll.key = NULL;
    bad(EW_LANE_ENROLLMENT, "key", "missing");
    ask_for_worker_key();
    p.worker_key.type = (Epki__V1__KeyType)5;
    bad(EW_LANE_RENEWAL, "key.worker_key.type", "unknown-value");
    p.worker_key.type = (Epki__V1__KeyType)-1;
    bad(EW_LANE_RENEWAL, "key.worker_key.type", "unknown-value");
    p.worker_key.type = EPKI__V1__KEY_TYPE__KEY_TYPE_EC_P256;
    p.worker_key.format = (Epki__V1__Pkcs12Format)3;
    bad(EW_LANE_RENEWAL, "key.worker_key.format", "unknown-value");
    p.worker_key.format = (Epki__V1__Pkcs12Format)-1;
    bad(EW_LANE_RENEWAL, "key.worker_key.format", "unknown-value");
    ask_for_globalsign_key();
    p.globalsign_key.format = (Epki__V1__Pkcs12Format)3;
    bad(EW_LANE_RENEWAL, "key.globalsign_key.format", "unknown-value");
}

static void
subject_rules(void **state)
{
    (void)state;
    p.subject.ownership = (Epki__V1__Ownership)3;
    bad(EW_LANE_ENROLLMENT, "subject.ownership", "unknown-value");
    p.subject.ownership = EPKI__V1__OWNERSHIP__OWNERSHIP_CORPORATE;
    p.subject.n_attributes = 2;
    p.attribute[1].name = p.attribute[0].name;
    bad(EW_LANE_ENROLLMENT, "subject.attributes", "attribute-twice");
    p.attribute[1].name = (char[]){"A0"}; /* names know upper and lower case */
    good(EW_LANE_ENROLLMENT);
    assert_string_equal(request.subject.ownership, "corporate");
    p.enroll.subject = NULL;
    good(EW_LANE_ENROLLMENT);
    assert_string_equal(request.subject.user_id, "");
}

static void
targets_and_reasons(void **state)
{
    static const char *const serials[] = {"0x1f", "1f ", "g", "-1"};

    (void)state;
    for (int reason = -1; reason <= 12; reason++) {
        p.revoke.reason = (Epki__V1__RevocationReason)reason;
        if (reason >= 0 && reason <= 10 && (reason < 6 || reason > 8))
            good(EW_LANE_REVOCATION);
        else
            bad(EW_LANE_REVOCATION, "reason", "reason");
    }
    p.revoke.reason = EPKI__V1__REVOCATION_REASON__REVOCATION_REASON_UNSPECIFIED;
    p.revoke.removal = (Epki__V1__Removal)3;
    bad(EW_LANE_REVOCATION, "removal", "unknown-value");
    p.revoke.removal = EPKI__V1__REMOVAL__REMOVAL_REVOKE;
    p.target.request_id = (char[]){"a b"};
    bad(EW_LANE_REVOCATION, "target.request_id", "request-id");
    for (size_t i = 0; i < sizeof(serials) / sizeof(serials[0]); i++) {
        set_serial(1);
        p.serial.serial = (char *)(uintptr_t)serials[i];
        bad(EW_LANE_REVOCATION, "target.serial.serial", "serial");
    }
    p.target.target_case = EPKI__V1__TARGET__TARGET__NOT_SET;
    bad(EW_LANE_REVOCATION, "target", "missing");
    bad(EW_LANE_RENEWAL, "target", "missing");
    p.renew.target = NULL;
    bad(EW_LANE_RENEWAL, "target", "missing");
}

static void
deadlines(void **state)
{
    (void)state;
    p.enroll.deadline_ms = -1;
    bad(EW_LANE_ENROLLMENT, "deadline_ms", "deadline");
    p.enroll.deadline_ms = INT64_MAX;
    good(EW_LANE_ENROLLMENT);
    assert_int_equal(request.deadline_ms, INT64_MAX);
}

/* The first problem is the one that is said. */
static void
several_problems(void **state)
{
    (void)state;
    set_email(EW_MAX_EMAIL + 1);
    set_csr(EW_MAX_CSR + 1);
    set_context(EW_MAX_CONTEXT + 1);
    p.enroll.n_labels = 1;
    bad(EW_LANE_ENROLLMENT, "subject.email", "too-long");
    assert_int_equal(request.label_count, 1); /* what could be read is carried through */
    assert_int_equal(request.context_len, 0);
}

/* --- answer or dead letter --- */

static void
decodable_is_answered(void **state)
{
    (void)state;
    pack(EW_LANE_ENROLLMENT);
    put_string(&bytes, 2, "again"); /* any parser takes the last of two */
    bad_bytes(EW_LANE_ENROLLMENT, "setting", "field-twice");
    assert_string_equal(request.setting, ""); /* of such a message nothing but the id is used */
    assert_int_equal(request.key, EW_KEY_NONE);

    pack(EW_LANE_RENEWAL);
    for (int i = 0; i < 65; i++)
        put_number(&bytes, 100, 1);
    bad_bytes(EW_LANE_RENEWAL, "", "too-many");

    pack(EW_LANE_REVOCATION);
    put_bytes(&bytes, 5, "a\0b", 3);
    bad_bytes(EW_LANE_REVOCATION, "labels", "text-nul");

    ew_buf_clear(&bytes);
    put_string(&bytes, 1, "x");
    put_string(&bytes, 1, "a");
    bad_bytes(EW_LANE_ENROLLMENT, "request_id", "field-twice");

    ew_buf_clear(&bytes);
    put_bytes(&bytes, 4, "\x0a\x01x\x12\x00", 5);
    put_string(&bytes, 1, "a");
    bad_bytes(EW_LANE_ENROLLMENT, "key.worker_key", "oneof-twice");
}

static void
dead(enum ew_lane lane, const char *problem)
{
    assert_int_equal(read_bytes(lane), EW_REJECT);
    assert_string_equal(err.problem, problem);
    assert_null(request.request_id);
}

static void
undecodable_is_a_dead_letter(void **state)
{
    (void)state;
    ew_buf_puts(&bytes, "{\"request_id\": \"a\"}");
    dead(EW_LANE_ENROLLMENT, "malformed");
    pack(EW_LANE_ENROLLMENT);
    put_string(&bytes, 5, "\xff");
    dead(EW_LANE_ENROLLMENT, "text-utf8");
    pack(EW_LANE_ENROLLMENT);
    bytes.len--;
    dead(EW_LANE_ENROLLMENT, "malformed");
    ew_buf_clear(&bytes);
    dead(EW_LANE_ENROLLMENT, "request-id"); /* no bytes: a message whose every field is absent */
    ew_buf_put(&bytes, "\0\0\0\0\1\0", 6);
    dead(EW_LANE_ENROLLMENT, "request-id");
    ew_buf_clear(&bytes);
    ew_buf_put(&bytes, "\0\0\0\0\1\2\2\x0a\1a", 10); /* a frame that names another message */
    dead(EW_LANE_ENROLLMENT, "frame-message");
    /* Too many of something, and no id to answer by. */
    ew_buf_clear(&bytes);
    for (int i = 0; i < 65; i++)
        put_string(&bytes, 5, "l");
    dead(EW_LANE_ENROLLMENT, "too-many");
    put_string(&bytes, 1, "not an id");
    dead(EW_LANE_ENROLLMENT, "too-many");
    put_bytes(&bytes, 1, "a\0", 2);
    dead(EW_LANE_ENROLLMENT, "too-many");
}

static void
framed_and_raw_are_the_same(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 3; kind++) {
        struct ew_buf raw;

        pack(lane_of[kind]);
        ew_buf_init(&raw, BYTES_MAX);
        ew_buf_put(&raw, bytes.data, bytes.len);
        ew_buf_clear(&bytes);
        ew_buf_put(&bytes, "\0\0\0\1\7\0", 6);
        ew_buf_put(&bytes, raw.data, raw.len);
        ew_buf_deinit(&raw);
        assert_int_equal(read_bytes(lane_of[kind]), EW_OK);
        assert_string_equal(request.request_id, "a");
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(enrollment_with_csr, begin, end),
        cmocka_unit_test_setup_teardown(worker_made_keys, begin, end),
        cmocka_unit_test_setup_teardown(keys_made_by_globalsign, begin, end),
        cmocka_unit_test_setup_teardown(renewal_names_its_target, begin, end),
        cmocka_unit_test_setup_teardown(revocation_with_every_target, begin, end),
        cmocka_unit_test_setup_teardown(every_limit, begin, end),
        cmocka_unit_test_setup_teardown(what_must_not_be_empty, begin, end),
        cmocka_unit_test_setup_teardown(request_ids, begin, end),
        cmocka_unit_test_setup_teardown(record_size, begin, end),
        cmocka_unit_test_setup_teardown(all_limits_together, begin, end),
        cmocka_unit_test_setup_teardown(key_choices, begin, end),
        cmocka_unit_test_setup_teardown(subject_rules, begin, end),
        cmocka_unit_test_setup_teardown(targets_and_reasons, begin, end),
        cmocka_unit_test_setup_teardown(deadlines, begin, end),
        cmocka_unit_test_setup_teardown(several_problems, begin, end),
        cmocka_unit_test_setup_teardown(decodable_is_answered, begin, end),
        cmocka_unit_test_setup_teardown(undecodable_is_a_dead_letter, begin, end),
        cmocka_unit_test_setup_teardown(framed_and_raw_are_the_same, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
