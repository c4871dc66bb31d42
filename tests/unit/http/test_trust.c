/*
 * Proof of whose certificates are trusted. libcurl has the paths of the system's CAs built in: a
 * bundle, and on Debian a directory of single certificates as well. A test must not write there,
 * so everything that OpenSSL opens under it is looked for in a directory of the test's own.
 */
#undef _FILE_OFFSET_BITS /* would make fopen another name of fopen64, and both are needed */
#include <dlfcn.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <curl/curl.h>

#include "http/http.h"
#include "tls_server.h"

/* --- the system's directory, replaced --- */

static char system_dir[PATH_MAX]; /* "" = libcurl has none built in */
static char bundle_name[PATH_MAX];
static char our_dir[] = "/tmp/ew-test-trust-XXXXXX";
static _Atomic int system_looks, bundle_reads;

static const char *
instead_of(const char *path, char ours[PATH_MAX])
{
    size_t len = strlen(system_dir);

    if (len == 0 || strncmp(path, system_dir, len) != 0 || path[len] != '/')
        return path;
    system_looks++;
    (void)snprintf(ours, PATH_MAX, "%s%s", our_dir, path + len);
    return ours;
}

static FILE *
open_instead(const char *function, const char *path, const char *mode)
{
    FILE *(*real)(const char *, const char *);
    char ours[PATH_MAX];

    *(void **)&real = dlsym(RTLD_NEXT, function);
    if (strcmp(path, bundle_name) == 0)
        bundle_reads++;
    return real(instead_of(path, ours), mode);
}

/* These are found before libc's, by OpenSSL too. */
FILE *
fopen(const char *path, const char *mode)
{
    return open_instead("fopen", path, mode);
}

FILE *
fopen64(const char *path, const char *mode)
{
    return open_instead("fopen64", path, mode);
}

int
stat(const char *path, struct stat *out)
{
    int (*real)(const char *, struct stat *);
    char ours[PATH_MAX];

    *(void **)&real = dlsym(RTLD_NEXT, "stat");
    return real(instead_of(path, ours), out);
}

/* --- three servers: of the system's bundle, of its directory only, of neither --- */

static struct tls_server *bundled, *hashed, *foreign;

static void
copy_file(const char *from, const char *to_name)
{
    char to[PATH_MAX], text[8192];
    FILE *in = fopen(from, "r"), *out;
    size_t len;

    (void)snprintf(to, sizeof(to), "%s/%s", our_dir, to_name);
    out = fopen(to, "w");
    assert_non_null(in);
    assert_non_null(out);
    len = fread(text, 1, sizeof(text), in);
    assert_in_range(len, 100, sizeof(text) - 1);
    assert_int_equal(fwrite(text, 1, len, out), len);
    (void)fclose(in);
    assert_int_equal(fclose(out), 0);
}

static void
hashed_name(const struct tls_server *server, char name[32])
{
    const X509 *cert = SSL_CTX_get0_certificate(server->ctx);

    (void)snprintf(name, 32, "%08lx.0",
                   X509_NAME_hash_ex(X509_get_subject_name(cert), NULL, NULL, NULL));
}

static int
start_servers(void **state)
{
    static const struct tls_reply reply = {
        "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 4\r\n\r\n<a/>", TLS_KEEP, 0};
    const char *bundle = curl_version_info(CURLVERSION_NOW)->cainfo;
    char name[32];

    (void)state;
    assert_non_null(mkdtemp(our_dir));
    bundled = tls_server_start("IP:127.0.0.1", &reply, 1);
    hashed = tls_server_start("IP:127.0.0.1", &reply, 1);
    foreign = tls_server_start("IP:127.0.0.1", &reply, 1);
    hashed_name(hashed, name);
    copy_file(hashed->ca_file, name);
    if (bundle == NULL || strrchr(bundle, '/') == NULL)
        return 0;
    copy_file(bundled->ca_file, strrchr(bundle, '/') + 1);
    (void)snprintf(bundle_name, sizeof(bundle_name), "%s", bundle);
    (void)snprintf(system_dir, sizeof(system_dir), "%.*s", (int)(strrchr(bundle, '/') - bundle),
                   bundle);
    return 0;
}

