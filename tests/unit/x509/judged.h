/*
 * A root, an issuing CA below it, what a good order comes to, and how it is judged. Only one
 * program's file may include this.
 */
#pragma once

#include "make.h"
#include "x509/digest.h"
#include "x509/verify.h"

#define MAYBE __attribute__((unused))

static EVP_PKEY *root_key, *ca_key, *key;
static X509 *root, *issuing;
static struct ew_trust *trust;
static struct ew_err err;

static MAYBE struct ew_trust *
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

static MAYBE int
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

static MAYBE int
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

/* An issuing CA whose time has passed. */
static MAYBE X509 *
old_issuing(void)
{
    struct cert_spec spec = {.subject = {{"CN", "Old issuing"}},
                             .key = ca_key,
                             .issuer = root,
                             .issuer_key = root_key,
                             .from_s = NOW_S - 900 * DAY,
                             .to_s = NOW_S - 1,
                             .extensions = {"basicConstraints=critical,CA:TRUE"}};

    return make_cert(&spec);
}

/* What a good order comes to: a year from the day before, for Ada. */
static MAYBE struct cert_spec
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

static MAYBE struct ew_expect
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

static MAYBE struct ew_cert *
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

static MAYBE void
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

static MAYBE void
verdict(const struct cert_spec *spec, const struct ew_expect *expect, enum ew_verdict expected,
        const char *problem)
{
    verdict_with(spec, expect, trust, expected, problem);
}
