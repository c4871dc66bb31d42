/*
 * Proof of the only ways out for a private key: a PKCS#12 that its PIN alone opens, and CMS that
 * the recipient alone opens, in the algorithms that are promised.
 */
#include <openssl/cms.h>
#include <openssl/pkcs12.h>

#include "make.h"
#include "x509/p12.h"
#include "x509/seal.h"
#include "x509_private.h"

static EVP_PKEY *root_key, *ca_key;
static X509 *root, *issuing;
static struct ew_trust *trust;
static struct ew_key *key;
static struct ew_cert *cert;
static struct ew_buf out;
static struct ew_err err;

static int
make_all(void **state)
{
    struct cert_spec spec = {.subject = {{"CN", "J\xc3\xbcrgen"}}};
    struct temp_file file;
    struct ew_buf pem;
    X509 *leaf;

    (void)state;
    root_key = ec_key("P-256");
    ca_key = ec_key("P-256");
    root = make_ca("Root", root_key, NULL, NULL);
    issuing = make_ca("Issuing", ca_key, root, root_key);
    assert_int_equal(ew_key_generate(EW_KEY_RSA_2048, &key, &err), EW_OK);
    spec.key = key->pkey;
    spec.issuer = issuing;
    spec.issuer_key = ca_key;
    leaf = make_cert(&spec);
    ew_buf_init(&pem, MAKE_MAX);
    put_pem(&pem, leaf);
    X509_free(leaf);
    assert_int_equal(ew_cert_read(ew_buf_text(&pem), pem.len, &cert, &err), EW_OK);
    ew_buf_clear(&pem);
    put_pem(&pem, root);
    put_pem(&pem, issuing);
    file = make_file(pem.data, pem.len);
    assert_int_equal(ew_trust_load(file.path, &trust, &err), EW_OK);
    (void)unlink(file.path);
    ew_buf_deinit(&pem);
    return 0;
}

static int
free_all(void **state)
{
    (void)state;
    ew_trust_free(trust);
    ew_cert_free(cert);
    ew_key_free(key);
    X509_free(root);
    X509_free(issuing);
    EVP_PKEY_free(root_key);
    EVP_PKEY_free(ca_key);
    return 0;
}

static int
begin(void **state)
{
    (void)state;
    ew_buf_init_secret(&out, MAKE_MAX);
    return 0;
}

static int
end(void **state)
{
    (void)state;
    ew_buf_deinit(&out);
    return 0;
}

/* --- PIN --- */

static void
pins(void **state)
{
    enum { PINS = 2000 };
    unsigned counts[256] = {0};
    char last[EW_PIN_LENGTH + 1] = "";
    unsigned kinds = 0;

    (void)state;
    for (int i = 0; i < PINS; i++) {
        ew_buf_clear(&out);
        ew_pin_generate(&out);
        assert_int_equal(out.len, EW_PIN_LENGTH);
        assert_string_not_equal(ew_buf_text(&out), last);
        memcpy(last, ew_buf_text(&out), EW_PIN_LENGTH + 1);
        for (size_t at = 0; at < out.len; at++)
            counts[out.data[at]]++;
    }
    /* 40000 draws of 62: 645 each, give or take 25; nine times that never happens by chance. */
    for (unsigned c = 0; c < 256; c++) {
        bool allowed = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');

        if (allowed)
            assert_in_range(counts[c], 420, 870);
        else
            assert_int_equal(counts[c], 0);
        kinds += counts[c] > 0;
    }
    assert_int_equal(kinds, 62);
}

/* --- PKCS#12 --- */

static PKCS12 *
build(enum ew_p12_format format)
{
    const unsigned char *at;
    PKCS12 *p12;

    ew_buf_clear(&out);
    assert_int_equal(ew_p12_build(key, cert, trust, "Pin0123456789ABCDEFG", format, &out, &err),
                     EW_OK);
    assert_false(out.overflowed);
    no_errors_left();
    at = out.data;
    p12 = d2i_PKCS12(NULL, &at, (long)out.len);
    assert_non_null(p12);
    assert_ptr_equal(at, out.data + out.len);
    return p12;
}

