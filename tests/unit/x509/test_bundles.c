/*
 * Proof of bundles as they load, and of chains as they are given.
 */
#include "judged.h"

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
    X509 *old = old_issuing();

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

/* Of more CAs than an answer holds, those next to the certificate. */
static void
chains_end(void **state)
{
    enum { CAS = EW_MAX_CHAIN + 1 };
    EVP_PKEY *cas_key = ec_key("P-256");
    X509 *cas[CAS + 1] = {root};
    struct cert_spec spec = good_spec();
    struct ew_blob chain[CAS];
    struct ew_trust *deep;
    struct ew_cert *cert;
    char name[16];

    (void)state;
    for (int i = 1; i <= CAS; i++) {
        (void)snprintf(name, sizeof(name), "CA %d", i);
        cas[i] = make_ca(name, cas_key, cas[i - 1], i == 1 ? root_key : cas_key);
    }
    deep = load(cas, CAS + 1);
    spec.issuer = cas[CAS];
    spec.issuer_key = cas_key;
    cert = issue(&spec);
    assert_int_equal(ew_trust_chain(deep, cert, chain, CAS), CAS);
    assert_int_equal(ew_trust_chain(deep, cert, chain, EW_MAX_CHAIN), EW_MAX_CHAIN);
    is_der_of(chain[0], cas[CAS]);
    is_der_of(chain[EW_MAX_CHAIN - 1], cas[2]);
    ew_cert_free(cert);
    ew_trust_free(deep);
    for (int i = 1; i <= CAS; i++)
        X509_free(cas[i]);
    EVP_PKEY_free(cas_key);
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

static void
given_for(const struct ew_trust *bundle, const struct ew_cert *cert, X509 *expected)
{
    struct ew_blob chain[EW_MAX_CHAIN];

    assert_int_equal(ew_trust_chain(bundle, cert, chain, EW_MAX_CHAIN), 1);
    is_der_of(chain[0], expected);
}

/* A CA renewed with its key stands beside its old self: what was verified under the new one is not
 * delivered with the old one, which may have expired, wherever each stands. */
static void
chain_after_a_renewal(void **state)
{
    struct cert_spec past = {
        .subject = {{"CN", "Issuing"}, {"O", "Example"}},
        .key = ca_key,
        .issuer = root,
        .issuer_key = root_key,
        .from_s = NOW_S - 900 * DAY,
        .to_s = NOW_S - 1,
        .extensions = {"basicConstraints=critical,CA:TRUE", "subjectKeyIdentifier=hash"}};
    X509 *old = make_cert(&past);
    struct ew_trust *behind = load((X509 *[]){old, issuing, root}, 3);
    struct ew_trust *before = load((X509 *[]){issuing, old, root}, 3);
    struct cert_spec spec = good_spec();
    struct ew_expect expect = good_expect();
    struct ew_cert *cert;

    (void)state;
    spec.extensions[2] = "authorityKeyIdentifier=keyid:always";
    verdict_with(&spec, &expect, behind, EW_CERT_OK, "none");
    cert = issue(&spec);
    given_for(behind, cert, issuing);
    given_for(before, cert, issuing);
    ew_cert_free(cert);
    no_errors_left();
    ew_trust_free(behind);
    ew_trust_free(before);
    X509_free(old);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bundles),
        cmocka_unit_test(whole_bundles),
        cmocka_unit_test(chains_without_the_root),
        cmocka_unit_test(chains_end),
        cmocka_unit_test(chain_after_a_rotation),
        cmocka_unit_test(chain_after_a_renewal),
    };

    return cmocka_run_group_tests(tests, make_all, free_all);
}
