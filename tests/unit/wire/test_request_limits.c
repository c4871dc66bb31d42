/*
 * Proof of every limit of a request, at its value and one beyond, and of what must not be empty.
 */
#include "requests.h"

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

/* Each one in each kind of request that has it, which is whole before. */
static void
each(void **state, void (*check)(const struct limit *limit, enum ew_lane lane))
{
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        for (unsigned kind = 0; kind < 3; kind++) {
            if ((limits[i].kinds & 1u << kind) == 0)
                continue;
            (void)end(state);
            assert_int_equal(begin_request(state), 0);
            check(&limits[i], lane_of[kind]);
        }
    }
}

static void
ends_at_its_value(const struct limit *limit, enum ew_lane lane)
{
    limit->set(limit->max);
    good(lane);
    limit->set(limit->max + 1);
    bad(lane, limit->field, limit->problem);
}

static void
every_limit(void **state)
{
    each(state, ends_at_its_value);
}

static void
is_missing_when_empty(const struct limit *limit, enum ew_lane lane)
{
    if (limit->least == 0)
        return;
    limit->set(1);
    good(lane);
    limit->set(0);
    pack(lane);
    assert_int_equal(read_bytes(lane), EW_REJECT);
    assert_string_equal(err.field, limit->field);
    assert_non_null(request.request_id);
}

static void
what_must_not_be_empty(void **state)
{
    each(state, is_missing_when_empty);
}

/* There is nobody to answer. */
static void
is_a_dead_letter(enum ew_lane lane, const char *problem)
{
    assert_int_equal(read_bytes(lane), EW_REJECT);
    assert_string_equal(err.problem, problem);
    assert_null(request.request_id);
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
        is_a_dead_letter(lane_of[kind], "request-id");
        assert_string_equal(err.field, "request_id");
    }
    for (size_t i = 0; i < sizeof(bad_ids) / sizeof(bad_ids[0]); i++) {
        p.enroll.request_id = (char *)(uintptr_t)bad_ids[i];
        pack(EW_LANE_ENROLLMENT);
        is_a_dead_letter(EW_LANE_ENROLLMENT, "request-id");
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
    is_a_dead_letter(EW_LANE_ENROLLMENT, "record-size");
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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_limit, begin_request, end),
        cmocka_unit_test_setup_teardown(what_must_not_be_empty, begin_request, end),
        cmocka_unit_test_setup_teardown(request_ids, begin_request, end),
        cmocka_unit_test_setup_teardown(record_size, begin_request, end),
        cmocka_unit_test_setup_teardown(all_limits_together, begin_request, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
