/*
 * Proof of reading certificates: every form that GlobalSign may send one in, every fact, and names
 * made to deceive.
 */
#include <openssl/pkcs7.h>

#include "base/hex.h"
#include "make.h"
#include "x509/cert.h"
#include "x509/digest.h"

static EVP_PKEY *ca_key, *key;
static X509 *root, *issuing, *leaf;
static struct ew_buf bytes;
static struct ew_err err;

static int
make_all(void **state)
{
    struct cert_spec spec = {
        .subject = {{"CN", "J\xc3\xbcrgen M\xc3\xbcller"},
                    {"OU", "Sales"},
                    {"OU", "Berlin, Mitte"},
                    {"O", "Example"},
                    {"emailAddress", "jm@example.com"}},
        .from_s = 1690000000,
        .to_s = 1720000000,
        .serial = "00ABCDEF0123456789",
        .extensions = {"subjectAltName=email:jm@example.org,otherName:1.3.6.1.4.1.311.20.2.3;UTF8:"
                       "jm@corp.example.com",
                       "extendedKeyUsage=clientAuth,emailProtection,1.3.6.1.4.1.311.10.3.4",
                       "basicConstraints=CA:FALSE"}};

    (void)state;
    ca_key = ec_key("P-256");
    key = ec_key("P-256");
    root = make_ca("Root", ca_key, NULL, NULL);
    issuing = make_ca("Issuing", ca_key, root, ca_key);
    spec.key = key;
    spec.issuer = issuing;
    spec.issuer_key = ca_key;
    leaf = make_cert(&spec);
    return 0;
}

static int
free_all(void **state)
{
    (void)state;
    X509_free(root);
    X509_free(issuing);
    X509_free(leaf);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(key);
    return 0;
}

static int
begin(void **state)
{
    (void)state;
    ew_buf_init(&bytes, MAKE_MAX);
    return 0;
}

static int
end(void **state)
{
    (void)state;
    ew_buf_deinit(&bytes);
    return 0;
}

static struct ew_cert *
read_bytes(const void *data, size_t len)
{
    struct ew_cert *cert = NULL;
    struct ew_cert_id id;
    uint8_t *copy = malloc(len + (len == 0));
    enum ew_fault fault;

    memcpy(copy, data, len);
    fault = ew_cert_read((const char *)copy, len, &cert, &err);
    no_errors_left();
    assert_true((fault == EW_OK) == (cert != NULL));
    if (cert == NULL) {
        assert_int_equal(fault, EW_REJECT);
        assert_string_equal(err.problem, "cert-malformed");
    } else {
        assert_int_equal(ew_cert_identify((const char *)copy, len, &id, &err), EW_OK);
        no_errors_left();
        assert_memory_equal(id.spki_sha256, ew_cert_facts(cert)->spki_sha256, 32);
        assert_string_equal(id.serial, ew_cert_facts(cert)->serial);
    }
    free(copy);
    return cert;
}

/* The bytes are the leaf, in whatever form. */
static void
is_leaf(const void *data, size_t len)
{
    struct ew_cert *cert = read_bytes(data, len);
    unsigned char *der = NULL;
    int der_len = i2d_X509(leaf, &der);

    assert_non_null(cert);
    assert_int_equal(ew_cert_der(cert).len, der_len);
    assert_memory_equal(ew_cert_der(cert).data, der, (size_t)der_len);
    OPENSSL_free(der);
    ew_cert_free(cert);
}

static void
refused(const void *data, size_t len)
{
    assert_null(read_bytes(data, len));
}

/* --- forms --- */

static void
put_base64(struct ew_buf *out, const struct ew_buf *der, size_t line, const char *line_end)
{
    struct ew_buf text;

    ew_buf_init(&text, MAKE_MAX);
    ew_base64_encode(der->data, der->len, &text);
    for (size_t at = 0; at < text.len; at += line) {
        ew_buf_put(out, text.data + at, text.len - at < line ? text.len - at : line);
        ew_buf_puts(out, line_end);
    }
    ew_buf_deinit(&text);
}

