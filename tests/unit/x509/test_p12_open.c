/*
 * Proof of opening a PKCS#12 that somebody else made: whatever it is encrypted with, the key and
 * the certificate of that key come out, and nothing but the PIN opens it.
 */
#include <openssl/pkcs12.h>
#include <openssl/provider.h>

#include "make.h"
#include "x509/cert.h"
#include "x509/p12.h"
#include "x509_private.h"

#define PIN "Pin0123456789ABCDEFG"

static EVP_PKEY *ca_key, *leaf_key;
static X509 *ca, *leaf;
static OSSL_LIB_CTX *library; /* with what old servers use */
static OSSL_PROVIDER *usual, *legacy;
static struct ew_buf der, cert;
static struct ew_key *key;
static struct ew_err err;

static int
make_all(void **state)
{
    struct cert_spec spec = {.subject = {{"CN", "Ada"}}};

    (void)state;
    ca_key = ec_key("P-256");
    ca = make_ca("Issuing", ca_key, NULL, NULL);
    leaf_key = rsa_key(2048);
    spec.key = leaf_key;
    spec.issuer = ca;
    spec.issuer_key = ca_key;
    leaf = make_cert(&spec);
    library = OSSL_LIB_CTX_new();
    usual = OSSL_PROVIDER_load(library, "default");
    assert_non_null(usual);
    legacy = OSSL_PROVIDER_load(library, "legacy");
    assert_non_null(legacy); /* deploy/local/install has it */
    return 0;
}

static int
free_all(void **state)
{
    (void)state;
    X509_free(ca);
    X509_free(leaf);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(leaf_key);
    (void)OSSL_PROVIDER_unload(legacy);
    (void)OSSL_PROVIDER_unload(usual);
    OSSL_LIB_CTX_free(library);
    return 0;
}

static int
begin(void **state)
{
    (void)state;
    key = NULL;
    ew_buf_init_secret(&der, MAKE_MAX);
    ew_buf_init(&cert, MAKE_MAX);
    return 0;
}

static int
end(void **state)
{
    (void)state;
    ew_key_free(key);
    ew_buf_deinit(&der);
    ew_buf_deinit(&cert);
    no_errors_left();
    return 0;
}

struct form {
    int key_cipher, cert_cipher;
    const EVP_MD *mac; /* NULL = none */
};

static void
take_der(PKCS12 *p12)
{
    unsigned char *at = NULL;
    int len = i2d_PKCS12(p12, &at);

    assert_true(len > 0);
    ew_buf_clear(&der);
    ew_buf_put(&der, at, (size_t)len);
    OPENSSL_free(at);
    PKCS12_free(p12);
}

static void
put_p12(struct form form, EVP_PKEY *pkey, X509 *of)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    PKCS12 *p12;

    assert_true(sk_X509_push(chain, ca) > 0);
    p12 = PKCS12_create_ex(PIN, "Ada", pkey, of, chain, form.key_cipher, form.cert_cipher, 2048, -1,
                           0, library, NULL);
    assert_non_null(p12);
    if (form.mac != NULL)
        assert_int_equal(PKCS12_set_mac(p12, PIN, -1, NULL, 0, 2048, form.mac), 1);
    take_der(p12);
    sk_X509_free(chain);
}

static enum ew_fault
opened(const char *pin)
{
    return ew_p12_open(der.data, der.len, pin, &key, &cert, &err);
}

static void
is_ours(void)
{
    struct ew_cert *read;
    uint8_t spki[32];

    assert_int_equal(EVP_PKEY_eq(key->pkey, leaf_key), 1);
    assert_int_equal(ew_cert_read(ew_buf_text(&cert), cert.len, &read, &err), EW_OK);
    assert_int_equal(X509_cmp(read->x509, leaf), 0);
    assert_int_equal(ew_key_spki_sha256(key, spki, &err), EW_OK);
    assert_memory_equal(spki, ew_cert_facts(read)->spki_sha256, 32);
    ew_cert_free(read);
    ew_key_free(key);
    key = NULL;
    ew_buf_clear(&cert);
}

static void
test_every_encryption(void **state)
{
    const struct form forms[] = {
        {NID_aes_256_cbc, NID_aes_256_cbc, EVP_sha256()},
        {NID_aes_128_cbc, NID_aes_128_cbc, EVP_sha1()},
        {NID_pbe_WithSHA1And3_Key_TripleDES_CBC, NID_pbe_WithSHA1And3_Key_TripleDES_CBC,
         EVP_sha1()},
        {-1, -1, EVP_sha256()}, /* nothing but the MAC: its PIN is right, or it is not whole */
        {NID_pbe_WithSHA1And3_Key_TripleDES_CBC, NID_pbe_WithSHA1And40BitRC2_CBC, EVP_sha1()},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        put_p12(forms[i], leaf_key, leaf);
        if (opened(PIN) != EW_OK)
            fail_msg("form %zu: %s", i, err.detail);
        is_ours();
    }
}

