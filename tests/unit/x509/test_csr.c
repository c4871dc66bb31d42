/*
 * Proof of reading a device's CSR: what GlobalSign takes, what it refuses, and nothing around or
 * inside the PEM that we would send without having judged it.
 */
#include <openssl/core_names.h>
#include <openssl/param_build.h>

#include "make.h"
#include "x509/csr.h"
#include "x509/digest.h"
#include "x509_private.h"

static struct ew_buf pem;
static struct ew_csr csr;
static struct ew_err err;

static int
begin(void **state)
{
    (void)state;
    ew_buf_init(&pem, MAKE_MAX);
    return 0;
}

static int
end(void **state)
{
    (void)state;
    ew_buf_deinit(&pem);
    return 0;
}

static X509_REQ *
make_request(EVP_PKEY *key, EVP_PKEY *signer, const EVP_MD *md)
{
    X509_REQ *req = X509_REQ_new();

    assert_int_equal(X509_REQ_set_pubkey(req, key), 1);
    assert_int_equal(X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(req), "CN", MBSTRING_UTF8,
                                                (const unsigned char *)"device", -1, -1, 0),
                     1);
    assert_true(X509_REQ_sign(req, signer, md) > 0);
    return req;
}

static void
put_request(EVP_PKEY *key, EVP_PKEY *signer)
{
    X509_REQ *req = make_request(key, signer, EVP_sha256());

    ew_buf_clear(&pem);
    WRITE_PEM(&pem, PEM_write_bio_X509_REQ(bio, req));
    X509_REQ_free(req);
}

static enum ew_fault
read_pem(const char *text, size_t len)
{
    char *copy = malloc(len + (len == 0));
    enum ew_fault fault;

    memcpy(copy, text, len);
    memset(&csr, 0, sizeof(csr));
    memset(&err, 0, sizeof(err));
    fault = ew_csr_read(copy, len, &csr, &err);
    free(copy);
    no_errors_left();
    return fault;
}

static void
good(EVP_PKEY *key, const char *type, int bits)
{
    unsigned char *der = NULL;
    uint8_t digest[32];
    int len;

    if (read_pem(ew_buf_text(&pem), pem.len) != EW_OK)
        fail_msg("%s: %s", err.problem, err.detail);
    assert_string_equal(csr.key_type, type);
    assert_int_equal(csr.bits, bits);
    len = i2d_PUBKEY(key, &der);
    ew_sha256(der, (size_t)len, digest);
    OPENSSL_free(der);
    assert_memory_equal(csr.spki_sha256, digest, 32);
}

static void
bad_text(const char *text, size_t len, const char *problem)
{
    assert_int_equal(read_pem(text, len), EW_REJECT);
    assert_string_equal(err.problem, problem);
    assert_string_equal(err.field, "key.csr");
    assert_true(err.advice != NULL && err.detail[0] != '\0');
}

static void
bad(const char *problem)
{
    bad_text(ew_buf_text(&pem), pem.len, problem);
}

/* --- keys --- */

/* A public RSA key of any size that nobody has the private key of; making one takes no time. */
static EVP_PKEY *
rsa_public(int bits)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    BIGNUM *n = BN_new(), *e = BN_new();
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params;
    EVP_PKEY *key = NULL;

    assert_int_equal(BN_rand(n, bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD), 1);
    assert_int_equal(BN_set_word(e, 65537), 1);
    assert_true(OSSL_PARAM_BLD_push_BN(build, "n", n) == 1 &&
                OSSL_PARAM_BLD_push_BN(build, "e", e) == 1);
    params = OSSL_PARAM_BLD_to_param(build);
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params), 1);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    BN_free(n);
    BN_free(e);
    return key;
}

static void
rsa_from_2048_to_8192(void **state)
{
    static const struct {
        int bits;
        const char *problem;
    } sizes[] = {{1024, "csr-key-weak"},        {2047, "csr-key-weak"},
                 {2048, "csr-signature"},       {4096, "csr-signature"},
                 {EW_MAX_RSA, "csr-signature"}, {EW_MAX_RSA + 1, "csr-key-type"}};
    EVP_PKEY *signer = ec_key("P-256");

    (void)state;
    put_request(rsa_key(2048), rsa_key(2048));
    good(rsa_key(2048), "RSA", 2048);
    /* Nobody could sign these: a size that is allowed comes as far as the signature. */
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        EVP_PKEY *key = rsa_public(sizes[i].bits);

        put_request(key, signer);
        bad(sizes[i].problem);
        EVP_PKEY_free(key);
    }
    EVP_PKEY_free(signer);
}

