/*
 * Proof of recipients as they are allowed.
 */
#include <openssl/core_names.h>

#include "judged.h"
#include "x509/seal.h"

static enum ew_fault
check(X509 *cert, const struct ew_trust *allowed, int64_t now_ms)
{
    struct ew_buf der;
    enum ew_fault fault;

    ew_buf_init(&der, MAKE_MAX);
    put_der(&der, cert);
    fault = ew_recipient_check(der.data, der.len, allowed, now_ms, &err);
    ew_buf_deinit(&der);
    no_errors_left();
    if (fault != EW_OK) {
        assert_string_equal(err.problem, "recipient");
        assert_string_equal(err.field, "key.worker_key.recipient_certificate");
    }
    return fault;
}

static void
recipients_listed_or_chained(void **state)
{
    struct cert_spec spec = {.subject = {{"CN", "MDM"}}, .key = key};
    X509 *listed = make_cert(&spec), *same_name, *chained, *below_listed;
    struct ew_trust *allowed;

    (void)state;
    spec.serial = "2";
    same_name = make_cert(&spec);
    spec.issuer = issuing;
    spec.issuer_key = ca_key;
    chained = make_cert(&spec);
    spec.issuer = listed; /* no CA: it can name itself, but nobody else */
    spec.issuer_key = key;
    below_listed = make_cert(&spec);
    allowed = load((X509 *[]){listed, issuing}, 2); /* the issuing CA without its root */
    assert_int_equal(check(listed, allowed, NOW_MS), EW_OK);
    assert_int_equal(check(chained, allowed, NOW_MS), EW_OK);
    assert_int_equal(check(same_name, allowed, NOW_MS), EW_REJECT);
    assert_int_equal(check(below_listed, allowed, NOW_MS), EW_REJECT);
    assert_int_equal(check(root, allowed, NOW_MS), EW_REJECT);
    assert_int_equal(check(listed, trust, NOW_MS), EW_REJECT);
    /* A listed one too must be valid at the time. */
    assert_int_equal(check(listed, allowed, NOW_MS + 363 * DAY * 1000), EW_OK);
    assert_int_equal(check(listed, allowed, NOW_MS + 365 * DAY * 1000), EW_REJECT);
    assert_int_equal(check(listed, allowed, NOW_MS - 2 * DAY * 1000), EW_REJECT);
    ew_trust_free(allowed);
    X509_free(listed);
    X509_free(same_name);
    X509_free(chained);
    X509_free(below_listed);
}

static void
recipients_of_every_key(void **state)
{
    EVP_PKEY *explicit_key = ec_key("P-256");
    struct {
        EVP_PKEY *key;
        bool fits;
    } cases[] = {{rsa_key(2048), true},       {ec_key("P-256"), true},
                 {ec_key("P-384"), true},     {ec_key("P-521"), true},
                 {rsa_key(1024), false},      {ec_key("P-224"), false},
                 {explicit_key, false},       {EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), false},
                 {ec_key("secp256k1"), false}};
    struct cert_spec spec = {.subject = {{"CN", "MDM"}}, .issuer = issuing, .issuer_key = ca_key};

    (void)state;
    assert_int_equal(
        EVP_PKEY_set_utf8_string_param(explicit_key, OSSL_PKEY_PARAM_EC_ENCODING, "explicit"), 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        X509 *cert;

        spec.key = cases[i].key;
        cert = make_cert(&spec);
        assert_int_equal(check(cert, trust, NOW_MS), cases[i].fits ? EW_OK : EW_REJECT);
        if (!cases[i].fits)
            assert_non_null(strstr(err.detail, "key"));
        X509_free(cert);
        if (EVP_PKEY_get_base_id(cases[i].key) != EVP_PKEY_RSA)
            EVP_PKEY_free(cases[i].key);
    }
}

static void
recipients_that_are_none(void **state)
{
    static uint8_t large[EW_MAX_RECIPIENT + 1];
    struct cert_spec spec = {
        .subject = {{"CN", "MDM"}}, .key = key, .issuer = issuing, .issuer_key = ca_key};
    X509 *cert = make_cert(&spec);
    struct ew_buf der;

    (void)state;
    ew_buf_init(&der, MAKE_MAX);
    put_der(&der, cert);
    assert_int_equal(ew_recipient_check(der.data, der.len, trust, NOW_MS, &err), EW_OK);
    for (size_t len = 0; len < der.len; len++) {
        uint8_t *copy = malloc(len + (len == 0));

        memcpy(copy, der.data, len);
        assert_int_equal(ew_recipient_check(copy, len, trust, NOW_MS, &err), EW_REJECT);
        free(copy);
    }
    ew_buf_putc(&der, 0);
    assert_int_equal(ew_recipient_check(der.data, der.len, trust, NOW_MS, &err), EW_REJECT);
    ew_buf_clear(&der);
    put_pem(&der, cert); /* the contract says DER */
    assert_int_equal(ew_recipient_check(der.data, der.len, trust, NOW_MS, &err), EW_REJECT);
    assert_int_equal(ew_recipient_check(large, sizeof(large), trust, NOW_MS, &err), EW_REJECT);
    assert_non_null(strstr(err.detail, "8192"));
    ew_buf_deinit(&der);
    X509_free(cert);
    no_errors_left();
}

/* What may not open it according to its own certificate, some recipients' software does not open.
 */
static void
recipients_by_their_key_usage(void **state)
{
    EVP_PKEY *ec = ec_key("P-256"), *rsa = rsa_key(2048);
    const struct {
        EVP_PKEY *key;
        const char *usage;
        bool fits;
    } cases[] = {{rsa, "keyUsage=critical,digitalSignature,keyEncipherment", true},
                 {rsa, "keyUsage=critical,digitalSignature", false},
                 {rsa, "keyUsage=keyAgreement", false},
                 {ec, "keyUsage=critical,keyAgreement", true},
                 {ec, "keyUsage=keyEncipherment", false}};

    (void)state;
    assert_int_equal(check(issuing, trust, NOW_MS), EW_REJECT); /* signs certificates alone */
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cert_spec spec = {.subject = {{"CN", "MDM"}},
                                 .key = cases[i].key,
                                 .issuer = issuing,
                                 .issuer_key = ca_key,
                                 .extensions = {cases[i].usage}};
        X509 *cert = make_cert(&spec);

        assert_int_equal(check(cert, trust, NOW_MS), cases[i].fits ? EW_OK : EW_REJECT);
        if (!cases[i].fits)
            assert_non_null(strstr(err.detail, "key usage"));
        X509_free(cert);
    }
    EVP_PKEY_free(ec);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recipients_listed_or_chained),
        cmocka_unit_test(recipients_of_every_key),
        cmocka_unit_test(recipients_by_their_key_usage),
        cmocka_unit_test(recipients_that_are_none),
    };

    return cmocka_run_group_tests(tests, make_all, free_all);
}
