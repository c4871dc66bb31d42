/*
 * Proof of rediss://: a Redis whose certificate is for its host is used, another one is not, and
 * whoever asks or reads the log is told why. A build whose hiredis has no TLS refuses the URL.
 */
#include "make.h"

#include "redis_harness.h"
#include "store_private.h"

#ifdef EW_HAVE_HIREDIS_SSL

#include "base/log.h"

enum { TLS_WAIT_MS = 300 };

static EVP_PKEY *key;
static X509 *ca;
static int tls_port;
static char told[256]; /* why there is no connection */

void
ew_log_write(enum ew_log_level level, const char *logger, const char *msg,
             const struct ew_log_field *fields)
{
    (void)logger, (void)msg;
    for (; level == EW_LOG_WARN && fields->name != NULL; fields++)
        if (strcmp(fields->name, "detail") == 0)
            (void)snprintf(told, sizeof(told), "%s", fields->str);
}

/* A file of the server's directory. */
static const char *
path_of(const struct fix *fix, const char *name)
{
    static char paths[4][96];
    static unsigned next;
    char *path = paths[next++ % 4];

    (void)snprintf(path, sizeof(paths[0]), "%s/%s", fix->redis.dir, name);
    return path;
}

static void
write_file(const char *path, const struct ew_buf *bytes)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes->data, 1, bytes->len, file), bytes->len);
    assert_int_equal(fclose(file), 0);
}

static int
begin(void **state)
{
    struct ew_buf pem;
    struct fix *fix;

    (void)fix_setup(state);
    fix = *state;
    key = ec_key("P-256");
    ca = make_ca("Redis CA", key, NULL, NULL);
    ew_buf_init(&pem, MAKE_MAX);
    put_pem(&pem, ca);
    write_file(path_of(fix, "ca"), &pem);
    ew_buf_clear(&pem);
    WRITE_PEM(&pem, PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL));
    write_file(path_of(fix, "key"), &pem);
    ew_buf_deinit(&pem);
    tls_port = free_port();
    return fix_fresh(state);
}

static int
end(void **state)
{
    struct fix *fix = *state;

    (void)unlink(path_of(fix, "ca"));
    (void)unlink(path_of(fix, "key"));
    (void)unlink(path_of(fix, "cert0"));
    (void)unlink(path_of(fix, "cert1"));
    X509_free(ca);
    EVP_PKEY_free(key);
    return fix_teardown(state);
}

/* From now on the server has a certificate for this alternative name; by another file, for it does
 * not read the same one again. */
static void
shows(struct fix *fix, const char *name)
{
    struct cert_spec spec = {.subject = {{"CN", "a Redis"}},
                             .key = key,
                             .issuer = ca,
                             .issuer_key = key,
                             .from_s = time(NULL) - DAY,
                             .to_s = time(NULL) + DAY,
                             .extensions = {name}};
    static int turn_of;
    const char *file = path_of(fix, ++turn_of % 2 == 0 ? "cert0" : "cert1");
    X509 *cert = make_cert(&spec);
    struct ew_buf pem;

    ew_buf_init(&pem, MAKE_MAX);
    put_pem(&pem, cert);
    write_file(file, &pem);
    ew_buf_deinit(&pem);
    X509_free(cert);
    tell(&fix->redis, "CONFIG SET tls-auth-clients no tls-cert-file %s tls-key-file %s", file,
         path_of(fix, "key"));
    tell(&fix->redis, "CONFIG SET tls-port %d", tls_port);
}

static void
on_problem(void *arg, const struct ew_err *err)
{
    (void)snprintf(arg, 256, "%s: %s", err->problem, err->detail);
}

/* What `check` says of that host, "" = nothing. */
static const char *
check(const char *host, const char *bundle)
{
    static char problem[256];
    char url[64];
    struct ew_store_options options = {.url = url, .ca_file = bundle, .timeout_ms = 5000};

    problem[0] = '\0';
    (void)snprintf(url, sizeof(url), "rediss://%s:%d", host, tls_port);
    (void)ew_store_check(&options, on_problem, problem);
    return problem;
}

