/*
 * Proof of TLS to servers: who is let through and who is not, by whole handshakes in memory.
 */
#include "make.h"

#include <openssl/ssl.h>
#include <time.h>

#include "x509/tls.h"

static EVP_PKEY *ca_key, *server_key;
static X509 *ca;
static struct temp_file trusted;
static char asked[64]; /* the name in the client's first message, "" = none */

static int
begin(void **state)
{
    struct ew_buf pem;

    (void)state;
    ca_key = ec_key("P-256");
    server_key = ec_key("P-256");
    ca = make_ca("TLS CA", ca_key, NULL, NULL);
    ew_buf_init(&pem, MAKE_MAX);
    put_pem(&pem, ca);
    trusted = make_file(pem.data, pem.len);
    ew_buf_deinit(&pem);
    return 0;
}

static int
end(void **state)
{
    (void)state;
    (void)unlink(trusted.path);
    X509_free(ca);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(server_key);
    return 0;
}

static int
on_name(SSL *ssl, int *alert, void *arg)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

    (void)alert, (void)arg;
    (void)snprintf(asked, sizeof(asked), "%s", name == NULL ? "" : name);
    return SSL_TLSEXT_ERR_OK;
}

/* A server with a certificate of the CA for these alternative names, that ends `days` from now. */
static SSL *
server_of(const char *names, long days, int newest)
{
    struct cert_spec spec = {.subject = {{"CN", "redis.example"}},
                             .key = server_key,
                             .issuer = ca,
                             .issuer_key = ca_key,
                             .from_s = time(NULL) - 100 * DAY,
                             .to_s = time(NULL) + days * DAY,
                             .extensions = {names}};
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    X509 *cert = make_cert(&spec);
    SSL *ssl;

    assert_int_equal(SSL_CTX_use_certificate(ctx, cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, server_key), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(ctx, newest), 1);
    SSL_CTX_set_tlsext_servername_callback(ctx, on_name);
    ssl = SSL_new(ctx);
    SSL_set_accept_state(ssl);
    SSL_CTX_free(ctx);
    X509_free(cert);
    return ssl;
}

/* Lets them speak; what the client has to say of it then, NULL = all is well. */
static const char *
meet(SSL *server, const char *host, const char *ca_file)
{
    SSL *client;
    BIO *ours, *theirs;
    const char *trouble;
    struct ew_err err;

    asked[0] = '\0';
    if (ew_tls_client(host, ca_file, &client, &err) != EW_OK)
        fail_msg("%s", err.detail);
    assert_int_equal(BIO_new_bio_pair(&ours, 0, &theirs, 0), 1);
    SSL_set_bio(client, ours, ours);
    SSL_set_bio(server, theirs, theirs);
    SSL_set_connect_state(client);
    for (int i = 0; i < 8; i++) {
        (void)SSL_do_handshake(client);
        (void)SSL_do_handshake(server);
    }
    trouble = ew_tls_trouble(client);
    ew_tls_free(client);
    SSL_free(server);
    ERR_clear_error();
    return trouble;
}

static void
test_the_host_must_be_the_certificates(void **state)
{
    static const struct {
        const char *names, *host, *trouble;
    } rows[] = {
        {"subjectAltName=DNS:redis.example", "redis.example", NULL},
        {"subjectAltName=DNS:redis.example", "REDIS.example", NULL},
        {"subjectAltName=DNS:evil.example", "redis.example", "hostname mismatch"},
        {"subjectAltName=DNS:*.r.example", "a.r.example", NULL},
        {"subjectAltName=DNS:a*.r.example", "ab.r.example", "hostname mismatch"},
        {"subjectAltName=DNS:evil.example", "127.0.0.1", "IP address mismatch"},
        {"subjectAltName=DNS:127.0.0.1", "127.0.0.1", "IP address mismatch"},
        {"subjectAltName=IP:127.0.0.1", "127.0.0.1", NULL},
        {"subjectAltName=IP:127.0.0.2", "127.0.0.1", "IP address mismatch"},
        {"subjectAltName=IP:fd00::1", "fd00:0::1", NULL},
        {"subjectAltName=IP:fd00::2", "fd00::1", "IP address mismatch"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *trouble = meet(server_of(rows[i].names, 1, 0), rows[i].host, trusted.path);

        if (rows[i].trouble == NULL && trouble != NULL)
            fail_msg("%s is not let through as %s: %s", rows[i].names, rows[i].host, trouble);
        if (rows[i].trouble != NULL && trouble == NULL)
            fail_msg("%s is let through as %s", rows[i].names, rows[i].host);
        if (trouble != NULL)
            assert_string_equal(trouble, rows[i].trouble);
    }
}

/* A server of many names chooses by it. An address is none. */
static void
test_a_name_is_asked_for(void **state)
{
    (void)state;
    assert_null(meet(server_of("subjectAltName=DNS:a.example", 1, 0), "a.example", trusted.path));
    assert_string_equal(asked, "a.example");
    assert_null(meet(server_of("subjectAltName=IP:10.0.0.1", 1, 0), "10.0.0.1", trusted.path));
    assert_string_equal(asked, "");
}

static void
test_whom_to_trust(void **state)
{
    const char *names = "subjectAltName=DNS:a.example";

    (void)state;
    assert_non_null(strstr(meet(server_of(names, -1, 0), "a.example", trusted.path), "expired"));
    /* The system's bundle is another one, and where it is can be said. */
    assert_non_null(strstr(meet(server_of(names, 1, 0), "a.example", NULL), "certificate"));
    assert_int_equal(setenv("SSL_CERT_FILE", trusted.path, 1), 0);
    assert_null(meet(server_of(names, 1, 0), "a.example", NULL));
    assert_int_equal(unsetenv("SSL_CERT_FILE"), 0);
}

static void
test_nothing_older_than_1_2(void **state)
{
    SSL *client;
    struct ew_err err;

    (void)state;
    assert_int_equal(ew_tls_client("a.example", trusted.path, &client, &err), EW_OK);
    assert_int_equal(SSL_get_min_proto_version(client), TLS1_2_VERSION);
    ew_tls_free(client);
    assert_null(meet(server_of("subjectAltName=DNS:a.example", 1, TLS1_2_VERSION), "a.example",
                     trusted.path));
}

/* There was no certificate to be wrong. */
static void
test_no_handshake(void **state)
{
    SSL *client;
    struct ew_err err;

    (void)state;
    assert_int_equal(ew_tls_client("a.example", trusted.path, &client, &err), EW_OK);
    assert_string_equal(ew_tls_trouble(client), "no TLS handshake");
    ew_tls_free(client);
}

static void
test_a_bundle_that_is_none(void **state)
{
    struct temp_file file = make_file("not a certificate", 17);
    SSL *client = NULL;
    struct ew_err err;

    (void)state;
    assert_int_equal(ew_tls_client("a.example", file.path, &client, &err), EW_HALT);
    assert_non_null(strstr(err.detail, file.path));
    (void)unlink(file.path);
    assert_int_equal(ew_tls_client("a.example", file.path, &client, &err), EW_HALT);
    assert_null(client);
    no_errors_left();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_host_must_be_the_certificates),
        cmocka_unit_test(test_a_name_is_asked_for),
        cmocka_unit_test(test_whom_to_trust),
        cmocka_unit_test(test_nothing_older_than_1_2),
        cmocka_unit_test(test_no_handshake),
        cmocka_unit_test(test_a_bundle_that_is_none),
    };

    return cmocka_run_group_tests_name("x509: TLS", tests, begin, end);
}