/* Every text form of these DER bytes. */
static void
all_forms(const struct ew_buf *der, const char *label)
{
    static const char *const ends[] = {"\n", "\r\n", ""};

    is_leaf(der->data, der->len);
    for (size_t i = 0; i < 3; i++) {
        ew_buf_clear(&bytes);
        put_base64(&bytes, der, i == 2 ? 1 << 20 : 64, ends[i]);
        is_leaf(bytes.data, bytes.len);
        ew_buf_clear(&bytes);
        ew_buf_printf(&bytes, "-----BEGIN %s-----%s", label, i == 2 ? "\n" : ends[i]);
        put_base64(&bytes, der, 64, i == 2 ? "\n" : ends[i]);
        ew_buf_printf(&bytes, "-----END %s-----%s", label, ends[i]);
        is_leaf(bytes.data, bytes.len);
    }
    ew_buf_puts(&bytes, "\n\n  ");
    is_leaf(bytes.data, bytes.len);
}

static void
certificate_in_every_form(void **state)
{
    struct ew_buf der;

    (void)state;
    ew_buf_init(&der, MAKE_MAX);
    put_der(&der, leaf);
    all_forms(&der, "CERTIFICATE");
    all_forms(&der, "X509 CERTIFICATE");
    ew_buf_deinit(&der);
}

static void
put_pkcs7(struct ew_buf *out, X509 *const *certs, size_t count)
{
    PKCS7 *p7 = PKCS7_new();
    unsigned char *der = NULL;
    int len;

    assert_true(PKCS7_set_type(p7, NID_pkcs7_signed) == 1 &&
                PKCS7_content_new(p7, NID_pkcs7_data) == 1 && PKCS7_set_detached(p7, 1) == 1);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(PKCS7_add_certificate(p7, certs[i]), 1);
    len = i2d_PKCS7(p7, &der);
    assert_true(len > 0);
    ew_buf_put(out, der, (size_t)len);
    OPENSSL_free(der);
    PKCS7_free(p7);
}

static void
pkcs7_in_every_form_and_order(void **state)
{
    X509 *const orders[][3] = {{leaf, issuing, root}, {root, issuing, leaf}, {issuing, leaf, root}};
    struct ew_buf der;

    (void)state;
    ew_buf_init(&der, MAKE_MAX);
    for (size_t i = 0; i < 3; i++) {
        ew_buf_clear(&der);
        put_pkcs7(&der, orders[i], 3);
        all_forms(&der, "PKCS7");
    }
    ew_buf_clear(&der);
    put_pkcs7(&der, &leaf, 1);
    all_forms(&der, "CERTIFICATE"); /* a PKCS#7 under the wrong label */
    ew_buf_clear(&der);
    put_pkcs7(&der, NULL, 0);
    refused(der.data, der.len);
    refused("MAsGCSqGSIb3DQEHAg==", 20); /* signed, it says, and has no content */
    ew_buf_deinit(&der);
}

static void
text_before_the_certificate(void **state)
{
    (void)state;
    ew_buf_puts(&bytes, "subject=/CN=x\nissuer=/CN=y\n");
    put_pem(&bytes, leaf);
    is_leaf(bytes.data, bytes.len);
}

static void
what_is_no_certificate(void **state)
{
    struct ew_buf der;

    (void)state;
    refused("", 0);
    refused("0", 1);
    refused("<html>", 6);
    refused("-----BEGIN CERTIFICATE-----", 27);
    refused("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", 54);
    refused("-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n", 59);
    ew_buf_init(&der, MAKE_MAX);
    put_der(&der, leaf);
    for (size_t len = 0; len < der.len; len++)
        refused(der.data, len);
    ew_buf_putc(&der, 0); /* a byte too many */
    refused(der.data, der.len);
    ew_buf_deinit(&der);
    put_pem(&bytes, leaf);
    for (size_t len = 0; len < bytes.len - 25; len += 7) /* until the footer begins */
        refused(bytes.data, len);
    WRITE_PEM(&bytes, PEM_write_bio_PUBKEY(bio, key));
    refused(bytes.data + bytes.len - 178, 178);
}

static void
size_limit(void **state)
{
    (void)state;
    put_pem(&bytes, leaf);
    while (bytes.len < EW_MAX_CERT)
        ew_buf_putc(&bytes, '\n');
    is_leaf(bytes.data, bytes.len);
    ew_buf_putc(&bytes, '\n');
    refused(bytes.data, bytes.len);
}