static void
remove_file(const char *name)
{
    char path[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/%s", our_dir, name);
    (void)unlink(path);
}

static int
stop_servers(void **state)
{
    char name[32];

    (void)state;
    hashed_name(hashed, name);
    remove_file(name);
    if (bundle_name[0])
        remove_file(strrchr(bundle_name, '/') + 1);
    tls_server_stop(bundled);
    tls_server_stop(hashed);
    tls_server_stop(foreign);
    return rmdir(our_dir);
}

/* --- calls --- */

struct client {
    struct ew_loop *loop;
    struct ew_http *http;
    bool done, fresh;
    const char *problem;
};

static struct client
client_open(const char *ca_file)
{
    struct client client = {0};

    system_looks = bundle_reads = 0;
    assert_int_equal(ew_loop_new(&ew_clock_system, 1, &client.loop, NULL), EW_OK);
    assert_int_equal(
        ew_http_new(client.loop, &(struct ew_http_options){.ca_file = ca_file}, &client.http, NULL),
        EW_OK);
    return client;
}

static void
client_close(struct client *client)
{
    ew_http_free(client->http);
    ew_loop_free(client->loop);
}

static void
on_done(void *arg, struct ew_http_result *result)
{
    struct client *client = arg;

    client->done = true;
    client->problem = result->problem;
    client->fresh = result->fresh;
    ew_loop_stop(client->loop);
}

/* What a call on a connection of its own came to; NULL = the reply came. */
static const char *
problem_with(struct client *client, const struct tls_server *server)
{
    struct ew_http_call *call = NULL;
    struct ew_buf body;

    ew_buf_init_secret(&body, 100);
    ew_buf_puts(&body, "<order/>");
    client->done = false;
    assert_int_equal(ew_http_post(client->http,
                                  &(struct ew_http_request){.url = server->url,
                                                            .content_type = "text/xml",
                                                            .body = &body,
                                                            .timeout_ms = 20000,
                                                            .max_reply = 100,
                                                            .fresh = true,
                                                            .done = on_done,
                                                            .arg = client},
                                  &call, NULL),
                     EW_OK);
    ew_loop_run(client->loop);
    assert_true(client->done);
    return client->problem;
}

static void
assert_trusted(struct client *client, const struct tls_server *server)
{
    assert_null(problem_with(client, server));
    assert_true(client->fresh);
}

static void
assert_refused(struct client *client, const struct tls_server *server)
{
    int requests = server->requests;
    const char *problem = problem_with(client, server);

    assert_non_null(problem);
    assert_string_equal(problem, "http-certificate");
    assert_int_equal(server->requests, requests);
}

/* --- tests --- */

static void
test_a_configured_file_is_all_that_is_trusted(void **state)
{
    struct client client = client_open(foreign->ca_file);

    (void)state;
    assert_trusted(&client, foreign);
    assert_refused(&client, bundled);
    assert_refused(&client, hashed);
    assert_trusted(&client, foreign);
    assert_int_equal(system_looks, 0);
    client_close(&client);
}

/* Without a file: the system's bundle, as update-ca-certificates writes it. What was only laid into
 * its directory, or is named by the environment, is not in it. */
static void
test_without_a_file_the_bundle_is(void **state)
{
    struct client client;

    (void)state;
    if (bundle_name[0] == '\0')
        skip();
    setenv("SSL_CERT_FILE", foreign->ca_file, 1);
    setenv("SSL_CERT_DIR", our_dir, 1);
    client = client_open(NULL);
    assert_trusted(&client, bundled);
    assert_refused(&client, hashed);
    assert_refused(&client, foreign);
    assert_trusted(&client, bundled);
    client_close(&client);
    unsetenv("SSL_CERT_FILE");
    unsetenv("SSL_CERT_DIR");
}

/* It has some 140 certificates: to read them takes longer than a handshake. */
static void
test_the_bundle_is_read_once(void **state)
{
    struct client client;

    (void)state;
    if (bundle_name[0] == '\0')
        skip();
    client = client_open(NULL);
    for (int i = 0; i < 5; i++)
        assert_trusted(&client, bundled);
    assert_int_equal(bundle_reads, 1);
    assert_int_equal(system_looks, 1);
    client_close(&client);
}

/* --- an authority under another --- */

static X509 *
make_authority_or_server(const char *name, EVP_PKEY *key, X509 *issuer, const char *basic,
                         const char *san)
{
    X509 *cert = X509_new();
    X509_EXTENSION *constraint = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, basic);

    assert_non_null(constraint);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 7);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(issuer == NULL ? cert : issuer));
    X509_set_pubkey(cert, key);
    X509_add_ext(cert, constraint, -1);
    X509_EXTENSION_free(constraint);
    if (san != NULL) {
        X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);

        X509_add_ext(cert, names, -1);
        X509_EXTENSION_free(names);
    }
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    return cert;
}

static void
write_file(const char *path, X509 *cert)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, cert), 1);
    assert_int_equal(fclose(file), 0);
}

/* What a file names is trusted as far as a root of it reaches: one that holds the authority in
 * between alone would go on trusting it when its own has taken it back. */
static void
test_an_authority_needs_its_root(void **state)
{
    static const struct tls_reply reply = {
        "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 4\r\n\r\n<a/>", TLS_KEEP, 0};
    struct tls_server *server = tls_server_start("IP:127.0.0.1", &reply, 1);
    EVP_PKEY *key = EVP_EC_gen("P-256"); /* of all three */
    X509 *root = make_authority_or_server("root", key, NULL, "critical,CA:TRUE", NULL);
    X509 *between = make_authority_or_server("between", key, root, "critical,CA:TRUE", NULL);
    X509 *leaf = make_authority_or_server("leaf", key, between, "CA:FALSE", "IP:127.0.0.1");
    struct client client;

    (void)state;
    assert_int_equal(SSL_CTX_use_certificate(server->ctx, leaf), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(server->ctx, key), 1);
    assert_int_equal(SSL_CTX_add1_chain_cert(server->ctx, between), 1);
    write_file(server->ca_file, root);
    client = client_open(server->ca_file);
    assert_trusted(&client, server);
    client_close(&client);
    write_file(server->ca_file, between);
    client = client_open(server->ca_file);
    assert_refused(&client, server);
    client_close(&client);
    X509_free(root);
    X509_free(between);
    X509_free(leaf);
    EVP_PKEY_free(key);
    tls_server_stop(server);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_configured_file_is_all_that_is_trusted),
        cmocka_unit_test(test_without_a_file_the_bundle_is),
        cmocka_unit_test(test_the_bundle_is_read_once),
        cmocka_unit_test(test_an_authority_needs_its_root),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, start_servers, stop_servers);
}