static void
test_it_is_said_whether_old_ones_open(void **state)
{
    (void)state;
    assert_int_equal(ew_p12_ready(&err), EW_OK);
    assert_int_equal(setenv("OPENSSL_MODULES", "/nowhere", 1), 0);
    assert_int_equal(ew_p12_ready(&err), EW_HALT);
    assert_int_equal(unsetenv("OPENSSL_MODULES"), 0);
    assert_string_equal(err.problem, "openssl-legacy");
    assert_non_null(strstr(err.advice, "openssl-provider-legacy"));
}

/* What it leaves is a key like any other: it still signs. */
static void
test_the_key_outlives_its_library(void **state)
{
    struct ew_buf csr;

    (void)state;
    put_p12((struct form){NID_aes_256_cbc, NID_aes_256_cbc, EVP_sha256()}, leaf_key, leaf);
    assert_int_equal(opened(PIN), EW_OK);
    ew_buf_init(&csr, MAKE_MAX);
    assert_int_equal(ew_key_csr(key, "Ada", &csr, &err), EW_OK);
    assert_true(csr.len > 0);
    ew_buf_deinit(&csr);
}

static void
refused(const char *pin, const char *problem)
{
    assert_int_equal(opened(pin), EW_REJECT);
    assert_string_equal(err.problem, problem);
    assert_null(strstr(err.detail, PIN));
    assert_null(key);
    ew_buf_clear(&cert);
}

static void
test_nothing_but_the_pin_opens_it(void **state)
{
    (void)state;
    put_p12((struct form){NID_aes_256_cbc, NID_aes_256_cbc, EVP_sha256()}, leaf_key, leaf);
    refused("Pin0123456789ABCDEFH", "pkcs12-pin");
    refused("", "pkcs12-pin");
    der.data[der.len / 2] ^= 1; /* in what the MAC covers */
    refused(PIN, "pkcs12-pin");
    put_p12((struct form){NID_aes_256_cbc, NID_aes_256_cbc, NULL}, leaf_key, leaf);
    refused(PIN, "pkcs12-pin");
}

static void
test_what_is_no_pair_is_refused(void **state)
{
    struct form form = {NID_aes_256_cbc, NID_aes_256_cbc, EVP_sha256()};

    (void)state;
    put_p12(form, NULL, leaf);
    refused(PIN, "pkcs12-content");
    put_p12(form, leaf_key, NULL);
    refused(PIN, "pkcs12-content");
}

/* --- too slow --- */

enum { SOME_ROUNDS = 70000 }; /* three bytes, as far more would be */

/* The at-th of the places where der says SOME_ROUNDS; NULL = there are no more. */
static uint8_t *
rounds_at(size_t at)
{
    static const uint8_t some[] = {0x02, 0x03, 0x01, 0x11, 0x70};
    uint8_t *found = der.data, *from = der.data;

    for (size_t i = 0; found != NULL && i <= at; i++) {
        found = memmem(from, der.len - (size_t)(from - der.data), some, sizeof(some));
        from = found == NULL ? from : found + sizeof(some);
    }
    return found;
}

static void
test_rounds_without_end_are_not_begun(void **state)
{
    const int ciphers[] = {NID_aes_256_cbc, NID_pbe_WithSHA1And3_Key_TripleDES_CBC};

    (void)state;
    for (size_t c = 0; c < 2; c++) {
        for (size_t at = 0; at < 3; at++) { /* certificates, key, MAC */
            PKCS12 *p12 = PKCS12_create_ex(PIN, "Ada", leaf_key, leaf, NULL, ciphers[c], ciphers[c],
                                           SOME_ROUNDS, -1, 0, library, NULL);

            assert_non_null(p12);
            assert_int_equal(PKCS12_set_mac(p12, PIN, -1, NULL, 0, SOME_ROUNDS, EVP_sha256()), 1);
            take_der(p12);
            assert_null(rounds_at(3));
            assert_int_equal(opened(PIN), EW_OK);
            is_ours();
            memcpy(rounds_at(at) + 2, "\x0f\x42\x41", 3); /* 1,000,001 */
            refused(PIN, "pkcs12-rounds");
        }
    }
}

/* A key's that shows only when what is around it was opened, and one whose cost is no number. */
static void
test_hidden_rounds_are_not_begun(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(leaf_key);
        X509_ALGOR *scrypt = PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), NULL, 0, NULL, 1024, 8, 1);
        STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
        STACK_OF(PKCS7) *safes = NULL;
        PKCS12 *p12;

        if (i < 2)
            assert_non_null(PKCS12_add_key_ex(&bags, leaf_key, 0, i == 0 ? 2048 : 1000001,
                                              NID_aes_256_cbc, PIN, library, NULL));
        else
            assert_true(sk_PKCS12_SAFEBAG_push(
                            bags = sk_PKCS12_SAFEBAG_new_null(),
                            PKCS12_SAFEBAG_create0_pkcs8(PKCS8_set0_pbe(PIN, -1, p8, scrypt))) > 0);
        assert_non_null(PKCS12_add_cert(&bags, leaf));
        assert_int_equal(
            PKCS12_add_safe_ex(&safes, bags, NID_aes_256_cbc, 2048, PIN, library, NULL), 1);
        p12 = PKCS12_add_safes_ex(safes, 0, library, NULL);
        assert_int_equal(PKCS12_set_mac(p12, PIN, -1, NULL, 0, 2048, EVP_sha256()), 1);
        take_der(p12);
        if (i == 0)
            assert_int_equal(opened(PIN), EW_OK);
        else
            refused(PIN, "pkcs12-rounds");
        ew_key_free(key);
        key = NULL;
        ew_buf_clear(&cert);
        if (i < 2)
            X509_ALGOR_free(scrypt);
        PKCS8_PRIV_KEY_INFO_free(p8);
        sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
        sk_PKCS7_pop_free(safes, PKCS7_free);
    }
}

