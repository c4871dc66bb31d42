/*
 * Proof of worker-made keys: each type and its CSR; the file of key-encryption keys; wrapping,
 * rotation, and that nothing but the same bytes for the same request opens.
 */
#include <sys/stat.h>

#include "base/hex.h"
#include "make.h"
#include "x509/csr.h"
#include "x509_private.h"

static struct ew_err err;
static struct ew_buf out;

enum { HEAD = 2 + 2 + 12 + 16 }; /* format, length and id, nonce, tag */

#define K1 "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
#define K2 "k2:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=\n"

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

static struct ew_key *
generate(enum ew_key_type type)
{
    struct ew_key *key = NULL;

    assert_int_equal(ew_key_generate(type, &key, &err), EW_OK);
    assert_non_null(key);
    no_errors_left();
    return key;
}

/* --- keys and CSRs --- */

static void
each_type_and_its_csr(void **state)
{
    static const struct {
        enum ew_key_type type;
        const char *name;
        int bits;
    } types[] = {{EW_KEY_RSA_2048, "RSA", 2048},
                 {EW_KEY_RSA_3072, "RSA", 3072},
                 {EW_KEY_EC_P256, "EC P-256", 256},
                 {EW_KEY_EC_P384, "EC P-384", 384}};

    (void)state;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct ew_key *key = generate(types[i].type);
        struct ew_csr csr;
        uint8_t digest[32];

        ew_buf_clear(&out);
        assert_int_equal(ew_key_csr(key, "J\xc3\xbcrgen", &out, &err), EW_OK);
        assert_in_range(out.len, 1, EW_MAX_CSR);
        assert_int_equal(ew_csr_read(ew_buf_text(&out), out.len, &csr, &err), EW_OK);
        assert_string_equal(csr.key_type, types[i].name);
        assert_int_equal(csr.bits, types[i].bits);
        assert_int_equal(ew_key_spki_sha256(key, digest, &err), EW_OK);
        assert_memory_equal(csr.spki_sha256, digest, 32);
        ew_key_free(key);
    }
    ew_key_free(NULL);
}

static void
csr_says_the_name_in_utf8(void **state)
{
    struct ew_key *key = generate(EW_KEY_EC_P256);
    BIO *bio;
    X509_REQ *req;
    const X509_NAME *name;
    const ASN1_STRING *cn;

    (void)state;
    assert_int_equal(ew_key_csr(key, "J\xc3\xbcrgen", &out, &err), EW_OK);
    bio = BIO_new_mem_buf(out.data, (int)out.len);
    req = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
    assert_non_null(req);
    assert_int_equal(X509_REQ_get_version(req), X509_REQ_VERSION_1);
    assert_int_equal(X509_REQ_get_signature_nid(req), NID_ecdsa_with_SHA256);
    name = X509_REQ_get_subject_name(req);
    assert_int_equal(X509_NAME_entry_count(name), 1);
    cn = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, 0));
    assert_int_equal(ASN1_STRING_type(cn), V_ASN1_UTF8STRING);
    assert_int_equal(ASN1_STRING_length(cn), 7);
    assert_memory_equal(ASN1_STRING_get0_data(cn), "J\xc3\xbcrgen", 7);
    X509_REQ_free(req);
    BIO_free(bio);
    ew_key_free(key);
}

static void
no_two_keys_alike(void **state)
{
    struct ew_key *a = generate(EW_KEY_EC_P256), *b = generate(EW_KEY_EC_P256);
    uint8_t of_a[32], of_b[32];

    (void)state;
    assert_int_equal(ew_key_spki_sha256(a, of_a, &err), EW_OK);
    assert_int_equal(ew_key_spki_sha256(b, of_b, &err), EW_OK);
    assert_memory_not_equal(of_a, of_b, 32);
    ew_key_free(a);
    ew_key_free(b);
}

/* --- the file of key-encryption keys --- */

static enum ew_fault
load_mode(const char *text, size_t len, mode_t mode, struct ew_keks **keks)
{
    struct temp_file file = make_file(text, len);
    enum ew_fault fault;

    *keks = NULL;
    assert_int_equal(chmod(file.path, mode), 0);
    fault = ew_keks_load(file.path, keks, &err);
    (void)unlink(file.path);
    return fault;
}