/* --- facts --- */

static void
every_fact(void **state)
{
    unsigned char *der = NULL;
    uint8_t digest[32];
    char hex[65];
    struct ew_cert *cert;
    const struct ew_cert_facts *facts;
    int len;

    (void)state;
    put_pem(&bytes, leaf);
    cert = read_bytes(bytes.data, bytes.len);
    facts = ew_cert_facts(cert);
    assert_string_equal(facts->serial, "abcdef0123456789");
    assert_string_equal(facts->issuer, "O=Example,CN=Issuing");
    assert_string_equal(facts->subject,
                        "emailAddress=jm@example.com,O=Example,OU=Berlin\\, Mitte,OU=Sales,"
                        "CN=J\xc3\xbcrgen M\xc3\xbcller");
    assert_string_equal(facts->cn, "J\xc3\xbcrgen M\xc3\xbcller");
    assert_int_equal(facts->ou_count, 2);
    assert_string_equal(facts->ous[0], "Sales");
    assert_string_equal(facts->ous[1], "Berlin, Mitte");
    assert_int_equal(facts->email_count, 2);
    assert_string_equal(facts->emails[0], "jm@example.com");
    assert_string_equal(facts->emails[1], "jm@example.org");
    assert_string_equal(facts->upn, "jm@corp.example.com");
    assert_int_equal(facts->not_before_ms, 1690000000000);
    assert_int_equal(facts->not_after_ms, 1720000000000);
    assert_int_equal(facts->eku, EW_EKU_CLIENT_AUTH | EW_EKU_EMAIL_PROTECTION | EW_EKU_EFS);
    assert_false(facts->is_ca);
    len = i2d_PUBKEY(key, &der);
    ew_sha256(der, (size_t)len, digest);
    OPENSSL_free(der);
    assert_memory_equal(facts->spki_sha256, digest, 32);
    ew_sha256(ew_cert_der(cert).data, ew_cert_der(cert).len, digest);
    ew_hex_encode(digest, 32, hex);
    assert_string_equal(facts->sha256, hex);
    ew_cert_free(cert);
}

static struct ew_cert *
read_made(struct cert_spec spec)
{
    struct ew_cert *cert;
    X509 *made;

    spec.key = key;
    made = make_cert(&spec);
    ew_buf_clear(&bytes);
    put_der(&bytes, made);
    X509_free(made);
    cert = read_bytes(bytes.data, bytes.len);
    assert_non_null(cert);
    return cert;
}

static void
missing_facts(void **state)
{
    struct ew_cert *cert = read_made((struct cert_spec){.subject = {{"O", "x"}}, .serial = "0"});
    const struct ew_cert_facts *facts = ew_cert_facts(cert);

    (void)state;
    assert_string_equal(facts->serial, "0");
    assert_string_equal(facts->cn, "");
    assert_string_equal(facts->upn, "");
    assert_int_equal(facts->ou_count, 0);
    assert_int_equal(facts->email_count, 0);
    assert_int_equal(facts->eku, 0);
    ew_cert_free(cert);
}

static void
usages(void **state)
{
    static const struct {
        const char *text;
        unsigned eku;
    } cases[] = {
        {"extendedKeyUsage=clientAuth", EW_EKU_CLIENT_AUTH},
        {"extendedKeyUsage=emailProtection", EW_EKU_EMAIL_PROTECTION},
        {"extendedKeyUsage=1.3.6.1.4.1.311.10.3.4", EW_EKU_EFS},
        {"extendedKeyUsage=1.3.6.1.4.1.311.20.2.2", EW_EKU_SMARTCARD_LOGON},
        {"extendedKeyUsage=serverAuth", EW_EKU_SERVER_AUTH},
        {"extendedKeyUsage=anyExtendedKeyUsage", EW_EKU_OTHER},
        {"extendedKeyUsage=1.2.3.4,clientAuth", EW_EKU_OTHER | EW_EKU_CLIENT_AUTH},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ew_cert *cert =
            read_made((struct cert_spec){.subject = {{"CN", "x"}}, .extensions = {cases[i].text}});

        assert_int_equal(ew_cert_facts(cert)->eku, cases[i].eku);
        ew_cert_free(cert);
    }
}

