/*
 * Proof that reading in the slim library context loses nothing: leaves of every kind of key, under
 * CAs of every kind of key, are read, known by their public keys, and chain.
 */
#include "make.h"
#include "x509/digest.h"
#include "x509/verify.h"
#include "x509_private.h"

static const char *const SIGNERS[] = {"RSA", "RSA-PSS", "P-256", "P-521", "ED25519", "ED448"};

enum { SIGNER_COUNT = sizeof(SIGNERS) / sizeof(SIGNERS[0]) };

static struct ew_err err;

static EVP_PKEY *
key_of(const char *kind)
{
    EVP_PKEY *key;

    if (kind[0] == 'P')
        return ec_key(kind);
    key = kind[0] == 'R' ? NULL : EVP_PKEY_Q_keygen(NULL, NULL, kind);
    if (kind[0] == 'R') {
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, kind, NULL);

        assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 2048), 1);
        assert_int_equal(EVP_PKEY_keygen(ctx, &key), 1);
        EVP_PKEY_CTX_free(ctx);
    }
    assert_non_null(key);
    return key;
}

static struct ew_trust *
trust_in(X509 *root)
{
    struct ew_trust *trust = NULL;
    struct temp_file file;
    struct ew_buf pem;

    ew_buf_init(&pem, MAKE_MAX);
    put_pem(&pem, root);
    file = make_file(pem.data, pem.len);
    ew_buf_deinit(&pem);
    assert_int_equal(ew_trust_load(file.path, &trust, &err), EW_OK);
    (void)unlink(file.path);
    assert_int_equal(ew_trust_complete(trust, &err), EW_OK); /* its own signature verifies */
    return trust;
}

static void
check_leaf(EVP_PKEY *key, X509 *root, EVP_PKEY *root_key, const struct ew_trust *trust)
{
    struct cert_spec spec = {
        .subject = {{"CN", "Ada"}}, .key = key, .issuer = root, .issuer_key = root_key};
    struct ew_expect expect = {.cn = "Ada", .email = "", .upn = "", .years = 1, .now_ms = NOW_MS};
    X509 *made = make_cert(&spec);
    struct ew_cert *cert = NULL;
    unsigned char *der = NULL;
    struct ew_buf text;
    int len = i2d_PUBKEY(key, &der);

    ew_sha256(der, (size_t)len, expect.spki_sha256);
    OPENSSL_free(der);
    ew_buf_init(&text, MAKE_MAX);
    put_pem(&text, made);
    assert_int_equal(ew_cert_read(ew_buf_text(&text), text.len, &cert, &err), EW_OK);
    if (ew_cert_verify(cert, trust, &expect, &err) != EW_CERT_OK)
        fail_msg("%s: %s", err.problem, err.detail);
    no_errors_left();
    ew_cert_free(cert);
    ew_buf_deinit(&text);
    X509_free(made);
}

static void
every_kind_under_every_kind(void **state)
{
    EVP_PKEY *keys[SIGNER_COUNT], *other = key_of("X25519"); /* signs nothing */

    (void)state;
    for (size_t i = 0; i < SIGNER_COUNT; i++)
        keys[i] = key_of(SIGNERS[i]);
    for (size_t i = 0; i < SIGNER_COUNT; i++) {
        X509 *root = make_ca(SIGNERS[i], keys[i], NULL, NULL);
        struct ew_trust *trust = trust_in(root);

        for (size_t j = 0; j < SIGNER_COUNT; j++)
            check_leaf(keys[j], root, keys[i], trust);
        check_leaf(other, root, keys[i], trust);
        ew_trust_free(trust);
        X509_free(root);
    }
    for (size_t i = 0; i < SIGNER_COUNT; i++)
        EVP_PKEY_free(keys[i]);
    EVP_PKEY_free(other);
}

/* With something behind it it is not one certificate, in whichever context. */
static void
nothing_behind_it(void **state)
{
    EVP_PKEY *key = ec_key("P-256");
    X509 *made = make_ca("Root", key, NULL, NULL), *read;
    struct ew_buf der;

    (void)state;
    ew_buf_init(&der, MAKE_MAX);
    put_der(&der, made);
    read = ew_x509_read(der.data, der.len);
    assert_int_equal(X509_cmp(read, made), 0);
    X509_free(read);
    assert_null(ew_x509_read(der.data, der.len - 1));
    ew_buf_put(&der, "", 1);
    assert_null(ew_x509_read(der.data, der.len));
    ERR_clear_error();
    ew_buf_deinit(&der);
    X509_free(made);
    EVP_PKEY_free(key);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_under_every_kind),
        cmocka_unit_test(nothing_behind_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