static void
two_curves(void **state)
{
    static const struct {
        const char *curve, *type;
        int bits;
    } curves[] = {{"P-256", "EC P-256", 256},
                  {"P-384", "EC P-384", 384},
                  {"P-521", NULL, 0},
                  {"secp256k1", NULL, 0},
                  {"brainpoolP256r1", NULL, 0}};

    (void)state;
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
        EVP_PKEY *key = ec_key(curves[i].curve);

        put_request(key, key);
        if (curves[i].type != NULL)
            good(key, curves[i].type, curves[i].bits);
        else
            bad("csr-key-type");
        EVP_PKEY_free(key);
    }
}

/* GlobalSign refuses both: the right curve, said in the wrong way. */
static void
compressed_or_explicit_curves(void **state)
{
    static const char *const params[][2] = {
        {OSSL_PKEY_PARAM_EC_ENCODING, "explicit"},
        {OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "compressed"}};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        EVP_PKEY *key = ec_key("P-256");

        assert_int_equal(EVP_PKEY_set_utf8_string_param(key, params[i][0], params[i][1]), 1);
        put_request(key, key);
        bad("csr-key-type");
        EVP_PKEY_free(key);
    }
}

static void
other_kinds_of_key(void **state)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA-PSS", NULL);
    X509_REQ *req = make_request(key, key, NULL);

    (void)state;
    WRITE_PEM(&pem, PEM_write_bio_X509_REQ(bio, req));
    bad("csr-key-type");
    X509_REQ_free(req);
    EVP_PKEY_free(key);
    key = NULL;
    assert_true(EVP_PKEY_keygen_init(ctx) == 1 && EVP_PKEY_generate(ctx, &key) == 1);
    put_request(key, key);
    bad("csr-key-type");
    EVP_PKEY_free(key);
    EVP_PKEY_CTX_free(ctx);
}

/* --- signature --- */

static void
proof_of_possession(void **state)
{
    EVP_PKEY *key = ec_key("P-256"), *other = ec_key("P-256");
    X509_REQ *req;
    const ASN1_BIT_STRING *signature;

    (void)state;
    put_request(key, other); /* signed by a key that is not in it */
    bad("csr-signature");
    put_request(rsa_key(2048), key);
    bad("csr-signature");
    req = make_request(key, key, EVP_sha256());
    X509_REQ_get0_signature(req, &signature, NULL);
    signature->data[signature->length - 1] ^= 1;
    ew_buf_clear(&pem);
    WRITE_PEM(&pem, PEM_write_bio_X509_REQ(bio, req));
    bad("csr-signature");
    X509_REQ_free(req);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
}

/* --- what stands around it --- */

static void
only_white_space_around(void **state)
{
    static const char *const garbage[] = {"x", "Bag Attributes\n", "\x01", "-----BEGIN ",
                                          "\xef\xbb\xbf"};
    EVP_PKEY *key = ec_key("P-256");
    struct ew_buf text;

    (void)state;
    put_request(key, key);
    ew_buf_init(&text, MAKE_MAX);
    ew_buf_printf(&text, " \r\n\t%s\n\n \t", ew_buf_text(&pem));
    assert_int_equal(read_pem(ew_buf_text(&text), text.len), EW_OK);
    for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
        ew_buf_clear(&text);
        ew_buf_printf(&text, "%s%s", garbage[i], ew_buf_text(&pem));
        bad_text(ew_buf_text(&text), text.len, "csr-malformed");
        ew_buf_clear(&text);
        ew_buf_printf(&text, "%s%s", ew_buf_text(&pem), garbage[i]);
        bad_text(ew_buf_text(&text), text.len, "csr-malformed");
    }
    ew_buf_clear(&text); /* garbage that ends like a footer */
    ew_buf_printf(&text, "%sgarbage -----END CERTIFICATE REQUEST-----\n", ew_buf_text(&pem));
    bad_text(ew_buf_text(&text), text.len, "csr-malformed");
    ew_buf_clear(&text);
    ew_buf_printf(&text, "%s%s", ew_buf_text(&pem), ew_buf_text(&pem)); /* two */
    bad_text(ew_buf_text(&text), text.len, "csr-malformed");
    ew_buf_clear(&text);
    ew_buf_put(&text, pem.data, pem.len + 1); /* a NUL at the end */
    bad_text(ew_buf_text(&text), text.len, "csr-malformed");
    ew_buf_deinit(&text);
    EVP_PKEY_free(key);
}

static void
every_line_end(void **state)
{
    EVP_PKEY *key = ec_key("P-256");
    struct ew_buf text;

    (void)state;
    put_request(key, key);
    ew_buf_init(&text, MAKE_MAX);
    for (const char *at = ew_buf_text(&pem); *at != '\0'; at++)
        ew_buf_puts(&text, *at == '\n' ? "\r\n" : (char[]){*at, '\0'});
    assert_int_equal(read_pem(ew_buf_text(&text), text.len), EW_OK);
    assert_int_equal(read_pem(ew_buf_text(&pem), pem.len - 1), EW_OK); /* none at the end */
    ew_buf_deinit(&text);
    EVP_PKEY_free(key);
}