static void
pin_opens_it(void **state)
{
    (void)state;
    for (int format = EW_P12_MODERN; format <= EW_P12_APPLE; format++) {
        PKCS12 *p12 = build((enum ew_p12_format)format);
        STACK_OF(X509) *chain = NULL;
        EVP_PKEY *pkey = NULL;
        X509 *leaf = NULL;
        int name_len = 0;

        assert_int_equal(PKCS12_parse(p12, "Pin0123456789ABCDEFG", &pkey, &leaf, &chain), 1);
        assert_int_equal(EVP_PKEY_eq(pkey, key->pkey), 1);
        assert_int_equal(X509_cmp(leaf, cert->x509), 0);
        assert_string_equal((const char *)X509_alias_get0(leaf, &name_len), "J\xc3\xbcrgen");
        assert_int_equal(sk_X509_num(chain), 1); /* the issuing CA, not the root */
        assert_int_equal(X509_cmp(sk_X509_value(chain, 0), issuing), 0);
        sk_X509_pop_free(chain, X509_free);
        X509_free(leaf);
        EVP_PKEY_free(pkey);
        assert_int_equal(PKCS12_verify_mac(p12, "pin0123456789ABCDEFG", -1), 0);
        assert_int_equal(PKCS12_verify_mac(p12, "", 0), 0);
        assert_int_equal(PKCS12_verify_mac(p12, NULL, 0), 0);
        ERR_clear_error();
        PKCS12_free(p12);
    }
}

/* The cipher behind an algorithm of PBES2, or the algorithm itself. */
static int
cipher_of(const X509_ALGOR *algorithm)
{
    const ASN1_OBJECT *object;
    const void *value;
    int type, nid;
    PBE2PARAM *pbe2;
    PBKDF2PARAM *kdf;

    X509_ALGOR_get0(&object, &type, &value, algorithm);
    nid = OBJ_obj2nid(object);
    if (nid != NID_pbes2)
        return nid;
    pbe2 = ASN1_item_unpack(value, ASN1_ITEM_rptr(PBE2PARAM));
    assert_non_null(pbe2);
    assert_int_equal(OBJ_obj2nid(pbe2->keyfunc->algorithm), NID_id_pbkdf2);
    kdf = ASN1_item_unpack(pbe2->keyfunc->parameter->value.sequence, ASN1_ITEM_rptr(PBKDF2PARAM));
    assert_true(ASN1_INTEGER_get(kdf->iter) >= 2048);
    assert_int_equal(OBJ_obj2nid(kdf->prf->algorithm), NID_hmacWithSHA256);
    nid = OBJ_obj2nid(pbe2->encryption->algorithm);
    PBKDF2PARAM_free(kdf);
    PBE2PARAM_free(pbe2);
    return nid;
}

/* Certificates and key each under `cipher`; nothing lies open. */
static void
is_encrypted_with(PKCS12 *p12, int cipher)
{
    STACK_OF(PKCS7) *safes = PKCS12_unpack_authsafes(p12);
    int encrypted = 0, shrouded = 0;

    for (int i = 0; i < sk_PKCS7_num(safes); i++) {
        PKCS7 *safe = sk_PKCS7_value(safes, i);
        STACK_OF(PKCS12_SAFEBAG) * bags;

        if (PKCS7_type_is_encrypted(safe)) {
            assert_int_equal(cipher_of(safe->d.encrypted->enc_data->algorithm), cipher);
            encrypted++;
            continue;
        }
        bags = PKCS12_unpack_p7data(safe);
        for (int j = 0; j < sk_PKCS12_SAFEBAG_num(bags); j++) {
            const PKCS12_SAFEBAG *bag = sk_PKCS12_SAFEBAG_value(bags, j);
            const X509_ALGOR *algorithm;

            assert_int_equal(PKCS12_SAFEBAG_get_nid(bag), NID_pkcs8ShroudedKeyBag);
            X509_SIG_get0(PKCS12_SAFEBAG_get0_pkcs8(bag), &algorithm, NULL);
            assert_int_equal(cipher_of(algorithm), cipher);
            shrouded++;
        }
        sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
    }
    assert_int_equal(encrypted, 1);
    assert_int_equal(shrouded, 1);
    sk_PKCS7_pop_free(safes, PKCS7_free);
}

static void
has_mac_of(const PKCS12 *p12, int digest)
{
    const X509_ALGOR *algorithm;
    const ASN1_INTEGER *iterations;

    PKCS12_get0_mac(NULL, &algorithm, NULL, &iterations, p12);
    assert_int_equal(OBJ_obj2nid(algorithm->algorithm), digest);
    assert_true(ASN1_INTEGER_get(iterations) >= 2048);
}

static void
promised_algorithms(void **state)
{
    PKCS12 *p12 = build(EW_P12_MODERN);

    (void)state;
    is_encrypted_with(p12, NID_aes_256_cbc);
    has_mac_of(p12, NID_sha256);
    PKCS12_free(p12);
    p12 = build(EW_P12_APPLE);
    is_encrypted_with(p12, NID_pbe_WithSHA1And3_Key_TripleDES_CBC);
    has_mac_of(p12, NID_sha1);
    PKCS12_free(p12);
}

static void
not_of_two_that_do_not_belong_together(void **state)
{
    struct ew_key *other = NULL;

    (void)state;
    assert_int_equal(ew_key_generate(EW_KEY_EC_P256, &other, &err), EW_OK);
    assert_int_not_equal(ew_p12_build(other, cert, trust, "pin", EW_P12_MODERN, &out, &err), EW_OK);
    assert_int_equal(out.len, 0);
    no_errors_left();
    ew_key_free(other);
}