static struct ew_keks *
load(const char *text)
{
    struct ew_keks *keks;

    if (load_mode(text, strlen(text), 0600, &keks) != EW_OK)
        fail_msg("%s", err.detail);
    return keks;
}

static void
file_refused(const char *text, const char *detail)
{
    struct ew_keks *keks;

    assert_int_equal(load_mode(text, strlen(text), 0600, &keks), EW_HALT);
    assert_null(keks);
    assert_string_equal(err.problem, "kek-file");
    assert_non_null(err.advice);
    if (strstr(err.detail, detail) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.detail, detail);
    assert_null(strstr(err.detail, "AAECAwQFBgcI")); /* no secret in a message */
}

static void
kek_files(void **state)
{
    struct ew_keks *keks;
    struct ew_buf text;

    (void)state;
    ew_keks_free(load(K1));
    ew_keks_free(load("# the current one\n\n" K1 "\r\n" K2));
    ew_keks_free(load("A.b_c-0123456789: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8= "));
    file_refused("", "no key");
    file_refused("# nothing\n\n", "no key");
    file_refused("k1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n", "colon");
    file_refused(":AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n", "id");
    file_refused("k/1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n", "id");
    file_refused("A.b_c-01234567890:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n", "id");
    file_refused(K1 K1, "twice");
    file_refused("k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==\n", "32 bytes"); /* 31 */
    file_refused("k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g\n", "32 bytes"); /* 33 */
    file_refused("k1:\n", "32 bytes");
    file_refused("k1:!!!!\n", "32 bytes");
    ew_buf_init(&text, MAKE_MAX);
    for (int i = 0; i < 16; i++)
        ew_buf_printf(&text, "k%d:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n", i);
    ew_keks_free(load(ew_buf_text(&text)));
    ew_buf_puts(&text, "k16:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n");
    file_refused(ew_buf_text(&text), "more than 16");
    ew_buf_clear(&text);
    ew_buf_puts(&text, K1);
    while (text.len <= 16 * 1024)
        ew_buf_puts(&text, "#\n");
    file_refused(ew_buf_text(&text), "16 KiB");
    ew_buf_deinit(&text);
    assert_int_equal(ew_keks_load("/nonexistent/keks", &keks, &err), EW_HALT);
    ew_keks_free(NULL);
}

/* What stands behind the 255th character of a comment must not count as a line of its own. */
static void
long_lines(void **state)
{
    struct ew_buf text;

    (void)state;
    ew_buf_init(&text, MAKE_MAX);
    ew_buf_putc(&text, '#');
    for (int i = 0; i < 254; i++)
        ew_buf_putc(&text, '-');
    ew_buf_puts(&text, K2 K1);
    file_refused(ew_buf_text(&text), "longer than 255");
    ew_buf_deinit(&text);
}

static void
a_file_that_others_may_read(void **state)
{
    static const struct {
        mode_t mode;
        enum ew_fault fault;
    } modes[] = {{0400, EW_OK},   {0600, EW_OK},   {0440, EW_OK},   {0640, EW_OK},  {0644, EW_HALT},
                 {0604, EW_HALT}, {0620, EW_HALT}, {0602, EW_HALT}, {0601, EW_HALT}};
    struct ew_keks *keks;

    (void)state;
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        assert_int_equal(load_mode(K1, strlen(K1), modes[i].mode, &keks), modes[i].fault);
        ew_keks_free(keks);
    }
}

/* --- wrapping --- */

static void
wrap(const struct ew_key *key, const struct ew_keks *keks, const char *aad)
{
    ew_buf_clear(&out);
    assert_int_equal(ew_key_wrap(key, keks, aad, strlen(aad), &out, &err), EW_OK);
    assert_false(out.overflowed);
    no_errors_left();
}

static enum ew_fault
unwrap_bytes(const void *data, size_t len, const struct ew_keks *keks, const char *aad,
             struct ew_key **key)
{
    uint8_t *copy = malloc(len + (len == 0));
    enum ew_fault fault;

    *key = NULL;
    memcpy(copy, data, len);
    fault = ew_key_unwrap(copy, len, keks, aad, strlen(aad), key, &err);
    free(copy);
    no_errors_left();
    assert_true((fault == EW_OK) == (*key != NULL));
    return fault;
}

