/*
 * Proof of the request digest, version 1. The golden values were made by a second program from the
 * rules alone; they are stored in Redis and Kafka, so they must never change.
 */
#include "base/hex.h"
#include "bytes.h"
#include "wire/wire.h"
#include "x509/digest.h"

static const uint8_t spki[32] = {1, 2, 3};

static struct ew_request
enrollment(void)
{
    static const uint8_t context[] = {1, 2};
    struct ew_request r = {.op = EW_OP_ENROLL,
                           .request_id = "e-1",
                           .setting = "wifi",
                           .subject = {.user_id = "u-1",
                                       .first_name = "Ada",
                                       .last_name = "Lovelace",
                                       .display_name = "Ada L\xc3\xa9",
                                       .email = "ada@example.com",
                                       .upn = "ada@corp.example.com",
                                       .device_id = "d-1",
                                       .device_serial = "C02X",
                                       .platform = "ios",
                                       .platform_version = "17.2",
                                       .ownership = "employee",
                                       .attributes = {{"team", "red"}, {"floor", "3"}},
                                       .attribute_count = 2},
                           .key = EW_KEY_CSR,
                           .csr = "-----BEGIN",
                           .labels = {"l1", "l2"},
                           .label_count = 2,
                           .context = context,
                           .context_len = 2,
                           .deadline_ms = 1700000000000,
                           .bulk_hint = true,
                           .traceparent = "00-1-2-01",
                           .tracestate = "a=b"};

    return r;
}

static struct ew_request
renewal(void)
{
    struct ew_request r = {.op = EW_OP_RENEW,
                           .request_id = "n-1",
                           .setting = "wifi",
                           .key = EW_KEY_WORKER,
                           .key_type = EW_KEY_EC_P384,
                           .key_type_given = true,
                           .p12_format = EW_P12_APPLE,
                           .recipient = (const uint8_t *)"recipient",
                           .recipient_len = 9,
                           .target = {.kind = EW_TARGET_SERIAL,
                                      .issuer = "CN=Issuing CA,O=Example",
                                      .serial = "1a2b3c"}};

    return r;
}

static struct ew_request
revocation(void)
{
    struct ew_request r = {
        .op = EW_OP_REVOKE,
        .request_id = "v-1",
        .target = {.kind = EW_TARGET_ORDER, .setting = "wifi", .order_id = "CEPK0001"},
        .reason = 4,
        .removal = EW_REVOKE_REMOVE};

    return r;
}

static void
digest(const struct ew_request *request, const uint8_t *key, uint8_t out[32])
{
    ew_request_digest(request, key, out, ew_sha256);
}

static void
golden(const struct ew_request *request, const uint8_t *key, const char *expected)
{
    uint8_t out[32];
    char hex[65];

    digest(request, key, out);
    ew_hex_encode(out, 32, hex);
    assert_string_equal(hex, expected);
}

static void
golden_values(void **state)
{
    struct ew_request r = enrollment();

    (void)state;
    golden(&r, spki, "52a3d91c3453631319870354d2f313234fa4d016f2daf155905f028423bc325d");
    golden(
        &r, NULL,
        "e002c10cf20053f3700153c36bc06f3baec64acf1cb2dd6b3211713089931dbe"); /* a CSR that could not
                                                                                be read counts by
                                                                                its text */
    r = renewal();
    golden(&r, NULL, "4467bd66b23f3ad514ab2b20b5dba873fb83e7f6f89b7a48f4883e3ac60d5021");
    r.key_type_given = false; /* the setting chooses: not the same as asking for it */
    r.key_type = EW_KEY_RSA_2048;
    golden(&r, NULL, "893ff73c6cad83edbec68093d7513b1bf5e1b1abb525fce106ae0035b3d37761");
    r = renewal();
    r.key = EW_KEY_GLOBALSIGN; /* whose type and size nobody asks for */
    golden(&r, NULL, "243bc49da18518fe019fac0ebc22e8cbdde91657aa5a48bed6bdda814261766f");
    r = revocation();
    golden(&r, NULL, "e4521cf4980ca1b0a3cc50a33ccf1930e20ea26dd1eaf65035ac23ac02e507ef");
    r.target = (struct ew_target){.kind = EW_TARGET_REQUEST, .request_id = "e-1"};
    r.reason = 0;
    r.removal = EW_REVOKE_REVOKE;
    golden(&r, NULL, "ca10896000685550d4ef9efff02f3a9d97761e01f6fd02b928770d2b2d1b422a");
    memset(&r, 0, sizeof(r));
    golden(&r, NULL, "73823c5d5803ac5e23c66eba1e899bdc000801b2333d23d510e97c7a6e5be630");
}