/* --- sealing --- */

static const char secret[] = "the PIN, or\0a PKCS#12\r\nwith lines\n";

struct recipient {
    EVP_PKEY *key;
    X509 *cert;
    struct ew_buf der;
};

static struct recipient
make_recipient(EVP_PKEY *pkey)
{
    struct cert_spec spec = {.subject = {{"CN", "MDM"}}, .key = pkey};
    struct recipient r = {.key = pkey, .cert = make_cert(&spec)};

    ew_buf_init(&r.der, MAKE_MAX);
    put_der(&r.der, r.cert);
    return r;
}

static void
free_recipient(struct recipient *r)
{
    ew_buf_deinit(&r->der);
    X509_free(r->cert);
}

static CMS_ContentInfo *
sealed(const struct recipient *r)
{
    const unsigned char *at;
    CMS_ContentInfo *cms;

    ew_buf_clear(&out);
    assert_int_equal(ew_seal(secret, sizeof(secret), r->der.data, r->der.len, &out, &err), EW_OK);
    assert_false(out.overflowed);
    no_errors_left();
    assert_null(memmem(out.data, out.len, "PIN", 3));
    at = out.data;
    cms = d2i_CMS_ContentInfo(NULL, &at, (long)out.len);
    assert_non_null(cms);
    assert_ptr_equal(at, out.data + out.len);
    return cms;
}

/* Whether this key opens it to the secret. */
static bool
opens(CMS_ContentInfo *cms, EVP_PKEY *pkey, X509 *recipient)
{
    BIO *bio = BIO_new(BIO_s_mem());
    bool good = CMS_decrypt(cms, pkey, recipient, NULL, bio, CMS_BINARY) == 1;
    char *data;
    long len = BIO_get_mem_data(bio, &data);

    good = good && len == sizeof(secret) && memcmp(data, secret, sizeof(secret)) == 0;
    BIO_free(bio);
    ERR_clear_error();
    return good;
}

static int
content_cipher(const CMS_ContentInfo *cms)
{
    unsigned char *der = NULL;
    int len = i2d_CMS_ContentInfo(cms, &der);
    static const uint8_t aes_256_cbc[] = {6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 42};
    bool found = memmem(der, (size_t)len, aes_256_cbc, sizeof(aes_256_cbc)) != NULL;

    OPENSSL_free(der);
    return found ? NID_aes_256_cbc : NID_undef;
}

static void
recipient_alone_opens_it(void **state)
{
    EVP_PKEY *keys[] = {rsa_key(2048), ec_key("P-256"), ec_key("P-384"), ec_key("P-521")};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct recipient r = make_recipient(keys[i]);
        EVP_PKEY *other = i == 0 ? rsa_key(1024) : EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
        CMS_ContentInfo *cms = sealed(&r);

        assert_int_equal(OBJ_obj2nid(CMS_get0_type(cms)), NID_pkcs7_enveloped);
        assert_int_equal(content_cipher(cms), NID_aes_256_cbc);
        assert_int_equal(sk_CMS_RecipientInfo_num(CMS_get0_RecipientInfos(cms)), 1);
        assert_true(opens(cms, r.key, r.cert));
        CMS_ContentInfo_free(cms);
        cms = sealed(&r);
        assert_false(opens(cms, other, NULL));
        CMS_ContentInfo_free(cms);
        free_recipient(&r);
        if (i > 0) {
            EVP_PKEY_free(other);
            EVP_PKEY_free(keys[i]);
        }
    }
}

static void
never_the_same_twice(void **state)
{
    struct recipient r = make_recipient(rsa_key(2048));
    struct ew_buf first;

    (void)state;
    CMS_ContentInfo_free(sealed(&r));
    ew_buf_init(&first, MAKE_MAX);
    ew_buf_put(&first, out.data, out.len);
    CMS_ContentInfo_free(sealed(&r));
    assert_int_equal(first.len, out.len);
    assert_memory_not_equal(first.data + first.len - 48, out.data + out.len - 48, 48);
    ew_buf_deinit(&first);
    free_recipient(&r);
}

static void
no_recipient_no_seal(void **state)
{
    EVP_PKEY *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    struct cert_spec spec = {
        .subject = {{"CN", "MDM"}}, .key = ed, .issuer = root, .issuer_key = root_key};
    X509 *signing = make_cert(&spec);
    struct ew_buf der;

    (void)state;
    ew_buf_init(&der, MAKE_MAX);
    put_der(&der, signing);
    assert_int_equal(ew_seal("x", 1, der.data, der.len, &out, &err), EW_REJECT);
    assert_string_equal(err.problem, "seal");
    assert_int_equal(ew_seal("x", 1, der.data, der.len - 1, &out, &err), EW_REJECT);
    assert_int_equal(ew_seal("x", 1, (const uint8_t *)"", 0, &out, &err), EW_REJECT);
    assert_int_equal(out.len, 0);
    no_errors_left();
    ew_buf_deinit(&der);
    X509_free(signing);
    EVP_PKEY_free(ed);
}

