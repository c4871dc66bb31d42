/*
 * Public-key digests: whatever kind of key, they are over the bytes that OpenSSL itself would
 * write. They are stored and compared across versions, and a certificate is judged by them.
 */
#include "make.h"

#include <openssl/core_names.h>

#include "base/hex.h"
#include "x509/digest.h"
#include "x509_private.h"

static void
assert_same(EVP_PKEY *pkey)
{
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(pkey, &der);
    uint8_t ours[32], theirs[32];

    assert_true(len > 0);
    ew_sha256(der, (size_t)len, theirs);
    assert_int_equal(ew_pubkey_sha256(pkey, ours), EW_OK);
    assert_memory_equal(ours, theirs, sizeof(ours));
    OPENSSL_free(der);
}

static EVP_PKEY *
rsa_with_exponent(unsigned bits, const char *exponent)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    EVP_PKEY *pkey = NULL;
    BIGNUM *e = NULL;

    assert_true(BN_hex2bn(&e, exponent) > 0);
    assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, (int)bits), 1);
    assert_int_equal(EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, e), 1);
    assert_int_equal(EVP_PKEY_keygen(ctx, &pkey), 1);
    BN_free(e);
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

static void
test_rsa(void **state)
{
    static const char *const exponents[] = {"3", "10001", "80000001", "0100000001"};

    (void)state;
    for (unsigned bits = 1024; bits <= 3072; bits += 1024)
        assert_same(rsa_key(bits));
    for (size_t i = 0; i < sizeof(exponents) / sizeof(exponents[0]); i++) {
        EVP_PKEY *pkey = rsa_with_exponent(1032, exponents[i]);

        assert_same(pkey);
        EVP_PKEY_free(pkey);
    }
}

static void
test_ec(void **state)
{
    static const char *const curves[] = {"P-256", "P-384", "P-521", "secp256k1"};

    (void)state;
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
        EVP_PKEY *pkey = ec_key(curves[i]);

        assert_same(pkey);
        EVP_PKEY_free(pkey);
    }
}

/* Odd, but somebody's: OpenSSL's bytes, not a guess at them. */
static void
test_other_forms(void **state)
{
    EVP_PKEY *compressed = ec_key("P-256"), *edwards = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA-PSS", NULL);
    EVP_PKEY *pss = NULL;

    (void)state;
    assert_int_equal(EVP_PKEY_set_utf8_string_param(
                         compressed, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "compressed"),
                     1);
    assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 1024), 1);
    assert_int_equal(EVP_PKEY_keygen(ctx, &pss), 1);
    assert_same(compressed);
    assert_same(edwards);
    assert_same(pss);
    EVP_PKEY_free(compressed);
    EVP_PKEY_free(edwards);
    EVP_PKEY_free(pss);
    EVP_PKEY_CTX_free(ctx);
}

/* The expected bytes are another implementation's. Two versions that differ would take each other's
 * credentials for new ones. */
static void
test_password(void **state)
{
    static const char expected[] =
        "e39bfade72b1f1eba8d4cbdbf4822f3f508a00020f606815322272a1dfda4b69";
    uint8_t digest[32];
    char hex[65];

    (void)state;
    ew_password_digest("secret", 6, "salt\n", digest);
    ew_hex_encode(digest, sizeof(digest), hex);
    assert_string_equal(hex, expected);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_password),
        cmocka_unit_test(test_rsa),
        cmocka_unit_test(test_ec),
        cmocka_unit_test(test_other_forms),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
