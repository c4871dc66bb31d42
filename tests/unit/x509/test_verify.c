/*
 * Proof of the judgement before delivery: each verdict by one thing that is wrong, which of several
 * is said, bundles as they load, chains as they are given, and recipients as they are allowed.
 */
#include <openssl/core_names.h>

#include "make.h"
#include "x509/digest.h"
#include "x509/seal.h"
#include "x509/verify.h"

static EVP_PKEY *root_key, *ca_key, *key;
static X509 *root, *issuing;
static struct ew_trust *trust;
static struct ew_err err;

static struct ew_trust *
load(X509 *const *certs, size_t count)
{
    struct ew_trust *loaded = NULL;
    struct temp_file file;
    struct ew_buf pem;

    ew_buf_init(&pem, MAKE_MAX);
    for (size_t i = 0; i < count; i++)
        put_pem(&pem, certs[i]);
    file = make_file(pem.data, pem.len);
    ew_buf_deinit(&pem);
    if (ew_trust_load(file.path, &loaded, &err) != EW_OK)
        fail_msg("%s", err.detail);
    (void)unlink(file.path);
    no_errors_left();
    return loaded;
}

static int
make_all(void **state)
{
    (void)state;
    root_key = ec_key("P-384");
    ca_key = ec_key("P-256");
    key = ec_key("P-256");
    root = make_ca("Root", root_key, NULL, NULL);
    issuing = make_ca("Issuing", ca_key, root, root_key);
    trust = load((X509 *[]){issuing, root}, 2);
    return 0;
}

static int
free_all(void **state)
{
    (void)state;
    ew_trust_free(trust);
    X509_free(root);
    X509_free(issuing);
    EVP_PKEY_free(root_key);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(key);
    return 0;
}

/* What a good order comes to: a year from the day before, for Ada. */
static struct cert_spec
good_spec(void)
{
    return (struct cert_spec){
        .subject = {{"CN", "Ada"}, {"OU", "Sales"}, {"OU", "GlobalSign's own"}, {"O", "Example"}},
        .key = key,
        .issuer = issuing,
        .issuer_key = ca_key,
        .extensions = {"subjectAltName=email:Ada@Example.com,otherName:1.3.6.1.4.1.311.20.2.3;UTF8:"
                       "ada@corp.example.com",
                       "extendedKeyUsage=clientAuth,emailProtection"}};
}

static struct ew_expect
good_expect(void)
{
    struct ew_expect expect = {.cn = "Ada",
                               .email = "ada@example.com",
                               .upn = "Ada@corp.example.com",
                               .ous = {"Sales"},
                               .ou_count = 1,
                               .need_eku = EW_EKU_CLIENT_AUTH,
                               .years = 1,
                               .now_ms = NOW_MS};
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(key, &der);

    ew_sha256(der, (size_t)len, expect.spki_sha256);
    OPENSSL_free(der);
    return expect;
}

static struct ew_cert *
issue(const struct cert_spec *spec)
{
    X509 *made = make_cert(spec);
    struct ew_cert *cert = NULL;
    struct ew_buf der;

    ew_buf_init(&der, MAKE_MAX);
    put_der(&der, made);
    assert_int_equal(ew_cert_read((const char *)der.data, der.len, &cert, &err), EW_OK);
    ew_buf_deinit(&der);
    X509_free(made);
    return cert;
}

static void
verdict_with(const struct cert_spec *spec, const struct ew_expect *expect,
             const struct ew_trust *with, enum ew_verdict expected, const char *problem)
{
    struct ew_cert *cert = issue(spec);
    enum ew_verdict verdict;

    err = (struct ew_err){.problem = "none"};
    verdict = ew_cert_verify(cert, with, expect, &err);
    if (verdict != expected)
        fail_msg("verdict %d instead of %d: %s %s", verdict, expected, err.problem, err.detail);
    assert_string_equal(err.problem, problem);
    if (expected != EW_CERT_OK)
        assert_true(err.field[0] != '\0' && err.detail[0] != '\0' && err.advice != NULL);
    no_errors_left();
    ew_cert_free(cert);
}

static void
verdict(const struct cert_spec *spec, const struct ew_expect *expect, enum ew_verdict expected,
        const char *problem)
{
    verdict_with(spec, expect, trust, expected, problem);
}

/* --- verdicts --- */