static void
a_ca(void **state)
{
    struct ew_cert *cert;

    (void)state;
    put_der(&bytes, issuing);
    cert = read_bytes(bytes.data, bytes.len);
    assert_true(ew_cert_facts(cert)->is_ca);
    ew_cert_free(cert);
}

/* A name with a NUL inside is no name: what C reads up to it is another one. */
static void
nul_in_a_name(void **state)
{
    X509 *made = X509_dup(leaf);
    X509_NAME *name = X509_NAME_new();
    struct ew_cert *cert;

    (void)state;
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", V_ASN1_UTF8STRING,
                                                (const unsigned char *)"boss\0.evil", 10, -1, 0),
                     1);
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "emailAddress", V_ASN1_IA5STRING,
                                                (const unsigned char *)"a@b.c\0d", 7, -1, 0),
                     1);
    assert_int_equal(X509_set_subject_name(made, name), 1);
    assert_true(X509_sign(made, ca_key, EVP_sha256()) > 0);
    put_der(&bytes, made);
    cert = read_bytes(bytes.data, bytes.len);
    assert_string_equal(ew_cert_facts(cert)->cn, "");
    assert_int_equal(ew_cert_facts(cert)->email_count, 1); /* the alternative name alone */
    assert_string_equal(ew_cert_facts(cert)->emails[0], "jm@example.org");
    assert_non_null(strstr(ew_cert_facts(cert)->subject, "boss\\00.evil"));
    ew_cert_free(cert);
    X509_NAME_free(name);
    X509_free(made);
}

/* The subject in every string type that a CA may use is one UTF-8 text. */
static void
string_types(void **state)
{
    static const struct {
        int type;
        const char *data;
        int len;
    } cases[] = {{V_ASN1_UTF8STRING, "J\xc3\xbcrgen", 7},
                 {V_ASN1_T61STRING, "J\xfcrgen", 6},
                 {V_ASN1_BMPSTRING, "\0J\0\xfc\0r\0g\0e\0n", 12},
                 {V_ASN1_UNIVERSALSTRING, "\0\0\0J\0\0\0\xfc\0\0\0r\0\0\0g\0\0\0e\0\0\0n", 24}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        X509 *made = X509_dup(leaf);
        X509_NAME *name = X509_NAME_new();
        struct ew_cert *cert;

        assert_int_equal(X509_NAME_add_entry_by_NID(name, NID_commonName, cases[i].type,
                                                    (const unsigned char *)cases[i].data,
                                                    cases[i].len, -1, 0),
                         1);
        assert_int_equal(X509_set_subject_name(made, name), 1);
        assert_true(X509_sign(made, ca_key, EVP_sha256()) > 0);
        ew_buf_clear(&bytes);
        put_der(&bytes, made);
        cert = read_bytes(bytes.data, bytes.len);
        assert_string_equal(ew_cert_facts(cert)->cn, "J\xc3\xbcrgen");
        assert_string_equal(ew_cert_facts(cert)->subject, "CN=J\xc3\xbcrgen");
        ew_cert_free(cert);
        X509_NAME_free(name);
        X509_free(made);
    }
}

static bool
is_utf8(const char *text)
{
    ASN1_STRING *string = ASN1_STRING_type_new(V_ASN1_UTF8STRING);
    unsigned char *out = NULL;
    int len;

    assert_int_equal(ASN1_STRING_set(string, text, -1), 1);
    len = ASN1_STRING_to_UTF8(&out, string);
    OPENSSL_free(out);
    ASN1_STRING_free(string);
    ERR_clear_error();
    return len == (int)strlen(text);
}

/* Whatever bytes a name is made of: what comes out goes into events, where only UTF-8 is readable.
 */
