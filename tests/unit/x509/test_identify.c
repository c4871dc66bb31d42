/*
 * Proof that what is read off a certificate is what reading it whole says: for keys of every kind,
 * serials of every length, and a certificate with any one byte changed or its end cut off.
 */
#include "make.h"

#include <openssl/core_names.h>

#include "x509/cert.h"
#include "x509/digest.h"
#include "x509_private.h"

static EVP_PKEY *ca_key;
static X509 *ca;

static int
make_all(void **state)
{
    (void)state;
    ca_key = ec_key("P-256");
    ca = make_ca("Issuing", ca_key, NULL, NULL);
    return 0;
}

static int
free_all(void **state)
{
    (void)state;
    X509_free(ca);
    EVP_PKEY_free(ca_key);
    return 0;
}

static void
put_cert(struct ew_buf *out, EVP_PKEY *key, const char *serial)
{
    struct cert_spec spec = {.subject = {{"CN", "Ada"}},
                             .key = key,
                             .issuer = ca,
                             .issuer_key = ca_key,
                             .serial = serial,
                             .extensions = {"extendedKeyUsage=clientAuth"}};
    X509 *made = make_cert(&spec);

    ew_buf_init(out, MAKE_MAX);
    put_der(out, made);
    X509_free(made);
}

static struct ew_blob
of(const struct ew_buf *der)
{
    return (struct ew_blob){.data = der->data, .len = der->len};
}

/* Usual keys are told at once; the others by the reading, which says the same. */
static void
assert_told(EVP_PKEY *key, bool usual)
{
    unsigned char *spki = NULL;
    int spki_len = i2d_PUBKEY(key, &spki);
    struct ew_cert_id id;
    struct ew_buf der;
    struct ew_err err;
    uint8_t digest[32];

    assert_true(spki_len > 0);
    ew_sha256(spki, (size_t)spki_len, digest);
    OPENSSL_free(spki);
    put_cert(&der, key, "1f");
    assert_int_equal(ew_x509_identify(of(&der), &id), usual);
    assert_int_equal(ew_cert_identify((const char *)der.data, der.len, &id, &err), EW_OK);
    no_errors_left();
    assert_memory_equal(id.spki_sha256, digest, sizeof(digest));
    assert_string_equal(id.serial, "1f");
    ew_buf_deinit(&der);
}

static void
test_usual_keys(void **state)
{
    EVP_PKEY *p256 = ec_key("P-256"), *p384 = ec_key("P-384");

    (void)state;
    for (unsigned bits = 1024; bits <= 3072; bits += 1024)
        assert_told(rsa_key(bits), true);
    assert_told(rsa_key(1031), true); /* a modulus that needs no zero before it */
    assert_told(p256, true);
    assert_told(p384, true);
    EVP_PKEY_free(p256);
    EVP_PKEY_free(p384);
}

static void
test_other_keys(void **state)
{
    EVP_PKEY *keys[] = {ec_key("P-521"), ec_key("secp256k1"), ec_key("P-256"),
                        EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")};

    (void)state;
    assert_int_equal(EVP_PKEY_set_utf8_string_param(
                         keys[2], OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "compressed"),
                     1);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        assert_told(keys[i], false);
        EVP_PKEY_free(keys[i]);
    }
}

static void
test_serials(void **state)
{
    static const struct {
        const char *made, *told;
        bool at_once;
    } rows[] = {
        {"0", "0", true},
        {"1", "1", true},
        {"7f", "7f", true},
        {"80", "80", true},
        {"0a0b", "a0b", true},
        {"7fffffffffffffffffffffffffffffffffffffff", "7fffffffffffffffffffffffffffffffffffffff",
         true},
        {"ffffffffffffffffffffffffffffffffffffffff", "ffffffffffffffffffffffffffffffffffffffff",
         true},
        {"1ffffffffffffffffffffffffffffffffffffffff", "", false},
        {"-5", "-05", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ew_cert_id id;
        struct ew_buf der;
        struct ew_err err;

        put_cert(&der, ca_key, rows[i].made);
        assert_int_equal(ew_x509_identify(of(&der), &id), rows[i].at_once);
        assert_int_equal(ew_cert_identify((const char *)der.data, der.len, &id, &err), EW_OK);
        assert_string_equal(id.serial, rows[i].told);
        ew_buf_deinit(&der);
    }
}

/* Both may refuse, and each for itself: but they never say different things. */
static int
assert_agree(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len + (len == 0)); /* of this very size: no byte beyond is read */
    struct ew_cert_id id;
    struct ew_cert *cert;
    struct ew_err err;
    int both = 0;

    memcpy(copy, data, len);
    if (ew_x509_identify((struct ew_blob){.data = copy, .len = len}, &id) &&
        ew_cert_read((const char *)copy, len, &cert, &err) == EW_OK) {
        assert_memory_equal(id.spki_sha256, ew_cert_facts(cert)->spki_sha256, 32);
        assert_string_equal(id.serial, ew_cert_facts(cert)->serial);
        ew_cert_free(cert);
        both = 1;
    }
    no_errors_left();
    free(copy);
    return both;
}

static void
test_every_change(void **state)
{
    EVP_PKEY *p384 = ec_key("P-384");
    EVP_PKEY *keys[] = {rsa_key(1024), ca_key, p384};

    (void)state;
    for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
        struct ew_buf der;
        int agreed = 0;

        put_cert(&der, keys[k], "00ff17");
        for (size_t len = 0; len < der.len; len++)
            assert_int_equal(assert_agree(der.data, len), 0);
        for (size_t i = 0; i < der.len; i++) {
            for (int bit = 0; bit < 8; bit++) {
                der.data[i] ^= (uint8_t)(1 << bit);
                agreed += assert_agree(der.data, der.len);
                der.data[i] ^= (uint8_t)(1 << bit);
            }
        }
        assert_in_range(agreed, der.len, 8 * der.len); /* names, dates, signature, modulus */
        ew_buf_deinit(&der);
    }
    EVP_PKEY_free(p384);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usual_keys),
        cmocka_unit_test(test_other_keys),
        cmocka_unit_test(test_serials),
        cmocka_unit_test(test_every_change),
    };

    return cmocka_run_group_tests(tests, make_all, free_all);
}