/* A store that goes up, or says why it does not. */
static bool
goes_up(struct fix *fix, const char *host, const char *bundle)
{
    char url[64];
    struct ew_store_options options = {.url = url, .ca_file = bundle, .timeout_ms = 5000};
    struct ew_store_events events = {.arg = fix, .up = on_up};
    struct ew_store *store;
    struct ew_err err;
    bool up;

    told[0] = '\0';
    (void)snprintf(url, sizeof(url), "rediss://%s:%d", host, tls_port);
    if (ew_store_new(fix->loop, &options, &events, &store, &err) != EW_OK)
        fail_msg("%s", err.detail);
    for (int i = 0; i < 400 && !ew_store_is_up(store) && told[0] == '\0'; i++)
        turn(fix, 25);
    if (told[0] != '\0') /* nor at the next attempts */
        turn(fix, TLS_WAIT_MS);
    up = ew_store_is_up(store);
    ew_store_free(store);
    return up;
}

static void
is_used(struct fix *fix, const char *host, const char *bundle)
{
    assert_string_equal(check(host, bundle), "");
    if (!goes_up(fix, host, bundle))
        fail_msg("%s: %s", host, told);
}

static void
is_refused(struct fix *fix, const char *host, const char *bundle, const char *why)
{
    const char *problem = check(host, bundle);

    if (strncmp(problem, "redis-tls: ", 11) != 0 || strstr(problem, why) == NULL)
        fail_msg("%s: \"%s\"", host, problem);
    assert_false(goes_up(fix, host, bundle));
    if (strstr(told, why) == NULL)
        fail_msg("%s: \"%s\"", host, told);
}

static void
test_the_right_host(void **state)
{
    struct fix *fix = *state;

    shows(fix, "subjectAltName=DNS:localhost");
    is_used(fix, "localhost", path_of(fix, "ca"));
    shows(fix, "subjectAltName=IP:127.0.0.1");
    is_used(fix, "127.0.0.1", path_of(fix, "ca"));
}

static void
test_another_host(void **state)
{
    struct fix *fix = *state;

    shows(fix, "subjectAltName=DNS:evil.example");
    is_refused(fix, "localhost", path_of(fix, "ca"), "hostname mismatch");
    is_refused(fix, "127.0.0.1", path_of(fix, "ca"), "IP address mismatch");
    shows(fix, "subjectAltName=IP:127.0.0.2");
    is_refused(fix, "127.0.0.1", path_of(fix, "ca"), "IP address mismatch");
}

/* Without a bundle of its own, the system's is asked, which SSL_CERT_FILE may name. */
static void
test_the_systems_bundle(void **state)
{
    struct fix *fix = *state;

    shows(fix, "subjectAltName=DNS:localhost");
    is_refused(fix, "localhost", NULL, "unable to get local issuer certificate");
    assert_int_equal(setenv("SSL_CERT_FILE", path_of(fix, "ca"), 1), 0);
    is_used(fix, "localhost", NULL);
    assert_int_equal(unsetenv("SSL_CERT_FILE"), 0);
}

static void
test_no_bundle_there(void **state)
{
    struct fix *fix = *state;
    struct ew_store_options options = {
        .url = "rediss://localhost", .ca_file = path_of(fix, "none"), .timeout_ms = 1000};
    struct ew_store *store;
    struct ew_err err;

    assert_int_equal(ew_store_new(fix->loop, &options, NULL, &store, &err), EW_HALT);
    assert_string_equal(err.problem, "redis-tls");
    assert_string_equal(err.field, "redis.ca_file");
    assert_non_null(strstr(err.detail, options.ca_file));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_right_host),
        cmocka_unit_test(test_another_host),
        cmocka_unit_test(test_the_systems_bundle),
        cmocka_unit_test(test_no_bundle_there),
    };

    return cmocka_run_group_tests_name("store: TLS", tests, begin, end);
}

#else

static void
test_it_is_refused(void **state)
{
    struct ew_store_options options = {.url = "rediss://localhost", .timeout_ms = 1000};
    struct ew_store *store;
    struct ew_loop *loop;
    struct ew_err err;

    (void)state;
    assert_int_equal(ew_loop_new(&ew_clock_system, 1, &loop, NULL), EW_OK);
    assert_int_equal(ew_store_new(loop, &options, NULL, &store, &err), EW_HALT);
    assert_string_equal(err.problem, "redis-tls");
    assert_string_equal(err.field, "redis.url");
    ew_loop_free(loop);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_it_is_refused)};

    return cmocka_run_group_tests_name("store: no TLS", tests, NULL, NULL);
}

#endif