static void
broken_strings(void **state)
{
    static const struct {
        uint8_t tag;
        const char *data;
    } cases[] = {{V_ASN1_UTF8STRING, "aa\xff\xfe"},
                 {V_ASN1_UTF8STRING, "\xed\xa0\x80"
                                     "a"},
                 {V_ASN1_IA5STRING, "aa\xff\x80"},
                 {V_ASN1_PRINTABLESTRING, "aa\xc3("},
                 {V_ASN1_T61STRING, "aa\xc3("},
                 {V_ASN1_BMPSTRING, "\xd8\x3d\xde\x00"},
                 {V_ASN1_UNIVERSALSTRING, "\xff\xff\xff\xff"},
                 {V_ASN1_UNIVERSALSTRING, "\x00\x11\x00\x00"},
                 {V_ASN1_OCTET_STRING, "\xff\x01\x02\x03"}};
    static const char plain[] = "\x0c\x04QQQQ";
    struct cert_spec spec = {.subject = {{"CN", "QQQQ"}}, .key = key};
    X509 *made = make_cert(&spec);
    struct ew_buf der;

    (void)state;
    ew_buf_init(&der, MAKE_MAX);
    put_der(&der, made);
    X509_free(made);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ew_cert *cert;
        uint8_t *at;

        ew_buf_clear(&bytes);
        ew_buf_put(&bytes, der.data, der.len);
        while ((at = memmem(bytes.data, bytes.len, plain, 6)) != NULL) {
            at[0] = cases[i].tag;
            memcpy(at + 2, cases[i].data, 4);
        }
        cert = read_bytes(bytes.data, bytes.len); /* or refused whole */
        if (cert != NULL &&
            (!is_utf8(ew_cert_facts(cert)->cn) || !is_utf8(ew_cert_facts(cert)->subject)))
            fail_msg("case %zu: %s", i, ew_cert_facts(cert)->subject);
        ew_cert_free(cert);
    }
    ew_buf_deinit(&der);
}

static void
more_names_than_there_is_room_for(void **state)
{
    char san[1024] = "subjectAltName=email:e0@x.y";
    struct cert_spec spec = {.subject = {{"CN", "x"}, {"OU", "o"}}, .extensions = {san}};
    struct ew_cert *cert;

    (void)state;
    for (int i = 1; i < 40; i++)
        (void)snprintf(san + strlen(san), sizeof(san) - strlen(san), ",email:e%d@x.y", i);
    cert = read_made(spec);
    assert_int_equal(ew_cert_facts(cert)->email_count, EW_MAX_CERT_NAMES);
    assert_string_equal(ew_cert_facts(cert)->emails[15], "e15@x.y");
    assert_string_equal(ew_cert_facts(cert)->subject, "OU=o,CN=x");
    ew_cert_free(cert);
}

/* One that is cut would be somebody else's. */
static void
a_name_that_is_too_long(void **state)
{
    static const char *const prefix = "name=";
    char name[EW_MAX_NAME + 1];

    (void)state;
    for (size_t over = 0; over <= 1; over++) {
        size_t len = EW_MAX_NAME - strlen(prefix) + over;
        struct cert_spec spec = {.subject = {{"name", name}}};
        struct ew_cert *cert;

        memset(name, 'a', len);
        name[len] = '\0';
        cert = read_made(spec);
        assert_int_equal(strlen(ew_cert_facts(cert)->subject), over == 0 ? EW_MAX_NAME : 0);
        ew_cert_free(cert);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(certificate_in_every_form, begin, end),
        cmocka_unit_test_setup_teardown(pkcs7_in_every_form_and_order, begin, end),
        cmocka_unit_test_setup_teardown(text_before_the_certificate, begin, end),
        cmocka_unit_test_setup_teardown(what_is_no_certificate, begin, end),
        cmocka_unit_test_setup_teardown(size_limit, begin, end),
        cmocka_unit_test_setup_teardown(every_fact, begin, end),
        cmocka_unit_test_setup_teardown(missing_facts, begin, end),
        cmocka_unit_test_setup_teardown(usages, begin, end),
        cmocka_unit_test_setup_teardown(a_ca, begin, end),
        cmocka_unit_test_setup_teardown(nul_in_a_name, begin, end),
        cmocka_unit_test_setup_teardown(string_types, begin, end),
        cmocka_unit_test_setup_teardown(broken_strings, begin, end),
        cmocka_unit_test_setup_teardown(more_names_than_there_is_room_for, begin, end),
        cmocka_unit_test_setup_teardown(a_name_that_is_too_long, begin, end),
    };

    return cmocka_run_group_tests(tests, make_all, free_all);
}