/* --- what counts --- */

enum { SEEN_MAX = 64 };
static uint8_t seen[SEEN_MAX][32];
static size_t seen_count;

/* Unlike every digest before. */
static void
unlike(const struct ew_request *request, const uint8_t *key)
{
    assert_true(seen_count < SEEN_MAX);
    digest(request, key, seen[seen_count]);
    for (size_t i = 0; i < seen_count; i++)
        assert_memory_not_equal(seen[i], seen[seen_count], 32);
    seen_count++;
}

#define UNLIKE(make, change, key)                                                                  \
    do {                                                                                           \
        struct ew_request r = make();                                                              \
        r.change;                                                                                  \
        unlike(&r, key);                                                                           \
    } while (0)

static void
what_counts(void **state)
{
    static const uint8_t other[32] = {1, 2, 4};

    (void)state;
    seen_count = 0;
    UNLIKE(enrollment, op = EW_OP_ENROLL, spki);
    UNLIKE(enrollment, op = EW_OP_RENEW, spki);
    UNLIKE(enrollment, setting = "vpn", spki);
    UNLIKE(enrollment, subject.user_id = "u-2", spki);
    UNLIKE(enrollment, subject.first_name = "x", spki);
    UNLIKE(enrollment, subject.last_name = "x", spki);
    UNLIKE(enrollment, subject.display_name = "x", spki);
    UNLIKE(enrollment, subject.email = "x", spki);
    UNLIKE(enrollment, subject.upn = "x", spki);
    UNLIKE(enrollment, subject.device_id = "x", spki);
    UNLIKE(enrollment, subject.device_serial = "x", spki);
    UNLIKE(enrollment, subject.platform = "x", spki);
    UNLIKE(enrollment, subject.platform_version = "x", spki);
    UNLIKE(enrollment, subject.ownership = "corporate", spki);
    UNLIKE(enrollment, subject.ownership = "", spki);
    UNLIKE(enrollment, subject.attributes[0].name = "teams", spki);
    UNLIKE(enrollment, subject.attributes[0].value = "blue", spki);
    UNLIKE(enrollment, subject.attribute_count = 1, spki);
    UNLIKE(enrollment, subject.attribute_count = 0, spki);
    UNLIKE(enrollment, op = EW_OP_ENROLL, other);
    UNLIKE(enrollment, csr = "another", NULL);
    UNLIKE(renewal, op = EW_OP_RENEW, NULL);
    UNLIKE(renewal, key_type = EW_KEY_EC_P256, NULL);
    UNLIKE(renewal, key_type_given = false, NULL);
    UNLIKE(renewal, key = EW_KEY_GLOBALSIGN, NULL);
    UNLIKE(renewal, p12_format = EW_P12_MODERN, NULL);
    UNLIKE(renewal, recipient_len = 8, NULL);
    UNLIKE(renewal, target.kind = EW_TARGET_NONE, NULL);
    UNLIKE(renewal, target.issuer = "CN=Other", NULL);
    UNLIKE(renewal, target.serial = "1a2b3d", NULL);
    UNLIKE(revocation, op = EW_OP_REVOKE, NULL);
    UNLIKE(revocation, target.setting = "vpn", NULL);
    UNLIKE(revocation, target.order_id = "CEPK0002", NULL);
    UNLIKE(revocation, target.request_id = "e-1", NULL);
    UNLIKE(revocation, reason = 1, NULL);
    UNLIKE(revocation, removal = EW_REVOKE_REVOKE, NULL);
}