static void
opens_to(const struct ew_key *key, const struct ew_keks *keks, const char *aad)
{
    struct ew_key *back;

    if (unwrap_bytes(out.data, out.len, keks, aad, &back) != EW_OK)
        fail_msg("%s: %s", err.problem, err.detail);
    assert_int_equal(EVP_PKEY_eq(back->pkey, key->pkey), 1);
    ew_buf_clear(&out);
    assert_int_equal(ew_key_csr(back, "x", &out, &err), EW_OK); /* it signs: it is private */
    ew_key_free(back);
}

static void
stays_shut(const void *data, size_t len, const struct ew_keks *keks, const char *aad)
{
    struct ew_key *back;

    assert_int_equal(unwrap_bytes(data, len, keks, aad, &back), EW_REJECT);
    assert_string_equal(err.problem, "wrapped-key");
}

/* It has the form, and the key that is there does not fit: perhaps another one does. */
static void
does_not_fit(const void *data, size_t len, const struct ew_keks *keks, const char *aad)
{
    struct ew_key *back;

    assert_int_equal(unwrap_bytes(data, len, keks, aad, &back), EW_HALT);
    assert_string_equal(err.problem, "kek-wrong");
    assert_non_null(strstr(err.detail, "k1"));
    assert_non_null(err.advice);
}

static void
wrapped_and_opened(void **state)
{
    struct ew_keks *keks = load(K1);

    (void)state;
    for (int type = EW_KEY_RSA_2048; type <= EW_KEY_EC_P384; type++) {
        struct ew_key *key = generate((enum ew_key_type)type);

        wrap(key, keks, "request-1");
        opens_to(key, keks, "request-1");
        ew_key_free(key);
    }
    ew_keks_free(keks);
}

static void
format_on_the_wire(void **state)
{
    struct ew_keks *keks = load(K1);
    struct ew_key *key = generate(EW_KEY_EC_P256);
    unsigned char *plain = NULL;
    int len = i2d_PrivateKey(key->pkey, &plain);
    PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(key->pkey);
    int p8_len = i2d_PKCS8_PRIV_KEY_INFO(p8, NULL);
    uint8_t first[64];

    (void)state;
    wrap(key, keks, "r");
    assert_int_equal(out.len, 2 + 2 + 12 + 16 + (size_t)p8_len);
    assert_memory_equal(out.data, "\x01\x02k1", 4);
    for (size_t at = 0; at + 16 < out.len; at++) /* no part of the key lies in it open */
        assert_null(memmem(plain, (size_t)len, out.data + at, 16));
    memcpy(first, out.data, sizeof(first));
    wrap(key, keks, "r"); /* another nonce, other bytes */
    assert_memory_not_equal(out.data + 4, first + 4, 12);
    assert_memory_not_equal(out.data + 32, first + 32, 32);
    OPENSSL_clear_free(plain, (size_t)len);
    PKCS8_PRIV_KEY_INFO_free(p8);
    ew_key_free(key);
    ew_keks_free(keks);
}

static void
every_byte_is_bound(void **state)
{
    struct ew_keks *keks = load(K1);
    struct ew_key *key = generate(EW_KEY_EC_P256), *back;

    (void)state;
    wrap(key, keks, "request-1");
    for (size_t i = 0; i < out.len; i++) {
        out.data[i] ^= 0x40;
        if (i == 2 || i == 3) { /* the key id: then there is no such key */
            assert_int_equal(unwrap_bytes(out.data, out.len, keks, "request-1", &back), EW_HALT);
            assert_string_equal(err.problem, "kek-missing");
        } else if (i < 2) {
            stays_shut(out.data, out.len, keks, "request-1");
        } else {
            does_not_fit(out.data, out.len, keks, "request-1");
        }
        out.data[i] ^= 0x40;
    }
    for (size_t len = 0; len < out.len; len++)
        if (len <= HEAD)
            stays_shut(out.data, len, keks, "request-1");
        else
            does_not_fit(out.data, len, keks, "request-1");
    ew_buf_putc(&out, 0);
    does_not_fit(out.data, out.len, keks, "request-1");
    out.len--;
    does_not_fit(out.data, out.len, keks, "request-2");
    does_not_fit(out.data, out.len, keks, "");
    does_not_fit(out.data, out.len, keks, "request-10");
    opens_to(key, keks, "request-1");
    ew_key_free(key);
    ew_keks_free(keks);
}