static void
what_fits(void **state)
{
    struct cert_spec spec = good_spec();
    struct ew_expect expect = good_expect();

    (void)state;
    verdict(&spec, &expect, EW_CERT_OK, "none");
    expect.email = expect.upn = ""; /* not asked for: GlobalSign may add them */
    expect.ou_count = 0;
    expect.need_eku = 0;
    verdict(&spec, &expect, EW_CERT_OK, "none");
    expect.need_eku = EW_EKU_CLIENT_AUTH | EW_EKU_EMAIL_PROTECTION;
    verdict(&spec, &expect, EW_CERT_OK, "none");
}

static void
wrong_key(void **state)
{
    struct cert_spec spec = good_spec();
    struct ew_expect expect = good_expect();

    (void)state;
    spec.key = ec_key("P-256");
    verdict(&spec, &expect, EW_CERT_WRONG_KEY, "cert-key");
    EVP_PKEY_free(spec.key);
    spec.key = key;
    expect.spki_sha256[31] ^= 1;
    verdict(&spec, &expect, EW_CERT_WRONG_KEY, "cert-key");
}

static void
wrong_names(void **state)
{
    static const char *const cns[] = {"ada", "Ada ", "Ad", "Adam", ""};
    struct cert_spec spec = good_spec();
    struct ew_expect expect = good_expect();

    (void)state;
    for (size_t i = 0; i < sizeof(cns) / sizeof(cns[0]); i++) {
        expect.cn = cns[i];
        verdict(&spec, &expect, EW_CERT_WRONG_NAME, "cert-name");
    }
    expect = good_expect();
    expect.email = "ada@example.org";
    verdict(&spec, &expect, EW_CERT_WRONG_NAME, "cert-email");
    expect = good_expect();
    expect.upn = "ada@corp.example.org";
    verdict(&spec, &expect, EW_CERT_WRONG_NAME, "cert-upn");
    expect = good_expect();
    expect.ous[1] = "sales"; /* a unit, unlike an address, keeps its case */
    expect.ou_count = 2;
    verdict(&spec, &expect, EW_CERT_WRONG_NAME, "cert-ou");
    expect = good_expect();
    spec.extensions[0] = spec.extensions[1];
    spec.extensions[1] = NULL; /* no alternative names at all */
    verdict(&spec, &expect, EW_CERT_WRONG_NAME, "cert-email");
    expect.email = "";
    verdict(&spec, &expect, EW_CERT_WRONG_NAME, "cert-upn");
}

static void
wrong_usage(void **state)
{
    struct cert_spec spec = good_spec();
    struct ew_expect expect = good_expect();

    (void)state;
    expect.need_eku = EW_EKU_CLIENT_AUTH | EW_EKU_EFS;
    verdict(&spec, &expect, EW_CERT_WRONG_USAGE, "cert-usage");
    expect.need_eku = EW_EKU_CLIENT_AUTH;
    spec.extensions[1] = "extendedKeyUsage=serverAuth";
    verdict(&spec, &expect, EW_CERT_WRONG_USAGE, "cert-usage");
    spec.extensions[1] = NULL;
    verdict(&spec, &expect, EW_CERT_WRONG_USAGE, "cert-usage");
    spec.extensions[1] = "extendedKeyUsage=clientAuth";
    spec.extensions[2] = "basicConstraints=critical,CA:TRUE";
    verdict(&spec, &expect, EW_CERT_WRONG_USAGE, "cert-usage");
}

static void
not_valid_now(void **state)
{
    struct cert_spec spec = good_spec();
    struct ew_expect expect = good_expect();

    (void)state;
    spec.from_s = NOW_S + 600; /* GlobalSign's own machines may differ by ten minutes */
    spec.to_s = spec.from_s + 365 * DAY;
    verdict(&spec, &expect, EW_CERT_OK, "none");
    spec.from_s = NOW_S + 601;
    verdict(&spec, &expect, EW_CERT_WRONG_VALIDITY, "cert-validity");
    spec.to_s = NOW_S + 1;
    spec.from_s = spec.to_s - 365 * DAY;
    verdict(&spec, &expect, EW_CERT_OK, "none");
    spec.to_s--;
    verdict(&spec, &expect, EW_CERT_WRONG_VALIDITY, "cert-validity");
}