/* A PKCS#12 of so many parts, each of the most rounds there may be, and no MAC. */
static bool
fits_in_parts(size_t parts)
{
    STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
    STACK_OF(PKCS7) *safes = NULL;
    const unsigned char *at;
    PKCS12 *p12;
    bool fits;

    assert_non_null(PKCS12_add_cert(&bags, leaf));
    for (size_t i = 0; i < parts; i++)
        assert_int_equal(
            PKCS12_add_safe_ex(&safes, bags, NID_aes_256_cbc, SOME_ROUNDS, PIN, library, NULL), 1);
    take_der(PKCS12_add_safes_ex(safes, 0, library, NULL));
    for (size_t i = 0; i < parts; i++)
        memcpy(rounds_at(0) + 2, "\x0f\x42\x40", 3); /* 1,000,000; the next is the first then */
    at = der.data;
    p12 = d2i_PKCS12(NULL, &at, (long)der.len);
    assert_non_null(p12);
    fits = ew_p12_rounds_fit(p12, NULL);
    PKCS12_free(p12);
    sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
    sk_PKCS7_pop_free(safes, PKCS7_free);
    return fits;
}

static void
test_rounds_of_all_parts(void **state)
{
    (void)state;
    assert_true(fits_in_parts(EW_MAX_ROUNDS_ALL / EW_MAX_ROUNDS));
    assert_false(fits_in_parts(EW_MAX_ROUNDS_ALL / EW_MAX_ROUNDS + 1));
}

/* A part says of what type it is, and then there is nothing of it. */
static void
test_parts_without_content_are_refused(void **state)
{
    const int types[] = {NID_pkcs7_data, NID_pkcs7_encrypted, NID_pkcs7_signed};

    (void)state;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        STACK_OF(PKCS7) *safes = sk_PKCS7_new_null();
        PKCS7 *safe = PKCS7_new();
        PKCS12 *p12;

        safe->type = OBJ_nid2obj(types[i]);
        assert_true(sk_PKCS7_push(safes, safe) > 0);
        p12 = PKCS12_add_safes_ex(safes, 0, library, NULL);
        assert_int_equal(PKCS12_set_mac(p12, PIN, -1, NULL, 0, 2048, EVP_sha256()), 1);
        take_der(p12);
        refused(PIN, "pkcs12-rounds");
        sk_PKCS7_pop_free(safes, PKCS7_free);
    }
}

/* Cut anywhere, or with something behind it. */
static void
test_half_of_one_is_none(void **state)
{
    size_t whole;

    (void)state;
    put_p12((struct form){NID_aes_256_cbc, NID_aes_256_cbc, EVP_sha256()}, leaf_key, leaf);
    whole = der.len;
    for (der.len = 0; der.len < whole; der.len += 97)
        refused(PIN, "pkcs12-malformed");
    der.len = whole;
    ew_buf_putc(&der, 0);
    refused(PIN, "pkcs12-malformed");
    ew_buf_clear(&der);
    ew_buf_puts(&der, "<html>");
    refused(PIN, "pkcs12-malformed");
}

static void
test_a_certificate_without_room_is_told(void **state)
{
    struct ew_buf small;

    (void)state;
    put_p12((struct form){NID_aes_256_cbc, NID_aes_256_cbc, EVP_sha256()}, leaf_key, leaf);
    ew_buf_init(&small, 10);
    assert_int_equal(ew_p12_open(der.data, der.len, PIN, &key, &small, &err), EW_RETRY);
    assert_null(key);
    ew_buf_deinit(&small);
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        ROW(test_every_encryption),
        ROW(test_it_is_said_whether_old_ones_open),
        ROW(test_the_key_outlives_its_library),
        ROW(test_nothing_but_the_pin_opens_it),
        ROW(test_what_is_no_pair_is_refused),
        ROW(test_rounds_without_end_are_not_begun),
        ROW(test_hidden_rounds_are_not_begun),
        ROW(test_rounds_of_all_parts),
        ROW(test_parts_without_content_are_refused),
        ROW(test_half_of_one_is_none),
        ROW(test_a_certificate_without_room_is_told),
    };

    return cmocka_run_group_tests(tests, make_all, free_all);
}