static void
rotation(void **state)
{
    struct ew_keks *old = load(K1), *both = load(K2 K1), *new = load(K2);
    struct ew_keks *other = load("k1:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=\n");
    struct ew_key *key = generate(EW_KEY_EC_P256), *back;

    (void)state;
    wrap(key, old, "r");
    assert_int_equal(unwrap_bytes(out.data, out.len, new, "r", &back), EW_HALT);
    assert_string_equal(err.problem, "kek-missing");
    assert_non_null(strstr(err.detail, "k1"));
    does_not_fit(out.data, out.len, other, "r"); /* another key under the old name */
    assert_int_equal(unwrap_bytes(out.data, out.len, NULL, "r", &back), EW_HALT); /* no file */
    assert_string_equal(err.problem, "kek-missing");
    opens_to(key, both, "r");
    wrap(key, both, "r"); /* the first in the file wraps */
    assert_memory_equal(out.data, "\x01\x02k2", 4);
    opens_to(key, new, "r");
    ew_key_free(key);
    ew_keks_free(old);
    ew_keks_free(both);
    ew_keks_free(new);
    ew_keks_free(other);
}

static void
hostile_wrapped_keys(void **state)
{
    static const char *const cases[] = {
        "",
        "\x01",
        "\x01\x02",
        "\x02\x02k1________________________________________", /* another format */
        "\x01\x11k1k1k1k1k1k1k1k1k________________________________________",
        "\x01\xffk1________________________________________",
        "\x01\x02k1____________________________", /* nothing but nonce and tag */
    };
    struct ew_keks *keks = load(K1);
    uint8_t *large = calloc(1, 64 * 1024);

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        stays_shut(cases[i], strlen(cases[i]), keks, "r");
    stays_shut("\x01\0", 2, keks, "r");
    stays_shut("\x01\0________________________________________", 42, keks, "r");
    memcpy(large, "\x01\x02k1", 4);
    stays_shut(large, 64 * 1024, keks, "r");
    stays_shut(large, 4 + 28 + 8 * 1024 + 1, keks, "r");
    does_not_fit(large, 4 + 28 + 8 * 1024, keks, "r");
    free(large);
    ew_keks_free(keks);
}

/* What does not fit is said: half a key is none. */
static void
no_room(void **state)
{
    struct ew_keks *keks = load(K1);
    struct ew_key *key = generate(EW_KEY_EC_P256);
    struct ew_buf small;
    size_t len;

    (void)state;
    wrap(key, keks, "r");
    len = out.len;
    for (size_t max = 0; max <= len; max++) {
        ew_buf_init_secret(&small, max);
        assert_int_equal(ew_key_wrap(key, keks, "r", 1, &small, &err),
                         max < len ? EW_RETRY : EW_OK);
        ew_buf_deinit(&small);
    }
    ew_buf_init(&small, 100);
    assert_int_equal(ew_key_csr(key, "x", &small, &err), EW_RETRY);
    ew_buf_deinit(&small);
    ew_key_free(key);
    ew_keks_free(keks);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_type_and_its_csr, begin, end),
        cmocka_unit_test_setup_teardown(csr_says_the_name_in_utf8, begin, end),
        cmocka_unit_test_setup_teardown(no_two_keys_alike, begin, end),
        cmocka_unit_test_setup_teardown(kek_files, begin, end),
        cmocka_unit_test_setup_teardown(long_lines, begin, end),
        cmocka_unit_test_setup_teardown(a_file_that_others_may_read, begin, end),
        cmocka_unit_test_setup_teardown(wrapped_and_opened, begin, end),
        cmocka_unit_test_setup_teardown(format_on_the_wire, begin, end),
        cmocka_unit_test_setup_teardown(every_byte_is_bound, begin, end),
        cmocka_unit_test_setup_teardown(rotation, begin, end),
        cmocka_unit_test_setup_teardown(hostile_wrapped_keys, begin, end),
        cmocka_unit_test_setup_teardown(no_room, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