static void
another_validity_than_the_settings(void **state)
{
    static const struct {
        int years;
        long days;
        bool fits;
    } cases[] = {
        {1, 360, true},       {1, 359, false}, {1, 365, true},   {1, 366 + 60, true},
        {1, 366 + 61, false}, {2, 720, true},  {2, 719, false},  {2, 792, true},
        {2, 793, false},      {3, 1096, true}, {3, 1079, false}, {3, 1158, true},
        {3, 1159, false},
    };
    struct cert_spec spec = good_spec();
    struct ew_expect expect = good_expect();

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        expect.years = cases[i].years;
        spec.to_s = spec.from_s = NOW_S - DAY;
        spec.to_s += cases[i].days * DAY;
        verdict(&spec, &expect, cases[i].fits ? EW_CERT_OK : EW_CERT_WRONG_VALIDITY,
                cases[i].fits ? "none" : "cert-validity");
    }
}

static void
wrong_chain(void **state)
{
    struct cert_spec spec = good_spec();
    struct ew_expect expect = good_expect();
    EVP_PKEY *other_key = ec_key("P-256");
    X509 *other = make_ca("Issuing", other_key, root, root_key); /* the same name */
    X509 *stranger = make_ca("Other", other_key, NULL, NULL);
    struct ew_trust *root_alone = load(&root, 1);
    X509 *end = make_cert(&spec);

    (void)state;
    verdict_with(&spec, &expect, root_alone, EW_CERT_WRONG_CHAIN, "cert-chain");
    spec.issuer = other;
    spec.issuer_key = other_key;
    verdict(&spec, &expect, EW_CERT_WRONG_CHAIN, "cert-chain"); /* the signature tells */
    spec.issuer = stranger;
    verdict(&spec, &expect, EW_CERT_WRONG_CHAIN, "cert-chain");
    spec.issuer = NULL;
    spec.issuer_key = NULL;
    verdict(&spec, &expect, EW_CERT_WRONG_CHAIN, "cert-chain"); /* by itself */
    spec.issuer = end;
    spec.issuer_key = key;
    verdict(&spec, &expect, EW_CERT_WRONG_CHAIN, "cert-chain"); /* by another end's certificate */
    ew_trust_free(root_alone);
    X509_free(end);
    X509_free(other);
    X509_free(stranger);
    EVP_PKEY_free(other_key);
}

/* A chain that has expired by the CA's own clock. */
static void
expired_chain(void **state)
{
    struct cert_spec spec = {.subject = {{"CN", "Old issuing"}},
                             .key = ca_key,
                             .issuer = root,
                             .issuer_key = root_key,
                             .from_s = NOW_S - 900 * DAY,
                             .to_s = NOW_S - 1,
                             .extensions = {"basicConstraints=critical,CA:TRUE"}};
    X509 *old = make_cert(&spec);
    struct ew_trust *with_old = load((X509 *[]){old, root}, 2);
    struct ew_expect expect = good_expect();

    (void)state;
    spec = good_spec();
    spec.issuer = old;
    verdict_with(&spec, &expect, with_old, EW_CERT_WRONG_CHAIN, "cert-chain");
    assert_non_null(strstr(err.detail, "expired"));
    expect.now_ms -= 10000; /* ten seconds earlier it was good */
    verdict_with(&spec, &expect, with_old, EW_CERT_OK, "none");
    ew_trust_free(with_old);
    X509_free(old);
}

/* What leads to a cancelled order comes before what holds the setting. */
static void
the_gravest_is_said(void **state)
{
    struct cert_spec spec = good_spec();
    struct ew_expect expect = good_expect();

    (void)state;
    expect.spki_sha256[0] ^= 1;
    expect.cn = "Eve";
    expect.years = 3;
    expect.need_eku = EW_EKU_EFS;
    verdict(&spec, &expect, EW_CERT_WRONG_KEY, "cert-key");
    expect.spki_sha256[0] ^= 1;
    verdict(&spec, &expect, EW_CERT_WRONG_NAME, "cert-name");
    expect.cn = "Ada";
    verdict(&spec, &expect, EW_CERT_WRONG_VALIDITY, "cert-validity");
    expect.years = 1;
    verdict(&spec, &expect, EW_CERT_WRONG_USAGE, "cert-usage");
}

/* --- bundles --- */

