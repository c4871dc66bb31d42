/*
 * Proof of the judgement before delivery: each verdict by one thing that is wrong, and which of
 * several is said.
 */
#include "judged.h"

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
    static const char *const cns[] = {"A da", "Ad", "Adam", "", "\303\204da"};
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
    expect.ous[1] = "Sale";
    expect.ou_count = 2;
    verdict(&spec, &expect, EW_CERT_WRONG_NAME, "cert-ou");
    expect = good_expect();
    spec.extensions[0] = spec.extensions[1];
    spec.extensions[1] = NULL; /* no alternative names at all */
    verdict(&spec, &expect, EW_CERT_WRONG_NAME, "cert-email");
    expect.email = "";
    verdict(&spec, &expect, EW_CERT_WRONG_NAME, "cert-upn");
}

/* A CA may write names in its own way: no reason to cancel what was paid for. */
static void
the_same_names_otherwise_written(void **state)
{
    static const char *const cns[] = {"ada", "ADA", " Ada", "Ada  "};
    struct cert_spec spec = good_spec();
    struct ew_expect expect = good_expect();

    (void)state;
    for (size_t i = 0; i < sizeof(cns) / sizeof(cns[0]); i++) {
        expect.cn = cns[i];
        verdict(&spec, &expect, EW_CERT_OK, "none");
    }
    expect.ous[1] = "sales ";
    expect.ou_count = 2;
    verdict(&spec, &expect, EW_CERT_OK, "none");
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
    X509 *old = old_issuing();
    struct ew_trust *with_old = load((X509 *[]){old, root}, 2);
    struct cert_spec spec = good_spec();
    struct ew_expect expect = good_expect();

    (void)state;
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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits),
        cmocka_unit_test(wrong_key),
        cmocka_unit_test(wrong_names),
        cmocka_unit_test(the_same_names_otherwise_written),
        cmocka_unit_test(wrong_usage),
        cmocka_unit_test(not_valid_now),
        cmocka_unit_test(another_validity_than_the_settings),
        cmocka_unit_test(wrong_chain),
        cmocka_unit_test(expired_chain),
        cmocka_unit_test(the_gravest_is_said),
    };

    return cmocka_run_group_tests(tests, make_all, free_all);
}