/* Values that run into each other are kept apart by their lengths. */
static void
no_two_share_a_text(void **state)
{
    (void)state;
    seen_count = 0;
    UNLIKE(enrollment, subject.first_name = "A\nlast_name:1:b", spki);
    UNLIKE(enrollment, subject.first_name = "A", spki);
    UNLIKE(enrollment, subject.attributes[0] = ((struct ew_pair){"team", ""}), spki);
    UNLIKE(enrollment, subject.attributes[0] = ((struct ew_pair){"", "team"}), spki);
    UNLIKE(enrollment, subject.attributes[0] = ((struct ew_pair){"tea", "mred"}), spki);
    UNLIKE(enrollment, subject.user_id = "", spki);
}

static void
same(const struct ew_request *request)
{
    struct ew_request base = enrollment();
    uint8_t expected[32], out[32];

    digest(&base, spki, expected);
    digest(request, spki, out);
    assert_memory_equal(out, expected, 32);
}

#define SAME(change)                                                                               \
    do {                                                                                           \
        struct ew_request changed = enrollment();                                                  \
        changed.change;                                                                            \
        same(&changed);                                                                            \
    } while (0)

static void
what_does_not_count(void **state)
{
    struct ew_request r = enrollment();

    (void)state;
    SAME(request_id = "e-2"); /* it is the name, not the content */
    SAME(context_len = 0);
    SAME(label_count = 0);
    SAME(labels[0] = "other");
    SAME(deadline_ms = 0);
    SAME(bulk_hint = false);
    SAME(traceparent = NULL);
    SAME(tracestate = "c=d");
    SAME(csr = "the same key in another request"); /* the public key is what counts of a CSR */
    SAME(target.request_id = "");                  /* absent and empty are the same */
    r.subject.attributes[0] = (struct ew_pair){"floor", "3"};
    r.subject.attributes[1] = (struct ew_pair){"team", "red"};
    same(&r);
}

/* The same content in other bytes: framed, in another order, with a field of a newer contract. */
static void
not_the_bytes(void **state)
{
    struct ew_arena *arena = ew_arena_new(EW_MAX_FLOW_MEMORY);
    struct ew_request one, two;
    struct ew_err err;
    struct ew_buf bytes;
    uint8_t a[32], b[32];

    (void)state;
    ew_buf_init(&bytes, BYTES_MAX);
    put_string(&bytes, 1, "v-1");
    put_bytes(&bytes, 2,
              "\x0a\x03"
              "e-1",
              5);
    assert_int_equal(ew_wire_request(EW_LANE_REVOCATION, bytes.data, bytes.len, arena, &one, &err),
                     EW_OK);
    ew_buf_clear(&bytes);
    ew_buf_put(&bytes, "\0\0\0\0\1\0", 6);
    put_number(&bytes, 99, 7);
    put_number(&bytes, 3, 0);
    put_bytes(&bytes, 2,
              "\x0a\x83\x00"
              "e-1",
              6); /* a length written longer than need be */
    put_string(&bytes, 1, "v-1");
    put_string(&bytes, 5, "label");
    assert_int_equal(ew_wire_request(EW_LANE_REVOCATION, bytes.data, bytes.len, arena, &two, &err),
                     EW_OK);
    digest(&one, NULL, a);
    digest(&two, NULL, b);
    assert_memory_equal(a, b, 32);
    ew_buf_deinit(&bytes);
    ew_arena_free(arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_values),       cmocka_unit_test(what_counts),
        cmocka_unit_test(no_two_share_a_text), cmocka_unit_test(what_does_not_count),
        cmocka_unit_test(not_the_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