static void
bundle_refused(const void *data, size_t len, const char *detail)
{
    struct temp_file file = make_file(data, len);
    struct ew_trust *none = NULL;

    assert_int_equal(ew_trust_load(file.path, &none, &err), EW_HALT);
    assert_null(none);
    assert_string_equal(err.problem, "bundle");
    assert_non_null(strstr(err.detail, detail));
    (void)unlink(file.path);
    no_errors_left();
}

static void
bundles(void **state)
{
    struct ew_trust *loaded = NULL;
    struct temp_file file;
    struct ew_buf pem;
    size_t one;

    (void)state;
    assert_int_equal(ew_trust_load("/nonexistent/bundle.pem", &loaded, &err), EW_HALT);
    assert_non_null(strstr(err.detail, "/nonexistent/bundle.pem"));
    bundle_refused("", 0, "no certificate");
    bundle_refused("nothing\n", 8, "no certificate");
    ew_buf_init(&pem, MAKE_MAX);
    put_pem(&pem, root);
    one = pem.len;
    bundle_refused(pem.data, one - 5, "does not parse");
    ew_buf_puts(&pem, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    bundle_refused(pem.data, pem.len, "does not parse");
    ew_buf_clear(&pem); /* an encrypted one is an error, not a question on the terminal */
    ew_buf_printf(&pem,
                  "-----BEGIN CERTIFICATE-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,"
                  "00112233445566778899AABBCCDDEEFF\n\nAAAA\n-----END CERTIFICATE-----\n");
    bundle_refused(pem.data, pem.len, "does not parse");
    ew_buf_clear(&pem);
    for (int i = 0; i < 64; i++)
        put_pem(&pem, i % 2 == 0 ? root : issuing);
    file = make_file(pem.data, pem.len);
    assert_int_equal(ew_trust_load(file.path, &loaded, &err), EW_OK);
    ew_trust_free(loaded);
    (void)unlink(file.path);
    put_pem(&pem, root);
    bundle_refused(pem.data, pem.len, "more than 64");
    ew_buf_clear(&pem);
    put_pem(&pem, root);
    while (pem.len <= EW_MAX_CHAIN_FILE)
        ew_buf_putc(&pem, '\n');
    bundle_refused(pem.data, pem.len, "256 KiB");
    ew_buf_deinit(&pem);
    ew_trust_free(NULL);
}

static void
whole(X509 *const *certs, size_t count, const char *missing)
{
    struct ew_trust *loaded = load(certs, count);
    enum ew_fault fault;

    err = (struct ew_err){.problem = "none"};
    fault = ew_trust_complete(loaded, &err);
    assert_int_equal(fault, missing == NULL ? EW_OK : EW_HALT);
    if (missing != NULL) {
        assert_string_equal(err.problem, "bundle");
        assert_non_null(strstr(err.detail, missing));
        assert_non_null(strstr(err.advice, "up to the root"));
    }
    no_errors_left();
    ew_trust_free(loaded);
}

/* Every CA in it must lead to a root in it, by signatures, whatever the time is. */
static void
whole_bundles(void **state)
{
    EVP_PKEY *other_key = ec_key("P-256");
    X509 *same_name = make_ca("Root", other_key, NULL, NULL);
    struct cert_spec spec = {.subject = {{"CN", "Old issuing"}},
                             .key = ca_key,
                             .issuer = root,
                             .issuer_key = root_key,
                             .from_s = NOW_S - 900 * DAY,
                             .to_s = NOW_S - 1,
                             .extensions = {"basicConstraints=critical,CA:TRUE"}};
    X509 *old = make_cert(&spec);

    (void)state;
    whole((X509 *[]){issuing, root}, 2, NULL);
    whole((X509 *[]){old, root}, 2, NULL);
    whole(&root, 1, NULL);
    whole(&issuing, 1, "Issuing");
    whole((X509 *[]){issuing, same_name}, 2, "Issuing"); /* the name alone is not enough */
    X509_free(old);
    X509_free(same_name);
    EVP_PKEY_free(other_key);
}

static void
is_der_of(struct ew_blob blob, X509 *cert)
{
    struct ew_buf der;

    ew_buf_init(&der, MAKE_MAX);
    put_der(&der, cert);
    assert_int_equal(blob.len, der.len);
    assert_memory_equal(blob.data, der.data, der.len);
    ew_buf_deinit(&der);
}

static void
chains_without_the_root(void **state)
{
    EVP_PKEY *deep_key = ec_key("P-256");
    X509 *deep = make_ca("Deep", deep_key, issuing, ca_key);
    struct ew_trust *three = load((X509 *[]){root, issuing, deep}, 3);
    struct cert_spec spec = good_spec();
    struct ew_blob chain[EW_MAX_CHAIN];
    struct ew_cert *cert;

    (void)state;
    spec.issuer = deep;
    spec.issuer_key = deep_key;
    cert = issue(&spec);
    assert_int_equal(ew_trust_chain(three, cert, chain, EW_MAX_CHAIN), 2);
    is_der_of(chain[0], deep);
    is_der_of(chain[1], issuing);
    assert_int_equal(ew_trust_chain(three, cert, chain, 1), 1);
    is_der_of(chain[0], deep);
    assert_int_equal(ew_trust_chain(trust, cert, chain, EW_MAX_CHAIN), 0); /* not in that bundle */
    ew_cert_free(cert);
    spec.issuer = root;
    spec.issuer_key = root_key;
    cert = issue(&spec);
    assert_int_equal(ew_trust_chain(three, cert, chain, EW_MAX_CHAIN), 0); /* the root's own */
    ew_cert_free(cert);
    ew_trust_free(three);
    X509_free(deep);
    EVP_PKEY_free(deep_key);
}

/* Two issuing CAs of one name, as after a rotation: each certificate names its own by key. */
static void
chain_after_a_rotation(void **state)
{
    EVP_PKEY *new_key = ec_key("P-256");
    X509 *new_ca = make_ca("Issuing", new_key, root, root_key);
    struct ew_trust *both = load((X509 *[]){issuing, new_ca, root}, 3);
    struct cert_spec spec = good_spec();
    struct ew_blob chain[EW_MAX_CHAIN];
    struct ew_expect expect = good_expect();
    struct ew_cert *cert;

    (void)state;
    spec.extensions[2] = "authorityKeyIdentifier=keyid:always";
    cert = issue(&spec);
    assert_int_equal(ew_trust_chain(both, cert, chain, EW_MAX_CHAIN), 1);
    is_der_of(chain[0], issuing);
    ew_cert_free(cert);
    spec.issuer = new_ca;
    spec.issuer_key = new_key;
    cert = issue(&spec);
    assert_int_equal(ew_trust_chain(both, cert, chain, EW_MAX_CHAIN), 1);
    is_der_of(chain[0], new_ca);
    ew_cert_free(cert);
    verdict_with(&spec, &expect, both, EW_CERT_OK, "none");
    no_errors_left();
    ew_trust_free(both);
    X509_free(new_ca);
    EVP_PKEY_free(new_key);
}

/* --- recipients --- */

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
    assert_int_equal(check(issuing, allowed, NOW_MS), EW_OK);
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
    struct ew_buf der;

    (void)state;
    ew_buf_init(&der, MAKE_MAX);
    put_der(&der, issuing);
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
    put_pem(&der, issuing); /* the contract says DER */
    assert_int_equal(ew_recipient_check(der.data, der.len, trust, NOW_MS, &err), EW_REJECT);
    assert_int_equal(ew_recipient_check(large, sizeof(large), trust, NOW_MS, &err), EW_REJECT);
    assert_non_null(strstr(err.detail, "8192"));
    ew_buf_deinit(&der);
    no_errors_left();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits),
        cmocka_unit_test(wrong_key),
        cmocka_unit_test(wrong_names),
        cmocka_unit_test(wrong_usage),
        cmocka_unit_test(not_valid_now),
        cmocka_unit_test(another_validity_than_the_settings),
        cmocka_unit_test(wrong_chain),
        cmocka_unit_test(expired_chain),
        cmocka_unit_test(the_gravest_is_said),
        cmocka_unit_test(bundles),
        cmocka_unit_test(whole_bundles),
        cmocka_unit_test(chains_without_the_root),
        cmocka_unit_test(chain_after_a_rotation),
        cmocka_unit_test(recipients_listed_or_chained),
        cmocka_unit_test(recipients_of_every_key),
        cmocka_unit_test(recipients_that_are_none),
    };

    return cmocka_run_group_tests(tests, make_all, free_all);
}