static void
no_room(void **state)
{
    struct recipient r = make_recipient(rsa_key(2048));
    struct ew_buf small;

    (void)state;
    ew_buf_init_secret(&small, 100);
    assert_int_equal(ew_p12_build(key, cert, trust, "pin", EW_P12_MODERN, &small, &err), EW_RETRY);
    ew_buf_clear(&small);
    assert_int_equal(ew_seal("x", 1, r.der.data, r.der.len, &small, &err), EW_RETRY);
    ew_buf_deinit(&small);
    free_recipient(&r);
}

/* --- as the recipient does it, with programs of his own --- */

static int
run(const char *format, ...)
{
    char command[1024];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    return system(command);
}

static struct temp_file
private_key_file(EVP_PKEY *pkey)
{
    struct temp_file file;
    struct ew_buf pem;

    ew_buf_init_secret(&pem, MAKE_MAX);
    WRITE_PEM(&pem, PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL));
    file = make_file(pem.data, pem.len);
    ew_buf_deinit(&pem);
    return file;
}

static void
delivered(EVP_PKEY *pkey, enum ew_p12_format format)
{
    static const char pin[] = "Pin0123456789ABCDEFG";
    struct recipient r = make_recipient(pkey);
    struct temp_file recipient_key = private_key_file(pkey), p12_file, pin_file, opened;
    struct ew_buf p12, sealed_pin;

    ew_buf_init_secret(&p12, MAKE_MAX);
    ew_buf_init(&sealed_pin, MAKE_MAX);
    ew_buf_clear(&out);
    assert_int_equal(ew_p12_build(key, cert, trust, pin, format, &p12, &err), EW_OK);
    assert_int_equal(ew_seal(p12.data, p12.len, r.der.data, r.der.len, &out, &err), EW_OK);
    assert_int_equal(ew_seal(pin, strlen(pin), r.der.data, r.der.len, &sealed_pin, &err), EW_OK);
    p12_file = make_file(out.data, out.len);
    pin_file = make_file(sealed_pin.data, sealed_pin.len);
    opened = make_file("", 0);
    assert_int_equal(run("openssl cms -decrypt -inform DER -in %s -inkey %s -out %s.pin && "
                         "openssl cms -decrypt -inform DER -in %s -inkey %s -out %s.p12 && "
                         "openssl pkcs12 -in %s.p12 -passin file:%s.pin -nodes -nocerts "
                         "2>/dev/null | openssl pkey -pubout -outform DER -out %s",
                         pin_file.path, recipient_key.path, opened.path, p12_file.path,
                         recipient_key.path, opened.path, opened.path, opened.path, opened.path),
                     0);
    {
        unsigned char *der = NULL;
        int len = i2d_PUBKEY(key->pkey, &der);
        uint8_t got[1024];
        FILE *file = fopen(opened.path, "rb");

        assert_int_equal(fread(got, 1, sizeof(got), file), len);
        assert_memory_equal(got, der, (size_t)len);
        (void)fclose(file);
        OPENSSL_free(der);
    }
    (void)run("rm -f %s %s %s %s %s.pin %s.p12", recipient_key.path, p12_file.path, pin_file.path,
              opened.path, opened.path, opened.path);
    ew_buf_deinit(&p12);
    ew_buf_deinit(&sealed_pin);
    free_recipient(&r);
}

static void
opened_by_the_openssl_program(void **state)
{
    EVP_PKEY *ec = ec_key("P-256");

    (void)state;
    delivered(rsa_key(2048), EW_P12_MODERN);
    delivered(ec, EW_P12_APPLE);
    EVP_PKEY_free(ec);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pins, begin, end),
        cmocka_unit_test_setup_teardown(pin_opens_it, begin, end),
        cmocka_unit_test_setup_teardown(promised_algorithms, begin, end),
        cmocka_unit_test_setup_teardown(not_of_two_that_do_not_belong_together, begin, end),
        cmocka_unit_test_setup_teardown(recipient_alone_opens_it, begin, end),
        cmocka_unit_test_setup_teardown(never_the_same_twice, begin, end),
        cmocka_unit_test_setup_teardown(no_recipient_no_seal, begin, end),
        cmocka_unit_test_setup_teardown(no_room, begin, end),
        cmocka_unit_test_setup_teardown(opened_by_the_openssl_program, begin, end),
    };

    return cmocka_run_group_tests(tests, make_all, free_all);
}