static void
replace_label(struct ew_buf *out, const char *label)
{
    const char *body = strchr(ew_buf_text(&pem), '\n') + 1;
    const char *footer = strstr(body, "-----END");

    ew_buf_clear(out);
    ew_buf_printf(out, "-----BEGIN %s-----\n%.*s-----END %s-----\n", label, (int)(footer - body),
                  body, label);
}

static void
labels(void **state)
{
    EVP_PKEY *key = ec_key("P-256");
    struct ew_buf text;

    (void)state;
    put_request(key, key);
    ew_buf_init(&text, MAKE_MAX);
    replace_label(&text, "NEW CERTIFICATE REQUEST"); /* Windows writes it so */
    assert_int_equal(read_pem(ew_buf_text(&text), text.len), EW_OK);
    replace_label(&text, "CERTIFICATE");
    bad_text(ew_buf_text(&text), text.len, "csr-malformed");
    replace_label(&text, "EVIL CERTIFICATE REQUEST");
    bad_text(ew_buf_text(&text), text.len, "csr-malformed");
    EVP_PKEY_free(key);
    ew_buf_deinit(&text);
}

/* An encrypted PEM would have OpenSSL ask for a password on the worker's terminal. */
static void
no_headers_within(void **state)
{
    static const char *const headers[] = {
        "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00112233445566778899AABBCCDDEEFF\n\n",
        "Comment: hello\n\n"};
    EVP_PKEY *key = ec_key("P-256");
    struct ew_buf text;
    const char *body;

    (void)state;
    put_request(key, key);
    body = strchr(ew_buf_text(&pem), '\n') + 1;
    ew_buf_init(&text, MAKE_MAX);
    for (size_t i = 0; i < 2; i++) {
        ew_buf_clear(&text);
        ew_buf_printf(&text, "-----BEGIN CERTIFICATE REQUEST-----\n%s%s", headers[i], body);
        bad_text(ew_buf_text(&text), text.len, "csr-malformed");
    }
    ew_buf_deinit(&text);
    EVP_PKEY_free(key);
}

/* More DER behind the request's own: we would judge the one and send both. */
static void
nothing_behind_the_der(void **state)
{
    EVP_PKEY *key = ec_key("P-256");
    X509_REQ *req = make_request(key, key, EVP_sha256());
    unsigned char *der = NULL;
    int len = i2d_X509_REQ(req, &der);
    unsigned char *more = calloc(1, (size_t)len + 2);

    (void)state;
    memcpy(more, der, (size_t)len);
    more[len] = 5; /* NULL */
    WRITE_PEM(&pem, PEM_write_bio(bio, "CERTIFICATE REQUEST", "", more, len) > 0);
    assert_int_equal(read_pem(ew_buf_text(&pem), pem.len), EW_OK);
    ew_buf_clear(&pem);
    WRITE_PEM(&pem, PEM_write_bio(bio, "CERTIFICATE REQUEST", "", more, len + 2) > 0);
    bad("csr-malformed");
    free(more);
    OPENSSL_free(der);
    X509_REQ_free(req);
    EVP_PKEY_free(key);
}

static void
every_truncation(void **state)
{
    EVP_PKEY *key = ec_key("P-256");

    (void)state;
    put_request(key, key);
    for (size_t len = 1; len < pem.len - 1; len++)
        bad_text(ew_buf_text(&pem), len, "csr-malformed");
    bad_text("", 0, "csr-size");
    bad_text("    ", 4, "csr-malformed");
    EVP_PKEY_free(key);
}

static void
size_limit(void **state)
{
    EVP_PKEY *key = ec_key("P-256");

    (void)state;
    put_request(key, key);
    while (pem.len < EW_MAX_CSR)
        ew_buf_putc(&pem, '\n');
    assert_int_equal(read_pem(ew_buf_text(&pem), pem.len), EW_OK);
    ew_buf_putc(&pem, '\n');
    bad("csr-size");
    EVP_PKEY_free(key);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rsa_from_2048_to_8192, begin, end),
        cmocka_unit_test_setup_teardown(two_curves, begin, end),
        cmocka_unit_test_setup_teardown(compressed_or_explicit_curves, begin, end),
        cmocka_unit_test_setup_teardown(other_kinds_of_key, begin, end),
        cmocka_unit_test_setup_teardown(proof_of_possession, begin, end),
        cmocka_unit_test_setup_teardown(only_white_space_around, begin, end),
        cmocka_unit_test_setup_teardown(every_line_end, begin, end),
        cmocka_unit_test_setup_teardown(labels, begin, end),
        cmocka_unit_test_setup_teardown(no_headers_within, begin, end),
        cmocka_unit_test_setup_teardown(nothing_behind_the_der, begin, end),
        cmocka_unit_test_setup_teardown(every_truncation, begin, end),
        cmocka_unit_test_setup_teardown(size_limit, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
